/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into C structs. Go counterpart: encoding/json/decode.go (1.19). */
#include "base/json_decode.h"

#include <string.h>

#include "base/arena.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/go_time.h"

/* Tables nest less deeply than this; documents do not matter. */
#define MAX_FIELDS 16

const struct json_schema json_schema_bool = JSON_SCALAR(JSON_KIND_BOOL, "bool", bool);
const struct json_schema json_schema_int = JSON_SCALAR(JSON_KIND_INT, "int", struct json_int);
const struct json_schema json_schema_int64 = JSON_SCALAR(JSON_KIND_INT, "int64", struct json_int);
const struct json_schema json_schema_string =
	JSON_SCALAR(JSON_KIND_STRING, "string", struct json_text);
const struct json_schema json_schema_strings = JSON_SLICE_OF("[]string", &json_schema_string);
const struct json_schema json_schema_digest =
	JSON_SCALAR(JSON_KIND_STRING, "digest.Digest", struct json_text);
const struct json_schema json_schema_time =
	JSON_SCALAR(JSON_KIND_TIME, "time.Time", struct go_time);
const struct json_schema json_schema_raw =
	JSON_SCALAR(JSON_KIND_RAW, "json.RawMessage", struct json_text);
const struct json_schema json_schema_any =
	JSON_SCALAR(JSON_KIND_ANY, "interface {}", struct json_text);

struct decoder {
	const char *text;
	struct arena *arena;
	struct error *saved; /* the first type error: decoding goes on */
	/* Go's errorContext: the innermost struct and the fields that lead here */
	const char *struct_name;
	const char *fields[MAX_FIELDS];
	size_t nfields;
};

static int decode(struct decoder *d, const struct json_value *v, const struct json_schema *schema,
	void *target, struct error **reterr);

/* What a type error calls the value. A number that is no number of the type is told with its text.
 */
static void append_value_name(struct buf *b, const struct json_value *v, bool with_text)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",
		[JSON_BOOL] = "bool",
		[JSON_NUMBER] = "number",
		[JSON_STRING] = "string",
		[JSON_ARRAY] = "array",
		[JSON_OBJECT] = "object",
	};

	buf_append_str(b, names[v->type]);
	if (with_text)
		buf_appendf(b, " %s", v->text);
}

static struct error *type_error(
	const struct decoder *d, const struct json_value *v, bool with_text, const char *type)
{
	cleanup_buf struct buf b = {0};
	size_t i;

	buf_append_str(&b, "json: cannot unmarshal ");
	append_value_name(&b, v, with_text);
	if (d->nfields) {
		buf_appendf(&b, " into Go struct field %s.", d->struct_name);
		for (i = 0; i < d->nfields; i++)
			buf_appendf(&b, "%s%s", i ? "." : "", d->fields[i]);
	} else {
		buf_append_str(&b, " into Go value");
	}
	buf_appendf(&b, " of type %s", type);
	return b.oom ? &error_no_memory : error_plainf("%s", b.data);
}

static void save(struct decoder *d, struct error *err)
{
	if (d->saved)
		error_unref(err);
	else
		d->saved = err;
}

static int mismatch(struct decoder *d, const struct json_value *v, const struct json_schema *schema)
{
	save(d, type_error(d, v, false, schema->type));
	return 0;
}

static int copy_text(struct decoder *d, const char *s, size_t size, struct json_text *target,
	struct error **reterr)
{
	char *copy = arena_copy(d->arena, s, size);

	if (!copy)
		return error_set(reterr, &error_no_memory);
	*target = (struct json_text){copy, size};
	return 0;
}

static int copy_raw(struct decoder *d, const struct json_value *v, struct json_text *target,
	struct error **reterr)
{
	return copy_text(d, d->text + v->begin, v->end - v->begin, target, reterr);
}

static int decode_int(struct decoder *d, const struct json_value *v,
	const struct json_schema *schema, struct json_int *target)
{
	int64_t value;

	if (v->type == JSON_NULL)
		return 0;
	if (v->type != JSON_NUMBER)
		return mismatch(d, v, schema);
	if (!json_int64(v, &value)) {
		save(d, type_error(d, v, true, schema->type));
		return 0;
	}
	*target = (struct json_int){value, true};
	return 0;
}

static int decode_bytes(struct decoder *d, const struct json_value *v,
	const struct json_schema *schema, struct json_text *target, struct error **reterr)
{
	cleanup_buf struct buf b = {0};
	struct error *err = NULL;

	if (v->type == JSON_NULL) {
		*target = (struct json_text){NULL, 0};
		return 0;
	}
	if (v->type != JSON_STRING)
		return mismatch(d, v, schema);
	if (encoding_base64_decode(&b, v->text, v->size, false, &err) < 0) {
		save(d, err);
		return 0;
	}
	return copy_text(d, b.data, b.size, target, reterr);
}

