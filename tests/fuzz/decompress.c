/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed layers: however the input is cut, the outcome is the same. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/decompress.h"
#include "base/error.h"
#include "fuzz.h"

#define LIMIT (1u << 20) /* of what is unpacked; memory of windows: 8 MiB */

struct outcome {
	uint64_t size, sum;
	char *message;
};

/* ISA-L reads ahead, so where it stood when it found an error depends on how the input was cut. */
static void forget_offset(char *message)
{
	static const char offset[] = "before offset ";
	char *at = message ? strstr(message, offset) : NULL;

	if (at)
		at[sizeof(offset) - 1] = '\0';
}

static void run(const uint8_t *data, size_t size, size_t step, struct outcome *ret)
{
	struct decompressor *d = decompressor_new(8u << 20, NULL);
	cleanup_error struct error *err = NULL;
	unsigned char out[4096];
	size_t at = 0;
	int r = 0, idle = 0;

	memset(ret, 0, sizeof(*ret));
	while (d && r == 0 && ret->size < LIMIT) {
		size_t n = size - at < step ? size - at : step, used = 0, made = 0;
		int finish = at + n == size;

		r = decompressor_run(d, data + at, n, &used, out, sizeof(out), &made, finish, &err);
		at += used;
		for (size_t i = 0; i < made; i++)
			ret->sum = (ret->sum ^ out[i]) * 1099511628211u;
		ret->size += made;
		/* It may not stand still. */
		idle = used || made ? 0 : idle + 1;
		if (r == 0 && idle > 3)
			must(!"what it should do");
	}
	if (r < 0)
		ret->message = strdup(err->message);
	forget_offset(ret->message);
	decompressor_free(d);
}

static int of_zstd(const struct outcome *o)
{
	return o->message && !strncmp(o->message, "zstd: ", 6);
}

/* All members of gzip, as zlib reads them: whether they are good. *ret_minds: it stopped at a
 * header's reserved bits, which Go's gzip passes over, and so do we. */
static bool zlib_takes(const uint8_t *data, size_t size, struct outcome *ret, bool *ret_minds)
{
	unsigned char out[4096];
	z_stream z = {.next_in = (unsigned char *)data, .avail_in = (unsigned)size};
	int r = Z_STREAM_END;

	memset(ret, 0, sizeof(*ret));
	must(inflateInit2(&z, 15 + 16) == Z_OK);
	while (r == Z_STREAM_END && z.avail_in > 1 && z.next_in[0] == 0x1f) {
		inflateReset(&z);
		do {
			z.next_out = out;
			z.avail_out = sizeof(out);
			r = inflate(&z, Z_NO_FLUSH);
			for (size_t i = 0; i < sizeof(out) - z.avail_out; i++)
				ret->sum = (ret->sum ^ out[i]) * 1099511628211u;
			ret->size += sizeof(out) - z.avail_out;
		} while (r == Z_OK);
	}
	*ret_minds = r == Z_DATA_ERROR && !strcmp(z.msg, "unknown header flags set");
	inflateEnd(&z);
	return r == Z_STREAM_END;
}

void fuzz_decompress(const uint8_t *data, size_t size)
{
	struct outcome whole, parts;
	char *message;

	run(data, size, size + 1, &whole);
	run(data, size, 7, &parts);
	message = parts.message;
	/* libzstd itself checks a frame's declared size only where it gets the frame whole. Where
	 * the limit ended it, the last portion may have been larger. */
	if (!of_zstd(&whole) && !of_zstd(&parts) && whole.size < LIMIT && parts.size < LIMIT) {
		/* How much came out before an error is nobody's promise. */
		must(whole.message || (whole.size == parts.size && whole.sum == parts.sum));
		must(!whole.message == !parts.message);
		must(!whole.message || !strcmp(whole.message, parts.message));
	}
	/* What is taken for good gzip is that. */
	if (size > 2 && data[0] == 0x1f && data[1] == 0x8b && data[2] == 8 && !whole.message &&
		whole.size < LIMIT) {
		bool minds, takes = zlib_takes(data, size, &parts, &minds);

		must(takes || minds);
		must(minds || (parts.size == whole.size && parts.sum == whole.sum));
	}
	free(whole.message);
	free(message);
}
