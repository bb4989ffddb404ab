/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPS: whom the client trusts, what it says, and that identities are kept apart. */
#include "config.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "certs.h"
#include "http_server.h"
#include "registry/http.h"

static const struct context background;

static struct {
	char *dir;
	struct cert *ca, *same_name, *other, *middle, *leaf_ca;
} certs;

static int resolve(
	void *context, const char *host, int (*add)(void *arg, const char *address), void *arg)
{
	(void)context;
	(void)host;
	return add(arg, "127.0.0.1");
}

static struct http_client *new_client(const char *bundle)
{
	const struct http_options options = {
		.user_agent = "x", .resolve = resolve, .ca_bundle = bundle};
	struct error *err = NULL;
	struct http_client *client = http_client_new(&options, &err);

	if (!client)
		fail_msg("%s", err->message);
	return client;
}

/* The error's text, or NULL after a 200. */
static char *ask(struct http_client *client, const char *url, struct http_tls *tls)
{
	struct http_request request = {.method = "GET", .url = url, .tls = tls};
	struct http_response *response = NULL;
	struct error *err = NULL;
	struct buf body = {0};
	char *text;

	if (http_round_trip(client, &background, &request, &response, &err) == 0 &&
		http_response_read_all(response, &background, 1000, &body, &err) == 0)
		assert_string_equal(body.data, "ok");
	http_response_free(response);
	buf_free(&body);
	text = err ? strdup(err->message) : NULL;
	error_unref(err);
	return text;
}

static bool answer(struct server_connection *c, void *arg)
{
	(void)arg;
	server_reply(c, "200 OK", "", "ok");
	return true;
}

static struct server *serve_by(const struct cert *cert, server_handler handler, const void *arg)
{
	return server_start(&(struct server_options){.handler = handler,
		.arg = (void *)arg,
		.cert_file = cert_file(cert),
		.key_file = cert_key_file(cert)});
}

static struct server *serve(const struct cert *cert)
{
	return serve_by(cert, answer, NULL);
}

static struct http_tls *trusting(const struct cert *ca)
{
	return http_tls_new(false, cert_pem(ca), strlen(cert_pem(ca)), NULL);
}

/* pattern: * stands for anything. */
static bool matches(const char *text, const char *pattern)
{
	const char *star = strchr(pattern, '*');

	if (!star)
		return strcmp(text, pattern) == 0;
	if (strncmp(text, pattern, (size_t)(star - pattern)) != 0)
		return false;
	for (text += star - pattern; *text; text++) {
		if (matches(text, star + 1))
			return true;
	}
	return matches(text, star + 1);
}

#define UNKNOWN "x509: certificate signed by unknown authority"
#define DAY 86400

