/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: distribution/xfer/transfer.go */
#include "xfer/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

/* Engines unpack layers on this stack. */
#define TRANSFER_STACK (256 * 1024)

enum transfer_state { TRANSFER_WAITING, TRANSFER_RUNNING, TRANSFER_DONE };

struct watcher {
	struct transfer *transfer;
	struct output *output;
	struct watcher *next; /* newer ones behind older ones */
};

struct transfer_manager {
	pthread_mutex_t lock; /* guards what follows, and all that is said to be so in transfer */
	pthread_cond_t idle;  /* threads became 0 */
	unsigned limit, active, threads;
	struct transfer *transfers;             /* that can be joined */
	struct transfer *waiting, *waiting_end; /* for a slot, oldest first */
	/* Each thread joins the one that ended before it; free joins the last. */
	pthread_t ended;
	bool has_ended;
};

struct transfer {
	struct transfer_manager *tm;
	const struct transfer_ops *ops;
	void *arg;
	struct cancel *cancel;
	struct context ctx;
	struct log log;
	char *key;
	/* Guarded by tm->lock: */
	enum transfer_state state;
	unsigned refs; /* the watchers, the thread */
	bool has_slot, listed;
	struct watcher *watchers;
	struct transfer *next;         /* in tm->transfers */
	struct transfer *next_waiting; /* in tm->waiting */
	/* The newest line, for those who join: its strings are owned. */
	struct progress progress;
	bool has_progress;
};

static void *transfer_thread(void *arg);
static void transfer_log_write(struct log *log, enum log_level level, const char *text);

struct transfer_manager *transfer_manager_new(unsigned concurrency_limit, struct error **reterr)
{
	struct transfer_manager *tm = calloc(1, sizeof(*tm));

	if (!tm)
		goto no_memory;
	tm->limit = concurrency_limit;
	if (pthread_mutex_init(&tm->lock, NULL) != 0)
		goto no_lock;
	if (cond_init(&tm->idle) != 0)
		goto no_cond;
	return tm;
no_cond:
	pthread_mutex_destroy(&tm->lock);
no_lock:
	free(tm);
no_memory:
	error_set(reterr, &error_no_memory);
	return NULL;
}

void transfer_manager_free(struct transfer_manager *tm)
{
	if (!tm)
		return;
	pthread_mutex_lock(&tm->lock);
	while (tm->threads)
		context_wait(&CONTEXT_BACKGROUND, &tm->idle, &tm->lock, -1);
	pthread_mutex_unlock(&tm->lock);
	if (tm->has_ended)
		pthread_join(tm->ended, NULL);
	pthread_cond_destroy(&tm->idle);
	pthread_mutex_destroy(&tm->lock);
	free(tm);
}

static void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	cancel_unref(t->cancel);
	free((char *)t->progress.id);
	free((char *)t->progress.action);
	free(t->key);
	free(t);
}

/* Called with the lock held. True if that was the last: then let go of the lock and call
 * transfer_end. */
static bool unref(struct transfer *t)
{
	return --t->refs == 0;
}

static void transfer_end(struct transfer *t)
{
	t->ops->free(t->arg);
	transfer_free(t);
}

static void unlist(struct transfer *t)
{
	struct transfer **at = &t->tm->transfers;

	if (!t->listed)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	t->listed = false;
}

static void wake_watchers(struct transfer *t)
{
	for (struct watcher *w = t->watchers; w; w = w->next)
		output_wake(w->output);
}

static void queue(struct transfer *t)
{
	struct transfer_manager *tm = t->tm;

	if (tm->waiting)
		tm->waiting_end->next_waiting = t;
	else
		tm->waiting = t;
	tm->waiting_end = t;
}

static void unqueue(struct transfer *t)
{
	struct transfer_manager *tm = t->tm;
	struct transfer *before = NULL;

	if (t == tm->waiting) {
		tm->waiting = t->next_waiting;
	} else {
		before = tm->waiting;
		while (before->next_waiting != t)
			before = before->next_waiting;
		before->next_waiting = t->next_waiting;
	}
	if (tm->waiting_end == t)
		tm->waiting_end = before;
	t->next_waiting = NULL;
}

static bool slot_free(const struct transfer_manager *tm)
{
	return tm->limit == 0 || tm->active < tm->limit;
}

