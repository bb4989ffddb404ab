/* SPDX-License-Identifier: Apache-2.0 */
/* See pull_image.h. */
#include "pull_image.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "fuzz.h"
#include "image/manifest.h"
#include "layer_fixture.h"

#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define OCI_LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"

static void pack_gzip(struct buf *ret, const char *data, size_t size)
{
	z_stream z = {0};
	unsigned char out[4096];
	int r;

	must(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (unsigned char *)data;
	z.avail_in = (unsigned)size;
	do {
		z.next_out = out;
		z.avail_out = sizeof(out);
		r = deflate(&z, Z_FINISH);
		buf_append(ret, out, sizeof(out) - z.avail_out);
	} while (r == Z_OK);
	must(r == Z_STREAM_END);
	deflateEnd(&z);
}

static void pack_zstd(struct buf *ret, const char *data, size_t size)
{
	size_t room = ZSTD_compressBound(size), n;
	cleanup_free char *out = malloc(room);

	must(out);
	n = ZSTD_compress(out, room, data, size, 1);
	must(!ZSTD_isError(n));
	buf_append(ret, out, n);
}

static void pack(struct pull_blob *b, enum pull_packing packing)
{
	const char *data = b->plain.data ? b->plain.data : "";
	size_t half = packing == PACKED_GZIP_TWICE ? b->plain.size / 2 : 0;

	if (packing == PACKED_ZSTD) {
		pack_zstd(&b->packed, data, b->plain.size);
	} else if (packing == PACKED_PLAIN) {
		buf_append(&b->packed, data, b->plain.size);
	} else {
		if (half)
			pack_gzip(&b->packed, data, half);
		pack_gzip(&b->packed, data + half, b->plain.size - half);
	}
}

/* The plain text is there: edit it, pack it, take its digests. */
static void finish(struct pull_image *image, enum pull_part part, const struct pull_plan *plan,
	enum pull_packing packing, const char *type)
{
	struct pull_blob *b = &image->parts[part];

	for (size_t i = 0; i < plan->nedits; i++) {
		const struct pull_edit *e = &plan->edits[i];
		struct buf edited = {0};
		size_t at, cut;

		if (e->part != part)
			continue;
		at = e->at < b->plain.size ? e->at : b->plain.size;
		cut = e->cut < b->plain.size - at ? e->cut : b->plain.size - at;
		buf_append(&edited, b->plain.data, at);
		buf_append(&edited, e->text, e->size);
		buf_append(&edited, b->plain.data + at + cut, b->plain.size - at - cut);
		buf_free(&b->plain);
		b->plain = edited;
	}
	pack(b, packing);
	must(!b->plain.oom && !b->packed.oom);
	must(!digest_from_bytes(b->plain.data ? b->plain.data : "", b->plain.size, b->diff_id));
	must(!digest_from_bytes(b->packed.data ? b->packed.data : "", b->packed.size, b->digest));
	b->type = type;
	image->has[part] = true;
}

static void append_descriptor(struct buf *b, const struct pull_blob *blob, const char *type)
{
	buf_appendf(b, "{\"mediaType\":\"%s\",\"size\":%zu,\"digest\":\"%s\"", type,
		blob->packed.size, blob->digest);
}

static void make_index(struct pull_image *image, enum pull_part part, const struct pull_plan *plan)
{
	struct buf *b = &image->parts[part].plain;
	const char *type = plan->oci ? MEDIA_TYPE_OCI_INDEX : MEDIA_TYPE_LIST;

	buf_appendf(b, "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[", type);
	append_descriptor(b, &image->parts[part - 1], image->parts[part - 1].type);
	buf_append_str(b, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}");
	finish(image, part, plan, PACKED_PLAIN, type);
}

void pull_image_make(struct pull_image *image, const struct pull_plan *plan)
{
	struct buf *config = &image->parts[PART_CONFIG].plain;
	struct buf *manifest = &image->parts[PART_MANIFEST].plain;
	const char *type = plan->oci ? MEDIA_TYPE_OCI_MANIFEST : MEDIA_TYPE_SCHEMA2;

	buf_append_str(config, "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{},"
			       "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < PULL_LAYERS; i++) {
		const struct member m = {.name = "etc/file", .data = i ? "two" : "one"};

		tar_member(&image->parts[i].plain, &m);
		tar_end(&image->parts[i].plain);
		finish(image, (enum pull_part)i, plan, plan->packing[i], NULL);
		buf_appendf(config, "%s\"%s\"", i ? "," : "", image->parts[i].diff_id);
	}
	buf_append_str(config, "]}}");
	finish(image, PART_CONFIG, plan, PACKED_PLAIN, NULL);
	buf_appendf(manifest, "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":", type);
	append_descriptor(manifest, &image->parts[PART_CONFIG],
		plan->oci ? MEDIA_TYPE_OCI_CONFIG : MEDIA_TYPE_IMAGE_CONFIG);
	buf_append_str(manifest, "},\"layers\":[");
	for (size_t i = 0; i < PULL_LAYERS; i++) {
		buf_append_str(manifest, i ? "," : "");
		append_descriptor(
			manifest, &image->parts[i], plan->oci ? OCI_LAYER_TYPE : LAYER_TYPE);
		buf_append_char(manifest, '}');
	}
	buf_append_str(manifest, "]}");
	finish(image, PART_MANIFEST, plan, PACKED_PLAIN, type);
	if (plan->indexes > 0)
		make_index(image, PART_INDEX, plan);
	if (plan->indexes > 1)
		make_index(image, PART_OUTER, plan);
}

void pull_image_free(struct pull_image *image)
{
	for (size_t i = 0; i < PART_COUNT; i++) {
		buf_free(&image->parts[i].plain);
		buf_free(&image->parts[i].packed);
	}
}

const struct pull_blob *pull_image_find(const struct pull_image *image, const char *digest)
{
	for (size_t i = 0; i < PART_COUNT; i++)
		if (image->has[i] && !strcmp(image->parts[i].digest, digest))
			return &image->parts[i];
	return NULL;
}

const struct pull_blob *pull_image_top(const struct pull_image *image)
{
	size_t i = PART_OUTER;

	while (!image->has[i])
		i--;
	return &image->parts[i];
}
