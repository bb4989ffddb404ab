/* SPDX-License-Identifier: Apache-2.0 */
/* What of a layer's tar is not in its unpacked files: headers, padding, whatever follows the end.
 * Kept beside the data, compressed, so that the exact tar can be made again. Go counterpart:
 * github.com/vbatts/tar-split. docs/store.md has the format. */
#ifndef COMPAT_TAR_HEADERS_H
#define COMPAT_TAR_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tar_keep;

/* A checksum of a file's bytes that finds damage fast; what proves a layer is its digest. Any
 * change inside one run of 8 bytes changes it. Zero-initialise, then add in any portions. */
struct data_sum {
	uint64_t lane[4];
	uint64_t size;
	unsigned char tail[32];
};
void data_sum_add(struct data_sum *s, const void *data, size_t size);
uint64_t data_sum_value(const struct data_sum *s);

/* ---- writing, while a layer is unpacked. Failures stick and are told by finish. ---- */

struct tar_headers;
int tar_headers_create(int dir, const char *name, struct tar_headers **ret, struct error **reterr);
void tar_headers_free(struct tar_headers *h); /* NULL is allowed */
static inline void tar_headers_freep(struct tar_headers **h)
{
	tar_headers_free(*h);
}
#define cleanup_tar_headers __attribute__((cleanup(tar_headers_freep)))
/* Bytes of the tar that are in no file. */
void tar_headers_literal(struct tar_headers *h, const void *data, size_t size);
/* The tar goes on with bytes of this file of the tree: data (or none, of a file that is all hole)
 * follows, then end_file. */
void tar_headers_file(struct tar_headers *h, const char *path, size_t size);
/* These bytes of the tar stand in the file at offset, which never goes back. */
void tar_headers_data(struct tar_headers *h, const void *data, size_t size, uint64_t offset);
void tar_headers_end_file(struct tar_headers *h);
/* What stood at path until now stands at shadow/number. */
void tar_headers_moved(struct tar_headers *h, const char *path, size_t size, unsigned number);
/* Literals and data by way of that. */
void tar_headers_keep(struct tar_headers *h, struct tar_keep *ret);
/* *ret_size: bytes on disk. */
int tar_headers_finish(struct tar_headers *h, uint64_t *ret_size, struct error **reterr);

/* ---- making the tar again ---- */

struct tar_stream;
struct tar_stream_options {
	int layer;    /* folder with tree, shadow and the headers; duplicated */
	bool no_data; /* give zeros in place of what files hold */
	bool go_on;   /* a damaged file is reported, zeros stand for it, reading goes on */
	/* May be NULL. text: "is missing", "bytes differ from what was unpacked", ... */
	void (*damaged)(void *arg, const char *path, const char *text);
	void *arg;
};
int tar_stream_new(
	const struct tar_stream_options *options, struct tar_stream **ret, struct error **reterr);
/* tar_stream_read and tar_stream_free: layer_store.h */

#define TAR_HEADERS_FILE "tar-headers"
#define TREE_DIR "tree"
#define SHADOW_DIR "shadow"

#endif
