/* SPDX-License-Identifier: Apache-2.0 */
/* The table that the plugin calls. Go counterpart: layer/layer_store.go. */
#include "config.h"

#include "layer_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "image/rootfs.h"
#include "layer_priv.h"
#include "sink.h"
#include "untar.h"
#include "whiteout.h"
#include "writeback.h"

#define WAIT_MS 100

/* Staged data: published already, and locked against removal while the handle lives. */
struct layer_handle {
	char diff_id[DIGEST_MAX];
	int64_t size;
	int fd;
};

/* ---- stage ---- */

static void handle_free(struct layer_handle *h)
{
	closep(&h->fd);
	free(h);
}

static struct layer_handle *handle_new(const char *diff_id, int64_t size, int fd)
{
	struct layer_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	snprintf(h->diff_id, sizeof(h->diff_id), "%s", diff_id);
	h->size = size;
	h->fd = fd;
	return h;
}

static int write_layer_record(struct layer_store *ls, const char *staging, const char *diff_id,
	const struct untar_result *result, struct error **reterr)
{
	cleanup_buf struct buf b = {0};
	char dir[96];

	record_begin(&b, "layer");
	record_add(&b, "diff", diff_id);
	record_add_number(&b, "size", result->size);
	record_add_number(&b, "disk", result->disk);
	record_add_number(&b, "entries", (int64_t)result->entries);
	record_add(&b, "overlay", ls->trusted ? "trusted" : "user");
	record_add_number(&b, "opaque", result->opaque);
	record_add_number(&b, "root", result->root_entry);
	record_add_number(&b, "lost", result->lost);
	record_add(&b, "boot", ls->boot_id);
	snprintf(dir, sizeof(dir), STAGING_DIR "/%s", staging);
	return record_write(ls, dir, LAYER_FILE, &b, reterr);
}

static int stage_new(struct layer_store *ls, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, struct layer_handle **ret, bool *ret_over,
	struct error **reterr)
{
	struct layer_unpacked u;
	char name[64];
	int fd;

	if (layer_staging_new(ls, name, &fd, reterr) < 0)
		return -1;
	int n = layer_unpack(ls, reader, fd, &u, reterr);

	*ret_over = u.over;
	if (!n)
		n = write_layer_record(ls, name, u.diff_id, &u.result, reterr);
	/* Only saves a download later; before the data, so that data without it is never there. */
	if (!n && descriptor->digest)
		(void)layer_blob_record(ls, descriptor->digest, u.diff_id, NULL);
	if (!n)
		n = layer_data_publish(ls, name, u.diff_id, &fd, reterr);
	if (n < 0) {
		layer_staging_remove(ls, name);
		close(fd);
		return -1;
	}
	*ret = handle_new(u.diff_id, u.result.size, fd);
	if (!*ret) {
		close(fd);
		return error_set(reterr, &error_no_memory);
	}
	return 0;
}

static int reuse(struct layer_store *ls, const char *digest, struct layer_handle **ret)
{
	char diff_id[DIGEST_MAX];
	struct layer_data_info info;
	int fd;

	if (!digest || !layer_blob_lookup(ls, digest, diff_id) ||
		layer_data_open(ls, diff_id, &fd, &info, NULL) < 0)
		return -1;
	*ret = handle_new(diff_id, info.size, fd);
	if (!*ret)
		close(fd);
	return *ret ? 0 : -1;
}

static int wait_a_little(const struct image_pull_reader *reader)
{
	if (IMAGE_PULL_HAS(reader, struct image_pull_reader, wait) && reader->wait)
		return reader->wait(reader->context, WAIT_MS);
	nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
	return 0;
}

/* Have the data already, or the right to be the one that gets it. 1: *ret is there, 0: stage, with
 * the lock in *lock (-1 for a blob without a digest), -1. */
static int take_turn(struct layer_store *ls, const struct image_pull_reader *reader,
	const char *digest, int *lock, struct layer_handle **ret, struct error **reterr)
{
	char name[LAYER_NAME_MAX];

	*lock = -1;
	if (!digest || !layer_name(digest, name))
		return 0;
	for (;;) {
		if (!reuse(ls, digest, ret))
			return 1;

		int n = layer_blob_lock(ls, digest, lock, reterr);

		if (n < 0)
			return -1;
		if (n > 0) {
			/* Whoever had the lock may have brought it home just now. */
			if (reuse(ls, digest, ret))
				return 0;
			layer_blob_unlock(ls, digest, *lock);
			return 1;
		}
		if (wait_a_little(reader) < 0)
			return error_set(reterr, &err_context_canceled);
	}
}

