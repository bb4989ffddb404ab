/* SPDX-License-Identifier: Apache-2.0 */
/* The error tree: Go's dynamic error types made visible. Go's `switch v := err.(type)` is `switch
 * (err->kind)` on the top node. Nodes are immutable and refcounted (atomically); sentinels are
 * static and compared by address. A constructor that runs out of memory returns &error_no_memory,
 * never NULL. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum error_kind {
	ERROR_PLAIN,                    /* an error of no special type */
	ERROR_SENTINEL,                 /* one of the static ones below */
	ERROR_ERRCODE_ERRORS,           /* errcode.Errors: list */
	ERROR_ERRCODE_ERROR,            /* errcode.Error: code, text, detail */
	ERROR_ERRCODE_CODE,             /* errcode.ErrorCode, a bare code: code */
	ERROR_DO_NOT_RETRY,             /* xfer.DoNotRetry: cause */
	ERROR_NO_SUPPORT,               /* ErrNoSupport: cause */
	ERROR_IMAGE_CONFIG_PULL,        /* ImageConfigPullError: cause */
	ERROR_WITH_STACK,               /* github.com/pkg/errors withStack: cause */
	ERROR_FALLBACK,                 /* fallbackError: cause, confirmed_v2, transport_ok */
	ERROR_PING_RESPONSE,            /* registry.PingResponseError: cause */
	ERROR_UNEXPECTED_HTTP_RESPONSE, /* *client.UnexpectedHTTPResponseError: http_status, cause
					   (parse error), detail */
	ERROR_UNEXPECTED_HTTP_STATUS,   /* *client.UnexpectedHTTPStatusError: text (the status) */
	ERROR_URL,                      /* *url.Error: op, text (the URL), cause */
	ERROR_PATH,                     /* *os.PathError: op, text (the path), cause */
	ERROR_ERRDEFS,                  /* an errdefs wrapper: class, cause */
	ERROR_INVALID_MANIFEST_CLASS, /* invalidManifestClassError: text (media type), op (class) */
	ERROR_INVALID_MANIFEST_FORMAT, /* invalidManifestFormatError */
	ERROR_RESERVED_NAME,           /* reservedNameError: text (the name) */
	ERROR_NOT_FOUND,               /* notFoundError: cause (an ERROR_ERRCODE_ERROR), text */
};

/* As enum image_pull_class; plugin.c asserts that they agree. */
enum error_class {
	CLASS_NONE,
	CLASS_NOT_FOUND,
	CLASS_INVALID_PARAMETER,
	CLASS_CONFLICT,
	CLASS_UNAUTHORIZED,
	CLASS_UNAVAILABLE,
	CLASS_FORBIDDEN,
	CLASS_SYSTEM,
	CLASS_NOT_MODIFIED,
	CLASS_NOT_IMPLEMENTED,
	CLASS_UNKNOWN,
	CLASS_CANCELLED,
	CLASS_DEADLINE,
	CLASS_DATA_LOSS,
};

struct error {
	atomic_uint refs; /* unused by static nodes */
	bool is_static;
	enum error_kind kind;
	enum error_class own_class; /* CLASS_NONE: ask the cause */
	const char *message;        /* what Go's Error() gives; never NULL */
	const char *code;           /* errcode: "DENIED", as on the wire; NULL elsewhere */
	const char *op;
	const char *text; /* errcode.Error: its Message field; else see enum error_kind */
	const char
		*detail; /* errcode.Error: the detail as JSON text, NULL for none; response body */
	size_t detail_size;
	bool detail_is_bytes; /* errcode.Error: the detail is a []byte, as it came, not JSON */
	int http_status;
	bool confirmed_v2, transport_ok;
	struct error *cause;       /* owned */
	struct error *const *list; /* ERROR_ERRCODE_ERRORS: owned */
	size_t nlist;
};

extern struct error error_no_memory;

