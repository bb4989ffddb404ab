/* SPDX-License-Identifier: Apache-2.0 */
/* reference_store, add_digest_reference. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "pull.h"
#include "reference_store.h"
#include "sink.h"
#include "tables.h"

static void out_file(struct buf *out, const char *key, const char *path)
{
	cleanup_free char *data = NULL;
	size_t size;

	if (file_read(path, 1 << 20, &data, &size, NULL) == 0)
		out_bytes(out, key, data, size);
	else
		out_string(out, key, NULL);
}

static void out_references(struct buf *out, const struct reference_list *list, bool pairs)
{
	out_open(out, pairs ? "associations" : "references", '[');
	for (size_t i = 0; i < list->n; i++) {
		cleanup_free char *text = reference_string(list->items[i].ref);

		if (!pairs) {
			out_string(out, NULL, text);
			continue;
		}
		out_open(out, NULL, '{');
		out_string(out, "image", list->items[i].id);
		out_string(out, "ref", text);
		out_close(out, '}');
	}
	out_close(out, ']');
}

/* The store as the pull sees it: through a table of callbacks. */
static int on_get(void *context, const char *reference, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *id = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0 ||
		reference_store_get(context, ref, &id, &err) < 0)
		return sink_error(sink, err);
	return sink_text(sink, id);
}

static int on_add_digest(void *context, const char *reference, const char *id, int force,
	const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0 ||
		reference_store_add_digest(context, ref, id, force, &err) < 0)
		return sink_error(sink, err);
	return IMAGE_PULL_OK;
}

static void run_add_digest_reference(struct reference_store *store, const struct reference *ref,
	const char *digest, const char *image, struct log *log, struct error **reterr)
{
	const struct image_pull_reference_store table = {.struct_size = sizeof(table),
		.context = store,
		.get = on_get,
		.add_digest = on_add_digest};
	const struct pull_config config = {.reference_store = &table, .log = log};

	(void)add_digest_reference(&config, ref, digest, image, reterr);
}

/* One operation; false if it is of an unknown form. */
static bool run_op(struct reference_store *store, const struct json_value *in, struct log *log,
	struct buf *out)
{
	cleanup_free char *op = in_string(in, "op", NULL);
	cleanup_free char *image = in_string(in, "image", NULL);
	cleanup_free char *digest = in_string(in, "digest", NULL);
	cleanup_free char *text = in_string(in, "ref", NULL);
	cleanup_reference struct reference *ref = NULL;
	cleanup_reference_list struct reference_list list = {NULL, 0};
	cleanup_error struct error *err = NULL;
	bool force = in_bool(in, "force");
	int r;

	if (!op || (text && reference_parse_normalized_named(text, &ref, &err) < 0))
		return false;
	if (!strcmp(op, "references") && image) {
		r = reference_store_references(store, image, &list, &err);
		out_references(out, &list, false);
		return r == 0;
	}
	if (!ref)
		return false;
	if (!strcmp(op, "references_by_name")) {
		r = reference_store_references_by_name(store, ref, &list, &err);
		out_references(out, &list, true);
		return r == 0;
	}
	if (!strcmp(op, "add_tag")) {
		(void)reference_store_add_tag(store, ref, image, force, &err);
	} else if (!strcmp(op, "add_digest")) {
		(void)reference_store_add_digest(store, ref, image, force, &err);
	} else if (!strcmp(op, "add_digest_reference") && digest && image) {
		run_add_digest_reference(store, ref, digest, image, log, &err);
	} else if (!strcmp(op, "delete")) {
		out_bool(out, "deleted", reference_store_delete(store, ref, &err) == 0);
	} else if (!strcmp(op, "get")) {
		cleanup_free char *id = NULL;

		out_string(out, "image", reference_store_get(store, ref, &id, &err) == 0 ? id : "");
	} else {
		return false;
	}
	out_error(out, "error", err);
	return true;
}

static int run_ops(struct reference_store *store, const char *path, const struct json_value *ops,
	struct buf *out)
{
	for (size_t i = 0; ops && i < ops->count; i++) {
		struct log_recorder logs; /* of add_digest_reference; the store logs nothing */
		bool known;

		log_recorder_init(&logs);
		out_open(out, NULL, '{');
		known = run_op(store, &ops->items[i], &logs.log, out);
		out_file(out, "file", path);
		log_recorder_print(&logs, out, "logs");
		out_close(out, '}');
		log_recorder_free(&logs);
		if (!known)
			return -1;
	}
	return 0;
}

int table_reference_store(const struct json_value *in, struct buf *out)
{
	cleanup_free char *initial = in_string(in, "initial_file", NULL);
	const struct json_value *initial_value = json_get_exact(in, "initial_file");
	const struct json_value *ops = json_get_exact(in, "ops");
	cleanup_error struct error *err = NULL;
	struct reference_store *store = NULL;
	char dir[] = "/tmp/conformance-store-XXXXXX";
	int r = 0;

	if (!mkdtemp(dir))
		return table_failf(out, "no temporary folder: %s", strerror(errno));

	cleanup_free char *path = str_printf("%s/repositories.json", dir);
	cleanup_free char *lock = str_printf("%s/repositories.json.lock", dir);

	if (initial)
		r = file_write_atomic(
			path, initial, initial_value ? initial_value->size : 0, 0600, false, &err);
	out_open(out, NULL, '{');
	if (!r && reference_store_open(path, 0, &store, &err) == 0) {
		out_error(out, "open_error", NULL);
		out_file(out, "file_after_open", path);
		out_open(out, "results", '[');
		r = run_ops(store, path, ops && ops->type == JSON_ARRAY ? ops : NULL, out);
		out_close(out, ']');
	} else {
		out_error(out, "open_error", err);
	}
	out_close(out, '}');
	reference_store_free(store);
	unlink(path);
	unlink(lock);
	rmdir(dir);
	return r < 0 ? table_failf(out, "an operation of unknown form") : 0;
}

int table_add_digest_reference(const struct json_value *in, struct buf *out)
{
	return table_reference_store(in, out);
}
