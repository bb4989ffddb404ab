/* SPDX-License-Identifier: Apache-2.0 */
/* Ping, challenges, basic and bearer authorization. Go counterparts: registry/auth.go
 * (PingV2Registry, staticCredentialStore), registry/client/auth/session.go. */
#ifndef REGISTRY_AUTH_H
#define REGISTRY_AUTH_H

#include "registry/transport.h"

/* Never NULL members; "" for absent. Borrowed. */
struct auth_config {
	const char *username, *password, *identity_token, *registry_token;
};

struct authorizer; /* a modifier with its challenges, scope and token cache; thread-safe */

/* PingV2Registry: GET {endpoint}/v2/, with that query unless it is NULL, through transport t
 * (without authorization). ret_authorizer is made for these challenges, credentials and scope
 * ("repository:NAME:pull", or with a class "repository(plugin):..."; NULL: none, as a login has
 * none, and tokens are asked for with offline access). *ret_found_version as foundVersion. Error:
 * ERROR_PING_RESPONSE or what the transport said. */
int ping_v2_registry(const struct transport *t, const struct context *ctx, const char *endpoint_url,
	const char *query, const struct auth_config *auth, const char *scope,
	struct authorizer **ret_authorizer, bool *ret_found_version, struct error **reterr);
struct modifier *authorizer_modifier(struct authorizer *a);
/* The identity token that a token server gave last, "" for none. No request may be under way. */
const char *authorizer_refresh_token(const struct authorizer *a);
void authorizer_free(struct authorizer *a);

#endif
