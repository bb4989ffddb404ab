/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests, one hop each, over one curl-multi loop thread an instance. Go counterpart:
 * net/http Transport.
 *
 * The loop owns every connection. Its write callback only fills a response's bounded ring and
 * pauses; whoever reads the response runs on another thread. Redirects, authorization and retries
 * are not its business. */
#ifndef REGISTRY_HTTP_H
#define REGISTRY_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/context.h"
#include "registry/header.h"

struct error;
struct log;

struct http_certificate {
	void *cert; /* PEM */
	size_t cert_size;
	void *key; /* PEM */
	size_t key_size;
};

/* How a host is to be trusted. Refcounted and immutable; connections are only reused for the same
 * one. */
struct http_tls {
	bool insecure_skip_verify;
	void *ca; /* PEM, besides the system's; NULL */
	size_t ca_size;
	struct http_certificate *certificates;
	size_t ncertificates;
	atomic_uint refs;
};
struct http_tls *http_tls_new(
	bool insecure_skip_verify, const void *ca, size_t ca_size, struct error **reterr);
int http_tls_add_certificate(struct http_tls *tls, const void *cert, size_t cert_size,
	const void *key, size_t key_size, struct error **reterr);
struct http_tls *http_tls_ref(struct http_tls *tls);
void http_tls_unref(struct http_tls *tls);

/* What struct image_pull_network says; 0 in a number: its default. */
struct http_policy {
	bool retry_after, head_first, link_local_realms;
	uint32_t max_retries, max_retry_wait_ms, retry_backoff_ms;
	uint32_t tls_timeout_ms, header_timeout_ms, min_speed_ms;
	uint64_t min_speed, max_speed;
};

struct http_options {
	const char *user_agent;
	const char *ca_bundle; /* NULL: the system's */
	/* NULL: getaddrinfo. Calls add(arg, address) for each; returns 0, or -1 for no such host.
	 * Own threads. */
	int (*resolve)(void *context, const char *host, int (*add)(void *arg, const char *address),
		void *arg);
	void *resolve_context;
	const char *http_proxy, *https_proxy, *all_proxy, *no_proxy; /* "" or NULL: none; copied */
	uint32_t connect_timeout_ms, stall_timeout_ms;
	/* Connections at once, idle ones too, and to one host and port; 0: no limit. Requests wait
	 * for their turn, in the order in which they come; no time-out counts that. */
	uint32_t max_connections, max_connections_per_host;
	const struct http_policy *policy; /* NULL: the defaults */
};

struct http_client;
/* Starts no thread: the first request does. */
struct http_client *http_client_new(const struct http_options *options, struct error **reterr);
/* Ends the loop, joins its threads. No request may be open. NULL is allowed. */
void http_client_free(struct http_client *client);
/* With the defaults filled in. */
const struct http_policy *http_client_policy(const struct http_client *client);
/* How long TCP took for the connection that was made last: a round trip, roughly. 0: none was. */
uint32_t http_client_connect_ms(const struct http_client *client);
void http_client_set_timeouts(struct http_client *client, uint32_t connect_ms, uint32_t stall_ms);

struct http_request {
	const char *method; /* "GET", "POST", "HEAD" */
	const char *url;    /* http or https, no userinfo */
	const struct header_list *headers;
	const void *body;
	size_t body_size;
	struct http_tls *tls; /* NULL: verified, system's roots */
	size_t ring_size;     /* bytes buffered ahead of the reader; 0: 64 KiB */
	bool blob; /* HTTP/1.1, no decoding: for layers. Else gzip is asked for and decoded as Go
		      does */
	/* Link-local and metadata addresses (169.254.0.0/16, fe80::/10, fd00:ec2::254) are
	 * refused, written out or found for a name, over redirects as well. What a proxy finds for
	 * a name is the proxy's. */
	bool no_link_local;
	uint32_t timeout_ms;         /* http.Client.Timeout: up to the end of the body; 0: none */
	uint32_t connect_timeout_ms; /* 0: the client's */
};

struct http_response {
	int status;
	char *status_line; /* "404 Not Found", as Go's Response.Status */
	struct header_list headers;
	int64_t content_length; /* -1: not known */
	char *url;              /* that was asked */
};

/* Send and wait for the header. When timeout_ms is over the error is
 * &err_context_deadline_exceeded. Errors are Go's causes, without `Get "URL": ` around them (dial
 * tcp
 * ..., x509: ..., EOF, http: server gave HTTP response to HTTPS client); a cancelled context gives
 * its sentinel. */
int http_round_trip(struct http_client *client, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr);
/* Was nobody reached (a name that is not found counts), and was that for a time-out? err is
 * what http_round_trip or transport_do gave, or what they wrap. */
bool http_is_dial_error(const struct error *err);
bool http_is_dial_timeout(const struct error *err);
/* Up to size bytes of the body: > 0, 0 at its end, -1 on failure (unexpected EOF for a body that is
 * cut short, read errors in Go's words). Blocks; stops when ctx is cancelled. One reader at a time.
 */
ssize_t http_response_read(struct http_response *response, const struct context *ctx, void *buf,
	size_t size, struct error **reterr);
/* The whole body. A longer one than limit is an error ("... exceeds N bytes"). */
struct buf;
int http_response_read_all(struct http_response *response, const struct context *ctx, size_t limit,
	struct buf *ret, struct error **reterr);
/* How long a full ring has kept the connection waiting, all told, in ms. A server that gives up on
 * such a connection is not to blame. */
int64_t http_response_held_back_ms(const struct http_response *response);
/* How long the request had to wait for a connection (max_connections). */
int64_t http_response_waited_ms(const struct http_response *response);
/* Ends the request if its body was not read to the end. NULL is allowed. Thread-safe against the
 * loop. */
void http_response_free(struct http_response *response);

#endif
