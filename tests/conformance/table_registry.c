/* SPDX-License-Identifier: Apache-2.0 */
/* auth_challenge, errcode_registry, handle_error_response. */
#include <string.h>

#include "pull.h"
#include "registry/challenge.h"
#include "registry/errcode.h"
#include "registry/header.h"
#include "tables.h"

static int64_t in_int(const struct json_value *in, const char *key)
{
	const struct json_value *v = json_get_exact(in, key);
	int64_t n = 0;

	return v && json_int64(v, &n) ? n : 0;
}

static void print_challenge(const struct challenge *c, struct buf *out)
{
	out_open(out, NULL, '{');
	out_string(out, "scheme", c->scheme);
	out_open(out, "parameters", '{');
	for (size_t i = 0; i < c->nparams; i++)
		out_string(out, c->params[i].name, c->params[i].value);
	out_close(out, '}');
	out_close(out, '}');
}

int table_auth_challenge(const struct json_value *in, struct buf *out)
{
	const struct json_value *values = json_get_exact(in, "www_authenticate");
	cleanup_error struct error *err = NULL;
	struct header_list headers = {0};
	struct challenge_list list = {0};
	int ret = 0;

	for (size_t i = 0; values && i < values->count && !ret; i++)
		ret = header_add(&headers, "WWW-Authenticate", values->items[i].text, &err);
	if (!ret)
		ret = challenge_parse((int)in_int(in, "status"), &headers, &list, &err);
	if (ret < 0) {
		header_list_free(&headers);
		return table_failf(out, "%s", err->message);
	}
	out_open(out, NULL, '{');
	out_open(out, "challenges", '[');
	for (size_t i = 0; i < list.count; i++)
		print_challenge(&list.items[i], out);
	out_close(out, ']');
	out_close(out, '}');
	challenge_list_free(&list);
	header_list_free(&headers);
	return 0;
}

int table_errcode_registry(const struct json_value *in, struct buf *out)
{
	cleanup_free char *code = in_string(in, "code", NULL);
	const struct errcode_info *info;
	cleanup_error struct error *err = NULL;

	if (!code)
		return table_failf(out, "no \"code\"");
	info = errcode_info(code);
	err = error_errcode_code(code);
	out_open(out, NULL, '{');
	out_string(out, "error_string", err->message);
	out_string(out, "message", info->message);
	if (strcmp(info->code, code))
		out_string(out, "parsed_as", info->code);
	else
		out_int(out, "http_status", info->http_status);
	out_close(out, '}');
	return 0;
}

static int read_headers(const struct json_value *in, struct header_list *ret, struct error **reterr)
{
	const struct json_value *pairs = json_get_exact(in, "headers");

	for (size_t i = 0; pairs && i < pairs->count; i++) {
		const struct json_value *pair = &pairs->items[i];

		if (pair->count != 2)
			return error_setf(reterr, "a header that is no pair");
		if (header_add(ret, pair->items[0].text, pair->items[1].text, reterr) < 0)
			return -1;
	}
	return 0;
}

/* What the rest of a pull makes of err, which is taken over. */
static void print_consequences(struct error *err, struct buf *out)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *retried = NULL, *translated = NULL;
	struct log_recorder logs;

	log_recorder_init(&logs);
	out_bool(out, "continue_on_error", continue_on_error(err, /* mirror_endpoint= */ false));
	out_bool(out, "continue_on_error_mirror",
		continue_on_error(err, /* mirror_endpoint= */ true));
	retried = retry_on_error(error_ref(err));
	out_bool(out, "retry_do_not_retry", retried->kind == ERROR_DO_NOT_RETRY);
	if (!reference_parse_normalized_named("example.com/foo/bar:tag", &ref, NULL))
		translated = translate_pull_error(err, ref, &logs.log);
	out_error(out, "translated", translated);
	log_recorder_print(&logs, out, "translate_logs");
	log_recorder_free(&logs);
}

int table_handle_error_response(const struct json_value *in, struct buf *out)
{
	cleanup_free char *body = NULL, *status_line = in_string(in, "status_line", NULL);
	cleanup_error struct error *bad = NULL;
	struct header_list headers = {0};
	struct error *err;
	size_t size = 0;

	body = in_string(in, "body", &size);
	if (!body || !status_line || read_headers(in, &headers, &bad) < 0) {
		header_list_free(&headers);
		return table_failf(out, "%s", bad ? bad->message : "no body or status line");
	}
	err = handle_error_response((int)in_int(in, "status"), status_line, &headers, body, size);
	out_open(out, NULL, '{');
	error_tree_print(out, "error", err);
	out_message(out, "message", err);
	print_consequences(err, out);
	out_close(out, '}');
	header_list_free(&headers);
	return 0;
}
