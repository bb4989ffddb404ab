/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c and metadata.c: properties that hold for any error tree, and what is remembered of
 * layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "pull.h"
#include "random.h"

struct line_counter {
	struct log log;
	size_t lines;
};

static void count_line(struct log *log, enum log_level level, const char *text)
{
	assert_int_equal(level, LOG_LEVEL_INFO);
	assert_true(str_has_prefix(text, "Ignoring extra error returned from registry: "));
	((struct line_counter *)log)->lines++;
}

static struct error *random_leaf(uint64_t *seed)
{
	static const char *const codes[] = {"DENIED", "MANIFEST_UNKNOWN", "NAME_UNKNOWN",
		"UNAUTHORIZED", "TOOMANYREQUESTS", "BLOB_UNKNOWN", "", "made up"};
	static struct error *const sentinels[] = {&err_no_basic_auth_credentials, &err_no_token,
		&err_context_canceled, &err_blob_unknown, &err_eof, &err_enospc, &err_esrch,
		&error_no_memory};
	const char *code = codes[random_below(seed, ARRAY_SIZE(codes))];

	switch (random_below(seed, 9)) {
	case 0:
		return error_errcode(code, random_below(seed, 2) ? "text" : NULL, NULL, 0);
	case 1:
		return error_errcode_code(code);
	case 2:
		return error_errcode_bytes(code, "\xff", 1);
	case 3:
		return sentinels[random_below(seed, ARRAY_SIZE(sentinels))];
	case 4:
		return error_unexpected_http_response(404, error_plainf("p"), "b", 1);
	case 5:
		return error_unexpected_http_status("500 Internal Server Error");
	case 6:
		return error_invalid_manifest_class("m", "c");
	case 7:
		return error_reserved_name("scratch");
	default:
		return error_plainf(
			"%s", random_below(seed, 2) ? "write: no space left on device" : "plain");
	}
}

static struct error *random_tree(uint64_t *seed, unsigned depth);

static struct error *random_list(uint64_t *seed, unsigned depth)
{
	struct error *list[4];
	size_t n = random_below(seed, ARRAY_SIZE(list) + 1);

	for (size_t i = 0; i < n; i++)
		list[i] = random_tree(seed, depth - 1);
	return error_errcode_errors(list, n);
}

static struct error *random_tree(uint64_t *seed, unsigned depth)
{
	static const enum error_kind wrappers[] = {ERROR_DO_NOT_RETRY, ERROR_NO_SUPPORT,
		ERROR_IMAGE_CONFIG_PULL, ERROR_WITH_STACK, ERROR_PING_RESPONSE};

	if (!depth || !random_below(seed, 4))
		return random_leaf(seed);
	switch (random_below(seed, 6)) {
	case 0:
	case 1:
		return random_list(seed, depth);
	case 2:
		return error_url("Get", "https://h/", random_tree(seed, depth - 1));
	case 3:
		return error_fallback(random_tree(seed, depth - 1), true, false);
	case 4:
		return error_errdefs(CLASS_UNAVAILABLE, random_tree(seed, depth - 1));
	default:
		return error_wrap(wrappers[random_below(seed, ARRAY_SIZE(wrappers))],
			random_tree(seed, depth - 1));
	}
}

/* Whatever comes, the pull ends with a message and with one of two classes, and what is left out is
 * logged. */
static void random_trees(void **state)
{
	cleanup_reference struct reference *ref = NULL;
	uint64_t seed = 1906;

	(void)state;
	assert_int_equal(reference_parse_normalized_named("example.com/a:b", &ref, NULL), 0);
	for (int i = 0; i < 100000; i++) {
		struct line_counter counter = {.log.write = count_line};
		cleanup_error struct error *err = random_tree(&seed, 6);
		cleanup_error struct error *translated = NULL, *retried = NULL, *allowed = NULL;
		enum error_class cls;

		translated = translate_pull_error(error_ref(err), ref, &counter.log);
		cls = error_class_of(translated);
		if (!translated->message || (cls != CLASS_UNKNOWN && cls != CLASS_NOT_FOUND))
			fail_msg("tree %d: class %d, %s", i, (int)cls, translated->message);
		if (cls == CLASS_NOT_FOUND && !strstr(translated->message, "example.com/a"))
			fail_msg("tree %d: %s does not name the reference", i, translated->message);
		if (err->kind == ERROR_ERRCODE_ERRORS && err->nlist)
			assert_true(counter.lines >= err->nlist - 1);
		retried = retry_on_error(error_ref(err));
		assert_non_null(retried->message);
		allowed = allow_v1_fallback(error_ref(err));
		if (allowed != err)
			assert_int_equal(allowed->kind, ERROR_FALLBACK);
		/* A mirror's error never ends what the registry's would not. */
		if (continue_on_error(err, false))
			assert_true(continue_on_error(err, true) ||
				    err->kind == ERROR_IMAGE_CONFIG_PULL);
	}
}

/* ---- metadata.c, over a store in memory */

#define DIGEST_OF(c) "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd" c

struct memory_store {
	struct buf names[8], values[8];
	size_t count;
	int fail_set;
};

static int memory_find(const struct memory_store *m, const char *name_space, const char *key)
{
	cleanup_free char *name = str_printf("%s/%s", name_space, key);

	for (size_t i = 0; i < m->count; i++)
		if (!strcmp(m->names[i].data, name))
			return (int)i;
	return -1;
}

