/* SPDX-License-Identifier: Apache-2.0 */
/* One file copied. Go counterpart: daemon/graphdriver/copy/copy.go. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "copy_tree.h"
#include "whiteout.h"

#define XATTR_NAMES_MAX (64u << 10)
#define XATTR_VALUE_SIZE (64u << 10)
#define PART (256u << 10)

/* ---- contents ---- */

/* Where the kernel can't copy by itself. */
static int copy_part(int from, int to, off_t at, size_t size)
{
	cleanup_free char *part = malloc(PART);

	if (!part)
		return ENOMEM;
	while (size) {
		ssize_t n = pread(from, part, size < PART ? size : PART, at);
		ssize_t done = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? errno : 0; /* 0: it became shorter meanwhile */
		while (done < n) {
			ssize_t m = pwrite(to, part + done, (size_t)(n - done), at + done);

			if (m < 0 && errno != EINTR)
				return errno;
			done += m > 0 ? m : 0;
		}
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOSPC)
			return errno;
		if (n <= 0) /* not between these file systems, or old kernel */
			return copy_part(from, to, at, (size_t)(end - at));
		at += n;
	}
	return 0;
}

static int copy_contents(int from, int to, off_t size)
{
	off_t at = 0;

	if (!size || !ioctl(to, FICLONE, from))
		return 0;
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break; /* only a hole is left */
		if (data < 0)
			data = at;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;

		int err = copy_range(from, to, data, hole);

		if (err)
			return err;
		at = hole;
	}
	return ftruncate(to, size) < 0 ? errno : 0;
}

/* ---- metadata ---- */

static int copy_one_xattr(const char *from, const char *to, const char *name, char *value)
{
	ssize_t size = getxattr(from, name, value, XATTR_VALUE_SIZE);

	if (size < 0)
		return errno == ENODATA ? 0 : errno;
	/* As when a layer is unpacked. */
	if (setxattr(to, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP && errno != EPERM)
		return errno;
	return 0;
}

int copy_xattrs(int from, int to)
{
	char from_path[64], to_path[64];
	cleanup_free char *names = NULL;
	char *value;
	ssize_t size;
	int err = 0;

	/* Through /proc, since descriptors of links and nodes are O_PATH ones. */
	snprintf(from_path, sizeof(from_path), "/proc/self/fd/%d", from);
	snprintf(to_path, sizeof(to_path), "/proc/self/fd/%d", to);
	size = listxattr(from_path, NULL, 0);
	if (size <= 0)
		return size && errno != ENOTSUP ? errno : 0;
	names = malloc(XATTR_NAMES_MAX + XATTR_VALUE_SIZE);
	if (!names)
		return ENOMEM;
	value = names + XATTR_NAMES_MAX;
	size = listxattr(from_path, names, XATTR_NAMES_MAX);
	if (size < 0)
		return errno;
	for (const char *p = names; !err && p < names + size; p += strlen(p) + 1)
		if (xattr_allowed(p))
			err = copy_one_xattr(from_path, to_path, p, value);
	return err;
}

/* Owner, mode, attributes, times; in this order, see untar.c. fd: of what is at to. */
static int copy_metadata(int from, const struct stat *st, int to_dir, const char *to, bool owners)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	cleanup_close int fd = openat(to_dir, to, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (fd < 0)
		return errno;
	if (fchownat(to_dir, to, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && owners)
		return errno;
	if (!S_ISLNK(st->st_mode) && fchmodat(to_dir, to, st->st_mode & 07777, 0) < 0)
		return errno;
	err = copy_xattrs(from, fd);
	if (err)
		return err;
	return utimensat(to_dir, to, times, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

/* ---- kinds ---- */

static int copy_regular(int from_dir, const char *from, const struct stat *st, int to_dir,
	const char *to, bool owners)
{
	cleanup_close int in =
		openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_close int out = -1;
	int err;

	if (in < 0)
		return errno;
	out = openat(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return errno;
	err = copy_contents(in, out, st->st_size);
	return err ? err : copy_metadata(in, st, to_dir, to, owners);
}

static int copy_symlink(int from_dir, const char *from, int to_dir, const char *to)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);

	if (n < 0)
		return errno;
	target[n] = '\0';
	return symlinkat(target, to_dir, to) < 0 ? errno : 0;
}

int copy_file(int from_dir, const char *from, const struct stat *st, int to_dir, const char *to,
	bool owners)
{
	int err;

	if (S_ISREG(st->st_mode))
		return copy_regular(from_dir, from, st, to_dir, to, owners);
	if (S_ISLNK(st->st_mode))
		err = copy_symlink(from_dir, from, to_dir, to);
	else
		err = mknodat(to_dir, to, st->st_mode, st->st_rdev) < 0 ? errno : 0;
	if (err)
		return err;

	cleanup_close int in = openat(from_dir, from, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return in < 0 ? errno : copy_metadata(in, st, to_dir, to, owners);
}
