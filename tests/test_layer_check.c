/* SPDX-License-Identifier: Apache-2.0 */
/* Each damage of a layer on the disk is found and named, and nothing else is. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "image/rootfs.h"
#include "layer_fixture.h"
#include "layer_store.h"

#include <cmocka.h>

struct world {
	char *dir;
	char *layer; /* the folder of its data */
	struct layer_store *ls;
	char diff_id[DIGEST_MAX];
};

static void add_members(struct buf *tar, bool root)
{
	char map[512] = "1\n1048576\n3\n";

	tar_member(tar, &(struct member){.name = "./", .type = '5', .mode = 0755, .mtime = 3});
	tar_member(tar, &(struct member){.name = "d/",
				.type = '5',
				.mode = 0750,
				.mtime = 5,
				.pax = {"SCHILY.xattr.user.d", "1"}});
	tar_member(tar, &(struct member){.name = "d/a",
				.data = "hello",
				.mode = 0640,
				.gid = root ? 7 : 0,
				.pax = {"SCHILY.xattr.user.a", "1"}});
	tar_member(tar, &(struct member){.name = "d/h",
				.type = '1',
				.link = "d/a",
				.mode = 0640,
				.gid = root ? 7 : 0});
	tar_member(tar, &(struct member){.name = "d/l", .type = '2', .link = "a"});
	tar_member(tar, &(struct member){.name = "d/empty", .data = ""});
	tar_member(tar, &(struct member){.name = "p", .type = '6'});
	tar_member(tar, &(struct member){.name = "implicit/x/f", .data = "deep"});
	tar_member(tar, &(struct member){.name = "d/.wh.gone", .data = ""});
	tar_member(tar, &(struct member){.name = "o/", .type = '5'});
	tar_member(tar, &(struct member){.name = "o/.wh..wh..opq", .data = ""});
	tar_member(tar, &(struct member){.name = ".wh..wh.plnk/1", .data = "aufs"});
	tar_member(tar, &(struct member){.name = "twice", .data = "first"});
	tar_member(tar, &(struct member){.name = "twice", .data = "second"});
	/* What is replaced is kept aside, with the names that it shares. */
	tar_member(tar, &(struct member){.name = "pair", .data = "one"});
	tar_member(tar, &(struct member){.name = "pair too", .type = '1', .link = "pair"});
	tar_member(tar, &(struct member){.name = "pair", .data = "other"});
	tar_member(tar, &(struct member){.name = "blank", .data = ""});
	tar_member(tar, &(struct member){.name = "blank too", .type = '1', .link = "blank"});
	tar_member(tar, &(struct member){.name = "blank", .data = "written"});
	tar_member(tar, &(struct member){.name = "box/", .type = '5'});
	tar_member(tar, &(struct member){.name = "box/x", .data = ""});
	tar_member(tar, &(struct member){.name = "unboxed", .type = '1', .link = "box/x"});
	tar_member(tar, &(struct member){.name = "box", .data = "a file"});
	tar_member(tar, &(struct member){.name = "was/", .type = '5'});
	tar_member(tar, &(struct member){.name = "was/in", .data = "x"});
	tar_member(tar, &(struct member){.name = "was", .data = "a file"});
	tar_member(tar, &(struct member){.name = "was", .type = '2', .link = "d"});
	tar_member(tar, &(struct member){.name = "was/through", .data = "in d"});
	tar_member(tar,
		&(struct member){.name = "GNUSparseFile.0/x",
			.data = "",
			.pax = {"GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name",
				"hole", "GNU.sparse.realsize", "6000000", "size", "515"}});
	buf_append(tar, map, sizeof(map));
	buf_append_str(tar, "abc");
	tar_pad(tar);
	tar_member(tar, &(struct member){.name = "dev", .type = '3', .major = 1, .minor = 3});
	tar_member(tar, &(struct member){.name = "nothing",
				.data = "",
				.pax = {"GNU.sparse.size", "9999", "GNU.sparse.numblocks", "1",
					"GNU.sparse.map", "9999,0"}});
	tar_member(tar, &(struct member){.name = "zero", .type = '3'});
	tar_end(tar);
}

