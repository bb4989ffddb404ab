/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials for a registry, from the files that docker login and podman login write. Go
 * counterparts: docker/cli's config and credentials packages, containers/image's pkg/docker/config.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/json.h"
#include "credential_helper.h"
#include "credentials.h"
#include "dirs.h"
#include "file.h"
#include "image/reference.h"
#include "sink.h"
#include "towline.h"

struct credentials {
	char *username, *password, *identity_token, *registry_token;
};

static void credentials_free(struct credentials *c)
{
	secret_free(c->username);
	secret_free(c->password);
	secret_free(c->identity_token);
	secret_free(c->registry_token);
}
#define cleanup_credentials __attribute__((cleanup(credentials_free)))

static bool nothing_in(const struct credentials *c)
{
	return !(c->username && *c->username) && !(c->password && *c->password) &&
	       !(c->identity_token && *c->identity_token) &&
	       !(c->registry_token && *c->registry_token);
}

/* Whom the credentials are for. */
struct target {
	const struct reference *ref;
	const char *server;    /* the registry as config.json and the helpers name it */
	struct buf complaints; /* what helpers said */
};

/* ---- auths
 * --------------------------------------------------------------------------------------------- */

bool credentials_names_host(const char *key, const char *host)
{
	static const char *const paths[] = {"", "/", "/v1", "/v1/", "/v2", "/v2/"};
	size_t size = strlen(host);
	bool schemed = true;

	if (str_has_prefix(key, "https://"))
		key += strlen("https://");
	else if (str_has_prefix(key, "http://"))
		key += strlen("http://");
	else
		schemed = false;
	if (strncmp(key, host, size) != 0)
		return false;
	if (schemed)
		return !key[size] || key[size] == '/';
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!strcmp(key + size, paths[i]))
			return true;
	return false;
}

/* The member that fits best: of the repository or a part of its path that goes ahead (containers'
 * auth.json has such), the registry's name, another spelling of it. */
static const struct json_member *best_member(
	const struct json_value *object, const struct target *t)
{
	const char *domain = t->ref->domain;
	const struct json_member *best = NULL;
	size_t best_size = 0;

	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (size_t i = 0; i < object->count; i++) {
		const struct json_member *m = &object->members[i];
		size_t size = m->key_size;
		bool exact = !strncmp(t->ref->name, m->key, size) && size >= strlen(domain) &&
			     (!t->ref->name[size] || t->ref->name[size] == '/');
		bool fits = exact || !strcmp(m->key, t->server) ||
			    credentials_names_host(m->key, domain) ||
			    (!strcmp(domain, "docker.io") &&
				    credentials_names_host(m->key, "index.docker.io"));

		/* Any spelling of the host counts for as much as its name. */
		if (!exact)
			size = strlen(domain);
		if (fits && size >= best_size) {
			/* Its very name goes before another spelling. */
			if (best && size == best_size && !exact && !strcmp(best->key, domain))
				continue;
			best = m;
			best_size = size;
		}
	}
	return best;
}

/* "auth": base64 of user:password. */
static int decode_auth(const char *file, const char *key, const struct json_value *auth,
	struct credentials *c, struct error **reterr)
{
	cleanup_secret struct buf text = {0};
	bool decoded = encoding_base64_decode(&text, auth->text, auth->size, false, NULL) == 0;
	char *colon = decoded && text.size ? memchr(text.data, ':', text.size) : NULL;

	if (text.oom)
		return error_set(reterr, &error_no_memory);
	if (!colon)
		return error_setf(
			reterr, "%s: the \"auth\" of %s is no base64 of user:password", file, key);
	*colon = '\0';
	c->username = strdup(text.data);
	/* Some logins pad the password with NULs. */
	c->password = strdup(colon + 1);
	return c->username && c->password ? 0 : error_set(reterr, &error_no_memory);
}

static int copy_member(
	const struct json_value *entry, const char *key, char **ret, struct error **reterr)
{
	const char *text = json_get_string(entry, key, NULL);

	if (!text || *ret)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : error_set(reterr, &error_no_memory);
}

/* 1: there is nothing for this registry. */
static int from_auths(const char *file, const struct json_value *root, const struct target *t,
	struct credentials *ret, struct error **reterr)
{
	const struct json_member *m = best_member(json_get(root, "auths"), t);
	const struct json_value *auth = m ? json_get(&m->value, "auth") : NULL;

	if (!m || m->value.type != JSON_OBJECT)
		return 1;
	if (auth && auth->type == JSON_STRING && auth->size &&
		decode_auth(file, m->key, auth, ret, reterr) < 0)
		return -1;
	if (copy_member(&m->value, "username", &ret->username, reterr) < 0 ||
		copy_member(&m->value, "password", &ret->password, reterr) < 0 ||
		copy_member(&m->value, "identitytoken", &ret->identity_token, reterr) < 0 ||
		copy_member(&m->value, "registrytoken", &ret->registry_token, reterr) < 0)
		return -1;
	return nothing_in(ret) ? 1 : 0;
}

/* ---- helpers
 * ------------------------------------------------------------------------------------------- */

