/* SPDX-License-Identifier: Apache-2.0 */
/* Ping, challenges, tokens; tags, manifests and blobs of a repository. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "http_server.h"
#include "registry/repository.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static const struct context background;

/* A registry whose answers a test fills in. {1} stands for it, {2} for another one. */
struct world {
	struct server *server, *other;
	struct http_client *client;
	struct http_tls *tls;
	const char *challenge; /* of the ping; NULL: it answers 200 */
	const char *token_status, *token_headers, *token_answer;
	const char *manifest_status, *manifest_headers, *manifest_answer;
	const char *blob_status, *blob_headers, *blob_answer;
	const char *tags[4], *links[4]; /* pages */
	atomic_int tokens;
	pthread_mutex_t lock;
	char log[32768]; /* "METHOD target authorization|body\n" */
};

static char *fill(const struct world *w, const char *pattern)
{
	struct buf b = {0};

	buf_append_str(&b, "");
	for (; *pattern; pattern++) {
		if (strncmp(pattern, "{1}", 3) == 0 || strncmp(pattern, "{2}", 3) == 0) {
			buf_appendf(&b, "127.0.0.1:%d",
				server_port(pattern[1] == '1' ? w->server : w->other));
			pattern += 2;
		} else {
			buf_append_char(&b, *pattern);
		}
	}
	return buf_steal(&b);
}

static void note(struct world *w, const struct server_connection *c)
{
	char authorization[256] = "-";
	size_t n;

	server_header(c, "Authorization", authorization, sizeof(authorization));
	pthread_mutex_lock(&w->lock);
	n = strlen(w->log);
	snprintf(w->log + n, sizeof(w->log) - n, "%s%s %s %s%s%s\n",
		c->server == w->other ? "other: " : "", c->method, c->target, authorization,
		*c->body ? "|" : "", c->body);
	pthread_mutex_unlock(&w->lock);
}

static bool answer(struct server_connection *c, void *arg)
{
	struct world *w = arg;
	cleanup_free char *headers = NULL, *body = NULL;
	const char *status = "200 OK";
	int page;

	note(w, c);
	if (strcmp(c->target, "/v2/") == 0 && w->challenge) {
		headers = fill(w, w->challenge);
		server_reply(c, "401 Unauthorized", headers, "{}");
		return true;
	}
	if (strncmp(c->target, "/token", 6) == 0) {
		atomic_fetch_add(&w->tokens, 1);
		usleep(20000); /* so that others come to wait */
		status = w->token_status;
		headers = strdup(w->token_headers);
		body = fill(w, w->token_answer);
	} else if (strstr(c->target, "/manifests/")) {
		status = w->manifest_status;
		headers = fill(w, w->manifest_headers);
		body = fill(w, w->manifest_answer);
	} else if (strstr(c->target, "/blobs/")) {
		status = w->blob_status;
		headers = fill(w, w->blob_headers);
		body = fill(w, w->blob_answer);
	} else if (strstr(c->target, "/tags/list")) {
		page = strchr(c->target, '=') ? atoi(strchr(c->target, '=') + 1) : 0;
		headers = w->links[page] ? str_printf("Link: %s\r\n", w->links[page]) : strdup("");
		if (w->links[page]) {
			char *filled = fill(w, headers);

			free(headers);
			headers = filled;
		}
		body = strdup(w->tags[page]);
	} else {
		headers = strdup("Docker-Distribution-Api-Version: registry/2.0\r\n");
		body = strdup("{}");
	}
	server_reply(c, status, headers, body);
	return true;
}

static int setup(void **state)
{
	static const struct http_options options = {.user_agent = "agent"};
	struct world *w = calloc(1, sizeof(*w));

	pthread_mutex_init(&w->lock, NULL);
	w->server = server_start(&(struct server_options){.handler = answer, .arg = w});
	w->other = server_start(&(struct server_options){.handler = answer, .arg = w});
	w->client = http_client_new(&options, NULL);
	assert_non_null(w->client);
	w->token_status = w->manifest_status = w->blob_status = "200 OK";
	w->token_headers = "";
	w->token_answer = "{\"token\":\"tok\"}";
	w->manifest_headers =
		"Content-Type: application/vnd.docker.distribution.manifest.v2+json\r\n";
	w->manifest_answer = "{}";
	w->blob_headers = "";
	w->blob_answer = "blob";
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	http_client_free(w->client);
	server_stop(w->server);
	server_stop(w->other);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return 0;
}

