/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted HTTP server on the loopback, for the tests of the registry client: threads of the
 * test's own, one for each connection. */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct server;

struct server_connection {
	struct server *server;
	int fd;
	void *tls;           /* gnutls_session_t, NULL: plain */
	int number;          /* of the connection, from 0 */
	char request[65536]; /* head and body of the request, with NUL */
	char method[16], target[2048];
	const char *body; /* inside request */
};

/* Answers one request. true: go on with the connection, false: close it. */
typedef bool (*server_handler)(struct server_connection *c, void *arg);

struct server_options {
	server_handler handler;
	void *arg;
	/* true: the handler is called as soon as the connection is there, without a request. */
	bool raw;
	const char *address;              /* NULL: 127.0.0.1 */
	const char *cert_file, *key_file; /* TLS */
	const char *client_ca_file;       /* a client certificate is required */
};

struct server *server_start(const struct server_options *options);
/* Ends all connections, joins all threads. */
void server_stop(struct server *server);
/* From now on connections are refused, and those that are open end. */
void server_refuse(struct server *server);
int server_port(const struct server *server);
int server_connections(struct server *server); /* so far */
int server_requests(struct server *server);

void server_send(struct server_connection *c, const void *data, size_t size);
/* Up to size bytes of what the client sends, as recv(). */
ssize_t server_receive(struct server_connection *c, void *buf, size_t size);
void server_sendf(struct server_connection *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "HTTP/1.1 STATUS\r\n" headers "Content-Length: ...\r\n\r\n" body */
void server_reply(
	struct server_connection *c, const char *status, const char *headers, const char *body);
/* End the connection with a reset. */
void server_reset(struct server_connection *c);
/* The value of a request header (first one, case ignored) into ret; false: absent. */
bool server_header(const struct server_connection *c, const char *name, char *ret, size_t size);
/* Wait until the client closes the connection or the server stops. */
void server_wait_closed(struct server_connection *c);

#endif
