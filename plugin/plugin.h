/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind the border: an instance with its copies of the engine's tables, and errors in
 * the form that engines read. For plugin.c and plugin_error.c. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "pull.h"

/* The engine's tables at our size: what an older engine does not know of is zero. */
struct engine_tables {
	struct image_pull_registry_service registry_service;
	struct image_pull_reference_store reference_store;
	struct image_pull_image_store image_store;
	struct image_pull_layer_store layer_store;
	struct image_pull_metadata_store metadata_store;
	struct image_pull_events events;
	struct image_pull_options options; /* its pointers are not kept */
	struct image_pull_limits limits;
	struct image_pull_bounds bounds;
};

/* Copies a struct that may be shorter or longer than ours; the rest is zeroed. from may be NULL. */
void table_copy(void *to, size_t size, const void *from);

/* A new error for an engine; takes over err. Never NULL. report may be NULL. */
struct image_pull_error *plugin_error_new(
	struct error *err, const struct pull_report *report, bool cancelled);
void plugin_error_free(struct image_pull_error *error);
const struct image_pull_error_info *plugin_error_info(const struct image_pull_error *error);

#endif