static int table_stage(void *context, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **handle,
	const struct image_pull_sink *sink)
{
	struct layer_store *ls = context;
	struct layer_handle *h = NULL;
	struct error *err = NULL;
	bool over = false;
	int lock;

	if (ls->read_only)
		return sink_fail(sink, IMAGE_PULL_FORBIDDEN, "the store is read-only");

	int n = take_turn(ls, reader, descriptor->digest, &lock, &h, &err);
	bool there = n > 0;

	if (!n) {
		n = stage_new(ls, reader, descriptor, &h, &over, &err);
		layer_blob_unlock(ls, descriptor->digest, lock);
	}
	if (n < 0 && err == &err_context_canceled)
		return sink_fail(sink, IMAGE_PULL_CANCELLED, "%s", err->message);
	if (over) {
		n = sink_fail(sink, IMAGE_PULL_NO_SPACE, "%s", err->message);
		error_unref(err);
		return n;
	}
	if (n < 0)
		return sink_error(sink, err);
	if ((there || ls->unpacker) && sink_text(sink, h->diff_id) != IMAGE_PULL_OK) {
		handle_free(h);
		return IMAGE_PULL_NO_MEMORY;
	}
	*handle = h;
	return IMAGE_PULL_OK;
}

/* ---- commit, get, release, discard ---- */

static int write_chain(struct layer_store *ls, const char *chain_id, const char *parent,
	const struct layer_handle *h, struct error **reterr)
{
	char name[LAYER_NAME_MAX];
	cleanup_buf struct buf b = {0};
	struct layer_info info;

	if (!layer_chain_read(ls, chain_id, &info, NULL))
		return 0;
	record_begin(&b, "chain");
	record_add(&b, "diff", h->diff_id);
	if (parent[0])
		record_add(&b, "parent", parent);
	record_add_number(&b, "size", h->size);
	layer_name(chain_id, name);
	return record_write(ls, CHAINS_DIR, name, &b, reterr);
}

static int commit(struct layer_store *ls, const struct layer_handle *h, const char *parent,
	const char *diff_id, struct error **reterr)
{
	char chain_id[DIGEST_MAX];

	if (strcmp(h->diff_id, diff_id) != 0)
		return error_set(
			reterr, error_classf(CLASS_INVALID_PARAMETER, "staged layer is %s, not %s",
					h->diff_id, diff_id));
	if (chain_id_append(parent, diff_id, chain_id) < 0)
		return error_set(reterr, &error_no_memory);
	if (parent[0] && layer_hold_get(ls, parent, reterr) < 0)
		return -1;

	int n = write_chain(ls, chain_id, parent, h, reterr);

	if (!n)
		n = layer_hold_get(ls, chain_id, reterr);
	if (parent[0])
		layer_hold_release(ls, parent);
	return n;
}

int layer_store_commit_present(
	struct layer_store *ls, const char *parent, const char *diff_id, struct error **reterr)
{
	struct layer_handle h = {.fd = -1};
	struct layer_data_info info;
	int n;

	if (layer_data_open(ls, diff_id, &h.fd, &info, NULL) < 0)
		return 0;
	snprintf(h.diff_id, sizeof(h.diff_id), "%s", diff_id);
	h.size = info.size;
	n = commit(ls, &h, parent, diff_id, reterr);
	close(h.fd);
	return n < 0 ? -1 : 1;
}

static int table_commit(void *context, void *handle, const char *parent, const char *diff_id,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct layer_store *ls = context;
	struct error *err = NULL;

	(void)descriptor; /* stage has noted the blob */
	if (ls->read_only)
		return sink_fail(sink, IMAGE_PULL_FORBIDDEN, "the store is read-only");
	return commit(ls, handle, parent, diff_id, &err) < 0 ? sink_error(sink, err)
							     : IMAGE_PULL_OK;
}

static void table_discard(void *context, void *handle)
{
	(void)context;
	if (handle)
		handle_free(handle);
}

