/* SPDX-License-Identifier: Apache-2.0 */
/* compat/registry_service: what is ours, beside the recorded cases. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "folder.h"
#include "ip.h"
#include "towline.h"

/* The endpoints as "URL[!][ ca=N]", ! for those that are not verified. */
static int take(void *receiver, const void *data, size_t size)
{
	const struct image_pull_endpoint *e = data;
	struct buf *b = receiver;

	assert_int_equal(size, sizeof(*e));
	buf_appendf(
		b, "%s%s%s", b->size ? " " : "", e->url, e->tls->insecure_skip_verify ? "!" : "");
	if (e->tls->ca)
		buf_appendf(b, " ca=%zu", e->tls->ca_size);
	return IMAGE_PULL_OK;
}

static void endpoints(const char *what, const struct towline_registry_options *options,
	const char *hostname, const char *expected)
{
	struct towline_registry_service *service = NULL;
	const struct image_pull_registry_service *table;
	cleanup_buf struct buf got = {0};
	struct image_pull_sink sink = {sizeof(sink), &got, take, NULL};
	struct towline_text text;
	int code;

	towline_text_init(&text);
	code = towline_registry_service_new(options, &service, &text.sink);
	if (code == IMAGE_PULL_OK) {
		table = towline_registry_service_table(service);
		code = table->lookup_pull_endpoints(table->context, hostname, &sink);
	}
	buf_append(&got, "", 0);
	if (code != IMAGE_PULL_OK || strcmp(got.data, expected) != 0)
		fail_msg("%s: %s\nexpected %s\ngot      %s (%d %s)", what, hostname, expected,
			got.data ? got.data : "-", code, towline_text_message(&text, code));
	towline_registry_service_free(service);
	towline_text_free(&text);
}

static void options_of_ours(void **state)
{
	const char *const insecure[] = {"10.0.0.0/8", NULL};
	struct towline_registry_options o = {.struct_size = sizeof(o)};

	(void)state;
	endpoints("defaults", NULL, "127.0.0.1:5000",
		"https://127.0.0.1:5000! http://127.0.0.1:5000!");
	endpoints("defaults", NULL, "docker.io", "https://registry-1.docker.io");
	o.no_insecure_loopback = 1;
	endpoints("secure loopback", &o, "127.0.0.1:5000", "https://127.0.0.1:5000");
	o.insecure_registries = insecure;
	endpoints("secure loopback", &o, "10.1.2.3", "https://10.1.2.3! http://10.1.2.3!");
	o.default_registry = "http://127.0.0.1:5000/";
	endpoints("default registry", &o, "docker.io", "http://127.0.0.1:5000");
	/* A table of a caller that knows fewer members. */
	o.struct_size = offsetof(struct towline_registry_options, default_registry);
	endpoints("an older caller", &o, "docker.io", "https://registry-1.docker.io");
}

static void bad_default_registry(void **state)
{
	static const char *const cases[] = {"", "x", "ftp://x", "https://", "https://x/path",
		"https://u:p@x", "https://x?q", "https://x:port"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct towline_registry_options o = {
			.struct_size = sizeof(o), .default_registry = cases[i]};
		struct towline_registry_service *service = NULL;
		struct towline_text text;

		towline_text_init(&text);
		if (towline_registry_service_new(&o, &service, &text.sink) == IMAGE_PULL_OK ||
			!str_has_prefix(text.message, "invalid default registry: "))
			fail_msg("%s: %s", cases[i], text.message ? text.message : "taken");
		towline_text_free(&text);
	}
}

/* The endpoints of a reference as "URL[!] REPOSITORY[ ns=NS][ user|anonymous][ once][ CONNECT]", or
 * the failure. */
