/* SPDX-License-Identifier: Apache-2.0 */
/* When layers are on the disk. Go counterpart: none (the original syncs each small file, and no
 * layer).
 *
 * Data is published without a sync, marked with the machine's boot ID. While the machine runs, the
 * page cache is as good as the disk; once it has started anew, data that has no durable mark is
 * not trusted (layer_data_open). So one sync of the file system, before the image that names the
 * layers is published, serves all its layers. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "layer_priv.h"

struct layer_unsynced {
	struct layer_unsynced *next;
	char diff_id[DIGEST_MAX];
};

int layer_unsynced_add(struct layer_store *ls, const char *diff_id, struct error **reterr)
{
	struct layer_unsynced *u = malloc(sizeof(*u));

	if (!u)
		return error_set(reterr, &error_no_memory);
	snprintf(u->diff_id, sizeof(u->diff_id), "%s", diff_id);
	pthread_mutex_lock(&ls->sync_mutex);
	for (const struct layer_unsynced *o = ls->unsynced; o; o = o->next)
		if (!strcmp(o->diff_id, diff_id)) {
			pthread_mutex_unlock(&ls->sync_mutex);
			free(u);
			return 0;
		}
	u->next = ls->unsynced;
	ls->unsynced = u;
	pthread_mutex_unlock(&ls->sync_mutex);
	return 0;
}

static void free_list(struct layer_unsynced *list)
{
	struct layer_unsynced *u;

	while ((u = list)) {
		list = u->next;
		free(u);
	}
}

void layer_unsynced_free(struct layer_store *ls)
{
	free_list(ls->unsynced);
	ls->unsynced = NULL;
}

static int sync_all(struct layer_store *ls, struct error **reterr)
{
	return syncfs(ls->dir) < 0
		       ? error_set(reterr, error_path("syncfs", ls->path, error_errno(errno)))
		       : 0;
}

static int mark(struct layer_store *ls, const char *diff_id, struct error **reterr)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 32];

	layer_name(diff_id, name);
	snprintf(path, sizeof(path), DATA_DIR "/%s/" DURABLE_FILE, name);

	cleanup_close int fd =
		openat(ls->dir, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	/* Gone meanwhile: nobody needs it. */
	if (fd < 0 && errno != ENOENT)
		return error_set(reterr, error_path("open", path, error_errno(errno)));
	return 0;
}

/* The data of list and then its marks, with the chain entries, blob records and whatever else the
 * images' layers have: of this process or, not marked or not yet written, of another. */
static int sync_list(
	struct layer_store *ls, const struct layer_unsynced *list, struct error **reterr)
{
	if (list && sync_all(ls, reterr) < 0)
		return -1;
	for (const struct layer_unsynced *u = list; u; u = u->next)
		if (mark(ls, u->diff_id, reterr) < 0)
			return -1;
	/* Little is left to write. */
	return sync_all(ls, reterr);
}

/* The lock is held, and let go meanwhile. */
static int sync_once(struct layer_store *ls, struct error **reterr)
{
	struct layer_unsynced *list = ls->unsynced, **end = &ls->unsynced;
	uint64_t covers = ls->sync_asked;
	int n;

	ls->unsynced = NULL;
	ls->syncing = true;
	pthread_mutex_unlock(&ls->sync_mutex);
	n = sync_list(ls, list, reterr);
	pthread_mutex_lock(&ls->sync_mutex);
	ls->syncing = false;
	if (n < 0) {
		/* Next time again. */
		while (*end)
			end = &(*end)->next;
		*end = list;
	} else {
		ls->sync_done = covers;
		free_list(list);
	}
	pthread_cond_broadcast(&ls->sync_cond);
	return n;
}

/* Whoever finds a sync under way may have data in it that is on no disk before it has ended, so he
 * waits; what began after he came serves all who wait. One that failed serves nobody. */
int layer_store_sync(struct layer_store *ls, struct error **reterr)
{
	uint64_t mine;
	int n = 0;

	if (ls->fast || ls->read_only)
		return 0;
	pthread_mutex_lock(&ls->sync_mutex);
	mine = ++ls->sync_asked;
	while (!n && ls->sync_done < mine) {
		if (ls->syncing)
			pthread_cond_wait(&ls->sync_cond, &ls->sync_mutex);
		else
			n = sync_once(ls, reterr);
	}
	pthread_mutex_unlock(&ls->sync_mutex);
	return n;
}
