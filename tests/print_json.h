/* SPDX-License-Identifier: Apache-2.0 */
/* A value of JSON as text, without white space; the numbers as they were written. */
#ifndef TESTS_PRINT_JSON_H
#define TESTS_PRINT_JSON_H

#include "base/buf.h"
#include "base/json.h"

/* html: <, > and & are escaped, as json.Marshal does. */
static void print_json(struct buf *b, const struct json_value *v, bool html)
{
	switch (v->type) {
	case JSON_NULL:
		buf_append_str(b, "null");
		break;
	case JSON_BOOL:
		buf_append_str(b, v->boolean ? "true" : "false");
		break;
	case JSON_NUMBER:
		buf_append(b, v->text, v->size);
		break;
	case JSON_STRING:
		buf_append_json(b, v->text, v->size, html);
		break;
	case JSON_ARRAY:
		buf_append_char(b, '[');
		for (size_t i = 0; i < v->count; i++) {
			buf_append_str(b, i ? "," : "");
			print_json(b, &v->items[i], html);
		}
		buf_append_char(b, ']');
		break;
	case JSON_OBJECT:
		buf_append_char(b, '{');
		for (size_t i = 0; i < v->count; i++) {
			buf_append_str(b, i ? "," : "");
			buf_append_json(b, v->members[i].key, v->members[i].key_size, html);
			buf_append_char(b, ':');
			print_json(b, &v->members[i].value, html);
		}
		buf_append_char(b, '}');
		break;
	default:
		buf_append_str(b, "(no type of JSON)");
	}
}

#endif
