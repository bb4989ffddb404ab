/* SPDX-License-Identifier: Apache-2.0 */
/* image/platform: formatting, --platform, the choice from a list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/platform.h"

static const struct platform amd64 = {"linux", "amd64", "", ""};
static const struct platform armv6 = {"linux", "arm", "v6", ""};

static void formatting(void **state)
{
	static const struct {
		struct platform platform;
		const char *text;
	} cases[] = {
		{{"linux", "arm", "v7", ""}, "linux/arm/v7"},
		{{"linux", "", "v7", "1.2"}, "linux/v7"},
		{{"", "arm", "v7", ""}, "linux/amd64"},
		{{"windows", "", "", ""}, "windows"},
		/* path.Join cleans what it joins. */
		{{"a//b/./", "..", "c", ""}, "a/c"},
		{{"..", "../x", "..", ""}, "../.."},
		{{"/", "..", "a", ""}, "/a"},
		{{".", ".", "", ""}, "."},
		{{"a", "..", "", ""}, "."},
		{{"a/b", "../..", "../c", ""}, "../c"},
	};
	cleanup_free char *none = platform_format(NULL, &armv6);

	(void)state;
	assert_string_equal(none, "linux/arm/v6");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = platform_format(&cases[i].platform, &amd64);

		if (!str_equal(text, cases[i].text))
			fail_msg("%s, %s, %s: expected %s, got %s", cases[i].platform.os,
				cases[i].platform.architecture, cases[i].platform.variant,
				cases[i].text, text);
	}
}

static void parsing(void **state)
{
	static const struct {
		const char *in;
		const struct platform *runtime;
		const char *os, *architecture, *variant, *error;
	} cases[] = {
		{"linux", &amd64, "linux", "amd64", "", NULL},
		{"Linux", &armv6, "linux", "arm", "v6", NULL},
		{"macOS", &amd64, "darwin", "amd64", "", NULL},
		{"arm64", &amd64, "linux", "arm64", "", NULL},
		{"armhf", &amd64, "linux", "arm", "", NULL},
		{"armel", &amd64, "linux", "arm", "v6", NULL},
		{"linux/ARM64/v8", &amd64, "linux", "arm64", "v8", NULL},
		{"linux/arm/7", &amd64, "linux", "arm", "v7", NULL},
		{"linux/arm", &amd64, "linux", "arm", "", NULL},
		{"windows/x86_64", &amd64, "windows", "amd64", "", NULL},
		{"my-os/my_arch", &amd64, "my-os", "my_arch", "", NULL},
		{"vax", &amd64, NULL, NULL, NULL,
			"\"vax\": unknown operating system or architecture: invalid argument"},
		{"linux/*", &amd64, NULL, NULL, NULL,
			"\"linux/*\": wildcards not yet supported: invalid argument"},
		{"a/b/c/d", &amd64, NULL, NULL, NULL,
			"\"a/b/c/d\": cannot parse platform specifier: invalid argument"},
		{"a//b", &amd64, NULL, NULL, NULL,
			"\"\" is an invalid component of \"a//b\": platform specifier component "
			"must match \"^[A-Za-z0-9_-]+$\": invalid argument"},
		{"", &amd64, NULL, NULL, NULL,
			"\"\" is an invalid component of \"\": platform specifier component "
			"must match \"^[A-Za-z0-9_-]+$\": invalid argument"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct platform p = {NULL, NULL, NULL, NULL};
		cleanup_free char *buffer = NULL;
		cleanup_error struct error *err = NULL;

		platform_parse(cases[i].in, cases[i].runtime, &p, &buffer, &err);
		if (!str_equal(p.os, cases[i].os) ||
			!str_equal(p.architecture, cases[i].architecture) ||
			!str_equal(p.variant, cases[i].variant) ||
			!str_equal(err ? err->message : NULL, cases[i].error))
			fail_msg("%s: expected %s/%s/%s, error %s; got %s/%s/%s, error %s",
				cases[i].in, cases[i].os, cases[i].architecture, cases[i].variant,
				cases[i].error, p.os, p.architecture, p.variant,
				err ? err->message : NULL);
		if (err)
			assert_int_equal(error_class_of(err), CLASS_INVALID_PARAMETER);
	}
}

static void choosing(void **state)
{
	static const struct platform list[] = {
		{"linux", "arm", "v5", ""},
		{"linux", "arm", "", ""},
		{"Linux", "AMD64", "", ""},
		{"linux", "arm64", "v8", ""},
		{"windows", "amd64", "", "10"},
		{"", "x86_64", "", ""},
		{"linux", "unknown", "", ""},
	};
	static const struct {
		struct platform asked;
		const struct platform *runtime;
		size_t indices[4], n;
	} cases[] = {
		{{"", "", "", ""}, &amd64, {2, 5}, 2},
		{{"", "", "v9", ""}, &amd64, {2, 5}, 2},
		{{"linux", "arm", "", ""}, &amd64, {1}, 1},
		{{"linux", "arm", "v6", ""}, &amd64, {0, 1}, 2}, /* none fits: all of arm */
		{{"linux", "", "", ""}, &armv6, {0, 1}, 2},
		{{"linux", "aarch64", "8", ""}, &amd64, {3}, 1},
		{{"windows", "", "", ""}, &amd64, {4}, 1},
		{{"plan9", "arm", "", ""}, &amd64, {0}, 0},
		{{"linux", "UNKNOWN", "", ""}, &amd64, {6}, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t got[ARRAY_SIZE(list)];
		size_t n = platform_filter(
			list, ARRAY_SIZE(list), &cases[i].asked, cases[i].runtime, got);

		if (n != cases[i].n || memcmp(got, cases[i].indices, n * sizeof(*got)))
			fail_msg("case %zu (%s/%s/%s): expected %zu indices from %zu, got %zu from "
				 "%zu",
				i, cases[i].asked.os, cases[i].asked.architecture,
				cases[i].asked.variant, cases[i].n, cases[i].indices[0], n,
				n ? got[0] : 0);
	}
	assert_int_equal(platform_filter(NULL, 0, NULL, &amd64, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formatting),
		cmocka_unit_test(parsing),
		cmocka_unit_test(choosing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
