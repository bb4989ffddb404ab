/* SPDX-License-Identifier: Apache-2.0 */
/* Begin to write what is unpacked to the disk while the pull goes on, so that little is left for
 * the sync before an image is published. Go counterpart: none. Any thread. */
#ifndef COMPAT_WRITEBACK_H
#define COMPAT_WRITEBACK_H

#include <stdint.h>

struct error;
struct writeback;

/* dir: a folder of the file system, borrowed for the call. The thread starts with the first
 * bytes that are worth it. */
int writeback_new(int dir, struct writeback **ret, struct error **reterr);
/* size more bytes are dirty, or (a file's cost in metadata) will be. Never waits for the disk. */
void writeback_add(struct writeback *w, uint64_t size);
/* Waits for a sync that has begun. May be NULL. */
void writeback_free(struct writeback *w);

#endif
