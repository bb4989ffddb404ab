/* SPDX-License-Identifier: Apache-2.0 */
/* Names below a root. Go counterpart: pkg/chrootarchive, pkg/symlink. */
#include "config.h"

#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define SYMLINKS_MAX 40

void tree_init(struct tree *t, int root)
{
	t->root = root;
	t->depth = 0;
	t->path[0] = '\0';
	t->made = NULL;
}

static size_t level_end(const struct tree *t, unsigned depth)
{
	return depth ? t->level[depth - 1].end : 0;
}

static void truncate_to(struct tree *t, unsigned depth)
{
	while (t->depth > depth) {
		t->depth--;
		closep(&t->level[t->depth].fd);
	}
}

void tree_done(struct tree *t)
{
	truncate_to(t, 0);
}

/* The name of a level: it begins behind its parent's end and a slash. */
static size_t level_begin(const struct tree *t, unsigned index)
{
	return index ? (size_t)t->level[index - 1].end + 1 : 0;
}

static bool is_level(const struct tree *t, unsigned index, const char *name, size_t size)
{
	if (index >= t->depth)
		return false;

	size_t begin = level_begin(t, index);

	return t->level[index].end - begin == size && !memcmp(t->path + begin, name, size);
}

/* The descriptor of the folder at a depth, opened again where it was closed. */
static int depth_fd(struct tree *t, unsigned depth, int *ret)
{
	unsigned from = depth;

	while (from && t->level[from - 1].fd < 0)
		from--;

	int fd = from ? t->level[from - 1].fd : t->root;

	for (; from < depth; from++) {
		char name[NAME_MAX + 1];
		size_t begin = level_begin(t, from), size = t->level[from].end - begin;

		memcpy(name, t->path + begin, size);
		name[size] = '\0';

		int next = openat(fd, name, FOLDER);

		/* Of those that are opened on the way the highest ones may stay. */
		int err = errno;

		if (from > TREE_OPEN_MAX) {
			closep(&t->level[from - 1].fd);
			t->level[from - 1].fd = -1;
		}
		if (next < 0)
			return err;
		t->level[from].fd = fd = next;
	}
	*ret = fd;
	return 0;
}

static int push(struct tree *t, unsigned depth, const char *name, size_t size, int fd)
{
	size_t begin = depth ? level_end(t, depth) + 1 : 0;

	truncate_to(t, depth);
	if (begin + size >= sizeof(t->path) || depth >= ARRAY_SIZE(t->level) || size > NAME_MAX) {
		close(fd);
		return ENAMETOOLONG;
	}
	if (depth)
		t->path[begin - 1] = '/';
	memcpy(t->path + begin, name, size);
	t->level[depth].end = (uint16_t)(begin + size);
	t->level[depth].fd = fd;
	t->depth = depth + 1;
	if (depth > TREE_OPEN_MAX)
		if (t->level[depth - 1].fd >= 0) {
			close(t->level[depth - 1].fd);
			t->level[depth - 1].fd = -1;
		}
	return 0;
}

static int make_folder(int dir, const char *name, int *ret_fd)
{
	if (mkdirat(dir, name, 0755) < 0)
		return errno;

	cleanup_close int fd = openat(dir, name, FOLDER);
	uid_t uid = geteuid();
	gid_t gid = getegid();
	struct stat st;

	/* A set-gid parent hands on its group, and a umask may have taken bits. */
	if (fd < 0 || fstat(fd, &st) < 0 ||
		((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0) ||
		((st.st_mode & 07777) != 0755 && fchmod(fd, 0755) < 0))
		return errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static void tell_made(const struct tree *t, unsigned depth, const char *name)
{
	char path[PATH_MAX];
	size_t end = level_end(t, depth);
	int n = snprintf(path, sizeof(path), "%.*s%s%s", (int)end, t->path, end ? "/" : "", name);

	if (t->made && n > 0 && (size_t)n < sizeof(path))
		t->made(t->made_arg, path);
}

/* A component that is no folder: put a symlink's target in front of the rest. */
static int expand(struct tree *t, int dir, const char *name, const char *rest, unsigned *depth,
	const char **link_end)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0)
		return errno == EINVAL ? ENOTDIR : errno;
	if ((size_t)n >= sizeof(target))
		return ENAMETOOLONG;

	size_t left = strlen(rest), link_left = *link_end > rest ? (size_t)(*link_end - rest) : 0;

	if ((size_t)n + 1 + left >= sizeof(t->rest))
		return ENAMETOOLONG;
	memmove(t->rest + n + 1, rest, left + 1);
	memcpy(t->rest, target, (size_t)n);
	t->rest[n] = '/';
	*link_end = t->rest + n + 1 + link_left;
	if (target[0] == '/')
		*depth = 0;
	return 0;
}