/* Called with the lock held. The transfer has lost its chance to run: there is no thread for it. */
static void start_failed(struct transfer *t, struct error *err)
{
	struct transfer_manager *tm = t->tm;
	bool last;

	t->has_slot = false;
	tm->active--;
	unlist(t);
	pthread_mutex_unlock(&tm->lock);
	t->ops->fail(t, t->arg, err);
	pthread_mutex_lock(&tm->lock);
	t->state = TRANSFER_DONE;
	wake_watchers(t);
	tm->threads--;
	if (tm->threads == 0)
		pthread_cond_broadcast(&tm->idle);
	last = unref(t);
	if (last) {
		pthread_mutex_unlock(&tm->lock);
		transfer_end(t);
		pthread_mutex_lock(&tm->lock);
	}
}

/* Called with the lock held, which start_failed lets go for a while. */
static void start(struct transfer *t)
{
	struct transfer_manager *tm = t->tm;
	cleanup_error struct error *err = NULL;
	pthread_t thread;

	t->state = TRANSFER_RUNNING;
	t->has_slot = true;
	t->refs++;
	tm->active++;
	tm->threads++;
	if (thread_start(&thread, TRANSFER_STACK, transfer_thread, t, &err) < 0)
		start_failed(t, err);
}

/* Called with the lock held. */
static void start_waiting(struct transfer_manager *tm)
{
	while (tm->waiting && slot_free(tm)) {
		struct transfer *t = tm->waiting;

		unqueue(t);
		start(t);
	}
}

/* TransferManager.inactivate. Called with the lock held. */
static void inactivate(struct transfer *t)
{
	if (!t->has_slot)
		return;
	t->has_slot = false;
	t->tm->active--;
	start_waiting(t->tm);
}

void transfer_inactive(struct transfer *t)
{
	pthread_mutex_lock(&t->tm->lock);
	inactivate(t);
	pthread_mutex_unlock(&t->tm->lock);
}

void transfer_manager_set_concurrency(struct transfer_manager *tm, unsigned limit)
{
	pthread_mutex_lock(&tm->lock);
	tm->limit = limit;
	start_waiting(tm);
	pthread_mutex_unlock(&tm->lock);
}

static void *transfer_thread(void *arg)
{
	struct transfer *t = arg;
	struct transfer_manager *tm = t->tm;
	pthread_t before;
	bool has_before, last;
	int r = t->ops->run(t, t->arg);

	pthread_mutex_lock(&tm->lock);
	if (r < 0)
		unlist(t);
	t->state = TRANSFER_DONE;
	wake_watchers(t);
	inactivate(t);
	last = unref(t);
	pthread_mutex_unlock(&tm->lock);
	if (last)
		transfer_end(t);

	pthread_mutex_lock(&tm->lock);
	before = tm->ended;
	has_before = tm->has_ended;
	tm->ended = pthread_self();
	tm->has_ended = true;
	tm->threads--;
	if (tm->threads == 0)
		pthread_cond_broadcast(&tm->idle);
	pthread_mutex_unlock(&tm->lock);
	/* tm may be gone from here on */
	if (has_before)
		pthread_join(before, NULL);
	return NULL;
}

static struct transfer *transfer_new(
	struct transfer_manager *tm, const char *key, const struct transfer_ops *ops, void *arg)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tm = tm;
	t->ops = ops;
	t->arg = arg;
	t->log.write = transfer_log_write;
	t->key = strdup(key);
	t->cancel = cancel_new(NULL);
	if (!t->key || !t->cancel) {
		transfer_free(t);
		return NULL;
	}
	t->ctx = (struct context){.cancel = t->cancel};
	return t;
}

/* Called with the lock held. Transfer.Watch: the newcomer sees the newest line. */
static void watch(struct transfer *t, struct watcher *w)
{
	struct watcher **at = &t->watchers;
	const struct progress *p = &t->progress;

	while (*at)
		at = &(*at)->next;
	*at = w;
	w->transfer = t;
	t->refs++;
	if (!t->has_progress)
		return;
	if (p->total == 0 && p->current == 0 && !p->last_update)
		progress_update(w->output, p->id, p->action);
	else
		progress_bytes(w->output, p->id, p->action, p->current, p->total, p->last_update);
}

static struct transfer *find(struct transfer_manager *tm, const char *key)
{
	for (struct transfer *t = tm->transfers; t; t = t->next) {
		if (strcmp(t->key, key) == 0)
			return t;
	}
	return NULL;
}

/* Start it, or let it wait for a slot. Called with the lock held, which is let go around
 * ops->waiting: its line must come before any that a started transfer writes. */
static void start_or_wait(struct transfer *t)
{
	struct transfer_manager *tm = t->tm;

	if (tm->waiting || !slot_free(tm)) {
		if (t->ops->waiting) {
			pthread_mutex_unlock(&tm->lock);
			t->ops->waiting(t, t->arg);
			pthread_mutex_lock(&tm->lock);
		}
		queue(t);
		start_waiting(tm);
		return;
	}
	start(t);
}

