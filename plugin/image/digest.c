/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: github.com/opencontainers/go-digest (digest.go, algorithm.go, verifiers.go). */
#include "image/digest.h"

#include <gcrypt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

static const struct algorithm {
	const char *name;
	int gcry;
	size_t encoded_size; /* hex characters */
} algorithms[] = {
	{"sha256", GCRY_MD_SHA256, 64},
	{"sha384", GCRY_MD_SHA384, 96},
	{"sha512", GCRY_MD_SHA512, 128},
};

struct hasher {
	const struct algorithm *algorithm;
	gcry_md_hd_t md;
};

static pthread_once_t gcrypt_once = PTHREAD_ONCE_INIT;

/* libgcrypt belongs to the whole process: whoever comes first initialises it, and secure memory,
 * which hashing does not need, is left to the host. */
static void gcrypt_init(void)
{
	if (!gcry_control(GCRYCTL_ANY_INITIALIZATION_P))
		(void)gcry_check_version(
			NULL); /* only answers NULL for a version that is asked for */
}

static void gcrypt_ready(void)
{
	pthread_once(&gcrypt_once, gcrypt_init);
}

static const struct algorithm *algorithm_find(const char *name, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (strlen(algorithms[i].name) == size && !memcmp(algorithms[i].name, name, size))
			return &algorithms[i];
	return NULL;
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* DigestRegexpAnchored: [a-z0-9]+([.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+ */
static bool matches_digest_grammar(const char *s, size_t size)
{
	size_t i = 0;

	for (;;) {
		size_t start = i;

		while (i < size && is_lower_alnum(s[i]))
			i++;
		if (i == start || i == size)
			return false;
		if (s[i] == ':')
			break;
		if (!s[i] || !strchr(".+_-", s[i]))
			return false;
		i++;
	}
	for (size_t k = ++i; k < size; k++)
		if (!is_lower_alnum(s[k]) && !(s[k] >= 'A' && s[k] <= 'Z') &&
			(!s[k] || !strchr("=_-", s[k])))
			return false;
	return i < size;
}

int digest_validate(const char *s, size_t size, struct error **reterr)
{
	const char *colon = memchr(s, ':', size);
	const struct algorithm *a;
	size_t name_size;

	if (!colon || colon == s || colon + 1 == s + size)
		return error_setf(reterr, "invalid checksum digest format");
	name_size = (size_t)(colon - s);
	a = algorithm_find(s, name_size);
	if (!a) {
		if (!matches_digest_grammar(s, size))
			return error_setf(reterr, "invalid checksum digest format");
		return error_setf(reterr, "unsupported digest algorithm");
	}
	if (size - name_size - 1 != a->encoded_size)
		return error_setf(reterr, "invalid checksum digest length");
	for (size_t i = name_size + 1; i < size; i++)
		if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
			return error_setf(reterr, "invalid checksum digest format");
	return 0;
}

const char *digest_encoded(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

void digest_short(const char *digest, char *ret)
{
	const char *encoded = digest_encoded(digest);
	size_t n = strnlen(encoded, 12);

	memcpy(ret, encoded, n);
	ret[n] = '\0';
}

struct hasher *hasher_new(const char *algorithm)
{
	const struct algorithm *a = algorithm_find(algorithm, strcspn(algorithm, ":"));
	struct hasher *h;

	if (!a)
		return NULL;
	gcrypt_ready();
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->algorithm = a;
	if (gcry_md_open(&h->md, a->gcry, 0)) {
		free(h);
		return NULL;
	}
	return h;
}

void hasher_write(struct hasher *h, const void *data, size_t size)
{
	gcry_md_write(h->md, data, size);
}

void hasher_digest(struct hasher *h, char ret[DIGEST_MAX])
{
	static const char hex[] = "0123456789abcdef";
	const struct algorithm *a = h->algorithm;
	const unsigned char *sum;
	gcry_md_hd_t copy;
	char *p;

	/* Reading ends a hash, so that a copy is read and the original can go on. */
	ret[0] = '\0';
	if (gcry_md_copy(&copy, h->md))
		return;
	sum = gcry_md_read(copy, a->gcry);
	if (sum) {
		p = stpcpy(ret, a->name);
		*p++ = ':';
		for (size_t i = 0; i < a->encoded_size / 2; i++) {
			*p++ = hex[sum[i] >> 4];
			*p++ = hex[sum[i] & 15];
		}
		*p = '\0';
	}
	gcry_md_close(copy);
}

struct hasher *hasher_copy(const struct hasher *h)
{
	struct hasher *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	copy->algorithm = h->algorithm;
	if (gcry_md_copy(&copy->md, h->md)) {
		free(copy);
		return NULL;
	}
	return copy;
}

void hasher_reset(struct hasher *h)
{
	gcry_md_reset(h->md);
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	gcry_md_close(h->md);
	free(h);
}

static int hash_bytes(const char *algorithm, const void *data, size_t size, char ret[DIGEST_MAX])
{
	struct hasher *h = hasher_new(algorithm);

	if (!h)
		return -1;
	hasher_write(h, data, size);
	hasher_digest(h, ret);
	hasher_free(h);
	return *ret ? 0 : -1;
}

int digest_from_bytes(const void *data, size_t size, char ret[DIGEST_MAX])
{
	return hash_bytes("sha256", data, size, ret);
}

bool digest_verify(const char *digest, const void *data, size_t size)
{
	char sum[DIGEST_MAX];

	return !hash_bytes(digest, data, size, sum) && !strcmp(sum, digest);
}
