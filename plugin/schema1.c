/* SPDX-License-Identifier: Apache-2.0 */
/* Images of schema 1 manifests. Go counterparts: verifySchema1Manifest and fixManifestLayers in
 * distribution/pull_v2.go, image/v1/imagev1.go, api/types/versions. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/rootfs.h"
#include "image/v1_image.h"
#include "pull.h"

/* What v1Compatibility of this Docker and later need not go through the struct. */
#define NO_FALLBACK_MIN_VERSION "1.8.3"

/* fmt.Errorf("... %q", familiar reference) */
static int reference_error(const char *what, const struct reference *ref, struct error **reterr)
{
	cleanup_free char *familiar = reference_familiar_string(ref);
	cleanup_buf struct buf b = {0};

	if (familiar) {
		buf_appendf(&b, "%s for ", what);
		buf_append_quoted(&b, familiar, strlen(familiar));
	}
	if (!familiar || b.oom)
		return error_set(reterr, &error_no_memory);
	return error_setf(reterr, "%s", b.data);
}

int verify_schema1_manifest(const struct manifest *m, const struct reference *ref, struct log *log,
	struct error **reterr)
{
	char what[64];

	/* the digest first: without it nothing of the content counts */
	if (reference_is_canonical(ref) &&
		!digest_verify(ref->digest, m->payload, m->payload_size)) {
		log_error(log, "image verification failed for digest %s", ref->digest);
		return error_setf(reterr, "image verification failed for digest %s", ref->digest);
	}
	if (m->schema_version != 1) {
		snprintf(what, sizeof(what), "unsupported schema version %" PRId64,
			m->schema_version);
		return reference_error(what, ref, reterr);
	}
	if (m->nfs_layers != m->nhistory)
		return reference_error(
			"length of history not equal to number of layers", ref, reterr);
	if (m->nfs_layers == 0)
		return reference_error("no FSLayers in manifest", ref, reterr);
	return 0;
}

/* ---- fix_manifest_layers */

struct layer_id {
	struct json_text id, parent;
	size_t index;
};

static bool text_equal(struct json_text a, struct json_text b)
{
	return a.size == b.size && (!a.size || memcmp(a.data, b.data, a.size) == 0);
}

/* stringid.ValidateID: 64 lower-case hex digits. */
static int validate_id(struct json_text id, struct error **reterr)
{
	cleanup_buf struct buf b = {0};
	size_t i;

	for (i = 0; i < id.size; i++) {
		if (!(id.data[i] >= '0' && id.data[i] <= '9') &&
			!(id.data[i] >= 'a' && id.data[i] <= 'f'))
			break;
	}
	if (i == 64 && id.size == 64)
		return 0;
	buf_append_quoted(&b, json_str(id), id.size);
	if (b.oom)
		return error_set(reterr, &error_no_memory);
	return error_setf(reterr, "image ID %s is invalid", b.data);
}

static int read_ids(
	const struct manifest *m, struct layer_id *ids, struct arena *arena, struct error **reterr)
{
	struct v1_image image;
	size_t i;

	for (i = 0; i < m->nfs_layers; i++) {
		memset(&image, 0, sizeof(image));
		if (json_unmarshal(m->history[i].v1_compatibility, m->history[i].size,
			    &v1_image_schema, &image, arena, reterr) < 0 ||
			validate_id(image.id, reterr) < 0)
			return -1;
		ids[i] = (struct layer_id){image.id, image.parent, i};
	}
	return 0;
}

