/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one hop: sending, waiting, reading. Go counterpart: net/http Transport.RoundTrip. */
#include "registry/http.h"

#include <stdio.h>
#include <string.h>

#include "base/pages.h"
#include "base/url.h"
#include "registry/http_internal.h"

#define LOOK_INTERVAL_MS 50      /* see is_worth_waking */
#define CONNECT_TIMEOUT_MS 30000 /* the original's net.Dialer */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_state;

static void init_curl(void)
{
	/* never undone: a host may use libcurl as well, and its count is not thread-safe */
	curl_state = curl_global_init(CURL_GLOBAL_ALL);
}

/* ---- the client */

static int copy_string(const char *s, char **ret)
{
	*ret = strdup(s ? s : "");
	return *ret ? 0 : -1;
}

struct http_client *http_client_new(const struct http_options *options, struct error **reterr)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (!client) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	client->event_fd = -1;
	client->epoll_fd = -1;
	client->queue_tail = &client->queue;
	client->max_connections = options->max_connections;
	client->max_host_connections = options->max_connections_per_host;
	client->waiting_tail = &client->waiting;
	http_policy_init(&client->policy, options->policy);
	http_client_set_timeouts(client, options->connect_timeout_ms, options->stall_timeout_ms);
	pthread_mutex_init(&client->lock, NULL);
	client->resolver = http_resolver_new(options);
	client->trust = http_trust_new(options->ca_bundle ? options->ca_bundle : "");
	if (!client->resolver || !client->trust ||
		copy_string(options->user_agent, &client->user_agent) < 0 ||
		copy_string(options->ca_bundle, &client->ca_bundle) < 0) {
		http_client_free(client);
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	if (http_proxies_init(&client->proxies, options, reterr) < 0) {
		http_client_free(client);
		return NULL;
	}
	pthread_once(&curl_once, init_curl);
	if (curl_state != CURLE_OK) {
		error_setf(reterr, "libcurl does not start: %s", curl_easy_strerror(curl_state));
		http_client_free(client);
		return NULL;
	}
	return client;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	http_resolver_free(client->resolver);
	http_loop_stop(client);
	http_trust_free(client->trust);
	http_proxies_free(&client->proxies);
	free(client->user_agent);
	free(client->ca_bundle);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

uint32_t http_client_connect_ms(const struct http_client *client)
{
	return atomic_load(&client->connect_ms);
}

void http_client_set_timeouts(struct http_client *client, uint32_t connect_ms, uint32_t stall_ms)
{
	atomic_store(&client->connect_timeout_ms, connect_ms ? connect_ms : CONNECT_TIMEOUT_MS);
	atomic_store(&client->stall_timeout_ms, stall_ms);
}

/* ---- an exchange */

struct exchange *exchange_ref(struct exchange *x)
{
	atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

void exchange_unref(struct exchange *x)
{
	if (!x || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (x->easy)
		curl_easy_cleanup(x->easy);
	curl_slist_free_all(x->headers);
	curl_slist_free_all(x->addresses);
	http_route_free(&x->route);
	http_tls_unref(x->tls);
	header_list_free(&x->response.headers);
	buf_free(&x->junk);
	http_gunzip_free(x->gunzip);
	error_unref(x->resolve_error);
	error_unref(x->fault);
	error_unref(x->error);
	error_unref(x->read_error);
	free(x->response.url);
	free(x->response.status_line);
	free(x->host);
	free(x->port);
	free(x->body);
	pages_free(x->ring, x->ring_size);
	pthread_cond_destroy(&x->cond);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

void exchange_wake(struct exchange *x)
{
	if (!atomic_load(&x->reader_waits))
		return;
	pthread_mutex_lock(&x->lock);
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
}

static void wake_for_cancel(void *arg)
{
	struct exchange *x = arg;

	pthread_mutex_lock(&x->lock);
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
}

static struct exchange *exchange_new(struct http_client *client)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	if (cond_init(&x->cond) < 0) {
		free(x);
		return NULL;
	}
	pthread_mutex_init(&x->lock, NULL);
	atomic_init(&x->refs, 1);
	x->client = client;
	x->fd = -1;
	return x;
}

static size_t ring_size_for(size_t wanted)
{
	if (!wanted)
		return HTTP_RING_DEFAULT;
	if (wanted < HTTP_RING_MIN)
		return HTTP_RING_MIN;
	return wanted > HTTP_RING_MAX ? HTTP_RING_MAX : wanted;
}

/* Go's Transport.roundTrip checks these before it connects. */
static int check_request(
	const struct http_request *request, const struct url *url, struct error **reterr)
{
	const struct header_list *h = request->headers;
	size_t i;
	const unsigned char *p;

	if (strcmp(url->scheme, "http") != 0 && strcmp(url->scheme, "https") != 0) {
		cleanup_buf struct buf text = {0};

		buf_append_quoted(&text, url->scheme, strlen(url->scheme));
		return error_setf(
			reterr, "unsupported protocol scheme %s", text.data ? text.data : "\"\"");
	}
	for (i = 0; h && i < h->count; i++) {
		for (p = (const unsigned char *)h->items[i].value; *p; p++) {
			if ((*p < ' ' && *p != '\t') || *p == 0x7f)
				return error_setf(reterr,
					"net/http: invalid header field value for \"%s\"",
					h->items[i].name);
		}
	}
	if (!*url->host)
		return error_setf(reterr, "http: no Host in request URL");
	return 0;
}

static int fill_exchange(struct exchange *x, const struct http_request *request,
	const struct url *url, struct error **reterr)
{
	x->https = strcmp(url->scheme, "https") == 0;
	x->blob = request->blob;
	x->tls = http_tls_ref(request->tls);
	x->ring_size = ring_size_for(request->ring_size);
	x->no_link_local = request->no_link_local;
	x->deadline = request->timeout_ms ? monotonic_ms() + request->timeout_ms : 0;
	x->connect_timeout_ms = request->connect_timeout_ms
					? request->connect_timeout_ms
					: atomic_load(&x->client->connect_timeout_ms);
	x->response.content_length = -1;
	x->response.url = strdup(request->url);
	x->host = url_hostname(url);
	x->port = url_port(url);
	if (x->port && !*x->port) {
		free(x->port);
		x->port = strdup(url_default_port(url->scheme));
	}
	if (request->body) {
		x->body = malloc(request->body_size + 1);
		if (x->body)
			memcpy(x->body, request->body, request->body_size);
	}
	if (!x->response.url || !x->host || !x->port || (request->body && !x->body))
		return error_set(reterr, &error_no_memory);
	if (http_route_choose(
		    &x->client->proxies, url->scheme, x->host, x->port, &x->route, reterr) < 0)
		return -1;
	return http_easy_setup(x, request, reterr);
}

/* Looking up a name is part of connecting, as it is in the original: how long it may take yet.
 * -1: none is looked up. 0 with an error: too long. */
static int64_t lookup_left(struct exchange *x, int64_t begun, struct error **reterr)
{
	int64_t now = monotonic_ms(), until = begun + x->connect_timeout_ms;

	if (!atomic_load(&x->looking_up))
		return -1;
	if (x->deadline && now >= x->deadline) {
		error_set(reterr, &err_context_deadline_exceeded);
		return 0;
	}
	if (now >= until) {
		error_set(reterr, http_lookup_error(x, "i/o timeout"));
		return 0;
	}
	if (x->deadline && x->deadline < until)
		until = x->deadline;
	return until - now;
}

/* Wait for the header. Takes nothing over. */
static int await_header(struct exchange *x, const struct context *ctx, struct error **reterr)
{
	struct cancel_watch watch;
	bool told = ctx->requested == NULL;
	int64_t begun = monotonic_ms();
	struct error *late = NULL;
	int rc = 0;

	cancel_watch(ctx->cancel, &watch, wake_for_cancel, x);
	pthread_mutex_lock(&x->lock);
	while (!x->have_header && !atomic_load(&x->done) && !cancel_fired(ctx->cancel)) {
		int64_t left = lookup_left(x, begun, &late);

		if (late)
			break;
		if (x->requested && !told) {
			told = true;
			pthread_mutex_unlock(&x->lock);
			ctx->requested(ctx->requested_arg);
			pthread_mutex_lock(&x->lock);
			continue;
		}
		context_wait(ctx, &x->cond, &x->lock, left);
	}
	if (late) {
		rc = error_set(reterr, late);
	} else if (!x->have_header) {
		struct error *err = atomic_load(&x->done) ? x->error : cancel_error(ctx->cancel);

		rc = error_set(reterr, error_ref(err ? err : &err_eof));
	}
	pthread_mutex_unlock(&x->lock);
	cancel_unwatch(&watch);
	return rc;
}

int http_round_trip(struct http_client *client, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr)
{
	cleanup_url struct url url = {0};
	struct exchange *x;

	if (cancel_fired(ctx->cancel))
		return error_set(reterr, error_ref(cancel_error(ctx->cancel)));
	if (url_parse(request->url, &url, reterr) < 0 || check_request(request, &url, reterr) < 0 ||
		http_loop_start(client, reterr) < 0)
		return -1;
	x = exchange_new(client);
	if (!x)
		return error_set(reterr, &error_no_memory);
	x->own_connection = ctx->own_connection;
	if (fill_exchange(x, request, &url, reterr) < 0 || http_resolve(x, reterr) < 0) {
		exchange_unref(x);
		return -1;
	}
	if (await_header(x, ctx, reterr) < 0) {
		http_response_free(&x->response);
		return -1;
	}
	*ret = &x->response;
	return 0;
}

void http_response_free(struct http_response *response)
{
	struct exchange *x = (struct exchange *)response;

	if (!x)
		return;
	if (!atomic_load(&x->done))
		http_loop_post(x, OP_ABORT);
	exchange_unref(x);
}

/* ---- reading */

static size_t ring_take(struct exchange *x, void *buf, size_t size)
{
	size_t tail = atomic_load_explicit(&x->tail, memory_order_relaxed);
	size_t n = atomic_load(&x->head) - tail, at, right;

	if (n == 0)
		return 0;
	if (n > size)
		n = size;
	at = tail % x->ring_size;
	right = x->ring_size - at < n ? x->ring_size - at : n;
	memcpy(buf, x->ring + at, right);
	memcpy((char *)buf + right, x->ring, n - right);
	atomic_store(&x->tail, tail + n);
	/* half of it, so that the loop has something to do when it wakes */
	if (atomic_load(&x->paused) && ring_used(x) <= x->ring_size / 2 &&
		atomic_exchange(&x->paused, false))
		http_loop_post(x, OP_UNPAUSE);
	return n;
}

/* Wait for bytes or the end. */
static int await_bytes(struct exchange *x, const struct context *ctx, struct error **reterr)
{
	struct cancel_watch watch;
	bool cancelled;

	cancel_watch(ctx->cancel, &watch, wake_for_cancel, x);
	pthread_mutex_lock(&x->lock);
	atomic_store(&x->reader_waits, true);
	while (ring_used(x) == 0 && !atomic_load(&x->done) && !cancel_fired(ctx->cancel))
		context_wait(ctx, &x->cond, &x->lock, x->blob ? LOOK_INTERVAL_MS : -1);
	atomic_store(&x->reader_waits, false);
	pthread_mutex_unlock(&x->lock);
	cancelled = cancel_fired(ctx->cancel);
	cancel_unwatch(&watch);
	return cancelled ? error_set(reterr, error_ref(cancel_error(ctx->cancel))) : 0;
}

struct raw_source {
	struct exchange *x;
	const struct context *ctx;
};

/* The body as it came. */
static ssize_t read_raw(void *arg, void *buf, size_t size, struct error **reterr)
{
	struct raw_source *source = arg;
	struct exchange *x = source->x;
	size_t n;

	for (;;) {
		bool done;

		if (cancel_fired(source->ctx->cancel))
			return error_set(reterr, error_ref(cancel_error(source->ctx->cancel)));
		done = atomic_load(&x->done); /* before the ring: nothing comes after it */
		n = ring_take(x, buf, size);
		if (n > 0 && x->blob && http_speed_wait(x->client, source->ctx, n) < 0)
			return error_set(reterr, error_ref(cancel_error(source->ctx->cancel)));
		if (n > 0)
			return (ssize_t)n;
		if (done)
			return x->error ? error_set(reterr, error_ref(x->error)) : 0;
		if (await_bytes(x, source->ctx, reterr) < 0)
			return -1;
	}
}

ssize_t http_response_read(struct http_response *response, const struct context *ctx, void *buf,
	size_t size, struct error **reterr)
{
	struct exchange *x = (struct exchange *)response;
	struct raw_source source = {.x = x, .ctx = ctx};

	if (size == 0)
		return 0;
	if (x->blob)
		size = http_speed_slice(x->client, size);
	if (!x->decode)
		return read_raw(&source, buf, size, reterr);
	if (!x->gunzip) {
		x->gunzip = http_gunzip_new();
		if (!x->gunzip)
			return error_set(reterr, &error_no_memory);
	}
	return http_gunzip_read(x->gunzip, read_raw, &source, buf, size, reterr);
}

int http_response_read_all(struct http_response *response, const struct context *ctx, size_t limit,
	struct buf *ret, struct error **reterr)
{
	char piece[16384];
	struct buf b = {0};

	for (;;) {
		ssize_t n = http_response_read(response, ctx, piece, sizeof(piece), reterr);

		if (n < 0) {
			buf_free(&b);
			return -1;
		}
		if (n == 0)
			break;
		if ((size_t)n > limit - b.size) {
			buf_free(&b);
			return error_setf(reterr, "the answer exceeds %zu bytes", limit);
		}
		buf_append(&b, piece, (size_t)n);
		if (b.oom) {
			buf_free(&b);
			return error_set(reterr, &error_no_memory);
		}
	}
	buf_free(ret);
	*ret = b;
	return 0;
}

int64_t http_response_held_back_ms(const struct http_response *response)
{
	const struct exchange *x = (const struct exchange *)response;

	return atomic_load(&x->was_paused_ms);
}

int64_t http_response_waited_ms(const struct http_response *response)
{
	return ((const struct exchange *)response)->waited_ms;
}
