/* SPDX-License-Identifier: Apache-2.0 */
/* A small key-value store in files. Go counterpart: distribution/metadata/metadata.go. Writes are
 * renames, so neither locks nor a format are needed. */
#include "config.h"

#include "metadata_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"

#define VALUE_LIMIT (16u << 20)

struct metadata_store {
	char *base_path;
	bool read_only;
};

int metadata_store_open(
	const char *base_path, bool read_only, struct metadata_store **ret, struct error **reterr)
{
	struct metadata_store *store;

	if (!read_only && file_make_dirs(base_path, 0700, reterr) < 0)
		return -1;
	store = calloc(1, sizeof(*store));
	if (store)
		store->base_path = strdup(base_path);
	if (!store || !store->base_path) {
		free(store);
		return error_set(reterr, &error_no_memory);
	}
	store->read_only = read_only;
	*ret = store;
	return 0;
}

void metadata_store_free(struct metadata_store *store)
{
	if (!store)
		return;
	free(store->base_path);
	free(store);
}

/* A path that stays below the store. */
static bool is_inner_path(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (!n || *path == '.')
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

static char *path_of(const struct metadata_store *store, const char *name_space, const char *key,
	struct error **reterr)
{
	char *path;

	if (!is_inner_path(name_space) || !is_inner_path(key)) {
		error_set(reterr, error_classf(CLASS_INVALID_PARAMETER,
					  "invalid metadata key %s in %s", key, name_space));
		return NULL;
	}
	path = str_printf("%s/%s/%s", store->base_path, name_space, key);
	if (!path)
		error_set(reterr, &error_no_memory);
	return path;
}

/* The same error, of class NotFound if errno says so. */
static int classify(int errnum, struct error *err, struct error **reterr)
{
	if (errnum == ENOENT || errnum == ENOTDIR)
		err = error_errdefs(CLASS_NOT_FOUND, err);
	return error_set(reterr, err);
}

int metadata_store_get(struct metadata_store *store, const char *name_space, const char *key,
	char **ret_value, size_t *ret_size, struct error **reterr)
{
	cleanup_free char *path = path_of(store, name_space, key, reterr);
	struct error *err = NULL;

	if (!path)
		return -1;
	if (file_read(path, VALUE_LIMIT, ret_value, ret_size, &err) < 0)
		return classify(errno, err, reterr);
	return 0;
}

static int may_write(const struct metadata_store *store, struct error **reterr)
{
	return store->read_only
		       ? error_set(reterr, error_classf(CLASS_FORBIDDEN,
						   "the store was opened for reading only"))
		       : 0;
}

int metadata_store_set(struct metadata_store *store, const char *name_space, const char *key,
	const void *value, size_t size, struct error **reterr)
{
	cleanup_free char *path = path_of(store, name_space, key, reterr);
	cleanup_free char *dir = NULL;

	if (!path || may_write(store, reterr) < 0)
		return -1;
	dir = strndup(path, (size_t)(strrchr(path, '/') - path));
	if (!dir)
		return error_set(reterr, &error_no_memory);
	if (file_make_dirs(dir, 0755, reterr) < 0)
		return -1;
	return file_write_atomic(path, value, size, 0644, false, reterr);
}

int metadata_store_remove(struct metadata_store *store, const char *name_space, const char *key,
	struct error **reterr)
{
	cleanup_free char *path = path_of(store, name_space, key, reterr);

	if (!path || may_write(store, reterr) < 0)
		return -1;
	if (unlink(path) < 0) {
		int errnum = errno;

		return classify(errnum, error_path("remove", path, error_errno(errnum)), reterr);
	}
	return 0;
}

/* fn for each entry of a folder but dot files; a folder that is not there has none. */
static int each_entry(
	const char *dir, int (*fn)(void *arg, const char *name), void *arg, struct error **reterr)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int r = 0;

	if (!d && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!d)
		return error_set(reterr, error_path("open", dir, error_errno(errno)));
	for (errno = 0; !r && (entry = readdir(d)); errno = 0)
		if (*entry->d_name != '.')
			r = fn(arg, entry->d_name);
	if (!r && errno)
		r = error_set(reterr, error_path("readdirent", dir, error_errno(errno)));
	closedir(d);
	return r;
}

/* Three levels: namespaces, algorithms, hex digits. */
struct walk {
	const struct metadata_store *store;
	const char *parts[2];
	int depth;
	int (*fn)(void *arg, const char *name_space, const char *key);
	void (*folder)(const char *dir);
	void *arg;
	struct error **reterr;
};

static int walk(void *arg, const char *name)
{
	struct walk *w = arg;
	struct walk below = *w;
	cleanup_free char *text = NULL;

	if (w->depth == 2) {
		text = str_printf("%s/%s", w->parts[1], name);
		if (!text)
			return error_set(w->reterr, &error_no_memory);
		return w->fn ? w->fn(w->arg, w->parts[0], text) : 0;
	}
	below.parts[below.depth++] = name;
	text = str_printf("%s/%s%s%s", w->store->base_path, below.parts[0],
		below.depth > 1 ? "/" : "", below.depth > 1 ? name : "");
	if (!text)
		return error_set(w->reterr, &error_no_memory);
	if (w->folder)
		w->folder(text);
	return each_entry(text, walk, &below, w->reterr);
}

int metadata_store_each(struct metadata_store *store,
	int (*fn)(void *arg, const char *name_space, const char *key), void *arg,
	struct error **reterr)
{
	struct walk w = {.store = store, .fn = fn, .arg = arg, .reterr = reterr};

	return each_entry(store->base_path, walk, &w, reterr);
}

void metadata_store_sweep(struct metadata_store *store)
{
	struct walk w = {.store = store, .folder = file_sweep};

	if (!store->read_only)
		(void)each_entry(store->base_path, walk, &w, NULL); /* the next one tries again */
}
