/* SPDX-License-Identifier: Apache-2.0 */
/* Making a layer's tar again. Go counterpart: tar-split's asm.NewOutputTarStream. */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/error.h"
#include "layer_priv.h"
#include "tar_headers.h"
#include "tar_ops.h"
#include "tree.h"

#define IN_SIZE (32u << 10)
#define OUT_SIZE (64u << 10)

/* What stood at path was moved aside after the first `before` files of the tar. */
struct moved {
	char *path;
	size_t size;
	uint64_t before;
	uint64_t number;
};

/* The operations, decompressed. */
struct ops {
	ZSTD_DCtx *zstd;
	int fd;
	bool frame_ended;
	ZSTD_inBuffer in;
	size_t out_pos, out_size;
	char in_data[IN_SIZE];
	char out[OUT_SIZE];
};

struct tar_stream {
	struct tar_stream_options options;
	int layer, tree;
	struct moved *moved;
	size_t nmoved;
	uint64_t files; /* how many began */
	/* The operation at hand. */
	enum tar_op op;
	uint64_t left;
	bool ended, bad; /* bad: this file is reported already */
	/* The file at hand: -1: none, or damaged. */
	int file;
	uint64_t pos;
	struct data_sum sum;
	char path[PATH_MAX];
	struct ops ops;
};

static int damaged_headers(struct error **reterr)
{
	return error_setf(reterr, "%s is damaged", TAR_HEADERS_FILE);
}

/* More decompressed bytes. 1, 0 at the end of the frame, -1. */
static int ops_fill(struct ops *o, struct error **reterr)
{
	for (;;) {
		if (o->frame_ended)
			return 0;

		ZSTD_outBuffer out = {o->out, sizeof(o->out), 0};
		size_t n = ZSTD_decompressStream(o->zstd, &out, &o->in);

		if (ZSTD_isError(n))
			return damaged_headers(reterr);
		o->frame_ended = !n;
		if (out.pos) {
			o->out_pos = 0;
			o->out_size = out.pos;
			return 1;
		}
		if (o->frame_ended)
			return 0;
		if (o->in.pos < o->in.size)
			continue;

		ssize_t got = read(o->fd, o->in_data, sizeof(o->in_data));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(
				reterr, error_path("read", TAR_HEADERS_FILE, error_errno(errno)));
		if (!got)
			return damaged_headers(reterr); /* cut */
		o->in = (ZSTD_inBuffer){o->in_data, (size_t)got, 0};
	}
}

static int ops_get(struct ops *o, void *data, size_t size, struct error **reterr)
{
	char *p = data;

	while (size) {
		if (o->out_pos == o->out_size) {
			int n = ops_fill(o, reterr);

			if (n <= 0)
				return n < 0 ? -1 : damaged_headers(reterr);
		}

		size_t n = o->out_size - o->out_pos < size ? o->out_size - o->out_pos : size;

		if (p) {
			memcpy(p, o->out + o->out_pos, n);
			p += n;
		}
		o->out_pos += n;
		size -= n;
	}
	return 0;
}

static int ops_number(struct ops *o, uint64_t *ret, struct error **reterr)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		unsigned char b;

		if (ops_get(o, &b, 1, reterr) < 0)
			return -1;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return damaged_headers(reterr);
}

static int ops_next(struct ops *o, enum tar_op *ret_op, uint64_t *ret_size, struct error **reterr)
{
	uint64_t v;

	if (ops_number(o, &v, reterr) < 0)
		return -1;
	*ret_op = (enum tar_op)(v & ((1u << TAR_OP_BITS) - 1));
	*ret_size = v >> TAR_OP_BITS;
	if ((*ret_op == TAR_OP_FILE || *ret_op == TAR_OP_MOVED) && *ret_size >= PATH_MAX)
		return damaged_headers(reterr);
	return 0;
}

static void ops_close(struct ops *o)
{
	ZSTD_freeDCtx(o->zstd);
	o->zstd = NULL;
	closep(&o->fd);
	o->fd = -1;
}

