/* SPDX-License-Identifier: Apache-2.0 */
/* What folders get only when all is unpacked: their times, and modes that would shut out an
 * ordinary user. Kept in an unlinked file, so that memory does not grow with the tar. Go
 * counterpart: the slice of headers at the end of archive.Unpack. */
#ifndef COMPAT_DIR_TIMES_H
#define COMPAT_DIR_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct error;
struct tree;
struct dir_times;

int dir_times_new(int dir, struct dir_times **ret, struct error **reterr);
void dir_times_free(struct dir_times *d); /* NULL is allowed */
/* path: canonical; "" is the root. mode: UINT32_MAX where the folder has got its mode already. */
int dir_times_add(struct dir_times *d, const char *path, size_t size,
	const struct timespec times[2], uint32_t mode, struct error **reterr);
int dir_times_apply(struct dir_times *d, struct tree *tree, int root, struct error **reterr);

#endif
