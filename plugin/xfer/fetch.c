/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: v2LayerDescriptor.Download of distribution/pull_v2.go, and the loop around it in
 * distribution/xfer/download.go */
#include "xfer/fetch.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "image/digest.h"

#define RETRY_DELAY_TICKS 5
/* A sink that keeps the connection paused for long (pause_ms) may be why the other end closes it,
 * once what had been sent before (in our ring and in the kernel's) was read. */
#define PAUSE_BYTES (8 << 20)
/* Connections that were left for being too slow and cost no try. */
#define SLOW_RECONNECTS 3

/* What was asked for again from further back (truncateDownloadFile in the original, which throws
 * away its file) is hashed up to pos and compared there: the sink's state outlives it. */
struct blob {
	const struct blob_config *c;
	struct blob_reader *reader;
	struct partial *partial; /* keeps them for another process; NULL: nothing does */
	struct hasher *hash;     /* of the bytes that the sink has */
	int64_t pos;             /* how many they are */
	int64_t at;              /* where the next byte belongs: pos, or before it */
	struct hasher *again;    /* if at < pos: of the bytes before at, as they came lately */
	int64_t size;            /* as the registry gives it; 0: not known */
	int64_t since_pause;     /* bytes read since the last long pause; -1: there was none */
	bool resume_now;         /* the connection died of a pause, or was too slow: no failure */
	unsigned nslow;          /* how often it was */
};

/* One request's answer. */
struct answer {
	int64_t offset; /* where it begins */
	struct progress_reader progress;
	bool too_long;
};

/* ---- progress.Reader */

#define UPDATE_EVERY (512 * 1024)
#define UPDATE_MS 100

void progress_reader_init(struct progress_reader *r, int64_t size)
{
	*r = (struct progress_reader){.size = size, .allowed_ms = -UPDATE_MS};
}

static bool update_progress(struct progress_reader *r, bool last)
{
	int64_t now;

	if (last || r->current == r->size)
		return true;
	now = monotonic_ms();
	if (now - r->allowed_ms < UPDATE_MS)
		return false;
	r->allowed_ms = now;
	return true;
}

bool progress_reader_read(struct progress_reader *r, size_t n, bool *ret_last)
{
	int64_t every = UPDATE_EVERY;

	*ret_last = n == 0;
	r->current += (int64_t)n;
	if (r->size > 0 && r->size / 100 < every)
		every = r->size / 100;
	if (r->current - r->last_update <= every && n > 0)
		return false;
	r->last_update = r->current;
	return update_progress(r, n == 0);
}

bool progress_reader_close(struct progress_reader *r)
{
	if (r->current >= r->size)
		return false;
	r->current = r->size;
	return update_progress(r, false);
}

static void show(const struct blob *b, const struct progress_reader *p, bool last)
{
	transfer_bytes(b->c->transfer, b->c->id, "Downloading", p->current, p->size, last);
}

static void show_read(const struct blob *b, struct progress_reader *p, size_t n)
{
	bool last;

	if (progress_reader_read(p, n, &last))
		show(b, p, last);
}

/* ---- taking the bytes */

/* The next request is for the blob's beginning. */
static int ask_from_start(struct blob *b, struct error **reterr)
{
	b->at = 0;
	if (b->pos == 0)
		return 0;
	if (b->again)
		hasher_reset(b->again);
	else
		b->again = hasher_new(b->c->digest);
	return b->again ? 0 : error_set(reterr, &error_no_memory);
}

/* What the sink has is void as well. As the sink's functions. */
static int start_over(struct blob *b, struct error **reterr)
{
	int r = 0;

	if (b->pos > 0)
		r = b->c->sink.restart(b->c->sink.arg, reterr);
	b->pos = 0;
	b->at = 0;
	hasher_free(b->again);
	b->again = NULL;
	hasher_reset(b->hash);
	partial_reset(b->partial);
	return r;
}

static int write_sink(struct blob *b, const void *data, size_t size, struct error **reterr)
{
	int64_t before = monotonic_ms();
	int r = b->c->sink.write(b->c->sink.arg, data, size, reterr);

	if (monotonic_ms() - before >= b->c->pause_ms)
		b->since_pause = 0;
	if (r != 0)
		return r;
	hasher_write(b->hash, data, size);
	b->pos += (int64_t)size;
	b->at = b->pos;
	return 0;
}

