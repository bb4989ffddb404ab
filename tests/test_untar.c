/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking hostile and ordinary tars: below the root only, as Docker would. A folder outside, the
 * canary, must be the same after each. */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "implicit.h"
#include "tree.h"
#include "untar_fixture.h"
#include "whiteout.h"

#include <cmocka.h>

#define CAPABILITY "\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

#if LONG_MAX == INT32_MAX
#define MTIME_BIG "2147483647" /* the last one that its time_t has */
#else
#define MTIME_BIG "4500000000"
#endif

enum { ROOT_ONLY = 1, NO_END = 2 };

struct test {
	const char *name;
	/* {C} in names and links is the canary's path, {U} a path that climbs to it. */
	struct member members[8];
	const char *error; /* the whole text, or NULL: it must be unpacked */
	const char *tree[UNTAR_TREE_MAX];
	unsigned flags;
};

#define F(path, text)                                                                              \
	{                                                                                          \
		.name = path, .data = text                                                         \
	}
#define D(path)                                                                                    \
	{                                                                                          \
		.name = path, .type = '5'                                                          \
	}
#define SYM(path, target)                                                                          \
	{                                                                                          \
		.name = path, .type = '2', .link = target, .mode = 0777                            \
	}
#define HARD(path, target)                                                                         \
	{                                                                                          \
		.name = path, .type = '1', .link = target                                          \
	}

