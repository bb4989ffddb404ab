/* SPDX-License-Identifier: Apache-2.0 */
/* An engine in memory for tests of the pull: its stores are lists of pairs, and it writes down what
 * was asked of it. */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "image_pull.h"

struct fake_pair {
	char *key, *value;
};
struct fake_map {
	struct fake_pair *items;
	size_t count;
};
const char *fake_map_get(const struct fake_map *m, const char *key); /* NULL: not there */
void fake_map_set(struct fake_map *m, const char *key, const char *value);

struct fake_engine {
	pthread_mutex_t lock; /* guards all that stage and discard touch */
	/* What was said and asked, one line each. */
	struct buf calls, progress, logs, events;
	struct fake_map references, images, layers /* chain ID -> holds */, metadata;
	int nstaged, ndiscarded;
	/* Knobs. */
	const char *endpoints[4]; /* URLs, NULL-terminated */
	bool (*cancelled)(struct fake_engine *e);
	const char *fail; /* this callback fails ... */
	int fail_code;    /* ... with this code */
	const char *fail_message;

	struct image_pull_registry_service registry_service;
	struct image_pull_reference_store reference_store;
	struct image_pull_image_store image_store;
	struct image_pull_layer_store layer_store;
	struct image_pull_metadata_store metadata_store;
	struct image_pull_events event_table;
	struct image_pull_limits limits;
	struct image_pull_options options;
	struct image_pull_engine engine;
};

void fake_engine_init(struct fake_engine *e, bool staging);
void fake_engine_forget(struct fake_engine *e); /* what was said and asked, not the stores */
void fake_engine_free(struct fake_engine *e);
/* The plugin that was built, vetted; NULL with a word on stderr. It stays loaded. */
const struct image_pull_plugin *fake_engine_load_plugin(void);
/* Holds on layers that were not given back. */
int fake_engine_holds(const struct fake_engine *e);

#endif
