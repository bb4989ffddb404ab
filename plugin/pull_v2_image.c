/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: distribution/pull_v2.go, pullSchema1 and pullSchema2: from a manifest to an image
 * in the engine's store. */
#include "pull_v2.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"
#include "engine.h"

/* More layers than the kernel can stack are refused before anything is asked for. */
#define MAX_LAYERS 127
#define WAIT_MS 50
#define POLL_MS 2
/* In the original the configuration is asked for first, and nearly always there before a layer is.
 * Here threads could overtake each other: the layers begin when its request has gone out, which is
 * waited for so long, and then when it is there, or so much later, */
#define CONFIG_ASKED_MS 250
#define CONFIG_HEAD_START_MS 10
/* (on a line where a connection takes so long to be made, which is another round trip or two, the
 * configuration has one of its own instead, and the first layer goes out at once on the open one),
 */
#define FAR_MS 20
/* for so long they are neither shown nor registered before it has come, */
#define CONFIG_LEAD_MS 250
/* and for so long what it says waits until they have been asked for. */
#define LAYERS_ASKED_MS 250
#define CONFIG_THREAD_STACK ((size_t)256 * 1024)

/* ---- layers */

/* v2LayerDescriptor.DiffID. */
static int layer_diff_id(void *arg, const char *digest, char ret[DIGEST_MAX])
{
	struct v2_puller *p = arg;

	return v2_metadata_get_diff_id(p->config->metadata_store, digest, ret);
}

/* v2LayerDescriptor.Registered: remember where this layer came from. */
static void layer_registered(void *arg, const char *digest, const char *diff_id)
{
	struct v2_puller *p = arg;

	v2_metadata_add(p->config->metadata_store, diff_id, digest, p->repo_info->name->name);
}

static void describe_layer(struct v2_puller *p, const char *digest, const char *media_type,
	int64_t size, struct download_descriptor *ret)
{
	*ret = (struct download_descriptor){
		.digest = digest,
		.media_type = media_type,
		.size = size,
		.diff_id = layer_diff_id,
		.registered = layer_registered,
		.arg = p,
	};
}

static int check_layer_count(size_t n, struct error **reterr)
{
	if (n > MAX_LAYERS)
		return error_setf(reterr,
			"%zu layers are more than the %d that can be stacked: "
			"max depth exceeded",
			n, MAX_LAYERS);
	return 0;
}

/* The Download of the original, which fails before it asks for anything if the layers are for
 * another operating system. */
static int begin_layers(struct v2_puller *p, const char *os,
	const struct download_descriptor *layers, size_t n, struct download **ret,
	struct error **reterr)
{
	const struct pull_config *config = p->config;

	if (*os && strcasecmp(os, config->runtime.os))
		return error_setf(reterr, "operating system is not supported");
	return download_begin(
		config->downloads, config->ctx, p->repo, layers, n, config->output, ret, reterr);
}

static void report_layer_error(const struct pull_config *config, const struct error *err)
{
	config->report->phase = str_has_prefix(err->message, "failed to register layer")
					? IMAGE_PULL_PHASE_REGISTER
					: IMAGE_PULL_PHASE_LAYER;
}

/* Sleep until something has happened, with the engine's callbacks running meanwhile. */
static void wait_for_news(const struct pull_config *config)
{
	output_wait(config->output, WAIT_MS);
	if (config->ctx->poll)
		config->ctx->poll(config->ctx->poll_arg);
}

static int put_image(const struct pull_config *config, const void *json, size_t size,
	struct pulled *ret, struct error **reterr)
{
	config->report->phase = IMAGE_PULL_PHASE_STORE;
	output_pump(config->output);
	return engine_image_put(config->image_store, json, size, &ret->id, reterr);
}

/* ---- schema 1 */

