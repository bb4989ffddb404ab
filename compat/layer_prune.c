/* SPDX-License-Identifier: Apache-2.0 */
/* Getting rid of layers. Go counterparts: layer/layer_store.go (releaseLayer), daemon/prune.go. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "layer_priv.h"

/* A list of digests; small enough to be searched from end to end. */
struct digest_list {
	char (*ids)[DIGEST_MAX];
	size_t n;
};

static bool has(const struct digest_list *l, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->ids[i], id))
			return true;
	return false;
}

static int append(struct digest_list *l, const char *id, struct error **reterr)
{
	void *grown = reallocarray(l->ids, l->n + 1, sizeof(*l->ids));

	if (!grown)
		return error_set(reterr, &error_no_memory);
	l->ids = grown;
	snprintf(l->ids[l->n++], DIGEST_MAX, "%s", id);
	return 0;
}

static void list_free(struct digest_list *l)
{
	free(l->ids);
}

struct pruning {
	struct layer_store *ls;
	const struct layer_prune *prune;
	struct digest_list chains; /* all entries */
	struct digest_list keep;   /* chain IDs that stay */
	struct digest_list used;   /* diff IDs of those */
	struct digest_list data;   /* all data */
	struct digest_list blobs;  /* all blob records */
	time_t now;
	uint64_t reclaimed;
	struct error **reterr;
};

/* Keep a chain entry and all below it. */
static int keep_chain(struct pruning *p, const char *chain_id)
{
	struct layer_info info;
	char id[DIGEST_MAX];

	snprintf(id, sizeof(id), "%s", chain_id);
	while (id[0] && !has(&p->keep, id)) {
		if (append(&p->keep, id, p->reterr) < 0)
			return -1;
		if (layer_chain_read(p->ls, id, &info, NULL) < 0)
			break;
		if (append(&p->used, info.diff_id, p->reterr) < 0)
			return -1;
		memcpy(id, info.parent, sizeof(id));
	}
	return 0;
}

static int keep_bundle(void *arg, const struct layer_bundle *bundle)
{
	return bundle->mounted ? keep_chain(arg, bundle->chain_id) : 0;
}

static bool young(const struct pruning *p, const char *path)
{
	struct stat st;

	if (!p->prune->keep_age || fstatat(p->ls->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return st.st_mtime > p->now || (uint64_t)(p->now - st.st_mtime) < p->prune->keep_age;
}

static int list_name(struct digest_list *l, const char *name, struct error **reterr)
{
	char id[DIGEST_MAX];

	return layer_digest(name, id) ? append(l, id, reterr) : 0;
}

static int list_chain(void *arg, const char *name)
{
	struct pruning *p = arg;

	return list_name(&p->chains, name, p->reterr);
}

static int list_data(void *arg, const char *name)
{
	struct pruning *p = arg;

	return list_name(&p->data, name, p->reterr);
}

static int list_blob(void *arg, const char *name)
{
	struct pruning *p = arg;

	return list_name(&p->blobs, name, p->reterr);
}

static void removed(struct pruning *p, const char *what, const char *id, int64_t bytes)
{
	cleanup_free char *text = str_printf("%s %s", what, id);

	p->reclaimed += bytes > 0 ? (uint64_t)bytes : 0;
	if (p->prune->removed && text)
		p->prune->removed(p->prune->arg, text, bytes);
}

static int remove_record(struct pruning *p, const char *dir, const char *id)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 16];

	layer_name(id, name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!p->prune->dry_run && unlinkat(p->ls->dir, path, 0) < 0 && errno != ENOENT)
		return error_set(p->reterr, error_path("unlink", path, error_errno(errno)));
	return 0;
}

static int choose_chains(struct pruning *p)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 16];

	for (size_t i = 0; i < p->chains.n; i++) {
		const char *id = p->chains.ids[i];

		layer_name(id, name);
		snprintf(path, sizeof(path), CHAINS_DIR "/%s", name);
		if ((p->prune->needed(p->prune->arg, id) || young(p, path)) &&
			keep_chain(p, id) < 0)
			return -1;
	}
	return 0;
}

/* Data first: what is in use can't be locked, and then its chain entry stays too. */
static int prune_data(struct pruning *p, const char *diff_id)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 16];
	struct layer_data_info info = {0};
	int fd;

	layer_name(diff_id, name);
	snprintf(path, sizeof(path), DATA_DIR "/%s", name);
	if (has(&p->used, diff_id) || young(p, path))
		return 0;

	int n = layer_data_lock(p->ls, diff_id, &fd, NULL);

	if (n == 0)
		return append(&p->used, diff_id, p->reterr);
	if (n < 0)
		return 0;                                       /* gone meanwhile */
	(void)layer_data_info(p->ls, diff_id, fd, &info, NULL); /* damaged: goes too */
	removed(p, "layer", diff_id, info.disk);
	if (!p->prune->dry_run)
		n = layer_data_remove(p->ls, diff_id, p->reterr);
	else
		n = 0;
	close(fd);
	return n;
}

static int prune_chain(struct pruning *p, const char *chain_id)
{
	struct layer_info info;

	if (has(&p->keep, chain_id))
		return 0;
	/* Another process pulls on top of it just now, or has not named it yet. */
	if (!layer_chain_read(p->ls, chain_id, &info, NULL) && has(&p->used, info.diff_id)) {
		int fd, n = layer_data_lock(p->ls, info.diff_id, &fd, NULL);

		if (n == 0)
			return 0;
		if (n == 1)
			close(fd);
	}
	removed(p, "chain entry", chain_id, 0);
	return remove_record(p, CHAINS_DIR, chain_id);
}

