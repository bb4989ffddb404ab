/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations: root file system, platform, chain IDs. Go counterparts: image/rootfs.go,
 * layer.CreateChainID, ImageConfigStore.RootFSFromConfig and PlatformFromConfig. */
#ifndef IMAGE_ROOTFS_H
#define IMAGE_ROOTFS_H

#include <stddef.h>

#include "image/digest.h"
#include "image/platform.h"

struct error;

struct rootfs {
	char *type;
	char **diff_ids; /* as written */
	size_t ndiff_ids;
};

/* *ret is NULL (and 0 returned) if the configuration has no rootfs. */
int rootfs_from_config(const void *config, size_t size, struct rootfs **ret, struct error **reterr);
/* Strings are the caller's, in ret_buffer. runtime_os stands for an empty os. */
int platform_from_config(const void *config, size_t size, const char *runtime_os,
	struct platform *ret, char **ret_buffer, struct error **reterr);
struct rootfs *rootfs_new(void); /* type "layers", empty; NULL: no memory */
int rootfs_append(struct rootfs *r, const char *diff_id, struct error **reterr);
void rootfs_free(struct rootfs *r);
static inline void rootfs_freep(struct rootfs **r)
{
	rootfs_free(*r);
}
#define cleanup_rootfs __attribute__((cleanup(rootfs_freep)))
/* ChainID of the first n diff IDs; "" for n = 0. */
int rootfs_chain_id(const struct rootfs *r, size_t n, char ret[DIGEST_MAX]);
/* The next chain ID: parent "" gives diff_id itself. */
int chain_id_append(const char *parent, const char *diff_id, char ret[DIGEST_MAX]);

#endif
