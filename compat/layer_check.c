/* SPDX-License-Identifier: Apache-2.0 */
/* Examining what is on the disk. Go counterpart: none (the original trusts it). */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "layer_expect.h"
#include "layer_priv.h"
#include "tar_headers.h"
#include "tar_reader.h"
#include "tree.h"
#include "untar.h"
#include "whiteout.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define XATTR_NAMES_MAX (64u << 10)
#define XATTR_VALUE_MAX (64u << 10)

struct check {
	struct layer_store *ls;
	bool deep;
	/* The machine has started anew, and nobody has opened the store to write since: what was
	 * not synced goes then. No image stands on it, unless the store is "fast". */
	bool sweep_is_due;
	void (*report)(void *arg, const struct layer_damage *damage);
	void *arg;
	unsigned damaged;
	struct error **reterr; /* of what ends the examination */
	/* The layer at hand. */
	const char *diff_id;
	struct layer_data_info info;
	struct expect expect;
	struct tar_stream *stream;
	struct error *stream_error;
	struct hasher *hasher;
	unsigned before; /* damaged, when the layer's turn came */
	int tree_fd;
	struct tree tree;
	struct tree_place place;
	char path[PATH_MAX];
	char xattrs[XATTR_NAMES_MAX], value[XATTR_VALUE_MAX];
};

/* ---- saying it ---- */

static void found(struct check *c, const char *diff_id, const char *chain_id, const char *path,
	const char *what)
{
	cleanup_buf struct buf text = {0};
	struct layer_damage d = {.diff_id = diff_id, .chain_id = chain_id, .path = path};

	buf_appendf(&text,
		diff_id[0] ? "layer %s: " : "chain entry %s: ", diff_id[0] ? diff_id : chain_id);
	if (path[0]) {
		/* Quoted: names of strangers reach a terminal. */
		buf_append_quoted(&text, path, strlen(path));
		buf_append_char(&text, ' ');
	}
	buf_append_str(&text, what);
	d.text = text.oom ? "out of memory while a damage was reported" : text.data;
	c->damaged++;
	c->report(c->arg, &d);
}

static void found_file(struct check *c, const struct expect_node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void found_file(struct check *c, const struct expect_node *n, const char *fmt, ...)
{
	cleanup_buf struct buf text = {0};
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&text, fmt, ap);
	va_end(ap);
	if (!expect_path(n, path, sizeof(path)) || !path[0])
		snprintf(path, sizeof(path), "%s", path[0] ? "..." : "/");
	found(c, c->diff_id, "", path, text.data ? text.data : "is damaged");
}

/* ---- one file ---- */

static const char *kind_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a folder";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFCHR:
		return "a character device";
	case S_IFBLK:
		return "a block device";
	case S_IFIFO:
		return "a fifo";
	default:
		return "something else";
	}
}

static bool is_placeholder(
	const struct check *c, const struct expect_inode *i, const struct stat *st)
{
	return (c->info.lost & UNTAR_LOST_DEVICES) && (S_ISCHR(i->mode) || S_ISBLK(i->mode)) &&
	       S_ISREG(st->st_mode) && !st->st_size;
}

static void check_owner(struct check *c, const struct expect_node *n, const struct stat *st)
{
	const struct expect_inode *i = n->inode;
	int64_t uid = i->implicit ? geteuid() : i->uid, gid = i->implicit ? getegid() : i->gid;

	if ((int64_t)st->st_uid == uid && (int64_t)st->st_gid == gid)
		return;
	/* What could not be given away stayed with who unpacked it. */
	if ((c->info.lost & UNTAR_LOST_OWNERS) && st->st_uid == geteuid())
		return;
	found_file(c, n, "belongs to %u:%u, should to %lld:%lld", st->st_uid, st->st_gid,
		(long long)uid, (long long)gid);
}

static void check_link(struct check *c, const struct expect_node *n, int dir, const char *name)
{
	char target[PATH_MAX];
	ssize_t size = readlinkat(dir, name, target, sizeof(target) - 1);

	target[size > 0 ? size : 0] = '\0';
	if (size < 0 || strcmp(target, n->inode->link) != 0)
		found_file(c, n, "points at another target than it should");
}

