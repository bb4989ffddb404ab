/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs of pulls that did not end well, which the plugin keeps in the store's folder partial/ for
 * the next one ("resume" in engine.json; their form is in docs/store.md). */
#ifndef COMPAT_PARTIALS_H
#define COMPAT_PARTIALS_H

#include <stdbool.h>
#include <stdint.h>

struct error;

struct partials_prune {
	uint64_t keep_age; /* seconds: what is younger stays; 0: nothing does */
	bool dry_run;
	void (*removed)(void *arg, const char *text, int64_t bytes);
	void *arg;
};

/* All but those that somebody writes just now. dir may be missing. *ret_bytes grows. */
int partials_prune(const char *dir, const struct partials_prune *prune, uint64_t *ret_bytes,
	struct error **reterr);

#endif
