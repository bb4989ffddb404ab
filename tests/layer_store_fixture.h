/* SPDX-License-Identifier: Apache-2.0 */
/* A layer store in a folder of its own, layers of one file, and the table's steps. */
#ifndef TESTS_LAYER_STORE_FIXTURE_H
#define TESTS_LAYER_STORE_FIXTURE_H

#include "layer_fixture.h"
#include "layer_store.h"

struct world {
	char *dir;
	struct layer_store *ls;
	const struct image_pull_layer_store *table;
};
struct layer_store *open_store(const char *dir, bool fast);
void world_make(struct world *w, bool fast);
void world_remove(struct world *w);
/* How many names a folder below layers/ has. */
int count(const struct world *w, const char *dir);

/* A layer of one file, and the digest its blob is said to have. */
struct sample {
	struct buf tar;
	char diff_id[DIGEST_MAX];
	char digest[DIGEST_MAX];
	struct image_pull_descriptor descriptor;
};
void sample_make(struct sample *s, const char *name, const char *data);

struct staged {
	int code;
	void *handle;
	char *message, *values;
	unsigned reads, waits;
};
/* waits_max: of the reader; then it says cancelled. 0: never. */
struct staged stage(
	const struct image_pull_layer_store *table, struct sample *s, unsigned waits_max);
void staged_done(const struct image_pull_layer_store *table, struct staged *s);
int commit(const struct image_pull_layer_store *table, void *handle, const char *parent,
	const char *diff_id);
/* Stage, commit, release. */
void put_layer(struct world *w, struct sample *s, const char *parent, char chain[DIGEST_MAX]);

#endif