/* interface{}: any value will do, but each number must be a float64. Strings hold no bare digits
 * that matter: they are skipped. */
static int decode_any(struct decoder *d, const struct json_value *v, struct json_text *target,
	struct error **reterr)
{
	const char *s = d->text + v->begin, *end = d->text + v->end, *start;
	struct json_value number = {.type = JSON_NUMBER};
	double value;

	while (s < end) {
		if (*s == '"') {
			for (s++; *s != '"'; s++) {
				if (*s == '\\')
					s++;
			}
			s++;
		} else if (*s == '-' || (*s >= '0' && *s <= '9')) {
			for (start = s; s < end && strchr("+-.eE0123456789", *s) && *s; s++)
				;
			number.size = (size_t)(s - start);
			number.text = arena_copy(d->arena, start, number.size);
			if (!number.text)
				return error_set(reterr, &error_no_memory);
			if (!json_double(&number, &value))
				save(d, type_error(d, &number, true, "float64"));
		} else {
			s++;
		}
	}
	return copy_raw(d, v, target, reterr);
}

/* Room for n elements; what is there is kept, as in Go, where a repeated key decodes into the slice
 * that the first one has left. */
static int reserve(
	struct decoder *d, struct json_slice *slice, size_t n, size_t size, struct error **reterr)
{
	void *items;

	if (slice->items && n <= slice->capacity)
		return 0;
	items = arena_alloc_array(d->arena, n, size);
	if (!items)
		return error_set(reterr, &error_no_memory);
	if (slice->capacity)
		/* NOLINTNEXTLINE: items is set where capacity is */
		memcpy(items, slice->items, slice->capacity * size);
	slice->items = items;
	slice->capacity = n;
	return 0;
}

static int decode_slice(struct decoder *d, const struct json_value *v,
	const struct json_schema *schema, struct json_slice *target, struct error **reterr)
{
	size_t size = schema->elem->size, i;

	if (v->type == JSON_NULL) {
		*target = (struct json_slice){NULL, 0, 0};
		return 0;
	}
	if (v->type != JSON_ARRAY)
		return mismatch(d, v, schema);
	if (reserve(d, target, v->count, size, reterr) < 0)
		return -1;
	target->count = v->count;
	for (i = 0; i < v->count; i++) {
		if (decode(d, &v->items[i], schema->elem, (char *)target->items + i * size,
			    reterr) < 0)
			return -1;
	}
	return 0;
}

static int decode_map(struct decoder *d, const struct json_value *v,
	const struct json_schema *schema, struct json_slice *target, struct error **reterr)
{
	struct json_entry *entry;
	size_t i;

	if (v->type == JSON_NULL) {
		*target = (struct json_slice){NULL, 0, 0};
		return 0;
	}
	if (v->type != JSON_OBJECT)
		return mismatch(d, v, schema);
	if (reserve(d, target, target->count + v->count, sizeof(*entry), reterr) < 0)
		return -1;
	for (i = 0; i < v->count; i++) {
		entry = (struct json_entry *)target->items + target->count;
		entry->value = arena_alloc(d->arena, schema->elem->size);
		if (!entry->value)
			return error_set(reterr, &error_no_memory);
		if (copy_text(d, v->members[i].key, v->members[i].key_size, &entry->key, reterr) <
			0)
			return -1;
		target->count++;
		if (decode(d, &v->members[i].value, schema->elem, entry->value, reterr) < 0)
			return -1;
	}
	return 0;
}

/* strslice.StrSlice.UnmarshalJSON: strings, or one string. Its error ends the decoding, for it is
 * returned by an Unmarshaler; json adds the field to it. */
static int decode_strslice(struct decoder *d, const struct json_value *v, struct json_slice *target,
	struct error **reterr)
{
	struct json_value one = {.type = JSON_ARRAY, .items = v, .count = 1};
	struct json_slice fresh = {NULL, 0, 0};
	size_t i;

	if (v->type != JSON_ARRAY && v->type != JSON_STRING && v->type != JSON_NULL)
		return error_set(reterr, type_error(d, v, false, "string"));
	for (i = 0; v->type == JSON_ARRAY && i < v->count; i++) {
		if (v->items[i].type != JSON_STRING && v->items[i].type != JSON_NULL)
			return error_set(reterr, type_error(d, v, false, "string"));
	}
	if (decode_slice(
		    d, v->type == JSON_STRING ? &one : v, &json_schema_strings, &fresh, reterr) < 0)
		return -1;
	*target = fresh;
	return 0;
}

