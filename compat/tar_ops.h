/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that a file of tar headers is made of, inside one zstd frame: a number (base 128,
 * low bits first), whose lowest bits are the operation and the rest a size, then what the operation
 * says. Shared by tar_headers.c and tar_stream.c. */
#ifndef COMPAT_TAR_OPS_H
#define COMPAT_TAR_OPS_H

#define TAR_OP_BITS 3

enum tar_op {
	TAR_OP_END = 0,     /* nothing follows */
	TAR_OP_LITERAL = 1, /* size bytes of the tar follow */
	TAR_OP_FILE = 2,    /* a path of size bytes follows: data is in that file, from its begin */
	TAR_OP_DATA = 3,    /* the tar's next size bytes are the file's next ones */
	TAR_OP_SKIP = 4,    /* size bytes of the file are not in the tar (a hole) */
	TAR_OP_SUM = 5,     /* 8 bytes: the data_sum of the file's data, little-endian */
	TAR_OP_MOVED = 6, /* a path of size bytes, then a number N: what stood there is shadow/N */
};

#endif
