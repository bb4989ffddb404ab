/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, read whole and replaced atomically. Go counterpart: pkg/ioutils.AtomicWriteFile.
 * Errors are path errors in Go's words; errno is set too when a function answers -1 (0 where the
 * system had no part in it). */
#ifndef COMPAT_FILE_H
#define COMPAT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;

/* A regular file of at most limit bytes; *ret_data ends with a NUL that does not count. fd: as
 * file_read, of an open file, from its beginning; path is for messages. */
int file_read(
	const char *path, size_t limit, char **ret_data, size_t *ret_size, struct error **reterr);
int file_read_fd(int fd, const char *path, size_t limit, char **ret_data, size_t *ret_size,
	struct error **reterr);
/* All of it, where fd stands. -1 with errno set: an unknown part of it was written. */
int file_write_all(int fd, const void *from, size_t size);
/* Readers see the old file or the new one, never a part. durable: written to the disk, name and
 * all, before it returns. The folder must exist. */
int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, bool durable,
	struct error **reterr);
/* The same where there is no such file yet; where there is one it fails with EEXIST. */
int file_write_new(const char *path, const void *data, size_t size, mode_t mode, bool durable,
	struct error **reterr);
/* The folder and those above it that are missing, with just this mode whatever the umask is.
 * Not synced: the file system writes a folder with, or before, the first synced file in it. */
int file_make_dirs(const char *path, mode_t mode, struct error **reterr);
int file_sync_dir(const char *path, struct error **reterr);
/* Remove temporary files that file_write_atomic left in this folder more than an hour ago, when its
 * process was killed. Nothing is said where that fails: the next sweep tries again. */
void file_sweep(const char *dir);
/* Make (if need be) and lock a lock file; returns the descriptor that holds the lock until it is
 * closed, or -1. */
int file_lock(const char *path, int operation, struct error **reterr);
/* a/b, with one slash between. NULL: no memory. */
char *file_join(const char *a, const char *b);

#endif
