/* SPDX-License-Identifier: Apache-2.0 */
/* Logins through the plugin's border: what is asked of a registry and its token server, and what is
 * made of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fakes/fake_engine.h"
#include "http_server.h"

static const struct image_pull_plugin *plugin;

struct login_case {
	const char *challenge;    /* of /v2/; NULL: everybody is let in */
	const char *token_status; /* NULL: 200 */
	const char *token_answer;
	const char *accepts; /* the Authorization that /v2/ takes */
	const char *v2_header;
	struct image_pull_auth auth;
	const char *requests; /* "PATH AUTHORIZATION", one a line; {1} is the registry */
	const char *token;    /* the identity token; NULL: none */
	const char *error;    /* NULL: the login succeeds */
	int error_class;
};

struct world {
	struct server *server;
	const struct login_case *c;
	pthread_mutex_t lock;
	char log[4096];
};

/* The pattern with the registry's host and port for each {1}. */
static char *fill(const struct world *w, const char *pattern)
{
	struct buf b = {0};

	buf_append_str(&b, "");
	for (; *pattern; pattern++) {
		if (strncmp(pattern, "{1}", 3) == 0) {
			buf_appendf(&b, "127.0.0.1:%d", server_port(w->server));
			pattern += 2;
		} else {
			buf_append_char(&b, *pattern);
		}
	}
	return buf_steal(&b);
}

static bool answer(struct server_connection *c, void *arg)
{
	struct world *w = arg;
	const struct login_case *k = w->c;
	cleanup_free char *headers = NULL, *challenge = NULL;
	char authorization[256] = "-";
	size_t n;

	server_header(c, "Authorization", authorization, sizeof(authorization));
	pthread_mutex_lock(&w->lock);
	n = strlen(w->log);
	snprintf(w->log + n, sizeof(w->log) - n, "%s %s%s%s\n", c->target, authorization,
		*c->body ? "|" : "", c->body);
	pthread_mutex_unlock(&w->lock);
	if (strncmp(c->target, "/token", 6) == 0) {
		server_reply(c, k->token_status ? k->token_status : "200 OK", "", k->token_answer);
		return true;
	}
	challenge = fill(w, k->challenge ? k->challenge : "");
	headers = str_printf("%s%s", k->v2_header ? k->v2_header : "",
		k->challenge && strcmp(authorization, k->accepts) != 0 ? challenge : "");
	server_reply(c,
		k->challenge && strcmp(authorization, k->accepts) != 0 ? "401 Unauthorized"
								       : "200 OK",
		headers, "{}");
	return true;
}

#define BASIC "WWW-Authenticate: Basic realm=\"cellar\"\r\n"
#define BEARER "WWW-Authenticate: Bearer realm=\"http://{1}/token\",service=\"svc\"\r\n"
#define IS_V2 "Docker-Distribution-Api-Version: registry/2.0\r\n"
#define U_P                                                                                        \
	{                                                                                          \
		.struct_size = sizeof(struct image_pull_auth), .username = "u", .password = "p"    \
	}
#define ASK_TOKEN                                                                                  \
	"/v2/ -\n/token?account=u&client_id=docker&offline_token=true&service=svc Basic dTpw\n"
#define GET_V2 "Get \"http://{1}/v2/\": "

