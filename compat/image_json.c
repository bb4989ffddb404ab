/* SPDX-License-Identifier: Apache-2.0 */
/* Images as Docker Engine's API shows them. Go counterparts: daemon/images (images.go,
 * image_inspect.go), api/types (ImageInspect, ImageSummary). */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "image/v1_image.h"
#include "image_filter.h"
#include "sink.h"
#include "towline.h"

/* ---- the two structs */

struct graph_driver {
	struct json_slice data; /* a nil map */
	struct json_text name;
};

struct api_rootfs {
	struct json_text type;
	struct json_slice layers;
};

struct image_metadata {
	struct go_time last_tag_time;
};

struct image_inspect {
	struct json_text id;
	struct json_slice repo_tags, repo_digests;
	struct json_text parent, comment;
	struct go_time created;
	struct json_text container;
	struct container_config container_config;
	struct json_text docker_version, author;
	struct container_config *config;
	struct json_text architecture, variant, os, os_version;
	struct json_int size;
	struct graph_driver graph_driver;
	struct api_rootfs rootfs;
	struct image_metadata metadata;
};

struct image_summary {
	struct json_int containers, created;
	struct json_text id;
	struct json_slice labels;
	struct json_text parent_id;
	struct json_slice repo_digests, repo_tags;
	struct json_int shared_size, size;
};

#define FIELD(type, json_name, member, schema, flags)                                              \
	{                                                                                          \
		(json_name), offsetof(type, member), (schema), (flags)                             \
	}

#define DRIVER(name, member, schema) FIELD(struct graph_driver, name, member, schema, 0)
static const struct json_field driver_fields[] = {
	DRIVER("Data", data, &image_labels_schema),
	DRIVER("Name", name, &json_schema_string),
};
static const struct json_schema driver_schema =
	JSON_STRUCT("types.GraphDriverData", "GraphDriverData", struct graph_driver, driver_fields);

static const struct json_field api_rootfs_fields[] = {
	FIELD(struct api_rootfs, "Type", type, &json_schema_string, 0),
	FIELD(struct api_rootfs, "Layers", layers, &json_schema_strings, JSON_OMIT_EMPTY),
};
static const struct json_schema api_rootfs_schema =
	JSON_STRUCT("types.RootFS", "RootFS", struct api_rootfs, api_rootfs_fields);

static const struct json_field metadata_fields[] = {
	FIELD(struct image_metadata, "LastTagTime", last_tag_time, &json_schema_time, 0),
};
static const struct json_schema metadata_schema =
	JSON_STRUCT("types.ImageMetadata", "ImageMetadata", struct image_metadata, metadata_fields);
static const struct json_schema config_pointer = JSON_POINTER_TO(&container_config_schema);

#define INSPECT(name, member, schema) FIELD(struct image_inspect, name, member, schema, 0)
#define INSPECT_STRING(name, member) INSPECT(name, member, &json_schema_string)
static const struct json_field inspect_fields[] = {
	INSPECT_STRING("Id", id),
	INSPECT("RepoTags", repo_tags, &json_schema_strings),
	INSPECT("RepoDigests", repo_digests, &json_schema_strings),
	INSPECT_STRING("Parent", parent),
	INSPECT_STRING("Comment", comment),
	INSPECT("Created", created, &json_schema_time),
	INSPECT_STRING("Container", container),
	INSPECT("ContainerConfig", container_config, &container_config_schema),
	INSPECT_STRING("DockerVersion", docker_version),
	INSPECT_STRING("Author", author),
	INSPECT("Config", config, &config_pointer),
	INSPECT_STRING("Architecture", architecture),
	FIELD(struct image_inspect, "Variant", variant, &json_schema_string, JSON_OMIT_EMPTY),
	INSPECT_STRING("Os", os),
	FIELD(struct image_inspect, "OsVersion", os_version, &json_schema_string, JSON_OMIT_EMPTY),
	INSPECT("Size", size, &json_schema_int64),
	INSPECT("VirtualSize", size, &json_schema_int64),
	INSPECT("GraphDriver", graph_driver, &driver_schema),
	INSPECT("RootFS", rootfs, &api_rootfs_schema),
	INSPECT("Metadata", metadata, &metadata_schema),
};
static const struct json_schema inspect_schema =
	JSON_STRUCT("types.ImageInspect", "ImageInspect", struct image_inspect, inspect_fields);

