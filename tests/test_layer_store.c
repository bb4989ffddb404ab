/* SPDX-License-Identifier: Apache-2.0 */
/* The layer store's table and care, in one process and in several. */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/rootfs.h"
#include "layer_fixture.h"
#include "layer_store.h"

#include <cmocka.h>

struct world {
	char *dir;
	struct layer_store *ls;
	const struct image_pull_layer_store *table;
};

static struct layer_store *open_store(const char *dir, bool fast)
{
	struct layer_store_options options = {.root = dir, .fast = fast};
	struct layer_store *ls = NULL;
	struct error *err = NULL;

	if (layer_store_open(&options, &ls, &err) < 0)
		fail_msg("open: %s", err->message);
	return ls;
}

static void world_make(struct world *w, bool fast)
{
	w->dir = temp_make();
	w->ls = open_store(w->dir, fast);
	w->table = layer_store_table(w->ls);
}

static void world_remove(struct world *w)
{
	layer_store_close(w->ls);
	temp_remove(w->dir);
}

/* A layer of one file, and the digest its blob is said to have. */
struct sample {
	struct buf tar;
	char diff_id[DIGEST_MAX];
	char digest[DIGEST_MAX];
	struct image_pull_descriptor descriptor;
};

static void sample_make(struct sample *s, const char *name, const char *data)
{
	*s = (struct sample){0};
	tar_member(&s->tar, &(struct member){.name = name, .data = data});
	tar_end(&s->tar);
	assert_int_equal(digest_from_bytes(s->tar.data, s->tar.size, s->diff_id), 0);
	assert_int_equal(digest_from_bytes(s->diff_id, strlen(s->diff_id), s->digest), 0);
	s->descriptor = (struct image_pull_descriptor){
		sizeof(s->descriptor), "application/x", s->digest, (int64_t)s->tar.size};
}

struct staged {
	int code;
	void *handle;
	char *message, *values;
	unsigned reads, waits;
};

static struct staged stage(
	const struct image_pull_layer_store *table, struct sample *s, unsigned waits_max)
{
	struct memory_reader reader;
	struct text_sink sink;
	struct staged ret = {0};

	memory_reader_init(&reader, s->tar.data, s->tar.size);
	reader.waits_max = waits_max;
	text_sink_init(&sink);
	ret.code = table->stage(
		table->context, &reader.reader, &s->descriptor, &ret.handle, &sink.sink);
	ret.reads = reader.reads;
	ret.waits = reader.waits;
	ret.message = sink.message;
	sink.message = NULL;
	ret.values = buf_steal(&sink.values);
	text_sink_done(&sink);
	memory_reader_done(&reader);
	return ret;
}

static void staged_done(const struct image_pull_layer_store *table, struct staged *s)
{
	if (s->handle)
		table->discard(table->context, s->handle);
	free(s->message);
	free(s->values);
}

static int commit(const struct image_pull_layer_store *table, void *handle, const char *parent,
	const char *diff_id)
{
	return table->commit(table->context, handle, parent, diff_id, NULL, NULL);
}

/* How many names a folder below layers/ has. */
static int count(const struct world *w, const char *dir)
{
	cleanup_free char *path = str_printf("%s/layers/%s", w->dir, dir);
	cleanup_free char *all = snapshot(path);
	int n = 0;

	for (const char *p = all; (p = strstr(p, path)); p += strlen(path) + 1)
		if (!strchr(p + strlen(path) + 1, ' ') ||
			!memchr(p + strlen(path) + 1, '/',
				(size_t)(strchr(p + strlen(path) + 1, ' ') -
					 (p + strlen(path) + 1))))
			n++;
	return n;
}

static void put_layer(struct world *w, struct sample *s, const char *parent, char chain[DIGEST_MAX])
{
	struct staged st = stage(w->table, s, 0);

	if (st.code)
		fail_msg("stage: %s", st.message);
	assert_int_equal(commit(w->table, st.handle, parent, s->diff_id), IMAGE_PULL_OK);
	assert_int_equal(chain_id_append(parent, s->diff_id, chain), 0);
	w->table->release(w->table->context, chain);
	staged_done(w->table, &st);
}

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

/* ---- what survives what ---- */

/* Make it look as if the machine had been started anew since. */
static void reboot(const struct world *w, const char *diff_id)
{
	cleanup_free char *layer =
		str_printf("%s/layers/data/sha256.%s/layer", w->dir, diff_id + strlen("sha256:"));
	cleanup_free char *boot = str_printf("%s/layers/boot", w->dir);
	cleanup_free char *text = read_file(layer);
	char *at = strstr(text, "\nboot ");

	assert_non_null(at);
	at[6] = at[6] == 'x' ? 'y' : 'x';
	write_file(layer, text, 0600);
	unlink(boot);
}

static void on_damage(void *arg, const struct layer_damage *damage)
{
	(void)arg;
	(void)damage;
}

