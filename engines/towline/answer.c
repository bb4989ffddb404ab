/* SPDX-License-Identifier: Apache-2.0 */
/* A sink whose values go to a function, as they come. Go counterpart: none. */
#include "config.h"

#include "cli.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static int take_value(void *receiver, const void *data, size_t size)
{
	struct answer *a = receiver;

	return a->take ? a->take(a->context, data, size) : IMAGE_PULL_OK;
}

static void take_message(void *receiver, const char *text)
{
	struct answer *a = receiver;

	free(a->message);
	a->message = strdup(text); /* NULL: answer_message has a text for the code */
}

void answer_init(
	struct answer *a, int (*take)(void *context, const void *data, size_t size), void *context)
{
	*a = (struct answer){
		.sink = {.struct_size = sizeof(a->sink),
			.receiver = a,
			.value = take_value,
			.message = take_message},
		.take = take,
		.context = context,
	};
}

void answer_free(struct answer *a)
{
	free(a->message);
	a->message = NULL;
}

const char *answer_message(const struct answer *a, int code)
{
	return a->message ? a->message : towline_text_message(NULL, code);
}

int answer_print(void *file, const void *data, size_t size)
{
	char *line = text_printable(data, size);

	if (!line)
		return IMAGE_PULL_NO_MEMORY;
	fprintf(file, "%s\n", line);
	free(line);
	return IMAGE_PULL_OK;
}
