/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: registry/api/errcode (Errors.UnmarshalJSON), registry/client/errors.go
 * (HandleErrorResponse, parseHTTPErrorResponse). */
#include "registry/errcode.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "registry/challenge.h"
#include "registry/header.h"

#define STATUS_UNAUTHORIZED 401
#define STATUS_TOO_MANY_REQUESTS 429

/* One element of the body's list: errcode.Error as encoding/json fills it. */
struct entry {
	const char *code; /* NULL: as registered for none */
	const struct json_value *message, *detail;
};

/* A Go slice: what lies between count and capacity keeps its old content, and a repeated key
 * decodes into the elements that are there. */
struct entries {
	struct entry *items;
	size_t count, capacity;
};

/* encoding/json goes on after a value of the wrong type and reports the first at the end. */
struct mismatch {
	const struct json_value *value;
	const char *where, *type;
	bool no_memory;
};

static void mismatch_note(
	struct mismatch *m, const struct json_value *v, const char *where, const char *type)
{
	if (m->value)
		return;
	m->value = v;
	m->where = where;
	m->type = type;
}

static const char *type_name(const struct json_value *v)
{
	switch (v->type) {
	case JSON_NULL:
		return "null";
	case JSON_BOOL:
		return "bool";
	case JSON_NUMBER:
		return "number";
	case JSON_STRING:
		return "string";
	case JSON_ARRAY:
		return "array";
	case JSON_OBJECT:
		break;
	}
	return "object";
}

/* Would Go decode this member into the field of that name? */
static bool is_field(const struct json_member *m, const char *name)
{
	struct json_value one = {.type = JSON_OBJECT, .members = m, .count = 1};

	return json_get(&one, name) != NULL;
}

static void decode_entry(const struct json_value *v, struct entry *e, struct mismatch *bad)
{
	if (v->type == JSON_NULL)
		return;
	if (v->type != JSON_OBJECT) {
		mismatch_note(bad, v, "struct field .Errors", "errcode.Error");
		return;
	}
	for (size_t i = 0; i < v->count; i++) {
		const struct json_value *m = &v->members[i].value;

		if (is_field(&v->members[i], "code")) {
			/* A null leaves a field as it is, but for an interface. */
			if (m->type == JSON_STRING)
				e->code = memchr(m->text, '\0', m->size) ? "" : m->text;
			else if (m->type != JSON_NULL)
				mismatch_note(bad, m, "struct field Error.Errors.code",
					"errcode.ErrorCode");
		} else if (is_field(&v->members[i], "message")) {
			if (m->type == JSON_STRING)
				e->message = m;
			else if (m->type != JSON_NULL)
				mismatch_note(
					bad, m, "struct field Error.Errors.message", "string");
		} else if (is_field(&v->members[i], "detail")) {
			e->detail = m->type == JSON_NULL ? NULL : m;
		}
	}
}

static bool entries_grow(struct entries *list)
{
	size_t capacity = list->capacity + list->capacity / 2;
	struct entry *items;

	if (capacity < 4)
		capacity = 4;
	items = reallocarray(list->items, capacity, sizeof(*items));
	if (!items)
		return false;
	memset(items + list->capacity, 0, (capacity - list->capacity) * sizeof(*items));
	list->items = items;
	list->capacity = capacity;
	return true;
}

static void decode_entries(const struct json_value *v, struct entries *list, struct mismatch *bad)
{
	if (v->type == JSON_NULL || (v->type == JSON_ARRAY && !v->count)) {
		free(list->items);
		*list = (struct entries){0};
		return;
	}
	if (v->type != JSON_ARRAY) {
		mismatch_note(bad, v, "struct field .Errors", "[]errcode.Error");
		return;
	}
	for (size_t i = 0; i < v->count; i++) {
		if (i >= list->capacity && !entries_grow(list)) {
			bad->no_memory = true;
			return;
		}
		decode_entry(&v->items[i], &list->items[i], bad);
	}
	list->count = v->count;
}

/* An entry without detail whose message says no more than its code does becomes a bare code. */
static struct error *entry_error(const struct entry *e, const char *body)
{
	const struct errcode_info *info = errcode_info(e->code);
	const char *text = e->message ? e->message->text : "";

	if (!e->detail && (!*text || !strcmp(text, info->message)))
		return error_errcode_code(info->code);
	return error_errcode(info->code, text, e->detail ? body + e->detail->begin : NULL,
		e->detail ? e->detail->end - e->detail->begin : 0);
}

static struct error *entries_error(const struct entries *list, const char *body)
{
	struct error **errors = calloc(list->count + 1, sizeof(struct error *));
	struct error *err;

	if (!errors)
		return &error_no_memory;
	for (size_t i = 0; i < list->count; i++)
		errors[i] = entry_error(&list->items[i], body);
	err = error_errcode_errors(errors, list->count);
	free(errors);
	return err;
}

