/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes, configurations, bodies of errors and of token servers. What was decoded into
 * structs is held against the document as a tree. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "fuzz.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/rootfs.h"
#include "image/v1_image.h"
#include "pull.h"
#include "registry/auth_token.h"
#include "registry/errcode.h"
#include "registry/header.h"

/* The one member that Go would decode into this field; NULL: none, or several, which Go merges. */
static const struct json_value *only(const struct json_value *v, const char *key)
{
	const struct json_value *found = NULL;

	for (size_t i = 0; v && v->type == JSON_OBJECT && i < v->count; i++) {
		if (!json_key_equal_fold(key, v->members[i].key, v->members[i].key_size))
			continue;
		if (found)
			return NULL;
		found = &v->members[i].value;
	}
	return found;
}

static bool has(const struct json_value *v, const char *key)
{
	const struct json_value *found = json_get(v, key);

	return found && found->type != JSON_NULL;
}

/* ---- manifests */

static void check_descriptor(const struct descriptor *d, const struct json_value *v)
{
	const struct json_value *digest = only(v, "digest"), *size = only(v, "size");
	int64_t n;

	must(d->media_type && d->digest && !d->digest[d->digest_size]);
	must(d->platform.os && d->platform.architecture && d->platform.variant &&
		d->platform.os_version);
	must(!d->nurls || d->urls);
	for (size_t i = 0; i < d->nurls; i++)
		must(d->urls[i]);
	if (digest && digest->type == JSON_STRING)
		must(d->digest_size == digest->size &&
			!memcmp(d->digest, digest->text, digest->size));
	if (size && json_int64(size, &n))
		must(d->has_size && d->size == n);
}

static void check_items(const struct manifest *m, const struct json_value *list)
{
	if (!list || list->type != JSON_ARRAY)
		return;
	must(list->count == m->nlayers);
	for (size_t i = 0; i < m->nlayers; i++)
		check_descriptor(&m->layers[i], &list->items[i]);
}

static void check_schema1(const struct manifest *m)
{
	for (size_t i = 0; i < m->nfs_layers; i++)
		must(m->fs_layers[i]);
	for (size_t i = 0; i < m->nhistory; i++)
		must(m->history[i].v1_compatibility &&
			!m->history[i].v1_compatibility[m->history[i].size]);
}

/* Decoded as said by this type. The caller's to free; NULL: refused. */
static struct manifest *unmarshal(const char *type, const char *text, size_t size)
{
	struct manifest *m = NULL;
	cleanup_error struct error *err = NULL;

	if (manifest_unmarshal(type, text, size, &m, &err) < 0) {
		fuzz_check_error(err);
		must(!m);
		return NULL;
	}
	must(m->media_type && m->payload && m->config.media_type && m->config.digest);
	if (m->kind != MANIFEST_SCHEMA1)
		must(m->payload_size == size && !memcmp(m->payload, text, size));
	return m;
}

void fuzz_manifest(const uint8_t *data, size_t size)
{
	static const char *const types[] = {MEDIA_TYPE_SCHEMA2, MEDIA_TYPE_OCI_MANIFEST,
		MEDIA_TYPE_SCHEMA1_SIGNED, MEDIA_TYPE_SCHEMA1, ""};
	cleanup_free char *text = NULL;
	cleanup_manifest struct manifest *m = NULL;
	cleanup_json struct json *json = NULL;

	if (!size)
		return;
	text = fuzz_text(data + 1, --size);
	m = unmarshal(types[data[0] % ARRAY_SIZE(types)], text, size);
	if (!m)
		return;
	if (m->kind == MANIFEST_SCHEMA1) {
		check_schema1(m);
		return;
	}
	must(m->kind == MANIFEST_SCHEMA2 || m->kind == MANIFEST_OCI);
	must(!json_parse(text, size, &json, NULL));
	must(!has(json_root(json), "manifests") && !has(json_root(json), "fsLayers"));
	check_items(m, only(json_root(json), "layers"));
	check_descriptor(&m->config, only(json_root(json), "config"));
}

