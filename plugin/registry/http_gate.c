/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections there are at once. Go counterpart: Transport.MaxConnsPerHost.
 *
 * libcurl has such limits for one multi handle, and here is one for each TLS identity. A request
 * that is on its way has a connection of its own (HTTP/1.1), so counting them is enough; what is
 * kept open for later is libcurl's to close. Nobody who has a connection waits for another one: a
 * response is read or given up before the next request of the same walk. */
#include <string.h>

#include "registry/http_internal.h"

static bool same_host(const struct exchange *a, const struct exchange *b)
{
	return strcmp(a->route.dial_host, b->route.dial_host) == 0 &&
	       strcmp(a->route.dial_port, b->route.dial_port) == 0;
}

static bool may_pass(const struct exchange *x)
{
	const struct http_client *client = x->client;
	const struct pool *pool;
	const struct exchange *other;
	uint32_t all = 0, host = 0;

	if (!client->max_connections && !client->max_host_connections)
		return true;
	for (pool = client->pools; pool; pool = pool->next) {
		for (other = pool->active; other; other = other->next) {
			all++;
			host += same_host(x, other);
		}
	}
	return (!client->max_connections || all < client->max_connections) &&
	       (!client->max_host_connections || host < client->max_host_connections);
}

bool http_gate_wait(struct exchange *x)
{
	struct http_client *client = x->client;

	if (may_pass(x))
		return false;
	x->waiting_since = monotonic_ms();
	x->next = NULL;
	*client->waiting_tail = x;
	client->waiting_tail = &x->next;
	return true;
}

void http_gate_leave(struct exchange *x)
{
	struct http_client *client = x->client;
	struct exchange **at = &client->waiting;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	if (client->waiting_tail == &x->next)
		client->waiting_tail = at;
	x->next = NULL;
	x->waited_ms = monotonic_ms() - x->waiting_since;
	x->waiting_since = 0;
}

struct exchange *http_gate_next(struct http_client *client)
{
	struct exchange *x;

	for (x = client->waiting; x; x = x->next) {
		if (may_pass(x)) {
			http_gate_leave(x);
			return x;
		}
	}
	return NULL;
}

/* Connections that are open in other pools; those of pools without work are closed if there are too
 * many. */
static uint32_t open_elsewhere(struct http_client *client, const struct pool *mine)
{
	struct pool **at = &client->pools, *pool;
	uint32_t n = 0;

	for (pool = client->pools; pool; pool = pool->next)
		n += pool->nsockets;
	while (n >= client->max_connections && (pool = *at)) {
		if (pool == mine || pool->active) {
			at = &pool->next;
			continue;
		}
		n -= pool->nsockets;
		*at = pool->next;
		http_loop_free_pool(pool);
	}
	return n - mine->nsockets;
}

void http_gate_pass(struct exchange *x)
{
	struct http_client *client = x->client;
	long all = 0;

	if (!client->max_connections && !client->max_host_connections)
		return;
	if (client->max_connections) {
		all = (long)client->max_connections - open_elsewhere(client, x->pool);
		/* what another pool keeps idle beside its work can't be closed from here */
		if (all < 1)
			all = 1;
	}
	/* where an option could not be set there are more connections */
	(void)curl_multi_setopt(x->pool->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, all);
	(void)curl_multi_setopt(
		x->pool->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)client->max_host_connections);
}
