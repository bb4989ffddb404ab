/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: makeDownloadFunc of distribution/xfer/download.go, up to the registration. */
#include "xfer/layer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "xfer/fetch.h"
#include "xfer/spool.h"

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
	struct layer_buffers *buffers;
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
		.sink = {.write = spool_sink_write, .restart = spool_sink_restart, .arg = spool}};
	int r;

	if (layer_buffers_get(env, config.ctx, &buffers, reterr) < 0)
		return -1;
	config.buffer = buffers->in;
	config.buffer_size = buffers->in_size;
	config.ring_size = buffers->http_ring_size;
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
