/* SPDX-License-Identifier: Apache-2.0 */
/* translate_pull_error, continue_on_error, retry_on_error, allow_v1_fallback. */
#include <string.h>

#include "pull.h"
#include "tables.h"

/* The case's "error"; NULL, with the reason in out, where it cannot be built. */
static struct error *read_error(const struct json_value *in, struct buf *out)
{
	const struct json_value *v = json_get_exact(in, "error");
	const char *bad = NULL;
	struct error *err;

	if (!v || v->type != JSON_OBJECT) {
		(void)table_failf(out, "no \"error\"");
		return NULL;
	}
	err = error_tree_build(v, &bad);
	if (!err)
		(void)table_failf(out, "%s", bad ? bad : "no error");
	return err;
}

int table_translate_pull_error(const struct json_value *in, struct buf *out)
{
	cleanup_free char *ref_text = in_string(in, "ref", NULL), *go_type = NULL;
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *translated = NULL;
	struct error *err = read_error(in, out);
	struct log_recorder logs;

	if (!err)
		return -1;
	if (!ref_text || reference_parse_normalized_named(ref_text, &ref, NULL) < 0) {
		error_unref(err);
		return table_failf(out, "no usable \"ref\"");
	}
	log_recorder_init(&logs);
	translated = translate_pull_error(err, ref, &logs.log);
	if (translated->kind == ERROR_NOT_FOUND)
		go_type = strdup("distribution.notFoundError");
	else
		go_type = str_printf("errdefs.err%s", error_class_name(error_class_of(translated)));
	out_open(out, NULL, '{');
	out_error(out, "error", translated);
	out_string(out, "go_type", go_type);
	log_recorder_print(&logs, out, "logs");
	out_close(out, '}');
	log_recorder_free(&logs);
	return 0;
}

int table_continue_on_error(const struct json_value *in, struct buf *out)
{
	cleanup_error struct error *err = read_error(in, out);

	if (!err)
		return -1;
	out_open(out, NULL, '{');
	out_bool(out, "continue", continue_on_error(err, in_bool(in, "mirror")));
	out_close(out, '}');
	return 0;
}

int table_retry_on_error(const struct json_value *in, struct buf *out)
{
	struct error *err = read_error(in, out);
	cleanup_error struct error *retried = NULL;

	if (!err)
		return -1;
	retried = retry_on_error(err);
	out_open(out, NULL, '{');
	out_bool(out, "do_not_retry", retried->kind == ERROR_DO_NOT_RETRY);
	error_tree_print(out, "error", retried);
	out_message(out, "message", retried);
	out_close(out, '}');
	return 0;
}

int table_allow_v1_fallback(const struct json_value *in, struct buf *out)
{
	struct error *err = read_error(in, out);
	cleanup_error struct error *allowed = NULL, *before = error_ref(err);
	bool changed;

	if (!err)
		return -1;
	allowed = allow_v1_fallback(err);
	changed = allowed != before;
	out_open(out, NULL, '{');
	out_bool(out, "changed", changed);
	out_message(out, "message", allowed);
	if (changed) {
		out_bool(out, "confirmed_v2", allowed->confirmed_v2);
		out_bool(out, "transport_ok", allowed->transport_ok);
	}
	out_close(out, '}');
	return 0;
}
