/* SPDX-License-Identifier: Apache-2.0 */
/* compat/store, images, image_remove, prune: a store as a host uses it, with real layers. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "folder.h"
#include "image/rootfs.h"
#include "towline.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define ABSENT "sha256:" HEX32 HEX32
#define DATE "2020-01-01T00:00:00Z"

/* ---- helpers: answers
 * ---------------------------------------------------------------------------------- */

/* All values, each behind a newline; of images "ID tags digests size". */
struct lines {
	struct image_pull_sink sink;
	struct buf text;
	char *message;
	bool images;
};

static int take_value(void *receiver, const void *data, size_t size)
{
	struct lines *l = receiver;

	if (l->images) {
		const struct towline_image *image = data;

		assert_int_equal(size, sizeof(*image));
		buf_appendf(&l->text, "%.12s", image->id + strlen("sha256:"));
		for (const char *const *t = image->repo_tags; *t; t++)
			buf_appendf(&l->text, " %s", *t);
		for (const char *const *t = image->repo_digests; *t; t++)
			buf_appendf(&l->text, " %s", *t);
		buf_append_char(&l->text, '\n');
		return IMAGE_PULL_OK;
	}
	buf_append(&l->text, data, size);
	buf_append_char(&l->text, '\n');
	return IMAGE_PULL_OK;
}

static void take_message(void *receiver, const char *text)
{
	struct lines *l = receiver;

	free(l->message);
	l->message = strdup(text);
}

static void lines_init(struct lines *l, bool images)
{
	*l = (struct lines){
		.sink = {sizeof(l->sink), l, take_value, take_message}, .images = images};
	buf_append(&l->text, "", 0);
}

static void lines_free(struct lines *l)
{
	buf_free(&l->text);
	free(l->message);
}

/* Compare and free. expected: the values, or the message where code is not OK. */
static void expect(
	const char *what, struct lines *l, int code, int expected_code, const char *expected)
{
	const char *got = code == IMAGE_PULL_OK ? l->text.data : l->message;

	if (code != expected_code || !str_equal(got ? got : "", expected))
		fail_msg("%s\nexpected %d %s\ngot      %d %s", what, expected_code, expected, code,
			got ? got : "(none)");
	lines_free(l);
}

/* ---- helpers: stores, layers, images
 * ------------------------------------------------------------------- */

static struct towline_store *open_store(const char *root)
{
	const struct towline_store_options options = {
		.struct_size = sizeof(options), .root = root, .fast = 1};
	struct towline_store *store = NULL;
	struct towline_text text;
	int code;

	towline_text_init(&text);
	code = towline_store_open(&options, &store, &text.sink);
	if (code != IMAGE_PULL_OK)
		fail_msg("%s", towline_text_message(&text, code));
	towline_text_free(&text);
	return store;
}

/* A tar with one small file. */
static void make_tar(struct buf *tar, const char *name, const char *content)
{
	char block[512] = {0};
	unsigned sum = 0;

	snprintf(block, 100, "%s", name);
	memcpy(block + 100, "0000644", 8);
	snprintf(block + 108, 8, "%07o", getuid() & 07777777);
	snprintf(block + 116, 8, "%07o", getgid() & 07777777);
	snprintf(block + 124, 12, "%011o", (unsigned)strlen(content));
	memcpy(block + 136, "00000000001", 12);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
	buf_append(tar, block, sizeof(block));
	buf_append(tar, content, strlen(content));
	memset(block, 0, sizeof(block));
	buf_append(tar, block, -tar->size & 511);
	buf_append(tar, block, sizeof(block));
	buf_append(tar, block, sizeof(block));
}

struct reader {
	struct image_pull_reader public;
	const struct buf *tar;
	size_t at;
};

static int64_t read_tar(void *context, void *buf, size_t size)
{
	struct reader *r = context;
	size_t left = r->tar->size - r->at;
	size_t n = size < left ? size : left;

	memcpy(buf, r->tar->data + r->at, n);
	r->at += n;
	return (int64_t)n;
}

