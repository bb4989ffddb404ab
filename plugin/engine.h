/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's callbacks as functions of ours: what a callback hands to its sink becomes a value,
 * its code and message become an error. Go counterparts: registry.Service, reference.Store,
 * ImageConfigStore.
 *
 * All of them run on the thread that called image_pull(). Errors keep the engine's text; their
 * class follows from the code. */
#ifndef ENGINE_H
#define ENGINE_H

#include "pull.h"

/* The error for a code other than IMAGE_PULL_OK. message may be NULL or "": then the code is
 * described. */
struct error *engine_error(int code, const char *message);

int engine_resolve_repository(const struct image_pull_registry_service *service,
	const struct reference *ref, struct repository_info *ret, struct error **reterr);
void repository_info_free(struct repository_info *info); /* accepts a zeroed one */

struct pull_endpoint_list {
	struct pull_endpoint *items;
	size_t count;
};
int engine_lookup_pull_endpoints(const struct image_pull_registry_service *service,
	const char *hostname, struct pull_endpoint_list *ret, struct error **reterr);
/* name: the resolved repository; ref: what is pulled of it. Asks for the host's endpoints where the
 * engine has no answer to more. */
int engine_lookup_reference_endpoints(const struct image_pull_registry_service *service,
	const struct reference *name, const struct reference *ref, struct pull_endpoint_list *ret,
	struct error **reterr);
/* url as the engine wrote it. Fills url, scheme and host. */
int pull_endpoint_set_url(struct pull_endpoint *endpoint, const char *url, struct error **reterr);
void pull_endpoint_free(struct pull_endpoint *endpoint); /* accepts a zeroed one */
void pull_endpoint_list_free(struct pull_endpoint_list *list);

/* Store.Get: the image's ID; &err_reference_does_not_exist if there is none. */
int engine_reference_get(const struct image_pull_reference_store *store,
	const struct reference *ref, char **ret_id, struct error **reterr);
int engine_reference_add_tag(const struct image_pull_reference_store *store,
	const struct reference *ref, const char *id, bool force, struct error **reterr);
int engine_reference_add_digest(const struct image_pull_reference_store *store,
	const struct reference *ref, const char *id, bool force, struct error **reterr);

/* Store.Create: the image's ID. */
int engine_image_put(const struct image_pull_image_store *store, const void *config, size_t size,
	char **ret_id, struct error **reterr);
/* Is there an image with this ID? As in the original, a failure to say counts as no. */
bool engine_image_exists(const struct image_pull_image_store *store, const char *id);
/* Its configuration. */
int engine_image_get(const struct image_pull_image_store *store, const char *id, struct buf *ret,
	struct error **reterr);
/* RootFSFromConfig: *ret is NULL if the configuration has none. */
int engine_rootfs_from_config(const struct image_pull_image_store *store, const void *config,
	size_t size, struct rootfs **ret, struct error **reterr);
/* PlatformFromConfig, for its errors: on Linux nothing else of it is used. */
int engine_check_platform(const struct image_pull_image_store *store, const void *config,
	size_t size, const char *runtime_os, struct error **reterr);

#endif
