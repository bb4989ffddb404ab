/* SPDX-License-Identifier: Apache-2.0 */
/* compat/plugin_load: libraries that are no plugin, or one of another kind, each with its message.
 * They are made by the compiler that made this test. */
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
#include "folder.h"
#include "towline.h"

#define HEAD                                                                                       \
	"#include \"image_pull.h\"\n"                                                              \
	"static int create(const struct image_pull_engine *e, struct image_pull_instance **i,\n"   \
	"	struct image_pull_error **r) { (void)e; (void)i; (void)r; return -1; }\n"                \
	"static int pull(struct image_pull_instance *i, const struct image_pull_request *q,\n"     \
	"	struct image_pull_error **r) { (void)i; (void)q; (void)r; return -1; }\n"                \
	"static int cancel(struct image_pull_instance *i, const void *p)\n"                        \
	"	{ (void)i; (void)p; return 0; }\n"                                                       \
	"static void limits(struct image_pull_instance *i, const struct image_pull_limits *l)\n"   \
	"	{ (void)i; (void)l; }\n"                                                                 \
	"static void destroy(struct image_pull_instance *i) { (void)i; }\n"                        \
	"static const struct image_pull_error_info *info(const struct image_pull_error *e)\n"      \
	"	{ (void)e; return 0; }\n"                                                                \
	"static void efree(struct image_pull_error *e) { (void)e; }\n"                             \
	"const struct image_pull_plugin image_pull_plugin = {"
#define FUNCTIONS ", \"n\", \"1\", create, pull, cancel, limits, destroy, info, efree};\n"
#define SIZE ", sizeof(struct image_pull_plugin)"

/* False where there is no compiler. */
static bool compile(const char *folder, const char *name, const char *source)
{
	const char *cc = getenv("CC");
	cleanup_free char *file = str_printf("%s.c", name);
	cleanup_free char *command = str_printf("%s -shared -fPIC -I%s/plugin -o %s/%s %s/%s 2>&1",
		cc && *cc ? cc : "cc", SRCDIR, folder, name, folder, file);

	folder_write(folder, file, source);
	return system(command) == 0;
}

static void refused(void **state)
{
	static const struct {
		const char *name, *source, *error;
		int code;
	} cases[] = {
		{"none.so", "int x;\n",
			"PATH is no image pull plugin: it has no symbol image_pull_plugin",
			IMAGE_PULL_INVALID},
		{"small.so", "const char image_pull_plugin[2] = {1, 2};\n",
			"PATH is no image pull plugin: its image_pull_plugin has not the magic "
			"number",
			IMAGE_PULL_INVALID},
		{"function.so", "int image_pull_plugin(void) { return 0; }\n",
			"PATH is no image pull plugin: its image_pull_plugin has not the magic "
			"number",
			IMAGE_PULL_INVALID},
		{"magic.so", HEAD "0x12345678, 1, 0" SIZE FUNCTIONS,
			"PATH is no image pull plugin: its image_pull_plugin has not the magic "
			"number",
			IMAGE_PULL_INVALID},
		{"major.so", HEAD "IMAGE_PULL_MAGIC, 2, 7" SIZE FUNCTIONS,
			"plugin PATH has ABI 2.7, this host needs 1.x", IMAGE_PULL_INVALID},
		{"null.so",
			HEAD "IMAGE_PULL_MAGIC, 1, 0" SIZE
			     ", \"n\", \"1\", create, 0, cancel, limits, destroy, info, efree};\n",
			"plugin PATH: image_pull_plugin lacks a member that ABI 1.0 has",
			IMAGE_PULL_INVALID},
	};
	char *folder = folder_make();

	(void)state;
	if (!compile(folder, "probe.so", "int probe;\n")) {
		folder_remove(folder);
		skip(); /* no compiler here */
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *path = folder_path(folder, cases[i].name);
		const char *place = strstr(cases[i].error, "PATH");
		cleanup_free char *expected = str_printf(
			"%.*s%s%s", (int)(place - cases[i].error), cases[i].error, path, place + 4);
		const struct image_pull_plugin *plugin = NULL;
		struct towline_text text;
		int code;

		if (!compile(folder, cases[i].name, cases[i].source))
			fail_msg("%s does not compile", cases[i].name);
		towline_text_init(&text);
		code = towline_plugin_load(path, &plugin, &text.sink);
		if (code != cases[i].code || plugin || !str_equal(text.message, expected))
			fail_msg("%s: code %d\nexpected %s\ngot      %s", cases[i].name, code,
				expected, text.message);
		towline_text_free(&text);
	}
	folder_remove(folder);
}

