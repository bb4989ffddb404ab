/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pulls through the plugin's border, from a registry in this process into an engine in
 * memory. Go counterpart: what distribution/pull_v2_test.go does for parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fakes/fake_engine.h"
#include "fakes/fake_registry.h"
#include "image/digest.h"

#define MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define LIST_TYPE "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define CONFIG_TYPE "application/vnd.docker.container.image.v1+json"
#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar"

static const struct image_pull_plugin *plugin;

/* ---- images to pull */

struct blob {
	char *text;
	char digest[DIGEST_MAX];
	char path[256]; /* below /v2/team/app/ */
};

static void blob_make(struct blob *b, const char *kind, char *text)
{
	b->text = text;
	assert_non_null(text);
	assert_int_equal(digest_from_bytes(text, strlen(text), b->digest), 0);
	snprintf(b->path, sizeof(b->path), "/v2/team/app/%s/%s", kind, b->digest);
}

/* Two layers, of which the first one is there twice. */
struct image {
	struct blob layers[2], config, manifest;
};

static char *layer_json(const struct blob *layer)
{
	return str_printf("{\"mediaType\":\"" LAYER_TYPE "\",\"size\":%zu,\"digest\":\"%s\"}",
		strlen(layer->text), layer->digest);
}

static void image_make(struct image *image, const char *name)
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

static void image_free(struct image *image)
{
	free(image->layers[0].text);
	free(image->layers[1].text);
	free(image->config.text);
	free(image->manifest.text);
}

/* ---- one registry, one engine, one instance */

struct world {
	struct fake_route routes[24];
	size_t nroutes;
	struct fake_registry *registry;
	struct fake_engine engine;
	struct image_pull_instance *instance;
	char url[64], ref[96];
	struct image image;
};

static void route(struct world *w, const char *path, const char *type, const char *body)
{
	assert_true(w->nroutes < ARRAY_SIZE(w->routes));
	w->routes[w->nroutes++] =
		(struct fake_route){.path = path, .content_type = type, .body = body};
}

