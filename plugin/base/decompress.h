/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming decompression: gzip (all members, CRC and length checked), zstd, bzip2, xz, none; told
 * by the first bytes. Go counterpart: pkg/archive DecompressStream. */
#ifndef BASE_DECOMPRESS_H
#define BASE_DECOMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct decompressor;
/* memory_limit: for zstd and xz windows, bytes; 0: the default, 128 MiB (zstd's window up to 2^27).
 */
struct decompressor *decompressor_new(uint64_t memory_limit, struct error **reterr);
/* Consume some of in, produce some of out. *in_used and *out_used say how much. finish: in is the
 * end of the input. Returns 1 when the stream is complete (all members, nothing behind it but zero
 * padding), 0 when it wants more input or room, -1 on an error, in the original's words where it
 * has some ("unexpected EOF", "gzip: invalid checksum", "flate: corrupt input before offset N"...).
 * Its state is independent of how the input is cut, but for that N with ISA-L, which reads ahead.
 */
int decompressor_run(struct decompressor *d, const void *in, size_t in_size, size_t *in_used,
	void *out, size_t out_size, size_t *out_used, bool finish, struct error **reterr);
/* The kind is known and, of gzip, the first header was read. Before that, an error is one of
 * archive.DecompressStream itself: "could not get decompression stream: ...". */
bool decompressor_started(const struct decompressor *d);
void decompressor_free(struct decompressor *d);

#endif