static int ops_open(struct ops *o, int layer, struct error **reterr)
{
	o->frame_ended = false;
	o->in = (ZSTD_inBuffer){o->in_data, 0, 0};
	o->out_pos = o->out_size = 0;
	o->zstd = ZSTD_createDCtx();
	if (!o->zstd)
		return error_set(reterr, &error_no_memory);
	/* Ours are written with a window of 128 KiB. */
	ZSTD_DCtx_setParameter(o->zstd, ZSTD_d_windowLogMax, 20);
	o->fd = openat(layer, TAR_HEADERS_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (o->fd < 0)
		return error_set(reterr, error_path("open", TAR_HEADERS_FILE, error_errno(errno)));
	return 0;
}

static int add_moved(struct tar_stream *ts, uint64_t size, uint64_t before, struct error **reterr)
{
	struct moved *grown = reallocarray(ts->moved, ts->nmoved + 1, sizeof(*grown));

	if (!grown)
		return error_set(reterr, &error_no_memory);
	ts->moved = grown;

	struct moved *m = &grown[ts->nmoved];

	m->path = malloc(size + 1);
	if (!m->path)
		return error_set(reterr, &error_no_memory);
	ts->nmoved++;
	m->size = size;
	m->before = before;
	m->path[size] = '\0';
	if (ops_get(&ts->ops, m->path, size, reterr) < 0)
		return -1;
	return ops_number(&ts->ops, &m->number, reterr);
}

/* Where the layer replaced things of its own: what was moved aside, and when. */
static int read_moved(struct tar_stream *ts, struct error **reterr)
{
	uint64_t size, files = 0;
	enum tar_op op;

	if (faccessat(ts->layer, SHADOW_DIR, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (ops_open(&ts->ops, ts->layer, reterr) < 0)
		return -1;
	for (;;) {
		if (ops_next(&ts->ops, &op, &size, reterr) < 0)
			return -1;
		if (op == TAR_OP_END)
			break;
		if (op == TAR_OP_MOVED) {
			if (add_moved(ts, size, files, reterr) < 0)
				return -1;
			continue;
		}
		files += op == TAR_OP_FILE;
		if (op == TAR_OP_SUM)
			size = 8;
		else if (op == TAR_OP_DATA || op == TAR_OP_SKIP)
			size = 0;
		if (ops_get(&ts->ops, NULL, size, reterr) < 0)
			return -1;
	}
	ops_close(&ts->ops);
	return 0;
}

int tar_stream_new(
	const struct tar_stream_options *options, struct tar_stream **ret, struct error **reterr)
{
	struct tar_stream *ts = malloc(sizeof(*ts));

	if (!ts)
		return error_set(reterr, &error_no_memory);
	memset(ts, 0, offsetof(struct tar_stream, path));
	ts->options = *options;
	ts->file = ts->tree = ts->ops.fd = -1;
	ts->ops.zstd = NULL;
	ts->layer = fcntl(options->layer, F_DUPFD_CLOEXEC, 0);
	if (ts->layer >= 0)
		ts->tree = openat(
			ts->layer, TREE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ts->tree < 0) {
		error_set(reterr, error_path("open", TREE_DIR, error_errno(errno)));
		goto fail;
	}
	if (read_moved(ts, reterr) < 0 || ops_open(&ts->ops, ts->layer, reterr) < 0)
		goto fail;
	*ret = ts;
	return 0;
fail:
	tar_stream_free(ts);
	return -1;
}

void tar_stream_free(struct tar_stream *ts)
{
	if (!ts)
		return;
	ops_close(&ts->ops);
	closep(&ts->file);
	closep(&ts->tree);
	closep(&ts->layer);
	for (size_t i = 0; i < ts->nmoved; i++)
		free(ts->moved[i].path);
	free(ts->moved);
	free(ts);
}

/* Something is wrong with the file at hand. 0 where reading may go on. */
static int damaged(struct tar_stream *ts, const char *text, struct error **reterr)
{
	if (!ts->bad && ts->options.damaged)
		ts->options.damaged(ts->options.arg, ts->path, text);
	ts->bad = true;
	closep(&ts->file);
	ts->file = -1;
	if (ts->options.go_on)
		return 0;
	return error_setf(reterr, "%s %s", ts->path, text);
}

/* The first thing that was moved aside after this file began and took the file along. */
static const struct moved *find_moved(const struct tar_stream *ts, size_t size)
{
	for (size_t i = 0; i < ts->nmoved; i++) {
		const struct moved *m = &ts->moved[i];

		if (m->before >= ts->files && m->size <= size &&
			!memcmp(m->path, ts->path, m->size) &&
			(ts->path[m->size] == '/' || !ts->path[m->size]))
			return m;
	}
	return NULL;
}

static int begin_file(struct tar_stream *ts, size_t size, struct error **reterr)
{
	char at[PATH_MAX + 64];
	int err;

	if (ops_get(&ts->ops, ts->path, size, reterr) < 0)
		return -1;
	ts->path[size] = '\0';
	ts->files++;
	ts->pos = 0;
	ts->sum = (struct data_sum){0};
	ts->bad = false;
	closep(&ts->file);
	ts->file = -1;
	if (ts->options.no_data)
		return 0;

	const struct moved *m = find_moved(ts, size);

	if (m) {
		snprintf(at, sizeof(at), SHADOW_DIR "/%llu%s", (unsigned long long)m->number,
			ts->path + m->size);
		err = tree_open_file(ts->layer, at, &ts->file);
	} else {
		err = tree_open_file(ts->tree, ts->path, &ts->file);
	}
	if (!err) {
		posix_fadvise(ts->file, 0, 0, POSIX_FADV_SEQUENTIAL);
		return 0;
	}
	if (err == ENOENT || err == ENOTDIR)
		return damaged(ts, "is missing", reterr);
	if (err == EINVAL)
		return damaged(ts, "is no regular file", reterr);
	return damaged(ts, errno_text(err), reterr);
}

/* Between the fragments of a sparse file, and behind the last one, are zeros. */
static int check_hole(struct tar_stream *ts, uint64_t end, struct error **reterr)
{
	static const char zeros[4096];
	char part[sizeof(zeros)];

	for (off_t at = (off_t)ts->pos; ts->file >= 0;) {
		ssize_t n;

		at = lseek(ts->file, at, SEEK_DATA);
		if (at < 0 || (uint64_t)at >= end)
			break;
		n = pread(ts->file, part, sizeof(part), at);
		if (n <= 0)
			break;
		if ((uint64_t)n > end - (uint64_t)at)
			n = (ssize_t)(end - (uint64_t)at);
		if (memcmp(part, zeros, (size_t)n) != 0)
			return damaged(ts, "has other contents than were unpacked", reterr);
		at += n;
	}
	return 0;
}

static int end_file(struct tar_stream *ts, struct error **reterr)
{
	uint64_t v;

	if (ops_get(&ts->ops, &v, sizeof(v), reterr) < 0)
		return -1;
	if (ts->options.no_data || ts->bad)
		return 0;
	if (le64toh(v) == data_sum_value(&ts->sum))
		return check_hole(ts, INT64_MAX, reterr);
	return damaged(ts, "has other contents than were unpacked", reterr);
}

/* Take up the next operation that gives bytes. 1, 0 at the end, -1. */
static int next_op(struct tar_stream *ts, struct error **reterr)
{
	while (!ts->left) {
		uint64_t size, number;

		if (ops_next(&ts->ops, &ts->op, &size, reterr) < 0)
			return -1;
		switch (ts->op) {
		case TAR_OP_END:
			ts->ended = true;
			/* The frame's checksum stands behind the last byte. */
			if (ts->ops.out_pos < ts->ops.out_size || ops_fill(&ts->ops, reterr) != 0)
				return reterr && *reterr ? -1 : damaged_headers(reterr);
			return 0;
		case TAR_OP_LITERAL:
		case TAR_OP_DATA:
			ts->left = size;
			break;
		case TAR_OP_FILE:
			if (begin_file(ts, size, reterr) < 0)
				return -1;
			break;
		case TAR_OP_SKIP:
			if (check_hole(ts, ts->pos + size, reterr) < 0)
				return -1;
			ts->pos += size;
			break;
		case TAR_OP_SUM:
			if (end_file(ts, reterr) < 0)
				return -1;
			break;
		case TAR_OP_MOVED:
			if (ops_get(&ts->ops, NULL, size, reterr) < 0 ||
				ops_number(&ts->ops, &number, reterr) < 0)
				return -1;
			break;
		default:
			return damaged_headers(reterr);
		}
	}
	return 1;
}

static int64_t read_file(struct tar_stream *ts, void *buf, size_t size, struct error **reterr)
{
	ssize_t n = 0;

	if (ts->file >= 0)
		do {
			n = pread(ts->file, buf, size, (off_t)ts->pos);
		} while (n < 0 && errno == EINTR);
	if (n < 0 && damaged(ts, errno_text(errno), reterr) < 0)
		return -1;
	if (!n && ts->file >= 0 && damaged(ts, "is truncated", reterr) < 0)
		return -1;
	if (n <= 0) {
		memset(buf, 0, size);
		n = (ssize_t)size;
	}
	if (!ts->options.no_data)
		data_sum_add(&ts->sum, buf, (size_t)n);
	ts->pos += (size_t)n;
	return n;
}

int64_t tar_stream_read(struct tar_stream *ts, void *buf, size_t size, struct error **reterr)
{
	if (ts->ended || !size)
		return 0;

	int n = next_op(ts, reterr);

	if (n <= 0)
		return n;
	if (size > ts->left)
		size = (size_t)ts->left;
	if (ts->op == TAR_OP_LITERAL) {
		if (ops_get(&ts->ops, buf, size, reterr) < 0)
			return -1;
	} else {
		int64_t got = read_file(ts, buf, size, reterr);

		if (got < 0)
			return -1;
		size = (size_t)got;
	}
	ts->left -= size;
	return (int64_t)size;
}

int layer_store_tar(
	struct layer_store *ls, const char *diff_id, struct tar_stream **ret, struct error **reterr)
{
	cleanup_close int fd = -1;

	/* The stream's copy of the descriptor keeps the lock. */
	if (layer_data_open(ls, diff_id, &fd, NULL, reterr) < 0)
		return -1;

	struct tar_stream_options options = {.layer = fd};

	return tar_stream_new(&options, ret, reterr);
}
