/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between a request and the wire: header modifiers, authorization by hop, redirects by
 * the original's rules, and the wording of failures. Go counterparts:
 * client/transport/transport.go, net/http Client.Do. */
#ifndef REGISTRY_TRANSPORT_H
#define REGISTRY_TRANSPORT_H

#include "registry/http.h"

struct log;
struct notes;

/* Adds headers to one hop's request; url is that hop's. */
struct modifier {
	int (*modify)(struct modifier *m, const struct context *ctx, const char *url,
		struct header_list *headers, struct error **reterr);
};

struct transport {
	struct http_client *client;
	struct http_tls *tls; /* of the endpoint; borrowed */
	struct modifier *const *modifiers;
	size_t nmodifiers;
	uint32_t connect_timeout_ms; /* of each hop; 0: the client's */
	struct log *log;
	struct notes *notes; /* NULL: nobody wants to know */
};

/* http.Client.Do: follows up to 10 redirects, keeps the request's headers over them as Go does,
 * wraps failures in ERROR_URL (`Get "URL": ...`), but for a cancelled context's sentinel, which
 * comes bare. request->timeout_ms holds for all hops together. Beyond the original: where the
 * registry is verified, no redirect leads from https to http; 429 and 503 are waited for as the
 * client's policy says. */
int transport_do(const struct transport *t, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr);

/* Headers that each request gets (Headers of registry/registry.go): appended to what is there. */
struct header_modifier {
	struct modifier modifier;
	const struct header_list *headers; /* borrowed; NULL: none */
};
void header_modifier_init(struct header_modifier *m, const struct header_list *headers);
/* Read what is left of a short body, so that its connection can be used again, and free it. NULL is
 * allowed. */
void transport_finish(struct http_response *response, const struct context *ctx);
/* client.HandleErrorResponse: what an answer outside 2xx and 3xx is as an error; reads its body, of
 * which 64 KiB count. Never NULL. */
struct error *transport_error_response(struct http_response *response, const struct context *ctx);
/* Request.SetBasicAuth. */
int transport_set_basic_auth(
	struct header_list *headers, const char *user, const char *password, struct error **reterr);
/* scheme and host:port of a URL, in one spelling ("https://h:443"). NULL: no memory. */
struct url;
char *transport_origin(const struct url *u);

#endif
