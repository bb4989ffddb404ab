/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: createDownloadFile of distribution/pull_v2_unix.go */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "xfer/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"

#define NAME "GetImageBlob"

struct spool {
	int fd;
	int64_t size;
	char *path; /* for error texts: where the file would be if it had a name */
};

static int open_unlinked(const char *dir, char *path)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

	if (fd >= 0 || errno == ENOSPC || errno == EMFILE || errno == ENFILE || errno == ENOENT)
		return fd;
	/* a file system without O_TMPFILE */
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

struct spool *spool_new(const char *dir, struct error **reterr)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	if (!dir || !*dir)
		dir = "/tmp";
	s->fd = -1;
	s->path = str_printf("%s/" NAME "XXXXXX", dir);
	if (!s->path) {
		error_set(reterr, &error_no_memory);
	} else {
		s->fd = open_unlinked(dir, s->path);
		if (s->fd >= 0)
			return s;
		error_set(reterr, error_path("open", s->path, error_errno(errno)));
	}
	spool_free(s);
	return NULL;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	free(s);
}

int64_t spool_size(const struct spool *s)
{
	return s->size;
}

int spool_write(struct spool *s, const void *data, size_t size, struct error **reterr)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(s->fd, (const char *)data + done, size - done,
			(off_t)(s->size + (int64_t)done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* 0 would be for ever */
			return error_set(reterr,
				error_path("write", s->path, error_errno(n < 0 ? errno : EIO)));
		done += (size_t)n;
	}
	s->size += (int64_t)size;
	return 0;
}

int spool_truncate(struct spool *s, struct error **reterr)
{
	if (ftruncate(s->fd, 0) < 0)
		return error_set(reterr, error_path("truncate", s->path, error_errno(errno)));
	s->size = 0;
	return 0;
}

ssize_t spool_read(
	const struct spool *s, int64_t offset, void *buf, size_t size, struct error **reterr)
{
	ssize_t n;

	if (offset >= s->size)
		return 0;
	if ((int64_t)size > s->size - offset)
		size = (size_t)(s->size - offset);
	do {
		n = pread(s->fd, buf, size, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	error_set(reterr, error_path("read", s->path, error_errno(n < 0 ? errno : EIO)));
	return -1;
}
