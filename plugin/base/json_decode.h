/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into C structs and back, by tables that describe Go's structs. Go counterparts:
 * json.Unmarshal into a struct, with the words of its type errors, and json.Marshal.
 *
 * A table names a type as Go does, since the errors do:
 *
 *	static const struct json_field fields[] = {
 *		{"blobSum", offsetof(struct layer, digest), &digest_schema, 0}, ...
 *	};
 *	static const struct json_schema layer_schema =
 *		JSON_STRUCT("schema1.FSLayer", struct layer, fields);
 */
#ifndef BASE_JSON_DECODE_H
#define BASE_JSON_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

struct arena;
struct error;

/* What the C value is: */
enum json_kind {
	JSON_KIND_BOOL,     /* bool */
	JSON_KIND_INT,      /* struct json_int: Go's int, int64 */
	JSON_KIND_STRING,   /* struct json_text */
	JSON_KIND_BYTES,    /* struct json_text: []byte, base 64 in the document */
	JSON_KIND_TIME,     /* struct go_time */
	JSON_KIND_RAW,      /* struct json_text: json.RawMessage */
	JSON_KIND_ANY,      /* struct json_text, the raw text: interface{} */
	JSON_KIND_STRUCT,   /* the struct */
	JSON_KIND_POINTER,  /* a pointer to elem's */
	JSON_KIND_SLICE,    /* struct json_slice of elem's */
	JSON_KIND_MAP,      /* struct json_slice of struct json_entry */
	JSON_KIND_STRSLICE, /* struct json_slice of struct json_text: strslice.StrSlice */
};

/* Strings may hold NUL bytes. data ends with NUL; it is NULL if nothing was decoded. */
struct json_text {
	const char *data;
	size_t size;
};
struct json_int {
	int64_t value;
	bool set; /* false: absent or null */
};
/* items is NULL for a nil slice or map. */
struct json_slice {
	void *items;
	size_t count, capacity;
};
/* Maps from strings. Repeated keys are all there; the last one counts. */
struct json_entry {
	struct json_text key;
	void *value; /* elem's */
};

#define JSON_OMIT_EMPTY 1 /* json:",omitempty" */

struct json_schema;
struct json_field {
	const char *name;
	size_t offset;
	const struct json_schema *schema;
	int flags;
};

struct json_schema {
	enum json_kind kind;
	const char *type; /* as Go prints it: "[]distribution.Descriptor" */
	size_t size;      /* of the C value */
	const struct json_schema *elem;
	const char *name; /* a struct's, without its package; "" if it has none */
	const struct json_field *fields;
	size_t nfields;
};

#define JSON_STRUCT(go_type, go_name, c_type, field_table)                                         \
	{                                                                                          \
		.kind = JSON_KIND_STRUCT, .type = (go_type), .size = sizeof(c_type),               \
		.name = (go_name), .fields = (field_table), .nfields = ARRAY_SIZE(field_table)     \
	}
#define JSON_SLICE_OF(go_type, elem_schema)                                                        \
	{                                                                                          \
		.kind = JSON_KIND_SLICE, .type = (go_type), .size = sizeof(struct json_slice),     \
		.elem = (elem_schema)                                                              \
	}
#define JSON_MAP_OF(go_type, elem_schema)                                                          \
	{                                                                                          \
		.kind = JSON_KIND_MAP, .type = (go_type), .size = sizeof(struct json_slice),       \
		.elem = (elem_schema)                                                              \
	}
#define JSON_POINTER_TO(elem_schema)                                                               \
	{                                                                                          \
		.kind = JSON_KIND_POINTER, .type = NULL, .size = sizeof(void *),                   \
		.elem = (elem_schema)                                                              \
	}
#define JSON_SCALAR(json_kind, go_type, c_type)                                                    \
	{                                                                                          \
		.kind = (json_kind), .type = (go_type), .size = sizeof(c_type)                     \
	}

extern const struct json_schema json_schema_bool, json_schema_int, json_schema_int64,
	json_schema_string, json_schema_strings, json_schema_digest /* digest.Digest */,
	json_schema_time, json_schema_raw, json_schema_any;

/* json.Unmarshal: target is a zeroed value of schema's size (or one decoded into before). After a
 * type error decoding goes on, and the first one is returned. What is decoded lives in the arena.
 */
int json_unmarshal(const void *data, size_t size, const struct json_schema *schema, void *target,
	struct arena *arena, struct error **reterr);

/* The same for a value of a document that was parsed already; text is the document's. */
int json_decode_value(const struct json_value *v, const char *text,
	const struct json_schema *schema, void *target, struct arena *arena, struct error **reterr);

/* json.Marshal, appended: fields in the table's order, maps by key, HTML characters escaped. RAW
 * and ANY are compacted. */
void json_marshal(struct buf *b, const struct json_schema *schema, const void *value);
/* An Encoder's with SetEscapeHTML(false): the same, but HTML characters as they are. */
void json_marshal_plain(struct buf *b, const struct json_schema *schema, const void *value);
/* What Marshal makes of a RawMessage: no white space outside strings, HTML characters escaped. text
 * is valid JSON. */
void json_compact(struct buf *b, const char *text, size_t size);

/* "" for what was not decoded. */
static inline const char *json_str(struct json_text t)
{
	return t.data ? t.data : "";
}

#endif
