/* SPDX-License-Identifier: Apache-2.0 */
/* Files that may be compressed. Go counterpart: archive.DecompressStream. libarchive's filters
 * decompress; what comes out is proven by the layer's diff ID. libarchive is loaded when it is
 * needed, since it brings libxml2 and ICU, 6 ms of a start. */
#include "config.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_io.h"
#include "base/buf.h"
#include "base/error.h"
#include "image_pull.h"
#include "tree.h"

#define BLOCK (256u << 10)
#define SYMLINKS_MAX 16
#define LIBRARY "libarchive.so.13" /* of all 3.x */

/* What is used of libarchive. */
#define FUNCTIONS(X)                                                                               \
	X(error_string)                                                                            \
	X(read_data)                                                                               \
	X(read_free)                                                                               \
	X(read_new)                                                                                \
	X(read_next_header)                                                                        \
	X(read_open_fd)                                                                            \
	X(read_support_filter_bzip2)                                                               \
	X(read_support_filter_gzip)                                                                \
	X(read_support_filter_xz)                                                                  \
	X(read_support_filter_zstd)                                                                \
	X(read_support_format_empty)                                                               \
	X(read_support_format_raw)

struct functions {
#define DECLARE(name) __typeof__(archive_##name) *name;
	FUNCTIONS(DECLARE)
#undef DECLARE
};

struct unpacking_reader {
	struct image_pull_reader table;
	struct functions fn;
	struct archive *archive;
	bool failed, ended;
	char *error;
};

static int64_t fail(struct unpacking_reader *r)
{
	const char *text = r->fn.error_string(r->archive);

	r->failed = true;
	if (!r->error)
		r->error = strdup(text ? text : "damaged");
	return -1;
}

static int64_t read_some(void *context, void *buf, size_t size)
{
	struct unpacking_reader *r = context;
	la_ssize_t n;

	if (r->failed)
		return -1;
	if (r->ended)
		return 0;
	n = r->fn.read_data(r->archive, buf, size);
	if (n < 0)
		return fail(r);
	r->ended = !n;
	return n;
}

/* The library stays loaded. */
static int load(struct functions *fn, struct error **reterr)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	bool whole = handle != NULL;

#define RESOLVE(name) whole = whole && (fn->name = dlsym(handle, "archive_" #name));
	FUNCTIONS(RESOLVE)
#undef RESOLVE
	if (!whole)
		error_setf(reterr, "%s", dlerror());
	if (handle)
		dlclose(handle);
	return whole ? 0 : -1;
}

static bool set_up(const struct functions *fn, struct archive *a)
{
	return fn->read_support_filter_gzip(a) == ARCHIVE_OK &&
	       fn->read_support_filter_bzip2(a) == ARCHIVE_OK &&
	       fn->read_support_filter_xz(a) == ARCHIVE_OK &&
	       fn->read_support_filter_zstd(a) == ARCHIVE_OK &&
	       fn->read_support_format_raw(a) == ARCHIVE_OK &&
	       fn->read_support_format_empty(a) == ARCHIVE_OK;
}

int unpacking_reader_new(int fd, struct unpacking_reader **ret, struct error **reterr)
{
	struct unpacking_reader *r = calloc(1, sizeof(*r));
	struct archive_entry *entry;
	int n;

	if (!r)
		return error_set(reterr, &error_no_memory);
	r->table = (struct image_pull_reader){
		.struct_size = sizeof(r->table), .context = r, .read = read_some};
	if (load(&r->fn, reterr) < 0) {
		free(r);
		return -1;
	}
	r->archive = r->fn.read_new();
	if (!r->archive || !set_up(&r->fn, r->archive)) {
		unpacking_reader_free(r);
		return error_set(reterr, &error_no_memory);
	}
	if (r->fn.read_open_fd(r->archive, fd, BLOCK) != ARCHIVE_OK) {
		fail(r);
	} else {
		n = r->fn.read_next_header(r->archive, &entry);
		if (n == ARCHIVE_EOF)
			r->ended = true;
		else if (n != ARCHIVE_OK)
			fail(r);
	}
	if (r->failed) {
		error_setf(reterr, "%s", r->error ? r->error : "damaged");
		unpacking_reader_free(r);
		return -1;
	}
	*ret = r;
	return 0;
}

void unpacking_reader_free(struct unpacking_reader *r)
{
	if (!r)
		return;
	if (r->archive)
		r->fn.read_free(r->archive);
	free(r->error);
	free(r);
}

const struct image_pull_reader *unpacking_reader_table(struct unpacking_reader *r)
{
	return &r->table;
}

const char *unpacking_reader_error(const struct unpacking_reader *r)
{
	return r->error;
}

/* ---- files of an unpacked archive ---- */

/* The path that a symlink in place of path means, without the slash in front. NULL: no memory. */
static char *follow(const struct tree_place *place)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(place->dir, place->base, target, sizeof(target) - 1);
	int parent = (int)(place->base - place->path);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	return target[0] == '/' ? strdup(target)
				: str_printf("%.*s%s", parent, place->path, target);
}

static int find_file(struct tree *t, struct tree_place *place, const char *path, int *ret_fd)
{
	cleanup_free char *current = strdup(path);

	for (int i = 0; current && i < SYMLINKS_MAX; i++) {
		size_t size = strlen(current);
		struct stat st;
		int err;

		while (size && current[size - 1] == '/')
			current[--size] = '\0';
		if (!size)
			return EISDIR;
		err = tree_find(t, current, 0, place);
		if (err)
			return err;
		if (fstatat(place->dir, place->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno;
		if (!S_ISLNK(st.st_mode))
			return tree_open_file(place->dir, place->base, ret_fd);

		char *next = follow(place);

		free(current);
		current = next;
	}
	return current ? ELOOP : ENOMEM;
}

int open_inside(int root, const char *path, int *ret_fd, struct error **reterr)
{
	struct tree *t = malloc(sizeof(*t));
	struct tree_place *place = malloc(sizeof(*place));
	int err = ENOMEM;

	if (t && place) {
		tree_init(t, root);
		err = find_file(t, place, path, ret_fd);
		tree_done(t);
	}
	free(t);
	free(place);
	if (!err)
		return 0;
	return error_set(reterr, error_errdefs(err == ENOENT ? CLASS_NOT_FOUND : CLASS_SYSTEM,
					 error_path("open", path, error_errno(err))));
}