static const struct auth_config anonymous = {"", "", "", ""};

static int open_repository(struct world *w, const struct auth_config *auth, struct repository **ret,
	bool *ret_confirmed, struct error **reterr)
{
	cleanup_free char *url = fill(w, "http://{1}"), *text = fill(w, "{1}/team/app");
	cleanup_reference struct reference *ref = NULL;
	struct repository_config config = {.client = w->client,
		.class_name = "",
		.endpoint_url = url,
		.trim_hostname = true,
		.auth = *auth};

	assert_int_equal(reference_parse_normalized_named(text, &ref, NULL), 0);
	config.name = ref;
	return repository_new(&config, &background, ret, ret_confirmed, reterr);
}

/* Blob "DIGEST" of a fresh repository; the error's text or NULL. */
static char *get_blob(struct world *w, const struct auth_config *auth)
{
	cleanup_repository struct repository *r = NULL;
	struct error *err = NULL;
	struct buf body = {0};
	bool confirmed;
	char *text = NULL;

	if (open_repository(w, auth, &r, &confirmed, &err) == 0)
		(void)repository_blob_get(r, &background, DIGEST, &body, &err);
	buf_free(&body);
	if (err)
		text = strdup(err->message);
	error_unref(err);
	return text;
}

#define BEARER "WWW-Authenticate: Bearer realm=\"http://{1}/token\",service=\"svc\"\r\n"
#define BLOB "/v2/team/app/blobs/" DIGEST
#define SCOPE "repository%3Ateam%2Fapp%3Apull"
#define GET_BLOB "Get \"http://{1}" BLOB "\": "

