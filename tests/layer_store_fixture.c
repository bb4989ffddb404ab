/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the layer store's table and care share. */
#include "config.h"

#include "layer_store_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "image/rootfs.h"

#include <cmocka.h>

struct layer_store *open_store(const char *dir, bool fast)
{
	struct layer_store_options options = {.root = dir, .fast = fast};
	struct layer_store *ls = NULL;
	struct error *err = NULL;

	if (layer_store_open(&options, &ls, &err) < 0)
		fail_msg("open: %s", err->message);
	return ls;
}

void world_make(struct world *w, bool fast)
{
	w->dir = temp_make();
	w->ls = open_store(w->dir, fast);
	w->table = layer_store_table(w->ls);
}

void world_remove(struct world *w)
{
	layer_store_close(w->ls);
	temp_remove(w->dir);
}

void sample_make(struct sample *s, const char *name, const char *data)
{
	*s = (struct sample){0};
	tar_member(&s->tar, &(struct member){.name = name, .data = data});
	tar_end(&s->tar);
	assert_int_equal(digest_from_bytes(s->tar.data, s->tar.size, s->diff_id), 0);
	assert_int_equal(digest_from_bytes(s->diff_id, strlen(s->diff_id), s->digest), 0);
	s->descriptor = (struct image_pull_descriptor){
		sizeof(s->descriptor), "application/x", s->digest, (int64_t)s->tar.size};
}

struct staged stage(
	const struct image_pull_layer_store *table, struct sample *s, unsigned waits_max)
{
	struct memory_reader reader;
	struct text_sink sink;
	struct staged ret = {0};

	memory_reader_init(&reader, s->tar.data, s->tar.size);
	reader.waits_max = waits_max;
	text_sink_init(&sink);
	ret.code = table->stage(
		table->context, &reader.reader, &s->descriptor, &ret.handle, &sink.sink);
	ret.reads = reader.reads;
	ret.waits = reader.waits;
	ret.message = sink.message;
	sink.message = NULL;
	ret.values = buf_steal(&sink.values);
	text_sink_done(&sink);
	memory_reader_done(&reader);
	return ret;
}

void staged_done(const struct image_pull_layer_store *table, struct staged *s)
{
	if (s->handle)
		table->discard(table->context, s->handle);
	free(s->message);
	free(s->values);
}

int commit(const struct image_pull_layer_store *table, void *handle, const char *parent,
	const char *diff_id)
{
	return table->commit(table->context, handle, parent, diff_id, NULL, NULL);
}

int count(const struct world *w, const char *dir)
{
	cleanup_free char *path = str_printf("%s/layers/%s", w->dir, dir);
	cleanup_free char *all = snapshot(path);
	int n = 0;

	for (const char *p = all; (p = strstr(p, path)); p += strlen(path) + 1)
		if (!strchr(p + strlen(path) + 1, ' ') ||
			!memchr(p + strlen(path) + 1, '/',
				(size_t)(strchr(p + strlen(path) + 1, ' ') -
					 (p + strlen(path) + 1))))
			n++;
	return n;
}

void put_layer(struct world *w, struct sample *s, const char *parent, char chain[DIGEST_MAX])
{
	struct staged st = stage(w->table, s, 0);

	if (st.code)
		fail_msg("stage: %s", st.message);
	assert_int_equal(commit(w->table, st.handle, parent, s->diff_id), IMAGE_PULL_OK);
	assert_int_equal(chain_id_append(parent, s->diff_id, chain), 0);
	w->table->release(w->table->context, chain);
	staged_done(w->table, &st);
}
