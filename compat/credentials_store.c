/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in and out: credentials into helpers and files. Go counterpart: docker/cli's
 * config/credentials (nativeStore, fileStore) and config/configfile. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/json.h"
#include "credential_helper.h"
#include "credentials.h"
#include "file.h"
#include "sink.h"
#include "towline.h"

/* A credentials file, read. */
struct auth_file {
	char *path;
	char *data; /* NULL: there is no file yet */
	size_t size;
	struct json *json;
};

static void auth_file_free(struct auth_file *f)
{
	json_free(f->json);
	if (f->data)
		explicit_bzero(f->data, f->size);
	free(f->data);
	free(f->path);
}
#define cleanup_auth_file __attribute__((cleanup(auth_file_free)))

static int file_path(const char *authfile, char **ret, struct error **reterr)
{
	const char *env = secure_getenv("REGISTRY_AUTH_FILE");
	const char *named = authfile ? authfile : env && *env ? env : NULL;
	cleanup_free char *path = named ? strdup(named) : credentials_docker_file();

	if (!path)
		return named ? error_set(reterr, &error_no_memory)
			     : error_setf(reterr, "no place for credentials: set HOME or "
						  "REGISTRY_AUTH_FILE");
	/* A link to the file stays one. */
	*ret = realpath(path, NULL);
	if (!*ret)
		*ret = steal_ptr(&path);
	return 0;
}

static int auth_file_read(const char *authfile, struct auth_file *f, struct error **reterr)
{
	cleanup_error struct error *err = NULL;

	if (file_path(authfile, &f->path, reterr) < 0)
		return -1;
	if (file_read(f->path, CREDENTIALS_FILE_LIMIT, &f->data, &f->size, &err) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return error_set(reterr, error_ref(err));
	}
	if (json_parse(f->data, f->size, &f->json, &err) < 0)
		return err == &error_no_memory
			       ? error_set(reterr, &error_no_memory)
			       : error_setf(reterr, "%s: %s", f->path, err->message);
	if (json_root(f->json)->type != JSON_OBJECT)
		return error_setf(reterr, "%s is no JSON object", f->path);
	return 0;
}

/* The key that config.json and helpers have for what a user names. NULL: no memory. */
static char *server_key(const char *server)
{
	const char *host = server ? server : "";
	cleanup_free char *name = NULL;
	bool schemed = false;
	size_t size;

	if (str_has_prefix(host, "https://") || str_has_prefix(host, "http://")) {
		schemed = true;
		host = strstr(host, "//") + 2;
	}
	size = schemed ? strcspn(host, "/") : strlen(host);
	while (size && host[size - 1] == '/')
		size--;
	name = strndup(host, size);
	if (!name)
		return NULL;
	if (!*name || !strcmp(name, "docker.io") || !strcmp(name, "registry-1.docker.io") ||
		credentials_names_host(name, "index.docker.io"))
		return strdup(CREDENTIALS_INDEX_SERVER);
	return steal_ptr(&name);
}

/* Does this member of "auths" stand for the key? */
static bool same_server(const char *member, const char *key)
{
	if (!strcmp(member, key))
		return true;
	if (!strcmp(key, CREDENTIALS_INDEX_SERVER))
		return !strcmp(member, "docker.io") ||
		       credentials_names_host(member, "index.docker.io");
	return !strchr(key, '/') && credentials_names_host(member, key);
}

static const char *helper_of(const struct auth_file *f, const char *key)
{
	const struct json_value *root = f->json ? json_root(f->json) : NULL;
	const struct json_value *helpers = root ? json_get(root, "credHelpers") : NULL;
	const char *name = NULL;
	const char *store = root ? json_get_string(root, "credsStore", "") : "";

	for (size_t i = 0; helpers && helpers->type == JSON_OBJECT && i < helpers->count; i++) {
		const struct json_member *m = &helpers->members[i];

		if (same_server(m->key, key) && m->value.type == JSON_STRING && m->value.size)
			name = m->value.text;
	}
	if (name)
		return name;
	return *store ? store : NULL;
}

/* ---- the file, written again: everything but the entry of one server as it was */

static void append_key(struct buf *b, const char *indent, const struct json_member *m, bool *first)
{
	buf_appendf(b, "%s\n%s", *first ? "" : ",", indent);
	buf_append_json(b, m->key, m->key_size, false);
	buf_append_str(b, ": ");
	*first = false;
}

/* entry NULL: the server's goes. */
static void append_auths(struct buf *b, const struct auth_file *f, const struct json_value *auths,
	const char *key, const char *entry)
{
	const struct json_member own = {.key = key, .key_size = strlen(key)};
	bool first = true;

	buf_append_char(b, '{');
	for (size_t i = 0; auths && auths->type == JSON_OBJECT && i < auths->count; i++) {
		const struct json_member *m = &auths->members[i];

		if (same_server(m->key, key))
			continue;
		append_key(b, "\t\t", m, &first);
		buf_append(b, f->data + m->value.begin, m->value.end - m->value.begin);
	}
	if (entry) {
		append_key(b, "\t\t", &own, &first);
		buf_append_str(b, entry);
	}
	buf_append_str(b, first ? "}" : "\n\t}");
}