static int take_all(void *receiver, const void *data, size_t size)
{
	const struct image_pull_endpoint *e = data;
	struct buf *b = receiver;

	assert_int_equal(size, sizeof(*e));
	buf_appendf(
		b, "%s%s%s", b->size ? "; " : "", e->url, e->tls->insecure_skip_verify ? "!" : "");
	if (e->repository)
		buf_appendf(b, " %s", e->repository);
	if (e->ns)
		buf_appendf(b, " ns=%s", e->ns);
	if (e->flags & IMAGE_PULL_ENDPOINT_OWN_AUTH)
		buf_appendf(b, " %s", e->auth ? e->auth->username : "anonymous");
	if (e->flags & IMAGE_PULL_ENDPOINT_ONCE)
		buf_append_str(b, " once");
	if (e->connect_timeout_ms)
		buf_appendf(b, " %u", e->connect_timeout_ms);
	return IMAGE_PULL_OK;
}

static void registries(void **state)
{
#define SIZED(type, ...) ((const type){.struct_size = sizeof(type), __VA_ARGS__})
	const struct towline_location plain = SIZED(struct towline_location, .location = "m.x");
	const struct towline_location cache = SIZED(struct towline_location,
		.location = "http://m.x:5/q/r", .ns = 1, .connect_timeout_ms = 7,
		.credentials = TOWLINE_CREDENTIALS_GIVEN, .username = "u", .password = "p",
		.pull_from = TOWLINE_PULL_FROM_DIGEST_ONLY);
	const struct towline_location hub =
		SIZED(struct towline_location, .location = "docker.io/a");
	const struct towline_location unsafe = SIZED(struct towline_location, .insecure = 1);
	const struct towline_location same = SIZED(struct towline_location, .location = "s.x/b");
	const struct towline_location *const two[] = {&plain, &cache, NULL};
	const struct towline_registry with_mirrors =
		SIZED(struct towline_registry, .prefix = "r.x", .mirrors = two);
	const struct towline_registry blocked =
		SIZED(struct towline_registry, .prefix = "r.x/no", .blocked = 1);
	const struct towline_registry to_hub =
		SIZED(struct towline_registry, .prefix = "c.x/d", .origin = &hub);
	const struct towline_registry insecure =
		SIZED(struct towline_registry, .prefix = "i.x", .origin = &unsafe);
	const struct towline_registry moved =
		SIZED(struct towline_registry, .prefix = "s.x/a", .origin = &same);
	const struct towline_registry any =
		SIZED(struct towline_registry, .prefix = "*.w.x", .mirrors = two, .mirror_only = 1);
	const struct towline_registry *const all[] = {
		&with_mirrors, &blocked, &to_hub, &insecure, &moved, &any, NULL};
	const struct towline_registry_options options = {
		.struct_size = sizeof(options), .registries = all};
	static const char digest[] =
		"sha256:0123456789012345678901234567890123456789012345678901234567890123";
	static const struct {
		const char *name, *expected; /* "@": a digest */
	} cases[] = {
		{"r.x/a/b:1", "https://m.x a/b anonymous once; https://r.x"},
		{"r.x/a/b@",
			"https://m.x a/b anonymous once; http://m.x:5 q/r/a/b ns=r.x u once 7; "
			"https://r.x"},
		{"r.x/no:1", "registry r.x/no is blocked by the configuration"},
		{"r.x/no/x", "registry r.x/no is blocked by the configuration"},
		{"r.x/nor:1", "https://m.x nor anonymous once; https://r.x"},
		{"r.x:5/a:1", "https://r.x:5"},
		{"c.x/d/e:1", "https://registry-1.docker.io a/e anonymous"},
		{"i.x/a:1", "https://i.x!; http://i.x!"},
		{"s.x/a/c:1", "https://s.x b/c"},
		{"v.w.x/c:1", "https://m.x c anonymous once"},
		{"w.x/c:1", "https://w.x"},
		{"c:1", "https://registry-1.docker.io"},
	};
	struct towline_registry_service *service = NULL;
	const struct image_pull_registry_service *table;
	struct towline_text text;

	(void)state;
	towline_text_init(&text);
	if (towline_registry_service_new(&options, &service, &text.sink) != IMAGE_PULL_OK)
		fail_msg("%s", text.message);
	table = towline_registry_service_table(service);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf got = {0};
		cleanup_free char *name =
			str_printf("%s%s", cases[i].name, strchr(cases[i].name, '@') ? digest : "");
		struct image_pull_sink sink = {sizeof(sink), &got, take_all, text.sink.message};
		int code;

		sink.message = NULL;
		code = table->lookup_reference_endpoints(table->context, name, &sink);
		if (code != IMAGE_PULL_OK) {
			code = table->lookup_reference_endpoints(table->context, name, &text.sink);
			assert_int_equal(code, IMAGE_PULL_FORBIDDEN);
			buf_append_str(&got, text.message);
			assert_int_equal(
				table->resolve_repository(table->context, name, &text.sink),
				IMAGE_PULL_FORBIDDEN);
		}
		if (strcmp(got.data, cases[i].expected) != 0)
			fail_msg("%s\nexpected %s\ngot      %s", name, cases[i].expected, got.data);
	}
	/* A login, or a plugin that knows host names only. */
	assert_int_equal(table->lookup_pull_endpoints(table->context, "v.w.x", &text.sink),
		IMAGE_PULL_FAILED);
	assert_string_equal(
		text.message, "the configuration says that v.w.x itself is not to be asked");
	towline_registry_service_free(service);
	towline_text_free(&text);
	endpoints("the registry itself", &options, "r.x", "https://r.x");
	endpoints("the registry itself", &options, "i.x", "https://i.x! http://i.x!");
}

