/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing images in. Go counterpart: image/tarexport/load.go. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive_io.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "file.h"
#include "images.h"
#include "layer_priv.h"
#include "sink.h"
#include "store.h"
#include "tar_headers.h"
#include "untar.h"

int read_inside(int root, const char *path, char **ret, size_t *ret_size, struct error **reterr)
{
	int fd;

	if (open_inside(root, path, &fd, reterr) < 0)
		return -1;

	int n = file_read_fd(fd, path, ARCHIVE_JSON_MAX, ret, ret_size, reterr);

	close(fd);
	return n;
}

/* ---- layers ---- */

struct text {
	struct image_pull_sink sink;
	char *message;
};

static void keep_message(void *receiver, const char *text)
{
	struct text *t = receiver;

	free(t->message);
	t->message = strdup(text);
}

static int table_error(const struct text *t, int code, struct error **reterr)
{
	if (code == IMAGE_PULL_NO_MEMORY)
		return error_set(reterr, &error_no_memory);
	if (code == IMAGE_PULL_NO_SPACE)
		return error_set(reterr, &err_enospc);
	return error_setf(reterr, "%s", t->message ? t->message : "the layer store failed");
}

/* A file as it is. */
struct file_reader {
	struct image_pull_reader table;
	int fd, errnum;
};

