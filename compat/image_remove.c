/* SPDX-License-Identifier: Apache-2.0 */
/* Removing images with what only they need: `docker rmi`. Go counterpart:
 * daemon/images/image_delete.go, where a mounted bundle takes the part of a container. */
#include "config.h"

#include "image_remove.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "images.h"
#include "sink.h"
#include "store.h"

/* ---- what is needed
 * ------------------------------------------------------------------------------------ */

void chain_set_free(struct chain_set *set)
{
	free(set->items);
	*set = (struct chain_set){NULL, 0};
}

static int by_id(const void *a, const void *b)
{
	return strcmp(a, b);
}

bool chain_set_has(const struct chain_set *set, const char *chain_id)
{
	return set->n && bsearch(chain_id, set->items, set->n, sizeof(*set->items), by_id);
}

static int add_image(struct chain_set *set, const struct stored_image *image, struct error **reterr)
{
	size_t n = image->rootfs->ndiff_ids;
	char(*grown)[DIGEST_MAX] = reallocarray(set->items, set->n + n + 1, sizeof(*grown));

	if (!grown)
		return error_set(reterr, &error_no_memory);
	set->items = grown;
	memcpy(grown + set->n, image->chain_ids, n * sizeof(*grown));
	set->n += n;
	return 0;
}

int image_examine(struct towline_store *store, const char *id, struct stored_image **ret,
	struct error **ret_damage, struct error **reterr)
{
	cleanup_error struct error *err = NULL;
	char *config;
	size_t size;

	if (!stored_image_get(store, id, ret, &err))
		return 0;
	if (err == &error_no_memory)
		return error_set(reterr, &error_no_memory);
	/* Deleted meanwhile, other bytes than its digest says, or bytes that are no configuration.
	 */
	if (error_class_of(err) != CLASS_NOT_FOUND && error_class_of(err) != CLASS_DATA_LOSS) {
		if (image_store_get(store->images, id, &config, &size, NULL) < 0)
			return error_set(reterr, error_ref(err));
		free(config);
	}
	if (ret_damage)
		*ret_damage = error_ref(err);
	return 1;
}

static bool has_id(const struct image_ids *ids, const char *id)
{
	for (size_t i = 0; ids && i < ids->n; i++)
		if (!strcmp(ids->items[i], id))
			return true;
	return false;
}

int chain_set_of_images(struct towline_store *store, const struct image_ids *except,
	struct chain_set *ret, struct error **reterr)
{
	cleanup_image_ids struct image_ids ids = {NULL, 0};
	cleanup_chain_set struct chain_set set = {NULL, 0};

	if (image_store_list(store->images, &ids, reterr) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		cleanup_stored_image struct stored_image *image = NULL;
		int r;

		if (has_id(except, ids.items[i]))
			continue;
		r = image_examine(store, ids.items[i], &image, NULL, reterr);
		if (r < 0 || (!r && add_image(&set, image, reterr) < 0))
			return -1;
	}
	if (set.n)
		qsort(set.items, set.n, sizeof(*set.items), by_id);
	*ret = set;
	set = (struct chain_set){NULL, 0};
	return 0;
}

/* ---- one image
 * ----------------------------------------------------------------------------------------- */

struct wanted {
	const struct stored_image *image;
	const struct chain_set *others;
};

/* Only what is of this image, and of no other, may go. */
static bool is_needed(void *arg, const char *chain_id)
{
	const struct wanted *w = arg;

	for (size_t i = 0; i < w->image->rootfs->ndiff_ids; i++)
		if (!strcmp(w->image->chain_ids[i], chain_id))
			return chain_set_has(w->others, chain_id);
	return true;
}

static bool has_layer(struct towline_store *store, const char *chain_id)
{
	struct layer_info info;

	return !layer_store_info(store->layers, chain_id, &info, NULL);
}

static int remove_layers(struct towline_store *store, const struct stored_image *image,
	void (*removed)(void *arg, const char *id), void *arg, uint64_t *reclaimed,
	struct error **reterr)
{
	size_t n = image->rootfs->ndiff_ids;
	cleanup_chain_set struct chain_set others = {NULL, 0};
	cleanup_free bool *was_there = calloc(n + 1, sizeof(*was_there));
	struct wanted wanted = {image, &others};
	const struct layer_prune prune = {.needed = is_needed, .arg = &wanted};
	uint64_t bytes = 0;