static void authorizes(void **state)
{
	static const struct auth_case {
		const char *challenge, *token_status, *token_answer;
		struct auth_config auth;
		const char *log; /* without the ping */
		const char *error;
	} cases[] = {
		{NULL, NULL, NULL, {"", "", "", ""}, "GET " BLOB " -\n", NULL},
		{BEARER, NULL, NULL, {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\nGET " BLOB " Bearer tok\n",
			NULL},
		{BEARER, NULL, NULL, {"us er", "p:w", "", ""},
			"GET /token?account=us+er&scope=" SCOPE
			"&service=svc Basic dXMgZXI6cDp3\nGET " BLOB " Bearer tok\n",
			NULL},
		{"WWW-Authenticate: Bearer realm=\"http://{1}/token?z=1&a=%20b\"\r\n", NULL, NULL,
			{"", "", "", ""},
			"GET /token?a=+b&scope=" SCOPE "&z=1 -\nGET " BLOB " Bearer tok\n", NULL},
		{BEARER, NULL, "{\"access_token\":\"acc\"}", {"u", "p", "id&tok", ""},
			"POST /token -|client_id=docker&grant_type=refresh_token&refresh_token="
			"id%26tok&scope=" SCOPE "&service=svc\nGET " BLOB " Bearer acc\n",
			NULL},
		{BEARER, NULL, "{\"token\":\"unused\"}", {"", "", "idtok", ""},
			"POST /token -|client_id=docker&grant_type=refresh_token&refresh_token="
			"idtok&scope=" SCOPE "&service=svc\nGET " BLOB " Bearer\n",
			NULL},
		{BEARER, NULL, NULL, {"u", "p", "i", "reg"}, "GET " BLOB " Bearer reg\n", NULL},
		{BEARER, NULL, "{\"token\":\"t\",\"access_token\":\"a\"}", {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\nGET " BLOB " Bearer a\n", NULL},
		{BEARER, NULL, "{}", {"", "", "", ""}, "GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB "authorization server did not include a token in the response"},
		{BEARER, NULL, "", {"", "", "", ""}, "GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB "unable to decode token response: EOF"},
		{BEARER, NULL, "<html>", {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB
			"unable to decode token response: invalid character '<' looking for "
			"beginning of value"},
		{BEARER, NULL, "{\"token\":\"t\",\"expires_in\":\"300\"}", {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB "unable to decode token response: json: cannot unmarshal string "
				 "into Go struct field getTokenResponse.expires_in of type int"},
		{BEARER, NULL, "{\"token\":\"t\",\"issued_at\":\"now\"}", {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB
			"unable to decode token response: parsing time \"\\\"now\\\"\" as "
			"\"\\\"2006-01-02T15:04:05Z07:00\\\"\": cannot parse \"now\\\"\" as "
			"\"2006\""},
		{BEARER, NULL, "{\"token\":\"a\\r\\nX-Injected: b\"}", {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB "net/http: invalid header field value for \"Authorization\""},
		{BEARER, "500 Oh", "no", {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB "received unexpected HTTP status: 500 Oh"},
		{BEARER, "401 Unauthorized", "{\"details\":\"bad password\"}", {"u", "p", "", ""},
			"GET /token?account=u&scope=" SCOPE "&service=svc Basic dTpw\n",
			GET_BLOB "unauthorized: bad password"},
		{"WWW-Authenticate: Bearer service=\"svc\"\r\n", NULL, NULL, {"", "", "", ""}, "",
			GET_BLOB "no realm specified for token auth challenge"},
		{"WWW-Authenticate: Bearer realm=\"/token\"\r\n", NULL, NULL, {"", "", "", ""}, "",
			GET_BLOB "Get \"/token?scope=" SCOPE
				 "\": unsupported protocol scheme \"\""},
		{"WWW-Authenticate: Bearer realm=\"file:///etc/passwd\"\r\n", NULL, NULL,
			{"", "", "", ""}, "",
			GET_BLOB "Get \"file:///etc/passwd?scope=" SCOPE
				 "\": unsupported protocol scheme \"file\""},
		{"WWW-Authenticate: Bearer realm=\"http://a b/\"\r\n", NULL, NULL, {"", "", "", ""},
			"",
			GET_BLOB
			"invalid token auth challenge realm: parse \"http://a b/\": invalid "
			"character \" \" in host name"},
		{"WWW-Authenticate: Bearer realm=\"http://127.0.0.1:1/token\"\r\n", NULL, NULL,
			{"", "", "", ""}, "",
			GET_BLOB "Get \"http://127.0.0.1:1/token?scope=" SCOPE
				 "\": dial tcp 127.0.0.1:1: connect: connection refused"},
		{"WWW-Authenticate: Basic realm=\"x\"\r\n", NULL, NULL, {"u", "p", "", ""},
			"GET " BLOB " Basic dTpw\n", NULL},
		{"WWW-Authenticate: Basic realm=\"x\"\r\n", NULL, NULL, {"u", "", "", ""}, "",
			GET_BLOB "no basic auth credentials"},
		{"WWW-Authenticate: Basic realm=\"x\"\r\n" BEARER, NULL, NULL, {"u", "p", "", ""},
			"GET /token?account=u&scope=" SCOPE "&service=svc Basic dTpw\nGET " BLOB
			" Basic dTpw\n",
			NULL},
		{BEARER "WWW-Authenticate: Basic realm=\"x\"\r\n", NULL, NULL, {"", "", "", ""},
			"GET /token?scope=" SCOPE "&service=svc -\n",
			GET_BLOB "no basic auth credentials"},
		{"WWW-Authenticate: Digest realm=\"x\"\r\n", NULL, NULL, {"u", "p", "", ""},
			"GET " BLOB " -\n", NULL},
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct auth_case *c = &cases[i];
		cleanup_free char *error = NULL, *want = c->error ? fill(w, c->error) : NULL;
		const char *log;

		*w->log = '\0';
		w->challenge = c->challenge;
		w->token_status = c->token_status ? c->token_status : "200 OK";
		w->token_answer = c->token_answer ? c->token_answer : "{\"token\":\"tok\"}";
		error = get_blob(w, &c->auth);
		if (!str_equal(error, want))
			fail_msg("case %zu (%s): want %s, got %s", i,
				c->challenge ? c->challenge : "no challenge",
				want ? want : "no error", error ? error : "no error");
		assert_true(str_has_prefix(w->log, "GET /v2/ -\n"));
		log = w->log + strlen("GET /v2/ -\n");
		if (strcmp(log, c->log) != 0)
			fail_msg("case %zu: want requests\n%sgot\n%s", i, c->log, log);
	}
}

/* ---- how long a token lasts */

static void caches_tokens(void **state)
{
	static const struct {
		const char *answer;
		int tokens; /* for three requests */
	} cases[] = {
		{"{\"token\":\"t\"}", 1},
		{"{\"token\":\"t\",\"expires_in\":1}", 1}, /* 60 seconds at least */
		{"{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2019-06-01T00:00:00Z\"}", 3},
		{"{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2119-06-01T00:00:00Z\"}", 1},
		{"{\"token\":\"t\",\"issued_at\":\"0001-01-01T00:00:00Z\"}", 1},
		{"{\"token\":\"t\",\"expires_in\":9223372036854775807}", 1},
		{"{\"token\":\"t\",\"expires_in\":-5}", 1},
	};
	struct world *w = *state;
	size_t i;
	int k;

	w->challenge = BEARER;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_repository struct repository *r = NULL;
		bool confirmed;

		w->token_answer = cases[i].answer;
		atomic_store(&w->tokens, 0);
		assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, NULL), 0);
		for (k = 0; k < 3; k++) {
			struct buf body = {0};

			assert_int_equal(
				repository_blob_get(r, &background, DIGEST, &body, NULL), 0);
			buf_free(&body);
		}
		if (atomic_load(&w->tokens) != cases[i].tokens)
			fail_msg("%s: want %d requests for a token, got %d", cases[i].answer,
				cases[i].tokens, atomic_load(&w->tokens));
	}
}

static void *fetch_some(void *arg)
{
	struct repository *r = arg;
	struct buf body = {0};
	struct error *err = NULL;
	char *said = NULL;

	if (repository_blob_get(r, &background, DIGEST, &body, &err) < 0)
		said = strdup(err->message);
	error_unref(err);
	buf_free(&body);
	return said;
}

static void asks_for_one_token_at_a_time(void **state)
{
	struct world *w = *state;
	cleanup_repository struct repository *r = NULL;
	pthread_t threads[8];
	void *said;
	bool confirmed;
	size_t i;

	w->challenge = BEARER;
	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fetch_some, r), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &said);
		if (said)
			fail_msg("%s", (char *)said);
	}
	assert_int_equal(atomic_load(&w->tokens), 1);
}

/* ---- whom secrets go to */

static void keeps_secrets_at_home(void **state)
{
	static const char *const challenges[] = {BEARER, "WWW-Authenticate: Basic realm=\"x\"\r\n"};
	static const struct auth_config auth = {"u", "p", "", ""};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(challenges); i++) {
		cleanup_free char *error = NULL;

		*w->log = '\0';
		w->challenge = challenges[i];
		w->blob_status = "307 Temporary Redirect";
		w->blob_headers = "Location: http://{2}/v2/elsewhere\r\n";
		error = get_blob(w, &auth);
		assert_null(error);
		if (!strstr(w->log, "other: GET /v2/elsewhere -\n"))
			fail_msg("%s", w->log);
	}
	/* the other one asks for them itself */
	w->blob_status = "401 Unauthorized";
	w->blob_headers = "WWW-Authenticate: Basic realm=\"give\"\r\n";
	w->blob_answer = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"give\"}]}";
	*w->log = '\0';
	free(get_blob(w, &auth));
	assert_null(strstr(w->log, "other: "));
}

/* Names of the test's own: *.far is a metadata service's, the others are this machine's. */
static int resolve(
	void *context, const char *host, int (*add)(void *arg, const char *address), void *arg)
{
	(void)context;
	if (strcmp(host, "v6.far") == 0)
		return add(arg, "fd00:ec2::254");
	if (strcmp(host, "mixed.far") == 0 && add(arg, "127.0.0.1") < 0)
		return -1;
	return add(arg, str_has_suffix(host, ".far") ? "169.254.169.254" : "127.0.0.1");
}

/* A realm is the registry's word: it leads to no link-local or metadata address. */
static void refuses_link_local_realms(void **state)
{
	static const struct {
		const char *realm, *location; /* location: where the realm redirects to */
		bool refused;
	} cases[] = {
		{"http://169.254.169.254/token", NULL, true},
		{"http://169.254.0.1:8080/token", NULL, true},
		{"http://[fe80::1]/token", NULL, true},
		{"http://[febf::1]:1/token", NULL, true},
		{"http://[fd00:ec2::254]/token", NULL, true},
		{"http://[::ffff:169.254.169.254]/token", NULL, true},
		{"http://v4.far/token", NULL, true},
		{"http://v6.far/token", NULL, true},
		{"http://mixed.far/token", NULL, true},
		{"http://{1}/token", "http://169.254.169.254/latest", true},
		{"http://{1}/token", "http://v4.far/latest", true},
		{"http://{1}/token", NULL, false},
		{"http://near:{port}/token", NULL, false},
	};
	static const struct auth_config users[] = {{"", "", "", ""}, {"", "", "identity", ""}};
	static const struct http_options options = {.user_agent = "agent", .resolve = resolve};
	struct world *w = *state;

	http_client_free(w->client);
	w->client = http_client_new(&options, NULL);
	assert_non_null(w->client);
	w->token_answer = "{\"token\":\"tok\",\"access_token\":\"tok\"}";
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(users); i++) {
		const char *pattern = cases[i / ARRAY_SIZE(users)].realm;
		const char *location = cases[i / ARRAY_SIZE(users)].location;
		bool refused = cases[i / ARRAY_SIZE(users)].refused;
		cleanup_free char *realm =
			strstr(pattern, "{port}")
				? str_printf("http://near:%d/token", server_port(w->server))
				: strdup(pattern);
		cleanup_free char *challenge = str_printf(
			"WWW-Authenticate: Bearer realm=\"%s\",service=\"svc\"\r\n", realm);
		cleanup_free char *headers =
			location ? str_printf("Location: %s\r\n", location) : strdup("");
		cleanup_free char *error = NULL;

		w->challenge = challenge;
		w->token_status = location ? "307 Temporary Redirect" : "200 OK";
		w->token_headers = headers;
		error = get_blob(w, &users[i % ARRAY_SIZE(users)]);
		if (refused ? !error || !strstr(error, ": a link-local or metadata address")
			    : error != NULL)
			fail_msg("%s, then %s\nexpected %s\ngot      %s", realm,
				location ? location : "-", refused ? "refused" : "(no error)",
				error ? error : "(no error)");
	}
}

/* The challenges of a redirected ping belong to the other host. */
static bool redirect_ping(struct server_connection *c, void *arg)
{
	struct world *w = arg;
	char location[64];

	if (strcmp(c->target, "/v2/") != 0)
		return answer(c, arg);
	note(w, c);
	snprintf(location, sizeof(location), "Location: http://127.0.0.1:%d/v2/\r\n",
		server_port(w->other));
	server_reply(c, "302 Found", location, "");
	return true;
}

static void follows_redirected_pings(void **state)
{
	struct world *w = *state;
	static const struct auth_config auth = {"u", "p", "", ""};
	cleanup_free char *error = NULL;

	server_stop(w->server);
	w->server = server_start(&(struct server_options){.handler = redirect_ping, .arg = w});
	w->challenge = "WWW-Authenticate: Basic realm=\"x\"\r\n";
	error = get_blob(w, &auth);
	assert_null(error);
	assert_string_equal(w->log, "GET /v2/ -\nother: GET /v2/ -\nGET " BLOB " -\n");
}

/* ---- repositories */

static void says_what_the_ping_showed(void **state)
{
	struct world *w = *state;
	struct repository *r = NULL;
	struct error *err = NULL;
	bool confirmed = false;
	cleanup_free char *want = NULL;

	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, &err), 0);
	assert_true(confirmed);
	assert_string_equal(repository_named(r)->name, "team/app");
	repository_unref(r);
	w->challenge = "Docker-Distribution-API-Version: x Registry/2.0 y\r\n";
	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, &err), 0);
	assert_true(confirmed);
	repository_unref(r);
	w->challenge = "Docker-Distribution-API-Version: registry/2.00\r\n";
	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, &err), 0);
	assert_false(confirmed);
	repository_unref(r);
	want = fill(w, "Get \"http://{1}/v2/\": dial tcp {1}: connect: connection refused");
	server_refuse(w->server);
	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, &err), -1);
	assert_int_equal(err->kind, ERROR_FALLBACK);
	assert_false(err->transport_ok);
	assert_false(err->confirmed_v2);
	assert_string_equal(err->message, want);
	error_unref(err);
}

