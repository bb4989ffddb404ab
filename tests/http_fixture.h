/* SPDX-License-Identifier: Apache-2.0 */
/* A client that asks a scripted server (http_server.h). */
#ifndef HTTP_FIXTURE_H
#define HTTP_FIXTURE_H

#include <stdbool.h>

#include "base/buf.h"
#include "http_server.h"
#include "registry/http.h"

extern const struct context background;

struct http_client *new_client(const struct http_options *given); /* NULL: the usual options */
/* One request; body or error text into ret. */
int ask(struct http_client *client, const struct http_request *request, struct buf *body,
	char **ret_error);
/* http://127.0.0.1:PORT and the path; a new string. */
char *url_of(struct server *server, const char *path);
/* %l stands for any number, %p for the port. */
bool text_matches(const char *text, const char *pattern, int port);
/* A handler: answers with the request, as it came. */
bool echo(struct server_connection *c, void *arg);

#endif
