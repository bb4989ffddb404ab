/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations: root file system, platform, chain IDs. Go counterparts: image/rootfs.go,
 * layer.CreateChainID, distribution/config.go. */
#include "image/rootfs.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "image/v1_image.h"

/* json.Unmarshal into an image.Image, which lives in the arena. */
static int image_from_config(const void *config, size_t size, struct arena *arena,
	struct image *ret, struct error **reterr)
{
	memset(ret, 0, sizeof(*ret));
	if (!arena)
		return error_set(reterr, &error_no_memory);
	return json_unmarshal(config, size, &image_schema, ret, arena, reterr);
}

static bool has_nul(struct json_text t)
{
	return t.size && memchr(t.data, 0, t.size);
}

static int rootfs_copy(const struct image_rootfs *from, struct rootfs **ret, struct error **reterr)
{
	cleanup_rootfs struct rootfs *r = rootfs_new();
	const struct json_text *ids = from->diff_ids.items;
	size_t i;

	if (!r)
		return error_set(reterr, &error_no_memory);
	free(r->type);
	r->type = strdup(json_str(from->type));
	if (!r->type)
		return error_set(reterr, &error_no_memory);
	for (i = 0; i < from->diff_ids.count; i++) {
		/* as a C string it would be taken for the digest that it begins with */
		if (has_nul(ids[i]))
			return error_setf(reterr, "invalid checksum digest format");
		if (rootfs_append(r, json_str(ids[i]), reterr) < 0)
			return -1;
	}
	*ret = steal_ptr(&r);
	return 0;
}

int rootfs_from_config(const void *config, size_t size, struct rootfs **ret, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	struct image image;

	if (image_from_config(config, size, arena, &image, reterr) < 0)
		return -1;
	if (!image.rootfs) {
		*ret = NULL;
		return 0;
	}
	return rootfs_copy(image.rootfs, ret, reterr);
}

static bool text_equal(struct json_text t, const char *s)
{
	return t.size == strlen(s) && memcmp(json_str(t), s, t.size) == 0;
}

int platform_from_config(const void *config, size_t size, const char *runtime_os,
	struct platform *ret, char **ret_buffer, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_buf struct buf b = {0};
	struct image image;
	const char *os, *architecture, *version;
	size_t os_size;

	if (image_from_config(config, size, arena, &image, reterr) < 0)
		return -1;
	if (text_equal(image.v1.os, "windows") && strcmp(runtime_os, "windows") != 0)
		return error_setf(reterr,
			"image operating system \"windows\" cannot be used on this platform");
	os = image.v1.os.size ? json_str(image.v1.os) : runtime_os;
	os_size = image.v1.os.size ? image.v1.os.size : strlen(runtime_os);
	if (strlen(os) != os_size || !str_equal_fold(os, runtime_os))
		return error_setf(reterr, "operating system is not supported");
	architecture = json_str(image.v1.architecture);
	version = json_str(image.os_version);
	/* three strings in a row */
	buf_append(&b, os, os_size + 1);
	buf_append(&b, architecture, strlen(architecture) + 1);
	buf_append(&b, version, strlen(version) + 1);
	*ret_buffer = buf_steal(&b);
	if (!*ret_buffer)
		return error_set(reterr, &error_no_memory);
	ret->os = *ret_buffer;
	ret->architecture = ret->os + os_size + 1;
	ret->os_version = ret->architecture + strlen(architecture) + 1;
	ret->variant = "";
	return 0;
}

struct rootfs *rootfs_new(void)
{
	struct rootfs *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->type = strdup("layers");
	if (!r->type) {
		free(r);
		return NULL;
	}
	return r;
}

int rootfs_append(struct rootfs *r, const char *diff_id, struct error **reterr)
{
	char **ids = r->diff_ids;
	char *copy = strdup(diff_id);

	/* it grows when the count is a power of two */
	if (copy && (r->ndiff_ids & (r->ndiff_ids - 1)) == 0)
		ids = realloc(ids, (r->ndiff_ids ? r->ndiff_ids * 2 : 1) * sizeof(*ids));
	if (!copy || !ids) {
		free(copy);
		return error_set(reterr, &error_no_memory);
	}
	r->diff_ids = ids;
	r->diff_ids[r->ndiff_ids++] = copy;
	return 0;
}

void rootfs_free(struct rootfs *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->ndiff_ids; i++)
		free(r->diff_ids[i]);
	free(r->diff_ids);
	free(r->type);
	free(r);
}

int rootfs_chain_id(const struct rootfs *r, size_t n, char ret[DIGEST_MAX])
{
	char parent[DIGEST_MAX] = "";
	size_t i;

	for (i = 0; i < n; i++) {
		if (chain_id_append(parent, r->diff_ids[i], ret) < 0)
			return -1;
		strcpy(parent, ret);
	}
	strcpy(ret, parent);
	return 0;
}
