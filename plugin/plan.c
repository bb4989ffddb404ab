/* SPDX-License-Identifier: Apache-2.0 */
/* What a pull would fetch of an image whose manifest is known. No Go counterpart. */
#include "pull_v2.h"

#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "image/rootfs.h"
#include "xfer/store.h"

/* ---- is a blob's data there already? A staging store knows: it is asked to stage the blob, by a
 * reader that has nothing to give. */

static int64_t give_nothing(void *context, void *buf, size_t size)
{
	(void)context;
	(void)buf;
	(void)size;
	return -1;
}

static int64_t give_nothing_next(void *context, const void **data)
{
	(void)context;
	(void)data;
	return -1;
}

/* Somebody else is at it: that is not there. */
static int do_not_wait(void *context, unsigned milliseconds)
{
	(void)context;
	(void)milliseconds;
	return -1;
}

static int no_diff_id(void *context, char *id)
{
	(void)context;
	(void)id;
	return -1;
}

static bool is_staged(
	const struct image_pull_layer_store *store, const struct image_pull_descriptor *descriptor)
{
	const struct image_pull_reader reader = {.struct_size = sizeof(reader),
		.read = give_nothing,
		.wait = do_not_wait,
		.diff_id = no_diff_id,
		.next = give_nothing_next};
	struct store_answer answer = {0};
	void *handle = NULL;
	bool there;

	if (!(store->flags & IMAGE_PULL_LAYER_STORE_STAGING))
		return false;
	store_stage(store, &reader, descriptor, &handle, &answer);
	there = answer.code == IMAGE_PULL_OK;
	if (there)
		store->discard(store->context, handle);
	store_answer_free(&answer);
	return there;
}

/* ---- telling */

struct plan {
	struct v2_puller *p;
	char *reference;
	bool image_there;
	char chain_id[DIGEST_MAX]; /* of what is there from the bottom up; "": nothing yet */
	bool chain_broken;
};

static void tell(const struct plan *plan, int kind, const char *media_type, const char *digest,
	int64_t size, bool present)
{
	const struct pull_config *config = plan->p->config;
	const struct image_pull_descriptor descriptor = {.struct_size = sizeof(descriptor),
		.media_type = media_type,
		.digest = digest,
		.size = size};
	const struct image_pull_planned planned = {.struct_size = sizeof(planned),
		.reference = plan->reference,
		.kind = kind,
		.descriptor = &descriptor,
		.present = present};

	if (config->events->planned)
		config->events->planned(config->events->context, config->pull, &planned);
}

/* The layer on top of those before it, as download_begin looks for it. */
static bool chain_is_there(struct plan *plan, const char *digest)
{
	const struct pull_config *config = plan->p->config;
	char diff_id[DIGEST_MAX], chain_id[DIGEST_MAX];

	if (plan->chain_broken ||
		v2_metadata_get_diff_id(config->metadata_store, digest, diff_id) < 0 ||
		chain_id_append(plan->chain_id, diff_id, chain_id) < 0 ||
		!store_get(config->layer_store, chain_id)) {
		plan->chain_broken = true;
		return false;
	}
	store_release(config->layer_store, chain_id);
	memcpy(plan->chain_id, chain_id, sizeof(chain_id));
	return true;
}

static void tell_layer(struct plan *plan, const struct download_descriptor *layers, size_t i)
{
	const struct download_descriptor *l = &layers[i];
	const struct image_pull_descriptor descriptor = {.struct_size = sizeof(descriptor),
		.media_type = l->media_type,
		.digest = l->digest,
		.size = l->size};
	bool there = plan->image_there;

	for (size_t j = 0; !there && j < i; j++)
		there = !strcmp(layers[j].digest, l->digest); /* fetched once */
	there = chain_is_there(plan, l->digest) || there ||
		is_staged(plan->p->config->layer_store, &descriptor);
	tell(plan, IMAGE_PULL_PLANNED_LAYER, l->media_type, l->digest, l->size, there);
}

int plan_image(struct v2_puller *p, const char *manifest_digest, const struct manifest *m,
	const struct download_descriptor *layers, size_t n, struct error **reterr)
{
	struct plan plan = {.p = p, .reference = reference_string(p->asked)};
	const struct descriptor *config = m->kind == MANIFEST_SCHEMA1 ? NULL : &m->config;

	if (!plan.reference)
		return error_set(reterr, &error_no_memory);
	output_pump(p->config->output);
	plan.image_there = config && engine_image_exists(p->config->image_store, config->digest);
	tell(&plan, IMAGE_PULL_PLANNED_MANIFEST, "", manifest_digest, (int64_t)m->payload_size,
		false);
	if (config)
		tell(&plan, IMAGE_PULL_PLANNED_CONFIG, config->media_type, config->digest,
			config->size, plan.image_there);
	for (size_t i = 0; i < n; i++)
		tell_layer(&plan, layers, i);
	free(plan.reference);
	return 0;
}