static void verifies(void **state)
{
	time_t now = time(NULL);
	const struct verify_case {
		const char *name;
		struct cert_spec spec;
		const struct cert *trusted; /* NULL: nobody */
		const char *host, *error;   /* error NULL: it is fine */
	} cases[] = {
		{"address", {.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}}, certs.ca,
			"127.0.0.1", NULL},
		{"name",
			{.common_name = "s", .issuer = certs.ca, .dns = {"a.example", "b.example"}},
			certs.ca, "b.example", NULL},
		{"case", {.common_name = "s", .issuer = certs.ca, .dns = {"A.Example"}}, certs.ca,
			"a.eXample", NULL},
		{"star", {.common_name = "s", .issuer = certs.ca, .dns = {"*.example"}}, certs.ca,
			"a.example", NULL},
		{"star, two labels", {.common_name = "s", .issuer = certs.ca, .dns = {"*.example"}},
			certs.ca, "b.a.example",
			"x509: certificate is valid for *.example, not b.a.example"},
		{"other names",
			{.common_name = "s", .issuer = certs.ca, .dns = {"a.example", "b.example"}},
			certs.ca, "c.example",
			"x509: certificate is valid for a.example, b.example, not c.example"},
		{"no addresses",
			{.common_name = "127.0.0.1", .issuer = certs.ca, .dns = {"a.example"}},
			certs.ca, "127.0.0.1",
			"x509: cannot validate certificate for 127.0.0.1 because it doesn't "
			"contain "
			"any IP SANs"},
		{"other addresses",
			{.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.2", "::1"}},
			certs.ca, "127.0.0.1",
			"x509: certificate is valid for 127.0.0.2, ::1, not 127.0.0.1"},
		{"address is no name",
			{.common_name = "s", .issuer = certs.ca, .dns = {"127.0.0.1"}}, certs.ca,
			"127.0.0.1",
			"x509: cannot validate certificate for 127.0.0.1 because it doesn't "
			"contain "
			"any IP SANs"},
		{"common name only", {.common_name = "a.example", .issuer = certs.ca}, certs.ca,
			"a.example",
			"x509: certificate relies on legacy Common Name field, use SANs instead"},
		{"no names", {.common_name = "s", .issuer = certs.ca}, certs.ca, "a.example",
			"x509: certificate is not valid for any names, but wanted to match "
			"a.example"},
		{"expired",
			{.common_name = "s",
				.issuer = certs.ca,
				.ip = {"127.0.0.1"},
				.from = now - 2 * DAY,
				.until = now - DAY},
			certs.ca, "127.0.0.1",
			"x509: certificate has expired or is not yet valid: current time * is "
			"after "
			"*Z"},
		{"early",
			{.common_name = "s",
				.issuer = certs.ca,
				.ip = {"127.0.0.1"},
				.from = now + DAY,
				.until = now + 2 * DAY},
			certs.ca, "127.0.0.1",
			"x509: certificate has expired or is not yet valid: current time * is "
			"before "
			"*Z"},
		{"expired outranks the name",
			{.common_name = "s",
				.issuer = certs.ca,
				.from = now - 2 * DAY,
				.until = now - DAY},
			certs.ca, "a.example",
			"x509: certificate has expired or is not yet valid: current time * is "
			"after "
			"*"},
		{"the name outranks the issuer",
			{.common_name = "s", .issuer = certs.other, .dns = {"b.example"}}, certs.ca,
			"a.example", "x509: certificate is valid for b.example, not a.example"},
		{"unknown", {.common_name = "s", .issuer = certs.other, .ip = {"127.0.0.1"}},
			certs.ca, "127.0.0.1", UNKNOWN},
		{"nobody is trusted", {.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}},
			NULL, "127.0.0.1", UNKNOWN},
		{"another CA of that name",
			{.common_name = "s", .issuer = certs.same_name, .ip = {"127.0.0.1"}},
			certs.ca, "127.0.0.1",
			UNKNOWN " (possibly because of \"x509: ECDSA verification failure\" while "
				"trying to verify candidate authority certificate \"Test CA\")"},
		{"self-signed", {.common_name = "s", .ip = {"127.0.0.1"}}, certs.ca, "127.0.0.1",
			UNKNOWN},
		{"for clients only",
			{.common_name = "s",
				.issuer = certs.ca,
				.ip = {"127.0.0.1"},
				.client_purpose = true},
			certs.ca, "127.0.0.1",
			"x509: certificate specifies an incompatible key usage"},
		{"intermediate",
			{.common_name = "s",
				.issuer = certs.middle,
				.ip = {"127.0.0.1"},
				.extra_chain = cert_pem(certs.middle)},
			certs.ca, "127.0.0.1", NULL},
		{"intermediate is missing",
			{.common_name = "s", .issuer = certs.middle, .ip = {"127.0.0.1"}}, certs.ca,
			"127.0.0.1", UNKNOWN},
		{"intermediate is trusted itself",
			{.common_name = "s", .issuer = certs.middle, .ip = {"127.0.0.1"}},
			certs.middle, "127.0.0.1", NULL},
		{"signed by one that is no CA",
			{.common_name = "s", .issuer = certs.leaf_ca, .ip = {"127.0.0.1"}},
			certs.leaf_ca, "127.0.0.1",
			UNKNOWN
			" (possibly because of \"x509: invalid signature: parent certificate "
			"cannot sign this kind of certificate\" while trying to verify "
			"candidate authority certificate \"No CA\")"},
		{"the root comes along",
			{.common_name = "s",
				.issuer = certs.ca,
				.ip = {"127.0.0.1"},
				.extra_chain = cert_pem(certs.ca)},
			certs.ca, "127.0.0.1", NULL},
		{"an untrusted root comes along",
			{.common_name = "s",
				.issuer = certs.other,
				.ip = {"127.0.0.1"},
				.extra_chain = cert_pem(certs.other)},
			certs.ca, "127.0.0.1", UNKNOWN},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct verify_case *c = &cases[i];
		struct http_client *client = new_client("/dev/null");
		struct cert *cert = cert_new(certs.dir, "server", &c->spec);
		struct server *server = serve(cert);
		struct http_tls *tls = c->trusted ? trusting(c->trusted) : NULL;
		struct http_tls *insecure = http_tls_new(true, NULL, 0, NULL);
		cleanup_free char *url = str_printf("https://%s:%d/", c->host, server_port(server));
		cleanup_free char *error = ask(client, url, tls), *open = NULL;

		if ((error != NULL) != (c->error != NULL) || (error && !matches(error, c->error)))
			fail_msg("%s: want %s, got %s", c->name, c->error ? c->error : "no error",
				error ? error : "no error");
		if (c->error && server_requests(server) != 0)
			fail_msg("%s: a request was sent", c->name);
		open = ask(client, url, insecure);
		if (open)
			fail_msg("%s, not verified: %s", c->name, open);
		http_tls_unref(tls);
		http_tls_unref(insecure);
		http_client_free(client);
		server_stop(server);
		cert_free(cert);
	}
}

