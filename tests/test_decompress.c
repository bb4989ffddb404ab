/* SPDX-License-Identifier: Apache-2.0 */
/* base/decompress: every kind, however it is cut, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bzlib.h>
#include <lzma.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/decompress.h"

#define MAX_OUT (1 << 20)

/* ---- making streams */

/* Text-like, repetitive, with incompressible stretches. */
static void make_plain(struct buf *b, size_t size)
{
	uint32_t seed = 12345;

	while (b->size < size) {
		seed = seed * 1103515245 + 12345;
		if (seed >> 28 == 0) {
			for (int i = 0; i < 60; i++) {
				seed = seed * 1103515245 + 12345;
				buf_append_char(b, (char)(seed >> 16));
			}
		} else {
			buf_appendf(b, "line %u of some file\n", seed >> 26);
		}
	}
	b->size = size;
}

static void deflate_to(struct buf *to, const struct buf *from, int level, int strategy, int wbits)
{
	z_stream s = {0};
	size_t bound = from->size + from->size / 8 + 1024;
	unsigned char *out = malloc(bound);

	assert_int_equal(deflateInit2(&s, level, Z_DEFLATED, wbits, 8, strategy), Z_OK);
	s.next_in = (Bytef *)(from->data ? from->data : "");
	s.avail_in = (uInt)from->size;
	s.next_out = out;
	s.avail_out = (uInt)bound;
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	buf_append(to, out, bound - s.avail_out);
	deflateEnd(&s);
	free(out);
}

static void gzip_to(struct buf *to, const struct buf *from, int level, int strategy)
{
	deflate_to(to, from, level, strategy, 15 + 16);
}

/* A member with these flags and header fields in place of zlib's plain one. */
static void gzip_with_header(struct buf *to, const struct buf *from, unsigned char flags,
	size_t name_size, bool right_crc)
{
	struct buf raw = {0}, head = {0};
	unsigned char fixed[10] = {0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3};
	uint32_t crc;

	buf_append(&head, fixed, sizeof(fixed));
	if (flags & 4)
		buf_append(&head, "\5\0extra", 7);
	for (int i = 0; i < 2; i++) {
		if (!(flags & (i ? 16 : 8)))
			continue;
		for (size_t k = 1; k < name_size; k++)
			buf_append_char(&head, 'n');
		buf_append_char(&head, 0);
	}
	crc = (uint32_t)crc32(0, (Bytef *)head.data, (uInt)head.size) ^ (right_crc ? 0 : 1);
	if (flags & 2) {
		buf_append_char(&head, (char)crc);
		buf_append_char(&head, (char)(crc >> 8));
	}
	gzip_to(&raw, from, 6, Z_DEFAULT_STRATEGY);
	buf_append(to, head.data, head.size);
	buf_append(to, raw.data + 10, raw.size - 10);
	buf_free(&raw);
	buf_free(&head);
}

static void bzip2_to(struct buf *to, const struct buf *from)
{
	unsigned n = (unsigned)(from->size + from->size / 50 + 700);
	char *out = malloc(n);

	assert_int_equal(BZ2_bzBuffToBuffCompress(out, &n, from->data ? from->data : (char *)"",
				 (unsigned)from->size, 1, 0, 0),
		BZ_OK);
	buf_append(to, out, n);
	free(out);
}

static void xz_to(struct buf *to, const struct buf *from)
{
	size_t bound = lzma_stream_buffer_bound(from->size), n = 0;
	uint8_t *out = malloc(bound);

	assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL,
				 (const uint8_t *)from->data, from->size, out, &n, bound),
		LZMA_OK);
	buf_append(to, out, n);
	free(out);
}

static void zstd_to(struct buf *to, const struct buf *from, int window_log)
{
	size_t bound = ZSTD_compressBound(from->size), n;
	char *out = malloc(bound);
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_inBuffer in = {from->data, from->size, 0};
	ZSTD_outBuffer o = {out, bound, 0};

	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	if (window_log) {
		/* in a stream of unknown size the frame asks for the whole window */
		ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
		ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
		n = ZSTD_compressStream2(c, &o, &in, ZSTD_e_flush);
		assert_false(ZSTD_isError(n));
	}
	n = ZSTD_compressStream2(c, &o, &in, ZSTD_e_end);
	assert_int_equal(n, 0);
	buf_append(to, out, o.pos);
	ZSTD_freeCCtx(c);
	free(out);
}