static const struct test tests[] = {
	/* ---- leaving the root ---- */
	{.name = "name-dotdot", {F("../../../{C}/victim/owned", "in")}, NULL, {"victim absent"}},
	{.name = "name-absolute",
		{F("{C}/victim/owned", "in")},
		NULL,
		{"{R}/victim/owned file data=in"}},
	{.name = "symlink-abs-write",
		{SYM("esc", "{C}/victim"), F("esc/hello", "owned")},
		"lstat /esc/hello: no such file or directory",
		{NULL}},
	{.name = "symlink-rel-write",
		{D("a/"), SYM("a/esc", "../{U}/victim"), F("a/esc/hello", "owned")},
		"lstat /a/esc/hello: no such file or directory",
		{NULL}},
	{.name = "symlink-two-hops",
		{SYM("one", "{U}"), SYM("two", "one/victim"), F("two/hello", "x")},
		"lstat /two/hello: no such file or directory",
		{NULL}},
	{.name = "symlink-inside",
		{D("usr/lib/"), SYM("lib", "usr/lib"), SYM("abs", "/usr/lib"), F("lib/a", "1"),
			F("abs/b", "2"), F("abs/../lib/c", "3")},
		NULL,
		{"lib symlink link=usr/lib", "usr/lib/a file data=1", "usr/lib/b file data=2",
			"usr/lib/c file data=3"}},
	{.name = "symlink-final-overwrite",
		{SYM("cfg", "{C}/victim/hello"), F("cfg", "owned")},
		NULL,
		{"cfg file data=owned"}},
	{.name = "symlink-dir-entry-chmod",
		{SYM("esc", "{C}/victim"), {.name = "esc/", .type = '5', .mode = 0777}},
		NULL,
		{"esc dir mode=777"}},
	{.name = "root-replaced-by-symlink",
		{SYM("./", "{C}/victim"), F("hello", "owned")},
		NULL,
		{"hello file data=owned"}},
	{.name = "root-replaced-by-file",
		{F("/", "no"), F("hello", "x")},
		NULL,
		{"hello file data=x"}},
	{.name = "hardlink-outside-abs",
		{HARD("h", "{C}/victim/secret"), F("h", "owned")},
		"link /{R}/victim/secret /h: no such file or directory",
		{NULL}},
	{.name = "hardlink-outside-dotdot",
		{HARD("h", "{U}/victim/secret")},
		"link /{R}/victim/secret /h: no such file or directory",
		{NULL}},
	{.name = "hardlink-via-symlink",
		{SYM("esc", "{C}/victim"), HARD("h", "esc/secret")},
		"link /esc/secret /h: no such file or directory",
		{NULL}},
	{.name = "hardlink-symlink-chmod",
		{SYM("s", "{C}/victim/secret"),
			{.name = "h", .type = '1', .link = "s", .mode = 0777}},
		NULL,
		{"h symlink same=s link={C}/victim/secret"}},
	{.name = "hardlink-to-itself",
		{F("h", "x"), HARD("h", "h")},
		"link /h /h: no such file or directory",
		{NULL}},
	{.name = "hardlink-to-folder",
		{D("d/"), HARD("h", "d")},
		"link /d /h: operation not permitted",
		{NULL}},
	{.name = "hardlink-to-root",
		{HARD("h", "/")},
		"link / /h: operation not permitted",
		{NULL}},
	{.name = "hardlink-to-whiteout",
		{F(".wh.x", ""), HARD("h", "x")},
		"link /x /h: no such file or directory",
		{NULL}},
	{.name = "hardlink-before-target",
		{HARD("h", "later"), F("later", "x")},
		"link /later /h: no such file or directory",
		{NULL}},
	{.name = "hardlink-plain",
		{F("a", "same"), HARD("d/b", "a"), HARD("d/c", "d/../d/b")},
		NULL,
		{"d/b file same=a data=same", "d/c file same=a"}},
	{.name = "hardlink-replaces",
		{F("a", "1"), F("b", "2"), HARD("b", "a")},
		NULL,
		{"b file same=a data=1"}},
	{.name = "whiteout-dotdot",
		{D("a/b/"), F("a/b/keep", "k"), F("a/b/.wh...", "")},
		"invalid whiteout /a/b/.wh...",
		{NULL}},
	{.name = "whiteout-dot",
		{D("a/b/"), F("a/b/.wh..", "")},
		"invalid whiteout /a/b/.wh..",
		{NULL}},
	{.name = "whiteout-empty", {F("a/.wh.", "")}, "invalid whiteout /a/.wh.", {NULL}},
	{.name = "whiteout-outside", {F("{U}/.wh.victim", "")}, NULL, {"{R}/victim whiteout"}},
	{.name = "whiteout-via-symlink",
		{SYM("esc", "{C}"), F("esc/.wh.victim", "")},
		"lstat /esc/.wh.victim: no such file or directory",
		{NULL}},
	{.name = "opaque-via-symlink",
		{SYM("esc", "{C}/victim"), F("esc/.wh..wh..opq", "")},
		"lstat /esc/.wh..wh..opq: no such file or directory",
		{NULL}},
	{.name = "symlink-loop",
		{SYM("a", "b"), SYM("b", "a"), F("a/x", "x")},
		"lstat /a/x: too many levels of symbolic links",
		{NULL}},
	{.name = "parent-is-file",
		{F("a", "file"), F("a/b", "below")},
		"lstat /a/b: not a directory",
		{NULL}},
	/* ---- whiteouts ---- */
	{.name = "whiteout-plain",
		{F("k/.wh.gone", ""), F(".wh.top", "ignored")},
		NULL,
		{"k/gone whiteout", "k/.wh.gone absent", "top whiteout"}},
	{.name = "whiteout-same-layer",
		{F(".wh.x", ""), F("x", "new"), F("y", "mine"), F(".wh.y", "")},
		NULL,
		{"x file data=new", "y file data=mine"}},
	{.name = "aufs-metadata",
		{D(".wh..wh.plnk/"), F(".wh..wh.plnk/1.2", "x"), F(".wh..wh.aufs", "x"),
			F("a/.wh..wh.orph/y", "x"), F("ok", "k")},
		NULL,
		{".wh..wh.aufs absent", ".wh..wh.plnk absent", "a absent", "ok file data=k"}},
	/* ---- modes, owners, devices, names ---- */
	{.name = "fifo-overwritten",
		{{.name = "p", .type = '6'}, F("p", "data"),
			{.name = "q", .type = '6', .mode = 0640}},
		NULL,
		{"p file data=data", "q fifo mode=640"}},
	{.name = "device-overwritten",
		{SYM("x", "/dev/full"), F("x", "data")},
		NULL,
		{"x file data=data"}},
	{.name = "device-nodes",
		{{.name = "sda", .type = '4', .major = 8, .minor = 300, .mode = 0660},
			{.name = "mem", .type = '3', .major = 1, .minor = 1, .mode = 0666},
			F("after", "x")},
		NULL,
		{"sda block rdev=8:300 mode=660", "mem char rdev=1:1 mode=666",
			"after file data=x"},
		ROOT_ONLY},
	{.name = "device-zero",
		{{.name = "x", .type = '3'}, F("after", "x")},
		NULL,
		{"x absent", "after file data=x"}},
	{.name = "setuid-kept",
		{{.name = "su", .data = "x", .mode = 04755, .gid = 5},
			{.name = "t/", .type = '5', .mode = 01777},
			{.name = "g/", .type = '5', .mode = 02775, .gid = 5},
			{.name = "g/in", .data = "x", .gid = 7}, {.name = "g/d/", .type = '5'}},
		NULL,
		{"su file mode=4755 gid=5", "t dir mode=1777", "g dir mode=2775 gid=5",
			"g/in file mode=644 gid=7", "g/d dir mode=755 gid=0"},
		ROOT_ONLY},
	{.name = "modes-all",
		{{.name = "a", .data = "x", .mode = 0777}, {.name = "b", .data = "x", .mode = 0400},
			{.name = "d/", .type = '5', .mode = 0555}, F("d/in", "x")},
		NULL,
		{"a file mode=777", "b file mode=400", "d dir mode=555", "d/in file mode=644"}},
	{.name = "folders-shut",
		{{.name = "d/", .type = '5', .mode = 01}, {.name = "d/e/", .type = '5', .mode = 0},
			F("d/e/in", "x"), {.name = "d/", .type = '5', .mode = 0500}},
		NULL,
		{"d dir mode=500"}},
	{.name = "names-not-ids",
		{{.name = "own", .data = "x", .uid = 1234, .gid = 4321, .uname = "root"}},
		NULL,
		{"own file uid=1234 gid=4321"},
		ROOT_ONLY},
	{.name = "big-numbers",
		{{.name = "a",
			.data = "x",
			.uid = 3000000,
			.gid = 4000000000,
			.mtime = 4500000000}},
		NULL,
		{"a file uid=3000000 gid=4000000000 mtime=" MTIME_BIG},
		ROOT_ONLY},
	{.name = "ids-too-big",
		{{.name = "a", .data = "x", .uid = (int64_t)1 << 33}},
		"lchown /a: invalid argument",
		{NULL}},
	{.name = "parents-missing",
		{{.name = "x/y/z/f", .data = "1", .uid = 9, .gid = 9}},
		NULL,
		{"x dir mode=755 uid=0 gid=0", "x/y dir mode=755 uid=0", "x/y/z/f file uid=9"},
		ROOT_ONLY},
	{.name = "duplicates", {F("x", "1"), F("./x", "2"), F("x", "3")}, NULL, {"x file data=3"}},
	{.name = "type-changes",
		{D("t/"), F("t/in", "old"), F("t", "file"), D("t/"), F("t/new", "n")},
		NULL,
		{"t dir", "t/new file data=n", "t/in absent"}},
	{.name = "folder-twice",
		{{.name = "d/", .type = '5', .mode = 0700}, F("d/x", "1"),
			{.name = "d", .type = '5', .mode = 0711, .mtime = 77}},
		NULL,
		{"d dir mode=711 mtime=77", "d/x file data=1"}},
	{.name = "folder-times",
		{{.name = "d/", .type = '5', .mtime = 1000000000}, F("d/x", "1"),
			{.name = "d/e/", .type = '5', .mtime = 5}, F("d/e/y", "2"), F("z", "3"),
			F("d/e/z", "4")},
		NULL,
		{"d dir mtime=1000000000", "d/e dir mtime=5"}},
	{.name = "times",
		{{.name = "f", .data = "x", .mtime = 12345},
			{.name = "s", .type = '2', .link = "f", .mtime = 54321},
			{.name = "p", .data = "x", .pax = {"mtime", "-1.5"}}},
		NULL,
		{"f file mtime=12345", "s symlink mtime=54321", "p file mtime=-2"}},
	{.name = "root-entry",
		{{.name = "./", .type = '5', .mode = 0711, .mtime = 9}, F("x", "1")},
		NULL,
		{". dir mode=711 mtime=9"}},
	{.name = "name-utf8",
		{{.name = "plain", .data = "u", .pax = {"path", "h\303\251\342\230\203"}},
			F("lat\351", "l"), F("new\nline", "n"),
			{.name = "p", .data = "x", .pax = {"path", "\377\376"}}},
		NULL,
		{"h\303\251\342\230\203 file data=u", "lat\351 file data=l",
			"new\nline file data=n", "\377\376 file data=x"}},
	{.name = "name-empty", {F("", ""), F("after", "x")}, NULL, {"after file data=x"}},
	{.name = "gnu-magic",
		{{.name = "g", .data = "x", .magic = "ustar  "}},
		NULL,
		{"g file data=x"}},
	{.name = "v7",
		{{.name = "g", .data = "x", .magic = "\0\0\0\0\0\0\0"}},
		NULL,
		{"g file data=x"}},
	/* ---- the format ---- */
	{.name = "checksum-bad",
		{{.name = "x", .data = "", .bad_checksum = true}, F("after", "x")},
		"archive/tar: invalid tar header",
		{NULL}},
	{.name = "size-huge",
		{{.name = "big", .data = "x", .header_size = (int64_t)1 << 62}},
		"unexpected EOF",
		{NULL}},
	{.name = "type-unknown",
		{{.name = "z", .type = 'Z', .data = "x"}},
		"unhandled tar header type 90",
		{NULL}},
	{.name = "type-contiguous",
		{{.name = "z", .type = '7', .data = "x"}},
		"unhandled tar header type 55",
		{NULL}},
	{.name = "no-end", {F("ok", "1")}, NULL, {"ok file data=1"}, NO_END},
	{.name = "link-with-size",
		{F("a", "1"), {.name = "h", .type = '1', .link = "a", .header_size = 512},
			F("after", "x")},
		NULL,
		{"h file same=a", "after file data=x"}},
	{.name = "pax-empty-value",
		{{.name = "kept", .data = "x", .pax = {"path", ""}}},
		NULL,
		{"kept file data=x"}},
	{.name = "pax-last-wins",
		{{.name = "n", .data = "x", .pax = {"path", "one", "path", "two"}}},
		NULL,
		{"one absent", "two file data=x"}},
	{.name = "pax-bad-number",
		{{.name = "n", .data = "x", .pax = {"uid", "12x"}}},
		"archive/tar: invalid tar header",
		{NULL}},
	{.name = "xattrs",
		{{.name = "f",
			.data = "x",
			.pax = {"SCHILY.xattr.user.a", "1", "SCHILY.xattr.trusted.overlay.redirect",
				"/etc", "SCHILY.xattr.security.selinux", "s",
				"SCHILY.xattr.user.overlay.opaque", "y", "SCHILY.xattr.user.empty",
				""}}},
		NULL,
		{"f file xattr=user.a no-xattr=trusted.overlay.redirect no-xattr=security.selinux "
		 "no-xattr=user.overlay.opaque no-xattr=user.empty"}},
	{.name = "xattrs-of-folders",
		{{.name = "d/",
			.type = '5',
			.pax = {"SCHILY.xattr.user.a", "1", "SCHILY.xattr.trusted.overlay.opaque",
				"y"}}},
		NULL,
		{"d dir xattr=user.a no-xattr=trusted.overlay.opaque"}},
};

