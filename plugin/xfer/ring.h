/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded ring of blocks between the thread that decompresses a layer and the one that unpacks
 * it. No Go counterpart: there it is a temporary file.
 *
 * One producer fills a block at a time, in place; one consumer borrows a block at a time. The lock
 * is taken once a block. */
#ifndef XFER_RING_H
#define XFER_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

struct ring;
struct ring *ring_new(size_t block_size, unsigned nblocks); /* NULL: no memory */
void ring_free(struct ring *r);                             /* NULL is allowed */
/* Empty and open again. Neither side may be in a call. */
void ring_reset(struct ring *r);

/* For the producer. */

/* Room to write to: *ret_size bytes, at least one. Waits for a free block. NULL: the consumer has
 * abandoned the ring, or ctx was cancelled. */
void *ring_space(struct ring *r, const struct context *ctx, size_t *ret_size);
/* size bytes of that room were written. A full block is passed on. */
void ring_put(struct ring *r, size_t size);
/* How it ends. */
enum ring_end {
	RING_OPEN,
	RING_WHOLE,  /* what is there still will be consumed, then the end is seen */
	RING_BROKEN, /* ... then a failure */
	RING_VOID,   /* a failure, at once */
};
/* Nothing more will come. The first call counts, but for RING_VOID, which overrides RING_BROKEN. */
void ring_end(struct ring *r, enum ring_end how);

/* For the consumer. */

/* The next bytes, valid until the next call: how many (> 0), 0 at the end, -1: the producer failed,
 * or ctx was cancelled. */
int64_t ring_get(struct ring *r, const struct context *ctx, const void **ret);
/* No more will be read: the producer need not wait for room. */
void ring_abandon(struct ring *r);

/* Any thread: let both sides look at their contexts again. */
void ring_wake(struct ring *r);

#endif
