/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: distribution/pull_v2.go: from a reference to the manifest of one image. */
#include "pull_v2.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "engine.h"

/* An index may hold indexes; how deep, and how many of them are looked into. */
#define MAX_INDEX_DEPTH 4
#define MAX_INDEX_FETCHES 16

/* ImageTypes. The last ones stand for what registries made of it (docker/distribution#1621). */
static const char *const image_types[] = {MEDIA_TYPE_IMAGE_CONFIG, MEDIA_TYPE_OCI_CONFIG,
	"application/octet-stream", "application/json", "text/html", ""};

/* mediaTypeClasses. */
static const char *media_type_class(const char *media_type)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(image_types); i++)
		if (!strcmp(media_type, image_types[i]))
			return "image";
	return strcmp(media_type, MEDIA_TYPE_PLUGIN_CONFIG) ? "unknown" : "plugin";
}

static int check_config_type(
	const struct pull_config *config, const char *media_type, struct error **reterr)
{
	const char *const *types = config->schema2_types;
	size_t i, n = config->nschema2_types;

	if (!types) {
		types = image_types;
		n = ARRAY_SIZE(image_types);
	}
	for (i = 0; i < n; i++)
		if (!strcmp(media_type, types[i]))
			return 0;
	return error_set(
		reterr, error_invalid_manifest_class(media_type, media_type_class(media_type)));
}

int schema2_manifest_digest(const struct pull_config *config, const struct reference *ref,
	const struct manifest *m, char ret[DIGEST_MAX], struct error **reterr)
{
	struct error *err;

	if (!reference_is_canonical(ref)) {
		if (digest_from_bytes(m->payload, m->payload_size, ret) < 0)
			return error_set(reterr, &error_no_memory);
		return 0;
	}
	if (!digest_verify(ref->digest, m->payload, m->payload_size)) {
		err = error_plainf("manifest verification failed for digest %s", ref->digest);
		log_error(config->log, "%s", err->message);
		return error_set(reterr, err);
	}
	snprintf(ret, DIGEST_MAX, "%s", ref->digest);
	return 0;
}

/* ---- manifest lists */

/* platforms.Format. */
static char *format_or_unknown(const struct platform *p)
{
	return p && *p->os ? platform_format(p, p) : strdup("unknown");
}

static void log_matches(const struct pull_config *config, const struct manifest *list,
	const size_t *indices, size_t n)
{
	const struct platform *asked = config->platform;
	struct platform p = config->runtime;
	cleanup_free char *text = NULL;
	size_t i;

	if (asked && *asked->os)
		p.os = asked->os;
	if (asked && *asked->architecture) {
		p.architecture = asked->architecture;
		p.variant = asked->variant;
	}
	text = platform_format(&p, &p);
	for (i = 0; text && i < n; i++)
		log_debug(config->log, "found match for %s with media type %s, digest %s", text,
			list->layers[indices[i]].media_type, list->layers[indices[i]].digest);
}

/* filterManifests' best match in list, or NULL. */
static int best_match(const struct pull_config *config, const struct manifest *list,
	const struct descriptor **ret, struct error **reterr)
{
	cleanup_free struct platform *platforms = calloc(list->nlayers + 1, sizeof(*platforms));
	cleanup_free size_t *indices = calloc(list->nlayers + 1, sizeof(*indices));
	size_t i, n;

	if (!platforms || !indices)
		return error_set(reterr, &error_no_memory);
	for (i = 0; i < list->nlayers; i++)
		platforms[i] = list->layers[i].platform;
	n = platform_filter(platforms, list->nlayers, config->platform, &config->runtime, indices);
	log_matches(config, list, indices, n);
	if (n > 1)
		log_debug(config->log,
			"found multiple matches in manifest list, choosing best match %s",
			list->layers[indices[0]].digest);
	*ret = n ? &list->layers[indices[0]] : NULL;
	return 0;
}

/* The next index in list, from *pos on, that does not say for which platform it is. */
static const struct descriptor *next_open_index(const struct manifest *list, size_t *pos)
{
	while (*pos < list->nlayers) {
		const struct descriptor *d = &list->layers[(*pos)++];

		if (list->kind == MANIFEST_OCI_INDEX && !*d->platform.os &&
			!strcmp(d->media_type, MEDIA_TYPE_OCI_INDEX))
			return d;
	}
	return NULL;
}

