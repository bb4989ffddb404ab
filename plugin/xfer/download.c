/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: LayerDownloadManager.Download of distribution/xfer/download.go */
#include "xfer/download.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "xfer/layer.h"
#include "xfer/store.h"

#define DEFAULT_PAUSE_MS 2000
/* How long a layer that is being fetched may still become ready after one above it has failed. In
 * the original the failed one is asked for twice, and the other is registered meanwhile. */
#define BELOW_FAILED_MS 100

struct download_manager {
	struct layer_env env;
	char *temp_dir;
	struct transfer_manager *tm;
};

/* One layer of one pull. */
struct download_layer {
	struct download_descriptor descriptor; /* its strings are owned */
	char id[16];
	/* Where its bytes come from; NULL if it was there already. */
	struct layer *layer;
	struct watcher *watcher; /* NULL for a second occurrence of the same blob */
	struct layer_use use;
	bool again; /* such a second occurrence */
	bool registered;
	struct error *err;         /* of its registration; guarded by env.lock */
	char diff_id[DIGEST_MAX];  /* once registered */
	char chain_id[DIGEST_MAX]; /* likewise; a hold on it is ours */
};

struct download {
	struct download_manager *dm;
	const struct context *ctx;
	struct repository *repo;
	struct output *output;
	struct rootfs *rootfs;
	size_t n;
	size_t next; /* the lowest one that is not registered; registered is guarded by env.lock */
	int64_t failed_ms; /* when download_step first saw a layer that has failed; 0: not yet */
	struct download_layer *layers;
};

/* ---- the manager */

static bool parent_failed(const struct download *d, size_t index);

struct download_manager *download_manager_new(
	const struct download_config *config, unsigned concurrency, struct error **reterr)
{
	struct download_manager *dm = calloc(1, sizeof(*dm));

	if (!dm) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	if (layer_env_init(&dm->env, reterr) < 0) {
		free(dm);
		return NULL;
	}
	dm->env.store = config->layer_store;
	dm->env.retry_tick_ms = config->retry_tick_ms;
	dm->env.pause_ms = config->pause_ms ? config->pause_ms : DEFAULT_PAUSE_MS;
	dm->env.retry_on_error = config->retry_on_error;
	dm->env.partial = config->partial;
	dm->env.max_layer_entries = config->max_layer_entries;
	layer_env_set_memory(&dm->env, config->max_buffer_memory);
	dm->env.parent_failed = parent_failed;
	atomic_init(&dm->env.max_attempts, config->max_attempts);
	atomic_init(&dm->env.max_layer_size, config->max_layer_size);
	dm->tm = transfer_manager_new(concurrency, reterr);
	if (config->temp_dir) {
		dm->temp_dir = strdup(config->temp_dir);
		if (!dm->temp_dir && dm->tm) {
			error_set(reterr, &error_no_memory);
			transfer_manager_free(steal_ptr(&dm->tm));
		}
		dm->env.temp_dir = dm->temp_dir;
	}
	if (dm->tm)
		return dm;
	download_manager_free(dm);
	return NULL;
}

void download_manager_set_limits(struct download_manager *dm, unsigned concurrency,
	unsigned max_attempts, uint64_t max_layer_size)
{
	transfer_manager_set_concurrency(dm->tm, concurrency);
	atomic_store(&dm->env.max_attempts, max_attempts);
	atomic_store(&dm->env.max_layer_size, max_layer_size);
}

void download_manager_free(struct download_manager *dm)
{
	if (!dm)
		return;
	transfer_manager_free(dm->tm);
	layer_env_destroy(&dm->env);
	free(dm->temp_dir);
	free(dm);
}

/* ---- when a layer of a pull is done, and with which error: downloadTransfer.result */

enum verdict { NOT_DONE, DONE, FAILED };