/* json.Unmarshal into struct { ThrowAway bool `json:"throwaway,omitempty"` }. */
static int is_throw_away(const struct schema1_history *h, bool *ret, struct error **reterr)
{
	static const char *const words[] = {
		[JSON_NUMBER] = "number",
		[JSON_STRING] = "string",
		[JSON_ARRAY] = "array",
		[JSON_OBJECT] = "object",
	};
	cleanup_json struct json *j = NULL;
	const struct json_value *v;

	if (json_parse(h->v1_compatibility, h->size, &j, reterr) < 0)
		return -1;
	v = json_get(json_root(j), "throwaway");
	*ret = v && v->type == JSON_BOOL && v->boolean;
	if (v && v->type != JSON_BOOL && v->type != JSON_NULL)
		return error_setf(reterr,
			"json: cannot unmarshal %s into Go struct field .throwaway of type bool",
			words[v->type]);
	return 0;
}

/* A schema 1 manifest turned bottom first. */
struct schema1_parts {
	char **history; /* as JSON, one for each entry */
	size_t nhistory;
	struct download_descriptor *layers;
	size_t nlayers;
};

static void schema1_parts_free(struct schema1_parts *parts)
{
	size_t i;

	for (i = 0; i < parts->nhistory; i++)
		free(parts->history[i]);
	free(parts->history);
	free(parts->layers);
}

static int schema1_parts_fill(struct v2_puller *p, const struct manifest *m,
	struct schema1_parts *ret, struct error **reterr)
{
	size_t i;

	ret->history = calloc(m->nhistory + 1, sizeof(*ret->history));
	ret->layers = calloc(m->nfs_layers + 1, sizeof(*ret->layers));
	if (!ret->history || !ret->layers)
		return error_set(reterr, &error_no_memory);
	for (i = m->nfs_layers; i-- > 0;) {
		cleanup_buf struct buf entry = {0};
		bool throw_away;

		if (is_throw_away(&m->history[i], &throw_away, reterr) < 0 ||
			history_from_config(m->history[i].v1_compatibility, m->history[i].size,
				throw_away, &entry, reterr) < 0)
			return -1;
		ret->history[ret->nhistory] = buf_steal(&entry);
		if (!ret->history[ret->nhistory])
			return error_set(reterr, &error_no_memory);
		ret->nhistory++;
		if (throw_away)
			continue;
		if (digest_validate(m->fs_layers[i], strlen(m->fs_layers[i]), reterr) < 0)
			return -1;
		describe_layer(p, m->fs_layers[i], "", -1, &ret->layers[ret->nlayers++]);
	}
	return check_layer_count(ret->nlayers, reterr);
}

/* All layers of a schema 1 image; the download holds them until download_end. */
static int schema1_download(struct v2_puller *p, const struct schema1_parts *parts,
	struct download **ret, struct error **reterr)
{
	const struct pull_config *config = p->config;
	struct error *err = NULL;
	int r = 0;

	if (begin_layers(p, config->runtime.os, parts->layers, parts->nlayers, ret, &err) == 0) {
		while ((r = download_step(*ret, &err)) == 0)
			wait_for_news(config);
		if (r > 0)
			return 0;
	}
	report_layer_error(config, err);
	return error_set(reterr, err);
}

static int schema1_make_image(const struct pull_config *config, const struct manifest *m,
	const struct schema1_parts *parts, const struct rootfs *rootfs, struct pulled *ret,
	struct error **reterr)
{
	cleanup_buf struct buf json = {0};

	if (make_config_from_v1_config(m->history[0].v1_compatibility, m->history[0].size, rootfs,
		    parts->history, parts->nhistory, &json, reterr) < 0 ||
		put_image(config, json.data, json.size, ret, reterr) < 0)
		return -1;
	if (digest_from_bytes(m->payload, m->payload_size, ret->manifest_digest) < 0) {
		free(ret->id);
		ret->id = NULL;
		return error_set(reterr, &error_no_memory);
	}
	return 0;
}

