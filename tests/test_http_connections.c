/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one hop over plain HTTP, against a scripted server: connections, names, cancels and
 * time limits. */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "http_fixture.h"

/* ---- connections */

static void keeps_connections(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = echo});
	cleanup_free char *url = url_of(server, "/");
	struct http_request request = {.method = "GET", .url = url};
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		cleanup_free char *error = NULL;
		struct buf body = {0};

		assert_int_equal(ask(client, &request, &body, &error), 200);
		buf_free(&body);
	}
	assert_int_equal(server_requests(server), 20);
	assert_int_equal(server_connections(server), 1);
	http_client_free(client);
	server_stop(server);
}

/* A connection that is open is left to others; the new one is kept like any. */
static void opens_its_own_connection(void **state)
{
	const struct context own = {.own_connection = true};
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = echo});
	cleanup_free char *url = url_of(server, "/");
	struct http_request request = {.method = "GET", .url = url};

	(void)state;
	for (int i = 0; i < 4; i++) {
		cleanup_free char *error = NULL;
		struct http_response *response;
		struct buf body = {0};
		struct error *err = NULL;

		if (i % 2 == 0) {
			assert_int_equal(ask(client, &request, &body, &error), 200);
			assert_int_equal(server_connections(server), 1 + i / 2);
		} else {
			assert_int_equal(
				http_round_trip(client, &own, &request, &response, &err), 0);
			assert_int_equal(
				http_response_read_all(response, &own, 4096, &body, &err), 0);
			http_response_free(response);
			assert_int_equal(server_connections(server), 2 + i / 2);
		}
		buf_free(&body);
	}
	http_client_free(client);
	server_stop(server);
}

static bool answer_once(struct server_connection *c, void *arg)
{
	(void)arg;
	server_reply(c, "200 OK", "", "once");
	return false; /* though nothing said so */
}

static void survives_kept_connections_that_died(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = answer_once});
	cleanup_free char *url = url_of(server, "/");
	struct http_request request = {.method = "GET", .url = url};
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		cleanup_free char *error = NULL;
		struct buf body = {0};

		if (ask(client, &request, &body, &error) != 200)
			fail_msg("request %d: %s", i, error);
		buf_free(&body);
	}
	http_client_free(client);
	server_stop(server);
}

static void says_who_refused(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = echo});
	int port = server_port(server);
	cleanup_free char *url = url_of(server, "/v2/"), *error = NULL;
	struct http_request request = {.method = "GET", .url = url};
	struct buf body = {0};

	(void)state;
	server_stop(server);
	assert_int_equal(ask(client, &request, &body, &error), -1);
	if (!text_matches(error, "dial tcp 127.0.0.1:%p: connect: connection refused", port))
		fail_msg("%s", error);
	http_client_free(client);
}

/* ---- names */

static int resolve(
	void *context, const char *host, int (*add)(void *arg, const char *address), void *arg)
{
	atomic_int *count = context;

	atomic_fetch_add(count, 1);
	if (strcmp(host, "slow.example") == 0)
		usleep(700000);
	if (strcmp(host, "registry.example") == 0 || strcmp(host, "slow.example") == 0)
		return add(arg, "127.0.0.1");
	return -1;
}

static void resolves_names(void **state)
{
	atomic_int count = 0;
	struct http_options options = {
		.user_agent = "x", .resolve = resolve, .resolve_context = &count};
	struct http_client *client = new_client(&options);
	struct server *server = server_start(&(struct server_options){.handler = echo});
	cleanup_free char *good = NULL, *error = NULL;
	struct buf body = {0};
	struct http_request request = {.method = "GET"};
	int i;

	(void)state;
	good = str_printf("http://registry.example:%d/", server_port(server));
	request.url = good;
	for (i = 0; i < 3; i++)
		assert_int_equal(ask(client, &request, &body, &error), 200);
	assert_non_null(strstr(body.data, "Host: registry.example:"));
	assert_int_equal(atomic_load(&count), 1);
	request.url = "http://nowhere.example/";
	assert_int_equal(ask(client, &request, &body, &error), -1);
	assert_string_equal(error, "dial tcp: lookup nowhere.example: no such host");
	free(error);
	request.url = "http://no*where/";
	assert_int_equal(ask(client, &request, &body, &error), -1);
	buf_free(&body);
	http_client_free(client);
	server_stop(server);
}

/* A resolver that does not answer before it is told to. */
struct slow_resolver {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool go;
};

static int resolve_slowly(
	void *context, const char *host, int (*add)(void *arg, const char *address), void *arg)
{
	struct slow_resolver *r = context;

	(void)host;
	pthread_mutex_lock(&r->lock);
	while (!r->go)
		pthread_cond_wait(&r->cond, &r->lock);
	pthread_mutex_unlock(&r->lock);
	return add(arg, "127.0.0.1");
}