/* ---- running them */

/* Feed in pieces of in_step into pieces of out_step. The result, or the error's text, in *out. */
static int decode(const struct buf *in, size_t in_step, size_t out_step, uint64_t limit,
	struct buf *out, bool *ret_started)
{
	struct decompressor *d = decompressor_new(limit, NULL);
	cleanup_error struct error *err = NULL;
	size_t at = 0;
	char *piece = malloc(out_step);
	int r = 0, idle = 0;

	assert_non_null(d);
	while (r == 0) {
		size_t n = in->size - at < in_step ? in->size - at : in_step, used, made;
		/* a copy of its own, so that ASan sees a read beyond it */
		char *copy = malloc(n ? n : 1);

		if (n)
			memcpy(copy, in->data + at, n);
		r = decompressor_run(
			d, copy, n, &used, piece, out_step, &made, at + n == in->size, &err);
		free(copy);
		at += used;
		buf_append(out, piece, made);
		idle = used || made ? 0 : idle + 1;
		if (idle > 3 || out->size > MAX_OUT)
			fail_msg("no progress at %zu of %zu bytes, %zu made, pieces of %zu", at,
				in->size, out->size, in_step);
	}
	if (r < 0) {
		buf_reset(out);
		buf_append_str(out, err->message);
	} else if (at != in->size) {
		fail_msg("complete at %zu of %zu bytes", at, in->size);
	}
	if (ret_started)
		*ret_started = decompressor_started(d);
	decompressor_free(d);
	free(piece);
	return r;
}

static void expect_data(const struct buf *in, size_t in_step, size_t out_step,
	const struct buf *want, const char *what)
{
	struct buf got = {0};
	int r = decode(in, in_step, out_step, 0, &got, NULL);

	if (r != 1 || got.size != want->size ||
		(got.size && memcmp(got.data, want->data, got.size) != 0))
		fail_msg("%s, pieces of %zu into %zu: result %d, %zu bytes in place of %zu (%.60s)",
			what, in_step, out_step, r, got.size, want->size, got.data ? got.data : "");
	buf_free(&got);
}

static void expect_error(
	const struct buf *in, size_t in_step, const char *want, bool started, const char *what)
{
	struct buf got = {0};
	bool was_started;
	int r = decode(in, in_step, 4096, 0, &got, &was_started);

	if (r != -1 || (want && strcmp(got.data, want) != 0) || was_started != started)
		fail_msg("%s, pieces of %zu: result %d, \"%.60s\" in place of \"%s\", started %d",
			what, in_step, r, got.data ? got.data : "", want ? want : "any error",
			was_started);
	buf_free(&got);
}

enum kind {
	K_GZIP,
	K_GZIP_STORED,
	K_GZIP_FIXED,
	K_GZIP_HUFFMAN,
	K_GZIP_HEADER,
	K_BZIP2,
	K_XZ,
	K_ZSTD,
	K_PLAIN,
	K_COUNT
};
static const char *const kind_names[] = {"gzip", "gzip stored", "gzip fixed", "gzip huffman",
	"gzip with a full header", "bzip2", "xz", "zstd", "plain"};

static void make(enum kind k, struct buf *to, const struct buf *from)
{
	switch (k) {
	case K_GZIP:
		gzip_to(to, from, 9, Z_DEFAULT_STRATEGY);
		break;
	case K_GZIP_STORED:
		gzip_to(to, from, 0, Z_DEFAULT_STRATEGY);
		break;
	case K_GZIP_FIXED:
		gzip_to(to, from, 6, Z_FIXED);
		break;
	case K_GZIP_HUFFMAN:
		gzip_to(to, from, 6, Z_HUFFMAN_ONLY);
		break;
	case K_GZIP_HEADER:
		gzip_with_header(to, from, 2 + 4 + 8 + 16, 512, true);
		break;
	case K_BZIP2:
		bzip2_to(to, from);
		break;
	case K_XZ:
		xz_to(to, from);
		break;
	case K_ZSTD:
		zstd_to(to, from, 0);
		break;
	default:
		buf_append(to, from->data, from->size);
		break;
	}
}