static int memory_get(
	void *context, const char *name_space, const char *key, const struct image_pull_sink *sink)
{
	struct memory_store *m = context;
	int i = memory_find(m, name_space, key);

	if (i < 0)
		return IMAGE_PULL_NOT_FOUND;
	return sink->value(sink->receiver, m->values[i].data, m->values[i].size);
}

static int memory_set(void *context, const char *name_space, const char *key, const void *value,
	size_t size, const struct image_pull_sink *sink)
{
	struct memory_store *m = context;
	int i = memory_find(m, name_space, key);

	if (m->fail_set) {
		sink->message(sink->receiver, "read-only");
		return IMAGE_PULL_FAILED;
	}
	if (i < 0) {
		assert_true(m->count < ARRAY_SIZE(m->names));
		i = (int)m->count++;
		buf_appendf(&m->names[i], "%s/%s", name_space, key);
	}
	buf_reset(&m->values[i]);
	buf_append(&m->values[i], value, size);
	return IMAGE_PULL_OK;
}

static void memory_free(struct memory_store *m)
{
	for (size_t i = 0; i < m->count; i++) {
		buf_free(&m->names[i]);
		buf_free(&m->values[i]);
	}
}

static const char *memory_value(struct memory_store *m, const char *name_space, const char *key)
{
	int i = memory_find(m, name_space, key);

	return i < 0 ? NULL : m->values[i].data;
}

static void metadata(void **state)
{
	struct memory_store m = {0};
	struct image_pull_metadata_store store = {
		.struct_size = sizeof(store), .context = &m, .get = memory_get, .set = memory_set};
	const char *diff_key =
		"sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char diff_id[DIGEST_MAX];
	const char *value;

	(void)state;
	assert_int_equal(v2_metadata_get_diff_id(&store, DIGEST_OF("01"), diff_id), -1);
	v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("01"), "h/a<b");
	assert_int_equal(v2_metadata_get_diff_id(&store, DIGEST_OF("01"), diff_id), 0);
	assert_string_equal(diff_id, DIGEST_OF("ef"));
	value = memory_value(&m, "v2metadata-by-diffid", diff_key);
	assert_string_equal(value,
		"[{\"Digest\":\"" DIGEST_OF("01") "\",\"SourceRepository\":"
						  "\"h/a\\u003cb\",\"HMAC\":\"\"}]");
	/* The same again moves to the end; what others wrote stays. */
	memory_set(&m, "v2metadata-by-diffid", diff_key,
		"[{\"digest\":\"d\",\"HMAC\":\"h\"},{\"Digest\":\"x\"},null]",
		strlen("[{\"digest\":\"d\",\"HMAC\":\"h\"},{\"Digest\":\"x\"},null]"), NULL);
	v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("01"), "r");
	v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("01"), "s");
	v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("01"), "r");
	value = memory_value(&m, "v2metadata-by-diffid", diff_key);
	assert_string_equal(value,
		"[{\"Digest\":\"d\",\"SourceRepository\":\"\",\"HMAC\":\"h\"},"
		"{\"Digest\":\"x\",\"SourceRepository\":\"\",\"HMAC\":\"\"},"
		"{\"Digest\":\"\",\"SourceRepository\":\"\",\"HMAC\":\"\"},"
		"{\"Digest\":\"" DIGEST_OF(
			"01") "\",\"SourceRepository\":\"s\",\"HMAC\":\"\"},"
			      "{\"Digest\":\"" DIGEST_OF(
				      "01") "\",\"SourceRepository\":\"r\",\"HMAC\":\"\"}]");
	memory_free(&m);
}

static void metadata_limits(void **state)
{
	struct memory_store m = {0};
	struct image_pull_metadata_store store = {
		.struct_size = sizeof(store), .context = &m, .get = memory_get, .set = memory_set};
	const char *diff_key =
		"sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char diff_id[DIGEST_MAX];
	const char *value;
	size_t entries = 0;

	(void)state;
	for (int i = 0; i < 60; i++) {
		cleanup_free char *source = str_printf("repository%d", i);

		v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("01"), source);
	}
	value = memory_value(&m, "v2metadata-by-diffid", diff_key);
	for (const char *p = value; (p = strstr(p, "\"Digest\"")); p++)
		entries++;
	assert_int_equal(entries, 50);
	assert_null(strstr(value, "repository9\""));
	assert_non_null(strstr(value, "repository10\""));
	assert_non_null(strstr(value, "repository59\",\"HMAC\":\"\"}]"));
	/* What is damaged counts as nothing. */
	memory_set(&m, "v2metadata-by-diffid", diff_key, "[{\"Digest\":5}]", 14, NULL);
	memory_set(&m, "diffid-by-digest",
		"sha256/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd01",
		"../../etc", 9, NULL);
	assert_int_equal(v2_metadata_get_diff_id(&store, DIGEST_OF("01"), diff_id), -1);
	v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("01"), "new");
	value = memory_value(&m, "v2metadata-by-diffid", diff_key);
	assert_non_null(strstr(value, "[{\"Digest\":\"sha256:"));
	/* A store that fails, or none at all, fails no pull. */
	m.fail_set = 1;
	v2_metadata_add(&store, DIGEST_OF("ef"), DIGEST_OF("02"), "r");
	assert_int_equal(v2_metadata_get_diff_id(&store, DIGEST_OF("02"), diff_id), -1);
	v2_metadata_add(NULL, DIGEST_OF("ef"), DIGEST_OF("02"), "r");
	assert_int_equal(v2_metadata_get_diff_id(NULL, DIGEST_OF("02"), diff_id), -1);
	memory_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_trees),
		cmocka_unit_test(metadata),
		cmocka_unit_test(metadata_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
