/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of an image as one tree. Go counterparts: pkg/archive.UnpackLayer (as vfs applies
 * layers), daemon/graphdriver/copy. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "copy_tree.h"
#include "dir_times.h"
#include "implicit.h"
#include "tar_headers.h"
#include "tree.h"
#include "untar.h"
#include "whiteout.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- open layers ---- */

static int open_one(
	struct layer_store *ls, const char *diff_id, struct open_layer *ret, struct error **reterr)
{
	*ret = (struct open_layer){.fd = -1, .tree = -1};
	snprintf(ret->diff_id, sizeof(ret->diff_id), "%s", diff_id);
	if (layer_data_open(ls, diff_id, &ret->fd, &ret->info, reterr) < 0)
		return -1;
	ret->tree = openat(ret->fd, TREE_DIR, FOLDER);
	if (ret->tree < 0)
		return error_setf(
			reterr, "layer %s: open %s: %s", diff_id, TREE_DIR, errno_text(errno));
	return 0;
}

/* From the top down, then turned round. */
static int open_all(struct open_layers *l, struct error **reterr)
{
	struct layer_info info;
	char id[DIGEST_MAX];

	memcpy(id, l->top, sizeof(id));
	while (id[0]) {
		struct open_layer *grown = reallocarray(l->list, l->n + 1, sizeof(*grown));

		if (!grown)
			return error_set(reterr, &error_no_memory);
		l->list = grown;
		if (layer_chain_read(l->ls, id, &info, reterr) < 0)
			return -1;
		l->n++;
		if (open_one(l->ls, info.diff_id, &grown[l->n - 1], reterr) < 0)
			return -1;
		if (grown[l->n - 1].info.opaque)
			break;
		memcpy(id, info.parent, sizeof(id));
	}
	for (size_t i = 0; i < l->n / 2; i++) {
		struct open_layer swap = l->list[i];

		l->list[i] = l->list[l->n - 1 - i];
		l->list[l->n - 1 - i] = swap;
	}
	return 0;
}

int open_layers(struct layer_store *ls, const char *chain_id, struct open_layers *ret,
	struct error **reterr)
{
	*ret = (struct open_layers){.ls = ls};
	if (!chain_id[0])
		return 0;
	if (layer_hold_get(ls, chain_id, reterr) < 0)
		return -1;
	snprintf(ret->top, sizeof(ret->top), "%s", chain_id);
	if (open_all(ret, reterr) < 0) {
		open_layers_close(ret);
		return -1;
	}
	return 0;
}

void open_layers_close(struct open_layers *l)
{
	for (size_t i = 0; i < l->n; i++) {
		closep(&l->list[i].tree);
		closep(&l->list[i].fd);
	}
	free(l->list);
	if (l->top[0])
		layer_hold_release(l->ls, l->top);
	*l = (struct open_layers){0};
}

/* ---- hard links within one layer ---- */

struct link {
	ino_t inode;
	char *path; /* where it was copied to */
};

struct links {
	struct link *table;
	size_t n, places;
};

static struct link *link_find(struct links *l, ino_t inode)
{
	size_t at = (size_t)(inode * 0x9e3779b97f4a7c15u % l->places);

	while (l->table[at].path && l->table[at].inode != inode)
		at = (at + 1) % l->places;
	return &l->table[at];
}

static bool links_grow(struct links *l)
{
	struct links bigger = {.places = l->places ? l->places * 2 : 256};

	bigger.table = calloc(bigger.places, sizeof(*bigger.table));
	if (!bigger.table)
		return false;
	for (size_t i = 0; i < l->places; i++)
		if (l->table[i].path) {
			*link_find(&bigger, l->table[i].inode) = l->table[i];
			bigger.n++;
		}
	free(l->table);
	*l = bigger;
	return true;
}

static void links_clear(struct links *l)
{
	for (size_t i = 0; i < l->places; i++)
		free(l->table[i].path);
	free(l->table);
	*l = (struct links){0};
}

/* ---- merging ---- */

