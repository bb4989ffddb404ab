/* SPDX-License-Identifier: Apache-2.0 */
/* Images, listed and looked up. Go counterparts: daemon/images/{image,images,image_tag}.go. */
#include "config.h"

#include "images.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"
#include "sink.h"
#include "store.h"

#define HEX_DIGITS "0123456789abcdef"
#define IDENTIFIER_SIZE 64

/* ---- names
 * --------------------------------------------------------------------------------------------- */

/* digestset.Lookup: an ID whose hex digits begin with term, if there is just one. */
static int search_prefix(struct towline_store *store, const char *term, char ret_id[DIGEST_MAX],
	struct error **reterr)
{
	cleanup_image_ids struct image_ids ids = {NULL, 0};
	const char *hex = str_has_prefix(term, "sha256:") ? term + strlen("sha256:") : term;
	const char *found = NULL;

	if (!*hex || strspn(hex, HEX_DIGITS) != strlen(hex))
		return 1;
	if (image_store_list(store->images, &ids, reterr) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		if (!str_has_prefix(digest_encoded(ids.items[i]), hex))
			continue;
		if (found)
			return 1; /* ambiguous */
		found = ids.items[i];
	}
	if (!found)
		return 1;
	memcpy(ret_id, found, DIGEST_MAX);
	return 0;
}

static int no_such_image(const char *name, struct error **reterr)
{
	return error_set(reterr, error_classf(CLASS_NOT_FOUND, "No such image: %s", name));
}

/* A whole ID, with or without "sha256:". */
static bool is_identifier(const char *name)
{
	return (strlen(name) == IDENTIFIER_SIZE && strspn(name, HEX_DIGITS) == IDENTIFIER_SIZE) ||
	       digest_validate(name, strlen(name), NULL) == 0;
}

static int resolve_identifier(struct towline_store *store, const char *name,
	char ret_id[DIGEST_MAX], struct error **reterr)
{
	cleanup_free char *id = str_printf("%s%s", strchr(name, ':') ? "" : "sha256:", name);

	if (!id)
		return error_set(reterr, &error_no_memory);
	if (!image_store_has(store->images, id))
		return no_such_image(id, reterr);
	memcpy(ret_id, id, strlen(id) + 1);
	return 0;
}

/* The image that the store of references knows. 1: none. */
static int resolve_reference(struct towline_store *store, const struct reference *ref,
	char ret_id[DIGEST_MAX], struct error **reterr)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *id = NULL;

	if (reference_store_get(store->references, ref, &id, &err) < 0)
		return error_class_of(err) == CLASS_NOT_FOUND ? 1
							      : error_set(reterr, error_ref(err));
	if (strlen(id) >= DIGEST_MAX || !image_store_has(store->images, id))
		return 1;
	memcpy(ret_id, id, strlen(id) + 1);
	return 0;
}

int images_resolve(struct towline_store *store, const char *name, char ret_id[DIGEST_MAX],
	struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_reference struct reference *tagged = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *familiar = NULL;
	int r;

	if (is_identifier(name))
		return resolve_identifier(store, name, ret_id, reterr);
	if (reference_parse_normalized_named(name, &ref, &err) < 0)
		return error_set(
			reterr, err == &error_no_memory
					? &error_no_memory
					: error_errdefs(CLASS_INVALID_PARAMETER, error_ref(err)));
	r = resolve_reference(store, ref, ret_id, reterr);
	if (r == 1)
		r = search_prefix(store, name, ret_id, reterr);
	if (r != 1)
		return r;
	if (reference_tag_name_only(ref, &tagged, reterr) < 0)
		return -1;
	familiar = reference_familiar_string(tagged);
	return familiar ? no_such_image(familiar, reterr) : error_set(reterr, &error_no_memory);
}

/* ---- what is said of one image
 * -------------------------------------------------------------------------- */

/* A NULL-terminated list of strings, in one allocation with them. */
struct strings {
	const char **items;
	size_t n;
};

