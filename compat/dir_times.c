/* SPDX-License-Identifier: Apache-2.0 */
/* Folders' times at the end. Go counterpart: archive.Unpack's last loop. */
#include "config.h"

#include "dir_times.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "tree.h"

#define SPOOL_NAME "dir-times"
#define BUFFER (32u << 10)

/* Followed by the path, then by a uint32_t: the record's whole size, to be read backwards. */
struct record {
	uint32_t size;
	uint32_t path_size;
	uint32_t mode; /* UINT32_MAX: set already */
	struct timespec times[2];
};

struct dir_times {
	int dir;
	int fd; /* -1: the buffer was never full */
	size_t used;
	uint64_t written;
	bool late_modes;
	size_t records;
	/* Inodes of folders that have got their mode, a table of 2 * records places. */
	ino_t *done;
	struct tree_place place;
	char buffer[BUFFER];
};

int dir_times_new(int dir, struct dir_times **ret, struct error **reterr)
{
	struct dir_times *d = malloc(sizeof(*d));

	if (!d)
		return error_set(reterr, &error_no_memory);
	memset(d, 0, offsetof(struct dir_times, place));
	d->dir = dir;
	d->fd = -1;
	*ret = d;
	return 0;
}

void dir_times_free(struct dir_times *d)
{
	if (!d)
		return;
	closep(&d->fd);
	free(d->done);
	free(d);
}

static int flush(struct dir_times *d, struct error **reterr)
{
	if (d->fd < 0) {
		d->fd = openat(d->dir, SPOOL_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (d->fd < 0)
			return error_set(
				reterr, error_path("open", SPOOL_NAME, error_errno(errno)));
		/* Left where unlink fails: it goes with the staging folder or is plain to see in
		 * it. */
		(void)unlinkat(d->dir, SPOOL_NAME, 0);
	}
	if (file_write_all(d->fd, d->buffer, d->used) < 0)
		return error_set(reterr, error_path("write", SPOOL_NAME, error_errno(errno)));
	d->written += d->used;
	d->used = 0;
	return 0;
}

int dir_times_add(struct dir_times *d, const char *path, size_t size,
	const struct timespec times[2], uint32_t mode, struct error **reterr)
{
	struct record r = {
		.size = (uint32_t)(sizeof(r) + size + sizeof(uint32_t)),
		.path_size = (uint32_t)size,
		.mode = mode,
		.times = {times[0], times[1]},
	};

	d->late_modes |= mode != UINT32_MAX;
	d->records++;
	if (d->used + r.size > sizeof(d->buffer) && flush(d, reterr) < 0)
		return -1;

	char *p = d->buffer + d->used;

	memcpy(p, &r, sizeof(r));
	memcpy(p + sizeof(r), path, size);
	memcpy(p + sizeof(r) + size, &r.size, sizeof(r.size));
	d->used += r.size;
	return 0;
}

/* Find the folder of a record: 1; 0 where it is no folder any more, or one above has shut us out;
 * -1. */
static int find(
	struct dir_times *d, struct tree *tree, const char *path, ino_t *ret, struct error **reterr)
{
	struct stat st;
	int err = tree_find(tree, path, TREE_NO_SYMLINKS, &d->place);

	if (!err && fstatat(d->place.dir, d->place.base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		err = errno;
	if (err == ENOENT || err == ENOTDIR || err == EACCES)
		return 0;
	if (err)
		return error_set(reterr, error_path("lstat", path, error_errno(err)));
	if (!S_ISDIR(st.st_mode))
		return 0;
	*ret = st.st_ino;
	return 1;
}

/* Going backwards, the first record of a folder is the one that counts. */
static bool is_done(struct dir_times *d, ino_t inode)
{
	size_t places = 2 * d->records;
	size_t at = (size_t)((uint64_t)inode * 0x9e3779b97f4a7c15u % places);

	while (d->done[at] && d->done[at] != inode)
		at = (at + 1) % places;
	if (d->done[at] == inode)
		return true;
	d->done[at] = inode;
	return false;
}

static int apply_one(struct dir_times *d, struct tree *tree, int root, const char *data, bool modes,
	struct error **reterr)
{
	char path[PATH_MAX];
	struct record r;
	ino_t inode = 0;
	int n = 1;

	memcpy(&r, data, sizeof(r));
	memcpy(path, data + sizeof(r), r.path_size);
	path[r.path_size] = '\0';
	if (r.path_size)
		n = find(d, tree, path, &inode, reterr);
	if (n <= 0)
		return n;
	/* Inode 1 stands for the root: no folder below it has that number. */
	if (modes && (is_done(d, r.path_size ? inode : 1) || r.mode == UINT32_MAX))
		return 0;
	if (!r.path_size)
		n = modes ? fchmod(root, r.mode) : futimens(root, r.times);
	else if (modes)
		n = fchmodat(d->place.dir, d->place.base, r.mode, 0);
	else
		n = utimensat(d->place.dir, d->place.base, r.times, AT_SYMLINK_NOFOLLOW);
	if (n < 0)
		return error_set(
			reterr, error_path(modes ? "chmod" : "chtimes", path, error_errno(errno)));
	return 0;
}

/* One record after the other, from what all of them are in. */
static int apply_all(struct dir_times *d, struct tree *tree, int root, const char *all,
	uint64_t total, struct error **reterr)
{
	uint32_t size;
	int err = 0;

	for (uint64_t at = 0; !err && at < total; at += size) {
		memcpy(&size, all + at, sizeof(size));
		err = apply_one(d, tree, root, all + at, false, reterr);
	}
	/* Backwards: a folder's mode may bar the way to those in it. */
	for (uint64_t at = total; !err && d->late_modes && at; at -= size) {
		memcpy(&size, all + at - sizeof(size), sizeof(size));
		err = apply_one(d, tree, root, all + at - size, true, reterr);
	}
	return err;
}

int dir_times_apply(struct dir_times *d, struct tree *tree, int root, struct error **reterr)
{
	if (!d->records)
		return 0;
	if (d->late_modes) {
		d->done = calloc(2 * d->records, sizeof(*d->done));
		if (!d->done)
			return error_set(reterr, &error_no_memory);
	}
	if (d->fd < 0)
		return apply_all(d, tree, root, d->buffer, d->used, reterr);
	if (flush(d, reterr) < 0)
		return -1;

	char *all = mmap(NULL, d->written, PROT_READ, MAP_PRIVATE, d->fd, 0);

	if (all == MAP_FAILED)
		return error_set(reterr, error_path("mmap", SPOOL_NAME, error_errno(errno)));

	int err = apply_all(d, tree, root, all, d->written, reterr);

	munmap(all, d->written);
	return err;
}
