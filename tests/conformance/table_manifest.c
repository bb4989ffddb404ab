/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_unmarshal, image_config. */
#include <string.h>

#include "image/manifest.h"
#include "image/media_type.h"
#include "image/rootfs.h"
#include "tables.h"

static void print_config(const struct descriptor *d, struct buf *out)
{
	out_open(out, "config", '{');
	out_string(out, "digest", d->digest);
	out_string(out, "media_type", d->media_type);
	out_int(out, "size", d->size);
	out_close(out, '}');
}

static void print_layers(const struct manifest *m, struct buf *out)
{
	out_open(out, "layers", '[');
	for (size_t i = 0; i < m->nlayers; i++) {
		const struct descriptor *d = &m->layers[i];

		out_open(out, NULL, '{');
		out_string(out, "digest", d->digest);
		out_string(out, "media_type", d->media_type);
		out_int(out, "size", d->size);
		if (d->urls) {
			out_open(out, "urls", '[');
			for (size_t k = 0; k < d->nurls; k++)
				out_string(out, NULL, d->urls[k]);
			out_close(out, ']');
		} else {
			out_string(out, "urls", NULL);
		}
		out_close(out, '}');
	}
	out_close(out, ']');
}

static void print_manifests(const struct manifest *m, struct buf *out)
{
	out_open(out, "manifests", '[');
	for (size_t i = 0; i < m->nlayers; i++) {
		const struct descriptor *d = &m->layers[i];

		out_open(out, NULL, '{');
		out_string(out, "architecture", d->platform.architecture);
		out_string(out, "digest", d->digest);
		out_string(out, "media_type", d->media_type);
		out_string(out, "os", d->platform.os);
		out_string(out, "os.version", d->platform.os_version);
		out_string(out, "variant", d->platform.variant);
		out_close(out, '}');
	}
	out_close(out, ']');
}

/* What Go's Payload() calls it: a list's own media type, an index's even if it has none. */
static const char *payload_media_type(const struct manifest *m)
{
	if (m->kind == MANIFEST_SCHEMA1)
		return MEDIA_TYPE_SCHEMA1_SIGNED;
	if (m->kind == MANIFEST_OCI)
		return MEDIA_TYPE_OCI_MANIFEST;
	return m->kind == MANIFEST_OCI_INDEX && !*m->media_type ? MEDIA_TYPE_OCI_INDEX
								: m->media_type;
}

static void print_manifest(
	const struct manifest *m, const char *content_type, size_t body_size, struct buf *out)
{
	cleanup_free char *type = NULL;
	char digest[DIGEST_MAX] = "";

	(void)digest_from_bytes(m->payload, m->payload_size, digest); /* "" shows */
	(void)media_type_parse(content_type, &type, NULL);            /* it was parsed before */
	out_string(out, "digest", digest);
	out_int(out, "payload_len", (int64_t)body_size);
	out_int(out, "size", (int64_t)m->payload_size);
	out_string(out, "payload_media_type", payload_media_type(m));
	if (m->kind == MANIFEST_LIST || m->kind == MANIFEST_OCI_INDEX) {
		out_string(out, "kind", "manifest_list");
		out_string(out, "descriptor_media_type", type);
		print_manifests(m, out);
		return;
	}
	out_int(out, "schema_version", m->schema_version);
	if (m->kind == MANIFEST_SCHEMA1) {
		out_string(out, "kind", "schema1");
		out_string(out, "descriptor_media_type", MEDIA_TYPE_SCHEMA1_SIGNED);
		out_int(out, "layers", (int64_t)m->nfs_layers);
		out_bytes(out, "canonical", m->payload, m->payload_size);
		return;
	}
	out_string(out, "kind", m->kind == MANIFEST_OCI ? "oci" : "schema2");
	out_string(out, "descriptor_media_type", type);
	print_config(&m->config, out);
	print_layers(m, out);
}

int table_manifest_unmarshal(const struct json_value *in, struct buf *out)
{
	cleanup_manifest struct manifest *m = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *body = NULL, *content_type = NULL;
	size_t size = 0;

	body = in_string(in, "body", &size);
	content_type = in_string(in, "content_type", NULL);
	if (!body || !content_type)
		return table_failf(out, "no body or content_type");
	out_open(out, NULL, '{');
	if (manifest_unmarshal(content_type, body, size, &m, &err) == 0)
		print_manifest(m, content_type, size, out);
	out_error(out, "error", err);
	out_close(out, '}');
	return 0;
}

static void print_rootfs(const struct rootfs *r, struct buf *out)
{
	char chain_id[DIGEST_MAX];

	if (!r) {
		out_string(out, "rootfs", NULL);
		return;
	}
	out_open(out, "rootfs", '{');
	out_string(
		out, "chain_id", rootfs_chain_id(r, r->ndiff_ids, chain_id) < 0 ? NULL : chain_id);
	out_open(out, "diff_ids", '[');
	for (size_t i = 0; i < r->ndiff_ids; i++)
		out_string(out, NULL, r->diff_ids[i]);
	out_close(out, ']');
	out_string(out, "type", r->type);
	out_close(out, '}');
}

static void print_platform(const char *config, size_t size, struct buf *out)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *strings = NULL;
	struct platform p;

	out_open(out, "platform_from_config", '{');
	if (platform_from_config(config, size, "linux", &p, &strings, &err) == 0) {
		out_open(out, "platform", '{');
		out_string(out, "architecture", p.architecture);
		out_string(out, "os", p.os);
		out_string(out, "os.version", p.os_version);
		out_close(out, '}');
	} else {
		out_string(out, "platform", NULL);
	}
	out_error(out, "error", err);
	out_close(out, '}');
}

int table_image_config(const struct json_value *in, struct buf *out)
{
	cleanup_rootfs struct rootfs *r = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *config = NULL;
	size_t size = 0;

	config = in_string(in, "config", &size);
	if (!config)
		return table_failf(out, "no config");
	out_open(out, NULL, '{');
	out_open(out, "rootfs_from_config", '{');
	(void)rootfs_from_config(config, size, &r, &err); /* err is printed */
	print_rootfs(r, out);
	out_error(out, "error", err);
	out_close(out, '}');
	print_platform(config, size, out);
	out_close(out, '}');
	return 0;
}
