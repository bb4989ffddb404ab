/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's layer store as functions of ours. Go counterpart: the interface layer.Store. */
#ifndef XFER_STORE_H
#define XFER_STORE_H

#include "image/digest.h"
#include "image_pull.h"

struct error;

/* What a call of the layer store answered. */
struct store_answer {
	int code; /* enum image_pull_code */
	/* The diff ID that it gave, valid; "" if it gave none. */
	char diff_id[DIGEST_MAX];
	struct error *err; /* unless code is IMAGE_PULL_OK: the engine's text; owned */
};
void store_answer_free(struct store_answer *a); /* accepts a zeroed one */

bool store_get(const struct image_pull_layer_store *store, const char *chain_id);
void store_release(const struct image_pull_layer_store *store, const char *chain_id);
void store_register(const struct image_pull_layer_store *store,
	const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, struct store_answer *ret);
void store_stage(const struct image_pull_layer_store *store, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **ret_handle,
	struct store_answer *ret);
void store_commit(const struct image_pull_layer_store *store, void *handle, const char *parent,
	const char *diff_id, const struct image_pull_descriptor *descriptor,
	struct store_answer *ret);

#endif
