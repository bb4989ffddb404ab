/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the layer store share: raw tars made member by member, readers over memory,
 * folders that are removed at the end, and a way to say what a tree should hold. */
#ifndef TESTS_LAYER_FIXTURE_H
#define TESTS_LAYER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/digest.h"
#include "image_pull.h"

/* ---- tars ---- */

struct member {
	const char *name;
	char type; /* 0 stands for '0' */
	const char *link;
	const char *data;
	size_t size;   /* 0: strlen(data) */
	unsigned mode; /* 0: 0644, folders 0755 */
	int64_t uid, gid, mtime;
	unsigned major, minor;
	const char *pax[12]; /* key, value, key, value, NULL: an extended header in front */
	const char *uname;
	const char *magic;   /* 8 bytes; NULL: ustar */
	int64_t header_size; /* what the header says; 0: the truth, -1: 0 */
	bool bad_checksum;
};
void tar_member(struct buf *tar, const struct member *m);
/* One block from its fields, with a right checksum; raw is put over it first. */
void tar_block(
	struct buf *tar, const struct member *m, size_t at, const void *raw, size_t raw_size);
void tar_pax(struct buf *tar, char kind, const void *records, size_t size);
void tar_record(struct buf *records, const char *key, const void *value, size_t size);
void tar_pad(struct buf *tar);
void tar_end(struct buf *tar);

/* ---- readers ---- */

struct memory_reader {
	struct image_pull_reader reader;
	const char *data;
	size_t size, at;
	size_t portion; /* at most so many bytes at once */
	size_t fail_at; /* 0: never */
	bool lend;      /* offer next */
	bool ended;
	unsigned reads, waits;
	unsigned waits_max; /* then wait says cancelled; 0: never */
	char *lent;
	char diff_id[DIGEST_MAX];
};
void memory_reader_init(struct memory_reader *r, const void *data, size_t size);
void memory_reader_done(struct memory_reader *r);

/* ---- folders ---- */

/* A new folder below the test's temporary folder; freed by temp_remove. Only root may look in. */
char *temp_make(void);
void temp_remove(char *dir);
void write_file(const char *path, const char *data, mode_t mode);
char *read_file(const char *path); /* NULL if it can't be */
/* All that lies below, in one text: names, types, modes, owners, link counts, contents. */
char *snapshot(const char *dir);

/* Is what spec says so below dir? A NULL-ended list of texts:
 *   "PATH file [mode=M] [uid=N] [gid=N] [mtime=S] [size=N] [disk<N] [xattr=NAME] [no-xattr=NAME]
 *    [same=PATH] [data=REST]", with dir, symlink (link=REST), fifo, char, block (rdev=A:B),
 * whiteout or absent in place of file. Returns NULL, or what is otherwise; to be freed. */
char *tree_differs(const char *dir, const char *const *spec);

/* Who runs the test? */
bool is_root(void); /* of the first user namespace, with all capabilities */

/* ---- sinks ---- */

struct text_sink {
	struct image_pull_sink sink;
	char *message;
	struct buf values; /* each with a newline behind it */
};
void text_sink_init(struct text_sink *s);
void text_sink_done(struct text_sink *s);

#endif
