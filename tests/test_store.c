/* SPDX-License-Identifier: Apache-2.0 */
/* compat/store, images, image_remove: a store as a host uses it, with real layers. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "store_fixture.h"

#include <cmocka.h>

#define HEX32 "0123456789abcdef0123456789abcdef"
#define ABSENT "sha256:" HEX32 HEX32

/* ---- opening
 * ------------------------------------------------------------------------------------------- */

static void opening(void **state)
{
	char *folder = folder_make();
	cleanup_free char *root = folder_path(folder, "a/b");
	cleanup_free char *missing = folder_path(folder, "missing");
	cleanup_free char *text = NULL;
	struct stat st;

	(void)state;
	towline_store_close(open_store(root));
	assert_int_equal(stat(root, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	towline_store_close(open_store(root));
	text = str_printf("open %s/format: no such file or directory", missing);
	refuse(missing, true, text);
	free(text);

	folder_write(folder, "a/b/format", "towline store 2\n");
	text = str_printf("%s has store format 2, made by a newer towline; this one knows 1", root);
	refuse(root, false, text);
	refuse(root, true, text);
	free(text);
	folder_write(folder, "a/b/format", "towline stor");
	text = str_printf("%s/format: damaged: \"towline store N\" is expected", root);
	refuse(root, false, text);
	free(text);
	folder_write(folder, "a/b/format", "towline store 1\n");
	folder_write(folder, "a/b/image/overlay2/repositories.json", "null");
	text = str_printf("%s/image/overlay2/repositories.json: the file holds null where an "
			  "object is expected",
		root);
	refuse(root, false, text);
	free(text);
	text = folder_read(folder, "a/b/image/overlay2/repositories.json");
	assert_string_equal(text, "null");
	free(text);

	folder_write(folder, "docker/image/x", "");
	cleanup_free char *docker = folder_path(folder, "docker");
	text = str_printf(
		"%s is no towline store: it is not empty, and has no file \"format\"", docker);
	refuse(docker, false, text);
	folder_remove(folder);
}

/* ---- images
 * -------------------------------------------------------------------------------------------- */

static void put_refused(void **state)
{
	static const struct {
		const char *config, *error;
	} cases[] = {
		{"{}", "invalid image JSON, no RootFS key"},
		{"{", "unexpected end of JSON input"},
		{"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" ABSENT "\"]}}",
			"failed to get layer " ABSENT ": layer does not exist"},
		{"{\"os\":\"windows\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" ABSENT
		 "\"]}}",
			"operating system is not supported"},
		{"{\"rootfs\":{\"type\":\"layers\"},\"history\":[{}]}",
			"too many non-empty layers in History section"},
		{"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:../../x\"]}}",
			"invalid checksum digest length"},
	};
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	const struct image_pull_image_store *images = towline_store_images(store);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct towline_text text;
		int code;

		towline_text_init(&text);
		code = images->put(
			images->context, cases[i].config, strlen(cases[i].config), &text.sink);
		if (code == IMAGE_PULL_OK || !str_equal(text.message, cases[i].error))
			fail_msg("%s\nexpected %s\ngot      %s", cases[i].config, cases[i].error,
				code == IMAGE_PULL_OK ? "(taken)" : text.message);
		towline_text_free(&text);
	}
	images_are(store, "");
	towline_store_close(store);
	folder_remove(folder);
}

static void lookup(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	struct image a, b;
	cleanup_free char *expected = NULL;
	cleanup_free char *digest_name = str_printf("x.y/foo@%s", ABSENT);
	struct lines l;

	(void)state;
	add_image(store, "1", "2", "2020-01-01T00:00:00Z", "docker.io/library/foo:latest", &a);
	add_image(store, "1", "3", "2020-01-01T01:00:00.5+02:00", "x.y/foo:v1", &b);
	tag(store, "foo", "bar:2");
	add_digest(store, digest_name, b.id);

	/* Newest first: 00:00 UTC is later than 01:00:00.5 at +02:00. */
	expected = str_printf(
		"%.12s bar:2 foo:latest\n%.12s x.y/foo:v1 %s\n", a.id + 7, b.id + 7, digest_name);
	images_are(store, expected);

	const struct {
		const char *name;
		const struct image *image; /* NULL: none */
		const char *error;
	} cases[] = {
		{"foo", &a, NULL},
		{"foo:latest", &a, NULL},
		{"bar:2", &a, NULL},
		{"docker.io/library/bar:2", &a, NULL},
		{digest_name, &b, NULL},
		{a.id, &a, NULL},
		{a.id + 7, &a, NULL},
		{ABSENT, NULL, "No such image: " ABSENT},
		{"nothing", NULL, "No such image: nothing:latest"},
		{"x.y/foo", NULL, "No such image: x.y/foo:latest"},
		{"Foo", NULL, "invalid reference format: repository name must be lowercase"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *one =
			cases[i].image ? str_printf("%.12s", cases[i].image->id + 7) : NULL;
		int code;

		lines_init(&l, true);
		code = towline_image_get(store, cases[i].name, &l.sink);
		if (one ? code != IMAGE_PULL_OK || !str_has_prefix(l.text.data, one)
			: code == IMAGE_PULL_OK || !str_equal(l.message, cases[i].error))
			fail_msg("%s\nexpected %s\ngot      %s", cases[i].name,
				one ? one : cases[i].error,
				code == IMAGE_PULL_OK ? l.text.data : l.message);
		lines_free(&l);
	}
	/* Prefixes: the shortest that tell the two apart, and one that does not. */
	for (size_t n = 1; n <= 64; n++) {
		cleanup_free char *prefix = str_printf("%.*s", (int)n, a.id + 7);
		int code;

		lines_init(&l, true);
		code = towline_image_get(store, prefix, &l.sink);
		assert_int_equal(code,
			strncmp(a.id + 7, b.id + 7, n) != 0 ? IMAGE_PULL_OK : IMAGE_PULL_NOT_FOUND);
		lines_free(&l);
	}
	lines_init(&l, false);
	expect("tag of nothing", &l, towline_tag(store, "nothing", "x", &l.sink),
		IMAGE_PULL_NOT_FOUND, "No such image: nothing:latest");
	lines_init(&l, false);
	expect("tag with digest", &l, towline_tag(store, "foo", digest_name, &l.sink),
		IMAGE_PULL_INVALID, "refusing to create a tag with a digest reference");
	towline_store_close(store);
	folder_remove(folder);
}

/* ---- docker rmi
 * ---------------------------------------------------------------------------------------- */

static void remove_by_name(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	cleanup_free char *by_digest = str_printf("foo@%s", ABSENT);
	cleanup_free char *expected = NULL;
	struct image a, b;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_image(store, "1", "3", DATE, "foo:b", &b);
	add_digest(store, by_digest, a.id);
	tag(store, "foo", "foo:two");
	tag(store, "foo", "other");

	/* Another tag of the repository: its digest stays. */
	rmi(store, "foo:two", 0, IMAGE_PULL_OK, "Untagged: foo:two\n");
	/* The last tag: its digest goes, but another repository keeps the image. */
	expected = str_printf("Untagged: foo:latest\nUntagged: %s\n", by_digest);
	rmi(store, "foo", 0, IMAGE_PULL_OK, expected);
	free(expected);
	/* The last reference: the image goes with the layer that b has not. */
	expected =
		str_printf("Untagged: other:latest\nDeleted: %s\nDeleted: %s\n", a.id, a.chains[1]);
	rmi(store, "other", 0, IMAGE_PULL_OK, expected);
	free(expected);
	rmi(store, "other", 0, IMAGE_PULL_NOT_FOUND, "No such image: other:latest");
	expected = str_printf("Untagged: foo:b\nDeleted: %s\nDeleted: %s\nDeleted: %s\n", b.id,
		b.chains[1], b.chains[0]);
	rmi(store, "foo:b", 0, IMAGE_PULL_OK, expected);
	images_are(store, "");
	towline_store_close(store);
	folder_remove(folder);
}

static void remove_by_id(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	cleanup_free char *by_digest = str_printf("foo@%s", ABSENT);
	cleanup_free char *expected = NULL;
	cleanup_free char *conflict = NULL;
	struct image a;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	tag(store, "foo", "other");
	conflict = str_printf("conflict: unable to delete %.12s (must be forced) - image is "
			      "referenced in multiple repositories",
		a.id + 7);
	rmi(store, a.id, 0, IMAGE_PULL_CONFLICT, conflict);
	rmi(store, a.id + 7, 0, IMAGE_PULL_CONFLICT, conflict);
	expected = str_printf("Untagged: foo:latest\nUntagged: other:latest\nDeleted: %s\n"
			      "Deleted: %s\nDeleted: %s\n",
		a.id, a.chains[1], a.chains[0]);
	rmi(store, a.id, 1, IMAGE_PULL_OK, expected);
	free(expected);

	/* One tag and the digest of one repository go without force. */
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_digest(store, by_digest, a.id);
	expected = str_printf("Untagged: foo:latest\nUntagged: %s\nDeleted: %s\nDeleted: %s\n"
			      "Deleted: %s\n",
		by_digest, a.id, a.chains[1], a.chains[0]);
	rmi(store, a.id + 7, 0, IMAGE_PULL_OK, expected);
	towline_store_close(store);
	folder_remove(folder);
}

/* An image that a pull has put and not tagged yet is no one's to take. */
static void remove_while_pulled(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder), *other = open_store(folder);
	const struct towline_prune_options all = {.struct_size = sizeof(all), .all = 1};
	cleanup_free char *conflict = NULL;
	cleanup_free char *gone = NULL;
	uint64_t reclaimed;
	struct image a;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, NULL, &a);
	conflict =
		str_printf("conflict: unable to delete %.12s (cannot be forced) - image is being "
			   "used by a running pull",
			a.id + 7);
	rmi(other, a.id, 1, IMAGE_PULL_CONFLICT, conflict);
	lines_init(&l, false);
	expect("prune", &l, towline_prune(other, &all, &reclaimed, &l.sink), IMAGE_PULL_OK, "");
	towline_store_close(store); /* as when its process dies */
	gone = str_printf(
		"Deleted: %s\nDeleted: %s\nDeleted: %s\n", a.id, a.chains[1], a.chains[0]);
	rmi(other, a.id, 0, IMAGE_PULL_OK, gone);
	towline_store_close(other);
	folder_remove(folder);
}

