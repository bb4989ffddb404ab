/* SPDX-License-Identifier: Apache-2.0 */
/* The error tree. Go counterparts: the error types of distribution/, errdefs/, errcode, net/url. */
#include "base/error.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define SENTINEL(name, text, cls)                                                                  \
	struct error name = {                                                                      \
		.is_static = true, .kind = ERROR_SENTINEL, .own_class = (cls), .message = (text)}

struct error error_no_memory = {
	.is_static = true, .kind = ERROR_PLAIN, .message = "cannot allocate memory"};

SENTINEL(err_no_basic_auth_credentials, "no basic auth credentials", CLASS_NONE);
SENTINEL(err_no_token, "authorization server did not include a token in the response", CLASS_NONE);
SENTINEL(err_no_errors_in_body, "no error details found in HTTP response body", CLASS_NONE);
SENTINEL(err_context_canceled, "context canceled", CLASS_NONE);
SENTINEL(err_context_deadline_exceeded, "context deadline exceeded", CLASS_NONE);
SENTINEL(err_blob_unknown, "unknown blob", CLASS_NONE);
SENTINEL(err_rootfs_invalid, "invalid rootfs in image configuration", CLASS_NONE);
SENTINEL(err_rootfs_mismatch, "layers from manifest don't match image configuration", CLASS_NONE);
SENTINEL(err_eof, "EOF", CLASS_NONE);
SENTINEL(err_unexpected_eof, "unexpected EOF", CLASS_NONE);
SENTINEL(err_enospc, "no space left on device", CLASS_NONE);
SENTINEL(err_esrch, "no such process", CLASS_NONE);
SENTINEL(err_wrong_code_for_byte_range, "expected HTTP 206 from byte range request", CLASS_NONE);
SENTINEL(err_too_slow, "the data comes too slowly: i/o timeout", CLASS_NONE);
SENTINEL(err_reference_does_not_exist, "reference does not exist", CLASS_NOT_FOUND);

struct error *error_sentinel(const char *go_name)
{
	static const struct {
		const char *name;
		struct error *err;
	} names[] = {
		{"auth.ErrNoBasicAuthCredentials", &err_no_basic_auth_credentials},
		{"auth.ErrNoToken", &err_no_token},
		{"client.ErrNoErrorsInBody", &err_no_errors_in_body},
		{"context.Canceled", &err_context_canceled},
		{"context.DeadlineExceeded", &err_context_deadline_exceeded},
		{"distribution.ErrBlobUnknown", &err_blob_unknown},
		{"errRootFSInvalid", &err_rootfs_invalid},
		{"errRootFSMismatch", &err_rootfs_mismatch},
		{"io.EOF", &err_eof},
		{"io.ErrUnexpectedEOF", &err_unexpected_eof},
		{"refstore.ErrDoesNotExist", &err_reference_does_not_exist},
		{"syscall.ENOSPC", &err_enospc},
		{"syscall.ESRCH", &err_esrch},
		{"transport.ErrWrongCodeForByteRange", &err_wrong_code_for_byte_range},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].name, go_name) == 0)
			return names[i].err;
	}
	return NULL;
}

const struct errcode_info *errcode_info(const char *code)
{
	static const struct errcode_info infos[] = {
		{"UNKNOWN", "unknown error", 500},
		{"UNSUPPORTED", "The operation is unsupported.", 405},
		{"UNAUTHORIZED", "authentication required", 401},
		{"DENIED", "requested access to the resource is denied", 403},
		{"UNAVAILABLE", "service unavailable", 503},
		{"TOOMANYREQUESTS", "too many requests", 429},
		{"DIGEST_INVALID", "provided digest did not match uploaded content", 400},
		{"SIZE_INVALID", "provided length did not match content length", 400},
		{"NAME_INVALID", "invalid repository name", 400},
		{"TAG_INVALID", "manifest tag did not match URI", 400},
		{"NAME_UNKNOWN", "repository name not known to registry", 404},
		{"MANIFEST_UNKNOWN", "manifest unknown", 404},
		{"MANIFEST_INVALID", "manifest invalid", 400},
		{"MANIFEST_UNVERIFIED", "manifest failed signature verification", 400},
		{"MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", 400},
		{"BLOB_UNKNOWN", "blob unknown to registry", 404},
		{"BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", 404},
		{"BLOB_UPLOAD_INVALID", "blob upload invalid", 404},
	};
	size_t i;

	for (i = 0; code && i < ARRAY_SIZE(infos); i++) {
		if (strcmp(infos[i].code, code) == 0)
			return &infos[i];
	}
	return &infos[0];
}