/* ---- the harness ---- */

static void add(const struct world *w, struct buf *tar, const struct member *m)
{
	struct member copy = *m;
	cleanup_free char *name = world_expand(w, m->name);
	cleanup_free char *link = world_expand(w, m->link);

	copy.name = name;
	copy.link = link;
	tar_member(tar, &copy);
}

static void run_one(const struct test *t, size_t portion, bool lend)
{
	cleanup_buf struct buf tar = {0};
	struct untar_result result;
	struct world w;

	world_make(&w);
	for (size_t i = 0; i < ARRAY_SIZE(t->members) && t->members[i].name; i++)
		add(&w, &tar, &t->members[i]);
	if (!(t->flags & NO_END))
		tar_end(&tar);

	cleanup_free char *text = world_unpack(&w, tar.data, tar.size, portion, lend, &result);

	world_check(&w, t->name, t->error, t->tree, text);
	world_remove(&w);
}

static void test_table(void **state)
{
	bool root = is_root();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		if ((tests[i].flags & ROOT_ONLY) && !root)
			continue;
		run_one(&tests[i], 0, true);
		run_one(&tests[i], 0, false);
		run_one(&tests[i], 337, true);
	}
}

/* What is left out of the table for an ordinary user, so that it is not counted as passed. */
static void test_table_root(void **state)
{
	(void)state;
	if (!is_root()) {
		print_message("skipped: owners and devices need root\n");
		skip();
	}
}

