/* SPDX-License-Identifier: Apache-2.0 */
/* One folder for references, images, metadata and layers, and the tables for the plugin. Go
 * counterparts: daemon.NewDaemon's stores, distribution/config.go's imageConfigStore. */
#include "config.h"

#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "file.h"
#include "images.h"
#include "sink.h"

#define FORMAT 1
#define FORMAT_TEXT "towline store "
#define ROOT_MODE 0711

/* ---- the folder
 * ---------------------------------------------------------------------------------------- */

/* A folder that holds something, but no store, is somebody else's. Dot files and lost+found do not
 * count: another process may be making the store just now, or it is a file system of its own. */
static int check_empty(const char *root, struct error **reterr)
{
	DIR *d = opendir(root);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return error_set(reterr, error_path("open", root, error_errno(errno)));
	while (!r && (entry = readdir(d)))
		if (*entry->d_name != '.' && strcmp(entry->d_name, "lost+found") != 0 &&
			strcmp(entry->d_name, "format") != 0)
			r = error_setf(reterr,
				"%s is no towline store: it is not empty, and has no file "
				"\"format\"",
				root);
	closedir(d);
	return r;
}

static int check_format(const char *path, const char *root, struct error **reterr)
{
	cleanup_free char *text = NULL;
	size_t size;
	char *end;

	if (file_read(path, 4096, &text, &size, reterr) < 0)
		return -1;
	errno = 0;

	long version = str_has_prefix(text, FORMAT_TEXT)
			       ? strtol(text + strlen(FORMAT_TEXT), &end, 10)
			       : 0;

	if (version < 1 || errno || (*end && *end != '\n'))
		return error_setf(reterr, "%s: damaged: \"" FORMAT_TEXT "N\" is expected", path);
	if (version > FORMAT)
		return error_setf(reterr,
			"%s has store format %ld, made by a newer towline; this one knows %d", root,
			version, FORMAT);
	return 0;
}

/* The root with its format file; both are made if they may be. */
static int open_root(struct towline_store *store, struct error **reterr)
{
	cleanup_free char *path = file_join(store->root, "format");
	struct stat st;

	if (!path)
		return error_set(reterr, &error_no_memory);
	if (store->read_only || !stat(path, &st))
		return check_format(path, store->root, reterr);
	if (file_make_dirs(store->root, ROOT_MODE, reterr) < 0 ||
		check_empty(store->root, reterr) < 0)
		return -1;
	if (stat(path, &st) < 0) {
		cleanup_free char *text = str_printf(FORMAT_TEXT "%d\n", FORMAT);

		if (!text)
			return error_set(reterr, &error_no_memory);
		if (file_write_atomic(path, text, strlen(text), 0644, !store->fast, reterr) < 0)
			return -1;
	}
	return check_format(path, store->root, reterr);
}

int store_lock(struct towline_store *store, bool exclusive, struct error **reterr)
{
	cleanup_free char *path = file_join(store->root, "lock");

	if (!path)
		return error_set(reterr, &error_no_memory);
	return file_lock(path, exclusive ? LOCK_EX : LOCK_SH, reterr);
}

int store_run_locked(struct towline_store *store, int (*fn)(void *arg, struct error **reterr),
	void *arg, const struct image_pull_sink *sink)
{
	struct error *err = NULL;
	int lock, r = -1;

	if (store->read_only)
		return sink_fail(
			sink, IMAGE_PULL_FORBIDDEN, "the store was opened for reading only");
	lock = store_lock(store, true, &err);
	if (lock >= 0 && !reference_store_lock(store->references, &err)) {
		r = fn(arg, &err);
		reference_store_unlock(store->references);
	}
	if (lock >= 0)
		close(lock);
	return r < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
}

/* ---- references
 * ---------------------------------------------------------------------------------------- */

