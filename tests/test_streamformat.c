/* SPDX-License-Identifier: Apache-2.0 */
/* compat/streamformat: formats and sizes that the recorded cases do not have. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <string.h>

#include "base/buf.h"
#include "streamformat.h"
#include "towline.h"

/* By reading fmt's source: what Sprintf without arguments makes of each. */
static void formats(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"plain", "plain"},
		{"%", "%!(NOVERB)"},
		{"%%%", "%%!(NOVERB)"},
		{"%5", "%!(NOVERB)"},
		{"%+-# 0", "%!(NOVERB)"},
		{"%5.3d|", "%!d(MISSING)|"},
		{"%*d", "%!(BADWIDTH)%!d(MISSING)"},
		{"%.*d", "%!(BADPREC)%!d(MISSING)"},
		{"%[1]d", "%!d(BADINDEX)"},
		{"%[2", "%!(NOVERB)"},
		{"%[", "%!(NOVERB)"},
		{"%[x]d", "%!d(BADINDEX)"},
		{"%[1]*d", "%!(BADWIDTH)%!d(BADINDEX)"},
		{"%.[1]*d", "%!(BADPREC)%!d(BADINDEX)"},
		{"%5%", "%"},
		{"%9999999d", "%!d(MISSING)"},
		{"%99999999d", "%!(NOVERB)"},
		{"%\xc3\xa9x", "%!\xc3\xa9(MISSING)x"},
		{"%\xff", "%!\xef\xbf\xbd(MISSING)"},
		{"100% of %v", "100%!o(MISSING)f %!v(MISSING)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf b = {0};

		streamformat_sprintf(&b, cases[i].in);
		buf_append(&b, "", 0);
		if (strcmp(b.data ? b.data : "", cases[i].out) != 0)
			fail_msg("%s\nexpected %s\ngot      %s", cases[i].in, cases[i].out, b.data);
	}
}

static void sizes(void **state)
{
	static const struct {
		double in;
		const char *out;
	} cases[] = {
		{0, "0B"},
		{1, "1B"},
		{999, "999B"},
		{1000, "1kB"},
		{1024, "1.024kB"},
		{1234567, "1.235MB"},
		{999999, "1000kB"},
		{1e6, "1MB"},
		{5e9, "5GB"},
		{9223372036854775807.0, "9.223EB"},
		{-1, "-1B"},
		{-5000, "-5000B"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf b = {0};

		streamformat_human_size(&b, cases[i].in);
		if (strcmp(b.data, cases[i].out) != 0)
			fail_msg("%f\nexpected %s\ngot      %s", cases[i].in, cases[i].out, b.data);
	}
}

/* A host with a decimal comma gets Docker's bytes all the same. */
static void locale_of_host(void **state)
{
	static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
	cleanup_buf struct buf b = {0};
	bool found = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names) && !found; i++)
		found = setlocale(LC_NUMERIC, names[i]) != NULL;
	if (!found) {
		printf("# skip: no locale with a decimal comma is installed\n");
		skip();
	}
	streamformat_human_size(&b, 1234);
	setlocale(LC_NUMERIC, "C");
	assert_string_equal(b.data, "1.234kB");
}

/* The ends of what counts can be, none of which may crash or overflow. */
static void extremes(void **state)
{
	static const struct {
		int64_t current, total;
		const char *part; /* of the line */
	} cases[] = {
		{INT64_MAX, 1, "==\\u003e]  9.223EB\""},
		{INT64_MAX, INT64_MAX, "==\\u003e]  9.223EB/9.223EB\""},
		{INT64_MIN, 1, "[\\u003e  "},
		{-1000, 100, "]   -1000B/100B\""},
		{INT64_MIN, INT64_MIN, "-9223372036854775808}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct stream_progress p = {
			.action = "a", .current = cases[i].current, .total = cases[i].total};
		cleanup_buf struct buf b = {0};

		streamformat_progress(&b, &p);
		if (!strstr(b.data, cases[i].part) || !str_has_suffix(b.data, "}\r\n"))
			fail_msg("expected %s\ngot      %s", cases[i].part, b.data);
	}
}

static void library(void **state)
{
	const struct image_pull_progress progress = {.struct_size = sizeof(progress),
		.id = "abc",
		.message = "",
		.action = "Downloading",
		.current = 5,
		.total = 10};
	struct towline_text text;

	(void)state;
	towline_text_init(&text);
	assert_int_equal(towline_progress_json(&progress, &text.sink), IMAGE_PULL_OK);
	assert_string_equal(text.value,
		"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":10},"
		"\"progress\":\"[=========================\\u003e                         ]"
		"       5B/10B\",\"id\":\"abc\"}\r\n");
	assert_int_equal(towline_error_json("no", 0, &text.sink), IMAGE_PULL_OK);
	assert_string_equal(
		text.value, "{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n");
	assert_int_equal(towline_error_json("no", 404, &text.sink), IMAGE_PULL_OK);
	assert_string_equal(text.value,
		"{\"errorDetail\":{\"code\":404,\"message\":\"no\"},\"error\":\"no\"}\r\n");
	assert_int_equal(towline_status_json("x", "100%", &text.sink), IMAGE_PULL_OK);
	assert_string_equal(text.value, "{\"status\":\"100%\",\"id\":\"x\"}\r\n");
	towline_text_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(sizes),
		cmocka_unit_test(locale_of_host),
		cmocka_unit_test(extremes),
		cmocka_unit_test(library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