struct merge {
	const struct open_layer *layer; /* the one at hand */
	struct implicit_set implicit;
	struct links links;
	struct dir_times *times;
	int dir;
	bool dirs_late;
	/* Folders that wait for their turn. */
	char **waiting;
	size_t nwaiting, capacity;
	struct tree tree;   /* of dir */
	struct tree source; /* of the layer's tree */
	struct tree_place place, from, linked;
};

static int fail(const char *op, const char *path, int errnum, struct error **reterr)
{
	return error_set(reterr, error_path(op, path, error_errno(errnum)));
}

static int wait_for(struct merge *m, const char *path, struct error **reterr)
{
	if (m->nwaiting == m->capacity) {
		size_t capacity = m->capacity ? m->capacity * 2 : 64;
		char **grown = reallocarray(m->waiting, capacity, sizeof(*grown));

		if (!grown)
			return error_set(reterr, &error_no_memory);
		m->waiting = grown;
		m->capacity = capacity;
	}
	m->waiting[m->nwaiting] = strdup(path);
	if (!m->waiting[m->nwaiting])
		return error_set(reterr, &error_no_memory);
	m->nwaiting++;
	return 0;
}

/* Mode, owner, attributes and (later) times of a folder that the layer has an entry for. */
static int set_folder(
	struct merge *m, int from, int to, const char *path, bool made, struct error **reterr)
{
	struct stat st;
	mode_t mode, now;
	int err;

	if (fstat(from, &st) < 0)
		return fail("stat", path, errno, reterr);
	mode = st.st_mode & 07777;
	now = m->dirs_late ? mode | 0700 : mode;
	/* A parent that was made on the way says nothing about one that is there. */
	if (!made && implicit_has(&m->implicit, path))
		return 0;
	if (fchown(to, st.st_uid, st.st_gid) < 0 && m->layer->info.trusted)
		return fail("chown", path, errno, reterr);
	if (fchmod(to, now) < 0)
		return fail("chmod", path, errno, reterr);
	err = copy_xattrs(from, to);
	if (err)
		return fail("setxattr", path, err, reterr);

	const struct timespec times[2] = {st.st_atim, st.st_mtim};

	return dir_times_add(
		m->times, path, strlen(path), times, now != mode ? mode : UINT32_MAX, reterr);
}

/* m->place is where it goes. */
static int merge_folder(struct merge *m, int from_dir, const char *name, struct error **reterr)
{
	const struct tree_place *p = &m->place;
	cleanup_close int from = openat(from_dir, name, FOLDER);
	struct stat st;
	bool made = true;
	int fd, err;

	if (from < 0)
		return fail("open", p->path, errno, reterr);
	if (!fstatat(p->dir, p->base, &st, AT_SYMLINK_NOFOLLOW)) {
		made = !S_ISDIR(st.st_mode) || whiteout_is_opaque(from, m->layer->info.trusted);
		if (made) {
			tree_forget(&m->tree, p);
			err = remove_tree(p->dir, p->base);
			if (err)
				return fail("remove", p->path, err, reterr);
		}
	}
	if (made && mkdirat(p->dir, p->base, 0700) < 0)
		return fail("mkdir", p->path, errno, reterr);
	err = tree_enter(&m->tree, p, &fd);
	if (err)
		return fail("open", p->path, err, reterr);
	if (set_folder(m, from, fd, p->path, made, reterr) < 0)
		return -1;
	return wait_for(m, p->path, reterr);
}

/* Another name of something that was copied already. 1: done, 0: copy it, -1. */
static int merge_link(struct merge *m, const struct stat *st, struct error **reterr)
{
	const struct tree_place *p = &m->place;
	struct link *l;
	int err;

	if (st->st_nlink < 2)
		return 0;
	if (2 * m->links.n >= m->links.places && !links_grow(&m->links))
		return error_set(reterr, &error_no_memory);
	l = link_find(&m->links, st->st_ino);
	if (!l->path) {
		l->inode = st->st_ino;
		l->path = strdup(p->path);
		if (!l->path)
			return error_set(reterr, &error_no_memory);
		m->links.n++;
		return 0;
	}

	cleanup_close int dir = fcntl(p->dir, F_DUPFD_CLOEXEC, 0);

	if (dir < 0)
		return fail("dup", p->path, errno, reterr);
	err = tree_find(&m->tree, l->path, TREE_NO_SYMLINKS, &m->linked);
	if (!err && linkat(m->linked.dir, m->linked.base, dir, p->base, 0) < 0)
		err = errno;
	return err ? fail("link", p->path, err, reterr) : 1;
}

