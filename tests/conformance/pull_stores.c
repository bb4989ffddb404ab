/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: layer/layer_store.go (Register, Get, Release), image/store.go (Create). */
#include "pull_stores.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "image/rootfs.h"
#include "sink.h"
#include "tables.h"
#include "tar_reader.h"
#include "unpacker.h"

#define BLOCK 512

struct layer {
	char chain_id[DIGEST_MAX], diff_id[DIGEST_MAX];
	struct layer *parent;
	long holds; /* of the plugin, of images, of initial and of layers on top */
	struct layer *next;
};

struct image {
	char id[DIGEST_MAX];
	char *config;
	size_t size;
	bool initial;
	struct image *next;
};

struct metadata_entry {
	char *name; /* "namespace/key" */
	char *value;
	size_t size;
	struct metadata_entry *next;
};

struct handle {
	char diff_id[DIGEST_MAX];
};

static int fail(const struct image_pull_sink *sink, int code, const char *text)
{
	sink->message(sink->receiver, text);
	return code;
}

void pull_stores_violation(struct pull_stores *s, const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&s->mutex);
	out_string(&s->violations, NULL, text.data ? text.data : "out of memory");
	pthread_mutex_unlock(&s->mutex);
	buf_free(&text);
}

void pull_stores_check_thread(struct pull_stores *s, const char *callback)
{
	if (!pthread_equal(pthread_self(), s->pull_thread))
		pull_stores_violation(s, "%s ran on a foreign thread", callback);
}

/* ---- tar, as far as archive/tar looks at it */

/* A numeric field: octal digits between spaces and NULs, or base 256. -1: neither. */
static int64_t tar_number(const unsigned char *field, size_t size)
{
	int64_t n = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		n = field[0] & 0x7f;
		for (i = 1; i < size; i++)
			n = n > INT64_MAX >> 8 ? INT64_MAX : n << 8 | field[i];
		return n;
	}
	while (i < size && (field[i] == ' ' || field[i] == '\0'))
		i++;
	for (; i < size && field[i] && field[i] != ' '; i++) {
		if (field[i] < '0' || field[i] > '7')
			return -1;
		n = n << 3 | (field[i] - '0');
	}
	return n;
}

