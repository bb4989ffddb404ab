/* SPDX-License-Identifier: Apache-2.0 */
/* An engine in memory; what the tests of distribution/ in Go have as mocks. */
#include "fakes/fake_engine.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/digest.h"
#include "image/rootfs.h"

const char *fake_map_get(const struct fake_map *m, const char *key)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		if (!strcmp(m->items[i].key, key))
			return m->items[i].value;
	return NULL;
}

void fake_map_set(struct fake_map *m, const char *key, const char *value)
{
	size_t i;

	for (i = 0; i < m->count && strcmp(m->items[i].key, key); i++)
		;
	if (i == m->count) {
		m->items = realloc(m->items, (m->count + 1) * sizeof(*m->items));
		if (!m->items)
			exit(99);
		m->items[m->count++] = (struct fake_pair){strdup(key), NULL};
	}
	free(m->items[i].value);
	m->items[i].value = strdup(value);
}

static void map_free(struct fake_map *m)
{
	while (m->count > 0) {
		m->count--;
		free(m->items[m->count].key);
		free(m->items[m->count].value);
	}
	free(m->items);
}

/* True (and the answer given) if this callback is to fail. */
static bool fails(struct fake_engine *e, const char *name, const struct image_pull_sink *sink)
{
	if (!e->fail || strcmp(e->fail, name))
		return false;
	if (e->fail_message)
		sink->message(sink->receiver, e->fail_message);
	return true;
}

static int give(const struct image_pull_sink *sink, const char *text)
{
	return sink->value(sink->receiver, text, strlen(text));
}

static int resolve_repository(
	void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct image_pull_repository_info info = {.struct_size = sizeof(info), .class_name = ""};
	cleanup_free char *name = strdup(reference);
	char *colon;

	if (fails(context, "resolve_repository", sink))
		return ((struct fake_engine *)context)->fail_code;
	name[strcspn(name, "@")] = 0;
	colon = strrchr(name, ':');
	if (colon && !strchr(colon, '/'))
		*colon = 0;
	info.name = name;
	return sink->value(sink->receiver, &info, sizeof(info));
}

static int lookup_pull_endpoints(
	void *context, const char *hostname, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	size_t i;

	(void)hostname;
	if (fails(e, "lookup_pull_endpoints", sink))
		return e->fail_code;
	for (i = 0; e->endpoints[i]; i++) {
		const struct image_pull_endpoint p = {.struct_size = sizeof(p),
			.url = e->endpoints[i],
			.version = 2,
			.trim_hostname = 1};

		if (sink->value(sink->receiver, &p, sizeof(p)) != IMAGE_PULL_OK)
			return IMAGE_PULL_NO_MEMORY;
	}
	return IMAGE_PULL_OK;
}

static int reference_get(void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	const char *id = fake_map_get(&e->references, reference);

	buf_appendf(&e->calls, "get %s\n", reference);
	if (fails(e, "reference_get", sink))
		return e->fail_code;
	return id ? give(sink, id) : IMAGE_PULL_NOT_FOUND;
}

static int reference_add(struct fake_engine *e, const char *call, const char *reference,
	const char *id, int force, const struct image_pull_sink *sink)
{
	buf_appendf(&e->calls, "%s %s%s\n", call, reference, force ? " force" : "");
	if (fails(e, call, sink))
		return e->fail_code;
	fake_map_set(&e->references, reference, id);
	return IMAGE_PULL_OK;
}

static int add_tag(void *context, const char *reference, const char *id, int force,
	const struct image_pull_sink *sink)
{
	return reference_add(context, "add_tag", reference, id, force, sink);
}

static int add_digest(void *context, const char *reference, const char *id, int force,
	const struct image_pull_sink *sink)
{
	return reference_add(context, "add_digest", reference, id, force, sink);
}

static int image_put(
	void *context, const void *config, size_t size, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	cleanup_free char *text = strndup(config, size);
	char id[DIGEST_MAX];

	buf_append_str(&e->calls, "put\n");
	if (fails(e, "image_put", sink))
		return e->fail_code;
	if (digest_from_bytes(config, size, id) < 0)
		return IMAGE_PULL_NO_MEMORY;
	fake_map_set(&e->images, id, text);
	return give(sink, id);
}

static int image_get(void *context, const char *id, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	const char *config = fake_map_get(&e->images, id);

	return config ? give(sink, config) : IMAGE_PULL_NOT_FOUND;
}