static void route_error(
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

/* The first route for a path wins. */
static void route_image(struct world *w, const struct image *image)
{
	route(w, image->manifest.path, MANIFEST_TYPE, image->manifest.text);
	route(w, image->config.path, NULL, image->config.text);
	route(w, image->layers[0].path, NULL, image->layers[0].text);
	route(w, image->layers[1].path, NULL, image->layers[1].text);
}

static void world_begin(struct world *w, bool staging)
{
	memset(w, 0, sizeof(*w));
	fake_engine_init(&w->engine, staging);
	image_make(&w->image, "one");
	route(w, "/v2/", "application/json", "{}");
}

static void world_start(struct world *w, const char *tail)
{
	struct image_pull_error *error = NULL;

	w->registry = fake_registry_start(w->routes, w->nroutes);
	snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d", fake_registry_port(w->registry));
	snprintf(w->ref, sizeof(w->ref), "127.0.0.1:%d/team/app%s", fake_registry_port(w->registry),
		tail);
	w->engine.endpoints[0] = w->url;
	assert_int_equal(plugin->create(&w->engine.engine, &w->instance, &error), 0);
}

static void world_end(struct world *w)
{
	plugin->destroy(w->instance);
	assert_int_equal(fake_engine_holds(&w->engine), 0);
	assert_int_equal(w->engine.nstaged, w->engine.ndiscarded);
	fake_registry_stop(w->registry);
	fake_engine_free(&w->engine);
	image_free(&w->image);
}

static int pull(struct world *w, struct image_pull_error **error)
{
	struct image_pull_request request = {.struct_size = sizeof(request), .reference = w->ref};

	*error = NULL;
	return plugin->image_pull(w->instance, &request, error);
}

static void pull_ok(struct world *w)
{
	struct image_pull_error *error;

	if (pull(w, &error) < 0)
		fail_msg("%s: %s", w->ref, plugin->error_info(error)->message);
	assert_null(error);
}

/* Compares text with an expectation in which $R is the registry's host and port. */
static void expect(struct world *w, const char *what, const struct buf *b, const char *expected)
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

/* ---- what works */

static void check_first_pull(struct world *w)
{
	cleanup_free char *calls = str_printf("get $R/team/app:v1\n"
					      "get $R/team/app@%s\n"
					      "add_digest $R/team/app@%s force\n"
					      "add_tag $R/team/app:v1 force\n",
		w->image.manifest.digest, w->image.manifest.digest);
	cleanup_free char *events = str_printf("updated $R/team/app:v1 %.19s %.19s\n"
					       "pull $R/team/app:v1 $R/team/app\n",
		w->image.config.digest, w->image.manifest.digest);
	const char *after_put = strstr(w->engine.calls.data, "put\n");
	struct buf rest = {0};

	assert_non_null(after_put);
	rest.data = (char *)after_put + strlen("put\n");
	expect(w, "calls after put", &rest, calls);
	expect(w, "events", &w->engine.events, events);
	expect(w, "logs", &w->engine.logs, "");
	assert_int_equal(w->engine.layers.count, 3);
}

static void pull_twice(bool staging)
{
	struct world w;
	cleanup_free char *progress = NULL;
	char expected[512];

	world_begin(&w, staging);
	route_image(&w, &w.image);
	route(&w, "/v2/team/app/manifests/v1", MANIFEST_TYPE, w.image.manifest.text);
	world_start(&w, ":v1");
	pull_ok(&w);
	check_first_pull(&w);
	assert_non_null(strstr(w.engine.progress.data, "v1: Pulling from team/app\n"));
	assert_non_null(strstr(w.engine.progress.data, "Status: Downloaded newer image for "));
	snprintf(
		expected, sizeof(expected), "%.12s: Pull complete\n", w.image.layers[1].digest + 7);
	assert_non_null(strstr(w.engine.progress.data, expected));

	fake_engine_forget(&w.engine);
	pull_ok(&w);
	progress = str_printf("v1: Pulling from team/app\nDigest: %s\n"
			      "Status: Image is up to date for $R/team/app:v1\n",
		w.image.manifest.digest);
	expect(&w, "progress", &w.engine.progress, progress);
	free(progress);
	progress = str_printf("get $R/team/app:v1\nget $R/team/app@%s\n", w.image.manifest.digest);
	expect(&w, "calls", &w.engine.calls, progress);
	world_end(&w);
}

static void test_plain(void **state)
{
	(void)state;
	pull_twice(false);
}

static void test_staging(void **state)
{
	(void)state;
	pull_twice(true);
}

/* The image is gone, its layers are not: nothing is downloaded but the configuration. */
static void test_layers_exist(void **state)
{
	struct world w;
	cleanup_free char *requests = NULL;
	cleanup_free char *expected = NULL;

	(void)state;
	world_begin(&w, true);
	route_image(&w, &w.image);
	route(&w, "/v2/team/app/manifests/v1", MANIFEST_TYPE, w.image.manifest.text);
	world_start(&w, ":v1");
	pull_ok(&w);
	fake_engine_forget(&w.engine);
	w.engine.images.items[0].key[7]++; /* another ID */
	pull_ok(&w);
	expected = str_printf("v1: Pulling from team/app\n%.12s: Already exists\n"
			      "%.12s: Already exists\n%.12s: Already exists\nDigest: %s\n"
			      "Status: Image is up to date for $R/team/app:v1\n",
		w.image.layers[0].digest + 7, w.image.layers[1].digest + 7,
		w.image.layers[0].digest + 7, w.image.manifest.digest);
	expect(&w, "progress", &w.engine.progress, expected);
	requests = fake_registry_requests(w.registry);
	/* Each layer was asked for once. */
	assert_null(
		strstr(strstr(requests, w.image.layers[0].digest) + 1, w.image.layers[0].digest));
	assert_null(
		strstr(strstr(requests, w.image.layers[1].digest) + 1, w.image.layers[1].digest));
	world_end(&w);
}

static void test_all_tags(void **state)
{
	struct world w;
	struct image second;
	struct image_pull_error *error;

	(void)state;
	world_begin(&w, true);
	route_image(&w, &w.image);
	image_make(&second, "two");
	route_image(&w, &second);
	route(&w, "/v2/team/app/tags/list", "application/json",
		"{\"name\":\"team/app\",\"tags\":[\"a\",\"b\",\"c\"]}");
	route(&w, "/v2/team/app/manifests/a", MANIFEST_TYPE, w.image.manifest.text);
	route(&w, "/v2/team/app/manifests/b", MANIFEST_TYPE, second.manifest.text);
	route_error(&w, "/v2/team/app/manifests/c", 404, "MANIFEST_UNKNOWN", "manifest unknown");
	world_start(&w, "");
	/* The third one is missing; the first two stay. */
	assert_int_equal(pull(&w, &error), -1);
	assert_int_equal(plugin->error_info(error)->error_class, IMAGE_PULL_CLASS_NOT_FOUND);
	assert_non_null(strstr(plugin->error_info(error)->message, "/team/app not found: "));
	plugin->error_free(error);
	assert_int_equal(w.engine.references.count, 4);
	assert_int_equal(w.engine.images.count, 2);
	world_end(&w);
	image_free(&second);
}

/* A list, and an OCI index that holds an OCI index that does not say for what it is. */
static void test_lists(void **state)
{
	struct world w;
	struct image other;
	struct blob list, inner, outer;
	char short_digest[20];

	(void)state;
	world_begin(&w, true);
	route_image(&w, &w.image);
	image_make(&other, "arm");
	route_image(&w, &other);
	blob_make(&list, "manifests",
		str_printf("{\"schemaVersion\":2,\"mediaType\":\"" LIST_TYPE "\",\"manifests\":["
			   "{\"mediaType\":\"" MANIFEST_TYPE "\",\"size\":%zu,\"digest\":\"%s\","
			   "\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\"}},"
			   "{\"mediaType\":\"" MANIFEST_TYPE "\",\"size\":%zu,\"digest\":\"%s\","
			   "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
			strlen(other.manifest.text), other.manifest.digest,
			strlen(w.image.manifest.text), w.image.manifest.digest));
	blob_make(&inner, "manifests",
		str_printf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX_TYPE
			   "\",\"manifests\":["
			   "{\"mediaType\":\"" MANIFEST_TYPE "\",\"size\":%zu,\"digest\":\"%s\","
			   "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
			strlen(w.image.manifest.text), w.image.manifest.digest));
	blob_make(&outer, "manifests",
		str_printf(
			"{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX_TYPE "\",\"manifests\":["
			"{\"mediaType\":\"" OCI_INDEX_TYPE "\",\"size\":%zu,\"digest\":\"%s\"}]}",
			strlen(inner.text), inner.digest));
	route(&w, "/v2/team/app/manifests/list", LIST_TYPE, list.text);
	route(&w, "/v2/team/app/manifests/nested", OCI_INDEX_TYPE, outer.text);
	route(&w, inner.path, OCI_INDEX_TYPE, inner.text);
	world_start(&w, ":list");
	pull_ok(&w);
	assert_int_equal(w.engine.images.count, 1);
	assert_string_equal(w.engine.images.items[0].key, w.image.config.digest);
	strcpy(strrchr(w.ref, ':'), ":nested");
	fake_engine_forget(&w.engine);
	memcpy(short_digest, outer.digest, 19);
	short_digest[19] = 0;
	pull_ok(&w);
	assert_int_equal(w.engine.images.count, 1);
	assert_non_null(strstr(w.engine.events.data, short_digest));
	/* The registry sends them up to its end. */
	world_end(&w);
	free(list.text);
	free(inner.text);
	free(outer.text);
	image_free(&other);
}

