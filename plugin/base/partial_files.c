/* SPDX-License-Identifier: Apache-2.0 */
/* The files of blobs that are on their way. No Go counterpart. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/partial_files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"

bool partial_files_is_blob(const char *name)
{
	return str_has_prefix(name, "sha") && !str_has_suffix(name, PARTIAL_STATE) &&
	       !str_has_suffix(name, PARTIAL_TEMP);
}

int partial_files_lock(int dir, const char *name, int flags, struct stat *ret)
{
	cleanup_close int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat now;
	int taken = fd;

	/* Whoever had it may have removed it meanwhile. */
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, ret) < 0 ||
		!S_ISREG(ret->st_mode) || fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) < 0 ||
		now.st_ino != ret->st_ino)
		return -1;
	fd = -1;
	return taken;
}

static void remove_beside(int dir, const char *name, const char *suffix)
{
	char path[NAME_MAX + 16];

	snprintf(path, sizeof(path), "%s%s", name, suffix);
	unlinkat(dir, path, 0);
}

int partial_files_remove(int dir, const char *name)
{
	remove_beside(dir, name, PARTIAL_TEMP);
	remove_beside(dir, name, PARTIAL_STATE);
	return unlinkat(dir, name, 0);
}