/* A struct that says it is smaller than ABI 1.0's, or larger than it is. */
static void wrong_size(void **state)
{
	static const char *const sizes[] = {", 24", ", 4096"};
	char *folder = folder_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup_free char *name = str_printf("size%zu.so", i);
		cleanup_free char *path = folder_path(folder, name);
		cleanup_free char *source =
			str_printf("%sIMAGE_PULL_MAGIC, 1, 0%s%s", HEAD, sizes[i], FUNCTIONS);
		const struct image_pull_plugin *plugin = NULL;
		struct towline_text text;

		if (!compile(folder, name, source)) {
			folder_remove(folder);
			skip(); /* no compiler here */
		}
		towline_text_init(&text);
		assert_int_equal(
			towline_plugin_load(path, &plugin, &text.sink), IMAGE_PULL_INVALID);
		if (!strstr(text.message, "the size of image_pull_plugin is"))
			fail_msg("%s", text.message);
		towline_text_free(&text);
	}
	folder_remove(folder);
}

static void taken(void **state)
{
	char *folder = folder_make();
	cleanup_free char *path = folder_path(folder, "good.so");
	const struct image_pull_plugin *plugin = NULL;
	struct towline_text text;
	int code;

	(void)state;
	/* A later minor version is as good. */
	if (!compile(folder, "good.so", HEAD "IMAGE_PULL_MAGIC, 1, 9" SIZE FUNCTIONS)) {
		folder_remove(folder);
		skip(); /* no compiler here */
	}
	towline_text_init(&text);
	code = towline_plugin_load(path, &plugin, &text.sink);
	if (code != IMAGE_PULL_OK)
		fail_msg("%s", towline_text_message(&text, code));
	assert_string_equal(plugin->name, "n");
	assert_int_equal(plugin->abi_minor, 9);
	towline_text_free(&text);
	folder_remove(folder);
}

static void no_library(void **state)
{
	char *folder = folder_make();
	cleanup_free char *missing = folder_path(folder, "missing.so");
	cleanup_free char *garbage = folder_path(folder, "garbage.so");
	cleanup_free char *expected =
		str_printf("cannot load plugin %s: no such file or directory", missing);
	cleanup_free char *folder_text =
		str_printf("cannot load plugin %s: not a regular file", folder);
	cleanup_free char *head = str_printf("cannot load plugin %s: ", garbage);
	const struct image_pull_plugin *plugin = NULL;
	struct towline_text text;

	(void)state;
	folder_write(folder, "garbage.so", "this is no ELF file");
	towline_text_init(&text);
	assert_int_equal(towline_plugin_load(missing, &plugin, &text.sink), IMAGE_PULL_NOT_FOUND);
	assert_string_equal(text.message, expected);
	assert_int_equal(towline_plugin_load(garbage, &plugin, &text.sink), IMAGE_PULL_INVALID);
	assert_true(str_has_prefix(text.message, head));
	assert_int_equal(towline_plugin_load(folder, &plugin, &text.sink), IMAGE_PULL_INVALID);
	assert_string_equal(text.message, folder_text);
	assert_null(plugin);
	towline_text_free(&text);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(wrong_size),
		cmocka_unit_test(taken),
		cmocka_unit_test(no_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