/* A reference never points to an image that is gone. */
static void tag_after_remove(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	const struct image_pull_reference_store *references = towline_store_references(store);
	cleanup_free char *expected = NULL;
	struct towline_text text;
	struct image a;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	expected = str_printf("Untagged: foo:latest\nDeleted: %s\nDeleted: %s\nDeleted: %s\n", a.id,
		a.chains[1], a.chains[0]);
	rmi(store, "foo", 0, IMAGE_PULL_OK, expected);
	free(expected);
	expected = str_printf("No such image: %s", a.id);
	towline_text_init(&text);
	assert_int_equal(
		references->add_tag(references->context, "foo:latest", a.id, 1, &text.sink),
		IMAGE_PULL_NOT_FOUND);
	assert_string_equal(text.message, expected);
	towline_text_free(&text);
	towline_store_close(store);
	folder_remove(folder);
}

/* A damaged configuration can be removed; a reference whose image is gone too. */
static void remove_damaged(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	cleanup_free char *expected = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	struct image a, b;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_image(store, "1", "3", DATE, "bar:latest", &b);
	name = str_printf("image/overlay2/imagedb/content/sha256/%s", a.id + 7);
	folder_write(folder, name, "{}");
	expected = str_printf("Untagged: foo:latest\nDeleted: %s\n", a.id);
	rmi(store, "foo", 0, IMAGE_PULL_OK, expected);
	path = str_printf("%s/image/overlay2/imagedb/content/sha256/%s", folder, b.id + 7);
	assert_int_equal(unlink(path), 0);
	rmi(store, "bar", 0, IMAGE_PULL_OK, "Untagged: bar:latest\n");
	images_are(store, "");
	towline_store_close(store);
	folder_remove(folder);
}