/* A helper that is missing or fails is remembered, and does not stand in the way. 1: nothing. */
static int ask_helper(
	const char *name, struct target *t, struct credentials *ret, struct error **reterr)
{
	cleanup_error struct error *err = NULL;
	char *username, *secret;

	if (credential_helper_get(name, t->server, &username, &secret, &err) < 0) {
		if (err == &error_no_memory)
			return error_set(reterr, &error_no_memory);
		if (error_class_of(err) != CLASS_NOT_FOUND)
			buf_appendf(&t->complaints, "%s%s", t->complaints.size ? "; " : "",
				err->message);
		return t->complaints.oom ? error_set(reterr, &error_no_memory) : 1;
	}
	if (!strcmp(username, "<token>")) {
		free(username);
		ret->identity_token = secret;
	} else {
		ret->username = username;
		ret->password = secret;
	}
	return nothing_in(ret) ? 1 : 0;
}

static int from_helpers(const struct json_value *root, struct target *t, struct credentials *ret,
	struct error **reterr)
{
	const struct json_member *m = best_member(json_get(root, "credHelpers"), t);
	const char *store = json_get_string(root, "credsStore", "");

	if (m && m->value.type == JSON_STRING && m->value.size)
		return ask_helper(m->value.text, t, ret, reterr);
	return *store ? ask_helper(store, t, ret, reterr) : 1;
}

/* ---- files
 * --------------------------------------------------------------------------------------------- */

/* 1: the file is not there, or says nothing of this registry. */
static int from_file(
	const char *path, struct target *t, struct credentials *ret, struct error **reterr)
{
	cleanup_free char *data = NULL;
	cleanup_json struct json *json = NULL;
	cleanup_error struct error *err = NULL;
	size_t size;
	int r;

	if (file_read(path, CREDENTIALS_FILE_LIMIT, &data, &size, &err) < 0) {
		if (err != &error_no_memory && (errno == ENOENT || errno == ENOTDIR))
			return 1;
		return error_set(reterr, error_ref(err));
	}
	if (json_parse(data, size, &json, &err) < 0)
		r = err == &error_no_memory ? error_set(reterr, &error_no_memory)
					    : error_setf(reterr, "%s: %s", path, err->message);
	else
		r = from_helpers(json_root(json), t, ret, reterr);
	if (r == 1)
		r = from_auths(path, json_root(json), t, ret, reterr);
	explicit_bzero(data, size);
	return r;
}

/* folder/name if there is a folder. */
static char *in_folder(const char *folder, const char *name)
{
	return folder && *folder ? str_printf("%s/%s", folder, name) : NULL;
}

char *credentials_docker_file(void)
{
	const char *docker = secure_getenv("DOCKER_CONFIG");
	cleanup_free char *home = dirs_home();

	return docker && *docker ? in_folder(docker, "config.json")
				 : in_folder(home, ".docker/config.json");
}

static char *runtime_file(void)
{
	return in_folder(secure_getenv("XDG_RUNTIME_DIR"), "containers/auth.json");
}

static char *config_file(void)
{
	cleanup_free char *config_home = dirs_config_home();

	return in_folder(config_home, "containers/auth.json");
}

static int search(struct target *t, struct credentials *ret, struct error **reterr)
{
	static char *(*const places[])(void) = {credentials_docker_file, runtime_file, config_file};
	int r = 1;

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 1; i++) {
		cleanup_free char *path = (errno = 0, places[i]());

		/* Not to be taken for a place that there is not: the pull would be anonymous. */
		if (!path && errno == ENOMEM)
			return error_set(reterr, &error_no_memory);
		if (path)
			r = from_file(path, t, ret, reterr);
	}
	return r;
}

static int find(
	const char *authfile, struct target *t, struct credentials *ret, struct error **reterr)
{
	const char *env = secure_getenv("REGISTRY_AUTH_FILE");
	struct error *err = NULL;
	int r;

	if (!authfile && (!env || !*env))
		return search(t, ret, reterr);
	if (!authfile)
		return from_file(env, t, ret, reterr);
	r = from_file(authfile, t, ret, &err);
	if (r == 1) {
		cleanup_free char *ignored = NULL;
		size_t size;

		/* One that was named must be there. */
		if (file_read(authfile, CREDENTIALS_FILE_LIMIT, &ignored, &size, &err) == 0) {
			explicit_bzero(ignored, size);
			return 1;
		}
		r = -1;
	}
	return r < 0 ? error_set(reterr, err) : r;
}

int towline_credentials(
	const char *authfile, const char *reference, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_credentials struct credentials c = {NULL, NULL, NULL, NULL};
	struct target t = {.server = NULL};
	struct error *err = NULL;
	int r, code;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0)
		return sink_error(sink, err) == IMAGE_PULL_NO_MEMORY ? IMAGE_PULL_NO_MEMORY
								     : IMAGE_PULL_INVALID;
	t.ref = ref;
	t.server = strcmp(ref->domain, "docker.io") != 0 ? ref->domain : CREDENTIALS_INDEX_SERVER;
	r = find(authfile, &t, &c, &err);
	if (r < 0) {
		code = sink_error(sink, err);
	} else if (r) {
		code = sink_fail(sink, IMAGE_PULL_NOT_FOUND, "no credentials for %s%s%s",
			ref->domain, t.complaints.size ? ": " : "",
			t.complaints.size ? t.complaints.data : "");
	} else {
		const struct image_pull_auth auth = {
			.struct_size = sizeof(auth),
			.username = c.username ? c.username : "",
			.password = c.password ? c.password : "",
			.identity_token = c.identity_token ? c.identity_token : "",
			.registry_token = c.registry_token ? c.registry_token : "",
		};

		code = sink_value(sink, &auth, sizeof(auth));
	}
	buf_free(&t.complaints);
	return code;
}
