/* SPDX-License-Identifier: Apache-2.0 */
/* No Go counterpart: the bounded ring that stands in for the original's temporary file. */
#include "xfer/ring.h"

#include <stdlib.h>

#include "base/pages.h"

struct ring {
	size_t block_size;
	unsigned nblocks;
	size_t fill;          /* bytes in the producer's block; the producer's own */
	bool borrowed;        /* the consumer holds the block at taken; its own */
	pthread_mutex_t lock; /* guards what follows; the blocks belong to one side at a time */
	pthread_cond_t produced, consumed;
	unsigned put, taken; /* blocks passed on, blocks given back; both ever growing */
	bool abandoned;
	enum ring_end end;
	size_t *sizes;         /* of the blocks that were passed on */
	unsigned char *blocks; /* nblocks * block_size */
};

struct ring *ring_new(size_t block_size, unsigned nblocks)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->block_size = block_size;
	r->nblocks = nblocks;
	r->sizes = calloc(nblocks, sizeof(*r->sizes));
	r->blocks = pages_new(block_size * nblocks);
	if (!r->sizes || !r->blocks || pthread_mutex_init(&r->lock, NULL) != 0)
		goto no_lock;
	if (cond_init(&r->produced) != 0)
		goto no_produced;
	if (cond_init(&r->consumed) != 0)
		goto no_consumed;
	return r;
no_consumed:
	pthread_cond_destroy(&r->produced);
no_produced:
	pthread_mutex_destroy(&r->lock);
no_lock:
	free(r->sizes);
	pages_free(r->blocks, r->block_size * r->nblocks);
	free(r);
	return NULL;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	pthread_cond_destroy(&r->consumed);
	pthread_cond_destroy(&r->produced);
	pthread_mutex_destroy(&r->lock);
	free(r->sizes);
	pages_free(r->blocks, r->block_size * r->nblocks);
	free(r);
}

void ring_reset(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	r->put = 0;
	r->taken = 0;
	r->end = RING_OPEN;
	r->abandoned = false;
	r->fill = 0;
	r->borrowed = false;
	pthread_mutex_unlock(&r->lock);
}

static unsigned char *block(struct ring *r, unsigned i)
{
	return r->blocks + (size_t)(i % r->nblocks) * r->block_size;
}

void *ring_space(struct ring *r, const struct context *ctx, size_t *ret_size)
{
	bool can;

	if (r->fill == 0) {
		pthread_mutex_lock(&r->lock);
		while (r->put - r->taken == r->nblocks && !r->abandoned &&
			!cancel_fired(ctx->cancel))
			context_wait(ctx, &r->consumed, &r->lock, -1);
		can = !r->abandoned && !cancel_fired(ctx->cancel);
		pthread_mutex_unlock(&r->lock);
		if (!can)
			return NULL;
	}
	*ret_size = r->block_size - r->fill;
	return block(r, r->put) + r->fill;
}

static void pass_on(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	r->sizes[r->put % r->nblocks] = r->fill;
	r->put++;
	r->fill = 0;
	pthread_cond_signal(&r->produced);
	pthread_mutex_unlock(&r->lock);
}

void ring_put(struct ring *r, size_t size)
{
	r->fill += size;
	if (r->fill == r->block_size)
		pass_on(r);
}

void ring_end(struct ring *r, enum ring_end how)
{
	if (how != RING_VOID && r->fill)
		pass_on(r);
	pthread_mutex_lock(&r->lock);
	if (r->end == RING_OPEN || (r->end == RING_BROKEN && how == RING_VOID))
		r->end = how;
	pthread_cond_signal(&r->produced);
	pthread_mutex_unlock(&r->lock);
}

int64_t ring_get(struct ring *r, const struct context *ctx, const void **ret)
{
	int64_t n = -1;

	pthread_mutex_lock(&r->lock);
	if (r->borrowed) {
		r->taken++;
		r->borrowed = false;
		pthread_cond_signal(&r->consumed);
	}
	while (r->put == r->taken && r->end == RING_OPEN && !cancel_fired(ctx->cancel))
		context_wait(ctx, &r->produced, &r->lock, -1);
	if (cancel_fired(ctx->cancel) || r->end == RING_VOID) {
		n = -1;
	} else if (r->put != r->taken) {
		n = (int64_t)r->sizes[r->taken % r->nblocks];
		*ret = block(r, r->taken);
		r->borrowed = true;
	} else {
		n = r->end == RING_WHOLE ? 0 : -1;
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

void ring_abandon(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	r->abandoned = true;
	pthread_cond_signal(&r->consumed);
	pthread_mutex_unlock(&r->lock);
}

void ring_wake(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	pthread_cond_signal(&r->produced);
	pthread_cond_signal(&r->consumed);
	pthread_mutex_unlock(&r->lock);
}