static int add_reference_locked(struct towline_store *store, const struct reference *ref,
	const char *id, bool digest, bool force, struct error **reterr)
{
	/* Removing an image takes the same lock: no reference is left that points nowhere. */
	if (!image_store_has(store->images, id))
		return error_set(reterr, error_classf(CLASS_NOT_FOUND, "No such image: %s", id));
	return digest ? reference_store_add_digest(store->references, ref, id, force, reterr)
		      : reference_store_add_tag(store->references, ref, id, force, reterr);
}

int store_add_reference(struct towline_store *store, const struct reference *ref, const char *id,
	bool digest, bool force, struct error **reterr)
{
	int r;

	if (reference_store_lock(store->references, reterr) < 0)
		return -1;
	r = add_reference_locked(store, ref, id, digest, force, reterr);
	reference_store_unlock(store->references);
	if (!r)
		image_store_release(store->images, id);
	return r;
}

static int references_get(void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct towline_store *store = context;
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *id = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0 ||
		reference_store_get(store->references, ref, &id, &err) < 0)
		return sink_error(sink, err);
	return sink_text(sink, id);
}

static int references_add(struct towline_store *store, const char *reference, const char *id,
	bool digest, bool force, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0 ||
		store_add_reference(store, ref, id, digest, force, &err) < 0)
		return sink_error(sink, err);
	return IMAGE_PULL_OK;
}

static int references_add_tag(void *context, const char *reference, const char *image_id, int force,
	const struct image_pull_sink *sink)
{
	return references_add(context, reference, image_id, false, force, sink);
}

static int references_add_digest(void *context, const char *reference, const char *image_id,
	int force, const struct image_pull_sink *sink)
{
	return references_add(context, reference, image_id, true, force, sink);
}

/* ---- images
 * -------------------------------------------------------------------------------------------- */

/* image.Store.Create refuses a configuration whose history has more layers than its rootfs. */
static int check_history(const struct stored_image *image, struct error **reterr)
{
	const struct json_value *history = json_get(json_root(image->json), "history");
	size_t layers = 0;

	for (size_t i = 0; history && history->type == JSON_ARRAY && i < history->count; i++) {
		const struct json_value *empty = json_get(&history->items[i], "empty_layer");

		layers += !(empty && empty->type == JSON_BOOL && empty->boolean);
	}
	if (layers > image->rootfs->ndiff_ids)
		return error_setf(reterr, "too many non-empty layers in History section");
	return 0;
}

static int check_layers(
	struct towline_store *store, const struct stored_image *image, struct error **reterr)
{
	const char *chain_id = stored_image_chain_id(image);
	const char *os = json_get_string(json_root(image->json), "os", "");
	cleanup_error struct error *err = NULL;
	struct layer_info info;

	if (!*chain_id)
		return 0;
	if (*os && !str_equal_fold(os, "linux"))
		return error_setf(reterr, "operating system is not supported");
	if (!layer_store_info(store->layers, chain_id, &info, &err))
		return 0;
	if (err == &error_no_memory)
		return error_set(reterr, &error_no_memory);
	return error_setf(reterr, "failed to get layer %s: %s", chain_id,
		error_class_of(err) == CLASS_NOT_FOUND ? "layer does not exist" : err->message);
}

int store_put_image(struct towline_store *store, const void *config, size_t size,
	char ret_id[DIGEST_MAX], struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	cleanup_close int lock = -1;

	if (store->read_only)
		return error_set(reterr,
			error_classf(CLASS_FORBIDDEN, "the store was opened for reading only"));
	if (stored_image_parse(config, size, &image, reterr) < 0 ||
		check_history(image, reterr) < 0)
		return -1;
	/* From the look at the layers to the image that keeps them nobody removes any. */
	lock = store_lock(store, false, reterr);
	if (lock < 0 || check_layers(store, image, reterr) < 0 ||
		layer_store_sync(store->layers, reterr) < 0)
		return -1;
	return image_store_put(store->images, config, size, ret_id, reterr);
}

