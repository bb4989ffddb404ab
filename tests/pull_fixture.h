/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin as an engine loads it, an engine in memory, a registry in this process, and an image.
 */
#ifndef TESTS_PULL_FIXTURE_H
#define TESTS_PULL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "fakes/fake_engine.h"
#include "fakes/fake_registry.h"
#include "image/digest.h"

#define MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define LIST_TYPE "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define CONFIG_TYPE "application/vnd.docker.container.image.v1+json"
#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar"

extern const struct image_pull_plugin *plugin;
int load_plugin(void **state); /* a set-up of cmocka's */

/* ---- images to pull */

struct blob {
	char *text;
	char digest[DIGEST_MAX];
	char path[256]; /* below /v2/team/app/ */
};

/* Two layers, of which the first one is there twice. */
struct image {
	struct blob layers[2], config, manifest;
};
/* text is the blob's from here on. kind: "blobs" or "manifests". */
void blob_make(struct blob *b, const char *kind, char *text);
void image_make(struct image *image, const char *name);
void image_free(struct image *image);

/* ---- one registry, one engine, one instance */

struct world {
	struct fake_route routes[24];
	size_t nroutes;
	struct fake_registry *registry;
	struct fake_engine engine;
	struct image_pull_instance *instance;
	char url[64], ref[96];
	struct image image;
};
void world_begin(struct world *w, bool staging);
/* The first route for a path wins; what is given stays the caller's, until world_end. */
void route(struct world *w, const char *path, const char *type, const char *body);
void route_error(
	struct world *w, const char *path, int status, const char *code, const char *message);
void route_image(struct world *w, const struct image *image);
/* tail: of the reference, ":v1". */
void world_start(struct world *w, const char *tail);
/* Whatever the engine gave out must be back. */
void world_end(struct world *w);

int pull(struct world *w, struct image_pull_error **error);
void pull_ok(struct world *w);
/* Compares text with an expectation in which $R is the registry's host and port. */
void expect(struct world *w, const char *what, const struct buf *b, const char *expected);

#endif
