/* SPDX-License-Identifier: Apache-2.0 */
/* compat/image_json, image_filter, auth_config, references: what a host says and hears in Docker
 * Engine's API. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "folder.h"
#include "towline.h"

struct world {
	char *dir;
	struct towline_store *store;
	char ids[4][80];
};

/* Values one after another, or the message. */
struct heard {
	struct image_pull_sink sink;
	struct buf text;
	bool auth, platform;
};

static int hear(void *receiver, const void *data, size_t size)
{
	struct heard *h = receiver;

	if (h->auth) {
		const struct towline_auth_config *a = data;

		buf_appendf(&h->text, "%s:%s %s %s %s", a->auth.username, a->auth.password,
			a->auth.identity_token, a->auth.registry_token, a->server_address);
	} else if (h->platform) {
		const struct image_pull_platform *p = data;

		buf_appendf(&h->text, "%s/%s/%s", p->os, p->architecture, p->variant);
	} else {
		buf_append(&h->text, data, size);
	}
	return IMAGE_PULL_OK;
}

static void hear_message(void *receiver, const char *text)
{
	struct heard *h = receiver;

	buf_appendf(&h->text, "error: %s", text);
}

static void heard_init(struct heard *h)
{
	*h = (struct heard){.sink = {.struct_size = sizeof(h->sink),
				    .receiver = h,
				    .value = hear,
				    .message = hear_message}};
}

static void expect(const char *what, struct heard *h, const char *want)
{
	const char *got = h->text.data ? h->text.data : "";

	if (strcmp(got, want) != 0)
		fail_msg("%s:\nwant %s\ngot  %s", what, want, got);
	buf_free(&h->text);
}

