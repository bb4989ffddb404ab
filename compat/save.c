/* SPDX-License-Identifier: Apache-2.0 */
/* Taking images out, and the two functions of towline.h. Go counterpart: image/tarexport/save.go.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_io.h"
#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "images.h"
#include "layer_priv.h"
#include "rootfs_dir.h"
#include "sink.h"
#include "store.h"
#include "tar_headers.h"

#define PART (256u << 10)
#define OCI_PREFIX "oci:"
#define TAR_BLOCK 512u

/* ---- layers ---- */

int write_whole(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int layer_tar_size(
	struct towline_store *store, const char *diff_id, uint64_t *ret, struct error **reterr)
{
	cleanup_close int fd = -1;
	struct tar_stream *ts;
	char *part;
	int64_t n;

	if (layer_data_open(store->layers, diff_id, &fd, NULL, reterr) < 0)
		return -1;

	struct tar_stream_options options = {.layer = fd, .no_data = true};

	part = malloc(PART);
	if (!part)
		return error_set(reterr, &error_no_memory);
	*ret = 0;
	n = tar_stream_new(&options, &ts, reterr);
	if (!n) {
		while ((n = tar_stream_read(ts, part, PART, reterr)) > 0)
			*ret += (uint64_t)n;
		tar_stream_free(ts);
	}
	free(part);
	return (int)n;
}

int save_layer(struct towline_store *store, const char *diff_id, int fd, struct error **reterr)
{
	struct hasher *h = hasher_new(diff_id);
	char *part = malloc(PART), id[DIGEST_MAX];
	struct tar_stream *ts = NULL;
	int64_t n = h && part ? layer_store_tar(store->layers, diff_id, &ts, reterr)
			      : error_set(reterr, &error_no_memory);

	while (!n && (n = tar_stream_read(ts, part, PART, reterr)) > 0) {
		int err = write_whole(fd, part, (size_t)n);

		hasher_write(h, part, (size_t)n);
		n = err ? error_set(reterr, error_errno(err)) : 0;
	}
	if (!n) {
		hasher_digest(h, id);
		if (strcmp(id, diff_id) != 0)
			n = error_setf(reterr, "layer %s is damaged: its tar has the digest %s",
				diff_id, id);
	}
	tar_stream_free(ts);
	hasher_free(h);
	free(part);
	return (int)n;
}

/* ---- docker-archive ---- */

/* One header block. Sizes beyond the octal field are base 256, as GNU's. */
static void header_block(char block[TAR_BLOCK], const char *name, uint64_t size)
{
	unsigned sum = 0;

	memset(block, 0, TAR_BLOCK);
	snprintf(block, 100, "%s", name);
	memcpy(block + 100,
		"0000644\0"
		"0000000\0"
		"0000000",
		24);
	if (size >> 33) {
		block[124] = (char)0x80;
		for (int i = 0; i < 8; i++)
			block[135 - i] = (char)(size >> 8 * i);
	} else {
		snprintf(block + 124, 12, "%011llo", (unsigned long long)size);
	}
	memcpy(block + 136, "00000000000", 12);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257, "ustar\00000", 8); /* NOLINT: no NUL is wanted */
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
}

static int write_header(int fd, const char *name, uint64_t size, struct error **reterr)
{
	char block[TAR_BLOCK];
	int err;

	header_block(block, name, size);
	err = write_whole(fd, block, sizeof(block));
	return err ? error_set(reterr, error_errno(err)) : 0;
}

static int write_padding(int fd, uint64_t size, struct error **reterr)
{
	static const char zeros[TAR_BLOCK];
	int err = write_whole(fd, zeros, (size_t)(-size & (TAR_BLOCK - 1)));

	return err ? error_set(reterr, error_errno(err)) : 0;
}

static int write_member(
	int fd, const char *name, const void *data, size_t size, struct error **reterr)
{
	int err;

	if (write_header(fd, name, size, reterr) < 0)
		return -1;
	err = write_whole(fd, data, size);
	if (err)
		return error_set(reterr, error_errno(err));
	return write_padding(fd, size, reterr);
}

static int write_layers(const struct saving *s, int fd, struct error **reterr)
{
	const struct rootfs *rootfs = s->image->rootfs;

	for (size_t i = 0; i < rootfs->ndiff_ids; i++) {
		cleanup_free char *name =
			str_printf("%.64s.tar", digest_encoded(rootfs->diff_ids[i]));
		bool before = false;
		uint64_t size;

		for (size_t j = 0; j < i; j++)
			before |= !strcmp(rootfs->diff_ids[i], rootfs->diff_ids[j]);
		if (before)
			continue;
		if (!name)
			return error_set(reterr, &error_no_memory);
		if (layer_tar_size(s->store, rootfs->diff_ids[i], &size, reterr) < 0 ||
			write_header(fd, name, size, reterr) < 0 ||
			save_layer(s->store, rootfs->diff_ids[i], fd, reterr) < 0 ||
			write_padding(fd, size, reterr) < 0)
			return -1;
	}
	return 0;
}

