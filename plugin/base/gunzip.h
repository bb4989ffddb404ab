/* SPDX-License-Identifier: Apache-2.0 */
/* gzip, all members, every checksum. Go counterpart: compress/gzip Reader. Used by decompress.c. */
#ifndef BASE_GUNZIP_H
#define BASE_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/* What a codec works on: it moves the pointers as it goes. */
struct codec_io {
	const unsigned char *in;
	size_t in_size;
	unsigned char *out;
	size_t out_size;
	bool finish; /* in is the end of the input */
};

struct gunzip;
struct gunzip *gunzip_new(struct error **reterr);
/* As decompressor_run. */
int gunzip_run(struct gunzip *g, struct codec_io *io, struct error **reterr);
/* The first member's header was read. */
bool gunzip_started(const struct gunzip *g);
void gunzip_free(struct gunzip *g);

#endif
