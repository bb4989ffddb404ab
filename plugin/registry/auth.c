/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: registry/auth.go (PingV2Registry), registry/client/auth/session.go
 * (endpointAuthorizer, tokenHandler, basicHandler), challenge's simpleManager,
 * distribution/registry.go (existingTokenHandler). */
#include "registry/auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/url.h"
#include "registry/auth_token.h"
#include "registry/challenge.h"

#define PING_TIMEOUT_MS 15000
#define VERSION_HEADER "Docker-Distribution-Api-Version"

struct authorizer {
	struct modifier modifier; /* first */
	/* constant */
	char *root; /* the URL whose challenges these are, as root_key() spells it */
	struct challenge_list challenges;
	char *username, *password, *identity_token, *registry_token, *scope;
	struct auth_config auth;    /* these, for others to read */
	struct transport transport; /* for tokens; what it points to is the caller's */

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t cond;  /* fetching ended */
	bool fetching;
	char *token;
	int64_t expires;     /* ms of the wall clock; 0: there is none */
	char *refresh_token; /* the last one that a server gave; NULL: none */
};

/* ---- tokens */

static void wake(void *arg)
{
	struct authorizer *a = arg;

	pthread_mutex_lock(&a->lock);
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

/* Take the right to fetch, or the token that is there. 1: fetch; 0: *ret is the token. */
static int begin_fetch(struct authorizer *a, const struct context *ctx, bool cached_will_do,
	char **ret, struct error **reterr)
{
	struct cancel_watch watch;
	int rc;

	cancel_watch(ctx->cancel, &watch, wake, a);
	pthread_mutex_lock(&a->lock);
	while (a->fetching && !cancel_fired(ctx->cancel))
		context_wait(ctx, &a->cond, &a->lock, -1);
	if (cancel_fired(ctx->cancel)) {
		rc = error_set(reterr, error_ref(cancel_error(ctx->cancel)));
	} else if (cached_will_do && a->expires && auth_now_ms() <= a->expires) {
		*ret = strdup(a->token);
		rc = *ret ? 0 : error_set(reterr, &error_no_memory);
	} else {
		a->fetching = true;
		rc = 1;
	}
	pthread_mutex_unlock(&a->lock);
	cancel_unwatch(&watch);
	return rc;
}

/* t->token NULL: nothing to remember. */
static void end_fetch(struct authorizer *a, const struct token *t)
{
	char *copy = t->token ? strdup(t->token) : NULL;

	pthread_mutex_lock(&a->lock);
	a->fetching = false;
	if (copy) { /* without memory it is asked for again */
		secret_free(a->token);
		a->token = copy;
		a->expires = t->expires;
	}
	if (t->refresh_token) {
		secret_free(a->refresh_token);
		a->refresh_token = t->refresh_token;
	}
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

/* tokenHandler.getToken: one request at a time, whoever needs it. */
static int get_token(struct authorizer *a, const struct context *ctx,
	const struct challenge *challenge, const char *extra_scope, char **ret,
	struct error **reterr)
{
	struct token_request r = {.transport = &a->transport,
		.auth = &a->auth,
		.scope = a->scope,
		.extra_scope = extra_scope,
		.over_https = str_has_prefix(a->root, "https:")};
	struct token t = {0};
	int rc;

	if (extra_scope && a->scope && strcmp(extra_scope, a->scope) == 0)
		r.extra_scope = NULL;
	rc = begin_fetch(a, ctx, !r.extra_scope, ret, reterr);
	if (rc != 1)
		return rc;
	rc = auth_fetch_token(&r, ctx, challenge, &t, reterr);
	if (rc == 0)
		*ret = t.token;
	if (r.extra_scope)
		t.token = NULL;
	end_fetch(a, &t);
	return rc;
}

/* ---- handlers */

static int set_bearer(struct header_list *headers, const char *token, struct error **reterr)
{
	cleanup_free char *value = str_printf("Bearer %s", token);

	return value ? header_set(headers, "Authorization", value, reterr)
		     : error_set(reterr, &error_no_memory);
}

static int authorize_bearer(struct authorizer *a, const struct context *ctx, const struct url *url,
	const struct challenge *challenge, struct header_list *headers, struct error **reterr)
{
	cleanup_free char *token = NULL, *scope = NULL, *from = NULL;

	if (*a->registry_token)
		return set_bearer(headers, a->registry_token, reterr);
	from = auth_query_value(url->raw_query, "from");
	if (from && *from) {
		scope = str_printf("repository:%s:pull", from);
		if (!scope)
			return error_set(reterr, &error_no_memory);
	}
	if (get_token(a, ctx, challenge, scope, &token, reterr) < 0)
		return -1;
	return set_bearer(headers, token, reterr);
}

static int authorize_basic(struct authorizer *a, struct header_list *headers, struct error **reterr)
{
	if (!*a->username || !*a->password)
		return error_set(reterr, &err_no_basic_auth_credentials);
	return transport_set_basic_auth(headers, a->username, a->password, reterr);
}

/* simpleManager's key: the ping's URL of what lies below it. NULL: no memory. */
static char *root_key(const struct url *url, size_t path_size)
{
	cleanup_free char *origin = transport_origin(url);

	return origin ? str_printf("%s%.*s", origin, (int)path_size, url->path) : NULL;
}

/* Is url below the endpoint that gave the challenges? 1, 0, or -1: no memory. */
static int is_ours(const struct authorizer *a, const struct url *url)
{
	cleanup_free char *key = NULL, *other = NULL;
	const char *at = strstr(url->path, "/v2/");

	if (at) {
		key = root_key(url, (size_t)(at - url->path) + 4);
	} else if ((at = strstr(url->path, "/v1/"))) {
		other = root_key(url, (size_t)(at - url->path));
		key = other ? str_printf("%s/v2/", other) : NULL;
	} else {
		return 0;
	}
	return key ? strcmp(key, a->root) == 0 : -1;
}

/* endpointAuthorizer.ModifyRequest: the token handler comes first, then basic. */
static int modify(struct modifier *m, const struct context *ctx, const char *url_text,
	struct header_list *headers, struct error **reterr)
{
	struct authorizer *a = (struct authorizer *)m;
	cleanup_url struct url url = {0};
	size_t i;
	int ours;

	if (url_parse(url_text, &url, reterr) < 0)
		return -1;
	ours = is_ours(a, &url);
	if (ours < 0)
		return error_set(reterr, &error_no_memory);
	if (!ours)
		return 0;
	for (i = 0; i < a->challenges.count; i++) {
		const struct challenge *c = &a->challenges.items[i];

		if (strcmp(c->scheme, "bearer") == 0 &&
			authorize_bearer(a, ctx, &url, c, headers, reterr) < 0)
			return -1;
	}
	for (i = 0; i < a->challenges.count && !*a->registry_token; i++) {
		if (strcmp(a->challenges.items[i].scheme, "basic") == 0 &&
			authorize_basic(a, headers, reterr) < 0)
			return -1;
	}
	return 0;
}

/* ---- the ping */

static struct authorizer *authorizer_new(
	const struct transport *t, const struct auth_config *auth, const char *scope)
{
	struct authorizer *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	if (cond_init(&a->cond) < 0) {
		free(a);
		return NULL;
	}
	pthread_mutex_init(&a->lock, NULL);
	a->modifier.modify = modify;
	a->transport = *t;
	a->username = strdup(auth->username ? auth->username : "");
	a->password = strdup(auth->password ? auth->password : "");
	a->identity_token = strdup(auth->identity_token ? auth->identity_token : "");
	a->registry_token = strdup(auth->registry_token ? auth->registry_token : "");
	a->scope = scope ? strdup(scope) : NULL;
	a->auth = (struct auth_config){
		a->username, a->password, a->identity_token, a->registry_token};
	if (!a->username || !a->password || !a->identity_token || !a->registry_token ||
		(scope && !a->scope)) {
		authorizer_free(a);
		return NULL;
	}
	return a;
}

void authorizer_free(struct authorizer *a)
{
	if (!a)
		return;
	challenge_list_free(&a->challenges);
	free(a->root);
	free(a->username);
	secret_free(a->password);
	secret_free(a->identity_token);
	secret_free(a->registry_token);
	secret_free(a->token);
	secret_free(a->refresh_token);
	free(a->scope);
	pthread_cond_destroy(&a->cond);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

struct modifier *authorizer_modifier(struct authorizer *a)
{
	return &a->modifier;
}

const char *authorizer_refresh_token(const struct authorizer *a)
{
	return a->refresh_token ? a->refresh_token : "";
}

/* auth.APIVersions: is "registry/2.0" one of the words of these headers? */
static bool says_v2(const struct header_list *headers)
{
	const char *value;
	size_t i;

	for (i = 0; (value = header_get_nth(headers, VERSION_HEADER, i)); i++) {
		while (*value) {
			size_t blanks = strspn(value, " \t\r\n\v\f"), n;

			value += blanks;
			n = strcspn(value, " \t\r\n\v\f");
			if (n == strlen("registry/2.0") &&
				strncasecmp(value, "registry/", 9) == 0 &&
				strncmp(value + 9, "2.0", 3) == 0)
				return true;
			value += n;
		}
	}
	return false;
}

/* simpleManager.AddResponse */
static int add_response(struct authorizer *a, const struct http_response *r, struct error **reterr)
{
	cleanup_url struct url url = {0};

	if (url_parse(r->url, &url, reterr) < 0)
		return -1;
	a->root = root_key(&url, strlen(url.path));
	if (!a->root)
		return error_set(reterr, &error_no_memory);
	return challenge_parse(r->status, &r->headers, &a->challenges, reterr);
}

int ping_v2_registry(const struct transport *t, const struct context *ctx, const char *endpoint_url,
	const char *query, const struct auth_config *auth, const char *scope,
	struct authorizer **ret_authorizer, bool *ret_found_version, struct error **reterr)
{
	struct authorizer *a = NULL;
	struct http_response *r = NULL;
	cleanup_free char *url = NULL;
	struct http_request request = {.method = "GET", .timeout_ms = PING_TIMEOUT_MS};
	size_t n = strlen(endpoint_url);
	struct error *err = NULL;
	int rc;

	*ret_found_version = false;
	while (n && endpoint_url[n - 1] == '/')
		n--;
	url = str_printf(
		"%.*s/v2/%s%s", (int)n, endpoint_url, query ? "?" : "", query ? query : "");
	if (!url || !(a = authorizer_new(t, auth, scope)))
		return error_set(reterr, &error_no_memory);
	request.url = url;
	if (transport_do(t, ctx, &request, &r, reterr) < 0) {
		authorizer_free(a);
		return -1;
	}
	*ret_found_version = says_v2(&r->headers);
	rc = add_response(a, r, &err);
	transport_finish(r, ctx);
	if (rc < 0) {
		authorizer_free(a);
		return error_set(reterr, error_wrap(ERROR_PING_RESPONSE, err));
	}
	*ret_authorizer = a;
	return 0;
}