static void check_inode(struct check *c, const struct expect_node *n, int dir, const char *name,
	const struct stat *st)
{
	const struct expect_inode *i = n->inode;

	if (!i->reported && S_ISREG(i->mode) && st->st_size != i->size)
		found_file(c, n, st->st_size < i->size ? "is truncated" : "is too long");
	if (!S_ISLNK(i->mode) && (st->st_mode & 07777) != (i->mode & 07777))
		found_file(c, n, "has mode %04o, should have %04o", st->st_mode & 07777,
			i->mode & 07777);
	check_owner(c, n, st);
	if (!i->implicit &&
		(st->st_mtim.tv_sec != i->mtime.tv_sec || st->st_mtim.tv_nsec != i->mtime.tv_nsec))
		found_file(c, n, "was modified at %lld.%09ld, should at %lld.%09ld",
			(long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
			(long long)i->mtime.tv_sec, i->mtime.tv_nsec);
	if ((S_ISCHR(i->mode) || S_ISBLK(i->mode)) && !is_placeholder(c, i, st) &&
		st->st_rdev != makedev(i->major, i->minor))
		found_file(c, n, "is device %u:%u, should be %u:%u", major(st->st_rdev),
			minor(st->st_rdev), i->major, i->minor);
	if (S_ISLNK(i->mode))
		check_link(c, n, dir, name);
	if (!S_ISDIR(i->mode) && st->st_nlink != i->refs + i->aside)
		found_file(c, n, "has %lu names, should have %u", (unsigned long)st->st_nlink,
			i->refs + i->aside);
}

/* The value of an attribute on the disk; -1 where there is none. */
static ssize_t get_xattr(struct check *c, const char *proc, const char *name)
{
	return getxattr(proc, name, c->value, sizeof(c->value));
}

static void check_expected_xattrs(struct check *c, const struct expect_node *n, const char *proc)
{
	for (const struct expect_xattr *x = n->inode->xattrs; x; x = x->next) {
		ssize_t size = get_xattr(c, proc, x->name);
		struct data_sum sum = {0};

		if (size < 0) {
			if (!(c->info.lost & UNTAR_LOST_XATTRS))
				found_file(c, n, "lacks the attribute %s", x->name);
			continue;
		}
		/* The kernel rewrites capabilities in a user namespace. */
		if (!c->info.trusted && !strcmp(x->name, "security.capability"))
			continue;
		data_sum_add(&sum, c->value, (size_t)size);
		if ((size_t)size != x->size || data_sum_value(&sum) != x->sum)
			found_file(c, n, "has another value of %s than it should", x->name);
	}
}

static void check_xattrs(struct check *c, const struct expect_node *n, int dir, const char *name)
{
	cleanup_close int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char proc[64];
	ssize_t size;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	size = fd < 0 ? 0 : listxattr(proc, c->xattrs, sizeof(c->xattrs));
	for (const char *p = c->xattrs; size > 0 && p < c->xattrs + size; p += strlen(p) + 1) {
		const struct expect_xattr *x = n->inode->xattrs;

		if (!xattr_allowed(p))
			continue;
		while (x && strcmp(x->name, p) != 0)
			x = x->next;
		if (!x)
			found_file(c, n, "has the attribute %s, should not", p);
	}
	if (size >= 0)
		check_expected_xattrs(c, n, proc);
	if (!S_ISDIR(n->inode->mode))
		return;

	cleanup_close int folder = openat(dir, name, FOLDER);

	if (folder >= 0 && whiteout_is_opaque(folder, c->info.trusted) != n->inode->opaque)
		found_file(c, n,
			n->inode->opaque ? "is not opaque, should be" : "is opaque, should not be");
}

static void check_node(struct check *c, const struct expect_node *n, int dir, const char *name)
{
	const struct expect_inode *i = n->inode;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (!i->reported)
			found_file(c, n, errno == ENOENT ? "is missing" : "can't be looked at");
		return;
	}
	if (i->whiteout) {
		if (!whiteout_is(dir, name, &st, c->info.trusted))
			found_file(c, n, "is %s, should be a whiteout", kind_name(st.st_mode));
		return;
	}
	if ((st.st_mode & S_IFMT) != (i->mode & S_IFMT) && !is_placeholder(c, i, &st)) {
		if (!i->reported)
			found_file(c, n, "is %s, should be %s", kind_name(st.st_mode),
				kind_name(i->mode));
		return;
	}
	check_inode(c, n, dir, name, &st);
	check_xattrs(c, n, dir, name);
}

