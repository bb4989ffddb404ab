/* SPDX-License-Identifier: Apache-2.0 */
/* One layer's transfer: from the registry to where it can be registered, a staged handle or a
 * spooled file. Shared by all pulls that need the blob. Go counterpart: makeDownloadFunc of
 * distribution/xfer/download.go, up to the registration. */
#ifndef XFER_LAYER_H
#define XFER_LAYER_H

#include <stdatomic.h>

#include "image/digest.h"
#include "image_pull.h"
#include "registry/repository.h"
#include "xfer/partial.h"
#include "xfer/transfer.h"

struct download;
struct layer;
struct layer_buffers;
struct ring;
struct spool;

/* What all layers of an instance have in common. */
struct layer_env {
	const struct image_pull_layer_store *store;
	uint32_t retry_tick_ms, pause_ms;
	const char *temp_dir;
	struct partial_config partial;
	struct error *(*retry_on_error)(struct error *err);
	atomic_uint max_attempts;
	_Atomic uint64_t max_layer_size; /* 0: no limit */
	uint64_t max_layer_entries;      /* 0: no limit */
	uint64_t max_memory;             /* of all layer_buffers; 0: no limit */
	/* The lock is held. In that download the layer below this index has failed. */
	bool (*parent_failed)(const struct download *d, size_t index);
	pthread_mutex_t lock; /* guards what follows, and what is said to be so elsewhere */
	struct layer_buffers *idle_buffers; /* not where there is max_memory */
	uint64_t memory;                    /* that layer_buffers have, if there is */
	pthread_cond_t memory_freed;
};
int layer_env_init(struct layer_env *env, struct error **reterr);
void layer_env_destroy(struct layer_env *env);
/* Bytes of all buffers; 0: no limit. Once, before there is a layer. */
void layer_env_set_memory(struct layer_env *env, uint64_t max);

/* Buffers of a layer in flight (buffers.c); used again by the next one. */
struct layer_buffers {
	struct layer_buffers *next;
	size_t size;           /* of all of them, the connection's too */
	void *in;              /* what the registry sends */
	size_t in_size;        /* at most LAYER_IN_SIZE */
	size_t http_ring_size; /* what the connection may have */
	struct ring *ring;     /* staging stores only */
};
#define LAYER_IN_SIZE (128 * 1024)
/* Where there is no room for more, they are small ones, and where there is none for these it waits.
 * Whoever has some goes on without anybody else's, so each gets them in the end. -1: no memory, or
 * ctx was cancelled. */
int layer_buffers_get(struct layer_env *env, const struct context *ctx, struct layer_buffers **ret,
	struct error **reterr);
void layer_buffers_put(struct layer_env *env, struct layer_buffers *b);

enum layer_state {
	LAYER_PENDING,
	LAYER_READY,           /* to be registered */
	LAYER_DOWNLOAD_FAILED, /* err: before the registration, in the original's order */
	LAYER_REGISTER_FAILED, /* err: where the original registers */
	LAYER_SKIPPED,         /* every pull's layer below had failed when it could have started */
};

struct layer_result {
	enum layer_state state;
	struct error *err; /* owned */
	bool has_handle;
	void *handle; /* staging stores */
	char diff_id[DIGEST_MAX];
	struct spool *spool; /* plain stores */
	int64_t total;       /* bytes of the blob, 0 if not known */
};

/* Where a pull needs it. */
struct layer_use {
	struct layer_use *next;
	const struct download *download;
	size_t index;
};

struct layer {
	struct layer_env *env;
	struct repository *repo;
	char *digest, *media_type;
	char id[16];
	struct image_pull_descriptor descriptor;
	/* The registry has answered a first request for it, or it waits for its turn. */
	atomic_bool asked;
	/* Guarded by env->lock; result is constant once its state is not LAYER_PENDING. */
	struct layer_result result;
	struct layer_use *uses;
};

/* repo is referenced. NULL: no memory. */
struct layer *layer_new(struct layer_env *env, struct repository *repo, const char *digest,
	const char *media_type, int64_t size);
/* The operations of its transfer; its arg is the layer, which they free. */
extern const struct transfer_ops layer_transfer_ops;
void layer_free(struct layer *l); /* one that has got no transfer; NULL is allowed */

/* stage.c, for layer.c: the two kinds of store. They fill *ret, its state too. */
void layer_stage(struct layer *l, struct transfer *t, struct layer_result *ret);
/* "failed to register layer: ..." */
struct error *layer_register_error(const struct error *cause);

/* register.c: the registration of a spooled blob in a plain store, on the pull's thread. */
struct layer_registration {
	const struct layer *layer;
	const struct context *ctx;
	struct output *output; /* NULL: no progress is shown */
	const char *parent;    /* chain ID, "" at the bottom */
};
int layer_register(
	const struct layer_registration *reg, char ret_diff_id[DIGEST_MAX], struct error **reterr);

#endif