/* ---- what fails */

static void test_structured_error(void **state)
{
	struct world w;
	struct image_pull_error *error;
	const struct image_pull_error_info *info;

	(void)state;
	world_begin(&w, true);
	route_error(&w, "/v2/team/app/manifests/v1", 404, "MANIFEST_UNKNOWN", "manifest unknown");
	world_start(&w, ":v1");
	w.engine.endpoints[0] = "http://127.0.0.1:1";
	w.engine.endpoints[1] = w.url;
	assert_int_equal(pull(&w, &error), -1);
	info = plugin->error_info(error);
	assert_non_null(strstr(info->message, ":v1 not found: manifest unknown: manifest unknown"));
	assert_int_equal(info->error_class, IMAGE_PULL_CLASS_NOT_FOUND);
	assert_int_equal(info->phase, IMAGE_PULL_PHASE_MANIFEST);
	assert_string_equal(info->registry_code, "MANIFEST_UNKNOWN");
	assert_string_equal(info->endpoint, w.url);
	assert_false(info->cancelled);
	assert_int_equal(info->nattempts, 2);
	assert_string_equal(info->attempts[0]->endpoint, "http://127.0.0.1:1");
	assert_non_null(strstr(info->attempts[0]->message, "connection refused"));
	assert_string_equal(info->attempts[1]->endpoint, w.url);
	plugin->error_free(error);
	world_end(&w);
}

