/* SPDX-License-Identifier: Apache-2.0 */
/* Serialised error trees ({"kind": ...}, see tests/vectors/README) into ours and back. */
#include <string.h>

#include "tables.h"

static const struct wrapper {
	const char *name;
	enum error_kind kind;
} wrappers[] = {
	{"xfer.DoNotRetry", ERROR_DO_NOT_RETRY},
	{"ErrNoSupport", ERROR_NO_SUPPORT},
	{"ImageConfigPullError", ERROR_IMAGE_CONFIG_PULL},
	{"withStack", ERROR_WITH_STACK},
};

static const char *text_of(const struct json_value *v, const char *key)
{
	return json_get_string(v, key, "");
}

static struct error *bad(const char **ret_bad, const char *why)
{
	*ret_bad = why;
	return NULL;
}

static struct error *build_errors(const struct json_value *v, const char **ret_bad)
{
	const struct json_value *list = json_get_exact(v, "errors");
	size_t n = list && list->type == JSON_ARRAY ? list->count : 0;
	struct error **errors = calloc(n + 1, sizeof(struct error *));
	struct error *err = NULL;

	if (!errors)
		return bad(ret_bad, "out of memory");
	for (size_t i = 0; i < n && !*ret_bad; i++) {
		errors[i] = error_tree_build(&list->items[i], ret_bad);
		if (!errors[i] && !*ret_bad)
			*ret_bad = "null in a list of errors";
	}
	if (!*ret_bad) {
		err = error_errcode_errors(errors, n);
	} else {
		for (size_t i = 0; i < n; i++)
			error_unref(errors[i]);
	}
	free(errors);
	return err;
}

static struct error *build_errcode(const struct json_value *v)
{
	cleanup_free char *bytes = NULL;
	const struct json_value *detail = json_get_exact(v, "detail");
	struct buf text = {0};
	struct error *err;
	size_t size;

	bytes = in_string(v, "detail_bytes", &size);
	if (bytes)
		return error_errcode_bytes(text_of(v, "code"), bytes, size);
	if (detail && detail->type != JSON_NULL)
		out_json(&text, NULL, detail);
	err = error_errcode(text_of(v, "code"), text_of(v, "message"), text.data, text.size);
	buf_free(&text);
	return err;
}

static struct error *build_response_error(const struct json_value *v)
{
	cleanup_free char *body = NULL;
	size_t size = 0;
	int64_t status = 0;
	const struct json_value *code = json_get_exact(v, "status_code");

	if (code)
		(void)json_int64(code, &status); /* stays 0: seen in the text */
	body = in_string(v, "response", &size);
	return error_unexpected_http_response(
		(int)status, error_plainf("%s", text_of(v, "parse_err")), body ? body : "", size);
}

static struct error *build_errdefs(
	const struct json_value *v, struct error *cause, const char **ret_bad)
{
	for (int cls = CLASS_NONE; cls <= CLASS_DATA_LOSS; cls++)
		if (!strcmp(error_class_name(cls), text_of(v, "errdefs_class")))
			return error_errdefs(cls, cause);
	error_unref(cause);
	return bad(ret_bad, "unknown errdefs_class");
}

/* Those that have a cause. */
static struct error *build_wrapper(
	const struct json_value *v, const char *kind, const char **ret_bad)
{
	const struct json_value *inner = json_get_exact(v, "err");
	struct error *cause = inner ? error_tree_build(inner, ret_bad) : NULL;

	if (*ret_bad)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(wrappers); i++)
		if (!strcmp(kind, wrappers[i].name))
			return error_wrap(wrappers[i].kind, cause);
	if (!cause)
		return bad(ret_bad, "an error without \"err\", or of unknown kind");
	if (!strcmp(kind, "fallbackError"))
		return error_fallback(
			cause, in_bool(v, "confirmed_v2"), in_bool(v, "transport_ok"));
	if (!strcmp(kind, "url.Error"))
		return error_url(text_of(v, "op"), text_of(v, "url"), cause);
	if (!strcmp(kind, "os.PathError"))
		return error_path(text_of(v, "op"), text_of(v, "path"), cause);
	if (!strcmp(kind, "errdefs"))
		return build_errdefs(v, cause, ret_bad);
	error_unref(cause);
	return bad(ret_bad, "unknown kind of error");
}

struct error *error_tree_build(const struct json_value *v, const char **ret_bad)
{
	const char *kind = json_get_string(v, "kind", "");
	struct error *sentinel;

	if (v->type == JSON_NULL)
		return NULL;
	if (!strcmp(kind, "errcode.Errors"))
		return build_errors(v, ret_bad);
	if (!strcmp(kind, "errcode.Error"))
		return build_errcode(v);
	if (!strcmp(kind, "errcode.ErrorCode"))
		return error_errcode_code(text_of(v, "code"));
	if (!strcmp(kind, "client.UnexpectedHTTPResponseError"))
		return build_response_error(v);
	if (!strcmp(kind, "client.UnexpectedHTTPStatusError"))
		return error_unexpected_http_status(text_of(v, "status"));
	if (!strcmp(kind, "plain"))
		return error_plainf("%s", text_of(v, "message"));
	if (!strcmp(kind, "invalidManifestClassError"))
		return error_invalid_manifest_class(
			text_of(v, "media_type"), text_of(v, "media_class"));
	if (!strcmp(kind, "invalidManifestFormatError"))
		return error_invalid_manifest_format();
	if (!strcmp(kind, "reservedNameError"))
		return error_reserved_name(text_of(v, "name"));
	if (!strcmp(kind, "sentinel")) {
		sentinel = error_sentinel(text_of(v, "name"));
		return sentinel ? sentinel : bad(ret_bad, "unknown sentinel");
	}
	return build_wrapper(v, kind, ret_bad);
}

