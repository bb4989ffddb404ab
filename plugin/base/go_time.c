/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing RFC 3339. Go counterpart: time.Parse and Time.Format (1.19) for the one
 * layout that JSON uses. */
#include "base/go_time.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"

#define LAYOUT "\"2006-01-02T15:04:05Z07:00\""

struct reader {
	const char *all;
	size_t all_size;
	const char *s; /* what is left */
	size_t n;
	struct error **reterr;
};

/* time's own quote: non-ASCII and control bytes as \x.., nothing else but quotes is escaped. */
static void quote(struct buf *b, const char *s, size_t size)
{
	size_t i;

	buf_append_char(b, '"');
	for (i = 0; i < size; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x80 || c < ' ') {
			buf_appendf(b, "\\x%02x", c);
		} else {
			if (c == '"' || c == '\\')
				buf_append_char(b, '\\');
			buf_append_char(b, (char)c);
		}
	}
	buf_append_char(b, '"');
}

static int finish(struct buf *b, struct error **reterr)
{
	if (b->oom)
		return error_set(reterr, &error_no_memory);
	return error_setf(reterr, "%s", b->data);
}

/* "cannot parse" what is left as this element of the layout. */
static int bad(const struct reader *r, const char *element)
{
	cleanup_buf struct buf b = {0};

	buf_append_str(&b, "parsing time ");
	quote(&b, r->all, r->all_size);
	buf_append_str(&b, " as ");
	quote(&b, LAYOUT, strlen(LAYOUT));
	buf_append_str(&b, ": cannot parse ");
	quote(&b, r->s, r->n);
	buf_append_str(&b, " as ");
	quote(&b, element, strlen(element));
	return finish(&b, r->reterr);
}

static int out_of_range(const struct reader *r, const char *what)
{
	cleanup_buf struct buf b = {0};

	buf_append_str(&b, "parsing time ");
	quote(&b, r->all, r->all_size);
	buf_appendf(&b, ": %s out of range", what);
	return finish(&b, r->reterr);
}

static bool digit_at(const struct reader *r, size_t i)
{
	return i < r->n && r->s[i] >= '0' && r->s[i] <= '9';
}

static void advance(struct reader *r, size_t n)
{
	r->s += n;
	r->n -= n;
}

static int skip(struct reader *r, const char *literal)
{
	if (!r->n || r->s[0] != literal[0])
		return bad(r, literal);
	advance(r, 1);
	return 0;
}

/* getnum: two digits; one will do where the layout's element is not zero-padded. */
static int number(struct reader *r, const char *element, int *ret)
{
	bool fixed = element[0] == '0';

	if (!digit_at(r, 0) || (fixed && !digit_at(r, 1)))
		return bad(r, element);
	*ret = r->s[0] - '0';
	if (digit_at(r, 1)) {
		*ret = *ret * 10 + (r->s[1] - '0');
		advance(r, 1);
	}
	advance(r, 1);
	return 0;
}

static int year(struct reader *r, int *ret)
{
	int i;

	if (r->n < 4 || !digit_at(r, 0))
		return bad(r, "2006");
	*ret = 0;
	for (i = 0; i < 4; i++) {
		if (!digit_at(r, (size_t)i)) {
			/* Go 1.19 has taken the four bytes off before it looks */
			advance(r, 4);
			return bad(r, "2006");
		}
		*ret = *ret * 10 + (r->s[i] - '0');
	}
	advance(r, 4);
	return 0;
}

static int second(struct reader *r, struct go_time *t)
{
	int scale = 100000000;
	size_t i;

	if (number(r, "05", &t->second) < 0)
		return -1;
	if (t->second >= 60)
		return out_of_range(r, "second");
	if (r->n < 2 || (r->s[0] != '.' && r->s[0] != ',') || !digit_at(r, 1))
		return 0;
	for (i = 1; digit_at(r, i); i++) {
		t->nanosecond += (r->s[i] - '0') * scale; /* beyond nine digits: scale is 0 */
		scale /= 10;
	}
	advance(r, i);
	return 0;
}

