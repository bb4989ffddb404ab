/* SPDX-License-Identifier: Apache-2.0 */
/* References, challenges, JSON: what was understood is printed, understood again, and the same. */
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "fuzz.h"
#include "image/digest.h"
#include "image/reference.h"
#include "print_json.h"
#include "registry/challenge.h"
#include "registry/header.h"

/* ---- references */

static void same_reference(const struct reference *a, const struct reference *b)
{
	must(!strcmp(a->domain, b->domain));
	must(!strcmp(a->path, b->path));
	must(!strcmp(a->tag, b->tag));
	must(!strcmp(a->digest, b->digest));
	must(!strcmp(a->name, b->name));
}

/* The limits of the grammar, said in another way. */
static void check_reference(const struct reference *ref)
{
	static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789._-/";
	static const char word[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t domain = strlen(ref->domain);

	must(*ref->path);
	/* "a_b.c/d" has none: its first part looks like one, but is not */
	if (!domain)
		must(!strcmp(ref->name, ref->path));
	else
		must(!strncmp(ref->name, ref->domain, domain) && ref->name[domain] == '/' &&
			!strcmp(ref->name + domain + 1, ref->path));
	must(ref->path[strspn(ref->path, lower)] == '\0');
	must(!strstr(ref->path, "..") && !strstr(ref->path, "//") && *ref->path != '/');
	must(strlen(ref->tag) <= 128 && ref->tag[strspn(ref->tag, word)] == '\0');
	must(*ref->tag != '.' && *ref->tag != '-');
	must(!*ref->digest || !digest_validate(ref->digest, strlen(ref->digest), NULL));
	must(!strpbrk(ref->domain, "/ @\t\r\n"));
}

static void parse_again(char *text, const struct reference *ref)
{
	struct reference *again = NULL;

	must(text && !reference_parse_normalized_named(text, &again, NULL));
	same_reference(ref, again);
	reference_free(again);
	free(text);
}

static bool begins_as_domain(const char *path)
{
	size_t n = strcspn(path, "/");

	return path[n] && (memchr(path, '.', n) || (n == 9 && !memcmp(path, "localhost", n)));
}

void fuzz_reference(const uint8_t *data, size_t size)
{
	cleanup_free char *text = fuzz_text(data, size), *any = NULL;
	cleanup_reference struct reference *ref = NULL, *bytes = NULL;
	cleanup_error struct error *err = NULL, *bytes_err = NULL;
	bool whole = strlen(text) == size;

	if (reference_parse_normalized_named_bytes(text, size, &bytes, &bytes_err) < 0)
		fuzz_check_error(bytes_err);
	must(whole || !bytes);
	if (reference_parse_normalized_named(text, &ref, &err) < 0) {
		fuzz_check_error(err);
		must(!ref && (!whole || !bytes));
		return;
	}
	must(!whole || bytes);
	check_reference(ref);
	must(!reference_parse_any(text, &any, NULL) && any);
	parse_again(reference_string(ref), ref);
	/* As in the original, a familiar text may not be the same again: "docker.io/a.b/c" becomes
	 * "a.b/c", and 64 hexadecimal digits are taken for an ID. */
	if (strcmp(ref->domain, "docker.io") ||
		(!begins_as_domain(ref->path) &&
			strspn(strrchr(ref->path, '/') + 1, "0123456789abcdef") != 64))
		parse_again(reference_familiar_string(ref), ref);
}

/* ---- challenges: one for each line */

static int parse_lines(char *text, struct challenge_list *ret)
{
	struct header_list headers = {0};
	char *line, *rest = text;
	int rc = 0;

	while (rc == 0 && (line = strsep(&rest, "\n")))
		if (header_add(&headers, "WWW-Authenticate", line, NULL) < 0)
			must(strchr(line, '\r'));
	rc = challenge_parse(401, &headers, ret, NULL);
	must(rc == 0);
	header_list_free(&headers);
	return rc;
}

static char *print_challenges(const struct challenge_list *list)
{
	struct buf b = {0};

	for (size_t i = 0; i < list->count; i++) {
		const struct challenge *c = &list->items[i];

		buf_appendf(&b, "%s%s", i ? "\n" : "", c->scheme);
		for (size_t k = 0; k < c->nparams; k++) {
			buf_appendf(&b, "%s%s=\"", k ? "," : " ", c->params[k].name);
			for (const char *p = c->params[k].value; *p; p++) {
				if (*p == '"' || *p == '\\')
					buf_append_char(&b, '\\');
				buf_append_char(&b, *p);
			}
			buf_append_char(&b, '"');
		}
	}
	must(!b.oom);
	return b.data ? buf_steal(&b) : strdup("");
}

static void same_challenges(const struct challenge_list *a, const struct challenge_list *b)
{
	must(a->count == b->count);
	for (size_t i = 0; i < a->count; i++) {
		const struct challenge *one = &a->items[i], *two = &b->items[i];

		must(!strcmp(one->scheme, two->scheme) && one->nparams == two->nparams);
		for (size_t k = 0; k < one->nparams; k++) {
			must(!strcmp(one->params[k].name, two->params[k].name));
			must(!strcmp(one->params[k].value, two->params[k].value));
			/* no value is empty, no name is there twice */
			must(*one->params[k].value);
			must(challenge_param(one, one->params[k].name) == one->params[k].value);
		}
	}
}

void fuzz_challenge(const uint8_t *data, size_t size)
{
	cleanup_free char *text = fuzz_text(data, size), *printed = NULL;
	struct challenge_list list = {0}, again = {0};

	parse_lines(text, &list);
	printed = print_challenges(&list);
	parse_lines(printed, &again);
	same_challenges(&list, &again);
	challenge_list_free(&list);
	challenge_list_free(&again);
}

/* ---- JSON */

static bool yajl_takes(const void *data, size_t size)
{
	static const yajl_callbacks none = {0};
	yajl_handle h = yajl_alloc(&none, NULL, NULL);
	bool ok;

	must(h);
	yajl_config(h, yajl_dont_validate_strings, 1);
	ok = yajl_parse(h, data, size) == yajl_status_ok &&
	     yajl_complete_parse(h) == yajl_status_ok;
	yajl_free(h);
	return ok;
}

static void same_text(const char *a, size_t a_size, const char *b, size_t b_size)
{
	must(a_size == b_size && !memcmp(a, b, a_size) && !a[a_size] && !b[b_size]);
}

static void same_json(const struct json_value *a, const struct json_value *b)
{
	must(a->type == b->type && a->count == b->count);
	if (a->type == JSON_BOOL)
		must(a->boolean == b->boolean);
	if (a->type == JSON_STRING || a->type == JSON_NUMBER)
		same_text(a->text, a->size, b->text, b->size);
	for (size_t i = 0; i < a->count; i++) {
		if (a->type == JSON_ARRAY) {
			same_json(&a->items[i], &b->items[i]);
			continue;
		}
		same_text(a->members[i].key, a->members[i].key_size, b->members[i].key,
			b->members[i].key_size);
		same_json(&a->members[i].value, &b->members[i].value);
	}
}

void fuzz_json(const uint8_t *data, size_t size)
{
	cleanup_free char *text = fuzz_text(data, size);
	cleanup_json struct json *json = NULL, *again = NULL, *first = NULL;
	cleanup_error struct error *err = NULL, *first_err = NULL;
	cleanup_buf struct buf printed = {0};

	if (json_decode_first(text, size, &first, &first_err) < 0)
		fuzz_check_error(first_err);
	if (json_parse(text, size, &json, &err) < 0) {
		fuzz_check_error(err);
		/* yajl takes vertical tabs and form feeds for white space, and half a token behind
		 * the value; depth has a limit. */
		must(first || !yajl_takes(text, size) || memchr(text, '\v', size) ||
			memchr(text, '\f', size) || strstr(err->message, "exceeded max depth"));
		return;
	}
	must(yajl_takes(text, size));
	must(first);
	same_json(json_root(json), json_root(first));
	must(json_root(json)->begin < json_root(json)->end && json_root(json)->end <= size);
	print_json(&printed, json_root(json), size % 2);
	must(!printed.oom && !json_parse(printed.data, printed.size, &again, NULL));
	same_json(json_root(json), json_root(again));
}