static bool is_zero(const unsigned char *block)
{
	for (size_t i = 0; i < BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

static bool checksum_fits(const unsigned char *block)
{
	int64_t wanted = tar_number(block + 148, 8), plain = 0, with_sign = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		unsigned char c = i >= 148 && i < 156 ? ' ' : block[i];

		plain += c;
		with_sign += (signed char)c;
	}
	return wanted == plain || wanted == with_sign;
}

struct tar {
	const struct image_pull_reader *reader;
	struct hasher *hasher;
};

/* Up to size bytes; how many there were, or -1 if the stream failed. */
static int64_t tar_read(struct tar *t, unsigned char *buf, size_t size)
{
	size_t have = 0;

	while (have < size) {
		int64_t n = t->reader->read(t->reader->context, buf + have, size - have);

		if (n < 0)
			return -1;
		if (!n)
			break;
		hasher_write(t->hasher, buf + have, (size_t)n);
		have += (size_t)n;
	}
	return (int64_t)have;
}

/* The members, then whatever follows. NULL, or what the original's unpacker would say; "" where the
 * stream failed. */
static const char *tar_walk(struct tar *t)
{
	static const char damaged[] = "archive/tar: invalid tar header";
	unsigned char block[BLOCK], chunk[16384];
	int64_t n, size;
	int zeros = 0;

	while (zeros < 2) {
		n = tar_read(t, block, BLOCK);
		if (n <= 0)
			return n < 0 ? "" : NULL;
		if (n < BLOCK)
			return "unexpected EOF";
		if (is_zero(block)) {
			zeros++;
			continue;
		}
		size = tar_number(block + 124, 12);
		if (zeros || !checksum_fits(block) || size < 0)
			return damaged;
		if (block[156] >= '1' && block[156] <= '6')
			size = 0; /* links, devices, folders and fifos have no content */
		size = size > INT64_MAX - BLOCK ? INT64_MAX : (size + BLOCK - 1) / BLOCK * BLOCK;
		while (size > 0) {
			int64_t want =
				size < (int64_t)sizeof(chunk) ? size : (int64_t)sizeof(chunk);

			n = tar_read(t, chunk, (size_t)want);
			if (n < 0)
				return "";
			if (n < want)
				return "unexpected EOF";
			size -= n;
		}
	}
	while ((n = tar_read(t, chunk, sizeof(chunk))) > 0)
		;
	return n < 0 ? "" : NULL;
}

/* Unpack, as far as this store does: the diff ID, or a code with a text for the sink. */
static int unpack(const struct image_pull_reader *reader, const struct image_pull_sink *sink,
	char ret_diff_id[DIGEST_MAX])
{
	struct tar t = {reader, hasher_new("sha256")};
	const char *bad;

	if (!t.hasher)
		return fail(sink, IMAGE_PULL_NO_MEMORY, "out of memory");
	bad = tar_walk(&t);
	hasher_digest(t.hasher, ret_diff_id);
	hasher_free(t.hasher);
	if (!bad)
		return IMAGE_PULL_OK;
	return *bad ? fail(sink, IMAGE_PULL_FAILED, bad) : IMAGE_PULL_FAILED;
}

/* The same of a blob as it is, by the confined unpacker. */
static int unpack_encoded(const char *program, const struct image_pull_reader *reader,
	const struct image_pull_sink *sink, char ret_diff_id[DIGEST_MAX])
{
	const struct unpacker_options options = {
		.program = program, .reader = reader, .max_unpacked = reader->max_unpacked};
	const struct tar_members *m;
	struct error *err = NULL;
	struct tar_entry entry;
	struct unpacker *u;
	int code, n;

	if (unpacker_new(&options, &u, &err) < 0)
		return sink_error(sink, err);
	m = unpacker_members(u);
	while ((n = m->next(m->arg, &entry, &err)) > 0)
		;
	if (!n)
		n = m->drain(m->arg, &err);
	if (!n)
		n = unpacker_diff_id(u, ret_diff_id, &err);
	code = n < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
	unpacker_free(u);
	return code;
}

/* ---- layers; the mutex is held */

static struct layer *layer_find(struct pull_stores *s, const char *chain_id)
{
	struct layer *l = s->layers;

	while (l && strcmp(l->chain_id, chain_id))
		l = l->next;
	return l;
}

/* The layer diff_id on parent ("" for none) with one more hold. NULL: no such parent. */
static struct layer *layer_add(struct pull_stores *s, const char *parent, const char *diff_id)
{
	struct layer *below = *parent ? layer_find(s, parent) : NULL, *l;
	char chain_id[DIGEST_MAX];

	if ((*parent && !below) || chain_id_append(parent, diff_id, chain_id) < 0)
		return NULL;
	l = layer_find(s, chain_id);
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return NULL;
		strcpy(l->chain_id, chain_id);
		strcpy(l->diff_id, diff_id);
		l->parent = below;
		if (below)
			below->holds++;
		l->next = s->layers;
		s->layers = l;
	}
	l->holds++;
	return l;
}

/* With the last hold a layer goes, and gives back the one below it. */
static void layer_drop(struct pull_stores *s, struct layer *l)
{
	while (l && --l->holds == 0) {
		struct layer **p = &s->layers, *parent = l->parent;

		while (*p != l)
			p = &(*p)->next;
		*p = l->next;
		free(l);
		l = parent;
	}
}

static int layer_get(void *context, const char *chain_id, const struct image_pull_sink *sink)
{
	struct pull_stores *s = context;
	struct layer *l;

	pull_stores_check_thread(s, "layer_store.get");
	pthread_mutex_lock(&s->mutex);
	l = layer_find(s, chain_id);
	if (l) {
		l->holds++;
		s->holds++;
	}
	pthread_mutex_unlock(&s->mutex);
	return l ? IMAGE_PULL_OK : fail(sink, IMAGE_PULL_NOT_FOUND, "layer does not exist");
}

static void layer_release(void *context, const char *chain_id)
{
	struct pull_stores *s = context;
	struct layer *l;

	pull_stores_check_thread(s, "layer_store.release");
	pthread_mutex_lock(&s->mutex);
	l = layer_find(s, chain_id);
	if (l) {
		s->holds--;
		layer_drop(s, l);
	}
	pthread_mutex_unlock(&s->mutex);
	if (!l)
		pull_stores_violation(s, "release of %s, which is not there", chain_id);
}

