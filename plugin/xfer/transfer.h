/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers: de-duplication by key, the limit on how many run at once, watchers. Go counterpart:
 * distribution/xfer/transfer.go. All of it belongs to the instance, not to a pull. */
#ifndef XFER_TRANSFER_H
#define XFER_TRANSFER_H

#include <stdbool.h>

#include "xfer/progress.h"

struct transfer_manager;
struct transfer_manager *transfer_manager_new(unsigned concurrency_limit, struct error **reterr);
void transfer_manager_set_concurrency(struct transfer_manager *tm, unsigned limit);
/* Waits for the threads of all transfers. */
void transfer_manager_free(struct transfer_manager *tm);

/* One running or finished piece of work. Its thread runs run(): it should wait for transfer_start
 * first, then give its slot back by transfer_inactive as soon as the network part is over. */
struct transfer;
struct transfer_ops {
	void (*run)(struct transfer *t, void *arg); /* on the transfer's own thread */
	void (*free)(void *arg); /* after the last reference is gone, whoever held it */
};
/* A watch on one transfer for one pull. */
struct watcher;

/* TransferManager.Transfer: the running transfer with this key, or a new one. ops and arg are used
 * (and freed by ops->free) only if it is new; *ret_new says so. */
int transfer_manager_transfer(struct transfer_manager *tm, const char *key,
	const struct transfer_ops *ops, void *arg, struct output *output, struct watcher **ret,
	bool *ret_new, struct error **reterr);
/* The last watcher's release cancels the transfer if it still runs. NULL is allowed. */
void watcher_release(struct watcher *w);
void *watcher_arg(struct watcher *w); /* the transfer's arg, alive until release */
bool watcher_done(struct watcher *w); /* run() has returned; watchers' outputs are woken then */

/* For run(): */
int transfer_start(struct transfer *t, void (*waiting)(struct transfer *t, void *arg),
	void *arg); /* -1: cancelled */
void transfer_inactive(struct transfer *t);
const struct context *transfer_context(struct transfer *t);
void transfer_update(struct transfer *t, const char *id, const char *action);
void transfer_bytes(struct transfer *t, const char *id, const char *action, int64_t current,
	int64_t total, bool last);
struct log *transfer_log(struct transfer *t); /* to the oldest watcher */

#endif
