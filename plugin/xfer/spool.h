/* SPDX-License-Identifier: Apache-2.0 */
/* A blob on its way to a plain layer store: a file without a name. Go counterpart:
 * createDownloadFile of distribution/pull_v2_unix.go. */
#ifndef XFER_SPOOL_H
#define XFER_SPOOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct spool;
/* dir: NULL is /tmp. Errors as os.PathError. */
struct spool *spool_new(const char *dir, struct error **reterr);
void spool_free(struct spool *s); /* NULL is allowed */
int64_t spool_size(const struct spool *s);
/* Append all of it, or nothing. */
int spool_write(struct spool *s, const void *data, size_t size, struct error **reterr);
int spool_truncate(struct spool *s, struct error **reterr);
/* Up to size bytes from offset, 0 at the end. Any thread, once nothing is written any more. */
ssize_t spool_read(
	const struct spool *s, int64_t offset, void *buf, size_t size, struct error **reterr);

#endif