static void lists_tags(void **state)
{
	static const struct tags_case {
		const char *tags[4], *links[4];
		const char *list, *error;
	} cases[] = {
		{{"{\"tags\":[\"a\",\"b\"]}"}, {NULL}, "a b ", NULL},
		{{"{\"name\":\"x\",\"tags\":null}"}, {NULL}, "", NULL},
		{{"{\"tags\":[\"a\"]}", "{\"tags\":[\"b\",null]}", "{}"},
			{"</v2/team/app/tags/list?p=1>; rel=\"next\"",
				"<http://{1}/v2/team/app/tags/list?p=2>"},
			"a b  ", NULL},
		{{"{\"tags\":[\"a\"]}"}, {"</v2/team/app/tags/list>; rel=\"next\""}, NULL,
			"the list of tags leads back to http://{1}/v2/team/app/tags/list"},
		{{"{\"tags\":[\"a\"]}"}, {"<http://{2}/v2/x/tags/list?p=1>"}, NULL,
			"the list of tags goes on at another server, http://{2}"},
		{{"<html>"}, {NULL}, NULL, "invalid character '<' looking for beginning of value"},
		{{"{\"tags\":[1]}"}, {NULL}, NULL,
			"json: cannot unmarshal number into Go struct field .tags of type string"},
		{{"[]"}, {NULL}, NULL,
			"json: cannot unmarshal array into Go value of type struct { Tags []string "
			"\"json:\\\"tags\\\"\" }"},
	};
	struct world *w = *state;
	cleanup_repository struct repository *r = NULL;
	bool confirmed;
	size_t i, k;

	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tag_list tags = {0};
		struct error *err = NULL;
		cleanup_buf struct buf list = {0};
		cleanup_free char *want = cases[i].error ? fill(w, cases[i].error) : NULL;

		memcpy(w->tags, cases[i].tags, sizeof(w->tags));
		memcpy(w->links, cases[i].links, sizeof(w->links));
		(void)repository_tags(r, &background, &tags, &err);
		for (k = 0; k < tags.count; k++)
			buf_appendf(&list, "%s ", tags.items[k]);
		if (!str_equal(err ? err->message : NULL, want))
			fail_msg("case %zu: want %s, got %s", i, want ? want : "no error",
				err ? err->message : "no error");
		if (cases[i].list)
			assert_string_equal(list.data ? list.data : "", cases[i].list);
		error_unref(err);
		tag_list_free(&tags);
	}
}

