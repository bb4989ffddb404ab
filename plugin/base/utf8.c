/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by Go's rules. Go counterparts: unicode/utf8, strconv.IsPrint. */
#include "base/utf8.h"

#include "base/unicode_print.h"

size_t utf8_decode(const char *s, size_t size, uint32_t *ret_rune)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf;
	size_t n, i;
	uint32_t rune;

	*ret_rune = UTF8_ERROR;
	if (!size)
		return 0;
	if (p[0] < 0x80) {
		*ret_rune = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 1;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (size < n)
		return 1;
	/* no overlong forms, no surrogates, nothing above U+10FFFF */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	rune = p[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if (p[i] < low || p[i] > high)
			return 1;
		rune = rune << 6 | (p[i] & 0x3fu);
		low = 0x80;
		high = 0xbf;
	}
	*ret_rune = rune;
	return n;
}

size_t utf8_encode(uint32_t rune, char ret[UTF8_MAX])
{
	if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
		rune = UTF8_ERROR;
	if (rune < 0x80) {
		ret[0] = (char)rune;
		return 1;
	}
	if (rune < 0x800) {
		ret[0] = (char)(0xc0 | rune >> 6);
		ret[1] = (char)(0x80 | (rune & 0x3f));
		return 2;
	}
	if (rune < 0x10000) {
		ret[0] = (char)(0xe0 | rune >> 12);
		ret[1] = (char)(0x80 | (rune >> 6 & 0x3f));
		ret[2] = (char)(0x80 | (rune & 0x3f));
		return 3;
	}
	ret[0] = (char)(0xf0 | rune >> 18);
	ret[1] = (char)(0x80 | (rune >> 12 & 0x3f));
	ret[2] = (char)(0x80 | (rune >> 6 & 0x3f));
	ret[3] = (char)(0x80 | (rune & 0x3f));
	return 4;
}

bool unicode_is_print(uint32_t rune)
{
	size_t low = 0, high = sizeof(unicode_print) / sizeof(unicode_print[0]);

	if (rune < 0x80)
		return rune >= ' ' && rune != 0x7f;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rune < unicode_print[middle].first)
			high = middle;
		else if (rune > unicode_print[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

bool unicode_is_space(uint32_t rune)
{
	return (rune >= '\t' && rune <= '\r') || rune == ' ' || rune == 0x85 || rune == 0xa0 ||
	       rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
	       rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}
