/* SPDX-License-Identifier: Apache-2.0 */
/* Names of strangers below a root: every parent is resolved from the root's descriptor, one
 * component at a time, and nothing outside of it can be reached. Symlinks in the middle are
 * resolved as if the root were "/". Go counterpart: chrootarchive (a chroot there). */
#ifndef COMPAT_TREE_H
#define COMPAT_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_level {
	int fd;       /* -1: closed to save descriptors, opened again when it is needed */
	uint16_t end; /* where its name ends in path */
};

/* One thread at a time. The folders on the way to the last name stay open (the lowest
 * TREE_OPEN_MAX), so that a run of names in one folder costs no call. Some 20 KiB: allocate it. */
#define TREE_OPEN_MAX 24
struct tree {
	int root; /* not owned */
	unsigned depth;
	char path[PATH_MAX]; /* of the folders that are open: "usr/share/doc" */
	struct tree_level level[PATH_MAX / 2];
	char rest[2 * PATH_MAX]; /* what is still to be resolved */
	/* Told of each parent that TREE_MAKE makes; may be NULL. */
	void (*made)(void *arg, const char *path);
	void *made_arg;
};

void tree_init(struct tree *t, int root);
void tree_done(struct tree *t);

#define TREE_MAKE                                                                                  \
	1u                  /* make parents that are missing, 0755, owned by this process; what a  \
			       symlink points at has to be there, as for Docker */
#define TREE_NO_SYMLINKS 2u /* a symlink in the middle is ENOTDIR */

/* Where a name lies: what the *at calls take. path: the canonical path, without symlinks. dir and
 * base hold until the next call. */
struct tree_place {
	int dir;
	const char *base;
	size_t path_size;
	char path[PATH_MAX];
};
/* path: as path_clean gives it, not empty. 0, or an errno. */
int tree_find(struct tree *t, const char *path, unsigned flags, struct tree_place *ret);
/* A descriptor of the folder at path, which tree_find has just found; it stays the tree's. 0, or an
 * errno. */
int tree_enter(struct tree *t, const struct tree_place *place, int *ret_fd);
/* Something else takes the place of what is there: forget folders that are open below it. */
void tree_forget(struct tree *t, const struct tree_place *place);

/* filepath.Clean("/" + name) without the slash in front: "" is the root. ENAMETOOLONG where it does
 * not fit PATH_MAX. */
int path_clean(const char *name, char ret[PATH_MAX], size_t *ret_size);

/* Open below root for reading, no symlink anywhere, regular files only. 0, or an errno (EINVAL:
 * something else than a regular file). */
int tree_open_file(int root, const char *path, int *ret_fd);
/* Remove name in dir and all below it, of any depth, without following anything. 0, or an errno. */
int remove_tree(int dir, const char *name);

#endif
