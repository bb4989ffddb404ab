/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin is a guest: requests and engines that are wrong, older or newer than it, pulls that are
 * cancelled, and what it leaves behind. No Go counterpart. */
#include "pull_fixture.h"

#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- requests and engines that are wrong */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_bad_engines),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_create_destroy),
		cmocka_unit_test(test_failing_pulls),
	};

	return cmocka_run_group_tests(tests, load_plugin, NULL);
}