static const struct login_case cases[] = {
	{.auth = U_P, .requests = "/v2/ -\n/v2/ -\n"},
	{BASIC, NULL, NULL, "Basic dTpw", NULL, U_P, "/v2/ -\n/v2/ Basic dTpw\n", NULL, NULL, 0},
	{BASIC, NULL, NULL, "Basic other", NULL, U_P, "/v2/ -\n/v2/ Basic dTpw\n", NULL,
		"login attempt to http://{1}/v2/ failed with status: 401 Unauthorized",
		IMAGE_PULL_CLASS_NONE},
	{BASIC, NULL, NULL, "Basic dTpw", NULL, {.struct_size = sizeof(struct image_pull_auth)},
		"/v2/ -\n", NULL, GET_V2 "no basic auth credentials", IMAGE_PULL_CLASS_NONE},
	{BEARER, NULL, "{\"token\":\"t\"}", "Bearer t", NULL, U_P, ASK_TOKEN "/v2/ Bearer t\n",
		NULL, NULL, 0},
	/* An identity token is what is to be kept. */
	{BEARER, NULL, "{\"token\":\"t\",\"refresh_token\":\"keep\"}", "Bearer t", IS_V2, U_P,
		ASK_TOKEN "/v2/ Bearer t\n", "keep", NULL, 0},
	{BEARER, "401 Unauthorized", "{\"details\":\"incorrect username or password\"}", "", NULL,
		U_P, ASK_TOKEN, NULL, GET_V2 "unauthorized: incorrect username or password",
		IMAGE_PULL_CLASS_UNAUTHORIZED},
	{BEARER, NULL, "{\"token\":\"t\"}", "Bearer other", IS_V2, U_P, ASK_TOKEN "/v2/ Bearer t\n",
		NULL, "login attempt to http://{1}/v2/ failed with status: 401 Unauthorized",
		IMAGE_PULL_CLASS_NONE},
	/* An identity token that was kept is good for a login, too. */
	{BEARER, NULL, "{\"access_token\":\"a\",\"refresh_token\":\"new\"}", "Bearer a", NULL,
		{.struct_size = sizeof(struct image_pull_auth), .identity_token = "old"},
		"/v2/ -\n/token -|client_id=docker&grant_type=refresh_token&refresh_token=old"
		"&scope=&service=svc\n/v2/ Bearer a\n",
		"new", NULL, 0},
};

static int take_token(void *receiver, const void *data, size_t size)
{
	char **token = receiver;

	free(*token);
	*token = strndup(data, size);
	return *token ? IMAGE_PULL_OK : IMAGE_PULL_NO_MEMORY;
}

static char *message_of(struct image_pull_error *error)
{
	char *text = error ? strdup(plugin->error_info(error)->message) : NULL;

	plugin->error_free(error);
	return text;
}

static int log_in(struct fake_engine *e, const char *hostname, const struct image_pull_auth *auth,
	char **token, struct image_pull_error **error)
{
	const struct image_pull_login login = {
		.struct_size = sizeof(login), .hostname = hostname, .auth = auth};
	const struct image_pull_sink sink = {
		.struct_size = sizeof(sink), .receiver = token, .value = take_token};
	struct image_pull_instance *instance;
	int r;

	assert_int_equal(plugin->create(&e->engine, &instance, NULL), 0);
	r = plugin->login(instance, &login, &sink, error);
	plugin->destroy(instance);
	return r;
}

static void expect(size_t i, const char *what, const char *want, const char *got)
{
	if (!str_equal(want, got))
		fail_msg("case %zu: want %s %s, got %s", i, what, want ? want : "none",
			got ? got : "none");
}

static void asks_registries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct login_case *c = &cases[i];
		struct world w = {.c = c, .lock = PTHREAD_MUTEX_INITIALIZER};
		cleanup_free char *url = NULL, *host = NULL, *token = NULL, *message = NULL;
		cleanup_free char *want = NULL;
		struct image_pull_error *error = NULL;
		struct fake_engine e;
		int r, error_class = 0;

		w.server = server_start(&(struct server_options){.handler = answer, .arg = &w});
		url = fill(&w, "http://{1}");
		host = fill(&w, "{1}");
		want = c->error ? fill(&w, c->error) : NULL;
		fake_engine_init(&e, false);
		e.endpoints[0] = url;
		r = log_in(&e, host, &c->auth, &token, &error);
		if (error)
			error_class = plugin->error_info(error)->error_class;
		message = message_of(error);
		server_stop(w.server);
		fake_engine_free(&e);
		expect(i, "the error", want, message);
		expect(i, "the requests", c->requests, w.log);
		expect(i, "the token", c->token, token);
		assert_int_equal(r, want ? -1 : 0);
		assert_int_equal(error_class, c->error_class);
	}
}

/* ---- which endpoints are asked */

struct endpoints {
	const char *urls[3];
	bool mirrors[3];
};