/* A descriptor's manifest. Its bytes are compared with the digest by whoever uses it. */
static int fetch_child(struct v2_puller *p, const struct reference *ref, const struct descriptor *d,
	struct manifest **ret, struct reference **ret_ref, struct error **reterr)
{
	cleanup_reference struct reference *name = NULL, *manifest_ref = NULL;

	if (digest_validate(d->digest, d->digest_size, reterr) < 0 ||
		reference_trim_named(ref, &name, reterr) < 0 ||
		reference_with_digest(name, d->digest, &manifest_ref, reterr) < 0)
		return -1;
	p->config->report->phase = IMAGE_PULL_PHASE_MANIFEST;
	if (repository_manifest(
		    p->repo, p->config->request_ctx, NULL, manifest_ref->digest, ret, reterr) < 0)
		return -1;
	*ret_ref = steal_ptr(&manifest_ref);
	return 0;
}

/* The way down through nested indexes; level 0 is the list that the reference names. */
struct index_walk {
	struct index_level {
		const struct manifest *list;
		struct manifest *owned; /* the same, but for level 0 */
		size_t next;            /* where next_open_index goes on */
		bool matched;           /* best_match was asked */
	} levels[MAX_INDEX_DEPTH];
	size_t depth, fetches;
};

static void index_walk_end(struct index_walk *w)
{
	while (w->depth > 0)
		manifest_free(w->levels[w->depth--].owned);
}

static int no_match(const struct pull_config *config, struct error **reterr)
{
	cleanup_free char *text = platform_format(config->platform, &config->runtime);
	struct error *err;

	if (!text)
		return error_set(reterr, &error_no_memory);
	err = error_plainf("no matching manifest for %s in the manifest list entries", text);
	log_debug(config->log, "%s", err->message);
	return error_set(reterr, err);
}

/* The descriptor to follow next: this level's match, else an index that says nothing of platforms,
 * else back up. NULL when all was looked at. */
static int next_descriptor(const struct pull_config *config, struct index_walk *w,
	const struct descriptor **ret, struct error **reterr)
{
	for (;;) {
		struct index_level *level = &w->levels[w->depth];

		*ret = NULL;
		if (!level->matched) {
			level->matched = true;
			if (best_match(config, level->list, ret, reterr) < 0)
				return -1;
			if (*ret) {
				level->next = level->list->nlayers;
				return 0;
			}
		}
		*ret = next_open_index(level->list, &level->next);
		if (*ret || w->depth == 0)
			return 0;
		manifest_free(level->owned);
		w->depth--;
	}
}

/* From a list to the manifest of an image; d is its descriptor, which lives as long as w. */
static int find_child(struct v2_puller *p, const struct reference *ref, struct index_walk *w,
	const struct descriptor **ret_d, struct manifest **ret, struct reference **ret_ref,
	struct error **reterr)
{
	for (;;) {
		cleanup_reference struct reference *child_ref = NULL;
		cleanup_manifest struct manifest *child = NULL;
		char digest[DIGEST_MAX];
		const struct descriptor *d;

		if (next_descriptor(p->config, w, &d, reterr) < 0)
			return -1;
		if (!d)
			return no_match(p->config, reterr);
		if (fetch_child(p, ref, d, &child, &child_ref, reterr) < 0)
			return -1;
		if (child->kind != MANIFEST_OCI_INDEX ||
			strcmp(d->media_type, MEDIA_TYPE_OCI_INDEX)) {
			*ret_d = d;
			*ret = steal_ptr(&child);
			*ret_ref = steal_ptr(&child_ref);
			return 0;
		}
		if (schema2_manifest_digest(p->config, child_ref, child, digest, reterr) < 0)
			return -1;
		if (w->depth + 1 == MAX_INDEX_DEPTH || ++w->fetches > MAX_INDEX_FETCHES)
			return error_setf(
				reterr, "too many image indexes in one another or side by side");
		w->levels[++w->depth] = (struct index_level){.list = child, .owned = child};
		steal_ptr(&child);
	}
}

/* "a wrong digest is said before a wrong size": this runs once the digest is known to be right. */
static int check_size(const struct descriptor *d, const struct manifest *m, struct error **reterr)
{
	if (d->has_size && (d->size < 0 || (uint64_t)d->size != m->payload_size))
		return error_setf(reterr,
			"manifest %s has %zu bytes, but the manifest list says %lld", d->digest,
			m->payload_size, (long long)d->size);
	return 0;
}

