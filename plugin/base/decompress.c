/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: pkg/archive DetectCompression and DecompressStream. gzip is in gunzip.c. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/decompress.h"

#include <bzlib.h>
#include <limits.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/error.h"
#include "base/gunzip.h"

#define DEFAULT_MEMORY_LIMIT (UINT64_C(128) << 20)
#define ZSTD_WINDOW_LOG_MAX 27
#define ZSTD_WINDOW_LOG_MIN 10
/* The longest of the magic numbers. */
#define MAGIC_MAX 6

enum compression { UNKNOWN, UNCOMPRESSED, GZIP, BZIP2, XZ, ZSTD };

struct decompressor {
	enum compression kind;
	uint64_t memory_limit;
	/* What was taken to tell the kind, and how much of it the codec has taken. */
	unsigned char magic[MAGIC_MAX];
	size_t magic_size, magic_used;
	bool open;     /* the codec was made */
	bool complete; /* between two frames (zstd) or streams (bzip2) */
	bool padding;  /* zeros behind the last one */
	struct gunzip *gzip;
	bz_stream bzip2;
	bool bzip2_first, bzip2_open;
	lzma_stream xz;
	ZSTD_DCtx *zstd;
};

struct decompressor *decompressor_new(uint64_t memory_limit, struct error **reterr)
{
	struct decompressor *d = calloc(1, sizeof(*d));

	if (!d) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	d->memory_limit = memory_limit ? memory_limit : DEFAULT_MEMORY_LIMIT;
	return d;
}

void decompressor_free(struct decompressor *d)
{
	if (!d)
		return;
	gunzip_free(d->gzip);
	if (d->bzip2_open)
		BZ2_bzDecompressEnd(&d->bzip2);
	if (d->kind == XZ && d->open)
		lzma_end(&d->xz);
	ZSTD_freeDCtx(d->zstd);
	free(d);
}

bool decompressor_started(const struct decompressor *d)
{
	return d->open && (d->kind != GZIP || gunzip_started(d->gzip));
}

/* ---- telling the kind */

struct magic {
	enum compression kind;
	size_t size;
	unsigned char bytes[MAGIC_MAX], mask[MAGIC_MAX];
};

static const struct magic magics[] = {
	{BZIP2, 3, "BZh", {0xff, 0xff, 0xff}},
	{GZIP, 3, {0x1f, 0x8b, 0x08}, {0xff, 0xff, 0xff}},
	{XZ, 6, {0xfd, '7', 'z', 'X', 'Z', 0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	{ZSTD, 4, {0x28, 0xb5, 0x2f, 0xfd}, {0xff, 0xff, 0xff, 0xff}},
	/* a frame to be skipped */
	{ZSTD, 4, {0x50, 0x2a, 0x4d, 0x18}, {0xf0, 0xff, 0xff, 0xff}},
};

/* UNKNOWN: more bytes would tell. */
static enum compression detect(const unsigned char *p, size_t size)
{
	bool may_be = false;

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		const struct magic *m = &magics[i];
		size_t n = 0;

		while (n < size && n < m->size && (p[n] & m->mask[n]) == m->bytes[n])
			n++;
		if (n == m->size)
			return m->kind;
		if (n == size)
			may_be = true;
	}
	return may_be ? UNKNOWN : UNCOMPRESSED;
}

/* ---- zstd */

static int zstd_open(struct decompressor *d, struct error **reterr)
{
	int log = ZSTD_WINDOW_LOG_MIN;

	while (log < ZSTD_WINDOW_LOG_MAX && UINT64_C(2) << log <= d->memory_limit)
		log++;
	d->zstd = ZSTD_createDCtx();
	if (!d->zstd)
		return error_set(reterr, &error_no_memory);
	if (ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, log)))
		return error_setf(reterr, "zstd: cannot set the window's limit");
	return 0;
}

