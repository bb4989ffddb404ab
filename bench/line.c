/* SPDX-License-Identifier: Apache-2.0 */
/* line SHARED NS_A ADDR_A NS_B ADDR_B DELAY_MS MBIT: a long line between two network namespaces.
 *
 * A TUN device in each; what comes out of one goes into the other DELAY_MS later, each way at MBIT
 * Mbit/s (0: no limit), with room for QUEUE packets, beyond which they are lost. For kernels
 * without netem. SHARED is a file of one double: when the last packet with payload was handed to B,
 * in seconds of CLOCK_REALTIME. Says "up" once the line carries packets; ends by a signal. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MTU 1500
#define QUEUE 2048u
#define PAYLOAD 200 /* bytes; acknowledgements are shorter */

struct packet {
	double due;
	ssize_t size;
	unsigned char bytes[MTU];
};

/* One way. What is read waits in a circle, whose packets leave in their order. */
struct way {
	int from, to;
	double delay, bytes_per_second, free_at;
	struct packet *queue;
	unsigned head, count;
	volatile double *last_payload;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void configure(const char *format, const char *name, const char *address)
{
	char command[256];

	snprintf(command, sizeof(command), format, name, address);
	if (system(command))
		die(command);
}

static int open_tun(const char *name_space, const char *address)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[256];
	int ns, fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name_space);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		die(path);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strcpy(request.ifr_name, "line0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		die("/dev/net/tun");
	configure("ip link set lo up && ip address add %2$s/24 dev %1$s && ip link set %1$s up",
		"line0", address);
	return fd;
}

static void take(struct way *w)
{
	while (w->count < QUEUE) {
		struct packet *p = &w->queue[(w->head + w->count) % QUEUE];
		double t = now(CLOCK_MONOTONIC);

		p->size = read(w->from, p->bytes, MTU);
		if (p->size <= 0)
			return;
		if (w->free_at < t)
			w->free_at = t;
		if (w->bytes_per_second > 0)
			w->free_at += (double)p->size / w->bytes_per_second;
		p->due = w->free_at + w->delay;
		w->count++;
	}
	/* full: what comes now is lost */
	for (unsigned char lost[MTU]; read(w->from, lost, MTU) > 0;)
		;
}

static void give(struct way *w)
{
	while (w->count && w->queue[w->head].due <= now(CLOCK_MONOTONIC)) {
		struct packet *p = &w->queue[w->head];

		if (write(w->to, p->bytes, (size_t)p->size) > 0 && w->last_payload &&
			p->size > PAYLOAD)
			*w->last_payload = now(CLOCK_REALTIME);
		w->head = (w->head + 1) % QUEUE;
		w->count--;
	}
}

static void *carry(void *arg)
{
	struct way *w = arg;

	for (;;) {
		struct pollfd p = {.fd = w->from, .events = POLLIN};
		double left = w->count ? w->queue[w->head].due - now(CLOCK_MONOTONIC) : 1;
		struct timespec t = {.tv_sec = (time_t)(left > 0 ? left : 0)};

		t.tv_nsec = (long)((left > 0 ? left - (double)t.tv_sec : 0) * 1e9);
		ppoll(&p, 1, &t, NULL);
		take(w);
		give(w);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct way ways[2] = {0};
	pthread_t thread;
	int fd, a, b;

	if (argc != 8) {
		fprintf(stderr, "usage: line SHARED NS_A ADDR_A NS_B ADDR_B DELAY_MS MBIT\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(double)) < 0)
		die(argv[1]);
	ways[0].last_payload =
		mmap(NULL, sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ways[0].last_payload == MAP_FAILED)
		die(argv[1]);
	a = open_tun(argv[2], argv[3]);
	b = open_tun(argv[4], argv[5]);
	for (int i = 0; i < 2; i++) {
		ways[i].from = i ? b : a;
		ways[i].to = i ? a : b;
		ways[i].delay = atof(argv[6]) / 1000;
		ways[i].bytes_per_second = atof(argv[7]) * 1e6 / 8;
		ways[i].queue = calloc(QUEUE, sizeof(*ways[i].queue));
		if (!ways[i].queue)
			die("calloc");
	}
	if (pthread_create(&thread, NULL, carry, &ways[1]))
		die("pthread_create");
	puts("up");
	fflush(stdout);
	carry(&ways[0]);
	return 0;
}
