/* SPDX-License-Identifier: Apache-2.0 */
/* xfer/fetch by way of the download manager, with both kinds of store: tries, countdown, resume,
 * verification, sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fakes/downloads.h"
#include "xfer/fetch.h"

#define D "Downloading\n"
#define V "Verifying Checksum\n"
#define C "Download complete\n"
#define X "Extracting\n"
#define P "Pull complete\n"
#define R5 "Retrying 5,4,3,2,1\n"
#define R10 "Retrying 10,9,8,7,6,5,4,3,2,1\n"
#define R15 "Retrying 15,14,13,12,11,10,9,8,7,6,5,4,3,2,1\n"
#define R20 "Retrying 20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1\n"
#define RETRYING "E Download failed, retrying: "
#define FAILED "E Download failed: "

static struct error fails = {
	.is_static = true, .kind = ERROR_PLAIN, .message = "received unexpected HTTP status: 500"};

/* The blob's bytes with a byte changed, and with some more. */
static struct buf damaged, longer;
/* %D stands for the blob's digest, in error and logs. */
#define MISMATCH "filesystem layer verification failed for digest %D"

struct fetch_case {
	const char *name;
	struct fake_try tries[6];
	size_t ntries;
	int size_off; /* the manifest's size is this much off the right one */
	const char *error, *lines, *logs, *requests;
};

