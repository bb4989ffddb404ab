/* SPDX-License-Identifier: Apache-2.0 */
/* Layers merged into one tree: by copy (towline_rootfs) and by an overlay mount (towline_bundle),
 * which must show the same; and what a bundle's configuration says. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "image_fixture.h"
#include "layer_store.h"

#include <cmocka.h>

#define LAYERS_MAX 4

struct test {
	const char *name;
	struct member layers[LAYERS_MAX][8];
	const char *tree[10];
	bool root;
};

#define F(path, text)                                                                              \
	{                                                                                          \
		.name = path, .data = text                                                         \
	}
#define D(path)                                                                                    \
	{                                                                                          \
		.name = path, .type = '5'                                                          \
	}

static const struct test tests[] = {
	{.name = "one", .layers = {{D("d/"), F("d/a", "1")}}, .tree = {"d/a file data=1"}},
	{.name = "over",
		.layers = {{F("a", "1"), F("b", "1")}, {F("b", "2"), F("c", "2")}},
		.tree = {"a file data=1", "b file data=2", "c file data=2"}},
	{.name = "whiteouts",
		.layers = {{D("k/"), F("k/gone", "x"), D("k/tree/"), F("k/tree/x", "x"),
				   F("k/stay", "s")},
			{F("k/.wh.gone", ""), F("k/.wh.tree", ""), F(".wh.never", "")}},
		.tree = {"k/gone absent", "k/tree absent", "k/.wh.gone absent",
			"k/stay file data=s", "never absent"}},
	{.name = "whiteout of a link",
		.layers = {{{.name = "l", .type = '2', .link = "/etc"}}, {F(".wh.l", "")}},
		.tree = {"l absent"}},
	{.name = "whiteout and back",
		.layers = {{D("d/"), F("d/old", "x")}, {F(".wh.d", "")},
			{D("d/"), F("d/new", "n")}},
		.tree = {"d/old absent", "d/new file data=n"}},
	{.name = "opaque",
		.layers = {{D("k/"), F("k/lower", "x"), F("k/both", "old"), D("k/d/"),
				   F("k/d/x", "x")},
			{D("k/"), F("k/mine", "m"), F("k/.wh..wh..opq", ""), F("k/both", "new"),
				D("k/d/")}},
		.tree = {"k/lower absent", "k/mine file data=m", "k/both file data=new",
			"k/.wh..wh..opq absent", "k/d dir", "k/d/x absent"}},
	{.name = "opaque root",
		.layers = {{F("lower", "x")}, {F(".wh..wh..opq", ""), F("a", "1")}, {F("b", "2")}},
		.tree = {"lower absent", "a file data=1", "b file data=2"}},
	{.name = "types flip",
		.layers = {{D("t/"), F("t/old", "x")}, {F("t", "a file")},
			{D("t/"), F("t/new", "n")}},
		.tree = {"t/new file data=n", "t/old absent"}},
	{.name = "whiteout and folder in one layer",
		.layers = {{D("d/"), F("d/old", "x")}, {F(".wh.d", ""), D("d/"), F("d/new", "n")}},
		.tree = {"d/old absent", "d/new file data=n"}},
	{.name = "folder, then its whiteout",
		.layers = {{D("d/"), F("d/old", "x")}, {D("d/"), F("d/new", "n"), F(".wh.d", "")}},
		.tree = {"d/old absent", "d/new file data=n"}},
	{.name = "implicit parents",
		.layers = {{{.name = "d/", .type = '5', .mode = 0711, .mtime = 77},
				   {.name = "d/e/", .type = '5', .mode = 0700, .mtime = 78},
				   F("d/e/old", "x")},
			{F("d/e/.wh.old", ""), F("d/e/new", "n"), F("f/g", "1")}},
		.tree = {"d dir mode=711 mtime=77", "d/e dir mode=700 mtime=78", "d/e/old absent",
			"d/e/new file data=n", "f dir mode=755"}},
	{.name = "folders merge",
		.layers = {{{.name = "d/", .type = '5', .mode = 0711, .mtime = 77}, F("d/a", "1")},
			{{.name = "d/", .type = '5', .mode = 0750, .mtime = 88}, F("d/b", "2")}},
		.tree = {"d dir mode=750 mtime=88", "d/a file data=1", "d/b file data=2"}},
	{.name = "the root",
		.layers = {{{.name = "./", .type = '5', .mode = 0711}, F("a", "1")}, {F("b", "2")}},
		.tree = {". dir mode=711", "a file", "b file"}},
	{.name = "hard links",
		.layers = {{F("a", "same"), {.name = "d/b", .type = '1', .link = "a"},
				   {.name = "c", .type = '1', .link = "a"}},
			{F("a", "other")}},
		.tree = {"a file data=other", "d/b file data=same", "c file same=d/b"}},
	{.name = "holes",
		.layers = {{{.name = "y",
			.data = "abcde",
			.pax = {"GNU.sparse.size", "50000000", "GNU.sparse.numblocks", "2",
				"GNU.sparse.map", "4096,3,49999998,2"}}}},
		.tree = {"y file size=50000000 disk<200000"}},
	{.name = "owners and devices",
		.layers = {{{.name = "o", .data = "x", .uid = 7, .gid = 8, .mode = 04755},
			{.name = "n", .type = '3', .major = 1, .minor = 3, .mode = 0666},
			{.name = "l", .type = '2', .link = "o", .uid = 3, .mtime = 99}}},
		.tree = {"o file uid=7 gid=8 mode=4755", "n char rdev=1:3 mode=666",
			"l symlink uid=3 mtime=99"},
		.root = true},
	{.name = "attributes",
		.layers = {{{.name = "a", .data = "x", .pax = {"SCHILY.xattr.user.a", "1"}},
			{.name = "d/", .type = '5', .pax = {"SCHILY.xattr.user.d", "1"}}}},
		.tree = {"a file xattr=user.a", "d dir xattr=user.d no-xattr=user.overlay.opaque"}},
};

static void add_image(struct images *im, const struct test *t)
{
	struct buf tars[LAYERS_MAX] = {{0}}, *layers[LAYERS_MAX];
	size_t n = 0;

	for (; n < LAYERS_MAX && t->layers[n][0].name; n++) {
		for (size_t j = 0; j < ARRAY_SIZE(t->layers[n]) && t->layers[n][j].name; j++)
			tar_member(&tars[n], &t->layers[n][j]);
		tar_end(&tars[n]);
		layers[n] = &tars[n];
	}
	images_add(im, "test:1", layers, n, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		buf_free(&tars[i]);
}

static void expect_tree(const struct test *t, const char *how, const char *dir)
{
	const char *spec[ARRAY_SIZE(t->tree) + 1] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(t->tree) && t->tree[i]; i++)
		spec[i] = t->tree[i];

	cleanup_free char *differs = tree_differs(dir, spec);

	if (differs)
		fail_msg("%s, %s: %s", t->name, how, differs);
}

static void expect_code(const char *name, int code, int want, struct text_sink *sink)
{
	if (code != want)
		fail_msg("%s: %d (%s), not %d", name, code, sink->message, want);
	text_sink_done(sink);
	text_sink_init(sink);
}

static void test_copies(void **state)
{
	bool root = is_root();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct text_sink sink;
		struct images im;

		if (tests[i].root && !root)
			continue;
		images_make(&im);
		text_sink_init(&sink);
		add_image(&im, &tests[i]);

		cleanup_free char *dir = str_printf("%s/rootfs", im.dir);

		expect_code(tests[i].name, towline_rootfs(im.store, "test:1", dir, &sink.sink),
			IMAGE_PULL_OK, &sink);
		expect_tree(&tests[i], "copied", dir);
		text_sink_done(&sink);
		images_remove(&im);
	}
}

static void test_bundles(void **state)
{
	bool root = is_root();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct text_sink sink;
		struct images im;
		int code;

		if (tests[i].root && !root)
			continue;
		images_make(&im);
		text_sink_init(&sink);
		add_image(&im, &tests[i]);

		cleanup_free char *dir = str_printf("%s/bundle, with: odd\\name", im.dir);
		cleanup_free char *rootfs = str_printf("%s/rootfs", dir);

		code = towline_bundle(im.store, "test:1", dir, &sink.sink);
		if (!code)
			assert_string_equal(sink.values.data, root ? "overlay\n" : "copy\n");
		expect_code(tests[i].name, code, IMAGE_PULL_OK, &sink);
		expect_tree(&tests[i], root ? "mounted" : "copied", rootfs);
		expect_code(tests[i].name, towline_bundle_remove(im.store, dir, &sink.sink),
			IMAGE_PULL_OK, &sink);
		assert_int_equal(access(dir, F_OK), -1);
		expect_code(tests[i].name, towline_bundle_remove(im.store, dir, &sink.sink),
			IMAGE_PULL_NOT_FOUND, &sink);
		text_sink_done(&sink);
		images_remove(&im);
	}
}

static void test_root_only(void **state)
{
	(void)state;
	if (!is_root()) {
		print_message("skipped: owners, devices and overlay mounts need root\n");
		skip();
	}
}

static void test_refused(void **state)
{
	struct text_sink sink;
	struct images im;

	(void)state;
	images_make(&im);
	text_sink_init(&sink);
	add_image(&im, &tests[0]);

	cleanup_free char *dir = str_printf("%s/full", im.dir);
	cleanup_free char *file = str_printf("%s/full/file", im.dir);
	cleanup_free char *nowhere = str_printf("%s/not/there", im.dir);
	cleanup_free char *line = str_printf("%s/new\nline", im.dir);

	mkdir(dir, 0700);
	write_file(file, "mine", 0600);
	expect_code("full", towline_rootfs(im.store, "test:1", dir, &sink.sink),
		IMAGE_PULL_CONFLICT, &sink);
	expect_code("full", towline_bundle(im.store, "test:1", dir, &sink.sink),
		IMAGE_PULL_CONFLICT, &sink);
	/* What is no bundle of ours is not removed. */
	expect_code("not ours", towline_bundle_remove(im.store, dir, &sink.sink),
		IMAGE_PULL_NOT_FOUND, &sink);
	cleanup_free char *left = read_file(file);

	assert_string_equal(left, "mine");
	assert_int_not_equal(towline_rootfs(im.store, "test:1", nowhere, &sink.sink), 0);
	expect_code("no image", towline_rootfs(im.store, "none:1", dir, &sink.sink),
		IMAGE_PULL_NOT_FOUND, &sink);
	expect_code("newline", towline_bundle(im.store, "test:1", line, &sink.sink),
		IMAGE_PULL_INVALID, &sink);
	assert_int_equal(access(line, F_OK), -1);
	/* An empty folder that is there is taken. */
	unlink(file);
	expect_code(
		"empty", towline_rootfs(im.store, "test:1", dir, &sink.sink), IMAGE_PULL_OK, &sink);
	text_sink_done(&sink);
	images_remove(&im);
}

