/* SPDX-License-Identifier: Apache-2.0 */
/* registry/challenge and registry/header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "random.h"
#include "registry/challenge.h"
#include "registry/header.h"

/* "scheme name=value; ...", one line a challenge. */
static void describe(const struct challenge_list *list, struct buf *ret)
{
	for (size_t i = 0; i < list->count; i++) {
		buf_append_str(ret, list->items[i].scheme);
		for (size_t k = 0; k < list->items[i].nparams; k++)
			buf_appendf(ret, " %s=%s;", list->items[i].params[k].name,
				list->items[i].params[k].value);
		buf_append_char(ret, '\n');
	}
}

static void headers_of_answers(void **state)
{
	static const struct {
		int status;
		const char *values[3];
		const char *found;
	} cases[] = {
		{401, {"Bearer Realm=\"a\\\"b\",scope=x"}, "bearer realm=a\"b; scope=x;\n"},
		{401, {"Basic realm=\"x\"", "Bearer realm=y"}, "basic realm=x;\nbearer realm=y;\n"},
		{401, {"Bearer a=1,A=2 , b=\"\",c=3"}, "bearer a=2;\n"},
		{401, {"Bearer a=\"cut", "Bearer a=\"cut\\"}, "bearer\nbearer\n"},
		{401, {"Bearer a=\"\\\\\\\"\""}, "bearer a=\\\";\n"},
		{401, {"Bearer a=b c=d"}, "bearer a=b;\n"},
		{401, {" Bearer a=b", "", "\"x\" a=b"}, ""},
		{403, {"Bearer a=b"}, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct header_list headers = {0};
		struct challenge_list list = {0};
		struct buf got = {0};

		for (size_t k = 0; k < 3 && cases[i].values[k]; k++)
			assert_int_equal(
				header_add(&headers, "www-authenticate", cases[i].values[k], NULL),
				0);
		assert_int_equal(challenge_parse(cases[i].status, &headers, &list, NULL), 0);
		describe(&list, &got);
		if (strcmp(got.data ? got.data : "", cases[i].found))
			fail_msg("%s: expected %s, got %s", cases[i].values[0], cases[i].found,
				got.data);
		buf_free(&got);
		challenge_list_free(&list);
		header_list_free(&headers);
	}
}

static void random_headers(void **state)
{
	static const char *const pieces[] = {"Bearer", "Basic", " ", "realm", "=", "\"", "\\", ",",
		"scope", "a", "\t", "/", "\xff", "()", "\x01", "x=\"y\",", "=\"\\\""};
	uint64_t seed = 401;
	char value[300];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct header_list headers = {0};
		struct challenge_list list = {0};

		random_text(&seed, pieces, ARRAY_SIZE(pieces), 20, value, sizeof(value));
		assert_int_equal(header_add(&headers, "WWW-Authenticate", value, NULL), 0);
		assert_int_equal(challenge_parse(401, &headers, &list, NULL), 0);
		assert_true(list.count <= 1);
		for (size_t k = 0; list.count && k < list.items[0].nparams; k++) {
			const struct challenge_param *p = &list.items[0].params[k];

			if (!*p->value || !*p->name || isupper((unsigned char)*p->name) ||
				challenge_param(&list.items[0], p->name) != p->value)
				fail_msg("%s: parameter %s=%s", value, p->name, p->value);
		}
		challenge_list_free(&list);
		header_list_free(&headers);
	}
}

static void header_lists(void **state)
{
	struct header_list h = {0}, copy = {0};
	cleanup_error struct error *err = NULL;

	(void)state;
	assert_null(header_get(&h, "a"));
	assert_int_equal(header_add(&h, "Accept", "one", NULL), 0);
	assert_int_equal(header_add(&h, "ACCEPT", "two", NULL), 0);
	assert_int_equal(header_add(&h, "Range", "", NULL), 0);
	assert_string_equal(header_get(&h, "accept"), "one");
	assert_string_equal(header_get_nth(&h, "accept", 1), "two");
	assert_null(header_get_nth(&h, "accept", 2));
	assert_int_equal(header_copy(&h, &copy, NULL), 0);
	assert_int_equal(header_set(&h, "accept", "three", NULL), 0);
	assert_null(header_get_nth(&h, "accept", 1));
	assert_string_equal(header_get(&h, "Accept"), "three");
	assert_string_equal(header_get(&copy, "Accept"), "one");
	header_remove(&copy, "aCCept");
	assert_int_equal(copy.count, 1);
	assert_int_equal(header_set(&h, "Range", "a\r\nEvil: b", &err), -1);
	assert_string_equal(err->message, "net/http: invalid header field value for \"Range\"");
	assert_string_equal(header_get(&h, "Range"), "");
	error_unref(steal_ptr(&err));
	assert_int_equal(header_add(&h, "a b", "c", &err), -1);
	assert_string_equal(err->message, "net/http: invalid header field name \"a b\"");
	header_list_free(&h);
	header_list_free(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_of_answers),
		cmocka_unit_test(random_headers),
		cmocka_unit_test(header_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
