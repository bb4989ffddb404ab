/* SPDX-License-Identifier: Apache-2.0 */
/* OCI runtime bundles. Go counterparts: layer/mounted_layer.go, daemon/oci_linux.go.
 *
 *   DIR/config.json      from the image's configuration
 *   DIR/rootfs           the overlay, or the copy
 *   DIR/overlay/upper    what the container writes, and DIR/overlay/work for the kernel
 *
 * layers/bundles/ has a record of each, so that what a mounted bundle uses is spared. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "bundle_config.h"
#include "copy_tree.h"
#include "file.h"
#include "images.h"
#include "implicit.h"
#include "overlay_mount.h"
#include "process.h"
#include "rootfs_dir.h"
#include "sink.h"
#include "store.h"
#include "tree.h"
#include "whiteout.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct bundle {
	struct towline_store *store;
	struct stored_image *image;
	struct open_layers layers;
	char *dir; /* absolute */
	int fd;
	bool made, mounted;
	char record[LAYER_NAME_MAX];
};

/* ---- records ---- */

static int record_name(const char *dir, char ret[LAYER_NAME_MAX], struct error **reterr)
{
	char id[DIGEST_MAX];

	if (digest_from_bytes(dir, strlen(dir), id) < 0)
		return error_set(reterr, &error_no_memory);
	return layer_name(id, ret) ? 0 : error_set(reterr, &error_no_memory);
}

static int write_record(struct bundle *b, struct error **reterr)
{
	cleanup_buf struct buf text = {0};
	const char *chain_id = stored_image_chain_id(b->image);

	if (strchr(b->dir, '\n'))
		return error_set(reterr,
			error_classf(CLASS_INVALID_PARAMETER, "a bundle's name has no newline"));
	if (record_name(b->dir, b->record, reterr) < 0)
		return -1;
	record_begin(&text, "bundle");
	record_add(&text, "dir", b->dir);
	record_add(&text, "image", b->image->id);
	if (chain_id[0])
		record_add(&text, "chain", chain_id);
	return record_write(b->store->layers, BUNDLES_DIR, b->record, &text, reterr);
}

static void remove_record(struct layer_store *ls, const char *name)
{
	char path[LAYER_NAME_MAX + 16];

	snprintf(path, sizeof(path), BUNDLES_DIR "/%s", name);
	unlinkat(ls->dir, path, 0);
}

/* ---- the root file system ---- */

static int make_folder(int dir, const char *name, mode_t mode, int *ret_fd, struct error **reterr)
{
	*ret_fd = -1;
	if (mkdirat(dir, name, mode) < 0)
		return error_set(reterr, error_path("mkdir", name, error_errno(errno)));
	*ret_fd = openat(dir, name, FOLDER);
	if (*ret_fd < 0 || fchmod(*ret_fd, mode) < 0)
		return error_set(reterr, error_path("open", name, error_errno(errno)));
	return 0;
}

/* The upper folder's own attributes are those of the merged root: what the topmost layer says that
 * speaks of it. */
static int set_root(const struct open_layers *l, int upper)
{
	for (size_t i = l->n; i-- > 0;) {
		struct stat st;

		if (!l->list[i].info.root_entry)
			continue;
		if (fstat(l->list[i].tree, &st) < 0 || fchown(upper, st.st_uid, st.st_gid) < 0 ||
			fchmod(upper, st.st_mode & 07777) < 0)
			return errno;

		const struct timespec times[2] = {st.st_atim, st.st_mtim};
		int err = copy_xattrs(l->list[i].tree, upper);

		return err ? err : futimens(upper, times) < 0 ? errno : 0;
	}
	return 0;
}

static bool can_mount(const struct bundle *b)
{
	/* Where markers can't be trusted.overlay.*, mounts end with this process's namespace. */
	if (!b->store->layers->trusted || !b->layers.n)
		return false;
	for (size_t i = 0; i < b->layers.n; i++)
		if (!b->layers.list[i].info.trusted)
			return false;
	return true;
}

/* ---- parents that no entry told of ---- */

/* A folder in one layer: *ret_fd, or -1. *ret_last: what layers below have there is not seen. */
static void look(const struct open_layer *l, const char *path, int *ret_fd, bool *ret_last)
{
	int dir = fcntl(l->tree, F_DUPFD_CLOEXEC, 0);
	char name[NAME_MAX + 1];

	*ret_fd = -1;
	*ret_last = false;
	while (dir >= 0 && *path) {
		size_t size = strcspn(path, "/");
		int next;

		memcpy(name, path, size);
		name[size] = '\0';
		next = openat(dir, name, FOLDER);
		/* A file or a whiteout ends it; a name that is not there leaves it to the others.
		 */
		if (next < 0)
			*ret_last = errno != ENOENT;
		else if (whiteout_is_opaque(next, l->info.trusted))
			*ret_last = true;
		close(dir);
		dir = next;
		path += size;
		path += *path ? 1 : 0;
	}
	*ret_fd = dir;
}