/* Changes the number of holds on a layer; the layer stays when it is 0. */
static void hold(struct fake_engine *e, const char *chain_id, int by)
{
	const char *now = fake_map_get(&e->layers, chain_id);
	char text[16];

	snprintf(text, sizeof(text), "%d", (now ? atoi(now) : 0) + by);
	fake_map_set(&e->layers, chain_id, text);
}

int fake_engine_holds(const struct fake_engine *e)
{
	size_t i;
	int n = 0;

	for (i = 0; i < e->layers.count; i++)
		n += atoi(e->layers.items[i].value);
	return n;
}

static int layer_get(void *context, const char *chain_id, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;

	(void)sink;
	if (!fake_map_get(&e->layers, chain_id))
		return IMAGE_PULL_NOT_FOUND;
	hold(e, chain_id, 1);
	return IMAGE_PULL_OK;
}

static void layer_release(void *context, const char *chain_id)
{
	hold(context, chain_id, -1);
}

static int add_layer(struct fake_engine *e, const char *parent, const char *diff_id)
{
	char chain[DIGEST_MAX];

	if (*parent && !fake_map_get(&e->layers, parent))
		return IMAGE_PULL_NOT_FOUND;
	if (chain_id_append(parent, diff_id, chain) < 0)
		return IMAGE_PULL_NO_MEMORY;
	buf_appendf(&e->calls, "layer %.12s\n", digest_encoded(chain));
	hold(e, chain, 1);
	return IMAGE_PULL_OK;
}

/* Reads a tar to its end. 0, or -1 if the stream failed. */
static int read_tar(const struct image_pull_reader *reader, char diff_id[DIGEST_MAX])
{
	struct hasher *h = hasher_new("sha256");
	char data[4096];
	int64_t n;

	while ((n = reader->read(reader->context, data, sizeof(data))) > 0)
		hasher_write(h, data, (size_t)n);
	hasher_digest(h, diff_id);
	hasher_free(h);
	return n < 0 ? -1 : 0;
}

static int register_layer(void *context, const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	char diff_id[DIGEST_MAX];
	int r;

	(void)descriptor;
	if (fails(e, "register_layer", sink))
		return e->fail_code;
	if (read_tar(reader, diff_id) < 0)
		return IMAGE_PULL_FAILED;
	r = add_layer(e, parent, diff_id);
	return r == IMAGE_PULL_OK ? give(sink, diff_id) : r;
}

static int stage(void *context, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **handle,
	const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	char diff_id[DIGEST_MAX];

	(void)descriptor;
	if (fails(e, "stage", sink))
		return e->fail_code;
	if (read_tar(reader, diff_id) < 0)
		return IMAGE_PULL_FAILED;
	pthread_mutex_lock(&e->lock);
	e->nstaged++;
	pthread_mutex_unlock(&e->lock);
	*handle = strdup(diff_id);
	return *handle ? IMAGE_PULL_OK : IMAGE_PULL_NO_MEMORY;
}

static int commit(void *context, void *handle, const char *parent, const char *diff_id,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;

	(void)descriptor;
	if (fails(e, "commit", sink))
		return e->fail_code;
	return strcmp(handle, diff_id) ? IMAGE_PULL_INVALID : add_layer(e, parent, diff_id);
}

static void discard(void *context, void *handle)
{
	struct fake_engine *e = context;

	pthread_mutex_lock(&e->lock);
	e->ndiscarded++;
	pthread_mutex_unlock(&e->lock);
	free(handle);
}

static char *metadata_key(const char *name_space, const char *key)
{
	return str_printf("%s/%s", name_space, key);
}

static int metadata_get(
	void *context, const char *name_space, const char *key, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	cleanup_free char *k = metadata_key(name_space, key);
	const char *value = fake_map_get(&e->metadata, k);

	return value ? give(sink, value) : IMAGE_PULL_NOT_FOUND;
}

static int metadata_set(void *context, const char *name_space, const char *key, const void *value,
	size_t size, const struct image_pull_sink *sink)
{
	struct fake_engine *e = context;
	cleanup_free char *k = metadata_key(name_space, key);
	cleanup_free char *v = strndup(value, size);

	(void)sink;
	fake_map_set(&e->metadata, k, v);
	return IMAGE_PULL_OK;
}