static int wait_not(void *context, unsigned milliseconds)
{
	(void)context;
	(void)milliseconds;
	return 0;
}

static int read_diff_id(void *context, char *id)
{
	struct reader *r = context;

	return digest_from_bytes(r->tar->data, r->tar->size, id);
}

/* One more layer on parent, by the table that the plugin gets; the hold is given back. */
static void add_layer(struct towline_store *store, const char *content, const char *parent,
	char diff_id[DIGEST_MAX], char chain_id[DIGEST_MAX])
{
	const struct image_pull_layer_store *layers = towline_store_layers(store);
	cleanup_buf struct buf tar = {0};
	struct reader reader = {.tar = &tar};
	struct image_pull_descriptor descriptor = {.struct_size = sizeof(descriptor),
		.media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip",
		.size = -1};
	struct towline_text text;
	void *handle = NULL;
	int code;

	make_tar(&tar, "file", content);
	assert_int_equal(digest_from_bytes(tar.data, tar.size, diff_id), 0);
	assert_int_equal(chain_id_append(parent, diff_id, chain_id), 0);
	descriptor.digest = diff_id;
	reader.public = (struct image_pull_reader){.struct_size = sizeof(reader.public),
		.context = &reader,
		.read = read_tar,
		.wait = wait_not,
		.diff_id = read_diff_id};
	towline_text_init(&text);
	code = layers->stage(layers->context, &reader.public, &descriptor, &handle, &text.sink);
	if (code == IMAGE_PULL_OK)
		code = layers->commit(
			layers->context, handle, parent, diff_id, &descriptor, &text.sink);
	if (code != IMAGE_PULL_OK)
		fail_msg("layer %s: %s", content, towline_text_message(&text, code));
	layers->discard(layers->context, handle);
	layers->release(layers->context, chain_id);
	towline_text_free(&text);
}

struct image {
	char id[DIGEST_MAX];
	char chains[2][DIGEST_MAX];
};

/* An image of two layers, put as the plugin does it. NULL tag: none, and the hold stays. */
static void add_image(struct towline_store *store, const char *bottom, const char *top,
	const char *created, const char *tag, struct image *ret)
{
	const struct image_pull_image_store *images = towline_store_images(store);
	const struct image_pull_reference_store *references = towline_store_references(store);
	char diff_ids[2][DIGEST_MAX];
	cleanup_free char *config = NULL;
	struct towline_text text;
	int code;

	add_layer(store, bottom, "", diff_ids[0], ret->chains[0]);
	add_layer(store, top, ret->chains[0], diff_ids[1], ret->chains[1]);
	config = str_printf("{\"os\":\"linux\",\"architecture\":\"amd64\",\"created\":\"%s\","
			    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"]}}",
		created, diff_ids[0], diff_ids[1]);
	towline_text_init(&text);
	code = images->put(images->context, config, strlen(config), &text.sink);
	if (code == IMAGE_PULL_OK) {
		assert_int_equal(text.value_size < DIGEST_MAX, 1);
		memcpy(ret->id, text.value, text.value_size + 1);
		if (tag)
			code = references->add_tag(
				references->context, tag, ret->id, 1, &text.sink);
	}
	if (code != IMAGE_PULL_OK)
		fail_msg("image: %s", towline_text_message(&text, code));
	towline_text_free(&text);
}

static void tag(struct towline_store *store, const char *name, const char *reference)
{
	struct lines l;

	lines_init(&l, false);
	expect(reference, &l, towline_tag(store, name, reference, &l.sink), IMAGE_PULL_OK, "");
}

static void add_digest(struct towline_store *store, const char *reference, const char *id)
{
	const struct image_pull_reference_store *references = towline_store_references(store);

	assert_int_equal(
		references->add_digest(references->context, reference, id, 1, NULL), IMAGE_PULL_OK);
}