static void world_make(struct world *w)
{
	struct layer_store_options options;
	const struct image_pull_layer_store *table;
	struct image_pull_descriptor descriptor = {sizeof(descriptor), "x", NULL, -1};
	struct memory_reader reader;
	struct text_sink sink;
	struct error *err = NULL;
	struct buf tar = {0};
	void *handle;

	w->dir = temp_make();
	options = (struct layer_store_options){.root = w->dir, .fast = true};
	assert_int_equal(layer_store_open(&options, &w->ls, &err), 0);
	table = layer_store_table(w->ls);
	add_members(&tar, is_root());
	memory_reader_init(&reader, tar.data, tar.size);
	memcpy(w->diff_id, reader.diff_id, sizeof(w->diff_id));
	text_sink_init(&sink);
	if (table->stage(table->context, &reader.reader, &descriptor, &handle, &sink.sink))
		fail_msg("stage: %s", sink.message);
	assert_int_equal(table->commit(table->context, handle, "", w->diff_id, NULL, NULL), 0);
	table->release(table->context, w->diff_id);
	table->discard(table->context, handle);
	text_sink_done(&sink);
	memory_reader_done(&reader);
	buf_free(&tar);
	w->layer = str_printf("%s/layers/data/sha256.%s", w->dir, w->diff_id + strlen("sha256:"));
}

static void world_remove(struct world *w)
{
	layer_store_close(w->ls);
	temp_remove(w->dir);
	free(w->layer);
}

struct findings {
	struct buf text;
	const struct world *w;
};

static void note(void *arg, const struct layer_damage *d)
{
	struct findings *f = arg;
	const char *text = d->text;

	/* Each names its layer or entry first. */
	if (d->diff_id[0])
		assert_string_equal(d->diff_id, f->w->diff_id);
	text = strstr(text, f->w->diff_id + strlen("sha256:"));
	assert_non_null(text);
	text = strchr(text, ' ') + 1;
	buf_appendf(&f->text, "%s\n", text);
}

static char *check(const struct world *w, bool deep)
{
	struct findings f = {.w = w};
	struct error *err = NULL;
	unsigned damaged = 0;

	if (layer_store_check(w->ls, deep, note, &f, &damaged, &err) < 0)
		fail_msg("check: %s", err->message);
	assert_true(!damaged == !f.text.size);
	return f.text.size ? buf_steal(&f.text) : strdup("");
}

static char *at(const struct world *w, const char *path)
{
	return str_printf("%s/%s", w->layer, path);
}

/* ---- the damages ---- */

static void times_back(const char *path, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static void flip_bit(const struct world *w, const char *path)
{
	cleanup_free char *full = at(w, path);
	cleanup_close int fd = open(full, O_RDWR | O_CLOEXEC);
	struct stat st;
	char c;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &c, 1, 1), 1);
	c ^= 4;
	assert_int_equal(pwrite(fd, &c, 1, 1), 1);
	times_back(full, &st);
}

static void flip(const struct world *w)
{
	flip_bit(w, "tree/d/a");
}

static void flip_deep(const struct world *w)
{
	flip_bit(w, "tree/implicit/x/f");
}

static void flip_shadow(const struct world *w)
{
	flip_bit(w, "shadow/0");
}

static void flip_hole(const struct world *w)
{
	flip_bit(w, "tree/hole"); /* the tar has no bytes of it */
}

static void flip_all_hole(const struct world *w)
{
	flip_bit(w, "tree/nothing");
}

static int touch(const char *path);

static void damage(const struct world *w, const char *path, int (*fn)(const char *path))
{
	cleanup_free char *full = at(w, path);
	cleanup_free char *parent = strdup(full);
	struct stat st, above;
	bool there;

	*strrchr(parent, '/') = '\0';
	there = !lstat(full, &st);
	assert_int_equal(stat(parent, &above), 0);
	if (fn(full) < 0)
		fail_msg("%s: %s", full, strerror(errno));
	if (there && S_ISREG(st.st_mode) && fn != touch)
		times_back(full, &st);
	times_back(parent, &above);
}

static int cut(const char *path)
{
	return truncate(path, 2);
}

static int lengthen(const char *path)
{
	return truncate(path, 20);
}

static int make_fifo(const char *path)
{
	return unlink(path) < 0 ? -1 : mkfifo(path, 0640);
}

static int make_other_link(const char *path)
{
	struct stat st;
	int n = lstat(path, &st);

	if (n || unlink(path) < 0 || symlink("elsewhere", path) < 0)
		return -1;
	times_back(path, &st);
	return 0;
}

static int make_file(const char *path)
{
	write_file(path, "extra", 0600);
	return 0;
}

