/* SPDX-License-Identifier: Apache-2.0 */
/* Cancellation and waiting. Go counterpart: context.Context. */
#include "base/context.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define POLL_INTERVAL_MS 50

enum watch_state { WATCH_IDLE, WATCH_QUEUED, WATCH_TAKEN };

struct cancel {
	atomic_uint refs;
	_Atomic(struct error *) cause;
	pthread_mutex_t lock; /* watches, running, runner, and the links of each watch */
	pthread_cond_t idle;  /* running became NULL */
	struct cancel_watch *watches;
	struct cancel_watch *running;
	pthread_t runner;
	struct cancel_watch parent_watch;
};

static void fire(struct cancel *c, struct error *cause);

static void parent_fired(void *arg)
{
	struct cancel *c = arg;

	fire(c, cancel_error(c->parent_watch.cancel));
}

struct cancel *cancel_new(struct cancel *parent)
{
	struct cancel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	atomic_init(&c->cause, NULL);
	if (pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c);
		return NULL;
	}
	if (pthread_cond_init(&c->idle, NULL) != 0) {
		pthread_mutex_destroy(&c->lock);
		free(c);
		return NULL;
	}
	if (parent)
		cancel_watch(parent, &c->parent_watch, parent_fired, c);
	return c;
}

struct cancel *cancel_ref(struct cancel *c)
{
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void cancel_unref(struct cancel *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	cancel_unwatch(&c->parent_watch);
	error_unref(atomic_load(&c->cause));
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* A reference, unless the last one is gone: then the object waits, in cancel_unref, for the
 * parent's firing that has brought us here. */
static bool ref_unless_dying(struct cancel *c)
{
	unsigned int refs = atomic_load(&c->refs);

	while (refs) {
		if (atomic_compare_exchange_weak(&c->refs, &refs, refs + 1))
			return true;
	}
	return false;
}

static void unlink_watch(struct cancel *c, struct cancel_watch *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		c->watches = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->prev = NULL;
	w->next = NULL;
}

/* Called with the lock held, which is let go around the callback. w may be gone afterwards. */
static void run_watch(struct cancel *c, struct cancel_watch *w)
{
	void (*fn)(void *arg) = w->fn;
	void *arg = w->arg;

	w->state = WATCH_TAKEN;
	c->running = w;
	c->runner = pthread_self();
	pthread_mutex_unlock(&c->lock);
	fn(arg);
	pthread_mutex_lock(&c->lock);
	c->running = NULL;
	pthread_cond_broadcast(&c->idle);
}

static void fire(struct cancel *c, struct error *cause)
{
	bool referenced = ref_unless_dying(c);

	pthread_mutex_lock(&c->lock);
	if (!atomic_load(&c->cause)) {
		atomic_store(&c->cause, error_ref(cause));
		while (c->watches) {
			struct cancel_watch *w = c->watches;

			unlink_watch(c, w);
			run_watch(c, w);
		}
	}
	pthread_mutex_unlock(&c->lock);
	if (referenced)
		cancel_unref(c);
}

void cancel_fire(struct cancel *c, struct error *cause)
{
	if (c)
		fire(c, cause ? cause : &err_context_canceled);
}

bool cancel_fired(const struct cancel *c)
{
	return c && atomic_load(&c->cause);
}

struct error *cancel_error(const struct cancel *c)
{
	return c ? atomic_load(&c->cause) : NULL;
}

void cancel_watch(struct cancel *c, struct cancel_watch *w, void (*fn)(void *arg), void *arg)
{
	*w = (struct cancel_watch){.cancel = cancel_ref(c), .fn = fn, .arg = arg};
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	if (!atomic_load(&c->cause)) {
		w->state = WATCH_QUEUED;
		w->next = c->watches;
		if (w->next)
			w->next->prev = w;
		c->watches = w;
		w = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	/* On this thread and nowhere else: no one else knows of w yet. */
	if (w)
		fn(arg);
}

void cancel_unwatch(struct cancel_watch *w)
{
	struct cancel *c = w->cancel;

	if (!c)
		return;
	w->cancel = NULL;
	pthread_mutex_lock(&c->lock);
	if (w->state == WATCH_QUEUED)
		unlink_watch(c, w);
	/* a callback that unwatches itself must not wait for itself */
	while (c->running == w && !pthread_equal(c->runner, pthread_self()))
		pthread_cond_wait(&c->idle, &c->lock);
	w->state = WATCH_IDLE;
	pthread_mutex_unlock(&c->lock);
	cancel_unref(c);
}

/* ---- waiting */

int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int rc;

	if (pthread_condattr_init(&attr) != 0)
		return -1;
	rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (rc == 0)
		rc = pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return rc == 0 ? 0 : -1;
}

static void cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *m, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(cond, m, &until); /* the caller looks at its condition */
}

void context_wait(
	const struct context *ctx, pthread_cond_t *cond, pthread_mutex_t *m, int64_t timeout_ms)
{
	if (ctx->poll) {
		if (timeout_ms < 0 || timeout_ms > POLL_INTERVAL_MS)
			timeout_ms = POLL_INTERVAL_MS;
		if (timeout_ms > 0)
			cond_wait_ms(cond, m, timeout_ms);
		pthread_mutex_unlock(m);
		ctx->poll(ctx->poll_arg);
		pthread_mutex_lock(m);
	} else if (timeout_ms < 0) {
		pthread_cond_wait(cond, m);
	} else if (timeout_ms > 0) {
		cond_wait_ms(cond, m, timeout_ms);
	}
}

struct sleeper {
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void wake_sleeper(void *arg)
{
	struct sleeper *s = arg;

	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

int context_sleep(const struct context *ctx, int64_t ms)
{
	int64_t end = monotonic_ms() + ms, left;
	struct sleeper s = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct cancel_watch watch;

	if (cond_init(&s.cond) < 0)
		return -1;
	cancel_watch(ctx->cancel, &watch, wake_sleeper, &s);
	pthread_mutex_lock(&s.lock);
	while (!cancel_fired(ctx->cancel) && (left = end - monotonic_ms()) > 0)
		context_wait(ctx, &s.cond, &s.lock, left);
	pthread_mutex_unlock(&s.lock);
	cancel_unwatch(&watch);
	pthread_cond_destroy(&s.cond);
	pthread_mutex_destroy(&s.lock);
	return cancel_fired(ctx->cancel) ? -1 : 0;
}

int thread_start(
	pthread_t *t, size_t stack_size, void *(*fn)(void *), void *arg, struct error **reterr)
{
	pthread_attr_t attr;
	sigset_t all, old;
	long least = sysconf(_SC_THREAD_STACK_MIN); /* 128 KiB on arm64 */
	int rc;

	if (least > 0 && stack_size < (size_t)least)
		stack_size = (size_t)least;
	rc = pthread_attr_init(&attr);
	if (rc != 0)
		return error_set(reterr, error_errno(rc));
	rc = pthread_attr_setstacksize(&attr, stack_size);
	if (rc == 0) {
		/* the new thread inherits the mask: no signal of the host's is handled on it */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		rc = pthread_create(t, &attr, fn, arg);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return error_setf(reterr, "starting a thread failed: %s", errno_text(rc));
	return 0;
}
