/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's bytes into a folder of staging, and the digest of its tar: all of it here, or with the
 * decoding and reading in a confined process (unpacker.h). Go counterparts: layerStore.applyTar,
 * pkg/chrootarchive. */
#include "config.h"

#include <stdio.h>

#include "base/error.h"
#include "layer_priv.h"
#include "unpacker.h"

/* The reader of a host that does not tell the diff ID: hashed here. */
struct hashing_reader {
	struct image_pull_reader reader;
	const struct image_pull_reader *source;
	struct hasher *hasher;
};

static int64_t hashing_read(void *context, void *buf, size_t size)
{
	struct hashing_reader *h = context;
	int64_t n = h->source->read(h->source->context, buf, size);

	if (n > 0 && (uint64_t)n <= size)
		hasher_write(h->hasher, buf, (size_t)n);
	return n;
}

static bool tells_diff_id(const struct image_pull_reader *reader)
{
	return IMAGE_PULL_HAS(reader, struct image_pull_reader, diff_id) && reader->diff_id;
}

static int unpack_here(const struct image_pull_reader *reader, const struct untar_options *options,
	struct layer_unpacked *ret, struct error **reterr)
{
	struct untar_options here = *options;
	struct hashing_reader hashing = {
		.reader = {.struct_size = sizeof(hashing.reader),
			.context = &hashing,
			.read = hashing_read},
		.source = reader,
	};
	bool tells = tells_diff_id(reader);
	char id[IMAGE_PULL_DIGEST_SIZE];

	here.source = reader;
	if (!tells) {
		hashing.hasher = hasher_new("sha256");
		if (!hashing.hasher)
			return error_set(reterr, &error_no_memory);
		here.source = &hashing.reader;
	}

	int n = untar(&here, &ret->result, &ret->source_failed, reterr);

	if (!n && !tells) {
		hasher_digest(hashing.hasher, ret->diff_id);
	} else if (!n && reader->diff_id(reader->context, id) < 0) {
		n = error_setf(reterr, "the reader does not tell the diff ID");
	} else if (!n) {
		id[sizeof(id) - 1] = '\0';
		snprintf(ret->diff_id, sizeof(ret->diff_id), "%s", id);
	}
	hasher_free(hashing.hasher);
	return n;
}

static int unpack_confined(const struct layer_store *ls, const struct image_pull_reader *reader,
	const struct untar_options *options, struct layer_unpacked *ret, struct error **reterr)
{
	struct untar_options confined = *options;
	const struct unpacker_options how = {
		.program = ls->unpacker,
		.reader = reader,
		.tar = tells_diff_id(reader),
		.max_unpacked = IMAGE_PULL_HAS(reader, struct image_pull_reader, max_unpacked)
					? reader->max_unpacked
					: 0,
	};
	struct unpacker *u;

	if (unpacker_new(&how, &u, reterr) < 0)
		return -1;
	confined.members = unpacker_members(u);

	int n = untar(&confined, &ret->result, &ret->source_failed, reterr);

	ret->over |= unpacker_over(u);
	if (!n)
		n = unpacker_diff_id(u, ret->diff_id, reterr);
	unpacker_free(u);
	return n;
}

int layer_unpack(struct layer_store *ls, const struct image_pull_reader *reader, int staging,
	struct layer_unpacked *ret, struct error **reterr)
{
	const struct untar_options options = {
		.layer = staging,
		.trusted = ls->trusted,
		.writeback = ls->writeback,
		.log = ls->log,
		.max_entries = IMAGE_PULL_HAS(reader, struct image_pull_reader, max_entries)
				       ? reader->max_entries
				       : 0,
		.over = &ret->over,
	};

	*ret = (struct layer_unpacked){0};
	return ls->unpacker ? unpack_confined(ls, reader, &options, ret, reterr)
			    : unpack_here(reader, &options, ret, reterr);
}
