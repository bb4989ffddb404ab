/* SPDX-License-Identifier: Apache-2.0 */
/* image/digest: validation, the published test values of SHA-2, running hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/digest.h"
#include "random.h"

#define ABC256 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC384                                                                                     \
	"sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"                  \
	"8086072ba1e7cc2358baeca134c825a7"
#define ABC512                                                                                     \
	"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                  \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void known_values(void **state)
{
	static const char *const digests[] = {ABC256, ABC384, ABC512};
	char sum[DIGEST_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
		struct hasher *h = hasher_new(digests[i]);

		assert_non_null(h);
		hasher_write(h, "a", 1);
		hasher_write(h, "bc", 2);
		hasher_digest(h, sum);
		assert_string_equal(sum, digests[i]);
		assert_true(digest_verify(digests[i], "abc", 3));
		assert_false(digest_verify(digests[i], "abd", 3));
		assert_int_equal(digest_validate(sum, strlen(sum), NULL), 0);
		/* Reading did not end it. */
		hasher_write(h, "d", 1);
		hasher_digest(h, sum);
		assert_string_not_equal(sum, digests[i]);
		hasher_reset(h);
		hasher_write(h, "abc", 3);
		hasher_digest(h, sum);
		assert_string_equal(sum, digests[i]);
		hasher_free(h);
	}
	assert_int_equal(digest_from_bytes("", 0, sum), 0);
	assert_string_equal(
		sum, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_null(hasher_new("md5"));
	assert_null(hasher_new(""));
	assert_false(digest_verify("md5:900150983cd24fb0d6963f7d28e17f72", "abc", 3));
}

static void validation(void **state)
{
	static const struct {
		const char *digest;
		size_t size;
		const char *error;
	} cases[] = {
		{ABC256, 0, NULL},
		{ABC512, 0, NULL},
		{"", 0, "invalid checksum digest format"},
		{":", 0, "invalid checksum digest format"},
		{"sha256:", 0, "invalid checksum digest format"},
		{":abc", 0, "invalid checksum digest format"},
		{"sha256:ba7816", 0, "invalid checksum digest length"},
		{"sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 0,
			"invalid checksum digest format"},
		{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a/", 0,
			"invalid checksum digest format"},
		{"md5:abc", 0, "unsupported digest algorithm"},
		{"a+b.c:X=_-", 0, "unsupported digest algorithm"},
		{"a++b:c", 0, "invalid checksum digest format"},
		{"SHA256:abc", 0, "invalid checksum digest format"},
		{"md5:a/../b", 0, "invalid checksum digest format"},
		{"md5:abc\0", 8, "invalid checksum digest format"},
		{"md\0:abc", 7, "invalid checksum digest format"},
		{ABC256 "\0", sizeof(ABC256), "invalid checksum digest length"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		size_t size = cases[i].size ? cases[i].size : strlen(cases[i].digest);

		digest_validate(cases[i].digest, size, &err);
		if (!str_equal(err ? err->message : NULL, cases[i].error))
			fail_msg("%s: expected %s, got %s", cases[i].digest, cases[i].error,
				err ? err->message : NULL);
	}
}

static void short_ids(void **state)
{
	char id[13];

	(void)state;
	digest_short(ABC256, id);
	assert_string_equal(id, "ba7816bf8f01");
	digest_short("sha256:12", id);
	assert_string_equal(id, "12");
	digest_short("0123456789abcdef", id);
	assert_string_equal(id, "0123456789ab");
}

/* However the bytes are cut, and whether the hash goes on in a copy, the digest is the same. */
static void cuts(void **state)
{
	unsigned char data[5000];
	char whole[DIGEST_MAX], sum[DIGEST_MAX];
	uint64_t seed = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)random_next(&seed);
	assert_int_equal(digest_from_bytes(data, sizeof(data), whole), 0);
	for (int round = 0; round < 200; round++) {
		struct hasher *h = hasher_new("sha256");

		for (size_t at = 0; at < sizeof(data);) {
			size_t n = random_below(&seed, 900);
			struct hasher *copy;

			if (n > sizeof(data) - at)
				n = sizeof(data) - at;
			hasher_write(h, data + at, n);
			at += n;
			copy = hasher_copy(h);
			assert_non_null(copy);
			hasher_write(h, "lost", 4);
			hasher_free(h);
			h = copy;
		}
		hasher_digest(h, sum);
		hasher_free(h);
		assert_string_equal(sum, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(validation),
		cmocka_unit_test(short_ids),
		cmocka_unit_test(cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
