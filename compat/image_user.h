/* SPDX-License-Identifier: Apache-2.0 */
/* Who a container of an image runs as. Go counterpart: opencontainers/runc libcontainer/user
 * (GetExecUser). */
#ifndef COMPAT_IMAGE_USER_H
#define COMPAT_IMAGE_USER_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define IMAGE_USER_GROUPS_MAX 256

struct image_user {
	uint32_t uid, gid;
	uint32_t groups[IMAGE_USER_GROUPS_MAX];
	size_t ngroups;
};

/* user: "", "name", "uid", "name:group", "uid:gid". Names are looked up in /etc/passwd and
 * /etc/group below rootfs: never through this machine's name service, no symlink out of it, only
 * regular files, only their first MiB. */
int image_user_resolve(int rootfs, const char *user, struct image_user *ret, struct error **reterr);

#endif
