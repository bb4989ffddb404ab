/* SPDX-License-Identifier: Apache-2.0 */
/* engine.json's "registries". Go counterparts, in what the keys mean: containers/image's
 * sysregistriesv2, containerd's remotes/docker/config. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "config_reader.h"
#include "registry_rules.h"

#define KEY_SIZE 64

/* The keys of one object, read into arg. */
struct object_key {
	const char *name;
	int (*read)(struct config_reader *r, const struct json_value *v, const char *key, void *arg,
		struct error **reterr);
};

/* name: the object's, for the keys' full names. A key that none of the tables has is an error. */
static int read_object(struct config_reader *r, const struct json_value *v, const char *name,
	const struct object_key *const *tables, void *arg, struct error **reterr)
{
	if (config_expect(r, v, JSON_OBJECT, name, reterr) < 0)
		return -1;
	for (size_t i = 0; i < v->count; i++) {
		const struct json_member *m = &v->members[i];
		cleanup_free char *key = str_printf("%s.%s", name, m->key);
		const struct object_key *found = NULL;

		if (!key)
			return error_set(reterr, &error_no_memory);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(v->members[j].key, m->key))
				return config_complain(
					r, &m->value, key, "the key is there twice", reterr);
		for (size_t t = 0; tables[t] && !found; t++)
			for (const struct object_key *k = tables[t]; k->name; k++)
				if (!strcmp(k->name, m->key) && strlen(m->key) == m->key_size)
					found = k;
		if (!found)
			return config_complain(r, &m->value, key, "there is no such key", reterr);
		if (found->read(r, &m->value, key, arg, reterr) < 0)
			return -1;
	}
	return 0;
}

#define LOCATION_KEY(function, call)                                                               \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		void *arg, struct error **reterr)                                                  \
	{                                                                                          \
		struct towline_location *l = arg;                                                  \
                                                                                                   \
		return call;                                                                       \
	}

static int check_root(const char *text, struct error **reterr)
{
	size_t size = strlen(text);

	if (*text != '/' || size < 2 || text[size - 1] == '/' || strpbrk(text, "?#%\\ ") ||
		strstr(text, "//"))
		return error_setf(reterr, "\"%s\" is not of the form /PATH", text);
	return 0;
}

LOCATION_KEY(
	read_location, config_read_string(r, v, key, registry_check_location, &l->location, reterr))
LOCATION_KEY(read_insecure, config_read_bool(r, v, key, &l->insecure, reterr))
LOCATION_KEY(read_ca, config_read_string(r, v, key, config_check_absolute, &l->ca, reterr))
LOCATION_KEY(read_root, config_read_string(r, v, key, check_root, &l->api_root, reterr))
LOCATION_KEY(read_ns, config_read_bool(r, v, key, &l->ns, reterr))
LOCATION_KEY(read_connect_timeout, config_read_uint32(r, v, key, 1, &l->connect_timeout_ms, reterr))
LOCATION_KEY(read_username, config_read_string(r, v, key, NULL, &l->username, reterr))
LOCATION_KEY(read_password, config_read_string(r, v, key, NULL, &l->password, reterr))
LOCATION_KEY(
	read_authfile, config_read_string(r, v, key, config_check_absolute, &l->authfile, reterr))

/* One of several words, in *ret its number. */
static int read_word(struct config_reader *r, const struct json_value *v, const char *key,
	const char *const *words, int *ret, struct error **reterr)
{
	cleanup_buf struct buf what = {0};

	if (config_expect(r, v, JSON_STRING, key, reterr) < 0)
		return -1;
	for (int i = 0; words[i]; i++)
		if (*words[i] && !strcmp(words[i], v->text) && strlen(v->text) == v->size) {
			*ret = i;
			return 0;
		}
	buf_append_quoted(&what, v->text, v->size);
	buf_append_str(&what, " is none of");
	for (int i = 0; words[i]; i++)
		if (*words[i])
			buf_appendf(&what, " \"%s\"", words[i]);
	return what.oom ? error_set(reterr, &error_no_memory)
			: config_complain(r, v, key, what.data, reterr);
}

static int read_pull_from(struct config_reader *r, const struct json_value *v, const char *key,
	void *arg, struct error **reterr)
{
	static const char *const words[] = {[TOWLINE_PULL_FROM_ALL] = "all",
		[TOWLINE_PULL_FROM_DIGEST_ONLY] = "digest-only",
		[TOWLINE_PULL_FROM_TAG_ONLY] = "tag-only",
		NULL};
	struct towline_location *l = arg;

	return read_word(r, v, key, words, &l->pull_from, reterr);
}

/* "stored", "request", {"username", "password"} or {"authfile"}. */
static int read_credentials(struct config_reader *r, const struct json_value *v, const char *key,
	void *arg, struct error **reterr)
{
	static const struct object_key names[] = {{"username", read_username},
		{"password", read_password}, {"authfile", read_authfile}, {NULL, NULL}};
	static const struct object_key *const tables[] = {names, NULL};
	static const char *const words[] = {"", "", [TOWLINE_CREDENTIALS_STORED] = "stored",
		[TOWLINE_CREDENTIALS_REQUEST] = "request", NULL};
	struct towline_location *l = arg;

	if (v->type == JSON_STRING)
		return read_word(r, v, key, words, &l->credentials, reterr);
	if (read_object(r, v, key, tables, l, reterr) < 0)
		return -1;
	if (l->authfile ? l->username || l->password : !l->username || !l->password)
		return config_complain(r, v, key,
			"it is \"stored\", \"request\", an object of username and password, or one "
			"of authfile",
			reterr);
	l->credentials = l->authfile ? TOWLINE_CREDENTIALS_STORED : TOWLINE_CREDENTIALS_GIVEN;
	return 0;
}

