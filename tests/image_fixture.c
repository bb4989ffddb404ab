/* SPDX-License-Identifier: Apache-2.0 */
/* A store with images made of raw tars. */
#include "config.h"

#include "image_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/rootfs.h"

#include <cmocka.h>

static void open_store(struct images *i)
{
	const struct towline_store_options options = {
		.struct_size = sizeof(options), .root = i->root, .fast = 1};
	struct text_sink sink;

	text_sink_init(&sink);
	if (towline_store_open(&options, &i->store, &sink.sink))
		fail_msg("open %s: %s", i->root, sink.message);
	text_sink_done(&sink);
}

void images_make(struct images *i)
{
	i->dir = temp_make();
	i->root = str_printf("%s/store", i->dir);
	open_store(i);
}

void images_reopen(struct images *i)
{
	towline_store_close(i->store);
	open_store(i);
}

void images_remove(struct images *i)
{
	towline_store_close(i->store);
	free(i->root);
	temp_remove(i->dir);
}

static void add_layer(const struct image_pull_layer_store *table, const struct buf *tar,
	char chain[DIGEST_MAX], struct buf *config, bool first)
{
	struct image_pull_descriptor descriptor = {sizeof(descriptor), "x", NULL, -1};
	struct memory_reader reader;
	struct text_sink sink;
	char next[DIGEST_MAX];
	void *handle = NULL;

	memory_reader_init(&reader, tar->data, tar->size);
	text_sink_init(&sink);
	if (table->stage(table->context, &reader.reader, &descriptor, &handle, &sink.sink))
		fail_msg("stage: %s", sink.message);
	if (table->commit(table->context, handle, chain, reader.diff_id, &descriptor, &sink.sink))
		fail_msg("commit: %s", sink.message);
	assert_int_equal(chain_id_append(chain, reader.diff_id, next), 0);
	memcpy(chain, next, sizeof(next));
	table->discard(table->context, handle);
	buf_appendf(config, "%s\"%s\"", first ? "" : ",", reader.diff_id);
	text_sink_done(&sink);
	memory_reader_done(&reader);
}

void images_add(struct images *i, const char *tag, struct buf *const *layers, size_t n,
	const char *config, char ret_id[DIGEST_MAX])
{
	const struct image_pull_layer_store *table = towline_store_layers(i->store);
	const struct image_pull_image_store *images = towline_store_images(i->store);
	const struct image_pull_reference_store *references = towline_store_references(i->store);
	cleanup_free char *reference = str_printf("docker.io/library/%s", tag);
	char(*chains)[DIGEST_MAX] = calloc(n + 1, sizeof(*chains));
	cleanup_buf struct buf text = {0};
	struct text_sink sink;

	buf_appendf(&text,
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2024-01-01T00:00:00Z\","
		"\"config\":{%s},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
		config ? config : "");
	for (size_t j = 0; j < n; j++) {
		if (j)
			memcpy(chains[j], chains[j - 1], DIGEST_MAX);
		add_layer(table, layers[j], chains[j], &text, !j);
	}
	buf_append_str(&text, "]}}");
	text_sink_init(&sink);
	if (images->put(images->context, text.data, text.size, &sink.sink))
		fail_msg("put: %s", sink.message);
	sink.values.data[strcspn(sink.values.data, "\n")] = '\0';
	if (references->add_tag(references->context, reference, sink.values.data, 1, &sink.sink))
		fail_msg("add_tag: %s", sink.message);
	if (ret_id)
		snprintf(ret_id, DIGEST_MAX, "%s", sink.values.data);
	for (size_t j = 0; j < n; j++)
		table->release(table->context, chains[j]);
	text_sink_done(&sink);
	free(chains);
}
