/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's JSON progress lines. Go counterparts: pkg/streamformatter, pkg/jsonmessage, go-units. */
#include "config.h"

#include "streamformat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "sink.h"
#include "towline.h"

#define BAR_WIDTH 50

/* ---- fmt.Sprintf without arguments
 * --------------------------------------------------------------------- */

struct format {
	const char *s;
	size_t size, i;
	bool bad_index;
};

/* fmt.parsenum over s[*i, end). A number that is too large is none, and eats all. */
static bool parse_number(const char *s, size_t *i, size_t end, int *ret)
{
	bool found = false;
	int n = 0;

	while (*i < end && s[*i] >= '0' && s[*i] <= '9') {
		if (n > 1000000) {
			*i = end;
			return false;
		}
		n = n * 10 + (s[(*i)++] - '0');
		found = true;
	}
	*ret = n;
	return found;
}

/* An argument's index, "[3]": there are no arguments, so any is bad. True if it was well formed. */
static bool argument_index(struct format *f)
{
	if (f->i >= f->size || f->s[f->i] != '[')
		return false;
	f->bad_index = true;

	const char *close =
		f->size - f->i < 3 ? NULL : memchr(f->s + f->i + 1, ']', f->size - f->i - 1);
	size_t number = f->i + 1;
	int n;

	if (!close) {
		f->i++;
		return false;
	}
	f->i = (size_t)(close - f->s) + 1;
	return parse_number(f->s, &number, f->i - 1, &n) && number == f->i - 1;
}

static bool star(struct format *f, struct buf *b, const char *complaint)
{
	if (f->i >= f->size || f->s[f->i] != '*')
		return false;
	f->i++;
	buf_append_str(b, complaint);
	return true;
}

/* What stands behind a '%'. */
static void format_verb(struct format *f, struct buf *b)
{
	int n;

	f->bad_index = false;
	while (f->i < f->size && strchr("#0+- ", f->s[f->i]))
		f->i++;

	bool after_index = argument_index(f);

	if (star(f, b, "%!(BADWIDTH)"))
		after_index = false;
	else if (parse_number(f->s, &f->i, f->size, &n) && after_index)
		f->bad_index = true;
	if (f->i < f->size && f->s[f->i] == '.') {
		f->i++;
		if (after_index)
			f->bad_index = true;
		after_index = argument_index(f);
		if (star(f, b, "%!(BADPREC)"))
			after_index = false;
		else
			(void)parse_number(f->s, &f->i, f->size, &n); /* for its way */
	}
	if (!after_index)
		(void)argument_index(f); /* for its way and f->bad_index */
	if (f->i >= f->size) {
		buf_append_str(b, "%!(NOVERB)");
		return;
	}

	uint32_t verb;

	f->i += utf8_decode(f->s + f->i, f->size - f->i, &verb);
	if (verb == '%') {
		buf_append_char(b, '%');
		return;
	}
	buf_append_str(b, "%!");
	buf_append_rune(b, verb);
	buf_append_str(b, f->bad_index ? "(BADINDEX)" : "(MISSING)");
}

void streamformat_sprintf(struct buf *b, const char *format)
{
	struct format f = {.s = format, .size = strlen(format)};

	while (f.i < f.size) {
		size_t n = strcspn(f.s + f.i, "%");

		buf_append(b, f.s + f.i, n);
		f.i += n;
		if (f.i < f.size) {
			f.i++;
			format_verb(&f, b);
		}
	}
}

/* ---- sizes and bars
 * ------------------------------------------------------------------------------------ */

void streamformat_human_size(struct buf *b, double size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
	char text[32];
	size_t unit = 0;

	while (size >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1000;
		unit++;
	}
	snprintf(text, sizeof(text), "%.4g", size);
	/* The host's locale may have another decimal point, of several bytes too. */
	for (const char *p = text; *p;) {
		if (strchr("0123456789-+e", *p)) {
			buf_append_char(b, *p++);
			continue;
		}
		buf_append_char(b, '.');
		while (*p && !strchr("0123456789-+e", *p))
			p++;
	}
	buf_append_str(b, units[unit]);
}

/* "%8v" of a size. */
static void padded_size(struct buf *b, int64_t size)
{
	cleanup_buf struct buf text = {0};

	streamformat_human_size(&text, (double)size);
	b->oom = b->oom || text.oom;
	for (size_t n = text.size; n < 8; n++)
		buf_append_char(b, ' ');
	buf_append(b, text.data, text.size);
}

static void numbers(struct buf *b, const struct stream_progress *p)
{
	bool with_total = p->current <= p->total;

	if (p->hide_counts)
		return;
	if (!p->units || !*p->units) {
		padded_size(b, p->current);
		if (with_total) {
			buf_append_char(b, '/');
			streamformat_human_size(b, (double)p->total);
		}
		return;
	}
	buf_appendf(b, "%" PRId64, p->current);
	if (with_total)
		buf_appendf(b, "/%" PRId64, p->total);
	buf_appendf(b, " %s", p->units);
}

