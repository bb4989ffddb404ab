/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections there are at once, over plain HTTP, against a scripted server. */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "http_fixture.h"

struct crossing {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int inside, most, arrived;
	int together; /* so many have to be inside before one goes on, as long as there are others
		       */
	int all;
	bool shut; /* nobody goes on */
};

static bool cross(struct server_connection *c, void *arg)
{
	struct crossing *x = arg;

	pthread_mutex_lock(&x->lock);
	x->arrived++;
	x->inside++;
	if (x->inside > x->most)
		x->most = x->inside;
	pthread_cond_broadcast(&x->cond);
	while (x->shut || (x->most < x->together && x->arrived < x->all))
		pthread_cond_wait(&x->cond, &x->lock);
	x->inside--;
	pthread_mutex_unlock(&x->lock);
	server_reply(c, "200 OK", "", "over");
	return true;
}

struct walker {
	struct http_client *client;
	char *url;
	struct cancel *cancel;
	uint32_t timeout_ms;
	pthread_t thread;
	struct error *err;
	int status;
};

static void *walk(void *arg)
{
	struct walker *w = arg;
	const struct context ctx = {.cancel = w->cancel};
	const struct http_request request = {
		.method = "GET", .url = w->url, .timeout_ms = w->timeout_ms};
	struct http_response *response = NULL;
	struct buf body = {0};

	if (http_round_trip(w->client, &ctx, &request, &response, &w->err) == 0) {
		w->status = response->status;
		assert_int_equal(http_response_read_all(response, &ctx, 100, &body, &w->err), 0);
		http_response_free(response);
	}
	buf_free(&body);
	return NULL;
}

#define WALKERS 9

static void bounds_connections(void **state)
{
	static const struct {
		uint32_t all, host;
		int together;
	} cases[] = {{1, 0, 1}, {3, 0, 3}, {0, 2, 2}, {4, 2, 2}, {2, 4, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crossing x = {.lock = PTHREAD_MUTEX_INITIALIZER,
			.cond = PTHREAD_COND_INITIALIZER,
			.together = cases[i].together,
			.all = WALKERS};
		const struct http_options options = {.user_agent = "x",
			.max_connections = cases[i].all,
			.max_connections_per_host = cases[i].host};
		struct http_client *client = new_client(&options);
		struct server *server =
			server_start(&(struct server_options){.handler = cross, .arg = &x});
		struct walker w[WALKERS] = {0};

		for (size_t k = 0; k < WALKERS; k++) {
			w[k].client = client;
			w[k].url = url_of(server, "/");
			assert_int_equal(pthread_create(&w[k].thread, NULL, walk, &w[k]), 0);
		}
		for (size_t k = 0; k < WALKERS; k++) {
			pthread_join(w[k].thread, NULL);
			if (w[k].err)
				fail_msg("case %zu: %s", i, w[k].err->message);
			assert_int_equal(w[k].status, 200);
			free(w[k].url);
		}
		/* those that were there are used again */
		if (x.most != cases[i].together || server_connections(server) != cases[i].together)
			fail_msg("case %zu: %d at once, %d connections", i, x.most,
				server_connections(server));
		http_client_free(client);
		server_stop(server);
	}
}

static void await_arrivals(struct crossing *x, int n)
{
	pthread_mutex_lock(&x->lock);
	while (x->arrived < n)
		pthread_cond_wait(&x->cond, &x->lock);
	pthread_mutex_unlock(&x->lock);
}

/* Whoever waits for a connection can be cancelled, and his time does not run. */
static void waits_for_a_connection(void **state)
{
	struct crossing x = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .shut = true};
	const struct http_options options = {.user_agent = "x", .max_connections = 1};
	struct http_client *client = new_client(&options);
	struct server *server = server_start(&(struct server_options){.handler = cross, .arg = &x});
	struct walker w[3] = {
		{.timeout_ms = 0}, {.cancel = cancel_new(NULL)}, {.timeout_ms = 2500}};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(w); k++) {
		w[k].client = client;
		w[k].url = url_of(server, "/");
		assert_int_equal(pthread_create(&w[k].thread, NULL, walk, &w[k]), 0);
		if (k == 0)
			await_arrivals(&x, 1);
	}
	usleep(2600000);
	cancel_fire(w[1].cancel, &err_context_canceled);
	pthread_join(w[1].thread, NULL);
	assert_ptr_equal(w[1].err, &err_context_canceled);
	assert_int_equal(x.arrived, 1);
	pthread_mutex_lock(&x.lock);
	x.shut = false;
	pthread_cond_broadcast(&x.cond);
	pthread_mutex_unlock(&x.lock);
	for (size_t k = 0; k < ARRAY_SIZE(w); k += 2) {
		pthread_join(w[k].thread, NULL);
		if (w[k].err)
			fail_msg("request %zu: %s", k, w[k].err->message);
	}
	assert_int_equal(server_connections(server), 1);
	for (size_t k = 0; k < ARRAY_SIZE(w); k++)
		free(w[k].url);
	cancel_unref(w[1].cancel);
	http_client_free(client);
	server_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_connections),
		cmocka_unit_test(waits_for_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