/* 125 layers of which one comes twice, in long paths. */
static void test_many_layers(void **state)
{
	struct buf tars[125] = {{0}}, *layers[125];
	struct text_sink sink;
	struct images im;

	(void)state;
	images_make(&im);
	text_sink_init(&sink);
	for (size_t i = 0; i < ARRAY_SIZE(tars); i++) {
		cleanup_free char *name = str_printf("f%zu", i == 100 ? 50 : i);
		cleanup_free char *data = str_printf("%zu", i == 100 ? 50 : i);

		tar_member(&tars[i], &(struct member){.name = name, .data = data});
		tar_member(&tars[i], &(struct member){.name = "top", .data = data});
		tar_end(&tars[i]);
		layers[i] = &tars[i];
	}
	images_add(&im, "test:1", layers, ARRAY_SIZE(tars), NULL, NULL);

	cleanup_free char *dir = str_printf("%s/bundle", im.dir);
	cleanup_free char *rootfs = str_printf("%s/rootfs", dir);

	expect_code(
		"many", towline_bundle(im.store, "test:1", dir, &sink.sink), IMAGE_PULL_OK, &sink);

	cleanup_free char *differs = tree_differs(
		rootfs, (const char *const[]){"f0 file data=0", "f50 file data=50", "f100 absent",
				"f124 file data=124", "top file data=124", NULL});

	if (differs)
		fail_msg("%s", differs);
	expect_code("many", towline_bundle_remove(im.store, dir, &sink.sink), IMAGE_PULL_OK, &sink);
	for (size_t i = 0; i < ARRAY_SIZE(tars); i++)
		buf_free(&tars[i]);
	text_sink_done(&sink);
	images_remove(&im);
}