/* ---- what the table can't say ---- */

static void test_opaque(void **state)
{
	struct buf tar = {0};
	struct untar_result result;
	struct world w;

	(void)state;
	world_make(&w);
	tar_member(&tar, &(struct member){.name = "k/", .type = '5'});
	tar_member(&tar, &(struct member){.name = "k/mine", .data = "1"});
	tar_member(&tar, &(struct member){.name = "k/.wh..wh..opq", .data = ""});
	tar_member(&tar, &(struct member){.name = "new/.wh..wh..opq", .data = ""});
	tar_member(&tar, &(struct member){.name = ".wh.was", .data = ""});
	tar_member(&tar, &(struct member){.name = "was/", .type = '5'});
	tar_member(&tar, &(struct member){.name = "own/", .type = '5'});
	tar_member(&tar, &(struct member){.name = ".wh.own", .data = ""});
	tar_member(&tar, &(struct member){.name = "merges/", .type = '5'});
	tar_end(&tar);

	cleanup_free char *text = world_unpack(&w, tar.data, tar.size, 0, true, &result);

	assert_null(text);
	assert_false(result.opaque);

	static const struct {
		const char *name;
		bool opaque;
	} folders[] = {{"k", true}, {"new", true}, {"was", true}, {"own", true}, {"merges", false}};
	bool trusted = is_root();

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		cleanup_free char *path = str_printf("%s/layer/tree/%s", w.dir, folders[i].name);
		cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || whiteout_is_opaque(fd, trusted) != folders[i].opaque)
			fail_msg("%s is %s", folders[i].name,
				fd < 0              ? "not there"
				: folders[i].opaque ? "not opaque"
						    : "opaque");
	}
	world_remove(&w);
	buf_reset(&tar);
	tar_member(&tar, &(struct member){.name = "./.wh..wh..opq", .data = ""});
	tar_end(&tar);
	expect_tree(
		"opaque root", &tar, (const char *const[]){".wh..wh..opq absent", NULL}, &result);
	assert_true(result.opaque);
}

