/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "http_server.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024

struct server {
	struct server_options options;
	int fd, port;
	pthread_t thread;
	atomic_int connections, requests;
	atomic_bool stopping;
	gnutls_certificate_credentials_t credentials;
	pthread_t threads[MAX_CONNECTIONS];
	atomic_int fds[MAX_CONNECTIONS]; /* -1: ended */
};

static void die(const char *what)
{
	perror(what);
	abort();
}

ssize_t server_receive(struct server_connection *c, void *buf, size_t size)
{
	if (c->tls)
		return gnutls_record_recv(c->tls, buf, size);
	return recv(c->fd, buf, size, 0);
}

void server_send(struct server_connection *c, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = c->tls ? gnutls_record_send(c->tls, p, size)
				   : send(c->fd, p, size, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		size -= (size_t)n;
	}
}

void server_sendf(struct server_connection *c, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		die("vasprintf");
	server_send(c, text, (size_t)n);
	free(text);
}

void server_reply(
	struct server_connection *c, const char *status, const char *headers, const char *body)
{
	server_sendf(c, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
		strlen(body), body);
}

void server_reset(struct server_connection *c)
{
	/* at once, before TLS says its farewell */
	connect(c->fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

bool server_header(const struct server_connection *c, const char *name, char *ret, size_t size)
{
	const char *line = strstr(c->request, "\r\n");
	size_t n = strlen(name);

	while (line && strncmp(line, "\r\n\r\n", 4) != 0) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			const char *value = line + n + 1, *end;

			while (*value == ' ')
				value++;
			end = strstr(value, "\r\n");
			snprintf(ret, size, "%.*s", (int)(end - value), value);
			return true;
		}
		line = strstr(line, "\r\n");
	}
	return false;
}

void server_wait_closed(struct server_connection *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

	while (!atomic_load(&c->server->stopping) && poll(&p, 1, 50) == 0)
		;
}

static bool read_request(struct server_connection *c)
{
	size_t have = 0, want = 0;
	char *end, length[32];

	memset(c->request, 0, sizeof(c->request));
	for (;;) {
		ssize_t n;

		end = strstr(c->request, "\r\n\r\n");
		if (end && have >= want) {
			want = (size_t)(end + 4 - c->request);
			if (server_header(c, "Content-Length", length, sizeof(length)))
				want += (size_t)atol(length);
			if (have >= want)
				break;
		}
		if (have == sizeof(c->request) - 1)
			return false;
		n = server_receive(c, c->request + have, sizeof(c->request) - 1 - have);
		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	c->body = end + 4;
	if (sscanf(c->request, "%15s %2047s", c->method, c->target) != 2)
		return false;
	atomic_fetch_add(&c->server->requests, 1);
	return true;
}

static bool start_tls(struct server_connection *c)
{
	struct server *s = c->server;
	gnutls_session_t session;
	int rc;

	if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL) < 0)
		die("gnutls_init");
	gnutls_set_default_priority(session);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, s->credentials);
	if (s->options.client_ca_file)
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_transport_set_int(session, c->fd);
	c->tls = session;
	do
		rc = gnutls_handshake(session);
	while (rc < 0 && !gnutls_error_is_fatal(rc));
	if (rc == 0 && s->options.client_ca_file) {
		unsigned int status = 0;

		if (gnutls_certificate_verify_peers2(session, &status) < 0 || status)
			rc = GNUTLS_E_CERTIFICATE_ERROR;
	}
	if (rc < 0) {
		char rest[4096];

		gnutls_alert_send_appropriate(session, rc);
		/* what is unread at the close would make a reset of it, which overtakes the alert
		 */
		shutdown(c->fd, SHUT_WR);
		while (recv(c->fd, rest, sizeof(rest), 0) > 0)
			;
	}
	return rc == 0;
}

static void *serve(void *arg)
{
	struct server_connection *c = arg;
	struct server *s = c->server;

	if (!s->credentials || start_tls(c)) {
		if (s->options.raw)
			s->options.handler(c, s->options.arg);
		else
			while (read_request(c) && s->options.handler(c, s->options.arg))
				;
		if (c->tls)
			gnutls_bye(c->tls, GNUTLS_SHUT_WR);
	}
	if (c->tls)
		gnutls_deinit(c->tls);
	atomic_store(&s->fds[c->number], -1);
	close(c->fd);
	free(c);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct server *s = arg;

	for (;;) {
		struct server_connection *c;
		int fd = accept(s->fd, NULL, NULL);

		if (fd < 0 || atomic_load(&s->stopping)) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		c = calloc(1, sizeof(*c));
		if (!c)
			die("calloc");
		c->server = s;
		c->fd = fd;
		c->number = atomic_load(&s->connections);
		if (c->number == MAX_CONNECTIONS)
			die("too many connections");
		atomic_store(&s->fds[c->number], fd);
		/* counted before it can answer */
		atomic_fetch_add(&s->connections, 1);
		if (pthread_create(&s->threads[c->number], NULL, serve, c) != 0)
			die("pthread_create");
	}
}

static void load_credentials(struct server *s)
{
	const struct server_options *o = &s->options;

	if (gnutls_certificate_allocate_credentials(&s->credentials) < 0 ||
		gnutls_certificate_set_x509_key_file(
			s->credentials, o->cert_file, o->key_file, GNUTLS_X509_FMT_PEM) < 0)
		die("server certificate");
	if (o->client_ca_file && gnutls_certificate_set_x509_trust_file(s->credentials,
					 o->client_ca_file, GNUTLS_X509_FMT_PEM) < 0)
		die("client CA");
}

struct server *server_start(const struct server_options *options)
{
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof(a);
	int one = 1;

	if (!s)
		die("calloc");
	s->options = *options;
	if (options->cert_file)
		load_credentials(s);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, options->address ? options->address : "127.0.0.1", &a.sin_addr);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(s->fd, 64) < 0 || getsockname(s->fd, (struct sockaddr *)&a, &size) < 0)
		die("listen");
	s->port = ntohs(a.sin_port);
	if (pthread_create(&s->thread, NULL, accept_all, s) != 0)
		die("pthread_create");
	return s;
}

void server_stop(struct server *s)
{
	int i, n;

	if (!s)
		return;
	atomic_store(&s->stopping, true);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	n = atomic_load(&s->connections);
	for (i = 0; i < n; i++) {
		int fd = atomic_load(&s->fds[i]);

		if (fd >= 0)
			shutdown(fd, SHUT_RDWR);
		pthread_join(s->threads[i], NULL);
	}
	if (s->credentials)
		gnutls_certificate_free_credentials(s->credentials);
	free(s);
}

void server_refuse(struct server *s)
{
	int i;

	shutdown(s->fd, SHUT_RDWR);
	for (i = 0; i < atomic_load(&s->connections); i++) {
		int fd = atomic_load(&s->fds[i]);

		if (fd >= 0)
			shutdown(fd, SHUT_RDWR);
	}
}

int server_port(const struct server *s)
{
	return s->port;
}

int server_connections(struct server *s)
{
	return atomic_load(&s->connections);
}

int server_requests(struct server *s)
{
	return atomic_load(&s->requests);
}