/* Manifests that are refused before a blob is asked for. */
static void test_refused_manifests(void **state)
{
	static const struct {
		const char *config, *layers;
		size_t repeat; /* the layers' last one */
		const char *message;
	} cases[] = {
		{"sha256:abc", "", 0, "invalid checksum digest length"},
		{"sha256:../../../etc/passwd", "", 0, "invalid checksum digest length"},
		{"", "", 0, "invalid checksum digest format"},
		{NULL, "sha256:abc", 1, "invalid checksum digest length"},
		{NULL, "md5:d41d8cd98f00b204e9800998ecf8427e", 1, "unsupported digest algorithm"},
		{NULL, "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", 1,
			"invalid checksum digest format"},
		{NULL, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			128, "max depth exceeded"},
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf manifest = {0};
		cleanup_free char *requests = NULL;
		struct image_pull_error *error;
		struct world w;

		world_begin(&w, true);
		buf_appendf(&manifest,
			"{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{"
			"\"mediaType\":\"" CONFIG_TYPE "\",\"size\":2,\"digest\":\"%s\"},"
			"\"layers\":[",
			cases[i].config ? cases[i].config : w.image.config.digest);
		for (j = 0; j < cases[i].repeat; j++)
			buf_appendf(&manifest,
				"%s{\"mediaType\":\"" LAYER_TYPE "\",\"size\":2,\"digest\":\"%s\"}",
				j ? "," : "", cases[i].layers);
		buf_append_str(&manifest, "]}");
		route(&w, "/v2/team/app/manifests/v1", MANIFEST_TYPE, manifest.data);
		world_start(&w, ":v1");
		assert_int_equal(pull(&w, &error), -1);
		if (!strstr(plugin->error_info(error)->message, cases[i].message))
			fail_msg("case %zu: %s\ninstead of: %s", i,
				plugin->error_info(error)->message, cases[i].message);
		plugin->error_free(error);
		requests = fake_registry_requests(w.registry);
		assert_string_equal(requests, "/v2/\n/v2/team/app/manifests/v1\n");
		world_end(&w);
	}
}

/* What an engine's callbacks answer: the text stays as it is; where the original translates the
 * pull's error, the class is Unknown there and here. */
