/* SPDX-License-Identifier: Apache-2.0 */
/* A bench for the download manager. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakes/downloads.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "pull.h"

static void gzip(struct buf *to, const struct buf *from)
{
	z_stream s = {0};
	size_t bound = from->size + from->size / 8 + 1024;
	char *out = malloc(bound);

	assert_int_equal(deflateInit2(&s, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	s.next_in = (Bytef *)from->data;
	s.avail_in = (uInt)from->size;
	s.next_out = (Bytef *)out;
	s.avail_out = (uInt)bound;
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	buf_append(to, out, bound - s.avail_out);
	deflateEnd(&s);
	free(out);
}

/* Hard to compress, so that blobs are longer than the buffers on their way. */
static void make_tar(struct buf *tar, int blob, size_t size)
{
	uint32_t seed = 1000 + (uint32_t)blob;

	while (tar->size < size) {
		seed = seed * 1103515245 + 12345;
		buf_append_char(tar, (char)(seed >> 16));
	}
}

void bench_set_data(struct bench *b, int blob, const void *data, size_t size)
{
	buf_reset(&b->data[blob]);
	buf_append(&b->data[blob], data, size);
	assert_int_equal(digest_from_bytes(data, size, b->blobs[blob].digest), 0);
	memcpy(b->behaviours[blob].digest, b->blobs[blob].digest, DIGEST_MAX);
	b->sizes[blob] = (int64_t)size;
}

void bench_init(struct bench *b, bool staging, unsigned concurrency)
{
	static const size_t sizes[BENCH_BLOBS] = {3000, 900000, 5000, 0, 70000, 1, 2000, 1000};

	memset(b, 0, sizeof(*b));
	b->staging = staging;
	fake_repository_init(&b->repo, b->blobs, BENCH_BLOBS);
	fake_store_init(&b->store, staging);
	b->store.behaviours = b->behaviours;
	b->store.nbehaviours = BENCH_BLOBS;
	for (int i = 0; i < BENCH_BLOBS; i++) {
		struct buf z = {0};

		make_tar(&b->tars[i], i, sizes[i]);
		gzip(&z, &b->tars[i]);
		b->blobs[i].name = (char)('a' + i);
		b->blobs[i].data = &b->data[i];
		bench_set_data(b, i, z.data, z.size);
		assert_int_equal(digest_from_bytes(b->tars[i].data ? b->tars[i].data : "",
					 b->tars[i].size, b->diff_ids[i]),
			0);
		buf_free(&z);
	}
	b->config = (struct download_config){.layer_store = &b->store.table,
		.max_attempts = 5,
		.retry_tick_ms = 1,
		.pause_ms = 5,
		.retry_on_error = retry_on_error};
	b->dm = download_manager_new(&b->config, concurrency, NULL);
	assert_non_null(b->dm);
}

void bench_destroy(struct bench *b)
{
	download_manager_free(b->dm);
	fake_store_destroy(&b->store);
	fake_repository_destroy(&b->repo);
	for (int i = 0; i < BENCH_BLOBS; i++) {
		buf_free(&b->tars[i]);
		buf_free(&b->data[i]);
	}
}

void bench_set_tries(struct bench *b, int blob, const struct fake_try *tries, size_t n)
{
	b->blobs[blob].tries = tries;
	b->blobs[blob].ntries = n;
	b->blobs[blob].next = 0;
}

struct fake_behaviour *bench_behaviour(struct bench *b, int blob, enum fake_stage stage, size_t at)
{
	b->behaviours[blob].stage = stage;
	b->behaviours[blob].at = at;
	return &b->behaviours[blob];
}

/* ---- pulls */

static int blob_of_id(const struct bench *b, const char *id)
{
	char want[16];

	for (int i = 0; i < BENCH_BLOBS; i++) {
		digest_short(b->blobs[i].digest, want);
		if (strcmp(id, want) == 0)
			return i;
	}
	fail_msg("no blob has the ID %s", id);
	return 0;
}

static int blob_of_digest(const struct bench *b, const char *digest)
{
	int i = 0;

	while (strcmp(b->blobs[i].digest, digest) != 0)
		i++;
	return i;
}

/* The number that the last line ends with; 0 if it is no countdown. */
static int last_number(const struct buf *b)
{
	size_t i = b->size;

	if (i < 2)
		return 0;
	for (i--; i > 0 && b->data[i - 1] >= '0' && b->data[i - 1] <= '9'; i--)
		;
	return atoi(b->data + i);
}

static void add_line(struct buf *to, const char *line)
{
	int n;

	if (sscanf(line, "Retrying in %d second", &n) != 1) {
		buf_appendf(to, "%s\n", line);
		return;
	}
	assert_true(strcmp(line + strlen(line) - 7, "seconds") == 0 || n == 1);
	if (last_number(to) == n + 1) {
		to->size--;
		buf_appendf(to, ",%d\n", n);
	} else {
		buf_appendf(to, "Retrying %d\n", n);
	}
}