/* JSONProgress.String() of a terminal that is 200 wide. */
static void bar(struct buf *b, const struct stream_progress *p)
{
	if (p->current <= 0 && p->total <= 0)
		return;
	if (p->total <= 0) {
		if (p->units && *p->units)
			buf_appendf(b, "%" PRId64 " %s", p->current, p->units);
		else
			padded_size(b, p->current);
		return;
	}

	double percent = (double)p->current / (double)p->total * 100;
	/* The original crashes below -1 %. */
	int done = percent >= 100 ? BAR_WIDTH : percent <= 0 ? 0 : (int)percent / 2;

	buf_append_char(b, '[');
	for (int i = 0; i < done; i++)
		buf_append_char(b, '=');
	buf_append_char(b, '>');
	for (int i = done; i < BAR_WIDTH; i++)
		buf_append_char(b, ' ');
	buf_append_str(b, "] ");
	numbers(b, p);
}

/* ---- lines
 * --------------------------------------------------------------------------------------------- */

/* One member, unless the text is empty. The first one follows a '{'. */
static void member(struct buf *b, const char *name, const char *text, size_t size)
{
	if (!size)
		return;
	if (b->size && b->data[b->size - 1] != '{')
		buf_append_char(b, ',');
	buf_appendf(b, "\"%s\":", name);
	buf_append_json(b, text, size, true);
}

static void member_str(struct buf *b, const char *name, const char *text)
{
	if (text)
		member(b, name, text, strlen(text));
}

static void member_int(struct buf *b, const char *name, int64_t n)
{
	if (!n)
		return;
	if (b->size && b->data[b->size - 1] != '{')
		buf_append_char(b, ',');
	buf_appendf(b, "\"%s\":%" PRId64, name, n);
}

/* A member whose value follows. */
static void member_open(struct buf *b, const char *name)
{
	if (b->size && b->data[b->size - 1] != '{')
		buf_append_char(b, ',');
	buf_appendf(b, "\"%s\":", name);
}

void streamformat_status(struct buf *b, const char *id, const char *text)
{
	buf_append_char(b, '{');
	member_str(b, "status", text);
	member_str(b, "id", id);
	buf_append_str(b, "}\r\n");
}

void streamformat_progress(struct buf *b, const struct stream_progress *p)
{
	cleanup_buf struct buf text = {0};

	if (p->message && *p->message) {
		streamformat_sprintf(&text, p->message);
		if (!text.oom)
			streamformat_status(b, p->id, text.data ? text.data : "");
		b->oom = b->oom || text.oom;
		return;
	}
	bar(&text, p);
	buf_append_char(b, '{');
	member_str(b, "status", p->action);
	member_open(b, "progressDetail");
	buf_append_char(b, '{');
	member_int(b, "current", p->current);
	member_int(b, "total", p->total);
	if (p->hide_counts) {
		member_open(b, "hidecounts");
		buf_append_str(b, "true");
	}
	member_str(b, "units", p->units);
	buf_append_char(b, '}');
	member(b, "progress", text.data, text.size);
	member_str(b, "id", p->id);
	if (p->aux) {
		member_open(b, "aux");
		buf_append_str(b, p->aux);
	}
	buf_append_str(b, "}\r\n");
	b->oom = b->oom || text.oom;
}

void streamformat_error(struct buf *b, const char *message, int code)
{
	buf_append_char(b, '{');
	member_open(b, "errorDetail");
	buf_append_char(b, '{');
	member_int(b, "code", code);
	member_str(b, "message", message);
	buf_append_char(b, '}');
	member_str(b, "error", message);
	buf_append_str(b, "}\r\n");
}

/* ---- the library's functions
 * --------------------------------------------------------------------------- */

static int give(const struct image_pull_sink *sink, const struct buf *b)
{
	return b->oom ? sink_no_memory(sink) : sink_value(sink, b->data, b->size);
}

int towline_progress_json(
	const struct image_pull_progress *progress, const struct image_pull_sink *sink)
{
	cleanup_buf struct buf b = {0};
	const struct stream_progress p = {
		.id = progress->id,
		.message = progress->message,
		.action = progress->action,
		.current = progress->current,
		.total = progress->total,
	};

	streamformat_progress(&b, &p);
	return give(sink, &b);
}

int towline_error_json(const char *message, int code, const struct image_pull_sink *sink)
{
	cleanup_buf struct buf b = {0};

	streamformat_error(&b, message, code);
	return give(sink, &b);
}

int towline_status_json(const char *id, const char *text, const struct image_pull_sink *sink)
{
	cleanup_buf struct buf b = {0};

	streamformat_status(&b, id, text);
	return give(sink, &b);
}

int towline_json_string(const char *text, const struct image_pull_sink *sink)
{
	cleanup_buf struct buf b = {0};

	buf_append_json(&b, text, strlen(text), false);
	return give(sink, &b);
}
