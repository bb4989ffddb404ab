/* SPDX-License-Identifier: Apache-2.0 */
/* load and save: images go out and come in elsewhere with the same IDs; archives of strangers. */
#include "config.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_fixture.h"
#include "layer_store.h"

#include <cmocka.h>

static void add_image(struct images *im, char id[DIGEST_MAX])
{
	struct buf a = {0}, b = {0}, *layers[] = {&a, &b, &a};

	tar_member(&a, &(struct member){.name = "d/", .type = '5', .mode = 0711});
	tar_member(&a, &(struct member){.name = "d/a", .data = "hello"});
	tar_member(&a, &(struct member){.name = "d/a", .data = "hello again"});
	tar_end(&a);
	buf_append_str(&a, "and more behind the end");
	tar_member(&b, &(struct member){.name = "d/.wh.x", .data = ""});
	tar_member(&b, &(struct member){.name = "b",
			       .data = "world",
			       .mtime = 99,
			       .pax = {"SCHILY.xattr.user.a", "1"}});
	tar_end(&b);
	images_add(im, "test:1", layers, 3, "\"Cmd\":[\"/b\"]", id);
	buf_free(&a);
	buf_free(&b);
}

static void expect(const char *what, int code, int want, const struct text_sink *sink)
{
	if (code != want)
		fail_msg("%s: %d (%s), not %d", what, code, sink->message ? sink->message : "",
			want);
}

/* What a store has below image/ and of layers: the same in two stores that have the same. */
static char *contents(const struct images *im)
{
	static const char *const dirs[] = {
		"image/overlay2/imagedb", "layers/data", "layers/chains"};
	struct buf b = {0};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		cleanup_free char *path = str_printf("%s/%s", im->root, dirs[i]);
		cleanup_free char *all = snapshot(path);

		/* Names only, since records have times: lines that begin with a path. */
		for (const char *p = all; p && (p = strstr(p, path)); p += strlen(path)) {
			if (p != all && p[-1] != '\n')
				continue;
			buf_append(&b, p + strlen(im->root), strcspn(p, " ") - strlen(im->root));
			buf_append_char(&b, '\n');
		}
	}
	return buf_steal(&b);
}

static void round_trip(const char *target, const char *source)
{
	struct images from, to;
	struct text_sink sink;
	char id[DIGEST_MAX];
	unsigned damaged;

	images_make(&from);
	images_make(&to);
	text_sink_init(&sink);
	add_image(&from, id);

	cleanup_free char *out = str_printf(target, from.dir);
	cleanup_free char *in = str_printf(source, from.dir);

	expect("save", towline_save(from.store, "test:1", out, &sink.sink), 0, &sink);
	expect("load", towline_load(to.store, in, &sink.sink), 0, &sink);
	assert_string_equal(sink.values.data, "test:1\n");
	buf_reset(&sink.values);

	cleanup_free char *a = contents(&from);
	cleanup_free char *b = contents(&to);

	assert_string_equal(a, b);
	expect("fsck", towline_fsck(to.store, 1, 0, &damaged, &sink.sink), 0, &sink);
	assert_int_equal(damaged, 0);
	/* Again: nothing new, the same answer. */
	expect("load", towline_load(to.store, in, &sink.sink), 0, &sink);
	assert_string_equal(sink.values.data, "test:1\n");
	buf_reset(&sink.values);
	/* By ID: no name goes along. */
	cleanup_free char *out2 = str_printf("%s2", out);
	cleanup_free char *in2 = str_printf("%s2", in);

	expect("save", towline_save(from.store, id, out2, &sink.sink), 0, &sink);
	expect("load", towline_load(to.store, in2, &sink.sink), 0, &sink);

	cleanup_free char *want = str_printf("%s\n", id);

	assert_string_equal(sink.values.data, want);
	text_sink_done(&sink);
	images_remove(&from);
	images_remove(&to);
}

static void test_docker_archive(void **state)
{
	(void)state;
	round_trip("%s/image.tar", "%s/image.tar");
}

static void test_oci_layout(void **state)
{
	(void)state;
	round_trip("oci:%s/layout", "oci:%s/layout");
}

/* ---- archives of others ---- */

static const char config_head[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},"
				  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[";

static void sample_layer(struct buf *tar, char diff_id[DIGEST_MAX])
{
	tar_member(tar, &(struct member){.name = "a", .data = "hello"});
	tar_end(tar);
	assert_int_equal(digest_from_bytes(tar->data, tar->size, diff_id), 0);
}

static char *compress_with(const struct buf *b, int (*filter)(struct archive *), size_t *ret_size)
{
	size_t room = b->size + 100000;
	char *out = malloc(room);
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
	assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(a, out, room, ret_size), ARCHIVE_OK);
	archive_entry_set_filetype(e, AE_IFREG);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, b->data, b->size), (long)b->size);
	archive_entry_free(e);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	return out;
}

