/* SPDX-License-Identifier: Apache-2.0 */
/* base: buffers and quoting, UTF-8, encodings, errors, contexts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/context.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"
#include "fail_alloc.h"
#include "random.h"

static void expect(const char *what, const char *wanted, const char *got)
{
	if (wanted && got && strcmp(wanted, got) == 0)
		return;
	print_error("%s\n  expected: %s\n  got:      %s\n", what, wanted ? wanted : "(null)",
		got ? got : "(null)");
	fail();
}

/* ---- buf */

static void buffers(void **state)
{
	struct buf b = {0};
	char *s;
	size_t i;

	(void)state;
	for (i = 0; i < 10000; i++)
		buf_append_char(&b, (char)('a' + i % 26));
	assert_int_equal(b.size, 10000);
	assert_int_equal(b.data[10000], '\0');
	assert_int_equal(b.data[9999], 'a' + 9999 % 26);
	buf_reset(&b);
	buf_appendf(&b, "%s-%d", "x", 7);
	buf_appendf(&b, "%300s|", "");
	assert_int_equal(b.size, 3 + 301);
	s = buf_steal(&b);
	assert_int_equal(strlen(s), 304);
	assert_null(b.data);
	free(s);
	s = buf_steal(&b); /* of an empty one: an empty string */
	assert_string_equal(s, "");
	free(s);
	b.limit = 5;
	buf_append_str(&b, "abc");
	assert_false(b.overflow);
	buf_append_str(&b, "defg");
	assert_true(b.overflow);
	assert_string_equal(b.data, "abcde");
	buf_append_str(&b, "h");
	assert_string_equal(b.data, "abcde");
	buf_free(&b);
	fail_alloc_start(1);
	buf_append_str(&b, "abc");
	buf_append_str(&b, "abc"); /* would succeed, but there is a hole before it */
	assert_true(fail_alloc_stop());
	assert_true(b.oom);
	assert_null(buf_steal(&b));
}

static void strings(void **state)
{
	(void)state;
	assert_true(str_has_prefix("abc", "ab"));
	assert_false(str_has_prefix("a", "ab"));
	assert_true(str_has_suffix("abc", "bc"));
	assert_false(str_has_suffix("c", "bc"));
	assert_true(str_equal(NULL, NULL));
	assert_false(str_equal("", NULL));
	assert_true(str_equal_fold("Bearer", "bEARER"));
	assert_false(str_equal_fold("a", "ab"));
	assert_false(str_equal_fold("a@", "a`"));
}

