/* SPDX-License-Identifier: Apache-2.0 */
/* compat/config: engine.json. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "folder.h"
#include "towline.h"

static int load(const char *folder, const char *text, const struct towline_config **config,
	struct towline_text *answer)
{
	cleanup_free char *path = folder_path(folder, "engine.json");

	folder_write(folder, "engine.json", text);
	towline_text_init(answer);
	return towline_config_load(path, config, &answer->sink);
}

/* What is wrong is said with its place. */
static void refused(void **state)
{
	static const struct {
		const char *text, *error; /* the error without the folder */
	} cases[] = {
		{"{\n\"data-rot\": \"/x\"}", ":2: \"data-rot\": there is no such key"},
		{"{\"Data-Root\": \"/x\"}", ":1: \"Data-Root\": there is no such key"},
		{"{\n\n \"data-root\": 5}",
			":3: \"data-root\": a string is expected, not a number"},
		{"{\"data-root\": \"x\"}", ":1: \"data-root\": \"x\" is not an absolute path"},
		{"{\"data-root\": null}", ":1: \"data-root\": a string is expected, not null"},
		{"{\"data-root\": \"/a\\u0000b\"}", ":1: \"data-root\": a NUL byte in a string"},
		{"{\"plugins\": {\"image_pull\":\n{\"pth\": \"/x\"}}}",
			":2: \"plugins.image_pull.pth\": there is no such key"},
		{"{\"plugins.image_pull.path\": \"/x\"}",
			":1: \"plugins.image_pull.path\": there is no such key"},
		{"{\"plugins\": []}", ":1: \"plugins\": an object is expected, not an array"},
		{"{\"plugins\": {\"image_push\": {}}}",
			":1: \"plugins.image_push\": there is no such key"},
		{"{\"registry-mirrors\": \"https://m\"}",
			":1: \"registry-mirrors\": an array is expected, not a string"},
		{"{\"registry-mirrors\": [\"https://m\",\n 7]}",
			":2: \"registry-mirrors\": a string is expected, not a number"},
		{"{\"registry-mirrors\": [\n\"ftp://m\"]}",
			":2: \"registry-mirrors\": invalid mirror: unsupported scheme \"ftp\" in "
			"\"ftp://m\""},
		{"{\"insecure-registries\": [\"x-\"]}",
			":1: \"insecure-registries\": invalid index name (x-). Cannot begin or end "
			"with a hyphen"},
		{"{\"allow-nondistributable-artifacts\": [\"a/b\"]}",
			":1: \"allow-nondistributable-artifacts\": "
			"allow-nondistributable-artifacts registry a/b is not valid: invalid host "
			"\"a/b\""},
		{"{\"max-concurrent-downloads\": -1}",
			":1: \"max-concurrent-downloads\": -1 is not a whole number from 0 to "
			"4294967295"},
		{"{\"max-concurrent-downloads\": 1.5}",
			":1: \"max-concurrent-downloads\": 1.5 is not a whole number from 0 to "
			"4294967295"},
		{"{\"max-download-attempts\": 0}",
			":1: \"max-download-attempts\": 0 is not a whole number from 1 to "
			"4294967295"},
		{"{\"max-download-attempts\": 4294967296}",
			":1: \"max-download-attempts\": 4294967296 is not a whole number from 1 to "
			"4294967295"},
		{"{\"insecure-loopback\": \"no\"}",
			":1: \"insecure-loopback\": a boolean is expected, not a string"},
		{"{\"durability\": \"some\"}",
			":1: \"durability\": \"some\" is neither \"full\" nor \"fast\""},
		{"{\"proxies\": {\"all-proxy\": \"x\"}}",
			":1: \"proxies.all-proxy\": there is no such key"},
		{"{\"limits\": {\"max-layer-size\": \"1G\"}}",
			":1: \"limits.max-layer-size\": a number is expected, not a string"},
		{"{\"limits\": {\"max-layer-entries\": 0}}",
			":1: \"limits.max-layer-entries\": 0 is not a whole number from 1 to "
			"9223372036854775807"},
		{"{\"limits\": {\"max-buffer-memory\": 262143}}",
			":1: \"limits.max-buffer-memory\": 262143 is not a whole number from "
			"262144 "
			"to 9223372036854775807"},
		{"{\"limits\": {\"max-connections\": 4294967296}}",
			":1: \"limits.max-connections\": 4294967296 is not a whole number from 1 "
			"to "
			"4294967295"},
		{"{\"limits\": {\"max-connections-per-host\": 0}}",
			":1: \"limits.max-connections-per-host\": 0 is not a whole number from 1 "
			"to "
			"4294967295"},
		{"{\"data-root\": \"/a\",\n\"data-root\": \"/b\"}",
			":2: \"data-root\": the key is there twice"},
		{"[]", ":1: an object is expected, not an array"},
		{"", ":1: unexpected end of JSON input"},
		{"{\n\"data-root\": \"/a\",\n}",
			":3: invalid character '}' looking for beginning of object key string"},
		{"{\"data-root\": \"/a\"}\nx", ":2: invalid character 'x' after top-level value"},
		{"{\n\"data-root\": \"/a\"\n", ":2: unexpected end of JSON input"},
		{"{\"network\": {\"retry-after\": 1}}",
			":1: \"network.retry-after\": a boolean is expected, not a number"},
		{"{\"network\": {\"max-speed\": 0}}",
			":1: \"network.max-speed\": 0 is not a whole number from 1 to "
			"9223372036854"},
		{"{\"registries\": {}}", ":1: \"registries\": an array is expected, not an object"},
		{"{\"registries\": [\n{\"location\": \"x\"}]}",
			":2: \"registries[0]\": an entry needs a prefix"},
		{"{\"registries\": [{\"prefix\": \"a.b\"},\n{\"prefix\": \"a.b\"}]}",
			":2: \"registries[1]\": the prefix is there twice"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"mirror\": []}]}",
			":1: \"registries[0].mirror\": there is no such key"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"blocked\": 1}]}",
			":1: \"registries[0].blocked\": a boolean is expected, not a number"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"blocked\": true, \"blocked\": "
		 "true}]}",
			":1: \"registries[0].blocked\": the key is there twice"},
		{"{\"registries\": [{\"prefix\": \"a.b/\"}]}",
			":1: \"registries[0].prefix\": \"a.b/\" is not of the form "
			"HOST[:PORT][/PATH] or *.DOMAIN[:PORT]"},
		{"{\"registries\": [{\"prefix\": \"*.a.b/c\"}]}",
			":1: \"registries[0].prefix\": \"*.a.b/c\" is not of the form "
			"HOST[:PORT][/PATH] or *.DOMAIN[:PORT]"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"mirrors\": [{}]}]}",
			":1: \"registries[0].mirrors[0]\": a mirror needs a location"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"mirrors\": [{\"location\": "
		 "\"ftp://x\"}]}]}",
			":1: \"registries[0].mirrors[0].location\": \"ftp://x\" is not of the form "
			"[http[s]://]HOST[:PORT][/PATH]"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"mirrors\": [{\"location\": "
		 "\"x\", \"pull-from-mirror\": \"none\"}]}]}",
			":1: \"registries[0].mirrors[0].pull-from-mirror\": \"none\" is none of "
			"\"all\" \"digest-only\" \"tag-only\""},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"location\": \"x\", "
		 "\"credentials\": {\"username\": \"u\"}}]}",
			":1: \"registries[0].credentials\": it is \"stored\", \"request\", an "
			"object of username and password, or one of authfile"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"location\": \"x\", "
		 "\"credentials\": \"mine\"}]}",
			":1: \"registries[0].credentials\": \"mine\" is none of \"stored\" "
			"\"request\""},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"ca\": \"/x\"}]}",
			":1: \"registries[0]\": ca, credentials, api-root, ns and "
			"connect-timeout-ms "
			"need a location"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"mirror-only\": true}]}",
			":1: \"registries[0]\": mirror-only needs mirrors"},
		{"{\"registries\": [{\"prefix\": \"a.b\", \"location\": \"x\", \"api-root\": "
		 "\"x/\"}]}",
			":1: \"registries[0].api-root\": \"x/\" is not of the form /PATH"},
	};
	char *folder = folder_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct towline_config *config = NULL;
		struct towline_text text;
		int code = load(folder, cases[i].text, &config, &text);
		cleanup_free char *expected =
			str_printf("%s/engine.json%s", folder, cases[i].error);

		if (code == IMAGE_PULL_OK || config || !str_equal(text.message, expected))
			fail_msg("%s\nexpected %s\ngot      %s", cases[i].text, expected,
				code == IMAGE_PULL_OK ? "(no error)" : text.message);
		towline_text_free(&text);
	}
	folder_remove(folder);
}