static void test_capability(void **state)
{
	struct buf tar = {0}, records = {0};
	struct untar_result result;

	(void)state;
	if (!is_root()) {
		print_message("skipped: file capabilities need root\n");
		skip();
	}
	tar_record(&records, "SCHILY.xattr.security.capability", CAPABILITY, 20);
	tar_pax(&tar, 'x', records.data, records.size);
	tar_member(&tar, &(struct member){.name = "ping", .data = "x", .mode = 04755, .gid = 5});
	tar_end(&tar);
	expect_tree("capability", &tar,
		(const char *const[]){"ping file mode=4755 gid=5 xattr=security.capability", NULL},
		&result);
	assert_int_equal(result.lost, 0);
	buf_free(&records);
}

/* Many folders deep, twice, so that closed descriptors are opened again. */
static void test_deep(void **state)
{
	struct buf tar = {0}, deep = {0};
	struct untar_result result;

	(void)state;
	for (int i = 0; i < 200; i++)
		buf_appendf(&deep, "d%d/", i);

	cleanup_free char *a = str_printf("%sa", deep.data);
	cleanup_free char *b = str_printf("%.*s/b", 240, deep.data);
	cleanup_free char *c = str_printf("%sc", deep.data);
	cleanup_free char *spec_a = str_printf("%s file data=1", a);
	cleanup_free char *spec_c = str_printf("%s file data=3", c);

	tar_member(&tar, &(struct member){.name = a, .data = "1"});
	tar_member(&tar, &(struct member){.name = b, .data = "2"});
	tar_member(&tar, &(struct member){.name = "top", .data = "0"});
	tar_member(&tar, &(struct member){.name = c, .data = "3"});
	tar_end(&tar);
	expect_tree("deep", &tar, (const char *const[]){spec_a, spec_c, "top file data=0", NULL},
		&result);
	assert_int_equal(result.entries, 4);
	buf_free(&deep);
}

/* A failing source is told apart from what is in it. */
static void test_source_fails(void **state)
{
	struct memory_reader source;
	struct untar_result result;
	struct error *err = NULL;
	bool source_failed = false;
	cleanup_buf struct buf tar = {0};
	struct world w;

	(void)state;
	world_make(&w);
	for (int i = 0; i < 20; i++)
		tar_member(&tar, &(struct member){.name = "x", .data = "data"});

	cleanup_free char *layer = str_printf("%s/layer", w.dir);
	cleanup_close int fd = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memory_reader_init(&source, tar.data, tar.size);
	source.portion = 700;
	source.fail_at = 5000;

	struct untar_options options = {
		.source = &source.reader, .layer = fd, .trusted = is_root()};

	assert_int_equal(untar(&options, &result, &source_failed, &err), -1);
	assert_true(source_failed);
	error_unref(err);
	memory_reader_done(&source);
	world_remove(&w);
}

