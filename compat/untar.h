/* SPDX-License-Identifier: Apache-2.0 */
/* Unpack a layer's tar into a folder, in the form an overlay mount takes. Go counterparts:
 * pkg/archive Unpack and createTarFile, overlay2's ApplyDiff. */
#ifndef COMPAT_UNTAR_H
#define COMPAT_UNTAR_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct image_pull_reader;
struct log;
struct tar_members;
struct writeback;

struct untar_options {
	const struct image_pull_reader *source;
	/* In place of source: whoever reads the tar elsewhere. Else NULL. */
	const struct tar_members *members;
	int layer;            /* an empty folder: tree, shadow and tar-headers are made in it */
	bool trusted;         /* overlay's markers are trusted.overlay.*; else user.overlay.* */
	uint64_t max_entries; /* entries, and folders that have none; 0: any number */
	bool *over;           /* set where there were more; may be NULL */
	struct writeback *writeback; /* is told what is dirty; may be NULL */
	struct log *log;             /* may be NULL */
};

/* What an ordinary user or the file system could not keep: bits of untar_result.lost. */
#define UNTAR_LOST_OWNERS 1u
#define UNTAR_LOST_DEVICES 2u /* an empty file stands for each */
#define UNTAR_LOST_XATTRS 4u

struct untar_result {
	int64_t size; /* what Docker counts: the bytes of all regular files */
	int64_t disk; /* about what it takes on disk */
	uint64_t entries;
	unsigned lost;
	bool opaque;     /* the root itself is opaque: nothing of the layers below is seen */
	bool root_entry; /* the tar says how the root folder is to be */
};

/* The whole stream is read, also what follows the tar's end. On failure the folder holds rubbish.
 * *ret_source_failed: the source failed, *reterr says nothing of interest. */
int untar(const struct untar_options *options, struct untar_result *ret, bool *ret_source_failed,
	struct error **reterr);

#endif