/* ---- the tests */

static void all_kinds_however_cut(void **state)
{
	static const size_t sizes[] = {0, 1, 5, 700, 40000};
	static const size_t steps[] = {1, 2, 3, 5, 7, 8, 9, 13, 64, 1000, 1 << 20};

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct buf plain = {0};

		make_plain(&plain, sizes[s]);
		for (enum kind k = 0; k < K_COUNT; k++) {
			struct buf in = {0};

			make(k, &in, &plain);
			for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
				for (size_t o = 0; o < ARRAY_SIZE(steps); o++) {
					if (sizes[s] > 1000 && (i + o < 6 || o < 7))
						continue;
					expect_data(&in, steps[i], steps[o], &plain, kind_names[k]);
				}
			}
			buf_free(&in);
		}
		buf_free(&plain);
	}
}

/* Two pieces with the border at every byte: ISA-L keeps input bits over the border. */
static void border_at_every_byte(void **state)
{
	struct buf plain = {0};

	(void)state;
	make_plain(&plain, 1500);
	for (enum kind k = 0; k < K_COUNT; k++) {
		struct buf in = {0};

		make(k, &in, &plain);
		if (k != K_PLAIN)
			make(k, &in, &plain);
		for (size_t at = 1; at < in.size; at++) {
			struct decompressor *d = decompressor_new(0, NULL);
			struct buf got = {0};
			char out[8192];
			size_t used, made;
			int r;

			r = decompressor_run(
				d, in.data, at, &used, out, sizeof(out), &made, false, NULL);
			assert_int_equal(r, 0);
			assert_int_equal(used, at);
			buf_append(&got, out, made);
			r = decompressor_run(d, in.data + at, in.size - at, &used, out, sizeof(out),
				&made, true, NULL);
			buf_append(&got, out, made);
			if (r != 1 || got.size != plain.size * (k == K_PLAIN ? 1 : 2) ||
				memcmp(got.data, plain.data, plain.size) != 0)
				fail_msg("%s, border at %zu of %zu: result %d, %zu bytes",
					kind_names[k], at, in.size, r, got.size);
			decompressor_free(d);
			buf_free(&got);
		}
		buf_free(&in);
	}
	buf_free(&plain);
}

static void truncated(void **state)
{
	struct buf plain = {0};

	(void)state;
	make_plain(&plain, 300);
	for (enum kind k = 0; k < K_PLAIN; k++) {
		struct buf in = {0};
		size_t whole, magic = k == K_XZ ? 6 : k == K_ZSTD ? 4 : 3;
		size_t head = k == K_GZIP_HEADER  ? 10 + 7 + 2 * 512 + 2
			      : k < K_GZIP_HEADER ? 10
						  : magic;

		make(k, &in, &plain);
		whole = in.size;
		for (in.size = 0; in.size < whole; in.size++) {
			if (in.size < magic) /* too short for its kind: plain, as in the original */
				expect_data(&in, 1 << 20, 4096, &in, kind_names[k]);
			else
				expect_error(&in, in.size % 3 ? 1 << 20 : 1, "unexpected EOF",
					in.size >= head, kind_names[k]);
		}
		buf_free(&in);
	}
	buf_free(&plain);
}

static bool unchecked(enum kind k, size_t at, size_t size)
{
	if (k == K_ZSTD)
		return at == 4; /* a bit that the format leaves unused */
	if (k > K_GZIP_HEADER)
		return false;
	return at == size - 9 || (k == K_GZIP_STORED && at == 10) ||
	       (k != K_GZIP_HEADER && at >= 3 && at < 10);
}

