/* SPDX-License-Identifier: Apache-2.0 */
/* base/url: parsing, writing, resolving, as Go's net/url does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/url.h"
#include "fail_alloc.h"
#include "random.h"

static void expect(const char *what, const char *in, const char *wanted, const char *got)
{
	if (wanted && got && strcmp(wanted, got) == 0)
		return;
	print_error("%s of %s\n  expected: %s\n  got:      %s\n", what, in,
		wanted ? wanted : "(null)", got ? got : "(null)");
	fail();
}

static void parts(void **state)
{
	static const struct {
		const char *in, *scheme, *host, *path, *query, *string, *hostname, *port, *escaped;
	} cases[] = {
		{"https://registry-1.docker.io", "https", "registry-1.docker.io", "", "",
			"https://registry-1.docker.io", "registry-1.docker.io", "", ""},
		{"HTTP://Host:5000/v2/?n=100", "http", "Host:5000", "/v2/", "n=100",
			"http://Host:5000/v2/?n=100", "Host", "5000", "/v2/"},
		{"http://[::1]:80/x", "http", "[::1]:80", "/x", "", "http://[::1]:80/x", "::1",
			"80", "/x"},
		{"http://[fe80::1%25en0]:8080/", "http", "[fe80::1%en0]:8080", "/", "",
			"http://[fe80::1%25en0]:8080/", "fe80::1%en0", "8080", "/"},
		{"http://h/a%2Fb%20c", "http", "h", "/a/b c", "", "http://h/a%2Fb%20c", "h", "",
			"/a%2Fb%20c"},
		{"http://h/a%20b", "http", "h", "/a b", "", "http://h/a%20b", "h", "", "/a%20b"},
		{"http://h/a b", "http", "h", "/a b", "", "http://h/a%20b", "h", "", "/a%20b"},
		{"http://h/%E4%B8%96", "http", "h", "/\xe4\xb8\x96", "", "http://h/%E4%B8%96", "h",
			"", "/%E4%B8%96"},
		{"/v2/foo/blobs/uploads?x=?", "", "", "/v2/foo/blobs/uploads", "x=?",
			"/v2/foo/blobs/uploads?x=?", "", "", "/v2/foo/blobs/uploads"},
		{"//host/path", "", "host", "/path", "", "//host/path", "host", "", "/path"},
		{"///path", "", "", "///path", "", "///path", "", "", "///path"},
		{"file:///etc/x", "file", "", "/etc/x", "", "file:///etc/x", "", "", "/etc/x"},
		{"file:/etc/x", "file", "", "/etc/x", "", "file:/etc/x", "", "", "/etc/x"},
		{"mailto:joe@x", "mailto", "", "", "", "mailto:joe@x", "", "", ""},
		{"http://h?", "http", "h", "", "", "http://h?", "h", "", ""},
		{"http://h/p??", "http", "h", "/p", "?", "http://h/p??", "h", "", "/p"},
		{"*", "", "", "*", "", "*", "", "", "*"},
		{"", "", "", "", "", "", "", "", ""},
		{"a/b:c", "", "", "a/b:c", "", "a/b:c", "", "", "a/b:c"},
		{"http://h:/", "http", "h:", "/", "", "http://h:/", "h", "", "/"},
		{"http://h/%00x", "http", "h", "/", "", "http://h/%00x", "h", "", "/%00x"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_url struct url u = {0};
		cleanup_error struct error *err = NULL;
		cleanup_free char *string = NULL, *hostname = NULL, *port = NULL, *escaped = NULL;

		if (url_parse(cases[i].in, &u, &err) < 0)
			expect("url_parse", cases[i].in, "no error", err->message);
		string = url_string(&u);
		hostname = url_hostname(&u);
		port = url_port(&u);
		escaped = url_escaped_path(&u);
		expect("scheme", cases[i].in, cases[i].scheme, u.scheme);
		expect("host", cases[i].in, cases[i].host, u.host);
		expect("path", cases[i].in, cases[i].path, u.path);
		expect("query", cases[i].in, cases[i].query, u.raw_query);
		expect("url_string", cases[i].in, cases[i].string, string);
		expect("url_hostname", cases[i].in, cases[i].hostname, hostname);
		expect("url_port", cases[i].in, cases[i].port, port);
		expect("url_escaped_path", cases[i].in, cases[i].escaped, escaped);
	}
}

static void userinfo(void **state)
{
	static const struct {
		const char *in, *user, *password, *string;
	} cases[] = {
		{"http://u:p@h/", "u", "p", "http://u:p@h/"},
		{"http://u@h/", "u", "", "http://u@h/"},
		{"http://u:p%40q:r@h/", "u", "p@q:r", "http://u:p%40q%3Ar@h/"},
		{"http://a@b@h/", "a@b", "", "http://a%40b@h/"},
		{"http://@h/", "", "", "http://@h/"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_url struct url u = {0};
		cleanup_free char *user = NULL, *password = NULL, *string = NULL;

		assert_int_equal(url_parse(cases[i].in, &u, NULL), 0);
		assert_int_equal(url_user_password(&u, &user, &password), 0);
		string = url_string(&u);
		expect("user", cases[i].in, cases[i].user, user);
		expect("password", cases[i].in, cases[i].password, password);
		expect("url_string", cases[i].in, cases[i].string, string);
	}
}

static void errors(void **state)
{
	static const struct {
		const char *in, *message;
	} cases[] = {
		{":foo", "parse \":foo\": missing protocol scheme"},
		{"127.0.0.1:5000/x", "parse \"127.0.0.1:5000/x\": first path segment in URL cannot "
				     "contain colon"},
		{"http://h/%zz", "parse \"http://h/%zz\": invalid URL escape \"%zz\""},
		{"http://h/%2", "parse \"http://h/%2\": invalid URL escape \"%2\""},
		{"http://h/%", "parse \"http://h/%\": invalid URL escape \"%\""},
		{"http://%41/", "parse \"http://%41/\": invalid URL escape \"%41\""},
		{"http://h:x/", "parse \"http://h:x/\": invalid port \":x\" after host"},
		{"http://[::1", "parse \"http://[::1\": missing ']' in host"},
		{"http://[::1]x/", "parse \"http://[::1]x/\": invalid port \"x\" after host"},
		{"http://[fe80::1%25%65n0]/", "parse \"http://[fe80::1%25%65n0]/\": no error"},
		{"http://a b/", "parse \"http://a b/\": invalid character \" \" in host name"},
		{"http://h/\x01",
			"parse \"http://h/\\x01\": net/url: invalid control character in URL"},
		{"http://h/\x7f",
			"parse \"http://h/\\x7f\": net/url: invalid control character in URL"},
		{"http://u^:p@h/", "parse \"http://u^:p@h/\": net/url: invalid userinfo"},
		{"http://h/#%zz", "parse \"http://h/#%zz\": invalid URL escape \"%zz\""},
		{"http://h:x/#f", "parse \"http://h:x/\": invalid port \":x\" after host"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_url struct url u = {0};
		cleanup_error struct error *err = NULL;
		bool good = strstr(cases[i].message, ": no error") != NULL;

		assert_int_equal(url_parse(cases[i].in, &u, &err), good ? 0 : -1);
		if (good)
			continue;
		expect("the error", cases[i].in, cases[i].message, err->message);
		assert_int_equal(err->kind, ERROR_URL);
		assert_string_equal(err->op, "parse");
		assert_null(u.scheme); /* untouched */
	}
}

