/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a token server, for auth.c alone. Go counterpart: tokenHandler.fetchToken. */
#ifndef REGISTRY_AUTH_TOKEN_H
#define REGISTRY_AUTH_TOKEN_H

#include <stdint.h>

#include "registry/auth.h"
#include "registry/challenge.h"

struct token_request {
	const struct transport *transport;
	const struct auth_config *auth;
	const char *scope;       /* NULL: none, and offline access is asked for, as a login does */
	const char *extra_scope; /* NULL: none */
	bool over_https;         /* the challenge came over https */
};
struct token {
	char *token;         /* maybe "" */
	int64_t expires;     /* in ms of the wall clock */
	char *refresh_token; /* an identity token that the server gave; NULL: none */
};
int auth_fetch_token(const struct token_request *r, const struct context *ctx,
	const struct challenge *challenge, struct token *ret, struct error **reterr);
int64_t auth_now_ms(void);
/* The first value of a query parameter, decoded; NULL: none, or no memory. */
char *auth_query_value(const char *query, const char *name);

#endif
