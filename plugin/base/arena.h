/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once: for documents, whose parts live and die together. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);    /* NULL: no memory */
void arena_free(struct arena *a); /* NULL is allowed */
static inline void arena_freep(struct arena **a)
{
	arena_free(*a);
}
#define cleanup_arena __attribute__((cleanup(arena_freep)))
/* Zeroed, aligned for anything; NULL: no memory. size 0 gives a pointer too. */
void *arena_alloc(struct arena *a, size_t size);
/* count elements of size bytes each. */
void *arena_alloc_array(struct arena *a, size_t count, size_t size);
/* A copy with a NUL behind it. */
char *arena_copy(struct arena *a, const void *data, size_t size);

#endif