int pull_schema1(struct v2_puller *p, const struct reference *ref, struct manifest *m,
	const struct platform *platform, struct pulled *ret, struct error **reterr)
{
	const struct pull_config *config = p->config;
	const char *os = config->runtime.os;
	const char *requested_os = platform ? platform->os : os;
	struct schema1_parts parts = {0};
	struct download *download = NULL;
	int r = -1;

	if (verify_schema1_manifest(m, ref, config->log, reterr) < 0 ||
		fix_manifest_layers(m, reterr) < 0)
		return -1;
	if (schema1_parts_fill(p, m, &parts, reterr) < 0)
		goto out;
	/* The manifest does not say for which operating system it is: this one's, then. */
	if (strcasecmp(os, requested_os)) {
		cleanup_buf struct buf text = {0};

		buf_append_str(&text, "cannot download image with operating system ");
		buf_append_quoted(&text, os, strlen(os));
		buf_append_str(&text, " when requesting ");
		buf_append_quoted(&text, requested_os, strlen(requested_os));
		if (text.oom)
			error_set(reterr, &error_no_memory);
		else
			error_setf(reterr, "%s", text.data);
		goto out;
	}
	if (config->plan) {
		if (digest_from_bytes(m->payload, m->payload_size, ret->manifest_digest) < 0)
			error_set(reterr, &error_no_memory);
		else
			r = plan_image(
				p, ret->manifest_digest, m, parts.layers, parts.nlayers, reterr);
		goto out;
	}
	if (schema1_download(p, &parts, &download, reterr) == 0)
		r = schema1_make_image(config, m, &parts, download_rootfs(download), ret, reterr);
out:
	download_end(download);
	schema1_parts_free(&parts);
	return r;
}

/* ---- the configuration, fetched by a thread of its own while the layers come */

struct config_fetch {
	struct repository *repo;
	struct log *log;
	struct output *output;
	struct context ctx;
	char digest[DIGEST_MAX];
	bool has_size;
	int64_t size; /* as the manifest has it */
	pthread_t thread;
	bool started;
	atomic_bool asked; /* its request is on its way, or it has ended without one */
	atomic_bool done;  /* what follows is set, and the thread touches it no more */
	struct buf json;
	struct error *err;
};

/* pullSchema2Config. */
static int pull_schema2_config(struct config_fetch *f, struct error **reterr)
{
	struct error *err;

	if (repository_blob_get(f->repo, &f->ctx, f->digest, &f->json, reterr) < 0)
		return -1;
	if (!digest_verify(f->digest, f->json.data, f->json.size)) {
		err = error_plainf("image config verification failed for digest %s", f->digest);
		log_error(f->log, "%s", err->message);
		return error_set(reterr, err);
	}
	if (f->has_size && (f->size < 0 || (uint64_t)f->size != f->json.size))
		return error_setf(reterr,
			"image config %s has %zu bytes, but the manifest says %lld", f->digest,
			f->json.size, (long long)f->size);
	return 0;
}

static void config_requested(void *arg)
{
	struct config_fetch *f = arg;

	atomic_store(&f->asked, true);
}

static void *config_fetch_run(void *arg)
{
	struct config_fetch *f = arg;
	struct output *output = f->output;
	struct error *err = NULL;

	if (pull_schema2_config(f, &err) < 0)
		f->err = error_wrap(ERROR_IMAGE_CONFIG_PULL, err);
	atomic_store(&f->asked, true);
	atomic_store_explicit(&f->done, true, memory_order_release);
	output_wake(output);
	return NULL;
}

static int config_fetch_start(struct config_fetch *f, struct v2_puller *p,
	const struct descriptor *target, struct error **reterr)
{
	f->repo = p->repo;
	f->log = p->config->log;
	f->output = p->config->output;
	memcpy(f->digest, target->digest, target->digest_size + 1);
	f->has_size = target->has_size;
	f->size = target->size;
	f->ctx.requested = config_requested;
	f->ctx.requested_arg = f;
	f->ctx.own_connection = repository_connect_ms(p->repo) >= FAR_MS;
	f->ctx.cancel = cancel_new(p->config->request_ctx->cancel);
	if (!f->ctx.cancel)
		return error_set(reterr, &error_no_memory);
	if (thread_start(&f->thread, CONFIG_THREAD_STACK, config_fetch_run, f, reterr) < 0)
		return -1;
	f->started = true;
	return 0;
}

static bool config_fetch_done(struct config_fetch *f)
{
	return atomic_load_explicit(&f->done, memory_order_acquire);
}

