/* SPDX-License-Identifier: Apache-2.0 */
/* The image that the fuzzer's registry has: three layers, gzip, zstd and plain, a configuration, a
 * manifest, and up to two indexes around it. Its parts may be edited before their digests are
 * taken.
 */
#ifndef FUZZ_PULL_IMAGE_H
#define FUZZ_PULL_IMAGE_H

#include "base/buf.h"
#include "image/digest.h"

#define PULL_LAYERS 3

enum pull_part {
	PART_LAYER, /* and the two behind it */
	PART_CONFIG = PULL_LAYERS,
	PART_MANIFEST,
	PART_INDEX,
	PART_OUTER,
	PART_COUNT
};

struct pull_blob {
	struct buf plain, packed;
	char diff_id[DIGEST_MAX], digest[DIGEST_MAX]; /* of plain, of packed */
	const char *type;
};

struct pull_image {
	struct pull_blob parts[PART_COUNT];
	bool has[PART_COUNT];
};

/* Part of the text replaced before its digest is taken. */
struct pull_edit {
	enum pull_part part;
	size_t at, cut;
	const char *text;
	size_t size;
};

enum pull_packing { PACKED_GZIP, PACKED_ZSTD, PACKED_PLAIN, PACKED_GZIP_TWICE, PACKINGS };

struct pull_plan {
	bool oci;
	unsigned indexes; /* around the manifest: 0 to 2 */
	enum pull_packing packing[PULL_LAYERS];
	const struct pull_edit *edits;
	size_t nedits;
};

void pull_image_make(struct pull_image *image, const struct pull_plan *plan);
void pull_image_free(struct pull_image *image);
/* The part with this digest; NULL: none. */
const struct pull_blob *pull_image_find(const struct pull_image *image, const char *digest);
/* What a tag names. */
const struct pull_blob *pull_image_top(const struct pull_image *image);

#endif