static void everything(void **state)
{
	static const char text[] =
		"{\"plugins\": {\"image_pull\": {\"path\": \"/lib/image_pull.so\"}},\n"
		"\"data-root\": \"/data\", \"registry-mirrors\": [\"https://a\", "
		"\"http://b:1/\"],\n"
		"\"insecure-registries\": [\"10.0.0.0/8\", \"c:5000\"],\n"
		"\"allow-nondistributable-artifacts\": [\"d\"],\n"
		"\"max-concurrent-downloads\": 7, \"max-download-attempts\": 9,\n"
		"\"proxies\": {\"http-proxy\": \"http://p\", \"https-proxy\": \"http://q\", "
		"\"no-proxy\": \"x,y\"},\n"
		"\"insecure-loopback\": false, \"certs-dirs\": [\"/c1\", \"/c2\"],\n"
		"\"durability\": \"fast\", \"default-registry\": \"http://127.0.0.1:5000\",\n"
		"\"ca-bundle\": \"/ca.pem\", \"user-agent\": \"u/1\", \"temp-dir\": \"/t\",\n"
		"\"limits\": {\"max-layer-size\": 8589934592, \"connect-timeout-ms\": 1,\n"
		"\"stall-timeout-ms\": 2, \"pull-timeout-ms\": 3,\n"
		"\"max-layer-entries\": 4, \"max-buffer-memory\": 262144,\n"
		"\"max-connections\": 5, \"max-connections-per-host\": 6}}";
	char *folder = folder_make();
	const struct towline_config *c = NULL;
	struct towline_text answer;
	int code = load(folder, text, &c, &answer);

	(void)state;
	if (code != IMAGE_PULL_OK)
		fail_msg("%s", towline_text_message(&answer, code));
	assert_true(str_has_suffix(c->file, "/engine.json"));
	assert_string_equal(c->plugin_path, "/lib/image_pull.so");
	assert_string_equal(c->data_root, "/data");
	assert_string_equal(c->registry_mirrors[0], "https://a");
	assert_string_equal(c->registry_mirrors[1], "http://b:1/");
	assert_null(c->registry_mirrors[2]);
	assert_string_equal(c->insecure_registries[1], "c:5000");
	assert_string_equal(c->allow_nondistributable_artifacts[0], "d");
	assert_int_equal(c->max_concurrent_downloads, 7);
	assert_int_equal(c->max_download_attempts, 9);
	assert_string_equal(c->http_proxy, "http://p");
	assert_string_equal(c->https_proxy, "http://q");
	assert_string_equal(c->no_proxy, "x,y");
	assert_int_equal(c->insecure_loopback, 0);
	assert_string_equal(c->certs_dirs[1], "/c2");
	assert_null(c->certs_dirs[2]);
	assert_int_equal(c->durable, 0);
	assert_string_equal(c->default_registry, "http://127.0.0.1:5000");
	assert_string_equal(c->ca_bundle, "/ca.pem");
	assert_string_equal(c->user_agent, "u/1");
	assert_string_equal(c->temp_dir, "/t");
	assert_int_equal(c->limits.max_concurrent_downloads, 7);
	assert_int_equal(c->limits.max_download_attempts, 9);
	assert_true(c->limits.max_layer_size == 8589934592u);
	assert_int_equal(c->limits.connect_timeout_ms, 1);
	assert_int_equal(c->limits.stall_timeout_ms, 2);
	assert_int_equal(c->limits.pull_timeout_ms, 3);
	assert_int_equal(c->bounds->struct_size, sizeof(*c->bounds));
	assert_int_equal(c->bounds->max_layer_entries, 4);
	assert_int_equal(c->bounds->max_buffer_memory, 262144);
	assert_int_equal(c->bounds->max_connections, 5);
	assert_int_equal(c->bounds->max_connections_per_host, 6);
	towline_config_free(c);
	towline_text_free(&answer);
	folder_remove(folder);
}

