/* SPDX-License-Identifier: Apache-2.0 */
/* xfer/download: order, existing and repeated layers, whose error it is, stores that fail, sharing,
 * cancelling; with both kinds of store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fakes/downloads.h"
#include "image/rootfs.h"

#define GOOD "Downloading\nVerifying Checksum\nDownload complete\n"
#define ALL GOOD "Extracting\nPull complete\n"

static const struct fake_try unknown = {.open_error = &err_blob_unknown};
static const struct fake_try hangs = {.hang = true, .cut = 100};

static void chain(const struct bench *b, const char *names, char ret[DIGEST_MAX])
{
	*ret = 0;
	for (; *names; names++) {
		char parent[DIGEST_MAX];

		memcpy(parent, ret, DIGEST_MAX);
		assert_int_equal(chain_id_append(parent, b->diff_ids[*names - 'a'], ret), 0);
	}
}

/* The commits that these layers should give, from the first one that is new. */
static char *commits(const struct bench *b, const char *names, size_t first)
{
	struct buf out = {0};

	buf_append_str(&out, "");
	for (size_t i = first; names[i]; i++) {
		char below[64], parent[DIGEST_MAX];

		snprintf(below, sizeof(below), "%.*s", (int)i, names);
		chain(b, below, parent);
		buf_appendf(&out, "%.8s %.8s\n", *parent ? parent + 7 : "",
			b->diff_ids[names[i] - 'a'] + 7);
	}
	return out.data ? buf_steal(&out) : strdup("");
}