/* Of every place, and of mirrors alone. */
static const struct object_key place_keys[] = {
	{"location", read_location},
	{"insecure", read_insecure},
	{"ca", read_ca},
	{"credentials", read_credentials},
	{"api-root", read_root},
	{"ns", read_ns},
	{"connect-timeout-ms", read_connect_timeout},
	{NULL, NULL},
};
static const struct object_key mirror_keys[] = {
	{"pull-from-mirror", read_pull_from},
	{NULL, NULL},
};

/* A new zeroed struct that the config owns, with its size set. */
#define NEW(r, type) ((type *)new_struct(r, sizeof(type)))
static void *new_struct(struct config_reader *r, size_t size)
{
	void *p = config_keep(r, calloc(1, size));

	if (p)
		memcpy(p, &size, sizeof(size));
	return p;
}

static int read_mirror(struct config_reader *r, const struct json_value *v, const char *key,
	const struct towline_location **ret, struct error **reterr)
{
	static const struct object_key *const tables[] = {place_keys, mirror_keys, NULL};
	struct towline_location *mirror = NEW(r, struct towline_location);

	if (!mirror)
		return error_set(reterr, &error_no_memory);
	if (read_object(r, v, key, tables, mirror, reterr) < 0)
		return -1;
	if (!mirror->location)
		return config_complain(r, v, key, "a mirror needs a location", reterr);
	*ret = mirror;
	return 0;
}

/* ---- an entry */

/* origin first: the place's keys are read into it. */
struct entry {
	struct towline_location origin;
	struct towline_registry registry;
};

static int read_prefix(struct config_reader *r, const struct json_value *v, const char *key,
	void *arg, struct error **reterr)
{
	struct entry *e = arg;

	return config_read_string(r, v, key, registry_check_prefix, &e->registry.prefix, reterr);
}

static int read_blocked(struct config_reader *r, const struct json_value *v, const char *key,
	void *arg, struct error **reterr)
{
	struct entry *e = arg;

	return config_read_bool(r, v, key, &e->registry.blocked, reterr);
}

static int read_mirror_only(struct config_reader *r, const struct json_value *v, const char *key,
	void *arg, struct error **reterr)
{
	struct entry *e = arg;

	return config_read_bool(r, v, key, &e->registry.mirror_only, reterr);
}

/* Room for what an array has: pointers, one NULL more. */
static void *list_for(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	void *list;

	if (config_expect(r, v, JSON_ARRAY, key, reterr) < 0)
		return NULL;
	list = config_keep(r, calloc(v->count + 1, sizeof(void *)));
	if (!list)
		error_set(reterr, &error_no_memory);
	return list;
}

static int read_mirrors(struct config_reader *r, const struct json_value *v, const char *key,
	void *arg, struct error **reterr)
{
	struct entry *e = arg;
	const struct towline_location **list = list_for(r, v, key, reterr);

	if (!list)
		return -1;
	for (size_t i = 0; i < v->count; i++) {
		char name[KEY_SIZE];

		snprintf(name, sizeof(name), "%s[%zu]", key, i);
		if (read_mirror(r, &v->items[i], name, &list[i], reterr) < 0)
			return -1;
	}
	e->registry.mirrors = list;
	return 0;
}

static int read_entry(struct config_reader *r, const struct json_value *v, const char *key,
	const struct towline_registry **ret, struct error **reterr)
{
	static const struct object_key entry_keys[] = {{"prefix", read_prefix},
		{"blocked", read_blocked}, {"mirror-only", read_mirror_only},
		{"mirrors", read_mirrors}, {NULL, NULL}};
	static const struct object_key *const tables[] = {place_keys, entry_keys, NULL};
	struct entry *e = config_keep(r, calloc(1, sizeof(*e)));
	const char *problem = NULL;

	if (!e)
		return error_set(reterr, &error_no_memory);
	e->origin.struct_size = sizeof(e->origin);
	e->registry.struct_size = sizeof(e->registry);
	e->registry.origin = &e->origin;
	if (read_object(r, v, key, tables, e, reterr) < 0)
		return -1;
	if (!e->registry.prefix)
		problem = "an entry needs a prefix";
	else if (!e->origin.location &&
		 (e->origin.ca || e->origin.credentials || e->origin.api_root || e->origin.ns ||
			 e->origin.connect_timeout_ms))
		problem = "ca, credentials, api-root, ns and connect-timeout-ms need a location";
	else if (e->registry.mirror_only && (!e->registry.mirrors || !*e->registry.mirrors))
		problem = "mirror-only needs mirrors";
	if (problem)
		return config_complain(r, v, key, problem, reterr);
	*ret = &e->registry;
	return 0;
}

int config_read_registries(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	const struct towline_registry **list = list_for(r, v, key, reterr);

	if (!list)
		return -1;
	for (size_t i = 0; i < v->count; i++) {
		char name[KEY_SIZE];

		snprintf(name, sizeof(name), "%s[%zu]", key, i);
		if (read_entry(r, &v->items[i], name, &list[i], reterr) < 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (!strcmp(list[i]->prefix, list[j]->prefix))
				return config_complain(
					r, &v->items[i], name, "the prefix is there twice", reterr);
	}
	config_of(r)->registries = list;
	return 0;
}
