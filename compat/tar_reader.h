/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a tar that comes from a stranger, and every byte of it accounted for: what goes
 * into files, and the rest, for tar_headers. A reader of our own, since libarchive turns names into
 * the process's locale (a guest may not set it: UTF-8 names fail in "C"), takes members that Go
 * refuses and the other way round, and exits when memory runs out. Go counterpart:
 * archive/tar.Reader under tar-split. */
#ifndef COMPAT_TAR_READER_H
#define COMPAT_TAR_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct error;
struct image_pull_reader;
struct tar_reader;

/* Strings live until the next call of tar_reader_next. */
struct tar_entry {
	const char *name;
	const char *link; /* of '1' and '2'; what others have there means nothing */
	char type;     /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' folder, '6'
			  fifo; any other: not known to Docker either */
	unsigned mode; /* 07777 at most */
	int64_t uid, gid;
	int64_t size; /* of '0': with holes; else 0 */
	bool sparse;
	struct timespec mtime, atime; /* atime is never before mtime */
	unsigned major, minor;
};

/* Seconds as this machine has them: the nearest, where time_t has 32 bits. */
static inline time_t tar_time(int64_t seconds)
{
	time_t t = (time_t)seconds;

	if (t != seconds)
		t = seconds < 0 ? INT32_MIN : INT32_MAX;
	return t;
}

/* Who is told of every byte of the tar, in order. */
struct tar_keep {
	void *arg;
	/* Bytes that are in no file. */
	void (*literal)(void *arg, const void *data, size_t size);
	/* Bytes that stand in the entry's file. */
	void (*data)(void *arg, const void *data, size_t size, uint64_t offset);
};

/* keep may be NULL. Both outlive the reader. */
int tar_reader_new(const struct image_pull_reader *source, const struct tar_keep *keep,
	struct tar_reader **ret, struct error **reterr);
void tar_reader_free(struct tar_reader *r); /* NULL is allowed */
static inline void tar_reader_freep(struct tar_reader **r)
{
	tar_reader_free(*r);
}
#define cleanup_tar_reader __attribute__((cleanup(tar_reader_freep)))
/* 1: an entry, 0: the end. -1 in Go's words: "archive/tar: invalid tar header", "unexpected EOF".
 */
int tar_reader_next(struct tar_reader *r, struct tar_entry *ret, struct error **reterr);
/* The next portion of the entry's contents. 1, 0 at their end, -1. */
int tar_reader_data(struct tar_reader *r, const void **data, size_t *size, uint64_t *offset,
	struct error **reterr);
/* The portion stands in a file now: keep a reference, not the bytes. */
void tar_reader_stored(struct tar_reader *r);
/* The next extended attribute of the entry; false at their end. */
bool tar_reader_xattr(struct tar_reader *r, const char **name, const void **value, size_t *size);
/* Behind the last entry: read the source to its end. */
int tar_reader_drain(struct tar_reader *r, struct error **reterr);
/* Did the source fail (and not what was in it)? */
bool tar_reader_source_failed(const struct tar_reader *r);

/* The same, whoever has read the tar: this reader, or a process of its own (record_reader.h). */
struct tar_members {
	void *arg;
	void (*keep)(void *arg, const struct tar_keep *keep); /* before the first call of next */
	int (*next)(void *arg, struct tar_entry *ret, struct error **reterr);
	int (*data)(void *arg, const void **data, size_t *size, uint64_t *offset,
		struct error **reterr);
	void (*stored)(void *arg);
	bool (*xattr)(void *arg, const char **name, const void **value, size_t *size);
	int (*drain)(void *arg, struct error **reterr);
	bool (*source_failed)(void *arg);
};
void tar_reader_members(struct tar_reader *r, struct tar_members *ret);

#endif
