/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, read whole and replaced atomically. Go counterpart: pkg/ioutils/fswriters.go. */
#include "config.h"

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"

#define TEMP_PREFIX ".tmp-"
#define SWEEP_AGE_SECONDS 3600

static int fail(int errnum, const char *op, const char *path, struct error **reterr)
{
	error_set(reterr, error_path(op, path, error_errno(errnum)));
	errno = errnum;
	return -1;
}

int file_read_fd(int fd, const char *path, size_t limit, char **ret_data, size_t *ret_size,
	struct error **reterr)
{
	cleanup_free char *data = NULL;
	size_t size = 0, room = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(errno, "stat", path, reterr);
	if (S_ISDIR(st.st_mode))
		return fail(EISDIR, "read", path, reterr);
	if (!S_ISREG(st.st_mode)) {
		error_setf(reterr, "read %s: not a regular file", path);
		errno = 0;
		return -1;
	}
	for (;;) {
		if (size + 1 >= room) {
			size_t more = room ? room * 2
					   : (st.st_size < 65536 ? (size_t)st.st_size : 65536) + 2;
			char *grown = realloc(data, more);

			if (!grown)
				return error_set(reterr, &error_no_memory);
			data = grown;
			room = more;
		}

		ssize_t n = pread(fd, data + size, room - size - 1, (off_t)size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(errno, "read", path, reterr);
		if (!n)
			break;
		size += (size_t)n;
		if (size > limit) {
			error_setf(reterr, "read %s: larger than %zu bytes", path, limit);
			errno = EFBIG;
			return -1;
		}
	}
	data[size] = '\0';
	*ret_data = steal_ptr(&data);
	*ret_size = size;
	return 0;
}

int file_read(
	const char *path, size_t limit, char **ret_data, size_t *ret_size, struct error **reterr)
{
	/* O_NONBLOCK: a fifo in place of the file shall not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail(errno, "open", path, reterr);

	int r = file_read_fd(fd, path, limit, ret_data, ret_size, reterr);
	int saved = errno;

	close(fd);
	errno = saved;
	return r;
}

int file_write_all(int fd, const void *from, size_t size)
{
	const char *data = from;

	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The folder of path, as a new string. */
static char *parent_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* 0, or the name of the step that failed in *ret_step with errno set. */
static int fill(
	int fd, const void *data, size_t size, mode_t mode, bool durable, const char **ret_step)
{
	*ret_step = "write";
	if (file_write_all(fd, data, size) < 0)
		return -1;
	*ret_step = "chmod";
	if (fchmod(fd, mode) < 0)
		return -1;
	*ret_step = "sync";
	return durable ? fsync(fd) : 0;
}

/* renameat2 with RENAME_NOREPLACE, or what does the same where the file system has it not. */
static int rename_new(const char *temp, const char *path)
{
	if (!renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (link(temp, path) < 0)
		return -1;
	unlink(temp);
	return 0;
}

static int write_file(const char *path, const void *data, size_t size, mode_t mode, bool durable,
	int (*publish)(const char *temp, const char *path), struct error **reterr)
{
	cleanup_free char *dir = parent_dir(path);
	const char *slash = strrchr(path, '/');
	cleanup_free char *temp =
		dir ? str_printf("%s/" TEMP_PREFIX "%sXXXXXX", dir, slash ? slash + 1 : path)
		    : NULL;
	const char *step;

	if (!temp)
		return error_set(reterr, &error_no_memory);

	int fd = mkostemp(temp, O_CLOEXEC);

	if (fd < 0)
		return fail(errno, "open", temp, reterr);

	int r = fill(fd, data, size, mode, durable, &step);
	int saved = errno;

	if (close(fd) < 0 && !r) {
		step = "close";
		saved = errno;
		r = -1;
	}
	if (!r && publish(temp, path) < 0) {
		step = "rename";
		saved = errno;
		r = -1;
	}
	if (r) {
		unlink(temp);
		return fail(saved, step, path, reterr);
	}
	return durable ? file_sync_dir(dir, reterr) : 0;
}

int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, bool durable,
	struct error **reterr)
{
	return write_file(path, data, size, mode, durable, rename, reterr);
}

int file_write_new(const char *path, const void *data, size_t size, mode_t mode, bool durable,
	struct error **reterr)
{
	return write_file(path, data, size, mode, durable, rename_new, reterr);
}

int file_sync_dir(const char *path, struct error **reterr)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(errno, "open", path, reterr);

	int r = fsync(fd);
	int saved = errno;

	close(fd);
	/* Some file systems cannot sync a folder; they say so with EINVAL. */
	if (r < 0 && saved != EINVAL)
		return fail(saved, "sync", path, reterr);
	return 0;
}

int file_make_dirs(const char *path, mode_t mode, struct error **reterr)
{
	cleanup_free char *part = strdup(path);

	if (!part)
		return error_set(reterr, &error_no_memory);
	for (char *p = part + (*part == '/');; p++) {
		if (*p && *p != '/')
			continue;

		char end = *p;

		*p = '\0';
		if (*part && mkdir(part, mode) == 0) {
			/* mkdir's mode went through the umask, which is not ours to change. */
			if (chmod(part, mode) < 0)
				return fail(errno, "chmod", part, reterr);
		} else if (*part && errno != EEXIST) {
			return fail(errno, "mkdir", part, reterr);
		}
		*p = end;
		if (!end)
			break;
	}

	struct stat st;

	if (stat(path, &st) < 0)
		return fail(errno, "stat", path, reterr);
	return S_ISDIR(st.st_mode) ? 0 : fail(ENOTDIR, "mkdir", path, reterr);
}

void file_sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d))) {
		struct stat st;

		if (!str_has_prefix(entry->d_name, TEMP_PREFIX))
			continue;
		if (!fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			S_ISREG(st.st_mode) && st.st_mtime + SWEEP_AGE_SECONDS < time(NULL))
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	closedir(d);
}

int file_lock(const char *path, int operation, struct error **reterr)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail(errno, "open", path, reterr);
	while (flock(fd, operation) < 0) {
		if (errno == EINTR)
			continue;

		int saved = errno;

		close(fd);
		return fail(saved, "flock", path, reterr);
	}
	return fd;
}

char *file_join(const char *a, const char *b)
{
	return str_printf("%s%s%s", a, str_has_suffix(a, "/") ? "" : "/", b);
}
