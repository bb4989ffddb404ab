/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pulls through the plugin's border, from a registry in this process into an engine in
 * memory. Go counterpart: what distribution/pull_v2_test.go does for parts. */
#include "pull_fixture.h"

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

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
		cmocka_unit_test(test_plan),
	};

	return cmocka_run_group_tests(tests, load_plugin, NULL);
}