/* ---- references */

struct error *error_ref(struct error *err)
{
	if (err && !err->is_static)
		atomic_fetch_add_explicit(&err->refs, 1, memory_order_relaxed);
	return err;
}

void error_unref(struct error *err)
{
	while (err && !err->is_static) {
		struct error *cause = err->cause;
		size_t i;

		if (atomic_fetch_sub_explicit(&err->refs, 1, memory_order_acq_rel) != 1)
			return;
		for (i = 0; i < err->nlist; i++)
			error_unref(err->list[i]);
		free((void *)err->list);
		free((char *)err->message);
		free((char *)err->op);
		free((char *)err->text);
		free((char *)err->detail);
		free(err);
		err = cause;
	}
}

void error_store(struct error **reterr, struct error *err)
{
	if (reterr)
		*reterr = err;
	else
		error_unref(err);
}

/* ---- constructors */

/* What goes into a new node; strings are copied, cause is taken over. */
struct parts {
	enum error_kind kind;
	enum error_class own_class;
	const char *code; /* static */
	const char *op, *text;
	const void *detail;
	size_t detail_size;
	bool detail_is_bytes;
	int http_status;
	struct error *cause;
};

static bool copy(const char **ret, const void *data, size_t size)
{
	char *s;

	if (!data)
		return true;
	s = malloc(size + 1);
	if (!s)
		return false;
	if (size)
		memcpy(s, data, size);
	s[size] = '\0';
	*ret = s;
	return true;
}

static bool copy_str(const char **ret, const char *s)
{
	return copy(ret, s, s ? strlen(s) : 0);
}

/* message is freed. */
static struct error *node(const struct parts *parts, struct buf *message)
{
	struct error *err = calloc(1, sizeof(*err));

	if (!err) {
		buf_free(message);
		error_unref(parts->cause);
		return &error_no_memory;
	}
	atomic_init(&err->refs, 1);
	err->kind = parts->kind;
	err->own_class = parts->own_class;
	err->code = parts->code;
	err->http_status = parts->http_status;
	err->cause = parts->cause;
	err->message = buf_steal(message);
	if (!err->message || !copy_str(&err->op, parts->op) || !copy_str(&err->text, parts->text) ||
		!copy(&err->detail, parts->detail, parts->detail_size)) {
		error_unref(err);
		return &error_no_memory;
	}
	err->detail_size = parts->detail ? parts->detail_size : 0;
	err->detail_is_bytes = parts->detail_is_bytes;
	return err;
}

struct error *error_plainf(const char *fmt, ...)
{
	struct buf message = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&message, fmt, ap);
	va_end(ap);
	return node(&(struct parts){.kind = ERROR_PLAIN}, &message);
}

struct error *error_classf(enum error_class cls, const char *fmt, ...)
{
	struct buf message = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&message, fmt, ap);
	va_end(ap);
	return node(&(struct parts){.kind = ERROR_PLAIN, .own_class = cls}, &message);
}

/* A wrapper whose text is prefix and its cause's text. */
static struct error *wrap(
	enum error_kind kind, enum error_class cls, const char *prefix, struct error *cause)
{
	struct buf message = {0};

	buf_append_str(&message, prefix);
	if (cause)
		buf_append_str(&message, cause->message);
	return node(&(struct parts){.kind = kind, .own_class = cls, .cause = cause}, &message);
}

struct error *error_wrap(enum error_kind kind, struct error *cause)
{
	const char *prefix = "";

	if (kind == ERROR_IMAGE_CONFIG_PULL)
		prefix = "error pulling image configuration: ";
	else if (kind == ERROR_NO_SUPPORT && !cause)
		prefix = "not supported";
	return wrap(kind, CLASS_NONE, prefix, cause);
}

