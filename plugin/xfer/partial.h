/* SPDX-License-Identifier: Apache-2.0 */
/* What has come of a blob, kept in a folder so that it outlives the process. No Go counterpart: the
 * original keeps it for one pull only.
 *
 * A blob has two files (base/partial_files.h): "sha256.<hex>" with its first bytes as the registry
 * sent them, and "sha256.<hex>.state", which says how many of them are good and what their hash is.
 * Whoever writes them has an flock on the first. Nothing here fails a pull: what can't be kept is
 * not kept. */
#ifndef XFER_PARTIAL_H
#define XFER_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hasher;
struct log;
struct partial;

/* Set up once, then read by any thread. */
struct partial_config {
	const char *dir;  /* NULL: nothing is kept */
	uint64_t quota;   /* bytes of all files in it; 0: no limit */
	uint32_t max_age; /* seconds since the last byte; 0: no limit */
};

/* digest: valid. size: the blob's, if the manifest says. Makes room: what is too old goes, then the
 * oldest until this one fits. NULL: it is not kept (another process has it, it is small, it is
 * larger than the quota). */
struct partial *partial_open(
	const struct partial_config *c, const char *digest, int64_t size, struct log *log);
/* How many bytes are there from an earlier process, and what their digest has to be. */
int64_t partial_offset(const struct partial *p, const char **ret_digest);
/* The next of these bytes, as read(2); -1: they can't be read. */
int64_t partial_read(struct partial *p, void *buf, size_t size);
/* Where the bytes that follow come from, for whoever looks into the folder. Either may be NULL. */
void partial_from(struct partial *p, const char *url, const char *etag);
/* These bytes follow. hash is that of all so far. */
void partial_write(struct partial *p, const void *data, size_t size, struct hasher *hash);
/* All of it is void. */
void partial_reset(struct partial *p);
/* The end. whole: the blob is home or will never be, so nothing is kept; else the state is brought
 * up to date. p may be NULL in each of these but offset and read. */
void partial_close(struct partial *p, struct hasher *hash, bool whole);

#endif
