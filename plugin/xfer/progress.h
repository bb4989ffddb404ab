/* SPDX-License-Identifier: Apache-2.0 */
/* Progress and log lines on their way from any thread to the engine's callbacks. Go counterpart:
 * pkg/progress.
 *
 * An output belongs to one pull. Threads put lines in; the thread that called image_pull takes them
 * out and runs the callbacks. Texts keep their order and none is lost; byte counts of one id that
 * were not yet taken are overwritten by newer ones, so the queue is bounded by the number of
 * layers. */
#ifndef XFER_PROGRESS_H
#define XFER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"
#include "base/log.h"

struct error;

struct progress {
	const char *id, *message, *action; /* "" for absent */
	int64_t current, total;
	bool last_update;
};

struct output;
struct output_handler {
	void (*progress)(void *arg, const struct progress *p);
	void (*log)(void *arg, enum log_level level, const char *text);
	void *arg;
};

struct output *output_new(const struct output_handler *handler, struct error **reterr);
struct output *output_ref(struct output *o);
void output_unref(struct output *o);
/* Any thread. Dropped silently only once output_close was called. */
void progress_message(struct output *o, const char *id, const char *message);
void progress_update(struct output *o, const char *id, const char *action);
void progress_updatef(struct output *o, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void progress_bytes(struct output *o, const char *id, const char *action, int64_t current,
	int64_t total, bool last);
struct log *output_log(struct output *o);
/* The pull's own thread only: run the handler for all that waits. */
void output_pump(struct output *o);
/* The same, waiting up to timeout_ms for something to come. */
void output_wait(struct output *o, int64_t timeout_ms);
/* The pull's own thread only. From output_hold to output_release progress is kept back, log lines
 * are not; drop: what was kept back is forgotten. */
void output_hold(struct output *o);
void output_release(struct output *o, bool drop);
/* Wake output_wait from any thread. */
void output_wake(struct output *o);
void output_close(struct output *o);

#endif
