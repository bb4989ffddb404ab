/* SPDX-License-Identifier: Apache-2.0 */
/* What rootfs.c and the bundles share. */
#ifndef COMPAT_ROOTFS_DIR_H
#define COMPAT_ROOTFS_DIR_H

#include <stdbool.h>
#include <sys/types.h>

struct error;
struct open_layers;
struct stored_image;
struct towline_store;

/* Make path, or take it if it is an empty folder. CLASS_CONFLICT: "PATH is not empty". */
int empty_dir_open(
	const char *path, mode_t mode, bool *ret_made, int *ret_fd, struct error **reterr);
/* Empty it again, and remove it if it was made; as far as that goes. */
void empty_dir_undo(const char *path, int fd, bool made);

/* The image that name means, its layers open and held. */
int image_open_layers(struct towline_store *store, const char *name,
	struct stored_image **ret_image, struct open_layers *ret, struct error **reterr);

#endif
