/* SPDX-License-Identifier: Apache-2.0 */
/* Layer stores of both kinds that keep what they get in memory and misbehave as they are told. */
#ifndef FAKES_LAYER_STORE_H
#define FAKES_LAYER_STORE_H

#include <pthread.h>

#include "base/buf.h"
#include "image/digest.h"
#include "image_pull.h"

enum fake_stage {
	FAKE_READ_ALL,
	FAKE_STOP,   /* succeed after at bytes */
	FAKE_HAS_IT, /* the same, giving the diff ID */
	FAKE_FAIL,   /* fail after at bytes */
	FAKE_FAIL_COMMIT,
};

/* How it treats one blob. */
struct fake_behaviour {
	char digest[DIGEST_MAX];
	enum fake_stage stage;
	size_t at;
	int code; /* of the failure */
	const char *message;
	unsigned wait_ms; /* for so long before the first read of each call, and after at bytes */
	char diff_id[DIGEST_MAX];
};

struct fake_store {
	struct image_pull_layer_store table;
	const struct fake_behaviour *behaviours;
	size_t nbehaviours;
	pthread_mutex_t lock;        /* guards what follows */
	struct buf commits;          /* "parent diff" in lines, 8 characters of each */
	char chains[64][DIGEST_MAX]; /* layers that are there */
	size_t nchains;
	int holds, handles, stages, max_handles;
};

void fake_store_init(struct fake_store *s, bool staging);
void fake_store_destroy(struct fake_store *s); /* fails if a hold or a handle is left */
void fake_store_add(struct fake_store *s, const char *chain_id);

#endif