static void rmi(
	struct towline_store *store, const char *name, int force, int code, const char *expected)
{
	struct lines l;

	lines_init(&l, false);
	expect(name, &l, towline_remove(store, name, force, &l.sink), code, expected);
}

static void images_are(struct towline_store *store, const char *expected)
{
	struct lines l;

	lines_init(&l, true);
	expect("images", &l, towline_images(store, &l.sink), IMAGE_PULL_OK, expected);
}

/* ---- opening
 * ------------------------------------------------------------------------------------------- */

static void refuse(const char *root, bool read_only, const char *expected)
{
	const struct towline_store_options options = {
		.struct_size = sizeof(options), .root = root, .fast = 1, .read_only = read_only};
	struct towline_store *store = NULL;
	struct towline_text text;
	int code;

	towline_text_init(&text);
	code = towline_store_open(&options, &store, &text.sink);
	if (code == IMAGE_PULL_OK || store || !str_equal(text.message, expected))
		fail_msg("%s\nexpected %s\ngot      %s", root, expected,
			code == IMAGE_PULL_OK ? "(opened)" : text.message);
	towline_text_free(&text);
}

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

/* ---- prune
 * --------------------------------------------------------------------------------------------- */

static bool has_layer(struct towline_store *store, const char *chain_id)
{
	const struct image_pull_layer_store *layers = towline_store_layers(store);

	if (layers->get(layers->context, chain_id, NULL) != IMAGE_PULL_OK)
		return false;
	layers->release(layers->context, chain_id);
	return true;
}

static int prune(struct towline_store *store, struct towline_prune_options options, struct lines *l,
	uint64_t *reclaimed)
{
	options.struct_size = sizeof(options);
	lines_init(l, false);
	return towline_prune(store, &options, reclaimed, &l->sink);
}

static void pruning(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	struct towline_prune_options none = {.all = 0}, all = {.all = 1},
				     dry = {.all = 1, .dry_run = 1},
				     young = {.all = 1, .keep_age = 3600},
				     large = {.all = 1, .keep_size = 1u << 30};
	char diff_id[DIGEST_MAX], chain_id[DIGEST_MAX];
	cleanup_free char *deleted = NULL;
	uint64_t reclaimed = 0;
	struct image a, b;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_image(store, "1", "3", DATE, "foo:latest", &b); /* a has no tag any more */
	add_layer(store, "4", "", diff_id, chain_id);       /* nobody's */
	deleted = str_printf("Deleted: %s\n", a.id);

	assert_int_equal(prune(store, dry, &l, &reclaimed), IMAGE_PULL_OK);
	assert_true(str_has_prefix(l.text.data, deleted));
	assert_true(has_layer(store, chain_id) && has_layer(store, a.chains[1]));
	lines_free(&l);
	assert_int_equal(prune(store, young, &l, &reclaimed), IMAGE_PULL_OK);
	assert_string_equal(l.text.data, "");
	assert_true(has_layer(store, chain_id));
	lines_free(&l);
	assert_int_equal(prune(store, large, &l, &reclaimed), IMAGE_PULL_OK);
	assert_string_equal(l.text.data, "");
	lines_free(&l);

	/* Layers that no image needs go; images stay. */
	assert_int_equal(prune(store, none, &l, &reclaimed), IMAGE_PULL_OK);
	assert_false(has_layer(store, chain_id));
	assert_true(has_layer(store, a.chains[1]) && has_layer(store, b.chains[1]));
	lines_free(&l);
	/* Images without a tag go with what only they need. */
	assert_int_equal(prune(store, all, &l, &reclaimed), IMAGE_PULL_OK);
	assert_true(str_has_prefix(l.text.data, deleted));
	assert_true(reclaimed > 0);
	assert_false(has_layer(store, a.chains[1]));
	assert_true(has_layer(store, b.chains[0]) && has_layer(store, b.chains[1]));
	lines_free(&l);
	assert_int_equal(prune(store, all, &l, &reclaimed), IMAGE_PULL_OK);
	assert_string_equal(l.text.data, "");
	assert_true(reclaimed == 0);
	lines_free(&l);
	towline_store_close(store);
	folder_remove(folder);
}

