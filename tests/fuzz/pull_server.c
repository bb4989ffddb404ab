/* SPDX-License-Identifier: Apache-2.0 */
/* See pull_server.h. */
#define _GNU_SOURCE /* pipe2, RTLD_NEXT */
#include "pull_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_CONNECTIONS 64
#define MAX_REQUEST 65536
#define END (-1) /* in place of a descriptor */

struct connection {
	int fd;
	struct buf in;
};

static struct {
	pthread_once_t once;
	int commands[2]; /* a pipe of descriptors */
	sem_t ended;
	/* the server's thread alone, but for begin */
	pull_answer answer;
	void *arg;
	struct connection connections[MAX_CONNECTIONS];
	size_t count;
} server = {.once = PTHREAD_ONCE_INIT};

static void drop(size_t i)
{
	close(server.connections[i].fd);
	buf_free(&server.connections[i].in);
	server.connections[i] = server.connections[--server.count];
}

static bool send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

/* The size of the whole request once its head is there; 0: not yet. */
static size_t request_size(const struct buf *in)
{
	const char *end = in->data ? strstr(in->data, "\r\n\r\n") : NULL, *length;
	size_t size;

	if (!end)
		return 0;
	size = (size_t)(end + 4 - in->data);
	length = strcasestr(in->data, "\r\nContent-Length:");
	if (length && length < end)
		size += strtoul(length + 17, NULL, 10);
	return size;
}

/* false: the connection is over. */
static bool serve(struct connection *c)
{
	cleanup_buf struct buf wire = {0};
	char piece[8192];
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);
	size_t size;
	bool more;

	if (n <= 0)
		return false;
	buf_append(&c->in, piece, (size_t)n);
	must(!c->in.oom);
	/* who begins with a TLS handshake is at the wrong door */
	if (c->in.data[0] == 0x16 || c->in.size > MAX_REQUEST)
		return false;
	size = request_size(&c->in);
	if (!size || size > c->in.size)
		return true;
	more = server.answer(server.arg, c->in.data, &wire);
	must(!wire.oom);
	buf_reset(&c->in);
	return send_all(c->fd, wire.data, wire.size) && more;
}

static void command(void)
{
	int fd;

	must(read(server.commands[0], &fd, sizeof(fd)) == sizeof(fd));
	if (fd == END) {
		while (server.count)
			drop(server.count - 1);
		sem_post(&server.ended);
	} else if (server.count == MAX_CONNECTIONS) {
		close(fd);
	} else {
		server.connections[server.count++] = (struct connection){.fd = fd};
	}
}

static void *run(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd p[MAX_CONNECTIONS + 1] = {
			{.fd = server.commands[0], .events = POLLIN}};
		size_t n = server.count;

		for (size_t i = 0; i < n; i++)
			p[i + 1] =
				(struct pollfd){.fd = server.connections[i].fd, .events = POLLIN};
		if (poll(p, n + 1, -1) < 0)
			continue;
		/* backwards, since drop moves the last one */
		for (size_t i = n; i-- > 0;)
			if (p[i + 1].revents && !serve(&server.connections[i]))
				drop(i);
		if (p[0].revents)
			command();
	}
	return NULL;
}

static void start(void)
{
	pthread_t thread;

	must(!pipe2(server.commands, O_CLOEXEC) && !sem_init(&server.ended, 0, 0));
	must(!pthread_create(&thread, NULL, run, NULL) && !pthread_detach(thread));
}

void pull_server_begin(pull_answer answer, void *arg)
{
	pthread_once(&server.once, start);
	server.answer = answer;
	server.arg = arg;
}

void pull_server_end(void)
{
	int end = END;

	must(write(server.commands[1], &end, sizeof(end)) == sizeof(end));
	while (sem_wait(&server.ended))
		must(errno == EINTR);
}

/* In place of the C library's, for libcurl as well. */
__attribute__((visibility("default"))) int connect(
	int fd, const struct sockaddr *address, socklen_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	int pair[2], room = 1 << 20, flags = fcntl(fd, F_GETFL);

	(void)size;
	if (!server.answer || address->sa_family != AF_INET ||
		in->sin_port != htons(PULL_SERVER_PORT) ||
		in->sin_addr.s_addr != htonl(INADDR_LOOPBACK)) {
		errno = ECONNREFUSED;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)); /* a hint */
	must(dup3(pair[0], fd, O_CLOEXEC) == fd && fcntl(fd, F_SETFL, flags) == 0);
	close(pair[0]);
	must(write(server.commands[1], &pair[1], sizeof(pair[1])) == sizeof(pair[1]));
	return 0;
}