static void trusts_a_self_signed_certificate_that_is_named(void **state)
{
	struct cert *cert = cert_new(
		certs.dir, "self", &(struct cert_spec){.common_name = "self", .ip = {"127.0.0.1"}});
	struct server *server = serve(cert);
	struct http_client *client = new_client("/dev/null");
	struct http_tls *tls = trusting(cert);
	cleanup_free char *url = str_printf("https://127.0.0.1:%d/", server_port(server));
	cleanup_free char *error = ask(client, url, tls);

	(void)state;
	if (error)
		fail_msg("%s", error);
	http_tls_unref(tls);
	http_client_free(client);
	server_stop(server);
	cert_free(cert);
}

static void reads_bundles(void **state)
{
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}});
	struct server *server = serve(cert);
	cleanup_free char *url = str_printf("https://127.0.0.1:%d/", server_port(server));
	cleanup_free char *path = str_printf("%s/bundle.pem", certs.dir);
	struct http_client *client;
	FILE *f = fopen(path, "w");
	int i;

	(void)state;
	assert_non_null(f);
	/* some noise, and others, around the one that counts */
	fprintf(f, "# a comment\n%s\n%s", cert_pem(certs.other), cert_pem(certs.same_name));
	fprintf(f, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
	fclose(f);
	client = new_client(path);
	{
		cleanup_free char *error = ask(client, url, NULL);

		assert_non_null(error);
		assert_true(matches(error, UNKNOWN "*"));
	}
	f = fopen(path, "a");
	assert_non_null(f);
	fprintf(f, "%s", cert_pem(certs.ca));
	fclose(f);
	/* the file is looked at again */
	for (i = 0; i < 2; i++) {
		cleanup_free char *error = ask(client, url, NULL);

		if (error)
			fail_msg("%s", error);
	}
	http_client_free(client);
	server_stop(server);
	cert_free(cert);
}

/* A connection that was made without verification must never serve a request that needs it, nor one
 * of another CA or client certificate. */