static int table_get(void *context, const char *chain_id, const struct image_pull_sink *sink)
{
	struct error *err = NULL;

	return layer_hold_get(context, chain_id, &err) < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
}

static void table_release(void *context, const char *chain_id)
{
	layer_hold_release(context, chain_id);
}

/* ---- open and close ---- */

static void read_boot_id(char ret[BOOT_ID_MAX])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, BOOT_ID_MAX - 1);

	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	closep(&fd);
	if (!ret[0]) /* no /proc: nothing is known of earlier runs, so nothing is trusted unsynced
		      */
		snprintf(ret, BOOT_ID_MAX, "%ld-%ld", (long)getpid(), (long)time(NULL));
}

static int make_folders(struct layer_store *ls, struct error **reterr)
{
	static const char *const names[] = {
		DATA_DIR, CHAINS_DIR, BLOBS_DIR, STAGING_DIR, LOCKS_DIR, BUNDLES_DIR};

	if (file_make_dirs(ls->path, 0700, reterr) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *path = file_join(ls->path, names[i]);

		if (!path)
			return error_set(reterr, &error_no_memory);
		if (file_make_dirs(path, 0700, reterr) < 0)
			return -1;
	}
	return 0;
}

static void init_table(struct layer_store *ls)
{
	ls->table = (struct image_pull_layer_store){
		.struct_size = sizeof(ls->table),
		.context = ls,
		.flags = IMAGE_PULL_LAYER_STORE_STAGING |
			 (ls->unpacker ? IMAGE_PULL_LAYER_STORE_ENCODED : 0),
		.get = table_get,
		.release = table_release,
		.stage = table_stage,
		.commit = table_commit,
		.discard = table_discard,
	};
}

static int open_folder(
	struct layer_store *ls, const struct layer_store_options *options, struct error **reterr)
{
	cleanup_free char *root = realpath(options->root, NULL);

	if (!root)
		return error_set(reterr, error_path("open", options->root, error_errno(errno)));
	ls->path = file_join(root, "layers");
	if (!ls->path)
		return error_set(reterr, &error_no_memory);
	if (!ls->read_only && make_folders(ls, reterr) < 0)
		return -1;
	ls->dir = open(ls->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A store whose maker was killed early has no layers: nothing is found in its root either.
	 */
	if (ls->dir < 0 && errno == ENOENT && ls->read_only)
		ls->dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ls->dir < 0)
		return error_set(reterr, error_path("open", ls->path, error_errno(errno)));
	return 0;
}

int layer_store_open(
	const struct layer_store_options *options, struct layer_store **ret, struct error **reterr)
{
	struct layer_store *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return error_set(reterr, &error_no_memory);
	ls->dir = -1;
	ls->fast = options->fast;
	ls->read_only = options->read_only;
	ls->log = options->log;
	pthread_mutex_init(&ls->mutex, NULL);
	pthread_mutex_init(&ls->sync_mutex, NULL);
	pthread_cond_init(&ls->sync_cond, NULL);
	if (options->unpacker) {
		ls->unpacker = strdup(options->unpacker);
		if (!ls->unpacker) {
			layer_store_close(ls);
			return error_set(reterr, &error_no_memory);
		}
	}
	init_table(ls);
	read_boot_id(ls->boot_id);
	if (open_folder(ls, options, reterr) < 0) {
		layer_store_close(ls);
		return -1;
	}
	if (!ls->read_only) {
		ls->trusted = whiteout_trusted_works(ls->dir);
		layer_store_sweep(ls);
	}
	if (!ls->read_only && !ls->fast && writeback_new(ls->dir, &ls->writeback, reterr) < 0) {
		layer_store_close(ls);
		return -1;
	}
	*ret = ls;
	return 0;
}

void layer_store_close(struct layer_store *ls)
{
	if (!ls)
		return;
	writeback_free(ls->writeback);
	layer_holds_free(ls);
	layer_unsynced_free(ls);
	pthread_mutex_destroy(&ls->mutex);
	pthread_mutex_destroy(&ls->sync_mutex);
	pthread_cond_destroy(&ls->sync_cond);
	closep(&ls->dir);
	free(ls->path);
	free(ls->unpacker);
	free(ls);
}

const struct image_pull_layer_store *layer_store_table(struct layer_store *ls)
{
	return &ls->table;
}
