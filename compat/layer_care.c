/* SPDX-License-Identifier: Apache-2.0 */
/* What the layer store holds, and getting rid of it. Go counterparts: layer/layer_store.go (Map,
 * Release), daemon/prune.go. */
#include "config.h"

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
#include "base/log.h"
#include "file.h"
#include "layer_priv.h"

/* ---- sweeping ---- */

static int sweep_staging(void *arg, const char *name)
{
	struct layer_store *ls = arg;
	char path[PATH_MAX];

	if (strlen(name) >= 64)
		return 0;
	snprintf(path, sizeof(path), STAGING_DIR "/%s", name);

	/* Whoever works there holds the lock; the kernel drops it with its last descriptor. */
	cleanup_close int fd =
		openat(ls->dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
		layer_staging_remove(ls, name);
	return 0;
}

static int sweep_lock(void *arg, const char *name)
{
	struct layer_store *ls = arg;
	char digest[DIGEST_MAX];
	int fd;

	if (layer_digest(name, digest) && layer_blob_lock(ls, digest, &fd, NULL) == 1)
		layer_blob_unlock(ls, digest, fd);
	return 0;
}

/* Data that was never synced before the machine stopped. */
static int sweep_data(void *arg, const char *name)
{
	struct layer_store *ls = arg;
	struct layer_data_info info;
	char diff_id[DIGEST_MAX];
	int fd;

	if (!layer_digest(name, diff_id) || layer_data_lock(ls, diff_id, &fd, NULL) != 1)
		return 0;
	if (layer_data_info(ls, diff_id, fd, &info, NULL) < 0) {
		log_warning(ls->log, "dropping layer %s: it was not written whole", diff_id);
		(void)layer_data_remove(ls, diff_id, NULL); /* the next sweep tries again */
	}
	close(fd);
	return 0;
}

/* What stood on such data. */
static int sweep_chain(void *arg, const char *name)
{
	struct layer_store *ls = arg;
	struct layer_info info;
	char chain_id[DIGEST_MAX], data[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 8];

	if (!layer_digest(name, chain_id) || layer_chain_read(ls, chain_id, &info, NULL) < 0 ||
		!layer_name(info.diff_id, data))
		return 0;
	snprintf(path, sizeof(path), DATA_DIR "/%s", data);
	if (!faccessat(ls->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) || errno != ENOENT)
		return 0;
	snprintf(path, sizeof(path), CHAINS_DIR "/%s", name);
	(void)unlinkat(ls->dir, path, 0); /* fsck tells of what stays */
	return 0;
}

bool layer_store_sweep_is_due(struct layer_store *ls)
{
	cleanup_free char *record = NULL;
	char boot[BOOT_ID_MAX];

	if (record_read(ls, -1, BOOT_FILE, "boot", &record, NULL) < 0)
		return true;
	record_get(record, "boot", boot, sizeof(boot));
	return strcmp(boot, ls->boot_id) != 0;
}

/* Once after each start of the machine: it reads a file of every layer. */
static void sweep_after_boot(struct layer_store *ls)
{
	cleanup_buf struct buf b = {0};

	if (!layer_store_sweep_is_due(ls))
		return;
	if (layer_each_name(ls, DATA_DIR, sweep_data, ls, NULL) < 0 ||
		layer_each_name(ls, CHAINS_DIR, sweep_chain, ls, NULL) < 0)
		return;
	record_begin(&b, "boot");
	record_add(&b, "boot", ls->boot_id);
	(void)record_write(ls, ".", BOOT_FILE, &b, NULL); /* else the next one sweeps again */
}

void layer_store_sweep(struct layer_store *ls)
{
	static const char *const records[] = {CHAINS_DIR, BLOBS_DIR, BUNDLES_DIR};

	if (ls->read_only)
		return;
	/* A folder that can't be read is found by what needs it. */
	(void)layer_each_name(ls, STAGING_DIR, sweep_staging, ls, NULL);
	(void)layer_each_name(ls, LOCKS_DIR, sweep_lock, ls, NULL);
	sweep_after_boot(ls);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		cleanup_free char *path = file_join(ls->path, records[i]);

		if (path)
			file_sweep(path);
	}
}

/* ---- what is there ---- */

/* Disk of one layer's data; 0 where it can't be told. */
static int64_t data_disk(struct layer_store *ls, const char *diff_id)
{
	struct layer_data_info info;
	int fd;

	if (layer_data_open(ls, diff_id, &fd, &info, NULL) < 0)
		return 0;
	close(fd);
	return info.disk;
}

int layer_store_info(
	struct layer_store *ls, const char *chain_id, struct layer_info *ret, struct error **reterr)
{
	struct layer_info info;

	/* A hold proves that all below is there. */
	if (layer_hold_get(ls, chain_id, reterr) < 0)
		return -1;

	int n = layer_chain_read(ls, chain_id, &info, reterr);

	if (!n) {
		info.disk = data_disk(ls, info.diff_id);
		*ret = info;
	}
	layer_hold_release(ls, chain_id);
	return n;
}

struct each {
	struct layer_store *ls;
	int (*fn)(void *arg, const struct layer_info *info);
	void *arg;
};

static int each_chain(void *arg, const char *name)
{
	const struct each *e = arg;
	struct layer_info info;
	char chain_id[DIGEST_MAX];

	if (!layer_digest(name, chain_id) || layer_chain_read(e->ls, chain_id, &info, NULL) < 0)
		return 0;
	info.disk = data_disk(e->ls, info.diff_id);
	return e->fn(e->arg, &info);
}

int layer_store_each(struct layer_store *ls, int (*fn)(void *arg, const struct layer_info *info),
	void *arg, struct error **reterr)
{
	struct each e = {ls, fn, arg};

	return layer_each_name(ls, CHAINS_DIR, each_chain, &e, reterr);
}

struct disk_sum {
	struct layer_store *ls;
	int64_t bytes;
};

static int add_disk(void *arg, const char *name)
{
	struct disk_sum *sum = arg;
	char diff_id[DIGEST_MAX];

	if (layer_digest(name, diff_id))
		sum->bytes += data_disk(sum->ls, diff_id);
	return 0;
}

int64_t layer_store_disk(struct layer_store *ls)
{
	struct disk_sum sum = {ls, 0};

	(void)layer_each_name(ls, DATA_DIR, add_disk, &sum, NULL); /* as far as can be read */
	return sum.bytes;
}