/* Adds a layer for the plugin. */
static int layer_commit(struct pull_stores *s, const char *parent, const char *diff_id,
	const struct image_pull_sink *sink)
{
	struct layer *l;

	pthread_mutex_lock(&s->mutex);
	l = layer_add(s, parent, diff_id);
	if (l)
		s->holds++;
	pthread_mutex_unlock(&s->mutex);
	if (l)
		return IMAGE_PULL_OK;
	pull_stores_violation(s, "a layer on %s, which is not there", parent);
	return fail(sink, IMAGE_PULL_NOT_FOUND, "layer does not exist");
}

static void check_descriptor(struct pull_stores *s, const struct image_pull_descriptor *d)
{
	if (d->struct_size < sizeof(*d) || digest_validate(d->digest, strlen(d->digest), NULL) < 0)
		pull_stores_violation(s, "a descriptor that is not valid");
}

static int layer_register(void *context, const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct pull_stores *s = context;
	char diff_id[DIGEST_MAX];
	int code;

	pull_stores_check_thread(s, "layer_store.register_layer");
	check_descriptor(s, descriptor);
	code = unpack(reader, sink, diff_id);
	if (code == IMAGE_PULL_OK)
		code = layer_commit(s, parent, diff_id, sink);
	return code == IMAGE_PULL_OK ? sink->value(sink->receiver, diff_id, strlen(diff_id)) : code;
}

static int layer_stage(void *context, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **handle,
	const struct image_pull_sink *sink)
{
	struct pull_stores *s = context;
	struct handle *h = calloc(1, sizeof(*h));
	int code;

	if (!h)
		return fail(sink, IMAGE_PULL_NO_MEMORY, "out of memory");
	check_descriptor(s, descriptor);
	code = s->unpacker ? unpack_encoded(s->unpacker, reader, sink, h->diff_id)
			   : unpack(reader, sink, h->diff_id);
	if (code == IMAGE_PULL_OK && s->unpacker)
		code = sink->value(sink->receiver, h->diff_id, strlen(h->diff_id));
	if (code != IMAGE_PULL_OK) {
		free(h);
		return code;
	}
	pthread_mutex_lock(&s->mutex);
	s->handles++;
	pthread_mutex_unlock(&s->mutex);
	*handle = h;
	return IMAGE_PULL_OK;
}

static int layer_commit_handle(void *context, void *handle, const char *parent, const char *diff_id,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct pull_stores *s = context;
	struct handle *h = handle;

	pull_stores_check_thread(s, "layer_store.commit");
	check_descriptor(s, descriptor);
	if (strcmp(h->diff_id, diff_id))
		pull_stores_violation(s, "%s committed as %s", h->diff_id, diff_id);
	return layer_commit(s, parent, diff_id, sink);
}

static void layer_discard(void *context, void *handle)
{
	struct pull_stores *s = context;

	pthread_mutex_lock(&s->mutex);
	s->handles--;
	pthread_mutex_unlock(&s->mutex);
	free(handle);
}

/* ---- images */

static struct image *image_find(struct pull_stores *s, const char *id)
{
	struct image *i = s->images;

	while (i && strcmp(i->id, id))
		i = i->next;
	return i;
}

/* Create: the image keeps its topmost layer. A text where it is refused. */
static char *image_add(struct pull_stores *s, const void *config, size_t size, bool initial,
	char ret_id[DIGEST_MAX])
{
	cleanup_rootfs struct rootfs *rootfs = NULL;
	cleanup_error struct error *err = NULL;
	char chain_id[DIGEST_MAX] = "";
	struct layer *top = NULL;
	struct image *image;

	if (digest_from_bytes(config, size, ret_id) < 0)
		return strdup("out of memory");
	if (rootfs_from_config(config, size, &rootfs, &err) < 0)
		return strdup(err->message);
	if (image_find(s, ret_id))
		return NULL;
	if (rootfs && rootfs->ndiff_ids) {
		if (rootfs_chain_id(rootfs, rootfs->ndiff_ids, chain_id) < 0)
			return strdup("out of memory");
		top = layer_find(s, chain_id);
		if (!top)
			return str_printf("failed to get layer %s: layer does not exist", chain_id);
	}
	image = calloc(1, sizeof(*image));
	if (!image || !(image->config = malloc(size + 1))) {
		free(image);
		return strdup("out of memory");
	}
	if (top)
		top->holds++;
	strcpy(image->id, ret_id);
	memcpy(image->config, config, size);
	image->size = size;
	image->initial = initial;
	image->next = s->images;
	s->images = image;
	return NULL;
}

