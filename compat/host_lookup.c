/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: net.LookupIP. */
#include "config.h"

#include "host_lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/context.h"

#define STEP_MS 50
#define STACK_SIZE (512u << 10) /* NSS modules of the system's run on it */

/* Nobody can interrupt the system's resolver, so it runs on a thread that may outlive whoever asks.
 */
struct job {
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t ended;
	unsigned refs;
	bool done;
	struct host_addresses found;
	char host[]; /* constant */
};

static void take(struct host_addresses *list, const struct sockaddr *sa)
{
	struct ip ip = {{0}, 0};

	if (sa->sa_family == AF_INET) {
		ip.size = 4;
		memcpy(ip.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
		const uint8_t *bytes =
			(const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)
				->sin6_addr;

		ip.size = memcmp(bytes, mapped, sizeof(mapped)) != 0 ? 16 : 4;
		memcpy(ip.bytes, bytes + 16 - ip.size, ip.size);
	}
	if (ip.size && list->n < HOST_ADDRESSES_MAX)
		list->items[list->n++] = ip;
}

static void look_up(const char *host, struct host_addresses *ret)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	ret->n = 0;
	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return;
	for (const struct addrinfo *ai = found; ai; ai = ai->ai_next)
		take(ret, ai->ai_addr);
	freeaddrinfo(found);
}

/* The lock is held, and let go. */
static void unref(struct job *job)
{
	bool last = --job->refs == 0;

	pthread_mutex_unlock(&job->lock);
	if (!last)
		return;
	pthread_cond_destroy(&job->ended);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static void *run(void *arg)
{
	struct job *job = arg;
	struct host_addresses *found = malloc(sizeof(*found));

	if (found)
		look_up(job->host, found);
	pthread_mutex_lock(&job->lock);
	if (found)
		job->found = *found;
	job->done = true;
	pthread_cond_broadcast(&job->ended);
	unref(job);
	free(found);
	return NULL;
}

static struct job *job_new(const char *host)
{
	struct job *job = calloc(1, sizeof(*job) + strlen(host) + 1);

	if (!job)
		return NULL;
	if (cond_init(&job->ended) < 0) {
		free(job);
		return NULL;
	}
	pthread_mutex_init(&job->lock, NULL);
	strcpy(job->host, host);
	job->refs = 1;
	return job;
}

static bool give_up(const struct host_lookup *how)
{
	return how->cancelled && how->cancelled(how->cancelled_context, NULL);
}

/* The lock is held, but while somebody is asked. */
static void await(struct job *job, const struct host_lookup *how)
{
	int64_t end = monotonic_ms() + how->max_ms, left;
	bool gone = false;

	while (!job->done && !gone && (left = end - monotonic_ms()) > 0) {
		context_wait(&CONTEXT_BACKGROUND, &job->ended, &job->lock,
			left < STEP_MS ? left : STEP_MS);
		if (job->done)
			break;
		pthread_mutex_unlock(&job->lock);
		gone = give_up(how);
		pthread_mutex_lock(&job->lock);
	}
}

void host_lookup(const char *host, const struct host_lookup *how, struct host_addresses *ret)
{
	struct job *job = job_new(host);
	pthread_t thread;

	ret->n = 0;
	if (!job)
		return;
	pthread_mutex_lock(&job->lock);
	job->refs++;
	if (thread_start(&thread, STACK_SIZE, run, job, NULL) < 0) {
		/* then it takes as long as it takes */
		job->refs--;
		unref(job);
		look_up(host, ret);
		return;
	}
	pthread_detach(thread);
	await(job, how);
	if (job->done)
		*ret = job->found;
	unref(job);
}
