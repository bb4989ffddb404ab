/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: compress/gzip/gunzip.go. The header and the order of the members are read here,
 * the deflate streams by ISA-L where there is one, else by zlib. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/gunzip.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

#include "base/error.h"

#define HEADER_SIZE 10
#define TRAILER_SIZE 8
/* Go reads names and comments into a buffer of this size, their NUL included. */
#define STRING_MAX 512

#define FLAG_HDR_CRC 2
#define FLAG_EXTRA 4
#define FLAG_NAME 8
#define FLAG_COMMENT 16

enum gunzip_state {
	GUNZIP_HEADER,
	GUNZIP_EXTRA_SIZE,
	GUNZIP_EXTRA,
	GUNZIP_NAME,
	GUNZIP_COMMENT,
	GUNZIP_HDR_CRC,
	GUNZIP_DEFLATE,
	GUNZIP_TRAILER,
	GUNZIP_PADDING,
};

struct gunzip {
	enum gunzip_state state;
	bool first; /* no member was read yet */
	bool started;
	unsigned char flags;
	unsigned char field[HEADER_SIZE]; /* the fixed-size field that is being read */
	size_t have;                      /* bytes of it, or of the extra field or string */
	size_t extra_size;
	uint32_t header_crc;
	uint64_t deflated; /* bytes that went into this member's inflater */
#ifdef HAVE_ISAL
	struct inflate_state inflate;
#else
	z_stream inflate;
	uint32_t crc;
	uint32_t size;
#endif
};

struct gunzip *gunzip_new(struct error **reterr)
{
	struct gunzip *g = malloc(sizeof(*g));