/* below: the verdict on the layer below, *err its error. Borrowed errors, the lock is held. */
static enum verdict judge_layer(
	const struct download_layer *l, enum verdict below, struct error **err)
{
	const struct layer_result *r = &l->layer->result;

	if (!l->again) {
		/* these do not wait for the layer below */
		if (r->state == LAYER_PENDING)
			return NOT_DONE;
		if (r->state == LAYER_DOWNLOAD_FAILED) {
			*err = r->err;
			return FAILED;
		}
	}
	if (below != DONE)
		return below;
	if (r->state == LAYER_REGISTER_FAILED || r->state == LAYER_SKIPPED) {
		*err = r->err ? r->err : &err_context_canceled;
		return FAILED;
	}
	if (l->err) {
		*err = l->err;
		return FAILED;
	}
	return NOT_DONE; /* to be registered by download_step */
}

/* The lock is held. */
static enum verdict judge(const struct download *d, size_t index, struct error **err)
{
	enum verdict v = DONE;

	*err = NULL;
	for (size_t i = 0; i <= index; i++) {
		if (d->layers[i].registered)
			v = DONE;
		else
			v = judge_layer(&d->layers[i], v, err);
	}
	return v;
}

static bool parent_failed(const struct download *d, size_t index)
{
	struct error *err;

	return index > 0 && judge(d, index - 1, &err) == FAILED;
}

/* ---- begin */

static int copy_descriptor(
	struct download_layer *l, const struct download_descriptor *from, struct error **reterr)
{
	l->descriptor = *from;
	l->descriptor.digest = strdup(from->digest);
	l->descriptor.media_type = strdup(from->media_type ? from->media_type : "");
	if (!l->descriptor.digest || !l->descriptor.media_type)
		return error_set(reterr, &error_no_memory);
	digest_short(from->digest, l->id);
	return 0;
}

/* The chain ID on top of what is registered below layer i. */
static int chain_id_of(
	const struct download *d, size_t i, const char *diff_id, char ret[DIGEST_MAX])
{
	return chain_id_append(i ? d->layers[i - 1].chain_id : "", diff_id, ret);
}

/* A hold was taken on the layer with this chain ID. */
static int set_registered(struct download *d, size_t i, const char *diff_id, struct error **reterr)
{
	struct download_layer *l = &d->layers[i];

	memcpy(l->diff_id, diff_id, DIGEST_MAX);
	pthread_mutex_lock(&d->dm->env.lock);
	l->registered = true;
	d->next = i + 1;
	pthread_mutex_unlock(&d->dm->env.lock);
	if (rootfs_append(d->rootfs, diff_id, reterr) < 0)
		return -1;
	if (l->descriptor.registered)
		l->descriptor.registered(l->descriptor.arg, l->descriptor.digest, diff_id);
	return 0;
}

/* 1: the layer is in the store. */
static int take_existing(struct download *d, size_t i, struct error **reterr)
{
	struct download_layer *l = &d->layers[i];
	const struct download_descriptor *desc = &l->descriptor;
	char diff_id[DIGEST_MAX];

	if (!desc->diff_id || desc->diff_id(desc->arg, desc->digest, diff_id) < 0)
		return 0;
	if (digest_validate(diff_id, strlen(diff_id), NULL) < 0)
		return 0;
	if (chain_id_of(d, i, diff_id, l->chain_id) < 0)
		return error_set(reterr, &error_no_memory);
	if (!store_get(d->dm->env.store, l->chain_id))
		return 0;
	log_debug(output_log(d->output), "Layer already exists: %s", l->id);
	progress_update(d->output, l->id, "Already exists");
	return set_registered(d, i, diff_id, reterr) < 0 ? -1 : 1;
}

/* Does this layer have the same data as a previous one that is being downloaded? */
static bool same_as_before(struct download *d, size_t i)
{
	struct download_layer *l = &d->layers[i];

	for (size_t k = d->next; k < i; k++) {
		if (strcmp(d->layers[k].descriptor.digest, l->descriptor.digest) != 0)
			continue;
		l->layer = d->layers[k].layer;
		l->again = true;
		return true;
	}
	return false;
}

