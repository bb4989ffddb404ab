/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random numbers for property tests: the same inputs in every run. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline size_t random_below(uint64_t *state, size_t n)
{
	return (size_t)(random_next(state) % n);
}

/* A text of up to max pieces of the list, in a buffer of size bytes; what does not fit is left out.
 */
static inline void random_text(uint64_t *state, const char *const *pieces, size_t npieces,
	size_t max, char *ret, size_t size)
{
	size_t n = random_below(state, max + 1), used = 0;

	ret[0] = '\0';
	while (n--) {
		const char *piece = pieces[random_below(state, npieces)];
		size_t length = strlen(piece);

		if (used + length + 1 > size)
			return;
		memcpy(ret + used, piece, length + 1);
		used += length;
	}
}

#endif
