/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between a request and the wire: header modifiers, authorization by hop, redirects by
 * the original's rules, and the wording of failures. Go counterparts:
 * client/transport/transport.go, net/http Client.Do. */
#ifndef REGISTRY_TRANSPORT_H
#define REGISTRY_TRANSPORT_H

#include "registry/http.h"

struct log;

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
	struct log *log;
};

/* http.Client.Do: follows up to 10 redirects, keeps the request's headers over them as Go does,
 * wraps failures in ERROR_URL (`Get "URL": ...`). */
int transport_do(const struct transport *t, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr);

#endif