/* The field for a key: an exact match goes first, then the first that matches but for case. */
static const struct json_field *find_field(
	const struct json_schema *schema, const struct json_member *member)
{
	const struct json_field *field, *end = schema->fields + schema->nfields;

	for (field = schema->fields; field < end; field++) {
		if (strlen(field->name) == member->key_size &&
			memcmp(field->name, member->key, member->key_size) == 0)
			return field;
	}
	for (field = schema->fields; field < end; field++) {
		if (json_key_equal_fold(field->name, member->key, member->key_size))
			return field;
	}
	return NULL;
}

static int decode_struct(struct decoder *d, const struct json_value *v,
	const struct json_schema *schema, void *target, struct error **reterr)
{
	const char *outer = d->struct_name;
	const struct json_field *field;
	size_t i;

	if (v->type == JSON_NULL)
		return 0;
	if (v->type != JSON_OBJECT)
		return mismatch(d, v, schema);
	for (i = 0; i < v->count; i++) {
		field = find_field(schema, &v->members[i]);
		if (!field)
			continue;
		if (d->nfields == MAX_FIELDS)
			return error_setf(reterr, "JSON schema is nested too deeply");
		d->struct_name = schema->name;
		d->fields[d->nfields++] = field->name;
		if (decode(d, &v->members[i].value, field->schema, (char *)target + field->offset,
			    reterr) < 0)
			return -1;
		d->nfields--;
		d->struct_name = outer;
	}
	return 0;
}

static int decode_pointer(struct decoder *d, const struct json_value *v,
	const struct json_schema *schema, void **target, struct error **reterr)
{
	if (v->type == JSON_NULL) {
		*target = NULL;
		return 0;
	}
	if (!*target)
		*target = arena_alloc(d->arena, schema->elem->size);
	if (!*target)
		return error_set(reterr, &error_no_memory);
	return decode(d, v, schema->elem, *target, reterr);
}

/* -1: an error that ends the decoding. Recursion goes as deep as the schema, not the document. */
static int decode(struct decoder *d, const struct json_value *v, const struct json_schema *schema,
	void *target, struct error **reterr)
{
	switch (schema->kind) {
	case JSON_KIND_BOOL:
		if (v->type == JSON_BOOL)
			*(bool *)target = v->boolean;
		else if (v->type != JSON_NULL)
			return mismatch(d, v, schema);
		return 0;
	case JSON_KIND_INT:
		return decode_int(d, v, schema, target);
	case JSON_KIND_STRING:
		if (v->type == JSON_STRING)
			return copy_text(d, v->text, v->size, target, reterr);
		return v->type == JSON_NULL ? 0 : mismatch(d, v, schema);
	case JSON_KIND_BYTES:
		return decode_bytes(d, v, schema, target, reterr);
	case JSON_KIND_TIME:
		return go_time_unmarshal_json(
			d->text + v->begin, v->end - v->begin, target, reterr);
	case JSON_KIND_RAW:
		return copy_raw(d, v, target, reterr);
	case JSON_KIND_ANY:
		return decode_any(d, v, target, reterr);
	case JSON_KIND_STRUCT:
		return decode_struct(d, v, schema, target, reterr);
	case JSON_KIND_POINTER:
		return decode_pointer(d, v, schema, target, reterr);
	case JSON_KIND_SLICE:
		return decode_slice(d, v, schema, target, reterr);
	case JSON_KIND_MAP:
		return decode_map(d, v, schema, target, reterr);
	case JSON_KIND_STRSLICE:
		return decode_strslice(d, v, target, reterr);
	}
	return 0;
}

int json_decode_value(const struct json_value *v, const char *text,
	const struct json_schema *schema, void *target, struct arena *arena, struct error **reterr)
{
	struct decoder d = {.text = text, .arena = arena};

	if (decode(&d, v, schema, target, reterr) < 0) {
		error_unref(d.saved);
		return -1;
	}
	if (d.saved)
		return error_set(reterr, d.saved);
	return 0;
}

int json_unmarshal(const void *data, size_t size, const struct json_schema *schema, void *target,
	struct arena *arena, struct error **reterr)
{
	cleanup_json struct json *json = NULL;

	if (json_parse(data, size, &json, reterr) < 0)
		return -1;
	return json_decode_value(json_root(json), data, schema, target, arena, reterr);
}