/* Owner, mode, attributes and times, as the topmost layer that tells of the folder has them, are
 * said again through the mount. The kernel copies no more than folders for that. */
static int mend_folder(const struct bundle *b, const struct implicit_set *sets, const char *path,
	const struct tree_place *place)
{
	bool hidden = false, last = false;

	for (size_t i = b->layers.n; i-- > 0 && !last;) {
		cleanup_close int from = -1;
		cleanup_close int to = -1;
		struct stat st;
		int err;

		look(&b->layers.list[i], path, &from, &last);
		if (from < 0)
			continue;
		if (implicit_has(&sets[i], path)) {
			hidden = true;
			continue;
		}
		if (!hidden)
			return 0;
		to = openat(place->dir, place->base, FOLDER);
		if (to < 0 || fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
			fchmod(to, st.st_mode & 07777) < 0)
			return errno;
		err = copy_xattrs(from, to);
		if (err)
			return err;

		const struct timespec times[2] = {st.st_atim, st.st_mtim};

		return futimens(to, times) < 0 ? errno : 0;
	}
	return 0;
}

static int mend_all(
	const struct bundle *b, const struct implicit_set *sets, int rootfs, struct error **reterr)
{
	struct tree *t = malloc(sizeof(*t));
	struct tree_place *place = malloc(sizeof(*place));
	int err = t && place ? 0 : ENOMEM;
	const char *path = "";

	if (t)
		tree_init(t, rootfs);
	for (size_t i = 0; i < b->layers.n && !err; i++)
		/* Those further down first. */
		for (size_t j = sets[i].n; j-- > 0 && !err;) {
			path = sets[i].paths[j];
			if (!tree_find(t, path, TREE_NO_SYMLINKS, place))
				err = mend_folder(b, sets, path, place);
		}
	if (t)
		tree_done(t);
	free(t);
	free(place);
	return err ? error_set(reterr, error_path("chmod", path, error_errno(err))) : 0;
}

static int mend_implicit(const struct bundle *b, int rootfs, struct error **reterr)
{
	struct implicit_set *sets = calloc(b->layers.n + 1, sizeof(*sets));
	size_t any = 0;
	int n = sets ? 0 : error_set(reterr, &error_no_memory);

	for (size_t i = 0; i < b->layers.n && !n; i++) {
		n = implicit_load(b->layers.list[i].fd, &sets[i], reterr);
		any += n ? 0 : sets[i].n;
	}
	if (!n && any)
		n = mend_all(b, sets, rootfs, reterr);
	for (size_t i = 0; sets && i < b->layers.n; i++)
		implicit_free(&sets[i]);
	free(sets);
	return n;
}

/* ---- making ---- */

/* 1: mounted, 0: not possible here, -1. */
static int mount_rootfs(struct bundle *b, const char *rootfs, struct error **reterr)
{
	cleanup_close int overlay = -1;
	cleanup_close int upper = -1;
	cleanup_close int work = -1;
	int err;

	if (!can_mount(b))
		return 0;
	if (make_folder(b->fd, "overlay", 0700, &overlay, reterr) < 0 ||
		make_folder(overlay, "upper", 0755, &upper, reterr) < 0 ||
		make_folder(overlay, "work", 0700, &work, reterr) < 0)
		return -1;
	err = set_root(&b->layers, upper);
	if (!err)
		err = overlay_mount(&b->layers, upper, work, rootfs);
	if (!err) {
		b->mounted = true;
		return 1;
	}
	log_info(&b->store->log, "no overlay mount at %s: %s", rootfs, errno_text(err));
	err = remove_tree(b->fd, "overlay");
	return err ? error_set(reterr, error_path("remove", "overlay", error_errno(err))) : 0;
}

static int make_rootfs(struct bundle *b, const char *rootfs, struct error **reterr)
{
	cleanup_close int fd = -1;
	int n;

	if (make_folder(b->fd, "rootfs", 0755, &fd, reterr) < 0)
		return -1;
	n = mount_rootfs(b, rootfs, reterr);
	if (n < 0)
		return -1;
	if (!n)
		return merge_layers(&b->layers, fd, reterr);

	cleanup_close int merged = openat(b->fd, "rootfs", FOLDER);

	if (merged < 0)
		return error_set(reterr, error_path("open", rootfs, error_errno(errno)));
	return mend_implicit(b, merged, reterr);
}