/* A name is looked up for as long as a connection may take, or the request. */
static void gives_up_on_names(void **state)
{
	struct slow_resolver slow = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct http_options options = {.user_agent = "x",
		.resolve = resolve_slowly,
		.resolve_context = &slow,
		.connect_timeout_ms = 100};
	struct http_client *client = new_client(&options);
	struct buf body = {0};
	struct http_request request = {.method = "GET", .url = "http://slow.example/"};
	char *error = NULL;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) { /* the second one joins the first one's lookup */
		assert_int_equal(ask(client, &request, &body, &error), -1);
		assert_string_equal(error, "dial tcp: lookup slow.example: i/o timeout");
		free(error);
		error = NULL;
	}
	request.connect_timeout_ms = 20000;
	request.timeout_ms = 100;
	assert_int_equal(ask(client, &request, &body, &error), -1);
	assert_string_equal(error, "context deadline exceeded");
	free(error);
	pthread_mutex_lock(&slow.lock);
	slow.go = true;
	pthread_cond_broadcast(&slow.cond);
	pthread_mutex_unlock(&slow.lock);
	buf_free(&body);
	http_client_free(client);
}

/* ---- cancelling and time limits */

static bool stall(struct server_connection *c, void *arg)
{
	(void)arg;
	if (strcmp(c->target, "/body") == 0)
		server_sendf(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi");
	server_wait_closed(c);
	return false;
}

struct canceller {
	struct cancel *cancel;
	pthread_t thread;
};

static void *fire_soon(void *arg)
{
	struct canceller *c = arg;

	usleep(100000);
	cancel_fire(c->cancel, &err_context_canceled);
	return NULL;
}

static void cancels(void **state)
{
	static const char *const urls[] = {"/header", "/body", "name"};
	atomic_int count = 0;
	struct http_options options = {
		.user_agent = "x", .resolve = resolve, .resolve_context = &count};
	struct http_client *client = new_client(&options);
	struct server *server = server_start(&(struct server_options){.handler = stall});
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(urls); i++) {
		struct canceller c = {.cancel = cancel_new(NULL)};
		struct context ctx = {.cancel = c.cancel};
		cleanup_free char *url = NULL;
		struct http_request request = {.method = "GET"};
		struct http_response *response = NULL;
		struct error *err = NULL;
		struct buf body = {0};
		int64_t begin = monotonic_ms();

		url = *urls[i] == '/' ? url_of(server, urls[i]) : strdup("http://slow.example/");
		request.url = url;
		assert_int_equal(pthread_create(&c.thread, NULL, fire_soon, &c), 0);
		if (http_round_trip(client, &ctx, &request, &response, &err) == 0)
			assert_int_equal(
				http_response_read_all(response, &ctx, 100, &body, &err), -1);
		assert_ptr_equal(err, &err_context_canceled);
		assert_true(monotonic_ms() - begin < 5000);
		http_response_free(response);
		pthread_join(c.thread, NULL);
		cancel_unref(c.cancel);
	}
	http_client_free(client);
	server_stop(server);
}

static void ends_in_time(void **state)
{
	/* Long enough for a busy machine to send a header. */
	static const struct {
		const char *path, *error;
		unsigned timeout_ms;
	} cases[] = {
		{"/header", "context deadline exceeded", 150},
		{"/body",
			"context deadline exceeded (Client.Timeout or context cancellation while "
			"reading body)",
			3000},
	};
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = stall});
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *url = url_of(server, cases[i].path), *error = NULL;
		struct http_request request = {
			.method = "GET", .url = url, .timeout_ms = cases[i].timeout_ms};
		struct buf body = {0};

		assert_true(ask(client, &request, &body, &error) < 0);
		assert_string_equal(error, cases[i].error);
	}
	http_client_set_timeouts(client, 0, 3000);
	{
		cleanup_free char *url = url_of(server, "/body"), *error = NULL;
		struct http_request request = {.method = "GET", .url = url};
		struct buf body = {0};

		assert_int_equal(ask(client, &request, &body, &error), -2);
		assert_string_equal(error, "no data received for 3000 ms: i/o timeout");
	}
	http_client_free(client);
	server_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_connections),
		cmocka_unit_test(opens_its_own_connection),
		cmocka_unit_test(survives_kept_connections_that_died),
		cmocka_unit_test(says_who_refused),
		cmocka_unit_test(resolves_names),
		cmocka_unit_test(gives_up_on_names),
		cmocka_unit_test(cancels),
		cmocka_unit_test(ends_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
