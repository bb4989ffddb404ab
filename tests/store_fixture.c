/* SPDX-License-Identifier: Apache-2.0 */
/* A store as a host uses it, with real layers in it. */
#include "config.h"

#include "store_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/rootfs.h"
#include "layer_fixture.h"

#include <cmocka.h>

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

void lines_init(struct lines *l, bool images)
{
	*l = (struct lines){
		.sink = {sizeof(l->sink), l, take_value, take_message}, .images = images};
	buf_append(&l->text, "", 0);
}

void lines_free(struct lines *l)
{
	buf_free(&l->text);
	free(l->message);
}

void expect(const char *what, struct lines *l, int code, int expected_code, const char *expected)
{
	const char *got = code == IMAGE_PULL_OK ? l->text.data : l->message;

	if (code != expected_code || !str_equal(got ? got : "", expected))
		fail_msg("%s\nexpected %d %s\ngot      %d %s", what, expected_code, expected, code,
			got ? got : "(none)");
	lines_free(l);
}

struct towline_store *open_store(const char *root)
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

void refuse(const char *root, bool read_only, const char *expected)
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

void add_layer(struct towline_store *store, const char *content, const char *parent,
	char diff_id[DIGEST_MAX], char chain_id[DIGEST_MAX])
{
	const struct image_pull_layer_store *layers = towline_store_layers(store);
	cleanup_buf struct buf tar = {0};
	struct memory_reader reader;
	struct image_pull_descriptor descriptor = {.struct_size = sizeof(descriptor),
		.media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip",
		.size = -1};
	struct towline_text text;
	void *handle = NULL;
	int code;

	tar_member(&tar, &(struct member){.name = "file",
				 .data = content,
				 .uid = getuid(),
				 .gid = getgid(),
				 .mtime = 1});
	tar_end(&tar);
	assert_int_equal(digest_from_bytes(tar.data, tar.size, diff_id), 0);
	assert_int_equal(chain_id_append(parent, diff_id, chain_id), 0);
	descriptor.digest = diff_id;
	memory_reader_init(&reader, tar.data, tar.size);
	towline_text_init(&text);
	code = layers->stage(layers->context, &reader.reader, &descriptor, &handle, &text.sink);
	if (code == IMAGE_PULL_OK)
		code = layers->commit(
			layers->context, handle, parent, diff_id, &descriptor, &text.sink);
	if (code != IMAGE_PULL_OK)
		fail_msg("layer %s: %s", content, towline_text_message(&text, code));
	memory_reader_done(&reader);
	layers->discard(layers->context, handle);
	layers->release(layers->context, chain_id);
	towline_text_free(&text);
}

void add_image(struct towline_store *store, const char *bottom, const char *top,
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

void tag(struct towline_store *store, const char *name, const char *reference)
{
	struct lines l;

	lines_init(&l, false);
	expect(reference, &l, towline_tag(store, name, reference, &l.sink), IMAGE_PULL_OK, "");
}

void add_digest(struct towline_store *store, const char *reference, const char *id)
{
	const struct image_pull_reference_store *references = towline_store_references(store);

	assert_int_equal(
		references->add_digest(references->context, reference, id, 1, NULL), IMAGE_PULL_OK);
}

void rmi(struct towline_store *store, const char *name, int force, int code, const char *expected)
{
	struct lines l;

	lines_init(&l, false);
	expect(name, &l, towline_remove(store, name, force, &l.sink), code, expected);
}

void images_are(struct towline_store *store, const char *expected)
{
	struct lines l;

	lines_init(&l, true);
	expect("images", &l, towline_images(store, &l.sink), IMAGE_PULL_OK, expected);
}
