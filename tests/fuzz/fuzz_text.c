/* SPDX-License-Identifier: Apache-2.0 */
/* Texts and documents of registries, one parser for each value of the first byte: references,
 * challenges, manifests of each type, error bodies, JSON. What is parsed is also used. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "fuzz.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "registry/challenge.h"
#include "registry/errcode.h"
#include "registry/header.h"

/* An error always has a text. */
static void check_error(const struct error *err)
{
	if (!err || !*err->message)
		abort();
}

static void fuzz_reference(const char *text, size_t size)
{
	struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;

	(void)size;
	if (reference_parse_normalized_named(text, &ref, &err) < 0) {
		check_error(err);
		return;
	}
	/* What was understood is understood again, as the same. */
	char *once = reference_string(ref), *twice = NULL;
	struct reference *again = NULL;

	if (reference_parse_normalized_named(once, &again, &err) < 0)
		abort();
	twice = reference_string(again);
	if (strcmp(once, twice) != 0)
		abort();
	free(once);
	free(twice);
	reference_free(again);
	reference_free(ref);
}

static void fuzz_challenge(const char *text, size_t size)
{
	struct header_list headers = {0};
	struct challenge_list list = {0};

	(void)size;
	if (header_add(&headers, "WWW-Authenticate", text, NULL) == 0 &&
		challenge_parse(401, &headers, &list, NULL) == 0) {
		for (size_t i = 0; i < list.count; i++)
			if (!challenge_param(&list.items[i], "realm"))
				abort();
	}
	challenge_list_free(&list);
	header_list_free(&headers);
}

static void fuzz_errcode(const char *text, size_t size)
{
	static const int statuses[] = {400, 401, 403, 404, 429, 500, 503};
	const struct header_list headers = {0};

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct error *err =
			handle_error_response(statuses[i], "400 Bad Request", &headers, text, size);

		check_error(err);
		error_unref(err);
	}
}

static void fuzz_json(const char *text, size_t size)
{
	struct json *json = NULL;
	cleanup_error struct error *err = NULL;

	if (json_parse(text, size, &json, &err) < 0)
		check_error(err);
	json_free(json);
}

static void fuzz_manifest(const char *type, const char *text, size_t size)
{
	struct manifest *m = NULL;
	cleanup_error struct error *err = NULL;

	if (manifest_unmarshal(type, text, size, &m, &err) < 0) {
		check_error(err);
		return;
	}
	for (size_t i = 0; i < m->nlayers; i++)
		if (m->layers[i].digest[m->layers[i].digest_size])
			abort();
	manifest_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {MEDIA_TYPE_SCHEMA1_SIGNED, MEDIA_TYPE_SCHEMA2,
		MEDIA_TYPE_LIST, MEDIA_TYPE_OCI_MANIFEST, MEDIA_TYPE_OCI_INDEX, ""};
	char *text;

	if (!size)
		return 0;
	/* A copy with a NUL behind it, so that reading past its end is seen. */
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % (4 + ARRAY_SIZE(types))) {
	case 0:
		fuzz_reference(text, size - 1);
		break;
	case 1:
		fuzz_challenge(text, size - 1);
		break;
	case 2:
		fuzz_errcode(text, size - 1);
		break;
	case 3:
		fuzz_json(text, size - 1);
		break;
	default:
		fuzz_manifest(types[data[0] % (4 + ARRAY_SIZE(types)) - 4], text, size - 1);
	}
	free(text);
	return 0;
}
