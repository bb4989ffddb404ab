/* SPDX-License-Identifier: Apache-2.0 */
/* A layer on its way into a staging store, in one pass. No Go counterpart: the original downloads,
 * then registers; what can be seen of it keeps that order.
 *
 * Two threads. The transfer's own runs the engine's stage(), whose reader takes tar from a ring and
 * hashes it. At its first read a second one, the fetcher, starts: it gets the blob, hashes it and
 * decompresses into the ring (or, for a store that decodes itself, puts it there as it is). Where
 * the bytes turn out to be void after a resume the fetcher waits until stage() has given up and was
 * called again. */
#include "xfer/layer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "xfer/fetch.h"
#include "base/decompress.h"
#include "xfer/ring.h"
#include "xfer/store.h"

/* Decoders keep their tables on the heap. */
#define FETCHER_STACK (128 * 1024)

struct stage {
	struct layer *layer;
	struct transfer *transfer;
	struct layer_buffers *buffers;
	struct ring *ring;
	bool encoded;        /* the store decodes: the ring has the blob's own bytes */
	struct cancel *stop; /* fires with the transfer's */
	struct context ctx;
	struct cancel_watch watch;

	/* The fetcher's own while it runs, save that the other may set it up anew while it waits in
	 * a restart. */
	struct decompressor *decompressor;
	uint64_t unpacked;
	bool draining;            /* nobody wants the rest, but its digest will be judged */
	struct error *stream_err; /* "failed to register layer: ...": why the tar ends too early */

	/* The transfer's thread's own. */
	struct hasher *hash;
	const unsigned char *span; /* borrowed from the ring, what read() has left of it */
	size_t span_size;
	bool reading;              /* the store has read in this round */
	bool started;              /* there is a fetcher */
	bool ended, failed;        /* the store was told so */
	struct error *fetcher_err; /* there is none, because of this */
	pthread_t fetcher;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t cond;
	bool restart_wanted, fetch_done;
	int fetch_result;
	struct error *fetch_err;
	int64_t total;
};

/* ---- the fetcher */

static void stream_failed(struct stage *s, enum ring_end how, struct error *err)
{
	s->stream_err = err;
	s->draining = true;
	ring_end(s->ring, how);
}

static void decompression_failed(struct stage *s, struct error *err)
{
	const char *what = decompressor_started(s->decompressor)
				   ? "failed to register layer"
				   : "could not get decompression stream";

	/* the store may find fault with what came before */
	stream_failed(s, RING_BROKEN, error_plainf("%s: %s", what, err->message));
	error_unref(err);
}

/* True if that is more than a layer may have. */
static bool over_limit(struct stage *s, size_t made)
{
	uint64_t limit = atomic_load(&s->layer->env->max_layer_size);

	s->unpacked += made;
	if (!limit || s->unpacked <= limit)
		return false;
	stream_failed(s, RING_VOID,
		error_plainf("failed to register layer: it is larger than the %llu bytes "
			     "that a layer may have",
			(unsigned long long)limit));
	return true;
}

/* From the blob into the ring as it is. */
static void pass_on(struct stage *s, const unsigned char *data, size_t size)
{
	while (!s->draining && size) {
		size_t room;
		void *to = ring_space(s->ring, &s->ctx, &room);

		if (!to) {
			s->draining = true;
			return;
		}
		if (room > size)
			room = size;
		memcpy(to, data, room);
		ring_put(s->ring, room);
		data += room;
		size -= room;
	}
}

/* From the blob into the ring. 0; 1: a limit ends it all at once. */
static int unpack(struct stage *s, const unsigned char *data, size_t size, bool finish)
{
	int r = 0;

	while (!s->draining && r == 0) {
		size_t room, used, made;
		struct error *err = NULL;
		void *to = ring_space(s->ring, &s->ctx, &room);

		if (!to) {
			s->draining = true;
			break;
		}
		r = decompressor_run(
			s->decompressor, data, size, &used, to, room, &made, finish, &err);
		ring_put(s->ring, made);
		if (r < 0)
			decompression_failed(s, err);
		else if (over_limit(s, made))
			return 1;
		data += used;
		size -= used;
		if (!finish && size == 0 && made < room)
			break;
	}
	return 0;
}