static void corrupt(void **state)
{
	struct buf plain = {0};

	(void)state;
	make_plain(&plain, 600);
	for (enum kind k = 0; k < K_PLAIN; k++) {
		struct buf in = {0};

		make(k, &in, &plain);
		for (size_t at = 0; at < in.size; at++) {
			struct buf got = {0};
			int r;

			in.data[at] ^= 0x10;
			r = decode(&in, 1 << 20, 4096, 0, &got, NULL);
			/* gzip's time and system count for nothing, nor do the bits that fill up a
			 * byte before a stored block and before the trailer; a damaged magic number
			 * makes it plain */
			if (r == 1 && got.size == plain.size &&
				memcmp(got.data, plain.data, plain.size) == 0) {
				if (!unchecked(k, at, in.size))
					fail_msg("%s: damage at %zu of %zu was not seen",
						kind_names[k], at, in.size);
			} else if (r == 1 && (got.size != in.size || at >= 6)) {
				fail_msg("%s: damage at %zu gave other data", kind_names[k], at);
			}
			in.data[at] ^= 0x10;
			buf_free(&got);
		}
		buf_free(&in);
	}
	buf_free(&plain);
}

static void behind_the_end(void **state)
{
	static const char *const junk_errors[] = {[K_GZIP] = "gzip: invalid header",
		[K_BZIP2] = "bzip2 data invalid: bad magic value in continuation file",
		[K_XZ] = NULL,
		[K_ZSTD] = NULL};
	static const enum kind kinds[] = {K_GZIP, K_BZIP2, K_XZ, K_ZSTD};
	struct buf plain = {0};

	(void)state;
	make_plain(&plain, 500);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		enum kind k = kinds[i];
		struct buf in = {0}, twice = {0};
		size_t whole;

		make(k, &in, &plain);
		whole = in.size;
		for (int n = 0; n < 16; n++)
			buf_append_char(&in, 0);
		for (size_t step = 1; step < 20; step += 6)
			expect_data(&in, step, 4096, &plain, "zeros behind the end");
		buf_append_str(&in, "x");
		expect_error(&in, 1 << 20, NULL, true, "zeros, then junk");
		in.size = whole;
		buf_append_str(&in, "junk behind the end");
		expect_error(&in, 1 << 20, junk_errors[k], true, "junk");
		expect_error(&in, 1, junk_errors[k], true, "junk");
		in.size = whole;
		make(k, &in, &plain);
		buf_append(&twice, plain.data, plain.size);
		buf_append(&twice, plain.data, plain.size);
		expect_data(&in, 7, 4096, &twice, "two streams");
		in.size--;
		expect_error(&in, 1 << 20, "unexpected EOF", true, "second stream cut");
		buf_free(&in);
		buf_free(&twice);
	}
	buf_free(&plain);
}

static void gzip_headers(void **state)
{
	static const struct {
		unsigned char flags;
		size_t name_size;
		bool right_crc;
		const char *error;
	} cases[] = {
		{0, 1, true, NULL},
		{1, 1, true, NULL},
		{0xe0, 1, true, NULL}, /* reserved bits: Go does not look */
		{2, 1, true, NULL},
		{2, 1, false, "gzip: invalid header"},
		{4, 1, true, NULL},
		{8, 1, true, NULL},
		{8, 512, true, NULL},
		{8, 513, true, "gzip: invalid header"},
		{16, 513, true, "gzip: invalid header"},
		{2 + 8 + 16, 30, true, NULL},
		{2 + 8 + 16, 30, false, "gzip: invalid header"},
	};
	struct buf plain = {0};

	(void)state;
	make_plain(&plain, 100);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf in = {0};

		gzip_with_header(
			&in, &plain, cases[i].flags, cases[i].name_size, cases[i].right_crc);
		for (size_t step = 1; step < 4000; step *= 7) {
			if (cases[i].error)
				expect_error(&in, step, cases[i].error, false, "header");
			else
				expect_data(&in, step, 4096, &plain, "header");
		}
		buf_free(&in);
	}
	buf_free(&plain);
}

