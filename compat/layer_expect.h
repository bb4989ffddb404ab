/* SPDX-License-Identifier: Apache-2.0 */
/* What an unpacked layer should look like, worked out from its tar's headers alone: the rules of
 * untar.c once more, on a tree in memory. Go counterpart: none. */
#ifndef COMPAT_LAYER_EXPECT_H
#define COMPAT_LAYER_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct error;
struct tar_entry;
struct tar_reader;

struct expect_xattr {
	struct expect_xattr *next;
	size_t size;
	uint64_t sum; /* of the value */
	char name[];
};

/* Shared by hard links. */
struct expect_inode {
	unsigned refs;
	unsigned aside; /* names that were replaced: they are in the layer's shadow folder */
	mode_t mode;    /* with S_IFMT */
	int64_t uid, gid, size;
	struct timespec mtime;
	unsigned major, minor;
	bool implicit; /* a parent that no entry told of: owner and times are not known */
	bool whiteout, opaque;
	bool reported; /* its contents are known to be damaged */
	char *link;
	struct expect_xattr *xattrs;
};

struct expect_node {
	struct expect_node *parent, *children, *next; /* next: of the parent's children */
	struct expect_node *bucket;                   /* next of the same hash */
	struct expect_inode *inode;
	bool seen;
	size_t size;
	char name[];
};

struct expect {
	struct expect_node *root; /* mode 0: no entry told of it */
	struct expect_node **buckets;
	size_t nbuckets, nnodes;
};

int expect_init(struct expect *e, struct error **reterr);
void expect_done(struct expect *e);
/* What this entry does to the tree; its extended attributes are read from r. */
int expect_apply(struct expect *e, struct tar_reader *r, const struct tar_entry *entry,
	struct error **reterr);
struct expect_node *expect_child(
	const struct expect *e, const struct expect_node *dir, const char *name, size_t size);
/* By canonical path; NULL if there is none. */
struct expect_node *expect_find(const struct expect *e, const char *path);
/* The canonical path of a node; false where it does not fit. */
bool expect_path(const struct expect_node *node, char *ret, size_t size);

#endif