static void keeps_identities_apart(void **state)
{
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}});
	struct cert *me = cert_new(
		certs.dir, "client", &(struct cert_spec){.common_name = "me", .issuer = certs.ca});
	struct server *server = serve(cert);
	struct http_client *client = new_client("/dev/null");
	struct http_tls *insecure = http_tls_new(true, NULL, 0, NULL);
	struct http_tls *good = trusting(certs.ca), *same = trusting(certs.ca);
	struct http_tls *bad = trusting(certs.other), *with_key = trusting(certs.ca);
	cleanup_free char *url = str_printf("https://127.0.0.1:%d/", server_port(server));
	const struct {
		struct http_tls *tls;
		bool works;
		int connections; /* after it */
	} steps[] = {
		{insecure, true, 1},
		{insecure, true, 1},
		{bad, false, 2},
		{good, true, 3},
		{good, true, 3},
		{same, true, 3},
		{NULL, false, 4},
		{bad, false, 5},
		{with_key, true, 6},
		{with_key, true, 6},
		{good, true, 6},
		{insecure, true, 6},
	};
	size_t i;

	(void)state;
	assert_int_equal(http_tls_add_certificate(with_key, cert_pem(me), strlen(cert_pem(me)),
				 cert_key_pem(me), strlen(cert_key_pem(me)), NULL),
		0);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		cleanup_free char *error = ask(client, url, steps[i].tls);

		if (!error != steps[i].works)
			fail_msg("step %zu: %s", i, error ? error : "it worked");
		if (server_connections(server) != steps[i].connections)
			fail_msg("step %zu: want %d connections, got %d", i, steps[i].connections,
				server_connections(server));
	}
	http_client_free(client);
	http_tls_unref(insecure);
	http_tls_unref(good);
	http_tls_unref(same);
	http_tls_unref(bad);
	http_tls_unref(with_key);
	server_stop(server);
	cert_free(cert);
	cert_free(me);
}

static void shows_client_certificates(void **state)
{
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}});
	struct cert *me = cert_new(certs.dir, "client",
		&(struct cert_spec){
			.common_name = "me", .issuer = certs.ca, .client_purpose = true});
	struct server *server = server_start(&(struct server_options){.handler = answer,
		.cert_file = cert_file(cert),
		.key_file = cert_key_file(cert),
		.client_ca_file = cert_file(certs.ca)});
	struct http_client *client = new_client("/dev/null");
	struct http_tls *without = trusting(certs.ca), *with = trusting(certs.ca);
	struct http_tls *several = trusting(certs.ca);
	struct cert *other = cert_new(certs.dir, "client",
		&(struct cert_spec){
			.common_name = "other", .issuer = certs.other, .client_purpose = true});
	cleanup_free char *url = str_printf("https://127.0.0.1:%d/", server_port(server));
	cleanup_free char *error = NULL, *none = NULL, *second = NULL;

	(void)state;
	assert_int_equal(http_tls_add_certificate(with, cert_pem(me), strlen(cert_pem(me)),
				 cert_key_pem(me), strlen(cert_key_pem(me)), NULL),
		0);
	error = ask(client, url, with);
	if (error)
		fail_msg("%s", error);
	/* the server names the CA that it takes: the first does not fit */
	assert_int_equal(http_tls_add_certificate(several, cert_pem(other), strlen(cert_pem(other)),
				 cert_key_pem(other), strlen(cert_key_pem(other)), NULL),
		0);
	assert_int_equal(http_tls_add_certificate(several, cert_pem(me), strlen(cert_pem(me)),
				 cert_key_pem(me), strlen(cert_key_pem(me)), NULL),
		0);
	second = ask(client, url, several);
	if (second)
		fail_msg("%s", second);
	none = ask(client, url, without);
	assert_non_null(none);
	if (!matches(none, "remote error: tls: *"))
		fail_msg("%s", none);
	http_tls_unref(several);
	cert_free(other);
	http_tls_unref(with);
	http_tls_unref(without);
	http_client_free(client);
	server_stop(server);
	cert_free(cert);
	cert_free(me);
}