/* ---- fsck
 * ---------------------------------------------------------------------------------------------- */

static unsigned fsck(struct towline_store *store, bool repair, struct lines *l)
{
	unsigned damaged = 0;
	int code;

	lines_init(l, false);
	code = towline_fsck(store, 1, repair, &damaged, &l->sink);
	if (code != IMAGE_PULL_OK)
		fail_msg("fsck: %d %s", code, l->message);
	return damaged;
}

static void fsck_says(
	struct towline_store *store, bool repair, unsigned damaged, const char *expected)
{
	struct lines l;
	unsigned got = fsck(store, repair, &l);

	if (got != damaged || strcmp(l.text.data, expected) != 0)
		fail_msg("expected %u %s\ngot      %u %s", damaged, expected, got, l.text.data);
	lines_free(&l);
}

static void checking(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	const struct image_pull_metadata_store *metadata = towline_store_metadata(store);
	cleanup_free char *expected = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	struct image a, b, c;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_image(store, "1", "3", DATE, "bar:latest", &b);
	add_image(store, "1", "4", DATE, "zed:latest", &c);
	fsck_says(store, false, 0, "");

	/* A configuration with other bytes, one that is not there, two damaged notes. */
	name = str_printf("image/overlay2/imagedb/content/sha256/%s", a.id + 7);
	folder_write(folder, name, "{}");
	path = str_printf("%s/image/overlay2/imagedb/content/sha256/%s", folder, b.id + 7);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(
		metadata->set(metadata->context, "diffid-by-digest", "sha256/ab", "x", 1, NULL),
		IMAGE_PULL_OK);
	assert_int_equal(metadata->set(metadata->context, "v2metadata-by-diffid", "sha256/cd", "[{",
				 2, NULL),
		IMAGE_PULL_OK);
	expected =
		str_printf("image %s: failed to verify: %s\n"
			   "reference bar:latest: its image %s is not there\n"
			   "metadata diffid-by-digest/sha256/ab: invalid checksum digest format\n"
			   "metadata v2metadata-by-diffid/sha256/cd: unexpected end of JSON "
			   "input\n",
			a.id, a.id, b.id);
	assert_int_equal(fsck(store, false, &l), 4);
	/* Folders are read in no order. */
	assert_int_equal(strlen(l.text.data), strlen(expected));
	assert_true(str_has_prefix(l.text.data, "image "));
	lines_free(&l);
	assert_int_equal(fsck(store, true, &l), 4);
	assert_non_null(strstr(l.text.data, "reference foo:latest: dropped, pull it again\n"));
	assert_non_null(strstr(l.text.data, "reference bar:latest: dropped, pull it again\n"));
	lines_free(&l);
	fsck_says(store, false, 0, "");
	free(expected);
	expected = str_printf("%.12s zed:latest\n", c.id + 7);
	images_are(store, expected);
	towline_store_close(store);
	folder_remove(folder);
}