static int images_put(
	void *context, const void *config, size_t size, const struct image_pull_sink *sink)
{
	struct error *err = NULL;
	char id[DIGEST_MAX];

	if (store_put_image(context, config, size, id, &err) < 0)
		return sink_error(sink, err);
	return sink_text(sink, id);
}

/* An image whose layers are gone is not there, so that a pull brings all of it back. */
static int images_get(void *context, const char *image_id, const struct image_pull_sink *sink)
{
	struct towline_store *store = context;
	cleanup_stored_image struct stored_image *image = NULL;
	struct error *err = NULL;

	if (stored_image_get(store, image_id, &image, &err) < 0)
		return sink_error(sink, err);
	if (check_layers(store, image, &err) < 0) {
		int code = sink_error(sink, err);

		return code == IMAGE_PULL_NO_MEMORY ? code : IMAGE_PULL_NOT_FOUND;
	}
	return sink_value(sink, image->config, image->config_size);
}

/* ---- metadata
 * ------------------------------------------------------------------------------------------ */

static int metadata_get(
	void *context, const char *name_space, const char *key, const struct image_pull_sink *sink)
{
	struct towline_store *store = context;
	cleanup_free char *value = NULL;
	struct error *err = NULL;
	size_t size;

	if (metadata_store_get(store->metadata, name_space, key, &value, &size, &err) < 0)
		return sink_error(sink, err);
	return sink_value(sink, value, size);
}

static int metadata_set(void *context, const char *name_space, const char *key, const void *value,
	size_t size, const struct image_pull_sink *sink)
{
	struct towline_store *store = context;
	struct error *err = NULL;

	return metadata_store_set(store->metadata, name_space, key, value, size, &err) < 0
		       ? sink_error(sink, err)
		       : IMAGE_PULL_OK;
}

static int metadata_remove(
	void *context, const char *name_space, const char *key, const struct image_pull_sink *sink)
{
	struct towline_store *store = context;
	struct error *err = NULL;

	return metadata_store_remove(store->metadata, name_space, key, &err) < 0
		       ? sink_error(sink, err)
		       : IMAGE_PULL_OK;
}

/* ---- the store
 * ----------------------------------------------------------------------------------------- */

static void write_log(struct log *log, enum log_level level, const char *text)
{
	struct towline_store *store =
		(struct towline_store *)((char *)log - offsetof(struct towline_store, log));

	if (store->log_write)
		store->log_write(store->log_context, (int)level, text);
}

static int open_references(struct towline_store *store, bool tolerant, struct error **reterr)
{
	cleanup_free char *dir = file_join(store->root, "image/overlay2");
	cleanup_free char *path = dir ? file_join(dir, "repositories.json") : NULL;
	cleanup_error struct error *err = NULL;
	unsigned flags = (store->fast ? REFERENCE_STORE_FAST : 0) |
			 (store->read_only ? REFERENCE_STORE_READ_ONLY : 0) |
			 (tolerant ? REFERENCE_STORE_TOLERANT : 0);

	if (!path)
		return error_set(reterr, &error_no_memory);
	if (!store->read_only && file_make_dirs(dir, 0700, reterr) < 0)
		return -1;
	if (reference_store_open(path, flags, &store->references, &err) < 0) {
		if (err == &error_no_memory || strstr(err->message, path))
			return error_set(reterr, error_ref(err));
		return error_setf(reterr, "%s: %s", path, err->message);
	}
	if (!store->read_only)
		file_sweep(dir);
	return 0;
}

static int open_parts(
	struct towline_store *store, bool tolerant, const char *unpacker, struct error **reterr)
{
	cleanup_free char *images = file_join(store->root, "image/overlay2/imagedb");
	cleanup_free char *metadata = file_join(store->root, "image/overlay2/distribution");
	unsigned flags = (store->fast ? IMAGE_STORE_FAST : 0) |
			 (store->read_only ? IMAGE_STORE_READ_ONLY : 0);
	const struct layer_store_options layers = {
		.root = store->root,
		.fast = store->fast,
		.unpacker = unpacker,
		.read_only = store->read_only,
		.log = &store->log,
	};