static void test_engine_errors(void **state)
{
	static const struct {
		const char *callback;
		int code;
		const char *message;
		const char *expected;
		int error_class, phase;
	} cases[] = {
		{"resolve_repository", IMAGE_PULL_INVALID, "bad name", "bad name",
			IMAGE_PULL_CLASS_INVALID_PARAMETER, IMAGE_PULL_PHASE_RESOLVE},
		{"resolve_repository", IMAGE_PULL_FAILED, "any", "any", IMAGE_PULL_CLASS_NONE,
			IMAGE_PULL_PHASE_RESOLVE},
		{"lookup_pull_endpoints", IMAGE_PULL_UNAVAILABLE, "later", "later",
			IMAGE_PULL_CLASS_UNAVAILABLE, IMAGE_PULL_PHASE_RESOLVE},
		{"lookup_pull_endpoints", IMAGE_PULL_NOT_FOUND, NULL, "not found",
			IMAGE_PULL_CLASS_NOT_FOUND, IMAGE_PULL_PHASE_RESOLVE},
		{"lookup_pull_endpoints", IMAGE_PULL_OK, NULL, "no endpoints found for ",
			IMAGE_PULL_CLASS_UNKNOWN, IMAGE_PULL_PHASE_RESOLVE},
		{"reference_get", IMAGE_PULL_FAILED, "broken store", "broken store",
			IMAGE_PULL_CLASS_UNKNOWN, IMAGE_PULL_PHASE_STORE},
		{"add_tag", IMAGE_PULL_CONFLICT, "Conflict: no", "Conflict: no",
			IMAGE_PULL_CLASS_UNKNOWN, IMAGE_PULL_PHASE_STORE},
		{"add_digest", IMAGE_PULL_NO_SPACE, NULL, "no space left on device",
			IMAGE_PULL_CLASS_UNKNOWN, IMAGE_PULL_PHASE_STORE},
		{"image_put", IMAGE_PULL_FAILED, "disk gone", "disk gone", IMAGE_PULL_CLASS_UNKNOWN,
			IMAGE_PULL_PHASE_STORE},
		{"commit", IMAGE_PULL_FAILED, "no", "failed to register layer: no",
			IMAGE_PULL_CLASS_UNKNOWN, IMAGE_PULL_PHASE_REGISTER},
		{"stage", IMAGE_PULL_FAILED, "no", "failed to register layer: no",
			IMAGE_PULL_CLASS_UNKNOWN, IMAGE_PULL_PHASE_REGISTER},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct image_pull_error_info *info;
		struct image_pull_error *error;
		struct world w;

		world_begin(&w, true);
		route_image(&w, &w.image);
		route(&w, "/v2/team/app/manifests/v1", MANIFEST_TYPE, w.image.manifest.text);
		world_start(&w, ":v1");
		w.engine.fail = cases[i].callback;
		w.engine.fail_code = cases[i].code;
		w.engine.fail_message = cases[i].message;
		assert_int_equal(pull(&w, &error), -1);
		info = plugin->error_info(error);
		if (strncmp(info->message, cases[i].expected, strlen(cases[i].expected)) ||
			info->error_class != cases[i].error_class || info->phase != cases[i].phase)
			fail_msg("case %zu, %s: %s, class %d, phase %d\ninstead of: %s, class %d, "
				 "phase %d",
				i, cases[i].callback, info->message, info->error_class, info->phase,
				cases[i].expected, cases[i].error_class, cases[i].phase);
		plugin->error_free(error);
		world_end(&w);
	}
}

static void test_bad_requests(void **state)
{
	static const struct {
		const char *reference, *message;
	} cases[] = {
		{NULL, "no reference was given"},
		{"", "invalid reference format"},
		{"UPPER", "invalid reference format: repository name must be lowercase"},
		{"scratch", "'scratch' is a reserved name"},
		{"a b\r\nhost: c", "invalid reference format"},
	};
	struct world w;
	size_t i;

	(void)state;
	world_begin(&w, false);
	world_start(&w, "");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct image_pull_request request = {
			.struct_size = sizeof(request), .reference = cases[i].reference};
		struct image_pull_error *error = NULL;

		assert_int_equal(plugin->image_pull(w.instance, &request, &error), -1);
		assert_string_equal(plugin->error_info(error)->message, cases[i].message);
		plugin->error_free(error);
		/* An engine that does not care. */
		assert_int_equal(plugin->image_pull(w.instance, &request, NULL), -1);
	}
	world_end(&w);
}

