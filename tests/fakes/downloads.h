/* SPDX-License-Identifier: Apache-2.0 */
/* A bench for the download manager: scripted blobs, a store of either kind, pulls, and what they
 * said. */
#ifndef FAKES_DOWNLOADS_H
#define FAKES_DOWNLOADS_H

#include "fakes/blobs.h"
#include "fakes/layer_store.h"
#include "xfer/download.h"

#define BENCH_BLOBS 8

struct bench {
	bool staging;
	struct repository repo;
	struct fake_blob blobs[BENCH_BLOBS]; /* "a", "b", ... */
	struct buf tars[BENCH_BLOBS], data[BENCH_BLOBS];
	char diff_ids[BENCH_BLOBS][DIGEST_MAX];
	int64_t sizes[BENCH_BLOBS]; /* as the manifest has them */
	bool known[BENCH_BLOBS];    /* to the metadata store */
	struct fake_behaviour behaviours[BENCH_BLOBS];
	struct fake_store store;
	struct download_config config;
	struct download_manager *dm;
};

void bench_init(struct bench *b, bool staging, unsigned concurrency);
void bench_destroy(struct bench *b);
/* Other bytes for a blob, its digest as well. */
void bench_set_data(struct bench *b, int blob, const void *data, size_t size);
void bench_set_tries(struct bench *b, int blob, const struct fake_try *tries, size_t n);
struct fake_behaviour *bench_behaviour(struct bench *b, int blob, enum fake_stage stage, size_t at);

/* One pull of the blobs named by a string such as "aba", bottom first. */
struct bench_pull {
	struct bench *bench;
	const char *names;
	struct cancel *cancel;
	struct context ctx;
	struct output *output;
	struct buf lines; /* those that the pull itself writes, "a Pulling fs layer\n" */
	struct buf layer[BENCH_BLOBS]; /* the rest, per blob; byte counts are only named once in a
					  row, countdowns are shortened: "Retrying 5,4,3,2,1\n" */
	struct buf bytes[BENCH_BLOBS]; /* "Downloading 5/10\n" */
	struct buf logs;               /* "E text\n", no debug lines */
	struct buf registered;         /* "a" for each that was registered */
	struct error *err;
	bool ok;
	/* Asked in every round; true: cancel. */
	bool (*cancel_when)(struct bench_pull *p);
	char diff_ids[64][DIGEST_MAX];
	size_t ndiff_ids;
};
void bench_pull_init(struct bench_pull *p, struct bench *b, const char *names);
void bench_pull_run(struct bench_pull *p);
void bench_pull_destroy(struct bench_pull *p);

/* Fail with what it was about, what was wanted and what there is. */
void expect_text(const char *what, const char *got, const char *want);
void expect_result(const struct bench_pull *p, const char *error); /* NULL: it went well */

#endif
