/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: makeDownloadFunc of distribution/xfer/download.go, up to the registration. */
#include "xfer/layer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pages.h"
#include "xfer/fetch.h"
#include "xfer/ring.h"
#include "xfer/spool.h"

#define RING_BLOCK (128 * 1024)
#define RING_BLOCKS 4

int layer_env_init(struct layer_env *env, struct error **reterr)
{
	if (pthread_mutex_init(&env->lock, NULL) != 0)
		return error_set(reterr, &error_no_memory);
	return 0;
}

static void buffers_free(struct layer_buffers *b)
{
	if (!b)
		return;
	ring_free(b->ring);
	pages_free(b->in, LAYER_IN_SIZE);
	free(b);
}

void layer_env_destroy(struct layer_env *env)
{
	while (env->idle_buffers) {
		struct layer_buffers *b = env->idle_buffers;

		env->idle_buffers = b->next;
		buffers_free(b);
	}
	pthread_mutex_destroy(&env->lock);
}

struct layer_buffers *layer_buffers_get(struct layer_env *env)
{
	struct layer_buffers *b;

	pthread_mutex_lock(&env->lock);
	b = env->idle_buffers;
	if (b)
		env->idle_buffers = b->next;
	pthread_mutex_unlock(&env->lock);
	if (b) {
		ring_reset(b->ring);
		return b;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->in = pages_new(LAYER_IN_SIZE);
	b->ring = ring_new(RING_BLOCK, RING_BLOCKS);
	if (b->in && b->ring)
		return b;
	buffers_free(b);
	return NULL;
}

void layer_buffers_put(struct layer_env *env, struct layer_buffers *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&env->lock);
	b->next = env->idle_buffers;
	env->idle_buffers = b;
	pthread_mutex_unlock(&env->lock);
}

/* ---- the object */

struct layer *layer_new(struct layer_env *env, struct repository *repo, const char *digest,
	const char *media_type, int64_t size)
{
	struct layer *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->env = env;
	l->repo = repository_ref(repo);
	l->digest = strdup(digest);
	l->media_type = strdup(media_type ? media_type : "");
	if (!l->digest || !l->media_type) {
		layer_free(l);
		return NULL;
	}
	digest_short(digest, l->id);
	l->descriptor = (struct image_pull_descriptor){.struct_size = sizeof(l->descriptor),
		.media_type = l->media_type,
		.digest = l->digest,
		.size = size};
	return l;
}

static void result_free(struct layer_env *env, struct layer_result *r)
{
	if (r->has_handle)
		env->store->discard(env->store->context, r->handle);
	spool_free(r->spool);
	error_unref(r->err);
}

void layer_free(struct layer *l)
{
	if (!l)
		return;
	result_free(l->env, &l->result);
	repository_unref(l->repo);
	free(l->digest);
	free(l->media_type);
	free(l);
}

struct error *layer_register_error(const struct error *cause)
{
	return error_plainf("failed to register layer: %s", cause->message);
}

/* ---- plain stores: into a temporary file */

static int spool_sink_write(void *arg, const void *data, size_t size, struct error **reterr)
{
	return spool_write(arg, data, size, reterr);
}

static int spool_sink_restart(void *arg, struct error **reterr)
{
	return spool_truncate(arg, reterr);
}

static int fetch_to_spool(struct layer *l, struct transfer *t, struct spool *spool,
	int64_t *ret_total, struct error **reterr)
{
	struct layer_env *env = l->env;
	struct layer_buffers *buffers = layer_buffers_get(env);
	struct blob_config config = {.repo = l->repo,
		.digest = l->digest,
		.size = l->descriptor.size,
		.id = l->id,
		.transfer = t,
		.ctx = transfer_context(t),
		.max_attempts = &env->max_attempts,
		.retry_tick_ms = env->retry_tick_ms,
		.pause_ms = env->pause_ms,
		.retry_on_error = env->retry_on_error,
		.partial = &env->partial,
		.asked = &l->asked,
		.buffer_size = LAYER_IN_SIZE,
		.ring_size = LAYER_HTTP_RING_SIZE,
		.sink = {.write = spool_sink_write, .restart = spool_sink_restart, .arg = spool}};
	int r;

	if (!buffers)
		return error_set(reterr, &error_no_memory);
	config.buffer = buffers->in;
	r = blob_fetch(&config, ret_total, reterr);
	layer_buffers_put(env, buffers);
	return r;
}

static void layer_spool(struct layer *l, struct transfer *t, struct layer_result *ret)
{
	struct error *err = NULL;

	ret->spool = spool_new(l->env->temp_dir, &err);
	if (!ret->spool) {
		log_error(transfer_log(t), "Download failed: %s", err->message);
		ret->state = LAYER_DOWNLOAD_FAILED;
		ret->err = error_wrap(ERROR_DO_NOT_RETRY, err);
		return;
	}
	if (fetch_to_spool(l, t, ret->spool, &ret->total, &ret->err) < 0) {
		ret->state = LAYER_DOWNLOAD_FAILED;
		spool_free(ret->spool);
		ret->spool = NULL;
		return;
	}
	ret->state = LAYER_READY;
}

/* ---- the transfer */

/* In every pull that wants this layer, the one below it has failed: they take that one's error. */
static bool nobody_needs_it(const struct layer *l)
{
	bool failed = l->uses != NULL;

	for (const struct layer_use *u = l->uses; u && failed; u = u->next)
		failed = l->env->parent_failed(u->download, u->index);
	return failed;
}

static void layer_waiting(struct transfer *t, void *arg)
{
	struct layer *l = arg;

	atomic_store(&l->asked, true);
	transfer_update(t, l->id, "Waiting");
}

static void set_result(struct layer *l, const struct layer_result *result)
{
	pthread_mutex_lock(&l->env->lock);
	l->result = *result;
	pthread_mutex_unlock(&l->env->lock);
}

static int layer_run(struct transfer *t, void *arg)
{
	struct layer *l = arg;
	struct layer_result result = {0};
	bool skip;

	pthread_mutex_lock(&l->env->lock);
	skip = nobody_needs_it(l);
	if (skip)
		l->result.state = LAYER_SKIPPED;
	pthread_mutex_unlock(&l->env->lock);
	if (skip)
		return -1;
	if (l->env->store->flags & IMAGE_PULL_LAYER_STORE_STAGING)
		layer_stage(l, t, &result);
	else
		layer_spool(l, t, &result);
	set_result(l, &result);
	return result.state == LAYER_READY ? 0 : -1;
}

static void layer_fail(struct transfer *t, void *arg, struct error *err)
{
	struct layer_result result = {.state = LAYER_DOWNLOAD_FAILED, .err = error_ref(err)};

	log_error(transfer_log(t), "Download failed: %s", err->message);
	set_result(arg, &result);
}

static void layer_ops_free(void *arg)
{
	layer_free(arg);
}

const struct transfer_ops layer_transfer_ops = {
	.waiting = layer_waiting, .run = layer_run, .fail = layer_fail, .free = layer_ops_free};