static int zstd_run(struct decompressor *d, struct codec_io *io, struct error **reterr)
{
	for (;;) {
		ZSTD_inBuffer in = {io->in, io->in_size, 0};
		ZSTD_outBuffer out = {io->out, io->out_size, 0};
		size_t r;

		if (d->complete && io->in_size == 0)
			return io->finish;
		if (d->complete && *io->in == 0) {
			d->padding = true;
			return 0;
		}
		r = ZSTD_decompressStream(d->zstd, &out, &in);
		if (ZSTD_isError(r))
			return error_setf(reterr, "zstd: %s", ZSTD_getErrorName(r));
		io->in += in.pos;
		io->in_size -= in.pos;
		io->out += out.pos;
		io->out_size -= out.pos;
		d->complete = r == 0;
		if (d->complete)
			continue;
		if (io->out_size == 0)
			return 0;
		if (io->in_size == 0)
			return io->finish ? error_set(reterr, &err_unexpected_eof) : 0;
	}
}

/* ---- bzip2 */

static int bzip2_open(struct decompressor *d, struct error **reterr)
{
	memset(&d->bzip2, 0, sizeof(d->bzip2));
	if (BZ2_bzDecompressInit(&d->bzip2, 0, 0) != BZ_OK)
		return error_set(reterr, &error_no_memory);
	d->bzip2_open = true;
	return 0;
}

static int bzip2_error(struct decompressor *d, int r, struct error **reterr)
{
	if (r == BZ_MEM_ERROR)
		return error_set(reterr, &error_no_memory);
	if (r != BZ_DATA_ERROR_MAGIC)
		return error_setf(reterr, "bzip2 data invalid: corrupt data");
	return error_setf(reterr, "bzip2 data invalid: bad magic value%s",
		d->bzip2_first ? "" : " in continuation file");
}

static int bzip2_step(struct decompressor *d, struct codec_io *io, struct error **reterr)
{
	unsigned in = io->in_size < UINT_MAX ? (unsigned)io->in_size : UINT_MAX;
	unsigned out = io->out_size < UINT_MAX ? (unsigned)io->out_size : UINT_MAX;
	int r;

	d->bzip2.next_in = (char *)io->in; /* not written to */
	d->bzip2.avail_in = in;
	d->bzip2.next_out = (char *)io->out;
	d->bzip2.avail_out = out;
	r = BZ2_bzDecompress(&d->bzip2);
	in -= d->bzip2.avail_in;
	out -= d->bzip2.avail_out;
	io->in += in;
	io->in_size -= in;
	io->out += out;
	io->out_size -= out;
	if (r == BZ_STREAM_END) {
		BZ2_bzDecompressEnd(&d->bzip2);
		d->bzip2_open = false;
		d->bzip2_first = false;
		d->complete = true;
		return 1;
	}
	if (r != BZ_OK)
		return bzip2_error(d, r, reterr);
	if (io->out_size == 0)
		return 0;
	if (io->in_size == 0)
		return io->finish ? error_set(reterr, &err_unexpected_eof) : 0;
	return 1;
}

static int bzip2_run(struct decompressor *d, struct codec_io *io, struct error **reterr)
{
	int r;

	do {
		if (d->complete && io->in_size == 0)
			return io->finish;
		if (d->complete && *io->in == 0) {
			d->padding = true;
			return 0;
		}
		if (!d->bzip2_open && bzip2_open(d, reterr) < 0)
			return -1;
		d->complete = false;
		r = bzip2_step(d, io, reterr);
	} while (r > 0);
	return r;
}

/* ---- xz */

static int xz_open(struct decompressor *d, struct error **reterr)
{
	d->xz = (lzma_stream)LZMA_STREAM_INIT;
	if (lzma_stream_decoder(&d->xz, d->memory_limit, LZMA_CONCATENATED) != LZMA_OK)
		return error_set(reterr, &error_no_memory);
	return 0;
}

