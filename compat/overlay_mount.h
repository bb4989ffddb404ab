/* SPDX-License-Identifier: Apache-2.0 */
/* Overlay mounts of an image's layers. Go counterpart: daemon/graphdriver/overlay2 (Get). */
#ifndef COMPAT_OVERLAY_MOUNT_H
#define COMPAT_OVERLAY_MOUNT_H

#include <stdbool.h>

struct open_layers;

/* Mount layers (one at least) below upper at target; all three are folders. 0, or an errno: then a
 * copy is the way. */
int overlay_mount(const struct open_layers *l, int upper, int work, const char *target);
/* 0, or an errno. What is not mounted is fine. */
int overlay_unmount(const char *target);
/* Is an overlay mounted just there? */
bool overlay_is_mounted(const char *target);
/* Is anything mounted at path or below it, as far as this mount namespace sees? True as well where
 * that can't be told. */
bool mounts_below(const char *path);

#endif
