/* SPDX-License-Identifier: Apache-2.0 */
/* The layer store's table, in one process and in several. */
#include "config.h"

#include "layer_store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/rootfs.h"

#include <cmocka.h>

/* ---- the table ---- */

static void test_stage_commit(void **state)
{
	char chain[DIGEST_MAX], chain2[DIGEST_MAX];
	struct sample a;
	struct staged st;
	struct world w;
	struct layer_info info;
	struct error *err = NULL;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	assert_int_equal(w.table->flags, IMAGE_PULL_LAYER_STORE_STAGING);
	assert_int_equal(w.table->get(w.table->context, a.diff_id, NULL), IMAGE_PULL_NOT_FOUND);

	st = stage(w.table, &a, 0);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	assert_string_equal(st.values, ""); /* the reader told the diff ID, it knows it */
	assert_true(st.reads > 0);
	/* Nothing refers to it yet. */
	assert_int_equal(w.table->get(w.table->context, a.diff_id, NULL), IMAGE_PULL_NOT_FOUND);
	/* Twice in one image. */
	assert_int_equal(commit(w.table, st.handle, "", a.diff_id), IMAGE_PULL_OK);
	assert_int_equal(chain_id_append("", a.diff_id, chain), 0);
	assert_int_equal(commit(w.table, st.handle, chain, a.diff_id), IMAGE_PULL_OK);
	assert_int_equal(chain_id_append(chain, a.diff_id, chain2), 0);
	staged_done(w.table, &st);

	assert_int_equal(layer_store_info(w.ls, chain2, &info, &err), 0);
	assert_string_equal(info.parent, chain);
	assert_string_equal(info.diff_id, a.diff_id);
	assert_int_equal(info.size, 5);
	assert_true(info.disk > 0 && info.created > 1000000000);
	assert_int_equal(count(&w, "data"), 1);
	assert_int_equal(count(&w, "chains"), 2);
	assert_int_equal(count(&w, "staging"), 0);
	assert_int_equal(count(&w, "locks"), 0);
	w.table->release(w.table->context, chain);
	w.table->release(w.table->context, chain2);
	assert_int_equal(w.table->get(w.table->context, chain2, NULL), IMAGE_PULL_OK);
	w.table->release(w.table->context, chain2);
	buf_free(&a.tar);
	world_remove(&w);
}

static void test_reuse(void **state)
{
	struct sample a;
	struct staged st;
	struct world w;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	st = stage(w.table, &a, 0);
	staged_done(w.table, &st); /* discarded, yet whole and verified */
	st = stage(w.table, &a, 0);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	assert_int_equal(st.reads, 0);
	cleanup_free char *want = str_printf("%s\n", a.diff_id);

	assert_string_equal(st.values, want);
	assert_int_equal(commit(w.table, st.handle, "", a.diff_id), IMAGE_PULL_OK);
	w.table->release(w.table->context, a.diff_id);
	staged_done(w.table, &st);

	/* The same contents in another blob: staged again, one set of data. */
	struct sample b = a;

	assert_int_equal(digest_from_bytes("other", 5, b.digest), 0);
	b.descriptor.digest = b.digest;
	st = stage(w.table, &b, 0);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	assert_true(st.reads > 0);
	staged_done(w.table, &st);
	assert_int_equal(count(&w, "data"), 1);
	assert_int_equal(count(&w, "blobs"), 2);
	assert_int_equal(count(&w, "staging"), 0);
	/* No digest at all. */
	b.descriptor.digest = NULL;
	st = stage(w.table, &b, 0);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	staged_done(w.table, &st);
	buf_free(&a.tar);
	world_remove(&w);
}

static void test_refused(void **state)
{
	struct sample a, bad;
	struct staged st;
	struct world w;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	sample_make(&bad, "b", "hello");
	bad.tar.data[0] ^= 1; /* the header's checksum is wrong now */
	st = stage(w.table, &bad, 0);
	assert_int_equal(st.code, IMAGE_PULL_FAILED);
	assert_null(st.handle);
	assert_string_equal(st.message, "archive/tar: invalid tar header");
	staged_done(w.table, &st);
	assert_int_equal(count(&w, "staging"), 0);
	assert_int_equal(count(&w, "locks"), 0);
	assert_int_equal(count(&w, "blobs"), 0);
	assert_int_equal(count(&w, "data"), 0);

	st = stage(w.table, &a, 0);
	/* Another diff ID than was staged; a parent that is not there. */
	assert_int_equal(commit(w.table, st.handle, "", bad.diff_id), IMAGE_PULL_INVALID);
	assert_int_equal(commit(w.table, st.handle, bad.diff_id, a.diff_id), IMAGE_PULL_NOT_FOUND);
	assert_int_equal(commit(w.table, st.handle, "no digest", a.diff_id), IMAGE_PULL_NOT_FOUND);
	assert_int_equal(w.table->get(w.table->context, "../../etc", NULL), IMAGE_PULL_NOT_FOUND);
	assert_int_equal(w.table->get(w.table->context, "", NULL), IMAGE_PULL_NOT_FOUND);
	assert_int_equal(count(&w, "chains"), 0);
	staged_done(w.table, &st);
	buf_free(&a.tar);
	buf_free(&bad.tar);
	world_remove(&w);
}

/* An engine whose reader does not tell the diff ID. */
static void test_own_hash(void **state)
{
	struct memory_reader reader;
	struct sample a;
	struct world w;
	void *handle = NULL;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	memory_reader_init(&reader, a.tar.data, a.tar.size);
	reader.reader.struct_size = offsetof(struct image_pull_reader, diff_id);
	assert_int_equal(
		w.table->stage(w.table->context, &reader.reader, &a.descriptor, &handle, NULL),
		IMAGE_PULL_OK);
	assert_int_equal(commit(w.table, handle, "", a.diff_id), IMAGE_PULL_OK);
	w.table->discard(w.table->context, handle);
	memory_reader_done(&reader);
	buf_free(&a.tar);
	world_remove(&w);
}

