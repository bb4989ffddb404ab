/* SPDX-License-Identifier: Apache-2.0 */
/* Care of blobs that are half there. Go counterpart: none. */
#include "config.h"

#include "partials.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/partial_files.h"

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
	struct stat st;
	cleanup_close int fd = partial_files_lock(dir, name, O_RDONLY, &st);

	if (fd < 0 || (prune->keep_age && time(NULL) - st.st_mtime < (time_t)prune->keep_age) ||
		(!prune->dry_run && partial_files_remove(dir, name) < 0))
		return;
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
		if (partial_files_is_blob(e->d_name))
			prune_blob(dirfd(d), e->d_name, prune, ret_bytes);
	closedir(d);
	return 0;
}
