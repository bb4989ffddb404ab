/* SPDX-License-Identifier: Apache-2.0 */
/* xfer/buffers: how much memory the layers in flight have, all together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "xfer/layer.h"
#include "xfer/ring.h"

#define KIB ((size_t)1024)
#define LAYERS 16

static const struct image_pull_layer_store staging = {
	.struct_size = sizeof(staging), .flags = IMAGE_PULL_LAYER_STORE_STAGING};
static const struct image_pull_layer_store plain = {.struct_size = sizeof(plain)};

static void env_make(
	struct layer_env *env, const struct image_pull_layer_store *store, uint64_t max)
{
	struct error *err = NULL;

	memset(env, 0, sizeof(*env));
	assert_int_equal(layer_env_init(env, &err), 0);
	env->store = store;
	layer_env_set_memory(env, max);
}

static struct layer_buffers *get(struct layer_env *env)
{
	struct layer_buffers *b = NULL;
	struct error *err = NULL;

	if (layer_buffers_get(env, &CONTEXT_BACKGROUND, &b, &err) < 0)
		fail_msg("%s", err->message);
	return b;
}

/* Half of what is left goes to one, down to the smallest ones. */
static void sizes(void **state)
{
	static const struct {
		uint64_t max;
		size_t want[6]; /* KiB */
		size_t n;
	} cases[] = {
		{0, {1024, 1024, 1024, 1024, 1024, 1024}, 6},
		{1, {256}, 1},
		{256 * KIB, {256}, 1},
		{512 * KIB - 1, {256}, 1},
		{512 * KIB, {256, 256}, 2},
		{1024 * KIB, {512, 256, 256}, 3},
		{2048 * KIB, {1024, 512, 256, 256}, 4},
		{1 << 30, {1024, 1024, 1024, 1024, 1024, 1024}, 6},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const size_t n = cases[i / 2].n;
		struct layer_env env;
		struct layer_buffers *b[6];

		env_make(&env, i % 2 ? &plain : &staging, cases[i / 2].max);
		for (size_t k = 0; k < n; k++) {
			size_t room = 0;

			b[k] = get(&env);
			if (b[k]->size != cases[i / 2].want[k] * KIB)
				fail_msg(
					"case %zu: number %zu has %zu bytes", i / 2, k, b[k]->size);
			memset(b[k]->in, 1, b[k]->in_size);
			if (i % 2) {
				assert_null(b[k]->ring);
				continue;
			}
			assert_non_null(ring_space(b[k]->ring, &CONTEXT_BACKGROUND, &room));
			/* the ring has four blocks, and libcurl a half of the connection's ring */
			assert_int_equal(room * 4 + b[k]->in_size + b[k]->http_ring_size +
						 b[k]->http_ring_size / 2,
				b[k]->size);
		}
		for (size_t k = 0; k < n; k++)
			layer_buffers_put(&env, b[k]);
		assert_int_equal(env.memory, 0);
		layer_env_destroy(&env);
	}
}

struct crowd {
	struct layer_env env;
	atomic_size_t now, most;
	unsigned rounds;
};

static void *take_and_give(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < c->rounds; i++) {
		struct layer_buffers *b = get(&c->env);
		size_t now = atomic_fetch_add(&c->now, b->size) + b->size;
		size_t most = atomic_load(&c->most);

		while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
			;
		sched_yield();
		atomic_fetch_sub(&c->now, b->size);
		layer_buffers_put(&c->env, b);
	}
	return NULL;
}

/* All of them get theirs, whatever the limit, and never more than it. */
static void crowds(void **state)
{
	static const size_t limits[] = {256 * KIB, 700 * KIB, 1024 * KIB, 4096 * KIB};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct crowd c = {.rounds = 50};
		pthread_t threads[LAYERS];

		env_make(&c.env, &staging, limits[i]);
		for (size_t k = 0; k < LAYERS; k++)
			assert_int_equal(pthread_create(&threads[k], NULL, take_and_give, &c), 0);
		for (size_t k = 0; k < LAYERS; k++)
			pthread_join(threads[k], NULL);
		assert_int_equal(c.env.memory, 0);
		if (atomic_load(&c.most) > limits[i])
			fail_msg("%zu bytes under a limit of %zu", atomic_load(&c.most), limits[i]);
		layer_env_destroy(&c.env);
	}
}

struct waiter {
	struct layer_env *env;
	struct cancel *cancel;
	struct error *err;
	int answer;
};

static void *wait_for_some(void *arg)
{
	struct waiter *w = arg;
	const struct context ctx = {.cancel = w->cancel};
	struct layer_buffers *b = NULL;

	w->answer = layer_buffers_get(w->env, &ctx, &b, &w->err);
	return NULL;
}

/* Whoever waits can be cancelled; what is given back then goes to others. */
static void cancelled(void **state)
{
	struct layer_env env;
	struct layer_buffers *all;
	struct waiter w = {.env = &env, .cancel = cancel_new(NULL)};
	pthread_t thread;

	(void)state;
	env_make(&env, &staging, 256 * KIB);
	all = get(&env);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_some, &w), 0);
	cancel_fire(w.cancel, &err_context_canceled);
	pthread_join(thread, NULL);
	assert_int_equal(w.answer, -1);
	assert_ptr_equal(w.err, &err_context_canceled);
	layer_buffers_put(&env, all);
	layer_buffers_put(&env, get(&env));
	assert_int_equal(env.memory, 0);
	cancel_unref(w.cancel);
	layer_env_destroy(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(crowds),
		cmocka_unit_test(cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
