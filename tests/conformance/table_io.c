/* SPDX-License-Identifier: Apache-2.0 */
/* What all tables need to read a case and to write its output. */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "tables.h"

static int base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

static char *base64_decode(const char *s, size_t size, size_t *ret_size)
{
	struct buf b = {0};
	uint32_t bits = 0;
	int nbits = 0;

	buf_append(&b, "", 0);
	for (size_t i = 0; i < size && s[i] != '='; i++) {
		int v = base64_value(s[i]);

		if (v < 0)
			continue;
		bits = bits << 6 | (uint32_t)v;
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			buf_append_char(&b, (char)(bits >> nbits & 0xff));
		}
	}
	*ret_size = b.size;
	return buf_steal(&b);
}

static void base64_encode(struct buf *out, const unsigned char *p, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (n > 2 ? p[i + 2] : 0);

		for (size_t k = 0; k < 4; k++)
			buf_append_char(out, k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
	}
}

char *in_string(const struct json_value *in, const char *key, size_t *ret_size)
{
	cleanup_free char *b64_key = str_printf("%s_b64", key);
	const struct json_value *v = json_get_exact(in, key);
	size_t size;
	char *s;

	if (v && v->type == JSON_STRING) {
		size = v->size;
		s = malloc(size + 1);
		if (s)
			memcpy(s, v->text, size + 1);
	} else {
		v = b64_key ? json_get_exact(in, b64_key) : NULL;
		if (!v || v->type != JSON_STRING)
			return NULL;
		s = base64_decode(v->text, v->size, &size);
	}
	if (ret_size)
		*ret_size = size;
	return s;
}

bool in_bool(const struct json_value *in, const char *key)
{
	const struct json_value *v = json_get_exact(in, key);

	return v && v->type == JSON_BOOL && v->boolean;
}

int table_failf(struct buf *out, const char *fmt, ...)
{
	va_list ap;

	buf_reset(out);
	va_start(ap, fmt);
	buf_vappendf(out, fmt, ap);
	va_end(ap);
	return -1;
}

void out_key(struct buf *out, const char *key)
{
	char last = out->size ? out->data[out->size - 1] : '[';

	if (last != '{' && last != '[')
		buf_append_char(out, ',');
	if (!key)
		return;
	buf_append_json(out, key, strlen(key), /* escape_html= */ false);
	buf_append_char(out, ':');
}

void out_open(struct buf *out, const char *key, char bracket)
{
	out_key(out, key);
	buf_append_char(out, bracket);
}

void out_close(struct buf *out, char bracket)
{
	buf_append_char(out, bracket);
}

void out_raw(struct buf *out, const char *key, const char *json, size_t size)
{
	out_key(out, key);
	/* An answer is one line; JSON has its line ends between tokens alone. */
	for (size_t i = 0; i < size; i++)
		buf_append_char(out, json[i] == '\n' || json[i] == '\r' ? ' ' : json[i]);
}

/* Recursive: the documents are those of tests/vectors. */
void out_json(struct buf *out, const char *key, const struct json_value *v)
{
	switch (v->type) {
	case JSON_NULL:
		out_raw(out, key, "null", 4);
		break;
	case JSON_BOOL:
		out_bool(out, key, v->boolean);
		break;
	case JSON_NUMBER:
		out_raw(out, key, v->text, v->size);
		break;
	case JSON_STRING:
		out_bytes(out, key, v->text, v->size);
		break;
	case JSON_ARRAY:
		out_open(out, key, '[');
		for (size_t i = 0; i < v->count; i++)
			out_json(out, NULL, &v->items[i]);
		out_close(out, ']');
		break;
	case JSON_OBJECT:
		out_open(out, key, '{');
		for (size_t i = 0; i < v->count; i++)
			out_json(out, v->members[i].key, &v->members[i].value);
		out_close(out, '}');
		break;
	}
}

void out_bool(struct buf *out, const char *key, bool value)
{
	out_key(out, key);
	buf_append_str(out, value ? "true" : "false");
}

void out_int(struct buf *out, const char *key, int64_t value)
{
	out_key(out, key);
	buf_appendf(out, "%lld", (long long)value);
}

static bool is_utf8(const char *s, size_t size)
{
	uint32_t rune;

	for (size_t i = 0, n; i < size; i += n) {
		n = utf8_decode(s + i, size - i, &rune);
		if (rune == UTF8_ERROR && n == 1)
			return false;
	}
	return true;
}

void out_bytes(struct buf *out, const char *key, const void *data, size_t size)
{
	cleanup_free char *b64_key = NULL;

	if (is_utf8(data, size)) {
		out_key(out, key);
		buf_append_json(out, data, size, /* escape_html= */ false);
		return;
	}
	b64_key = key ? str_printf("%s_b64", key) : NULL;
	out_key(out, b64_key);
	buf_append_char(out, '"');
	base64_encode(out, data, size);
	buf_append_char(out, '"');
}

void out_string(struct buf *out, const char *key, const char *s)
{
	if (s)
		out_bytes(out, key, s, strlen(s));
	else
		out_raw(out, key, "null", 4);
}

void out_message(struct buf *out, const char *key, const struct error *err)
{
	out_string(out, key, err ? err->message : NULL);
}

void out_error(struct buf *out, const char *key, const struct error *err)
{
	if (!err) {
		out_string(out, key, NULL);
		return;
	}
	out_open(out, key, '{');
	out_string(out, "class", error_class_name(error_class_of(err)));
	out_message(out, "message", err);
	out_close(out, '}');
}

static void record_line(struct log *log, enum log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	struct log_recorder *r = (struct log_recorder *)log;

	if (level == LOG_LEVEL_DEBUG)
		return;
	out_open(&r->lines, NULL, '{');
	out_string(&r->lines, "level", names[level]);
	out_string(&r->lines, "msg", text);
	out_close(&r->lines, '}');
}

void log_recorder_init(struct log_recorder *r)
{
	*r = (struct log_recorder){.log.write = record_line};
}

void log_recorder_print(struct log_recorder *r, struct buf *out, const char *key)
{
	out_open(out, key, '[');
	buf_append(out, r->lines.data, r->lines.size);
	out_close(out, ']');
}

void log_recorder_free(struct log_recorder *r)
{
	buf_free(&r->lines);
}
