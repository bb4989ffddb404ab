/* SPDX-License-Identifier: Apache-2.0 */
/* A layer to unpack tars into, beside a folder outside, the canary, that must be the same after
 * each. */
#ifndef UNTAR_FIXTURE_H
#define UNTAR_FIXTURE_H

#include "layer_fixture.h"
#include "untar.h"

enum { UNTAR_TREE_MAX = 8 };

struct world {
	char *dir; /* holds the layer and the canary */
	char *canary;
	char *before; /* the canary's snapshot */
};

void world_make(struct world *w);
void world_remove(struct world *w); /* fails if the canary is another */
/* {C} becomes the canary's path, {R} the same without its first slash, {U} a path that climbs to
 * it. A new string; NULL: s is. */
char *world_expand(const struct world *w, const char *s);
/* Unpack; NULL, or the text of the failure. lend: the source has next(). */
char *world_unpack(const struct world *w, const void *data, size_t size, size_t portion, bool lend,
	struct untar_result *ret);
/* Fails unless that text is the error that is wanted, and the tree as tree_differs() reads it. */
void world_check(const struct world *w, const char *name, const char *want_error,
	const char *const want_tree[UNTAR_TREE_MAX], const char *text);

/* The whole for a tar, which is freed: its error, or its tree (ended by NULL). */
void expect_error(const char *name, struct buf *tar, const char *error);
void expect_tree(
	const char *name, struct buf *tar, const char *const *spec, struct untar_result *ret);

#endif
