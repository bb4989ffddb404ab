/* SPDX-License-Identifier: Apache-2.0 */
/* /images, but for pulls. Go counterparts: api/server/router/image, daemon/images (images.go,
 * image_inspect.go, image_delete.go, image_tag.go). */
#include "config.h"

#include "serve.h"

#include <stdlib.h>
#include <string.h>

/* The one value that a call gave, with a line's end as json.Encoder writes it; or its failure. */
static enum MHD_Result reply_value(struct exchange *x, int code, struct towline_text *text)
{
	enum MHD_Result result;
	char *line = NULL;

	if (code != IMAGE_PULL_OK) {
		result = reply_code(x, code, text);
	} else {
		line = malloc(text->value_size + 1);
		if (line) {
			memcpy(line, text->value, text->value_size);
			line[text->value_size] = '\n';
		}
		result = reply(x, MHD_HTTP_OK, "application/json", line, text->value_size + 1);
	}
	towline_text_free(text);
	return result;
}

enum MHD_Result get_images(struct exchange *x)
{
	const struct towline_list_options options = {
		.struct_size = sizeof(options),
		.filters = exchange_argument(x, "filters"),
		/* gone in 1.41 */
		.reference =
			strcmp(x->version, API_VERSION) == 0 ? "" : exchange_argument(x, "filter"),
	};
	struct towline_text text;

	towline_text_init(&text);
	return reply_value(x, towline_images_json(x->server->store, &options, &text.sink), &text);
}

enum MHD_Result get_image(struct exchange *x)
{
	struct towline_text text;
	enum MHD_Result result;
	char *message;
	int code;

	towline_text_init(&text);
	code = towline_image_json(x->server->store, x->name, &text.sink);
	if (code == IMAGE_PULL_OK)
		return reply_value(x, code, &text);
	/* LookupImage wraps what GetImage says. */
	if (asprintf(&message, "no such image: %s: %s", x->name,
		    towline_text_message(&text, code)) < 0) {
		towline_text_free(&text);
		return MHD_NO;
	}
	free(text.message);
	text.message = message;
	result = reply_code(x, code, &text);
	towline_text_free(&text);
	return result;
}

/* ---- DELETE */

struct removal {
	FILE *out;
	unsigned n;
	char *message;
};

/* "Untagged: NAME", "Deleted: ID" */
static int removed(void *receiver, const void *data, size_t size)
{
	struct removal *r = receiver;
	char *line = strndup(data, size);
	char *colon = line ? strchr(line, ':') : NULL;

	if (!line)
		return IMAGE_PULL_NO_MEMORY;
	if (colon && colon[1] == ' ') {
		fprintf(r->out, "%s{\"%.*s\":", r->n++ ? "," : "", (int)(colon - line), line);
		print_json_string(r->out, colon + 2);
		putc('}', r->out);
	}
	free(line);
	return IMAGE_PULL_OK;
}

static void remember(void *receiver, const char *text)
{
	struct removal *r = receiver;

	free(r->message);
	r->message = strdup(text); /* without memory the code alone has to do */
}

enum MHD_Result delete_image(struct exchange *x)
{
	struct removal r = {.n = 0};
	const struct image_pull_sink sink = {
		.struct_size = sizeof(sink), .receiver = &r, .value = removed, .message = remember};
	struct towline_text text = {.struct_size = sizeof(text)};
	enum MHD_Result result;
	char *list = NULL;
	size_t size = 0;
	int code;

	if (x->name[strspn(x->name, " \t\r\n")] == '\0')
		return reply_error(x, MHD_HTTP_BAD_REQUEST, "image name cannot be blank");
	r.out = open_memstream(&list, &size);
	if (!r.out)
		return MHD_NO;
	putc('[', r.out);
	code = towline_remove(x->server->store, x->name, exchange_flag(x, "force"), &sink);
	fputs("]\n", r.out);
	if (fclose(r.out) != 0 && code == IMAGE_PULL_OK)
		code = IMAGE_PULL_NO_MEMORY;
	text.message = r.message;
	if (code != IMAGE_PULL_OK) {
		free(list);
		result = reply_code(x, code, &text);
	} else {
		result = reply(x, MHD_HTTP_OK, "application/json", list, size);
	}
	free(r.message);
	return result;
}

/* ---- POST /images/NAME/tag */

enum MHD_Result tag_image(struct exchange *x)
{
	struct towline_store *store = x->server->store;
	struct towline_text reference, text;
	struct image_pull_sink quiet;
	enum MHD_Result result;
	int code;

	towline_text_init(&reference);
	towline_text_init(&text);
	quiet = text.sink; /* that the image is there is enough */
	quiet.value = NULL;
	code = towline_image_get(store, x->name, &quiet);
	if (code != IMAGE_PULL_OK) {
		result = reply_code(x, code, &text);
		goto out;
	}
	code = towline_reference_with(
		exchange_argument(x, "repo"), exchange_argument(x, "tag"), &reference.sink);
	if (code != IMAGE_PULL_OK) {
		/* TagImage gives this error no class. */
		result = reply_error(
			x, MHD_HTTP_INTERNAL_SERVER_ERROR, towline_text_message(&reference, code));
		goto out;
	}
	code = towline_tag(store, x->name, reference.value, &text.sink);
	result = code == IMAGE_PULL_OK ? reply(x, MHD_HTTP_CREATED, NULL, calloc(1, 1), 0)
				       : reply_code(x, code, &text);
out:
	towline_text_free(&text);
	towline_text_free(&reference);
	return result;
}
