/* SPDX-License-Identifier: Apache-2.0 */
/* Values and failures through a sink. Go counterpart: none (returned values). */
#include "config.h"

#include "sink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int sink_value(const struct image_pull_sink *sink, const void *data, size_t size)
{
	if (!sink || !sink->value)
		return IMAGE_PULL_OK;
	return sink->value(sink->receiver, data, size) == IMAGE_PULL_OK ? IMAGE_PULL_OK
									: IMAGE_PULL_NO_MEMORY;
}

int sink_text(const struct image_pull_sink *sink, const char *text)
{
	return sink_value(sink, text, strlen(text));
}

int sink_textf(const struct image_pull_sink *sink, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);

	va_end(ap);
	if (n < 0)
		return sink_no_memory(sink);

	int code = sink_value(sink, text, (size_t)n);

	free(text);
	return code;
}

static void message(const struct image_pull_sink *sink, const char *text)
{
	if (sink && sink->message)
		sink->message(sink->receiver, text);
}

int sink_fail(const struct image_pull_sink *sink, int code, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);

	va_end(ap);
	if (n < 0)
		return sink_no_memory(sink);
	message(sink, text);
	free(text);
	return code;
}

static int code_of_class(enum error_class cls)
{
	switch (cls) {
	case CLASS_NOT_FOUND:
		return IMAGE_PULL_NOT_FOUND;
	case CLASS_INVALID_PARAMETER:
		return IMAGE_PULL_INVALID;
	case CLASS_CONFLICT:
		return IMAGE_PULL_CONFLICT;
	case CLASS_UNAUTHORIZED:
		return IMAGE_PULL_UNAUTHORIZED;
	case CLASS_UNAVAILABLE:
		return IMAGE_PULL_UNAVAILABLE;
	case CLASS_FORBIDDEN:
		return IMAGE_PULL_FORBIDDEN;
	case CLASS_CANCELLED:
		return IMAGE_PULL_CANCELLED;
	default:
		return IMAGE_PULL_FAILED;
	}
}

int sink_error(const struct image_pull_sink *sink, struct error *err)
{
	if (!err || err == &error_no_memory)
		return sink_no_memory(sink);

	int code = err == &err_enospc ? IMAGE_PULL_NO_SPACE : code_of_class(error_class_of(err));

	message(sink, err->message);
	error_unref(err);
	return code;
}

int sink_errno_code(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
		return IMAGE_PULL_NO_SPACE;
	case ENOMEM:
		return IMAGE_PULL_NO_MEMORY;
	case EACCES:
	case EPERM:
	case EROFS:
		return IMAGE_PULL_FORBIDDEN;
	default:
		return IMAGE_PULL_FAILED;
	}
}

int sink_errno(
	const struct image_pull_sink *sink, int errnum, const char *operation, const char *path)
{
	return sink_fail(
		sink, sink_errno_code(errnum), "%s %s: %s", operation, path, errno_text(errnum));
}

int sink_no_memory(const struct image_pull_sink *sink)
{
	message(sink, "out of memory");
	return IMAGE_PULL_NO_MEMORY;
}