static int xz_run(struct decompressor *d, struct codec_io *io, struct error **reterr)
{
	lzma_ret r;

	d->xz.next_in = io->in;
	d->xz.avail_in = io->in_size;
	d->xz.next_out = io->out;
	d->xz.avail_out = io->out_size;
	r = lzma_code(&d->xz, io->finish ? LZMA_FINISH : LZMA_RUN);
	io->in = d->xz.next_in;
	io->in_size = d->xz.avail_in;
	io->out = d->xz.next_out;
	io->out_size = d->xz.avail_out;
	switch (r) {
	case LZMA_OK:
		return 0;
	case LZMA_STREAM_END:
		return 1;
	case LZMA_BUF_ERROR: /* no progress was possible */
		if (io->finish && io->out_size)
			return error_set(reterr, &err_unexpected_eof);
		return 0;
	case LZMA_MEM_ERROR:
		return error_set(reterr, &error_no_memory);
	case LZMA_MEMLIMIT_ERROR:
		return error_setf(reterr, "xz: Memory usage limit reached");
	case LZMA_OPTIONS_ERROR:
		return error_setf(reterr, "xz: Unsupported options");
	default:
		return error_setf(reterr, "xz: Compressed data is corrupt");
	}
}

/* ---- all of them */

static int copy_run(struct codec_io *io)
{
	size_t n = io->in_size < io->out_size ? io->in_size : io->out_size;

	if (n)
		memcpy(io->out, io->in, n);
	io->in += n;
	io->in_size -= n;
	io->out += n;
	io->out_size -= n;
	return io->finish && io->in_size == 0;
}

static int skip_zeros(struct codec_io *io, struct error **reterr)
{
	while (io->in_size) {
		if (*io->in)
			return error_setf(reterr, "trailing data behind the compressed stream");
		io->in++;
		io->in_size--;
	}
	return io->finish;
}

static int codec_open(struct decompressor *d, struct error **reterr)
{
	int r = 0;

	switch (d->kind) {
	case GZIP:
		d->gzip = gunzip_new(reterr);
		r = d->gzip ? 0 : -1;
		break;
	case BZIP2:
		d->bzip2_first = true;
		break;
	case XZ:
		r = xz_open(d, reterr);
		break;
	case ZSTD:
		r = zstd_open(d, reterr);
		break;
	default:
		break;
	}
	d->open = r == 0;
	return r;
}

static int codec_run(struct decompressor *d, struct codec_io *io, struct error **reterr)
{
	int r = 0;

	if (!d->open && codec_open(d, reterr) < 0)
		return -1;
	if (d->padding)
		return skip_zeros(io, reterr);
	switch (d->kind) {
	case GZIP:
		return gunzip_run(d->gzip, io, reterr);
	case BZIP2:
		r = bzip2_run(d, io, reterr);
		break;
	case XZ:
		return xz_run(d, io, reterr);
	case ZSTD:
		r = zstd_run(d, io, reterr);
		break;
	default:
		return copy_run(io);
	}
	return r == 0 && d->padding ? skip_zeros(io, reterr) : r;
}

/* Take bytes until the kind can be told. False: more are needed. */
static bool take_magic(struct decompressor *d, struct codec_io *io)
{
	while (d->kind == UNKNOWN && io->in_size) {
		d->magic[d->magic_size++] = *io->in++;
		io->in_size--;
		d->kind = detect(d->magic, d->magic_size);
	}
	if (d->kind == UNKNOWN && io->finish)
		d->kind = UNCOMPRESSED;
	return d->kind != UNKNOWN;
}

static int run(struct decompressor *d, struct codec_io *io, struct error **reterr)
{
	if (!take_magic(d, io))
		return 0;
	while (d->magic_used < d->magic_size) {
		struct codec_io first = {.in = d->magic + d->magic_used,
			.in_size = d->magic_size - d->magic_used,
			.out = io->out,
			.out_size = io->out_size};

		if (codec_run(d, &first, reterr) < 0)
			return -1;
		io->out = first.out;
		io->out_size = first.out_size;
		d->magic_used = d->magic_size - first.in_size;
		if (first.in_size && io->out_size == 0)
			return 0;
	}
	return codec_run(d, io, reterr);
}

int decompressor_run(struct decompressor *d, const void *in, size_t in_size, size_t *in_used,
	void *out, size_t out_size, size_t *out_used, bool finish, struct error **reterr)
{
	struct codec_io io = {
		.in = in, .in_size = in_size, .out = out, .out_size = out_size, .finish = finish};
	int r = run(d, &io, reterr);

	*in_used = in_size - io.in_size;
	*out_used = out_size - io.out_size;
	return r;
}
