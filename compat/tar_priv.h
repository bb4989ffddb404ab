/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the tar reader share. Go counterpart: archive/tar's strconv.go and format.go.
 */
#ifndef COMPAT_TAR_PRIV_H
#define COMPAT_TAR_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tar_reader.h"

#define TAR_BLOCK 512u
/* Of one entry: extended header, long name, long link, sparse map; Go has the same limit. */
#define TAR_SPECIAL_MAX (1u << 20)

struct tar_slice {
	const char *data; /* NULL: absent or empty */
	size_t size;
};

/* The records of an extended header that mean something, the last one of each key. */
struct tar_pax {
	struct tar_slice path, linkpath, uid, gid, size, mtime, atime, ctime;
	struct tar_slice sparse_major, sparse_minor, sparse_name, sparse_map, sparse_numblocks,
		sparse_size, sparse_realsize;
	bool pairs; /* format 0.0: offset and numbytes records, in order */
};

enum tar_format { TAR_UNKNOWN, TAR_V7, TAR_USTAR, TAR_STAR, TAR_GNU };

enum tar_format tar_block_format(const unsigned char block[TAR_BLOCK]);
bool tar_block_is_zero(const unsigned char block[TAR_BLOCK]);
/* parser.parseNumeric: octal or base 256. False: not a number, or out of range. */
bool tar_number(const unsigned char *field, size_t size, int64_t *ret);
/* strconv.ParseInt(s, 10, 64) */
bool tar_decimal(const char *s, size_t size, int64_t *ret);
bool tar_pax_time(struct tar_slice s, struct timespec *ret);

/* The fields of a header block. name_buffer gets the name with its prefix, link_buffer the link.
 * type is as written. False: invalid. */
#define TAR_NAME_BUFFER 264
bool tar_parse_block(const unsigned char block[TAR_BLOCK], enum tar_format format,
	struct tar_entry *ret, char name_buffer[TAR_NAME_BUFFER], char link_buffer[TAR_NAME_BUFFER],
	int64_t *ret_size);

/* Step to the next record: data has size bytes, *at moves on. 1, 0 at the end, -1: invalid. */
int tar_pax_next(
	const char *data, size_t size, size_t *at, struct tar_slice *key, struct tar_slice *value);
/* All records. False: invalid. */
bool tar_pax_parse(const char *data, size_t size, struct tar_pax *ret);

/* Where a sparse file has data. */
struct tar_fragment {
	int64_t offset, size;
};
struct tar_sparse {
	struct tar_fragment *list;
	size_t n, capacity;
};
/* False: no memory. */
bool tar_sparse_add(struct tar_sparse *s, int64_t offset, int64_t size);
/* Format 0.1's list "offset,size,offset,size", and 0.0's records in data. */
bool tar_sparse_map(
	const struct tar_pax *pax, const char *data, size_t size, struct tar_sparse *ret);
/* validateSparseEntries; *ret_data: their sizes together. */
bool tar_sparse_valid(const struct tar_sparse *s, int64_t size, int64_t *ret_data);

#endif