static int chmod_600(const char *path)
{
	return chmod(path, 0600);
}

static int chown_1(const char *path)
{
	return lchown(path, 1, 1);
}

static int set_attribute(const char *path)
{
	return lsetxattr(path, "user.more", "1", 1, 0);
}

static int change_attribute(const char *path)
{
	return lsetxattr(path, "user.a", "2", 1, 0);
}

static int remove_attribute(const char *path)
{
	return lremovexattr(path, "user.d");
}

static int remove_opaque(const char *path)
{
	return lremovexattr(path, "trusted.overlay.opaque") < 0
		       ? lremovexattr(path, "user.overlay.opaque")
		       : 0;
}

static int set_opaque(const char *path)
{
	return lsetxattr(path, "trusted.overlay.opaque", "y", 1, 0) < 0
		       ? lsetxattr(path, "user.overlay.opaque", "y", 1, 0)
		       : 0;
}

static int touch(const char *path)
{
	const struct timespec times[2] = {{9, 0}, {9, 0}};

	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static int remove_folder(const char *path)
{
	cleanup_free char *a = str_printf("%s/x/f", path);
	cleanup_free char *b = str_printf("%s/x", path);

	return unlink(a) < 0 || rmdir(b) < 0 ? -1 : rmdir(path);
}

static const struct {
	const char *path;
	int (*fn)(const char *path);
	const char *shallow, *deep; /* deep NULL: the same */
	bool root;
} damages[] = {
	{"tree/d/empty", unlink, "\"d/empty\" is missing\n", NULL, false},
	{"tree/p", unlink, "\"p\" is missing\n", NULL, false},
	{"tree/implicit/x/f", unlink, "\"implicit/x/f\" is missing\n", NULL, false},
	{"tree/implicit", remove_folder, "\"implicit\" is missing\n",
		"\"implicit/x/f\" is missing\n\"implicit\" is missing\n", false},
	{"tree/d/gone", unlink, "\"d/gone\" is missing\n", NULL, false},
	{"tree/twice", cut, "\"twice\" is truncated\n", NULL, false},
	{"tree/d/empty", lengthen, "\"d/empty\" is too long\n", NULL, false},
	{"tree/twice", make_fifo, "\"twice\" is a fifo, should be a regular file\n",
		"\"twice\" is no regular file\n", false},
	{"tree/d/l", make_other_link, "\"d/l\" points at another target than it should\n", NULL,
		false},
	{"tree/d/extra", make_file, "\"d/extra\" does not belong there\n", NULL, false},
	{"tree/extra", make_file, "\"extra\" does not belong there\n", NULL, false},
	{"tree/implicit/x/extra\n", make_file, "\"implicit/x/extra\\n\" does not belong there\n",
		NULL, false},
	{"tree/twice", chmod_600, "\"twice\" has mode 0600, should have 0644\n", NULL, false},
	{"tree/o", chmod_600, "\"o\" has mode 0600, should have 0755\n", NULL, true},
	{"tree", chmod_600, "\"/\" has mode 0600, should have 0755\n", NULL, true},
	{"tree/twice", chown_1, "\"twice\" belongs to 1:1, should to 0:0\n", NULL, true},
	{"tree/d/l", chown_1, "\"d/l\" belongs to 1:1, should to 0:0\n", NULL, true},
	{"tree/implicit", chown_1, "\"implicit\" belongs to 1:1, should to 0:0\n", NULL, true},
	{"tree/twice", set_attribute, "\"twice\" has the attribute user.more, should not\n", NULL,
		false},
	{"tree/d/a", change_attribute,
		"\"d/a\" has another value of user.a than it should\n"
		"\"d/h\" has another value of user.a than it should\n",
		NULL, false},
	{"tree/d", remove_attribute, "\"d\" lacks the attribute user.d\n", NULL, false},
	{"tree/o", remove_opaque, "\"o\" is not opaque, should be\n", NULL, false},
	{"tree/d", set_opaque, "\"d\" is opaque, should not be\n", NULL, false},
	{"tree/twice", touch, "\"twice\" was modified at 9.000000000, should at 1.000000000\n",
		NULL, false},
	{"tree/d", touch, "\"d\" was modified at 9.000000000, should at 5.000000000\n", NULL,
		false},
	{"tar-headers", unlink, "open tar-headers: no such file or directory\n", NULL, false},
	{"tar-headers", cut, "tar-headers is damaged\n", NULL, false},
	{"layer", cut,
		"layer is damaged\n"
		"refers to data that is not there\n",
		NULL, false},
};

static char *sorted(const char *text)
{
	char *lines[16];
	size_t n = 0;
	cleanup_free char *copy = strdup(text);
	struct buf b = {0};

	for (char *p = copy, *end; (end = strchr(p, '\n')) && n < ARRAY_SIZE(lines); p = end + 1) {
		size_t i = n++;

		*end = '\0';
		for (; i && strcmp(lines[i - 1], p) > 0; i--)
			lines[i] = lines[i - 1];
		lines[i] = p;
	}
	for (size_t i = 0; i < n; i++)
		buf_appendf(&b, "%s\n", lines[i]);
	return n ? buf_steal(&b) : strdup("");
}

static void expect(const struct world *w, const char *name, const char *shallow, const char *deep)
{
	for (int i = 0; i < 2; i++) {
		cleanup_free char *text = check(w, i == 1);
		cleanup_free char *got = sorted(text);
		cleanup_free char *want = sorted(i ? deep : shallow);

		if (strcmp(got, want))
			fail_msg("%s, %s: found\n%snot\n%s", name, i ? "deep" : "shallow", got,
				want);
	}
}

static void test_clean(void **state)
{
	struct world w;

	(void)state;
	world_make(&w);
	expect(&w, "clean", "", "");
	world_remove(&w);
}

static void test_damages(void **state)
{
	bool root = is_root();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct world w;

		if (damages[i].root && !root)
			continue;
		world_make(&w);
		damage(&w, damages[i].path, damages[i].fn);
		expect(&w, damages[i].path, damages[i].shallow,
			damages[i].deep ? damages[i].deep : damages[i].shallow);
		world_remove(&w);
	}
}