#define SUMMARY(name, member, schema) FIELD(struct image_summary, name, member, schema, 0)
static const struct json_field summary_fields[] = {
	SUMMARY("Containers", containers, &json_schema_int64),
	SUMMARY("Created", created, &json_schema_int64),
	SUMMARY("Id", id, &json_schema_string),
	SUMMARY("Labels", labels, &image_labels_schema),
	SUMMARY("ParentId", parent_id, &json_schema_string),
	SUMMARY("RepoDigests", repo_digests, &json_schema_strings),
	SUMMARY("RepoTags", repo_tags, &json_schema_strings),
	SUMMARY("SharedSize", shared_size, &json_schema_int64),
	SUMMARY("Size", size, &json_schema_int64),
	SUMMARY("VirtualSize", size, &json_schema_int64),
};
static const struct json_schema summary_schema =
	JSON_STRUCT("types.ImageSummary", "ImageSummary", struct image_summary, summary_fields);

/* ---- out of a configuration */

static struct json_text text_of(const char *s)
{
	return (struct json_text){s, s ? strlen(s) : 0};
}

/* -1: no memory. An empty list stays nil if nil_if_empty. */
static int list_of(
	const char *const *items, bool nil_if_empty, struct arena *arena, struct json_slice *ret)
{
	struct json_text *texts;
	size_t n = 0;

	while (items[n])
		n++;
	*ret = (struct json_slice){0};
	if (!n && nil_if_empty)
		return 0;
	texts = arena_alloc_array(arena, n, sizeof(*texts));
	if (!texts)
		return -1;
	for (size_t i = 0; i < n; i++)
		texts[i] = text_of(items[i]);
	*ret = (struct json_slice){texts, n, n};
	return 0;
}

/* Go has refused what does not decode when the image came; here it is shown as far as it goes. -1:
 * no memory. */
static int decode(const struct towline_image *image, struct arena *arena, struct image *ret)
{
	cleanup_error struct error *err = NULL;

	if (json_unmarshal(image->config, image->config_size, &image_schema, ret, arena, &err) <
			0 &&
		err == &error_no_memory)
		return -1;
	return 0;
}

/* What the last step of the history says, where the image itself says nothing. */
static struct json_text comment_of(const struct image *image)
{
	const struct image_history *history = image->history.items;

	if (image->v1.comment.size || !image->history.count)
		return image->v1.comment;
	return history[image->history.count - 1].comment;
}

static int inspect(const struct towline_image *image, struct arena *arena, struct buf *b)
{
	struct image config = {0};
	struct image_inspect i = {0};

	if (decode(image, arena, &config) < 0 ||
		list_of(image->repo_tags, false, arena, &i.repo_tags) < 0 ||
		list_of(image->repo_digests, false, arena, &i.repo_digests) < 0 ||
		list_of(image->diff_ids, true, arena, &i.rootfs.layers) < 0)
		return -1;
	i.id = text_of(image->id);
	i.parent = config.parent;
	i.comment = comment_of(&config);
	i.created = config.v1.created;
	i.container = config.v1.container;
	i.container_config = config.v1.container_config;
	i.docker_version = config.v1.docker_version;
	i.author = config.v1.author;
	i.config = config.v1.config;
	i.architecture = text_of(image->architecture);
	i.variant = text_of(image->variant);
	i.os = text_of(*image->os ? image->os : "linux");
	i.os_version = config.os_version;
	i.size.value = image->size;
	i.graph_driver.name = text_of("towline");
	if (config.rootfs)
		i.rootfs.type = config.rootfs->type;
	json_marshal_plain(b, &inspect_schema, &i);
	return b->oom ? -1 : 0;
}

/* ---- answers */

/* A call's values become JSON in b; its failure's text is the caller's. */
struct collected {
	const struct image_pull_sink *sink;
	struct buf b;
	struct image_filter *filter; /* of a list */
	size_t n;
};

static void hand_on(void *receiver, const char *text)
{
	const struct collected *c = receiver;

	if (c->sink && c->sink->message)
		c->sink->message(c->sink->receiver, text);
}

