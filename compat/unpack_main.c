/* SPDX-License-Identifier: Apache-2.0 */
/* towline-unpack, the confined unpacker: a blob's bytes come in at 0, records (record.h) go out at
 * 1, and between the two nothing can be done but to read, to write and to end. Started by
 * unpacker.c. No Go counterpart. */
#include "config.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/decompress.h"
#include "base/error.h"
#include "image_pull.h"
#include "record.h"
#include "tar_reader.h"
#include "unpack_jail.h"

#define IN_SIZE (128u << 10)
#define OUT_SIZE RECORD_BYTES_MAX
#define QUEUE_SIZE (64u << 10)
#define DIRECT_SIZE (16u << 10) /* what is so large is not copied into the queue */

struct unpack {
	struct decompressor *decompressor; /* NULL: the bytes are tar */
	struct error *err;                 /* of it */
	unsigned char in[IN_SIZE], out[OUT_SIZE];
	size_t in_at, in_size;
	bool in_ended, out_ended;
	bool told; /* the tar reader was told of err: what it says now is due to that */
	unsigned char queue[QUEUE_SIZE];
	size_t queued;
	struct buf xattrs;
};

/* ---- what goes out. Nobody is left to be told where that fails. ---- */

static void write_all(const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(STDOUT_FILENO, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		p += n;
		size -= (size_t)n;
	}
}

static void flush(struct unpack *u)
{
	write_all(u->queue, u->queued);
	u->queued = 0;
}

static void put(struct unpack *u, const void *data, size_t size)
{
	if (size > sizeof(u->queue) - u->queued)
		flush(u);
	if (size >= DIRECT_SIZE) {
		flush(u);
		write_all(data, size);
		return;
	}
	if (size)
		memcpy(u->queue + u->queued, data, size);
	u->queued += size;
}

static void put_head(struct unpack *u, enum record_type type, size_t size)
{
	const struct record_head head = {type, (uint32_t)size};

	put(u, &head, sizeof(head));
}

static void put_literal(void *arg, const void *data, size_t size)
{
	struct unpack *u = arg;
	const char *p = data;

	while (size) {
		size_t n = size < RECORD_BYTES_MAX ? size : RECORD_BYTES_MAX;

		put_head(u, RECORD_LITERAL, n);
		put(u, p, n);
		p += n;
		size -= n;
	}
}

static void put_data(void *arg, const void *data, size_t size, uint64_t offset)
{
	struct unpack *u = arg;
	const char *p = data;

	while (size) {
		size_t n = size < RECORD_BYTES_MAX ? size : RECORD_BYTES_MAX;

		put_head(u, RECORD_DATA, sizeof(offset) + n);
		put(u, &offset, sizeof(offset));
		put(u, p, n);
		p += n;
		offset += n;
		size -= n;
	}
}

static void put_error(struct unpack *u, enum record_error kind, const char *text)
{
	uint32_t number = kind;
	size_t size = strnlen(text, RECORD_ERROR_MAX);

	put_head(u, RECORD_ERROR, sizeof(number) + size);
	put(u, &number, sizeof(number));
	put(u, text, size);
	flush(u);
}

static int put_entry(struct unpack *u, struct tar_reader *reader, const struct tar_entry *e)
{
	struct record_entry r = {
		.uid = e->uid,
		.gid = e->gid,
		.size = e->size,
		.mtime = e->mtime.tv_sec,
		.atime = e->atime.tv_sec,
		.mtime_ns = (uint32_t)e->mtime.tv_nsec,
		.atime_ns = (uint32_t)e->atime.tv_nsec,
		.mode = e->mode,
		.major = e->major,
		.minor = e->minor,
		.type = (unsigned char)e->type,
		.sparse = e->sparse,
		.name_size = (uint32_t)strlen(e->name),
		.link_size = (uint32_t)strlen(e->link),
	};
	const void *value;
	const char *name;
	size_t size;

	buf_reset(&u->xattrs);
	while (tar_reader_xattr(reader, &name, &value, &size)) {
		const struct record_xattr x = {(uint32_t)strlen(name), (uint32_t)size};

		if (!x.name_size)
			continue;
		buf_append(&u->xattrs, &x, sizeof(x));
		buf_append(&u->xattrs, name, x.name_size + 1);
		buf_append(&u->xattrs, value, size);
		r.nxattrs++;
	}
	if (u->xattrs.oom)
		return -1;
	put_head(u, RECORD_ENTRY, sizeof(r) + r.name_size + 1 + r.link_size + 1 + u->xattrs.size);
	put(u, &r, sizeof(r));
	put(u, e->name, r.name_size + 1);
	put(u, e->link, r.link_size + 1);
	put(u, u->xattrs.data, u->xattrs.size);
	return 0;
}

