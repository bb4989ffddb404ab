/* SPDX-License-Identifier: Apache-2.0 */
/* The layer store's small files. Go counterpart: layer/filestore.go. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "layer_priv.h"

#define RECORD_MAX (256u << 10)
#define MAGIC "towline-"
#define LAST_LINE "\nend\n"

void record_begin(struct buf *b, const char *kind)
{
	buf_appendf(b, MAGIC "%s %d\n", kind, LAYER_FORMAT);
}

void record_add(struct buf *b, const char *key, const char *value)
{
	buf_appendf(b, "%s %s\n", key, value);
}

void record_add_number(struct buf *b, const char *key, int64_t value)
{
	buf_appendf(b, "%s %" PRId64 "\n", key, value);
}

int record_write(struct layer_store *ls, const char *dir, const char *name, struct buf *b,
	struct error **reterr)
{
	cleanup_free char *path = str_printf("%s/%s/%s", ls->path, dir, name);

	buf_append_str(b, &LAST_LINE[1]);
	if (!path || b->oom)
		return error_set(reterr, &error_no_memory);
	return file_write_atomic(path, b->data, b->size, 0600, false, reterr);
}

/* "towline-KIND N": 0, or what is wrong with it. */
static int check_head(const char *data, const char *kind, const char *path, struct error **reterr)
{
	size_t size = strlen(kind);
	const char *p = data + sizeof(MAGIC) - 1;

	if (!str_has_prefix(data, MAGIC) || strncmp(p, kind, size) || p[size] != ' ')
		return error_set(
			reterr, error_classf(CLASS_NOT_FOUND, "%s is no %s record", path, kind));

	long version = strtol(p + size + 1, NULL, 10);

	if (version > LAYER_FORMAT)
		return error_setf(reterr,
			"%s has format %ld; this version of towline knows up to %d", path, version,
			LAYER_FORMAT);
	return 0;
}

int record_read(struct layer_store *ls, int at, const char *path, const char *kind, char **ret,
	struct error **reterr)
{
	cleanup_free char *data = NULL;
	cleanup_close int fd =
		openat(at < 0 ? ls->dir : at, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t size;

	if (fd < 0)
		return error_set(
			reterr, error_errdefs(errno == ENOENT ? CLASS_NOT_FOUND : CLASS_SYSTEM,
					error_path("open", path, error_errno(errno))));
	if (file_read_fd(fd, path, RECORD_MAX, &data, &size, reterr) < 0)
		return -1;
	/* A machine that stopped at the wrong moment leaves an empty or a short file. */
	if (memchr(data, '\0', size) || !str_has_suffix(data, LAST_LINE))
		return error_set(reterr, error_classf(CLASS_NOT_FOUND, "%s is damaged", path));
	if (check_head(data, kind, path, reterr) < 0)
		return -1;
	*ret = steal_ptr(&data);
	return 0;
}

void record_get(const char *record, const char *key, char *ret, size_t size)
{
	size_t n = strlen(key);
	const char *line = strchr(record, '\n');

	ret[0] = '\0';
	for (; line && line[1]; line = strchr(line + 1, '\n')) {
		const char *p = line + 1;

		if (strncmp(p, key, n) || p[n] != ' ')
			continue;
		p += n + 1;

		size_t have = strcspn(p, "\n");

		if (have < size) {
			memcpy(ret, p, have);
			ret[have] = '\0';
		}
		return;
	}
}

int64_t record_get_number(const char *record, const char *key)
{
	char text[32];

	record_get(record, key, text, sizeof(text));
	return strtoll(text, NULL, 10);
}

bool record_get_digest(const char *record, const char *key, char ret[DIGEST_MAX])
{
	record_get(record, key, ret, DIGEST_MAX);
	return !digest_validate(ret, strlen(ret), NULL);
}