int transfer_manager_transfer(struct transfer_manager *tm, const char *key,
	const struct transfer_ops *ops, void *arg, struct output *output, struct watcher **ret,
	bool *ret_new, struct error **reterr)
{
	struct watcher *w = calloc(1, sizeof(*w));
	struct transfer *fresh = transfer_new(tm, key, ops, arg), *t;

	if (!w || !fresh) {
		free(w);
		transfer_free(fresh);
		return error_set(reterr, &error_no_memory);
	}
	w->output = output_ref(output);
	pthread_mutex_lock(&tm->lock);
	t = find(tm, key);
	*ret_new = !t;
	if (t) {
		watch(t, w);
	} else {
		t = steal_ptr(&fresh);
		t->next = tm->transfers;
		tm->transfers = t;
		t->listed = true;
		watch(t, w);
		start_or_wait(t);
	}
	pthread_mutex_unlock(&tm->lock);
	transfer_free(fresh);
	*ret = w;
	return 0;
}

/* Called with the lock held: nobody watches any more. What has not ended has to; what has ended
 * well cannot be joined any more. */
static void forsake(struct transfer *t)
{
	unlist(t);
	if (t->state == TRANSFER_WAITING) {
		unqueue(t);
		t->state = TRANSFER_DONE;
	}
}

void watcher_release(struct watcher *w)
{
	struct transfer *t;
	struct watcher **at;
	bool fire, last;

	if (!w)
		return;
	t = w->transfer;
	pthread_mutex_lock(&t->tm->lock);
	at = &t->watchers;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	fire = !t->watchers && t->state == TRANSFER_RUNNING;
	if (!t->watchers)
		forsake(t);
	pthread_mutex_unlock(&t->tm->lock);
	/* our reference keeps it alive meanwhile */
	if (fire)
		cancel_fire(t->cancel, &err_context_canceled);
	pthread_mutex_lock(&t->tm->lock);
	last = unref(t);
	pthread_mutex_unlock(&t->tm->lock);
	if (last)
		transfer_end(t);
	output_unref(w->output);
	free(w);
}

void *watcher_arg(struct watcher *w)
{
	return w->transfer->arg;
}

bool watcher_done(struct watcher *w)
{
	struct transfer *t = w->transfer;
	bool done;

	pthread_mutex_lock(&t->tm->lock);
	done = t->state == TRANSFER_DONE;
	pthread_mutex_unlock(&t->tm->lock);
	return done;
}

const struct context *transfer_context(struct transfer *t)
{
	return &t->ctx;
}

/* ---- what a transfer says: Transfer.Broadcast */

/* Called with the lock held. Where there is no memory, those who join later see less. */
static void remember(struct transfer *t, const struct progress *p)
{
	struct progress *to = &t->progress;

	if (!t->has_progress || strcmp(to->id, p->id) != 0 || strcmp(to->action, p->action) != 0) {
		char *id = strdup(p->id), *action = strdup(p->action);

		free((char *)to->id);
		free((char *)to->action);
		*to = (struct progress){.id = id, .action = action, .message = ""};
		t->has_progress = id && action;
	}
	to->current = p->current;
	to->total = p->total;
	to->last_update = p->last_update;
}

void transfer_update(struct transfer *t, const char *id, const char *action)
{
	struct progress p = {.id = id, .action = action, .message = ""};

	pthread_mutex_lock(&t->tm->lock);
	remember(t, &p);
	for (struct watcher *w = t->watchers; w; w = w->next)
		progress_update(w->output, id, action);
	pthread_mutex_unlock(&t->tm->lock);
}

void transfer_bytes(struct transfer *t, const char *id, const char *action, int64_t current,
	int64_t total, bool last)
{
	struct progress p = {.id = id,
		.action = action,
		.message = "",
		.current = current,
		.total = total,
		.last_update = last};

	pthread_mutex_lock(&t->tm->lock);
	remember(t, &p);
	for (struct watcher *w = t->watchers; w; w = w->next)
		progress_bytes(w->output, id, action, current, total, last);
	pthread_mutex_unlock(&t->tm->lock);
}

static void transfer_log_write(struct log *log, enum log_level level, const char *text)
{
	struct transfer *t = (struct transfer *)((char *)log - offsetof(struct transfer, log));
	struct log *to;

	pthread_mutex_lock(&t->tm->lock);
	if (t->watchers) {
		to = output_log(t->watchers->output);
		to->write(to, level, text);
	}
	pthread_mutex_unlock(&t->tm->lock);
}

struct log *transfer_log(struct transfer *t)
{
	return &t->log;
}