static void registries(void **state)
{
	static const char text[] =
		"{\"registries\": [{\"prefix\": \"a.b:5/c\", \"location\": \"d/e\", \"insecure\": "
		"true, \"blocked\": true, \"mirror-only\": true, \"credentials\": \"request\",\n"
		"\"mirrors\": [{\"location\": \"https://m:1\", \"ca\": \"/ca\", \"ns\": true, "
		"\"api-root\": \"/r\", \"connect-timeout-ms\": 9, \"credentials\": {\"username\": "
		"\"u\", \"password\": \"p\"}, \"pull-from-mirror\": \"tag-only\"}, "
		"{\"location\": \"[::1]:5\", \"credentials\": {\"authfile\": \"/f\"}}]}]}";
	char *folder = folder_make();
	const struct towline_config *c = NULL;
	const struct towline_registry *r;
	const struct towline_location *m;
	struct towline_text answer;
	int code = load(folder, text, &c, &answer);

	(void)state;
	if (code != IMAGE_PULL_OK)
		fail_msg("%s", towline_text_message(&answer, code));
	r = c->registries[0];
	assert_null(c->registries[1]);
	assert_string_equal(r->prefix, "a.b:5/c");
	assert_true(r->blocked && r->mirror_only && r->origin->insecure);
	assert_string_equal(r->origin->location, "d/e");
	assert_int_equal(r->origin->credentials, TOWLINE_CREDENTIALS_REQUEST);
	m = r->mirrors[0];
	assert_string_equal(m->location, "https://m:1");
	assert_string_equal(m->ca, "/ca");
	assert_string_equal(m->api_root, "/r");
	assert_string_equal(m->username, "u");
	assert_string_equal(m->password, "p");
	assert_int_equal(m->credentials, TOWLINE_CREDENTIALS_GIVEN);
	assert_int_equal(m->pull_from, TOWLINE_PULL_FROM_TAG_ONLY);
	assert_int_equal(m->connect_timeout_ms, 9);
	assert_true(m->ns && !m->insecure);
	assert_string_equal(r->mirrors[1]->location, "[::1]:5");
	assert_string_equal(r->mirrors[1]->authfile, "/f");
	assert_int_equal(r->mirrors[1]->credentials, TOWLINE_CREDENTIALS_STORED);
	assert_null(r->mirrors[2]);
	towline_config_free(c);
	towline_text_free(&answer);
	folder_remove(folder);
}

