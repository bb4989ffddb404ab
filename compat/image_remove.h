/* SPDX-License-Identifier: Apache-2.0 */
/* Removing images with what only they need. Go counterpart: daemon/images/image_delete.go. */
#ifndef COMPAT_IMAGE_REMOVE_H
#define COMPAT_IMAGE_REMOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"
#include "image_store.h"

struct error;
struct stored_image;
struct towline_store;

/* Chain IDs that images need, sorted. Whoever makes such a set and acts on it holds
 * store_lock(exclusive). */
struct chain_set {
	char (*items)[DIGEST_MAX];
	size_t n;
};
void chain_set_free(struct chain_set *set); /* accepts a zeroed one */
#define cleanup_chain_set __attribute__((cleanup(chain_set_free)))
/* Of all images but these (NULL: of all). Those whose configuration is damaged need nothing: a pull
 * brings them back whole. */
int chain_set_of_images(struct towline_store *store, const struct image_ids *except,
	struct chain_set *ret, struct error **reterr);
bool chain_set_has(const struct chain_set *set, const char *chain_id);

/* stored_image_get for those who go through all images. 1: its configuration is damaged or gone,
 * and *ret_damage (may be NULL) says how; -1: that could not be told. */
int image_examine(struct towline_store *store, const char *id, struct stored_image **ret,
	struct error **ret_damage, struct error **reterr);

/* Delete the configuration and the layers that no other image needs, topmost first; what is
 * mounted or held by a pull stays. Under store_lock(exclusive) and reference_store_lock, with no
 * reference left. removed is told each thing's ID. image may be NULL where the configuration is
 * damaged: then its layers are left to prune. */
int image_remove(struct towline_store *store, const char *id, const struct stored_image *image,
	void (*removed)(void *arg, const char *id), void *arg, uint64_t *reclaimed,
	struct error **reterr);

#endif
