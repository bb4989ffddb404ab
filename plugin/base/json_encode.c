/* SPDX-License-Identifier: Apache-2.0 */
/* C structs into JSON. Go counterpart: encoding/json/encode.go, indent.go. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"
#include "base/go_time.h"
#include "base/json_decode.h"

/* Where it goes, and how. */
struct encoder {
	struct buf *b;
	bool escape_html;
};

static void compact(struct encoder *e, const char *text, size_t size)
{
	struct buf *b = e->b;
	bool in_string = false;
	size_t i;

	for (i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (e->escape_html && (c == '<' || c == '>' || c == '&')) {
			buf_appendf(b, "\\u%04x", c);
		} else if (c == 0xe2 && i + 2 < size && memcmp(text + i, "\xe2\x80\xa8", 3) == 0) {
			buf_append_str(b, "\\u2028");
			i += 2;
		} else if (c == 0xe2 && i + 2 < size && memcmp(text + i, "\xe2\x80\xa9", 3) == 0) {
			buf_append_str(b, "\\u2029");
			i += 2;
		} else if (in_string && c == '\\' && i + 1 < size) {
			buf_append(b, text + i++, 2);
		} else if (in_string || !c || !strchr(" \t\r\n", c)) {
			in_string ^= c == '"';
			buf_append_char(b, (char)c);
		}
	}
}

void json_compact(struct buf *b, const char *text, size_t size)
{
	compact(&(struct encoder){b, true}, text, size);
}

static void marshal(struct encoder *e, const struct json_schema *schema, const void *value);

static void marshal_text(struct encoder *e, const struct json_text *t)
{
	buf_append_json(e->b, t->data, t->size, e->escape_html);
}

static bool is_empty(const struct json_schema *schema, const void *value)
{
	switch (schema->kind) {
	case JSON_KIND_BOOL:
		return !*(const bool *)value;
	case JSON_KIND_INT:
		return !((const struct json_int *)value)->value;
	case JSON_KIND_STRING:
	case JSON_KIND_BYTES:
	case JSON_KIND_RAW:
	case JSON_KIND_ANY:
		return !((const struct json_text *)value)->size;
	case JSON_KIND_POINTER:
		return !*(void *const *)value;
	case JSON_KIND_SLICE:
	case JSON_KIND_MAP:
	case JSON_KIND_STRSLICE:
		return !((const struct json_slice *)value)->count;
	default:
		return false; /* structs never are */
	}
}

static void marshal_struct(struct encoder *e, const struct json_schema *schema, const void *value)
{
	struct buf *b = e->b;
	bool first = true;
	size_t i;

	buf_append_char(b, '{');
	for (i = 0; i < schema->nfields; i++) {
		const struct json_field *field = &schema->fields[i];
		const void *member = (const char *)value + field->offset;

		if ((field->flags & JSON_OMIT_EMPTY) && is_empty(field->schema, member))
			continue;
		if (!first)
			buf_append_char(b, ',');
		first = false;
		buf_append_json(b, field->name, strlen(field->name), true);
		buf_append_char(b, ':');
		marshal(e, field->schema, member);
	}
	buf_append_char(b, '}');
}

static void marshal_slice(
	struct encoder *e, const struct json_schema *elem, const struct json_slice *slice)
{
	struct buf *b = e->b;
	size_t i;

	if (!slice->items) {
		buf_append_str(b, "null");
		return;
	}
	buf_append_char(b, '[');
	for (i = 0; i < slice->count; i++) {
		if (i)
			buf_append_char(b, ',');
		marshal(e, elem, (const char *)slice->items + i * elem->size);
	}
	buf_append_char(b, ']');
}

static int compare_keys(const struct json_entry *a, const struct json_entry *b)
{
	size_t n = a->key.size < b->key.size ? a->key.size : b->key.size;
	int order = memcmp(a->key.data, b->key.data, n);

	if (order == 0 && a->key.size != b->key.size)
		order = a->key.size < b->key.size ? -1 : 1;
	return order;
}

/* By key, then by place, so that the last of equal keys is the one that counts. */
static int compare_entries(const void *a, const void *b)
{
	const struct json_entry *x = *(const struct json_entry *const *)a;
	const struct json_entry *y = *(const struct json_entry *const *)b;
	int order = compare_keys(x, y);

	return order ? order : (x > y) - (x < y);
}

static void marshal_map(
	struct encoder *e, const struct json_schema *elem, const struct json_slice *map)
{
	struct buf *b = e->b;
	const struct json_entry *entries = map->items, **sorted;
	bool first = true;
	size_t i;

	if (!entries) {
		buf_append_str(b, "null");
		return;
	}
	sorted = calloc(map->count + 1, sizeof(*sorted));
	if (!sorted) {
		b->oom = true;
		return;
	}
	for (i = 0; i < map->count; i++)
		sorted[i] = &entries[i];
	qsort(sorted, map->count, sizeof(*sorted), compare_entries);
	buf_append_char(b, '{');
	for (i = 0; i < map->count; i++) {
		if (i + 1 < map->count && compare_keys(sorted[i], sorted[i + 1]) == 0)
			continue;
		if (!first)
			buf_append_char(b, ',');
		first = false;
		marshal_text(e, &sorted[i]->key);
		buf_append_char(b, ':');
		marshal(e, elem, sorted[i]->value);
	}
	buf_append_char(b, '}');
	free(sorted);
}

static void marshal_bytes(struct buf *b, const struct json_text *t)
{
	if (!t->data) {
		buf_append_str(b, "null");
		return;
	}
	buf_append_char(b, '"');
	encoding_base64(b, t->data, t->size, false);
	buf_append_char(b, '"');
}

static void marshal_raw(struct encoder *e, const struct json_text *t)
{
	if (t->data)
		compact(e, t->data, t->size);
	else
		buf_append_str(e->b, "null");
}

static void marshal(struct encoder *e, const struct json_schema *schema, const void *value)
{
	struct buf *b = e->b;

	switch (schema->kind) {
	case JSON_KIND_BOOL:
		buf_append_str(b, *(const bool *)value ? "true" : "false");
		break;
	case JSON_KIND_INT:
		buf_appendf(b, "%" PRId64, ((const struct json_int *)value)->value);
		break;
	case JSON_KIND_STRING:
		marshal_text(e, value);
		break;
	case JSON_KIND_BYTES:
		marshal_bytes(b, value);
		break;
	case JSON_KIND_TIME:
		buf_append_char(b, '"');
		go_time_append(b, value);
		buf_append_char(b, '"');
		break;
	case JSON_KIND_RAW:
	case JSON_KIND_ANY:
		marshal_raw(e, value);
		break;
	case JSON_KIND_STRUCT:
		marshal_struct(e, schema, value);
		break;
	case JSON_KIND_POINTER:
		if (*(void *const *)value)
			marshal(e, schema->elem, *(void *const *)value);
		else
			buf_append_str(b, "null");
		break;
	case JSON_KIND_SLICE:
		marshal_slice(e, schema->elem, value);
		break;
	case JSON_KIND_MAP:
		marshal_map(e, schema->elem, value);
		break;
	case JSON_KIND_STRSLICE:
		marshal_slice(e, &json_schema_string, value);
		break;
	}
}

void json_marshal(struct buf *b, const struct json_schema *schema, const void *value)
{
	marshal(&(struct encoder){b, true}, schema, value);
}

void json_marshal_plain(struct buf *b, const struct json_schema *schema, const void *value)
{
	marshal(&(struct encoder){b, false}, schema, value);
}
