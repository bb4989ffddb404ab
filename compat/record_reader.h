/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the confined unpacker (record.h), taken for what they are: the bytes of a stranger who
 * may have taken over the process that sends them. Every length, number, name and order is checked
 * here; names and links are resolved later, by untar.c, as those of any tar. No Go counterpart. */
#ifndef COMPAT_RECORD_READER_H
#define COMPAT_RECORD_READER_H

#include <sys/types.h>

#include "image/digest.h"
#include "tar_reader.h"

struct error;

struct record_source {
	void *arg;
	/* Up to size bytes: how many (> 0), or -1. */
	ssize_t (*read)(void *arg, void *buf, size_t size, struct error **reterr);
	/* Was the unpacker given all of the blob? It may end only then. */
	bool (*given)(void *arg);
	bool (*failed)(void *arg); /* as tar_members.source_failed */
};

struct record_reader;
/* max: bytes of tar; 0: any number. source outlives it. */
int record_reader_new(const struct record_source *source, uint64_t max, struct record_reader **ret,
	struct error **reterr);
void record_reader_free(struct record_reader *r); /* NULL is allowed */
void record_reader_members(struct record_reader *r, struct tar_members *ret);
/* The tar is larger than max. */
bool record_reader_over(const struct record_reader *r);
/* After drain: the digest of the tar's bytes as they came. "" where there was no memory. */
void record_reader_digest(const struct record_reader *r, char ret[DIGEST_MAX]);

#endif
