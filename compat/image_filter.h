/* SPDX-License-Identifier: Apache-2.0 */
/* Which images a list shows. Go counterparts: api/types/filters, ImageService.Images. */
#ifndef COMPAT_IMAGE_FILTER_H
#define COMPAT_IMAGE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "towline.h"

struct arena;
struct error;
struct json_slice;

struct image_filter;
/* options may be NULL. Class InvalidParameter: an unknown filter, or a value that is none. */
int image_filter_new(struct towline_store *store, const struct towline_list_options *options,
	struct image_filter **ret, struct error **reterr);
void image_filter_free(struct image_filter *f); /* NULL is allowed */
/* By age and labels (a map of strings; NULL: the image has no configuration of a container). */
bool image_filter_admits(const struct image_filter *f, const struct towline_image *image,
	const struct json_slice *labels);
/* The names to be shown, NULL-terminated, in the arena. 1, 0 if the image is not to be shown for
 * its names, or -1. */
int image_filter_names(const struct image_filter *f, const struct towline_image *image,
	struct arena *arena, const char ***ret_tags, const char ***ret_digests,
	struct error **reterr);
/* A place for the error that ended a list. */
struct error **image_filter_error(struct image_filter *f);
/* Time.Unix() of an RFC 3339 time; of Go's zero time for what is none. */
int64_t image_created_seconds(const char *created);

#endif
