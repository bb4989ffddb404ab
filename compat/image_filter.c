/* SPDX-License-Identifier: Apache-2.0 */
/* Which images a list shows. Go counterparts: api/types/filters, ImageService.Images. */
#include "config.h"

#include "image_filter.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json_decode.h"
#include "images.h"
#include "sink.h"

#define GO_ZERO_TIME_SECONDS (-62135596800)

struct image_filter {
	struct json *json;               /* NULL: no filters */
	const struct json_value *fields; /* an object of objects, or of lists (the old form) */
	const char *reference;           /* one more pattern; borrowed */
	bool dangling, dangling_only;    /* "dangling" is given, and is true */
	int64_t before, since;           /* in ns */
	bool has_before, has_since;
	struct error *err;
};

/* ---- the values of a key: an object's keys, or a list's texts */

static const struct json_value *values_of(const struct image_filter *f, const char *key)
{
	return f->fields ? json_get_exact(f->fields, key) : NULL;
}

static const char *value_at(const struct json_value *values, size_t i)
{
	return values->type == JSON_OBJECT ? values->members[i].key : values->items[i].text;
}

static bool has_value(const struct json_value *values, const char *value)
{
	for (size_t i = 0; i < values->count; i++)
		if (strcmp(value_at(values, i), value) == 0)
			return values->type == JSON_ARRAY || values->members[i].value.boolean;
	return false;
}

/* ---- reading them */

/* map[string]map[string]bool, else map[string][]string. */
static bool is_args(const struct json_value *root)
{
	if (root->type != JSON_OBJECT)
		return false;
	for (size_t i = 0; i < root->count; i++) {
		const struct json_value *v = &root->members[i].value;

		if (v->type != JSON_OBJECT && v->type != JSON_ARRAY)
			return false;
		for (size_t k = 0; k < v->count; k++)
			if (v->type == JSON_OBJECT ? v->members[k].value.type != JSON_BOOL
						   : v->items[k].type != JSON_STRING)
				return false;
	}
	return true;
}

static int check_keys(const struct image_filter *f, struct error **reterr)
{
	static const char *const accepted[] = {"dangling", "label", "before", "since", "reference"};

	for (size_t i = 0; i < f->fields->count; i++) {
		const char *key = f->fields->members[i].key;
		size_t k = 0;

		while (k < ARRAY_SIZE(accepted) && strcmp(accepted[k], key) != 0)
			k++;
		if (k == ARRAY_SIZE(accepted))
			return error_set(reterr,
				error_classf(CLASS_INVALID_PARAMETER, "Invalid filter '%s'", key));
	}
	return 0;
}

static int read_dangling(struct image_filter *f, struct error **reterr)
{
	const struct json_value *values = values_of(f, "dangling");

	if (!values)
		return 0;
	f->dangling = true;
	f->dangling_only = !values->count || has_value(values, "true");
	if (f->dangling_only || has_value(values, "false"))
		return 0;
	return error_set(reterr, error_classf(CLASS_INVALID_PARAMETER,
					 "Invalid filter 'dangling=[%s]'", value_at(values, 0)));
}

static int take_created(void *receiver, const void *data, size_t size)
{
	const struct towline_image *image = data;

	(void)size;
	*(int64_t *)receiver = images_parse_time(image->created);
	return IMAGE_PULL_OK;
}

/* The time of the image that the key names; the last of several counts. */
static int read_time(struct image_filter *f, struct towline_store *store, const char *key,
	bool *ret_given, int64_t *ret, struct error **reterr)
{
	const struct json_value *values = values_of(f, key);

	for (size_t i = 0; values && i < values->count; i++) {
		char id[DIGEST_MAX];
		const struct image_pull_sink sink = {
			.struct_size = sizeof(sink), .receiver = ret, .value = take_created};

		if (images_resolve(store, value_at(values, i), id, reterr) < 0)
			return -1;
		if (towline_image_get(store, id, &sink) != IMAGE_PULL_OK)
			return error_set(
				reterr, error_classf(CLASS_NOT_FOUND, "No such image: %s", id));
		*ret_given = true;
	}
	return 0;
}

static int read_filters(struct image_filter *f, struct towline_store *store, const char *text,
	struct error **reterr)
{
	if (json_parse(text, strlen(text), &f->json, reterr) < 0)
		return -1;
	if (json_root(f->json)->type == JSON_NULL)
		return 0;
	if (!is_args(json_root(f->json)))
		return error_setf(reterr, "invalid filters: not an object of objects: %s", text);
	f->fields = json_root(f->json);
	if (check_keys(f, reterr) < 0 || read_dangling(f, reterr) < 0 ||
		read_time(f, store, "before", &f->has_before, &f->before, reterr) < 0 ||
		read_time(f, store, "since", &f->has_since, &f->since, reterr) < 0)
		return -1;
	return 0;
}

int image_filter_new(struct towline_store *store, const struct towline_list_options *options,
	struct image_filter **ret, struct error **reterr)
{
	struct image_filter *f = calloc(1, sizeof(*f));

