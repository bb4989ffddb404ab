/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tables of tests/vectors, one function each: it is given a case's "in" and writes what it
 * should find in "out". A function returns 0, or -1 with a text in out that says why the case
 * cannot be run (an unknown form, lack of memory): such a case counts as failed. */
#ifndef CONFORMANCE_TABLES_H
#define CONFORMANCE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

int table_add_digest_reference(const struct json_value *in, struct buf *out);
int table_allow_v1_fallback(const struct json_value *in, struct buf *out);
int table_auth_challenge(const struct json_value *in, struct buf *out);
int table_continue_on_error(const struct json_value *in, struct buf *out);
int table_digest_parse(const struct json_value *in, struct buf *out);
int table_errcode_registry(const struct json_value *in, struct buf *out);
int table_filter_manifests(const struct json_value *in, struct buf *out);
int table_handle_error_response(const struct json_value *in, struct buf *out);
int table_image_config(const struct json_value *in, struct buf *out);
int table_manifest_unmarshal(const struct json_value *in, struct buf *out);
int table_new_puller(const struct json_value *in, struct buf *out);
int table_progress_json(const struct json_value *in, struct buf *out);
int table_pull_endpoints(const struct json_value *in, struct buf *out);
int table_pull_loop(const struct json_value *in, struct buf *out);
int table_reference_parse(const struct json_value *in, struct buf *out);
int table_reference_store(const struct json_value *in, struct buf *out);
int table_resolve_repository(const struct json_value *in, struct buf *out);
int table_retry_on_error(const struct json_value *in, struct buf *out);
int table_schema1(const struct json_value *in, struct buf *out);
int table_translate_pull_error(const struct json_value *in, struct buf *out);
int table_validate_repo_name(const struct json_value *in, struct buf *out);

/* ---- reading a case */

/* The string under key, or the bytes under key_b64, as a new string with a NUL behind it; NULL if
 * there is neither. ret_size may be NULL. */
char *in_string(const struct json_value *in, const char *key, size_t *ret_size);
bool in_bool(const struct json_value *in, const char *key);
/* Give up on the case: out becomes the text. Returns -1. */
int table_failf(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- writing the output: commas are seen to. key NULL: an array's element. */

void out_key(struct buf *out, const char *key);
void out_open(struct buf *out, const char *key, char bracket); /* '{' or '[' */
void out_close(struct buf *out, char bracket);                 /* '}' or ']' */
void out_raw(struct buf *out, const char *key, const char *json, size_t size);
void out_json(struct buf *out, const char *key, const struct json_value *v);
void out_bool(struct buf *out, const char *key, bool value);
void out_int(struct buf *out, const char *key, int64_t value);
/* NULL gives null. Under key_b64 if it is no UTF-8. */
void out_string(struct buf *out, const char *key, const char *s);
void out_bytes(struct buf *out, const char *key, const void *data, size_t size);
/* null, or its message. */
void out_message(struct buf *out, const char *key, const struct error *err);
/* null, or {"class", "message"}. */
void out_error(struct buf *out, const char *key, const struct error *err);

/* ---- serialised errors: error_tree.c */

/* NULL for null. A tree of unknown form gives NULL and a text in ret_bad. */
struct error *error_tree_build(const struct json_value *v, const char **ret_bad);
void error_tree_print(struct buf *out, const char *key, const struct error *err);

/* ---- logs */

/* Collects lines of level info and above as the elements of an array. */
struct log_recorder {
	struct log log;
	struct buf lines;
};
void log_recorder_init(struct log_recorder *r);
void log_recorder_print(struct log_recorder *r, struct buf *out, const char *key);
void log_recorder_free(struct log_recorder *r);

#endif
