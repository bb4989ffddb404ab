/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of load and save share. Go counterpart: image/tarexport. */
#ifndef COMPAT_ARCHIVE_IO_H
#define COMPAT_ARCHIVE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"

struct error;
struct image_pull_reader;
struct image_pull_sink;
struct reference;
struct stored_image;
struct towline_store;

#define ARCHIVE_JSON_MAX (4u << 20) /* manifests, configurations: as for those of registries */

/* ---- reading ---- */

/* The contents of a file, decompressed where they are compressed (gzip, bzip2, xz, zstd). fd stays
 * the caller's. */
struct unpacking_reader;
int unpacking_reader_new(int fd, struct unpacking_reader **ret, struct error **reterr);
void unpacking_reader_free(struct unpacking_reader *r); /* NULL is allowed */
const struct image_pull_reader *unpacking_reader_table(struct unpacking_reader *r);
/* What went wrong, in words; NULL: nothing. */
const char *unpacking_reader_error(const struct unpacking_reader *r);

/* A regular file below root, symlinks resolved inside it. -1: "open PATH: ...". */
int open_inside(int root, const char *path, int *ret_fd, struct error **reterr);
/* The whole of it, at most ARCHIVE_JSON_MAX. */
int read_inside(int root, const char *path, char **ret, size_t *ret_size, struct error **reterr);

/* ---- loading ---- */

struct loading {
	struct towline_store *store;
	/* The tar of one layer: *ret_fd is the caller's then, digest that of the file ("" if it was
	 * not verified). */
	int (*open_layer)(void *arg, size_t index, int *ret_fd, char digest[DIGEST_MAX],
		struct error **reterr);
	void *arg;
	size_t nlayers;
};
/* Register the layers, then the image. It counts as in use until a reference is added or
 * image_store_release. */
int load_image(const struct loading *l, const void *config, size_t size, char ret_id[DIGEST_MAX],
	struct error **reterr);
/* Tag it, and say so: one value. tag: as a user writes it. */
int load_tag(struct towline_store *store, const char *tag, const char *id,
	const struct image_pull_sink *sink, int *code, struct error **reterr);
/* Without a tag: its ID is the value. */
void load_untagged(
	struct towline_store *store, const char *id, const struct image_pull_sink *sink, int *code);

int docker_archive_load(struct towline_store *store, const char *path,
	const struct image_pull_sink *sink, int *code, struct error **reterr);
/* root: the layout's folder. */
int oci_layout_load(struct towline_store *store, int root, const struct image_pull_sink *sink,
	int *code, struct error **reterr);

/* ---- saving ---- */

struct saving {
	struct towline_store *store;
	struct stored_image *image;
	struct reference *ref; /* tagged; NULL: named by ID */
};
int docker_archive_save(const struct saving *s, const char *path, struct error **reterr);
int oci_layout_save(const struct saving *s, const char *dir, struct error **reterr);

/* Write a layer's tar to fd, its digest compared with the diff ID on the way. */
int save_layer(struct towline_store *store, const char *diff_id, int fd, struct error **reterr);
/* How long that tar is. */
int layer_tar_size(
	struct towline_store *store, const char *diff_id, uint64_t *ret, struct error **reterr);
int write_whole(int fd, const void *data, size_t size); /* 0, or an errno */

#endif
