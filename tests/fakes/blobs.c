/* SPDX-License-Identifier: Apache-2.0 */
/* A repository made of scripted blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakes/blobs.h"

#include <string.h>

#include "base/context.h"
#include "base/error.h"

struct blob_reader {
	struct repository *r;
	struct fake_blob *blob;
	const struct fake_try *now; /* NULL: none is open */
	const struct buf *data;
	size_t at, left;               /* left: until the answer's end or cut */
	const struct fake_try *failed; /* a try whose first request failed */
};

static const struct fake_try good;

void fake_repository_init(struct repository *r, struct fake_blob *blobs, size_t nblobs)
{
	*r = (struct repository){.blobs = blobs, .nblobs = nblobs, .refs = 1};
	pthread_mutex_init(&r->lock, NULL);
}

void fake_repository_destroy(struct repository *r)
{
	assert_int_equal(r->refs, 1);
	assert_int_equal(r->readers, 0);
	buf_free(&r->requests);
	pthread_mutex_destroy(&r->lock);
}

bool fake_repository_saw(struct repository *r, const char *request)
{
	bool saw;

	pthread_mutex_lock(&r->lock);
	saw = r->requests.data && strstr(r->requests.data, request);
	pthread_mutex_unlock(&r->lock);
	return saw;
}

static void count(struct repository *r, int *what, int by)
{
	pthread_mutex_lock(&r->lock);
	*what += by;
	pthread_mutex_unlock(&r->lock);
}

struct repository *repository_ref(struct repository *r)
{
	count(r, &r->refs, 1);
	return r;
}

void repository_unref(struct repository *r)
{
	if (r)
		count(r, &r->refs, -1);
}

int repository_blob_open(struct repository *r, const char *digest, size_t ring_size,
	struct blob_reader **ret, struct error **reterr)
{
	struct blob_reader *b = calloc(1, sizeof(*b));

	(void)ring_size;
	if (!b)
		return error_set(reterr, &error_no_memory);
	b->r = r;
	for (size_t i = 0; i < r->nblobs; i++) {
		if (strcmp(r->blobs[i].digest, digest) == 0)
			b->blob = &r->blobs[i];
	}
	assert_non_null(b->blob);
	count(r, &r->readers, 1);
	*ret = b;
	return 0;
}

static const struct fake_try *next_try(struct blob_reader *b, int64_t offset)
{
	struct fake_blob *blob = b->blob;
	const struct fake_try *t = &good;

	pthread_mutex_lock(&b->r->lock);
	if (blob->next < blob->ntries)
		t = &blob->tries[blob->next++];
	buf_appendf(&b->r->requests, "%c@%lld ", blob->name, (long long)offset);
	pthread_mutex_unlock(&b->r->lock);
	return t;
}

static int cancelled(const struct context *ctx, struct error **reterr)
{
	return error_set(reterr, error_ref(cancel_error(ctx->cancel)));
}

int blob_reader_seek(struct blob_reader *b, const struct context *ctx, int64_t offset,
	int64_t *ret_size, struct error **reterr)
{
	const struct fake_try *t;

	b->now = NULL;
	if (cancel_fired(ctx->cancel))
		return cancelled(ctx, reterr);
	/* One scripted try is both requests that the original sends for it (see ask_blob): the
	 * second one fails as the first. */
	if (offset == 0 && b->failed) {
		t = b->failed;
		b->failed = NULL;
		return error_set(reterr, error_ref(t->open_error));
	}
	t = next_try(b, offset);
	while (t->gate && !atomic_load(t->gate)) {
		if (context_sleep(ctx, 1) < 0)
			return cancelled(ctx, reterr);
	}
	if (t->open_error) {
		b->failed = offset == 0 ? t : NULL;
		return error_set(reterr, error_ref(t->open_error));
	}
	if (offset > 0 && t->ignore_range)
		return error_set(reterr, &err_wrong_code_for_byte_range);
	b->data = t->data ? t->data : b->blob->data;
	if ((size_t)offset > b->data->size)
		return error_setf(reterr, "416");
	b->now = t;
	b->at = (size_t)offset;
	b->left = b->data->size - b->at;
	if (t->cut && t->cut < b->left)
		b->left = t->cut;
	*ret_size = t->declared ? t->declared : (int64_t)b->data->size;
	return 0;
}

ssize_t blob_reader_read(struct blob_reader *b, const struct context *ctx, void *buf, size_t size,
	struct error **reterr)
{
	assert_non_null(b->now);
	if (b->left == 0 && b->now->hang) {
		while (context_sleep(ctx, 1000) == 0)
			;
	}
	if (cancel_fired(ctx->cancel))
		return cancelled(ctx, reterr);
	if (b->left == 0)
		return b->now->cut_error ? error_set(reterr, error_ref(b->now->cut_error)) : 0;
	if (size > b->left)
		size = b->left;
	if (b->r->chunk && size > b->r->chunk)
		size = b->r->chunk;
	memcpy(buf, b->data->data + b->at, size);
	b->at += size;
	b->left -= size;
	return (ssize_t)size;
}

const char *blob_reader_url(const struct blob_reader *b)
{
	(void)b;
	return "http://fake/blob";
}

const char *blob_reader_etag(const struct blob_reader *b)
{
	(void)b;
	return NULL;
}

int64_t blob_reader_held_back_ms(const struct blob_reader *b)
{
	return b->now ? b->now->held_back_ms : 0;
}

void blob_reader_free(struct blob_reader *b)
{
	if (!b)
		return;
	count(b->r, &b->r->readers, -1);
	free(b);
}
