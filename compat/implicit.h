/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of a layer that no entry told of: parents made on the way. In a merged tree they say
 * nothing of mode, owner and times, so what layers below say holds. Kept in a file beside the tree,
 * which most layers do not have. Go counterpart: none. */
#ifndef COMPAT_IMPLICIT_H
#define COMPAT_IMPLICIT_H

#include <stdbool.h>
#include <stddef.h>

struct error;

#define IMPLICIT_FILE "implicit"

/* ---- writing ---- */

struct implicit_writer {
	int dir; /* where the file is made when the buffer is full, or at the end */
	int fd;  /* -1: none so far */
	int errnum;
	size_t used;
	char buffer[8192]; /* two records, at least */
};
#define IMPLICIT_WRITER(d) ((struct implicit_writer){.dir = (d), .fd = -1})
/* made: a parent was made; else an entry has told of a folder that was there already. */
void implicit_add(struct implicit_writer *w, const char *path, bool made);
/* Everything is in the file, if there is anything. */
int implicit_finish(struct implicit_writer *w, struct error **reterr);
void implicit_close(struct implicit_writer *w);

/* ---- reading ---- */

struct implicit_set {
	char *data;
	char **paths; /* sorted */
	size_t n;
};
/* Of the layer whose folder this is. */
int implicit_load(int layer, struct implicit_set *ret, struct error **reterr);
bool implicit_has(const struct implicit_set *s, const char *path);
void implicit_free(struct implicit_set *s); /* accepts a zeroed one */

#endif