static unsigned damaged(const char *dir, bool read_only)
{
	const struct layer_store_options options = {.root = dir, .read_only = read_only};
	struct layer_store *ls;
	struct error *err = NULL;
	unsigned n = 0;

	assert_int_equal(layer_store_open(&options, &ls, &err), 0);
	assert_int_equal(layer_store_check(ls, false, on_damage, NULL, &n, &err), 0);
	layer_store_close(ls);
	return n;
}

static void test_durability(void **state)
{
	struct sample a, b;
	struct world w;
	char chain[DIGEST_MAX], chain_b[DIGEST_MAX];
	struct error *err = NULL;

	(void)state;
	world_make(&w, false);
	sample_make(&a, "a", "hello");
	sample_make(&b, "b", "hello");
	put_layer(&w, &a, "", chain);
	assert_int_equal(layer_store_sync(w.ls, &err), 0);
	put_layer(&w, &b, chain, chain_b);
	layer_store_close(w.ls);
	/* Synced or of this boot: there. */
	w.ls = open_store(w.dir, false);
	w.table = layer_store_table(w.ls);
	assert_int_equal(w.table->get(w.table->context, chain_b, NULL), IMAGE_PULL_OK);
	layer_store_close(w.ls);
	/* After a restart only what was synced is trusted. The rest is no damage: it goes. */
	reboot(&w, a.diff_id);
	reboot(&w, b.diff_id);
	assert_int_equal(damaged(w.dir, true), 0);
	assert_int_equal(count(&w, "chains"), 2);
	assert_int_equal(damaged(w.dir, false), 0);
	assert_int_equal(count(&w, "chains"), 1);
	w.ls = open_store(w.dir, false);
	w.table = layer_store_table(w.ls);
	assert_int_equal(w.table->get(w.table->context, chain_b, NULL), IMAGE_PULL_NOT_FOUND);
	assert_int_equal(w.table->get(w.table->context, chain, NULL), IMAGE_PULL_OK);
	w.table->release(w.table->context, chain);
	assert_int_equal(count(&w, "data"), 1);
	buf_free(&a.tar);
	buf_free(&b.tar);
	world_remove(&w);
}

static void test_damaged_records(void **state)
{
	struct sample a;
	struct world w;
	char chain[DIGEST_MAX];
	struct layer_info info;
	struct error *err = NULL;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	put_layer(&w, &a, "", chain);

	cleanup_free char *path =
		str_printf("%s/layers/chains/sha256.%s", w.dir, chain + strlen("sha256:"));
	static const char *const bad[] = {"", "towline-chain 1\n", "rubbish\nend\n",
		"towline-blob 1\nend\n", "towline-chain 1\ndiff sha256:1\nend\n"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_file(path, bad[i], 0600);
		if (w.table->get(w.table->context, chain, NULL) != IMAGE_PULL_NOT_FOUND)
			fail_msg("'%s' is taken for a chain entry", bad[i]);
		/* It is written anew. */
		put_layer(&w, &a, "", chain);
		assert_int_equal(layer_store_info(w.ls, chain, &info, &err), 0);
	}
	write_file(path, "towline-chain 999\nend\n", 0600);
	assert_int_equal(layer_store_info(w.ls, chain, &info, &err), -1);
	assert_non_null(strstr(err->message, "has format 999"));
	error_unref(err);
	buf_free(&a.tar);
	world_remove(&w);
}

static void test_read_only(void **state)
{
	struct sample a;
	struct staged st;
	struct world w;
	char chain[DIGEST_MAX];
	struct error *err = NULL;
	struct layer_store *ls;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	put_layer(&w, &a, "", chain);

	struct layer_store_options options = {.root = w.dir, .read_only = true};
	cleanup_free char *before = snapshot(w.dir);

	assert_int_equal(layer_store_open(&options, &ls, &err), 0);

	const struct image_pull_layer_store *table = layer_store_table(ls);

	assert_int_equal(table->get(table->context, chain, NULL), IMAGE_PULL_OK);
	table->release(table->context, chain);
	st = stage(table, &a, 0);
	assert_int_equal(st.code, IMAGE_PULL_FORBIDDEN);
	staged_done(table, &st);
	assert_int_equal(layer_store_drop(ls, a.diff_id, "", &err), -1);
	error_unref(err);
	layer_store_close(ls);

	cleanup_free char *after = snapshot(w.dir);

	assert_string_equal(before, after);
	buf_free(&a.tar);
	world_remove(&w);
}

/* ---- care ---- */

static bool needed(void *arg, const char *chain_id)
{
	return str_equal(arg, chain_id);
}

