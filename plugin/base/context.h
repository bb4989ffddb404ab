/* SPDX-License-Identifier: Apache-2.0 */
/* Cancellation and waiting. Go counterpart: context.Context. */
#ifndef BASE_CONTEXT_H
#define BASE_CONTEXT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

/* A cancel flag that many threads share. Refcounted; thread-safe. */
struct cancel;
struct cancel *cancel_new(
	struct cancel *parent); /* parent may be NULL; fires with it. NULL: no memory */
struct cancel *cancel_ref(struct cancel *c);
void cancel_unref(struct cancel *c); /* NULL is allowed */
/* Fire: from now on cancel_error() is cause (a sentinel such as &err_context_canceled); first call
 * wins. */
void cancel_fire(struct cancel *c, struct error *cause);
bool cancel_fired(const struct cancel *c);          /* NULL: false */
struct error *cancel_error(const struct cancel *c); /* borrowed; NULL if not fired */
/* Call fn(arg) once when c fires (at once if it has). fn may run on any thread, must not block, and
 * runs with no lock held. cancel_unwatch returns when fn is not running and will not run any more.
 */
struct cancel_watch {
	struct cancel *cancel;
	void (*fn)(void *arg);
	void *arg;
	struct cancel_watch *prev, *next;
	int state;
};
void cancel_watch(struct cancel *c, struct cancel_watch *w, void (*fn)(void *arg), void *arg);
void cancel_unwatch(struct cancel_watch *w);

/* What a blocking call needs of its caller: whether to stop, and what to do meanwhile. On the
 * thread that called image_pull, poll runs the engine's callbacks (progress, log, cancelled) at
 * least every 50 ms while something is waited for; on worker threads it is NULL. */
struct context {
	struct cancel *cancel; /* may be NULL: never cancelled */
	void (*poll)(void *arg);
	void *poll_arg;
	/* If not NULL: called by http_round_trip, on the caller's thread, once its request goes out
	 * on a connection. For those who mind in which order requests are seen. */
	void (*requested)(void *arg);
	void *requested_arg;
	/* Its requests go out on new connections: those that are open are left to others. */
	bool own_connection;
};
#define CONTEXT_BACKGROUND ((struct context){0})

/* pthread_cond_wait for at most timeout_ms (-1: no limit). With a poll function it may return
 * early, and poll runs with m unlocked. m is locked before and after; cond must use CLOCK_MONOTONIC
 * (cond_init). Spurious returns are allowed: call it in a loop that checks its condition and
 * cancel_fired(). Firing a cancel does not signal cond by itself: waiters register a cancel_watch
 * that does. */
void context_wait(
	const struct context *ctx, pthread_cond_t *cond, pthread_mutex_t *m, int64_t timeout_ms);
/* Sleep. 0, or -1 if the context was cancelled before the time was over. */
int context_sleep(const struct context *ctx, int64_t ms);
int cond_init(pthread_cond_t *cond); /* with CLOCK_MONOTONIC */
int64_t monotonic_ms(void);

/* A thread with every signal blocked and a stack of stack_size bytes, or of what the system wants
 * at least. */
int thread_start(
	pthread_t *t, size_t stack_size, void *(*fn)(void *), void *arg, struct error **reterr);

#endif
