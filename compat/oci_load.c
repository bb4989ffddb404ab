/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image layouts, read. Go counterpart: none in the original (image-spec image-layout.md). */
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
#include "base/json.h"
#include "image/platform.h"
#include "image_pull.h"
#include "store.h"

#define DEPTH_MAX 4
#define INDEX_MAX 1024 /* entries of one index */
#define PART (256u << 10)

struct layout {
	struct towline_store *store;
	int root;
	const struct json_value *layers; /* of the manifest at hand */
	const struct image_pull_sink *sink;
	int *code;
	size_t loaded;
};

/* ---- blobs ---- */

/* blobs/ALGORITHM/HEX of a descriptor that is right. */
static int descriptor_path(const struct json_value *d, char digest[DIGEST_MAX],
	char path[DIGEST_MAX + 16], int64_t *ret_size, struct error **reterr)
{
	const struct json_value *v = json_get(d, "digest");

	if (!v || v->type != JSON_STRING)
		return error_setf(reterr, "invalid OCI layout: a descriptor without a digest");
	if (digest_validate(v->text, v->size, reterr) < 0)
		return -1;
	snprintf(digest, DIGEST_MAX, "%s", v->text);
	snprintf(path, DIGEST_MAX + 16, "blobs/%s", digest);
	*strchr(path, ':') = '/';
	v = json_get(d, "size");
	if (!v || !json_int64(v, ret_size) || *ret_size < 0)
		return error_setf(reterr, "invalid OCI layout: blob %s has no size", digest);
	return 0;
}

static int mismatch(const char *digest, struct error **reterr)
{
	return error_setf(reterr, "blob %s of the OCI layout is damaged", digest);
}

/* A small blob, verified. */
static int read_blob(const struct layout *l, const struct json_value *d, char **ret,
	size_t *ret_size, struct error **reterr)
{
	char digest[DIGEST_MAX], path[DIGEST_MAX + 16];
	cleanup_free char *data = NULL;
	int64_t size;

	if (descriptor_path(d, digest, path, &size, reterr) < 0 ||
		read_inside(l->root, path, &data, ret_size, reterr) < 0)
		return -1;
	if ((uint64_t)size != *ret_size || !digest_verify(digest, data, *ret_size))
		return mismatch(digest, reterr);
	*ret = steal_ptr(&data);
	return 0;
}

