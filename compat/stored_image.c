/* SPDX-License-Identifier: Apache-2.0 */
/* An image's configuration, read. Go counterpart: image.NewFromJSON. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "images.h"
#include "store.h"

void stored_image_free(struct stored_image *image)
{
	if (!image)
		return;
	json_free(image->json);
	rootfs_free(image->rootfs);
	free(image->chain_ids);
	free(image->config);
	free(image);
}

static int set_chain_ids(struct stored_image *image, struct error **reterr)
{
	const char *parent = "";

	image->chain_ids = calloc(image->rootfs->ndiff_ids + 1, sizeof(*image->chain_ids));
	if (!image->chain_ids)
		return error_set(reterr, &error_no_memory);
	for (size_t i = 0; i < image->rootfs->ndiff_ids; i++) {
		const char *diff_id = image->rootfs->diff_ids[i];

		/* They become names of files. */
		if (digest_validate(diff_id, strlen(diff_id), reterr) < 0)
			return -1;
		if (chain_id_append(parent, diff_id, image->chain_ids[i]) < 0)
			return error_set(reterr, &error_no_memory);
		parent = image->chain_ids[i];
	}
	return 0;
}

/* image->config is set. */
static int parse(struct stored_image *image, struct error **reterr)
{
	if (rootfs_from_config(image->config, image->config_size, &image->rootfs, reterr) < 0)
		return -1;
	if (!image->rootfs)
		return error_setf(reterr, "invalid image JSON, no RootFS key");
	if (json_parse(image->config, image->config_size, &image->json, reterr) < 0)
		return -1;
	return set_chain_ids(image, reterr);
}

int stored_image_parse(
	const void *config, size_t size, struct stored_image **ret, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = calloc(1, sizeof(*image));

	if (image)
		image->config = malloc(size + 1);
	if (!image || !image->config)
		return error_set(reterr, &error_no_memory);
	if (size)
		memcpy(image->config, config, size);
	image->config[size] = '\0';
	image->config_size = size;
	if (parse(image, reterr) < 0)
		return -1;
	*ret = steal_ptr(&image);
	return 0;
}

int stored_image_get(struct towline_store *store, const char *id, struct stored_image **ret,
	struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = calloc(1, sizeof(*image));

	if (!image)
		return error_set(reterr, &error_no_memory);
	if (image_store_get(store->images, id, &image->config, &image->config_size, reterr) < 0 ||
		parse(image, reterr) < 0)
		return -1;
	memcpy(image->id, id, strlen(id) + 1);
	*ret = steal_ptr(&image);
	return 0;
}

const char *stored_image_chain_id(const struct stored_image *image)
{
	size_t n = image->rootfs->ndiff_ids;

	return n ? image->chain_ids[n - 1] : "";
}
