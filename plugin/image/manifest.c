/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests. Go counterparts: distribution.UnmarshalManifest, manifest/schema2,
 * manifest/manifestlist, distribution/oci.go. */
#include "image/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "image/manifest_internal.h"
#include "image/media_type.h"

/* ---- what the documents are */

/* v1.Platform and manifestlist.PlatformSpec */
struct platform_spec {
	struct json_text architecture, os, os_version, variant;
	struct json_slice os_features, features;
};

struct descriptor_spec {
	struct json_text media_type, digest;
	struct json_int size;
	struct json_slice urls, annotations;
	struct platform_spec *descriptor_platform; /* Descriptor's own: looked at, not used */
	struct platform_spec platform;             /* ManifestDescriptor's */
};

/* schema2.Manifest and manifestlist.ManifestList in one. The parts that belong to the other one are
 * only looked for. */
struct document {
	struct json_int schema_version;
	struct json_text media_type;
	struct descriptor_spec config;
	struct json_slice layers, manifests;
};

#define PLATFORM(json_name, member, schema)                                                        \
	{                                                                                          \
		(json_name), offsetof(struct platform_spec, member), (schema), 0                   \
	}
static const struct json_field v1_platform_fields[] = {
	PLATFORM("architecture", architecture, &json_schema_string),
	PLATFORM("os", os, &json_schema_string),
	PLATFORM("os.version", os_version, &json_schema_string),
	PLATFORM("os.features", os_features, &json_schema_strings),
	PLATFORM("variant", variant, &json_schema_string),
};
static const struct json_schema v1_platform =
	JSON_STRUCT("v1.Platform", "Platform", struct platform_spec, v1_platform_fields);
static const struct json_schema v1_platform_pointer = JSON_POINTER_TO(&v1_platform);

static const struct json_field platform_spec_fields[] = {
	PLATFORM("architecture", architecture, &json_schema_string),
	PLATFORM("os", os, &json_schema_string),
	PLATFORM("os.version", os_version, &json_schema_string),
	PLATFORM("os.features", os_features, &json_schema_strings),
	PLATFORM("variant", variant, &json_schema_string),
	PLATFORM("features", features, &json_schema_strings),
};
static const struct json_schema platform_spec = JSON_STRUCT(
	"manifestlist.PlatformSpec", "PlatformSpec", struct platform_spec, platform_spec_fields);

static const struct json_schema annotations = JSON_MAP_OF("map[string]string", &json_schema_string);

#define DESCRIPTOR(json_name, member, schema)                                                      \
	{                                                                                          \
		(json_name), offsetof(struct descriptor_spec, member), (schema), 0                 \
	}
#define DESCRIPTOR_FIELDS                                                                          \
	DESCRIPTOR("mediaType", media_type, &json_schema_string),                                  \
		DESCRIPTOR("size", size, &json_schema_int64),                                      \
		DESCRIPTOR("digest", digest, &json_schema_digest),                                 \
		DESCRIPTOR("urls", urls, &json_schema_strings),                                    \
		DESCRIPTOR("annotations", annotations, &annotations)
static const struct json_field descriptor_fields[] = {
	DESCRIPTOR_FIELDS,
	DESCRIPTOR("platform", descriptor_platform, &v1_platform_pointer),
};
static const struct json_schema descriptor = JSON_STRUCT(
	"distribution.Descriptor", "Descriptor", struct descriptor_spec, descriptor_fields);
static const struct json_schema descriptors =
	JSON_SLICE_OF("[]distribution.Descriptor", &descriptor);

static const struct json_field manifest_descriptor_fields[] = {
	DESCRIPTOR_FIELDS,
	DESCRIPTOR("platform", platform, &platform_spec),
};
static const struct json_schema manifest_descriptor = JSON_STRUCT("manifestlist.ManifestDescriptor",
	"ManifestDescriptor", struct descriptor_spec, manifest_descriptor_fields);
static const struct json_schema manifest_descriptors =
	JSON_SLICE_OF("[]manifestlist.ManifestDescriptor", &manifest_descriptor);

#define DOCUMENT(json_name, member, schema)                                                        \
	{                                                                                          \
		(json_name), offsetof(struct document, member), (schema), 0                        \
	}
