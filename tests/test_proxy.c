/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy leads to a host, and talking to one. */
#include "config.h"

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
#include "http_server.h"
#include "registry/http_internal.h"

static const struct context background;

static const struct route_case {
	const char *http, *https, *all, *no; /* NULL: "" */
	const char *scheme, *host, *port;
	const char *proxy, *pre_proxy; /* NULL: none */
	const char *dial;
	const char *error;
} route_cases[] = {
	{NULL, NULL, NULL, NULL, "http", "h", "80", NULL, NULL, "h:80", NULL},
	{"http://p:3128", NULL, NULL, NULL, "http", "h", "80", "http://p:3128", NULL, "p:3128",
		NULL},
	{"http://p:3128", NULL, NULL, NULL, "https", "h", "443", NULL, NULL, "h:443", NULL},
	{NULL, "http://p:3128", NULL, NULL, "https", "h", "443", "http://p:3128", NULL, "p:3128",
		NULL},
	{"p", NULL, NULL, NULL, "http", "h", "80", "http://p:80", NULL, "p:80", NULL},
	{"p:1234", NULL, NULL, NULL, "http", "h", "80", "http://p:1234", NULL, "p:1234", NULL},
	{"https://p", NULL, NULL, NULL, "http", "h", "80", "https://p:443", NULL, "p:443", NULL},
	{"http://u:s%40c@p", NULL, NULL, NULL, "http", "h", "80", "http://u:s%40c@p:80", NULL,
		"p:80", NULL},
	{"http://[::1]:8", NULL, NULL, NULL, "http", "h", "80", "http://[::1]:8", NULL, "::1:8",
		NULL},
	{"socks5://p", NULL, NULL, NULL, "http", "h", "80", "socks5h://p:1080", NULL, "p:1080",
		NULL},
	/* httpproxy's NO_PROXY */
	{"p", NULL, NULL, "*", "http", "h", "80", NULL, NULL, "h:80", NULL},
	{"p", NULL, NULL, "h", "http", "h", "80", NULL, NULL, "h:80", NULL},
	{"p", NULL, NULL, " a , H ,b", "http", "h", "80", NULL, NULL, "h:80", NULL},
	{"p", NULL, NULL, "example.com", "http", "sub.example.com", "80", NULL, NULL,
		"sub.example.com:80", NULL},
	{"p", NULL, NULL, "example.com", "http", "myexample.com", "80", "http://p:80", NULL, "p:80",
		NULL},
	{"p", NULL, NULL, ".example.com", "http", "example.com", "80", "http://p:80", NULL, "p:80",
		NULL},
	{"p", NULL, NULL, ".example.com", "http", "a.example.com", "80", NULL, NULL,
		"a.example.com:80", NULL},
	{"p", NULL, NULL, "*.example.com", "http", "a.b.example.com", "80", NULL, NULL,
		"a.b.example.com:80", NULL},
	{"p", NULL, NULL, "h:81", "http", "h", "80", "http://p:80", NULL, "p:80", NULL},
	{"p", NULL, NULL, "h:81", "http", "h", "81", NULL, NULL, "h:81", NULL},
	{"p", NULL, NULL, "10.0.0.0/8", "http", "10.2.3.4", "80", NULL, NULL, "10.2.3.4:80", NULL},
	{"p", NULL, NULL, "10.0.0.0/8", "http", "11.2.3.4", "80", "http://p:80", NULL, "p:80",
		NULL},
	{"p", NULL, NULL, "10.2.3.4", "http", "10.2.3.4", "80", NULL, NULL, "10.2.3.4:80", NULL},
	{"p", NULL, NULL, "[2001:db8::1]:443", "http", "2001:db8::1", "443", NULL, NULL,
		"2001:db8::1:443", NULL},
	{"p", NULL, NULL, "2001:db8::/32", "http", "2001:db8:1::9", "80", NULL, NULL,
		"2001:db8:1::9:80", NULL},
	{"p", NULL, NULL, NULL, "http", "localhost", "5000", NULL, NULL, "localhost:5000", NULL},
	{"p", NULL, NULL, NULL, "http", "127.0.0.5", "80", NULL, NULL, "127.0.0.5:80", NULL},
	{"p", NULL, NULL, NULL, "http", "::1", "80", NULL, NULL, "::1:80", NULL},
	/* ALL_PROXY: the dialer, with rules of its own */
	{NULL, NULL, "socks5://s:9", NULL, "https", "h", "443", "socks5h://s:9", NULL, "s:9", NULL},
	{NULL, NULL, "socks5h://s", NULL, "https", "h", "443", "socks5h://s:1080", NULL, "s:1080",
		NULL},
	{NULL, NULL, "socks5://u:p@s", NULL, "http", "h", "80", "socks5h://u:p@s:1080", NULL,
		"s:1080", NULL},
	{NULL, NULL, "http://s:9", NULL, "http", "h", "80", NULL, NULL, "h:80", NULL},
	{NULL, NULL, "socks5://s", "h", "http", "h", "80", NULL, NULL, "h:80", NULL},
	{NULL, NULL, "socks5://s", "example.com", "http", "a.example.com", "80", "socks5h://s:1080",
		NULL, "s:1080", NULL},
	{NULL, NULL, "socks5://s", ".example.com", "http", "example.com", "80", NULL, NULL,
		"example.com:80", NULL},
	{NULL, NULL, "socks5://s", "127.0.0.0/8", "http", "127.0.0.1", "80", NULL, NULL,
		"127.0.0.1:80", NULL},
	{NULL, NULL, "socks5://s", NULL, "http", "127.0.0.1", "80", "socks5h://s:1080", NULL,
		"s:1080", NULL},
	{"http://p", NULL, "socks5://s", NULL, "http", "h", "80", "http://p:80", "socks5h://s:1080",
		"s:1080", NULL},
	{"http://p", NULL, "socks5://s", "p", "http", "h", "80", "http://p:80", NULL, "p:80", NULL},
};