static int sink_write(void *arg, const void *data, size_t size, struct error **reterr)
{
	struct stage *s = arg;

	(void)reterr; /* what fails here is said by stream_err */
	if (!s->encoded)
		return unpack(s, data, size, false);
	pass_on(s, data, size);
	return 0;
}

static int sink_restart(void *arg, struct error **reterr)
{
	struct stage *s = arg;

	ring_end(s->ring, RING_VOID);
	pthread_mutex_lock(&s->lock);
	s->restart_wanted = true;
	pthread_cond_broadcast(&s->cond);
	while (s->restart_wanted && !cancel_fired(s->stop))
		context_wait(&s->ctx, &s->cond, &s->lock, -1);
	pthread_mutex_unlock(&s->lock);
	if (cancel_fired(s->stop))
		return error_set(reterr, error_ref(cancel_error(s->stop)));
	return 0;
}

static void *fetch(void *arg)
{
	struct stage *s = arg;
	struct layer_env *env = s->layer->env;
	struct blob_config config = {.repo = s->layer->repo,
		.digest = s->layer->digest,
		.size = s->layer->descriptor.size,
		.id = s->layer->id,
		.transfer = s->transfer,
		.ctx = &s->ctx,
		.max_attempts = &env->max_attempts,
		.retry_tick_ms = env->retry_tick_ms,
		.pause_ms = env->pause_ms,
		.retry_on_error = env->retry_on_error,
		.partial = &env->partial,
		.asked = &s->layer->asked,
		.buffer = s->buffers->in,
		.buffer_size = s->buffers->in_size,
		.ring_size = s->buffers->http_ring_size,
		.sink = {.write = sink_write, .restart = sink_restart, .arg = s}};
	struct error *err = NULL;
	int64_t total = 0;
	int r = blob_fetch(&config, &total, &err);

	if (r == 0) {
		transfer_inactive(s->transfer);
		if (!s->encoded)
			unpack(s, (const unsigned char *)"", 0, true);
	}
	ring_end(s->ring, r == 0 && !s->draining ? RING_WHOLE : r == 0 ? RING_BROKEN : RING_VOID);
	pthread_mutex_lock(&s->lock);
	s->fetch_result = r;
	s->fetch_err = err;
	s->total = total;
	s->fetch_done = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void on_stop(void *arg)
{
	struct stage *s = arg;

	ring_wake(s->ring);
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* ---- the reader */

static int start_fetcher(struct stage *s, struct error **reterr)
{
	if (layer_buffers_get(s->layer->env, &s->ctx, &s->buffers, reterr) < 0)
		return -1;
	s->ring = s->buffers->ring;
	cancel_watch(s->stop, &s->watch, on_stop, s);
	if (thread_start(&s->fetcher, FETCHER_STACK, fetch, s, reterr) < 0)
		return -1;
	s->started = true;
	return 0;
}

/* The first read of this round. */
static int begin_reading(struct stage *s)
{
	s->reading = true;
	if (!s->started)
		return start_fetcher(s, &s->fetcher_err);
	pthread_mutex_lock(&s->lock);
	s->restart_wanted = false;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int64_t next_span(struct stage *s)
{
	const void *data;
	int64_t n;

	if (s->ended)
		return 0;
	if (s->failed || (!s->reading && begin_reading(s) < 0)) {
		s->failed = true;
		return -1;
	}
	n = ring_get(s->ring, &s->ctx, &data);
	if (n > 0) {
		if (!s->encoded)
			hasher_write(s->hash, data, (size_t)n);
		s->span = data;
		s->span_size = (size_t)n;
	}
	s->ended = n == 0;
	s->failed = n < 0;
	return n;
}

static int64_t reader_next(void *context, const void **data)
{
	struct stage *s = context;
	int64_t n = (int64_t)s->span_size;

	if (n == 0)
		n = next_span(s);
	if (n > 0)
		*data = s->span;
	s->span_size = 0;
	return n;
}

static int64_t reader_read(void *context, void *buf, size_t size)
{
	struct stage *s = context;

	if (s->span_size == 0) {
		int64_t n = next_span(s);

		if (n <= 0)
			return n;
	}
	if (size > s->span_size)
		size = s->span_size;
	memcpy(buf, s->span, size);
	s->span += size;
	s->span_size -= size;
	return (int64_t)size;
}

static int reader_wait(void *context, unsigned milliseconds)
{
	struct stage *s = context;

	return context_sleep(&s->ctx, milliseconds);
}

static int reader_diff_id(void *context, char *id)
{
	struct stage *s = context;

	if (!s->ended)
		return -1;
	hasher_digest(s->hash, id);
	return *id ? 0 : -1;
}

/* ---- what became of a call of stage() */

static void join(struct stage *s)
{
	pthread_join(s->fetcher, NULL);
	s->started = false;
}

static void stop_fetcher(struct stage *s)
{
	if (!s->started)
		return;
	cancel_fire(s->stop, &err_context_canceled);
	join(s);
}

/* True when the fetcher has ended; false when it wants to begin again. */
static bool await_fetcher(struct stage *s)
{
	bool done;

	pthread_mutex_lock(&s->lock);
	while (!s->fetch_done && !s->restart_wanted)
		context_wait(&CONTEXT_BACKGROUND, &s->cond, &s->lock, -1);
	done = s->fetch_done;
	pthread_mutex_unlock(&s->lock);
	if (done)
		join(s);
	return done;
}

static void set_failed(struct layer_result *ret, enum layer_state state, struct error *err)
{
	ret->state = state;
	ret->err = err;
}

static void set_ready(struct layer_result *ret, void *handle, const char *diff_id)
{
	ret->state = LAYER_READY;
	ret->has_handle = true;
	ret->handle = handle;
	memcpy(ret->diff_id, diff_id, DIGEST_MAX);
}

/* These have nothing to do with the bytes: no need to see the rest of them. */
static bool is_local(int code)
{
	return code == IMAGE_PULL_NO_SPACE || code == IMAGE_PULL_NO_MEMORY ||
	       code == IMAGE_PULL_CANCELLED;
}

/* Docker's text for what the store has answered. */
static struct error *store_error(const struct stage *s, const struct store_answer *a)
{
	if (s->encoded && a->code == IMAGE_PULL_INVALID)
		return error_plainf("could not get decompression stream: %s", a->err->message);
	return layer_register_error(a->err);
}

/* All went well: the diff ID is what was hashed here, or what the store has made of the blob. */
static void take_diff_id(
	struct stage *s, const struct store_answer *a, void *handle, struct layer_result *ret)
{
	char diff_id[DIGEST_MAX];

	if (s->encoded)
		memcpy(diff_id, a->diff_id, sizeof(diff_id));
	else
		hasher_digest(s->hash, diff_id);
	if (*diff_id)
		set_ready(ret, handle, diff_id);
	else if (s->encoded)
		set_failed(ret, LAYER_REGISTER_FAILED,
			error_plainf("failed to register layer: the layer store gave no diff ID"));
	else
		set_failed(ret, LAYER_REGISTER_FAILED, &error_no_memory);
}

/* The fetcher has ended by itself. The blob's own failures come first, then what broke the tar
 * stream if the store has seen that, then the store's. */
static void judge(
	struct stage *s, const struct store_answer *a, void *handle, struct layer_result *ret)
{
	ret->total = s->total;
	if (s->fetch_result < 0) {
		set_failed(ret, LAYER_DOWNLOAD_FAILED, error_ref(s->fetch_err));
	} else if (s->stream_err && (s->failed || !a->err)) {
		set_failed(ret, LAYER_REGISTER_FAILED, error_ref(s->stream_err));
	} else if (cancel_fired(s->stop)) {
		set_failed(
			ret, LAYER_REGISTER_FAILED, error_plainf("layer registration cancelled"));
	} else if (a->err) {
		set_failed(ret, LAYER_REGISTER_FAILED, store_error(s, a));
	} else {
		take_diff_id(s, a, handle, ret);
	}
}

/* True: *ret says how it ended. False: the bytes were void, stage again. A handle that does not go
 * into *ret is the caller's to discard. */
static bool settle(
	struct stage *s, const struct store_answer *a, void *handle, struct layer_result *ret)
{
	bool over = s->ended || s->failed;
	const void *rest;

	if (!a->err && *a->diff_id && !over) {
		/* it has had the blob all along */
		stop_fetcher(s);
		set_ready(ret, handle, a->diff_id);
		return true;
	}
	if (a->err && !over && (!s->reading || is_local(a->code))) {
		stop_fetcher(s);
		set_failed(ret, LAYER_REGISTER_FAILED, store_error(s, a));
		return true;
	}
	if (a->err && !over)
		ring_abandon(s->ring);
	/* a store that did not care for the rest */
	while (!a->err && reader_next(s, &rest) > 0)
		;
	if (s->fetcher_err) {
		set_failed(ret, LAYER_DOWNLOAD_FAILED, error_ref(s->fetcher_err));
		return true;
	}
	if (!await_fetcher(s))
		return false;
	judge(s, a, handle, ret);
	return true;
}

/* Ready for the next call of stage(). The fetcher does not run or waits in a restart. */
static int begin_round(struct stage *s, struct error **reterr)
{
	decompressor_free(s->decompressor);
	s->decompressor = NULL;
	if (!s->encoded) {
		s->decompressor = decompressor_new(0, reterr);
		if (!s->decompressor)
			return -1;
	}
	if (s->ring)
		ring_reset(s->ring);
	hasher_reset(s->hash);
	error_unref(s->stream_err);
	s->stream_err = NULL;
	s->unpacked = 0;
	s->draining = false;
	s->span_size = 0;
	s->reading = false;
	s->ended = false;
	s->failed = false;
	return 0;
}

static void run(struct stage *s, struct layer_result *ret)
{
	const struct image_pull_layer_store *store = s->layer->env->store;
	const struct image_pull_reader reader = {.struct_size = sizeof(reader),
		.context = s,
		.read = reader_read,
		.wait = reader_wait,
		.diff_id = s->encoded ? NULL : reader_diff_id,
		.next = reader_next,
		.max_unpacked = atomic_load(&s->layer->env->max_layer_size),
		.max_entries = s->layer->env->max_layer_entries};
	bool settled;

	do {
		struct store_answer answer;
		void *handle;

		if (begin_round(s, &ret->err) < 0) {
			stop_fetcher(s);
			ret->state = LAYER_DOWNLOAD_FAILED;
			return;
		}
		store_stage(store, &reader, &s->layer->descriptor, &handle, &answer);
		settled = settle(s, &answer, handle, ret);
		if (!answer.err && !(settled && ret->has_handle))
			store->discard(store->context, handle);
		store_answer_free(&answer);
	} while (!settled);
}

/* ---- */

static int stage_init(struct stage *s, struct layer *l, struct transfer *t)
{
	memset(s, 0, sizeof(*s));
	s->layer = l;
	s->transfer = t;
	s->encoded = l->env->store->flags & IMAGE_PULL_LAYER_STORE_ENCODED;
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		return -1;
	if (cond_init(&s->cond) != 0) {
		pthread_mutex_destroy(&s->lock);
		return -1;
	}
	s->stop = cancel_new(transfer_context(t)->cancel);
	s->ctx = (struct context){.cancel = s->stop};
	s->hash = hasher_new("sha256");
	return 0;
}

static void stage_destroy(struct stage *s)
{
	cancel_unwatch(&s->watch);
	cancel_unref(s->stop);
	layer_buffers_put(s->layer->env, s->buffers);
	decompressor_free(s->decompressor);
	hasher_free(s->hash);
	error_unref(s->stream_err);
	error_unref(s->fetcher_err);
	error_unref(s->fetch_err);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
}

void layer_stage(struct layer *l, struct transfer *t, struct layer_result *ret)
{
	struct stage s;

	if (stage_init(&s, l, t) < 0) {
		set_failed(ret, LAYER_DOWNLOAD_FAILED, &error_no_memory);
		return;
	}
	if (s.stop && s.hash)
		run(&s, ret);
	else
		set_failed(ret, LAYER_DOWNLOAD_FAILED, &error_no_memory);
	stage_destroy(&s);
}
