/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by pull_v2.c and pull_v2_image.c. Go counterpart: v2Puller of distribution/pull_v2.go. */
#ifndef PULL_V2_H
#define PULL_V2_H

#include "pull.h"

struct v2_puller {
	const struct pull_config *config;
	const struct pull_endpoint *endpoint;
	const struct repository_info *repo_info;
	struct repository *repo;
	const struct reference *asked; /* the image that is being pulled, with its tag or digest */
	/* The other side is known to speak v2; limits fallbacks to v1. */
	bool confirmed_v2;
};

/* What the pull of one manifest comes to. */
struct pulled {
	char *id; /* of the image */
	char manifest_digest[DIGEST_MAX];
};

/* schema2ManifestDigest: checks it too, where ref has a digest. */
int schema2_manifest_digest(const struct pull_config *config, const struct reference *ref,
	const struct manifest *m, char ret[DIGEST_MAX], struct error **reterr);

/* From a manifest to an image in the engine's store. platform is what was asked for, NULL for
 * nothing. On success ret->id is the caller's to free. pull_schema2 takes OCI manifests as well. */
int pull_schema1(struct v2_puller *p, const struct reference *ref, struct manifest *m,
	const struct platform *platform, struct pulled *ret, struct error **reterr);
int pull_schema2(struct v2_puller *p, const struct reference *ref, const struct manifest *m,
	const struct platform *platform, struct pulled *ret, struct error **reterr);

/* plan.c: in place of fetching it. */
int plan_image(struct v2_puller *p, const char *manifest_digest, const struct manifest *m,
	const struct download_descriptor *layers, size_t n, struct error **reterr);

#endif