static void network(void **state)
{
	static const char text[] =
		"{\"network\": {\"retry-after\": true, \"head-first\": true, "
		"\"link-local-realms\": "
		"true, \"max-retries\": 1, \"max-retry-wait-ms\": 2, \"retry-backoff-ms\": 3, "
		"\"tls-timeout-ms\": 4, \"header-timeout-ms\": 5, \"min-speed\": 6, "
		"\"min-speed-time-ms\": 7, \"max-speed\": 8}}";
	char *folder = folder_make();
	const struct towline_config *c = NULL;
	const struct image_pull_network *n;
	struct towline_text answer;
	int code = load(folder, text, &c, &answer);

	(void)state;
	if (code != IMAGE_PULL_OK)
		fail_msg("%s", towline_text_message(&answer, code));
	n = c->network;
	assert_int_equal(n->struct_size, sizeof(*n));
	assert_int_equal(n->flags, IMAGE_PULL_NETWORK_RETRY_AFTER | IMAGE_PULL_NETWORK_HEAD_FIRST |
					   IMAGE_PULL_NETWORK_LINK_LOCAL_REALMS);
	assert_int_equal(n->max_retries, 1);
	assert_int_equal(n->max_retry_wait_ms, 2);
	assert_int_equal(n->retry_backoff_ms, 3);
	assert_int_equal(n->tls_timeout_ms, 4);
	assert_int_equal(n->header_timeout_ms, 5);
	assert_int_equal(n->min_speed, 6);
	assert_int_equal(n->min_speed_ms, 7);
	assert_int_equal(n->max_speed, 8);
	towline_config_free(c);
	towline_text_free(&answer);
	assert_int_equal(
		load(folder, "{\"network\": {\"head-first\": false}}", &c, &answer), IMAGE_PULL_OK);
	assert_int_equal(c->network->flags, 0);
	towline_config_free(c);
	towline_text_free(&answer);
	folder_remove(folder);
}

