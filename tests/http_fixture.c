/* SPDX-License-Identifier: Apache-2.0 */
/* A client that asks a scripted server. */
#include "config.h"

#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

const struct context background;

struct http_client *new_client(const struct http_options *given)
{
	static const struct http_options defaults = {.user_agent = "towline-test"};
	struct error *err = NULL;
	struct http_client *client = http_client_new(given ? given : &defaults, &err);

	if (!client)
		fail_msg("%s", err->message);
	return client;
}

int ask(struct http_client *client, const struct http_request *request, struct buf *body,
	char **ret_error)
{
	struct http_response *response = NULL;
	struct error *err = NULL;
	int status;

	*ret_error = NULL;
	if (http_round_trip(client, &background, request, &response, &err) < 0) {
		*ret_error = strdup(err->message);
		error_unref(err);
		return -1;
	}
	status = response->status;
	if (http_response_read_all(response, &background, 64 << 20, body, &err) < 0) {
		*ret_error = strdup(err->message);
		error_unref(err);
		status = -2;
	}
	http_response_free(response);
	return status;
}

char *url_of(struct server *server, const char *path)
{
	char *url = str_printf("http://127.0.0.1:%d%s", server_port(server), path);

	assert_non_null(url);
	return url;
}

bool echo(struct server_connection *c, void *arg)
{
	(void)arg;
	server_reply(c, "200 OK", "Content-Type: text/plain\r\n", c->request);
	return true;
}

bool text_matches(const char *text, const char *pattern, int port)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%d", port);
	while (*pattern) {
		if (pattern[0] == '%' && pattern[1] == 'l') {
			text += strspn(text, "0123456789");
			pattern += 2;
		} else if (pattern[0] == '%' && pattern[1] == 'p') {
			if (strncmp(text, digits, strlen(digits)) != 0)
				return false;
			text += strlen(digits);
			pattern += 2;
		} else if (*text++ != *pattern++) {
			return false;
		}
	}
	return !*text;
}
