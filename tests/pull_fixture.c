/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of whole pulls share. */
#include "pull_fixture.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct image_pull_plugin *plugin;

int load_plugin(void **state)
{
	(void)state;
	plugin = fake_engine_load_plugin();
	return plugin ? 0 : -1;
}

/* ---- images to pull */

void blob_make(struct blob *b, const char *kind, char *text)
{
	b->text = text;
	assert_non_null(text);
	assert_int_equal(digest_from_bytes(text, strlen(text), b->digest), 0);
	snprintf(b->path, sizeof(b->path), "/v2/team/app/%s/%s", kind, b->digest);
}

static char *layer_json(const struct blob *layer)
{
	return str_printf("{\"mediaType\":\"" LAYER_TYPE "\",\"size\":%zu,\"digest\":\"%s\"}",
		strlen(layer->text), layer->digest);
}

void image_make(struct image *image, const char *name)
{
	cleanup_free char *first = NULL;
	cleanup_free char *second = NULL;

	blob_make(&image->layers[0], "blobs", str_printf("the base layer of %s, not a tar", name));
	blob_make(&image->layers[1], "blobs", str_printf("the top layer of %s, not a tar", name));
	blob_make(&image->config, "blobs",
		str_printf("{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":"
			   "\"layers\","
			   "\"diff_ids\":[\"%s\",\"%s\",\"%s\"]}}",
			image->layers[0].digest, image->layers[1].digest, image->layers[0].digest));
	first = layer_json(&image->layers[0]);
	second = layer_json(&image->layers[1]);
	blob_make(&image->manifest, "manifests",
		str_printf("{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{"
			   "\"mediaType\":\"" CONFIG_TYPE "\",\"size\":%zu,\"digest\":\"%s\"},"
			   "\"layers\":[%s,%s,%s]}",
			strlen(image->config.text), image->config.digest, first, second, first));
}

void image_free(struct image *image)
{
	free(image->layers[0].text);
	free(image->layers[1].text);
	free(image->config.text);
	free(image->manifest.text);
}

/* ---- one registry, one engine, one instance */

void route(struct world *w, const char *path, const char *type, const char *body)
{
	assert_true(w->nroutes < ARRAY_SIZE(w->routes));
	w->routes[w->nroutes++] =
		(struct fake_route){.path = path, .content_type = type, .body = body};
}

void route_error(
	struct world *w, const char *path, int status, const char *code, const char *message)
{
	static char body[512];

	snprintf(body, sizeof(body),
		"{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\","
		"\"detail\":{}}]}",
		code, message);
	route(w, path, "application/json", body);
	w->routes[w->nroutes - 1].status = status;
}

void route_image(struct world *w, const struct image *image)
{
	route(w, image->manifest.path, MANIFEST_TYPE, image->manifest.text);
	route(w, image->config.path, NULL, image->config.text);
	route(w, image->layers[0].path, NULL, image->layers[0].text);
	route(w, image->layers[1].path, NULL, image->layers[1].text);
}

void world_begin(struct world *w, bool staging)
{
	memset(w, 0, sizeof(*w));
	fake_engine_init(&w->engine, staging);
	image_make(&w->image, "one");
	route(w, "/v2/", "application/json", "{}");
}

void world_start(struct world *w, const char *tail)
{
	struct image_pull_error *error = NULL;

	w->registry = fake_registry_start(w->routes, w->nroutes);
	snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d", fake_registry_port(w->registry));
	snprintf(w->ref, sizeof(w->ref), "127.0.0.1:%d/team/app%s", fake_registry_port(w->registry),
		tail);
	w->engine.endpoints[0] = w->url;
	assert_int_equal(plugin->create(&w->engine.engine, &w->instance, &error), 0);
}

void world_end(struct world *w)
{
	plugin->destroy(w->instance);
	assert_int_equal(fake_engine_holds(&w->engine), 0);
	assert_int_equal(w->engine.nstaged, w->engine.ndiscarded);
	fake_registry_stop(w->registry);
	fake_engine_free(&w->engine);
	image_free(&w->image);
}

int pull(struct world *w, struct image_pull_error **error)
{
	struct image_pull_request request = {.struct_size = sizeof(request), .reference = w->ref};

	*error = NULL;
	return plugin->image_pull(w->instance, &request, error);
}

void pull_ok(struct world *w)
{
	struct image_pull_error *error;

	if (pull(w, &error) < 0)
		fail_msg("%s: %s", w->ref, plugin->error_info(error)->message);
	assert_null(error);
}

void expect(struct world *w, const char *what, const struct buf *b, const char *expected)
{
	cleanup_buf struct buf want = {0};
	const char *p;

	for (p = expected; *p; p++) {
		if (p[0] == '$' && p[1] == 'R') {
			buf_append_str(&want, w->url + strlen("http://"));
			p++;
		} else {
			buf_append_char(&want, *p);
		}
	}
	if (strcmp(b->data ? b->data : "", want.data ? want.data : ""))
		fail_msg("%s of the pull of %s:\n%s---- instead of:\n%s----", what, w->ref,
			b->data ? b->data : "", want.data ? want.data : "");
}