/* ---- the tree ---- */

/* One folder's names. Folders below get their turn later. */
static int check_names(struct check *c, struct expect_node *n, DIR *d)
{
	const struct dirent *e;

	while ((errno = 0, e = readdir(d))) {
		struct expect_node *child;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
			(whiteout_is_mark(e->d_name) &&
				whiteout_needs_marks(dirfd(d), c->info.trusted)))
			continue;
		child = expect_child(&c->expect, n, e->d_name, strlen(e->d_name));
		if (child) {
			child->seen = true;
			check_node(c, child, dirfd(d), e->d_name);
			continue;
		}

		char path[PATH_MAX];
		cleanup_free char *full =
			expect_path(n, path, sizeof(path))
				? str_printf("%s%s%s", path, path[0] ? "/" : "", e->d_name)
				: NULL;

		found(c, c->diff_id, "", full ? full : e->d_name, "does not belong there");
	}
	if (errno)
		return error_set(c->reterr, error_path("readdir", c->path, error_errno(errno)));
	for (struct expect_node *child = n->children; child; child = child->next)
		if (!child->seen && !child->inode->reported)
			found_file(c, child, "is missing");
	return 0;
}

static int check_folder(struct check *c, struct expect_node *n)
{
	int fd, err = 0;

	if (!expect_path(n, c->path, sizeof(c->path)))
		return 0; /* longer than any path that was unpacked */
	if (!n->parent)
		fd = openat(c->tree_fd, ".", FOLDER);
	else if ((err = tree_find(&c->tree, c->path, TREE_NO_SYMLINKS, &c->place)))
		fd = -1;
	else
		fd = openat(c->place.dir, c->place.base, FOLDER);
	if (fd < 0)
		return 0; /* missing, or of another kind: said already */

	DIR *d = fdopendir(fd);

	if (!d) {
		close(fd);
		return error_set(c->reterr, &error_no_memory);
	}
	err = check_names(c, n, d);
	closedir(d);
	return err;
}

/* The next node of a walk in which a parent comes before its children. */
static struct expect_node *next_node(struct expect_node *n)
{
	if (n->children)
		return n->children;
	while (n && !n->next)
		n = n->parent;
	return n ? n->next : NULL;
}

static int check_tree(struct check *c)
{
	if (!c->expect.root->inode->implicit)
		check_node(c, c->expect.root, c->tree_fd, ".");
	for (struct expect_node *n = c->expect.root; n; n = next_node(n))
		if (S_ISDIR(n->inode->mode) && check_folder(c, n) < 0)
			return -1;
	return 0;
}

/* ---- one layer ---- */

static int64_t read_stream(void *context, void *buf, size_t size)
{
	struct check *c = context;
	int64_t n = tar_stream_read(c->stream, buf, size, &c->stream_error);

	if (n > 0 && c->hasher)
		hasher_write(c->hasher, buf, (size_t)n);
	return n;
}

static void damaged_file(void *arg, const char *path, const char *text)
{
	struct check *c = arg;
	struct expect_node *n = expect_find(&c->expect, path);

	if (n)
		n->inode->reported = true;
	found(c, c->diff_id, "", path, text);
}

/* Read the headers (and, deep, the files) as the tar that they make. 1, or 0 where the layer's
 * damage was reported, -1. */
static int read_tar(struct check *c, struct tar_reader *r, struct error **reterr)
{
	struct tar_entry entry;
	int n;

	while ((n = tar_reader_next(r, &entry, reterr)) > 0)
		if (expect_apply(&c->expect, r, &entry, reterr) < 0)
			return -1;
	return n < 0 ? -1 : tar_reader_drain(r, reterr);
}

static int replay(struct check *c, int fd, struct error **reterr)
{
	struct tar_stream_options options = {
		.layer = fd, .no_data = !c->deep, .go_on = true, .damaged = damaged_file, .arg = c};
	struct image_pull_reader source = {
		.struct_size = sizeof(source), .context = c, .read = read_stream};
	cleanup_tar_reader struct tar_reader *r = NULL;
	char id[DIGEST_MAX];

	if (tar_stream_new(&options, &c->stream, reterr) < 0 ||
		tar_reader_new(&source, NULL, &r, reterr) < 0 || read_tar(c, r, reterr) < 0)
		return -1;
	if (!c->hasher || c->damaged != c->before)
		return 0;
	hasher_digest(c->hasher, id);
	if (strcmp(id, c->diff_id) != 0)
		found(c, c->diff_id, "", "", "makes a tar with another diff ID");
	return 0;
}

