/* SPDX-License-Identifier: Apache-2.0 */
/* Folders without an entry. Go counterpart: none. */
#include "config.h"

#include "implicit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"

/* '+' or '-', the path, NUL. The last word on a path counts. */
#define MADE '+'
#define TOLD '-'
#define FILE_MAX (256u << 20)

static void flush(struct implicit_writer *w)
{
	if (w->fd < 0)
		w->fd = openat(
			w->dir, IMPLICIT_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w->fd < 0 || file_write_all(w->fd, w->buffer, w->used) < 0)
		w->errnum = errno;
	w->used = 0;
}

void implicit_add(struct implicit_writer *w, const char *path, bool made)
{
	size_t size = strlen(path) + 1;

	if (w->errnum || size > PATH_MAX || (w->fd < 0 && !w->used && !made))
		return;
	if (w->used + 1 + size > sizeof(w->buffer))
		flush(w);
	w->buffer[w->used++] = made ? MADE : TOLD;
	memcpy(w->buffer + w->used, path, size);
	w->used += size;
}

int implicit_finish(struct implicit_writer *w, struct error **reterr)
{
	if (w->used)
		flush(w);
	if (w->errnum)
		return error_set(
			reterr, error_path("write", IMPLICIT_FILE, error_errno(w->errnum)));
	return 0;
}

void implicit_close(struct implicit_writer *w)
{
	closep(&w->fd);
	w->fd = -1;
}

/* By path, then by place in the file. */
static int by_path(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	int n = strcmp(x + 1, y + 1);

	return n ? n : x < y ? -1 : x > y;
}

int implicit_load(int layer, struct implicit_set *ret, struct error **reterr)
{
	cleanup_close int fd =
		openat(layer, IMPLICIT_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t size, n = 0, out = 0;

	*ret = (struct implicit_set){0};
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(reterr, error_path("open", IMPLICIT_FILE, error_errno(errno)));
	if (file_read_fd(fd, IMPLICIT_FILE, FILE_MAX, &ret->data, &size, reterr) < 0)
		return -1;
	for (size_t i = 0; i < size; i++)
		n += !ret->data[i];
	ret->paths = calloc(n + 1, sizeof(*ret->paths));
	if (!ret->paths) {
		implicit_free(ret);
		return error_set(reterr, &error_no_memory);
	}
	n = 0;
	for (size_t at = 0; at < size; at += strlen(ret->data + at) + 1)
		ret->paths[n++] = ret->data + at;
	qsort(ret->paths, n, sizeof(*ret->paths), by_path);
	for (size_t i = 0; i < n; i++)
		if ((i + 1 == n || strcmp(ret->paths[i] + 1, ret->paths[i + 1] + 1) != 0) &&
			ret->paths[i][0] == MADE)
			ret->paths[out++] = ret->paths[i] + 1;
	ret->n = out;
	return 0;
}

bool implicit_has(const struct implicit_set *s, const char *path)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int n = strcmp(s->paths[middle], path);

		if (!n)
			return true;
		if (n < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

void implicit_free(struct implicit_set *s)
{
	free(s->data);
	free(s->paths);
	*s = (struct implicit_set){0};
}
