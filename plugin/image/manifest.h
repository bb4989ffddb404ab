/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: Docker schema1, schema2, list; OCI manifest and index. Go counterparts:
 * distribution/manifest/... (the UnmarshalManifest functions), with their errors. */
#ifndef IMAGE_MANIFEST_H
#define IMAGE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"
#include "image/platform.h"

struct error;

#define MEDIA_TYPE_SCHEMA1 "application/vnd.docker.distribution.manifest.v1+json"
#define MEDIA_TYPE_SCHEMA1_SIGNED "application/vnd.docker.distribution.manifest.v1+prettyjws"
#define MEDIA_TYPE_SCHEMA2 "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_TYPE_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_TYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_TYPE_IMAGE_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_TYPE_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_TYPE_PLUGIN_CONFIG "application/vnd.docker.plugin.v1+json"

enum manifest_kind {
	MANIFEST_SCHEMA1,
	MANIFEST_SCHEMA2,
	MANIFEST_LIST,
	MANIFEST_OCI,
	MANIFEST_OCI_INDEX
};

struct descriptor {
	const char *media_type; /* "" if absent */
	const char *digest;     /* as written: validate before use */
	size_t digest_size;
	bool has_size;
	int64_t size;            /* as written, negative ones too; 0 if absent */
	const char *const *urls; /* NULL if absent */
	size_t nurls;
	struct platform platform; /* lists only */
};

struct schema1_history {
	const char *v1_compatibility;
	size_t size;
};

/* Everything lives in one arena; strings end with NUL. */
struct manifest {
	enum manifest_kind kind;
	const char *media_type;
	struct descriptor config;  /* schema2, OCI */
	struct descriptor *layers; /* schema2, OCI, bottom first; lists: the manifests */
	size_t nlayers;
	/* schema1, top first; schema1.c removes entries from both */
	int64_t schema_version;
	const char *name, *tag, *architecture;
	const char **fs_layers; /* blobSum as written */
	struct schema1_history *history;
	size_t nfs_layers, nhistory;
	/* Payload: what the digest is taken of (schema1: the canonical text without signatures). */
	const void *payload;
	size_t payload_size;
	void *arena;
};

/* distribution.UnmarshalManifest(content_type, body): content_type is the header's whole value. */
int manifest_unmarshal(const char *content_type, const void *body, size_t size,
	struct manifest **ret, struct error **reterr);
void manifest_free(struct manifest *m); /* NULL is allowed */
static inline void manifest_freep(struct manifest **m)
{
	manifest_free(*m);
}
#define cleanup_manifest __attribute__((cleanup(manifest_freep)))

#endif