static void on_progress(void *context, void *pull, const struct image_pull_progress *p)
{
	struct fake_engine *e = context;

	(void)pull;
	/* Byte counts come as often as they like. */
	if (!strcmp(p->action, "Downloading") || !strcmp(p->action, "Extracting"))
		return;
	buf_appendf(&e->progress, "%s%s%s\n", p->id, *p->id ? ": " : "",
		*p->message ? p->message : p->action);
}

static void on_image_event(
	void *context, void *pull, const char *id, const char *name, const char *action)
{
	struct fake_engine *e = context;

	(void)pull;
	buf_appendf(&e->events, "%s %s %s\n", action, id, name);
}

static void on_pulled(void *context, void *pull, const struct image_pull_summary *s)
{
	struct fake_engine *e = context;

	(void)pull;
	buf_appendf(&e->events, "%s %s %.19s %.19s\n", s->updated ? "updated" : "same",
		s->reference, s->image_id, s->manifest_digest);
}

static void on_log(void *context, void *pull, int level, const char *message)
{
	struct fake_engine *e = context;

	(void)pull;
	if (level < IMAGE_PULL_LOG_DEBUG)
		buf_appendf(&e->logs, "%d %s\n", level, message);
}

static int on_cancelled(void *context, void *pull)
{
	struct fake_engine *e = context;

	(void)pull;
	return e->cancelled && e->cancelled(e);
}

static void fill_stores(struct fake_engine *e, bool staging)
{
	e->registry_service =
		(struct image_pull_registry_service){.struct_size = sizeof(e->registry_service),
			.context = e,
			.resolve_repository = resolve_repository,
			.lookup_pull_endpoints = lookup_pull_endpoints};
	e->reference_store = (struct image_pull_reference_store){
		sizeof(e->reference_store), e, reference_get, add_tag, add_digest};
	e->image_store = (struct image_pull_image_store){.struct_size = sizeof(e->image_store),
		.context = e,
		.put = image_put,
		.get = image_get};
	e->layer_store = (struct image_pull_layer_store){.struct_size = sizeof(e->layer_store),
		.context = e,
		.flags = staging ? IMAGE_PULL_LAYER_STORE_STAGING : 0,
		.get = layer_get,
		.release = layer_release,
		.register_layer = register_layer,
		.stage = stage,
		.commit = commit,
		.discard = discard};
	e->metadata_store = (struct image_pull_metadata_store){
		sizeof(e->metadata_store), e, metadata_get, metadata_set, NULL};
}

void fake_engine_init(struct fake_engine *e, bool staging)
{
	*e = (struct fake_engine){.fail_code = IMAGE_PULL_FAILED};
	pthread_mutex_init(&e->lock, NULL);
	fill_stores(e, staging);
	e->event_table = (struct image_pull_events){.struct_size = sizeof(e->event_table),
		.context = e,
		.progress = on_progress,
		.image_event = on_image_event,
		.pulled = on_pulled,
		.log = on_log,
		.cancelled = on_cancelled};
	e->limits.struct_size = sizeof(e->limits);
	e->options = (struct image_pull_options){.struct_size = sizeof(e->options),
		.retry_tick_ms = 1,
		.http_proxy = "",
		.https_proxy = "",
		.all_proxy = "",
		.no_proxy = "",
		.runtime_os = "linux",
		.runtime_architecture = "amd64",
		.limits = &e->limits};
	e->engine = (struct image_pull_engine){sizeof(e->engine), &e->registry_service,
		&e->reference_store, &e->image_store, &e->layer_store, &e->metadata_store,
		&e->event_table, &e->options};
}

void fake_engine_forget(struct fake_engine *e)
{
	buf_free(&e->calls);
	buf_free(&e->progress);
	buf_free(&e->logs);
	buf_free(&e->events);
}

void fake_engine_free(struct fake_engine *e)
{
	fake_engine_forget(e);
	map_free(&e->references);
	map_free(&e->images);
	map_free(&e->layers);
	map_free(&e->metadata);
	pthread_mutex_destroy(&e->lock);
}

const struct image_pull_plugin *fake_engine_load_plugin(void)
{
	const char *build = getenv("top_builddir");
	cleanup_free char *path = str_printf("%s/.libs/image_pull.so", build ? build : ".");
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct image_pull_plugin *plugin;

	if (!so) {
		fprintf(stderr, "%s\n", dlerror());
		return NULL;
	}
	plugin = dlsym(so, IMAGE_PULL_SYMBOL);
	if (plugin && plugin->magic == IMAGE_PULL_MAGIC)
		return plugin;
	fprintf(stderr, "%s has no plugin\n", path);
	return NULL;
}
