/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations, by digest. Go counterparts: image/fs.go, image/store.go. Any thread, any
 * number of processes. */
#ifndef COMPAT_IMAGE_STORE_H
#define COMPAT_IMAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"

struct error;
struct image_store;

#define IMAGE_STORE_FAST 1u
#define IMAGE_STORE_READ_ONLY 2u

/* root ("imagedb") is made, unless read only. */
int image_store_open(
	const char *root, unsigned flags, struct image_store **ret, struct error **reterr);
void image_store_free(struct image_store *store);

/* Keep a configuration. From now on, and until image_store_release, it counts as in use: nobody
 * deletes it, in whatever process. The caller has parsed it; the store looks at its bytes only. */
int image_store_put(struct image_store *store, const void *config, size_t size,
	char ret_id[DIGEST_MAX], struct error **reterr);
/* This process has made use of it (tagged it), or gives it up. */
void image_store_release(struct image_store *store, const char *id);
/* Verified. Class NotFound if there is none, DataLoss if its bytes are not what its ID says; Go's
 * words. */
int image_store_get(struct image_store *store, const char *id, char **ret_config, size_t *ret_size,
	struct error **reterr);
bool image_store_has(struct image_store *store, const char *id); /* without verification */
/* Class Conflict if somebody has put and not yet released it. */
int image_store_delete(struct image_store *store, const char *id, struct error **reterr);
/* Whether somebody has put and not yet released it. */
bool image_store_in_use(struct image_store *store, const char *id);
/* Unix time at which it was put here. 0: not known. */
int64_t image_store_time(struct image_store *store, const char *id);

struct image_ids {
	char (*items)[DIGEST_MAX];
	size_t n;
};
void image_ids_free(struct image_ids *ids); /* accepts a zeroed one */
#define cleanup_image_ids __attribute__((cleanup(image_ids_free)))
/* All IDs, sorted. */
int image_store_list(struct image_store *store, struct image_ids *ret, struct error **reterr);
/* Remove what killed writers left. */
void image_store_sweep(struct image_store *store);

#endif
