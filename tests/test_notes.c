/* SPDX-License-Identifier: Apache-2.0 */
/* registry/notes: what answers say of limits, warnings and waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "registry/notes.h"

/* 2026-01-01 00:00:00 */
#define NOW 1767225600

static void retry_after(void **state)
{
	static const struct {
		const char *value;
		int64_t seconds;
	} cases[] = {
		{NULL, -1},
		{"", -1},
		{"0", 0},
		{"120", 120},
		{"999999999", 999999999},
		{"99999999999999999999", INT32_MAX},
		{"-1", -1},
		{"1.5", -1},
		{"12 s", -1},
		{"Thu, 01 Jan 2026 00:00:30 GMT", 30},
		{"Thu, 01 Jan 2026 01:00:00 GMT", 3600},
		{"Sun, 01 Mar 2026 00:00:00 GMT", 59 * 86400},
		{"Wed, 31 Dec 2025 23:59:59 GMT", 0},
		{"Thu, 01 Foo 2026 00:00:30 GMT", -1},
		{"Thu, 01 anF 2026 00:00:30 GMT", -1},
		{"Thu, 01 Jan 2026 25:00:30 GMT", -1},
		{"Thu, 01 Jan 2026 00:00:30 CET", -1},
		{"Thu, 01 Jan 2026", -1},
		{"soon", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct header_list h = {0};
		int64_t got;

		if (cases[i].value)
			assert_int_equal(header_add(&h, "retry-after", cases[i].value, NULL), 0);
		got = retry_after_seconds(&h, NOW);
		if (got != cases[i].seconds)
			fail_msg("%s: expected %lld, got %lld", cases[i].value,
				(long long)cases[i].seconds, (long long)got);
		header_list_free(&h);
	}
}

/* Which answers are waited for, and how long: from least to most ms. */
static void waits(void **state)
{
	static const struct {
		int status;
		unsigned tried;
		const char *after;
		int64_t least, most; /* -1: not at all */
	} cases[] = {
		{200, 0, NULL, -1, -1},
		{500, 0, "1", -1, -1},
		{401, 0, NULL, -1, -1},
		{429, 0, NULL, 50, 100},
		{503, 0, NULL, 50, 100},
		{503, 1, NULL, 100, 200},
		{503, 2, NULL, 200, 400},
		{503, 3, NULL, -1, -1},
		{429, 0, "0", 50, 100},
		{429, 0, "2", 2000, 2100},
		{429, 2, "5", 5000, 5100},
		{429, 0, "6", -1, -1},
		{429, 0, "nonsense", 50, 100},
	};
	const struct http_policy policy = {.retry_after = true,
		.max_retries = 3,
		.max_retry_wait_ms = 5000,
		.retry_backoff_ms = 100};
	const struct http_policy off = {.max_retries = 3};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_response r = {.status = cases[i].status};
		int64_t ms = -1;
		bool again;

		if (cases[i].after)
			assert_int_equal(
				header_add(&r.headers, "Retry-After", cases[i].after, NULL), 0);
		again = retry_wait_ms(&policy, &r, cases[i].tried, &ms);
		if (again != (cases[i].least >= 0) || ms < cases[i].least || ms > cases[i].most)
			fail_msg("%d after %u tries, Retry-After %s: expected %lld to %lld, got %d "
				 "%lld",
				cases[i].status, cases[i].tried,
				cases[i].after ? cases[i].after : "none", (long long)cases[i].least,
				(long long)cases[i].most, again, (long long)ms);
		assert_false(retry_wait_ms(&off, &r, 0, &ms));
		header_list_free(&r.headers);
	}
}

struct lines {
	struct log log;
	struct buf text;
};

static void write_line(struct log *log, enum log_level level, const char *text)
{
	struct lines *l = (struct lines *)log;

	buf_appendf(&l->text, "%d %s\n", (int)level, text);
}

static void taken(void **state)
{
	char url[] = "https://r/v2/";
	struct lines lines = {.log = {write_line}};
	struct notes n;
	char many[32];
	int i;

	(void)state;
	notes_init(&n);
	for (i = 0; i < 4; i++) {
		struct http_response r = {.status = 200, .url = url};

		header_add(&r.headers, "X-RateLimit-Limit", "100", NULL);
		header_add(&r.headers, "x-ratelimit-remaining",
			i == 3   ? "0"
			: i == 2 ? "8"
				 : "9",
			NULL);
		header_add(&r.headers, "Retry-After", "7", NULL);
		header_add(&r.headers, "Warning", "299 - \"old \\\"image\\\"\" \"date\"", NULL);
		header_add(&r.headers, "Warning", "110 - \"stale\"", NULL);
		header_add(&r.headers, "Warning", "299 - no quotes", NULL);
		notes_take(&n, &r, &lines.log);
		header_list_free(&r.headers);
	}
	assert_string_equal(lines.text.data, "2 Rate limit of https://r/v2/: 100, remaining: 9\n"
					     "1 The registry warns: old \"image\"\n"
					     "2 Rate limit of https://r/v2/: 100, remaining: 0\n");
	assert_int_equal(n.retry_after, 7);
	assert_string_equal(n.remaining, "0");
	/* An endless list of them is not remembered, and not shown. */
	buf_free(&lines.text);
	for (i = 0; i < 50; i++) {
		struct http_response r = {.status = 200, .url = url};

		snprintf(many, sizeof(many), "299 - \"%d\"", i);
		header_add(&r.headers, "Warning", many, NULL);
		notes_take(&n, &r, &lines.log);
		header_list_free(&r.headers);
	}
	assert_true(strstr(lines.text.data, ": 6\n") && !strstr(lines.text.data, ": 7\n"));
	buf_free(&lines.text);
	notes_destroy(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_after),
		cmocka_unit_test(waits),
		cmocka_unit_test(taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