/* ---- several at once ---- */

struct slow {
	struct memory_reader reader;
	int ready, go;
};

static int64_t slow_next(void *context, const void **data)
{
	struct slow *s = context;
	char c;

	if (s->reader.at > 500 && s->ready >= 0) {
		(void)!write(s->ready, "r", 1);
		s->ready = -1;
		(void)!read(s->go, &c, 1);
	}
	return s->reader.reader.next(&s->reader, data);
}

static int slow_diff_id(void *context, char *id)
{
	struct slow *s = context;

	return s->reader.reader.diff_id(&s->reader, id);
}

/* A process that stops in the middle of a layer, holding its locks. */
static pid_t stager(const char *dir, struct sample *s, int *ret_go)
{
	int ready[2], go[2];
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);

	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct layer_store *ls = open_store(dir, true);
		const struct image_pull_layer_store *table = layer_store_table(ls);
		struct slow slow = {.ready = ready[1], .go = go[0]};
		void *handle = NULL;

		close(go[1]);
		memory_reader_init(&slow.reader, s->tar.data, s->tar.size);
		slow.reader.portion = 100;

		struct image_pull_reader reader = {.struct_size = sizeof(reader),
			.context = &slow,
			.diff_id = slow_diff_id,
			.next = slow_next};
		int code = table->stage(table->context, &reader, &s->descriptor, &handle, NULL);

		_exit(code);
	}
	close(ready[1]);
	close(go[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*ret_go = go[1];
	return pid;
}

static void test_follow(void **state)
{
	struct sample a;
	struct staged st;
	struct world w;
	int go, status;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "a file of some bytes");

	pid_t pid = stager(w.dir, &a, &go);

	/* We wait, until the pull is cancelled. */
	st = stage(w.table, &a, 3);
	assert_int_equal(st.code, IMAGE_PULL_CANCELLED);
	assert_int_equal(st.reads, 0);
	assert_int_equal(st.waits, 3);
	staged_done(w.table, &st);
	/* Another layer does not wait. */
	struct sample b;

	sample_make(&b, "b", "x");
	st = stage(w.table, &b, 1);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	staged_done(w.table, &st);
	/* A sweep takes nothing from the living. */
	layer_store_sweep(w.ls);
	assert_int_equal(count(&w, "staging"), 1);
	/* When the other one has finished, its data is ours. */
	close(go);
	st = stage(w.table, &a, 100);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	assert_int_equal(st.reads, 0);
	staged_done(w.table, &st);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(count(&w, "staging"), 0);
	buf_free(&a.tar);
	buf_free(&b.tar);
	world_remove(&w);
}

static void test_killed(void **state)
{
	struct sample a;
	struct staged st;
	struct world w;
	int go, status;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "a file of some bytes");

	pid_t pid = stager(w.dir, &a, &go);

	assert_int_equal(count(&w, "staging"), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(go);
	st = stage(w.table, &a, 1);
	assert_int_equal(st.code, IMAGE_PULL_OK);
	assert_true(st.reads > 0);
	staged_done(w.table, &st);
	/* What it left goes at the next open. */
	assert_int_equal(count(&w, "staging"), 1);
	layer_store_close(w.ls);
	w.ls = open_store(w.dir, true);
	assert_int_equal(count(&w, "staging"), 0);
	assert_int_equal(count(&w, "locks"), 0);
	assert_int_equal(count(&w, "data"), 1);
	buf_free(&a.tar);
	world_remove(&w);
}

struct racer {
	const struct image_pull_layer_store *table;
	struct sample *samples;
	size_t n, first;
	unsigned reads;
	bool failed;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		struct sample *s = &r->samples[(r->first + i) % r->n];
		struct staged st = stage(r->table, s, 0);

		r->failed |= st.code != IMAGE_PULL_OK ||
			     commit(r->table, st.handle, "", s->diff_id) != IMAGE_PULL_OK;
		r->reads += st.reads > 0;
		r->table->release(r->table->context, s->diff_id);
		staged_done(r->table, &st);
	}
	return NULL;
}

/* Four threads on two stores want the same layers in other orders: each is staged once. */
static void test_race(void **state)
{
	struct racer racers[4];
	pthread_t threads[4];
	struct sample samples[12];
	struct world w;
	unsigned staged = 0;

	(void)state;
	world_make(&w, true);

	struct layer_store *second = open_store(w.dir, true);

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		cleanup_free char *name = str_printf("f%zu", i);

		sample_make(&samples[i], name, "data");
	}
	for (size_t i = 0; i < ARRAY_SIZE(racers); i++) {
		racers[i] = (struct racer){i % 2 ? layer_store_table(second) : w.table, samples,
			ARRAY_SIZE(samples), i * 3, 0, false};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(racers); i++) {
		pthread_join(threads[i], NULL);
		assert_false(racers[i].failed);
		staged += racers[i].reads;
	}
	assert_int_equal(staged, ARRAY_SIZE(samples));
	assert_int_equal(count(&w, "data"), ARRAY_SIZE(samples));
	assert_int_equal(count(&w, "staging"), 0);
	assert_int_equal(count(&w, "locks"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		buf_free(&samples[i].tar);
	layer_store_close(second);
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_stage_commit),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_own_hash),
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests_name("layer_store", all, NULL, NULL);
}
