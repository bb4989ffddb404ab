/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations, by digest, in Docker's layout: content/sha256/HEX, metadata/sha256/HEX/KEY.
 * Go counterparts: image/fs.go, image/store.go.
 *
 * Between put and the reference that a pull sets next, nothing but that pull knows that an image is
 * wanted. So put leaves a shared flock on the file, held by an open descriptor: it dies with the
 * process, and delete, which asks for an exclusive one, learns of it in any process. */
#include "config.h"

#include "image_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/context.h"
#include "base/error.h"
#include "file.h"

#define CONFIG_LIMIT (64u << 20)
#define PUT_TRIES 100

/* A pull sets its reference at once. One that set none (a host need not have references) shall not
 * keep its image from being removed for ever. */
#define HOLD_MS (10 * 60 * 1000)

struct hold {
	char id[DIGEST_MAX];
	int fd;
	unsigned count;
	int64_t since; /* monotonic_ms() of the last put */
};

struct image_store {
	char *root;
	unsigned flags;
	pthread_mutex_t mutex; /* guards the holds */
	struct hold *holds;
	size_t nholds;
};

static bool durable(const struct image_store *store)
{
	return !(store->flags & IMAGE_STORE_FAST);
}

static char *content_dir(const struct image_store *store)
{
	return str_printf("%s/content/sha256", store->root);
}

/* The file of a valid ID of sha256. */
static char *content_file(const struct image_store *store, const char *id, struct error **reterr)
{
	char *path;

	if (digest_validate(id, strlen(id), reterr) < 0)
		return NULL;
	if (!str_has_prefix(id, "sha256:")) {
		error_set(reterr, error_classf(CLASS_NOT_FOUND,
					  "failed to get digest %s: image "
					  "IDs are of sha256",
					  id));
		return NULL;
	}
	path = str_printf("%s/content/sha256/%s", store->root, digest_encoded(id));
	if (!path)
		error_set(reterr, &error_no_memory);
	return path;
}

int image_store_open(
	const char *root, unsigned flags, struct image_store **ret, struct error **reterr)
{
	struct image_store *store = calloc(1, sizeof(*store));
	cleanup_free char *content = NULL;
	cleanup_free char *metadata = NULL;

	if (!store)
		return error_set(reterr, &error_no_memory);
	pthread_mutex_init(&store->mutex, NULL);
	store->flags = flags;
	store->root = strdup(root);
	content = store->root ? content_dir(store) : NULL;
	metadata = store->root ? str_printf("%s/metadata/sha256", root) : NULL;
	if (!content || !metadata) {
		image_store_free(store);
		return error_set(reterr, &error_no_memory);
	}
	if (!(flags & IMAGE_STORE_READ_ONLY) &&
		(file_make_dirs(content, 0700, reterr) < 0 ||
			file_make_dirs(metadata, 0700, reterr) < 0)) {
		image_store_free(store);
		return -1;
	}
	*ret = store;
	return 0;
}

void image_store_free(struct image_store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->nholds; i++)
		close(store->holds[i].fd);
	free(store->holds);
	pthread_mutex_destroy(&store->mutex);
	free(store->root);
	free(store);
}

/* ---- holds
 * --------------------------------------------------------------------------------------------- */

static struct hold *find_hold(struct image_store *store, const char *id)
{
	for (size_t i = 0; i < store->nholds; i++)
		if (!strcmp(store->holds[i].id, id))
			return &store->holds[i];
	return NULL;
}

/* fd, which has the lock, is taken over, also on failure. */
static int add_hold(struct image_store *store, const char *id, int fd, struct error **reterr)
{
	struct hold *hold, *grown;

	pthread_mutex_lock(&store->mutex);
	hold = find_hold(store, id);
	if (hold) {
		hold->count++;
		hold->since = monotonic_ms();
		pthread_mutex_unlock(&store->mutex);
		close(fd);
		return 0;
	}
	grown = reallocarray(store->holds, store->nholds + 1, sizeof(*grown));
	if (grown) {
		store->holds = grown;
		hold = &grown[store->nholds++];
		*hold = (struct hold){.fd = fd, .count = 1, .since = monotonic_ms()};
		memcpy(hold->id, id, strlen(id) + 1);
	}
	pthread_mutex_unlock(&store->mutex);
	if (grown)
		return 0;
	close(fd);
	return error_set(reterr, &error_no_memory);
}

void image_store_release(struct image_store *store, const char *id)
{
	struct hold *hold;
	int fd = -1;

	pthread_mutex_lock(&store->mutex);
	hold = find_hold(store, id);
	if (hold && !--hold->count) {
		fd = hold->fd;
		*hold = store->holds[--store->nholds];
	}
	pthread_mutex_unlock(&store->mutex);
	if (fd >= 0)
		close(fd);
}