/* Sentinels of the original. */
extern struct error err_no_basic_auth_credentials; /* auth.ErrNoBasicAuthCredentials */
extern struct error err_no_token;                  /* auth.ErrNoToken */
extern struct error err_no_errors_in_body;         /* client.ErrNoErrorsInBody */
extern struct error err_context_canceled;          /* context.Canceled */
extern struct error err_context_deadline_exceeded; /* context.DeadlineExceeded */
extern struct error err_blob_unknown;              /* distribution.ErrBlobUnknown */
extern struct error err_rootfs_invalid;            /* errRootFSInvalid */
extern struct error err_rootfs_mismatch;           /* errRootFSMismatch */
extern struct error err_eof;                       /* io.EOF */
extern struct error err_unexpected_eof;            /* io.ErrUnexpectedEOF */
extern struct error err_enospc;                    /* syscall.ENOSPC */
extern struct error err_esrch;                     /* syscall.ESRCH */
extern struct error err_wrong_code_for_byte_range; /* transport.ErrWrongCodeForByteRange */
/* Ours. */
extern struct error err_too_slow; /* a blob came slower than the engine puts up with */
extern struct error err_reference_does_not_exist; /* refstore.ErrDoesNotExist: class NotFound */

/* The sentinel with this Go name ("io.EOF"), or NULL. For tests that build trees from recorded
 * ones. */
struct error *error_sentinel(const char *go_name);

/* References. error_ref returns err. Both accept NULL and static nodes. */
struct error *error_ref(struct error *err);
void error_unref(struct error *err);
static inline void error_unrefp(struct error **err)
{
	error_unref(*err);
}
#define cleanup_error __attribute__((cleanup(error_unrefp)))

/* Constructors. They take over the reference to cause (and each list element). */
struct error *error_plainf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
struct error *error_classf(enum error_class cls, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
struct error *error_wrap(
	enum error_kind kind, struct error *cause); /* DO_NOT_RETRY ... PING_RESPONSE */
struct error *error_fallback(struct error *cause, bool confirmed_v2, bool transport_ok);
struct error *error_url(
	const char *op, const char *url, struct error *cause); /* `Get "URL": cause` */
struct error *error_path(
	const char *op, const char *path, struct error *cause); /* `op path: cause` */
struct error *error_errdefs(enum error_class cls, struct error *cause);
/* A registered code of the registry API: errcode.ErrorDescriptor. */
struct errcode_info {
	const char *code;    /* "MANIFEST_UNKNOWN" */
	const char *message; /* "manifest unknown": the registered message */
	int http_status;
};
/* errcode.ParseErrorCode and Descriptor: unregistered codes (and NULL) are UNKNOWN's. Never NULL.
 */
const struct errcode_info *errcode_info(const char *code);
/* The two kinds of errcode error keep the registered code: an unregistered one becomes UNKNOWN, as
 * in the original. */
struct error *error_errcode_code(const char *code);
/* text NULL: the code's registered message. detail: JSON text or NULL. */
struct error *error_errcode(
	const char *code, const char *text, const char *detail, size_t detail_size);
/* The same with the registered message and any bytes as detail. */
struct error *error_errcode_bytes(const char *code, const void *detail, size_t detail_size);
struct error *error_errcode_errors(struct error *const *list, size_t n);
struct error *error_unexpected_http_response(
	int status, struct error *parse_error, const void *body, size_t size);
struct error *error_unexpected_http_status(const char *status_line);
struct error *error_invalid_manifest_class(const char *media_type, const char *cls);
struct error *error_invalid_manifest_format(void);
struct error *error_reserved_name(const char *name);
/* notFoundError: message is the finished text, cause the errcode.Error. */
struct error *error_not_found(struct error *cause, const char *message);
/* An errno in Go's words ("no space left on device"), sentinel where there is one. Never strerror.
 */
struct error *error_errno(int errnum);
const char *errno_text(int errnum); /* never NULL */

/* The errdefs class of err or of the first of its causes that has one. */
enum error_class error_class_of(const struct error *err);
const char *error_class_name(enum error_class cls); /* "NotFound", "" for CLASS_NONE */

/* Put err (taken over) into *reterr, or drop it where reterr is NULL. Always returns -1, which
 * compilers and analysers can see. */
void error_store(struct error **reterr, struct error *err);
static inline int error_set(struct error **reterr, struct error *err)
{
	error_store(reterr, err);
	return -1;
}
#define error_setf(reterr, ...) error_set(reterr, error_plainf(__VA_ARGS__))

#endif