static int write_manifest(const struct saving *s, int fd, struct error **reterr)
{
	const struct rootfs *rootfs = s->image->rootfs;
	cleanup_free char *familiar = s->ref ? reference_familiar_string(s->ref) : NULL;
	cleanup_buf struct buf b = {0};

	if (s->ref && !familiar)
		return error_set(reterr, &error_no_memory);
	buf_appendf(&b, "[{\"Config\":\"%s.json\",\"RepoTags\":", digest_encoded(s->image->id));
	if (familiar) {
		buf_append_char(&b, '[');
		buf_append_json(&b, familiar, strlen(familiar), true);
		buf_append_char(&b, ']');
	} else {
		buf_append_str(&b, "null");
	}
	buf_append_str(&b, ",\"Layers\":[");
	for (size_t i = 0; i < rootfs->ndiff_ids; i++)
		buf_appendf(
			&b, "%s\"%.64s.tar\"", i ? "," : "", digest_encoded(rootfs->diff_ids[i]));
	buf_append_str(&b, "]}]\n");
	if (b.oom)
		return error_set(reterr, &error_no_memory);
	return write_member(fd, "manifest.json", b.data, b.size, reterr);
}

static int write_archive(const struct saving *s, int fd, struct error **reterr)
{
	static const char zeros[2 * TAR_BLOCK];
	cleanup_free char *config = str_printf("%s.json", digest_encoded(s->image->id));
	int err;

	if (!config)
		return error_set(reterr, &error_no_memory);
	if (write_layers(s, fd, reterr) < 0 ||
		write_member(fd, config, s->image->config, s->image->config_size, reterr) < 0 ||
		write_manifest(s, fd, reterr) < 0)
		return -1;
	err = write_whole(fd, zeros, sizeof(zeros));
	return err ? error_set(reterr, error_errno(err)) : 0;
}

/* Written beside and renamed, so that a file of that name is always whole; a pipe or a device is
 * written to as it is. */
int docker_archive_save(const struct saving *s, const char *path, struct error **reterr)
{
	struct stat st;
	bool direct = !stat(path, &st) && !S_ISREG(st.st_mode);
	cleanup_free char *temporary =
		direct ? strdup(path) : str_printf("%s.tmp-%ld", path, (long)getpid());
	cleanup_close int fd = -1;

	if (!temporary)
		return error_set(reterr, &error_no_memory);
	fd = open(temporary, O_WRONLY | O_CLOEXEC | (direct ? 0 : O_CREAT | O_EXCL | O_NOFOLLOW),
		0666);
	if (fd < 0)
		return error_set(reterr, error_path("open", temporary, error_errno(errno)));

	int n = write_archive(s, fd, reterr);

	if (direct)
		return n;
	if (!n && !s->store->fast && fsync(fd) < 0)
		n = error_set(reterr, error_path("sync", temporary, error_errno(errno)));
	if (!n && rename(temporary, path) < 0)
		n = error_set(reterr, error_path("rename", path, error_errno(errno)));
	if (n)
		unlink(temporary);
	return n;
}

/* ---- towline.h ---- */

static int load(struct towline_store *store, const char *source, const struct image_pull_sink *sink,
	int *code, struct error **reterr)
{
	if (!str_has_prefix(source, OCI_PREFIX))
		return docker_archive_load(store, source, sink, code, reterr);
	source += strlen(OCI_PREFIX);

	cleanup_close int root = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return error_set(
			reterr, error_errdefs(errno == ENOENT ? CLASS_NOT_FOUND : CLASS_SYSTEM,
					error_path("open", source, error_errno(errno))));
	return oci_layout_load(store, root, sink, code, reterr);
}

int towline_load(
	struct towline_store *store, const char *source, const struct image_pull_sink *sink)
{
	struct error *err = NULL;
	int code = IMAGE_PULL_OK;

	if (store->read_only)
		return sink_fail(sink, IMAGE_PULL_FORBIDDEN, "the store is read-only");
	return load(store, source, sink, &code, &err) < 0 ? sink_error(sink, err) : code;
}

/* The reference that name is, with its tag; NULL where it is an ID. */
static int reference_of(struct towline_store *store, const char *name, const char *id,
	struct reference **ret, struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_reference struct reference *tagged = NULL;
	cleanup_free char *known = NULL;

	*ret = NULL;
	if (reference_parse_normalized_named(name, &ref, NULL) < 0 || reference_is_canonical(ref))
		return 0;
	if (reference_tag_name_only(ref, &tagged, reterr) < 0)
		return -1;
	/* What is found as an ID's beginning can look like a name. */
	if (reference_store_get(store->references, tagged, &known, NULL) < 0 ||
		strcmp(known, id) != 0)
		return 0;
	*ret = steal_ptr(&tagged);
	return 0;
}

static int save(
	struct towline_store *store, const char *name, const char *target, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	cleanup_reference struct reference *ref = NULL;
	char id[DIGEST_MAX];
	const char *chain_id;
	int n;

	if (images_resolve(store, name, id, reterr) < 0 ||
		stored_image_get(store, id, &image, reterr) < 0 ||
		reference_of(store, name, id, &ref, reterr) < 0)
		return -1;

	struct saving saving = {store, image, ref};

	chain_id = stored_image_chain_id(image);
	if (chain_id[0] && layer_hold_get(store->layers, chain_id, reterr) < 0)
		return -1;
	n = str_has_prefix(target, OCI_PREFIX)
		    ? oci_layout_save(&saving, target + strlen(OCI_PREFIX), reterr)
		    : docker_archive_save(&saving, target, reterr);
	if (chain_id[0])
		layer_hold_release(store->layers, chain_id);
	return n;
}

int towline_save(struct towline_store *store, const char *name, const char *target,
	const struct image_pull_sink *sink)
{
	struct error *err = NULL;

	return save(store, name, target, &err) < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
}
