/* SPDX-License-Identifier: Apache-2.0 */
/* Care for a store: what nobody needs is removed, what is damaged is found. Go counterpart:
 * daemon/images/image_prune.go for the first; the second has none. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "image_remove.h"
#include "images.h"
#include "sink.h"
#include "store.h"

/* ---- prune
 * --------------------------------------------------------------------------------------------- */

struct pruning {
	struct towline_store *store;
	struct towline_prune_options options;
	const struct image_pull_sink *sink;
	int code; /* of the sink */
	struct image_ids chosen;
	struct chain_set needed; /* by the images that stay */
	struct image_ids in_bundles;
	uint64_t reclaimed;
};

static int add_id(struct image_ids *ids, const char *id, struct error **reterr)
{
	char(*grown)[DIGEST_MAX] = reallocarray(ids->items, ids->n + 1, sizeof(*grown));

	if (!grown)
		return error_set(reterr, &error_no_memory);
	ids->items = grown;
	memcpy(grown[ids->n++], id, strlen(id) + 1);
	return 0;
}

static bool has_id(const struct image_ids *ids, const char *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (!strcmp(ids->items[i], id))
			return true;
	return false;
}

static int take_bundle(void *arg, const struct layer_bundle *bundle)
{
	struct pruning *p = arg;

	if (!bundle->mounted || strlen(bundle->image_id) >= DIGEST_MAX)
		return 0;
	return add_id(&p->in_bundles, bundle->image_id, NULL);
}

/* An image that may go: nothing refers to it, nobody pulls it, it is old enough. 1: it may. */
static int may_go(struct pruning *p, const char *id, struct error **reterr)
{
	cleanup_reference_list struct reference_list refs = {NULL, 0};
	int64_t age = (int64_t)time(NULL) - image_store_time(p->store->images, id);

	if (reference_store_references(p->store->references, id, &refs, reterr) < 0)
		return -1;
	return !refs.n && !has_id(&p->in_bundles, id) &&
	       !image_store_in_use(p->store->images, id) &&
	       (!p->options.keep_age || age >= (int64_t)p->options.keep_age);
}

struct candidate {
	char id[DIGEST_MAX];
	int64_t time;
};

static int oldest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return strcmp(x->id, y->id);
}

static int find_candidates(
	struct pruning *p, struct candidate **ret, size_t *ret_n, struct error **reterr)
{
	cleanup_image_ids struct image_ids ids = {NULL, 0};
	cleanup_free struct candidate *list = NULL;
	size_t n = 0;

	if (image_store_list(p->store->images, &ids, reterr) < 0)
		return -1;
	list = calloc(ids.n + 1, sizeof(*list));
	if (!list)
		return error_set(reterr, &error_no_memory);
	for (size_t i = 0; i < ids.n; i++) {
		int may = may_go(p, ids.items[i], reterr);

		if (may < 0)
			return -1;
		if (!may)
			continue;
		memcpy(list[n].id, ids.items[i], DIGEST_MAX);
		list[n++].time = image_store_time(p->store->images, ids.items[i]);
	}
	qsort(list, n, sizeof(*list), oldest_first);
	*ret = steal_ptr(&list);
	*ret_n = n;
	return 0;
}

/* Bytes of disk that go once these images are gone too: layers that none of those that stay needs,
 * and that no earlier one had. */
static int freed_by(struct pruning *p, const char *id, int64_t *ret, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	cleanup_chain_set struct chain_set before = {NULL, 0};
	cleanup_chain_set struct chain_set after = {NULL, 0};
	int r;

	*ret = 0;
	if (chain_set_of_images(p->store, &p->chosen, &before, reterr) < 0 ||
		add_id(&p->chosen, id, reterr) < 0 ||
		chain_set_of_images(p->store, &p->chosen, &after, reterr) < 0)
		return -1;
	r = image_examine(p->store, id, &image, NULL, reterr);
	if (r)
		return r < 0 ? -1 : 0;
	for (size_t i = 0; i < image->rootfs->ndiff_ids; i++) {
		const char *chain_id = image->chain_ids[i];
		struct layer_info info;

		if (chain_set_has(&before, chain_id) && !chain_set_has(&after, chain_id) &&
			!layer_store_info(p->store->layers, chain_id, &info, NULL))
			*ret += info.disk;
	}
	return 0;
}

static bool small_enough(const struct pruning *p, int64_t disk)
{
	return p->options.keep_size && disk <= (int64_t)p->options.keep_size;
}

