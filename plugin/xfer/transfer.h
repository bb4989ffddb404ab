/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers: de-duplication by key, the limit on how many run at once, watchers. Go counterpart:
 * distribution/xfer/transfer.go. All of it belongs to the instance, not to a pull. */
#ifndef XFER_TRANSFER_H
#define XFER_TRANSFER_H

#include <stdbool.h>

#include "xfer/progress.h"

struct transfer_manager;
/* concurrency_limit: how many may run at once; 0: any number. */
struct transfer_manager *transfer_manager_new(unsigned concurrency_limit, struct error **reterr);
void transfer_manager_set_concurrency(struct transfer_manager *tm, unsigned limit);
/* Waits for the threads of all transfers. No watcher may be left. NULL is allowed. */
void transfer_manager_free(struct transfer_manager *tm);

/* One waiting, running or finished piece of work. It gets a thread of its own as soon as it gets
 * one of the slots that the concurrency limit allows. None of these is called with a lock held. */
struct transfer;
struct transfer_ops {
	/* No slot was free: called once, by transfer_manager_transfer, before run. NULL is allowed.
	 */
	void (*waiting)(struct transfer *t, void *arg);
	/* On the transfer's own thread. It should give its slot back by transfer_inactive as soon
	 * as the network part is over. 0: its result is good, later pulls may share it as long as
	 * someone watches it. -1: the next pull that asks for this key gets a new transfer. */
	int (*run)(struct transfer *t, void *arg);
	/* In place of run, on any thread: there is no thread to run on. err is borrowed. */
	void (*fail)(struct transfer *t, void *arg, struct error *err);
	/* After the last watcher and the thread are gone, on the thread of whoever was last. */
	void (*free)(void *arg);
};
/* A watch on one transfer for one pull. */
struct watcher;

/* TransferManager.Transfer: the transfer with this key, or a new one. ops and arg are used (and
 * freed by ops->free) only if it is new; *ret_new says so. ops must live as long as the manager. */
int transfer_manager_transfer(struct transfer_manager *tm, const char *key,
	const struct transfer_ops *ops, void *arg, struct output *output, struct watcher **ret,
	bool *ret_new, struct error **reterr);
/* The last watcher's release cancels the transfer if it still runs. NULL is allowed. */
void watcher_release(struct watcher *w);
void *watcher_arg(struct watcher *w); /* the transfer's arg, alive until release */
bool watcher_done(struct watcher *w); /* run() has returned; watchers' outputs are woken then */

/* For run() and what it calls, on any thread: */
void transfer_inactive(struct transfer *t); /* TransferManager's inactive channel */
/* Cancelled when the last watcher is gone; no poll. */
const struct context *transfer_context(struct transfer *t);
void transfer_update(struct transfer *t, const char *id, const char *action);
void transfer_bytes(struct transfer *t, const char *id, const char *action, int64_t current,
	int64_t total, bool last);
struct log *transfer_log(struct transfer *t); /* to the oldest watcher */

#endif