/* time's atoi of two bytes: a sign and a digit are a number too. False if it is none. */
static bool two_digits(const char *s, int *ret)
{
	bool sign = s[0] == '-' || s[0] == '+';

	if (s[1] < '0' || s[1] > '9' || (!sign && (s[0] < '0' || s[0] > '9')))
		return false;
	*ret = s[1] - '0';
	if (!sign)
		*ret += (s[0] - '0') * 10;
	else if (s[0] == '-')
		*ret = -*ret;
	return true;
}

static int zone(struct reader *r, struct go_time *t)
{
	const char *s = r->s;
	int hours, minutes;

	if (r->n && s[0] == 'Z') {
		advance(r, 1);
		return 0;
	}
	if (r->n < 6 || s[3] != ':')
		return bad(r, "Z07:00");
	advance(r, 6); /* as Go 1.19: the error below tells what follows */
	if (!two_digits(s + 1, &hours) || !two_digits(s + 4, &minutes) ||
		(s[0] != '+' && s[0] != '-'))
		return bad(r, "Z07:00");
	t->offset = (hours * 60 + minutes) * 60;
	if (s[0] == '-')
		t->offset = -t->offset;
	return 0;
}

static int days_in(int month, int of_year)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (month == 2 && of_year % 4 == 0 && (of_year % 100 != 0 || of_year % 400 == 0))
		return 29;
	return days[month - 1];
}

static int parse(struct reader *r, struct go_time *t)
{
	if (skip(r, "\"") < 0 || year(r, &t->year) < 0 || skip(r, "-") < 0 ||
		number(r, "01", &t->month) < 0)
		return -1;
	if (t->month < 1 || t->month > 12)
		return out_of_range(r, "month");
	if (skip(r, "-") < 0 || number(r, "02", &t->day) < 0 || skip(r, "T") < 0 ||
		number(r, "15", &t->hour) < 0)
		return -1;
	if (t->hour >= 24)
		return out_of_range(r, "hour");
	if (skip(r, ":") < 0 || number(r, "04", &t->minute) < 0)
		return -1;
	if (t->minute >= 60)
		return out_of_range(r, "minute");
	if (skip(r, ":") < 0 || second(r, t) < 0 || zone(r, t) < 0 || skip(r, "\"") < 0)
		return -1;
	/* the value is one JSON string, so that nothing follows its closing quote */
	if (t->day < 1 || t->day > days_in(t->month, t->year))
		return out_of_range(r, "day");
	return 0;
}

int go_time_unmarshal_json(
	const char *text, size_t size, struct go_time *ret, struct error **reterr)
{
	struct reader r = {text, size, text, size, reterr};
	struct go_time t = {.set = true};

	if (size == 4 && memcmp(text, "null", 4) == 0)
		return 0;
	if (parse(&r, &t) < 0)
		return -1;
	*ret = t;
	return 0;
}

void go_time_append(struct buf *b, const struct go_time *t)
{
	int minutes = t->offset / 60, digits = 9, fraction = t->nanosecond;

	if (!t->set) {
		buf_append_str(b, "0001-01-01T00:00:00Z");
		return;
	}
	buf_appendf(b, "%04d-%02d-%02dT%02d:%02d:%02d", t->year, t->month, t->day, t->hour,
		t->minute, t->second);
	while (fraction && fraction % 10 == 0) {
		fraction /= 10;
		digits--;
	}
	if (fraction)
		buf_appendf(b, ".%0*d", digits, fraction);
	if (minutes == 0) {
		buf_append_char(b, 'Z');
		return;
	}
	buf_append_char(b, minutes < 0 ? '-' : '+');
	if (minutes < 0)
		minutes = -minutes;
	buf_appendf(b, "%02d:%02d", minutes / 60, minutes % 60);
}

/* ---- on the clock */

static int64_t days_from_civil(int64_t y, int m, int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int64_t go_time_unix_ms(const struct go_time *t)
{
	return ((days_from_civil(t->year, t->month, t->day) * 24 + t->hour) * 60 + t->minute) *
		       60000 +
	       (t->second - t->offset) * (int64_t)1000 + t->nanosecond / 1000000;
}