static void test_prune(void **state)
{
	struct sample s[4];
	char chain[4][DIGEST_MAX];
	struct world w;
	struct error *err = NULL;
	uint64_t reclaimed;

	(void)state;
	world_make(&w, true);
	for (int i = 0; i < 4; i++) {
		cleanup_free char *name = str_printf("f%d", i);

		sample_make(&s[i], name, "hello");
	}
	put_layer(&w, &s[0], "", chain[0]);
	put_layer(&w, &s[1], chain[0], chain[1]);
	put_layer(&w, &s[2], chain[1], chain[2]);

	struct staged st = stage(w.table, &s[3], 0); /* never committed */
	struct layer_prune prune = {.needed = needed, .arg = chain[1], .dry_run = true};

	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_true(reclaimed > 0);
	assert_int_equal(count(&w, "data"), 4);
	/* Young things stay; so does what is held, in this process or another. */
	prune.dry_run = false;
	prune.keep_age = 3600;
	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 4);
	prune.keep_age = 0;

	struct layer_store *second = open_store(w.dir, true);
	const struct image_pull_layer_store *table = layer_store_table(second);

	assert_int_equal(table->get(table->context, chain[2], NULL), IMAGE_PULL_OK);
	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 4);
	assert_int_equal(count(&w, "chains"), 3);
	table->release(table->context, chain[2]);
	staged_done(w.table, &st);

	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 2);
	assert_int_equal(count(&w, "chains"), 2);
	assert_int_equal(count(&w, "blobs"), 2);
	assert_int_equal(count(&w, "staging"), 0);
	prune.arg = NULL;
	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 0);
	assert_int_equal(count(&w, "chains"), 0);
	assert_int_equal(count(&w, "blobs"), 0);
	for (int i = 0; i < 4; i++)
		buf_free(&s[i].tar);
	layer_store_close(second);
	world_remove(&w);
}

static void test_drop(void **state)
{
	struct sample a, b;
	char chain[DIGEST_MAX], chain_b[DIGEST_MAX];
	struct world w;
	struct error *err = NULL;
	struct staged st;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	sample_make(&b, "b", "hello");
	put_layer(&w, &a, "", chain);
	put_layer(&w, &b, chain, chain_b);
	assert_int_equal(w.table->get(w.table->context, chain_b, NULL), IMAGE_PULL_OK);
	assert_int_equal(layer_store_drop(w.ls, a.diff_id, "", &err), -1);
	assert_int_equal(error_class_of(err), CLASS_CONFLICT);
	error_unref(err);
	err = NULL;
	w.table->release(w.table->context, chain_b);
	assert_int_equal(layer_store_drop(w.ls, a.diff_id, "", &err), 0);
	assert_int_equal(count(&w, "data"), 1);
	assert_int_equal(count(&w, "chains"), 0);
	/* Only what was dropped is read again. */
	st = stage(w.table, &b, 0);
	assert_int_equal(st.reads, 0);
	staged_done(w.table, &st);
	st = stage(w.table, &a, 0);
	assert_true(st.reads > 0);
	staged_done(w.table, &st);
	buf_free(&a.tar);
	buf_free(&b.tar);
	world_remove(&w);
}

static void test_tar(void **state)
{
	struct tar_stream *ts;
	struct error *err = NULL;
	struct sample a;
	char chain[DIGEST_MAX], part[300], id[DIGEST_MAX];
	struct hasher *h = hasher_new("sha256");
	struct world w;
	int64_t n;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	put_layer(&w, &a, "", chain);
	assert_int_equal(layer_store_tar(w.ls, a.diff_id, &ts, &err), 0);
	/* It is in use while it is read. */
	assert_int_equal(layer_store_drop(w.ls, a.diff_id, "", &err), -1);
	error_unref(err);
	err = NULL;
	while ((n = tar_stream_read(ts, part, sizeof(part), &err)) > 0)
		hasher_write(h, part, (size_t)n);
	assert_int_equal(n, 0);
	tar_stream_free(ts);
	hasher_digest(h, id);
	assert_string_equal(id, a.diff_id);
	hasher_free(h);
	assert_int_equal(layer_store_tar(w.ls, w.dir, &ts, &err), -1);
	assert_int_equal(error_class_of(err), CLASS_NOT_FOUND);
	error_unref(err);
	buf_free(&a.tar);
	world_remove(&w);
}

/* Descriptors, before and after. */
static int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_descriptors(void **state)
{
	struct sample a;
	char chain[DIGEST_MAX];
	struct world w;
	bool inherited[1024];
	int before;

	(void)state;
	for (int fd = 0; fd < 1024; fd++)
		inherited[fd] = fcntl(fd, F_GETFD) >= 0;
	world_make(&w, true);
	sample_make(&a, "a/b/c/d/e", "hello");
	put_layer(&w, &a, "", chain);
	before = open_files();
	for (int i = 0; i < 20; i++) {
		a.tar.data[600] = (char)i;
		assert_int_equal(digest_from_bytes(a.tar.data, a.tar.size, a.digest), 0);
		memcpy(a.diff_id, a.digest, sizeof(a.digest));
		put_layer(&w, &a, chain, (char[DIGEST_MAX]){0});
	}
	assert_int_equal(open_files(), before);
	for (int fd = 0; fd < 1024; fd++)
		if (!inherited[fd] && fcntl(fd, F_GETFD) >= 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			fail_msg("descriptor %d survives exec", fd);
	buf_free(&a.tar);
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
		cmocka_unit_test(test_durability),
		cmocka_unit_test(test_damaged_records),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_tar),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests_name("layer_store", all, NULL, NULL);
}