/* A transfer of this pull's or another's. False in *ret: it has been skipped meanwhile. */
static int join_transfer(struct download *d, size_t i, bool *ret, struct error **reterr)
{
	struct download_manager *dm = d->dm;
	struct download_layer *l = &d->layers[i];
	const struct download_descriptor *desc = &l->descriptor;
	struct layer *fresh =
		layer_new(&dm->env, d->repo, desc->digest, desc->media_type, desc->size);
	struct layer *joined;
	bool is_new;

	if (!fresh)
		return error_set(reterr, &error_no_memory);
	l->use = (struct layer_use){.download = d, .index = i};
	/* it may start, and look at its uses, before we are back */
	fresh->uses = &l->use;
	l->layer = fresh;
	if (transfer_manager_transfer(dm->tm, desc->digest, &layer_transfer_ops, fresh, d->output,
		    &l->watcher, &is_new, reterr) < 0) {
		l->layer = NULL;
		layer_free(fresh);
		return -1;
	}
	*ret = true;
	if (is_new)
		return 0;
	layer_free(fresh);
	joined = watcher_arg(l->watcher);
	pthread_mutex_lock(&dm->env.lock);
	l->layer = joined;
	*ret = joined->result.state != LAYER_SKIPPED;
	if (*ret) {
		l->use.next = joined->uses;
		joined->uses = &l->use;
	} else {
		l->layer = NULL;
	}
	pthread_mutex_unlock(&dm->env.lock);
	if (!*ret)
		watcher_release(steal_ptr(&l->watcher));
	return 0;
}

static int start_layer(struct download *d, size_t i, struct error **reterr)
{
	bool joined;

	progress_update(d->output, d->layers[i].id, "Pulling fs layer");
	for (;;) {
		if (join_transfer(d, i, &joined, reterr) < 0)
			return -1;
		if (joined)
			return 0;
		/* its thread is about to take it off the list */
		sched_yield();
	}
}

static int begin_layers(
	struct download *d, const struct download_descriptor *descriptors, struct error **reterr)
{
	bool missing = false;

	for (size_t i = 0; i < d->n; i++) {
		int r = 0;

		if (copy_descriptor(&d->layers[i], &descriptors[i], reterr) < 0)
			return -1;
		if (!missing)
			r = take_existing(d, i, reterr);
		if (r < 0)
			return -1;
		if (r > 0)
			continue;
		missing = true;
		if (!same_as_before(d, i) && start_layer(d, i, reterr) < 0)
			return -1;
	}
	return 0;
}

int download_begin(struct download_manager *dm, const struct context *ctx, struct repository *repo,
	const struct download_descriptor *descriptors, size_t n, struct output *output,
	struct download **ret, struct error **reterr)
{
	struct download *d = calloc(1, sizeof(*d));

	if (!d)
		return error_set(reterr, &error_no_memory);
	d->dm = dm;
	d->ctx = ctx;
	d->repo = repository_ref(repo);
	d->output = output_ref(output);
	d->rootfs = rootfs_new();
	d->layers = calloc(n + 1, sizeof(*d->layers));
	if (!d->rootfs || !d->layers) {
		download_end(d);
		return error_set(reterr, &error_no_memory);
	}
	d->n = n;
	if (begin_layers(d, descriptors, reterr) < 0) {
		download_end(d);
		return -1;
	}
	*ret = d;
	return 0;
}

/* ---- step */

/* Into the store, on top of the layer below. A hold is taken. */
static int register_layer(
	struct download *d, size_t i, char ret_diff_id[DIGEST_MAX], struct error **reterr)
{
	const struct download_layer *l = &d->layers[i];
	const struct layer *layer = l->layer;
	const struct image_pull_layer_store *store = d->dm->env.store;
	const struct layer_registration reg = {.layer = layer,
		.ctx = d->ctx,
		.output = l->again ? NULL : d->output,
		.parent = i ? d->layers[i - 1].chain_id : ""};
	struct store_answer a;

	if (!(store->flags & IMAGE_PULL_LAYER_STORE_STAGING))
		return layer_register(&reg, ret_diff_id, reterr);
	if (!l->again)
		progress_bytes(d->output, l->id, "Extracting", layer->result.total,
			layer->result.total, true);
	store_commit(store, layer->result.handle, reg.parent, layer->result.diff_id,
		&layer->descriptor, &a);
	if (a.err) {
		error_set(reterr, layer_register_error(a.err));
		store_answer_free(&a);
		return -1;
	}
	memcpy(ret_diff_id, layer->result.diff_id, DIGEST_MAX);
	return 0;
}