static void chooses_proxies(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(route_cases); i++) {
		const struct route_case *c = &route_cases[i];
		const struct http_options options = {.http_proxy = c->http,
			.https_proxy = c->https,
			.all_proxy = c->all,
			.no_proxy = c->no};
		struct http_proxies p = {0};
		struct http_route r = {0};
		struct error *err = NULL;
		cleanup_free char *dial = NULL;

		assert_int_equal(http_proxies_init(&p, &options, NULL), 0);
		if (http_route_choose(&p, c->scheme, c->host, c->port, &r, &err) < 0)
			fail_msg("case %zu: %s", i, err->message);
		dial = str_printf("%s:%s", r.dial_host, r.dial_port);
		if (!str_equal(r.proxy, c->proxy) || !str_equal(r.pre_proxy, c->pre_proxy) ||
			strcmp(dial, c->dial) != 0)
			fail_msg("case %zu: want %s, %s, %s, got %s, %s, %s", i,
				c->proxy ? c->proxy : "none", c->pre_proxy ? c->pre_proxy : "none",
				c->dial, r.proxy ? r.proxy : "none",
				r.pre_proxy ? r.pre_proxy : "none", dial);
		http_route_free(&r);
		http_proxies_free(&p);
	}
}

/* ---- talking to them */

static bool answer(struct server_connection *c, void *arg)
{
	const char *status = arg;

	if (strcmp(c->method, "CONNECT") == 0) {
		server_sendf(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status);
		return false;
	}
	server_reply(c, "200 OK", "", c->request);
	return true;
}

/* A SOCKS5 server that only notes whom it should connect to, and answers by itself. arg: what it
 * replies. */
static char socks_target[256];

static bool speak_socks(struct server_connection *c, void *arg)
{
	unsigned char b[512], reply[10] = {5, *(const unsigned char *)arg, 0, 1};
	char request[4096];

	if (recv(c->fd, b, 2, MSG_WAITALL) != 2 || recv(c->fd, b + 2, b[1], MSG_WAITALL) != b[1])
		return false;
	server_send(c, "\x05\x00", 2);
	if (recv(c->fd, b, 5, MSG_WAITALL) != 5 || b[3] != 3 ||
		recv(c->fd, b + 5, (size_t)b[4] + 2, MSG_WAITALL) != b[4] + 2)
		return false;
	snprintf(socks_target, sizeof(socks_target), "%.*s:%d", b[4], (char *)b + 5,
		b[5 + b[4]] << 8 | b[6 + b[4]]);
	server_send(c, reply, sizeof(reply));
	if (reply[1] != 0 || recv(c->fd, request, sizeof(request), 0) <= 0)
		return false;
	server_reply(c, "200 OK", "", "through socks");
	return false;
}