/* Let its request go ahead of the layers'. */
static void config_fetch_lead(struct config_fetch *f, const struct context *ctx)
{
	int64_t end = monotonic_ms() + CONFIG_ASKED_MS;

	if (f->ctx.own_connection)
		return;
	while (!atomic_load(&f->asked) && monotonic_ms() < end && context_sleep(ctx, POLL_MS) == 0)
		;
	end = monotonic_ms() + CONFIG_HEAD_START_MS;
	while (!config_fetch_done(f) && monotonic_ms() < end && context_sleep(ctx, POLL_MS) == 0)
		;
}

static void config_fetch_end(struct config_fetch *f)
{
	if (f->started) {
		cancel_fire(f->ctx.cancel, &err_context_canceled);
		pthread_join(f->thread, NULL);
	}
	cancel_unref(f->ctx.cancel);
	buf_free(&f->json);
	error_unref(f->err);
}

/* receiveConfig. */
static int receive_config(const struct pull_config *config, struct config_fetch *f,
	struct rootfs **ret, struct error **reterr)
{
	cleanup_rootfs struct rootfs *rootfs = NULL;

	config->report->phase = IMAGE_PULL_PHASE_CONFIG;
	if (f->err)
		return error_set(reterr, steal_ptr(&f->err));
	if (engine_rootfs_from_config(
		    config->image_store, f->json.data, f->json.size, &rootfs, reterr) < 0 ||
		engine_check_platform(config->image_store, f->json.data, f->json.size,
			config->runtime.os, reterr) < 0)
		return -1;
	if (!rootfs)
		return error_set(reterr, &err_rootfs_invalid);
	*ret = steal_ptr(&rootfs);
	return 0;
}

/* ---- schema 2 and OCI */

/* Beyond the original, which unpacks whatever a manifest lists: what says that it is something else
 * than a layer (a signature, an attestation, a chart) is not one. */
static int check_layer_type(const struct descriptor *d, struct error **reterr)
{
	static const char *const layer_types[] = {
		"application/vnd.docker.", "application/vnd.oci.image.layer.", "application/x-"};
	size_t i;

	if (!*d->media_type || !strcmp(d->media_type, "application/octet-stream"))
		return 0;
	for (i = 0; i < ARRAY_SIZE(layer_types); i++)
		if (str_has_prefix(d->media_type, layer_types[i]))
			return 0;
	return error_setf(reterr, "%s is no layer: its media type is %s", d->digest, d->media_type);
}

static int describe_layers(struct v2_puller *p, const struct manifest *m,
	struct download_descriptor **ret, struct error **reterr)
{
	cleanup_free struct download_descriptor *layers = NULL;
	size_t i;

	if (check_layer_count(m->nlayers, reterr) < 0)
		return -1;
	layers = calloc(m->nlayers + 1, sizeof(*layers));
	if (!layers)
		return error_set(reterr, &error_no_memory);
	for (i = 0; i < m->nlayers; i++) {
		const struct descriptor *d = &m->layers[i];

		if (digest_validate(d->digest, d->digest_size, reterr) < 0)
			return -1;
		if (d->size < 0)
			return error_setf(reterr, "layer %s has a negative size", d->digest);
		if (check_layer_type(d, reterr) < 0)
			return -1;
		describe_layer(p, d->digest, d->media_type, d->has_size ? d->size : -1, &layers[i]);
	}
	*ret = steal_ptr(&layers);
	return 0;
}

/* What is wrong with the configuration ends the pull; what the layers said meanwhile is forgotten.
 */
static void drop_layers(const struct pull_config *config, const struct download *download)
{
	int64_t end = monotonic_ms() + LAYERS_ASKED_MS;

	while (download && !download_asked(download) && monotonic_ms() < end &&
		context_sleep(config->ctx, POLL_MS) == 0)
		;
	output_release(config->output, /* drop= */ true);
}

/* Waits for the configuration and for the layers. What is wrong with the configuration outranks
 * what is wrong with a layer, so the first is waited for even when the second has failed. */
