/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as Go's encoding/json reads it: a scanner with Go's states validates first and words the
 * errors, then yajl's streaming parser decodes what is valid into one arena. Documents come from
 * strangers: depth and size are bounded, lack of memory is an error. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_member;

/* Strings may hold NUL bytes: use size. All of it lives as long as the document. */
struct json_value {
	enum json_type type;
	bool boolean;
	const char *text; /* a string's bytes (NUL-terminated as well), or a number as written */
	size_t size;
	const struct json_value *items; /* array */
	const struct json_member
		*members; /* object, in the order of the text, duplicates included */
	size_t count;
	size_t begin, end; /* the value's place in the text, for json.RawMessage */
};

struct json_member {
	const char *key;
	size_t key_size;
	struct json_value value;
};

/* A document of more values than this is refused: a tree takes some ten times the room of its text.
 */
#define JSON_MAX_VALUES (512 * 1024)

struct json;
/* json.Unmarshal into an interface: the whole text must be one value. Errors in Go's words
 * ("unexpected end of JSON input", "invalid character 'x' looking for beginning of value"). */
int json_parse(const void *data, size_t size, struct json **ret, struct error **reterr);
/* json.NewDecoder(r).Decode: the first value; what follows is ignored; an empty text is io.EOF, a
 * cut one io.ErrUnexpectedEOF. */
int json_decode_first(const void *data, size_t size, struct json **ret, struct error **reterr);
void json_free(struct json *j); /* NULL is allowed */
static inline void json_freep(struct json **j)
{
	json_free(*j);
}
#define cleanup_json __attribute__((cleanup(json_freep)))
const struct json_value *json_root(const struct json *j);
/* Does key (size bytes, from a document) name this field? Go's foldFunc: ASCII case is ignored, and
 * U+212A stands for k, U+017F for s. */
bool json_key_equal_fold(const char *field, const char *key, size_t size);

/* The member that Go would use for a struct field of this name: the last whose key equals it but
 * for case (an exact match does not go first when a later one folds to it: the last one in the text
 * wins). NULL if there is none, or v is no object. */
const struct json_value *json_get(const struct json_value *v, const char *key);
const struct json_value *json_get_exact(
	const struct json_value *v, const char *key); /* as a map's key: last one */
/* A string member's text, or fallback if it is absent or no string. */
const char *json_get_string(const struct json_value *v, const char *key, const char *fallback);
/* Whole numbers in range only. */
bool json_int64(const struct json_value *v, int64_t *ret);
/* A number as a float64; false if it is none, or out of range. */
bool json_double(const struct json_value *v, double *ret);

#endif
