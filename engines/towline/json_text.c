/* SPDX-License-Identifier: Apache-2.0 */
/* Laying out JSON for people. Go counterpart: json.Indent.
 *
 * Nothing is decoded here: strings and numbers go through byte for byte, so no depth, number or
 * escape of a stranger's can do harm. */
#include "config.h"

#include "json_text.h"
#include "text.h"

#include <stdbool.h>
#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void spaces(FILE *out, unsigned n)
{
	fprintf(out, "\n%*s", (int)n, "");
}

/* One byte of a string's inside, or a whole UTF-8 sequence: how many bytes were printed. */
static size_t string_part(FILE *out, const unsigned char *s, size_t size)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] < 0x20 || s[0] == 0x7f) {
		fprintf(out, "\\u%04x", s[0]);
		return 1;
	}
	if (n == 1) {
		putc(s[0], out);
		return 1;
	}
	/* C1 controls could steer a terminal. */
	if (size >= 2 && s[0] == 0xc2 && s[1] < 0xa0 && s[1] >= 0x80) {
		fprintf(out, "\\u%04x", s[1]);
		return 2;
	}
	if (s[0] < 0xc2 || s[0] > 0xf4 || n > size) {
		fputs("\\ufffd", out);
		return 1;
	}
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			fputs("\\ufffd", out);
			return 1;
		}
	}
	fwrite(s, 1, n, out);
	return n;
}

/* The end of the string that begins at text[i] (a quote): the index behind its closing quote. */
static size_t skip_string(const char *text, size_t size, size_t i)
{
	for (i++; i < size; i++) {
		if (text[i] == '\\')
			i++;
		else if (text[i] == '"')
			return i + 1;
	}
	return size;
}

static size_t skip_space(const char *text, size_t size, size_t i)
{
	while (i < size && is_space(text[i]))
		i++;
	return i;
}

void json_indented(FILE *out, const char *text, size_t size, unsigned indent)
{
	unsigned level = 0;
	size_t i = 0;

	while ((i = skip_space(text, size, i)) < size) {
		char c = text[i];
		size_t end;

		if (c == '"') {
			end = skip_string(text, size, i);
			while (i < end)
				i += string_part(out, (const unsigned char *)text + i, end - i);
			continue;
		}
		i++;
		if (c == '{' || c == '[') {
			size_t next = skip_space(text, size, i);

			putc(c, out);
			if (next < size && text[next] == (c == '{' ? '}' : ']')) {
				putc(text[next], out);
				i = next + 1;
				continue;
			}
			/* Past that depth nobody reads the layout. */
			level++;
			spaces(out, indent + 4 * (level < 64 ? level : 64));
		} else if (c == '}' || c == ']') {
			level = level ? level - 1 : 0;
			spaces(out, indent + 4 * (level < 64 ? level : 64));
			putc(c, out);
		} else if (c == ',') {
			putc(c, out);
			spaces(out, indent + 4 * (level < 64 ? level : 64));
		} else if (c == ':') {
			fputs(": ", out);
		} else {
			string_part(out, (const unsigned char *)&c, 1);
		}
	}
}