static int pull_manifest_list(struct v2_puller *p, const struct reference *ref,
	const struct manifest *list, struct pulled *ret, struct error **reterr)
{
	const struct pull_config *config = p->config;
	cleanup_free char *name = reference_string(ref);
	cleanup_free char *asked = format_or_unknown(config->platform);
	struct index_walk walk = {.levels[0].list = list};
	cleanup_reference struct reference *manifest_ref = NULL;
	cleanup_manifest struct manifest *m = NULL;
	const struct descriptor *d;
	struct pulled child = {0};
	int r = -1;

	if (!name || !asked)
		return error_set(reterr, &error_no_memory);
	if (schema2_manifest_digest(config, ref, list, ret->manifest_digest, reterr) < 0)
		return -1;
	log_debug(config->log,
		"%s resolved to a manifestList object with %zu entries; looking for a %s/%s match",
		name, list->nlayers, asked, config->runtime.architecture);
	if (find_child(p, ref, &walk, &d, &m, &manifest_ref, reterr) < 0)
		goto out;
	switch (m->kind) {
	case MANIFEST_SCHEMA1:
		r = pull_schema1(p, manifest_ref, m, &d->platform, &child, reterr);
		break;
	case MANIFEST_SCHEMA2:
	case MANIFEST_OCI:
		if (schema2_manifest_digest(
			    config, manifest_ref, m, child.manifest_digest, reterr) == 0 &&
			check_size(d, m, reterr) == 0)
			r = pull_schema2(p, manifest_ref, m, &d->platform, &child, reterr);
		break;
	default:
		error_setf(reterr, "unsupported manifest format");
	}
	if (r == 0)
		ret->id = child.id;
out:
	index_walk_end(&walk);
	return r;
}

/* ---- tags */

static int get_manifest(struct v2_puller *p, const struct reference *ref, struct manifest **ret,
	struct error **reterr)
{
	const struct context *ctx = p->config->request_ctx;
	cleanup_free char *familiar = NULL;
	struct error *err = NULL;

	p->config->report->phase = IMAGE_PULL_PHASE_MANIFEST;
	if (reference_is_canonical(ref))
		return repository_manifest(p->repo, ctx, NULL, ref->digest, ret, reterr);
	if (reference_is_tagged(ref)) {
		if (repository_manifest(p->repo, ctx, ref->tag, NULL, ret, &err) < 0)
			return error_set(reterr, allow_v1_fallback(err));
		return 0;
	}
	familiar = reference_familiar_string(ref);
	return error_setf(reterr, "internal error: reference has neither a tag nor a digest: %s",
		familiar ? familiar : "");
}

static int pull_manifest(struct v2_puller *p, const struct reference *ref, struct manifest *m,
	struct pulled *ret, struct error **reterr)
{
	const struct platform *platform = p->config->platform;

	switch (m->kind) {
	case MANIFEST_SCHEMA1:
		if (p->config->require_schema2)
			return error_setf(reterr, "invalid manifest: not schema2");
		return pull_schema1(p, ref, m, platform, ret, reterr);
	case MANIFEST_SCHEMA2:
	case MANIFEST_OCI:
		return pull_schema2(p, ref, m, platform, ret, reterr);
	case MANIFEST_LIST:
	case MANIFEST_OCI_INDEX:
		return pull_manifest_list(p, ref, m, ret, reterr);
	}
	return error_set(reterr, error_invalid_manifest_format());
}

/* Let the reference point to the image. */
static int tag_image(const struct pull_config *config, const struct reference *ref,
	const struct pulled *image, bool *ret_updated, struct error **reterr)
{
	const struct image_pull_reference_store *store = config->reference_store;
	cleanup_error struct error *err = NULL;
	cleanup_free char *old_id = NULL;

	*ret_updated = true;
	if (!store->get || !store->add_tag || !store->add_digest)
		return 0;
	config->report->phase = IMAGE_PULL_PHASE_STORE;
	if (engine_reference_get(store, ref, &old_id, &err) == 0) {
		if (!strcmp(old_id, image->id)) {
			*ret_updated = false;
			return add_digest_reference(
				config, ref, image->manifest_digest, image->id, reterr);
		}
	} else if (err != &err_reference_does_not_exist) {
		return error_set(reterr, steal_ptr(&err));
	}
	if (reference_is_canonical(ref))
		return engine_reference_add_digest(store, ref, image->id, true, reterr);
	if (add_digest_reference(config, ref, image->manifest_digest, image->id, reterr) < 0)
		return -1;
	return engine_reference_add_tag(store, ref, image->id, true, reterr);
}