/* Walk the folders of t->rest. *ret_depth: where they end in the tree's levels. */
static int walk(struct tree *t, unsigned flags, unsigned *ret_depth)
{
	const char *p = t->rest;
	const char *link_end = p; /* in front of it: components of a symlink, which are not made */
	unsigned depth = 0, symlinks = 0;
	int err, dir;

	for (;;) {
		while (*p == '/')
			p++;
		if (!*p)
			break;

		size_t size = strcspn(p, "/");
		const char *name = p;

		p += size;
		if (size == 1 && name[0] == '.')
			continue;
		if (size == 2 && name[0] == '.' && name[1] == '.') {
			depth -= depth ? 1 : 0;
			continue;
		}
		if (is_level(t, depth, name, size)) {
			depth++;
			continue;
		}
		if (size > NAME_MAX)
			return ENAMETOOLONG;
		truncate_to(t, depth);
		err = depth_fd(t, depth, &dir);
		if (err)
			return err;

		char component[NAME_MAX + 1];

		memcpy(component, name, size);
		component[size] = '\0';

		int fd = openat(dir, component, FOLDER);

		if (fd < 0 && errno == ENOENT && (flags & TREE_MAKE) && name >= link_end) {
			err = make_folder(dir, component, &fd);
			if (err)
				return err;
			tell_made(t, depth, component);
		}
		if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
			if (flags & TREE_NO_SYMLINKS)
				return ENOTDIR;
			if (symlinks++ >= SYMLINKS_MAX)
				return ELOOP;
			err = expand(t, dir, component, p, &depth, &link_end);
			if (err)
				return err;
			p = t->rest;
			continue;
		}
		if (fd < 0)
			return errno;
		err = push(t, depth, component, size, fd);
		if (err)
			return err;
		depth++;
	}
	*ret_depth = depth;
	return 0;
}

int tree_find(struct tree *t, const char *path, unsigned flags, struct tree_place *ret)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t parent = slash ? (size_t)(slash - path) : 0, base_size = strlen(base);
	unsigned depth;

	if (parent >= PATH_MAX)
		return ENAMETOOLONG;
	memcpy(t->rest, path, parent);
	t->rest[parent] = '\0';

	int err = walk(t, flags, &depth);

	if (!err)
		/* NOLINTNEXTLINE: walk sets depth where it gives 0 */
		err = depth_fd(t, depth, &ret->dir);
	if (err)
		return err;

	size_t begin = level_end(t, depth);

	if (begin + 1 + base_size >= sizeof(ret->path))
		return ENAMETOOLONG;
	memcpy(ret->path, t->path, begin);
	if (begin)
		ret->path[begin++] = '/';
	memcpy(ret->path + begin, base, base_size + 1);
	ret->path_size = begin + base_size;
	ret->base = ret->path + begin;
	return 0;
}

static unsigned place_depth(const struct tree *t, const struct tree_place *place)
{
	size_t parent = (size_t)(place->base - place->path);
	unsigned depth = 0;

	parent -= parent ? 1 : 0;
	while (depth < t->depth && level_end(t, depth) < parent)
		depth++;
	return depth;
}

int tree_enter(struct tree *t, const struct tree_place *place, int *ret_fd)
{
	unsigned depth = place_depth(t, place);
	size_t size = strlen(place->base);

	if (is_level(t, depth, place->base, size))
		return depth_fd(t, depth + 1, ret_fd);

	int fd = openat(place->dir, place->base, FOLDER);

	if (fd < 0)
		return errno;

	int err = push(t, depth, place->base, size, fd);

	if (!err)
		*ret_fd = fd;
	return err;
}

void tree_forget(struct tree *t, const struct tree_place *place)
{
	unsigned depth = place_depth(t, place);

	if (is_level(t, depth, place->base, strlen(place->base)))
		truncate_to(t, depth);
}

