/* SPDX-License-Identifier: Apache-2.0 */
/* A repository made of scripted blobs, linked in place of registry/repository.c and blob.c. */
#ifndef FAKES_BLOBS_H
#define FAKES_BLOBS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "image/digest.h"
#include "registry/repository.h"

/* How one request is answered. Zeros: as it should be. */
struct fake_try {
	struct error *open_error; /* in place of an answer; borrowed */
	bool ignore_range;        /* a whole answer to a Range */
	const struct buf *data;   /* other bytes than the blob's */
	int64_t declared;         /* the size it says; -1: none */
	size_t cut;               /* it breaks off after so many bytes ... */
	struct error *cut_error;  /* ... with this; NULL: by a clean end */
	bool hang;                /* ... or not at all: silence, until the reader is cancelled */
	atomic_bool *gate;        /* the answer comes once this is true */
	int64_t held_back_ms;
};

struct fake_blob {
	char name; /* in request logs */
	char digest[DIGEST_MAX];
	const struct buf *data;
	const struct fake_try *tries; /* requests beyond them are answered well */
	size_t ntries;
	size_t next;
};

struct repository {
	struct fake_blob *blobs;
	size_t nblobs;
	size_t chunk;         /* the most that one read gives; 0: no limit */
	pthread_mutex_t lock; /* guards requests, refs, and next of each blob */
	struct buf requests;  /* "a@0 b@0 a@300 " */
	int refs, readers;
};

void fake_repository_init(struct repository *r, struct fake_blob *blobs, size_t nblobs);
void fake_repository_destroy(struct repository *r); /* fails if something was not freed */
/* Was this asked for? */
bool fake_repository_saw(struct repository *r, const char *request);

#endif