static void check_filter(const struct manifest *m)
{
	static const struct platform runtime = {"linux", "amd64", "", ""};
	static const struct platform wanted[] = {
		{"", "", "", ""}, {"linux", "arm", "v7", ""}, {"linux", "arm64", "v8", ""}};
	struct platform *platforms = calloc(m->nlayers + 1, sizeof(*platforms));
	size_t *indices = calloc(m->nlayers + 1, sizeof(*indices));

	must(platforms && indices);
	for (size_t i = 0; i < m->nlayers; i++)
		platforms[i] = m->layers[i].platform;
	for (size_t w = 0; w < ARRAY_SIZE(wanted); w++) {
		size_t n = platform_filter(
			platforms, m->nlayers, w ? &wanted[w] : NULL, &runtime, indices);

		must(n <= m->nlayers);
		for (size_t i = 0; i < n; i++) {
			must(indices[i] < m->nlayers);
			for (size_t k = 0; k < i; k++)
				must(indices[k] != indices[i]);
		}
		/* one that is asked for to the letter is always found */
		for (size_t i = 0, found = 0; i < m->nlayers && w; i++) {
			if (strcmp(platforms[i].os, wanted[w].os) ||
				strcmp(platforms[i].architecture, wanted[w].architecture) ||
				strcmp(platforms[i].variant, wanted[w].variant))
				continue;
			for (size_t k = 0; k < n; k++)
				found += indices[k] == i;
			must(found);
			break;
		}
	}
	free(platforms);
	free(indices);
}

void fuzz_index(const uint8_t *data, size_t size)
{
	static const char *const types[] = {MEDIA_TYPE_LIST, MEDIA_TYPE_OCI_INDEX};
	cleanup_free char *text = NULL;
	cleanup_manifest struct manifest *m = NULL;
	cleanup_json struct json *json = NULL;

	if (!size)
		return;
	text = fuzz_text(data + 1, --size);
	m = unmarshal(types[data[0] % ARRAY_SIZE(types)], text, size);
	if (!m)
		return;
	must(m->kind == MANIFEST_LIST || m->kind == MANIFEST_OCI_INDEX);
	must(!json_parse(text, size, &json, NULL));
	must(!has(json_root(json), "config") && !has(json_root(json), "layers") &&
		!has(json_root(json), "fsLayers"));
	check_items(m, only(json_root(json), "manifests"));
	check_filter(m);
}

/* ---- configurations */

/* What Marshal wrote of a configuration is read and written again, the same. */
static void check_fixed_point(const char *text, size_t size)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_buf struct buf once = {0}, twice = {0};
	cleanup_error struct error *err = NULL;
	struct image image = {0}, again = {0};

	must(arena);
	if (json_unmarshal(text, size, &image_schema, &image, arena, &err) < 0) {
		fuzz_check_error(err);
		return;
	}
	json_marshal(&once, &image_schema, &image);
	must(!once.oom && once.data);
	if (json_unmarshal(once.data, once.size, &image_schema, &again, arena, NULL) < 0)
		must(strstr(once.data, "\"created\"")); /* a year that RFC 3339 cannot say */
	else
		json_marshal(&twice, &image_schema, &again);
	if (twice.data)
		must(once.size == twice.size && !memcmp(once.data, twice.data, once.size));
}

static void check_diff_ids(const struct rootfs *r, const char *text, size_t size)
{
	cleanup_json struct json *json = NULL;
	const struct json_value *ids;

	must(!json_parse(text, size, &json, NULL));
	ids = only(only(json_root(json), "rootfs"), "diff_ids");
	if (!ids || ids->type != JSON_ARRAY)
		return;
	must(ids->count == r->ndiff_ids);
	for (size_t i = 0; i < ids->count; i++)
		if (ids->items[i].type == JSON_STRING)
			must(strlen(r->diff_ids[i]) == ids->items[i].size &&
				!strcmp(ids->items[i].text, r->diff_ids[i]));
}

