/* SPDX-License-Identifier: Apache-2.0 */
/* A sink that keeps one text, and the library's version. Go counterpart: none. */
#include "config.h"

#include "towline.h"

#include <stdlib.h>
#include <string.h>

const char *towline_version(void)
{
	return PACKAGE_VERSION;
}

static int keep_value(void *receiver, const void *data, size_t size)
{
	struct towline_text *text = receiver;
	char *copy = malloc(size + 1);

	if (!copy)
		return IMAGE_PULL_NO_MEMORY;
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	free(text->value);
	text->value = copy;
	text->value_size = size;
	return IMAGE_PULL_OK;
}

static void keep_message(void *receiver, const char *message)
{
	struct towline_text *text = receiver;
	char *copy = strdup(message);

	/* Out of memory: an older text would mislead, towline_text_message has one for the code. */
	free(text->message);
	text->message = copy;
}

void towline_text_init(struct towline_text *text)
{
	*text = (struct towline_text){
		.struct_size = sizeof(*text),
		.sink = {.struct_size = sizeof(text->sink),
			.receiver = text,
			.value = keep_value,
			.message = keep_message},
	};
}

void towline_text_free(struct towline_text *text)
{
	if (!text)
		return;
	free(text->value);
	free(text->message);
	text->value = NULL;
	text->value_size = 0;
	text->message = NULL;
}

const char *towline_text_message(const struct towline_text *text, int code)
{
	if (text && text->message)
		return text->message;
	switch (code) {
	case IMAGE_PULL_OK:
		return "success";
	case IMAGE_PULL_NOT_FOUND:
		return "not found";
	case IMAGE_PULL_CONFLICT:
		return "conflict";
	case IMAGE_PULL_INVALID:
		return "invalid argument";
	case IMAGE_PULL_FORBIDDEN:
		return "forbidden";
	case IMAGE_PULL_UNAUTHORIZED:
		return "unauthorized";
	case IMAGE_PULL_UNAVAILABLE:
		return "unavailable";
	case IMAGE_PULL_CANCELLED:
		return "cancelled";
	case IMAGE_PULL_NO_SPACE:
		return "no space left";
	case IMAGE_PULL_NO_MEMORY:
		return "out of memory";
	default:
		return "failed";
	}
}