static int choose(struct pruning *p, int64_t *disk, struct error **reterr)
{
	cleanup_free struct candidate *list = NULL;
	size_t n = 0;

	if (!p->options.all)
		return 0;
	if (find_candidates(p, &list, &n, reterr) < 0)
		return -1;
	for (size_t i = 0; i < n && !small_enough(p, *disk); i++) {
		int64_t freed = 0;

		if (!p->options.keep_size) {
			if (add_id(&p->chosen, list[i].id, reterr) < 0)
				return -1;
		} else if (freed_by(p, list[i].id, &freed, reterr) < 0) {
			return -1;
		}
		*disk -= freed;
	}
	return 0;
}

static bool is_needed(void *arg, const char *chain_id)
{
	const struct pruning *p = arg;

	return chain_set_has(&p->needed, chain_id);
}

static void say(void *arg, const char *text, int64_t bytes)
{
	struct pruning *p = arg;

	(void)bytes; /* the layer store sums them up */
	if (p->code == IMAGE_PULL_OK)
		p->code = sink_text(p->sink, text);
}

static int remove_chosen(struct pruning *p, struct error **reterr)
{
	for (size_t i = 0; i < p->chosen.n; i++) {
		const char *id = p->chosen.items[i];
		cleanup_free char *line = str_printf("Deleted: %s", id);

		if (!line)
			return error_set(reterr, &error_no_memory);
		if (!p->options.dry_run && image_store_delete(p->store->images, id, reterr) < 0)
			return -1;
		say(p, line, 0);
	}
	return 0;
}

static int prune_locked(struct pruning *p, struct error **reterr)
{
	int64_t disk = layer_store_disk(p->store->layers);
	const struct layer_prune prune = {
		.needed = is_needed,
		.removed = say,
		.arg = p,
		.keep_age = p->options.keep_age,
		.dry_run = p->options.dry_run,
	};

	if (layer_store_each_bundle(p->store->layers, take_bundle, p, reterr) < 0)
		return -1;
	if (small_enough(p, disk))
		return 0;
	if (choose(p, &disk, reterr) < 0 ||
		chain_set_of_images(p->store, &p->chosen, &p->needed, reterr) < 0 ||
		remove_chosen(p, reterr) < 0)
		return -1;
	return layer_store_prune(p->store->layers, &prune, &p->reclaimed, reterr);
}

static int run_locked(struct towline_store *store, int (*fn)(void *arg, struct error **reterr),
	void *arg, const struct image_pull_sink *sink)
{
	struct error *err = NULL;
	int lock, r = -1;

	if (store->read_only)
		return sink_fail(
			sink, IMAGE_PULL_FORBIDDEN, "the store was opened for reading only");
	lock = store_lock(store, true, &err);
	if (lock >= 0 && !reference_store_lock(store->references, &err)) {
		r = fn(arg, &err);
		reference_store_unlock(store->references);
	}
	if (lock >= 0)
		close(lock);
	return r < 0 ? sink_error(sink, err) : IMAGE_PULL_OK;
}

static int prune_fn(void *arg, struct error **reterr)
{
	return prune_locked(arg, reterr);
}

#define OPTION(o, m)                                                                               \
	((o) && IMAGE_PULL_HAS(o, struct towline_prune_options, m) ? (o)->m : (__typeof__((o)->m))0)

int towline_prune(struct towline_store *store, const struct towline_prune_options *options,
	uint64_t *reclaimed, const struct image_pull_sink *sink)
{
	struct pruning p = {
		.store = store,
		.options = {.dry_run = OPTION(options, dry_run),
			.all = OPTION(options, all),
			.keep_age = OPTION(options, keep_age),
			.keep_size = OPTION(options, keep_size)},
		.sink = sink,
		.code = IMAGE_PULL_OK,
	};
	int code = run_locked(store, prune_fn, &p, sink);

	if (reclaimed)
		*reclaimed = p.reclaimed;
	image_ids_free(&p.chosen);
	image_ids_free(&p.in_bundles);
	chain_set_free(&p.needed);
	return code == IMAGE_PULL_OK ? p.code : code;
}

/* ---- fsck
 * ---------------------------------------------------------------------------------------------- */

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

	if (check_layers(c, reterr) < 0 || check_images(c, reterr) < 0 ||
		check_references(c, reterr) < 0)
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

	if (repair)
		code = run_locked(store, check_all, &c, sink);
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
