/* SPDX-License-Identifier: Apache-2.0 */
/* What the confined unpacker (unpack_main.c) tells the process that started it. Both are of one
 * build and one machine, so numbers stand as they are; but the reader believes nothing of it
 * (record_reader.c). No Go counterpart: the original runs the whole unpacking in a chroot.
 *
 *   LITERAL* (ENTRY DATA* LITERAL*)* END      or, at any place, ERROR and nothing behind it
 *
 * LITERAL and DATA together are every byte of the tar, in its order. */
#ifndef COMPAT_RECORD_H
#define COMPAT_RECORD_H

#include <stdint.h>

enum record_type {
	RECORD_LITERAL = 1, /* bytes of the tar that are in no file */
	RECORD_ENTRY = 2,   /* struct record_entry, name, NUL, link, NUL, attributes */
	RECORD_DATA = 3,    /* uint64_t offset in the entry's file, then bytes; of files only */
	RECORD_END = 4,     /* the blob was decoded and its tar read, all of it */
	RECORD_ERROR = 5    /* uint32_t enum record_error, then a text without NUL */
};

struct record_head {
	uint32_t type;
	uint32_t size; /* of what follows */
};

/* Most bytes that one LITERAL or DATA carries. */
#define RECORD_BYTES_MAX (64u << 10)
/* Name and link are bounded each by what an extended header may have, the attributes together. */
#define RECORD_TEXT_MAX (1u << 20)
#define RECORD_ENTRY_MAX (4u * RECORD_TEXT_MAX)
#define RECORD_ERROR_MAX 1024u
#define RECORD_XATTR_NAME_MAX 255u

struct record_entry {
	int64_t uid, gid, size, mtime, atime;
	uint32_t mtime_ns, atime_ns;
	uint32_t mode, major, minor;
	uint32_t type, sparse;
	uint32_t name_size, link_size; /* without NUL */
	uint32_t nxattrs;              /* each a struct record_xattr, name, NUL, value */
};

struct record_xattr {
	uint32_t name_size, value_size;
};

enum record_error {
	RECORD_ERROR_BEGINNING = 1, /* the blob does not begin as its encoding does */
	RECORD_ERROR_DATA = 2,      /* damaged, or a damaged tar in it */
	RECORD_ERROR_MEMORY = 3,
	RECORD_ERROR_SETUP = 4 /* the unpacker could not confine itself */
};

#endif
