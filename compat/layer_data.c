/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's data: where it lies, who uses it, how it comes and goes. Go counterpart:
 * daemon/graphdriver/overlay2 (Create, Remove), layer/filestore.go. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "layer_priv.h"
#include "tree.h"
#include "untar.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define PUBLISH_TRIES 50
#define PUBLISH_WAIT_MS 20

bool layer_name(const char *digest, char ret[LAYER_NAME_MAX])
{
	if (digest_validate(digest, strlen(digest), NULL) < 0)
		return false;
	snprintf(ret, LAYER_NAME_MAX, "%s", digest);
	*strchr(ret, ':') = '.';
	return true;
}

bool layer_digest(const char *name, char ret[DIGEST_MAX])
{
	size_t size = strlen(name);
	const char *dot = strchr(name, '.');

	if (!dot || size >= DIGEST_MAX)
		return false;
	memcpy(ret, name, size + 1);
	ret[dot - name] = ':';
	return !digest_validate(ret, size, NULL);
}

static int not_found(const char *diff_id, struct error **reterr)
{
	return error_set(
		reterr, error_classf(CLASS_NOT_FOUND, "layer data %s does not exist", diff_id));
}

/* Is the folder that fd has open still the one of that name? */
static bool still_there(int at, const char *path, int fd)
{
	struct stat a, b;

	return !fstatat(at, path, &a, AT_SYMLINK_NOFOLLOW) && !fstat(fd, &b) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* flock without waiting: 1, or 0 if somebody else has it. That the kernel cannot lock is another
 * thing: who took it for a held lock would wait for ever. */
static int try_lock(int fd, int operation, const char *path, struct error **reterr)
{
	while (flock(fd, operation | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return 0;
		if (errno != EINTR)
			return error_set(reterr, error_path("flock", path, error_errno(errno)));
	}
	return 1;
}

int layer_data_info(struct layer_store *ls, const char *diff_id, int fd,
	struct layer_data_info *ret, struct error **reterr)
{
	cleanup_free char *record = NULL;
	char id[DIGEST_MAX], boot[BOOT_ID_MAX], text[16];

	if (record_read(ls, fd, LAYER_FILE, "layer", &record, reterr) < 0)
		return -1;
	if (!record_get_digest(record, "diff", id) || strcmp(id, diff_id))
		return not_found(diff_id, reterr);
	ret->durable = !faccessat(fd, DURABLE_FILE, F_OK, AT_SYMLINK_NOFOLLOW);
	/* What was unpacked before the machine started anew and never synced is not to be trusted:
	 * names may be on the disk without contents. */
	record_get(record, "boot", boot, sizeof(boot));
	if (!ret->durable && strcmp(boot, ls->boot_id))
		return not_found(diff_id, reterr);
	ret->size = record_get_number(record, "size");
	ret->disk = record_get_number(record, "disk");
	ret->entries = record_get_number(record, "entries");
	ret->lost = (unsigned)record_get_number(record, "lost");
	record_get(record, "overlay", text, sizeof(text));
	ret->trusted = !strcmp(text, "trusted");
	ret->opaque = record_get_number(record, "opaque") != 0;
	ret->root_entry = record_get_number(record, "root") != 0;
	return 0;
}

int layer_data_open(struct layer_store *ls, const char *diff_id, int *ret_fd,
	struct layer_data_info *ret_info, struct error **reterr)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 8];
	struct layer_data_info info;

	if (!layer_name(diff_id, name))
		return not_found(diff_id, reterr);
	snprintf(path, sizeof(path), DATA_DIR "/%s", name);

	cleanup_close int fd = openat(ls->dir, path, FOLDER);

	if (fd < 0 && errno != ENOENT)
		return error_set(reterr, error_path("open", path, error_errno(errno)));

	int locked = fd < 0 ? 0 : try_lock(fd, LOCK_SH, path, reterr);

	if (locked < 0)
		return -1;
	if (!locked || !still_there(ls->dir, path, fd))
		return not_found(diff_id, reterr);
	if (layer_data_info(ls, diff_id, fd, &info, reterr) < 0)
		return -1;
	if (!info.durable && !ls->fast && layer_unsynced_add(ls, diff_id, reterr) < 0)
		return -1;
	if (ret_info)
		*ret_info = info;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int layer_staging_new(struct layer_store *ls, char ret_name[64], int *ret_fd, struct error **reterr)
{
	char path[96];
	unsigned long serial;
	uint64_t salt = 0;

	pthread_mutex_lock(&ls->mutex);
	serial = ls->serial++;
	pthread_mutex_unlock(&ls->mutex);
	/* Only so that two hosts of one network folder do not collide; mkdir decides. */
	(void)getrandom(&salt, sizeof(salt), GRND_NONBLOCK);
	for (unsigned try = 0; try < 100; try++) {
		snprintf(ret_name, 64, "%ld-%lu-%u-%08x", (long)getpid(), serial, try,
			(unsigned)salt);
		snprintf(path, sizeof(path), STAGING_DIR "/%s", ret_name);
		if (mkdirat(ls->dir, path, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			break;
		}

		cleanup_close int fd = openat(ls->dir, path, FOLDER);

		int locked = fd < 0 ? 0 : try_lock(fd, LOCK_EX, path, reterr);

		/* A sweeper may come between the two calls: then it is gone, and we try again. */
		if (locked < 0 || (fd < 0 && errno != ENOENT)) {
			if (!locked)
				error_set(reterr, error_path("open", path, error_errno(errno)));
			unlinkat(ls->dir, path, AT_REMOVEDIR);
			return -1;
		}
		if (!locked || !still_there(ls->dir, path, fd))
			continue;
		*ret_fd = fd;
		fd = -1;
		return 0;
	}
	return error_set(reterr, error_path("mkdir", STAGING_DIR, error_errno(errno)));
}

void layer_staging_remove(struct layer_store *ls, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), STAGING_DIR "/%s", name);

	int err = remove_tree(ls->dir, path);

	if (err)
		log_warning(ls->log, "failed to remove %s/%s: %s", ls->path, path, errno_text(err));
}

