/* SPDX-License-Identifier: Apache-2.0 */
/* Images of a store, looked up and read. Go counterparts: image.Image, daemon/images.GetImage. */
#ifndef COMPAT_IMAGES_H
#define COMPAT_IMAGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "image/digest.h"
#include "image/rootfs.h"

struct error;
struct towline_store;

struct stored_image {
	char id[DIGEST_MAX];
	char *config;
	size_t config_size;
	struct json *json; /* of config; its root is an object */
	struct rootfs *rootfs;
	char (*chain_ids)[DIGEST_MAX]; /* rootfs->ndiff_ids of them, bottom first */
};
/* Verified and parsed; whether its layers are there is not looked at. */
int stored_image_get(struct towline_store *store, const char *id, struct stored_image **ret,
	struct error **reterr);
/* The same of a configuration that is in no store; its bytes are copied. */
int stored_image_parse(
	const void *config, size_t size, struct stored_image **ret, struct error **reterr);
void stored_image_free(struct stored_image *image); /* NULL is allowed */
static inline void stored_image_freep(struct stored_image **image)
{
	stored_image_free(*image);
}
#define cleanup_stored_image __attribute__((cleanup(stored_image_freep)))
/* The chain ID of all its layers; "" for none. */
const char *stored_image_chain_id(const struct stored_image *image);

/* The image that a reference, an ID or an unambiguous prefix of one means. Class NotFound: "No such
 * image: NAME". */
int images_resolve(struct towline_store *store, const char *name, char ret_id[DIGEST_MAX],
	struct error **reterr);

/* RFC 3339 as nanoseconds since 1970; the smallest number there is for what is no time. */
int64_t images_parse_time(const char *s);

#endif