static int merge_entry(
	struct merge *m, int from_dir, const char *parent, const char *name, struct error **reterr)
{
	cleanup_free char *path = parent[0] ? str_printf("%s/%s", parent, name) : strdup(name);
	const struct tree_place *p = &m->place;
	struct stat st;
	int err, n;

	if (!path)
		return error_set(reterr, &error_no_memory);
	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail("lstat", path, errno, reterr);
	err = tree_find(&m->tree, path, TREE_NO_SYMLINKS, &m->place);
	if (err)
		return fail("lstat", path, err, reterr);
	if (S_ISDIR(st.st_mode))
		return merge_folder(m, from_dir, name, reterr);
	tree_forget(&m->tree, p);
	err = remove_tree(p->dir, p->base);
	if (err)
		return fail("remove", path, err, reterr);
	if (whiteout_is(from_dir, name, &st, m->layer->info.trusted))
		return 0;
	n = merge_link(m, &st, reterr);
	if (n)
		return n < 0 ? -1 : 0;
	err = copy_file(from_dir, name, &st, p->dir, p->base, m->layer->info.trusted);
	return err ? fail("copy", path, err, reterr) : 0;
}

static int merge_names(struct merge *m, const char *path, struct error **reterr)
{
	int err = 0, fd;

	if (!path[0])
		fd = openat(m->layer->tree, ".", FOLDER);
	else if ((err = tree_find(&m->source, path, TREE_NO_SYMLINKS, &m->from)))
		fd = -1;
	else
		fd = openat(m->from.dir, m->from.base, FOLDER);
	if (fd < 0)
		return fail("open", path, err ? err : errno, reterr);

	DIR *d = fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		close(fd);
		return error_set(reterr, &error_no_memory);
	}
	while (!err && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
			!whiteout_is_mark(e->d_name))
			err = merge_entry(m, dirfd(d), path, e->d_name, reterr);
	if (!err && errno)
		err = fail("readdir", path, errno, reterr);
	closedir(d);
	return err;
}

static int merge_one(struct merge *m, const struct open_layer *layer, struct error **reterr)
{
	int n;

	m->layer = layer;
	if (implicit_load(layer->fd, &m->implicit, reterr) < 0)
		return -1;
	tree_init(&m->source, layer->tree);
	n = layer->info.root_entry ? set_folder(m, layer->tree, m->dir, "", true, reterr) : 0;
	if (!n)
		n = wait_for(m, "", reterr);
	while (!n && m->nwaiting) {
		cleanup_free char *path = m->waiting[--m->nwaiting];

		n = merge_names(m, path, reterr);
	}
	tree_done(&m->source);
	links_clear(&m->links);
	implicit_free(&m->implicit);
	return n;
}

int merge_layers(const struct open_layers *l, int dir, struct error **reterr)
{
	struct merge *m = malloc(sizeof(*m));
	int n;

	if (!m)
		return error_set(reterr, &error_no_memory);
	memset(m, 0, offsetof(struct merge, tree));
	m->dir = dir;
	m->dirs_late = geteuid() != 0;
	tree_init(&m->tree, dir);
	n = dir_times_new(dir, &m->times, reterr);
	for (size_t i = 0; i < l->n && !n; i++)
		n = merge_one(m, &l->list[i], reterr);
	if (!n)
		n = dir_times_apply(m->times, &m->tree, dir, reterr);
	tree_done(&m->tree);
	dir_times_free(m->times);
	while (m->nwaiting)
		free(m->waiting[--m->nwaiting]);
	free(m->waiting);
	free(m);
	return n;
}
