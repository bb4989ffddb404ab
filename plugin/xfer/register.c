/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: makeDownloadFunc of distribution/xfer/download.go, from the registration on, for
 * plain stores. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/rootfs.h"
#include "xfer/fetch.h"
#include "base/decompress.h"
#include "xfer/layer.h"
#include "xfer/spool.h"
#include "xfer/store.h"

#define OUT_SIZE (128 * 1024)
#define POLL_MS 50

/* The spooled blob as tar. */
struct tar_reader {
	const struct layer_registration *reg;
	struct decompressor *decompressor;
	struct hasher *hash;
	unsigned char *in, *out;
	int64_t offset; /* in the spool */
	size_t in_at, in_size;
	size_t out_at, out_size; /* what the store has not taken yet */
	uint64_t unpacked;
	bool in_ended, ended;
	struct error *err; /* why the stream ends too early */
	bool failed;       /* the store was told so */
	struct progress_reader progress;
	int64_t polled_ms;
};

static void show(const struct tar_reader *t, bool last)
{
	if (t->reg->output)
		progress_bytes(t->reg->output, t->reg->layer->id, "Extracting", t->progress.current,
			t->progress.size, last);
}

/* The engine's callbacks go on meanwhile. -1: cancelled. */
static int poll_context(struct tar_reader *t)
{
	const struct context *ctx = t->reg->ctx;
	int64_t now = monotonic_ms();

	if (ctx->poll && now - t->polled_ms >= POLL_MS) {
		t->polled_ms = now;
		ctx->poll(ctx->poll_arg);
	}
	if (!cancel_fired(ctx->cancel))
		return 0;
	t->err = error_ref(cancel_error(ctx->cancel));
	return -1;
}

static int fill_in(struct tar_reader *t)
{
	ssize_t n;
	bool last;

	if (t->in_at < t->in_size || t->in_ended)
		return 0;
	n = spool_read(t->reg->layer->result.spool, t->offset, t->in, LAYER_IN_SIZE, &t->err);
	if (n < 0)
		return -1;
	t->in_ended = n == 0;
	t->in_at = 0;
	t->in_size = (size_t)n;
	t->offset += n;
	if (progress_reader_read(&t->progress, (size_t)n, &last))
		show(t, last);
	return 0;
}

/* More tar, or its end, or an error. */
static int decompress_more(struct tar_reader *t)
{
	uint64_t limit = atomic_load(&t->reg->layer->env->max_layer_size);

	t->out_at = 0;
	t->out_size = 0;
	if (!t->err && poll_context(t) < 0)
		return -1;
	while (t->out_size == 0 && !t->ended) {
		size_t used, made;
		int r;

		if (t->err || fill_in(t) < 0)
			return -1;
		r = decompressor_run(t->decompressor, t->in + t->in_at, t->in_size - t->in_at,
			&used, t->out, OUT_SIZE, &made, t->in_ended, &t->err);
		/* what came before the damage is still handed over */
		t->out_size = made;
		t->in_at += used;
		t->ended = r > 0;
		t->unpacked += made;
		if (r >= 0 && limit && t->unpacked > limit) {
			t->out_size = 0;
			return error_set(&t->err,
				error_plainf("it is larger than the %llu bytes that a layer may "
					     "have",
					(unsigned long long)limit));
		}
	}
	hasher_write(t->hash, t->out, t->out_size);
	return 0;
}

static int fill_out(struct tar_reader *t)
{
	if (decompress_more(t) == 0)
		return 0;
	t->failed = true;
	return -1;
}

static int64_t reader_next(void *context, const void **data)
{
	struct tar_reader *t = context;
	size_t n;

	if (t->out_at == t->out_size && fill_out(t) < 0)
		return -1;
	n = t->out_size - t->out_at;
	*data = t->out + t->out_at;
	t->out_at = t->out_size;
	return (int64_t)n;
}

static int64_t reader_read(void *context, void *buf, size_t size)
{
	struct tar_reader *t = context;

	if (t->out_at == t->out_size && fill_out(t) < 0)
		return -1;
	if (size > t->out_size - t->out_at)
		size = t->out_size - t->out_at;
	memcpy(buf, t->out + t->out_at, size);
	t->out_at += size;
	return (int64_t)size;
}

static int reader_wait(void *context, unsigned milliseconds)
{
	struct tar_reader *t = context;

	return context_sleep(t->reg->ctx, milliseconds);
}

static int reader_diff_id(void *context, char *id)
{
	struct tar_reader *t = context;

	if (!t->ended || t->out_at < t->out_size)
		return -1;
	hasher_digest(t->hash, id);
	return *id ? 0 : -1;
}

static int reader_init(
	struct tar_reader *t, const struct layer_registration *reg, struct error **reterr)
{
	*t = (struct tar_reader){.reg = reg};
	progress_reader_init(&t->progress, reg->layer->result.total);
	t->decompressor = decompressor_new(0, reterr);
	if (!t->decompressor)
		return -1;
	t->hash = hasher_new("sha256");
	t->in = malloc(LAYER_IN_SIZE);
	t->out = malloc(OUT_SIZE);
	if (!t->hash || !t->in || !t->out)
		return error_set(reterr, &error_no_memory);
	return 0;
}

static void reader_destroy(struct tar_reader *t)
{
	decompressor_free(t->decompressor);
	hasher_free(t->hash);
	free(t->in);
	free(t->out);
	error_unref(t->err);
}

static int register_result(const struct tar_reader *t, const struct store_answer *a,
	char ret_diff_id[DIGEST_MAX], struct error **reterr)
{
	const struct layer_registration *reg = t->reg;
	char chain_id[DIGEST_MAX];

	if (!a->err && !t->err && *a->diff_id) {
		memcpy(ret_diff_id, a->diff_id, DIGEST_MAX);
		return 0;
	}
	/* a stream that has failed is a failure, whatever the store says */
	if (!a->err && *a->diff_id && chain_id_append(reg->parent, a->diff_id, chain_id) == 0)
		store_release(reg->layer->env->store, chain_id);
	if (cancel_fired(reg->ctx->cancel))
		return error_setf(reterr, "layer registration cancelled");
	if (a->err && !t->failed)
		return error_set(reterr, layer_register_error(a->err));
	if (t->err)
		return error_set(reterr, layer_register_error(t->err));
	return error_setf(reterr, "failed to register layer: the layer store gave no diff ID");
}

static int do_register(struct tar_reader *t, char ret_diff_id[DIGEST_MAX], struct error **reterr)
{
	const struct layer *l = t->reg->layer;
	const struct image_pull_reader reader = {.struct_size = sizeof(reader),
		.context = t,
		.read = reader_read,
		.wait = reader_wait,
		.diff_id = reader_diff_id,
		.next = reader_next,
		.max_entries = l->env->max_layer_entries};
	struct store_answer a;
	int r;

	/* archive.DecompressStream: a bad header is seen before the store is asked */
	if (decompress_more(t) < 0 && !decompressor_started(t->decompressor))
		return error_setf(
			reterr, "could not get decompression stream: %s", t->err->message);
	store_register(l->env->store, &reader, t->reg->parent, &l->descriptor, &a);
	if (progress_reader_close(&t->progress))
		show(t, false);
	r = register_result(t, &a, ret_diff_id, reterr);
	store_answer_free(&a);
	return r;
}

int layer_register(
	const struct layer_registration *reg, char ret_diff_id[DIGEST_MAX], struct error **reterr)
{
	struct tar_reader t;
	int r = reader_init(&t, reg, reterr);

	if (r == 0)
		r = do_register(&t, ret_diff_id, reterr);
	reader_destroy(&t);
	return r;
}