/* ---- the life of a bundle ---- */

static void test_in_use(void **state)
{
	struct towline_prune_options prune = {.struct_size = sizeof(prune), .all = 1};
	struct text_sink sink;
	uint64_t reclaimed;
	struct images im;

	(void)state;
	if (!is_root()) {
		print_message("skipped: an overlay mount needs root\n");
		skip();
	}
	images_make(&im);
	text_sink_init(&sink);
	add_image(&im, &tests[1]);

	cleanup_free char *dir = str_printf("%s/bundle", im.dir);
	cleanup_free char *rootfs = str_printf("%s/bundle/rootfs", im.dir);
	cleanup_free char *inner = str_printf("%s/bundle/rootfs/mnt", im.dir);
	cleanup_free char *written = str_printf("%s/bundle/rootfs/written", im.dir);

	expect_code("bundle", towline_bundle(im.store, "test:1", dir, &sink.sink), IMAGE_PULL_OK,
		&sink);
	write_file(written, "by the container", 0644);
	images_reopen(&im); /* another process, so to speak */
	expect_code("rm", towline_remove(im.store, "test:1", 0, &sink.sink), IMAGE_PULL_CONFLICT,
		&sink);
	expect_code("rm --force", towline_remove(im.store, "test:1", 1, &sink.sink), IMAGE_PULL_OK,
		&sink);
	expect_code("prune", towline_prune(im.store, &prune, &reclaimed, &sink.sink), IMAGE_PULL_OK,
		&sink);
	/* Its layers are still there. */
	cleanup_free char *differs = tree_differs(rootfs,
		(const char *const[]){"a file data=1", "b file data=2", "c file data=2", NULL});

	if (differs)
		fail_msg("%s", differs);
	/* A mount inside is nothing to be removed through. */
	assert_int_equal(mkdir(inner, 0755), 0);
	assert_int_equal(mount("none", inner, "tmpfs", 0, NULL), 0);
	assert_int_not_equal(towline_bundle_remove(im.store, dir, &sink.sink), IMAGE_PULL_OK);
	assert_int_equal(umount(inner), 0);
	expect_code(
		"remove", towline_bundle_remove(im.store, dir, &sink.sink), IMAGE_PULL_OK, &sink);
	/* Now they go. */
	expect_code("prune", towline_prune(im.store, &prune, &reclaimed, &sink.sink), IMAGE_PULL_OK,
		&sink);
	assert_true(reclaimed > 0);

	cleanup_free char *data = str_printf("%s/layers/data", im.root);
	cleanup_free char *left = snapshot(data);

	assert_true(!left || !*left);
	text_sink_done(&sink);
	images_remove(&im);
}