static const struct json_field schema2_fields[] = {
	DOCUMENT("schemaVersion", schema_version, &json_schema_int),
	DOCUMENT("mediaType", media_type, &json_schema_string),
	DOCUMENT("config", config, &descriptor),
	DOCUMENT("layers", layers, &descriptors),
};
static const struct json_schema schema2 =
	JSON_STRUCT("schema2.Manifest", "Manifest", struct document, schema2_fields);

static const struct json_field list_fields[] = {
	DOCUMENT("schemaVersion", schema_version, &json_schema_int),
	DOCUMENT("mediaType", media_type, &json_schema_string),
	DOCUMENT("manifests", manifests, &manifest_descriptors),
};
static const struct json_schema list =
	JSON_STRUCT("manifestlist.ManifestList", "ManifestList", struct document, list_fields);

/* ---- from what was decoded to what others see */

const char *manifest_text(struct arena *arena, struct json_text text)
{
	struct buf b = {0};
	const char *copy;
	size_t i;

	if (!text.size)
		return "";
	if (!memchr(text.data, 0, text.size))
		return text.data;
	for (i = 0; i < text.size; i++) {
		if (text.data[i])
			buf_append_char(&b, text.data[i]);
		else
			buf_append_rune(&b, 0xfffd);
	}
	copy = b.oom ? NULL : arena_copy(arena, b.data, b.size);
	buf_free(&b);
	return copy;
}

static int fill_urls(struct arena *arena, const struct json_slice *from, struct descriptor *to)
{
	const struct json_text *texts = from->items;
	const char **urls;
	size_t i;

	if (!from->items)
		return 0;
	urls = arena_alloc_array(arena, from->count, sizeof(*urls));
	if (!urls)
		return -1;
	for (i = 0; i < from->count; i++) {
		urls[i] = manifest_text(arena, texts[i]);
		if (!urls[i])
			return -1;
	}
	to->urls = urls;
	to->nurls = from->count;
	return 0;
}

static int fill_descriptor(
	struct arena *arena, const struct descriptor_spec *from, struct descriptor *to)
{
	to->media_type = manifest_text(arena, from->media_type);
	to->digest = json_str(from->digest);
	to->digest_size = from->digest.size;
	to->has_size = from->size.set;
	to->size = from->size.value;
	to->platform.os = manifest_text(arena, from->platform.os);
	to->platform.architecture = manifest_text(arena, from->platform.architecture);
	to->platform.variant = manifest_text(arena, from->platform.variant);
	to->platform.os_version = manifest_text(arena, from->platform.os_version);
	if (!to->media_type || !to->platform.os || !to->platform.architecture ||
		!to->platform.variant || !to->platform.os_version)
		return -1;
	return fill_urls(arena, &from->urls, to);
}

/* The manifest's own parts out of the document; specs are its layers or manifests. */
static int fill(struct manifest *m, const struct document *document, const struct json_slice *specs,
	struct error **reterr)
{
	struct arena *arena = m->arena;
	const struct descriptor_spec *items = specs->items;
	size_t i;

	m->schema_version = document->schema_version.value;
	m->media_type = manifest_text(arena, document->media_type);
	m->layers = arena_alloc_array(arena, specs->count, sizeof(*m->layers));
	m->nlayers = specs->count;
	if (!m->media_type || !m->layers ||
		fill_descriptor(arena, &document->config, &m->config) < 0)
		return error_set(reterr, &error_no_memory);
	for (i = 0; i < specs->count; i++) {
		if (fill_descriptor(arena, &items[i], &m->layers[i]) < 0)
			return error_set(reterr, &error_no_memory);
	}
	return 0;
}

static bool is(struct json_text text, const char *s)
{
	return text.size == strlen(s) && memcmp(json_str(text), s, text.size) == 0;
}

static bool has(const struct json_value *root, const char *key)
{
	const struct json_value *v = json_get(root, key);

	return v && v->type != JSON_NULL;
}

/* CVE-2021-41190: what is taken for one by its header must not be the other one as well. The
 * original looks at the declared type only. */
static int check_unambiguous(bool is_list, const struct json_value *root, struct error **reterr)
{
	if (is_list && (has(root, "config") || has(root, "layers") || has(root, "fsLayers")))
		return error_setf(reterr,
			"ambiguous manifest: a list may not contain config, layers or fsLayers");
	if (!is_list && (has(root, "manifests") || has(root, "fsLayers")))
		return error_setf(reterr,
			"ambiguous manifest: an image may not contain manifests or fsLayers");
	return 0;
}

