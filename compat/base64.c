/* SPDX-License-Identifier: Apache-2.0 */
/* Base64. Go counterpart: encoding/base64. */
#include "config.h"

#include "base64.h"

#include <stdint.h>
#include <stdlib.h>

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bytes of one group of four; 0: no base64. pad: how many '=' it had. */
static size_t decode_group(const uint8_t v[4], unsigned pad, char *out)
{
	out[0] = (char)(v[0] << 2 | v[1] >> 4);
	if (pad < 2)
		out[1] = (char)(v[1] << 4 | v[2] >> 2);
	if (!pad)
		out[2] = (char)(v[2] << 6 | v[3]);
	return 3 - pad;
}

char *base64_decode(const char *s, size_t size, size_t *ret_size)
{
	char *out = malloc(size / 4 * 3 + 4);
	size_t n = 0;
	uint8_t v[4] = {0};
	unsigned have = 0, pad = 0;
	bool done = false;

	if (!out) {
		*ret_size = SIZE_MAX;
		return NULL;
	}
	for (size_t i = 0; i < size; i++) {
		if (s[i] == '\r' || s[i] == '\n')
			continue;

		int d = digit(s[i]);

		if (done || (s[i] == '=' ? have < 2 : d < 0 || pad))
			goto bad;
		if (s[i] == '=')
			pad++;
		v[have++] = s[i] == '=' ? 0 : (uint8_t)d;
		if (have == 4) {
			n += decode_group(v, pad, out + n);
			done = pad;
			have = 0;
		}
	}
	if (have)
		goto bad;
	out[n] = '\0';
	*ret_size = n;
	return out;
bad:
	free(out);
	*ret_size = 0;
	return NULL;
}

char *base64_encode(const void *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = data;
	char *out, *p;

	if (size > SIZE_MAX / 2 || !(out = malloc((size + 2) / 3 * 4 + 1)))
		return NULL;
	p = out;
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		unsigned word = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
				(left > 2 ? in[i + 2] : 0);

		*p++ = digits[word >> 18];
		*p++ = digits[word >> 12 & 63];
		*p++ = left > 1 ? digits[word >> 6 & 63] : '=';
		*p++ = left > 2 ? digits[word & 63] : '=';
	}
	*p = '\0';
	return out;
}
