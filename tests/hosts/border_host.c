/* SPDX-License-Identifier: Apache-2.0 */
/* A host of another time than the plugin. "old": its structs end early, each in a block of memory
 * that ends there too, so that a memory checker catches every look beyond. "new": its structs have
 * members that nobody knows yet. Usage: border_host old|new PLUGIN HOST:PORT/NAME:TAG. */
#include <dlfcn.h>
#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image_pull.h"

#define FUTURE 64 /* bytes of members to come */

static int old;
static unsigned nprogress;

/* A struct in a block of its own: cut before member, or longer than ours and full of noise there.
 */
#define MAKE(type, member, ...)                                                                    \
	make(&(const struct type){__VA_ARGS__}, sizeof(struct type), offsetof(struct type, member))

static void *make(const void *from, size_t size, size_t cut)
{
	size_t n = old ? cut : size + FUTURE;
	char *p = malloc(n);

	if (!p)
		exit(2);
	memset(p, 0xa5, n);
	memcpy(p, from, n < size ? n : size);
	memcpy(p, &n, sizeof(n));
	return p;
}

static int give(const struct image_pull_sink *sink, void *made)
{
	size_t size;
	int r;

	memcpy(&size, made, sizeof(size));
	r = sink->value(sink->receiver, made, size);
	free(made);
	return r;
}

static int give_id(const struct image_pull_sink *sink, const unsigned char *hash)
{
	char id[72] = "sha256:";
	int i;

	for (i = 0; i < 32; i++)
		sprintf(id + 7 + 2 * i, "%02x", hash[i]);
	printf("id %s\n", id);
	return sink->value(sink->receiver, id, strlen(id));
}

static int resolve_repository(void *ctx, const char *reference, const struct image_pull_sink *sink)
{
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)(strrchr(reference, ':') - reference), reference);
	return give(sink, MAKE(image_pull_repository_info, index_name, .name = name));
}

static int lookup_endpoints(void *ctx, const char *hostname, const struct image_pull_sink *sink)
{
	struct image_pull_tls *tls =
		MAKE(image_pull_tls, certificates, .insecure_skip_verify = 1, .ca = NULL);
	char url[256];
	int r;

	snprintf(url, sizeof(url), "http://%s", hostname);
	r = give(sink, old ? MAKE(image_pull_endpoint, allow_nondistributable_artifacts, .url = url,
				     .version = 2, .trim_hostname = 1)
			   : MAKE(image_pull_endpoint, allow_nondistributable_artifacts, .url = url,
				     .version = 2, .trim_hostname = 1, .tls = tls));
	free(tls);
	return r;
}

static int image_put(void *ctx, const void *config, size_t size, const struct image_pull_sink *sink)
{
	unsigned char hash[32];

	gcry_md_hash_buffer(GCRY_MD_SHA256, hash, config, size);
	return give_id(sink, hash);
}

static int image_get(void *ctx, const char *id, const struct image_pull_sink *sink)
{
	return IMAGE_PULL_NOT_FOUND;
}

static int register_layer(void *ctx, const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	char buf[4096];
	gcry_md_hd_t hash;
	int64_t n;
	int r = IMAGE_PULL_FAILED;

	if (gcry_md_open(&hash, GCRY_MD_SHA256, 0))
		return IMAGE_PULL_NO_MEMORY;
	while ((n = reader->read(reader->context, buf, sizeof(buf))) > 0)
		gcry_md_write(hash, buf, (size_t)n);
	if (n == 0)
		r = give_id(sink, gcry_md_read(hash, 0));
	gcry_md_close(hash);
	return r;
}

static void progress(void *ctx, void *pull, const struct image_pull_progress *p)
{
	nprogress++;
}

int main(int argc, char **argv)
{
	void *so = argc == 4 ? dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) : NULL;
	const struct image_pull_plugin *plugin = so ? dlsym(so, IMAGE_PULL_SYMBOL) : NULL;
	void *parts[8];
	struct image_pull_instance *instance;
	struct image_pull_error *error = NULL;
	int r, i;

	if (!plugin || plugin->magic != IMAGE_PULL_MAGIC)
		return fprintf(stderr, "no plugin: %s\n", dlerror()), 2;
	old = !strcmp(argv[1], "old");
	parts[0] = MAKE(image_pull_registry_service, lookup_reference_endpoints,
		.resolve_repository = resolve_repository,
		.lookup_pull_endpoints = lookup_endpoints);
	parts[1] = MAKE(
		image_pull_image_store, rootfs_from_config, .put = image_put, .get = image_get);
	parts[2] = MAKE(image_pull_layer_store, stage, .register_layer = register_layer);
	parts[3] = MAKE(image_pull_events, image_event, .progress = progress);
	parts[4] = MAKE(image_pull_limits, max_layer_size, .max_concurrent_downloads = 2);
	parts[5] =
		MAKE(image_pull_options, ca_bundle, .user_agent = "border/1", .limits = parts[4]);
	parts[6] = MAKE(image_pull_engine, options, .registry_service = parts[0],
		.image_store = parts[1], .layer_store = parts[2], .events = parts[3],
		.options = parts[5]);
	parts[7] = MAKE(image_pull_request, platform, .reference = argv[3]);
	r = plugin->create(parts[6], &instance, &error);
	if (r == 0) {
		plugin->set_limits(instance, parts[4]);
		r = plugin->image_pull(instance, parts[7], &error);
		plugin->destroy(instance);
	}
	if (r < 0)
		printf("error %s\n", plugin->error_info(error)->message);
	plugin->error_free(error);
	for (i = 0; i < 8; i++)
		free(parts[i]);
	return r < 0 || !nprogress;
}
