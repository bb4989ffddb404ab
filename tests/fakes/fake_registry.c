/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted registry for tests; its Go counterpart would be net/http/httptest. */
#include "config.h"

#include "fakes/fake_registry.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUEST 16384
#define MAX_CONNECTIONS 64

struct fake_registry {
	const struct fake_route *routes;
	size_t nroutes;
	int listener, port;
	int stop[2]; /* a pipe; closing the writing end stops everything */
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	char *requests;
	pthread_t connections[MAX_CONNECTIONS];
	size_t nconnections;
};

struct connection {
	struct fake_registry *registry;
	int fd;
};

static void give_up(const char *what)
{
	perror(what);
	exit(99);
}

/* True if fd has something to read; false if the registry is stopped first. */
static bool readable(struct fake_registry *r, int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = r->stop[0], .events = POLLIN}};

	return poll(p, 2, -1) > 0 && !p[1].revents;
}

static void send_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		size -= (size_t)n;
	}
}

static void note(struct fake_registry *r, const char *path)
{
	char *longer;

	pthread_mutex_lock(&r->lock);
	if (asprintf(&longer, "%s%s\n", r->requests ? r->requests : "", path) < 0)
		give_up("asprintf");
	free(r->requests);
	r->requests = longer;
	pthread_mutex_unlock(&r->lock);
}

static void answer(struct fake_registry *r, int fd, const char *path)
{
	static const struct fake_route unknown = {.status = 404};
	const struct fake_route *route = &unknown;
	char head[1024], nothing[1];
	size_t i, size;
	int n;

	for (i = r->nroutes; i-- > 0;)
		if (strlen(r->routes[i].path) == strcspn(path, "?") &&
			!strncmp(r->routes[i].path, path, strcspn(path, "?")))
			route = &r->routes[i];
	note(r, path);
	if (route->status < 0) {
		while (readable(r, fd) && recv(fd, nothing, 1, 0) > 0)
			;
		return;
	}
	size = route->size || !route->body ? route->size : strlen(route->body);
	n = snprintf(head, sizeof(head),
		"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n"
		"Content-Type: %s\r\n%s%s\r\n",
		route->status ? route->status : 200, size,
		route->content_type ? route->content_type : "application/octet-stream",
		route->header ? route->header : "", route->header ? "\r\n" : "");
	send_all(fd, head, (size_t)n);
	send_all(fd, route->body, size);
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	char request[MAX_REQUEST + 1], path[1024];
	size_t used = 0;
	ssize_t n;

	request[0] = 0;
	while (used < MAX_REQUEST && !strstr(request, "\r\n\r\n") && readable(c->registry, c->fd)) {
		n = recv(c->fd, request + used, MAX_REQUEST - used, 0);
		if (n <= 0)
			break;
		used += (size_t)n;
		request[used] = 0;
	}
	if (strstr(request, "\r\n\r\n") && sscanf(request, "GET %1023[^ ]", path) == 1)
		answer(c->registry, c->fd, path);
	close(c->fd);
	free(c);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct fake_registry *r = arg;

	while (readable(r, r->listener)) {
		struct connection *c = malloc(sizeof(*c));
		size_t i;

		if (!c)
			give_up("malloc");
		c->registry = r;
		c->fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
		if (c->fd < 0) {
			free(c);
			continue;
		}
		/* Connections end soon, but for the last ones of a test. */
		if (r->nconnections == MAX_CONNECTIONS) {
			for (i = 0; i < r->nconnections; i++)
				pthread_join(r->connections[i], NULL);
			r->nconnections = 0;
		}
		if (pthread_create(&r->connections[r->nconnections++], NULL, serve, c))
			give_up("pthread_create");
	}
	while (r->nconnections > 0)
		pthread_join(r->connections[--r->nconnections], NULL);
	return NULL;
}

struct fake_registry *fake_registry_start(const struct fake_route *routes, size_t n)
{
	struct fake_registry *r = calloc(1, sizeof(*r));
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	if (!r)
		give_up("calloc");
	r->routes = routes;
	r->nroutes = n;
	pthread_mutex_init(&r->lock, NULL);
	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&a, size) < 0 ||
		listen(r->listener, 64) < 0 ||
		getsockname(r->listener, (struct sockaddr *)&a, &size) < 0 || pipe(r->stop) < 0)
		give_up("listen");
	r->port = ntohs(a.sin_port);
	if (pthread_create(&r->thread, NULL, accept_all, r))
		give_up("pthread_create");
	return r;
}

int fake_registry_port(const struct fake_registry *r)
{
	return r->port;
}

char *fake_registry_requests(struct fake_registry *r)
{
	char *copy;

	pthread_mutex_lock(&r->lock);
	copy = strdup(r->requests ? r->requests : "");
	pthread_mutex_unlock(&r->lock);
	if (!copy)
		give_up("strdup");
	return copy;
}

void fake_registry_stop(struct fake_registry *r)
{
	close(r->stop[1]);
	pthread_join(r->thread, NULL);
	close(r->stop[0]);
	close(r->listener);
	pthread_mutex_destroy(&r->lock);
	free(r->requests);
	free(r);
}
