/* SPDX-License-Identifier: Apache-2.0 */
/* A fast checksum of file contents. Go counterpart: none (tar-split has CRC64). */
#include "config.h"

#include <endian.h>
#include <string.h>

#include "tar_headers.h"

#define K1 0x9e3779b97f4a7c15u
#define K2 0xd6e8feb86659fd93u

static inline uint64_t load(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* One to one in the lane and in the word, so no change of a single word is lost. */
static inline uint64_t mix(uint64_t lane, uint64_t word)
{
	lane = (lane ^ word) * K1;
	return lane << 29 | lane >> 35;
}

static void block(uint64_t lane[4], const unsigned char *p)
{
	for (int i = 0; i < 4; i++)
		lane[i] = mix(lane[i], load(p + 8 * i));
}

void data_sum_add(struct data_sum *s, const void *data, size_t size)
{
	const unsigned char *p = data;
	size_t have = s->size % sizeof(s->tail);
	uint64_t lane[4];

	s->size += size;
	if (have) {
		size_t n = sizeof(s->tail) - have < size ? sizeof(s->tail) - have : size;

		memcpy(s->tail + have, p, n);
		p += n;
		size -= n;
		if (have + n < sizeof(s->tail))
			return;
		block(s->lane, s->tail);
	}
	memcpy(lane, s->lane, sizeof(lane));
	for (; size >= sizeof(s->tail); p += sizeof(s->tail), size -= sizeof(s->tail))
		block(lane, p);
	memcpy(s->lane, lane, sizeof(lane));
	if (size)
		memcpy(s->tail, p, size);
}

uint64_t data_sum_value(const struct data_sum *s)
{
	size_t have = s->size % sizeof(s->tail);
	unsigned char tail[sizeof(s->tail)] = {0};
	uint64_t lane[4], v = s->size;

	memcpy(lane, s->lane, sizeof(lane));
	memcpy(tail, s->tail, have);
	block(lane, tail);
	for (int i = 0; i < 4; i++) {
		v = mix(v, lane[i]);
		v ^= v >> 31;
		v *= K2;
	}
	return v ^ v >> 29;
}