static void gzip_trailers(void **state)
{
	struct buf plain = {0}, in = {0};

	(void)state;
	make_plain(&plain, 100);
	gzip_to(&in, &plain, 6, Z_DEFAULT_STRATEGY);
	for (size_t back = 1; back <= 8; back++) {
		in.data[in.size - back] ^= 1;
		expect_error(&in, 1 << 20, "gzip: invalid checksum", true, "trailer");
		expect_error(&in, 1, "gzip: invalid checksum", true, "trailer");
		in.data[in.size - back] ^= 1;
	}
	buf_free(&in);
	/* a block of the type that is not there */
	buf_append(&in, "\x1f\x8b\x08\0\0\0\0\0\0\3\7\0\0\0\0\0\0\0", 18);
	expect_error(&in, 1 << 20, "flate: corrupt input before offset 1", true, "block type");
	buf_free(&in);
	buf_free(&plain);
}

static void many_empty_members(void **state)
{
	struct buf nothing = {0}, one = {0}, in = {0};

	(void)state;
	gzip_to(&one, &nothing, 6, Z_DEFAULT_STRATEGY);
	for (int i = 0; i < 200000; i++)
		buf_append(&in, one.data, one.size);
	expect_data(&in, 32768, 4096, &nothing, "200000 empty members");
	buf_free(&one);
	buf_free(&in);
}

static void zstd_windows(void **state)
{
	struct buf plain = {0}, in = {0}, got = {0};

	(void)state;
	make_plain(&plain, 1000);
	zstd_to(&in, &plain, 20);
	expect_data(&in, 100, 4096, &plain, "window of 2^20");
	assert_int_equal(decode(&in, 100, 4096, 1 << 20, &got, NULL), 1);
	buf_reset(&got);
	assert_int_equal(decode(&in, 100, 4096, 1 << 19, &got, NULL), -1);
	assert_non_null(strstr(got.data, "zstd: "));
	buf_free(&in);
	zstd_to(&in, &plain, 28);
	expect_error(&in, 100, NULL, true, "window of 2^28");
	buf_free(&in);
	/* a frame to be skipped in front, as some tools write */
	buf_append(&in, "\x5a\x2a\x4d\x18\3\0\0\0abc", 11);
	zstd_to(&in, &plain, 0);
	expect_data(&in, 1, 4096, &plain, "skippable frame");
	buf_free(&in);
	buf_free(&got);
	buf_free(&plain);
}

static void xz_memory(void **state)
{
	struct buf plain = {0}, in = {0}, got = {0};

	(void)state;
	make_plain(&plain, 1000);
	xz_to(&in, &plain);
	assert_int_equal(decode(&in, 100, 4096, 100000, &got, NULL), -1);
	assert_string_equal(got.data, "xz: Memory usage limit reached");
	buf_free(&in);
	buf_free(&got);
	buf_free(&plain);
}

/* Beginnings that look like a kind and turn out to be none. */
static void nearly_magic(void **state)
{
	static const char *const texts[] = {"", "B", "BZ", "BZip", "\x1f", "\x1f\x8b",
		"\x1f\x8b\x07x", "\xfd", "\xfd\x37zXY", "\x28\xb5\x2f", "\x28\xb5\x2f\xfcx", "abc",
		"\x50\x2a\x4d\x19x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct buf in = {0};

		buf_append_str(&in, texts[i]);
		for (size_t in_step = 1; in_step < 9; in_step++) {
			for (size_t out_step = 1; out_step < 9; out_step++)
				expect_data(&in, in_step, out_step, &in, texts[i]);
		}
		buf_free(&in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_however_cut),
		cmocka_unit_test(border_at_every_byte),
		cmocka_unit_test(truncated),
		cmocka_unit_test(corrupt),
		cmocka_unit_test(behind_the_end),
		cmocka_unit_test(gzip_headers),
		cmocka_unit_test(gzip_trailers),
		cmocka_unit_test(many_empty_members),
		cmocka_unit_test(zstd_windows),
		cmocka_unit_test(xz_memory),
		cmocka_unit_test(nearly_magic),
	};

	return cmocka_run_group_tests_name("decompress", tests, NULL, NULL);
}