static int tell_pulled(const struct pull_config *config, const struct reference *ref,
	const struct pulled *image, bool updated, struct error **reterr)
{
	cleanup_free char *name = reference_string(ref);
	struct image_pull_summary summary = {.struct_size = sizeof(summary)};

	if (!name)
		return error_set(reterr, &error_no_memory);
	summary.reference = name;
	summary.image_id = image->id;
	summary.manifest_digest = image->manifest_digest;
	summary.updated = updated;
	output_pump(config->output);
	if (config->events->pulled)
		config->events->pulled(config->events->context, config->pull, &summary);
	return 0;
}

/* ---- asking by HEAD whether anything is new */

static bool same_platform(const struct pull_config *config, const char *id)
{
	const struct platform *asked = config->platform, *wanted = &config->runtime;
	cleanup_free char *buffer = NULL;
	cleanup_buf struct buf json = {0};
	struct platform have;

	if (asked && *asked->os && *asked->architecture)
		wanted = asked;
	else if (asked)
		return false;
	return engine_image_get(config->image_store, id, &json, NULL) == 0 &&
	       platform_from_config(
		       json.data, json.size, config->runtime.os, &have, &buffer, NULL) == 0 &&
	       !strcmp(have.os, wanted->os) && !strcmp(have.architecture, wanted->architecture) &&
	       (!*wanted->variant || !strcmp(have.variant, wanted->variant));
}

/* Does the tag name what the engine has under this name and digest? Whatever speaks against it, or
 * goes wrong, is no error: then the manifest is asked for. */
static bool is_known(struct v2_puller *p, const struct reference *ref, struct pulled *ret)
{
	const struct image_pull_reference_store *store = p->config->reference_store;
	cleanup_reference struct reference *name = NULL, *digest_ref = NULL;
	cleanup_free char *by_tag = NULL, *by_digest = NULL;

	if (!store->get || !store->add_tag || !store->add_digest || reference_is_canonical(ref) ||
		!reference_is_tagged(ref) || engine_reference_get(store, ref, &by_tag, NULL) < 0 ||
		!same_platform(p->config, by_tag))
		return false;
	p->config->report->phase = IMAGE_PULL_PHASE_MANIFEST;
	if (repository_manifest_digest(
		    p->repo, p->config->request_ctx, ref->tag, ret->manifest_digest, NULL) < 0 ||
		reference_trim_named(ref, &name, NULL) < 0 ||
		reference_with_digest(name, ret->manifest_digest, &digest_ref, NULL) < 0 ||
		engine_reference_get(store, digest_ref, &by_digest, NULL) < 0 ||
		strcmp(by_tag, by_digest) != 0)
		return false;
	ret->id = steal_ptr(&by_tag);
	return true;
}

static int pull_v2_tag(
	struct v2_puller *p, const struct reference *ref, bool *ret_updated, struct error **reterr)
{
	const struct pull_config *config = p->config;
	cleanup_manifest struct manifest *m = NULL;
	cleanup_free char *familiar = reference_familiar_string(ref);
	cleanup_free char *familiar_name = reference_familiar_name(repository_named(p->repo));
	cleanup_free char *pulling = NULL;
	cleanup_free char *digest = NULL;
	struct pulled image = {0};
	int r;

	if (!familiar || !familiar_name)
		return error_set(reterr, &error_no_memory);
	p->asked = ref;
	if (!config->plan && http_client_policy(config->http)->head_first &&
		is_known(p, ref, &image)) {
		p->confirmed_v2 = true;
	} else {
		if (get_manifest(p, ref, &m, reterr) < 0)
			return -1;
		if ((m->kind == MANIFEST_SCHEMA2 || m->kind == MANIFEST_OCI) &&
			check_config_type(config, m->config.media_type, reterr) < 0)
			return -1;
		/* An answer: the registry on the other side does speak v2. */
		p->confirmed_v2 = true;
	}
	log_debug(config->log, "Pulling ref from V2 registry: %s", familiar);
	pulling = str_printf("Pulling from %s", familiar_name);
	if (!pulling) {
		free(image.id);
		return error_set(reterr, &error_no_memory);
	}
	progress_message(
		config->output, reference_is_canonical(ref) ? ref->digest : ref->tag, pulling);
	if (m && pull_manifest(p, ref, m, &image, reterr) < 0)
		return -1;
	if (config->plan)
		return 0;
	digest = str_printf("Digest: %s", image.manifest_digest);
	if (!digest) {
		free(image.id);
		return error_set(reterr, &error_no_memory);
	}
	progress_message(config->output, "", digest);
	r = tag_image(config, ref, &image, ret_updated, reterr);
	if (r == 0)
		r = tell_pulled(config, ref, &image, *ret_updated, reterr);
	free(image.id);
	return r;
}

