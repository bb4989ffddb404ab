/* SPDX-License-Identifier: Apache-2.0 */
/* Chain entries and the holds on them. Go counterparts: layer/filestore.go, ro_layer.go. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/rootfs.h"
#include "layer_priv.h"

/* An entry in use: its data is locked against removal by any process. Holds of entries above count
 * as one each. Guarded by the store's mutex. */
struct layer_hold {
	struct layer_hold *next;
	struct layer_hold *parent;
	unsigned long refs;
	int fd;
	char chain_id[DIGEST_MAX];
};

#define CHAIN_DEPTH_MAX 4096

static int not_found(const char *chain_id, struct error **reterr)
{
	/* layer.ErrLayerDoesNotExist */
	(void)chain_id;
	return error_set(reterr, error_classf(CLASS_NOT_FOUND, "layer does not exist"));
}

int layer_chain_read(
	struct layer_store *ls, const char *chain_id, struct layer_info *ret, struct error **reterr)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 8], computed[DIGEST_MAX];
	cleanup_free char *record = NULL;
	struct stat st;

	if (!layer_name(chain_id, name))
		return not_found(chain_id, reterr);
	snprintf(path, sizeof(path), CHAINS_DIR "/%s", name);
	if (record_read(ls, -1, path, "chain", &record, reterr) < 0)
		return -1;

	struct layer_info info = {0}; /* chain_id may be a part of *ret */

	snprintf(info.chain_id, sizeof(info.chain_id), "%s", chain_id);
	record_get(record, "parent", info.parent, sizeof(info.parent));
	if (!record_get_digest(record, "diff", info.diff_id) ||
		(info.parent[0] && !record_get_digest(record, "parent", info.parent)) ||
		chain_id_append(info.parent, info.diff_id, computed) < 0 ||
		strcmp(computed, chain_id))
		return error_set(reterr,
			error_classf(CLASS_NOT_FOUND, "chain entry %s is damaged", chain_id));
	info.size = record_get_number(record, "size");
	if (!fstatat(ls->dir, path, &st, AT_SYMLINK_NOFOLLOW))
		info.created = st.st_mtime;
	*ret = info;
	return 0;
}

static struct layer_hold *find(struct layer_store *ls, const char *chain_id)
{
	for (struct layer_hold *h = ls->holds; h; h = h->next)
		if (!strcmp(h->chain_id, chain_id))
			return h;
	return NULL;
}

/* Give back one reference of a hold; what it kept goes along. */
static void unref(struct layer_store *ls, struct layer_hold *h)
{
	while (h && !--h->refs) {
		struct layer_hold *parent = h->parent, **p = &ls->holds;

		while (*p != h)
			p = &(*p)->next;
		*p = h->next;
		close(h->fd);
		free(h);
		h = parent;
	}
}

/* A new hold, without its parent. */
static int add(struct layer_store *ls, const struct layer_info *info, struct layer_hold **ret,
	struct error **reterr)
{
	struct layer_hold *h = calloc(1, sizeof(*h));

	if (!h)
		return error_set(reterr, &error_no_memory);
	if (layer_data_open(ls, info->diff_id, &h->fd, NULL, reterr) < 0) {
		free(h);
		return -1;
	}
	snprintf(h->chain_id, sizeof(h->chain_id), "%s", info->chain_id);
	h->refs = 1;
	*ret = h;
	return 0;
}

/* The mutex is held: reading the small files of a chain under it is the price of one lock. */
static int get_locked(struct layer_store *ls, const char *chain_id, struct error **reterr)
{
	struct layer_hold *top = NULL, *below = NULL;
	struct layer_info info;
	char id[DIGEST_MAX];

	snprintf(id, sizeof(id), "%s", chain_id);
	for (unsigned depth = 0; id[0]; depth++) {
		struct layer_hold *h = find(ls, id);

		if (h) {
			h->refs++;
			if (below)
				below->parent = h;
			return 0;
		}
		if (depth > CHAIN_DEPTH_MAX)
			goto fail;
		if (layer_chain_read(ls, id, &info, reterr) < 0 || add(ls, &info, &h, reterr) < 0)
			goto fail;
		h->next = ls->holds;
		ls->holds = h;
		if (below)
			below->parent = h;
		else
			top = h;
		below = h;
		memcpy(id, info.parent, sizeof(id));
	}
	return 0;
fail:
	unref(ls, top);
	return -1;
}

int layer_hold_get(struct layer_store *ls, const char *chain_id, struct error **reterr)
{
	if (!chain_id[0])
		return not_found(chain_id, reterr);
	pthread_mutex_lock(&ls->mutex);

	int n = get_locked(ls, chain_id, reterr);

	pthread_mutex_unlock(&ls->mutex);
	return n;
}

void layer_hold_release(struct layer_store *ls, const char *chain_id)
{
	pthread_mutex_lock(&ls->mutex);
	unref(ls, find(ls, chain_id));
	pthread_mutex_unlock(&ls->mutex);
}

void layer_holds_free(struct layer_store *ls)
{
	struct layer_hold *h;

	while ((h = ls->holds)) {
		ls->holds = h->next;
		close(h->fd);
		free(h);
	}
}