static const struct fetch_case cases[] = {
	{.name = "good", .lines = D V C X P, .logs = "", .requests = "a@0 "},
	{.name = "no length",
		.tries = {{.declared = -1}},
		.ntries = 1,
		.lines = D V C X P,
		.logs = "",
		.requests = "a@0 "},
	{.name = "resume",
		.tries = {{.cut = 300, .cut_error = &err_unexpected_eof}},
		.ntries = 1,
		.lines = D R5 D V C X P,
		.logs = RETRYING "unexpected EOF\n",
		.requests = "a@0 a@300 "},
	{.name = "range ignored",
		.tries = {{.cut = 300, .cut_error = &err_unexpected_eof}, {.ignore_range = true}},
		.ntries = 2,
		.lines = D R5 R10 D V C X P,
		.logs = RETRYING "unexpected EOF\n" RETRYING
				 "expected HTTP 206 from byte range request\n",
		.requests = "a@0 a@300 a@0 "},
	{.name = "range ignored twice",
		.tries = {{.cut = 50, .cut_error = &err_unexpected_eof}, {.ignore_range = true},
			{.cut = 60, .cut_error = &err_unexpected_eof}, {.ignore_range = true}},
		.ntries = 4,
		.lines = D R5 R10 D R15 R20 D V C X P,
		.logs = RETRYING
		"unexpected EOF\n" RETRYING "expected HTTP 206 from byte range request\n" RETRYING
		"unexpected EOF\n" RETRYING "expected HTTP 206 from byte range request\n",
		.requests = "a@0 a@50 a@0 a@60 a@0 "},
	{.name = "begun again, cut shorter than before",
		.tries = {{.cut = 60, .cut_error = &err_unexpected_eof}, {.ignore_range = true},
			{.cut = 50, .cut_error = &err_unexpected_eof}},
		.ntries = 3,
		.lines = D R5 R10 D R15 D V C X P,
		.logs = RETRYING "unexpected EOF\n" RETRYING
				 "expected HTTP 206 from byte range request\n" RETRYING
				 "unexpected EOF\n",
		.requests = "a@0 a@60 a@0 a@50 "},
	{.name = "damaged, cut, range ignored: what is there is of no use",
		.tries = {{.data = &damaged, .cut = 300, .cut_error = &err_unexpected_eof},
			{.ignore_range = true}},
		.ntries = 2,
		.lines = D R5 R10 D V C X P,
		.logs = RETRYING "unexpected EOF\n" RETRYING
				 "expected HTTP 206 from byte range request\n",
		.requests = "a@0 a@300 a@0 a@0 "},
	{.name = "longer, cut behind the end, range ignored",
		.tries = {{.data = &longer, .cut = 3050, .cut_error = &err_unexpected_eof},
			{.ignore_range = true}},
		.ntries = 2,
		.size_off = -100000, /* not checked */
		.lines = D R5 R10 D V C X P,
		.logs = RETRYING "unexpected EOF\n" RETRYING
				 "expected HTTP 206 from byte range request\n",
		.requests = "a@0 a@3050 a@0 a@0 "},
	{.name = "wrong digest after a resume",
		.tries = {{.data = &damaged, .cut = 300, .cut_error = &err_unexpected_eof}},
		.ntries = 1,
		.lines = D R5 D V R10 D V C X P,
		.logs = RETRYING "unexpected EOF\nE " MISMATCH "\n" RETRYING MISMATCH "\n",
		.requests = "a@0 a@300 a@0 "},
	{.name = "wrong digest",
		.tries = {{.data = &damaged}},
		.ntries = 1,
		.error = MISMATCH,
		.lines = D V,
		.logs = "E " MISMATCH "\n" FAILED MISMATCH "\n",
		.requests = "a@0 "},
	{.name = "wrong digest after a resume, and then without one",
		.tries = {{.data = &damaged, .cut = 300, .cut_error = &err_unexpected_eof}, {0},
			{.data = &damaged}},
		.ntries = 3,
		.error = MISMATCH,
		.lines = D R5 D V R10 D V,
		.logs = RETRYING "unexpected EOF\nE " MISMATCH "\n" RETRYING MISMATCH
				 "\nE " MISMATCH "\n" FAILED MISMATCH "\n",
		.requests = "a@0 a@300 a@0 "},
	{.name = "five failures",
		.tries = {{.open_error = &fails}, {.open_error = &fails}, {.open_error = &fails},
			{.open_error = &fails}, {.open_error = &fails}},
		.ntries = 5,
		.error = "received unexpected HTTP status: 500",
		.lines = R5 R10 R15 R20,
		.logs = RETRYING "received unexpected HTTP status: 500\n" RETRYING
				 "received unexpected HTTP status: 500\n" RETRYING
				 "received unexpected HTTP status: 500\n" RETRYING
				 "received unexpected HTTP status: 500\n" FAILED
				 "received unexpected HTTP status: 500\n",
		.requests = "a@0 a@0 a@0 a@0 a@0 "},
	{.name = "four failures",
		.tries = {{.open_error = &fails}, {.open_error = &fails}, {.open_error = &fails},
			{.open_error = &fails}},
		.ntries = 4,
		.lines = R5 R10 R15 R20 D V C X P,
		.logs = RETRYING "received unexpected HTTP status: 500\n" RETRYING
				 "received unexpected HTTP status: 500\n" RETRYING
				 "received unexpected HTTP status: 500\n" RETRYING
				 "received unexpected HTTP status: 500\n",
		.requests = "a@0 a@0 a@0 a@0 a@0 "},
	{.name = "unknown blob",
		.tries = {{.open_error = &err_blob_unknown}},
		.ntries = 1,
		.error = "unknown blob",
		.lines = "",
		.logs = FAILED "unknown blob\n",
		.requests = "a@0 "},
	{.name = "no space in an error's text",
		.tries = {{.cut = 10, .cut_error = &err_enospc}},
		.ntries = 1,
		.error = "no space left on device",
		.lines = D,
		.logs = FAILED "no space left on device\n",
		.requests = "a@0 "},
	/* an error of the request with a Range does not go through retryOnError */
	{.name = "unknown blob on resume",
		.tries = {{.cut = 300, .cut_error = &err_unexpected_eof},
			{.open_error = &err_blob_unknown}},
		.ntries = 2,
		.lines = D R5 R10 D V C X P,
		.logs = RETRYING "unexpected EOF\n" RETRYING "unknown blob\n",
		.requests = "a@0 a@300 a@0 "},
	{.name = "ends too early, cleanly",
		.tries = {{.cut = 300}},
		.ntries = 1,
		.error = MISMATCH,
		.lines = D V,
		.logs = "E " MISMATCH "\n" FAILED MISMATCH "\n",
		.requests = "a@0 "},
	{.name = "breaks off when all is there",
		.tries = {{.cut = 1 << 20, .cut_error = &err_unexpected_eof}},
		.ntries = 1,
		.lines = D V C X P,
		.logs = "",
		.requests = "a@0 "},
	{.name = "more bytes than the manifest says",
		.tries = {{.data = &longer}},
		.ntries = 1,
		.error = "layer %D has more than the %S bytes of its descriptor",
		.lines = D V,
		.logs = FAILED "layer %D has more than the %S bytes of its descriptor\n",
		.requests = "a@0 "},
	{.name = "the manifest says more",
		.size_off = 1,
		.error = "layer %D has less than the %S bytes of its descriptor",
		.lines = D V,
		.logs = FAILED "layer %D has less than the %S bytes of its descriptor\n",
		.requests = "a@0 "},
	{.name = "the manifest says less",
		.size_off = -1,
		.error = MISMATCH,
		.lines = D V,
		.logs = "E " MISMATCH "\n" FAILED MISMATCH "\n",
		.requests = "a@0 "},
	{.name = "wrong digest and size",
		.tries = {{.data = &damaged}},
		.ntries = 1,
		.size_off = 7,
		.error = MISMATCH,
		.lines = D V,
		.logs = "E " MISMATCH "\n" FAILED MISMATCH "\n",
		.requests = "a@0 "},
};

/* With %D and %S replaced. */
static char *expand(const char *s, const struct bench *b)
{
	struct buf out = {0};

	for (; *s; s++) {
		if (strncmp(s, "%D", 2) == 0)
			buf_append_str(&out, b->blobs[0].digest);
		else if (strncmp(s, "%S", 2) == 0)
			buf_appendf(&out, "%lld", (long long)b->sizes[0]);
		else
			buf_append_char(&out, *s);
		s += *s == '%';
	}
	buf_append_str(&out, "");
	return out.data ? buf_steal(&out) : strdup("");
}