static void expire_hold(struct image_store *store, const char *id)
{
	struct hold *hold;
	int fd = -1;

	pthread_mutex_lock(&store->mutex);
	hold = find_hold(store, id);
	if (hold && monotonic_ms() - hold->since > HOLD_MS) {
		fd = hold->fd;
		*hold = store->holds[--store->nholds];
	}
	pthread_mutex_unlock(&store->mutex);
	if (fd >= 0)
		close(fd);
}

/* ---- put and get
 * --------------------------------------------------------------------------------------- */

/* Does the path still name this open file? */
static bool is_named(int fd, const char *path)
{
	struct stat mine, now;

	return !fstat(fd, &mine) && !stat(path, &now) && mine.st_dev == now.st_dev &&
	       mine.st_ino == now.st_ino;
}

static int lock_file(int fd, int operation, const char *path, struct error **reterr)
{
	while (flock(fd, operation) < 0)
		if (errno != EINTR)
			return error_set(reterr, error_path("flock", path, error_errno(errno)));
	return 0;
}

/* Open the file if its content is right and lock it. 1 and the descriptor; 0: it is not there (any
 * more); 2: try again. One that is damaged is taken away, under a lock that nobody else has, so
 * that no one's good one goes in its place. */
static int open_good(const char *path, const char *id, int *ret_fd, struct error **reterr)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	cleanup_free char *data = NULL;
	size_t size;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(reterr, error_path("open", path, error_errno(errno)));
	if (lock_file(fd, LOCK_SH, path, reterr) < 0)
		return -1;
	if (!is_named(fd, path))
		return 0; /* deleted while we waited */
	if (!file_read_fd(fd, path, CONFIG_LIMIT, &data, &size, NULL) &&
		digest_verify(id, data, size)) {
		*ret_fd = fd;
		fd = -1;
		return 1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};

		nanosleep(&pause, NULL); /* somebody else is looking at it too */
		return 2;
	}
	if (is_named(fd, path) && unlink(path) < 0)
		return error_set(reterr, error_path("remove", path, error_errno(errno)));
	return 0;
}

int image_store_put(struct image_store *store, const void *config, size_t size,
	char ret_id[DIGEST_MAX], struct error **reterr)
{
	cleanup_free char *path = NULL;
	char id[DIGEST_MAX];

	if (store->flags & IMAGE_STORE_READ_ONLY)
		return error_set(reterr,
			error_classf(CLASS_FORBIDDEN, "the store was opened for reading only"));
	if (!size)
		return error_setf(reterr, "invalid empty data");
	if (digest_from_bytes(config, size, id) < 0)
		return error_set(reterr, &error_no_memory);
	path = content_file(store, id, reterr);
	if (!path)
		return -1;
	for (int i = 0; i < PUT_TRIES; i++) {
		int fd = -1;
		int r = open_good(path, id, &fd, reterr);

		if (r < 0)
			return -1;
		if (r == 2)
			continue;
		if (r) {
			memcpy(ret_id, id, sizeof(id));
			return add_hold(store, id, fd, reterr);
		}

		struct error *err = NULL;

		/* Never over another's: somebody may have a lock on that one already. */
		if (file_write_new(path, config, size, 0600, durable(store), &err) < 0 &&
			errno == EEXIST) {
			error_unref(err);
		} else if (err) {
			error_setf(reterr, "failed to write digest data: %s", err->message);
			error_unref(err);
			return -1;
		}
	}
	return error_setf(reterr, "failed to write digest data: others keep %s from us", id);
}

int image_store_get(struct image_store *store, const char *id, char **ret_config, size_t *ret_size,
	struct error **reterr)
{
	cleanup_free char *path = content_file(store, id, reterr);
	cleanup_error struct error *err = NULL;
	cleanup_free char *data = NULL;
	size_t size;

	if (!path)
		return -1;
	if (file_read(path, CONFIG_LIMIT, &data, &size, &err) < 0) {
		bool missing = errno == ENOENT;

		return err == &error_no_memory
			       ? error_set(reterr, &error_no_memory)
			       : error_set(reterr,
					 error_classf(missing ? CLASS_NOT_FOUND : CLASS_NONE,
						 "failed to get digest %s: %s", id, err->message));
	}
	if (!digest_verify(id, data, size))
		return error_set(reterr, error_classf(CLASS_DATA_LOSS, "failed to verify: %s", id));
	*ret_config = steal_ptr(&data);
	*ret_size = size;
	return 0;
}