static int unmarshal_schema2(struct manifest *m, const char *content_type, const void *body,
	size_t size, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	struct document document = {0};
	bool oci = strcmp(content_type, MEDIA_TYPE_OCI_MANIFEST) == 0;

	if (json_parse(body, size, &json, reterr) < 0 ||
		json_decode_value(json_root(json), body, &schema2, &document, m->arena, reterr) < 0)
		return -1;
	m->kind = MANIFEST_SCHEMA2;
	if (oci &&
		(is(document.media_type, "") || is(document.media_type, MEDIA_TYPE_OCI_MANIFEST)))
		m->kind = MANIFEST_OCI; /* beyond the original, which wants its own type here */
	else if (!is(document.media_type, MEDIA_TYPE_SCHEMA2))
		return error_setf(reterr, "mediaType in manifest should be '%s' not '%s'",
			MEDIA_TYPE_SCHEMA2, json_str(document.media_type));
	if (check_unambiguous(false, json_root(json), reterr) < 0)
		return -1;
	return fill(m, &document, &document.layers, reterr);
}

static int unmarshal_list(struct manifest *m, const char *content_type, const void *body,
	size_t size, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	struct document document = {0};
	bool oci = strcmp(content_type, MEDIA_TYPE_OCI_INDEX) == 0;

	if (json_parse(body, size, &json, reterr) < 0 ||
		json_decode_value(json_root(json), body, &list, &document, m->arena, reterr) < 0)
		return -1;
	m->kind = oci ? MANIFEST_OCI_INDEX : MANIFEST_LIST;
	if (!oci && !is(document.media_type, MEDIA_TYPE_LIST))
		return error_setf(reterr, "mediaType in manifest list should be '%s' not '%s'",
			MEDIA_TYPE_LIST, json_str(document.media_type));
	if (oci && !is(document.media_type, "") && !is(document.media_type, MEDIA_TYPE_OCI_INDEX))
		return error_setf(reterr,
			"if present, mediaType in image index should be '%s' not '%s'",
			MEDIA_TYPE_OCI_INDEX, json_str(document.media_type));
	if (check_unambiguous(true, json_root(json), reterr) < 0)
		return -1;
	return fill(m, &document, &document.manifests, reterr);
}

/* The media type decides which of them it is; whatever is unknown is taken for schema 1. */
static int unmarshal(struct manifest *m, const char *content_type, const void *body, size_t size,
	struct error **reterr)
{
	if (strcmp(content_type, MEDIA_TYPE_SCHEMA2) == 0 ||
		strcmp(content_type, MEDIA_TYPE_OCI_MANIFEST) == 0)
		return unmarshal_schema2(m, content_type, body, size, reterr);
	if (strcmp(content_type, MEDIA_TYPE_LIST) == 0 ||
		strcmp(content_type, MEDIA_TYPE_OCI_INDEX) == 0)
		return unmarshal_list(m, content_type, body, size, reterr);
	return manifest_unmarshal_schema1(m, body, size, reterr);
}

int manifest_unmarshal(const char *content_type, const void *body, size_t size,
	struct manifest **ret, struct error **reterr)
{
	cleanup_manifest struct manifest *m = calloc(1, sizeof(*m));
	cleanup_free char *type = NULL;

	if (*content_type) {
		if (media_type_parse(content_type, &type, reterr) < 0)
			return -1;
	} else {
		type = strdup("");
	}
	if (m)
		m->arena = arena_new();
	if (!m || !m->arena || !type)
		return error_set(reterr, &error_no_memory);
	m->media_type = m->name = m->tag = m->architecture = "";
	m->config = (struct descriptor){.media_type = "",
		.digest = "",
		.platform = {.os = "", .architecture = "", .variant = "", .os_version = ""}};
	if (unmarshal(m, type, body, size, reterr) < 0)
		return -1;
	if (!m->payload) {
		m->payload = arena_copy(m->arena, body, size);
		m->payload_size = size;
	}
	if (!m->payload)
		return error_set(reterr, &error_no_memory);
	*ret = steal_ptr(&m);
	return 0;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	arena_free(m->arena);
	free(m);
}