/* Of several folders the first that knows the host counts. */
static void certs_dirs(void **state)
{
	char *folder = folder_make();
	cleanup_free char *one = folder_path(folder, "one");
	cleanup_free char *two = folder_path(folder, "two");
	const char *const dirs[] = {one, two, NULL};
	const struct towline_registry_options o = {.struct_size = sizeof(o), .certs_dirs = dirs};

	(void)state;
	folder_write(folder, "two/a.x/ca.crt", "12345");
	folder_write(folder, "two/b.x/ca.crt", "1234567\n");
	folder_write(folder, "one/b.x/1.crt", "1");
	folder_write(folder, "one/b.x/2.crt", "2");
	endpoints("second folder", &o, "a.x", "https://a.x ca=6");
	endpoints("first folder", &o, "b.x", "https://b.x ca=4");
	endpoints("neither", &o, "c.x", "https://c.x");
	folder_remove(folder);
}

static void networks(void **state)
{
	static const struct {
		const char *net, *ip;
		int in; /* -1: no network */
	} cases[] = {
		{"10.0.0.0/8", "10.255.0.1", 1},
		{"10.0.0.0/8", "11.0.0.1", 0},
		{"10.1.2.3/8", "10.9.9.9", 1},
		{"10.0.0.0/33", "", -1},
		{"10.0.0.0", "", -1},
		{"10.0.0.0/", "", -1},
		{"10.0.0.0/x", "", -1},
		{"10.0.0.0/-1", "", -1},
		{"10.0.0.0/08", "10.0.0.1", 1},
		{"0.0.0.0/0", "1.2.3.4", 1},
		{"0.0.0.0/0", "::1", 0},
		{"::/0", "1.2.3.4", 0},
		{"::/0", "::1", 1},
		{"2001:db8::/33", "2001:db8:7fff::1", 1},
		{"2001:db8::/33", "2001:db8:8000::1", 0},
		{"::ffff:10.0.0.0/104", "10.4.4.4", 1},
		{"::ffff:10.0.0.0/103", "11.0.0.1", 1},
		{"::ffff:10.0.0.0/90", "10.0.0.1", 0},
		{"10.0.0.0/8", "::ffff:10.0.0.1", 1},
		{"10.0.0.0/9999999999999", "", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_net net;
		struct ip ip;
		int got = -1;

		if (ip_parse_cidr(cases[i].net, &net)) {
			assert_true(ip_parse(cases[i].ip, &ip));
			got = ip_net_contains(&net, &ip);
		}
		if (got != cases[i].in)
			fail_msg("%s of %s\nexpected %d\ngot      %d", cases[i].ip, cases[i].net,
				cases[i].in, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_of_ours),
		cmocka_unit_test(bad_default_registry),
		cmocka_unit_test(registries),
		cmocka_unit_test(certs_dirs),
		cmocka_unit_test(networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