static void write_bytes(const char *path, const void *data, size_t size)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (long)size);
}

/* Load an archive of these members; the answer's text, value or message. */
static char *load_members(
	const struct member *members, size_t n, int want, int (*filter)(struct archive *))
{
	struct buf tar = {0};
	struct text_sink sink;
	struct images im;
	char *ret;

	images_make(&im);
	text_sink_init(&sink);
	for (size_t i = 0; i < n && members[i].name; i++)
		tar_member(&tar, &members[i]);
	tar_end(&tar);

	cleanup_free char *path = str_printf("%s/archive", im.dir);
	cleanup_free char *staging = str_printf("%s/layers/staging", im.root);

	if (filter) {
		size_t size;
		cleanup_free char *packed = compress_with(&tar, filter, &size);

		write_bytes(path, packed, size);
	} else {
		write_bytes(path, tar.data, tar.size);
	}
	expect("load", towline_load(im.store, path, &sink.sink), want, &sink);

	cleanup_free char *left = snapshot(staging);

	assert_true(!left || !*left);
	ret = strdup(want ? sink.message : sink.values.data);
	buf_free(&tar);
	text_sink_done(&sink);
	images_remove(&im);
	return ret;
}

static void test_compressed(void **state)
{
	int (*const filters[])(struct archive *) = {archive_write_add_filter_none,
		archive_write_add_filter_gzip, archive_write_add_filter_bzip2,
		archive_write_add_filter_xz, archive_write_add_filter_zstd};
	char diff_id[DIGEST_MAX];
	struct buf tar = {0};

	(void)state;
	sample_layer(&tar, diff_id);
	cleanup_free char *config = str_printf("%s\"%s\"]}}", config_head, diff_id);

	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		size_t size;
		cleanup_free char *layer = compress_with(&tar, filters[i], &size);
		const struct member members[] = {
			{.name = "layer", .data = layer, .size = size},
			{.name = "c.json", .data = config},
			{.name = "manifest.json",
				.data = "[{\"Config\":\"c.json\",\"RepoTags\":"
					"[\"x:1\",\"y/z:2\"],\"Layers\":[\"layer\"]}]"},
		};

		/* The layer is compressed, and the archive itself. */
		cleanup_free char *a = load_members(members, 3, 0, NULL);
		cleanup_free char *b = load_members(members, 3, 0, filters[i]);

		assert_string_equal(a, "x:1\ny/z:2\n");
		assert_string_equal(b, a);
	}
	buf_free(&tar);
}

static void test_refused(void **state)
{
	char diff_id[DIGEST_MAX];
	struct buf tar = {0};

	(void)state;
	sample_layer(&tar, diff_id);
	cleanup_free char *config = str_printf("%s\"%s\"]}}", config_head, diff_id);
	cleanup_free char *other = str_printf("%s\"sha256:%064d\"]}}", config_head, 0);
	cleanup_free char *mismatch = str_printf(
		"invalid diffID for layer 0: staged layer is %s, not sha256:%064d", diff_id, 0);

#define LAYER                                                                                      \
	{                                                                                          \
		.name = "layer", .data = tar.data, .size = tar.size                                \
	}
#define MANIFEST(layers)                                                                           \
	{                                                                                          \
		.name = "manifest.json", .data = "[{\"Config\":\"c.json\",\"Layers\":" layers "}]" \
	}
	const struct {
		struct member members[4];
		const char *error;
		int code;
	} cases[] = {
		{{{.name = "x", .data = "1"}}, "open manifest.json: no such file or directory",
			IMAGE_PULL_NOT_FOUND},
		{{{.name = "manifest.json", .data = "{"}}, "unexpected EOF", IMAGE_PULL_FAILED},
		{{{.name = "manifest.json", .data = "{}"}}, "invalid manifest.json",
			IMAGE_PULL_FAILED},
		{{MANIFEST("[1]"), {.name = "c.json", .data = config}}, "invalid manifest.json",
			IMAGE_PULL_FAILED},
		{{MANIFEST("[]"), {.name = "c.json", .data = config}},
			"invalid manifest, layers length mismatch: expected 0, got 1",
			IMAGE_PULL_FAILED},
		{{MANIFEST("[\"layer\"]"), {.name = "c.json", .data = config}},
			"open layer: no such file or directory", IMAGE_PULL_NOT_FOUND},
		{{MANIFEST("[\"layer\"]"), {.name = "c.json", .data = other}, LAYER}, mismatch,
			IMAGE_PULL_FAILED},
		{{MANIFEST("[\"../../../../../../etc/passwd\"]"),
			 {.name = "c.json", .data = config}},
			"open ../../../../../../etc/passwd: no such file or directory",
			IMAGE_PULL_NOT_FOUND},
		{{MANIFEST("[\"l\"]"), {.name = "c.json", .data = config},
			 {.name = "l", .type = '2', .link = "/etc/passwd"}},
			"open l: no such file or directory", IMAGE_PULL_NOT_FOUND},
		{{MANIFEST("[\"l\"]"), {.name = "c.json", .data = config},
			 {.name = "l", .type = '2', .link = "l"}},
			"open l: too many levels of symbolic links", IMAGE_PULL_FAILED},
		{{MANIFEST("[\"l\"]"), {.name = "c.json", .data = config},
			 {.name = "l", .type = '6'}},
			"open l: invalid argument", IMAGE_PULL_FAILED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = load_members(
			cases[i].members, ARRAY_SIZE(cases[i].members), cases[i].code, NULL);

		if (strcmp(text, cases[i].error))
			fail_msg("case %zu: '%s', not '%s'", i, text, cases[i].error);
	}
	buf_free(&tar);
}

/* Docker writes a layer that comes again as a symlink to the first. */
static void test_symlinked_layer(void **state)
{
	char diff_id[DIGEST_MAX];
	struct buf tar = {0};

	(void)state;
	sample_layer(&tar, diff_id);
	cleanup_free char *config = str_printf("%s\"%s\",\"%s\"]}}", config_head, diff_id, diff_id);
	const struct member members[] = {
		{.name = "1/layer.tar", .data = tar.data, .size = tar.size},
		{.name = "2/layer.tar", .type = '2', .link = "../1/layer.tar"},
		{.name = "c.json", .data = config},
		{.name = "manifest.json",
			.data = "[{\"Config\":\"c.json\",\"RepoTags\":[\"x:1\"],"
				"\"Layers\":[\"1/layer.tar\",\"2/layer.tar\"]}]"},
	};
	cleanup_free char *text = load_members(members, 4, 0, NULL);

	assert_string_equal(text, "x:1\n");
	buf_free(&tar);
}

/* ---- OCI layouts ---- */

static void change(const struct images *im, const char *name, const char *from, const char *to)
{
	cleanup_free char *path = str_printf("%s/layout/%s", im->dir, name);
	cleanup_free char *text = read_file(path);
	char *at = text ? strstr(text, from) : NULL;

	assert_non_null(at);

	cleanup_free char *changed =
		str_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));

	write_file(path, changed, 0644);
}

