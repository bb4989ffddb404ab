/* SPDX-License-Identifier: Apache-2.0 */
/* Care of blobs that are half there. Go counterpart: none. */
#include "config.h"

#include "partials.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/digest.h"

#define STATE_SUFFIX ".state"

static bool is_blob(const char *name)
{
	return *name != '.' && !str_has_suffix(name, STATE_SUFFIX);
}

/* An open file that nobody writes, locked; -1 otherwise. */
static int lock_blob(int dir, const char *name, struct stat *st)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int ret = fd;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, st) < 0 ||
		!S_ISREG(st->st_mode))
		return -1;
	fd = -1;
	return ret;
}

static void say(const struct partials_prune *prune, const char *name, int64_t bytes)
{
	char text[NAME_MAX + 32];

	snprintf(text, sizeof(text), "Deleted partial blob: %s", name);
	text[strcspn(text, ".")] = ':'; /* of sha256.<hex>: as digests are written */
	prune->removed(prune->arg, text, bytes);
}

static void prune_blob(
	int dir, const char *name, const struct partials_prune *prune, uint64_t *ret_bytes)
{
	char state[NAME_MAX + sizeof(STATE_SUFFIX)], temp[sizeof(state) + 8];
	struct stat st;
	cleanup_close int fd = lock_blob(dir, name, &st);

	if (fd < 0 || (prune->keep_age && time(NULL) - st.st_mtime < (time_t)prune->keep_age))
		return;
	snprintf(state, sizeof(state), "%s" STATE_SUFFIX, name);
	snprintf(temp, sizeof(temp), ".tmp-%s", state);
	if (!prune->dry_run) {
		unlinkat(dir, temp, 0);
		unlinkat(dir, state, 0);
		if (unlinkat(dir, name, 0) < 0)
			return;
	}
	*ret_bytes += (uint64_t)st.st_blocks * 512;
	say(prune, name, st.st_size);
}

int partials_prune(const char *dir, const struct partials_prune *prune, uint64_t *ret_bytes,
	struct error **reterr)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return error_set(reterr, error_path("open", dir, error_errno(errno)));
	while ((e = readdir(d)))
		if (is_blob(e->d_name))
			prune_blob(dirfd(d), e->d_name, prune, ret_bytes);
	closedir(d);
	return 0;
}
