/* SPDX-License-Identifier: Apache-2.0 */
/* A host with a plain layer store, as small as they come: it knows image_pull.h and nothing else of
 * the project. Usage: plain_host PLUGIN HOST:PORT/NAME:TAG. Prints what was registered and put;
 * each layer's bytes are hashed here, so that the printed IDs prove what came through. */
#include <dlfcn.h>
#include <gcrypt.h>
#include <stdio.h>
#include <string.h>

#include "image_pull.h"

#define ID_SIZE 72 /* "sha256:" + 64 + NUL */

static char top[ID_SIZE]; /* the chain ID of the newest layer: each one belongs on it */

static void hex_id(const unsigned char *hash, char *id)
{
	int i;

	strcpy(id, "sha256:");
	for (i = 0; i < 32; i++)
		sprintf(id + 7 + 2 * i, "%02x", hash[i]);
}

static void id_of(const void *data, size_t size, char *id)
{
	unsigned char hash[32];

	gcry_md_hash_buffer(GCRY_MD_SHA256, hash, data, size);
	hex_id(hash, id);
}

/* Stack a layer on its parent. */
static int add_layer(const char *parent, const char *diff_id)
{
	char link[2 * ID_SIZE];

	if (strcmp(parent, top))
		return IMAGE_PULL_NOT_FOUND;
	snprintf(link, sizeof(link), "%s %s", parent, diff_id);
	if (*parent)
		id_of(link, strlen(link), top);
	else
		strcpy(top, diff_id);
	printf("layer %s\n", top);
	return IMAGE_PULL_OK;
}

static int resolve_repository(void *ctx, const char *reference, const struct image_pull_sink *sink)
{
	struct image_pull_repository_info info = {.struct_size = sizeof(info)};
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)(strrchr(reference, ':') - reference), reference);
	info.name = name;
	return sink->value(sink->receiver, &info, sizeof(info));
}

static int lookup_endpoints(void *ctx, const char *hostname, const struct image_pull_sink *sink)
{
	struct image_pull_endpoint e = {.struct_size = sizeof(e), .version = 2, .trim_hostname = 1};
	char url[256];

	snprintf(url, sizeof(url), "http://%s", hostname);
	e.url = url;
	return sink->value(sink->receiver, &e, sizeof(e));
}

static int image_put(void *ctx, const void *config, size_t size, const struct image_pull_sink *sink)
{
	char id[ID_SIZE];

	id_of(config, size, id);
	printf("image %s\n", id);
	return sink->value(sink->receiver, id, strlen(id));
}

static int image_get(void *ctx, const char *id, const struct image_pull_sink *sink)
{
	return IMAGE_PULL_NOT_FOUND;
}

static int register_layer(void *ctx, const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	char buf[8192], diff_id[ID_SIZE];
	gcry_md_hd_t hash;
	int64_t n;

	if (gcry_md_open(&hash, GCRY_MD_SHA256, 0))
		return IMAGE_PULL_NO_MEMORY;
	while ((n = reader->read(reader->context, buf, sizeof(buf))) > 0)
		gcry_md_write(hash, buf, (size_t)n);
	hex_id(gcry_md_read(hash, 0), diff_id);
	gcry_md_close(hash);
	if (n < 0 || add_layer(parent, diff_id) != IMAGE_PULL_OK)
		return IMAGE_PULL_FAILED;
	return sink->value(sink->receiver, diff_id, strlen(diff_id));
}

int main(int argc, char **argv)
{
	const struct image_pull_registry_service registry = {.struct_size = sizeof(registry),
		.resolve_repository = resolve_repository,
		.lookup_pull_endpoints = lookup_endpoints};
	const struct image_pull_image_store images = {
		.struct_size = sizeof(images), .put = image_put, .get = image_get};
	const struct image_pull_layer_store layers = {
		.struct_size = sizeof(layers), .register_layer = register_layer};
	const struct image_pull_engine engine = {
		sizeof(engine), &registry, NULL, &images, &layers, NULL, NULL, NULL};
	const struct image_pull_request request = {
		.struct_size = sizeof(request), .reference = argv[2]};
	struct image_pull_instance *instance;
	struct image_pull_error *error = NULL;
	void *so = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	const struct image_pull_plugin *plugin = so ? dlsym(so, IMAGE_PULL_SYMBOL) : NULL;
	int r;

	if (!plugin || plugin->magic != IMAGE_PULL_MAGIC || plugin->abi_major != 1)
		return fprintf(stderr, "no plugin: %s\n", dlerror()), 2;
	r = plugin->create(&engine, &instance, &error);
	if (r == 0) {
		r = plugin->image_pull(instance, &request, &error);
		plugin->destroy(instance);
	}
	if (r < 0)
		printf("error %s\n", plugin->error_info(error)->message);
	plugin->error_free(error);
	return r < 0;
}