static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

int layer_data_publish(struct layer_store *ls, const char *name, const char *diff_id, int *fd,
	struct error **reterr)
{
	char data[LAYER_NAME_MAX], from[96], to[LAYER_NAME_MAX + 8];
	int err = 0;

	if (!layer_name(diff_id, data))
		return error_setf(reterr, "invalid diff ID %s", diff_id);
	snprintf(from, sizeof(from), STAGING_DIR "/%s", name);
	snprintf(to, sizeof(to), DATA_DIR "/%s", data);
	for (int try = 0; try < PUBLISH_TRIES; try++) {
		int other;

		if (!renameat(ls->dir, from, ls->dir, to)) {
			/* Nobody can have locked it for removal: ours was exclusive. */
			if (try_lock(*fd, LOCK_SH, to, reterr) < 0)
				return -1;
			return ls->fast ? 0 : layer_unsynced_add(ls, diff_id, reterr);
		}
		err = errno;
		if (err != ENOTEMPTY && err != EEXIST)
			break;
		/* Somebody was faster, or what is there is on its way out or can't be trusted. */
		if (!layer_data_open(ls, diff_id, &other, NULL, NULL)) {
			close(*fd);
			*fd = other;
			layer_staging_remove(ls, name);
			return 0;
		}
		if (layer_data_lock(ls, diff_id, &other, NULL) == 1) {
			int n = layer_data_remove(ls, diff_id, reterr);

			close(other);
			if (n < 0)
				return -1;
			continue;
		}
		sleep_ms(PUBLISH_WAIT_MS);
	}
	return error_set(reterr, error_path("rename", to, error_errno(err)));
}

int layer_data_lock(struct layer_store *ls, const char *diff_id, int *ret_fd, struct error **reterr)
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 8];

	if (!layer_name(diff_id, name))
		return not_found(diff_id, reterr);
	snprintf(path, sizeof(path), DATA_DIR "/%s", name);

	cleanup_close int fd = openat(ls->dir, path, FOLDER);

	if (fd < 0 && errno != ENOENT)
		return error_set(reterr, error_path("open", path, error_errno(errno)));
	if (fd < 0)
		return not_found(diff_id, reterr);

	int locked = try_lock(fd, LOCK_EX, path, reterr);

	if (locked <= 0)
		return locked;
	if (!still_there(ls->dir, path, fd))
		return not_found(diff_id, reterr);
	*ret_fd = fd;
	fd = -1;
	return 1;
}

