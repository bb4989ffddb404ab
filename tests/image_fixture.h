/* SPDX-License-Identifier: Apache-2.0 */
/* A store with images made of raw tars. */
#ifndef TESTS_IMAGE_FIXTURE_H
#define TESTS_IMAGE_FIXTURE_H

#include "layer_fixture.h"
#include "towline.h"

struct images {
	char *dir;  /* a temporary folder */
	char *root; /* of the store, below it */
	struct towline_store *store;
};

void images_make(struct images *i);
void images_remove(struct images *i);
void images_reopen(struct images *i);
/* An image of these layers (bottom first) under a tag; config: members of the configuration's
 * "config", may be NULL. ret_id: its ID, may be NULL. Fails the test where it can't. */
void images_add(struct images *i, const char *tag, struct buf *const *layers, size_t n,
	const char *config, char ret_id[DIGEST_MAX]);

#endif
