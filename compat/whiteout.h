/* SPDX-License-Identifier: Apache-2.0 */
/* Whiteouts: AUFS names in tars, overlay's markers on disk. Go counterpart:
 * pkg/archive/whiteouts.go and archive_linux.go. */
#ifndef COMPAT_WHITEOUT_H
#define COMPAT_WHITEOUT_H

#include <stdbool.h>
#include <sys/stat.h>

enum whiteout_kind {
	WHITEOUT_NONE,   /* an ordinary name */
	WHITEOUT_HIDE,   /* .wh.NAME: hides NAME of the layers below */
	WHITEOUT_OPAQUE, /* .wh..wh..opq: hides all of the folder's that layers below have */
	WHITEOUT_META,   /* AUFS's own, .wh..wh.*: never reaches a root */
	WHITEOUT_BAD     /* .wh., .wh.., .wh...: would name the folder itself or its parent */
};

#define WHITEOUT_PREFIX ".wh."

/* What a clean path is to the layers below. */
enum whiteout_kind whiteout_kind(const char *path);

/* How overlay's markers are written: trusted.overlay.* takes CAP_SYS_ADMIN in the first user
 * namespace; others mount with userxattr and use user.overlay.*. */
bool whiteout_trusted_works(int dir);
/* Hide name in dir. EEXIST where something is there. 0, or an errno. Where 0:0 devices can't be
 * made, an empty file with overlay's attribute (Linux 6.7 mounts it); where there are no attributes
 * either, an empty file with a mark beside it, which overlay does not know. */
int whiteout_make(int dir, const char *name, bool trusted);
/* Mark the folder. 0, or an errno. */
int whiteout_set_opaque(int fd, bool trusted);
bool whiteout_is_opaque(int fd, bool trusted);
/* Is what st and name describe a whiteout? */
bool whiteout_is(int dir, const char *name, const struct stat *st, bool trusted);

/* Is name, as a folder has it, such a mark? It is nothing of the layer's own. */
bool whiteout_is_mark(const char *name);
/* name is a whiteout no more: without its mark. */
void whiteout_forget(int dir, const char *name);
/* No attributes there: whiteouts and opaque folders may be marks. */
bool whiteout_needs_marks(int fd, bool trusted);

/* May a layer bring this attribute? security.capability and user.*, save overlay's own. */
bool xattr_allowed(const char *name);

#endif
