/* SPDX-License-Identifier: Apache-2.0 */
/* What repositories.json holds. Go counterpart: reference/store.go's Repositories and encoding/json
 * over it. */
#include "config.h"

#include "reference_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

static void repository_free(struct reference_repository *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->entries[i].key);
		free(r->entries[i].id);
	}
	free(r->entries);
	free(r->name);
}

void reference_file_free(struct reference_file *file)
{
	for (size_t i = 0; i < file->n; i++)
		repository_free(&file->repositories[i]);
	free(file->repositories);
	*file = (struct reference_file){0};
}

/* The index of name, or of the place where it belongs. */
static size_t repository_index(const struct reference_file *file, const char *name, bool *found)
{
	size_t low = 0, high = file->n;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(file->repositories[mid].name, name);

		if (!order) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t entry_index(const struct reference_repository *r, const char *key, bool *found)
{
	size_t low = 0, high = r->n;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(r->entries[mid].key, key);

		if (!order) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct reference_repository *reference_file_find(
	const struct reference_file *file, const char *name)
{
	bool found;
	size_t i = repository_index(file, name, &found);

	return found ? &file->repositories[i] : NULL;
}

struct reference_entry *reference_repository_find(
	const struct reference_repository *r, const char *key)
{
	bool found;
	size_t i = entry_index(r, key, &found);

	return found ? &r->entries[i] : NULL;
}

/* Room for one more element in an array that doubles. */
static int make_room(void **items, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return 0;

	size_t more = *room ? *room * 2 : 4;
	void *grown = reallocarray(*items, more, size);

	if (!grown)
		return -1;
	*items = grown;
	*room = more;
	return 0;
}

static struct reference_repository *repository_add(struct reference_file *file, const char *name)
{
	bool found;
	size_t i = repository_index(file, name, &found);

	if (found)
		return &file->repositories[i];

	char *copy = strdup(name);

	if (!copy || make_room((void **)&file->repositories, file->n, &file->room,
			     sizeof(*file->repositories)) < 0) {
		free(copy);
		return NULL;
	}
	memmove(&file->repositories[i + 1], &file->repositories[i],
		(file->n - i) * sizeof(*file->repositories));
	file->repositories[i] = (struct reference_repository){.name = copy};
	file->n++;
	return &file->repositories[i];
}

static int entry_set(struct reference_repository *r, const char *key, const char *id)
{
	bool found;
	size_t i = entry_index(r, key, &found);
	char *id_copy = strdup(id);

	if (!id_copy)
		return -1;
	if (found) {
		/* NOLINTNEXTLINE: found, so there are entries */
		free(r->entries[i].id);
		r->entries[i].id = id_copy;
		return 0;
	}

	char *key_copy = strdup(key);

	if (!key_copy || make_room((void **)&r->entries, r->n, &r->room, sizeof(*r->entries)) < 0) {
		free(key_copy);
		free(id_copy);
		return -1;
	}
	memmove(&r->entries[i + 1], &r->entries[i], (r->n - i) * sizeof(*r->entries));
	r->entries[i] = (struct reference_entry){key_copy, id_copy};
	r->n++;
	return 0;
}

int reference_file_set(struct reference_file *file, const char *name, const char *key,
	const char *id, struct error **reterr)
{
	struct reference_repository *r = repository_add(file, name);

	if (!r || entry_set(r, key, id) < 0)
		return error_set(reterr, &error_no_memory);
	r->null = false;
	return 0;
}

void reference_file_remove(
	struct reference_file *file, struct reference_repository *r, struct reference_entry *e)
{
	free(e->key);
	free(e->id);
	r->n--;
	memmove(e, e + 1, (size_t)(r->entries + r->n - e) * sizeof(*e));
	if (r->n)
		return;
	repository_free(r);
	file->n--;
	memmove(r, r + 1, (size_t)(file->repositories + file->n - r) * sizeof(*r));
}

void reference_file_write(const struct reference_file *file, struct buf *b)
{
	buf_append_str(b, "{\"Repositories\":{");
	for (size_t i = 0; i < file->n; i++) {
		const struct reference_repository *r = &file->repositories[i];

		if (i)
			buf_append_char(b, ',');
		buf_append_json(b, r->name, strlen(r->name), true);
		if (r->null) {
			buf_append_str(b, ":null");
			continue;
		}
		buf_append_str(b, ":{");
		for (size_t j = 0; j < r->n; j++) {
			if (j)
				buf_append_char(b, ',');
			buf_append_json(b, r->entries[j].key, strlen(r->entries[j].key), true);
			buf_append_char(b, ':');
			buf_append_json(b, r->entries[j].id, strlen(r->entries[j].id), true);
		}
		buf_append_char(b, '}');
	}
	buf_append_str(b, "}}");
}

/* ---- parsing: json.Decoder.Decode(&store)
 * -------------------------------------------------------------- */

static const char *value_name(const struct json_value *v)
{
	switch (v->type) {
	case JSON_BOOL:
		return "bool";
	case JSON_NUMBER:
		return "number";
	case JSON_STRING:
		return "string";
	case JSON_ARRAY:
		return "array";
	case JSON_OBJECT:
		return "object";
	default:
		return "null";
	}
}

/* Go goes on after the first value of a wrong type and reports that one: so do we, by stopping. */
static int wrong_type(const struct json_value *v, const char *type, struct error **reterr)
{
	return error_setf(reterr,
		"json: cannot unmarshal %s into Go struct field store.Repositories of type %s",
		value_name(v), type);
}

static bool has_nul(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static int parse_entry(
	struct reference_repository *r, const struct json_member *m, struct error **reterr)
{
	if (m->value.type != JSON_STRING && m->value.type != JSON_NULL)
		return wrong_type(&m->value, "digest.Digest", reterr);
	/* Go takes these; no reference or ID can be meant. */
	if (has_nul(m->key, m->key_size) ||
		(m->value.type == JSON_STRING && has_nul(m->value.text, m->value.size)))
		return error_setf(reterr, "a reference of repository %s has a NUL byte", r->name);
	if (entry_set(r, m->key, m->value.type == JSON_STRING ? m->value.text : "") < 0)
		return error_set(reterr, &error_no_memory);
	return 0;
}

static int parse_repository(
	struct reference_file *file, const struct json_member *m, struct error **reterr)
{
	const struct json_value *v = &m->value;

	if (v->type != JSON_OBJECT && v->type != JSON_NULL)
		return wrong_type(v, "reference.repository", reterr);
	if (has_nul(m->key, m->key_size))
		return error_setf(reterr, "the name of a repository has a NUL byte");

	struct reference_repository *r = repository_add(file, m->key);

	if (!r)
		return error_set(reterr, &error_no_memory);
	/* Of duplicate names the last one counts: a map's element starts from zero. */
	for (size_t i = 0; i < r->n; i++) {
		free(r->entries[i].key);
		free(r->entries[i].id);
	}
	r->n = 0;
	r->null = v->type == JSON_NULL;
	for (size_t i = 0; i < v->count; i++)
		if (parse_entry(r, &v->members[i], reterr) < 0)
			return -1;
	return 0;
}

static int parse_root(
	const struct json_value *root, struct reference_file *file, struct error **reterr)
{
	if (root->type == JSON_NULL)
		return error_setf(reterr, "the file holds null where an object is expected");
	if (root->type != JSON_OBJECT)
		return error_setf(reterr,
			"json: cannot unmarshal %s into Go value of type reference.store",
			value_name(root));
	for (size_t i = 0; i < root->count; i++) {
		const struct json_member *m = &root->members[i];

		if (!json_key_equal_fold("Repositories", m->key, m->key_size) ||
			m->value.type == JSON_NULL)
			continue;
		if (m->value.type != JSON_OBJECT)
			return wrong_type(&m->value, "map[string]reference.repository", reterr);
		for (size_t j = 0; j < m->value.count; j++)
			if (parse_repository(file, &m->value.members[j], reterr) < 0)
				return -1;
	}
	return 0;
}

int reference_file_parse(
	const void *data, size_t size, struct reference_file *ret, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	struct reference_file file = {0};

	if (json_decode_first(data, size, &json, reterr) < 0)
		return -1;
	if (parse_root(json_root(json), &file, reterr) < 0) {
		reference_file_free(&file);
		return -1;
	}
	*ret = file;
	return 0;
}