static int check_open_layer(struct check *c, int fd)
{
	struct error *err = NULL;
	int n = 0;

	c->before = c->damaged;
	c->tree_fd = openat(fd, TREE_DIR, FOLDER);
	if (c->tree_fd < 0) {
		found(c, c->diff_id, "", "", "has no tree");
		return 0;
	}
	if (expect_init(&c->expect, c->reterr) < 0)
		return -1;
	tree_init(&c->tree, c->tree_fd);
	c->stream = NULL;
	c->stream_error = NULL;
	c->hasher = c->deep ? hasher_new(c->diff_id) : NULL;
	if (c->deep && !c->hasher) {
		n = error_set(c->reterr, &error_no_memory);
	} else if (replay(c, fd, &err) < 0) {
		/* The stream's own words, where it is the stream that failed. */
		found(c, c->diff_id, "", "",
			c->stream_error ? c->stream_error->message : err->message);
	} else {
		n = check_tree(c);
	}
	error_unref(err);
	error_unref(c->stream_error);
	tar_stream_free(c->stream);
	hasher_free(c->hasher);
	tree_done(&c->tree);
	expect_done(&c->expect);
	close(c->tree_fd);
	return n;
}

static int check_layer(void *arg, const char *name)
{
	struct check *c = arg;
	char diff_id[DIGEST_MAX];
	struct error *err = NULL;
	int fd;

	if (!layer_digest(name, diff_id))
		return 0; /* nobody's */
	c->diff_id = diff_id;
	if (!layer_data_open(c->ls, diff_id, &fd, &c->info, &err)) {
		int n = check_open_layer(c, fd);

		close(fd);
		return n;
	}

	/* Damaged itself, or only on its way out: just now, or when the store is opened to be
	 * written next, since the machine has stopped before it was synced. */
	char path[LAYER_NAME_MAX + 32];

	snprintf(path, sizeof(path), DATA_DIR "/%s/" DURABLE_FILE, name);

	bool goes = c->sweep_is_due && faccessat(c->ls->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno == ENOENT;

	snprintf(path, sizeof(path), DATA_DIR "/%s", name);
	if (!goes && !faccessat(c->ls->dir, path, F_OK, AT_SYMLINK_NOFOLLOW))
		found(c, diff_id, "", "", err->message);
	error_unref(err);
	return 0;
}

/* ---- chain entries ---- */

static int check_chain(void *arg, const char *name)
{
	struct check *c = arg;
	char chain_id[DIGEST_MAX];
	struct layer_info info, below;
	struct error *err = NULL;
	int fd;

	if (!layer_digest(name, chain_id))
		return 0;
	if (layer_chain_read(c->ls, chain_id, &info, &err) < 0) {
		found(c, "", chain_id, "", "is damaged");
		error_unref(err);
		return 0;
	}
	if (layer_data_open(c->ls, info.diff_id, &fd, NULL, NULL) < 0) {
		if (!c->sweep_is_due)
			found(c, "", chain_id, "", "refers to data that is not there");
	} else {
		close(fd);
	}
	if (info.parent[0] && layer_chain_read(c->ls, info.parent, &below, NULL) < 0)
		found(c, "", chain_id, "", "stands on an entry that is not there");
	return 0;
}

int layer_store_check(struct layer_store *ls, bool deep,
	void (*report)(void *arg, const struct layer_damage *damage), void *arg, unsigned *damaged,
	struct error **reterr)
{
	struct check *c = malloc(sizeof(*c));
	int n;

	if (!c)
		return error_set(reterr, &error_no_memory);
	memset(c, 0, offsetof(struct check, tree));
	c->ls = ls;
	c->deep = deep;
	c->sweep_is_due = !ls->fast && layer_store_sweep_is_due(ls);
	c->report = report;
	c->arg = arg;
	c->reterr = reterr;
	n = layer_each_name(ls, DATA_DIR, check_layer, c, reterr);
	if (!n)
		n = layer_each_name(ls, CHAINS_DIR, check_chain, c, reterr);
	*damaged = c->damaged;
	free(c);
	return n;
}
