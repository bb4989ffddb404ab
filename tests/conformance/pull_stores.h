/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of the pull driver: layer stores of both kinds, an image store and a metadata store,
 * all in memory. They behave as the original's where a recording shows it, count what the plugin
 * holds, and note every breach of the ABI's rules. */
#ifndef CONFORMANCE_PULL_STORES_H
#define CONFORMANCE_PULL_STORES_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/json.h"
#include "image/digest.h"
#include "image_pull.h"

struct layer;
struct image;
struct metadata_entry;

struct pull_stores {
	pthread_mutex_t mutex; /* guards all below but pull_thread */
	pthread_t pull_thread;
	struct layer *layers;
	struct image *images;
	struct metadata_entry *metadata;
	long holds;            /* taken by the plugin and not given back */
	long handles;          /* staged and not discarded */
	const char *unpacker;  /* stage gets blobs as they are, for this program; NULL: tar */
	struct buf violations; /* elements of a JSON array */
	struct image_pull_layer_store layer_store;
	struct image_pull_image_store image_store;
	struct image_pull_metadata_store metadata_store;
};

int pull_stores_init(struct pull_stores *s, bool staging, const char *unpacker);
void pull_stores_free(struct pull_stores *s);
/* What is there before the pull: chains of diff IDs, configurations, metadata by "namespace/key".
 * -1 with a text on stderr. */
int pull_stores_fill(struct pull_stores *s, const struct json_value *setup);
/* Members "layers", "images", "image_configs", "metadata", "holds", "handles", "violations". */
void pull_stores_print(struct pull_stores *s, struct buf *out);
/* A callback that must run on the pull's own thread notes it if it does not. */
void pull_stores_check_thread(struct pull_stores *s, const char *callback);
void pull_stores_violation(struct pull_stores *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
