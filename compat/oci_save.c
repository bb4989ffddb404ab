/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image layouts, written. Go counterpart: none in the original (image-spec image-layout.md). */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_io.h"
#include "base/buf.h"
#include "base/error.h"
#include "images.h"
#include "rootfs_dir.h"
#include "store.h"

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"

static int fail(const char *op, const char *path, struct error **reterr)
{
	return error_set(reterr, error_path(op, path, error_errno(errno)));
}

/* A new file, in a folder that is made for its algorithm if need be. */
static int create_blob(int root, const char *digest, int *ret_fd, struct error **reterr)
{
	char path[DIGEST_MAX + 16], *slash;

	snprintf(path, sizeof(path), "blobs/%s", digest);
	slash = strchr(path, ':');
	*slash = '\0';
	if (mkdirat(root, path, 0777) < 0 && errno != EEXIST)
		return fail("mkdir", path, reterr);
	*slash = '/';
	*ret_fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	return *ret_fd < 0 ? fail("open", path, reterr) : 0;
}

static int write_fd(int fd, const void *data, size_t size, struct error **reterr)
{
	int err = write_whole(fd, data, size);

	return err ? error_set(reterr, error_errno(err)) : 0;
}

static int write_file(
	int root, const char *name, const void *data, size_t size, struct error **reterr)
{
	cleanup_close int fd =
		openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);

	return fd < 0 ? fail("open", name, reterr) : write_fd(fd, data, size, reterr);
}

static int write_blob(
	int root, const char *digest, const void *data, size_t size, struct error **reterr)
{
	cleanup_close int fd = -1;

	if (create_blob(root, digest, &fd, reterr) < 0)
		return -1;
	return write_fd(fd, data, size, reterr);
}

static int write_layer(const struct saving *s, int root, const char *diff_id, uint64_t *ret_size,
	struct error **reterr)
{
	cleanup_close int fd = -1;
	struct stat st;

	/* A layer that comes twice is written twice, to one file. */
	if (create_blob(root, diff_id, &fd, reterr) < 0 ||
		save_layer(s->store, diff_id, fd, reterr) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return fail("stat", diff_id, reterr);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static void append_descriptor(struct buf *b, const char *type, const char *digest, uint64_t size)
{
	buf_appendf(b, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%llu}", type, digest,
		(unsigned long long)size);
}

static int write_image(
	const struct saving *s, int root, struct buf *manifest, struct error **reterr)
{
	const struct stored_image *image = s->image;

	if (write_blob(root, image->id, image->config, image->config_size, reterr) < 0)
		return -1;
	buf_append_str(
		manifest, "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":");
	append_descriptor(manifest, CONFIG_TYPE, image->id, image->config_size);
	buf_append_str(manifest, ",\"layers\":[");
	for (size_t i = 0; i < image->rootfs->ndiff_ids; i++) {
		const char *diff_id = image->rootfs->diff_ids[i];
		uint64_t size = 0;

		if (write_layer(s, root, diff_id, &size, reterr) < 0)
			return -1;
		buf_append_str(manifest, i ? "," : "");
		append_descriptor(manifest, LAYER_TYPE, diff_id, size);
	}
	buf_append_str(manifest, "]}");
	return manifest->oom ? error_set(reterr, &error_no_memory) : 0;
}

static int append_names(const struct saving *s, struct buf *b, struct error **reterr)
{
	cleanup_free char *name = s->ref ? reference_string(s->ref) : NULL;
	const char *tag;

	if (!s->ref)
		return 0;
	if (!name)
		return error_set(reterr, &error_no_memory);
	tag = strrchr(name, ':') + 1; /* it is tagged */
	buf_append_str(b, ",\"annotations\":{\"io.containerd.image.name\":");
	buf_append_json(b, name, strlen(name), false);
	buf_append_str(b, ",\"org.opencontainers.image.ref.name\":");
	buf_append_json(b, tag, strlen(tag), false);
	buf_append_char(b, '}');
	return 0;
}

static int write_layout(const struct saving *s, int root, struct error **reterr)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	cleanup_buf struct buf manifest = {0};
	cleanup_buf struct buf index = {0};
	char digest[DIGEST_MAX];

	if (mkdirat(root, "blobs", 0777) < 0)
		return fail("mkdir", "blobs", reterr);
	if (write_image(s, root, &manifest, reterr) < 0)
		return -1;
	if (digest_from_bytes(manifest.data, manifest.size, digest) < 0)
		return error_set(reterr, &error_no_memory);
	if (write_blob(root, digest, manifest.data, manifest.size, reterr) < 0)
		return -1;
	buf_appendf(&index,
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
		"\"manifests\":[{\"mediaType\":\"" MANIFEST_TYPE
		"\",\"digest\":\"%s\",\"size\":%zu",
		digest, manifest.size);
	if (append_names(s, &index, reterr) < 0)
		return -1;
	buf_append_str(&index, "}]}");
	if (index.oom)
		return error_set(reterr, &error_no_memory);
	/* The index comes last: a layout without it is none. */
	if (write_file(root, "oci-layout", layout, sizeof(layout) - 1, reterr) < 0)
		return -1;
	return write_file(root, "index.json", index.data, index.size, reterr);
}

int oci_layout_save(const struct saving *s, const char *dir, struct error **reterr)
{
	cleanup_close int root = -1;
	bool made;

	if (empty_dir_open(dir, 0755, &made, &root, reterr) < 0)
		return -1;

	int n = write_layout(s, root, reterr);

	if (!n && !s->store->fast && syncfs(root) < 0)
		n = fail("sync", dir, reterr);
	if (n)
		empty_dir_undo(dir, root, made);
	return n;
}