static int receive_parts(struct v2_puller *p, struct config_fetch *f, struct download *download,
	struct error *layer_err, struct rootfs **ret, struct error **reterr)
{
	const struct pull_config *config = p->config;
	cleanup_rootfs struct rootfs *rootfs = NULL;
	int64_t begun_ms = monotonic_ms();
	bool layers_done = false, held = true;

	output_hold(config->output);
	for (;;) {
		if (!rootfs && config_fetch_done(f) &&
			receive_config(config, f, &rootfs, reterr) < 0) {
			if (held)
				drop_layers(config, download);
			error_unref(layer_err);
			return -1;
		}
		if (held && (rootfs || monotonic_ms() - begun_ms >= CONFIG_LEAD_MS)) {
			output_release(config->output, /* drop= */ false);
			held = false;
		}
		if (!held && !layers_done && !layer_err)
			layers_done = download_step(download, &layer_err) > 0;
		if (rootfs && (layers_done || layer_err))
			break;
		wait_for_news(config);
	}
	if (layer_err) {
		report_layer_error(config, layer_err);
		return error_set(reterr, layer_err);
	}
	*ret = steal_ptr(&rootfs);
	return 0;
}

/* The layers must be those that the configuration names, or it could refer to layers that the
 * manifest does not have. */
static int compare_rootfs(
	const struct rootfs *downloaded, const struct rootfs *config, struct error **reterr)
{
	size_t i;

	if (downloaded->ndiff_ids != config->ndiff_ids)
		return error_set(reterr, &err_rootfs_mismatch);
	for (i = 0; i < config->ndiff_ids; i++)
		if (strcmp(downloaded->diff_ids[i], config->diff_ids[i]))
			return error_set(reterr, &err_rootfs_mismatch);
	return 0;
}

static int schema2_make_image(struct v2_puller *p, const struct manifest *m, const char *os,
	struct pulled *ret, struct error **reterr)
{
	cleanup_free struct download_descriptor *layers = NULL;
	cleanup_rootfs struct rootfs *rootfs = NULL;
	struct download *download = NULL;
	struct error *layer_err = NULL;
	struct config_fetch fetch = {0};
	int r = -1;

	if (describe_layers(p, m, &layers, reterr) < 0)
		return -1;
	p->config->report->phase = IMAGE_PULL_PHASE_CONFIG;
	if (config_fetch_start(&fetch, p, &m->config, reterr) < 0)
		goto out;
	config_fetch_lead(&fetch, p->config->ctx); /* begin_layers sees a cancel */
	(void)begin_layers(p, os, layers, m->nlayers, &download, &layer_err); /* in layer_err */
	output_pump(p->config->output);
	if (receive_parts(p, &fetch, download, layer_err, &rootfs, reterr) == 0 &&
		compare_rootfs(download_rootfs(download), rootfs, reterr) == 0)
		r = put_image(p->config, fetch.json.data, fetch.json.size, ret, reterr);
out:
	config_fetch_end(&fetch);
	download_end(download);
	return r;
}

static int plan_schema2(struct v2_puller *p, const struct manifest *m, const char *manifest_digest,
	struct error **reterr)
{
	cleanup_free struct download_descriptor *layers = NULL;

	if (describe_layers(p, m, &layers, reterr) < 0)
		return -1;
	return plan_image(p, manifest_digest, m, layers, m->nlayers, reterr);
}

int pull_schema2(struct v2_puller *p, const struct reference *ref, const struct manifest *m,
	const struct platform *platform, struct pulled *ret, struct error **reterr)
{
	const struct pull_config *config = p->config;

	if (schema2_manifest_digest(config, ref, m, ret->manifest_digest, reterr) < 0 ||
		digest_validate(m->config.digest, m->config.digest_size, reterr) < 0)
		return -1;
	if (config->plan)
		return plan_schema2(p, m, ret->manifest_digest, reterr);
	/* The image is there: nothing to pull. */
	if (engine_image_exists(config->image_store, m->config.digest)) {
		ret->id = strdup(m->config.digest);
		return ret->id ? 0 : error_set(reterr, &error_no_memory);
	}
	return schema2_make_image(p, m, platform ? platform->os : config->runtime.os, ret, reterr);
}