bool image_store_has(struct image_store *store, const char *id)
{
	cleanup_free char *path = content_file(store, id, NULL);

	return path && !access(path, F_OK);
}

int64_t image_store_time(struct image_store *store, const char *id)
{
	cleanup_free char *path = content_file(store, id, NULL);
	struct stat st;

	return path && !stat(path, &st) ? (int64_t)st.st_mtime : 0;
}

/* ---- deleting
 * ------------------------------------------------------------------------------------------ */

/* The file, locked for us alone. 1: it is not there; -1 with errno. */
static int lock_alone(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT ? 1 : -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

bool image_store_in_use(struct image_store *store, const char *id)
{
	cleanup_free char *path = content_file(store, id, NULL);
	int fd = -1, r;
	bool in_use;

	expire_hold(store, id);
	r = path ? lock_alone(path, &fd) : 1;
	in_use = r < 0 && errno == EWOULDBLOCK;
	if (!r)
		close(fd);
	return in_use;
}

/* metadata/sha256/HEX: what SetMetadata may have put there. */
static void delete_metadata(const struct image_store *store, const char *id)
{
	cleanup_free char *dir =
		str_printf("%s/metadata/sha256/%s", store->root, digest_encoded(id));
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	/* What is left would be no more than an empty folder. */
	(void)rmdir(dir);
}

int image_store_delete(struct image_store *store, const char *id, struct error **reterr)
{
	cleanup_free char *path = content_file(store, id, reterr);
	cleanup_free char *dir = content_dir(store);
	int fd = -1, r, saved;

	if (!path)
		return -1;
	if (!dir)
		return error_set(reterr, &error_no_memory);
	if (store->flags & IMAGE_STORE_READ_ONLY)
		return error_set(reterr,
			error_classf(CLASS_FORBIDDEN, "the store was opened for reading only"));
	expire_hold(store, id);
	r = lock_alone(path, &fd);
	if (r < 0 && errno == EWOULDBLOCK)
		return error_set(reterr, error_classf(CLASS_CONFLICT,
						 "image %s is being used by a running pull", id));
	if (r < 0)
		return error_set(reterr, error_path("open", path, error_errno(errno)));
	if (r)
		return error_set(
			reterr, error_classf(CLASS_NOT_FOUND, "unrecognized image ID %s", id));
	delete_metadata(store, id);
	r = unlink(path);
	saved = errno;
	close(fd);
	if (r < 0)
		return error_set(reterr, error_path("remove", path, error_errno(saved)));
	return durable(store) ? file_sync_dir(dir, reterr) : 0;
}

/* ---- all of them
 * --------------------------------------------------------------------------------------- */

void image_ids_free(struct image_ids *ids)
{
	free(ids->items);
	*ids = (struct image_ids){NULL, 0};
}

static int by_id(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int add_id(struct image_ids *ids, const char *name, struct error **reterr)
{
	char id[DIGEST_MAX + 256];
	char(*grown)[DIGEST_MAX];

	snprintf(id, sizeof(id), "sha256:%s", name);
	if (digest_validate(id, strlen(id), NULL) < 0)
		return 0; /* no image: a temporary file, or somebody else's */
	grown = reallocarray(ids->items, ids->n + 1, sizeof(*grown));
	if (!grown)
		return error_set(reterr, &error_no_memory);
	ids->items = grown;
	memcpy(grown[ids->n++], id, strlen(id) + 1);
	return 0;
}

int image_store_list(struct image_store *store, struct image_ids *ret, struct error **reterr)
{
	cleanup_free char *dir = content_dir(store);
	struct image_ids ids = {NULL, 0};
	struct dirent *entry;
	int r = 0;
	DIR *d;

	if (!dir)
		return error_set(reterr, &error_no_memory);
	d = opendir(dir);
	if (!d && errno == ENOENT && store->flags & IMAGE_STORE_READ_ONLY) {
		*ret = ids;
		return 0;
	}
	if (!d)
		return error_set(reterr, error_path("open", dir, error_errno(errno)));
	for (errno = 0; !r && (entry = readdir(d)); errno = 0)
		r = add_id(&ids, entry->d_name, reterr);
	if (!r && errno)
		r = error_set(reterr, error_path("readdirent", dir, error_errno(errno)));
	closedir(d);
	if (r < 0) {
		image_ids_free(&ids);
		return -1;
	}
	if (ids.n)
		qsort(ids.items, ids.n, sizeof(*ids.items), by_id);
	*ret = ids;
	return 0;
}

void image_store_sweep(struct image_store *store)
{
	cleanup_free char *dir = content_dir(store);

	if (dir && !(store->flags & IMAGE_STORE_READ_ONLY))
		file_sweep(dir);
}