/* ---- config.json ---- */

static void check_config(const char *config, const char *passwd, const char *user, const char *args,
	const char *env, const char *cwd)
{
	struct buf tar = {0}, *layers[] = {&tar};
	cleanup_json struct json *json = NULL;
	struct text_sink sink;
	struct images im;

	images_make(&im);
	text_sink_init(&sink);
	if (passwd)
		tar_member(&tar, &(struct member){.name = "etc/passwd", .data = passwd});
	tar_member(
		&tar, &(struct member){.name = "etc/group",
			      .data = "root:x:0:\nstaff:x:50:eve,bob\nwheel:x:60:bob\n7:x:70:\n"});
	tar_end(&tar);
	images_add(&im, "test:1", layers, 1, config, NULL);

	cleanup_free char *dir = str_printf("%s/bundle", im.dir);
	cleanup_free char *path = str_printf("%s/config.json", dir);
	int code = towline_bundle(im.store, "test:1", dir, &sink.sink);

	if (code) {
		/* The user is a failure's text then. */
		assert_string_equal(sink.message, user);
		assert_int_equal(access(dir, F_OK), -1);
	} else {
		cleanup_free char *text = read_file(path);
		const struct json_value *process;
		struct error *err = NULL;

		if (json_parse(text, strlen(text), &json, &err) < 0)
			fail_msg("%s: %s", err->message, text);
		process = json_get(json_root(json), "process");

		const struct {
			const char *key, *want;
		} parts[] = {{"user", user}, {"args", args}, {"env", env}, {"cwd", cwd}};

		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			const struct json_value *v = json_get(process, parts[i].key);
			size_t size = v ? v->end - v->begin : 0;

			if (!parts[i].want)
				continue;
			if (size != strlen(parts[i].want) ||
				memcmp(text + v->begin, parts[i].want, size))
				fail_msg("%s: %s is %.*s, not %s", config ? config : "(none)",
					parts[i].key, (int)size, v ? text + v->begin : "",
					parts[i].want);
		}
		assert_null(strstr(text, "run.oci"));
		towline_bundle_remove(im.store, dir, &sink.sink);
	}
	buf_free(&tar);
	text_sink_done(&sink);
	images_remove(&im);
}

