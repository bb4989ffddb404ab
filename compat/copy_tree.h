/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of files between trees, and the layers of an image merged into one tree. Go counterparts:
 * daemon/graphdriver/copy, pkg/archive.UnpackLayer. */
#ifndef COMPAT_COPY_TREE_H
#define COMPAT_COPY_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "layer_priv.h"

struct error;

/* An image's layers, open and locked against removal. */
struct open_layers {
	struct layer_store *ls;
	char top[DIGEST_MAX]; /* held; "" for none */
	size_t n;
	struct open_layer {
		int fd, tree;
		struct layer_data_info info;
		char diff_id[DIGEST_MAX];
	} * list; /* bottom first; what an opaque root hides is left out */
};
int open_layers(struct layer_store *ls, const char *chain_id, struct open_layers *ret,
	struct error **reterr);
void open_layers_close(struct open_layers *l); /* accepts a zeroed one */
#define cleanup_open_layers __attribute__((cleanup(open_layers_close)))

/* Merge them into dir, which is empty: whiteouts remove, opaque folders replace. */
int merge_layers(const struct open_layers *l, int dir, struct error **reterr);

/* Contents (holes stay holes), owner, mode, allowed attributes and times of one thing that is no
 * folder, to a name that is free. owners: that they can't be given is a failure. 0, or an errno. */
int copy_file(int from_dir, const char *from, const struct stat *st, int to_dir, const char *to,
	bool owners);
/* The attributes that layers may bring. 0, or an errno. */
int copy_xattrs(int from, int to);

#endif
