/* SPDX-License-Identifier: Apache-2.0 */
/* Base 64 and base 32. Go counterparts: encoding/base64, encoding/base32. */
#include "base/encoding.h"

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static int digit64(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	return c == (url ? '_' : '/') ? 63 : -1;
}

static bool is_break(char c)
{
	return c == '\n' || c == '\r';
}

static int corrupt(size_t at, struct error **reterr)
{
	return error_setf(reterr, "illegal base64 data at input byte %zu", at);
}

/* The '=' at *at - 1 is the first of the group that has digits before it. */
static int check_padding(const char *s, size_t size, size_t *at, int digits, struct error **reterr)
{
	if (digits < 2)
		return corrupt(*at - 1, reterr);
	if (digits == 2) {
		while (*at < size && is_break(s[*at]))
			++*at;
		if (*at == size)
			return corrupt(size, reterr);
		if (s[*at] != '=')
			return corrupt(*at - 1, reterr);
		++*at;
	}
	while (*at < size && is_break(s[*at]))
		++*at;
	return *at < size ? corrupt(*at, reterr) : 0;
}

/* Up to four digits: decodeQuantum. *ret_digits is how many there are. */
static int read_group(const char *s, size_t size, bool url, size_t *at, uint32_t *ret_bits,
	int *ret_digits, struct error **reterr)
{
	int digits = 0, digit;
	uint32_t bits = 0;

	while (digits < 4) {
		if (*at == size) {
			if (digits)
				return corrupt(size - (size_t)digits, reterr);
			break;
		}
		digit = digit64(s[(*at)++], url);
		if (digit >= 0) {
			bits |= (uint32_t)digit << (18 - 6 * digits);
			digits++;
		} else if (s[*at - 1] == '=') {
			if (check_padding(s, size, at, digits, reterr) < 0)
				return -1;
			break;
		} else if (!is_break(s[*at - 1])) {
			return corrupt(*at - 1, reterr);
		}
	}
	*ret_bits = bits;
	*ret_digits = digits;
	return 0;
}

int encoding_base64_decode(
	struct buf *ret, const char *s, size_t size, bool url, struct error **reterr)
{
	size_t at = 0;
	uint32_t bits = 0;
	int digits = 0, i;

	while (at < size) {
		if (read_group(s, size, url, &at, &bits, &digits, reterr) < 0)
			return -1;
		for (i = 0; i < digits - 1; i++)
			buf_append_char(ret, (char)(bits >> (16 - 8 * i)));
	}
	return ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

void encoding_base64(struct buf *b, const void *data, size_t size, bool url)
{
	const char *alphabet = url ? ALPHANUMERIC "-_" : ALPHANUMERIC "+/";
	const unsigned char *p = data;
	size_t i, left;

	for (i = 0; i < size; i += 3) {
		uint32_t bits;

		left = size - i;
		bits = (uint32_t)p[i] << 16;
		if (left > 1)
			bits |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			bits |= p[i + 2];
		buf_append_char(b, alphabet[bits >> 18]);
		buf_append_char(b, alphabet[bits >> 12 & 63]);
		buf_append_char(b, left > 1 ? alphabet[bits >> 6 & 63] : '=');
		buf_append_char(b, left > 2 ? alphabet[bits & 63] : '=');
	}
}

void encoding_base32(struct buf *b, const void *data, size_t size)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	const unsigned char *p = data;
	uint32_t bits = 0;
	int nbits = 0;
	size_t i;

	for (i = 0; i < size; i++) {
		bits = bits << 8 | p[i];
		nbits += 8;
		while (nbits >= 5) {
			nbits -= 5;
			buf_append_char(b, alphabet[bits >> nbits & 31]);
		}
	}
	if (nbits)
		buf_append_char(b, alphabet[bits << (5 - nbits) & 31]);
}
