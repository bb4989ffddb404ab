/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once. Go counterpart: none, its collector. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT _Alignof(max_align_t)
#define CHUNK_MIN 4096
#define CHUNK_MAX (256 * 1024)

struct chunk {
	struct chunk *next;
	size_t used, capacity;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct chunk *chunks; /* the first one has room */
	size_t next_capacity;
};

struct arena *arena_new(void)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a)
		a->next_capacity = CHUNK_MIN;
	return a;
}

void arena_free(struct arena *a)
{
	struct chunk *c, *next;

	if (!a)
		return;
	for (c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

static struct chunk *add_chunk(struct arena *a, size_t size)
{
	size_t capacity = a->next_capacity > size ? a->next_capacity : size;
	struct chunk *c;

	if (capacity > SIZE_MAX - sizeof(*c))
		return NULL;
	c = calloc(1, sizeof(*c) + capacity);
	if (!c)
		return NULL;
	c->capacity = capacity;
	if (a->next_capacity < CHUNK_MAX)
		a->next_capacity *= 2;
	/* a large piece gets a chunk of its own behind the current one, whose rest stays in use */
	if (a->chunks && size >= a->next_capacity / 2) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = a->chunks;
		a->chunks = c;
	}
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct chunk *c = a->chunks;
	void *p;

	if (size > SIZE_MAX - ALIGNMENT)
		return NULL;
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (size == 0)
		size = ALIGNMENT;
	if (!c || c->capacity - c->used < size)
		c = add_chunk(a, size);
	if (!c)
		return NULL;
	p = c->data + c->used;
	c->used += size;
	return p;
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		return NULL;
	return arena_alloc(a, count * size);
}

char *arena_copy(struct arena *a, const void *data, size_t size)
{
	char *p = size < SIZE_MAX ? arena_alloc(a, size + 1) : NULL;

	if (p && size)
		memcpy(p, data, size);
	return p;
}
