/* SPDX-License-Identifier: Apache-2.0 */
/* Content digests. Go counterpart: github.com/opencontainers/go-digest. */
#ifndef IMAGE_DIGEST_H
#define IMAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

struct error;

#define DIGEST_MAX 136 /* "sha512:" + 128 + NUL */

/* Digest.Validate: 0, or "invalid checksum digest format", "invalid checksum digest length",
 * "unsupported digest algorithm". size is the string's length: a NUL inside is invalid. */
int digest_validate(const char *s, size_t size, struct error **reterr);
/* The part behind the colon of a valid digest. */
const char *digest_encoded(const char *digest);
/* stringid.TruncateID: the first 12 characters of the encoded part. ret has 13 bytes or more. */
void digest_short(const char *digest, char *ret);

/* A running hash. sha256, sha384, sha512. */
struct hasher;
/* algorithm: "sha256", or a digest that begins with it. NULL: no memory or no such algorithm. */
struct hasher *hasher_new(const char *algorithm);
void hasher_write(struct hasher *h, const void *data, size_t size);
/* The digest of what was written so far; the hash can go on. "", which no digest equals, when out
 * of memory. */
void hasher_digest(struct hasher *h, char ret[DIGEST_MAX]);
struct hasher *hasher_copy(const struct hasher *h);
void hasher_reset(struct hasher *h);
void hasher_free(struct hasher *h);

/* digest.FromBytes: sha256. Returns -1 when out of memory. */
int digest_from_bytes(const void *data, size_t size, char ret[DIGEST_MAX]);
/* Does the digest (valid, any algorithm) match these bytes? */
bool digest_verify(const char *digest, const void *data, size_t size);

#endif
