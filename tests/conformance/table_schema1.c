/* SPDX-License-Identifier: Apache-2.0 */
/* schema1: fix_manifest_layers, verify_schema1_manifest, history_from_config, make_config_from_v1.
 */
#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/rootfs.h"
#include "pull.h"
#include "tables.h"

static void print_strings(const char *key, const char *const *strings, size_t n, struct buf *out)
{
	out_open(out, key, '[');
	for (size_t i = 0; i < n; i++)
		out_string(out, NULL, strings[i]);
	out_close(out, ']');
}

static int run_fix(const struct json_value *in, struct buf *out)
{
	const struct json_value *layers = json_get_exact(in, "fs_layers");
	const struct json_value *history = json_get_exact(in, "history");
	cleanup_error struct error *err = NULL;
	struct manifest m = {.kind = MANIFEST_SCHEMA1};
	const char **texts;

	if (!layers || !history || layers->count != history->count)
		return table_failf(out, "fs_layers and history do not fit");
	m.nfs_layers = m.nhistory = layers->count;
	m.fs_layers = calloc(layers->count + 1, sizeof(*m.fs_layers));
	m.history = calloc(layers->count + 1, sizeof(*m.history));
	texts = calloc(layers->count + 1, sizeof(*texts));
	if (!m.fs_layers || !m.history || !texts)
		abort();
	for (size_t i = 0; i < layers->count; i++) {
		m.fs_layers[i] = layers->items[i].text;
		m.history[i] =
			(struct schema1_history){history->items[i].text, history->items[i].size};
	}
	out_open(out, NULL, '{');
	if (fix_manifest_layers(&m, &err) == 0) {
		for (size_t i = 0; i < m.nhistory; i++)
			texts[i] = m.history[i].v1_compatibility;
		print_strings("fs_layers", m.fs_layers, m.nfs_layers, out);
		print_strings("history", texts, m.nhistory, out);
	}
	out_error(out, "error", err);
	out_close(out, '}');
	free(texts);
	free(m.fs_layers);
	free(m.history);
	return 0;
}

/* A manifest with this canonical text, as a registry would send it, with a signature. */
static void sign(struct buf *b, const char *canonical, size_t size)
{
	cleanup_buf struct buf tail = {0}, protected_header = {0};
	size_t length = size;

	while (length && canonical[length - 1] != '}')
		length--;
	do
		length--;
	while (length && strchr(" \n\t\r", canonical[length - 1]));
	encoding_base64(&tail, canonical + length, size - length, true);
	buf_appendf(&protected_header, "{\"formatLength\":%zu,\"formatTail\":\"%.*s\"}", length,
		(int)strcspn(tail.data, "="), tail.data);
	buf_append(b, canonical, length);
	buf_append_str(b, ",\"signatures\":[{\"header\":{\"alg\":\"ES256\"},\"protected\":\"");
	tail.size = 0;
	encoding_base64(&tail, protected_header.data, protected_header.size, true);
	buf_appendf(b, "%.*s\"}]}", (int)strcspn(tail.data, "="), tail.data);
}

static int run_verify(const struct json_value *in, struct buf *out)
{
	cleanup_manifest struct manifest *m = NULL;
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_buf struct buf body = {0};
	cleanup_free char *canonical = NULL, *name = NULL;
	struct log_recorder logs;
	size_t size = 0;

	canonical = in_string(in, "canonical", &size);
	name = in_string(in, "ref", NULL);
	if (!canonical || !name || reference_parse_normalized_named(name, &ref, &err) < 0)
		return table_failf(out, "no canonical text or reference");
	sign(&body, canonical, size);
	if (manifest_unmarshal(MEDIA_TYPE_SCHEMA1_SIGNED, body.data, body.size, &m, &err) < 0)
		return table_failf(out, "the signed manifest: %s", err->message);
	if (m->payload_size != size || memcmp(m->payload, canonical, size) != 0)
		return table_failf(out, "the canonical text has changed");
	log_recorder_init(&logs);
	out_open(out, NULL, '{');
	if (verify_schema1_manifest(m, ref, &logs.log, &err) == 0)
		out_int(out, "layers", (int64_t)m->nfs_layers);
	out_error(out, "error", err);
	log_recorder_print(&logs, out, "logs");
	out_close(out, '}');
	log_recorder_free(&logs);
	return 0;
}

static int run_history(const struct json_value *in, struct buf *out)
{
	cleanup_error struct error *err = NULL;
	cleanup_buf struct buf history = {0};
	cleanup_free char *config = NULL;
	size_t size = 0;

	config = in_string(in, "config", &size);
	if (!config)
		return table_failf(out, "no config");
	out_open(out, NULL, '{');
	if (history_from_config(config, size, in_bool(in, "empty_layer"), &history, &err) == 0)
		out_bytes(out, "history", history.data, history.size);
	out_error(out, "error", err);
	out_close(out, '}');
	return 0;
}

/* The history's entries out of their configurations, as a pull makes them. */
static int make_histories(const struct json_value *list, char **texts, struct error **reterr)
{
	for (size_t i = 0; i < list->count; i++) {
		cleanup_free char *config = NULL;
		struct buf b = {0};
		size_t size = 0;

		config = in_string(&list->items[i], "config", &size);
		if (!config || history_from_config(config, size,
				       in_bool(&list->items[i], "empty_layer"), &b, reterr) < 0) {
			buf_free(&b);
			return -1;
		}
		texts[i] = buf_steal(&b);
	}
	return 0;
}

static int run_make_config(const struct json_value *in, struct buf *out)
{
	const struct json_value *ids = json_get_exact(in, "diff_ids");
	const struct json_value *list = json_get_exact(in, "history");
	cleanup_error struct error *err = NULL;
	cleanup_rootfs struct rootfs *rootfs = rootfs_new();
	cleanup_buf struct buf made = {0};
	cleanup_free char *config = NULL;
	char image_id[DIGEST_MAX] = "", **texts;
	size_t size = 0;
	int ret = 0;

	config = in_string(in, "config", &size);
	if (!config || !ids || !list)
		return table_failf(out, "no config, diff_ids or history");
	texts = calloc(list->count + 1, sizeof(*texts));
	if (!rootfs || !texts)
		abort();
	for (size_t i = 0; i < ids->count; i++) {
		if (rootfs_append(rootfs, ids->items[i].text, NULL) < 0)
			abort();
	}
	if (make_histories(list, texts, &err) < 0) {
		ret = table_failf(out, "the history cannot be made");
	} else {
		out_open(out, NULL, '{');
		if (make_config_from_v1_config(
			    config, size, rootfs, texts, list->count, &made, &err) == 0) {
			(void)digest_from_bytes(made.data, made.size, image_id); /* "" shows */
			out_bytes(out, "config", made.data, made.size);
			out_string(out, "image_id", image_id);
		}
		out_error(out, "error", err);
		out_close(out, '}');
	}
	for (size_t i = 0; i < list->count; i++)
		free(texts[i]);
	free(texts);
	return ret;
}

int table_schema1(const struct json_value *in, struct buf *out)
{
	const char *op = json_get_string(in, "op", "");

	if (!strcmp(op, "fix_manifest_layers"))
		return run_fix(in, out);
	if (!strcmp(op, "verify_schema1_manifest"))
		return run_verify(in, out);
	if (!strcmp(op, "history_from_config"))
		return run_history(in, out);
	if (!strcmp(op, "make_config_from_v1"))
		return run_make_config(in, out);
	return table_failf(out, "unknown op %s", op);
}
