/* SPDX-License-Identifier: Apache-2.0 */
/* registry/errcode: what an answer that is an error becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "random.h"
#include "registry/errcode.h"
#include "registry/header.h"

static struct error *answer(int status, const char *challenge, const char *body)
{
	struct header_list headers = {0};
	struct error *err;

	if (challenge)
		assert_int_equal(header_add(&headers, "WWW-Authenticate", challenge, NULL), 0);
	err = handle_error_response(status, "STATUS", &headers, body, strlen(body));
	assert_non_null(err);
	header_list_free(&headers);
	return err;
}

static void answers(void **state)
{
	static const struct {
		int status;
		const char *challenge, *body;
		enum error_kind kind;
		const char *message;
	} cases[] = {
		{500, NULL, "{}", ERROR_UNEXPECTED_HTTP_STATUS,
			"received unexpected HTTP status: STATUS"},
		{404, NULL, "{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"m\"}]}",
			ERROR_ERRCODE_ERRORS, "name unknown: m"},
		{404, NULL, "{\"errors\":[{\"code\":\"NOT_OURS\",\"message\":\"m\"}]}",
			ERROR_ERRCODE_ERRORS, "unknown: m"},
		{404, NULL, "{\"errors\":[{\"code\":\"DENIED\"},{\"detail\":0}]}",
			ERROR_ERRCODE_ERRORS, "errors:\ndenied\nunknown: \n"},
		{429, NULL, "{\"details\":\"slow down\"}", ERROR_ERRCODE_ERROR,
			"toomanyrequests: slow down"},
		{404, NULL, "{\"details\":\"x\",\"details\":1}", ERROR_UNEXPECTED_HTTP_RESPONSE,
			"error parsing HTTP 404 response body: no error details found in HTTP "
			"response body: \"{\\\"details\\\":\\\"x\\\",\\\"details\\\":1}\""},
		{401, NULL, "<html>", ERROR_ERRCODE_ERROR, "unauthorized: authentication required"},
		{403, NULL, "x", ERROR_UNEXPECTED_HTTP_RESPONSE,
			"error parsing HTTP 403 response body: invalid character 'x' looking for "
			"beginning of value: \"x\""},
		{401, "Bearer error=\"insufficient_scope\"",
			"{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}", ERROR_ERRCODE_ERRORS,
			"errors:\ndenied: requested access to the resource is "
			"denied\nunauthorized\n"},
		/* Two lists: the second is decoded into the first's entries, as in Go. */
		{404, NULL,
			"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"m\",\"detail\":1}],"
			"\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}",
			ERROR_ERRCODE_ERRORS, "name unknown: m"},
		{404, NULL, "{\"errors\":[{\"message\":\"m\"}],\"errors\":[]}",
			ERROR_UNEXPECTED_HTTP_RESPONSE, NULL},
		{404, NULL, "{\"errors\":[{\"message\":\"m\",\"message\":null}]}",
			ERROR_ERRCODE_ERRORS, "unknown: m"},
		{404, NULL, "{\"errors\":[null]}", ERROR_ERRCODE_ERRORS, "unknown"},
		{404, NULL, "{\"errors\":[{\"code\":[]},{\"message\":{}}]}",
			ERROR_UNEXPECTED_HTTP_RESPONSE,
			"error parsing HTTP 404 response body: json: cannot unmarshal array into "
			"Go struct field Error.Errors.code of type errcode.ErrorCode: "
			"\"{\\\"errors\\\":[{\\\"code\\\":[]},{\\\"message\\\":{}}]}\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err =
			answer(cases[i].status, cases[i].challenge, cases[i].body);

		if (err->kind != cases[i].kind ||
			(cases[i].message && strcmp(err->message, cases[i].message)))
			fail_msg("%d %s: expected kind %d, %s; got kind %d, %s", cases[i].status,
				cases[i].body, (int)cases[i].kind, cases[i].message, (int)err->kind,
				err->message);
	}
}

static void details(void **state)
{
	cleanup_error struct error *html = answer(401, NULL, "<\xff>");
	cleanup_error struct error *json = answer(404, NULL,
		"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"m\",\"detail\": {\"a\" : [1]} "
		"}]}");

	(void)state;
	assert_true(html->detail_is_bytes);
	assert_int_equal(html->detail_size, 3);
	assert_memory_equal(html->detail, "<\xff>", 3);
	assert_int_equal(json->nlist, 1);
	assert_false(json->list[0]->detail_is_bytes);
	assert_int_equal(json->list[0]->detail_size, strlen("{\"a\" : [1]}"));
	assert_memory_equal(json->list[0]->detail, "{\"a\" : [1]}", json->list[0]->detail_size);
}

static void random_bodies(void **state)
{
	static const char *const pieces[] = {"{", "}", "[", "]", "\"errors\":", "\"ERRORS\":",
		"\"code\":", "\"message\":", "\"detail\":", "\"details\":", "\"DENIED\"",
		"\"\\ud800\"", "\"\xff\"", "null", "true", "1e9", ",", ",", "[{", "}]", " ",
		"{\"errors\":[{\"code\":\"DENIED\"", "\"m\"", "\\", "\x01"};
	static const int statuses[] = {400, 401, 403, 404, 429, 499};
	uint64_t seed = 99;
	char body[400];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		int status = statuses[random_below(&seed, ARRAY_SIZE(statuses))];
		cleanup_error struct error *err = NULL;

		random_text(&seed, pieces, ARRAY_SIZE(pieces), 14, body, sizeof(body));
		err = answer(status, i % 3 ? NULL : "Bearer error=\"invalid_token\"", body);
		if (!*err->message || err->kind == ERROR_PLAIN ||
			err->kind == ERROR_UNEXPECTED_HTTP_STATUS)
			fail_msg("%d %s: kind %d, %s", status, body, (int)err->kind, err->message);
		for (size_t k = 0; k < err->nlist; k++)
			assert_true(*err->list[k]->message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(details),
		cmocka_unit_test(random_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