/* The next bytes of an answer, for the sink. */
static int write_new(struct blob *b, const void *data, size_t size, struct error **reterr)
{
	int r = write_sink(b, data, size, reterr);

	if (r == 0)
		partial_write(b->partial, data, size, b->hash);
	return r;
}

/* What an earlier process has left. As write_sink. */
static int write_old(struct blob *b, struct error **reterr)
{
	const char *expected;
	char digest[DIGEST_MAX];
	int64_t n = 0, offset;
	int r = 0;

	b->partial =
		partial_open(b->c->partial, b->c->digest, b->c->size, transfer_log(b->c->transfer));
	if (!b->partial)
		return 0;
	offset = partial_offset(b->partial, &expected);
	while (r == 0 && b->pos < offset && !cancel_fired(b->c->ctx->cancel)) {
		n = partial_read(b->partial, b->c->buffer, b->c->buffer_size);
		if (n <= 0)
			break;
		r = write_sink(b, b->c->buffer, (size_t)n, reterr);
	}
	if (r != 0 || cancel_fired(b->c->ctx->cancel))
		return r;
	hasher_digest(b->hash, digest);
	if (offset && (n < 0 || strcmp(digest, expected) != 0)) {
		log_warning(transfer_log(b->c->transfer),
			"what was kept of \"%s\" is damaged, starting over", b->c->digest);
		return start_over(b, reterr);
	}
	return 0;
}

/* b->at has come to b->pos. 0, or 2: what the sink has is not what came now. */
static int check_again(struct blob *b)
{
	char have[DIGEST_MAX], again[DIGEST_MAX];

	hasher_digest(b->hash, have);
	hasher_digest(b->again, again);
	hasher_free(b->again);
	b->again = NULL;
	return have[0] && strcmp(have, again) == 0 ? 0 : 2;
}

/* As the sink's write, or 2: see check_again. */
static int take(
	struct blob *b, struct answer *a, const char *data, size_t size, struct error **reterr)
{
	int64_t limit = b->c->size;

	if (limit >= 0 && (int64_t)size > limit - b->at) {
		a->too_long = true;
		size = (size_t)(limit - b->at);
	}
	if (b->again) {
		size_t n = (int64_t)size < b->pos - b->at ? size : (size_t)(b->pos - b->at);

		hasher_write(b->again, data, n);
		b->at += (int64_t)n;
		data += n;
		size -= n;
		if (b->at == b->pos && check_again(b) != 0)
			return 2;
	}
	return size ? write_new(b, data, size, reterr) : 0;
}

/* The bytes that the manifest promises are here and are the right ones. */
static bool have_all(const struct blob *b)
{
	char digest[DIGEST_MAX];

	if (b->again || b->pos != b->c->size)
		return false;
	hasher_digest(b->hash, digest);
	return strcmp(digest, b->c->digest) == 0;
}

/* Reads the answer to its end. 0; 1: the sink ended it; 2: see check_again; -1. */
static int copy(struct blob *b, struct answer *a, struct error **reterr)
{
	const struct blob_config *c = b->c;

	while (!a->too_long) {
		struct error *err = NULL;
		ssize_t n = blob_reader_read(b->reader, c->ctx, c->buffer, c->buffer_size, &err);
		int r;

		show_read(b, &a->progress, n > 0 ? (size_t)n : 0);
		if (n < 0) {
			if (!cancel_fired(c->ctx->cancel) && have_all(b)) {
				error_unref(err);
				return 0;
			}
			b->resume_now = b->since_pause >= 0 && b->since_pause < PAUSE_BYTES &&
					blob_reader_held_back_ms(b->reader) >= c->pause_ms &&
					a->progress.current > 0;
			if (err == &err_too_slow && b->nslow++ < SLOW_RECONNECTS)
				b->resume_now = true;
			return error_set(reterr, err);
		}
		if (n == 0)
			return 0;
		if (b->since_pause >= 0)
			b->since_pause += n;
		r = take(b, a, c->buffer, (size_t)n, reterr);
		if (r != 0)
			return r;
	}
	return 0;
}