static void whole_images(void **state)
{
	static const struct {
		const char *names;
		unsigned concurrency;
		const char *there; /* layers that the store has, known by their digests */
		size_t existing;
		const char *lines, *registered;
	} cases[] = {
		{"", 3, "", 0, "", ""},
		{"a", 3, "", 0, "a Pulling fs layer\n", "a"},
		{"abcdefgh", 3, "", 0, NULL, "abcdefgh"},
		{"hgfedcba", 1, "", 0, NULL, "hgfedcba"},
		{"abcdefgh", 0, "", 0, NULL, "abcdefgh"},
		{"abc", 3, "abc", 3, "a Already exists\nb Already exists\nc Already exists\n",
			"abc"},
		{"abcd", 3, "ab", 2,
			"a Already exists\nb Already exists\nc Pulling fs layer\nd Pulling fs "
			"layer\n",
			"abcd"},
		{"aa", 3, "", 0, "a Pulling fs layer\n", "aa"},
		{"abaca", 3, "", 0, "a Pulling fs layer\nb Pulling fs layer\nc Pulling fs layer\n",
			"abaca"},
		/* there below, asked for again above: the first is no download to take it from */
		{"aba", 3, "a", 1, "a Already exists\nb Pulling fs layer\na Pulling fs layer\n",
			"aba"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		struct bench b;
		struct bench_pull p;
		const char *names = cases[i / 2].names;
		cleanup_free char *want = NULL;

		bench_init(&b, i % 2, cases[i / 2].concurrency);
		want = commits(&b, names, cases[i / 2].existing);
		for (size_t k = 1; k <= strlen(cases[i / 2].there); k++) {
			char there[8], id[DIGEST_MAX];

			snprintf(there, sizeof(there), "%.*s", (int)k, cases[i / 2].there);
			chain(&b, there, id);
			fake_store_add(&b.store, id);
			b.known[there[k - 1] - 'a'] = true;
		}
		bench_pull_init(&p, &b, names);
		bench_pull_run(&p);
		expect_result(&p, NULL);
		if (cases[i / 2].lines)
			expect_text(names, p.lines.data, cases[i / 2].lines);
		expect_text(names, p.registered.data, cases[i / 2].registered);
		expect_text(names, b.store.commits.data, want);
		for (int k = 0; k < BENCH_BLOBS; k++) {
			char line[32], asked[8];

			snprintf(line, sizeof(line), "%c Pulling fs layer\n", 'a' + k);
			snprintf(asked, sizeof(asked), "%c@0 ", 'a' + k);
			if (p.lines.data && strstr(p.lines.data, line)) {
				const char *got = p.layer[k].data;

				if (got && str_has_prefix(got, "Waiting\n"))
					got += strlen("Waiting\n");
				expect_text(line, got, ALL);
				assert_true(fake_repository_saw(&b.repo, asked));
			} else {
				expect_text(line, p.layer[k].data, "");
				assert_false(fake_repository_saw(&b.repo, asked));
			}
		}
		expect_text(names, p.logs.data, "");
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
}

static atomic_bool gate;

static bool open_gate_when_waiting(struct bench_pull *p)
{
	if (p->layer[1].data && p->layer[2].data && strstr(p->layer[2].data, "Waiting"))
		atomic_store(&gate, true);
	return false;
}

static void waiting(void **state)
{
	static const struct fake_try gated = {.gate = &gate};

	(void)state;
	for (int staging = 0; staging < 2; staging++) {
		struct bench b;
		struct bench_pull p;

		atomic_store(&gate, false);
		bench_init(&b, staging, 1);
		bench_set_tries(&b, 0, &gated, 1);
		bench_pull_init(&p, &b, "abc");
		p.cancel_when = open_gate_when_waiting;
		bench_pull_run(&p);
		expect_result(&p, NULL);
		expect_text("a", p.layer[0].data, ALL);
		expect_text("b", p.layer[1].data, "Waiting\n" ALL);
		expect_text("c", p.layer[2].data, "Waiting\n" ALL);
		expect_text("order", b.repo.requests.data, "a@0 b@0 c@0 ");
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
}

/* ---- whose error it is */

enum trouble { NONE, UNKNOWN_BLOB, HANGS, STORE_FAILS, COMMIT_FAILS };

/* A store fails only once the other blobs have been asked for: a download that starts later takes
 * its parent's error, as the original's does, and which comes first would be a matter of time. */
static bool open_gate_when_all_asked(struct bench_pull *p)
{
	struct repository *r = &p->bench->repo;

	if (fake_repository_saw(r, "a@0 ") && fake_repository_saw(r, "b@0 ") &&
		fake_repository_saw(r, "c@0 "))
		atomic_store(&gate, true);
	return false;
}

static void make_trouble(struct bench *b, int blob, enum trouble t)
{
	static const char *const messages[] = {"store a", "store b", "store c"};
	static const struct fake_try gated = {.gate = &gate};

	if (t == STORE_FAILS || t == COMMIT_FAILS)
		bench_set_tries(b, blob, &gated, 1);
	switch (t) {
	case UNKNOWN_BLOB:
		bench_set_tries(b, blob, &unknown, 1);
		break;
	case HANGS:
		bench_set_tries(b, blob, &hangs, 1);
		break;
	case STORE_FAILS:
		bench_behaviour(b, blob, FAKE_FAIL, 50)->message = messages[blob];
		break;
	case COMMIT_FAILS:
		bench_behaviour(b, blob, FAKE_FAIL_COMMIT, 0)->message = messages[blob];
		break;
	default:
		break;
	}
}

static void whose_error(void **state)
{
	static const struct {
		enum trouble trouble[3];
		unsigned concurrency;
		const char *error, *requests; /* NULL: any */
	} cases[] = {
		/* the topmost layer's own error ends it, whatever the others do */
		{{HANGS, HANGS, UNKNOWN_BLOB}, 3, "unknown blob", NULL},
		{{STORE_FAILS, NONE, UNKNOWN_BLOB}, 3, "unknown blob", NULL},
		/* one from below comes up once the upper ones have been downloaded */
		{{UNKNOWN_BLOB, NONE, NONE}, 3, "unknown blob", NULL},
		{{NONE, UNKNOWN_BLOB, STORE_FAILS}, 3, "unknown blob", NULL},
		{{STORE_FAILS, NONE, NONE}, 3, "failed to register layer: store a", NULL},
		{{STORE_FAILS, STORE_FAILS, STORE_FAILS}, 3, "failed to register layer: store a",
			NULL},
		{{NONE, NONE, STORE_FAILS}, 3, "failed to register layer: store c", NULL},
		{{NONE, COMMIT_FAILS, NONE}, 3, "failed to register layer: store b", NULL},
		{{NONE, COMMIT_FAILS, STORE_FAILS}, 3, "failed to register layer: store b", NULL},
		{{STORE_FAILS, UNKNOWN_BLOB, NONE}, 3, "unknown blob", NULL},
		/* what has not started by then does not start */
		{{UNKNOWN_BLOB, HANGS, HANGS}, 1, "unknown blob", "a@0 "},
		{{NONE, UNKNOWN_BLOB, HANGS}, 1, "unknown blob", "a@0 b@0 "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		struct bench b;
		struct bench_pull p;

		atomic_store(&gate, false);
		bench_init(&b, i % 2, cases[i / 2].concurrency);
		for (int k = 0; k < 3; k++)
			make_trouble(&b, k, cases[i / 2].trouble[k]);
		bench_pull_init(&p, &b, "abc");
		p.cancel_when = open_gate_when_all_asked;
		bench_pull_run(&p);
		expect_result(&p, cases[i / 2].error);
		if (cases[i / 2].requests)
			expect_text("requests", b.repo.requests.data, cases[i / 2].requests);
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
}

/* ---- what the store and the stream say of one layer */

static const struct fake_try hang_in_the_middle = {.hang = true, .cut = 500000};

static void corrupt_gzip(struct bench *b, size_t back)
{
	struct buf bad = {0};

	buf_append(&bad, b->data[0].data, b->data[0].size);
	bad.data[bad.size - back] ^= 1;
	bench_set_data(b, 0, bad.data, bad.size);
	buf_free(&bad);
}

static void bad_gzip_trailer(struct bench *b)
{
	corrupt_gzip(b, 5);
}

static void gzip_header_only(struct bench *b)
{
	bench_set_data(b, 0, "\x1f\x8b\x08\0\0", 5);
}

static void cut_gzip(struct bench *b)
{
	struct buf cut = {0};

	buf_append(&cut, b->data[0].data, 1000);
	bench_set_data(b, 0, cut.data, cut.size);
	buf_free(&cut);
}

static void junk_behind(struct bench *b)
{
	struct buf more = {0};

	buf_append(&more, b->data[0].data, b->data[0].size);
	buf_append_str(&more, "junk that is no member");
	bench_set_data(b, 0, more.data, more.size);
	buf_free(&more);
}

static void store_fails(struct bench *b)
{
	bench_behaviour(b, 0, FAKE_FAIL, 100)->message = "archive/tar: invalid tar header";
}

static void store_fails_without_words(struct bench *b)
{
	bench_behaviour(b, 0, FAKE_FAIL, 100)->code = IMAGE_PULL_NO_SPACE;
}

static void store_fails_first_then_gzip(struct bench *b)
{
	corrupt_gzip(b, 5);
	store_fails(b);
}

static void store_fails_and_digest_wrong(struct bench *b)
{
	static struct fake_try other;

	other.data = &b->data[6];
	b->sizes[0] = -1;
	bench_set_tries(b, 0, &other, 1);
	store_fails(b);
}

static void too_large(struct bench *b)
{
	download_manager_set_limits(b->dm, 3, 5, 2999);
}

static void just_large_enough(struct bench *b)
{
	download_manager_set_limits(b->dm, 3, 5, 3000);
}

static void store_stops_early(struct bench *b)
{
	if (b->staging)
		bench_behaviour(b, 0, FAKE_STOP, 100);
}

static void empty_blob(struct bench *b)
{
	bench_set_data(b, 0, "", 0);
	assert_int_equal(digest_from_bytes("", 0, b->diff_ids[0]), 0);
}

static void short_garbage(struct bench *b)
{
	bench_set_data(b, 0, "abc", 3);
	assert_int_equal(digest_from_bytes("abc", 3, b->diff_ids[0]), 0);
}

static void one_layer(void **state)
{
	static const struct {
		void (*prepare)(struct bench *b);
		const char *error, *lines;
	} cases[] = {
		{bad_gzip_trailer, "failed to register layer: gzip: invalid checksum", GOOD},
		{gzip_header_only, "could not get decompression stream: unexpected EOF", GOOD},
		{cut_gzip, "failed to register layer: unexpected EOF", GOOD},
		{junk_behind, "failed to register layer: gzip: invalid header", GOOD},
		{store_fails, "failed to register layer: archive/tar: invalid tar header", GOOD},
		{store_fails_without_words, "failed to register layer: no space left on device",
			NULL},
		{store_fails_first_then_gzip,
			"failed to register layer: archive/tar: invalid tar header", GOOD},
		{store_fails_and_digest_wrong, "filesystem layer verification failed for digest ",
			"Downloading\nVerifying Checksum\n"},
		{too_large,
			"failed to register layer: it is larger than the 2999 bytes that a layer "
			"may have",
			NULL},
		{just_large_enough, NULL, ALL},
		{store_stops_early, NULL, ALL},
		{empty_blob, NULL, ALL},
		{short_garbage, NULL, ALL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		struct bench b;
		struct bench_pull p;
		char error[300], lines[200];
		const char *shown = i % 2 ? "" : "Extracting\n";

		bench_init(&b, i % 2, 3);
		cases[i / 2].prepare(&b);
		snprintf(error, sizeof(error), "%s%s", cases[i / 2].error ? cases[i / 2].error : "",
			cases[i / 2].error && str_has_suffix(cases[i / 2].error, "digest ")
				? b.blobs[0].digest
				: "");
		bench_pull_init(&p, &b, "a");
		bench_pull_run(&p);
		expect_result(&p, cases[i / 2].error ? error : NULL);
		if (cases[i / 2].lines) {
			bool failed_late =
				cases[i / 2].error && strcmp(cases[i / 2].lines, GOOD) == 0;

			snprintf(lines, sizeof(lines), "%s%s", cases[i / 2].lines,
				failed_late ? shown : "");
			expect_text(error, p.layer[0].data, lines);
		}
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
}

/* What has nothing to do with the bytes does not wait for them. */
static void local_failures(void **state)
{
	struct bench b;
	struct bench_pull p;

	(void)state;
	for (int i = 0; i < 2; i++) {
		bench_init(&b, true, 3);
		bench_set_tries(&b, 1, &hang_in_the_middle, 1);
		if (i == 0) {
			bench_behaviour(&b, 1, FAKE_FAIL, 1000)->code = IMAGE_PULL_NO_SPACE;
			b.behaviours[1].message = "write x: no space left on device";
		} else {
			download_manager_set_limits(b.dm, 3, 5, 100000);
		}
		bench_pull_init(&p, &b, "b");
		bench_pull_run(&p);
		expect_result(&p, i == 0 ? "failed to register layer: write x: no space left on "
					   "device"
					 : "failed to register layer: it is larger than the "
					   "100000 bytes that a layer may have");
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
	/* before it has read anything: nothing is asked for */
	bench_init(&b, true, 3);
	bench_behaviour(&b, 1, FAKE_FAIL, 0)->message = "read-only file system";
	bench_pull_init(&p, &b, "b");
	bench_pull_run(&p);
	expect_result(&p, "failed to register layer: read-only file system");
	expect_text("requests", b.repo.requests.data, "");
	bench_pull_destroy(&p);
	bench_destroy(&b);
}

/* A store that turns out to have the blob's data. */
static void store_has_it(void **state)
{
	(void)state;
	for (size_t at = 0; at < 2; at++) {
		struct bench b;
		struct bench_pull p;
		struct fake_behaviour *how;

		bench_init(&b, true, 3);
		how = bench_behaviour(&b, 1, FAKE_HAS_IT, at * 1000);
		memcpy(how->diff_id, b.diff_ids[1], DIGEST_MAX);
		bench_set_tries(&b, 1, &hang_in_the_middle, 1);
		bench_pull_init(&p, &b, "ab");
		bench_pull_run(&p);
		expect_result(&p, NULL);
		assert_int_equal(fake_repository_saw(&b.repo, "b@0 "), at);
		if (at == 0)
			expect_text("lines", p.layer[1].data, "Extracting\nPull complete\n");
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
}

/* ---- cancelling */

static bool when_asked_for(struct bench_pull *p)
{
	return fake_repository_saw(&p->bench->repo, "a@0 ");
}

static bool when_counting(struct bench_pull *p)
{
	return p->layer[0].data && strstr(p->layer[0].data, "Retrying");
}

static bool when_waiting(struct bench_pull *p)
{
	return p->layer[1].data && strstr(p->layer[1].data, "Waiting") && when_asked_for(p);
}

static bool when_downloaded(struct bench_pull *p)
{
	return p->layer[0].data && strstr(p->layer[0].data, "Download complete");
}

static void cancelling(void **state)
{
	static const struct fake_try fails = {.open_error = &err_eof};
	static const struct fake_try gated = {.gate = &gate};
	static const struct {
		bool (*when)(struct bench_pull *p);
		const struct fake_try *try;
		const char *names;
	} cases[] = {
		{when_asked_for, &hangs, "a"}, {when_asked_for, &gated, "a"},
		{when_counting, &fails, "a"}, {when_waiting, &hangs, "ab"},
		{when_downloaded, NULL, "ah"}, /* h hangs */
	};

	(void)state;
	atomic_store(&gate, false);
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		struct bench b;
		struct bench_pull p;

		bench_init(&b, i % 2, strcmp(cases[i / 2].names, "ab") == 0 ? 1 : 3);
		/* a tick of an hour */
		download_manager_free(b.dm);
		b.config.retry_tick_ms = 3600 * 1000;
		b.dm = download_manager_new(
			&b.config, strcmp(cases[i / 2].names, "ab") == 0 ? 1 : 3, NULL);
		bench_set_tries(&b, 0, cases[i / 2].try, cases[i / 2].try ? 1 : 0);
		bench_set_tries(&b, 7, &hangs, 1);
		bench_pull_init(&p, &b, cases[i / 2].names);
		p.cancel_when = cases[i / 2].when;
		bench_pull_run(&p);
		expect_result(&p, "context canceled");
		assert_ptr_equal(p.err, &err_context_canceled);
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
	/* before it began */
	for (int staging = 0; staging < 2; staging++) {
		struct bench b;
		struct bench_pull p;

		bench_init(&b, staging, 3);
		bench_set_tries(&b, 0, &hangs, 1);
		bench_pull_init(&p, &b, "a");
		cancel_fire(p.cancel, &err_context_canceled);
		bench_pull_run(&p);
		expect_result(&p, "context canceled");
		bench_pull_destroy(&p);
		bench_destroy(&b);
	}
}

/* The store waits for something of its own, for an hour. */
static void cancelling_the_store(void **state)
{
	struct bench b;
	struct bench_pull p;

	(void)state;
	bench_init(&b, true, 3);
	bench_set_tries(&b, 0, &hangs, 1);
	bench_behaviour(&b, 1, FAKE_READ_ALL, 0)->wait_ms = 3600 * 1000;
	bench_pull_init(&p, &b, "ab");
	p.cancel_when = when_asked_for;
	bench_pull_run(&p);
	expect_result(&p, "context canceled");
	bench_pull_destroy(&p);
	bench_destroy(&b);
}

/* ---- sharing */

static atomic_int begun;
static atomic_bool first_gone;

static bool first_goes(struct bench_pull *p)
{
	(void)p;
	return atomic_load(&begun) == 2;
}

static bool second_stays(struct bench_pull *p)
{
	if (!p->ndiff_ids) { /* once */
		p->ndiff_ids = 1;
		atomic_fetch_add(&begun, 1);
	}
	if (atomic_load(&first_gone))
		atomic_store(&gate, true);
	return false;
}

static bool both_have_joined(struct bench_pull *p)
{
	if (!p->ndiff_ids) {
		p->ndiff_ids = 1;
		atomic_fetch_add(&begun, 1);
	}
	if (atomic_load(&begun) == 2)
		atomic_store(&gate, true);
	return false;
}

static bool first_counts(struct bench_pull *p)
{
	if (!p->ndiff_ids) {
		p->ndiff_ids = 1;
		atomic_fetch_add(&begun, 1);
	}
	return first_goes(p);
}

static void *run_pull(void *arg)
{
	bench_pull_run(arg);
	return NULL;
}

/* Two pulls want the same blobs; the first is cancelled, the second gets them. */
static void first_is_cancelled(void **state)
{
	static const struct fake_try gated = {.gate = &gate};

	(void)state;
	for (int staging = 0; staging < 2; staging++) {
		struct bench b;
		struct bench_pull p[2];
		pthread_t t[2];

		atomic_store(&gate, false);
		atomic_store(&begun, 0);
		atomic_store(&first_gone, false);
		bench_init(&b, staging, 3);
		bench_set_tries(&b, 0, &gated, 1);
		bench_pull_init(&p[0], &b, "ab");
		bench_pull_init(&p[1], &b, "cab");
		p[0].cancel_when = first_counts;
		p[1].cancel_when = second_stays;
		for (int i = 0; i < 2; i++)
			assert_int_equal(thread_start(&t[i], 256 * 1024, run_pull, &p[i], NULL), 0);
		pthread_join(t[0], NULL);
		atomic_store(&first_gone, true);
		output_wake(p[1].output);
		pthread_join(t[1], NULL);
		expect_result(&p[0], "context canceled");
		expect_result(&p[1], NULL);
		/* each was asked for once */
		assert_non_null(strstr(b.repo.requests.data, "a@0 "));
		assert_null(strstr(strstr(b.repo.requests.data, "a@0 ") + 1, "a@0 "));
		expect_text("lines of the second", p[1].layer[0].data, ALL);
		for (int i = 0; i < 2; i++)
			bench_pull_destroy(&p[i]);
		bench_destroy(&b);
	}
}

/* Many pulls of overlapping images at once, again and again. */
static void crowd(void **state)
{
	static const char *const names[] = {"abcd", "cd", "dcba", "aab", "hgfeabcd", "d"};

	(void)state;
	for (int staging = 0; staging < 2; staging++) {
		struct bench b;
		struct bench_pull p[ARRAY_SIZE(names)];
		pthread_t t[ARRAY_SIZE(names)];

		bench_init(&b, staging, 2);
		for (int round = 0; round < 5; round++) {
			for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
				bench_pull_init(&p[i], &b, names[i]);
				assert_int_equal(
					thread_start(&t[i], 256 * 1024, run_pull, &p[i], NULL), 0);
			}
			for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
				pthread_join(t[i], NULL);
				expect_result(&p[i], NULL);
				bench_pull_destroy(&p[i]);
			}
		}
		if (staging) /* never more than one for each blob */
			assert_true(b.store.max_handles <= BENCH_BLOBS);
		bench_destroy(&b);
	}
}

/* One failed transfer answers both. */
static void shared_failure(void **state)
{
	static const struct fake_try fails = {.gate = &gate, .open_error = &err_blob_unknown};
	struct bench b;
	struct bench_pull p[2];
	pthread_t t[2];

	(void)state;
	atomic_store(&gate, false);
	atomic_store(&begun, 0);
	bench_init(&b, true, 3);
	bench_set_tries(&b, 0, &fails, 1);
	for (int i = 0; i < 2; i++) {
		bench_pull_init(&p[i], &b, "a");
		p[i].cancel_when = both_have_joined;
		assert_int_equal(thread_start(&t[i], 256 * 1024, run_pull, &p[i], NULL), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		expect_result(&p[i], "unknown blob");
		bench_pull_destroy(&p[i]);
	}
	expect_text("requests", b.repo.requests.data, "a@0 ");
	bench_destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_images),
		cmocka_unit_test(waiting),
		cmocka_unit_test(whose_error),
		cmocka_unit_test(one_layer),
		cmocka_unit_test(local_failures),
		cmocka_unit_test(store_has_it),
		cmocka_unit_test(cancelling),
		cmocka_unit_test(cancelling_the_store),
		cmocka_unit_test(first_is_cancelled),
		cmocka_unit_test(shared_failure),
		cmocka_unit_test(crowd),
	};

	return cmocka_run_group_tests_name("download", tests, NULL, NULL);
}