static int auth_file_write(
	const struct auth_file *f, const char *key, const char *entry, struct error **reterr)
{
	static const struct json_member auths_key = {.key = "auths", .key_size = 5};
	const struct json_value *root = f->json ? json_root(f->json) : NULL;
	const struct json_value *auths = root ? json_get(root, "auths") : NULL;
	cleanup_secret struct buf b = {0};
	cleanup_free char *folder = strdup(f->path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	bool first = true;

	buf_append_char(&b, '{');
	for (size_t i = 0; root && i < root->count; i++) {
		const struct json_member *m = &root->members[i];

		if (json_key_equal_fold("auths", m->key, m->key_size))
			continue;
		append_key(&b, "\t", m, &first);
		buf_append(&b, f->data + m->value.begin, m->value.end - m->value.begin);
	}
	append_key(&b, "\t", &auths_key, &first);
	append_auths(&b, f, auths, key, entry);
	buf_append_str(&b, "\n}\n");
	if (b.oom || !folder)
		return error_set(reterr, &error_no_memory);
	if (slash && slash != folder) {
		*slash = '\0';
		if (file_make_dirs(folder, 0700, reterr) < 0)
			return -1;
	}
	return file_write_atomic(f->path, b.data, b.size, 0600, true, reterr);
}

/* ---- the entry */

static void append_member(struct buf *b, const char *name, const char *value)
{
	buf_appendf(b, "%s\n\t\t\t\"%s\": ", b->size > 1 ? "," : "", name);
	buf_append_json(b, value, strlen(value), false);
}

static int make_entry(const struct image_pull_auth *auth, struct buf *b, struct error **reterr)
{
	cleanup_secret struct buf pair = {0};
	cleanup_secret struct buf coded = {0};
	const char *password = auth->password ? auth->password : "";

	if (strchr(auth->username, ':'))
		return error_setf(reterr, "a username with a colon cannot be stored in a file");
	buf_appendf(&pair, "%s:%s", auth->username, password);
	if (!pair.oom)
		encoding_base64(&coded, pair.data, pair.size, false);
	if (pair.oom || coded.oom)
		return error_set(reterr, &error_no_memory);
	buf_append_char(b, '{');
	append_member(b, "auth", coded.data);
	if (auth->identity_token && *auth->identity_token)
		append_member(b, "identitytoken", auth->identity_token);
	buf_append_str(b, "\n\t\t}");
	return b->oom ? error_set(reterr, &error_no_memory) : 0;
}

static int store(const char *authfile, const char *key, const struct image_pull_auth *auth,
	char **ret_where, struct error **reterr)
{
	cleanup_auth_file struct auth_file f = {NULL, NULL, 0, NULL};
	cleanup_secret struct buf entry = {0};
	const char *helper;

	if (!auth->username || !*auth->username)
		return error_setf(reterr, "a username is needed");
	if (auth_file_read(authfile, &f, reterr) < 0)
		return -1;
	helper = helper_of(&f, key);
	if (helper) {
		bool token = auth->identity_token && *auth->identity_token;

		if (credential_helper_store(helper, key, token ? "<token>" : auth->username,
			    token ? auth->identity_token : auth->password, reterr) < 0 ||
			auth_file_write(&f, key, "{}", reterr) < 0)
			return -1;
		*ret_where = str_printf("helper %s", helper);
	} else {
		if (make_entry(auth, &entry, reterr) < 0 ||
			auth_file_write(&f, key, entry.data, reterr) < 0)
			return -1;
		*ret_where = strdup(f.path);
	}
	return *ret_where ? 0 : error_set(reterr, &error_no_memory);
}

int towline_credentials_store(const char *authfile, const char *server,
	const struct image_pull_auth *auth, const struct image_pull_sink *sink)
{
	cleanup_free char *key = server_key(server);
	cleanup_free char *where = NULL;
	struct error *err = NULL;

	if (!key)
		return sink_no_memory(sink);
	if (store(authfile, key, auth, &where, &err) < 0)
		return sink_error(sink, err);
	return sink_text(sink, where);
}

/* 1: nothing was there. */
static int erase(const char *authfile, const char *key, struct error **reterr)
{
	cleanup_auth_file struct auth_file f = {NULL, NULL, 0, NULL};
	const struct json_value *auths;
	const char *helper;
	bool there = false;

	if (auth_file_read(authfile, &f, reterr) < 0)
		return -1;
	auths = f.json ? json_get(json_root(f.json), "auths") : NULL;
	for (size_t i = 0; auths && auths->type == JSON_OBJECT && i < auths->count; i++)
		there = there || same_server(auths->members[i].key, key);
	helper = helper_of(&f, key);
	/* What the file does not know of a helper may have all the same. */
	if (helper && credential_helper_erase(helper, key, reterr) < 0)
		return -1;
	if (there && auth_file_write(&f, key, NULL, reterr) < 0)
		return -1;
	return there ? 0 : 1;
}

int towline_credentials_erase(
	const char *authfile, const char *server, const struct image_pull_sink *sink)
{
	cleanup_free char *key = server_key(server);
	struct error *err = NULL;
	int r;

	if (!key)
		return sink_no_memory(sink);
	r = erase(authfile, key, &err);
	if (r < 0)
		return sink_error(sink, err);
	return r ? sink_fail(sink, IMAGE_PULL_NOT_FOUND, "Not logged in to %s", key)
		 : IMAGE_PULL_OK;
}