/* ---- the border
 * ---------------------------------------------------------------------------------------- */

static void read_only(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	struct towline_store_options options = {
		.struct_size = sizeof(options), .root = folder, .read_only = 1};
	cleanup_free char *expected = NULL;
	struct towline_store *reader = NULL;
	uint64_t reclaimed;
	struct image a;
	struct lines l;

	(void)state;
	assert_int_equal(towline_store_open(&options, &reader, NULL), IMAGE_PULL_OK);
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	expected = str_printf("%.12s foo:latest\n", a.id + 7);
	images_are(reader, expected);
	rmi(reader, "foo", 0, IMAGE_PULL_FORBIDDEN, "the store was opened for reading only");
	lines_init(&l, false);
	expect("tag", &l, towline_tag(reader, "foo", "bar", &l.sink), IMAGE_PULL_FORBIDDEN,
		"the store was opened for reading only");
	lines_init(&l, false);
	expect("prune", &l, towline_prune(reader, NULL, &reclaimed, &l.sink), IMAGE_PULL_FORBIDDEN,
		"the store was opened for reading only");
	towline_store_close(reader);
	towline_store_close(store);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening),
		cmocka_unit_test(put_refused),
		cmocka_unit_test(lookup),
		cmocka_unit_test(remove_by_name),
		cmocka_unit_test(remove_by_id),
		cmocka_unit_test(remove_while_pulled),
		cmocka_unit_test(tag_after_remove),
		cmocka_unit_test(remove_damaged),
		cmocka_unit_test(read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