static void on_progress(void *arg, const struct progress *p)
{
	struct bench_pull *pull = arg;
	int i = blob_of_id(pull->bench, p->id);
	struct buf *to = &pull->layer[i];

	if (strcmp(p->action, "Downloading") == 0 || strcmp(p->action, "Extracting") == 0) {
		char line[32];

		snprintf(line, sizeof(line), "%s\n", p->action);
		if (!to->data || !str_has_suffix(to->data, line))
			buf_append_str(to, line);
		buf_appendf(&pull->bytes[i], "%s %lld/%lld%s\n", p->action, (long long)p->current,
			(long long)p->total, p->last_update ? " last" : "");
	} else if (strcmp(p->action, "Pulling fs layer") == 0 ||
		   strcmp(p->action, "Already exists") == 0) {
		buf_appendf(&pull->lines, "%c %s\n", 'a' + i, p->action);
	} else {
		add_line(to, p->action);
	}
}

static void on_log(void *arg, enum log_level level, const char *text)
{
	struct bench_pull *pull = arg;

	if (level != LOG_LEVEL_DEBUG)
		buf_appendf(&pull->logs, "%c %s\n", "EWID"[level], text);
}

static int known_diff_id(void *arg, const char *digest, char ret[DIGEST_MAX])
{
	struct bench_pull *p = arg;
	int i = blob_of_digest(p->bench, digest);

	if (!p->bench->known[i])
		return -1;
	memcpy(ret, p->bench->diff_ids[i], DIGEST_MAX);
	return 0;
}

static void on_registered(void *arg, const char *digest, const char *diff_id)
{
	struct bench_pull *p = arg;

	(void)diff_id;
	buf_append_char(&p->registered, (char)('a' + blob_of_digest(p->bench, digest)));
}

void bench_pull_init(struct bench_pull *p, struct bench *b, const char *names)
{
	struct output_handler h = {.progress = on_progress, .log = on_log, .arg = p};

	memset(p, 0, sizeof(*p));
	p->bench = b;
	p->names = names;
	p->cancel = cancel_new(NULL);
	p->ctx = (struct context){.cancel = p->cancel};
	p->output = output_new(&h, NULL);
	assert_true(p->cancel && p->output);
}

static void take_rootfs(struct bench_pull *p, const struct rootfs *r)
{
	p->ndiff_ids = r->ndiff_ids;
	for (size_t i = 0; i < r->ndiff_ids; i++)
		snprintf(p->diff_ids[i], DIGEST_MAX, "%s", r->diff_ids[i]);
}

void bench_pull_run(struct bench_pull *p)
{
	struct bench *b = p->bench;
	struct download_descriptor desc[64];
	struct download *d = NULL;
	size_t n = strlen(p->names);
	int r;

	for (size_t i = 0; i < n; i++) {
		int blob = p->names[i] - 'a';

		desc[i] = (struct download_descriptor){.digest = b->blobs[blob].digest,
			.media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip",
			.size = b->sizes[blob],
			.diff_id = known_diff_id,
			.registered = on_registered,
			.arg = p};
	}
	r = download_begin(b->dm, &p->ctx, &b->repo, desc, n, p->output, &d, &p->err);
	while (r == 0) {
		r = download_step(d, &p->err);
		if (r == 0)
			output_wait(p->output, 20);
		if (p->cancel_when && p->cancel_when(p))
			cancel_fire(p->cancel, &err_context_canceled);
	}
	p->ok = r == 1;
	if (p->ok)
		take_rootfs(p, download_rootfs(d));
	download_end(d);
	output_pump(p->output);
	output_close(p->output);
}

void bench_pull_destroy(struct bench_pull *p)
{
	output_unref(p->output);
	cancel_unref(p->cancel);
	error_unref(p->err);
	buf_free(&p->lines);
	buf_free(&p->logs);
	buf_free(&p->registered);
	for (int i = 0; i < BENCH_BLOBS; i++) {
		buf_free(&p->layer[i]);
		buf_free(&p->bytes[i]);
	}
}

void expect_text(const char *what, const char *got, const char *want)
{
	if (strcmp(got ? got : "", want) != 0)
		fail_msg("%s:\n--- wanted\n%s\n--- got\n%s", what, want, got ? got : "");
}

void expect_result(const struct bench_pull *p, const char *error)
{
	const char *got = p->err ? p->err->message : NULL;

	if (p->ok != !error || (error && (!got || strcmp(error, got) != 0)))
		fail_msg("pull of %s (%s store): wanted %s, got %s, logs:\n%s", p->names,
			p->bench->staging ? "staging" : "plain", error ? error : "success",
			got ? got : "success", p->logs.data ? p->logs.data : "");
	if (!p->ok)
		return;
	assert_int_equal(p->ndiff_ids, strlen(p->names));
	for (size_t i = 0; i < p->ndiff_ids; i++)
		expect_text(p->names, p->diff_ids[i], p->bench->diff_ids[p->names[i] - 'a']);
}