static int image_put(
	void *context, const void *config, size_t size, const struct image_pull_sink *sink)
{
	struct pull_stores *s = context;
	cleanup_free char *refused = NULL;
	char id[DIGEST_MAX];

	pull_stores_check_thread(s, "image_store.put");
	pthread_mutex_lock(&s->mutex);
	refused = image_add(s, config, size, /* initial= */ false, id);
	pthread_mutex_unlock(&s->mutex);
	if (refused)
		return fail(sink, IMAGE_PULL_FAILED, refused);
	return sink->value(sink->receiver, id, strlen(id));
}

static int image_get(void *context, const char *id, const struct image_pull_sink *sink)
{
	struct pull_stores *s = context;
	struct image *i;

	pull_stores_check_thread(s, "image_store.get");
	/* Images are added by the pull's thread alone, and never go. */
	i = image_find(s, id);
	return i ? sink->value(sink->receiver, i->config, i->size)
		 : fail(sink, IMAGE_PULL_NOT_FOUND, "no such image");
}

/* ---- metadata; the pull's thread alone */

static struct metadata_entry *metadata_find(struct pull_stores *s, const char *name)
{
	struct metadata_entry *e = s->metadata;

	while (e && strcmp(e->name, name))
		e = e->next;
	return e;
}

static int metadata_put(struct pull_stores *s, const char *name, const void *value, size_t size)
{
	struct metadata_entry *e = metadata_find(s, name);
	char *copy = malloc(size + 1);

	if (copy && !e) {
		e = calloc(1, sizeof(*e));
		if (e && !(e->name = strdup(name))) {
			free(e);
			e = NULL;
		}
		if (e) {
			e->next = s->metadata;
			s->metadata = e;
		}
	}
	if (!copy || !e) {
		free(copy);
		return IMAGE_PULL_NO_MEMORY;
	}
	memcpy(copy, value, size);
	copy[size] = '\0';
	free(e->value);
	e->value = copy;
	e->size = size;
	return IMAGE_PULL_OK;
}

static int metadata_get(
	void *context, const char *name_space, const char *key, const struct image_pull_sink *sink)
{
	cleanup_free char *name = str_printf("%s/%s", name_space, key);
	struct metadata_entry *e;

	pull_stores_check_thread(context, "metadata_store.get");
	e = name ? metadata_find(context, name) : NULL;
	return e ? sink->value(sink->receiver, e->value, e->size)
		 : fail(sink, IMAGE_PULL_NOT_FOUND, "no such file or directory");
}

static int metadata_set(void *context, const char *name_space, const char *key, const void *value,
	size_t size, const struct image_pull_sink *sink)
{
	cleanup_free char *name = str_printf("%s/%s", name_space, key);

	pull_stores_check_thread(context, "metadata_store.set");
	if (!name || metadata_put(context, name, value, size) != IMAGE_PULL_OK)
		return fail(sink, IMAGE_PULL_NO_MEMORY, "out of memory");
	return IMAGE_PULL_OK;
}

static int metadata_remove(
	void *context, const char *name_space, const char *key, const struct image_pull_sink *sink)
{
	cleanup_free char *name = str_printf("%s/%s", name_space, key);
	struct pull_stores *s = context;

	pull_stores_check_thread(s, "metadata_store.remove");
	for (struct metadata_entry **p = &s->metadata; name && *p; p = &(*p)->next) {
		struct metadata_entry *e = *p;

		if (strcmp(e->name, name))
			continue;
		*p = e->next;
		free(e->name);
		free(e->value);
		free(e);
		return IMAGE_PULL_OK;
	}
	return fail(sink, IMAGE_PULL_NOT_FOUND, "no such file or directory");
}

/* ---- the whole */

