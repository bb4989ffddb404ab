/* SPDX-License-Identifier: Apache-2.0 */
/* What nobody needs is removed from a store. Go counterpart: daemon/images/image_prune.go. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "image_remove.h"
#include "images.h"
#include "partials.h"
#include "sink.h"
#include "store.h"

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

static int prune_locked(void *arg, struct error **reterr)
{
	struct pruning *p = arg;
	int64_t disk = layer_store_disk(p->store->layers);
	const struct layer_prune prune = {
		.needed = is_needed,
		.removed = say,
		.arg = p,
		.keep_age = p->options.keep_age,
		.dry_run = p->options.dry_run,
	};

	const struct partials_prune partials = {
		.keep_age = p->options.keep_age,
		.dry_run = p->options.dry_run,
		.removed = say,
		.arg = p,
	};

	if (partials_prune(p->store->partial_dir, &partials, &p->reclaimed, reterr) < 0 ||
		layer_store_each_bundle(p->store->layers, take_bundle, p, reterr) < 0)
		return -1;
	if (small_enough(p, disk))
		return 0;
	if (choose(p, &disk, reterr) < 0 ||
		chain_set_of_images(p->store, &p->chosen, &p->needed, reterr) < 0 ||
		remove_chosen(p, reterr) < 0)
		return -1;
	return layer_store_prune(p->store->layers, &prune, &p->reclaimed, reterr);
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
	int code = store_run_locked(store, prune_locked, &p, sink);

	if (reclaimed)
		*reclaimed = p.reclaimed;
	image_ids_free(&p.chosen);
	image_ids_free(&p.in_bundles);
	chain_set_free(&p.needed);
	return code == IMAGE_PULL_OK ? p.code : code;
}