void fuzz_config(const uint8_t *data, size_t size)
{
	cleanup_free char *text = fuzz_text(data, size), *buffer = NULL;
	cleanup_rootfs struct rootfs *r = NULL;
	cleanup_error struct error *err = NULL, *platform_err = NULL;
	struct platform platform;
	char chain[DIGEST_MAX], parent[DIGEST_MAX] = "";

	check_fixed_point(text, size);
	if (platform_from_config(text, size, "linux", &platform, &buffer, &platform_err) < 0)
		fuzz_check_error(platform_err);
	else
		must(str_equal_fold(platform.os, "linux") && platform.architecture &&
			platform.os_version && platform.variant);
	if (rootfs_from_config(text, size, &r, &err) < 0) {
		fuzz_check_error(err);
		return;
	}
	if (!r)
		return;
	check_diff_ids(r, text, size);
	for (size_t i = 0; i < r->ndiff_ids; i++) {
		/* they go into chain IDs only once they are known to be digests */
		if (digest_validate(r->diff_ids[i], strlen(r->diff_ids[i]), NULL) < 0)
			return;
		must(!chain_id_append(parent, r->diff_ids[i], chain));
		strcpy(parent, chain);
		must(!rootfs_chain_id(r, i + 1, chain) && !strcmp(parent, chain));
	}
}

/* ---- bodies of errors */

/* The body follows the first line, which is a challenge if it is not empty. */
void fuzz_errcode(const uint8_t *data, size_t size)
{
	static const int statuses[] = {400, 401, 403, 404, 429, 500, 503};
	cleanup_free char *text = fuzz_text(data, size);
	cleanup_reference struct reference *ref = NULL;
	struct header_list headers = {0};
	char *body = memchr(text, '\n', size);
	size_t body_size;

	body = body ? body + 1 : text;
	body_size = size - (size_t)(body - text);
	if (body > text) {
		body[-1] = '\0';
		(void)header_add(&headers, "WWW-Authenticate", text, NULL); /* or it has a CR */
	}
	must(!reference_parse_normalized_named("busybox:latest", &ref, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		cleanup_free char *copy = fuzz_text((const uint8_t *)body, body_size);
		struct error *err = handle_error_response(
			statuses[i], "400 Bad Request", &headers, copy, body_size);

		/* it stands by itself */
		memset(copy, 'x', body_size);
		fuzz_check_error(err);
		if (statuses[i] >= 500)
			must(err->kind == ERROR_UNEXPECTED_HTTP_STATUS);
		if (statuses[i] == 401)
			must(err->kind == ERROR_ERRCODE_ERRORS || err->kind == ERROR_ERRCODE_ERROR);
		err = translate_pull_error(err, ref, NULL);
		fuzz_check_error(err);
		error_unref(err);
	}
	header_list_free(&headers);
}

/* ---- token servers */

/* The token as the tree has it; NULL: a key comes twice. */
static const struct json_value *token_in(const struct json_value *root, bool oauth)
{
	const struct json_value *access = only(root, "access_token"), *token = only(root, "token");

	if (oauth || (access && access->type == JSON_STRING && access->size))
		return access;
	return json_get(root, "access_token") && !access ? NULL : token;
}

/* A byte of flags, the realm as a line, the body. */
void fuzz_token(const uint8_t *data, size_t size)
{
	cleanup_free char *text = NULL, *url = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_json struct json *json = NULL;
	const struct json_value *in_tree;
	struct token token = {0};
	const char *realm;
	char *body;
	int64_t now;

	if (!size)
		return;
	text = fuzz_text(data + 1, --size);
	body = memchr(text, '\n', size);
	realm = body && body > text ? text : "https://auth.example/token?a=b&scope=c";
	if (body)
		*body++ = '\0';
	else
		body = text;
	now = auth_now_ms();
	size -= (size_t)(body - text);
	if (peek_token(data[0], realm, body, size, &token, &url, &err) < 0) {
		fuzz_check_error(err);
		must(!token.token && !token.refresh_token);
		return;
	}
	must(url && token.token && (*token.token || data[0] & 1));
	must(!token.refresh_token || *token.refresh_token);
	/* secrets never went from https to http */
	must(!(data[0] & 2) || !str_has_prefix(url, "http:"));
	must(!json_decode_first(body, size, &json, NULL));
	in_tree = token_in(json_root(json), data[0] & 1);
	if (in_tree && in_tree->type == JSON_STRING)
		must(!strcmp(in_tree->text, token.token) && strlen(token.token) == in_tree->size);
	if (!has(json_root(json), "issued_at"))
		must(token.expires >= now + 60000);
	secret_free(token.token);
	secret_free(token.refresh_token);
}
