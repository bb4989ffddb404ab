/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP header fields. Go counterpart: net/http Header. */
#ifndef REGISTRY_HEADER_H
#define REGISTRY_HEADER_H

#include <stddef.h>

struct error;

struct header {
	char *name; /* as given */
	char *value;
};

struct header_list {
	struct header *items;
	size_t count, capacity;
};

/* Names are compared without case. Names that are no token and values with
 * a line end in them are refused. */
int header_add(struct header_list *h, const char *name, const char *value, struct error **reterr);
int header_set(struct header_list *h, const char *name, const char *value, struct error **reterr);
void header_remove(struct header_list *h, const char *name);
const char *header_get(
	const struct header_list *h, const char *name); /* the first value, or NULL */
/* The i-th value of that name, or NULL. */
const char *header_get_nth(const struct header_list *h, const char *name, size_t i);
int header_copy(const struct header_list *h, struct header_list *ret, struct error **reterr);
void header_list_free(struct header_list *h); /* leaves it empty */

#endif