/* ---- through a proxy */

/* CONNECT, then bytes in both directions. */
static bool relay(struct server_connection *c, void *arg)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pollfd p[2] = {{.fd = c->fd, .events = POLLIN}, {.events = POLLIN}};
	char b[16384];
	ssize_t n = 1;
	int i;

	(void)arg;
	a.sin_port = htons((uint16_t)atoi(strrchr(c->target, ':') + 1));
	p[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(p[1].fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		server_sendf(c, "HTTP/1.1 200 Connection established\r\n\r\n");
	else
		n = 0;
	while (n > 0 && poll(p, 2, 10000) > 0) {
		for (i = 0; i < 2 && n > 0; i++) {
			if (!p[i].revents)
				continue;
			n = i == 0 ? server_receive(c, b, sizeof(b))
				   : recv(p[i].fd, b, sizeof(b), 0);
			if (n > 0 && i == 0)
				n = send(p[1].fd, b, (size_t)n, MSG_NOSIGNAL);
			else if (n > 0)
				server_send(c, b, (size_t)n);
		}
	}
	close(p[1].fd);
	return false;
}

static void verifies_through_proxies(void **state)
{
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){
			.common_name = "s", .issuer = certs.ca, .dns = {"registry.example"}});
	struct server *server = serve(cert);
	struct server *proxy = server_start(&(struct server_options){.handler = relay});
	cleanup_free char *address = str_printf("http://127.0.0.1:%d", server_port(proxy));
	const struct http_options options = {
		.user_agent = "x", .ca_bundle = "/dev/null", .https_proxy = address};
	struct http_client *client = http_client_new(&options, NULL);
	struct http_tls *good = trusting(certs.ca), *bad = trusting(certs.other);
	cleanup_free char *url = str_printf("https://registry.example:%d/", server_port(server));
	cleanup_free char *other = str_printf("https://other.example:%d/", server_port(server));
	cleanup_free char *first = ask(client, url, bad), *second = ask(client, url, good);
	cleanup_free char *third = ask(client, url, bad), *fourth = ask(client, other, good);

	(void)state;
	assert_string_equal(first ? first : "no error", UNKNOWN);
	assert_string_equal(second ? second : "no error", "no error");
	assert_string_equal(third ? third : "no error", UNKNOWN);
	assert_string_equal(fourth ? fourth : "no error",
		"x509: certificate is valid for registry.example, not other.example");
	assert_int_equal(server_requests(server), 1);
	http_tls_unref(good);
	http_tls_unref(bad);
	http_client_free(client);
	server_stop(proxy);
	server_stop(server);
	cert_free(cert);
}

/* A proxy that speaks TLS itself: its certificate is not the registry's. */
static void tells_the_proxy_from_the_registry(void **state)
{
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){
			.common_name = "s", .issuer = certs.ca, .dns = {"registry.example"}});
	struct cert *proxy_cert = cert_new(certs.dir, "proxy",
		&(struct cert_spec){
			.common_name = "p", .issuer = certs.other, .ip = {"127.0.0.1"}});
	struct server *server = serve(cert);
	struct server *proxy = server_start(&(struct server_options){.handler = relay,
		.cert_file = cert_file(proxy_cert),
		.key_file = cert_key_file(proxy_cert)});
	cleanup_free char *address = str_printf("https://127.0.0.1:%d", server_port(proxy));
	struct http_options options = {
		.user_agent = "x", .ca_bundle = cert_file(certs.other), .https_proxy = address};
	struct http_client *client = http_client_new(&options, NULL), *strict;
	struct http_tls *good = trusting(certs.ca), *bad = trusting(certs.other);
	cleanup_free char *url = str_printf("https://registry.example:%d/", server_port(server));
	cleanup_free char *first = ask(client, url, bad), *second = ask(client, url, good);
	cleanup_free char *third = ask(client, url, good), *fourth = NULL;

	(void)state;
	assert_string_equal(first ? first : "no error", UNKNOWN);
	assert_string_equal(second ? second : "no error", "no error");
	assert_string_equal(third ? third : "no error", "no error");
	assert_int_equal(server_requests(server), 2);
	options.ca_bundle = cert_file(certs.ca);
	strict = http_client_new(&options, NULL);
	fourth = ask(strict, url, good);
	assert_string_equal(fourth ? fourth : "no error",
		"proxyconnect tcp: x509: certificate signed by unknown authority");
	http_tls_unref(good);
	http_tls_unref(bad);
	http_client_free(client);
	http_client_free(strict);
	server_stop(proxy);
	server_stop(server);
	cert_free(cert);
	cert_free(proxy_cert);
}