#define ROOT_USER "{\"uid\": 0, \"gid\": 0}"
#define PATH_ENV "\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\""
#define PASSWD "root:x:0:0::/:/bin/sh\nbob:x:5:6::/:/bin/sh\nbroken\n7:x:9:9::/:\n"

static void test_config(void **state)
{
	(void)state;
	check_config(NULL, NULL, ROOT_USER, "[\"/bin/sh\"]", "[" PATH_ENV "]", "\"/\"");
	check_config(
		"\"Entrypoint\":[\"/e\",\"a\\\"b\"],\"Cmd\":[\"c\"],\"Env\":[\"A=1\",\"PATH=/x\"],"
		"\"WorkingDir\":\"/w\",\"Labels\":{\"run.oci.handler\":\"evil\"}",
		NULL, ROOT_USER, "[\"/e\", \"a\\\"b\", \"c\"]", "[\"A=1\", \"PATH=/x\"]", "\"/w\"");
	check_config("\"Env\":[\"A=<&>\"],\"WorkingDir\":\"rel\"", NULL, NULL, NULL,
		"[" PATH_ENV ", \"A=<&>\"]", "\"/rel\"");
	check_config("\"User\":\"12\"", NULL, "{\"uid\": 12, \"gid\": 0}", NULL, NULL, NULL);
	check_config("\"User\":\"12:13\"", PASSWD, "{\"uid\": 12, \"gid\": 13}", NULL, NULL, NULL);
	check_config("\"User\":\"bob\"", PASSWD,
		"{\"uid\": 5, \"gid\": 6, \"additionalGids\": [50, 60]}", NULL, NULL, NULL);
	check_config("\"User\":\"5\"", PASSWD,
		"{\"uid\": 5, \"gid\": 6, \"additionalGids\": [50, 60]}", NULL, NULL, NULL);
	check_config(
		"\"User\":\"bob:staff\"", PASSWD, "{\"uid\": 5, \"gid\": 50}", NULL, NULL, NULL);
	check_config("\"User\":\"7\"", PASSWD, "{\"uid\": 9, \"gid\": 9}", NULL, NULL, NULL);
	check_config("\"User\":\"eve\"", PASSWD,
		"unable to find user eve: no matching entries in passwd file", NULL, NULL, NULL);
	check_config("\"User\":\"bob:none\"", PASSWD,
		"unable to find group none: no matching entries in group file", NULL, NULL, NULL);
	check_config("\"User\":\"bob\"", NULL,
		"unable to find user bob: no matching entries in passwd file", NULL, NULL, NULL);
}

/* ---- the process, for engines with configurations of their own ---- */

