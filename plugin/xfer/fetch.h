/* SPDX-License-Identifier: Apache-2.0 */
/* One blob from the registry, whole and verified: tries, countdown, resume. Go counterparts:
 * v2LayerDescriptor.Download of distribution/pull_v2.go, and the loop around it in
 * distribution/xfer/download.go. */
#ifndef XFER_FETCH_H
#define XFER_FETCH_H

#include <stdatomic.h>

#include "registry/repository.h"
#include "xfer/partial.h"
#include "xfer/transfer.h"

/* Where the bytes go, in their order and each once. */
struct blob_sink {
	/* 0; -1: the try has failed with *reterr; 1: end the fetch at once, the sink knows why. It
	 * may block; while it does, the connection is paused. */
	int (*write)(void *arg, const void *data, size_t size, struct error **reterr);
	/* What was written is void, the blob will be written again from its beginning. As write. */
	int (*restart)(void *arg, struct error **reterr);
	void *arg;
};

struct blob_config {
	struct repository *repo;
	const char *digest; /* valid */
	int64_t size;       /* as the manifest has it; -1: not checked */
	const char *id;     /* for progress lines */
	struct transfer *transfer;
	const struct context *ctx; /* of the calling thread */
	const atomic_uint *max_attempts;
	uint32_t retry_tick_ms, pause_ms;
	struct error *(*retry_on_error)(struct error *err); /* takes over err */
	atomic_bool *asked; /* set when the first request was answered, or failed; may be NULL */

	const struct partial_config *partial;
	void *buffer; /* to read into */
	size_t buffer_size, ring_size;
	struct blob_sink sink;
};

/* 0: the sink has all of it, the digest matches, "Download complete" was said. *ret_size: the
 * blob's size as the registry gave it, 0 if it did not. -1: the download's error, logged. 1: the
 * sink ended it. */
int blob_fetch(const struct blob_config *config, int64_t *ret_size, struct error **reterr);

/* progress.Reader: how many bytes of an action are shown, and when. */
struct progress_reader {
	int64_t size, current, last_update; /* size: 0 if not known */
	int64_t allowed_ms;                 /* when the last line was let through */
};
void progress_reader_init(struct progress_reader *r, int64_t size);
/* n bytes were read; n 0: the end or an error. True: show r->current of r->size, the last one if
 * *ret_last. */
bool progress_reader_read(struct progress_reader *r, size_t n, bool *ret_last);
/* True: show r->current of r->size. */
bool progress_reader_close(struct progress_reader *r);

#endif
