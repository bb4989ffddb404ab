/* SPDX-License-Identifier: Apache-2.0 */
/* How compat answers its callers: values and failures through a struct image_pull_sink. A sink, and
 * either of its functions, may be NULL: then nobody is told. */
#ifndef COMPAT_SINK_H
#define COMPAT_SINK_H

#include <stddef.h>

#include "image_pull.h"

struct error;

/* Hand over one result. Answers IMAGE_PULL_OK or IMAGE_PULL_NO_MEMORY. */
int sink_value(const struct image_pull_sink *sink, const void *data, size_t size);
int sink_text(const struct image_pull_sink *sink, const char *text); /* without its NUL */
int sink_textf(const struct image_pull_sink *sink, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Each of these hands over a text and answers the code, so: return sink_fail(sink, ...). */
int sink_fail(const struct image_pull_sink *sink, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The message is err's, the code follows from its class; err is taken over. */
int sink_error(const struct image_pull_sink *sink, struct error *err);
/* "op path: text of errnum", as Go's os.PathError; the code is sink_errno_code(errnum). */
int sink_errno(
	const struct image_pull_sink *sink, int errnum, const char *operation, const char *path);
int sink_no_memory(const struct image_pull_sink *sink);
/* ENOSPC, EDQUOT, EMFILE, ENFILE: NO_SPACE; ENOMEM: NO_MEMORY; EACCES, EPERM, EROFS: FORBIDDEN; all
 * others FAILED, ENOENT too: what is missing is said by the caller, who knows what it means. */
int sink_errno_code(int errnum);

#endif