int path_clean(const char *name, char ret[PATH_MAX], size_t *ret_size)
{
	size_t out = 0;

	while (*name) {
		size_t size = strcspn(name, "/");

		if (size == 2 && name[0] == '.' && name[1] == '.') {
			while (out && ret[--out] != '/')
				;
		} else if (size && !(size == 1 && name[0] == '.')) {
			if (out + 1 + size >= PATH_MAX)
				return ENAMETOOLONG;
			if (out)
				ret[out++] = '/';
			memcpy(ret + out, name, size);
			out += size;
		}
		name += size;
		name += *name ? 1 : 0;
	}
	ret[out] = '\0';
	*ret_size = out;
	return 0;
}

int tree_open_file(int root, const char *path, int *ret_fd)
{
	cleanup_close int dir = -1;
	struct stat st;

	for (;;) {
		const char *slash = strchr(path, '/');
		char name[NAME_MAX + 1];
		size_t size = slash ? (size_t)(slash - path) : strlen(path);

		if (size > NAME_MAX)
			return ENAMETOOLONG;
		memcpy(name, path, size);
		name[size] = '\0';
		if (!slash)
			break;

		int next = openat(dir < 0 ? root : dir, name, FOLDER);

		if (next < 0)
			return errno;
		closep(&dir);
		dir = next;
		path = slash + 1;
	}

	/* O_NONBLOCK: a fifo in the file's place must not hang us. */
	cleanup_close int fd =
		openat(dir < 0 ? root : dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ELOOP ? EINVAL : errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* Empty one folder: files go, folders move up to top under new names, so that depth costs
 * nothing. */
static int empty_folder(int top, int fd, unsigned long *next)
{
	DIR *d = fdopendir(fd);
	const struct dirent *e;
	int err = 0;

	if (!d) {
		err = errno;
		close(fd);
		return err;
	}
	while (!err && (errno = 0, e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(d), e->d_name, 0))
			continue;
		if (errno != EISDIR && errno != EPERM) {
			err = errno == ENOENT ? 0 : errno;
			continue;
		}
		if (!unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR))
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES) {
			err = errno == ENOENT ? 0 : errno;
			continue;
		}

		char name[32];

		/* A folder that we may not write can't be moved either. */
		(void)fchmodat(dirfd(d), e->d_name, 0700, 0);
		do {
			snprintf(name, sizeof(name), ".up-%lu", (*next)++);
			err = renameat2(dirfd(d), e->d_name, top, name, RENAME_NOREPLACE) < 0
				      ? errno
				      : 0;
		} while (err == EEXIST);
	}
	if (!err && !e)
		err = errno;
	closedir(d);
	return err;
}

int remove_tree(int dir, const char *name)
{
	unsigned long next = 0;
	int err;

	if (!unlinkat(dir, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno;
	if (!unlinkat(dir, name, AT_REMOVEDIR))
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES)
		return errno;

	cleanup_close int top = openat(dir, name, FOLDER);

	if (top < 0 && errno == EACCES && !fchmodat(dir, name, 0700, 0))
		top = openat(dir, name, FOLDER);
	if (top < 0)
		return errno;
	(void)fchmod(top, 0700); /* ours, or unlinkat below says what is wrong */
	for (;;) {
		DIR *d;
		const struct dirent *e;
		int fd = openat(top, ".", FOLDER);

		if (fd < 0)
			return errno;
		d = fdopendir(fd);
		if (!d) {
			err = errno;
			close(fd);
			return err;
		}

		bool any = false;

		err = 0;
		while (!err && (e = readdir(d))) {
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			any = true;
			if (!unlinkat(top, e->d_name, 0) || !unlinkat(top, e->d_name, AT_REMOVEDIR))
				continue;

			int child = openat(top, e->d_name, FOLDER);

			if (child < 0 && errno == EACCES && !fchmodat(top, e->d_name, 0700, 0))
				child = openat(top, e->d_name, FOLDER);
			if (child < 0) {
				err = errno;
				break;
			}
			(void)fchmod(child, 0700);
			err = empty_folder(top, child, &next);
			if (!err && unlinkat(top, e->d_name, AT_REMOVEDIR) < 0)
				err = errno == ENOTEMPTY ? 0 : errno;
		}
		closedir(d);
		if (err)
			return err;
		if (!any)
			break;
	}
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? errno : 0;
}