static int keep_process(void *receiver, const void *data, size_t size)
{
	const struct towline_process *p = data;
	struct buf *b = receiver;

	assert_int_equal(size, p->struct_size);
	for (size_t i = 0; p->args[i]; i++)
		buf_appendf(b, "%s|", p->args[i]);
	for (size_t i = 0; p->env[i]; i++)
		buf_appendf(b, "%s|", p->env[i]);
	buf_appendf(b, "%s %s %u:%u", p->cwd, p->user, p->uid, p->gid);
	for (size_t i = 0; i < p->ngroups; i++)
		buf_appendf(b, ",%u", p->groups[i]);
	buf_appendf(b, " %s", p->stop_signal);
	return IMAGE_PULL_OK;
}

static void keep_message(void *receiver, const char *text)
{
	buf_appendf(receiver, "%s", text);
}

static void test_process(void **state)
{
	static const struct {
		const char *config, *want;
		int code;
	} cases[] = {
		{NULL,
			"/bin/sh|PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|"
			"/  0:0 ",
			IMAGE_PULL_OK},
		{"\"Entrypoint\":[\"e\",\"\"],\"Cmd\":[\"c d\"],\"Env\":[\"PATH=\",\"A\"],"
		 "\"WorkingDir\":\"w\",\"User\":\"bob\",\"StopSignal\":\"SIGINT\"",
			"e||c d|PATH=|A|/w bob 5:6,50,60 SIGINT", IMAGE_PULL_OK},
		{"\"User\":\"eve\"", "unable to find user eve: no matching entries in passwd file",
			IMAGE_PULL_FAILED},
		{"\"Env\":[\"A=1\\u0000B=2\"]", "the image's Env has a NUL byte",
			IMAGE_PULL_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf tar = {0}, got = {0}, *layers[] = {&tar};
		const struct image_pull_sink sink = {.struct_size = sizeof(sink),
			.receiver = &got,
			.value = keep_process,
			.message = keep_message};
		struct images im;

		images_make(&im);
		tar_member(&tar, &(struct member){.name = "etc/passwd", .data = PASSWD});
		tar_member(&tar, &(struct member){.name = "etc/group",
					 .data = "staff:x:50:bob\nwheel:x:60:bob\n"});
		tar_end(&tar);
		images_add(&im, "test:1", layers, 1, cases[i].config, NULL);

		cleanup_free char *dir = str_printf("%s/rootfs", im.dir);

		assert_int_equal(towline_rootfs(im.store, "test:1", dir, &sink), IMAGE_PULL_OK);
		assert_int_equal(towline_process(im.store, "test:1", dir, &sink), cases[i].code);
		assert_string_equal(got.data, cases[i].want);
		buf_reset(&got);
		assert_int_equal(
			towline_process(im.store, "none", dir, &sink), IMAGE_PULL_NOT_FOUND);
		assert_string_equal(got.data, "No such image: none:latest");
		buf_free(&tar);
		buf_free(&got);
		images_remove(&im);
	}
}

/* /etc/passwd as a trap: a link out of the root, a fifo, a folder. */
static void test_passwd_traps(void **state)
{
	static const struct member traps[] = {
		{.name = "etc/passwd", .type = '2', .link = "/../../../../etc/passwd"},
		{.name = "etc/passwd", .type = '6'},
		{.name = "etc/passwd", .type = '5'},
		{.name = "etc", .type = '2', .link = "../../../../../../etc"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(traps); i++) {
		struct buf tar = {0}, *layers[] = {&tar};
		struct text_sink sink;
		struct images im;

		images_make(&im);
		text_sink_init(&sink);
		tar_member(&tar, &traps[i]);
		tar_end(&tar);
		images_add(&im, "test:1", layers, 1, "\"User\":\"daemon\"", NULL);

		cleanup_free char *dir = str_printf("%s/bundle", im.dir);

		assert_int_equal(
			towline_bundle(im.store, "test:1", dir, &sink.sink), IMAGE_PULL_FAILED);
		assert_string_equal(sink.message,
			"unable to find user daemon: no matching entries in passwd file");
		buf_free(&tar);
		text_sink_done(&sink);
		images_remove(&im);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_bundles),
		cmocka_unit_test(test_root_only),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_layers),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_passwd_traps),
	};

	umask(077);
	return cmocka_run_group_tests_name("rootfs", all, NULL, NULL);
}
