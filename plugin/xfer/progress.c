/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: pkg/progress, and the log lines beside it. */
#include "xfer/progress.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

enum item_kind { ITEM_TEXT, ITEM_BYTES, ITEM_LOG };

/* One line that waits. Its strings lie behind it. */
struct item {
	struct item *next, *prev;
	enum item_kind kind;
	enum log_level level;
	struct progress p; /* ITEM_LOG: the text is p.message */
};

struct output {
	atomic_uint refs;
	struct log log;
	struct output_handler handler;
	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t cond;  /* an item came, or woken was set */
	struct item *first, *last;
	bool woken, closed, lost, held;
};

static void write_log(struct log *log, enum log_level level, const char *text);

struct output *output_new(const struct output_handler *handler, struct error **reterr)
{
	struct output *o = calloc(1, sizeof(*o));

	if (!o) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	atomic_init(&o->refs, 1);
	o->log.write = write_log;
	o->handler = *handler;
	if (pthread_mutex_init(&o->lock, NULL) != 0)
		goto no_lock;
	if (cond_init(&o->cond) != 0)
		goto no_cond;
	return o;
no_cond:
	pthread_mutex_destroy(&o->lock);
no_lock:
	free(o);
	error_set(reterr, &error_no_memory);
	return NULL;
}

struct output *output_ref(struct output *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

static void free_items(struct item *it)
{
	while (it) {
		struct item *next = it->next;

		free(it);
		it = next;
	}
}

void output_unref(struct output *o)
{
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	free_items(o->first);
	pthread_cond_destroy(&o->cond);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

static const char *put(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *to = *at;

	memcpy(to, s, n);
	*at += n;
	return to;
}

/* NULL: no memory. */
static struct item *item_new(
	enum item_kind kind, const char *id, const char *message, const char *action)
{
	struct item *it = malloc(sizeof(*it) + strlen(id) + strlen(message) + strlen(action) + 3);
	char *at;

	if (!it)
		return NULL;
	at = (char *)(it + 1);
	memset(it, 0, sizeof(*it));
	it->kind = kind;
	it->p.id = put(&at, id);
	it->p.message = put(&at, message);
	it->p.action = put(&at, action);
	return it;
}

/* Takes over it; NULL says that there was no memory for a line. */
static void add(struct output *o, struct item *it)
{
	pthread_mutex_lock(&o->lock);
	if (!it) {
		o->lost = true;
	} else if (o->closed) {
		free(it);
	} else {
		it->prev = o->last;
		if (o->last)
			o->last->next = it;
		else
			o->first = it;
		o->last = it;
	}
	pthread_cond_signal(&o->cond);
	pthread_mutex_unlock(&o->lock);
}

void progress_message(struct output *o, const char *id, const char *message)
{
	add(o, item_new(ITEM_TEXT, id, message, ""));
}

void progress_update(struct output *o, const char *id, const char *action)
{
	add(o, item_new(ITEM_TEXT, id, "", action));
}

void progress_updatef(struct output *o, const char *id, const char *fmt, ...)
{
	cleanup_buf struct buf b = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&b, fmt, ap);
	va_end(ap);
	add(o, b.oom || !b.data ? NULL : item_new(ITEM_TEXT, id, "", b.data));
}

/* Put the counts into the last line of this id if that is one of the same action and was not yet
 * taken. */
static bool overwrite(struct output *o, const struct progress *p)
{
	struct item *it = o->last;

	while (it && (it->kind == ITEM_LOG || strcmp(it->p.id, p->id) != 0))
		it = it->prev;
	if (!it || it->kind != ITEM_BYTES || strcmp(it->p.action, p->action) != 0)
		return false;
	it->p.current = p->current;
	it->p.total = p->total;
	it->p.last_update = p->last_update;
	return true;
}

void progress_bytes(struct output *o, const char *id, const char *action, int64_t current,
	int64_t total, bool last)
{
	struct progress p = {.id = id,
		.message = "",
		.action = action,
		.current = current,
		.total = total,
		.last_update = last};
	struct item *it;
	bool done;

	pthread_mutex_lock(&o->lock);
	done = o->closed || overwrite(o, &p);
	pthread_mutex_unlock(&o->lock);
	if (done)
		return;
	it = item_new(ITEM_BYTES, id, "", action);
	if (it) {
		it->p.current = current;
		it->p.total = total;
		it->p.last_update = last;
	}
	add(o, it);
}

static void write_log(struct log *log, enum log_level level, const char *text)
{
	struct output *o = (struct output *)((char *)log - offsetof(struct output, log));
	struct item *it = item_new(ITEM_LOG, "", text, "");

	if (it)
		it->level = level;
	add(o, it);
}

struct log *output_log(struct output *o)
{
	return &o->log;
}

static void hand_over(struct output *o, const struct item *it)
{
	if (it->kind == ITEM_LOG) {
		if (o->handler.log)
			o->handler.log(o->handler.arg, it->level, it->p.message);
	} else if (o->handler.progress) {
		o->handler.progress(o->handler.arg, &it->p);
	}
}

/* What the handler is to be given next. The lock is held. */
static struct item *next_item(const struct output *o)
{
	struct item *it = o->first;

	while (it && o->held && it->kind != ITEM_LOG)
		it = it->next;
	return it;
}

/* The lock is held. */
static void unlink_item(struct output *o, struct item *it)
{
	if (it->prev)
		it->prev->next = it->next;
	else
		o->first = it->next;
	if (it->next)
		it->next->prev = it->prev;
	else
		o->last = it->prev;
}

void output_pump(struct output *o)
{
	for (;;) {
		struct item *it;
		bool lost;

		pthread_mutex_lock(&o->lock);
		it = next_item(o);
		lost = o->lost;
		o->lost = false;
		if (it)
			unlink_item(o, it);
		pthread_mutex_unlock(&o->lock);
		if (lost && o->handler.log)
			o->handler.log(o->handler.arg, LOG_LEVEL_WARNING,
				"Lines of progress or log were lost: out of memory");
		if (!it)
			return;
		hand_over(o, it);
		free(it);
	}
}

void output_wait(struct output *o, int64_t timeout_ms)
{
	int64_t end = monotonic_ms() + timeout_ms, left = timeout_ms;

	pthread_mutex_lock(&o->lock);
	while (!next_item(o) && !o->woken && !o->lost && left > 0) {
		context_wait(&CONTEXT_BACKGROUND, &o->cond, &o->lock, left);
		left = end - monotonic_ms();
	}
	o->woken = false;
	pthread_mutex_unlock(&o->lock);
	output_pump(o);
}

void output_hold(struct output *o)
{
	pthread_mutex_lock(&o->lock);
	o->held = true;
	pthread_mutex_unlock(&o->lock);
}

void output_release(struct output *o, bool drop)
{
	struct item *it, *next;

	pthread_mutex_lock(&o->lock);
	o->held = false;
	for (it = drop ? o->first : NULL; it; it = next) {
		next = it->next;
		if (it->kind != ITEM_LOG) {
			unlink_item(o, it);
			free(it);
		}
	}
	pthread_mutex_unlock(&o->lock);
}

void output_wake(struct output *o)
{
	pthread_mutex_lock(&o->lock);
	o->woken = true;
	pthread_cond_signal(&o->cond);
	pthread_mutex_unlock(&o->lock);
}

void output_close(struct output *o)
{
	struct item *items;

	pthread_mutex_lock(&o->lock);
	o->closed = true;
	items = o->first;
	o->first = NULL;
	o->last = NULL;
	pthread_mutex_unlock(&o->lock);
	free_items(items);
}