static void test_bad_engines(void **state)
{
	struct image_pull_instance *instance = NULL;
	struct image_pull_error *error = NULL;
	struct fake_engine e;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		fake_engine_init(&e, true);
		if (i == 0)
			e.registry_service.struct_size =
				offsetof(struct image_pull_registry_service, lookup_pull_endpoints);
		if (i == 1)
			e.engine.image_store = NULL;
		if (i == 2)
			e.layer_store.commit = NULL;
		if (i == 3)
			e.layer_store.flags = 1u << 31;
		if (i == 4)
			e.layer_store = (struct image_pull_layer_store){
				.struct_size = sizeof(e.layer_store)};
		assert_int_equal(plugin->create(&e.engine, &instance, &error), -1);
		assert_null(instance);
		assert_int_equal(
			plugin->error_info(error)->error_class, IMAGE_PULL_CLASS_INVALID_PARAMETER);
		plugin->error_free(error);
		fake_engine_free(&e);
	}
	plugin->destroy(NULL);
	plugin->error_free(NULL);
}

/* ---- what endpoints say since minor 1 */

/* The engine's one endpoint, in a struct of this size, with more behind it than anyone knows. */
static struct {
	size_t size;
	char url[64];
	char heard[256];
} newer;

static int lookup_reference(
	void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct {
		struct image_pull_endpoint endpoint;
		char more[64];
	} e = {.endpoint = {.version = 2,
		       .trim_hostname = 1,
		       .url = newer.url,
		       .flags = IMAGE_PULL_ENDPOINT_ONCE | 1u << 31,
		       .repository = "cache/of/app",
		       .ns = "a&b"}};

	(void)context;
	snprintf(newer.heard, sizeof(newer.heard), "%s", reference);
	memset(e.more, 0xff, sizeof(e.more));
	e.endpoint.struct_size = newer.size;
	return sink->value(sink->receiver, &e, sizeof(e));
}