/* ---- what is no TLS at all */

static bool send_text(struct server_connection *c, void *arg)
{
	char greeting[512];

	if (recv(c->fd, greeting, sizeof(greeting), 0) > 0)
		server_sendf(c, "%s", (const char *)arg);
	return false;
}

static void says_what_is_no_tls(void **state)
{
	static const struct {
		const char *answer, *error;
	} cases[] = {
		{"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request",
			"http: server gave HTTP response to HTTPS client"},
		{"HTTP/1.0 200 OK\r\n\r\n", "http: server gave HTTP response to HTTPS client"},
		{"SSH-2.0-OpenSSH_9.2\r\n", "tls: first record does not look like a TLS handshake"},
		{"", "EOF"},
	};
	struct http_client *client = new_client("/dev/null");
	struct http_tls *tls[2] = {NULL, http_tls_new(true, NULL, 0, NULL)};
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (k = 0; k < ARRAY_SIZE(tls); k++) {
			struct server *server = server_start(&(struct server_options){
				.handler = send_text, .arg = (void *)cases[i].answer, .raw = true});
			cleanup_free char *url =
				str_printf("https://127.0.0.1:%d/v2/", server_port(server));
			cleanup_free char *error = ask(client, url, tls[k]);

			assert_non_null(error);
			if (strcmp(error, cases[i].error) != 0)
				fail_msg("%s: want %s, got %s", cases[i].answer, cases[i].error,
					error);
			server_stop(server);
		}
	}
	http_tls_unref(tls[1]);
	http_client_free(client);
}

static bool send_alert(struct server_connection *c, void *arg)
{
	char greeting[2048], alert[7] = {21, 3, 3, 0, 2, 2, (char)*(const int *)arg};

	if (recv(c->fd, greeting, sizeof(greeting), 0) > 0)
		server_send(c, alert, sizeof(alert));
	return false;
}

static void words_alerts(void **state)
{
	static const struct {
		int alert;
		const char *error;
	} cases[] = {
		{40, "remote error: tls: handshake failure"},
		{42, "remote error: tls: bad certificate"},
		{48, "remote error: tls: unknown certificate authority"},
		{70, "remote error: tls: protocol version not supported"},
		{80, "remote error: tls: internal error"},
		{112, "remote error: tls: unrecognized name"},
		{116, "remote error: tls: certificate required"},
	};
	struct http_client *client = new_client("/dev/null");
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server *server = server_start(&(struct server_options){
			.handler = send_alert, .arg = (void *)&cases[i].alert, .raw = true});
		cleanup_free char *url =
			str_printf("https://127.0.0.1:%d/v2/", server_port(server));
		cleanup_free char *error = ask(client, url, NULL);

		if (!error || strcmp(error, cases[i].error) != 0)
			fail_msg("alert %d: want %s, got %s", cases[i].alert, cases[i].error,
				error ? error : "no error");
		server_stop(server);
	}
	http_client_free(client);
}

static bool send_and_reset(struct server_connection *c, void *arg)
{
	server_sendf(c, "%s", (const char *)arg);
	usleep(50000); /* so that the reset does not overtake the bytes */
	server_reset(c);
	return false;
}