static int64_t read_file(void *context, void *buf, size_t size)
{
	struct file_reader *r = context;
	ssize_t n;

	do {
		n = read(r->fd, buf, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		r->errnum = errno;
	return n;
}

static struct file_reader file_reader(int fd)
{
	return (struct file_reader){
		.table = {.struct_size = sizeof(struct image_pull_reader), .read = read_file},
		.fd = fd};
}

/* Stage what is in fd by a store that decodes itself. */
static int stage_encoded(const struct image_pull_layer_store *table, int fd,
	const struct image_pull_descriptor *descriptor, void **ret_handle, struct error **reterr)
{
	struct text text = {.sink = {sizeof(text.sink), &text, NULL, keep_message}};
	struct file_reader r = file_reader(fd);
	int code, n = 0;

	r.table.context = &r;
	code = table->stage(table->context, &r.table, descriptor, ret_handle, &text.sink);
	if (code && r.errnum)
		n = error_set(reterr, error_errno(r.errnum));
	else if (code)
		n = table_error(&text, code, reterr);
	free(text.message);
	return n;
}

/* Stage the tar in fd; *ret_handle is to be discarded. */
static int stage(const struct image_pull_layer_store *table, int fd, const char *digest,
	void **ret_handle, struct error **reterr)
{
	struct image_pull_descriptor descriptor = {.struct_size = sizeof(descriptor),
		.media_type = "",
		.digest = digest[0] ? digest : NULL,
		.size = -1};
	struct text text = {.sink = {sizeof(text.sink), &text, NULL, keep_message}};
	struct unpacking_reader *r;
	int code, n = 0;

	if (table->flags & IMAGE_PULL_LAYER_STORE_ENCODED)
		return stage_encoded(table, fd, &descriptor, ret_handle, reterr);
	if (unpacking_reader_new(fd, &r, reterr) < 0)
		return -1;
	code = table->stage(
		table->context, unpacking_reader_table(r), &descriptor, ret_handle, &text.sink);
	if (code && unpacking_reader_error(r))
		n = error_setf(reterr, "%s", unpacking_reader_error(r));
	else if (code)
		n = table_error(&text, code, reterr);
	free(text.message);
	unpacking_reader_free(r);
	return n;
}

/* Make layer i of the image on top of parent, and take a hold on it. */
static int load_layer(
	const struct loading *l, const struct stored_image *image, size_t i, struct error **reterr)
{
	const struct image_pull_layer_store *table = layer_store_table(l->store->layers);
	const char *diff_id = image->rootfs->diff_ids[i];
	const char *parent = i ? image->chain_ids[i - 1] : "";
	struct text text = {.sink = {sizeof(text.sink), &text, NULL, keep_message}};
	cleanup_close int fd = -1;
	char digest[DIGEST_MAX] = "";
	void *handle = NULL;
	int code, n;

	if (!table->get(table->context, image->chain_ids[i], NULL))
		return 0;
	n = layer_store_commit_present(l->store->layers, parent, diff_id, reterr);
	if (n)
		return n < 0 ? -1 : 0;
	if (l->open_layer(l->arg, i, &fd, digest, reterr) < 0 ||
		stage(table, fd, digest, &handle, reterr) < 0)
		return -1;
	code = table->commit(table->context, handle, parent, diff_id, NULL, &text.sink);
	n = 0;
	if (code == IMAGE_PULL_INVALID)
		n = error_setf(reterr, "invalid diffID for layer %zu: %s", i, text.message);
	else if (code)
		n = table_error(&text, code, reterr);
	table->discard(table->context, handle);
	free(text.message);
	return n;
}

int load_image(const struct loading *l, const void *config, size_t size, char ret_id[DIGEST_MAX],
	struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	size_t done = 0, n;
	int r = 0;

	if (stored_image_parse(config, size, &image, reterr) < 0)
		return -1;
	n = image->rootfs->ndiff_ids;
	if (n != l->nlayers)
		return error_setf(reterr,
			"invalid manifest, layers length mismatch: expected %zu, got %zu",
			l->nlayers, n);
	while (!r && done < n) {
		r = load_layer(l, image, done, reterr);
		done += !r;
	}
	if (!r)
		r = store_put_image(l->store, config, size, ret_id, reterr);
	while (done)
		layer_hold_release(l->store->layers, image->chain_ids[--done]);
	return r;
}

int load_tag(struct towline_store *store, const char *tag, const char *id,
	const struct image_pull_sink *sink, int *code, struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *familiar = NULL;

	if (reference_parse_normalized_named(tag, &ref, reterr) < 0)
		return -1;
	if (!reference_is_tagged(ref))
		return error_setf(reterr, "invalid tag \"%s\"", tag);
	if (store_add_reference(store, ref, id, false, true, reterr) < 0)
		return -1;
	familiar = reference_familiar_string(ref);
	if (!familiar)
		return error_set(reterr, &error_no_memory);
	if (!*code)
		*code = sink_text(sink, familiar);
	return 0;
}

void load_untagged(
	struct towline_store *store, const char *id, const struct image_pull_sink *sink, int *code)
{
	image_store_release(store->images, id);
	if (!*code)
		*code = sink_text(sink, id);
}

/* ---- docker-archive ---- */

struct archive {
	struct towline_store *store;
	int root; /* of the unpacked archive */
	const struct json_value *layers;
};

static int open_archive_layer(
	void *arg, size_t index, int *ret_fd, char digest[DIGEST_MAX], struct error **reterr)
{
	const struct archive *a = arg;

	digest[0] = '\0'; /* only the diff ID proves it */
	return open_inside(a->root, a->layers->items[index].text, ret_fd, reterr);
}

static bool all_strings(const struct json_value *v)
{
	for (size_t i = 0; v && v->type == JSON_ARRAY && i < v->count; i++)
		if (v->items[i].type != JSON_STRING || strlen(v->items[i].text) != v->items[i].size)
			return false;
	return !v || v->type == JSON_ARRAY || v->type == JSON_NULL;
}

static int load_item(struct archive *a, const struct json_value *item,
	const struct image_pull_sink *sink, int *code, struct error **reterr)
{
	const struct json_value *tags = json_get(item, "RepoTags");
	cleanup_free char *config = NULL;
	char id[DIGEST_MAX];
	size_t size, ntags;

	a->layers = json_get(item, "Layers");
	if (!all_strings(tags) || !all_strings(a->layers))
		return error_setf(reterr, "invalid manifest.json");
	if (read_inside(a->root, json_get_string(item, "Config", ""), &config, &size, reterr) < 0)
		return -1;

	struct loading loading = {a->store, open_archive_layer, a,
		a->layers && a->layers->type == JSON_ARRAY ? a->layers->count : 0};

	if (load_image(&loading, config, size, id, reterr) < 0)
		return -1;
	ntags = tags && tags->type == JSON_ARRAY ? tags->count : 0;
	for (size_t i = 0; i < ntags; i++)
		if (load_tag(a->store, tags->items[i].text, id, sink, code, reterr) < 0)
			return -1;
	if (!ntags)
		load_untagged(a->store, id, sink, code);
	return 0;
}

static int load_unpacked(
	struct archive *a, const struct image_pull_sink *sink, int *code, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	cleanup_free char *manifest = NULL;
	cleanup_error struct error *err = NULL;
	const struct json_value *root;
	size_t size;

	if (read_inside(a->root, "manifest.json", &manifest, &size, &err) < 0) {
		/* An OCI layout in a tar. */
		if (!faccessat(a->root, "index.json", F_OK, AT_SYMLINK_NOFOLLOW))
			return oci_layout_load(a->store, a->root, sink, code, reterr);
		return error_set(reterr, steal_ptr(&err));
	}
	if (json_decode_first(manifest, size, &json, reterr) < 0)
		return -1;
	root = json_root(json);
	if (root->type != JSON_ARRAY)
		return error_setf(reterr, "invalid manifest.json");
	for (size_t i = 0; i < root->count; i++)
		if (load_item(a, &root->items[i], sink, code, reterr) < 0)
			return -1;
	return 0;
}

static int unpack_file(
	struct layer_store *ls, int fd, const char *path, int staging, struct error **reterr)
{
	struct unpacking_reader *r;
	struct untar_result result;
	bool source_failed;
	int n;

	if (unpacking_reader_new(fd, &r, reterr) < 0)
		return -1;

	struct untar_options options = {.source = unpacking_reader_table(r),
		.layer = staging,
		.trusted = ls->trusted,
		.log = ls->log};

	n = untar(&options, &result, &source_failed, reterr);
	if (n && source_failed && unpacking_reader_error(r)) {
		error_unref(reterr ? *reterr : NULL);
		n = error_setf(reterr, "%s: %s", path, unpacking_reader_error(r));
	}
	unpacking_reader_free(r);
	return n;
}

static int unpack_archive(
	struct layer_store *ls, const char *path, int staging, struct error **reterr)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct layer_unpacked unpacked;
	struct file_reader r = file_reader(fd);
	int n;

	if (fd < 0)
		return error_set(
			reterr, error_errdefs(errno == ENOENT ? CLASS_NOT_FOUND : CLASS_SYSTEM,
					error_path("open", path, error_errno(errno))));
	if (!ls->unpacker)
		return unpack_file(ls, fd, path, staging, reterr);
	r.table.context = &r;
	n = layer_unpack(ls, &r.table, staging, &unpacked, reterr);
	if (n && r.errnum) {
		error_unref(reterr ? *reterr : NULL);
		n = error_set(reterr, error_path("read", path, error_errno(r.errnum)));
	}
	return n;
}

/* As the original: unpacked into a folder of its own, since the manifest may come last. */
int docker_archive_load(struct towline_store *store, const char *path,
	const struct image_pull_sink *sink, int *code, struct error **reterr)
{
	struct archive a = {.store = store, .root = -1};
	char name[64];
	int staging, n;

	if (layer_staging_new(store->layers, name, &staging, reterr) < 0)
		return -1;
	n = unpack_archive(store->layers, path, staging, reterr);
	if (!n) {
		a.root = openat(staging, TREE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		n = a.root < 0 ? error_set(reterr, error_errno(errno))
			       : load_unpacked(&a, sink, code, reterr);
	}
	closep(&a.root);
	layer_staging_remove(store->layers, name);
	close(staging);
	return n;
}