/* A file of names that a crash has cut: fsck opens the store all the same, and repairs it. */
static void checking_names(void **state)
{
	static const char damage[] = "repositories.json: unexpected EOF\n";
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	struct towline_store_options options = {
		.struct_size = sizeof(options), .root = folder, .fast = 1, .tolerant = 1};
	cleanup_free char *text = NULL;
	cleanup_free char *repaired = NULL;
	cleanup_free char *expected = NULL;
	struct image a;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	towline_store_close(store);
	folder_write(folder, "image/overlay2/repositories.json", "{\"Repositories\":{\"foo");
	text = str_printf("%s/image/overlay2/repositories.json: unexpected EOF", folder);
	refuse(folder, false, text);

	options.read_only = 1;
	lines_init(&l, false);
	assert_int_equal(towline_store_open(&options, &store, &l.sink), IMAGE_PULL_OK);
	lines_free(&l);
	fsck_says(store, false, 1, damage);
	towline_store_close(store);

	options.read_only = 0;
	lines_init(&l, false);
	assert_int_equal(towline_store_open(&options, &store, &l.sink), IMAGE_PULL_OK);
	lines_free(&l);
	lines_init(&l, false);
	assert_int_not_equal(towline_images(store, &l.sink), IMAGE_PULL_OK);
	lines_free(&l);
	fsck_says(store, false, 1, damage);
	repaired =
		str_printf("%srepositories.json: renamed to repositories.json.damaged, all names "
			   "are dropped: pull or tag again\n",
			damage);
	fsck_says(store, true, 1, repaired);
	fsck_says(store, true, 0, "");
	free(text);
	text = folder_read(folder, "image/overlay2/repositories.json.damaged");
	assert_string_equal(text, "{\"Repositories\":{\"foo");
	towline_store_close(store);
	store = open_store(folder);
	fsck_says(store, false, 0, "");
	expected = str_printf("%.12s\n", a.id + 7);
	images_are(store, expected);
	towline_store_close(store);
	folder_remove(folder);
}

/* The files of the layers' data below dir that hold text are cut; returns how many. */
static int cut_files(const char *dir, const char *text)
{
	cleanup_free char *command = str_printf("grep -rlx '%s' %s/layers --include=file | while "
						"read -r f; do : >\"$f\"; echo; done "
						"| wc -l",
		text, dir);
	FILE *f = popen(command, "r");
	int n = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* A layer whose data is damaged is dropped with the image that needs it: the next pull brings both
 * back. */
static void checking_layers(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	cleanup_free char *expected = NULL;
	struct image a, b;
	struct lines l;

	(void)state;
	add_image(store, "bottom", "top a", DATE, "foo:latest", &a);
	add_image(store, "bottom", "top b", DATE, "bar:latest", &b);
	assert_int_equal(cut_files(folder, "top a"), 1);
	assert_true(fsck(store, false, &l) > 0);
	lines_free(&l);
	assert_true(fsck(store, true, &l) > 0);
	assert_non_null(strstr(l.text.data, "reference foo:latest: dropped, pull it again\n"));
	assert_null(strstr(l.text.data, "bar"));
	lines_free(&l);
	fsck_says(store, false, 0, "");
	expected = str_printf("%.12s bar:latest\n", b.id + 7);
	images_are(store, expected);
	add_image(store, "bottom", "top a", DATE, "foo:latest", &a);
	fsck_says(store, false, 0, "");
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

/* Images whose layers are gone are not there for a pull, which then brings all of it back. */
static void layers_gone(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	const struct image_pull_image_store *images = towline_store_images(store);
	struct towline_prune_options none = {.all = 0};
	cleanup_free char *path = NULL;
	cleanup_free char *config = NULL;
	struct towline_text text;
	uint64_t reclaimed;
	struct image a;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	towline_text_init(&text);
	assert_int_equal(images->get(images->context, a.id, &text.sink), IMAGE_PULL_OK);
	config = strdup(text.value);
	/* The configuration away, so that a prune takes the layers; and back. */
	path = str_printf("image/overlay2/imagedb/content/sha256/%s", a.id + 7);
	cleanup_free char *file = folder_path(folder, path);

	assert_int_equal(unlink(file), 0);
	assert_int_equal(prune(store, none, &l, &reclaimed), IMAGE_PULL_OK);
	lines_free(&l);
	folder_write(folder, path, config);
	assert_false(has_layer(store, a.chains[0]));
	assert_int_equal(images->get(images->context, a.id, &text.sink), IMAGE_PULL_NOT_FOUND);
	towline_text_free(&text);
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
		cmocka_unit_test(pruning),
		cmocka_unit_test(checking),
		cmocka_unit_test(checking_names),
		cmocka_unit_test(checking_layers),
		cmocka_unit_test(read_only),
		cmocka_unit_test(layers_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
