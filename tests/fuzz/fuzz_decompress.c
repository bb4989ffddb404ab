/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed layers: however the input is cut, the outcome is the same. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "fuzz.h"
#include "base/decompress.h"

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
			abort();
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, parts;

	run(data, size, size + 1, &whole);
	run(data, size, 7, &parts);
	/* libzstd itself checks a frame's declared size only where it gets the frame whole. Where
	 * the limit ended it, the last portion may have been larger. */
	if (!of_zstd(&whole) && !of_zstd(&parts) && whole.size < LIMIT && parts.size < LIMIT) {
		/* How much came out before an error is nobody's promise. */
		if (!whole.message && (whole.size != parts.size || whole.sum != parts.sum))
			abort();
		if (!whole.message != !parts.message ||
			(whole.message && strcmp(whole.message, parts.message) != 0))
			abort();
	}
	free(whole.message);
	free(parts.message);
	return 0;
}