struct error *error_fallback(struct error *cause, bool confirmed_v2, bool transport_ok)
{
	struct error *err = wrap(ERROR_FALLBACK, CLASS_NONE, "", cause);

	if (!err->is_static) {
		err->confirmed_v2 = confirmed_v2;
		err->transport_ok = transport_ok;
	}
	return err;
}

struct error *error_errdefs(enum error_class cls, struct error *cause)
{
	/* as the helpers of errdefs: what has the class already is not wrapped again */
	if (error_class_of(cause) == cls)
		return cause;
	return wrap(ERROR_ERRDEFS, cls, "", cause);
}

struct error *error_url(const char *op, const char *url, struct error *cause)
{
	struct buf message = {0};

	buf_append_str(&message, op);
	buf_append_char(&message, ' ');
	buf_append_quoted(&message, url, strlen(url));
	buf_append_str(&message, ": ");
	buf_append_str(&message, cause->message);
	return node(&(struct parts){.kind = ERROR_URL, .op = op, .text = url, .cause = cause},
		&message);
}

struct error *error_path(const char *op, const char *path, struct error *cause)
{
	struct buf message = {0};

	buf_appendf(&message, "%s %s: %s", op, path, cause->message);
	return node(&(struct parts){.kind = ERROR_PATH, .op = op, .text = path, .cause = cause},
		&message);
}

/* errcode.ErrorCode.Error(): the code in lower case, with spaces. */
static void append_code_text(struct buf *b, const char *code)
{
	for (; *code; code++) {
		if (*code == '_')
			buf_append_char(b, ' ');
		else
			buf_append_char(
				b, *code >= 'A' && *code <= 'Z' ? (char)(*code + 32) : *code);
	}
}

struct error *error_errcode_code(const char *code)
{
	const struct errcode_info *info = errcode_info(code);
	struct buf message = {0};

	append_code_text(&message, info->code);
	return node(&(struct parts){.kind = ERROR_ERRCODE_CODE,
			    .code = info->code,
			    .http_status = info->http_status},
		&message);
}

static struct error *errcode_error(const char *code, const char *text, const void *detail,
	size_t detail_size, bool detail_is_bytes)
{
	const struct errcode_info *info = errcode_info(code);
	struct buf message = {0};

	if (!text)
		text = info->message;
	append_code_text(&message, info->code);
	buf_append_str(&message, ": ");
	buf_append_str(&message, text);
	return node(&(struct parts){.kind = ERROR_ERRCODE_ERROR,
			    .code = info->code,
			    .text = text,
			    .detail = detail,
			    .detail_size = detail_size,
			    .detail_is_bytes = detail_is_bytes,
			    .http_status = info->http_status},
		&message);
}

struct error *error_errcode(
	const char *code, const char *text, const char *detail, size_t detail_size)
{
	return errcode_error(code, text, detail, detail_size, false);
}

struct error *error_errcode_bytes(const char *code, const void *detail, size_t detail_size)
{
	return errcode_error(code, NULL, detail_size ? detail : "", detail_size, true);
}

static void append_errors_text(struct buf *b, struct error *const *list, size_t n)
{
	size_t i;

	if (n == 0) {
		buf_append_str(b, "<nil>");
		return;
	}
	if (n == 1) {
		buf_append_str(b, list[0]->message);
		return;
	}
	buf_append_str(b, "errors:\n");
	for (i = 0; i < n; i++) {
		buf_append_str(b, list[i]->message);
		buf_append_char(b, '\n');
	}
}

struct error *error_errcode_errors(struct error *const *list, size_t n)
{
	struct buf message = {0};
	struct error **own = NULL;
	struct error *err;
	size_t i;

	append_errors_text(&message, list, n);
	err = node(&(struct parts){.kind = ERROR_ERRCODE_ERRORS}, &message);
	if (n)
		own = calloc(n, sizeof(struct error *));
	if (err->is_static || (n && !own)) {
		free(own);
		error_unref(err);
		for (i = 0; i < n; i++)
			error_unref(list[i]);
		return &error_no_memory;
	}
	for (i = 0; i < n; i++)
		own[i] = list[i];
	err->list = own;
	err->nlist = n;
	return err;
}