/* ---- what comes in ---- */

static void fill_in(struct unpack *u)
{
	ssize_t n;

	if (u->in_at < u->in_size || u->in_ended)
		return;
	do {
		n = read(STDIN_FILENO, u->in, sizeof(u->in));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		_exit(1);
	u->in_ended = n == 0;
	u->in_at = 0;
	u->in_size = (size_t)n;
}

/* Decoded bytes, lent. */
static int64_t next(void *context, const void **data)
{
	struct unpack *u = context;
	size_t made = 0;

	while (!made && !u->out_ended && !u->err) {
		size_t used;
		int r;

		fill_in(u);
		if (!u->decompressor) {
			*data = u->in;
			u->in_at = u->in_size;
			u->out_ended = u->in_ended;
			return (int64_t)u->in_size;
		}
		r = decompressor_run(u->decompressor, u->in + u->in_at, u->in_size - u->in_at,
			&used, u->out, sizeof(u->out), &made, u->in_ended, &u->err);
		u->in_at += used;
		u->out_ended = r > 0;
	}
	*data = u->out;
	/* what came before the damage is still handed over */
	u->told = !made && u->err;
	return made ? (int64_t)made : u->told ? -1 : 0;
}

/* ---- */

static int unpack_entry(struct unpack *u, struct tar_reader *reader, const struct tar_entry *e,
	struct error **reterr)
{
	const void *data;
	uint64_t offset;
	size_t size;
	int n;

	if (put_entry(u, reader, e) < 0)
		return error_set(reterr, &error_no_memory);
	if (e->type != '0')
		return 0;
	while ((n = tar_reader_data(reader, &data, &size, &offset, reterr)) > 0)
		tar_reader_stored(reader); /* by way of put_data */
	return n;
}

static int unpack_all(struct unpack *u, struct error **reterr)
{
	const struct image_pull_reader source = {
		.struct_size = sizeof(source), .context = u, .next = next};
	const struct tar_keep keep = {u, put_literal, put_data};
	struct tar_reader *reader;
	struct tar_entry entry;
	int n;

	if (tar_reader_new(&source, &keep, &reader, reterr) < 0)
		return -1;
	while ((n = tar_reader_next(reader, &entry, reterr)) > 0)
		if (unpack_entry(u, reader, &entry, reterr) < 0)
			return -1;
	return n < 0 ? -1 : tar_reader_drain(reader, reterr);
}

static void tell(struct unpack *u, const struct error *err)
{
	enum record_error kind = RECORD_ERROR_DATA;

	if (u->told) {
		err = u->err;
		if (!decompressor_started(u->decompressor))
			kind = RECORD_ERROR_BEGINNING;
	}
	if (err == &error_no_memory)
		kind = RECORD_ERROR_MEMORY;
	put_error(u, kind, err->message);
}

int main(int argc, char **argv)
{
	struct unpack *u;
	struct error *err = NULL;
	const char *failed;

	if (argc != 2 || (strcmp(argv[1], "decode") != 0 && strcmp(argv[1], "tar") != 0) ||
		isatty(STDOUT_FILENO))
		return 2; /* a part of towline, of no use by itself */
	u = calloc(1, sizeof(*u));
	if (!u)
		return 1;
	failed = jail_enter();
	if (failed) {
		put_error(u, RECORD_ERROR_SETUP, failed);
		_exit(1);
	}
	if (strcmp(argv[1], "decode") == 0) {
		u->decompressor = decompressor_new(0, &err);
		if (!u->decompressor) {
			tell(u, err);
			_exit(1);
		}
	}
	if (unpack_all(u, &err) < 0) {
		tell(u, err);
		_exit(1);
	}
	put_head(u, RECORD_END, 0);
	flush(u);
	_exit(0);
}