static int write_config(const struct bundle *b, struct error **reterr)
{
	cleanup_free char *path = file_join(b->dir, "config.json");
	cleanup_close int rootfs = openat(b->fd, "rootfs", FOLDER);
	const struct json_value *image = json_root(b->image->json);
	cleanup_buf struct buf text = {0};
	cleanup_process struct process *process = NULL;

	if (!path)
		return error_set(reterr, &error_no_memory);
	if (rootfs < 0)
		return error_set(reterr, error_path("open", "rootfs", error_errno(errno)));
	if (process_new(image, rootfs, &process, reterr) < 0 ||
		bundle_config(image, process_value(process), &text, reterr) < 0)
		return -1;
	return file_write_atomic(path, text.data, text.size, 0644, false, reterr);
}

static int make(struct bundle *b, const char *name, const char *dir, struct error **reterr)
{
	cleanup_free char *rootfs = NULL;

	if (image_open_layers(b->store, name, &b->image, &b->layers, reterr) < 0 ||
		empty_dir_open(dir, 0700, &b->made, &b->fd, reterr) < 0)
		return -1;
	b->dir = realpath(dir, NULL);
	if (!b->dir)
		return error_set(reterr, error_path("realpath", dir, error_errno(errno)));
	rootfs = file_join(b->dir, "rootfs");
	if (!rootfs)
		return error_set(reterr, &error_no_memory);
	/* Before the mount: from the record on others know of it. */
	if (write_record(b, reterr) < 0 || make_rootfs(b, rootfs, reterr) < 0)
		return -1;
	return write_config(b, reterr);
}

static void undo(struct bundle *b)
{
	cleanup_free char *rootfs = b->dir ? file_join(b->dir, "rootfs") : NULL;

	if (rootfs)
		(void)overlay_unmount(rootfs); /* looked at below */
	if (b->dir && mounts_below(b->dir))
		return;
	if (b->dir)
		empty_dir_undo(b->dir, b->fd, b->made);
	if (b->record[0])
		remove_record(b->store->layers, b->record);
}

int towline_bundle(struct towline_store *store, const char *name, const char *dir,
	const struct image_pull_sink *sink)
{
	struct bundle b = {.store = store, .fd = -1};
	struct error *err = NULL;
	int code;

	if (store->read_only)
		return sink_fail(sink, IMAGE_PULL_FORBIDDEN, "the store is read-only");
	if (make(&b, name, dir, &err) < 0) {
		undo(&b);
		code = sink_error(sink, err);
	} else {
		code = sink_text(sink, b.mounted ? "overlay" : "copy");
	}
	closep(&b.fd);
	free(b.dir);
	open_layers_close(&b.layers);
	stored_image_free(b.image);
	return code;
}

/* ---- removing ---- */

static int remove_bundle(struct layer_store *ls, const char *dir, struct error **reterr)
{
	cleanup_free char *path = realpath(dir, NULL);
	cleanup_free char *rootfs = path ? file_join(path, "rootfs") : NULL;
	cleanup_free char *record = NULL;
	char name[LAYER_NAME_MAX], at[LAYER_NAME_MAX + 16];
	int err;

	if (!path && errno != ENOENT)
		return error_set(reterr, error_path("realpath", dir, error_errno(errno)));
	if (path && (!rootfs || record_name(path, name, reterr) < 0))
		return error_set(reterr, &error_no_memory);
	snprintf(at, sizeof(at), BUNDLES_DIR "/%s", path ? name : "");
	if (!path || record_read(ls, -1, at, "bundle", &record, NULL) < 0)
		return error_set(reterr,
			error_classf(CLASS_NOT_FOUND, "%s is no bundle of this store", dir));
	err = overlay_unmount(rootfs);
	if (err)
		return error_set(reterr, error_errdefs(err == EBUSY ? CLASS_CONFLICT : CLASS_SYSTEM,
						 error_path("unmount", rootfs, error_errno(err))));
	/* Never remove anything through a mount. */
	if (mounts_below(path))
		return error_set(reterr,
			error_classf(CLASS_CONFLICT, "something is still mounted below %s", path));
	err = remove_tree(AT_FDCWD, path);
	if (err)
		return error_set(reterr, error_path("remove", path, error_errno(err)));
	remove_record(ls, name);
	return 0;
}

int towline_bundle_remove(
	struct towline_store *store, const char *dir, const struct image_pull_sink *sink)
{
	struct error *err = NULL;

	if (store->read_only)
		return sink_fail(sink, IMAGE_PULL_FORBIDDEN, "the store is read-only");
	return remove_bundle(store->layers, dir, &err) < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
}