/* Engines older and newer than the plugin: each member counts only where the struct has it. */
static void test_sizes(void **state)
{
	static const struct {
		size_t table, endpoint;
		const char *asked;
	} cases[] = {
		{offsetof(struct image_pull_registry_service, lookup_reference_endpoints), 0,
			"/v2/\n/v2/team/app/manifests/v1\n"},
		{sizeof(struct image_pull_registry_service),
			offsetof(struct image_pull_endpoint, flags),
			"/v2/\n/v2/team/app/manifests/v1\n"},
		{sizeof(struct image_pull_registry_service),
			offsetof(struct image_pull_endpoint, ns),
			"/v2/\n/v2/cache/of/app/manifests/v1\n"},
		{sizeof(struct image_pull_registry_service), sizeof(struct image_pull_endpoint),
			"/v2/?ns=a%26b\n/v2/cache/of/app/manifests/v1?ns=a%26b\n"},
		{sizeof(struct image_pull_registry_service),
			sizeof(struct image_pull_endpoint) + 64,
			"/v2/?ns=a%26b\n/v2/cache/of/app/manifests/v1?ns=a%26b\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image_pull_error *error;
		struct world w;
		cleanup_free char *asked = NULL;

		world_begin(&w, false);
		w.engine.registry_service.struct_size = cases[i].table;
		w.engine.registry_service.lookup_reference_endpoints = lookup_reference;
		newer.size = cases[i].endpoint;
		newer.heard[0] = 0;
		world_start(&w, ":v1");
		snprintf(newer.url, sizeof(newer.url), "%s", w.url);
		assert_int_equal(pull(&w, &error), -1);
		plugin->error_free(error);
		asked = fake_registry_requests(w.registry);
		if (strcmp(asked, cases[i].asked) != 0)
			fail_msg("%zu: expected %s\ngot %s", i, cases[i].asked, asked);
		assert_string_equal(newer.heard, i ? w.ref : "");
		world_end(&w);
	}
}

/* ---- plans */

static void on_planned(void *context, void *pull, const struct image_pull_planned *p)
{
	struct fake_engine *e = context;

	(void)pull;
	buf_appendf(&e->events, "%d %.19s %lld %s\n", p->kind, p->descriptor->digest,
		(long long)p->descriptor->size, p->present ? "there" : "-");
}

/* Tells what a pull would fetch; stores nothing. */
static void plan(bool staging)
{
	cleanup_free char *requests = NULL, *expected = NULL;
	struct image_pull_request request = {.struct_size = sizeof(request), .plan = 1};
	struct image_pull_error *error = NULL;
	struct world w;

	world_begin(&w, staging);
	route_image(&w, &w.image);
	route(&w, "/v2/team/app/manifests/v1", MANIFEST_TYPE, w.image.manifest.text);
	w.engine.event_table.planned = on_planned;
	world_start(&w, ":v1");
	request.reference = w.ref;
	if (plugin->image_pull(w.instance, &request, &error) < 0)
		fail_msg("%s", plugin->error_info(error)->message);
	requests = fake_registry_requests(w.registry);
	assert_string_equal(requests, "/v2/\n/v2/team/app/manifests/v1\n");
	expected = str_printf("0 %.19s %zu -\n1 %.19s %zu -\n2 %.19s %zu -\n2 %.19s %zu -\n2 %.19s "
			      "%zu there\n",
		w.image.manifest.digest, strlen(w.image.manifest.text), w.image.config.digest,
		strlen(w.image.config.text), w.image.layers[0].digest,
		strlen(w.image.layers[0].text), w.image.layers[1].digest,
		strlen(w.image.layers[1].text), w.image.layers[0].digest,
		strlen(w.image.layers[0].text));
	assert_string_equal(w.engine.events.data, expected);
	assert_int_equal(w.engine.images.count, 0);
	assert_int_equal(w.engine.layers.count, 0);
	assert_int_equal(w.engine.references.count, 0);
	/* Once it is there. */
	pull_ok(&w);
	fake_engine_forget(&w.engine);
	if (plugin->image_pull(w.instance, &request, &error) < 0)
		fail_msg("%s", plugin->error_info(error)->message);
	assert_null(strstr(strchr(w.engine.events.data, '\n') + 1, "-\n"));
	world_end(&w);
}

static void test_plan(void **state)
{
	(void)state;
	plan(false);
	plan(true);
}

/* ---- cancelling */

static bool manifest_asked(struct fake_engine *e)
{
	/* The registry is found through the endpoint that only the engine knows. */
	struct world *w = (struct world *)((char *)e - offsetof(struct world, engine));
	cleanup_free char *requests = fake_registry_requests(w->registry);

	return strstr(requests, "manifests") != NULL;
}

static bool layer_asked(struct fake_engine *e)
{
	struct world *w = (struct world *)((char *)e - offsetof(struct world, engine));
	cleanup_free char *requests = fake_registry_requests(w->registry);

	return strstr(requests, w->image.layers[0].digest) != NULL;
}

static void cancel_at(bool layer, bool (*when)(struct fake_engine *e), uint32_t timeout_ms)
{
	const struct image_pull_error_info *info;
	struct image_pull_error *error;
	struct world w;

	world_begin(&w, true);
	route(&w, layer ? w.image.layers[0].path : "/v2/team/app/manifests/v1", NULL, NULL);
	w.routes[w.nroutes - 1].status = -1;
	route_image(&w, &w.image);
	route(&w, "/v2/team/app/manifests/v1", MANIFEST_TYPE, w.image.manifest.text);
	w.engine.limits.pull_timeout_ms = timeout_ms;
	world_start(&w, ":v1");
	w.engine.cancelled = when;
	assert_int_equal(pull(&w, &error), -1);
	info = plugin->error_info(error);
	assert_string_equal(info->message, when ? "context canceled" : "context deadline exceeded");
	assert_int_equal(info->error_class, IMAGE_PULL_CLASS_UNKNOWN);
	assert_int_equal(info->cancelled, when != NULL);
	plugin->error_free(error);
	assert_int_equal(w.engine.images.count, 0);
	assert_int_equal(w.engine.references.count, 0);
	world_end(&w);
}

static void test_cancel(void **state)
{
	(void)state;
	cancel_at(false, manifest_asked, 0);
	cancel_at(true, layer_asked, 0);
	cancel_at(false, NULL, 300);
	cancel_at(true, NULL, 300);
}

/* ---- a guest leaves no traces */

struct traces {
	int descriptors, threads;
	sigset_t mask;
	mode_t mask_of_files;
	char cwd[4096];
};

static int count_entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void look(struct traces *t)
{
	t->descriptors = count_entries("/proc/self/fd");
	t->threads = count_entries("/proc/self/task");
	sigemptyset(&t->mask);
	pthread_sigmask(SIG_SETMASK, NULL, &t->mask);
	t->mask_of_files = umask(0);
	umask(t->mask_of_files);
	assert_non_null(getcwd(t->cwd, sizeof(t->cwd)));
}

static void expect_same(const struct traces *before)
{
	struct traces now;
	int i;

	/* A thread that was joined may stand in /proc a moment longer. */
	for (i = 0; i < 100; i++) {
		look(&now);
		if (now.threads == before->threads)
			break;
		usleep(10000);
	}
	assert_int_equal(now.descriptors, before->descriptors);
	assert_int_equal(now.threads, before->threads);
	for (i = 1; i < NSIG; i++)
		assert_int_equal(sigismember(&now.mask, i), sigismember(&before->mask, i));
	assert_int_equal(now.mask_of_files, before->mask_of_files);
	assert_string_equal(now.cwd, before->cwd);
}

/* Resident memory in KiB. */
static long resident(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long n = -1;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &n) == 1)
			break;
	fclose(f);
	return n;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS 100