static void test_oci_damaged(void **state)
{
	static const struct {
		const char *from, *to, *error;
	} cases[] = {
		{"\"manifests\"", "\"manifest\"",
			"invalid OCI layout: index.json has no manifests"},
		{"\"size\":", "\"siz\":", "has no size"},
		{"\"size\":", "\"size\":1", "of the OCI layout is damaged"},
		{"sha256:", "sha256:../", "invalid checksum digest"},
		{"\"digest\"", "\"digst\"", "invalid OCI layout: a descriptor without a digest"},
	};
	struct text_sink sink;
	char id[DIGEST_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct images im;

		images_make(&im);
		text_sink_init(&sink);
		add_image(&im, id);

		cleanup_free char *dir = str_printf("oci:%s/layout", im.dir);

		expect("save", towline_save(im.store, "test:1", dir, &sink.sink), 0, &sink);
		/* An index that is there is not written over. */
		assert_int_not_equal(towline_save(im.store, "test:1", dir, &sink.sink), 0);
		change(&im, "index.json", cases[i].from, cases[i].to);
		assert_int_not_equal(towline_load(im.store, dir, &sink.sink), 0);
		if (!strstr(sink.message, cases[i].error))
			fail_msg("%s: '%s', not '%s'", cases[i].from, sink.message, cases[i].error);
		text_sink_done(&sink);
		images_remove(&im);
	}
}

/* What is saved is proven: a damaged layer does not go out unnoticed. */
static void test_save_damaged(void **state)
{
	static const char *const targets[] = {"%s/out", "oci:%s/out"};
	char id[DIGEST_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct text_sink sink;
		struct images im;

		images_make(&im);
		text_sink_init(&sink);
		add_image(&im, id);

		cleanup_free char *data = str_printf("%s/layers/data", im.root);
		cleanup_free char *all = snapshot(data);
		char *b = strstr(all, "/tree/b ");
		char *begin = b;

		assert_non_null(b);
		while (begin > all && begin[-1] != '\n')
			begin--;
		b[strlen("/tree/b")] = '\0';
		write_file(begin, "World", 0644);

		cleanup_free char *out = str_printf(targets[i], im.dir);
		cleanup_free char *path = str_printf("%s/out", im.dir);

		assert_int_not_equal(towline_save(im.store, "test:1", out, &sink.sink), 0);
		assert_non_null(strstr(sink.message, "b has other contents than were unpacked"));
		assert_int_equal(access(path, F_OK), -1);
		text_sink_done(&sink);
		images_remove(&im);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_docker_archive),
		cmocka_unit_test(test_oci_layout),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_symlinked_layer),
		cmocka_unit_test(test_oci_damaged),
		cmocka_unit_test(test_save_damaged),
	};

	return cmocka_run_group_tests_name("archive_io", all, NULL, NULL);
}