int errcode_unmarshal_errors(
	const void *body, size_t size, struct error **ret_errors, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	struct entries list = {0};
	struct mismatch bad = {0};
	const struct json_value *root;
	int ret = -1;

	if (json_parse(body, size, &json, reterr) < 0)
		return -1;
	root = json_root(json);
	if (root->type == JSON_OBJECT) {
		for (size_t i = 0; i < root->count; i++)
			if (is_field(&root->members[i], "Errors"))
				decode_entries(&root->members[i].value, &list, &bad);
	} else if (root->type != JSON_NULL) {
		mismatch_note(&bad, root, "value", "struct { Errors []errcode.Error }");
	}
	if (bad.no_memory) {
		error_set(reterr, &error_no_memory);
	} else if (bad.value) {
		error_setf(reterr, "json: cannot unmarshal %s into Go %s of type %s",
			type_name(bad.value), bad.where, bad.type);
	} else {
		*ret_errors = entries_error(&list, body);
		ret = 0;
	}
	free(list.items);
	return ret;
}

/* Some registries answer {"details": "..."} alone. NULL where this body is no such answer. */
static struct error *details_error(int status, const void *body, size_t size)
{
	cleanup_json struct json *json = NULL;
	const struct json_value *root, *details = NULL;

	if (json_parse(body, size, &json, NULL) < 0)
		return NULL;
	root = json_root(json);
	if (root->type != JSON_OBJECT)
		return NULL;
	for (size_t i = 0; i < root->count; i++) {
		if (!is_field(&root->members[i], "details"))
			continue;
		if (root->members[i].value.type == JSON_STRING)
			details = &root->members[i].value;
		else if (root->members[i].value.type != JSON_NULL)
			return NULL;
	}
	if (!details || !details->size)
		return NULL;
	return error_errcode(status == STATUS_UNAUTHORIZED        ? "UNAUTHORIZED"
			     : status == STATUS_TOO_MANY_REQUESTS ? "TOOMANYREQUESTS"
								  : "UNKNOWN",
		details->text, NULL, 0);
}

static struct error *parse_http_error_response(int status, const void *body, size_t size)
{
	cleanup_error struct error *errors = NULL;
	struct error *parse_error = NULL, *details = details_error(status, body, size);

	if (details)
		return details;
	if (!errcode_unmarshal_errors(body, size, &errors, &parse_error)) {
		if (errors->kind != ERROR_ERRCODE_ERRORS || errors->nlist)
			return steal_ptr(&errors);
		parse_error = &err_no_errors_in_body;
	}
	return error_unexpected_http_response(status, parse_error, body, size);
}

/* mergeErrors: both are taken over. */
static struct error *merge_errors(struct error *first, struct error *second)
{
	bool is_list = second->kind == ERROR_ERRCODE_ERRORS;
	size_t n = is_list ? second->nlist : 1;
	struct error **list = calloc(n + 1, sizeof(struct error *));
	struct error *merged = &error_no_memory;

	if (list) {
		list[0] = error_ref(first);
		for (size_t i = 0; i < n; i++)
			list[i + 1] = error_ref(is_list ? second->list[i] : second);
		merged = error_errcode_errors(list, n + 1);
	}
	free(list);
	error_unref(first);
	error_unref(second);
	return merged;
}

/* What a bearer challenge says of the token that was sent (RFC 6750, section 3.1); NULL: nothing.
 */
static struct error *challenge_error(const struct challenge_list *challenges)
{
	for (size_t i = 0; i < challenges->count; i++) {
		const struct challenge *c = &challenges->items[i];
		const char *error = challenge_param(c, "error");
		const char *text = challenge_param(c, "error_description");
		const char *code;

		if (strcmp(c->scheme, "bearer"))
			continue;
		if (!strcmp(error, "invalid_token"))
			code = "UNAUTHORIZED";
		else if (!strcmp(error, "insufficient_scope"))
			code = "DENIED";
		else
			continue;
		return error_errcode(code, *text ? text : NULL, NULL, 0);
	}
	return NULL;
}

struct error *handle_error_response(int status, const char *status_line,
	const struct header_list *headers, const void *body, size_t size)
{
	struct challenge_list challenges = {0};
	struct error *from_challenge, *err = NULL;

	if (status < 400 || status >= 500)
		return error_unexpected_http_status(status_line);
	if (challenge_parse(status, headers, &challenges, &err) < 0)
		return err;
	from_challenge = challenge_error(&challenges);
	challenge_list_free(&challenges);
	err = parse_http_error_response(status, body, size);
	if (from_challenge)
		return merge_errors(from_challenge, err);
	if (err->kind == ERROR_UNEXPECTED_HTTP_RESPONSE && status == STATUS_UNAUTHORIZED) {
		/* Nobody could read the body, so it is handed on as it is. */
		struct error *unauthorized = error_errcode_bytes("UNAUTHORIZED", body, size);

		error_unref(err);
		return unauthorized;
	}
	return err;
}
