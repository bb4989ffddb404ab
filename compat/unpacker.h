/* SPDX-License-Identifier: Apache-2.0 */
/* The confined unpacker, as whoever needs a tar read sees it: a program (unpack_main.c) in a
 * process of its own decodes the bytes and reads the tar in them; what it may do to this process is
 * to send records (record_reader.h). No Go counterpart: the original reads layers in a process of
 * its own too (pkg/chrootarchive), but that one has all rights and makes the files. */
#ifndef COMPAT_UNPACKER_H
#define COMPAT_UNPACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "image/digest.h"

struct error;
struct image_pull_reader;
struct tar_members;

struct unpacker_options {
	const char *program; /* absolute */
	/* The bytes; decoded there unless they are tar already. Nothing is started before the first
	 * of them has come. */
	const struct image_pull_reader *reader;
	bool tar;
	uint64_t max_unpacked; /* bytes of tar; 0: any number */
	/* So long it may neither take what it is given nor say anything, before it counts as hung:
	 * waiting for the reader is not its fault. 0: a minute. */
	unsigned stall_ms;
};

struct unpacker;
/* -1: that program can't be run. For one thread, which must live as long as the unpacker. */
int unpacker_new(
	const struct unpacker_options *options, struct unpacker **ret, struct error **reterr);
/* Kills it if it still runs, and waits for it. NULL is allowed. */
void unpacker_free(struct unpacker *u);
/* For untar(); lives as long as u. */
const struct tar_members *unpacker_members(const struct unpacker *u);
/* The tar is larger than max_unpacked. */
bool unpacker_over(const struct unpacker *u);
/* After untar() went well: the digest of the tar, hashed here. */
int unpacker_diff_id(const struct unpacker *u, char ret[DIGEST_MAX], struct error **reterr);

#endif