#define GROWTH_KIB LONG_MAX /* freed memory is kept in quarantine */
#else
#define ROUNDS 1000
#define GROWTH_KIB 2048
#endif

static void test_create_destroy(void **state)
{
	struct image_pull_instance *instance;
	struct image_pull_error *error;
	struct fake_engine e;
	struct traces before;
	long memory = 0;
	int i;

	(void)state;
	fake_engine_init(&e, true);
	look(&before);
	for (i = 0; i < ROUNDS; i++) {
		assert_int_equal(plugin->create(&e.engine, &instance, &error), 0);
		/* It starts no thread and opens nothing. */
		if (i == 0)
			expect_same(&before);
		plugin->destroy(instance);
		if (i == ROUNDS / 10)
			memory = resident();
	}
	assert_true(resident() - memory < GROWTH_KIB);
	expect_same(&before);
	fake_engine_free(&e);
}

static void test_failing_pulls(void **state)
{
	struct image_pull_error *error;
	struct traces before;
	struct world w;
	long memory = 0;
	int i;

	(void)state;
	world_begin(&w, true);
	route_error(&w, "/v2/team/app/manifests/v1", 404, "MANIFEST_UNKNOWN", "manifest unknown");
	w.registry = fake_registry_start(w.routes, w.nroutes);
	look(&before);
	fake_registry_stop(w.registry);
	world_start(&w, ":v1");
	for (i = 0; i < ROUNDS; i++) {
		assert_int_equal(pull(&w, &error), -1);
		plugin->error_free(error);
		fake_engine_forget(&w.engine);
		if (i == ROUNDS / 10)
			memory = resident();
	}
	assert_true(resident() - memory < GROWTH_KIB);
	plugin->destroy(w.instance);
	w.instance = NULL;
	expect_same(&before);
	world_end(&w);
}

static int load_plugin(void **state)
{
	const char *build = getenv("top_builddir");
	cleanup_free char *path = str_printf("%s/.libs/image_pull.so", build ? build : ".");
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	(void)state;
	if (!so) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	plugin = dlsym(so, IMAGE_PULL_SYMBOL);
	return plugin && plugin->magic == IMAGE_PULL_MAGIC ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_staging),
		cmocka_unit_test(test_layers_exist),
		cmocka_unit_test(test_all_tags),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_structured_error),
		cmocka_unit_test(test_refused_manifests),
		cmocka_unit_test(test_engine_errors),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_bad_engines),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_create_destroy),
		cmocka_unit_test(test_failing_pulls),
	};

	return cmocka_run_group_tests(tests, load_plugin, NULL);
}
