/* SPDX-License-Identifier: Apache-2.0 */
/* A host's addresses, by the system's resolver, within bounds. Go counterpart: net.LookupIP. */
#ifndef COMPAT_HOST_LOOKUP_H
#define COMPAT_HOST_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

#include "ip.h"

#define HOST_ADDRESSES_MAX 1024

struct host_addresses {
	struct ip items[HOST_ADDRESSES_MAX];
	size_t n;
};

struct host_lookup {
	int64_t max_ms; /* longer it is not waited for */
	/* Asked every 50 ms, with NULL for pull: non-zero ends it. May be NULL. */
	int (*cancelled)(void *context, void *pull);
	void *cancelled_context;
};

/* None where there are none, it took too long or was cancelled, or memory ran out. */
void host_lookup(const char *host, const struct host_lookup *how, struct host_addresses *ret);

#endif
