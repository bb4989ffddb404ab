/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: net/http Header, golang.org/x/net/http/httpguts. */
#include "registry/header.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

/* httpguts.ValidHeaderFieldName: a token of RFC 7230. */
static bool is_valid_name(const char *name)
{
	if (!*name)
		return false;
	for (; *name; name++)
		if (!(*name >= 'a' && *name <= 'z') && !(*name >= 'A' && *name <= 'Z') &&
			!(*name >= '0' && *name <= '9') && !strchr("!#$%&'*+-.^_`|~", *name))
			return false;
	return true;
}

static int check(const char *name, const char *value, struct error **reterr)
{
	struct buf quoted = {0};
	bool bad_name = !is_valid_name(name);
	int ret;

	/* A line end would make a second header of the rest. The value may be a secret: it is not
	 * said. */
	if (!bad_name && !strpbrk(value, "\r\n"))
		return 0;
	buf_append_quoted(&quoted, name, strlen(name));
	ret = error_set(reterr,
		quoted.oom ? &error_no_memory
			   : error_plainf(bad_name ? "net/http: invalid header field name %s"
						   : "net/http: invalid header field value for %s",
				     quoted.data));
	buf_free(&quoted);
	return ret;
}

int header_add(struct header_list *h, const char *name, const char *value, struct error **reterr)
{
	cleanup_free char *own_name = NULL, *own_value = NULL;

	if (check(name, value, reterr) < 0)
		return -1;
	if (h->count == h->capacity) {
		size_t capacity = h->capacity ? h->capacity * 2 : 8;
		struct header *items = reallocarray(h->items, capacity, sizeof(*items));

		if (!items)
			return error_set(reterr, &error_no_memory);
		h->items = items;
		h->capacity = capacity;
	}
	own_name = strdup(name);
	own_value = strdup(value);
	if (!own_name || !own_value)
		return error_set(reterr, &error_no_memory);
	h->items[h->count++] = (struct header){steal_ptr(&own_name), steal_ptr(&own_value)};
	return 0;
}

int header_set(struct header_list *h, const char *name, const char *value, struct error **reterr)
{
	struct header added;

	/* Added first, so that a failure leaves the list as it was. */
	if (header_add(h, name, value, reterr) < 0)
		return -1;
	added = h->items[--h->count];
	header_remove(h, name);
	h->items[h->count++] = added;
	return 0;
}

void header_remove(struct header_list *h, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++) {
		if (str_equal_fold(h->items[i].name, name)) {
			free(h->items[i].name);
			free(h->items[i].value);
		} else {
			h->items[kept++] = h->items[i];
		}
	}
	h->count = kept;
}

const char *header_get(const struct header_list *h, const char *name)
{
	return header_get_nth(h, name, 0);
}

const char *header_get_nth(const struct header_list *h, const char *name, size_t i)
{
	for (size_t k = 0; k < h->count; k++)
		if (str_equal_fold(h->items[k].name, name) && !i--)
			return h->items[k].value;
	return NULL;
}

int header_copy(const struct header_list *h, struct header_list *ret, struct error **reterr)
{
	struct header_list copy = {0};

	for (size_t i = 0; i < h->count; i++) {
		if (header_add(&copy, h->items[i].name, h->items[i].value, reterr) < 0) {
			header_list_free(&copy);
			return -1;
		}
	}
	*ret = copy;
	return 0;
}

void header_list_free(struct header_list *h)
{
	for (size_t i = 0; i < h->count; i++) {
		free(h->items[i].name);
		free(h->items[i].value);
	}
	free(h->items);
	*h = (struct header_list){0};
}