static int verify(int fd, const char *digest, int64_t size, struct error **reterr)
{
	struct hasher *h = hasher_new(digest);
	char *part = malloc(PART);
	char id[DIGEST_MAX] = "";
	int64_t have = 0;
	ssize_t n = -1;

	while (h && part) {
		n = pread(fd, part, PART, have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		hasher_write(h, part, (size_t)n);
		have += n;
	}
	if (h)
		hasher_digest(h, id);
	hasher_free(h);
	free(part);
	if (!id[0])
		return error_set(reterr, &error_no_memory);
	return n || have != size || strcmp(id, digest) ? mismatch(digest, reterr) : 0;
}

static int open_layout_layer(
	void *arg, size_t index, int *ret_fd, char digest[DIGEST_MAX], struct error **reterr)
{
	const struct layout *l = arg;
	char path[DIGEST_MAX + 16];
	int64_t size;

	if (descriptor_path(&l->layers->items[index], digest, path, &size, reterr) < 0 ||
		open_inside(l->root, path, ret_fd, reterr) < 0)
		return -1;
	if (verify(*ret_fd, digest, size, reterr) < 0) {
		close(*ret_fd);
		*ret_fd = -1;
		return -1;
	}
	return 0;
}

/* ---- manifests ---- */

/* The name that the layout gives an image: containerd's is a whole one; the specification's may be
 * a tag alone, of no repository. NULL: none. */
static const char *name_of(const struct json_value *d)
{
	const struct json_value *a = json_get(d, "annotations");
	const char *name = json_get_string(a, "io.containerd.image.name", "");

	if (name[0])
		return name;
	name = json_get_string(a, "org.opencontainers.image.ref.name", "");
	return strchr(name, ':') || strchr(name, '/') ? name : NULL;
}

static int load_manifest(
	struct layout *l, const struct json_value *m, const char *name, struct error **reterr)
{
	cleanup_free char *config = NULL;
	char id[DIGEST_MAX];
	size_t size;

	l->layers = json_get(m, "layers");
	if (!l->layers || l->layers->type != JSON_ARRAY)
		return error_setf(reterr, "invalid OCI layout: a manifest without layers");
	if (read_blob(l, json_get(m, "config"), &config, &size, reterr) < 0)
		return -1;

	struct loading loading = {l->store, open_layout_layer, l, l->layers->count};

	if (load_image(&loading, config, size, id, reterr) < 0)
		return -1;
	l->loaded++;
	if (name)
		return load_tag(l->store, name, id, l->sink, l->code, reterr);
	load_untagged(l->store, id, l->sink, l->code);
	return 0;
}

static void platform_of(const struct json_value *d, struct platform *ret)
{
	const struct json_value *p = json_get(d, "platform");

	ret->os = json_get_string(p, "os", "");
	ret->architecture = json_get_string(p, "architecture", "");
	ret->variant = json_get_string(p, "variant", "");
	ret->os_version = json_get_string(p, "os.version", "");
}

static struct platform machine(void)
{
#if defined(__x86_64__)
	const char *architecture = "amd64";
#elif defined(__aarch64__)
	const char *architecture = "arm64";
#elif defined(__i386__)
	const char *architecture = "386";
#elif defined(__arm__)
	const char *architecture = "arm";
#elif defined(__powerpc64__)
	const char *architecture = "ppc64le";
#elif defined(__s390x__)
	const char *architecture = "s390x";
#elif defined(__riscv)
	const char *architecture = "riscv64";
#else
	const char *architecture = "";
#endif
	return (struct platform){"linux", architecture, "", ""};
}

/* The entry of a nested index that suits this machine, or NULL. */
static int choose(
	const struct json_value *list, const struct json_value **ret, struct error **reterr)
{
	struct platform *platforms = calloc(list->count + 1, sizeof(*platforms));
	size_t *order = calloc(list->count + 1, sizeof(*order));
	struct platform runtime = machine();
	int n = 0;

	*ret = NULL;
	if (!platforms || !order) {
		n = error_set(reterr, &error_no_memory);
	} else {
		for (size_t i = 0; i < list->count; i++)
			platform_of(&list->items[i], &platforms[i]);
		if (platform_filter(platforms, list->count, NULL, &runtime, order))
			*ret = &list->items[order[0]];
	}
	free(platforms);
	free(order);
	return n;
}

static int load_descriptor(struct layout *l, const struct json_value *d, const char *name,
	unsigned depth, struct error **reterr);

static int load_index(struct layout *l, const struct json_value *manifests, const char *name,
	unsigned depth, struct error **reterr)
{
	const struct json_value *one;

	if (manifests->count > INDEX_MAX)
		return error_setf(reterr, "invalid OCI layout: an index of too many entries");
	/* The outermost names images; those below are one image for several machines. */
	if (depth) {
		if (choose(manifests, &one, reterr) < 0)
			return -1;
		return one ? load_descriptor(l, one, name, depth, reterr)
			   : error_setf(reterr, "no image of the OCI layout suits this machine");
	}
	for (size_t i = 0; i < manifests->count; i++)
		if (load_descriptor(
			    l, &manifests->items[i], name_of(&manifests->items[i]), 0, reterr) < 0)
			return -1;
	return 0;
}

static int load_descriptor(struct layout *l, const struct json_value *d, const char *name,
	unsigned depth, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	cleanup_free char *data = NULL;
	const struct json_value *manifests;
	size_t size;

	if (depth >= DEPTH_MAX)
		return error_setf(reterr, "invalid OCI layout: indexes nested too deep");
	if (read_blob(l, d, &data, &size, reterr) < 0 || json_parse(data, size, &json, reterr) < 0)
		return -1;
	manifests = json_get(json_root(json), "manifests");
	if (manifests && json_get(json_root(json), "layers"))
		return error_setf(
			reterr, "a document of the OCI layout is an index and a manifest");
	if (manifests && manifests->type == JSON_ARRAY)
		return load_index(l, manifests, name, depth + 1, reterr);
	return load_manifest(l, json_root(json), name, reterr);
}

int oci_layout_load(struct towline_store *store, int root, const struct image_pull_sink *sink,
	int *code, struct error **reterr)
{
	struct layout l = {store, root, NULL, sink, code, 0};
	cleanup_json struct json *json = NULL;
	cleanup_free char *data = NULL;
	const struct json_value *manifests;
	size_t size;

	if (read_inside(root, "index.json", &data, &size, reterr) < 0 ||
		json_parse(data, size, &json, reterr) < 0)
		return -1;
	manifests = json_get(json_root(json), "manifests");
	if (!manifests || manifests->type != JSON_ARRAY)
		return error_setf(reterr, "invalid OCI layout: index.json has no manifests");
	if (load_index(&l, manifests, NULL, 0, reterr) < 0)
		return -1;
	return l.loaded ? 0 : error_setf(reterr, "the OCI layout has no image");
}