static void words_resets(void **state)
{
	static const char *const answers[] = {
		"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"};
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}});
	struct http_client *client = new_client("/dev/null");
	struct http_tls *tls = trusting(certs.ca);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		struct server *server = serve_by(cert, send_and_reset, answers[i]);
		cleanup_free char *url =
			str_printf("https://127.0.0.1:%d/v2/", server_port(server));
		cleanup_free char *error = ask(client, url, tls);

		if (!error || !str_has_prefix(error, "read tcp 127.0.0.1:") ||
			!str_has_suffix(error, ": read: connection reset by peer"))
			fail_msg("%s: got %s", answers[i], error ? error : "no error");
		server_stop(server);
	}
	http_tls_unref(tls);
	http_client_free(client);
	cert_free(cert);
}

/* The end of a body that has no length, without TLS's own farewell. */
static bool send_until_close(struct server_connection *c, void *arg)
{
	server_sendf(c, "HTTP/1.1 200 OK\r\n%s\r\nok", (const char *)arg);
	shutdown(c->fd, SHUT_RDWR);
	return false;
}

static void ends_bodies_as_go_does(void **state)
{
	static const struct {
		const char *headers, *error;
	} cases[] = {
		{"Connection: close\r\n", NULL},
		{"Content-Length: 3\r\n", "unexpected EOF"},
		{"Transfer-Encoding: chunked\r\n", "*"},
	};
	struct cert *cert = cert_new(certs.dir, "server",
		&(struct cert_spec){.common_name = "s", .issuer = certs.ca, .ip = {"127.0.0.1"}});
	struct http_client *client = new_client("/dev/null");
	struct http_tls *tls = trusting(certs.ca);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server *server = serve_by(cert, send_until_close, cases[i].headers);
		cleanup_free char *url = str_printf("https://127.0.0.1:%d/", server_port(server));
		cleanup_free char *error = ask(client, url, tls);

		if ((error != NULL) != (cases[i].error != NULL) ||
			(error && !matches(error, cases[i].error)))
			fail_msg("%s: want %s, got %s", cases[i].headers,
				cases[i].error ? cases[i].error : "no error",
				error ? error : "no error");
		server_stop(server);
	}
	http_tls_unref(tls);
	http_client_free(client);
	cert_free(cert);
}

static int make_certs(void **state)
{
	(void)state;
	certs.dir = certs_folder();
	certs.ca = cert_new(
		certs.dir, "ca", &(struct cert_spec){.common_name = "Test CA", .is_ca = true});
	certs.same_name = cert_new(
		certs.dir, "same", &(struct cert_spec){.common_name = "Test CA", .is_ca = true});
	certs.other = cert_new(
		certs.dir, "other", &(struct cert_spec){.common_name = "Other CA", .is_ca = true});
	certs.middle = cert_new(certs.dir, "middle",
		&(struct cert_spec){.common_name = "Middle CA", .issuer = certs.ca, .is_ca = true});
	certs.leaf_ca = cert_new(certs.dir, "leaf_ca", &(struct cert_spec){.common_name = "No CA"});
	return 0;
}

static int remove_certs(void **state)
{
	(void)state;
	cert_free(certs.ca);
	cert_free(certs.same_name);
	cert_free(certs.other);
	cert_free(certs.middle);
	cert_free(certs.leaf_ca);
	certs_remove(certs.dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies),
		cmocka_unit_test(trusts_a_self_signed_certificate_that_is_named),
		cmocka_unit_test(reads_bundles),
		cmocka_unit_test(keeps_identities_apart),
		cmocka_unit_test(shows_client_certificates),
		cmocka_unit_test(verifies_through_proxies),
		cmocka_unit_test(tells_the_proxy_from_the_registry),
		cmocka_unit_test(says_what_is_no_tls),
		cmocka_unit_test(words_alerts),
		cmocka_unit_test(words_resets),
		cmocka_unit_test(ends_bodies_as_go_does),
	};

	return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