static void gets_manifests(void **state)
{
	struct world *w = *state;
	cleanup_repository struct repository *r = NULL;
	struct manifest *m = NULL;
	struct error *err = NULL;
	bool confirmed;

	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, NULL), 0);
	w->manifest_answer =
		"{\"schemaVersion\":2,\"mediaType\":\"application/"
		"vnd.docker.distribution.manifest.v2+json\",\"config\":{},\"layers\":[]}";
	assert_int_equal(repository_manifest(r, &background, "v1", NULL, &m, &err), 0);
	assert_int_equal(m->kind, MANIFEST_SCHEMA2);
	manifest_free(m);
	assert_int_equal(repository_manifest(r, &background, NULL, DIGEST, &m, &err), 0);
	manifest_free(m);
	assert_non_null(strstr(w->log, "GET /v2/team/app/manifests/v1 -\n"));
	assert_non_null(strstr(w->log, "GET /v2/team/app/manifests/" DIGEST " -\n"));
	assert_int_equal(repository_manifest(r, &background, "a/b", NULL, &m, &err), -1);
	assert_string_equal(err->message, "invalid tag format");
	error_unref(err);
	assert_int_equal(repository_manifest(r, &background, NULL, "md5:x", &m, &err), -1);
	assert_string_equal(err->message, "invalid digest format");
	error_unref(err);
	w->manifest_status = "304 Not Modified";
	w->manifest_answer = "";
	assert_int_equal(repository_manifest(r, &background, "v1", NULL, &m, &err), -1);
	assert_string_equal(err->message, "manifest not modified");
	error_unref(err);
	w->manifest_status = "404 Not Found";
	w->manifest_answer =
		"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
	assert_int_equal(repository_manifest(r, &background, "v1", NULL, &m, &err), -1);
	assert_int_equal(err->kind, ERROR_ERRCODE_ERRORS);
	error_unref(err);
}