/* ---- one try */

/* 0; 2: these are the right bytes, but the sink has others; -1: the try's error. */
static int verify(struct blob *b, const struct answer *a, struct error **reterr)
{
	const struct blob_config *c = b->c;
	char digest[DIGEST_MAX];

	/* again: an answer that ended before where the last one had broken off */
	hasher_digest(b->again ? b->again : b->hash, digest);
	if (!*digest)
		return error_set(reterr, &error_no_memory);
	if (b->again && strcmp(digest, c->digest) == 0)
		return 2;
	transfer_update(c->transfer, c->id, "Verifying Checksum");
	if (strcmp(digest, c->digest) != 0) {
		struct error *err = error_plainf(
			"filesystem layer verification failed for digest %s", c->digest);

		log_error(transfer_log(c->transfer), "%s", err->message);
		partial_reset(b->partial);
		/* damage may come of the resuming */
		if (a->offset == 0)
			err = error_wrap(ERROR_DO_NOT_RETRY, err);
		return error_set(reterr, err);
	}
	if (c->size >= 0 && (a->too_long || b->at != c->size))
		return error_set(
			reterr, error_wrap(ERROR_DO_NOT_RETRY,
					error_plainf("layer %s has %s than the %lld bytes of its "
						     "descriptor",
						c->digest, a->too_long ? "more" : "less",
						(long long)c->size)));
	transfer_update(c->transfer, c->id, "Download complete");
	return 0;
}

/* The first request of a try. Without an offset the original seeks to the blob's end to learn its
 * size, and a failure of that costs nothing: the first read asks once more, with the size unknown.
 * So one connection that breaks is no failed try. */
static int ask_blob(struct blob *b, int64_t offset, int64_t *ret_size, struct error **reterr)
{
	const struct blob_config *c = b->c;
	struct error *err = NULL;

	if (blob_reader_seek(b->reader, c->ctx, offset, ret_size, &err) == 0)
		return 0;
	if (offset > 0 || cancel_fired(c->ctx->cancel))
		return error_set(reterr, err);
	error_unref(err);
	if (blob_reader_seek(b->reader, c->ctx, offset, ret_size, reterr) < 0)
		return -1;
	*ret_size = 0;
	return 0;
}

/* Sends the request. */
static int open_answer(struct blob *b, struct answer *a, struct error **reterr)
{
	const struct blob_config *c = b->c;
	struct error *err = NULL;
	int r;
	int64_t size;

	*a = (struct answer){.offset = b->at};
	b->since_pause = -1;
	if (a->offset)
		log_debug(transfer_log(c->transfer),
			"attempting to resume download of \"%s\" from %lld bytes", c->digest,
			(long long)a->offset);
	r = ask_blob(b, a->offset, &size, &err);
	if (c->asked)
		atomic_store(c->asked, true);
	if (r < 0) {
		if (a->offset == 0)
			return error_set(reterr, c->retry_on_error(err));
		if (ask_from_start(b, reterr) < 0) {
			error_unref(err);
			return -1;
		}
		return error_set(reterr, err);
	}
	if (size > 0 && a->offset > size) {
		log_debug(transfer_log(c->transfer),
			"Partial download is larger than full blob. Starting over");
		return ask_from_start(b, reterr) < 0 ? -1 : open_answer(b, a, reterr);
	}
	b->size = size > 0 ? size : 0;
	partial_from(b->partial, blob_reader_url(b->reader), blob_reader_etag(b->reader));
	progress_reader_init(&a->progress, b->size ? b->size - a->offset : 0);
	return 0;
}

/* A whole answer was judged. As blob_fetch, or 2: another request, at once. */
static int judge(struct blob *b, const struct answer *a, struct error **reterr)
{
	struct error *err = NULL, *restart_err = NULL;
	int r = verify(b, a, &err), over;

	if (r >= 0)
		return r;
	if (err->kind != ERROR_DO_NOT_RETRY) {
		over = start_over(b, &restart_err);
		if (over > 0) {
			error_unref(err);
			return over;
		}
		if (over < 0) {
			error_unref(err);
			err = error_wrap(ERROR_DO_NOT_RETRY, restart_err);
		}
	}
	return error_set(reterr, err);
}