static void run_case(const struct fetch_case *c, bool staging, size_t chunk)
{
	struct bench b;
	struct bench_pull p;
	cleanup_free char *error = NULL, *logs = NULL;

	bench_init(&b, staging, 3);
	b.repo.chunk = chunk;
	bench_set_tries(&b, 0, c->tries, c->ntries);
	b.sizes[0] += c->size_off;
	if (c->size_off < -1000)
		b.sizes[0] = -1;
	error = c->error ? expand(c->error, &b) : NULL;
	logs = expand(c->logs, &b);
	bench_pull_init(&p, &b, "a");
	bench_pull_run(&p);
	expect_result(&p, error);
	expect_text(c->name, p.lines.data, "a Pulling fs layer\n");
	expect_text(c->name, p.layer[0].data, c->lines);
	expect_text(c->name, p.logs.data, logs);
	expect_text(c->name, b.repo.requests.data, c->requests);
	bench_pull_destroy(&p);
	bench_destroy(&b);
}

static void table(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, false, 1);
	buf_append(&damaged, b.data[0].data, b.data[0].size);
	damaged.data[150] ^= 1;
	buf_append(&longer, b.data[0].data, b.data[0].size);
	for (int i = 0; i < 100; i++)
		buf_append_char(&longer, 'x');
	assert_true(b.data[0].size > 2900 && b.data[0].size < 3050);
	bench_destroy(&b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int staging = 0; staging < 2; staging++) {
			run_case(&cases[i], staging, 0);
			run_case(&cases[i], staging, 7);
		}
	}
	buf_free(&damaged);
	buf_free(&longer);
}

/* What progress.Reader shows: the end of each try, the whole where it broke off. */
static void byte_counts(void **state)
{
	static const struct fake_try cut = {.cut = 300, .cut_error = &err_unexpected_eof};
	struct bench b;
	struct bench_pull p;
	char want[300];
	long long n;

	(void)state;
	bench_init(&b, true, 3);
	n = (long long)b.data[0].size;
	bench_set_tries(&b, 0, &cut, 1);
	bench_pull_init(&p, &b, "a");
	bench_pull_run(&p);
	expect_result(&p, NULL);
	/* fast lines overwrite each other before they are taken */
	snprintf(want, sizeof(want), "Downloading %lld/%lld\n", n, n);
	assert_non_null(strstr(p.bytes[0].data, want));
	snprintf(want, sizeof(want), "Downloading %lld/%lld last\n", n - 300, n - 300);
	assert_non_null(strstr(p.bytes[0].data, want));
	snprintf(want, sizeof(want), "Extracting %lld/%lld last\n", n, n);
	assert_non_null(strstr(p.bytes[0].data, want));
	bench_pull_destroy(&p);
	bench_destroy(&b);
}

/* A store that keeps the connection waiting: that it dies of it costs no try. */
static void paused(void **state)
{
	static const struct fake_try cuts[] = {
		{.cut = 800000, .cut_error = &err_unexpected_eof, .held_back_ms = 100},
		{.cut = 1000, .cut_error = &err_unexpected_eof, .held_back_ms = 0}};
	struct bench b;
	struct bench_pull p;

	(void)state;
	bench_init(&b, true, 3);
	b.repo.chunk = 64 * 1024;
	bench_set_tries(&b, 1, cuts, 2);
	bench_behaviour(&b, 1, FAKE_READ_ALL, 1000)->wait_ms = 50;
	bench_pull_init(&p, &b, "b");
	bench_pull_run(&p);
	expect_result(&p, NULL);
	expect_text("requests", b.repo.requests.data, "b@0 b@800000 b@801000 ");
	expect_text("logs", p.logs.data, "E Download failed, retrying: unexpected EOF\n");
	expect_text("lines", p.layer[1].data, D R5 D V C X P);
	bench_pull_destroy(&p);
	bench_destroy(&b);
}

static void progress_reader(void **state)
{
	static const struct {
		int64_t size;
		size_t n;
		bool show, last;
	} steps[] = {
		{1000, 10, false, false}, /* not more than 1% */
		{1000, 11, true, false},
		{1000, 1000, true, false}, /* all of it: no rate limit */
		{1000, 0, true, true},
		{0, 524288, false, false},
		{0, 524289, true, false},
		{0, 0, true, true},
		{100000000, 524288, false, false},
		{100000000, 524289, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct progress_reader r;
		bool last, show;

		progress_reader_init(&r, steps[i].size);
		show = progress_reader_read(&r, steps[i].n, &last);
		if (show != steps[i].show || last != steps[i].last)
			fail_msg("%zu of %lld: shown %d, last %d", steps[i].n,
				(long long)steps[i].size, show, last);
		assert_int_equal(progress_reader_close(&r), (int64_t)steps[i].n < steps[i].size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(byte_counts),
		cmocka_unit_test(paused),
		cmocka_unit_test(progress_reader),
	};

	return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