static void quoting(void **state)
{
	static const struct {
		const char *in, *go, *json, *json_plain;
	} cases[] = {
		{"", "\"\"", "\"\"", "\"\""},
		{"a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""},
		{"\a\b\t\n\v\f\r", "\"\\a\\b\\t\\n\\v\\f\\r\"",
			"\"\\u0007\\u0008\\t\\n\\u000b\\u000c\\r\"",
			"\"\\u0007\\u0008\\t\\n\\u000b\\u000c\\r\""},
		{"\x01\x7f", "\"\\x01\\x7f\"", "\"\\u0001\x7f\"", "\"\\u0001\x7f\""},
		{"<a>&", "\"<a>&\"", "\"\\u003ca\\u003e\\u0026\"", "\"<a>&\""},
		{"\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80", "\"\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80\"",
			"\"\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80\"",
			"\"\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80\""},
		{"\xff\xc3", "\"\\xff\\xc3\"", "\"\\ufffd\\ufffd\"", "\"\\ufffd\\ufffd\""},
		{"\xef\xbf\xbd", "\"\xef\xbf\xbd\"", "\"\xef\xbf\xbd\"", "\"\xef\xbf\xbd\""},
		{"\xc2\xa0\xe2\x80\xa8\xe2\x80\xa9", "\"\\u00a0\\u2028\\u2029\"",
			"\"\xc2\xa0\\u2028\\u2029\"", "\"\xc2\xa0\\u2028\\u2029\""},
		{"\xe2\x80\x8b\xee\x80\x80", "\"\\u200b\\ue000\"", "\"\xe2\x80\x8b\xee\x80\x80\"",
			"\"\xe2\x80\x8b\xee\x80\x80\""},
		{"\xf3\xa0\x80\x81", "\"\\U000e0001\"", "\"\xf3\xa0\x80\x81\"",
			"\"\xf3\xa0\x80\x81\""},
		/* a letter that came with Unicode 14, after Go 1.19's tables */
		{"\xf0\x90\x95\xb0", "\"\\U00010570\"", "\"\xf0\x90\x95\xb0\"",
			"\"\xf0\x90\x95\xb0\""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf b = {0};

		buf_append_quoted(&b, cases[i].in, strlen(cases[i].in));
		expect("buf_append_quoted", cases[i].go, b.data);
		buf_reset(&b);
		buf_append_json(&b, cases[i].in, strlen(cases[i].in), true);
		expect("buf_append_json, HTML", cases[i].json, b.data);
		buf_reset(&b);
		buf_append_json(&b, cases[i].in, strlen(cases[i].in), false);
		expect("buf_append_json", cases[i].json_plain, b.data);
	}
}

static void every_rune(void **state)
{
	uint32_t rune, got;
	char text[UTF8_MAX];
	size_t n, printable = 0;

	(void)state;
	for (rune = 0; rune < 0x110100; rune++) {
		bool valid = rune < 0x110000 && (rune < 0xd800 || rune > 0xdfff);

		n = utf8_encode(rune, text);
		assert_int_equal(utf8_decode(text, n, &got), n);
		assert_int_equal(got, valid ? rune : UTF8_ERROR);
		if (n > 1) /* cut short it is no rune */
			assert_int_equal(utf8_decode(text, n - 1, &got), 1);
		printable += unicode_is_print(rune);
	}
	/* as many as Unicode 13 has assigned: 143859 characters, without Cc (65), Cf (161) and the
	 * spaces but one (Zs 17 - 1, Zl, Zp) */
	assert_int_equal(printable, 143859 - 161 - 16 - 2);
	assert_true(unicode_is_space(0xa0));
	assert_false(unicode_is_space(0x200b));
}

/* Whatever bytes: each step goes on, and what it gives is a rune. */
static void random_bytes(void **state)
{
	uint64_t seed = 3;
	char text[64];
	size_t i, at, width;
	uint32_t rune;

	(void)state;
	for (i = 0; i < 100000; i++) {
		for (at = 0; at < sizeof(text); at++)
			text[at] = (char)(random_next(&seed) | (i % 2 ? 0x80 : 0));
		for (at = 0; at < sizeof(text); at += width) {
			width = utf8_decode(text + at, sizeof(text) - at, &rune);
			assert_in_range(width, 1, 4);
			assert_true(rune < 0x110000 && (rune < 0xd800 || rune > 0xdfff));
			assert_true(width > 1 || rune < 0x80 || rune == UTF8_ERROR);
		}
	}
	assert_int_equal(utf8_decode("", 0, &rune), 0);
}

static void base64(void **state)
{
	static const struct {
		const char *in, *out, *message;
		bool url;
	} cases[] = {
		{"", "", NULL, false},
		{"Zg==", "f", NULL, false},
		{"Zm8=", "fo", NULL, false},
		{"Zm9v", "foo", NULL, false},
		{"Zm\n9v\r\nYg=\n=\n", "foob", NULL, false},
		{"+/+/", "\xfb\xff\xbf", NULL, false},
		{"-_-_", "\xfb\xff\xbf", NULL, true},
		{"-_-_", NULL, "illegal base64 data at input byte 0", false},
		{"+/+/", NULL, "illegal base64 data at input byte 0", true},
		{"Zg", NULL, "illegal base64 data at input byte 0", false},
		{"Zm8", NULL, "illegal base64 data at input byte 0", false},
		{"Zm9vZ", NULL, "illegal base64 data at input byte 4", false},
		{"Zg=", NULL, "illegal base64 data at input byte 3", false},
		{"Zg=x", NULL, "illegal base64 data at input byte 2", false},
		{"Z===", NULL, "illegal base64 data at input byte 1", false},
		{"=", NULL, "illegal base64 data at input byte 0", false},
		{"Zm8=x", NULL, "illegal base64 data at input byte 4", false},
		{"Zg==Zg==", NULL, "illegal base64 data at input byte 4", false},
		{"Zm9v!", NULL, "illegal base64 data at input byte 4", false},
		{"Z g=", NULL, "illegal base64 data at input byte 1", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf b = {0}, again = {0};
		cleanup_error struct error *err = NULL;
		int ret;

		buf_append(&b, "", 0);
		ret = encoding_base64_decode(
			&b, cases[i].in, strlen(cases[i].in), cases[i].url, &err);
		expect(cases[i].in, cases[i].message ? cases[i].message : "",
			err ? err->message : "");
		if (ret < 0)
			continue;
		assert_int_equal(b.size, strlen(cases[i].out));
		assert_memory_equal(b.data, cases[i].out, b.size);
		buf_append(&again, "", 0);
		encoding_base64(&again, b.data, b.size, cases[i].url);
		if (!strchr(cases[i].in, '\n'))
			expect("encoding_base64", cases[i].in, again.data);
	}
}

static void base32(void **state)
{
	/* RFC 4648 */
	static const struct {
		const char *in, *out;
	} cases[] = {{"f", "MY"}, {"fo", "MZXQ"}, {"foo", "MZXW6"}, {"foob", "MZXW6YQ"},
		{"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf b = {0};

		encoding_base32(&b, cases[i].in, strlen(cases[i].in));
		expect(cases[i].in, cases[i].out, b.data);
	}
}

static void arenas(void **state)
{
	struct arena *a = arena_new();
	unsigned char *blocks[200];
	size_t i, k, size;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		size = i % 17 == 0 ? 100000 : i * 3;
		blocks[i] = arena_alloc(a, size);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
		for (k = 0; k < size; k++)
			assert_int_equal(blocks[i][k], 0);
		memset(blocks[i], (int)i, size);
	}
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		for (k = 0; k < (i % 17 == 0 ? 100000 : i * 3); k++)
			assert_int_equal(blocks[i][k], i);
	}
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc_array(a, SIZE_MAX / 2, 3));
	assert_string_equal(arena_copy(a, "abcd", 3), "abc");
	arena_free(a);
}

/* ---- errors */

static void error_texts(void **state)
{
	struct error *const two[] = {error_errcode_code("DENIED"),
		error_errcode("MANIFEST_UNKNOWN", NULL, "{\"a\":1}", 7)};
	struct error *const one[] = {error_errcode("NOPE", "text", NULL, 0)};
	struct {
		const char *message;
		struct error *err;
		enum error_class cls;
	} cases[] = {
		{"a 1", error_plainf("a %d", 1), CLASS_NONE},
		{"gone", error_classf(CLASS_NOT_FOUND, "gone"), CLASS_NOT_FOUND},
		{"EOF", error_wrap(ERROR_DO_NOT_RETRY, &err_eof), CLASS_NONE},
		{"not supported", error_wrap(ERROR_NO_SUPPORT, NULL), CLASS_NONE},
		{"unknown blob", error_wrap(ERROR_NO_SUPPORT, &err_blob_unknown), CLASS_NONE},
		{"error pulling image configuration: x",
			error_wrap(ERROR_IMAGE_CONFIG_PULL, error_plainf("x")), CLASS_NONE},
		{"x", error_wrap(ERROR_WITH_STACK, error_classf(CLASS_CONFLICT, "x")),
			CLASS_CONFLICT},
		{"x", error_wrap(ERROR_DO_NOT_RETRY, error_classf(CLASS_CONFLICT, "x")),
			CLASS_NONE},
		{"x", error_fallback(error_classf(CLASS_CONFLICT, "x"), true, false),
			CLASS_CONFLICT},
		{"x", error_errdefs(CLASS_UNKNOWN, error_plainf("x")), CLASS_UNKNOWN},
		{"x", error_errdefs(CLASS_UNKNOWN, error_classf(CLASS_CONFLICT, "x")),
			CLASS_UNKNOWN},
		{"Get \"https://h/\\\"\": EOF", error_url("Get", "https://h/\"", &err_eof),
			CLASS_NONE},
		{"write /f: no space left on device",
			error_path("write", "/f", error_errno(ENOSPC)), CLASS_NONE},
		{"<nil>", error_errcode_errors(NULL, 0), CLASS_NONE},
		{"unknown: text", error_errcode_errors(one, 1), CLASS_NONE},
		{"errors:\ndenied\nmanifest unknown: manifest unknown\n",
			error_errcode_errors(two, 2), CLASS_NONE},
		{"error parsing HTTP 400 response body: EOF: \"a\\n\"",
			error_unexpected_http_response(400, &err_eof, "a\n", 2), CLASS_NONE},
		{"error parsing HTTP 502 response body: EOF: \"\"",
			error_unexpected_http_response(502, &err_eof, NULL, 0), CLASS_NONE},
		{"received unexpected HTTP status: 500 X", error_unexpected_http_status("500 X"),
			CLASS_NONE},
		{"Encountered remote \"a/b\"(plugin) when fetching",
			error_invalid_manifest_class("a/b", "plugin"), CLASS_INVALID_PARAMETER},
		{"unsupported manifest format", error_invalid_manifest_format(),
			CLASS_INVALID_PARAMETER},
		{"'scratch' is a reserved name", error_reserved_name("scratch"), CLASS_FORBIDDEN},
		{"no such thing", error_not_found(error_errcode_code("DENIED"), "no such thing"),
			CLASS_NOT_FOUND},
		{"connection refused", error_errno(ECONNREFUSED), CLASS_NONE},
		{"stale NFS file handle", error_errno(ESTALE), CLASS_NONE},
		{"errno 4000", error_errno(4000), CLASS_NONE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		expect("message", cases[i].message, cases[i].err->message);
		expect("class", error_class_name(cases[i].cls),
			error_class_name(error_class_of(cases[i].err)));
		error_unref(error_ref(cases[i].err));
		error_unref(cases[i].err);
	}
	assert_ptr_equal(error_errno(ENOSPC), &err_enospc);
	assert_ptr_equal(error_errno(ESRCH), &err_esrch);
	assert_string_equal(errno_text(4000), "unknown error");
	assert_int_equal(error_class_of(&err_reference_does_not_exist), CLASS_NOT_FOUND);
	assert_int_equal(error_class_of(NULL), CLASS_NONE);
}

static void error_parts(void **state)
{
	struct error *err = error_errcode("MANIFEST_UNKNOWN", NULL, "{\"a\":1}", 7);
	struct error *outer = error_url("Get", "u", err);

	(void)state;
	assert_string_equal(err->code, "MANIFEST_UNKNOWN");
	assert_string_equal(err->text, "manifest unknown");
	assert_int_equal(err->http_status, 404);
	assert_int_equal(err->detail_size, 7);
	assert_memory_equal(err->detail, "{\"a\":1}", 8);
	assert_ptr_equal(outer->cause, err);
	assert_string_equal(outer->op, "Get");
	assert_string_equal(outer->text, "u");
	error_unref(outer);
	err = error_errcode_code("");
	assert_string_equal(err->code, "UNKNOWN");
	assert_string_equal(err->message, "unknown");
	error_unref(err);
	err = error_fallback(error_ref(&err_eof), false, true);
	assert_false(err->confirmed_v2);
	assert_true(err->transport_ok);
	error_unref(err);
	err = NULL;
	assert_int_equal(error_setf(&err, "x"), -1);
	error_unref(err);
	assert_int_equal(error_setf(NULL, "x"), -1); /* dropped, not leaked */
	assert_ptr_equal(error_sentinel("io.EOF"), &err_eof);
	assert_null(error_sentinel("io.Nothing"));
	assert_string_equal(errcode_info(NULL)->code, "UNKNOWN");
}

/* A constructor without memory gives error_no_memory, and what it took over is gone. */
static void error_no_memory_given(void **state)
{
	size_t n;
	int failed = 1;

	(void)state;
	for (n = 1; failed; n++) {
		struct error *cause = error_plainf("x"), *err;
		struct error *const list[] = {cause};

		fail_alloc_start(n);
		err = error_url("Get", "u", error_errcode_errors(list, 1));
		failed = fail_alloc_stop();
		assert_true(!failed || err == &error_no_memory || err->cause == &error_no_memory);
		error_unref(err);
	}
	assert_true(n > 4);
}

/* ---- logs */

struct test_log {
	struct log log;
	struct buf lines;
};

static void keep_line(struct log *log, enum log_level level, const char *text)
{
	struct test_log *t = (struct test_log *)log;

	buf_appendf(&t->lines, "%d:%s\n", level, text);
}

static void logs(void **state)
{
	struct test_log t = {.log = {keep_line}};

	(void)state;
	log_error(&t.log, "a %s", "b");
	log_debug(&t.log, "%0300d", 1);
	log_info(NULL, "nowhere");
	assert_int_equal(t.lines.size, 6 + 3 + 300);
	assert_memory_equal(t.lines.data, "0:a b\n3:0", 9);
	buf_free(&t.lines);
}

/* ---- contexts */

static void count_call(void *arg)
{
	++*(int *)arg;
}

static void cancel_tree(void **state)
{
	struct cancel *parent = cancel_new(NULL), *child = cancel_new(parent),
		      *orphan = cancel_new(parent), *late;
	struct cancel_watch first, second, gone, afterwards;
	int calls = 0, others = 0;

	(void)state;
	assert_false(cancel_fired(NULL));
	assert_null(cancel_error(child));
	cancel_watch(child, &first, count_call, &calls);
	cancel_watch(child, &second, count_call, &calls);
	cancel_watch(child, &gone, count_call, &others);
	cancel_unwatch(&gone);
	cancel_unref(orphan); /* leaves its parent */
	cancel_fire(parent, &err_context_deadline_exceeded);
	assert_ptr_equal(cancel_error(child), &err_context_deadline_exceeded);
	assert_int_equal(calls, 2);
	assert_int_equal(others, 0);
	cancel_fire(child, &err_context_canceled); /* the first call has won */
	assert_ptr_equal(cancel_error(child), &err_context_deadline_exceeded);
	cancel_watch(child, &afterwards, count_call, &others);
	assert_int_equal(others, 1);
	late = cancel_new(child);
	assert_true(cancel_fired(late));
	cancel_unref(late);
	cancel_unwatch(&first);
	cancel_unwatch(&second);
	cancel_unwatch(&afterwards);
	cancel_unref(child);
	cancel_unref(parent);
}

struct self_watch {
	struct cancel *cancel;
	struct cancel_watch watch;
	int calls;
};

static void unwatch_myself(void *arg)
{
	struct self_watch *s = arg;

	s->calls++;
	cancel_unwatch(&s->watch);
	cancel_unref(s->cancel); /* the last reference */
}

static void cancel_from_its_callback(void **state)
{
	struct cancel *parent = cancel_new(NULL);
	struct self_watch s = {.cancel = cancel_new(parent)};

	(void)state;
	cancel_watch(s.cancel, &s.watch, unwatch_myself, &s);
	cancel_fire(parent, &err_context_canceled);
	assert_int_equal(s.calls, 1);
	cancel_unref(parent);
}

static void *fire_it(void *arg)
{
	cancel_fire(arg, &err_context_canceled);
	cancel_unref(arg);
	return NULL;
}

/* Fired on one thread, given up on another: ASan and TSan see what goes wrong. */
static void cancel_races(void **state)
{
	int round;

	(void)state;
	for (round = 0; round < 500; round++) {
		struct cancel *parent = cancel_new(NULL), *child = cancel_new(parent);
		struct cancel_watch watch;
		pthread_t t;
		int calls = 0;

		cancel_watch(child, &watch, count_call, &calls);
		assert_int_equal(thread_start(&t, 64 * 1024, fire_it, cancel_ref(parent), NULL), 0);
		cancel_unwatch(&watch);
		assert_in_range(calls, 0, 1);
		cancel_unref(child);
		cancel_unref(parent);
		pthread_join(t, NULL);
	}
}

static void *sleep_long(void *arg)
{
	struct context ctx = {.cancel = arg};

	return context_sleep(&ctx, 3600 * 1000) < 0 ? arg : NULL;
}

static void sleeping(void **state)
{
	struct cancel *cancel = cancel_new(NULL);
	struct context ctx = {.cancel = cancel};
	pthread_t t;
	void *ret;

	(void)state;
	assert_int_equal(context_sleep(&ctx, 0), 0);
	assert_int_equal(context_sleep(&ctx, 2), 0);
	assert_int_equal(thread_start(&t, 64 * 1024, sleep_long, cancel, NULL), 0);
	cancel_fire(cancel, &err_context_canceled);
	pthread_join(t, &ret);
	assert_ptr_equal(ret, cancel);
	assert_int_equal(context_sleep(&ctx, 3600 * 1000), -1);
	cancel_unref(cancel);
}

struct poller {
	struct cancel *cancel;
	int calls;
};

static void poll_and_cancel(void *arg)
{
	struct poller *p = arg;

	if (++p->calls == 3)
		cancel_fire(p->cancel, &err_context_canceled);
}

/* The caller's poll function runs while something is waited for, and can end it. */
static void polling(void **state)
{
	struct poller p = {.cancel = cancel_new(NULL)};
	struct context ctx = {.cancel = p.cancel, .poll = poll_and_cancel, .poll_arg = &p};

	(void)state;
	assert_int_equal(context_sleep(&ctx, 3600 * 1000), -1);
	assert_int_equal(p.calls, 3);
	cancel_unref(p.cancel);
}

static void *signal_mask(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return NULL;
}

static void threads_block_signals(void **state)
{
	sigset_t mask, mine;
	pthread_t t;

	(void)state;
	assert_int_equal(thread_start(&t, 64 * 1024, signal_mask, &mask, NULL), 0);
	pthread_join(t, NULL);
	assert_true(sigismember(&mask, SIGPIPE));
	assert_true(sigismember(&mask, SIGTERM));
	assert_true(sigismember(&mask, SIGXFSZ));
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers),
		cmocka_unit_test(strings),
		cmocka_unit_test(quoting),
		cmocka_unit_test(every_rune),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(base64),
		cmocka_unit_test(base32),
		cmocka_unit_test(arenas),
		cmocka_unit_test(error_texts),
		cmocka_unit_test(error_parts),
		cmocka_unit_test(error_no_memory_given),
		cmocka_unit_test(logs),
		cmocka_unit_test(cancel_tree),
		cmocka_unit_test(cancel_from_its_callback),
		cmocka_unit_test(cancel_races),
		cmocka_unit_test(sleeping),
		cmocka_unit_test(polling),
		cmocka_unit_test(threads_block_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
