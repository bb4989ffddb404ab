/* SPDX-License-Identifier: Apache-2.0 */
/* Does a registry take these credentials? Go counterparts: registry/service.go (Auth),
 * registry/auth.go (loginV2, v2AuthHTTPClient), registry/errors.go. */
#include "pull.h"

#include <string.h>

#include "base/buf.h"
#include "engine.h"
#include "registry/auth.h"

#define LOGIN_TIMEOUT_MS 15000

/* translateV2AuthError */
static struct error *translate_v2_auth_error(struct error *err)
{
	const struct error *cause = err->kind == ERROR_URL ? err->cause : NULL;

	if (cause && cause->kind == ERROR_ERRCODE_ERROR && cause->code &&
		strcmp(cause->code, "UNAUTHORIZED") == 0)
		return error_errdefs(CLASS_UNAUTHORIZED, err);
	return err;
}

/* The request that the registry answers with 200 if it takes the credentials. */
static int ask(const struct transport *t, const struct context *ctx, const char *url,
	struct error **reterr)
{
	const struct http_request request = {
		.method = "GET", .url = url, .timeout_ms = LOGIN_TIMEOUT_MS};
	struct http_response *response = NULL;
	struct error *err = NULL;
	int r = 0;

	if (transport_do(t, ctx, &request, &response, &err) < 0)
		return error_set(reterr, translate_v2_auth_error(err));
	if (response->status != 200)
		r = error_setf(reterr, "login attempt to %s failed with status: %s", url,
			response->status_line);
	transport_finish(response, ctx);
	return r;
}

/* loginV2. *ret_found_v2: the answer says that this is a registry; only without that is another
 * endpoint asked after a failure. */
static int login_v2(const struct pull_config *config, const struct pull_endpoint *e,
	char **ret_token, bool *ret_found_v2, struct error **reterr)
{
	/* Other secrets than these are no part of a login. */
	const struct auth_config auth = {
		config->auth.username, config->auth.password, config->auth.identity_token, ""};
	size_t n = strlen(e->url);
	cleanup_free char *url = NULL;
	struct header_modifier headers;
	struct modifier *modifiers[2] = {&headers.modifier, NULL};
	struct transport t = {.client = config->http,
		.tls = e->tls,
		.modifiers = modifiers,
		.nmodifiers = 1,
		.log = config->log};
	struct authorizer *authorizer = NULL;
	struct error *err = NULL;
	int r;

	while (n && e->url[n - 1] == '/')
		n--;
	url = str_printf("%.*s/v2/", (int)n, e->url);
	if (!url)
		return error_set(reterr, &error_no_memory);
	log_debug(config->log, "attempting v2 login to registry endpoint %s", url);
	header_modifier_init(&headers, config->meta_headers);
	if (ping_v2_registry(&t, config->ctx, e->url, /* query= */ NULL, &auth, /* scope= */ NULL,
		    &authorizer, ret_found_v2, &err) < 0)
		return error_set(reterr, err);
	modifiers[t.nmodifiers++] = authorizer_modifier(authorizer);
	r = ask(&t, config->ctx, url, reterr);
	if (r == 0 && *authorizer_refresh_token(authorizer)) {
		*ret_token = strdup(authorizer_refresh_token(authorizer));
		if (!*ret_token)
			r = error_set(reterr, &error_no_memory);
	}
	authorizer_free(authorizer);
	return r;
}

int login(const struct pull_config *config, const char *hostname, char **ret_token,
	struct error **reterr)
{
	struct pull_endpoint_list endpoints = {0};
	struct error *err = NULL;
	bool found_v2 = false;
	int r = -1;

	if (engine_lookup_pull_endpoints(config->registry_service, hostname, &endpoints, &err) < 0)
		return error_set(reterr, error_errdefs(CLASS_INVALID_PARAMETER, err));
	for (size_t i = 0; r < 0 && !found_v2 && i < endpoints.count; i++) {
		const struct pull_endpoint *e = &endpoints.items[i];

		/* LookupPushEndpoints: the registry's credentials are not for its mirrors. */
		if (e->mirror || new_puller(e, NULL) < 0)
			continue;
		if (err)
			log_info(config->log,
				"Error logging in to endpoint, trying next endpoint: %s",
				err->message);
		error_unref(err);
		err = NULL;
		pull_report_endpoint(config->report, e->url);
		r = login_v2(config, e, ret_token, &found_v2, &err);
		if (r < 0)
			pull_report_attempt(config->report, err->message);
		if (cancel_fired(config->ctx->cancel))
			break;
	}
	pull_endpoint_list_free(&endpoints);
	if (r < 0 && !err)
		err = error_plainf("no endpoints found for %s", hostname);
	return r < 0 ? error_set(reterr, err) : 0;
}
