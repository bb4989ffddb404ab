/* SPDX-License-Identifier: Apache-2.0 */
/* How requests behave under strain, and how fast blobs may come. No Go counterpart. */
#include <string.h>

#include "registry/http_internal.h"

#define DEFAULT_MAX_RETRIES 5
#define DEFAULT_MAX_RETRY_WAIT_MS 60000
#define DEFAULT_RETRY_BACKOFF_MS 1000
#define DEFAULT_MIN_SPEED_MS 10000
/* What is read at once under a cap: so much that a tenth of a second passes. */
#define SLICES 10
#define MIN_SLICE 1024

void http_policy_init(struct http_policy *p, const struct http_policy *given)
{
	*p = given ? *given : (struct http_policy){0};
	if (!p->max_retries)
		p->max_retries = DEFAULT_MAX_RETRIES;
	if (!p->max_retry_wait_ms)
		p->max_retry_wait_ms = DEFAULT_MAX_RETRY_WAIT_MS;
	if (!p->retry_backoff_ms)
		p->retry_backoff_ms = DEFAULT_RETRY_BACKOFF_MS;
	if (!p->tls_timeout_ms)
		p->tls_timeout_ms = HTTP_TLS_HANDSHAKE_TIMEOUT_MS;
	if (!p->min_speed_ms)
		p->min_speed_ms = DEFAULT_MIN_SPEED_MS;
}

const struct http_policy *http_client_policy(const struct http_client *client)
{
	return &client->policy;
}

/* ---- a cap for all blobs together */

size_t http_speed_slice(const struct http_client *client, size_t size)
{
	uint64_t slice = client->policy.max_speed / SLICES;

	if (!client->policy.max_speed)
		return size;
	if (slice < MIN_SLICE)
		slice = MIN_SLICE;
	return size < slice ? size : (size_t)slice;
}

int http_speed_wait(struct http_client *client, const struct context *ctx, size_t n)
{
	uint64_t speed = client->policy.max_speed;
	int64_t now = monotonic_ms(), wait;

	if (!speed)
		return 0;
	pthread_mutex_lock(&client->lock);
	/* who was idle has no claim to more than others later on */
	if (client->speed_next_us < now * 1000)
		client->speed_next_us = now * 1000;
	client->speed_next_us += (int64_t)((double)n * 1000000 / (double)speed);
	wait = client->speed_next_us / 1000 - now;
	pthread_mutex_unlock(&client->lock);
	return wait > 0 ? context_sleep(ctx, wait) : 0;
}

/* ---- a minimum for each */

struct error *http_too_slow(struct exchange *x, int64_t now)
{
	const struct http_policy *p = &x->client->policy;
	int64_t paused =
		atomic_load(&x->was_paused_ms) + (x->paused_since ? now - x->paused_since : 0);
	int64_t passed = now - x->speed_since - (paused - x->speed_paused_ms);
	uint64_t bytes = x->body_bytes - x->speed_bytes;

	if (!p->min_speed || !x->blob || !x->in_body)
		return NULL;
	if (x->speed_since && passed < p->min_speed_ms)
		return NULL;
	if (x->speed_since && (double)bytes * 1000 < (double)p->min_speed * (double)passed)
		return &err_too_slow;
	x->speed_since = now;
	x->speed_paused_ms = paused;
	x->speed_bytes = x->body_bytes;
	return NULL;
}