static int strings_add(struct strings *s, char *text, struct error **reterr)
{
	const char **grown = text ? reallocarray(s->items, s->n + 2, sizeof(*grown)) : NULL;

	if (!grown) {
		free(text);
		return error_set(reterr, &error_no_memory);
	}
	s->items = grown;
	grown[s->n++] = text;
	grown[s->n] = NULL;
	return 0;
}

static void strings_free(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free((char *)s->items[i]);
	free(s->items);
}
#define cleanup_strings __attribute__((cleanup(strings_free)))

static const char *const *strings_list(const struct strings *s)
{
	static const char *const none[] = {NULL};

	return s->items ? s->items : none;
}

static int add_references(struct towline_store *store, const char *id, struct strings *tags,
	struct strings *digests, struct error **reterr)
{
	cleanup_reference_list struct reference_list list = {NULL, 0};

	if (reference_store_references(store->references, id, &list, reterr) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++) {
		const struct reference *ref = list.items[i].ref;

		if (strings_add(reference_is_canonical(ref) ? digests : tags,
			    reference_familiar_string(ref), reterr) < 0)
			return -1;
	}
	return 0;
}

/* Bytes of all its layers, unpacked; what is missing counts as nothing. */
static int64_t image_size(struct towline_store *store, const struct stored_image *image)
{
	int64_t size = 0;

	for (size_t i = 0; i < image->rootfs->ndiff_ids; i++) {
		struct layer_info info;

		if (!layer_store_info(store->layers, image->chain_ids[i], &info, NULL))
			size += info.size;
	}
	return size;
}

/* Its description goes to the sink. *code is the sink's answer; -1 where it could not be made. */
static int describe(struct towline_store *store, const struct stored_image *image,
	const struct image_pull_sink *sink, int *code, struct error **reterr)
{
	const struct json_value *root = json_root(image->json);
	cleanup_strings struct strings tags = {NULL, 0};
	cleanup_strings struct strings digests = {NULL, 0};
	cleanup_strings struct strings chain_ids = {NULL, 0};
	cleanup_strings struct strings diff_ids = {NULL, 0};

	if (add_references(store, image->id, &tags, &digests, reterr) < 0)
		return -1;
	for (size_t i = 0; i < image->rootfs->ndiff_ids; i++)
		if (strings_add(&chain_ids, strdup(image->chain_ids[i]), reterr) < 0 ||
			strings_add(&diff_ids, strdup(image->rootfs->diff_ids[i]), reterr) < 0)
			return -1;

	const struct towline_image value = {
		.struct_size = sizeof(value),
		.id = image->id,
		.repo_tags = strings_list(&tags),
		.repo_digests = strings_list(&digests),
		.created = json_get_string(root, "created", ""),
		.os = json_get_string(root, "os", ""),
		.architecture = json_get_string(root, "architecture", ""),
		.variant = json_get_string(root, "variant", ""),
		.size = image_size(store, image),
		.config = image->config,
		.config_size = image->config_size,
		.chain_ids = strings_list(&chain_ids),
		.diff_ids = strings_list(&diff_ids),
	};

	*code = sink_value(sink, &value, sizeof(value));
	return 0;
}

int towline_image_get(
	struct towline_store *store, const char *name, const struct image_pull_sink *sink)
{
	cleanup_stored_image struct stored_image *image = NULL;
	struct error *err = NULL;
	char id[DIGEST_MAX];
	int code;

	if (images_resolve(store, name, id, &err) < 0 ||
		stored_image_get(store, id, &image, &err) < 0 ||
		describe(store, image, sink, &code, &err) < 0)
		return sink_error(sink, err);
	return code;
}

/* ---- all of them
 * --------------------------------------------------------------------------------------- */

/* n digits at *s, which moves behind them; -1 if they are not there. */
static int digits(const char **s, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		value = value * 10 + (**s - '0');
	}
	return value;
}

