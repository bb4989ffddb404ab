/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers of the layers in flight, and how much memory they may have together. No Go
 * counterpart: the original has a temporary file for each layer. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/pages.h"
#include "xfer/layer.h"
#include "xfer/ring.h"

/* Of each size: an eighth is what is read at once, half is the ring of tar, a quarter the
 * connection's ring, and an eighth is what libcurl reads into (http_buffer_size). */
#define SIZE_MAX_EACH ((size_t)8 * LAYER_IN_SIZE)
#define SIZE_MIN_EACH (SIZE_MAX_EACH / 4) /* a connection's ring can't be smaller */
#define RING_BLOCKS 4

int layer_env_init(struct layer_env *env, struct error **reterr)
{
	if (pthread_mutex_init(&env->lock, NULL) != 0)
		return error_set(reterr, &error_no_memory);
	if (cond_init(&env->memory_freed) < 0) {
		pthread_mutex_destroy(&env->lock);
		return error_set(reterr, &error_no_memory);
	}
	return 0;
}

static void buffers_free(struct layer_buffers *b)
{
	if (!b)
		return;
	ring_free(b->ring);
	pages_free(b->in, b->in_size);
	free(b);
}

void layer_env_destroy(struct layer_env *env)
{
	while (env->idle_buffers) {
		struct layer_buffers *b = env->idle_buffers;

		env->idle_buffers = b->next;
		buffers_free(b);
	}
	pthread_cond_destroy(&env->memory_freed);
	pthread_mutex_destroy(&env->lock);
}

void layer_env_set_memory(struct layer_env *env, uint64_t max)
{
	env->max_memory = max && max < SIZE_MIN_EACH ? SIZE_MIN_EACH : max;
}

static struct layer_buffers *buffers_new(const struct layer_env *env, size_t size)
{
	bool staging = env->store->flags & IMAGE_PULL_LAYER_STORE_STAGING;
	struct layer_buffers *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->size = size;
	b->in_size = size / 8;
	b->http_ring_size = size / 4;
	b->in = pages_new(b->in_size);
	if (staging)
		b->ring = ring_new(size / 2 / RING_BLOCKS, RING_BLOCKS);
	if (b->in && (b->ring || !staging))
		return b;
	buffers_free(b);
	return NULL;
}

/* ---- with a limit */

/* The lock is held. Half of what is left goes to one, so that others find room too. 0: none. */
static size_t size_that_fits(const struct layer_env *env)
{
	uint64_t left = env->max_memory - env->memory;
	size_t size = SIZE_MAX_EACH;

	while (size > SIZE_MIN_EACH && size > left / 2)
		size /= 2;
	return size <= left ? size : 0;
}

static void look_again(void *arg)
{
	struct layer_env *env = arg;

	pthread_mutex_lock(&env->lock);
	pthread_cond_broadcast(&env->memory_freed);
	pthread_mutex_unlock(&env->lock);
}

/* 0: ctx was cancelled. */
static size_t take_memory(struct layer_env *env, const struct context *ctx)
{
	struct cancel_watch watch;
	size_t size = 0;

	cancel_watch(ctx->cancel, &watch, look_again, env);
	pthread_mutex_lock(&env->lock);
	while (!cancel_fired(ctx->cancel) && !(size = size_that_fits(env)))
		context_wait(ctx, &env->memory_freed, &env->lock, -1);
	env->memory += size;
	pthread_mutex_unlock(&env->lock);
	cancel_unwatch(&watch);
	return size;
}

static void give_memory(struct layer_env *env, size_t size)
{
	pthread_mutex_lock(&env->lock);
	env->memory -= size;
	pthread_cond_broadcast(&env->memory_freed);
	pthread_mutex_unlock(&env->lock);
}

static int get_limited(struct layer_env *env, const struct context *ctx, struct layer_buffers **ret,
	struct error **reterr)
{
	size_t size = take_memory(env, ctx);

	if (!size)
		return error_set(reterr, error_ref(cancel_error(ctx->cancel)));
	*ret = buffers_new(env, size);
	if (*ret)
		return 0;
	give_memory(env, size);
	return error_set(reterr, &error_no_memory);
}

/* ---- */

static struct layer_buffers *take_idle(struct layer_env *env)
{
	struct layer_buffers *b;

	pthread_mutex_lock(&env->lock);
	b = env->idle_buffers;
	if (b)
		env->idle_buffers = b->next;
	pthread_mutex_unlock(&env->lock);
	if (b && b->ring)
		ring_reset(b->ring);
	return b;
}

int layer_buffers_get(struct layer_env *env, const struct context *ctx, struct layer_buffers **ret,
	struct error **reterr)
{
	struct layer_buffers *b;

	if (env->max_memory)
		return get_limited(env, ctx, ret, reterr);
	b = take_idle(env);
	if (!b)
		b = buffers_new(env, SIZE_MAX_EACH);
	if (!b)
		return error_set(reterr, &error_no_memory);
	*ret = b;
	return 0;
}

void layer_buffers_put(struct layer_env *env, struct layer_buffers *b)
{
	if (!b)
		return;
	if (env->max_memory) {
		size_t size = b->size;

		buffers_free(b);
		give_memory(env, size);
		return;
	}
	pthread_mutex_lock(&env->lock);
	b->next = env->idle_buffers;
	env->idle_buffers = b;
	pthread_mutex_unlock(&env->lock);
}