int pull_stores_init(struct pull_stores *s, bool staging, const char *unpacker)
{
	*s = (struct pull_stores){
		.pull_thread = pthread_self(),
		.layer_store = {.struct_size = sizeof(s->layer_store),
			.context = s,
			.get = layer_get,
			.release = layer_release},
		.image_store = {.struct_size = sizeof(s->image_store),
			.context = s,
			.put = image_put,
			.get = image_get},
		.metadata_store = {.struct_size = sizeof(s->metadata_store),
			.context = s,
			.get = metadata_get,
			.set = metadata_set,
			.remove = metadata_remove},
	};
	if (staging) {
		s->unpacker = unpacker;
		s->layer_store.flags = IMAGE_PULL_LAYER_STORE_STAGING |
				       (unpacker ? IMAGE_PULL_LAYER_STORE_ENCODED : 0);
		s->layer_store.stage = layer_stage;
		s->layer_store.commit = layer_commit_handle;
		s->layer_store.discard = layer_discard;
	} else {
		s->layer_store.register_layer = layer_register;
	}
	return pthread_mutex_init(&s->mutex, NULL) ? -1 : 0;
}

void pull_stores_free(struct pull_stores *s)
{
	while (s->layers) {
		struct layer *l = s->layers;

		s->layers = l->next;
		free(l);
	}
	while (s->images) {
		struct image *i = s->images;

		s->images = i->next;
		free(i->config);
		free(i);
	}
	while (s->metadata) {
		struct metadata_entry *e = s->metadata;

		s->metadata = e->next;
		free(e->name);
		free(e->value);
		free(e);
	}
	buf_free(&s->violations);
	pthread_mutex_destroy(&s->mutex);
}

static int complain(const char *what, const char *text)
{
	fprintf(stderr, "pull_driver: %s: %s\n", what, text);
	return -1;
}

static int fill_chain(struct pull_stores *s, const struct json_value *chain)
{
	char parent[DIGEST_MAX] = "";

	for (size_t i = 0; i < chain->count; i++) {
		const struct json_value *diff_id = &chain->items[i];
		struct layer *l = NULL;

		if (digest_validate(diff_id->text, diff_id->size, NULL) == 0)
			l = layer_add(s, parent, diff_id->text);
		if (!l)
			return complain("initial layer", diff_id->text);
		strcpy(parent, l->chain_id);
	}
	return 0;
}

int pull_stores_fill(struct pull_stores *s, const struct json_value *setup)
{
	const struct json_value *layers = json_get_exact(setup, "layers");
	const struct json_value *images = json_get_exact(setup, "images");
	const struct json_value *metadata = json_get_exact(setup, "metadata");
	char id[DIGEST_MAX];

	for (size_t i = 0; layers && i < layers->count; i++)
		if (fill_chain(s, &layers->items[i]) < 0)
			return -1;
	for (size_t i = 0; images && i < images->count; i++) {
		cleanup_free char *refused = image_add(
			s, images->items[i].text, images->items[i].size, /* initial= */ true, id);

		if (refused)
			return complain("initial image", refused);
	}
	for (size_t i = 0; metadata && i < metadata->count; i++) {
		const struct json_member *m = &metadata->members[i];

		if (metadata_put(s, m->key, m->value.text, m->value.size) != IMAGE_PULL_OK)
			return complain("initial metadata", "out of memory");
	}
	return 0;
}

void pull_stores_print(struct pull_stores *s, struct buf *out)
{
	pthread_mutex_lock(&s->mutex);
	out_open(out, "layers", '[');
	for (struct layer *l = s->layers; l; l = l->next)
		out_string(out, NULL, l->chain_id);
	out_close(out, ']');
	out_open(out, "images", '[');
	for (struct image *i = s->images; i; i = i->next)
		out_string(out, NULL, i->id);
	out_close(out, ']');
	out_open(out, "image_configs", '{');
	for (struct image *i = s->images; i; i = i->next)
		if (!i->initial)
			out_bytes(out, i->id, i->config, i->size);
	out_close(out, '}');
	out_open(out, "metadata", '{');
	for (struct metadata_entry *e = s->metadata; e; e = e->next)
		out_bytes(out, e->name, e->value, e->size);
	out_close(out, '}');
	out_int(out, "holds", s->holds);
	out_int(out, "handles", s->handles);
	out_open(out, "violations", '[');
	buf_append(out, s->violations.data, s->violations.size);
	out_close(out, ']');
	pthread_mutex_unlock(&s->mutex);
}