static int prune_blob(struct pruning *p, const char *digest)
{
	char diff_id[DIGEST_MAX], name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 8];

	if (layer_blob_lookup(p->ls, digest, diff_id) && layer_name(diff_id, name)) {
		snprintf(path, sizeof(path), DATA_DIR "/%s", name);
		if (!faccessat(p->ls->dir, path, F_OK, AT_SYMLINK_NOFOLLOW))
			return 0;
	}
	return remove_record(p, BLOBS_DIR, digest);
}

static int each_of(struct pruning *p, const struct digest_list *l,
	int (*fn)(struct pruning *p, const char *id))
{
	for (size_t i = 0; i < l->n; i++)
		if (fn(p, l->ids[i]) < 0)
			return -1;
	return 0;
}

static int prune_all(struct pruning *p)
{
	struct layer_store *ls = p->ls;

	if (layer_each_name(ls, CHAINS_DIR, list_chain, p, p->reterr) < 0 ||
		layer_each_name(ls, DATA_DIR, list_data, p, p->reterr) < 0 ||
		layer_each_name(ls, BLOBS_DIR, list_blob, p, p->reterr) < 0 ||
		layer_store_each_bundle(ls, keep_bundle, p, p->reterr) < 0 || choose_chains(p) < 0)
		return -1;
	/* The lists are of one moment; what came later is locked by its pull, or young. */
	if (each_of(p, &p->data, prune_data) < 0 || each_of(p, &p->chains, prune_chain) < 0)
		return -1;
	return p->prune->dry_run ? 0 : each_of(p, &p->blobs, prune_blob);
}

int layer_store_prune(struct layer_store *ls, const struct layer_prune *prune, uint64_t *reclaimed,
	struct error **reterr)
{
	struct pruning p = {.ls = ls, .prune = prune, .now = time(NULL), .reterr = reterr};

	if (ls->read_only)
		return error_set(reterr, error_classf(CLASS_FORBIDDEN, "the store is read-only"));

	int n = prune_all(&p);

	*reclaimed = p.reclaimed;
	list_free(&p.chains);
	list_free(&p.keep);
	list_free(&p.used);
	list_free(&p.data);
	list_free(&p.blobs);
	return n;
}

/* ---- dropping what is damaged ---- */

struct bundle_search {
	struct layer_store *ls;
	const char *diff_id;
	char *dir;
};

static int uses_data(void *arg, const struct layer_bundle *bundle)
{
	struct bundle_search *s = arg;
	struct layer_info info = {0};

	if (!bundle->mounted)
		return 0;
	snprintf(info.parent, sizeof(info.parent), "%s", bundle->chain_id);
	while (info.parent[0] && !layer_chain_read(s->ls, info.parent, &info, NULL))
		if (!strcmp(info.diff_id, s->diff_id)) {
			s->dir = strdup(bundle->dir);
			return 1;
		}
	return 0;
}

static int drop_data(struct layer_store *ls, const char *diff_id, struct error **reterr)
{
	struct bundle_search search = {ls, diff_id, NULL};
	int fd, n = layer_store_each_bundle(ls, uses_data, &search, reterr);
	cleanup_free char *dir = search.dir;

	if (n < 0)
		return -1;
	if (n > 0)
		return error_set(
			reterr, error_classf(CLASS_CONFLICT, "layer %s is used by the bundle %s",
					diff_id, dir ? dir : ""));
	n = layer_data_lock(ls, diff_id, &fd, NULL);
	if (n < 0)
		return 0; /* gone already */
	if (!n)
		return error_set(reterr, error_classf(CLASS_CONFLICT,
						 "layer %s is used by another process", diff_id));
	n = layer_data_remove(ls, diff_id, reterr);
	close(fd);
	return n;
}

/* Does the chain entry stand on what is dropped? */
static bool stands_on(
	struct layer_store *ls, const char *chain_id, const char *diff_id, const char *dropped)
{
	struct layer_info info = {0};

	snprintf(info.parent, sizeof(info.parent), "%s", chain_id);
	while (info.parent[0]) {
		if (!strcmp(info.parent, dropped))
			return true;
		if (layer_chain_read(ls, info.parent, &info, NULL) < 0)
			return false; /* damaged itself: reported for itself */
		if (!strcmp(info.diff_id, diff_id))
			return true;
	}
	return false;
}

int layer_store_drop(
	struct layer_store *ls, const char *diff_id, const char *chain_id, struct error **reterr)
{
	struct layer_prune prune = {0};
	struct pruning p = {.ls = ls, .prune = &prune, .reterr = reterr};
	struct digest_list dropped = {0};
	int n;

	if (ls->read_only)
		return error_set(reterr, error_classf(CLASS_FORBIDDEN, "the store is read-only"));
	if (diff_id[0] && drop_data(ls, diff_id, reterr) < 0)
		return -1;
	n = layer_each_name(ls, CHAINS_DIR, list_chain, &p, reterr);
	/* All that is to go is found before the first goes. */
	for (size_t i = 0; i < p.chains.n && !n; i++)
		if (stands_on(ls, p.chains.ids[i], diff_id, chain_id))
			n = append(&dropped, p.chains.ids[i], reterr);
	for (size_t i = 0; i < dropped.n && !n; i++)
		n = remove_record(&p, CHAINS_DIR, dropped.ids[i]);
	list_free(&p.chains);
	list_free(&dropped);
	return n;
}
