/* SPDX-License-Identifier: Apache-2.0 */
/* Layer stores that keep what they get in memory and misbehave as they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakes/layer_store.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "image/rootfs.h"

struct fake_handle {
	char diff_id[DIGEST_MAX]; /* "": it did not read to the end */
};

static const struct fake_behaviour usual;

static const struct fake_behaviour *behaviour(struct fake_store *s, const char *digest)
{
	for (size_t i = 0; i < s->nbehaviours; i++) {
		if (strcmp(s->behaviours[i].digest, digest) == 0)
			return &s->behaviours[i];
	}
	return &usual;
}

static bool has(struct fake_store *s, const char *chain_id)
{
	for (size_t i = 0; i < s->nchains; i++) {
		if (strcmp(s->chains[i], chain_id) == 0)
			return true;
	}
	return false;
}

void fake_store_add(struct fake_store *s, const char *chain_id)
{
	if (has(s, chain_id))
		return;
	assert_true(s->nchains < 64);
	snprintf(s->chains[s->nchains++], DIGEST_MAX, "%s", chain_id);
}

static int fake_get(void *context, const char *chain_id, const struct image_pull_sink *sink)
{
	struct fake_store *s = context;
	bool found;

	(void)sink;
	pthread_mutex_lock(&s->lock);
	found = has(s, chain_id);
	s->holds += found;
	pthread_mutex_unlock(&s->lock);
	return found ? IMAGE_PULL_OK : IMAGE_PULL_NOT_FOUND;
}

static void fake_release(void *context, const char *chain_id)
{
	struct fake_store *s = context;

	pthread_mutex_lock(&s->lock);
	assert_true(has(s, chain_id));
	s->holds--;
	pthread_mutex_unlock(&s->lock);
}

static int misbehave(const struct fake_behaviour *b, const struct image_pull_sink *sink)
{
	if (b->message)
		sink->message(sink->receiver, b->message);
	return b->code ? b->code : IMAGE_PULL_FAILED;
}

/* Reads up to limit bytes, by both ways in turn. 1 at the limit, 0 at the end, -1. */
static int read_some(const struct image_pull_reader *reader, const struct fake_behaviour *b,
	size_t limit, struct buf *to)
{
	if (b->wait_ms && reader->wait(reader->context, b->wait_ms) < 0)
		return -1;
	for (int i = 0; to->size < limit; i++) {
		char bytes[3000];
		const void *data = bytes;
		size_t want = limit - to->size < sizeof(bytes) ? limit - to->size : sizeof(bytes);
		int64_t n = i % 3 && limit == SIZE_MAX ? reader->next(reader->context, &data)
						       : reader->read(reader->context, bytes, want);

		if (n <= 0)
			return (int)n;
		buf_append(to, data, (size_t)n);
	}
	return 1;
}

static void add_commit(struct fake_store *s, const char *parent, const char *diff_id)
{
	char chain_id[DIGEST_MAX];

	assert_int_equal(chain_id_append(parent, diff_id, chain_id), 0);
	pthread_mutex_lock(&s->lock);
	if (*parent)
		assert_true(has(s, parent));
	buf_appendf(&s->commits, "%.8s %.8s\n", *parent ? parent + 7 : "", diff_id + 7);
	fake_store_add(s, chain_id);
	s->holds++;
	pthread_mutex_unlock(&s->lock);
}

static int fake_register(void *context, const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct fake_store *s = context;
	const struct fake_behaviour *b = behaviour(s, descriptor->digest);
	size_t limit = b->stage == FAKE_FAIL ? b->at : SIZE_MAX;
	struct buf data = {0};
	char diff_id[DIGEST_MAX], again[DIGEST_MAX];
	int r = read_some(reader, b, limit, &data);

	if (r == 0)
		assert_int_equal(
			digest_from_bytes(data.data ? data.data : "", data.size, diff_id), 0);
	buf_free(&data);
	if (r < 0)
		return IMAGE_PULL_FAILED;
	if (b->stage == FAKE_FAIL || b->stage == FAKE_FAIL_COMMIT)
		return misbehave(b, sink);
	assert_int_equal(reader->diff_id(reader->context, again), 0);
	assert_string_equal(again, diff_id);
	add_commit(s, parent, diff_id);
	return sink->value(sink->receiver, diff_id, strlen(diff_id));
}

static struct fake_handle *new_handle(struct fake_store *s)
{
	struct fake_handle *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	pthread_mutex_lock(&s->lock);
	s->handles++;
	if (s->handles > s->max_handles)
		s->max_handles = s->handles;
	pthread_mutex_unlock(&s->lock);
	return h;
}

static int fake_stage(void *context, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **handle,
	const struct image_pull_sink *sink)
{
	struct fake_store *s = context;
	const struct fake_behaviour *b = behaviour(s, descriptor->digest);
	bool all = b->stage == FAKE_READ_ALL || b->stage == FAKE_FAIL_COMMIT;
	struct buf data = {0};
	char id[DIGEST_MAX], again[DIGEST_MAX];
	struct fake_handle *h;
	int r = 1;

	pthread_mutex_lock(&s->lock);
	s->stages++;
	pthread_mutex_unlock(&s->lock);
	if (all && b->at) /* with a pause there */
		r = read_some(reader, b, b->at, &data);
	if (r > 0 && (all || b->at))
		r = read_some(reader, b, all ? SIZE_MAX : b->at, &data);
	if (r == 0)
		assert_int_equal(digest_from_bytes(data.data ? data.data : "", data.size, id), 0);
	buf_free(&data);
	if (r < 0)
		return IMAGE_PULL_FAILED;
	if (b->stage == FAKE_FAIL)
		return misbehave(b, sink);
	h = new_handle(s);
	if (r == 0) {
		assert_int_equal(reader->diff_id(reader->context, again), 0);
		assert_string_equal(again, id);
		snprintf(h->diff_id, sizeof(h->diff_id), "%s", id);
	}
	*handle = h;
	if (b->stage == FAKE_HAS_IT)
		return sink->value(sink->receiver, b->diff_id, strlen(b->diff_id));
	return IMAGE_PULL_OK;
}

static int fake_commit(void *context, void *handle, const char *parent, const char *diff_id,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct fake_store *s = context;
	struct fake_handle *h = handle;
	const struct fake_behaviour *b = behaviour(s, descriptor->digest);

	if (b->stage == FAKE_FAIL_COMMIT)
		return misbehave(b, sink);
	if (*h->diff_id)
		assert_string_equal(diff_id, h->diff_id);
	add_commit(s, parent, diff_id);
	return IMAGE_PULL_OK;
}

static void fake_discard(void *context, void *handle)
{
	struct fake_store *s = context;

	free(handle);
	pthread_mutex_lock(&s->lock);
	s->handles--;
	pthread_mutex_unlock(&s->lock);
}

void fake_store_init(struct fake_store *s, bool staging)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->table = (struct image_pull_layer_store){.struct_size = sizeof(s->table),
		.context = s,
		.get = fake_get,
		.release = fake_release};
	if (staging) {
		s->table.flags = IMAGE_PULL_LAYER_STORE_STAGING;
		s->table.stage = fake_stage;
		s->table.commit = fake_commit;
		s->table.discard = fake_discard;
	} else {
		s->table.register_layer = fake_register;
	}
}

void fake_store_destroy(struct fake_store *s)
{
	assert_int_equal(s->holds, 0);
	assert_int_equal(s->handles, 0);
	buf_free(&s->commits);
	pthread_mutex_destroy(&s->lock);
}
