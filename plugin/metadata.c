/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: distribution/metadata/v2_metadata_service.go: which diff ID a blob has, and from
 * where a diff ID's blobs came, in the engine's metadata store. */
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "pull.h"

#define DIFF_ID_NAMESPACE "v2metadata-by-diffid"
#define DIGEST_NAMESPACE "diffid-by-digest"
#define MAX_METADATA 50             /* entries kept of one diff ID */
#define MAX_VALUE_SIZE (256 * 1024) /* 50 entries take 20 KiB */

/* V2Metadata. */
struct v2_metadata {
	const char *digest, *source_repository, *hmac;
};

static int take_value(void *receiver, const void *data, size_t size)
{
	struct buf *value = receiver;

	buf_reset(value);
	buf_append(value, data, size);
	return value->oom ? IMAGE_PULL_NO_MEMORY : IMAGE_PULL_OK;
}

/* Why a store failed interests nobody here: what was not remembered is downloaded again. */
static void drop_message(void *receiver, const char *text)
{
	(void)receiver;
	(void)text;
}

/* "sha256:<hex>" -> "sha256/<hex>" */
static void make_key(const char *digest, char key[DIGEST_MAX])
{
	size_t n = strnlen(digest, DIGEST_MAX - 1);
	char *colon;

	memcpy(key, digest, n);
	key[n] = '\0';
	colon = strchr(key, ':');
	if (colon)
		*colon = '/';
}

static int store_get(const struct image_pull_metadata_store *store, const char *name_space,
	const char *digest, struct buf *ret)
{
	struct image_pull_sink sink = {sizeof(sink), ret, take_value, drop_message};
	char key[DIGEST_MAX];

	if (!store || !store->get)
		return -1;
	make_key(digest, key);
	if (store->get(store->context, name_space, key, &sink) != IMAGE_PULL_OK || !ret->data)
		return -1;
	return ret->oom || ret->overflow ? -1 : 0;
}

static int store_set(const struct image_pull_metadata_store *store, const char *name_space,
	const char *digest, const void *value, size_t size)
{
	struct buf ignored = {0};
	struct image_pull_sink sink = {sizeof(sink), &ignored, take_value, drop_message};
	char key[DIGEST_MAX];
	int code;

	make_key(digest, key);
	code = store->set(store->context, name_space, key, value, size, &sink);
	buf_free(&ignored);
	return code == IMAGE_PULL_OK ? 0 : -1;
}

int v2_metadata_get_diff_id(
	const struct image_pull_metadata_store *store, const char *digest, char ret[DIGEST_MAX])
{
	cleanup_buf struct buf value = {.limit = DIGEST_MAX};

	if (store_get(store, DIGEST_NAMESPACE, digest, &value) < 0)
		return -1;
	/* The file may be damaged: a diff ID becomes part of paths. */
	if (digest_validate(value.data, value.size, NULL) < 0)
		return -1;
	memcpy(ret, value.data, value.size + 1);
	return 0;
}

/* A string field as encoding/json decodes it. False for another type than string and null. */
static bool decode_string(const struct json_value *entry, const char *key, const char **ret)
{
	const struct json_value *v = json_get(entry, key);

	*ret = "";
	if (!v || v->type == JSON_NULL)
		return true;
	if (v->type != JSON_STRING)
		return false;
	*ret = v->text;
	return true;
}

static void append_entry(struct buf *b, const struct v2_metadata *m)
{
	if (b->size > 1)
		buf_append_char(b, ',');
	buf_append_str(b, "{\"Digest\":");
	buf_append_json(b, m->digest, strlen(m->digest), /* escape_html= */ true);
	buf_append_str(b, ",\"SourceRepository\":");
	buf_append_json(
		b, m->source_repository, strlen(m->source_repository), /* escape_html= */ true);
	buf_append_str(b, ",\"HMAC\":");
	buf_append_json(b, m->hmac, strlen(m->hmac), /* escape_html= */ true);
	buf_append_char(b, '}');
}

/* GetMetadata. An unreadable value counts as none. A new array of *ret_count entries that live as
 * long as json; NULL: none. */
static struct v2_metadata *decode_metadata(const struct json *json, size_t *ret_count)
{
	const struct json_value *root = json_root(json);
	struct v2_metadata *entries;

	*ret_count = 0;
	if (root->type != JSON_ARRAY || !root->count)
		return NULL;
	entries = calloc(root->count, sizeof(*entries));
	for (size_t i = 0; entries && i < root->count; i++) {
		const struct json_value *v = &root->items[i];

		if ((v->type != JSON_OBJECT && v->type != JSON_NULL) ||
			!decode_string(v, "Digest", &entries[i].digest) ||
			!decode_string(v, "SourceRepository", &entries[i].source_repository) ||
			!decode_string(v, "HMAC", &entries[i].hmac)) {
			free(entries);
			return NULL;
		}
	}
	if (entries)
		*ret_count = root->count;
	return entries;
}

static bool same_metadata(const struct v2_metadata *a, const struct v2_metadata *b)
{
	return !strcmp(a->digest, b->digest) &&
	       !strcmp(a->source_repository, b->source_repository) && !strcmp(a->hmac, b->hmac);
}

void v2_metadata_add(const struct image_pull_metadata_store *store, const char *diff_id,
	const char *digest, const char *source_repository)
{
	const struct v2_metadata added = {digest, source_repository, ""};
	cleanup_buf struct buf old = {.limit = MAX_VALUE_SIZE}, value = {0};
	cleanup_json struct json *json = NULL;
	cleanup_free struct v2_metadata *entries = NULL;
	size_t n = 0, kept = 0;

	if (!store || !store->set)
		return;
	if (!store_get(store, DIFF_ID_NAMESPACE, diff_id, &old) &&
		!json_parse(old.data, old.size, &json, NULL))
		entries = decode_metadata(json, &n);
	for (size_t i = 0; i < n; i++)
		if (!same_metadata(&entries[i], &added))
			entries[kept++] = entries[i];
	buf_append_char(&value, '[');
	/* The oldest go; the new one is the last. */
	for (size_t i = kept >= MAX_METADATA ? kept - MAX_METADATA + 1 : 0; i < kept; i++)
		append_entry(&value, &entries[i]);
	append_entry(&value, &added);
	buf_append_char(&value, ']');
	if (value.oom || store_set(store, DIFF_ID_NAMESPACE, diff_id, value.data, value.size) < 0)
		return;
	/* As the original: only what the first store kept is worth finding. A failure is no reason
	 * to fail a pull. */
	(void)store_set(store, DIGEST_NAMESPACE, digest, diff_id, strlen(diff_id));
}