/* What reflection would call the types that the recordings print as "other". */
static void print_other(struct buf *out, const struct error *err)
{
	static const struct {
		enum error_kind kind;
		const char *go_type;
	} types[] = {
		{ERROR_PLAIN, "*errors.errorString"},
		{ERROR_WITH_STACK, "*errors.withStack"},
		{ERROR_PING_RESPONSE, "registry.PingResponseError"},
		{ERROR_PATH, "*fs.PathError"},
		{ERROR_INVALID_MANIFEST_CLASS, "distribution.invalidManifestClassError"},
		{ERROR_INVALID_MANIFEST_FORMAT, "distribution.invalidManifestFormatError"},
		{ERROR_RESERVED_NAME, "distribution.reservedNameError"},
		{ERROR_NOT_FOUND, "distribution.notFoundError"},
	};
	cleanup_free char *errdefs = NULL;
	const char *go_type = "";

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].kind == err->kind)
			go_type = types[i].go_type;
	if (err->kind == ERROR_ERRDEFS)
		go_type = errdefs = str_printf("errdefs.err%s", error_class_name(err->own_class));
	out_string(out, "kind", "other");
	out_string(out, "go_type", go_type);
	out_message(out, "message", err);
}

static void print_sentinel(struct buf *out, const struct error *err)
{
	static const char *const names[] = {"auth.ErrNoBasicAuthCredentials", "auth.ErrNoToken",
		"client.ErrNoErrorsInBody", "context.Canceled", "context.DeadlineExceeded",
		"distribution.ErrBlobUnknown", "errRootFSInvalid", "errRootFSMismatch", "io.EOF",
		"io.ErrUnexpectedEOF", "refstore.ErrDoesNotExist", "syscall.ENOSPC",
		"syscall.ESRCH", "transport.ErrWrongCodeForByteRange"};

	out_string(out, "kind", "sentinel");
	out_message(out, "message", err);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (error_sentinel(names[i]) == err)
			out_string(out, "name", names[i]);
}

static void print_errcode(struct buf *out, const struct error *err)
{
	out_string(out, "kind", "errcode.Error");
	out_string(out, "code", err->code);
	out_string(out, "message", err->text);
	if (err->detail_is_bytes)
		out_bytes(out, "detail_bytes", err->detail, err->detail_size);
	else if (err->detail)
		out_raw(out, "detail", err->detail, err->detail_size);
}

static void print_response_error(struct buf *out, const struct error *err)
{
	out_string(out, "kind", "client.UnexpectedHTTPResponseError");
	out_message(out, "parse_err", err->cause);
	out_bytes(out, "response", err->detail, err->detail_size);
	out_int(out, "status_code", err->http_status);
}

void error_tree_print(struct buf *out, const char *key, const struct error *err)
{
	if (!err) {
		out_string(out, key, NULL);
		return;
	}
	out_open(out, key, '{');
	switch (err->kind) {
	case ERROR_SENTINEL:
		print_sentinel(out, err);
		break;
	case ERROR_ERRCODE_ERRORS:
		out_string(out, "kind", "errcode.Errors");
		out_open(out, "errors", '[');
		for (size_t i = 0; i < err->nlist; i++)
			error_tree_print(out, NULL, err->list[i]);
		out_close(out, ']');
		break;
	case ERROR_ERRCODE_ERROR:
		print_errcode(out, err);
		break;
	case ERROR_ERRCODE_CODE:
		out_string(out, "kind", "errcode.ErrorCode");
		out_string(out, "code", err->code);
		break;
	case ERROR_DO_NOT_RETRY:
	case ERROR_NO_SUPPORT:
	case ERROR_IMAGE_CONFIG_PULL:
		for (size_t i = 0; i < ARRAY_SIZE(wrappers); i++)
			if (wrappers[i].kind == err->kind)
				out_string(out, "kind", wrappers[i].name);
		error_tree_print(out, "err", err->cause);
		break;
	case ERROR_FALLBACK:
		out_string(out, "kind", "fallbackError");
		out_bool(out, "confirmed_v2", err->confirmed_v2);
		out_bool(out, "transport_ok", err->transport_ok);
		error_tree_print(out, "err", err->cause);
		break;
	case ERROR_UNEXPECTED_HTTP_RESPONSE:
		print_response_error(out, err);
		break;
	case ERROR_UNEXPECTED_HTTP_STATUS:
		out_string(out, "kind", "client.UnexpectedHTTPStatusError");
		out_string(out, "status", err->text);
		break;
	case ERROR_URL:
		out_string(out, "kind", "url.Error");
		out_string(out, "op", err->op);
		out_string(out, "url", err->text);
		error_tree_print(out, "err", err->cause);
		break;
	default:
		print_other(out, err);
		break;
	}
	out_close(out, '}');
}
