/* SPDX-License-Identifier: Apache-2.0 */
/* Syncs of the layer store by several threads at once. The system's syncfs is this file's: it can
 * be made to wait, and to fail. */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layer_fixture.h"
#include "layer_priv.h"

#include <cmocka.h>

#define FOLLOWERS 3

/* What syncfs does; the lock guards all of it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned calls;
	unsigned hold_at; /* this call waits for go; 0: none */
	unsigned fail_at; /* this one answers EIO */
	bool held, go;
} calls = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

int syncfs(int fd)
{
	unsigned number;

	pthread_mutex_lock(&calls.lock);
	number = ++calls.calls;
	if (number == calls.hold_at) {
		calls.held = true;
		pthread_cond_broadcast(&calls.cond);
		while (!calls.go)
			pthread_cond_wait(&calls.cond, &calls.lock);
	}
	pthread_mutex_unlock(&calls.lock);
	if (number == calls.fail_at) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

struct world {
	char *dir;
	struct layer_store *ls;
	char diff_id[DIGEST_MAX];
};

/* A store with one layer's data, not synced. */
static void world_make(struct world *w, unsigned hold_at, unsigned fail_at)
{
	struct layer_store_options options = {0};
	const struct image_pull_layer_store *table;
	struct image_pull_descriptor descriptor = {.struct_size = sizeof(descriptor)};
	struct memory_reader reader;
	struct buf tar = {0};
	struct error *err = NULL;
	void *handle;

	w->dir = temp_make();
	options.root = w->dir;
	assert_int_equal(layer_store_open(&options, &w->ls, &err), 0);
	tar_member(&tar, &(struct member){.name = "a", .data = "hello"});
	tar_end(&tar);
	assert_int_equal(digest_from_bytes(tar.data, tar.size, w->diff_id), 0);
	memory_reader_init(&reader, tar.data, tar.size);
	table = layer_store_table(w->ls);
	assert_int_equal(
		table->stage(table->context, &reader.reader, &descriptor, &handle, NULL), 0);
	table->discard(table->context, handle);
	memory_reader_done(&reader);
	buf_free(&tar);

	calls.calls = 0;
	calls.hold_at = hold_at;
	calls.fail_at = fail_at;
	calls.held = calls.go = false;
}

static void world_remove(struct world *w)
{
	layer_store_close(w->ls);
	temp_remove(w->dir);
}

static bool is_durable(const struct world *w)
{
	struct stat st;
	cleanup_free char *path = str_printf(
		"%s/layers/data/sha256.%s/" DURABLE_FILE, w->dir, w->diff_id + strlen("sha256:"));

	return !stat(path, &st);
}

struct caller {
	struct world *world;
	pthread_t thread;
	int answer;
	bool durable; /* when it came back */
	char *message;
};

static void *call_sync(void *arg)
{
	struct caller *c = arg;
	struct error *err = NULL;

	c->answer = layer_store_sync(c->world->ls, &err);
	c->durable = is_durable(c->world);
	c->message = strdup(err ? err->message : "");
	error_unref(err);
	/* Whoever waits for us to wait, in vain. */
	pthread_mutex_lock(&calls.lock);
	calls.go = true;
	pthread_cond_broadcast(&calls.cond);
	pthread_mutex_unlock(&calls.lock);
	return NULL;
}

static void start(struct caller *c, struct world *w)
{
	c->world = w;
	assert_int_equal(pthread_create(&c->thread, NULL, call_sync, c), 0);
}

static void join(struct caller *c)
{
	pthread_join(c->thread, NULL);
	free(c->message);
	c->message = NULL;
}

static uint64_t asked(struct world *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->ls->sync_mutex);
	n = w->ls->sync_asked;
	pthread_mutex_unlock(&w->ls->sync_mutex);
	return n;
}

/* Some come while the first one's first syncfs goes on. It ends once all of them have asked, or one
 * of them is back. */
static void run(struct world *w, struct caller *first, struct caller followers[FOLLOWERS])
{
	bool go = false;

	start(first, w);
	pthread_mutex_lock(&calls.lock);
	while (!calls.held)
		pthread_cond_wait(&calls.cond, &calls.lock);
	pthread_mutex_unlock(&calls.lock);
	assert_false(is_durable(w));
	for (size_t i = 0; i < FOLLOWERS; i++)
		start(&followers[i], w);
	while (!go) {
		pthread_mutex_lock(&calls.lock);
		go = calls.go || asked(w) == 1 + FOLLOWERS;
		calls.go = go;
		pthread_cond_broadcast(&calls.cond);
		pthread_mutex_unlock(&calls.lock);
		usleep(1000);
	}
}

static void test_followers_wait(void **state)
{
	struct caller first = {0}, followers[FOLLOWERS] = {0};
	struct world w;

	(void)state;
	world_make(&w, 1, 0);
	run(&w, &first, followers);
	join(&first);
	assert_int_equal(first.answer, 0);
	assert_true(first.durable);
	for (size_t i = 0; i < FOLLOWERS; i++) {
		join(&followers[i]);
		assert_int_equal(followers[i].answer, 0);
		if (!followers[i].durable)
			fail_msg("follower %zu is back before its data is durable", i);
	}
	/* Data, marks; then one for all who came meanwhile. */
	assert_int_equal(calls.calls, 3);
	world_remove(&w);
}

static void test_failed_sync_serves_nobody(void **state)
{
	struct caller first = {0}, followers[FOLLOWERS] = {0};
	struct world w;

	(void)state;
	world_make(&w, 1, 1);
	run(&w, &first, followers);
	pthread_join(first.thread, NULL);
	assert_int_equal(first.answer, -1);
	if (!strstr(first.message, "input/output error"))
		fail_msg("the first one says: %s", first.message);
	free(first.message);
	for (size_t i = 0; i < FOLLOWERS; i++) {
		join(&followers[i]);
		assert_int_equal(followers[i].answer, 0);
		assert_true(followers[i].durable);
	}
	/* The failed one; data and marks, for all who came meanwhile. */
	assert_int_equal(calls.calls, 3);
	world_remove(&w);
}

/* Nothing of this store's own is left to do, but another process may have made its marks just now.
 */
static void test_always_once(void **state)
{
	struct world w;
	struct error *err = NULL;

	(void)state;
	world_make(&w, 0, 0);
	assert_int_equal(layer_store_sync(w.ls, &err), 0);
	assert_true(is_durable(&w));
	assert_int_equal(calls.calls, 2);
	assert_int_equal(layer_store_sync(w.ls, &err), 0);
	assert_int_equal(calls.calls, 3);
	calls.fail_at = 4;
	assert_int_equal(layer_store_sync(w.ls, &err), -1);
	error_unref(err);
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_followers_wait),
		cmocka_unit_test(test_failed_sync_serves_nobody),
		cmocka_unit_test(test_always_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