static void opens_blobs(void **state)
{
	static const struct blob_case {
		const char *status, *headers, *body;
		int64_t offset, size;
		const char *error;
	} cases[] = {
		{"200 OK", "", "blob", 0, 4, NULL},
		{"203 Non-Authoritative", "", "blob", 0, -1, NULL},
		{"206 Partial", "Content-Range: bytes 2-3/4\r\n", "ob", 2, 4, NULL},
		{"206 Partial", "Content-Range: x bytes 2-3/4\r\n", "ob", 2, 4, NULL},
		{"200 OK", "", "blob", 2, 0, "expected HTTP 206 from byte range request"},
		{"206 Partial", "", "ob", 2, 0,
			"no Content-Range header found in HTTP 206 response"},
		{"206 Partial", "Content-Range: bytes 2-3\r\n", "ob", 2, 0,
			"could not parse Content-Range header: bytes 2-3"},
		{"206 Partial", "Content-Range: bytes 2-3/*\r\n", "ob", 2, 0,
			"could not parse total size in Content-Range header: bytes 2-3/*"},
		{"206 Partial", "Content-Range: bytes 1-3/4\r\n", "ob", 2, 0,
			"received Content-Range starting at offset 1 instead of requested 2"},
		{"206 Partial", "Content-Range: bytes 2-3/9\r\n", "ob", 2, 0,
			"range in Content-Range stops before the end of the content: bytes 2-3/9"},
		{"206 Partial", "Content-Range: bytes 99999999999999999999-3/4\r\n", "ob", 2, 0,
			"could not parse start of range in Content-Range header: bytes "
			"99999999999999999999-3/4"},
		{"404 Not Found", "", "{}", 0, 0, "unknown blob"},
		{"500 Bad", "", "{}", 0, 0, "received unexpected HTTP status: 500 Bad"},
	};
	struct world *w = *state;
	cleanup_repository struct repository *r = NULL;
	bool confirmed;
	size_t i;

	assert_int_equal(open_repository(w, &anonymous, &r, &confirmed, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct blob_reader *b = NULL;
		struct error *err = NULL;
		char buf[100];
		int64_t size = 0;

		w->blob_status = cases[i].status;
		w->blob_headers = cases[i].headers;
		w->blob_answer = cases[i].body;
		assert_int_equal(repository_blob_open(r, DIGEST, 0, &b, &err), 0);
		(void)blob_reader_seek(b, &background, cases[i].offset, &size, &err);
		if (!str_equal(err ? err->message : NULL, cases[i].error))
			fail_msg("case %zu: want %s, got %s", i,
				cases[i].error ? cases[i].error : "no error",
				err ? err->message : "no error");
		if (!err) {
			assert_int_equal(size, cases[i].size);
			assert_int_equal(blob_reader_read(b, &background, buf, sizeof(buf), NULL),
				strlen(cases[i].body));
			assert_int_equal(
				blob_reader_read(b, &background, buf, sizeof(buf), NULL), 0);
		}
		error_unref(err);
		blob_reader_free(b);
	}
	{
		struct blob_reader *b = NULL;
		struct error *err = NULL;

		assert_int_equal(repository_blob_open(r, "sha256:../../x", 0, &b, &err), -1);
		assert_string_equal(err->message, "invalid digest format");
		error_unref(err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(authorizes, setup, teardown),
		cmocka_unit_test_setup_teardown(caches_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(asks_for_one_token_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_secrets_at_home, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_link_local_realms, setup, teardown),
		cmocka_unit_test_setup_teardown(follows_redirected_pings, setup, teardown),
		cmocka_unit_test_setup_teardown(says_what_the_ping_showed, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_tags, setup, teardown),
		cmocka_unit_test_setup_teardown(gets_manifests, setup, teardown),
		cmocka_unit_test_setup_teardown(opens_blobs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