/* Entries, and folders that have none: as many as there may be, and one more. */
static void test_entries(void **state)
{
	struct memory_reader source;
	cleanup_buf struct buf tar = {0};

	(void)state;
	tar_member(&tar, &(struct member){.name = "a", .data = "data"});
	tar_member(&tar, &(struct member){.name = "b/c/d", .data = "data"});
	tar_member(&tar, &(struct member){.name = ".wh.e"});
	tar_end(&tar);
	for (uint64_t max = 0; max <= 6; max++) {
		struct untar_result result;
		struct error *err = NULL;
		bool source_failed = false, over = false, fits = max == 0 || max >= 5;
		struct world w;

		world_make(&w);

		cleanup_free char *layer = str_printf("%s/layer", w.dir);
		cleanup_free char *text = str_printf(
			"it has more than the %d entries that a layer may have", (int)max);
		cleanup_close int fd = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		memory_reader_init(&source, tar.data, tar.size);

		struct untar_options options = {.source = &source.reader,
			.layer = fd,
			.trusted = is_root(),
			.max_entries = max,
			.over = &over};

		assert_int_equal(untar(&options, &result, &source_failed, &err), fits ? 0 : -1);
		assert_int_equal(over, !fits);
		assert_false(source_failed);
		if (!fits)
			assert_string_equal(err->message, text);
		error_unref(err);
		memory_reader_done(&source);
		world_remove(&w);
	}
}

/* More folders than the buffers of their times and of those without an entry hold. */
static void test_many_folders(void **state)
{
	enum { N = 600 };
	cleanup_buf struct buf tar = {0};
	struct implicit_set implicit;
	struct untar_result result;
	struct error *err = NULL;
	struct world w;

	(void)state;
	world_make(&w);
	for (int i = 0; i < N; i++) {
		cleanup_free char *dir = str_printf("told-%d-%060d", i, 0);
		cleanup_free char *file = str_printf("made-%d/folder/file", i);

		tar_member(&tar, &(struct member){.name = dir, .type = '5', .mtime = 1000 + i});
		tar_member(&tar, &(struct member){.name = file, .data = "1"});
	}
	tar_end(&tar);
	assert_null(world_unpack(&w, tar.data, tar.size, 0, true, &result));

	cleanup_free char *layer = str_printf("%s/layer", w.dir);
	cleanup_free char *tree = str_printf("%s/layer/tree", w.dir);
	cleanup_close int fd = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(implicit_load(fd, &implicit, &err), 0);
	assert_int_equal(implicit.n, 2 * N);
	for (int i = 0; i < N; i++) {
		cleanup_free char *told =
			str_printf("told-%d-%060d dir mode=755 mtime=%d", i, 0, 1000 + i);
		cleanup_free char *made = str_printf("made-%d/folder", i);
		cleanup_free char *differs = tree_differs(tree, (const char *const[]){told, NULL});

		if (differs)
			fail_msg("%s", differs);
		if (!implicit_has(&implicit, made))
			fail_msg("%s is not known to have been made", made);
	}
	implicit_free(&implicit);
	world_remove(&w);
}

static void test_path_clean(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"/", ""},
		{".", ""},
		{"..", ""},
		{"a", "a"},
		{"/a/", "a"},
		{"a//b", "a/b"},
		{"./a/./b/.", "a/b"},
		{"a/../b", "b"},
		{"../../a", "a"},
		{"a/b/../../..", ""},
		{"a/b/../../../c", "c"},
		{"...", "..."},
		{"a/..b/.c", "a/..b/.c"},
	};
	char out[PATH_MAX];
	size_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(path_clean(cases[i].in, out, &size), 0);
		if (strcmp(out, cases[i].out) || size != strlen(out))
			fail_msg("path_clean(%s) is %s (%zu), not %s", cases[i].in, out, size,
				cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_path_clean),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_root),
		cmocka_unit_test(test_opaque),
		cmocka_unit_test(test_capability),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_source_fails),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_many_folders),
	};

	umask(077);
	return cmocka_run_group_tests_name("untar", all, NULL, NULL);
}
