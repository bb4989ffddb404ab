/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffers and string helpers. Go counterparts: bytes.Buffer, strings,
 * strconv.Quote, the string encoder of encoding/json. */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Make room for size more bytes and a NUL. False, with oom set, if there is none. */
static bool buf_grow(struct buf *b, size_t size)
{
	size_t need, capacity;
	char *data;

	if (b->oom)
		return false;
	if (size > SIZE_MAX - b->size - 1)
		goto fail;
	need = b->size + size + 1;
	if (need <= b->capacity)
		return true;
	capacity = b->capacity ? b->capacity : 64;
	while (capacity < need)
		capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
	data = realloc(b->data, capacity);
	if (!data)
		goto fail;
	b->data = data;
	b->capacity = capacity;
	return true;
fail:
	b->oom = true;
	return false;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
	if (b->limit && size > b->limit - b->size) {
		b->overflow = true;
		size = b->limit - b->size;
	}
	if (!buf_grow(b, size))
		return;
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_append_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_vappendf(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	char *big;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0) {
		b->oom = true;
	} else if ((size_t)n < sizeof(small)) {
		buf_append(b, small, (size_t)n);
	} else {
		big = malloc((size_t)n + 1);
		if (big && vsnprintf(big, (size_t)n + 1, fmt, again) == n)
			buf_append(b, big, (size_t)n);
		else
			b->oom = true;
		free(big);
	}
	va_end(again);
}

void buf_appendf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(b, fmt, ap);
	va_end(ap);
}

void buf_append_rune(struct buf *b, uint32_t rune)
{
	char text[UTF8_MAX];

	buf_append(b, text, utf8_encode(rune, text));
}

static void quote_rune(struct buf *b, uint32_t rune, const char *s, size_t width)
{
	static const char shorts[] = "abtnvfr"; /* 0x07 ... 0x0d; the order is Go's and C's */

	if (rune == '"' || rune == '\\')
		buf_appendf(b, "\\%c", (int)rune);
	else if (rune == UTF8_ERROR && width == 1)
		buf_appendf(b, "\\x%02x", (unsigned char)*s);
	else if (unicode_is_print(rune))
		buf_append(b, s, width);
	else if (rune >= 7 && rune <= 13)
		buf_appendf(b, "\\%c", shorts[rune - 7]);
	else if (rune < ' ' || rune == 0x7f)
		buf_appendf(b, "\\x%02x", rune);
	else if (rune < 0x10000)
		buf_appendf(b, "\\u%04x", rune);
	else
		buf_appendf(b, "\\U%08x", rune);
}

void buf_append_quoted(struct buf *b, const char *s, size_t size)
{
	uint32_t rune;
	size_t i, width;

	buf_append_char(b, '"');
	for (i = 0; i < size; i += width) {
		width = utf8_decode(s + i, size - i, &rune);
		quote_rune(b, rune, s + i, width);
	}
	buf_append_char(b, '"');
}

static bool json_plain_ascii(unsigned char c, bool escape_html)
{
	if (c < ' ' || c == '"' || c == '\\')
		return false;
	return !escape_html || (c != '<' && c != '>' && c != '&');
}

void buf_append_json(struct buf *b, const char *s, size_t size, bool escape_html)
{
	size_t i = 0, start = 0, width;
	uint32_t rune;

	buf_append_char(b, '"');
	while (i < size) {
		unsigned char c = (unsigned char)s[i];

		width = utf8_decode(s + i, size - i, &rune);
		if (c < 0x80 ? json_plain_ascii(c, escape_html)
			     : !(rune == UTF8_ERROR && width == 1) && rune != 0x2028 &&
					rune != 0x2029) {
			i += width;
			continue;
		}
		buf_append(b, s + start, i - start);
		if (c == '"' || c == '\\')
			buf_appendf(b, "\\%c", c);
		else if (c == '\n')
			buf_append_str(b, "\\n");
		else if (c == '\r')
			buf_append_str(b, "\\r");
		else if (c == '\t')
			buf_append_str(b, "\\t");
		else
			buf_appendf(b, "\\u%04x", rune);
		i += width;
		start = i;
	}
	if (i > start)
		buf_append(b, s + start, i - start);
	buf_append_char(b, '"');
}

void buf_reset(struct buf *b)
{
	b->size = 0;
	b->oom = false;
	b->overflow = false;
	if (b->data)
		b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

char *buf_steal(struct buf *b)
{
	char *data = NULL;

	if (buf_grow(b, 0)) {
		data = b->data;
		data[b->size] = '\0';
		b->data = NULL;
	}
	buf_free(b);
	return data;
}

char *str_printf(const char *fmt, ...)
{
	struct buf b = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&b, fmt, ap);
	va_end(ap);
	return buf_steal(&b);
}

bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

void secret_free(const char *s)
{
	char *secret = (char *)s;

	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

bool str_equal(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_equal_fold(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	for (; *a && ascii_lower(*a) == ascii_lower(*b); a++, b++)
		;
	return ascii_lower(*a) == ascii_lower(*b);
}
