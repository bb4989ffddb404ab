/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the headers of a layer's tar. Go counterpart: tar-split's asm.NewInputTarStream. */
#include "config.h"

#include "tar_headers.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "tar_ops.h"
#include "tar_reader.h"

#define IN_SIZE (32u << 10)
#define OUT_SIZE (32u << 10)

struct tar_headers {
	ZSTD_CCtx *zstd;
	int fd;
	int errnum;  /* the first failure of write; 0: none */
	bool failed; /* zstd failed */
	size_t nin;
	uint64_t written;
	uint64_t pos; /* in the current file */
	struct data_sum sum;
	char in[IN_SIZE];
	char out[OUT_SIZE];
};

/* Headers repeat within few kilobytes: a small window loses little and keeps the memory of many
 * layers at once small. */
static bool configure(ZSTD_CCtx *z)
{
	static const struct {
		ZSTD_cParameter name;
		int value;
	} parameters[] = {
		{ZSTD_c_compressionLevel, 3},
		{ZSTD_c_windowLog, 15},
		{ZSTD_c_hashLog, 13},
		{ZSTD_c_chainLog, 13},
		{ZSTD_c_checksumFlag, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (ZSTD_isError(
			    ZSTD_CCtx_setParameter(z, parameters[i].name, parameters[i].value)))
			return false;
	return true;
}

int tar_headers_create(int dir, const char *name, struct tar_headers **ret, struct error **reterr)
{
	cleanup_tar_headers struct tar_headers *h = calloc(1, sizeof(*h));

	if (!h)
		return error_set(reterr, &error_no_memory);
	h->fd = -1;
	h->zstd = ZSTD_createCCtx();
	if (!h->zstd || !configure(h->zstd))
		return error_set(reterr, &error_no_memory);
	h->fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (h->fd < 0)
		return error_set(reterr, error_path("open", name, error_errno(errno)));
	*ret = steal_ptr(&h);
	return 0;
}

void tar_headers_free(struct tar_headers *h)
{
	if (!h)
		return;
	ZSTD_freeCCtx(h->zstd);
	closep(&h->fd);
	free(h);
}

static void put(struct tar_headers *h, const char *data, size_t size)
{
	if (h->errnum)
		return;
	if (file_write_all(h->fd, data, size) < 0)
		h->errnum = errno;
	h->written += size;
}

static void compress(struct tar_headers *h, ZSTD_EndDirective end)
{
	ZSTD_inBuffer in = {h->in, h->nin, 0};
	size_t left;

	h->nin = 0;
	do {
		ZSTD_outBuffer out = {h->out, sizeof(h->out), 0};

		if (h->failed)
			return;
		left = ZSTD_compressStream2(h->zstd, &out, &in, end);
		if (ZSTD_isError(left)) {
			h->failed = true;
			return;
		}
		put(h, h->out, out.pos);
	} while (in.pos < in.size || (end == ZSTD_e_end && left));
}

static void add(struct tar_headers *h, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		size_t n = sizeof(h->in) - h->nin < size ? sizeof(h->in) - h->nin : size;

		memcpy(h->in + h->nin, p, n);
		h->nin += n;
		p += n;
		size -= n;
		if (h->nin == sizeof(h->in))
			compress(h, ZSTD_e_continue);
	}
}

static void add_number(struct tar_headers *h, uint64_t v)
{
	unsigned char b[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		b[n++] = (unsigned char)(v | 0x80);
	b[n++] = (unsigned char)v;
	add(h, b, n);
}

static void add_op(struct tar_headers *h, enum tar_op op, uint64_t size)
{
	add_number(h, size << TAR_OP_BITS | op);
}

void tar_headers_literal(struct tar_headers *h, const void *data, size_t size)
{
	if (!size)
		return;
	add_op(h, TAR_OP_LITERAL, size);
	add(h, data, size);
}

void tar_headers_file(struct tar_headers *h, const char *path, size_t size)
{
	add_op(h, TAR_OP_FILE, size);
	add(h, path, size);
	h->pos = 0;
	h->sum = (struct data_sum){0};
}

void tar_headers_data(struct tar_headers *h, const void *data, size_t size, uint64_t offset)
{
	if (!size)
		return;
	if (offset != h->pos)
		add_op(h, TAR_OP_SKIP, offset - h->pos);
	add_op(h, TAR_OP_DATA, size);
	data_sum_add(&h->sum, data, size);
	h->pos = offset + size;
}

void tar_headers_end_file(struct tar_headers *h)
{
	uint64_t v = htole64(data_sum_value(&h->sum));

	add_op(h, TAR_OP_SUM, 0);
	add(h, &v, sizeof(v));
}

void tar_headers_moved(struct tar_headers *h, const char *path, size_t size, unsigned number)
{
	add_op(h, TAR_OP_MOVED, size);
	add(h, path, size);
	add_number(h, number);
}

static void keep_literal(void *arg, const void *data, size_t size)
{
	tar_headers_literal(arg, data, size);
}

static void keep_data(void *arg, const void *data, size_t size, uint64_t offset)
{
	tar_headers_data(arg, data, size, offset);
}

void tar_headers_keep(struct tar_headers *h, struct tar_keep *ret)
{
	*ret = (struct tar_keep){.arg = h, .literal = keep_literal, .data = keep_data};
}

int tar_headers_finish(struct tar_headers *h, uint64_t *ret_size, struct error **reterr)
{
	add_op(h, TAR_OP_END, 0);
	compress(h, ZSTD_e_end);
	if (h->failed)
		return error_set(reterr, &error_no_memory);
	if (h->errnum)
		return error_set(
			reterr, error_path("write", TAR_HEADERS_FILE, error_errno(h->errnum)));
	*ret_size = h->written;
	return 0;
}