int layer_data_remove(struct layer_store *ls, const char *diff_id, struct error **reterr)
{
	char name[LAYER_NAME_MAX], from[LAYER_NAME_MAX + 8], to[LAYER_NAME_MAX + 64], trash[64];
	unsigned long serial;

	if (!layer_name(diff_id, name))
		return not_found(diff_id, reterr);
	pthread_mutex_lock(&ls->mutex);
	serial = ls->serial++;
	pthread_mutex_unlock(&ls->mutex);
	snprintf(trash, sizeof(trash), "trash-%ld-%lu-%.12s", (long)getpid(), serial,
		strchr(name, '.') + 1);
	snprintf(from, sizeof(from), DATA_DIR "/%s", name);
	snprintf(to, sizeof(to), STAGING_DIR "/%s", trash);
	if (renameat(ls->dir, from, ls->dir, to) < 0)
		return error_set(reterr, error_path("rename", from, error_errno(errno)));
	layer_staging_remove(ls, trash);
	return 0;
}

int layer_each_name(struct layer_store *ls, const char *dir, int (*fn)(void *arg, const char *name),
	void *arg, struct error **reterr)
{
	int fd = openat(ls->dir, dir, FOLDER);
	const struct dirent *e;
	DIR *d;
	int n = 0;

	if (fd < 0 && errno == ENOENT && ls->read_only)
		return 0;
	if (fd < 0)
		return error_set(reterr, error_path("open", dir, error_errno(errno)));
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return error_set(reterr, &error_no_memory);
	}
	while (!n && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			n = fn(arg, e->d_name);
	if (!n && errno)
		n = error_set(reterr, error_path("readdir", dir, error_errno(errno)));
	closedir(d);
	return n;
}

/* ---- blobs ---- */

bool layer_blob_lookup(struct layer_store *ls, const char *digest, char ret_diff_id[DIGEST_MAX])
{
	char name[LAYER_NAME_MAX], path[LAYER_NAME_MAX + 8];
	cleanup_free char *record = NULL;

	if (!layer_name(digest, name))
		return false;
	snprintf(path, sizeof(path), BLOBS_DIR "/%s", name);
	return !record_read(ls, -1, path, "blob", &record, NULL) &&
	       record_get_digest(record, "diff", ret_diff_id);
}

int layer_blob_record(
	struct layer_store *ls, const char *digest, const char *diff_id, struct error **reterr)
{
	char name[LAYER_NAME_MAX];
	cleanup_buf struct buf b = {0};

	if (!layer_name(digest, name))
		return 0;
	record_begin(&b, "blob");
	record_add(&b, "diff", diff_id);
	return record_write(ls, BLOBS_DIR, name, &b, reterr);
}

static bool lock_path(const char *digest, char ret[LAYER_NAME_MAX + 8])
{
	char name[LAYER_NAME_MAX];

	if (!layer_name(digest, name))
		return false;
	snprintf(ret, LAYER_NAME_MAX + 8, LOCKS_DIR "/%s", name);
	return true;
}

int layer_blob_lock(struct layer_store *ls, const char *digest, int *ret_fd, struct error **reterr)
{
	char path[LAYER_NAME_MAX + 8];

	if (!lock_path(digest, path))
		return error_setf(reterr, "invalid digest %s", digest);

	cleanup_close int fd =
		openat(ls->dir, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set(reterr, error_path("open", path, error_errno(errno)));

	int locked = try_lock(fd, LOCK_EX, path, reterr);

	/* The one before us may have removed the file that we have open: ask again. */
	if (locked <= 0 || !still_there(ls->dir, path, fd))
		return locked < 0 ? -1 : 0;
	*ret_fd = fd;
	fd = -1;
	return 1;
}

void layer_blob_unlock(struct layer_store *ls, const char *digest, int fd)
{
	char path[LAYER_NAME_MAX + 8];

	if (fd < 0)
		return;
	/* While it is locked, so that nobody keeps a lock on a file without a name. */
	if (lock_path(digest, path))
		unlinkat(ls->dir, path, 0);
	close(fd);
}