	if (!f)
		return error_set(reterr, &error_no_memory);
	if (options && options->reference && *options->reference)
		f->reference = options->reference;
	if (options && options->filters && *options->filters &&
		read_filters(f, store, options->filters, reterr) < 0) {
		image_filter_free(f);
		return -1;
	}
	*ret = f;
	return 0;
}

void image_filter_free(struct image_filter *f)
{
	if (!f)
		return;
	json_free(f->json);
	error_unref(f->err);
	free(f);
}

struct error **image_filter_error(struct image_filter *f)
{
	return &f->err;
}

/* ---- using them */

static const struct json_text *label(const struct json_slice *labels, const char *name, size_t size)
{
	const struct json_entry *entries = labels->items;

	for (size_t i = labels->count; i-- > 0;)
		if (entries[i].key.size == size && memcmp(entries[i].key.data, name, size) == 0)
			return entries[i].value;
	return NULL;
}

/* MatchKVList: all of them, "name" or "name=value". */
static bool has_labels(const struct json_value *wanted, const struct json_slice *labels)
{
	for (size_t i = 0; i < wanted->count; i++) {
		const char *want = value_at(wanted, i);
		size_t size = strcspn(want, "=");
		const struct json_text *got = labels ? label(labels, want, size) : NULL;

		if (!got || (want[size] && strcmp(want + size + 1, json_str(*got)) != 0))
			return false;
	}
	return true;
}

bool image_filter_admits(const struct image_filter *f, const struct towline_image *image,
	const struct json_slice *labels)
{
	const struct json_value *wanted = values_of(f, "label");
	int64_t created = images_parse_time(image->created);

	if (f->has_before && created >= f->before)
		return false;
	if (f->has_since && created <= f->since)
		return false;
	return !wanted || (labels && has_labels(wanted, labels));
}

/* path.Match's ErrBadPattern. */
static bool is_pattern(const char *p)
{
	for (; *p; p++) {
		if (*p == '\\' && !*++p)
			return false;
		if (*p != '[')
			continue;
		p += p[1] == '^' ? 2 : 1;
		if (*p == ']')
			return false;
		for (; *p != ']'; p++) {
			if (*p == '\\')
				p++;
			if (!*p)
				return false;
		}
	}
	return true;
}

/* reference.FamiliarMatch, of the familiar text of a reference. 1, 0 or -1. */
static int matches(const char *pattern, const char *familiar, struct error **reterr)
{
	const char *end = strchr(familiar, '@');
	cleanup_free char *name = NULL;

	if (!is_pattern(pattern))
		return error_setf(reterr, "syntax error in pattern");
	if (fnmatch(pattern, familiar, FNM_PATHNAME) == 0)
		return 1;
	if (!end)
		end = strrchr(familiar, ':');
	name = end ? strndup(familiar, (size_t)(end - familiar)) : strdup(familiar);
	if (!name)
		return error_set(reterr, &error_no_memory);
	return fnmatch(pattern, name, FNM_PATHNAME) == 0;
}

static int matches_any(const struct image_filter *f, const char *familiar, struct error **reterr)
{
	const struct json_value *patterns = values_of(f, "reference");
	int r = 0;

	if (!patterns && !f->reference)
		return 1;
	for (size_t i = 0; patterns && r == 0 && i < patterns->count; i++)
		r = matches(value_at(patterns, i), familiar, reterr);
	if (r == 0 && f->reference)
		r = matches(f->reference, familiar, reterr);
	return r;
}

static int keep_names(const struct image_filter *f, const char *const *names, struct arena *arena,
	const char ***ret, struct error **reterr)
{
	const char **kept;
	size_t n = 0;

	while (names[n])
		n++;
	kept = arena_alloc_array(arena, n + 1, sizeof(*kept));
	if (!kept)
		return error_set(reterr, &error_no_memory);
	*ret = kept;
	for (size_t i = 0; i < n; i++) {
		int r = matches_any(f, names[i], reterr);

		if (r < 0)
			return -1;
		if (r)
			*kept++ = names[i];
	}
	return 0;
}

int image_filter_names(const struct image_filter *f, const struct towline_image *image,
	struct arena *arena, const char ***ret_tags, const char ***ret_digests,
	struct error **reterr)
{
	if (keep_names(f, image->repo_tags, arena, ret_tags, reterr) < 0 ||
		keep_names(f, image->repo_digests, arena, ret_digests, reterr) < 0)
		return -1;
	if (**ret_tags || **ret_digests)
		return !(f->dangling_only && **ret_tags);
	if (f->dangling && !f->dangling_only)
		return 0;
	return !values_of(f, "reference") && !f->reference;
}

int64_t image_created_seconds(const char *created)
{
	int64_t ns = images_parse_time(created);

	if (ns == INT64_MIN)
		return GO_ZERO_TIME_SECONDS;
	return ns / 1000000000 - (ns % 1000000000 < 0);
}