static int lookup(void *context, const char *hostname, const struct image_pull_sink *sink)
{
	const struct endpoints *e = context;

	(void)hostname;
	for (size_t i = 0; i < 3 && e->urls[i]; i++) {
		const struct image_pull_endpoint endpoint = {.struct_size = sizeof(endpoint),
			.url = e->urls[i],
			.version = 2,
			.mirror = e->mirrors[i]};

		if (sink->value(sink->receiver, &endpoint, sizeof(endpoint)) != IMAGE_PULL_OK)
			return IMAGE_PULL_NO_MEMORY;
	}
	return IMAGE_PULL_OK;
}

static void asks_endpoints(void **state)
{
	static const struct {
		const char *challenge, *v2_header;
		struct endpoints endpoints;
		const char *requests, *error;
	} table[] = {
		/* What did not show that it is a registry is passed over. */
		{BASIC, NULL, {{"http://127.0.0.1:1", "http://{1}"}, {false}},
			"/v2/ -\n/v2/ Basic dTpw\n", NULL},
		/* The registry has spoken. */
		{BASIC, IS_V2, {{"http://{1}/first", "http://{1}/second"}, {false}},
			"/first/v2/ -\n/first/v2/ Basic dTpw\n",
			"login attempt to http://{1}/first/v2/ failed with status: 401 "
			"Unauthorized"},
		/* No credentials for mirrors. */
		{NULL, NULL, {{"http://{1}/mirror", "http://{1}"}, {true}}, "/v2/ -\n/v2/ -\n",
			NULL},
		{NULL, NULL, {{"http://{1}/mirror"}, {true}}, "",
			"no endpoints found for registry.example"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const bool wrong = i == 1;
		const struct login_case c = {.challenge = table[i].challenge,
			.v2_header = table[i].v2_header,
			.accepts = wrong ? "Basic other" : "Basic dTpw",
			.auth = U_P};
		struct world w = {.c = &c, .lock = PTHREAD_MUTEX_INITIALIZER};
		cleanup_free char *token = NULL, *message = NULL, *want = NULL;
		struct endpoints endpoints = table[i].endpoints;
		char *urls[3] = {NULL};
		struct image_pull_error *error = NULL;
		struct fake_engine e;

		w.server = server_start(&(struct server_options){.handler = answer, .arg = &w});
		for (size_t k = 0; k < 3 && endpoints.urls[k]; k++)
			endpoints.urls[k] = urls[k] = fill(&w, endpoints.urls[k]);
		want = table[i].error ? fill(&w, table[i].error) : NULL;
		fake_engine_init(&e, false);
		e.registry_service.context = &endpoints;
		e.registry_service.lookup_pull_endpoints = lookup;
		(void)log_in(&e, "registry.example", &c.auth, &token, &error);
		message = message_of(error);
		server_stop(w.server);
		fake_engine_free(&e);
		for (size_t k = 0; k < 3; k++)
			free(urls[k]);
		expect(i, "the error", want, message);
		expect(i, "the requests", table[i].requests, w.log);
	}
}

static bool at_once(struct fake_engine *e)
{
	(void)e;
	return true;
}

static void ends_in_order(void **state)
{
	cleanup_free char *token = NULL, *message = NULL;
	struct image_pull_error *error = NULL;
	struct fake_engine e;

	(void)state;
	fake_engine_init(&e, false);
	assert_int_equal(log_in(&e, "", NULL, &token, &error), -1);
	message = message_of(error);
	assert_string_equal(message, "no registry was given");
	error = NULL;
	e.endpoints[0] = "http://127.0.0.1:1";
	e.cancelled = at_once;
	assert_int_equal(log_in(&e, "127.0.0.1:1", NULL, &token, &error), -1);
	assert_int_equal(plugin->error_info(error)->cancelled, 1);
	plugin->error_free(error);
	assert_null(token);
	fake_engine_free(&e);
}

static int load_plugin(void **state)
{
	(void)state;
	plugin = fake_engine_load_plugin();
	return plugin && IMAGE_PULL_HAS(plugin, struct image_pull_plugin, login) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_registries),
		cmocka_unit_test(asks_endpoints),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests(tests, load_plugin, NULL);
}