	if (!g) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	memset(g, 0, offsetof(struct gunzip, inflate));
	g->first = true;
#ifdef HAVE_ISAL
	isal_inflate_init(&g->inflate);
	g->inflate.crc_flag = ISAL_GZIP_NO_HDR_VER;
#else
	memset(&g->inflate, 0, sizeof(g->inflate));
	if (inflateInit2(&g->inflate, -MAX_WBITS) != Z_OK) {
		free(g);
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	g->crc = 0;
	g->size = 0;
#endif
	return g;
}

void gunzip_free(struct gunzip *g)
{
	if (!g)
		return;
#ifndef HAVE_ISAL
	inflateEnd(&g->inflate);
#endif
	free(g);
}

bool gunzip_started(const struct gunzip *g)
{
	return g->started;
}

static int invalid_header(struct error **reterr)
{
	return error_setf(reterr, "gzip: invalid header");
}

static int invalid_checksum(struct error **reterr)
{
	return error_setf(reterr, "gzip: invalid checksum");
}

static int corrupt_input(const struct gunzip *g, size_t unread_bits, struct error **reterr)
{
	return error_setf(reterr, "flate: corrupt input before offset %llu",
		(unsigned long long)(g->deflated - unread_bits / 8));
}

static uint32_t le16(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* ---- the inflater: 1 at the member's end, 0 for more input or room, -1 */

#ifdef HAVE_ISAL

static void inflater_reset(struct gunzip *g)
{
	isal_inflate_reset(&g->inflate);
}

/* The trailer is read and checked by ISA-L too: it buffers input bits, and hands back none. */
static int inflater_run(struct gunzip *g, struct codec_io *io, struct error **reterr)
{
	struct inflate_state *s = &g->inflate;
	/* its counters have 32 bits */
	uint32_t in = io->in_size < INT32_MAX ? (uint32_t)io->in_size : INT32_MAX;
	uint32_t out = io->out_size < INT32_MAX ? (uint32_t)io->out_size : INT32_MAX;
	int r;

	s->next_in = (uint8_t *)io->in; /* not written to */
	s->avail_in = in;
	s->next_out = io->out;
	s->avail_out = out;
	r = isal_inflate(s);
	io->in += in - s->avail_in;
	io->in_size -= in - s->avail_in;
	io->out += out - s->avail_out;
	io->out_size -= out - s->avail_out;
	g->deflated += in - s->avail_in;
	if (r == ISAL_INCORRECT_CHECKSUM)
		return invalid_checksum(reterr);
	if (r < 0)
		return corrupt_input(
			g, s->read_in_length > 0 ? (size_t)s->read_in_length : 0, reterr);
	return s->block_state == ISAL_BLOCK_FINISH;
}

#else

static void inflater_reset(struct gunzip *g)
{
	inflateReset(&g->inflate);
	g->crc = 0;
	g->size = 0;
}

static int inflater_run(struct gunzip *g, struct codec_io *io, struct error **reterr)
{
	z_stream *s = &g->inflate;
	uInt in = io->in_size < INT32_MAX ? (uInt)io->in_size : INT32_MAX;
	uInt out = io->out_size < INT32_MAX ? (uInt)io->out_size : INT32_MAX;
	int r;

	s->next_in = (Bytef *)io->in; /* not written to */
	s->avail_in = in;
	s->next_out = io->out;
	s->avail_out = out;
	r = inflate(s, Z_NO_FLUSH);
	in -= s->avail_in;
	out -= s->avail_out;
	g->crc = (uint32_t)crc32(g->crc, io->out, out);
	g->size += out;
	g->deflated += in;
	io->in += in;
	io->in_size -= in;
	io->out += out;
	io->out_size -= out;
	if (r == Z_MEM_ERROR)
		return error_set(reterr, &error_no_memory);
	if (r == Z_STREAM_END) {
		g->state = GUNZIP_TRAILER;
		return 0;
	}
	if (r != Z_OK && r != Z_BUF_ERROR)
		return corrupt_input(g, 0, reterr);
	return 0;
}

static uint32_t le32(const unsigned char *p)
{
	return le16(p) | le16(p + 2) << 16;
}

#endif

/* ---- the header: Reader.readHeader */

/* Collect a field of n bytes. True once it is whole. */
static bool field(struct gunzip *g, struct codec_io *io, size_t n)
{
	size_t k = n - g->have < io->in_size ? n - g->have : io->in_size;

	if (k)
		memcpy(g->field + g->have, io->in, k);
	g->have += k;
	io->in += k;
	io->in_size -= k;
	if (g->have < n)
		return false;
	g->have = 0;
	return true;
}

static void header_crc(struct gunzip *g, const unsigned char *p, size_t n)
{
	g->header_crc = (uint32_t)crc32(g->header_crc, p, (uInt)n);
}

/* The state behind this part of the header, by the flags. */
static enum gunzip_state after(const struct gunzip *g, enum gunzip_state state)
{
	if (state < GUNZIP_EXTRA_SIZE && g->flags & FLAG_EXTRA)
		return GUNZIP_EXTRA_SIZE;
	if (state < GUNZIP_NAME && g->flags & FLAG_NAME)
		return GUNZIP_NAME;
	if (state < GUNZIP_COMMENT && g->flags & FLAG_COMMENT)
		return GUNZIP_COMMENT;
	if (state < GUNZIP_HDR_CRC && g->flags & FLAG_HDR_CRC)
		return GUNZIP_HDR_CRC;
	return GUNZIP_DEFLATE;
}

/* 1 when its NUL was read, 0 for more input, -1 when it is too long. */
static int skip_string(struct gunzip *g, struct codec_io *io)
{
	while (io->in_size) {
		unsigned char c = *io->in;

		if (g->have >= STRING_MAX)
			return -1;
		header_crc(g, &c, 1);
		g->have++;
		io->in++;
		io->in_size--;
		if (c == 0) {
			g->have = 0;
			return 1;
		}
	}
	return 0;
}

/* True once it was skipped. */
static bool skip_extra(struct gunzip *g, struct codec_io *io)
{
	size_t n = g->extra_size - g->have;

	if (n > io->in_size)
		n = io->in_size;
	header_crc(g, io->in, n);
	io->in += n;
	io->in_size -= n;
	g->have += n;
	if (g->have < g->extra_size)
		return false;
	g->have = 0;
	return true;
}

/* One step. 1: go on; 0: more input; -1. */
static int header_step(struct gunzip *g, struct codec_io *io, struct error **reterr)
{
	int r = 1;

	switch (g->state) {
	case GUNZIP_HEADER:
		if (!field(g, io, HEADER_SIZE))
			return 0;
		if (g->field[0] != 0x1f || g->field[1] != 0x8b || g->field[2] != Z_DEFLATED)
			return invalid_header(reterr);
		g->flags = g->field[3];
		g->header_crc = 0;
		header_crc(g, g->field, HEADER_SIZE);
		break;
	case GUNZIP_EXTRA_SIZE:
		if (!field(g, io, 2))
			return 0;
		header_crc(g, g->field, 2);
		g->extra_size = le16(g->field);
		g->state = GUNZIP_EXTRA;
		return 1;
	case GUNZIP_EXTRA:
		if (!skip_extra(g, io))
			return 0;
		break;
	case GUNZIP_NAME:
	case GUNZIP_COMMENT:
		r = skip_string(g, io);
		if (r < 0)
			return invalid_header(reterr);
		if (r == 0)
			return 0;
		break;
	default:
		if (!field(g, io, 2))
			return 0;
		if (le16(g->field) != (g->header_crc & 0xffff))
			return invalid_header(reterr);
		break;
	}
	g->state = after(g, g->state);
	if (g->state == GUNZIP_DEFLATE) {
		g->started = true;
		g->deflated = 0;
		inflater_reset(g);
	}
	return 1;
}

/* ---- the members */

static void member_end(struct gunzip *g)
{
	g->first = false;
	g->state = GUNZIP_HEADER;
}

/* Zeros up to the end; anything else would be the header of another member. */
static int skip_padding(struct codec_io *io, struct error **reterr)
{
	while (io->in_size) {
		if (*io->in)
			return invalid_header(reterr);
		io->in++;
		io->in_size--;
	}
	return 0;
}

/* 1: go on; 0: more input or room; -1. */
static int step(struct gunzip *g, struct codec_io *io, struct error **reterr)
{
	size_t in = io->in_size, out = io->out_size;
	int r;

	switch (g->state) {
	case GUNZIP_DEFLATE:
		r = inflater_run(g, io, reterr);
		if (r > 0)
			member_end(g);
		if (r != 0 || g->state != GUNZIP_DEFLATE)
			return r < 0 ? -1 : 1;
		return (in != io->in_size || out != io->out_size) && io->in_size && io->out_size;
#ifndef HAVE_ISAL
	case GUNZIP_TRAILER:
		if (!field(g, io, TRAILER_SIZE))
			return 0;
		if (le32(g->field) != g->crc || le32(g->field + 4) != g->size)
			return invalid_checksum(reterr);
		member_end(g);
		return 1;
#endif
	case GUNZIP_PADDING:
		return skip_padding(io, reterr);
	case GUNZIP_HEADER:
		if (!g->first && g->have == 0 && io->in_size && *io->in == 0) {
			g->state = GUNZIP_PADDING;
			return 1;
		}
		return header_step(g, io, reterr);
	default:
		return header_step(g, io, reterr);
	}
}

int gunzip_run(struct gunzip *g, struct codec_io *io, struct error **reterr)
{
	int r;

	do {
		r = step(g, io, reterr);
	} while (r > 0);
	if (r < 0)
		return -1;
	if (!io->finish || io->in_size)
		return 0;
	if (g->state == GUNZIP_PADDING || (g->state == GUNZIP_HEADER && !g->first && g->have == 0))
		return 1;
	if (g->state == GUNZIP_DEFLATE && io->out_size == 0)
		return 0;
	return error_set(reterr, &err_unexpected_eof);
}