static char *ask(const struct http_options *options, const char *url)
{
	struct http_client *client = http_client_new(options, NULL);
	struct http_request request = {.method = "GET", .url = url};
	struct http_response *response = NULL;
	struct error *err = NULL;
	struct buf body = {0};
	char *text;

	assert_non_null(client);
	if (http_round_trip(client, &background, &request, &response, &err) == 0)
		(void)http_response_read_all(response, &background, 65536, &body, &err);
	http_response_free(response);
	text = err ? strdup(err->message) : buf_steal(&body);
	error_unref(err);
	buf_free(&body);
	http_client_free(client);
	return text;
}

static void goes_through_http_proxies(void **state)
{
	struct server *proxy = server_start(
		&(struct server_options){.handler = answer, .arg = (void *)"407 Nope"});
	cleanup_free char *plain = str_printf("http://u:p@127.0.0.1:%d", server_port(proxy));
	cleanup_free char *got = NULL, *refused = NULL, *nobody = NULL, *none = NULL;
	struct http_options options = {
		.user_agent = "x", .http_proxy = plain, .https_proxy = plain};

	(void)state;
	got = ask(&options, "http://registry.example:5000/v2/");
	assert_string_equal(got, "GET http://registry.example:5000/v2/ HTTP/1.1\r\n"
				 "Host: registry.example:5000\r\n"
				 "Proxy-Authorization: Basic dTpw\r\nUser-Agent: x\r\n"
				 "Accept-Encoding: gzip\r\n\r\n");
	refused = ask(&options, "https://registry.example/v2/");
	assert_string_equal(refused, "Proxy Authentication Required");
	options.https_proxy = "http://127.0.0.1:1";
	nobody = ask(&options, "https://registry.example/v2/");
	assert_string_equal(
		nobody, "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused");
	server_stop(proxy);
	options.https_proxy = "http://nowhere.invalid:1";
	none = ask(&options, "https://registry.example/v2/");
	assert_true(str_has_prefix(none, "proxyconnect tcp: dial tcp: lookup nowhere.invalid: "));
}

static void goes_through_socks(void **state)
{
	unsigned char reply = 0;
	struct server *proxy = server_start(
		&(struct server_options){.handler = speak_socks, .arg = &reply, .raw = true});
	cleanup_free char *all = str_printf("socks5://127.0.0.1:%d", server_port(proxy));
	struct http_options options = {.user_agent = "x", .all_proxy = all};
	cleanup_free char *got = NULL, *refused = NULL, *want = NULL, *nobody = NULL;

	(void)state;
	/* the proxy resolves the name */
	got = ask(&options, "http://registry.example:5000/v2/");
	assert_string_equal(got, "through socks");
	assert_string_equal(socks_target, "registry.example:5000");
	reply = 5;
	refused = ask(&options, "http://registry.example:5000/v2/");
	want = str_printf("socks connect tcp 127.0.0.1:%d->registry.example:5000: unknown error "
			  "connection refused",
		server_port(proxy));
	assert_string_equal(refused, want);
	server_stop(proxy);
	options.all_proxy = "socks5://127.0.0.1:1";
	nobody = ask(&options, "http://registry.example:5000/v2/");
	assert_string_equal(nobody,
		"socks connect tcp 127.0.0.1:1->registry.example:5000: dial tcp 127.0.0.1:1: "
		"connect: connection refused");
}

static void leaves_the_environment_alone(void **state)
{
	static const char *const names[] = {
		"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
	struct server *server =
		server_start(&(struct server_options){.handler = answer, .arg = (void *)"200 OK"});
	cleanup_free char *url = str_printf("http://127.0.0.1:%d/x", server_port(server));
	struct http_options options = {.user_agent = "x"};
	cleanup_free char *got = NULL, *want = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		setenv(names[i], "http://127.0.0.1:1", 1);
	setenv("no_proxy", "", 1);
	got = ask(&options, url);
	want = str_printf("GET /x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: x\r\n"
			  "Accept-Encoding: gzip\r\n\r\n",
		server_port(server));
	assert_string_equal(got, want);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
	/* nor does NO_PROXY of the environment keep from a proxy that was given */
	setenv("no_proxy", "*", 1);
	{
		cleanup_free char *proxy = str_printf("http://127.0.0.1:%d", server_port(server)),
				  *text = NULL;

		options.http_proxy = proxy;
		text = ask(&options, "http://registry.example/y");
		assert_true(str_has_prefix(text, "GET http://registry.example/y HTTP/1.1\r\n"));
	}
	unsetenv("no_proxy");
	server_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chooses_proxies),
		cmocka_unit_test(goes_through_http_proxies),
		cmocka_unit_test(goes_through_socks),
		cmocka_unit_test(leaves_the_environment_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