	if (!was_there)
		return error_set(reterr, &error_no_memory);
	if (chain_set_of_images(store, NULL, &others, reterr) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		was_there[i] = has_layer(store, image->chain_ids[i]);
	if (layer_store_prune(store->layers, &prune, &bytes, reterr) < 0)
		return -1;
	if (reclaimed)
		*reclaimed += bytes;
	for (size_t i = n; i-- > 0;)
		if (was_there[i] && !has_layer(store, image->chain_ids[i]))
			removed(arg, image->chain_ids[i]);
	return 0;
}

int image_remove(struct towline_store *store, const char *id, const struct stored_image *image,
	void (*removed)(void *arg, const char *id), void *arg, uint64_t *reclaimed,
	struct error **reterr)
{
	if (image_store_delete(store->images, id, reterr) < 0)
		return -1;
	removed(arg, id);
	return image ? remove_layers(store, image, removed, arg, reclaimed, reterr) : 0;
}

/* ---- docker rmi
 * ---------------------------------------------------------------------------------------- */

struct removal {
	struct towline_store *store;
	const struct image_pull_sink *sink;
	const char *name;
	bool force;
	char id[DIGEST_MAX];
	char short_id[16];
	struct stored_image *image; /* NULL: damaged */
	struct reference_list refs; /* that point to it */
	char *bundle;               /* one that uses it; NULL: none */
	int code;                   /* of the sink */
};

static void say(struct removal *r, const char *what, const char *id)
{
	if (r->code == IMAGE_PULL_OK)
		r->code = sink_textf(r->sink, "%s: %s", what, id);
}

static void say_deleted(void *arg, const char *id)
{
	say(arg, "Deleted", id);
}

static int refresh(struct removal *r, struct error **reterr)
{
	reference_list_free(&r->refs);
	return reference_store_references(r->store->references, r->id, &r->refs, reterr);
}

static int untag(struct removal *r, const struct reference *ref, struct error **reterr)
{
	cleanup_reference struct reference *tagged = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *familiar = NULL;

	if (reference_tag_name_only(ref, &tagged, reterr) < 0)
		return -1;
	familiar = reference_familiar_string(tagged);
	if (!familiar)
		return error_set(reterr, &error_no_memory);
	/* Not there any more is as good. */
	if (reference_store_delete(r->store->references, tagged, &err) < 0 &&
		error_class_of(err) != CLASS_NOT_FOUND)
		return error_set(reterr, error_ref(err));
	say(r, "Untagged", familiar);
	return 0;
}

/* isSingleReference: one tag at most, and all of one repository. */
static bool is_single(const struct reference_list *refs)
{
	const struct reference *single = NULL;
	const char *repository = NULL;

	if (refs->n <= 1)
		return true;
	for (size_t i = 0; i < refs->n; i++) {
		const struct reference *ref = refs->items[i].ref;

		if (!reference_is_canonical(ref)) {
			if (single)
				return false;
			single = ref;
		} else if (!repository) {
			repository = ref->name;
		} else if (strcmp(repository, ref->name) != 0) {
			return false;
		}
	}
	return repository && (!single || !strcmp(single->name, repository));
}

static bool is_id_prefix(const char *id, const char *name)
{
	return str_has_prefix(id, name) || str_has_prefix(digest_encoded(id), name);
}

static int conflict(const struct removal *r, bool hard, const char *why, const char *what,
	struct error **reterr)
{
	return error_set(reterr,
		error_classf(CLASS_CONFLICT, "conflict: unable to delete %s (%s) - %s%s",
			r->short_id, hard ? "cannot be forced" : "must be forced", why, what));
}

/* checkImageDeleteConflict. */
static int check_conflict(const struct removal *r, bool references, struct error **reterr)
{
	if (image_store_in_use(r->store->images, r->id))
		return conflict(r, true, "image is being used by a running pull", "", reterr);
	if (r->force)
		return 0;
	if (references && r->refs.n)
		return conflict(
			r, false, "image is referenced in multiple repositories", "", reterr);
	if (r->bundle)
		return conflict(r, false, "image is being used by bundle ", r->bundle, reterr);
	return 0;
}

/* The digests of a repository go with its last tag. */
static int untag_digests(struct removal *r, const char *repository, struct error **reterr)
{
	for (size_t i = 0; i < r->refs.n; i++)
		if (!reference_is_canonical(r->refs.items[i].ref) &&
			!strcmp(r->refs.items[i].ref->name, repository))
			return 0;
	for (size_t i = 0; i < r->refs.n; i++)
		if (!strcmp(r->refs.items[i].ref->name, repository) &&
			untag(r, r->refs.items[i].ref, reterr) < 0)
			return -1;
	return refresh(r, reterr);
}

/* The name was a reference: it goes. 1: and with that it is done. */
static int remove_reference(struct removal *r, const struct reference *ref, struct error **reterr)
{
	if (!r->force && is_single(&r->refs) && r->bundle)
		return error_set(reterr,
			error_classf(CLASS_CONFLICT,
				"conflict: unable to remove repository reference \"%s\" (must "
				"force) - bundle %s is using its referenced image %s",
				r->name, r->bundle, r->short_id));
	if (untag(r, ref, reterr) < 0 || refresh(r, reterr) < 0)
		return -1;
	if (!reference_is_canonical(ref) && untag_digests(r, ref->name, reterr) < 0)
		return -1;
	/* Somebody pulls it just now, or a bundle uses it: removing the name was all. */
	return r->refs.n || r->bundle || image_store_in_use(r->store->images, r->id);
}

static int untag_all(struct removal *r, struct error **reterr)
{
	for (size_t i = 0; i < r->refs.n; i++)
		if (untag(r, r->refs.items[i].ref, reterr) < 0)
			return -1;
	return refresh(r, reterr);
}

/* 1: the names are gone, and the image is to go too. */
static int take_names(struct removal *r, struct error **reterr)
{
	if (refresh(r, reterr) < 0)
		return -1;
	if (!is_id_prefix(r->id, r->name)) {
		cleanup_reference struct reference *ref = NULL;
		int done;

		if (reference_parse_normalized_named(r->name, &ref, reterr) < 0)
			return -1;
		done = remove_reference(r, ref, reterr);
		if (done)
			return done < 0 ? -1 : 0;
	} else if (is_single(&r->refs)) {
		if (check_conflict(r, false, reterr) < 0 || untag_all(r, reterr) < 0)
			return -1;
	}
	return check_conflict(r, true, reterr) < 0 || untag_all(r, reterr) < 0 ? -1 : 1;
}

/* Under both locks. The names are written once, and before anything that they need is taken away:
 * also those that went before a conflict was found, as in Docker. */
static int remove_found(struct removal *r, struct error **reterr)
{
	cleanup_error struct error *err = NULL;
	int more, flushed;

	reference_store_defer(r->store->references);
	more = take_names(r, &err);
	flushed = reference_store_flush(r->store->references, more < 0 ? NULL : reterr);
	if (more < 0)
		return error_set(reterr, error_ref(err));
	if (flushed < 0 || !more)
		return flushed;
	return image_remove(r->store, r->id, r->image, say_deleted, r, NULL, reterr);
}

/* A reference whose image is gone can still be taken away. */
static int remove_dangling(struct removal *r, struct error *missing, struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *id = NULL;

	if (reference_parse_normalized_named(r->name, &ref, NULL) < 0 ||
		reference_store_get(r->store->references, ref, &id, NULL) < 0)
		return error_set(reterr, missing);
	error_unref(missing);
	return untag(r, ref, reterr);
}

static int find_bundle(void *arg, const struct layer_bundle *bundle)
{
	struct removal *r = arg;

	if (!bundle->mounted || strcmp(bundle->image_id, r->id) != 0)
		return 0;
	r->bundle = strdup(bundle->dir);
	return 1;
}

static int remove_locked(void *arg, struct error **reterr)
{
	struct removal *r = arg;
	struct error *err = NULL;

	if (images_resolve(r->store, r->name, r->id, &err) < 0)
		return error_class_of(err) == CLASS_NOT_FOUND ? remove_dangling(r, err, reterr)
							      : error_set(reterr, err);
	digest_short(r->id, r->short_id);
	if (image_examine(r->store, r->id, &r->image, NULL, reterr) < 0 ||
		layer_store_each_bundle(r->store->layers, find_bundle, r, reterr) < 0)
		return -1;
	return remove_found(r, reterr);
}

int towline_remove(struct towline_store *store, const char *name, int force,
	const struct image_pull_sink *sink)
{
	struct removal r = {
		.store = store, .sink = sink, .name = name, .force = force, .code = IMAGE_PULL_OK};
	int code = store_run_locked(store, remove_locked, &r, sink);

	stored_image_free(r.image);
	reference_list_free(&r.refs);
	free(r.bundle);
	return code == IMAGE_PULL_OK ? r.code : code;
}