/* The examples of RFC 3986, 5.4, and what a registry may answer. */
static void resolving(void **state)
{
	static const struct {
		const char *base, *ref, *wanted;
	} cases[] = {
		{"http://a/b/c/d;p?q", "g:h", "g:h"},
		{"http://a/b/c/d;p?q", "g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "./g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "g/", "http://a/b/c/g/"},
		{"http://a/b/c/d;p?q", "/g", "http://a/g"},
		{"http://a/b/c/d;p?q", "//g", "http://g"},
		{"http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y"},
		{"http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y"},
		{"http://a/b/c/d;p?q", "#s", "http://a/b/c/d;p?q#s"},
		{"http://a/b/c/d;p?q", "g?y#s", "http://a/b/c/g?y#s"},
		{"http://a/b/c/d;p?q", ";x", "http://a/b/c/;x"},
		{"http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q"},
		{"http://a/b/c/d;p?q", ".", "http://a/b/c/"},
		{"http://a/b/c/d;p?q", "./", "http://a/b/c/"},
		{"http://a/b/c/d;p?q", "..", "http://a/b/"},
		{"http://a/b/c/d;p?q", "../g", "http://a/b/g"},
		{"http://a/b/c/d;p?q", "../..", "http://a/"},
		{"http://a/b/c/d;p?q", "../../g", "http://a/g"},
		{"http://a/b/c/d;p?q", "../../../g", "http://a/g"},
		{"http://a/b/c/d;p?q", "/./g", "http://a/g"},
		{"http://a/b/c/d;p?q", "/../g", "http://a/g"},
		{"http://a/b/c/d;p?q", "g.", "http://a/b/c/g."},
		{"http://a/b/c/d;p?q", "..g", "http://a/b/c/..g"},
		{"http://a/b/c/d;p?q", "./g/.", "http://a/b/c/g/"},
		{"http://a/b/c/d;p?q", "g/../h", "http://a/b/c/h"},
		{"http://a/b/c/d;p?q", "g;x=1/../y", "http://a/b/c/y"},
		{"https://u:p@h:5000/v2/", "/x", "https://u:p@h:5000/x"},
		{"https://u:p@h:5000/v2/", "https://cdn/x", "https://cdn/x"},
		{"https://h/v2/", "blob?sig=a%2Fb", "https://h/v2/blob?sig=a%2Fb"},
		{"https://h/a%2Fb/c", "d", "https://h/a%2Fb/d"},
		{"https://h", "x", "https://h/x"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_url struct url base = {0}, u = {0};
		cleanup_error struct error *err = NULL;
		cleanup_free char *string = NULL;

		assert_int_equal(url_parse(cases[i].base, &base, NULL), 0);
		if (url_resolve(&base, cases[i].ref, &u, &err) < 0)
			expect("url_resolve", cases[i].ref, "no error", err->message);
		string = url_string(&u);
		expect("url_resolve", cases[i].ref, cases[i].wanted, string);
	}
}

static void escaping(void **state)
{
	struct buf b = {0};

	(void)state;
	url_query_escape(&b, "repository:a/b:pull push&+\xc3\xa9~");
	assert_string_equal(b.data, "repository%3Aa%2Fb%3Apull+push%26%2B%C3%A9~");
	buf_reset(&b);
	url_path_escape(&b, "a/b c;d,e:@&=+$");
	assert_string_equal(b.data, "a%2Fb%20c%3Bd%2Ce:@&=+$");
	buf_free(&b);
	assert_string_equal(url_default_port("https"), "443");
	assert_string_equal(url_default_port("http"), "80");
	assert_null(url_default_port("ftp"));
}

/* What was parsed and written parses again, to the same text: with a host, that is. Without one Go
 * too writes "%2F/x" as "//x". */
static void written_parses_again(void **state)
{
	static const char *const pieces[] = {"http://h", "http", "https", ":", "/", "//", "?", "#",
		"@", "[", "]", "%", "%2F", "%41", "%25", "%00", "a", "B", "host", "127.0.0.1",
		":80", "..", ".", " ", "\x01", "\xc3\xa9", "\xff", "&", "=", "+", ";", "*", "'",
		"\"", "~", "::1", "<", "^"};
	uint64_t seed = 1;
	size_t parsed = 0, i;
	char text[256];

	(void)state;
	for (i = 0; i < 100000; i++) {
		cleanup_url struct url u = {0}, again = {0}, resolved = {0};
		cleanup_error struct error *err = NULL;
		cleanup_free char *string = NULL, *second = NULL;

		strcpy(text, i % 2 ? "http://h/" : "");
		random_text(&seed, pieces, ARRAY_SIZE(pieces), 12, text + strlen(text),
			sizeof(text) - 16);
		if (url_parse(text, &u, &err) < 0)
			continue;
		(void)url_resolve(&u, text, &resolved, NULL); /* must not crash */
		if (!*u.host)
			continue;
		parsed++;
		string = url_string(&u);
		assert_non_null(string);
		if (url_parse(string, &again, &err) < 0) {
			print_error("%s -> %s: %s\n", text, string, err->message);
			fail();
		}
		second = url_string(&again);
		expect("the second url_string", text, string, second);
	}
	assert_true(parsed > 5000);
}

static void no_memory(void **state)
{
	size_t n;
	int failed = 1;

	(void)state;
	for (n = 1; failed; n++) {
		cleanup_url struct url base = {0}, u = {0};
		cleanup_error struct error *err = NULL;
		cleanup_free char *string = NULL;
		int ret;

		fail_alloc_start(n);
		ret = url_parse("https://u:p@h:1/a%2Fb/c?q#f%20g", &base, &err);
		if (ret == 0)
			ret = url_resolve(&base, "../d/%7Ee", &u, &err);
		if (ret == 0)
			string = url_string(&u);
		failed = fail_alloc_stop();
		assert_true(ret == 0 || err);
		if (!failed)
			assert_string_equal(string, "https://u:p@h:1/d/%7Ee");
	}
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(userinfo),
		cmocka_unit_test(errors),
		cmocka_unit_test(resolving),
		cmocka_unit_test(escaping),
		cmocka_unit_test(written_parses_again),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
