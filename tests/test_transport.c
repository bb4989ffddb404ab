/* SPDX-License-Identifier: Apache-2.0 */
/* Redirects, headers by hop, and the words around failures. */
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
#include "certs.h"
#include "http_server.h"
#include "registry/transport.h"

static const struct context background;

/* Two origins: server is the one that is asked, other another port. */
struct world {
	struct server *server, *other;
	struct http_client *client;
	char seen[16384]; /* the requests, one after the other, each ended by "--\n" */
	size_t nseen;
	pthread_mutex_t lock;
};

static void note(struct world *w, const struct server_connection *c)
{
	pthread_mutex_lock(&w->lock);
	w->nseen += (size_t)snprintf(
		w->seen + w->nseen, sizeof(w->seen) - w->nseen, "%s\n--\n", c->request);
	assert_true(w->nseen < sizeof(w->seen));
	pthread_mutex_unlock(&w->lock);
}

static bool answer(struct server_connection *c, void *arg)
{
	struct world *w = arg;
	int other = server_port(c->server == w->server ? w->other : w->server), n;
	char location[256];

	note(w, c);
	if (sscanf(c->target, "/hops/%d", &n) == 1 && n > 0) {
		snprintf(location, sizeof(location), "Location: /hops/%d\r\n", n - 1);
		server_reply(c, "302 Found", location, "");
	} else if (strcmp(c->target, "/away") == 0) {
		snprintf(location, sizeof(location), "Location: http://127.0.0.1:%d/there?a=b\r\n",
			other);
		server_reply(c, "307 Temporary Redirect", location, "moved");
	} else if (strcmp(c->target, "/and-back") == 0) {
		snprintf(location, sizeof(location), "Location: http://127.0.0.1:%d/back\r\n",
			other);
		server_reply(c, "307 Temporary Redirect", location, "");
	} else if (strcmp(c->target, "/back") == 0 && c->server == w->other) {
		snprintf(location, sizeof(location), "Location: http://127.0.0.1:%d/back\r\n",
			other);
		server_reply(c, "307 Temporary Redirect", location, "");
	} else if (strcmp(c->target, "/see-other") == 0) {
		server_reply(c, "303 See Other", "Location: /there\r\n", "");
	} else if (strcmp(c->target, "/again") == 0) {
		server_reply(c, "308 Permanent Redirect", "Location: there\r\n", "");
	} else if (strcmp(c->target, "/nowhere") == 0) {
		server_reply(c, "302 Found", "", "no location");
	} else if (strcmp(c->target, "/bad") == 0) {
		server_reply(c, "302 Found", "Location: http://[::1\r\n", "");
	} else if (strcmp(c->target, "/file") == 0) {
		server_reply(c, "302 Found", "Location: file:///etc/passwd\r\n", "");
	} else if (strcmp(c->target, "/ftp") == 0) {
		server_reply(c, "302 Found", "Location: ftp://127.0.0.1/x\r\n", "");
	} else if (strcmp(c->target, "/secret") == 0) {
		server_reply(c, "302 Found", "Location: gopher://u:p@127.0.0.1/x\r\n", "");
	} else if (strcmp(c->target, "/stall") == 0) {
		server_wait_closed(c);
		return false;
	} else {
		server_reply(c, "200 OK", "", "done");
	}
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

/* {1} and {2} stand for the two servers' host:port. */
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

/* The status, or -1 with the error. */
static int ask(const struct transport *t, const struct http_request *request, struct error **reterr,
	char **ret_url)
{
	struct http_response *response = NULL;
	int status;

	if (transport_do(t, &background, request, &response, reterr) < 0)
		return -1;
	status = response->status;
	if (ret_url)
		*ret_url = strdup(response->url);
	transport_finish(response, &background);
	return status;
}

static void follows(void **state)
{
	static const struct {
		const char *url;
		int status;
		const char *end;   /* the last URL */
		const char *error; /* or this */
	} cases[] = {
		{"http://{1}/x", 200, "http://{1}/x", NULL},
		{"http://{1}/hops/9", 200, "http://{1}/hops/0", NULL},
		{"http://{1}/hops/10", -1, NULL, "Get \"/hops/0\": stopped after 10 redirects"},
		{"http://{1}/away", 200, "http://{2}/there?a=b", NULL},
		{"http://{1}/nowhere", 302, "http://{1}/nowhere", NULL},
		{"http://{1}/bad", -1, NULL,
			"Get \"http://{1}/bad\": failed to parse Location header \"http://[::1\": "
			"parse \"http://[::1\": missing ']' in host"},
		{"http://{1}/file", -1, NULL,
			"Get \"file:///etc/passwd\": unsupported protocol scheme \"file\""},
		{"http://{1}/ftp", -1, NULL,
			"Get \"ftp://127.0.0.1/x\": unsupported protocol scheme \"ftp\""},
		{"http://{1}/secret", -1, NULL,
			"Get \"gopher://u:***@127.0.0.1/x\": unsupported protocol scheme "
			"\"gopher\""},
		{"/x?y=z", -1, NULL, "Get \"/x?y=z\": unsupported protocol scheme \"\""},
		{"//{1}/x", -1, NULL, "Get \"//{1}/x\": unsupported protocol scheme \"\""},
		{"http://127.0.0.1:1/x", -1, NULL,
			"Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection "
			"refused"},
		{"http://a b/", -1, NULL,
			"parse \"http://a b/\": invalid character \" \" in host name"},
	};
	struct world *w = *state;
	struct transport t = {.client = w->client};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *url = fill(w, cases[i].url), *end = NULL;
		cleanup_free char *want = fill(w, cases[i].error ? cases[i].error : cases[i].end);
		struct http_request request = {.method = "GET", .url = url};
		struct error *err = NULL;
		int status = ask(&t, &request, &err, &end);

		if (status != cases[i].status)
			fail_msg("%s: want %d, got %d (%s)", url, cases[i].status, status,
				err ? err->message : end);
		if (strcmp(err ? err->message : end, want) != 0)
			fail_msg("%s: want %s, got %s", url, want, err ? err->message : end);
		if (err)
			assert_int_equal(err->kind, ERROR_URL);
		error_unref(err);
	}
}