static void defaults(void **state)
{
	char *folder = folder_make();
	const struct towline_config *c = NULL;
	struct towline_text answer;

	(void)state;
	assert_int_equal(load(folder, "{}", &c, &answer), IMAGE_PULL_OK);
	assert_null(c->plugin_path);
	assert_null(c->registry_mirrors[0]);
	assert_null(c->registries[0]);
	assert_null(c->insecure_registries[0]);
	assert_null(c->allow_nondistributable_artifacts[0]);
	assert_int_equal(c->insecure_loopback, 1);
	assert_int_equal(c->max_concurrent_downloads, 3);
	assert_int_equal(c->max_download_attempts, 5);
	assert_int_equal(c->durable, 1);
	assert_null(c->default_registry);
	assert_null(c->http_proxy);
	assert_null(c->ca_bundle);
	assert_non_null(c->certs_dirs[0]);
	assert_int_equal(*c->data_root, '/');
	towline_config_free(c);
	towline_text_free(&answer);

	/* 0 is no limit, as in daemon.json. */
	assert_int_equal(
		load(folder, "{\"max-concurrent-downloads\": 0}", &c, &answer), IMAGE_PULL_OK);
	assert_true(c->max_concurrent_downloads == UINT32_MAX);
	towline_config_free(c);
	towline_text_free(&answer);
	folder_remove(folder);
}

/* Where the file is looked for. Root has one place only, which is not the test's to write to. */
static void search(void **state)
{
	char *folder = folder_make();
	cleanup_free char *missing = folder_path(folder, "missing.json");
	const struct towline_config *c = NULL;
	struct towline_text answer;

	(void)state;
	towline_text_init(&answer);
	assert_int_not_equal(towline_config_load(missing, &c, &answer.sink), IMAGE_PULL_OK);
	cleanup_free char *expected = str_printf("open %s: no such file or directory", missing);
	assert_string_equal(answer.message, expected);
	towline_text_free(&answer);

	setenv("XDG_CONFIG_HOME", folder, 1);
	setenv("XDG_DATA_HOME", folder, 1);
	folder_write(folder, "towline/engine.json", "{\"max-download-attempts\": 77}");
	towline_text_init(&answer);
	assert_int_equal(towline_config_load(NULL, &c, &answer.sink), IMAGE_PULL_OK);
	if (geteuid()) {
		cleanup_free char *file = folder_path(folder, "towline/engine.json");
		cleanup_free char *root = folder_path(folder, "towline");
		cleanup_free char *certs = folder_path(folder, "towline/certs.d");

		assert_string_equal(c->file, file);
		assert_int_equal(c->max_download_attempts, 77);
		assert_string_equal(c->data_root, root);
		assert_string_equal(c->certs_dirs[0], certs);
	} else {
		/* A user's file is nothing to root. */
		assert_int_not_equal(c->max_download_attempts, 77);
	}
	towline_config_free(c);
	towline_text_free(&answer);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(everything),
		cmocka_unit_test(registries),
		cmocka_unit_test(network),
		cmocka_unit_test(defaults),
		cmocka_unit_test(search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
