/* SPDX-License-Identifier: Apache-2.0 */
/* One folder for references, images, metadata and layers. Go counterpart: daemon.Daemon's stores.
 *
 *   format                              "towline store 1"
 *   lock                                shared by who publishes an image, exclusive by who removes
 *   image/overlay2/repositories.json    reference_store.h (and .lock beside it)
 *   image/overlay2/imagedb/...          image_store.h
 *   image/overlay2/distribution/...     metadata_store.h
 *   layers/...                          layer_store.h
 *   partial/...                         partials.h
 *
 * Locks are taken in this order: lock, repositories.json.lock, those of the layer store. */
#ifndef COMPAT_STORE_H
#define COMPAT_STORE_H

#include <stdbool.h>

#include "base/log.h"
#include "image/digest.h"
#include "image_store.h"
#include "layer_store.h"
#include "metadata_store.h"
#include "reference_store.h"
#include "towline.h"

struct error;

#define PARTIAL_DIR "partial"

struct towline_store {
	char *root, *partial_dir;
	bool fast, read_only;
	struct log log; /* writes to log_write; hand it on as &store->log */
	void (*log_write)(void *context, int level, const char *message);
	void *log_context;
	struct reference_store *references;
	struct image_store *images;
	struct metadata_store *metadata;
	struct layer_store *layers;
	struct image_pull_reference_store references_table;
	struct image_pull_image_store images_table;
	struct image_pull_metadata_store metadata_table;
};

/* root/lock; the descriptor holds it until it is closed. -1 with *reterr. */
int store_lock(struct towline_store *store, bool exclusive, struct error **reterr);
/* fn under all the locks that whoever removes something needs: the store's exclusive one, and
 * reference_store_lock. The answer for the caller's caller. */
int store_run_locked(struct towline_store *store, int (*fn)(void *arg, struct error **reterr),
	void *arg, const struct image_pull_sink *sink);
/* What the image store's put does for the plugin: the configuration is parsed, its layers must be
 * there, they are made durable first. The image counts as in use until a reference is added
 * (towline_store_references) or image_store_release. */
int store_put_image(struct towline_store *store, const void *config, size_t size,
	char ret_id[DIGEST_MAX], struct error **reterr);
/* Point a tag or a digest to an image that is there. */
int store_add_reference(struct towline_store *store, const struct reference *ref, const char *id,
	bool digest, bool force, struct error **reterr);

#endif
