/* SPDX-License-Identifier: Apache-2.0 */
/* Engines older and newer than the plugin: every table and struct that an engine hands over, as ABI
 * 1.0 had it and nothing behind it, and with 64 bytes more than this plugin knows. Endpoints and
 * what is behind single members: test_pull_guest. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fakes/fake_engine.h"

#define MORE 64

static const struct image_pull_plugin *plugin;

/* What must not be called: it stands behind the struct's end. */
static void trap(void)
{
	fail_msg("a member was used that lies beyond struct_size");
}

enum age { SAME, OLDER, NEWER };

/* A copy that ends where its struct_size says, so that a sanitizer sees who looks behind it. */
static void *aged(const void *given, size_t size, size_t first, enum age age)
{
	size_t want = age == OLDER ? first : age == NEWER ? size + MORE : size;
	unsigned char *copy = malloc(want);
	void (*const function)(void) = trap;

	assert_non_null(copy);
	memcpy(copy, given, want < size ? want : size);
	for (size_t at = size; at + sizeof(function) <= want; at += sizeof(function))
		memcpy(copy + at, &function, sizeof(function));
	memcpy(copy, &want, sizeof(want));
	return copy;
}

/* FIRST: the first member that ABI 1.0 did not have. */
#define AGED(value, type, first) aged(&(value), sizeof(value), offsetof(struct type, first), age)
#define AGED_WHOLE(value) aged(&(value), sizeof(value), sizeof(value), age)

static void pull_with(struct fake_engine *e, enum age age)
{
	struct image_pull_request request = {
		.struct_size = sizeof(request), .reference = "127.0.0.1:1/a/b:1"};
	struct image_pull_options options = e->options;
	void *tables[8], *engine, *asked;
	struct image_pull_instance *instance = NULL;
	struct image_pull_error *error = NULL;
	const struct image_pull_error_info *info;

	options.limits = tables[0] = AGED_WHOLE(e->limits);
	e->engine.options = tables[1] = AGED(options, image_pull_options, network);
	e->engine.registry_service = tables[2] =
		AGED(e->registry_service, image_pull_registry_service, lookup_reference_endpoints);
	e->engine.reference_store = tables[3] = AGED_WHOLE(e->reference_store);
	e->engine.image_store = tables[4] = AGED_WHOLE(e->image_store);
	e->engine.layer_store = tables[5] = AGED_WHOLE(e->layer_store);
	e->engine.metadata_store = tables[6] = AGED_WHOLE(e->metadata_store);
	e->engine.events = tables[7] = AGED(e->event_table, image_pull_events, planned);
	engine = AGED_WHOLE(e->engine);
	asked = AGED(request, image_pull_request, plan);
	if (plugin->create(engine, &instance, &error) != 0)
		fail_msg("age %d: %s", age, plugin->error_info(error)->message);
	/* The tables were copied. */
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		free(tables[i]);
	free(engine);
	assert_int_equal(plugin->image_pull(instance, asked, &error), -1);
	info = plugin->error_info(error);
	if (!strstr(info->message, "connection refused"))
		fail_msg("age %d: %s", age, info->message);
	plugin->error_free(error);
	plugin->destroy(instance);
	free(asked);
}

static void test_ages(void **state)
{
	(void)state;
	for (int staging = 0; staging < 2; staging++) {
		for (int age = SAME; age <= NEWER; age++) {
			struct fake_engine e;

			fake_engine_init(&e, staging);
			e.endpoints[0] = "http://127.0.0.1:1";
			pull_with(&e, age);
			fake_engine_free(&e);
		}
	}
}

/* A table that is too short for what is required is refused, with its name. */
static void test_too_short(void **state)
{
	struct fake_engine e;
	struct image_pull_instance *instance = NULL;
	struct image_pull_error *error = NULL;

	(void)state;
	fake_engine_init(&e, false);
	e.layer_store.struct_size = offsetof(struct image_pull_layer_store, context);
	assert_int_equal(plugin->create(&e.engine, &instance, &error), -1);
	assert_non_null(strstr(plugin->error_info(error)->message, "layer_store"));
	assert_null(instance);
	plugin->error_free(error);
	fake_engine_free(&e);
}

static int load(void **state)
{
	(void)state;
	plugin = fake_engine_load_plugin();
	return plugin ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ages), cmocka_unit_test(test_too_short)};

	return cmocka_run_group_tests(tests, load, NULL);
}
