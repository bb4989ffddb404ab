/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for people: safe for a terminal, sizes and ages as Docker writes them. Go counterpart:
 * docker/go-units. */
#include "config.h"

#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The length of the UTF-8 sequence at s (of at most size bytes) if it is well formed and not a
 * control character, else 0. */
static size_t printable_length(const unsigned char *s, size_t size)
{
	unsigned code;
	size_t n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
	n = s[0] >= 0xf0 && s[0] <= 0xf4  ? 4
	    : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
	    : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
					  : 0;
	if (n == 0 || n > size)
		return 0;
	code = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < 0xa0 || (n == 3 && code < 0x800) ||
		(n == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	/* Surrogates, and what changes the direction of text or ends a line. */
	if ((code >= 0xd800 && code <= 0xdfff) || (code >= 0x2028 && code <= 0x202e) ||
		(code >= 0x2066 && code <= 0x2069))
		return 0;
	return n;
}

char *text_printable(const char *text, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	char *ret;
	char *out;

	if (size > SIZE_MAX / 4 - 1)
		return NULL;
	ret = malloc(4 * size + 1);
	out = ret;
	if (!ret)
		return NULL;
	for (size_t i = 0; i < size;) {
		size_t n = printable_length(s + i, size - i);

		if (n > 0) {
			memcpy(out, s + i, n);
			out += n;
			i += n;
		} else {
			out += sprintf(out,
				s[i] == '\n'   ? "\\n"
				: s[i] == '\t' ? "\\t"
					       : "\\x%02x",
				s[i]);
			i++;
		}
	}
	*out = '\0';
	return ret;
}

char *text_one_line(const char *text)
{
	size_t size = strlen(text);
	char *joined;
	char *ret;
	size_t n = 0;

	while (size > 0 && strchr("\r\n ", text[size - 1]))
		size--;
	joined = malloc(2 * size + 1);
	if (!joined)
		return NULL;
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\n' && i > 0 && text[i - 1] != ':') {
			joined[n++] = ';';
			joined[n++] = ' ';
		} else if (text[i] == '\n' || text[i] == '\t') {
			joined[n++] = ' ';
		} else if (text[i] != '\r') {
			joined[n++] = text[i];
		}
	}
	ret = text_printable(joined, n);
	free(joined);
	return ret;
}

size_t text_columns(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

size_t text_cut(const char *text, size_t columns)
{
	size_t i = 0;

	for (; text[i]; i++) {
		if (((unsigned char)text[i] & 0xc0) == 0x80)
			continue;
		if (columns-- == 0)
			break;
	}
	return i;
}

void text_human_size(double size, int precision, char ret[TEXT_SIZE_MAX])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
	size_t i = 0;

	while (size >= 1000.0 && i + 1 < sizeof(units) / sizeof(units[0])) {
		size /= 1000.0;
		i++;
	}
	snprintf(ret, TEXT_SIZE_MAX, "%.*g%s", precision, size, units[i]);
}

void text_human_duration(int64_t seconds, char ret[TEXT_DURATION_MAX])
{
	int64_t minutes = seconds / 60;
	int64_t hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		snprintf(ret, TEXT_DURATION_MAX, "Less than a second");
	else if (seconds == 1)
		snprintf(ret, TEXT_DURATION_MAX, "1 second");
	else if (seconds < 60)
		snprintf(ret, TEXT_DURATION_MAX, "%lld seconds", (long long)seconds);
	else if (minutes == 1)
		snprintf(ret, TEXT_DURATION_MAX, "About a minute");
	else if (minutes < 60)
		snprintf(ret, TEXT_DURATION_MAX, "%lld minutes", (long long)minutes);
	else if (hours == 1)
		snprintf(ret, TEXT_DURATION_MAX, "About an hour");
	else if (hours < 48)
		snprintf(ret, TEXT_DURATION_MAX, "%lld hours", (long long)hours);
	else if (hours < 24 * 7 * 2)
		snprintf(ret, TEXT_DURATION_MAX, "%lld days", (long long)(hours / 24));
	else if (hours < 24 * 30 * 2)
		snprintf(ret, TEXT_DURATION_MAX, "%lld weeks", (long long)(hours / 24 / 7));
	else if (hours < 24 * 365 * 2)
		snprintf(ret, TEXT_DURATION_MAX, "%lld months", (long long)(hours / 24 / 30));
	else
		snprintf(ret, TEXT_DURATION_MAX, "%lld years",
			(long long)(seconds / 3600 / 24 / 365));
}

int text_parse_time(const char *text, int64_t *ret)
{
	struct tm tm = {0};
	int offset_hours = 0, offset_minutes = 0;
	char sign = 'Z';
	int used = 0;
	time_t t;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		    &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6)
		return -1;
	text += used;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	sign = *text;
	if (sign != 'Z' && sign != 'z' &&
		(((sign != '+' && sign != '-')) ||
			sscanf(text + 1, "%2d:%2d", &offset_hours, &offset_minutes) != 2))
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	t = timegm(&tm);
	*ret = (int64_t)t - (sign == '-' ? -1 : 1) * (offset_hours * 3600 + offset_minutes * 60);
	return 0;
}