/* What the n-th request was. */
static const char *request_no(struct world *w, int n)
{
	char *at = w->seen, *end;

	while (n-- && (at = strstr(at, "\n--\n")))
		at += 4;
	assert_non_null(at);
	end = strstr(at, "\n--\n");
	if (!end)
		fail_msg("there was no such request");
	*end = '\0'; /* later ones stay behind it: ask for them first */
	return at;
}

#define HEAD "Host: {1}\r\nUser-Agent: agent\r\n"
#define HEAD2 "Host: {2}\r\nUser-Agent: agent\r\n"

static int add_header(struct modifier *m, const struct context *ctx, const char *url,
	struct header_list *headers, struct error **reterr)
{
	(void)m;
	(void)ctx;
	return header_add(headers, "X-Url", url, reterr);
}

static void keeps_and_drops_headers(void **state)
{
	struct world *w = *state;
	struct modifier modifier = {.modify = add_header}, *modifiers[] = {&modifier};
	struct transport t = {.client = w->client, .modifiers = modifiers, .nmodifiers = 1};
	struct header_list headers = {0};
	cleanup_free char *url = fill(w, "http://{1}/away"), *first = NULL, *second = NULL;
	cleanup_free char *third = NULL, *back = fill(w, "http://{1}/again");
	struct http_request request = {.method = "GET", .url = url, .headers = &headers};
	const char *got;

	assert_int_equal(header_add(&headers, "Accept", "a", NULL), 0);
	assert_int_equal(header_add(&headers, "Authorization", "Basic eDp5", NULL), 0);
	assert_int_equal(header_add(&headers, "Cookie", "c=d", NULL), 0);
	assert_int_equal(header_add(&headers, "Range", "bytes=5-", NULL), 0);
	assert_int_equal(ask(&t, &request, NULL, NULL), 200);
	request.url = back;
	assert_int_equal(ask(&t, &request, NULL, NULL), 200);
	third = fill(w, "GET /there HTTP/1.1\r\n" HEAD
			"Accept: a\r\nAuthorization: Basic eDp5\r\nCookie: c=d\r\n"
			"Range: bytes=5-\r\nReferer: http://{1}/again\r\n"
			"X-Url: http://{1}/there\r\n\r\n");
	got = request_no(w, 3);
	assert_string_equal(got, third);
	second = fill(w, "GET /there?a=b HTTP/1.1\r\n" HEAD2
			 "Accept: a\r\nRange: bytes=5-\r\nReferer: http://{1}/away\r\n"
			 "X-Url: http://{2}/there?a=b\r\n\r\n");
	got = request_no(w, 1);
	assert_string_equal(got, second);
	first = fill(w, "GET /away HTTP/1.1\r\n" HEAD
			"Accept: a\r\nAuthorization: Basic eDp5\r\nCookie: c=d\r\n"
			"Range: bytes=5-\r\nX-Url: http://{1}/away\r\n\r\n");
	got = request_no(w, 0);
	assert_string_equal(got, first);
	header_list_free(&headers);
}

static void changes_methods(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{"http://{1}/see-other",
			"GET /there HTTP/1.1\r\n" HEAD "Referer: http://{1}/see-other\r\n"
			"Accept-Encoding: gzip\r\n\r\n"},
		{"http://{1}/again", "POST /there HTTP/1.1\r\n" HEAD
				     "Referer: http://{1}/again\r\nAccept-Encoding: gzip\r\n"
				     "Content-Length: 3\r\n\r\na=b"},
	};
	struct world *w = *state;
	struct transport t = {.client = w->client};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *url = fill(w, cases[i].path), *want = fill(w, cases[i].want);
		struct http_request request = {
			.method = "POST", .url = url, .body = "a=b", .body_size = 3};

		w->nseen = 0;
		assert_int_equal(ask(&t, &request, NULL, NULL), 200);
		assert_string_equal(request_no(w, 1), want);
	}
}

