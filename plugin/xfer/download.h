/* SPDX-License-Identifier: Apache-2.0 */
/* Getting an image's layers into the engine's layer store. Go counterpart:
 * distribution/xfer/download.go, and v2LayerDescriptor of distribution/pull_v2.go. */
#ifndef XFER_DOWNLOAD_H
#define XFER_DOWNLOAD_H

#include "image/rootfs.h"
#include "image_pull.h"
#include "registry/repository.h"
#include "xfer/partial.h"
#include "xfer/transfer.h"

/* One layer to fetch, bottom first. */
struct download_descriptor {
	const char *digest; /* valid */
	const char *media_type;
	int64_t size; /* -1: not checked */
	/* DiffID(): what metadata remembers; 0, or -1 if nothing. Runs on the pull's thread. */
	int (*diff_id)(void *arg, const char *digest, char ret[DIGEST_MAX]);
	/* Registered(diffID). Runs on the pull's thread. */
	void (*registered)(void *arg, const char *digest, const char *diff_id);
	void *arg;
};

struct download_config {
	const struct image_pull_layer_store *layer_store; /* full-size copy */
	unsigned max_attempts;
	uint32_t retry_tick_ms;
	/* A connection that breaks after the layer store has kept it waiting for so long costs no
	 * try. 0: 2000. */
	uint32_t pause_ms;
	uint64_t max_layer_size;                       /* 0: no limit */
	uint64_t max_layer_entries, max_buffer_memory; /* 0: no bound */
	const char *temp_dir;
	struct partial_config partial; /* its dir is borrowed for the manager's life */
	/* retryOnError, of the floor above: takes over err, gives what the try ends with. */
	struct error *(*retry_on_error)(struct error *err);
};

struct download_manager;
struct download_manager *download_manager_new(
	const struct download_config *config, unsigned concurrency, struct error **reterr);
void download_manager_set_limits(struct download_manager *dm, unsigned concurrency,
	unsigned max_attempts, uint64_t max_layer_size);
void download_manager_free(struct download_manager *dm);

/* LayerDownloadManager.Download, in two halves so that the configuration can be fetched meanwhile.
 * begin: takes what is there already ("Already exists"), starts the rest ("Pulling fs layer"). repo
 * is referenced. step: runs on the pull's thread, commits bottom-up what is ready; 1 when all is
 * registered, 0 when it must be called again after output_wait, -1 on an error (the original's: the
 * topmost layer's own, else its parent's ...). rootfs: the diff IDs as registered, once step
 * gave 1. end: releases transfers and holds; may come at any time. */
struct download;
int download_begin(struct download_manager *dm, const struct context *ctx, struct repository *repo,
	const struct download_descriptor *descriptors, size_t n, struct output *output,
	struct download **ret, struct error **reterr);
int download_step(struct download *d, struct error **reterr);
/* Has every layer that does not wait for its turn been asked for, and an answer begun? */
bool download_asked(const struct download *d);
const struct rootfs *download_rootfs(const struct download *d);
void download_end(struct download *d); /* NULL is allowed */

#endif