static int pull_all_tags(
	struct v2_puller *p, const struct reference *ref, bool *ret_updated, struct error **reterr)
{
	struct tag_list tags = {0};
	struct error *err = NULL;
	size_t i;

	p->config->report->phase = IMAGE_PULL_PHASE_TAGS;
	if (repository_tags(p->repo, p->config->request_ctx, &tags, &err) < 0)
		return error_set(reterr, allow_v1_fallback(err));
	/* It knows the repository: whatever goes wrong later on, v1 would be no help. */
	p->confirmed_v2 = true;
	for (i = 0; i < tags.count && !err; i++) {
		cleanup_reference struct reference *tag_ref = NULL;
		bool updated = false;

		if (reference_with_tag(ref, tags.items[i], &tag_ref, &err) == 0 &&
			pull_v2_tag(p, tag_ref, &updated, &err) == 0)
			*ret_updated = *ret_updated || updated;
	}
	tag_list_free(&tags);
	if (!err)
		return 0;
	/* One tag's trouble does not make the whole pull fall back to v1. */
	if (err->kind == ERROR_FALLBACK) {
		struct error *inner = error_ref(err->cause);

		error_unref(err);
		err = inner;
	}
	return error_set(reterr, err);
}

static int pull_v2_repository(
	struct v2_puller *p, const struct reference *ref, struct error **reterr)
{
	cleanup_free char *familiar = reference_familiar_string(ref);
	bool updated = false;
	int r;

	if (!familiar)
		return error_set(reterr, &error_no_memory);
	if (reference_is_name_only(ref))
		r = pull_all_tags(p, ref, &updated, reterr);
	else
		r = pull_v2_tag(p, ref, &updated, reterr);
	if (r == 0 && !p->config->plan)
		write_status(p->config, familiar, updated);
	return r;
}

/* A cancel that cut a request short ends the pull in the context's words, without what the
 * transport put around them. */
static struct error *unwrap_interrupted(const struct pull_config *config, struct error *err)
{
	struct error *cause = cancel_error(config->request_ctx->cancel);
	const struct error *e;

	for (e = err; cause && e; e = e->cause) {
		if (e == cause) {
			error_ref(cause);
			error_unref(err);
			return cause;
		}
	}
	return err;
}

int v2_puller_pull(const struct pull_config *config, const struct pull_endpoint *endpoint,
	const struct repository_info *repo_info, const struct reference *ref, struct error **reterr)
{
	const struct repository_config repo_config = {
		.client = config->http,
		.name = repo_info->name,
		.class_name = repo_info->class_name,
		.endpoint_url = endpoint->url,
		.trim_hostname = endpoint->trim_hostname,
		.repository = endpoint->repository,
		.ns = endpoint->ns,
		.once = endpoint->once,
		.connect_timeout_ms = endpoint->connect_timeout_ms,
		.tls = endpoint->tls,
		.meta_headers = config->meta_headers,
		.auth = endpoint->own_auth ? endpoint->auth : config->auth,
		.log = config->log,
	};
	struct v2_puller p = {.config = config, .endpoint = endpoint, .repo_info = repo_info};
	struct error *err = NULL;
	int r;

	if (repository_new(&repo_config, config->request_ctx, &p.repo, &p.confirmed_v2, &err) < 0) {
		err = unwrap_interrupted(config, err);
		log_warning(config->log, "Error getting v2 registry: %s", err->message);
		return error_set(reterr, err);
	}
	r = pull_v2_repository(&p, ref, &err);
	repository_notes(p.repo, &config->report->notes);
	repository_quiet(p.repo);
	repository_unref(p.repo);
	if (r == 0)
		return 0;
	err = unwrap_interrupted(config, err);
	if (err->kind != ERROR_FALLBACK && continue_on_error(err, endpoint->mirror))
		err = error_fallback(err, p.confirmed_v2, true);
	return error_set(reterr, err);
}
