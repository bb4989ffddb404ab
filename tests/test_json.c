/* SPDX-License-Identifier: Apache-2.0 */
/* base/json, json_scan, json_decode, json_encode: Go's words, Go's values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/go_time.h"
#include "base/json.h"
#include "base/json_decode.h"
#include "base/json_scan.h"
#include "fail_alloc.h"
#include "print_json.h"
#include "random.h"

static void expect(const char *in, const char *wanted, const char *got)
{
	if (wanted && got && strcmp(wanted, got) == 0)
		return;
	print_error("%s\n  expected: %s\n  got:      %s\n", in, wanted ? wanted : "(null)",
		got ? got : "(null)");
	fail();
}

/* ---- the scanner */

static void syntax_errors(void **state)
{
	static const struct {
		const char *in, *message;
	} cases[] = {
		{"", "unexpected end of JSON input"},
		{"  ", "unexpected end of JSON input"},
		{"{", "unexpected end of JSON input"},
		{"[1,", "unexpected end of JSON input"},
		{"\"a", "unexpected end of JSON input"},
		{"\"\\", "invalid character ' ' in string escape code"},
		{"\"\\u12", "invalid character ' ' in \\u hexadecimal character escape"},
		{"-", "invalid character ' ' in numeric literal"},
		{"1.", "invalid character ' ' after decimal point in numeric literal"},
		{"1e", "invalid character ' ' in exponent of numeric literal"},
		{"1e+", "invalid character ' ' in exponent of numeric literal"},
		{"tru", "invalid character ' ' in literal true (expecting 'e')"},
		{"trux", "invalid character 'x' in literal true (expecting 'e')"},
		{"fx", "invalid character 'x' in literal false (expecting 'a')"},
		{"nulL", "invalid character 'L' in literal null (expecting 'l')"},
		{"x", "invalid character 'x' looking for beginning of value"},
		{"<html>", "invalid character '<' looking for beginning of value"},
		{"[,]", "invalid character ',' looking for beginning of value"},
		{"[1,]", "invalid character ']' looking for beginning of value"},
		{"[1 2]", "invalid character '2' after array element"},
		{"{1}", "invalid character '1' looking for beginning of object key string"},
		{"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
		{"{\"a\" 1}", "invalid character '1' after object key"},
		{"{\"a\"}", "invalid character '}' after object key"},
		{"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"},
		{"{\"a\":}", "invalid character '}' looking for beginning of value"},
		{"[1}", "invalid character '}' after array element"},
		{"1 2", "invalid character '2' after top-level value"},
		{"{} x", "invalid character 'x' after top-level value"},
		{"{}}", "invalid character '}' after top-level value"},
		{"01", "invalid character '1' after top-level value"},
		{"-01", "invalid character '1' after top-level value"},
		{"1x", "invalid character 'x' after top-level value"},
		{"1xy", "invalid character 'x' after top-level value"},
		{"+1", "invalid character '+' looking for beginning of value"},
		{".5", "invalid character '.' looking for beginning of value"},
		{"'a'", "invalid character '\\'' looking for beginning of value"},
		{"\"a\nb\"", "invalid character '\\n' in string literal"},
		{"\"a\x01\"", "invalid character '\\x01' in string literal"},
		{"\"\\x\"", "invalid character 'x' in string escape code"},
		{"\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"},
		{"\xef\xbb\xbf{}", "invalid character '\xc3\xaf' looking for beginning of value"},
		{"\\", "invalid character '\\\\' looking for beginning of value"},
		{"\x7f", "invalid character '\\x7f' looking for beginning of value"},
		{"\xff", "invalid character '\xc3\xbf' looking for beginning of value"},
		{"\xa0", "invalid character '\\u00a0' looking for beginning of value"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json struct json *json = NULL;
		cleanup_error struct error *err = NULL;

		assert_int_equal(json_parse(cases[i].in, strlen(cases[i].in), &json, &err), -1);
		expect(cases[i].in, cases[i].message, err->message);
		assert_null(json);
	}
}

static void first_of_a_stream(void **state)
{
	static const struct {
		const char *in, *message;
		size_t size;
	} cases[] = {
		{"{\"a\":1} x", NULL, 7},
		{"{\"a\":1}{", NULL, 7},
		{"[1]]", NULL, 3},
		{"12x", NULL, 2},
		{"12", NULL, 2},
		{" \"a\"b", NULL, 4},
		{"null", NULL, 4},
		{"truex", NULL, 4},
		{"", "EOF", 0},
		{" \n", "EOF", 0},
		{"{", "unexpected EOF", 0},
		{"-", "unexpected EOF", 0},
		{"tru", "unexpected EOF", 0},
		{"<", "invalid character '<' looking for beginning of value", 0},
		{"[1,}", "invalid character '}' looking for beginning of value", 0},
	};
	size_t i, size;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_json struct json *json = NULL;
		int ret = json_scan_first(cases[i].in, strlen(cases[i].in), &size, &err);

		if (cases[i].message) {
			assert_int_equal(ret, -1);
			expect(cases[i].in, cases[i].message, err->message);
			continue;
		}
		assert_int_equal(ret, 0);
		assert_int_equal(size, cases[i].size);
		assert_int_equal(
			json_decode_first(cases[i].in, strlen(cases[i].in), &json, NULL), 0);
	}
	assert_ptr_equal(error_sentinel("io.EOF"), &err_eof);
}

static char *nested(size_t depth, bool objects)
{
	struct buf b = {0};
	size_t i;

	for (i = 0; i < depth; i++)
		buf_append_str(&b, objects ? "{\"a\":" : "[");
	if (objects)
		buf_append_str(&b, "1");
	for (i = 0; i < depth; i++)
		buf_append_char(&b, objects ? '}' : ']');
	return buf_steal(&b);
}

static void depth(void **state)
{
	int objects;

	(void)state;
	for (objects = 0; objects < 2; objects++) {
		cleanup_free char *fits = nested(JSON_MAX_DEPTH, objects);
		cleanup_free char *deep = nested(JSON_MAX_DEPTH + 1, objects);
		cleanup_free char *cut = nested(1000000, objects);
		cleanup_json struct json *json = NULL;
		cleanup_error struct error *err = NULL, *again = NULL;

		assert_int_equal(json_parse(fits, strlen(fits), &json, NULL), 0);
		assert_int_equal(json_root(json)->end, strlen(fits));
		assert_int_equal(json_parse(deep, strlen(deep), &json, &err), -1);
		assert_string_equal(
			err->message, objects ? "invalid character '{' exceeded max depth"
					      : "invalid character '[' exceeded max depth");
		assert_int_equal(json_parse(cut, strlen(cut), &json, &again), -1);
	}
}

/* ---- values */

static void values(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{" { \"a\" : [ 1 , -2.5e+3 , true , false , null ] } ",
			"{\"a\":[1,-2.5e+3,true,false,null]}"},
		{"[[],{},[[1]],{\"a\":{}}]", "[[],{},[[1]],{\"a\":{}}]"},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\""},
		{"\"\\u0041\\u00e9\\u4e16\"", "\"A\xc3\xa9\xe4\xb8\x96\""},
		{"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
		{"\"\\uD83D\\uDE00x\"", "\"\xf0\x9f\x98\x80x\""},
		/* lone surrogates, each way */
		{"\"\\ud800\"", "\"\xef\xbf\xbd\""},
		{"\"\\udc00x\"", "\"\xef\xbf\xbdx\""},
		{"\"\\ud800\\u0041\"", "\"\xef\xbf\xbd"
				       "A\""},
		{"\"\\ud800\\ud83d\\ude00\"", "\"\xef\xbf\xbd\xf0\x9f\x98\x80\""},
		{"\"\\ud800\\n\"", "\"\xef\xbf\xbd\\n\""},
		/* no UTF-8: a U+FFFD for each byte */
		{"\"\xff\"", "\"\xef\xbf\xbd\""},
		{"\"\xc3\"", "\"\xef\xbf\xbd\""},
		{"\"\xe4\xb8x\"", "\"\xef\xbf\xbd\xef\xbf\xbdx\""},
		{"\"\xed\xa0\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\"\xc0\xaf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"{\"\xff\":1}", "{\"\xef\xbf\xbd\":1}"},
		{"\"a\\u0000b\"", "\"a\\u0000b\""},
		{"\"\x7f\"", "\"\x7f\""},
		{"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
		{"{\"\":0}", "{\"\":0}"},
		{"-0", "-0"},
		{"1E400", "1E400"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json struct json *json = NULL;
		cleanup_error struct error *err = NULL;
		cleanup_buf struct buf b = {0};

		if (json_parse(cases[i].in, strlen(cases[i].in), &json, &err) < 0)
			expect(cases[i].in, cases[i].out, err->message);
		print_json(&b, json_root(json), false);
		expect(cases[i].in, cases[i].out, b.data);
	}
}

/* Each value's place in the text, as a json.RawMessage has it. */
static void places(void **state)
{
	static const char text[] = " {\"k\\\"\\u00e9\" : [ 12 ,\"a,]\\\\\" , {\"x\":null} ], "
				   "\"z\xff\":-1e5}\n";
	static const char *const wanted[] = {"12", "\"a,]\\\\\"", "{\"x\":null}"};
	cleanup_json struct json *json = NULL;
	const struct json_value *root, *array;
	size_t i;

	(void)state;
	assert_int_equal(json_parse(text, sizeof(text) - 1, &json, NULL), 0);
	root = json_root(json);
	assert_int_equal(root->begin, 1);
	assert_int_equal(root->end, sizeof(text) - 2);
	array = &root->members[0].value;
	assert_int_equal(array->count, 3);
	for (i = 0; i < 3; i++) {
		const struct json_value *v = &array->items[i];

		assert_int_equal(v->end - v->begin, strlen(wanted[i]));
		assert_memory_equal(text + v->begin, wanted[i], strlen(wanted[i]));
	}
	assert_memory_equal(text + root->members[1].value.begin, "-1e5}", 5);
	assert_int_equal(root->members[1].value.end - root->members[1].value.begin, 4);
}

static void lookups(void **state)
{
	static const char text[] =
		"{\"size\":1,\"Size\":2,\"SIZE\":3,\"\xc5\xbfize\":4,\"sizes\":5,"
		"\"to\xe2\x84\xaa"
		"en\":\"t\",\"n\":9223372036854775807,\"m\":-9223372036854775808,"
		"\"o\":9223372036854775808,\"e\":1e3,\"f\":1.0,\"z\":-0}";
	cleanup_json struct json *json = NULL;
	const struct json_value *root;
	int64_t n = 0;
	double d;

	(void)state;
	assert_int_equal(json_parse(text, sizeof(text) - 1, &json, NULL), 0);
	root = json_root(json);
	/* the last that matches but for case, long s and Kelvin sign included */
	assert_string_equal(json_get(root, "size")->text, "4");
	assert_string_equal(json_get_exact(root, "size")->text, "1");
	assert_string_equal(json_get_string(root, "token", "-"), "t");
	assert_string_equal(json_get_string(root, "size", "-"), "-");
	assert_null(json_get(root, "siz"));
	assert_null(json_get(&root->members[0].value, "x"));
	assert_true(json_int64(json_get(root, "n"), &n));
	assert_true(n == INT64_MAX);
	assert_true(json_int64(json_get(root, "m"), &n));
	assert_true(n == INT64_MIN);
	assert_true(json_int64(json_get(root, "z"), &n));
	assert_true(n == 0);
	assert_false(json_int64(json_get(root, "o"), &n));
	assert_false(json_int64(json_get(root, "e"), &n));
	assert_false(json_int64(json_get(root, "f"), &n));
	assert_false(json_int64(json_get(root, "token"), &n));
	assert_true(json_double(json_get(root, "e"), &d));
	assert_true(d == 1000.0);
}

/* A document of many small values is refused before it fills the memory. */
static void too_many_values(void **state)
{
	cleanup_buf struct buf b = {0};
	cleanup_json struct json *json = NULL;
	cleanup_error struct error *err = NULL;
	size_t i;

	(void)state;
	buf_append_char(&b, '[');
	for (i = 0; i < JSON_MAX_VALUES - 1; i++)
		buf_append_str(&b, i ? ",1" : "1");
	buf_append_char(&b, ']');
	assert_int_equal(json_parse(b.data, b.size, &json, NULL), 0);
	b.size--;
	buf_append_str(&b, ",1]");
	json_free(json);
	json = NULL;
	assert_int_equal(json_parse(b.data, b.size, &json, &err), -1);
	assert_string_equal(err->message, "JSON document has too many values");
}

/* ---- random documents */

/* Pieces that make up valid and nearly valid documents. */
static const char *const pieces[] = {"{", "}", "[", "]", ",", ":", "\"", "\"a\"",
	"\"b\":", "\"\\u00e9\"", "\"\\ud800\"", "\\", "\\u", "\\ud83d\\ude00", "1", "-", "0", ".",
	"e", "E+", "1.5e10", "true", "false", "null", "nul", " ", "\n", "\t", "\x01", "\x7f",
	"\xc3\xa9", "\xff", "\xed\xa0\x80", "\"\xff\"", "[[[[", "]]]]", "{\"a\":{\"b\":[", "]}}",
	"[1,2,3]", "{\"k\":\"v\"}", "/", "'"};

static void random_documents(void **state)
{
	uint64_t seed = 20190601;
	size_t valid = 0, i;
	char text[512];

	(void)state;
	for (i = 0; i < 100000; i++) {
		cleanup_json struct json *json = NULL, *again = NULL;
		cleanup_error struct error *err = NULL;
		cleanup_buf struct buf b = {0}, second = {0};

		random_text(&seed, pieces, ARRAY_SIZE(pieces), i % 7 ? 6 : 40, text, sizeof(text));
		if (json_parse(text, strlen(text), &json, &err) < 0) {
			assert_non_null(err->message);
			continue;
		}
		valid++;
		/* what was read, written and read again is the same */
		print_json(&b, json_root(json), false);
		if (json_parse(b.data, b.size, &again, &err) < 0)
			expect(text, b.data, err->message);
		print_json(&second, json_root(again), false);
		expect(text, b.data, second.data);
	}
	assert_true(valid > 2000);
}

/* Bytes of a valid document changed at random: never a crash, and either answer is explained. */
static void damaged_documents(void **state)
{
	static const char original[] =
		"{\"schemaVersion\":2,\"config\":{\"size\":7,\"digest\":\"sha256:\\u00e9\"},"
		"\"layers\":[{\"urls\":[\"a\",\"b\"],\"size\":1.5},null,true,[[[{}]]]],\"x\":-1e5}";
	char text[sizeof(original)];
	uint64_t seed = 7;
	size_t i, k;

	(void)state;
	for (i = 0; i < 100000; i++) {
		cleanup_json struct json *json = NULL;
		cleanup_error struct error *err = NULL;

		memcpy(text, original, sizeof(original));
		for (k = random_below(&seed, 4); k-- > 0;)
			text[random_below(&seed, sizeof(text) - 1)] = (char)random_next(&seed);
		if (json_parse(text, sizeof(text) - 1 - random_below(&seed, 3), &json, &err) < 0)
			assert_non_null(err->message);
		else
			assert_non_null(json);
	}
}

/* ---- decoding into structs */

struct inner {
	struct json_text name;
	struct json_int size;
	struct json_slice tags;
};
struct outer {
	struct json_int version;
	bool flag;
	struct json_text name, data, raw, any;
	struct inner inner;
	struct inner *pointer;
	struct json_slice list, words, labels;
	struct go_time created;
};

static const struct json_field inner_fields[] = {
	{"name", offsetof(struct inner, name), &json_schema_string, JSON_OMIT_EMPTY},
	{"size", offsetof(struct inner, size), &json_schema_int64, 0},
	{"tags", offsetof(struct inner, tags), &json_schema_strings, JSON_OMIT_EMPTY},
};
static const struct json_schema inner_schema =
	JSON_STRUCT("test.Inner", "Inner", struct inner, inner_fields);
static const struct json_schema inner_pointer = JSON_POINTER_TO(&inner_schema);
static const struct json_schema inner_slice = JSON_SLICE_OF("[]test.Inner", &inner_schema);
static const struct json_schema bytes_schema =
	JSON_SCALAR(JSON_KIND_BYTES, "[]uint8", struct json_text);
static const struct json_schema words_schema =
	JSON_SCALAR(JSON_KIND_STRSLICE, "strslice.StrSlice", struct json_slice);
static const struct json_schema labels_schema =
	JSON_MAP_OF("map[string]string", &json_schema_string);
static const struct json_field outer_fields[] = {
	{"version", offsetof(struct outer, version), &json_schema_int, 0},
	{"flag", offsetof(struct outer, flag), &json_schema_bool, JSON_OMIT_EMPTY},
	{"name", offsetof(struct outer, name), &json_schema_string, 0},
	{"data", offsetof(struct outer, data), &bytes_schema, JSON_OMIT_EMPTY},
	{"raw", offsetof(struct outer, raw), &json_schema_raw, JSON_OMIT_EMPTY},
	{"any", offsetof(struct outer, any), &json_schema_any, JSON_OMIT_EMPTY},
	{"inner", offsetof(struct outer, inner), &inner_schema, 0},
	{"pointer", offsetof(struct outer, pointer), &inner_pointer, JSON_OMIT_EMPTY},
	{"list", offsetof(struct outer, list), &inner_slice, JSON_OMIT_EMPTY},
	{"words", offsetof(struct outer, words), &words_schema, JSON_OMIT_EMPTY},
	{"labels", offsetof(struct outer, labels), &labels_schema, JSON_OMIT_EMPTY},
	{"created", offsetof(struct outer, created), &json_schema_time, 0},
};
static const struct json_schema outer_schema =
	JSON_STRUCT("test.Outer", "Outer", struct outer, outer_fields);

#define TYPE(what, where, type)                                                                    \
	"json: cannot unmarshal " what " into Go struct field " where " of type " type
#define TIME_ERROR(value, left, element)                                                           \
	"parsing time \"" value                                                                    \
	"\" as \"\\\"2006-01-02T15:04:05Z07:00\\\"\": cannot parse \"" left "\" as \"" element     \
	"\""

static void type_errors(void **state)
{
	static const struct {
		const char *in, *message;
	} cases[] = {
		{"[]", "json: cannot unmarshal array into Go value of type test.Outer"},
		{"\"x\"", "json: cannot unmarshal string into Go value of type test.Outer"},
		{"1", "json: cannot unmarshal number into Go value of type test.Outer"},
		{"true", "json: cannot unmarshal bool into Go value of type test.Outer"},
		{"{\"version\":\"2\"}", TYPE("string", "Outer.version", "int")},
		{"{\"VERSION\":1.5}", TYPE("number 1.5", "Outer.version", "int")},
		{"{\"version\":1e3}", TYPE("number 1e3", "Outer.version", "int")},
		{"{\"version\":9223372036854775808}",
			TYPE("number 9223372036854775808", "Outer.version", "int")},
		{"{\"version\":{}}", TYPE("object", "Outer.version", "int")},
		{"{\"flag\":0}", TYPE("number", "Outer.flag", "bool")},
		{"{\"name\":[1]}", TYPE("array", "Outer.name", "string")},
		{"{\"data\":\"!\"}", "illegal base64 data at input byte 0"},
		{"{\"data\":5}", TYPE("number", "Outer.data", "[]uint8")},
		{"{\"any\":[1,{\"a\":1e999}]}", TYPE("number 1e999", "Outer.any", "float64")},
		{"{\"inner\":[]}", TYPE("array", "Outer.inner", "test.Inner")},
		{"{\"inner\":{\"size\":\"x\"}}", TYPE("string", "Inner.inner.size", "int64")},
		{"{\"pointer\":7}", TYPE("number", "Outer.pointer", "test.Inner")},
		{"{\"pointer\":{\"tags\":[1]}}", TYPE("number", "Inner.pointer.tags", "string")},
		{"{\"list\":{}}", TYPE("object", "Outer.list", "[]test.Inner")},
		{"{\"list\":[{},{\"name\":2}]}", TYPE("number", "Inner.list.name", "string")},
		{"{\"list\":[1]}", TYPE("number", "Outer.list", "test.Inner")},
		{"{\"words\":5}", TYPE("number", "Outer.words", "string")},
		{"{\"words\":[\"a\",5]}", TYPE("array", "Outer.words", "string")},
		{"{\"labels\":[]}", TYPE("array", "Outer.labels", "map[string]string")},
		{"{\"labels\":{\"a\":1}}", TYPE("number", "Outer.labels", "string")},
		/* the first of several; decoding goes on, but for what comes from an Unmarshaler */
		{"{\"version\":\"x\",\"name\":1}", TYPE("string", "Outer.version", "int")},
		{"{\"version\":\"x\",\"words\":1,\"name\":1}",
			TYPE("number", "Outer.words", "string")},
		{"{\"version\":\"x\",\"created\":1}", TIME_ERROR("1", "1", "\\\"")},
		{"{\"inner\":{\"size\":\"x\"},\"name\":1}",
			TYPE("string", "Inner.inner.size", "int64")},
		{"{\"created\":\"\"}", TIME_ERROR("\\\"\\\"", "\\\"", "2006")},
		{"{\"created\":\"2015-08-19\"}", TIME_ERROR("\\\"2015-08-19\\\"", "\\\"", "T")},
		{"{\"created\":\"2015-8-19T00:00:00Z\"}",
			TIME_ERROR("\\\"2015-8-19T00:00:00Z\\\"", "8-19T00:00:00Z\\\"", "01")},
		{"{\"created\":\"2015-08-19T00:00:00\"}",
			TIME_ERROR("\\\"2015-08-19T00:00:00\\\"", "\\\"", "Z07:00")},
		{"{\"created\":\"2015-13-19T00:00:00Z\"}",
			"parsing time \"\\\"2015-13-19T00:00:00Z\\\"\": month out of range"},
		{"{\"created\":\"2015-02-29T00:00:00Z\"}",
			"parsing time \"\\\"2015-02-29T00:00:00Z\\\"\": day out of range"},
		{"{\"created\":\"2015-02-01T24:00:00Z\"}",
			"parsing time \"\\\"2015-02-01T24:00:00Z\\\"\": hour out of range"},
		{"{\"created\":\"2015-02-01T00:60:00Z\"}",
			"parsing time \"\\\"2015-02-01T00:60:00Z\\\"\": minute out of range"},
		{"{\"created\":\"2015-02-01T00:00:60Z\"}",
			"parsing time \"\\\"2015-02-01T00:00:60Z\\\"\": second out of range"},
		{"{\"created\":\"\xc3\xa9\"}",
			TIME_ERROR("\\\"\\xc3\\xa9\\\"", "\\xc3\\xa9\\\"", "2006")},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		struct outer outer;

		memset(&outer, 0, sizeof(outer));
		assert_int_equal(json_unmarshal(cases[i].in, strlen(cases[i].in), &outer_schema,
					 &outer, arena, &err),
			-1);
		expect(cases[i].in, cases[i].message, err->message);
	}
}

/* Decoded and encoded again. */
static void round_trips(void **state)
{
	static const char zero[] = "\"inner\":{\"size\":0},\"created\":\"0001-01-01T00:00:00Z\"}";
	static const struct {
		const char *in, *out; /* out NULL: a head, and zero behind it */
		const char *head;
	} cases[] = {
		{"null", NULL, "{\"version\":0,\"name\":\"\","},
		{"{}", NULL, "{\"version\":0,\"name\":\"\","},
		{"{\"unknown\":[1,{}],\"version\":3}", NULL, "{\"version\":3,\"name\":\"\","},
		{"{\"version\":3,\"version\":null}", NULL, "{\"version\":3,\"name\":\"\","},
		{"{\"version\":3,\"Version\":4,\"vERSION\":-5}", NULL,
			"{\"version\":-5,\"name\":\"\","},
		{"{\"name\":\"<a>&\\u2028\\ud800\"}", NULL,
			"{\"version\":0,\"name\":\"\\u003ca\\u003e\\u0026\\u2028\xef\xbf\xbd\","},
		{"{\"data\":\"AQID\"}", NULL, "{\"version\":0,\"name\":\"\",\"data\":\"AQID\","},
		{"{\"raw\": [ 1 , \"a b<\" , { \"x\" : null } ] }", NULL,
			"{\"version\":0,\"name\":\"\",\"raw\":[1,\"a b\\u003c\",{\"x\":null}],"},
		{"{\"flag\":true,\"raw\":null}", NULL,
			"{\"version\":0,\"flag\":true,\"name\":\"\",\"raw\":null,"},
		{"{\"pointer\":{},\"list\":[{\"name\":\"a\"},null],\"words\":\"w\","
		 "\"labels\":{\"b\":\"2\",\"a\":\"1\",\"b\":\"3\"},"
		 "\"created\":\"2015-08-19T16:49:11.500+02:00\"}",
			"{\"version\":0,\"name\":\"\",\"inner\":{\"size\":0},\"pointer\":{\"size\":"
			"0},"
			"\"list\":[{\"name\":\"a\",\"size\":0},{\"size\":0}],\"words\":[\"w\"],"
			"\"labels\":{\"a\":\"1\",\"b\":\"3\"},\"created\":\"2015-08-19T16:49:11.5+"
			"02:00\"}",
			NULL},
		/* a repeated list is decoded into what the first one has left */
		{"{\"list\":[{\"name\":\"a\",\"size\":1},{\"name\":\"b\"}],\"list\":[{\"size\":2}]"
		 "}",
			"{\"version\":0,\"name\":\"\",\"inner\":{\"size\":0},"
			"\"list\":[{\"name\":\"a\",\"size\":2}],\"created\":\"0001-01-01T00:00:"
			"00Z\"}",
			NULL},
		{"{\"pointer\":{\"name\":\"x\"},\"pointer\":null,\"list\":[{}],\"list\":null}",
			NULL, "{\"version\":0,\"name\":\"\","},
		{"{\"created\":\"2016-02-29T5:04:05,123456789123+00:00\"}",
			"{\"version\":0,\"name\":\"\",\"inner\":{\"size\":0},"
			"\"created\":\"2016-02-29T05:04:05.123456789Z\"}",
			NULL},
		{"{\"created\":\"2015-01-01T00:00:00-00:30\"}",
			"{\"version\":0,\"name\":\"\",\"inner\":{\"size\":0},"
			"\"created\":\"2015-01-01T00:00:00-00:30\"}",
			NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		cleanup_buf struct buf b = {0}, wanted = {0};
		struct outer outer;

		memset(&outer, 0, sizeof(outer));
		if (json_unmarshal(cases[i].in, strlen(cases[i].in), &outer_schema, &outer, arena,
			    &err) < 0)
			expect(cases[i].in, "no error", err->message);
		json_marshal(&b, &outer_schema, &outer);
		if (cases[i].out)
			buf_append_str(&wanted, cases[i].out);
		else
			buf_appendf(&wanted, "%s%s", cases[i].head, zero);
		expect(cases[i].in, wanted.data, b.data);
	}
}

/* A decimal comma of the host's locale must not be seen. */
static void locale_of_the_host(void **state)
{
	struct json_value v = {.type = JSON_NUMBER, .text = "1.5", .size = 3};
	double d = 0;

	(void)state;
	if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
		printf("# skip: no locale with a decimal comma is installed\n");
		skip();
	}
	assert_true(json_double(&v, &d));
	assert_true(d == 1.5);
	setlocale(LC_NUMERIC, "C");
}

/* ---- lack of memory */

static void no_memory(void **state)
{
	static const char text[] =
		"{\"version\":1,\"name\":\"\\u00e9\xff\",\"data\":\"AQID\",\"raw\":[1],\"any\":[2],"
		"\"inner\":{\"tags\":[\"a\",\"b\"]},\"pointer\":{},\"list\":[{},{}],"
		"\"words\":[\"w\"],\"labels\":{\"b\":\"2\",\"a\":\"1\"},"
		"\"long\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"deep\"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
		"]]]]]]],"
		"\"created\":\"2015-01-01T00:00:00Z\"}";
	int failed = 1;
	size_t n;

	(void)state;
	for (n = 1; failed; n++) {
		struct outer outer;
		struct arena *arena = NULL;
		struct error *err = NULL;
		struct buf b = {0};
		int ret = -1;

		memset(&outer, 0, sizeof(outer));
		fail_alloc_start(n);
		arena = arena_new();
		if (arena)
			ret = json_unmarshal(
				text, sizeof(text) - 1, &outer_schema, &outer, arena, &err);
		if (ret == 0) {
			json_marshal(&b, &outer_schema, &outer);
			if (b.oom)
				ret = -1;
		}
		failed = fail_alloc_stop();
		/* a failed allocation is an error, and nothing else is */
		assert_int_equal(ret, failed ? -1 : 0);
		if (err)
			assert_string_equal(err->message, error_no_memory.message);
		buf_free(&b);
		error_unref(err);
		arena_free(arena);
	}
	assert_true(n > 15);
}

/* The words of a syntax error need memory too. */
static void no_memory_for_the_error(void **state)
{
	int failed = 1;
	size_t n;

	(void)state;
	for (n = 1; failed; n++) {
		cleanup_json struct json *json = NULL;
		cleanup_error struct error *err = NULL;

		fail_alloc_start(n);
		assert_int_equal(json_parse("{\"a\":tru}", 9, &json, &err), -1);
		failed = fail_alloc_stop();
		assert_string_equal(err->message, failed ? error_no_memory.message
							 : "invalid character '}' in literal true "
							   "(expecting 'e')");
	}
	assert_true(n > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syntax_errors),
		cmocka_unit_test(first_of_a_stream),
		cmocka_unit_test(depth),
		cmocka_unit_test(values),
		cmocka_unit_test(places),
		cmocka_unit_test(lookups),
		cmocka_unit_test(too_many_values),
		cmocka_unit_test(random_documents),
		cmocka_unit_test(damaged_documents),
		cmocka_unit_test(type_errors),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(locale_of_the_host),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(no_memory_for_the_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