struct error *error_unexpected_http_response(
	int status, struct error *parse_error, const void *body, size_t size)
{
	struct buf message = {0};

	buf_appendf(&message, "error parsing HTTP %d response body: %s: ", status,
		parse_error->message);
	buf_append_quoted(&message, body, size);
	return node(&(struct parts){.kind = ERROR_UNEXPECTED_HTTP_RESPONSE,
			    .detail = size ? body : "",
			    .detail_size = size,
			    .http_status = status,
			    .cause = parse_error},
		&message);
}

struct error *error_unexpected_http_status(const char *status_line)
{
	struct buf message = {0};

	buf_appendf(&message, "received unexpected HTTP status: %s", status_line);
	return node(&(struct parts){.kind = ERROR_UNEXPECTED_HTTP_STATUS,
			    .text = status_line,
			    .http_status = (int)strtol(status_line, NULL, 10)},
		&message);
}

struct error *error_invalid_manifest_class(const char *media_type, const char *cls)
{
	struct buf message = {0};

	buf_append_str(&message, "Encountered remote ");
	buf_append_quoted(&message, media_type, strlen(media_type));
	buf_appendf(&message, "(%s) when fetching", cls);
	return node(&(struct parts){.kind = ERROR_INVALID_MANIFEST_CLASS,
			    .own_class = CLASS_INVALID_PARAMETER,
			    .text = media_type,
			    .op = cls},
		&message);
}

struct error *error_invalid_manifest_format(void)
{
	struct buf message = {0};

	buf_append_str(&message, "unsupported manifest format");
	return node(&(struct parts){.kind = ERROR_INVALID_MANIFEST_FORMAT,
			    .own_class = CLASS_INVALID_PARAMETER},
		&message);
}

struct error *error_reserved_name(const char *name)
{
	struct buf message = {0};

	buf_appendf(&message, "'%s' is a reserved name", name);
	return node(
		&(struct parts){
			.kind = ERROR_RESERVED_NAME, .own_class = CLASS_FORBIDDEN, .text = name},
		&message);
}

struct error *error_not_found(struct error *cause, const char *message)
{
	struct buf b = {0};

	buf_append_str(&b, message);
	return node(&(struct parts){.kind = ERROR_NOT_FOUND,
			    .own_class = CLASS_NOT_FOUND,
			    .text = message,
			    .cause = cause},
		&b);
}

/* ---- classes */

/* Does the Go type have a Cause method? Only these are looked through, as errdefs does. */
static bool has_cause_method(enum error_kind kind)
{
	return kind == ERROR_FALLBACK || kind == ERROR_WITH_STACK || kind == ERROR_ERRDEFS ||
	       kind == ERROR_NOT_FOUND;
}

enum error_class error_class_of(const struct error *err)
{
	for (; err; err = has_cause_method(err->kind) ? err->cause : NULL) {
		if (err->own_class != CLASS_NONE)
			return err->own_class;
	}
	return CLASS_NONE;
}

const char *error_class_name(enum error_class cls)
{
	static const char *const names[] = {
		[CLASS_NONE] = "",
		[CLASS_NOT_FOUND] = "NotFound",
		[CLASS_INVALID_PARAMETER] = "InvalidParameter",
		[CLASS_CONFLICT] = "Conflict",
		[CLASS_UNAUTHORIZED] = "Unauthorized",
		[CLASS_UNAVAILABLE] = "Unavailable",
		[CLASS_FORBIDDEN] = "Forbidden",
		[CLASS_SYSTEM] = "System",
		[CLASS_NOT_MODIFIED] = "NotModified",
		[CLASS_NOT_IMPLEMENTED] = "NotImplemented",
		[CLASS_UNKNOWN] = "Unknown",
		[CLASS_CANCELLED] = "Cancelled",
		[CLASS_DEADLINE] = "Deadline",
		[CLASS_DATA_LOSS] = "DataLoss",
	};

	if ((size_t)cls < ARRAY_SIZE(names) && names[cls])
		return names[cls];
	return "";
}