/* Registers layer i. Its failure is kept in the layer: whether it is the pull's is judged later. -1
 * for what ends the pull at once. */
static int register_one(struct download *d, size_t i, struct error **reterr)
{
	struct download_layer *l = &d->layers[i];
	char diff_id[DIGEST_MAX];
	struct error *err = NULL;

	if (register_layer(d, i, diff_id, &err) < 0) {
		pthread_mutex_lock(&d->dm->env.lock);
		l->err = err;
		pthread_mutex_unlock(&d->dm->env.lock);
		return 0;
	}
	if (chain_id_of(d, i, diff_id, l->chain_id) < 0)
		return error_set(reterr, &error_no_memory);
	if (!l->again)
		progress_update(d->output, l->id, "Pull complete");
	return set_registered(d, i, diff_id, reterr);
}

static bool can_register(const struct download *d)
{
	const struct download_layer *l = &d->layers[d->next];

	return l->layer->result.state == LAYER_READY && !l->err;
}

/* A layer above has failed. Is the next one likely to be ready in a moment? The lock is held. */
static bool wait_below(struct download *d)
{
	struct error *err;
	int64_t now = monotonic_ms();

	if (!d->failed_ms)
		d->failed_ms = now;
	return now - d->failed_ms < BELOW_FAILED_MS && judge(d, d->next, &err) == NOT_DONE;
}

int download_step(struct download *d, struct error **reterr)
{
	for (;;) {
		struct error *err = NULL;
		enum verdict v = DONE;
		bool can = false;

		if (cancel_fired(d->ctx->cancel))
			return error_set(reterr, error_ref(cancel_error(d->ctx->cancel)));
		pthread_mutex_lock(&d->dm->env.lock);
		if (d->next < d->n) {
			v = judge(d, d->n - 1, &err);
			can = can_register(d);
		}
		if (v == FAILED && !can && wait_below(d))
			v = NOT_DONE;
		if (v == FAILED)
			error_ref(err);
		pthread_mutex_unlock(&d->dm->env.lock);
		/* what is ready below the one that failed was registered by a thread of its own in
		 * the original, so it comes first */
		if (v == FAILED && !can)
			return error_set(reterr, err);
		if (v == FAILED)
			error_unref(err);
		if (d->next == d->n)
			return 1;
		if (!can)
			return 0;
		if (register_one(d, d->next, reterr) < 0)
			return -1;
	}
}

bool download_asked(const struct download *d)
{
	bool asked = true;

	pthread_mutex_lock(&d->dm->env.lock);
	for (size_t i = 0; i < d->n; i++)
		if (d->layers[i].watcher && !atomic_load(&d->layers[i].layer->asked))
			asked = asked && d->layers[i].layer->result.state != LAYER_PENDING;
	pthread_mutex_unlock(&d->dm->env.lock);
	return asked;
}

const struct rootfs *download_rootfs(const struct download *d)
{
	return d->rootfs;
}

/* ---- end */

/* No transfer looks at this pull any more. */
static void remove_uses(struct download *d)
{
	pthread_mutex_lock(&d->dm->env.lock);
	for (size_t i = 0; i < d->n; i++) {
		struct download_layer *l = &d->layers[i];
		struct layer_use **at;

		if (!l->watcher)
			continue;
		at = &l->layer->uses;
		while (*at != &l->use)
			at = &(*at)->next;
		*at = l->use.next;
	}
	pthread_mutex_unlock(&d->dm->env.lock);
}

void download_end(struct download *d)
{
	if (!d)
		return;
	remove_uses(d);
	/* from the top, as the original's deferred calls */
	for (size_t i = d->n; i-- > 0;) {
		struct download_layer *l = &d->layers[i];

		watcher_release(l->watcher);
		if (l->registered)
			store_release(d->dm->env.store, l->chain_id);
		error_unref(l->err);
		free((char *)l->descriptor.digest);
		free((char *)l->descriptor.media_type);
	}
	free(d->layers);
	rootfs_free(d->rootfs);
	output_unref(d->output);
	repository_unref(d->repo);
	free(d);
}