static void test_damages_root(void **state)
{
	(void)state;
	if (!is_root()) {
		print_message("skipped: changing owners and shutting folders needs root\n");
		skip();
	}
}

static void test_contents(void **state)
{
	static const struct {
		void (*fn)(const struct world *w);
		const char *deep;
	} flips[] = {
		{flip, "\"d/a\" has other contents than were unpacked\n"},
		{flip_deep, "\"implicit/x/f\" has other contents than were unpacked\n"},
		{flip_hole, "\"hole\" has other contents than were unpacked\n"},
		{flip_all_hole, "\"nothing\" has other contents than were unpacked\n"},
		{flip_shadow, "\"twice\" has other contents than were unpacked\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flips); i++) {
		struct world w;

		world_make(&w);
		flips[i].fn(&w);
		expect(&w, flips[i].deep, "", flips[i].deep);
		world_remove(&w);
	}
}

/* What is asked of the layer's data is in its file of headers too: another layer's are noticed. */
static void test_other_headers(void **state)
{
	struct world w;
	cleanup_free char *path = NULL;

	(void)state;
	world_make(&w);
	path = at(&w, "layer");

	cleanup_free char *text = read_file(path);
	char *id = strstr(text, "sha256:");

	id[10] = id[10] == 'a' ? 'b' : 'a';
	write_file(path, text, 0600);

	cleanup_free char *found = check(&w, false);

	assert_non_null(strstr(found, "does not exist"));
	world_remove(&w);
}

static void test_chains(void **state)
{
	struct world w;
	struct error *err = NULL;

	(void)state;
	world_make(&w);

	cleanup_free char *chain =
		str_printf("%s/layers/chains/sha256.%s", w.dir, w.diff_id + strlen("sha256:"));

	write_file(chain, "towline-chain 1\n", 0600);
	expect(&w, "cut chain entry", "is damaged\n", "is damaged\n");
	assert_int_equal(layer_store_drop(w.ls, "", w.diff_id, &err), 0);
	expect(&w, "dropped", "", "");
	world_remove(&w);

	world_make(&w);
	cleanup_free char *away = str_printf("%s/away", w.dir);

	assert_int_equal(rename(w.layer, away), 0);
	expect(&w, "dangling", "refers to data that is not there\n",
		"refers to data that is not there\n");
	assert_int_equal(layer_store_drop(w.ls, "", w.diff_id, &err), 0);
	expect(&w, "dropped", "", "");
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_damages),
		cmocka_unit_test(test_damages_root),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_other_headers),
		cmocka_unit_test(test_chains),
	};

	return cmocka_run_group_tests_name("layer_check", all, NULL, NULL);
}