static int collected_end(struct collected *c, int code)
{
	if (code == IMAGE_PULL_OK)
		code = c->b.oom ? sink_no_memory(c->sink)
				: sink_value(c->sink, c->b.data, c->b.size);
	buf_free(&c->b);
	return code;
}

static int inspect_value(void *receiver, const void *data, size_t size)
{
	struct collected *c = receiver;
	cleanup_arena struct arena *arena = arena_new();

	(void)size; /* this library's own struct */
	return arena && inspect(data, arena, &c->b) == 0 ? IMAGE_PULL_OK : IMAGE_PULL_NO_MEMORY;
}

int towline_image_json(
	struct towline_store *store, const char *name, const struct image_pull_sink *sink)
{
	struct collected c = {.sink = sink};
	const struct image_pull_sink ours = {.struct_size = sizeof(ours),
		.receiver = &c,
		.value = inspect_value,
		.message = hand_on};

	return collected_end(&c, towline_image_get(store, name, &ours));
}

/* ---- the list */

/* The names that the filter leaves, both lists nil where they are empty. 1: show it, 0: leave it
 * out, -1: no memory or *reterr. */
static int list_names(const struct collected *c, const struct towline_image *image,
	struct arena *arena, struct image_summary *s, struct error **reterr)
{
	static const char *const no_tags[] = {"<none>:<none>", NULL};
	static const char *const no_digests[] = {"<none>@<none>", NULL};
	const char **tags, **digests;
	int shown = image_filter_names(c->filter, image, arena, &tags, &digests, reterr);

	if (shown <= 0)
		return shown;
	if (!*tags && !*digests)
		return list_of(no_tags, true, arena, &s->repo_tags) < 0 ||
				       list_of(no_digests, true, arena, &s->repo_digests) < 0
			       ? error_set(reterr, &error_no_memory)
			       : 1;
	return list_of(tags, true, arena, &s->repo_tags) < 0 ||
			       list_of(digests, true, arena, &s->repo_digests) < 0
		       ? error_set(reterr, &error_no_memory)
		       : 1;
}

static int list_image(struct collected *c, const struct towline_image *image, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	struct image_summary s = {.containers.value = -1, .shared_size.value = -1};
	struct image config = {0};
	int shown;

	if (!arena || decode(image, arena, &config) < 0)
		return error_set(reterr, &error_no_memory);
	if (config.v1.config)
		s.labels = config.v1.config->labels;
	if (!image_filter_admits(c->filter, image, config.v1.config ? &s.labels : NULL))
		return 0;
	shown = list_names(c, image, arena, &s, reterr);
	if (shown <= 0)
		return shown;
	s.id = text_of(image->id);
	s.created.value = image_created_seconds(image->created);
	s.parent_id = config.parent;
	s.size.value = image->size;
	buf_append_char(&c->b, c->n++ ? ',' : '[');
	json_marshal_plain(&c->b, &summary_schema, &s);
	return c->b.oom ? error_set(reterr, &error_no_memory) : 0;
}

static int list_value(void *receiver, const void *data, size_t size)
{
	struct collected *c = receiver;

	(void)size;
	/* An error of the filter is kept by it. */
	return list_image(c, data, image_filter_error(c->filter)) == 0 ? IMAGE_PULL_OK
								       : IMAGE_PULL_NO_MEMORY;
}

int towline_images_json(struct towline_store *store, const struct towline_list_options *options,
	const struct image_pull_sink *sink)
{
	struct collected c = {.sink = sink};
	const struct image_pull_sink ours = {.struct_size = sizeof(ours),
		.receiver = &c,
		.value = list_value,
		.message = hand_on};
	struct error *err = NULL;
	int code;

	if (image_filter_new(store, options, &c.filter, &err) < 0)
		return sink_error(sink, err);
	code = towline_images(store, &ours);
	if (*image_filter_error(c.filter)) {
		buf_free(&c.b);
		code = sink_error(sink, steal_ptr(image_filter_error(c.filter)));
	} else {
		buf_append_str(&c.b, c.n ? "]" : "[]");
		code = collected_end(&c, code);
	}
	image_filter_free(c.filter);
	return code;
}
