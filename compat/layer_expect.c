/* SPDX-License-Identifier: Apache-2.0 */
/* The tree that a layer's headers describe. Go counterpart: none. */
#include "config.h"

#include "layer_expect.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/buf.h"
#include "base/error.h"
#include "tar_headers.h"
#include "tar_reader.h"
#include "tree.h"
#include "whiteout.h"

#define SYMLINKS_MAX 40

/* ---- nodes ---- */

static uint64_t hash(const struct expect_node *dir, const char *name, size_t size)
{
	uint64_t h = 0xcbf29ce484222325u ^ (uintptr_t)dir;

	for (size_t i = 0; i < size; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
	return h ^ h >> 29;
}

static struct expect_node **bucket_of(
	const struct expect *e, const struct expect_node *dir, const char *name, size_t size)
{
	return &e->buckets[hash(dir, name, size) & (e->nbuckets - 1)];
}

struct expect_node *expect_child(
	const struct expect *e, const struct expect_node *dir, const char *name, size_t size)
{
	struct expect_node *n = *bucket_of(e, dir, name, size);

	while (n && (n->parent != dir || n->size != size || memcmp(n->name, name, size)))
		n = n->bucket;
	return n;
}

static bool grow(struct expect *e)
{
	struct expect old = *e;

	e->nbuckets = old.nbuckets ? old.nbuckets * 2 : 1024;
	e->buckets = calloc(e->nbuckets, sizeof(struct expect_node *));
	if (!e->buckets) {
		*e = old;
		return false;
	}
	for (size_t i = 0; i < old.nbuckets; i++)
		for (struct expect_node *n = old.buckets[i], *next; n; n = next) {
			struct expect_node **b = bucket_of(e, n->parent, n->name, n->size);

			next = n->bucket;
			n->bucket = *b;
			*b = n;
		}
	free(old.buckets);
	return true;
}

static void inode_unref(struct expect_inode *i)
{
	if (!i || --i->refs)
		return;
	while (i->xattrs) {
		struct expect_xattr *x = i->xattrs;

		i->xattrs = x->next;
		free(x);
	}
	free(i->link);
	free(i);
}

static struct expect_node *node_new(const char *name, size_t size, struct expect_inode *inode)
{
	struct expect_node *n = calloc(1, sizeof(*n) + size + 1);

	if (!n)
		return NULL;
	memcpy(n->name, name, size);
	n->size = size;
	n->inode = inode ? inode : calloc(1, sizeof(*inode));
	if (!n->inode) {
		free(n);
		return NULL;
	}
	n->inode->refs++;
	return n;
}

/* A new child; inode may be shared. NULL: no memory. */
static struct expect_node *add(struct expect *e, struct expect_node *dir, const char *name,
	size_t size, struct expect_inode *inode)
{
	if (e->nnodes >= e->nbuckets && !grow(e))
		return NULL;

	struct expect_node *n = node_new(name, size, inode);

	if (!n)
		return NULL;

	struct expect_node **b = bucket_of(e, dir, name, size);

	n->parent = dir;
	n->next = dir->children;
	dir->children = n;
	n->bucket = *b;
	*b = n;
	e->nnodes++;
	return n;
}

/* Free one node that has no children and is in no list of a parent's. */
static void free_node(struct expect *e, struct expect_node *n)
{
	struct expect_node **b = bucket_of(e, n->parent, n->name, n->size);

	while (*b != n)
		b = &(*b)->bucket;
	*b = n->bucket;
	e->nnodes--;
	inode_unref(n->inode);
	free(n);
}

/* Free what lies below, without recursion: down to the first leaf, again and again. */
static void free_below(struct expect *e, struct expect_node *top)
{
	struct expect_node *n = top;

	while (n != top || n->children) {
		struct expect_node *child = n->children;

		if (child) {
			n = child;
			continue;
		}
		/* n is its parent's first child. */
		struct expect_node *parent = n->parent;

		parent->children = n->next;
		n->inode->aside++; /* a folder with something in it was moved as it was */
		free_node(e, n);
		n = parent;
	}
}

static void remove_node(struct expect *e, struct expect_node *n)
{
	struct expect_node **p = &n->parent->children;

	free_below(e, n);
	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	if (S_ISREG(n->inode->mode) && n->inode->size)
		n->inode->aside++;
	free_node(e, n);
}

int expect_init(struct expect *e, struct error **reterr)
{
	*e = (struct expect){0};
	e->root = grow(e) ? node_new("", 0, NULL) : NULL;
	if (!e->root) {
		free(e->buckets);
		return error_set(reterr, &error_no_memory);
	}
	e->root->inode->implicit = true;
	e->root->inode->mode = S_IFDIR | 0755;
	return 0;
}

void expect_done(struct expect *e)
{
	if (e->root) {
		free_below(e, e->root);
		inode_unref(e->root->inode);
		free(e->root);
	}
	free(e->buckets);
}

struct expect_node *expect_find(const struct expect *e, const char *path)
{
	struct expect_node *n = e->root;

	while (n && *path) {
		size_t size = strcspn(path, "/");

		n = expect_child(e, n, path, size);
		path += size;
		path += *path ? 1 : 0;
	}
	return n;
}

bool expect_path(const struct expect_node *node, char *ret, size_t size)
{
	size_t at = size;

	if (!size)
		return false;
	ret[--at] = '\0';
	for (; node->parent; node = node->parent) {
		if (node->size + 1 > at)
			return false;
		if (ret[at])
			ret[--at] = '/';
		at -= node->size;
		memcpy(ret + at, node->name, node->size);
	}
	memmove(ret, ret + at, size - at);
	return true;
}

/* ---- paths, as tree_find resolves them ---- */

static int contradiction(const char *name, struct error **reterr)
{
	return error_setf(reterr, "the headers contradict each other at %s", name);
}

static struct expect_node *make_folder(
	struct expect *e, struct expect_node *dir, const char *name, size_t size)
{
	struct expect_node *n = add(e, dir, name, size, NULL);

	if (n) {
		n->inode->mode = S_IFDIR | 0755;
		n->inode->implicit = true;
	}
	return n;
}

/* The parent of a clean path; *ret_base: its last name. NULL: not there, or no memory. */
static struct expect_node *parent_of(
	struct expect *e, const char *path, bool make, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	struct expect_node *dir = e->root;
	cleanup_free char *rest = strndup(path, slash ? (size_t)(slash - path) : 0);
	unsigned symlinks = 0;
	const char *p = rest;

	*ret_base = slash ? slash + 1 : path;
	while (p && *p) {
		size_t size = strcspn(p, "/");
		const char *name = p;

		p += size;
		p += *p ? 1 : 0;
		if (!size || (size == 1 && name[0] == '.'))
			continue;
		if (size == 2 && name[0] == '.' && name[1] == '.') {
			dir = dir->parent ? dir->parent : dir;
			continue;
		}

		struct expect_node *n = expect_child(e, dir, name, size);

		if (!n && make)
			n = make_folder(e, dir, name, size);
		if (!n)
			return NULL;
		if (S_ISLNK(n->inode->mode)) {
			char *longer = symlinks++ < SYMLINKS_MAX
					       ? str_printf("%s/%s", n->inode->link, p)
					       : NULL;

			if (!longer)
				return NULL;
			if (n->inode->link[0] == '/')
				dir = e->root;
			free(rest);
			rest = longer;
			p = rest;
			continue;
		}
		if (!S_ISDIR(n->inode->mode))
			return NULL;
		dir = n;
	}
	return p ? dir : NULL;
}

/* ---- entries ---- */

static int set_xattr(struct expect_inode *i, const char *name, const void *value, size_t size,
	struct error **reterr)
{
	struct data_sum sum = {0};
	struct expect_xattr *x = i->xattrs;

	while (x && strcmp(x->name, name) != 0)
		x = x->next;
	if (!x) {
		x = malloc(sizeof(*x) + strlen(name) + 1);
		if (!x)
			return error_set(reterr, &error_no_memory);
		strcpy(x->name, name);
		x->next = i->xattrs;
		i->xattrs = x;
	}
	data_sum_add(&sum, value, size);
	x->size = size;
	x->sum = data_sum_value(&sum);
	return 0;
}

static int set_metadata(struct expect_inode *i, struct tar_reader *r, const struct tar_entry *e,
	struct error **reterr)
{
	const void *value;
	const char *name;
	size_t size;

	i->mode = (i->mode & S_IFMT) | e->mode;
	i->uid = e->uid;
	i->gid = e->gid;
	i->mtime = e->mtime;
	i->implicit = false;
	while (tar_reader_xattr(r, &name, &value, &size))
		if (xattr_allowed(name) && set_xattr(i, name, value, size, reterr) < 0)
			return -1;
	return 0;
}

static mode_t kind_of(char type)
{
	switch (type) {
	case '2':
		return S_IFLNK;
	case '3':
		return S_IFCHR;
	case '4':
		return S_IFBLK;
	case '5':
		return S_IFDIR;
	case '6':
		return S_IFIFO;
	default:
		return S_IFREG;
	}
}

static int apply_whiteout(struct expect *e, struct expect_node *dir, const char *base,
	enum whiteout_kind kind, struct error **reterr)
{
	if (kind == WHITEOUT_OPAQUE) {
		dir->inode->opaque = true;
		return 0;
	}
	base += sizeof(WHITEOUT_PREFIX) - 1;

	struct expect_node *n = expect_child(e, dir, base, strlen(base));

	if (n) {
		n->inode->opaque |= S_ISDIR(n->inode->mode);
		return 0;
	}
	n = add(e, dir, base, strlen(base), NULL);
	if (!n)
		return error_set(reterr, &error_no_memory);
	n->inode->whiteout = true;
	n->inode->mode = S_IFCHR;
	return 0;
}

/* The node for an entry; what was there goes, but for a folder that another one merges with. */
static struct expect_node *make_node(struct expect *e, struct expect_node *dir, const char *base,
	mode_t kind, struct expect_inode *shared)
{
	struct expect_node *n = expect_child(e, dir, base, strlen(base));
	bool hidden = n && n->inode->whiteout;

	if (n && kind == S_IFDIR && S_ISDIR(n->inode->mode))
		return n;
	if (n)
		remove_node(e, n);
	n = add(e, dir, base, strlen(base), shared);
	if (n && !shared) {
		n->inode->mode = kind;
		n->inode->opaque = hidden && kind == S_IFDIR;
	}
	return n;
}

static int apply_hard_link(struct expect *e, struct expect_node *dir, const char *base,
	struct tar_reader *r, const struct tar_entry *entry, struct error **reterr)
{
	char path[PATH_MAX];
	const char *target_base;
	struct expect_node *target = NULL, *n;
	size_t size;

	if (!path_clean(entry->link, path, &size) && size) {
		target = parent_of(e, path, false, &target_base);
		if (target)
			target = expect_child(e, target, target_base, strlen(target_base));
	}
	if (!target)
		return contradiction(entry->name, reterr);

	/* Held while the name that the link takes may let go of it. */
	struct expect_inode *inode = target->inode;

	inode->refs++;
	n = make_node(e, dir, base, S_IFREG, inode);
	inode->refs--;
	if (!n)
		return error_set(reterr, &error_no_memory);
	return set_metadata(inode, r, entry, reterr);
}

static int apply_entry(struct expect *e, struct expect_node *dir, const char *base,
	struct tar_reader *r, const struct tar_entry *entry, struct error **reterr)
{
	if (entry->type == '1')
		return apply_hard_link(e, dir, base, r, entry, reterr);
	if (entry->type == '3' && !entry->major && !entry->minor)
		return 0; /* left out: overlay's whiteout */

	struct expect_node *n = make_node(e, dir, base, kind_of(entry->type), NULL);

	if (!n)
		return error_set(reterr, &error_no_memory);
	n->inode->size = entry->size;
	n->inode->major = entry->major;
	n->inode->minor = entry->minor;
	if (entry->type == '2') {
		n->inode->link = strdup(entry->link);
		if (!n->inode->link)
			return error_set(reterr, &error_no_memory);
	}
	return set_metadata(n->inode, r, entry, reterr);
}

int expect_apply(struct expect *e, struct tar_reader *r, const struct tar_entry *entry,
	struct error **reterr)
{
	char path[PATH_MAX];
	const char *base;
	size_t size;

	if (path_clean(entry->name, path, &size))
		return contradiction(entry->name, reterr);
	if (!size)
		return entry->type == '5' ? set_metadata(e->root->inode, r, entry, reterr) : 0;

	enum whiteout_kind kind = whiteout_kind(path);

	if (kind == WHITEOUT_META)
		return 0;

	struct expect_node *dir = parent_of(e, path, true, &base);

	if (!dir || kind == WHITEOUT_BAD)
		return contradiction(entry->name, reterr);
	if (kind != WHITEOUT_NONE)
		return apply_whiteout(e, dir, base, kind, reterr);
	return apply_entry(e, dir, base, r, entry, reterr);
}
