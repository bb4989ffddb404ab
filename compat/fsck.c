/* SPDX-License-Identifier: Apache-2.0 */
/* What is damaged in a store is found and, if that is wanted, dropped. Go counterpart: none. */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "image_remove.h"
#include "images.h"
#include "sink.h"
#include "store.h"

struct damage {
	char *diff_id, *chain_id;
};

struct checking {
	struct towline_store *store;
	const struct image_pull_sink *sink;
	bool deep, repair;
	unsigned damaged;
	int code;
	struct damage *layers; /* to be dropped */
	size_t nlayers;
	bool oom;
};

static void found(struct checking *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct checking *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void vsay(struct checking *c, const char *fmt, va_list ap)
{
	cleanup_buf struct buf line = {0};

	buf_vappendf(&line, fmt, ap);
	if (line.oom)
		c->code = sink_no_memory(c->sink);
	if (c->code == IMAGE_PULL_OK)
		c->code = sink_value(c->sink, line.data, line.size);
}

/* A finding. */
static void found(struct checking *c, const char *fmt, ...)
{
	va_list ap;

	c->damaged++;
	va_start(ap, fmt);
	vsay(c, fmt, ap);
	va_end(ap);
}

/* What was done about one. */
static void note(struct checking *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(c, fmt, ap);
	va_end(ap);
}

static void take_damage(void *arg, const struct layer_damage *damage)
{
	struct checking *c = arg;
	struct damage *grown;

	found(c, "%s", damage->text);
	for (size_t i = 0; i < c->nlayers; i++)
		if (!strcmp(c->layers[i].diff_id, damage->diff_id) &&
			!strcmp(c->layers[i].chain_id, damage->chain_id))
			return;
	grown = reallocarray(c->layers, c->nlayers + 1, sizeof(*grown));
	if (!grown) {
		c->oom = true;
		return;
	}
	c->layers = grown;
	grown[c->nlayers] = (struct damage){strdup(damage->diff_id), strdup(damage->chain_id)};
	if (grown[c->nlayers].diff_id && grown[c->nlayers].chain_id) {
		c->nlayers++;
		return;
	}
	free(grown[c->nlayers].diff_id);
	free(grown[c->nlayers].chain_id);
	c->oom = true;
}

static int check_layers(struct checking *c, struct error **reterr)
{
	unsigned ignored = 0; /* each comes to take_damage */

	if (layer_store_check(c->store->layers, c->deep, take_damage, c, &ignored, reterr) < 0)
		return -1;
	if (c->oom)
		return error_set(reterr, &error_no_memory);
	for (size_t i = 0; c->repair && i < c->nlayers; i++) {
		const struct damage *d = &c->layers[i];
		cleanup_error struct error *err = NULL;
		const char *what = *d->diff_id ? d->diff_id : d->chain_id;

		if (!layer_store_drop(c->store->layers, d->diff_id, d->chain_id, &err))
			note(c, "layer %s: dropped", what);
		else
			note(c, "layer %s: cannot be dropped: %s", what, err->message);
	}
	return 0;
}

/* Its references go with it: they are said, so that somebody can pull them again. */
static int drop_image(struct checking *c, const char *id, struct error **reterr)
{
	cleanup_reference_list struct reference_list refs = {NULL, 0};
	cleanup_error struct error *err = NULL;

	if (reference_store_references(c->store->references, id, &refs, reterr) < 0)
		return -1;
	if (image_store_delete(c->store->images, id, &err) < 0) {
		note(c, "image %s: cannot be dropped: %s", id, err->message);
		return 0;
	}
	note(c, "image %s: dropped", id);
	for (size_t i = 0; i < refs.n; i++) {
		cleanup_free char *familiar = reference_familiar_string(refs.items[i].ref);

		if (!familiar)
			return error_set(reterr, &error_no_memory);
		if (reference_store_delete_if(c->store->references, refs.items[i].ref, id, &err) <
			0)
			return error_set(reterr, error_ref(err));
		note(c, "reference %s: dropped, pull it again", familiar);
	}
	return 0;
}

static int check_image(struct checking *c, const char *id, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	cleanup_error struct error *damage = NULL;
	cleanup_error struct error *missing = NULL;
	struct layer_info info;
	int r = image_examine(c->store, id, &image, &damage, reterr);

	if (r < 0)
		return -1;
	if (r)
		found(c, "image %s: %s", id, damage->message);
	else if (*stored_image_chain_id(image) &&
		 layer_store_info(c->store->layers, stored_image_chain_id(image), &info, &missing) <
			 0)
		found(c, "image %s: %s", id, missing->message);
	else
		return 0;
	return c->repair ? drop_image(c, id, reterr) : 0;
}

static int check_images(struct checking *c, struct error **reterr)
{
	cleanup_image_ids struct image_ids ids = {NULL, 0};

	if (image_store_list(c->store->images, &ids, reterr) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++)
		if (check_image(c, ids.items[i], reterr) < 0)
			return -1;
	return 0;
}

/* A file of names that cannot be read: the images stay, without names. 1: it is still so. */
static int check_names(struct checking *c, struct error **reterr)
{
	cleanup_error struct error *damage = NULL;

	if (reference_store_check(c->store->references, c->repair, &damage, reterr) < 0)
		return -1;
	if (!damage)
		return 0;
	found(c, "repositories.json: %s", damage->message);
	if (!c->repair)
		return 1;
	note(c, "repositories.json: renamed to repositories.json.damaged, all names are dropped: "
		"pull or tag again");
	return 0;
}

static int check_references(struct checking *c, struct error **reterr)
{
	cleanup_reference_list struct reference_list refs = {NULL, 0};

	if (reference_store_all(c->store->references, &refs, reterr) < 0)
		return -1;
	for (size_t i = 0; i < refs.n; i++) {
		const char *id = refs.items[i].id;
		cleanup_free char *familiar = reference_familiar_string(refs.items[i].ref);
		cleanup_error struct error *err = NULL;

		if (!familiar)
			return error_set(reterr, &error_no_memory);
		if (image_store_has(c->store->images, id))
			continue;
		found(c, "reference %s: its image %s is not there", familiar, id);
		if (!c->repair)
			continue;
		if (!reference_store_delete_if(c->store->references, refs.items[i].ref, id, &err))
			note(c, "reference %s: dropped, pull it again", familiar);
		else
			note(c, "reference %s: cannot be dropped: %s", familiar, err->message);
	}
	return 0;
}

/* What a pull has noted of layers: a digest, or a list of them as JSON. */
static int check_metadata_key(void *arg, const char *name_space, const char *key)
{
	struct checking *c = arg;
	cleanup_error struct error *err = NULL;
	cleanup_free char *value = NULL;
	cleanup_json struct json *json = NULL;
	size_t size = 0;

	if (!metadata_store_get(c->store->metadata, name_space, key, &value, &size, &err)) {
		if (!strcmp(name_space, "diffid-by-digest"))
			(void)digest_validate(value, size, &err);
		else if (!strcmp(name_space, "v2metadata-by-diffid"))
			(void)json_parse(value, size, &json, &err);
	}
	if (!err || error_class_of(err) == CLASS_NOT_FOUND)
		return 0;
	found(c, "metadata %s/%s: %s", name_space, key, err->message);
	/* A note is worth no more than the bytes that the next pull fetches without it. */
	if (c->repair && !metadata_store_remove(c->store->metadata, name_space, key, NULL))
		note(c, "metadata %s/%s: dropped", name_space, key);
	return 0;
}

static int check_all(void *arg, struct error **reterr)
{
	struct checking *c = arg;

	int names = c->repair ? 0 : check_names(c, reterr);

	if (names < 0 || check_layers(c, reterr) < 0 || check_images(c, reterr) < 0 ||
		(!names && check_references(c, reterr) < 0))
		return -1;
	return metadata_store_each(c->store->metadata, check_metadata_key, c, reterr);
}

int towline_fsck(struct towline_store *store, int deep, int repair, unsigned *damaged,
	const struct image_pull_sink *sink)
{
	struct checking c = {.store = store,
		.sink = sink,
		.deep = deep,
		.repair = repair,
		.code = IMAGE_PULL_OK};
	struct error *err = NULL;
	int code;

	/* The names first: nobody can lock a file that cannot be read. */
	if (repair && check_names(&c, &err) < 0)
		code = sink_error(sink, err);
	else if (repair)
		code = store_run_locked(store, check_all, &c, sink);
	else
		code = check_all(&c, &err) < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
	for (size_t i = 0; i < c.nlayers; i++) {
		free(c.layers[i].diff_id);
		free(c.layers[i].chain_id);
	}
	free(c.layers);
	if (damaged)
		*damaged = c.damaged;
	return code == IMAGE_PULL_OK ? c.code : code;
}