static void put(struct world *w, size_t i, const char *config, const char *tag, const char *digest)
{
	const struct image_pull_image_store *images = towline_store_images(w->store);
	const struct image_pull_reference_store *references = towline_store_references(w->store);
	struct heard h;

	heard_init(&h);
	assert_int_equal(images->put(images->context, config, strlen(config), &h.sink), 0);
	snprintf(w->ids[i], sizeof(w->ids[i]), "%s", h.text.data);
	buf_free(&h.text);
	if (tag)
		assert_int_equal(
			references->add_tag(references->context, tag, w->ids[i], 1, NULL), 0);
	if (digest)
		assert_int_equal(
			references->add_digest(references->context, digest, w->ids[i], 1, NULL), 0);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\"}"

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct towline_store_options options = {.struct_size = sizeof(options), .fast = 1};
	cleanup_free char *root = NULL;

	w->dir = folder_make();
	root = str_printf("%s/store", w->dir);
	options.root = root;
	assert_int_equal(towline_store_open(&options, &w->store, NULL), 0);
	put(w, 0,
		"{\"created\":\"2020-01-01T00:00:00Z\",\"os\":\"linux\",\"architecture\":\"arm64\","
		"\"variant\":\"v8\",\"author\":\"<me>\",\"config\":{\"labels\":{\"b\":\"2\",\"a\":"
		"\"<&>\"},\"Cmd\":\"one\",\"ExposedPorts\":{\"80/tcp\":{}},\"Healthcheck\":"
		"{\"Test\":[\"NONE\"]}},\"history\":[{\"comment\":\"first\",\"empty_layer\":true},{"
		"\"empty_layer\":true,\"comment\":"
		"\"last\"}]," ROOTFS "}",
		"docker.io/library/one:latest", "docker.io/library/one@sha256:" HEX);
	put(w, 1,
		"{\"created\":\"2021-01-01T00:00:00Z\",\"config\":{\"Labels\":{\"a\":\"x\"}}"
		"," ROOTFS "}",
		"host:5000/team/two:v1", NULL);
	put(w, 2, "{\"created\":\"2019-01-01T00:00:00.5+01:00\"," ROOTFS "}", NULL,
		"host:5000/team/old@sha256:" HEX);
	put(w, 3, "{" ROOTFS "}", NULL, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	towline_store_close(w->store);
	folder_remove(w->dir);
	free(w);
	return 0;
}

/* The pattern with the ID of image N for each {N}. */
static char *fill(const struct world *w, const char *pattern)
{
	struct buf b = {0};

	buf_append_str(&b, "");
	for (; *pattern; pattern++) {
		if (*pattern == '{' && pattern[1] >= '0' && pattern[1] <= '3' &&
			pattern[2] == '}') {
			buf_append_str(&b, w->ids[pattern[1] - '0']);
			pattern += 2;
		} else {
			buf_append_char(&b, *pattern);
		}
	}
	return buf_steal(&b);
}

#define NO_CONFIG                                                                                  \
	"{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,"              \
	"\"AttachStdout\":false,\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false,"         \
	"\"StdinOnce\":false,\"Env\":null,\"Cmd\":null,\"Image\":\"\",\"Volumes\":null,"           \
	"\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,\"Labels\":null}"
#define END                                                                                        \
	"\"Size\":0,\"VirtualSize\":0,\"GraphDriver\":{\"Data\":null,\"Name\":\"towline\"},"       \
	"\"RootFS\":{\"Type\":\"layers\"},\"Metadata\":{\"LastTagTime\":\"0001-01-01T00:00:00Z\"}" \
	"}"

static void inspects(void **state)
{
	static const struct {
		const char *name, *want;
	} cases[] = {
		{"one", "{\"Id\":\"{0}\",\"RepoTags\":[\"one:latest\"],\"RepoDigests\":"
			"[\"one@sha256:" HEX "\"],\"Parent\":\"\",\"Comment\":\"last\",\"Created\":"
			"\"2020-01-01T00:00:00Z\",\"Container\":\"\",\"ContainerConfig\":" NO_CONFIG
			",\"DockerVersion\":\"\",\"Author\":\"<me>\",\"Config\":{\"Hostname\":\"\","
			"\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,\"AttachStdout\":"
			"false,\"AttachStderr\":false,\"ExposedPorts\":{\"80/tcp\":{}},\"Tty\":"
			"false,\"OpenStdin\":false,\"StdinOnce\":false,\"Env\":null,\"Cmd\":"
			"[\"one\"],\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Image\":\"\","
			"\"Volumes\":null,\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,"
			"\"Labels\":{\"a\":\"<&>\",\"b\":\"2\"}},\"Architecture\":\"arm64\","
			"\"Variant\":\"v8\",\"Os\":\"linux\"," END},
		{"{3}", "{\"Id\":\"{3}\",\"RepoTags\":[],\"RepoDigests\":[],\"Parent\":\"\","
			"\"Comment\":\"\",\"Created\":\"0001-01-01T00:00:00Z\",\"Container\":\"\","
			"\"ContainerConfig\":" NO_CONFIG ",\"DockerVersion\":\"\",\"Author\":\"\","
			"\"Config\":null,\"Architecture\":\"\",\"Os\":\"linux\"," END},
		{"absent", "error: No such image: absent:latest"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *name = fill(w, cases[i].name), *want = fill(w, cases[i].want);
		struct heard h;

		heard_init(&h);
		(void)towline_image_json(w->store, name, &h.sink);
		expect(cases[i].name, &h, want);
	}
}

#define ITEM(created, id, labels, digests, tags)                                                   \
	"{\"Containers\":-1,\"Created\":" created ",\"Id\":\"" id "\",\"Labels\":" labels          \
	",\"ParentId\":\"\",\"RepoDigests\":" digests ",\"RepoTags\":" tags                        \
	",\"SharedSize\":-1,\"Size\":0,\"VirtualSize\":0}"
#define TWO ITEM("1609459200", "{1}", "{\"a\":\"x\"}", "null", "[\"host:5000/team/two:v1\"]")
#define ONE                                                                                        \
	ITEM("1577836800", "{0}", "{\"a\":\"<&>\",\"b\":\"2\"}", "[\"one@sha256:" HEX "\"]",       \
		"[\"one:latest\"]")
#define OLD ITEM("1546297200", "{2}", "null", "[\"host:5000/team/old@sha256:" HEX "\"]", "null")
#define BARE ITEM("-62135596800", "{3}", "null", "[\"<none>@<none>\"]", "[\"<none>:<none>\"]")

static void lists(void **state)
{
	static const struct {
		const char *filters, *reference, *want;
	} cases[] = {
		{NULL, NULL, "[" TWO "," ONE "," OLD "," BARE "]"},
		{"", "", "[" TWO "," ONE "," OLD "," BARE "]"},
		{"null", NULL, "[" TWO "," ONE "," OLD "," BARE "]"},
		{"{\"reference\":{\"one\":true}}", NULL, "[" ONE "]"},
		{"{\"reference\":{\"one:l*\":true}}", NULL,
			"[" ITEM("1577836800", "{0}", "{\"a\":\"<&>\",\"b\":\"2\"}", "null",
				"[\"one:latest\"]") "]"},
		{"{\"reference\":[\"host:5000/*/*\"]}", NULL, "[" TWO "," OLD "]"},
		{NULL, "host:5000/*", "[]"},
		{"{\"reference\":{\"one[\":true}}", NULL, "error: syntax error in pattern"},
		{"{\"dangling\":{\"true\":true}}", NULL, "[" OLD "," BARE "]"},
		{"{\"dangling\":{\"false\":true}}", NULL, "[" TWO "," ONE "," OLD "]"},
		{"{\"dangling\":{\"maybe\":true}}", NULL,
			"error: Invalid filter 'dangling=[maybe]'"},
		{"{\"label\":{\"a\":true}}", NULL, "[" TWO "," ONE "]"},
		{"{\"label\":{\"a=x\":true}}", NULL, "[" TWO "]"},
		{"{\"label\":{\"a\":true,\"b=2\":true}}", NULL, "[" ONE "]"},
		{"{\"since\":{\"one\":true}}", NULL, "[" TWO "]"},
		{"{\"before\":{\"one:latest\":true}}", NULL, "[" OLD "," BARE "]"},
		{"{\"before\":{\"absent\":true}}", NULL, "error: No such image: absent:latest"},
		{"{\"colour\":{\"red\":true}}", NULL, "error: Invalid filter 'colour'"},
		{"{", NULL, "error: unexpected end of JSON input"},
		{"[1]", NULL, "error: invalid filters: not an object of objects: [1]"},
		{"{\"label\":{\"a\":1}}", NULL,
			"error: invalid filters: not an object of objects: {\"label\":{\"a\":1}}"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct towline_list_options options = {.struct_size = sizeof(options),
			.filters = cases[i].filters,
			.reference = cases[i].reference};
		cleanup_free char *want = fill(w, cases[i].want);
		struct heard h;

		heard_init(&h);
		(void)towline_images_json(w->store, i ? &options : NULL, &h.sink);
		expect(cases[i].filters ? cases[i].filters : "all", &h, want);
	}
}

static void hears_credentials(void **state)
{
	static const struct {
		const char *text;
		int base64url;
		const char *want;
	} cases[] = {
		{"{\"username\":\"u\",\"password\":\"p\",\"serveraddress\":\"h:1\"}", 0,
			"u:p   h:1"},
		{"{\"Identitytoken\":\"i\",\"registrytoken\":\"r\"} trailing", 0, ": i r "},
		{"eyJ1c2VybmFtZSI6Inw_PyIsInBhc3N3b3JkIjoiw78ifQ==", 1, "|??:\xc3\xbf   "},
		{"eyJ1c2VybmFtZSI6Inw/PyIsInBhc3N3b3JkIjoiw78ifQ==", 1,
			"error: illegal base64 data at input byte 19"},
		{"", 0, "error: EOF"},
		{"{\"username\":1}", 0,
			"error: json: cannot unmarshal number into Go struct field "
			"AuthConfig.username of type string"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct heard h;

		heard_init(&h);
		h.auth = true;
		(void)towline_auth_config(
			cases[i].text, strlen(cases[i].text), cases[i].base64url, &h.sink);
		expect(cases[i].text, &h, cases[i].want);
	}
}

static void puts_references_together(void **state)
{
	static const struct {
		const char *name, *tag, *want;
	} cases[] = {
		{"busybox", "", "docker.io/library/busybox"},
		{"busybox", "1.36", "docker.io/library/busybox:1.36"},
		{"busybox:1", "2", "docker.io/library/busybox:2"},
		{"h:5000/a/b:1", "sha256:" HEX, "h:5000/a/b@sha256:" HEX},
		{"h:5000/a/b", "sha256:12", "error: invalid tag format"},
		{"h:5000/a/B", "1",
			"error: invalid reference format: repository name must be lowercase"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct heard h;

		heard_init(&h);
		(void)towline_reference_with(cases[i].name, cases[i].tag, &h.sink);
		expect(cases[i].name, &h, cases[i].want);
	}
}

static void says_strings_and_platforms(void **state)
{
	struct heard h;

	(void)state;
	heard_init(&h);
	assert_int_equal(towline_json_string("<a> & \"b\"\n\xff", &h.sink), 0);
	expect("a string", &h, "\"<a> & \\\"b\\\"\\n\\ufffd\"");
	h.platform = true;
	assert_int_equal(towline_platform_parse("Linux/aarch64", &h.sink), 0);
	expect("a platform", &h, "linux/arm64/");
	assert_int_equal(towline_platform_parse("vax", &h.sink), IMAGE_PULL_INVALID);
	expect("no platform", &h,
		"error: \"vax\": unknown operating system or architecture: invalid argument");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(inspects, setup, teardown),
		cmocka_unit_test_setup_teardown(lists, setup, teardown),
		cmocka_unit_test(hears_credentials),
		cmocka_unit_test(puts_references_together),
		cmocka_unit_test(says_strings_and_platforms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