	if (!images || !metadata)
		return error_set(reterr, &error_no_memory);
	if (open_root(store, reterr) < 0 || open_references(store, tolerant, reterr) < 0 ||
		image_store_open(images, flags, &store->images, reterr) < 0 ||
		metadata_store_open(metadata, store->read_only, &store->metadata, reterr) < 0)
		return -1;
	if (!store->read_only) {
		file_sweep(store->root);
		image_store_sweep(store->images);
		metadata_store_sweep(store->metadata);
	}
	store->partial_dir = file_join(store->root, PARTIAL_DIR);
	if (!store->partial_dir)
		return error_set(reterr, &error_no_memory);
	return layer_store_open(&layers, &store->layers, reterr);
}

static void set_tables(struct towline_store *store)
{
	store->references_table = (struct image_pull_reference_store){
		.struct_size = sizeof(store->references_table),
		.context = store,
		.get = references_get,
		.add_tag = references_add_tag,
		.add_digest = references_add_digest,
	};
	/* The plugin reads root file system and platform out of configurations as Docker does. */
	store->images_table = (struct image_pull_image_store){
		.struct_size = sizeof(store->images_table),
		.context = store,
		.put = images_put,
		.get = images_get,
	};
	store->metadata_table = (struct image_pull_metadata_store){
		.struct_size = sizeof(store->metadata_table),
		.context = store,
		.get = metadata_get,
		.set = metadata_set,
		.remove = metadata_remove,
	};
}

/* An absolute path, so that a host may change its folder later. */
static char *absolute(const char *path)
{
	cleanup_free char *cwd = NULL;

	if (*path == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	return cwd ? file_join(cwd, path) : NULL;
}

#define OPTION(o, m)                                                                               \
	(IMAGE_PULL_HAS(o, struct towline_store_options, m) ? (o)->m : (__typeof__((o)->m))0)

int towline_store_open(const struct towline_store_options *options, struct towline_store **store,
	const struct image_pull_sink *sink)
{
	struct towline_store *s;
	struct error *err = NULL;

	if (!IMAGE_PULL_HAS(options, struct towline_store_options, root) || !options->root ||
		!*options->root)
		return sink_fail(sink, IMAGE_PULL_INVALID, "the store has no root folder");
	s = calloc(1, sizeof(*s));
	if (!s)
		return sink_no_memory(sink);
	s->root = absolute(options->root);
	if (!s->root) {
		free(s);
		return sink_no_memory(sink);
	}
	s->fast = OPTION(options, fast);
	s->read_only = OPTION(options, read_only);
	s->log_write = OPTION(options, log);
	s->log_context = OPTION(options, log_context);
	s->log.write = write_log;
	set_tables(s);
	if (open_parts(s, OPTION(options, tolerant), OPTION(options, unpacker), &err) < 0) {
		towline_store_close(s);
		return sink_error(sink, err);
	}
	*store = s;
	return IMAGE_PULL_OK;
}

void towline_store_close(struct towline_store *store)
{
	if (!store)
		return;
	layer_store_close(store->layers);
	metadata_store_free(store->metadata);
	image_store_free(store->images);
	reference_store_free(store->references);
	free(store->root);
	free(store->partial_dir);
	free(store);
}

const struct image_pull_reference_store *towline_store_references(struct towline_store *store)
{
	return &store->references_table;
}

const struct image_pull_image_store *towline_store_images(struct towline_store *store)
{
	return &store->images_table;
}

const struct image_pull_layer_store *towline_store_layers(struct towline_store *store)
{
	return layer_store_table(store->layers);
}

const struct image_pull_metadata_store *towline_store_metadata(struct towline_store *store)
{
	return &store->metadata_table;
}

const char *towline_store_partial_dir(struct towline_store *store)
{
	if (store->read_only || file_make_dirs(store->partial_dir, 0700, NULL) < 0)
		return NULL;
	return store->partial_dir;
}