/* By ID (64 bytes each, validated), then by place. */
static int compare_ids(const void *a, const void *b)
{
	const struct layer_id *x = a, *y = b;
	int order = memcmp(x->id.data, y->id.data, 64);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* An ID may be repeated in a row only. The first that comes again is told. */
static int check_repeated(const struct layer_id *ids, size_t n, struct error **reterr)
{
	cleanup_free struct layer_id *sorted = calloc(n, sizeof(*sorted));
	size_t first = n, i;

	if (!sorted)
		return error_set(reterr, &error_no_memory);
	memcpy(sorted, ids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_ids);
	for (i = 1; i < n; i++) {
		if (text_equal(sorted[i].id, sorted[i - 1].id) &&
			sorted[i].index != sorted[i - 1].index + 1 && sorted[i].index < first)
			first = sorted[i].index;
	}
	if (first < n)
		return error_setf(
			reterr, "ID %s appears multiple times in manifest", ids[first].id.data);
	return 0;
}

int fix_manifest_layers(struct manifest *m, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	size_t n = m->nfs_layers, i, kept = 0;
	struct layer_id *ids;

	/* verify_schema1_manifest has seen to it; else there is nothing to walk */
	if (n == 0 || n != m->nhistory)
		return error_setf(reterr, "length of history not equal to number of layers");
	ids = arena ? arena_alloc_array(arena, n, sizeof(*ids)) : NULL;
	if (!ids)
		return error_set(reterr, &error_no_memory);
	if (read_ids(m, ids, arena, reterr) < 0)
		return -1;
	if (ids[n - 1].parent.size)
		return error_setf(reterr, "invalid parent ID in the base layer of the image");
	if (check_repeated(ids, n, reterr) < 0)
		return -1;
	for (i = n - 1; i-- > 0;) {
		if (!text_equal(ids[i].id, ids[i + 1].id) &&
			!text_equal(ids[i].parent, ids[i + 1].id))
			return error_setf(reterr, "invalid parent ID. Expected %s, got %s",
				ids[i + 1].id.data, json_str(ids[i].parent));
	}
	/* of equal IDs in a row the last (lowest) one stays */
	for (i = 0; i < n; i++) {
		if (i + 1 < n && text_equal(ids[i].id, ids[i + 1].id))
			continue;
		m->fs_layers[kept] = m->fs_layers[i];
		m->history[kept++] = m->history[i];
	}
	m->nfs_layers = kept;
	m->nhistory = kept;
	return 0;
}

/* ---- configurations */

int history_from_config(
	const void *config, size_t size, bool empty_layer, struct buf *ret, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_buf struct buf created_by = {0};
	struct v1_image image = {.id = {NULL, 0}};
	struct image_history history = {.empty_layer = empty_layer};
	const struct json_text *words;
	size_t i;

	if (!arena)
		return error_set(reterr, &error_no_memory);
	if (json_unmarshal(config, size, &v1_image_schema, &image, arena, reterr) < 0)
		return -1;
	words = image.container_config.cmd.items;
	for (i = 0; i < image.container_config.cmd.count; i++) {
		if (i)
			buf_append_char(&created_by, ' ');
		buf_append(&created_by, words[i].data, words[i].size);
	}
	history.author = image.author;
	history.created = image.created;
	history.created_by = (struct json_text){created_by.data, created_by.size};
	history.comment = image.comment;
	json_marshal(ret, &image_history_schema, &history);
	return created_by.oom || ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

/* strconv.Atoi with its error ignored: 0 for what is no number, the limit for what is too large. */
static long long atoi_part(const char *s, size_t n)
{
	char digits[32];
	size_t i = n && (s[0] == '-' || s[0] == '+'), start = i;

	while (start + 1 < n && s[start] == '0')
		start++;
	for (i = start; i < n && s[i] >= '0' && s[i] <= '9'; i++)
		;
	/* Read from the left, it is too large before it is no number. */
	if (i - start > 19)
		return s[0] == '-' ? LLONG_MIN : LLONG_MAX;
	if (i < n || i == start)
		return 0;
	digits[0] = s[0] == '-' ? '-' : '+';
	memcpy(digits + 1, s + start, n - start);
	digits[n - start + 1] = '\0';
	return strtoll(digits, NULL, 10); /* clamps as Atoi does */
}

/* The number at the head of *version, which goes on behind the next dot. */
static long long next_part(struct json_text *version)
{
	const char *dot = version->size ? memchr(version->data, '.', version->size) : NULL;
	size_t n = dot ? (size_t)(dot - version->data) : version->size;
	long long part = atoi_part(json_str(*version), n);

	if (dot)
		n++;
	*version = (struct json_text){version->data ? version->data + n : NULL, version->size - n};
	return part;
}

/* versions.LessThan */
static bool version_less_than(struct json_text a, struct json_text b)
{
	while (a.size || b.size) {
		long long x = next_part(&a), y = next_part(&b);

		if (x != y)
			return x < y;
	}
	return false;
}

static int read_docker_version(const void *config, size_t size, struct arena *arena,
	struct json_text *ret, struct error **reterr)
{
	static const struct json_field fields[] = {
		{"docker_version", 0, &json_schema_string, 0},
	};
	static const struct json_schema schema =
		JSON_STRUCT("struct { DockerVersion string \"json:\\\"docker_version\\\"\" }", "",
			struct json_text, fields);

	return json_unmarshal(config, size, &schema, ret, arena, reterr);
}

/* The configuration as the struct has it: unknown fields are gone, missing ones are there. */
static int normalise(const void *config, size_t size, struct arena *arena, struct buf *ret,
	struct error **reterr)
{
	struct v1_image image = {.id = {NULL, 0}};

	if (json_unmarshal(config, size, &v1_image_schema, &image, arena, reterr) < 0)
		return -1;
	json_marshal(ret, &v1_image_schema, &image);
	return ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

static const struct json_schema raw_map =
	JSON_MAP_OF("map[string]*json.RawMessage", &json_schema_raw);

static int add_member(struct arena *arena, struct json_entry *entry, const char *key,
	const struct buf *text, struct error **reterr)
{
	struct json_text *value = arena_alloc(arena, sizeof(*value));

	if (value && !text->oom)
		value->data = arena_copy(arena, text->data, text->size);
	if (!value || !value->data)
		return error_set(reterr, &error_no_memory);
	value->size = text->size;
	*entry = (struct json_entry){{key, strlen(key)}, value};
	return 0;
}

/* Of the members of a v1 configuration these do not belong into an image's. */
static bool is_dropped(struct json_text key)
{
	static const char *const names[] = {
		"id", "parent", "Size", "parent_id", "layer_id", "throwaway"};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (key.size == strlen(names[i]) && memcmp(key.data, names[i], key.size) == 0)
			return true;
	}
	return false;
}

static void marshal_rootfs(struct buf *b, const struct rootfs *rootfs)
{
	size_t i;

	buf_append_str(b, "{\"type\":");
	buf_append_json(b, rootfs->type, strlen(rootfs->type), true);
	for (i = 0; i < rootfs->ndiff_ids; i++) {
		buf_append_str(b, i ? "," : ",\"diff_ids\":[");
		buf_append_json(b, rootfs->diff_ids[i], strlen(rootfs->diff_ids[i]), true);
	}
	buf_append_str(b, rootfs->ndiff_ids ? "]}" : "}");
}

static void join_history(struct buf *b, char *const *history, size_t n)
{
	size_t i;

	if (!n) {
		buf_append_str(b, "null");
		return;
	}
	for (i = 0; i < n; i++) {
		buf_append_char(b, i ? ',' : '[');
		buf_append_str(b, history[i]);
	}
	buf_append_char(b, ']');
}

/* The members without those that are dropped, and with the two that are added. */
static int rewrite_members(struct arena *arena, const struct json_slice *members,
	const struct buf *rootfs, const struct buf *history, struct buf *ret, struct error **reterr)
{
	const struct json_entry *from = members->items;
	struct json_entry *to = arena_alloc_array(arena, members->count + 2, sizeof(*to));
	size_t n = 0, i;

	if (!to)
		return error_set(reterr, &error_no_memory);
	for (i = 0; i < members->count; i++) {
		if (!is_dropped(from[i].key))
			to[n++] = from[i];
	}
	if (add_member(arena, &to[n++], "rootfs", rootfs, reterr) < 0 ||
		add_member(arena, &to[n++], "history", history, reterr) < 0)
		return -1;
	json_marshal(ret, &raw_map, &(struct json_slice){to, n, n});
	return ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

int make_config_from_v1_config(const void *config, size_t size, const struct rootfs *rootfs,
	char *const *history, size_t nhistory, struct buf *ret, struct error **reterr)
{
	static const char min_version[] = NO_FALLBACK_MIN_VERSION;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_buf struct buf normalised = {0}, rootfs_text = {0}, history_text = {0};
	struct json_text version = {NULL, 0};
	struct json_slice members = {NULL, 0, 0};

	if (!arena)
		return error_set(reterr, &error_no_memory);
	if (read_docker_version(config, size, arena, &version, reterr) < 0)
		return -1;
	if (version_less_than(version, (struct json_text){min_version, sizeof(min_version) - 1})) {
		if (normalise(config, size, arena, &normalised, reterr) < 0)
			return -1;
		config = normalised.data;
		size = normalised.size;
	}
	if (json_unmarshal(config, size, &raw_map, &members, arena, reterr) < 0)
		return -1;
	marshal_rootfs(&rootfs_text, rootfs);
	join_history(&history_text, history, nhistory);
	return rewrite_members(arena, &members, &rootfs_text, &history_text, ret, reterr);
}
