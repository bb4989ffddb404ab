/* SPDX-License-Identifier: Apache-2.0 */
/* image/reference: the grammar against regcomp() of the original's expressions, names and their
 * familiar forms. The recorded cases are run by tests/conformance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/digest.h"
#include "image/reference.h"
#include "random.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define SHA256 "sha256:" HEX32 HEX32
#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A250 A50 A50 A50 A50 A50

static void names(void **state)
{
	static const struct {
		const char *in, *string, *familiar, *error;
	} cases[] = {
		{"busybox", "docker.io/library/busybox", "busybox", NULL},
		{"library/busybox:1", "docker.io/library/busybox:1", "busybox:1", NULL},
		{"index.docker.io/a/b", "docker.io/a/b", "a/b", NULL},
		{"docker.io/library/a/b", "docker.io/library/a/b", "library/a/b", NULL},
		{"localhost/a", "localhost/a", "localhost/a", NULL},
		{"Host:5000/a__b/c--d:T@" SHA256, "Host:5000/a__b/c--d:T@" SHA256,
			"Host:5000/a__b/c--d:T@" SHA256, NULL},
		{"a_b.c/d", "a_b.c/d", "a_b.c/d", NULL},
		{"", NULL, NULL, "invalid reference format"},
		{"A", NULL, NULL, "invalid reference format: repository name must be lowercase"},
		/* A small letter with stroke, and the capital one. */
		{"\xc3\xb8", NULL, NULL, "invalid reference format"},
		{"\xc3\x98", NULL, NULL,
			"invalid reference format: repository name must be lowercase"},
		{"x.\xe2\x84\xaa/y", NULL, NULL, "repository name must be lowercase"},
		{"a@sha256:" HEX32, NULL, NULL, "invalid checksum digest length"},
		{"a@md5:" HEX32, NULL, NULL, "unsupported digest algorithm"},
		{HEX32 HEX32, NULL, NULL,
			"invalid repository name (" HEX32 HEX32
			"), cannot specify 64-byte hexadecimal strings"},
		{"x.y/" A250, "x.y/" A250, "x.y/" A250, NULL},
		{"x.y/" A250 "ab", NULL, NULL,
			"repository name must not be more than 255 characters"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_reference struct reference *ref = NULL;
		cleanup_error struct error *err = NULL;
		cleanup_free char *string = NULL, *familiar = NULL;
		int ret = reference_parse_normalized_named(cases[i].in, &ref, &err);

		if (!ret) {
			string = reference_string(ref);
			familiar = reference_familiar_string(ref);
		}
		if (!str_equal(string, cases[i].string) ||
			!str_equal(familiar, cases[i].familiar) ||
			!str_equal(err ? err->message : NULL, cases[i].error))
			fail_msg("%s: expected %s, %s, error %s; got %s, %s, error %s", cases[i].in,
				cases[i].string, cases[i].familiar, cases[i].error, string,
				familiar, err ? err->message : NULL);
	}
}

static void nul_inside(void **state)
{
	struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;

	(void)state;
	assert_int_equal(reference_parse_normalized_named_bytes("foo\0bar", 7, &ref, &err), -1);
	assert_string_equal(err->message, "invalid reference format");
	assert_int_equal(reference_parse_normalized_named_bytes("foobar", 3, &ref, NULL), 0);
	assert_string_equal(ref->path, "library/foo");
	reference_free(ref);
}

#define COMPONENT "[a-z0-9]+(([._]|__|-*)[a-z0-9]+)*"
#define LABEL "([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
#define NAME "(" LABEL "([.]" LABEL ")*(:[0-9]+)?/)?" COMPONENT "(/" COMPONENT ")*"
#define TAG "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
#define DIGEST "[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"

static void compile(regex_t *re, const char *expression)
{
	assert_int_equal(regcomp(re, expression, REG_EXTENDED | REG_NOSUB), 0);
}

static bool matches(const regex_t *re, const char *s)
{
	return !regexec(re, s, 0, NULL, 0);
}

static const char *const pieces[] = {"a", "b9", "Z", "0", ".", "_", "__", "-", "--", "/", ":", "@",
	"sha256:", HEX32, "ABCDEF", "a.b", ":80/", "+", " ", "\xc3", "localhost", "%", "\x7f"};

/* What reference_with_tag and reference_with_digest accept is what the expressions match. */
static void check_parts(const char *s, const regex_t *tag, const regex_t *digest)
{
	cleanup_reference struct reference *base = NULL, *ref = NULL;

	assert_int_equal(reference_with_name("a/b", &base, NULL), 0);
	if (matches(tag, s) != !reference_with_tag(base, s, &ref, NULL))
		fail_msg("with_tag(\"%s\") disagrees with its expression", s);
	reference_free(ref);
	ref = NULL;
	if (matches(digest, s) != !reference_with_digest(base, s, &ref, NULL))
		fail_msg("with_digest(\"%s\") disagrees with its expression", s);
}

static void check_name(const char *s, const regex_t *name)
{
	cleanup_reference struct reference *ref = NULL;

	if (matches(name, s) != !reference_with_name(s, &ref, NULL))
		fail_msg("with_name(\"%s\") disagrees with its expression", s);
	if (ref && strcmp(ref->name, s))
		fail_msg("with_name(\"%s\") has the name \"%s\"", s, ref->name);
}

/* A domain is given, so that nothing is put in front. */
static void check_whole(const char *s, const regex_t *whole)
{
	cleanup_free char *full = str_printf("x.y/%s", s), *string = NULL;
	cleanup_reference struct reference *ref = NULL, *again = NULL;
	cleanup_error struct error *err = NULL;

	assert_non_null(full);
	if (reference_parse_normalized_named(full, &ref, &err) < 0) {
		if (matches(whole, full) && !strchr(full, '@'))
			fail_msg("\"%s\" was refused: %s", full, err->message);
		return;
	}
	if (!matches(whole, full))
		fail_msg("\"%s\" was accepted", full);
	string = reference_string(ref);
	assert_string_equal(string, full);
	if (*ref->digest && digest_validate(ref->digest, strlen(ref->digest), NULL) < 0)
		fail_msg("\"%s\" was accepted with its digest", full);
	assert_int_equal(reference_parse_normalized_named(string, &again, NULL), 0);
	assert_string_equal(again->name, ref->name);
}

static void random_references(void **state)
{
	regex_t tag, digest, name, whole;
	uint64_t seed = 20190614;
	char s[200];

	(void)state;
	compile(&tag, "^" TAG "$");
	compile(&digest, "^" DIGEST "$");
	compile(&name, "^" NAME "$");
	compile(&whole, "^" NAME "(:" TAG ")?(@" DIGEST ")?$");
	for (int i = 0; i < 100000; i++) {
		cleanup_free char *any = NULL;
		cleanup_error struct error *err = NULL;

		random_text(&seed, pieces, ARRAY_SIZE(pieces), 9, s, sizeof(s));
		/* The expressions are slow: the whole grammar is asked of each fifth. */
		if (i % 5 == 0) {
			check_parts(s, &tag, &digest);
			check_name(s, &name);
			check_whole(s, &whole);
		}
		if (reference_parse_any(s, &any, &err) < 0)
			assert_true(*err->message);
		else
			assert_true(*any);
	}
	regfree(&tag);
	regfree(&digest);
	regfree(&name);
	regfree(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(nul_inside),
		cmocka_unit_test(random_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
