/* SPDX-License-Identifier: Apache-2.0 */
/* An image's root file system in a folder. Go counterpart: none (docker export of a container). */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "copy_tree.h"
#include "images.h"
#include "rootfs_dir.h"
#include "sink.h"
#include "store.h"
#include "tree.h"

static int is_empty(int fd)
{
	DIR *d = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	const struct dirent *e;
	int n = 1;

	if (!d)
		return -1;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			n = 0;
	rewinddir(d); /* the descriptors share their place */
	closedir(d);
	return n;
}

int empty_dir_open(
	const char *path, mode_t mode, bool *ret_made, int *ret_fd, struct error **reterr)
{
	*ret_made = !mkdir(path, mode);
	if (!*ret_made && errno != EEXIST)
		return error_set(reterr, error_path("mkdir", path, error_errno(errno)));

	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || (*ret_made && fchmod(fd, mode) < 0))
		return error_set(reterr, error_path("open", path, error_errno(errno)));
	if (is_empty(fd) != 1)
		return error_set(reterr, error_classf(CLASS_CONFLICT, "%s is not empty", path));
	*ret_fd = fd;
	fd = -1;
	return 0;
}

void empty_dir_undo(const char *path, int fd, bool made)
{
	DIR *d = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	const struct dirent *e;

	if (made) {
		remove_tree(AT_FDCWD, path);
	} else if (d) {
		while ((e = readdir(d)))
			if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
				remove_tree(fd, e->d_name);
	}
	if (d)
		closedir(d);
}

int image_open_layers(struct towline_store *store, const char *name,
	struct stored_image **ret_image, struct open_layers *ret, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	char id[DIGEST_MAX];

	if (images_resolve(store, name, id, reterr) < 0 ||
		stored_image_get(store, id, &image, reterr) < 0 ||
		open_layers(store->layers, stored_image_chain_id(image), ret, reterr) < 0)
		return -1;
	*ret_image = steal_ptr(&image);
	return 0;
}

static int make_rootfs(
	struct towline_store *store, const char *name, const char *dir, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	cleanup_open_layers struct open_layers layers = {0};
	cleanup_close int fd = -1;
	bool made;

	if (image_open_layers(store, name, &image, &layers, reterr) < 0 ||
		empty_dir_open(dir, 0755, &made, &fd, reterr) < 0)
		return -1;
	if (merge_layers(&layers, fd, reterr) < 0) {
		empty_dir_undo(dir, fd, made);
		return -1;
	}
	return 0;
}

int towline_rootfs(struct towline_store *store, const char *name, const char *dir,
	const struct image_pull_sink *sink)
{
	struct error *err = NULL;

	return make_rootfs(store, name, dir, &err) < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
}