static void uses_credentials_of_urls(void **state)
{
	struct world *w = *state;
	struct transport t = {.client = w->client};
	cleanup_free char *url = fill(w, "http://us%20er:p%40ss@{1}/x#fragment");
	cleanup_free char *want =
		fill(w, "GET /x HTTP/1.1\r\n" HEAD "Authorization: Basic dXMgZXI6cEBzcw==\r\n"
			"Accept-Encoding: gzip\r\n\r\n");
	struct http_request request = {.method = "GET", .url = url};

	assert_int_equal(ask(&t, &request, NULL, NULL), 200);
	assert_string_equal(request_no(w, 0), want);
}

static int refuse(struct modifier *m, const struct context *ctx, const char *url,
	struct header_list *headers, struct error **reterr)
{
	(void)m;
	(void)ctx;
	(void)url;
	(void)headers;
	return error_set(reterr, &err_no_basic_auth_credentials);
}

static void wraps_failures(void **state)
{
	struct world *w = *state;
	struct modifier modifier = {.modify = refuse}, *modifiers[] = {&modifier};
	struct transport t = {.client = w->client, .modifiers = modifiers, .nmodifiers = 1};
	cleanup_free char *url = fill(w, "http://{1}/x"), *stall = fill(w, "http://{1}/stall");
	cleanup_free char *want = fill(w, "Get \"http://{1}/x\": no basic auth credentials");
	cleanup_free char *late = fill(w,
		"Post \"http://{1}/stall\": context deadline exceeded (Client.Timeout exceeded "
		"while awaiting headers)");
	struct http_request request = {.method = "GET", .url = url};
	struct error *err = NULL;
	struct context cancelled = {.cancel = cancel_new(NULL)};

	assert_int_equal(ask(&t, &request, &err, NULL), -1);
	assert_string_equal(err->message, want);
	assert_ptr_equal(err->cause, &err_no_basic_auth_credentials);
	error_unref(err);

	t.nmodifiers = 0;
	request = (struct http_request){
		.method = "POST", .body = "", .url = stall, .timeout_ms = 150};
	assert_int_equal(ask(&t, &request, &err, NULL), -1);
	assert_string_equal(err->message, late);
	error_unref(err);

	cancel_fire(cancelled.cancel, &err_context_canceled);
	{
		struct http_response *response;

		assert_int_equal(transport_do(&t, &cancelled, &request, &response, &err), -1);
		assert_ptr_equal(err, &err_context_canceled);
	}
	cancel_unref(cancelled.cancel);
}

/* https must not lead to http where the server was verified. */
static bool downgrade(struct server_connection *c, void *arg)
{
	char location[128];

	snprintf(location, sizeof(location), "Location: http://127.0.0.1:%d/x\r\n", *(int *)arg);
	server_reply(c, "302 Found", location, "");
	return true;
}

static void stays_with_https(void **state)
{
	struct world *w = *state;
	char *dir = certs_folder();
	struct cert *cert =
		cert_new(dir, "self", &(struct cert_spec){.common_name = "s", .ip = {"127.0.0.1"}});
	int port = server_port(w->other);
	struct server *server = server_start(&(struct server_options){.handler = downgrade,
		.arg = &port,
		.cert_file = cert_file(cert),
		.key_file = cert_key_file(cert)});
	struct http_tls *verified =
		http_tls_new(false, cert_pem(cert), strlen(cert_pem(cert)), NULL);
	struct http_tls *insecure = http_tls_new(true, NULL, 0, NULL);
	struct transport t = {.client = w->client, .tls = verified};
	cleanup_free char *url = str_printf("https://127.0.0.1:%d/", server_port(server));
	cleanup_free char *want =
		fill(w, "Get \"http://{2}/x\": refused to follow a redirect from https to http");
	struct header_list headers = {0};
	struct http_request request = {.method = "GET", .url = url, .headers = &headers};
	struct error *err = NULL;

	assert_int_equal(header_add(&headers, "Authorization", "Bearer x", NULL), 0);
	assert_int_equal(ask(&t, &request, &err, NULL), -1);
	assert_string_equal(err->message, want);
	error_unref(err);
	assert_int_equal(w->nseen, 0);
	/* not verified: as the original, but without secrets and without a referer */
	t.tls = insecure;
	assert_int_equal(ask(&t, &request, NULL, NULL), 200);
	assert_null(strstr(w->seen, "Authorization"));
	assert_null(strstr(w->seen, "Referer"));
	header_list_free(&headers);
	http_tls_unref(verified);
	http_tls_unref(insecure);
	server_stop(server);
	cert_free(cert);
	certs_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(follows, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_and_drops_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_methods, setup, teardown),
		cmocka_unit_test_setup_teardown(uses_credentials_of_urls, setup, teardown),
		cmocka_unit_test_setup_teardown(wraps_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(stays_with_https, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