int64_t images_parse_time(const char *s)
{
	struct tm tm = {.tm_isdst = 0};
	int64_t nanos = 0, scale = 100000000;
	int offset = 0;

	tm.tm_year = digits(&s, 4) - 1900;
	if (*s++ != '-')
		return INT64_MIN;
	tm.tm_mon = digits(&s, 2) - 1;
	if (*s++ != '-')
		return INT64_MIN;
	tm.tm_mday = digits(&s, 2);
	if (*s++ != 'T')
		return INT64_MIN;
	tm.tm_hour = digits(&s, 2);
	if (*s++ != ':')
		return INT64_MIN;
	tm.tm_min = digits(&s, 2);
	if (*s++ != ':')
		return INT64_MIN;
	tm.tm_sec = digits(&s, 2);
	/* Years outside nanoseconds' reach (1678-2261) all come first. */
	if (tm.tm_year < -220 || tm.tm_year > 360 || tm.tm_sec < 0)
		return INT64_MIN;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10)
			nanos += (*s - '0') * scale;
	if (*s == '+' || *s == '-') {
		int sign = *s++ == '+' ? 1 : -1;
		int hours = digits(&s, 2);

		if (*s == ':')
			s++;
		offset = sign * (hours * 60 + digits(&s, 2)) * 60;
	}
	return ((int64_t)timegm(&tm) - offset) * 1000000000 + nanos;
}

struct listed {
	struct stored_image *image;
	int64_t created;
};

static int newest_first(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->created != y->created)
		return x->created > y->created ? -1 : 1;
	return strcmp(x->image->id, y->image->id);
}

struct list {
	struct listed *items;
	size_t n;
};

static void list_free(struct list *list)
{
	for (size_t i = 0; i < list->n; i++)
		stored_image_free(list->items[i].image);
	free(list->items);
}
#define cleanup_list __attribute__((cleanup(list_free)))

static int list_all(struct towline_store *store, struct list *list, struct error **reterr)
{
	cleanup_image_ids struct image_ids ids = {NULL, 0};

	if (image_store_list(store->images, &ids, reterr) < 0)
		return -1;
	list->items = calloc(ids.n + 1, sizeof(*list->items));
	if (!list->items)
		return error_set(reterr, &error_no_memory);
	for (size_t i = 0; i < ids.n; i++) {
		cleanup_error struct error *err = NULL;
		struct stored_image *image;

		if (stored_image_get(store, ids.items[i], &image, &err) < 0) {
			if (err == &error_no_memory)
				return error_set(reterr, &error_no_memory);
			/* The others are there for all that; fsck says more. */
			log_error(&store->log, "invalid image %s, %s", ids.items[i], err->message);
			continue;
		}
		list->items[list->n].created =
			images_parse_time(json_get_string(json_root(image->json), "created", ""));
		list->items[list->n++].image = image;
	}
	qsort(list->items, list->n, sizeof(*list->items), newest_first);
	return 0;
}

int towline_images(struct towline_store *store, const struct image_pull_sink *sink)
{
	cleanup_list struct list list = {NULL, 0};
	struct error *err = NULL;
	int code = IMAGE_PULL_OK;

	if (list_all(store, &list, &err) < 0)
		return sink_error(sink, err);
	for (size_t i = 0; i < list.n && code == IMAGE_PULL_OK; i++)
		if (describe(store, list.items[i].image, sink, &code, &err) < 0)
			return sink_error(sink, err);
	return code;
}

int towline_tag(struct towline_store *store, const char *name, const char *new_reference,
	const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	struct error *err = NULL;
	char id[DIGEST_MAX];

	if (reference_parse_normalized_named(new_reference, &ref, &err) < 0)
		return sink_error(sink, err == &error_no_memory
						? err
						: error_errdefs(CLASS_INVALID_PARAMETER, err));
	if (images_resolve(store, name, id, &err) < 0 ||
		store_add_reference(store, ref, id, false, true, &err) < 0)
		return sink_error(sink, err);
	return IMAGE_PULL_OK;
}