/* One request and its answer. As blob_fetch, or 2: another request, at once. */
static int ask(struct blob *b, struct error **reterr)
{
	const struct blob_config *c = b->c;
	struct answer a;
	struct error *err = NULL;
	int r;

	/* an earlier process had the last byte, but no time for it */
	if (b->pos > 0 && have_all(b)) {
		if (c->asked)
			atomic_store(c->asked, true);
		a = (struct answer){.offset = b->pos};
		return judge(b, &a, reterr);
	}
	if (open_answer(b, &a, reterr) < 0)
		return -1;
	r = copy(b, &a, &err);
	if (progress_reader_close(&a.progress))
		show(b, &a.progress, false);
	if (r < 0)
		return error_set(reterr, c->retry_on_error(err));
	if (r == 0)
		r = judge(b, &a, reterr);
	if (r == 2) {
		r = start_over(b, reterr);
		r = r == 0 ? 2 : r;
	}
	return r;
}

/* DownloadDescriptor.Download. */
static int try_once(struct blob *b, struct error **reterr)
{
	const struct blob_config *c = b->c;
	struct error *err = NULL;
	int r;

	log_debug(transfer_log(c->transfer), "pulling blob \"%s\"", c->digest);
	if (!b->reader &&
		repository_blob_open(c->repo, c->digest, c->ring_size, &b->reader, &err) < 0) {
		log_error(transfer_log(c->transfer), "Error initiating layer download: %s",
			err->message);
		return error_set(reterr, c->retry_on_error(err));
	}
	do {
		b->resume_now = false;
		err = NULL;
		r = ask(b, &err);
		if (r < 0 && b->resume_now && !cancel_fired(c->ctx->cancel)) {
			log_debug(transfer_log(c->transfer),
				"connection lost, going on at once: %s", err->message);
			error_unref(err);
			r = 2;
		}
	} while (r == 2 && !cancel_fired(c->ctx->cancel));
	if (r == 2)
		return error_set(reterr, error_ref(cancel_error(c->ctx->cancel)));
	return r < 0 ? error_set(reterr, err) : r;
}

/* ---- the loop of makeDownloadFunc */

static bool is_final(const struct error *err)
{
	return err->kind == ERROR_DO_NOT_RETRY || err == &error_no_memory;
}

static int count_down(const struct blob_config *c, unsigned delay, struct error **reterr)
{
	char line[64];

	for (; delay > 0; delay--) {
		snprintf(line, sizeof(line), "Retrying in %u second%s", delay,
			delay == 1 ? "" : "s");
		transfer_update(c->transfer, c->id, line);
		if (context_sleep(c->ctx, c->retry_tick_ms) < 0)
			return error_setf(reterr, "download cancelled during retry delay");
	}
	return 0;
}

static int fetch(struct blob *b, struct error **reterr)
{
	const struct blob_config *c = b->c;
	unsigned retries = 0;

	for (;;) {
		struct error *err = NULL;
		int r = try_once(b, &err);

		if (r >= 0)
			return r;
		if (cancel_fired(c->ctx->cancel))
			return error_set(reterr, err);
		retries++;
		if (is_final(err) || retries >= atomic_load(c->max_attempts)) {
			log_error(transfer_log(c->transfer), "Download failed: %s", err->message);
			return error_set(reterr, err);
		}
		log_error(transfer_log(c->transfer), "Download failed, retrying: %s", err->message);
		error_unref(err);
		if (count_down(c, retries * RETRY_DELAY_TICKS, reterr) < 0)
			return -1;
	}
}

int blob_fetch(const struct blob_config *config, int64_t *ret_size, struct error **reterr)
{
	struct blob b = {.c = config, .hash = hasher_new(config->digest)};
	int r;

	if (!b.hash)
		return error_set(reterr, &error_no_memory);
	r = write_old(&b, reterr);
	if (r == 0)
		r = fetch(&b, reterr);
	if (r == 0)
		*ret_size = b.size;
	partial_close(b.partial, b.hash, r >= 0);
	blob_reader_free(b.reader);
	hasher_free(b.again);
	hasher_free(b.hash);
	return r;
}
