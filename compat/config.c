/* SPDX-License-Identifier: Apache-2.0 */
/* engine.json. Go counterpart: daemon/config, whose keys it has where it has the thing. Unlike
 * daemon.json a wrong key or type is said with its file and line. */
#include "config.h"

#include "config_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "dirs.h"
#include "file.h"
#include "registry_config.h"
#include "sink.h"
#include "towline.h"

#define UNPACKER PKGLIBEXECDIR "/towline-unpack"
#define FILE_LIMIT (1u << 20)
#define SYSTEM_FILE "/etc/towline/engine.json"
#define DEFAULT_CONCURRENT_DOWNLOADS 3
#define DEFAULT_DOWNLOAD_ATTEMPTS 5
#define DEFAULT_RESUME_QUOTA ((uint64_t)10 << 30)
#define MIN_BUFFER_MEMORY (256 << 10) /* what one layer takes at least (image_pull_bounds) */
#define DEFAULT_RESUME_MAX_AGE (7 * 24 * 3600)

/* The public struct stands first, so that a pointer to it is one to the whole. */
struct config {
	struct towline_config public;
	struct image_pull_network network;
	struct image_pull_bounds bounds;
	void **owned; /* all strings and lists */
	size_t nowned;
};

static void config_free(struct config *c)
{
	for (size_t i = 0; i < c->nowned; i++)
		free(c->owned[i]);
	free(c->owned);
	free(c);
}

void towline_config_free(const struct towline_config *config)
{
	if (config)
		config_free((struct config *)config);
}

/* Keep p, which may be NULL, for as long as the config. Returns p, or NULL if memory ran out. */
static void *keep(struct config *c, void *p)
{
	void **grown = p ? reallocarray(c->owned, c->nowned + 1, sizeof(*grown)) : NULL;

	if (!grown) {
		free(p);
		return NULL;
	}
	c->owned = grown;
	return grown[c->nowned++] = p;
}

/* ---- reading values
 * ------------------------------------------------------------------------------------ */

struct config_reader {
	const char *file;
	const char *text;
	struct config *config;
};

struct towline_config *config_of(struct config_reader *r)
{
	return &r->config->public;
}

void *config_keep(struct config_reader *r, void *p)
{
	return keep(r->config, p);
}

static int line_of(const struct config_reader *r, size_t offset)
{
	int line = 1;

	for (size_t i = 0; i < offset; i++)
		line += r->text[i] == '\n';
	return line;
}

/* FILE:LINE: "KEY": WHAT */
int config_complain(const struct config_reader *r, const struct json_value *at, const char *key,
	const char *what, struct error **reterr)
{
	return error_setf(reterr, "%s:%d: \"%s\": %s", r->file, line_of(r, at->begin), key, what);
}

static const char *type_name(enum json_type type)
{
	static const char *const names[] = {
		"null", "a boolean", "a number", "a string", "an array", "an object"};

	return names[type];
}

int config_expect(const struct config_reader *r, const struct json_value *v, enum json_type type,
	const char *key, struct error **reterr)
{
	cleanup_free char *what = NULL;

	if (v->type == type)
		return 0;
	what = str_printf("%s is expected, not %s", type_name(type), type_name(v->type));
	if (!what)
		return error_set(reterr, &error_no_memory);
	return config_complain(r, v, key, what, reterr);
}

int config_check_absolute(const char *text, struct error **reterr)
{
	return *text == '/' ? 0 : error_setf(reterr, "\"%s\" is not an absolute path", text);
}

static int check_mirror(const char *text, struct error **reterr)
{
	cleanup_free char *ignored = NULL;

	return registry_validate_mirror(text, &ignored, reterr);
}

static int check_registries(
	const char *const *nondistributable, const char *const *insecure, struct error **reterr)
{
	struct registry_config config;

	if (registry_config_init(&config, nondistributable, NULL, insecure, false, NULL, reterr) <
		0)
		return -1;
	registry_config_free(&config);
	return 0;
}

static int check_insecure(const char *text, struct error **reterr)
{
	const char *const list[] = {text, NULL};

	return check_registries(NULL, list, reterr);
}

static int check_nondistributable(const char *text, struct error **reterr)
{
	const char *const list[] = {text, NULL};

	return check_registries(list, NULL, reterr);
}

static int check_durability(const char *text, struct error **reterr)
{
	if (!strcmp(text, "full") || !strcmp(text, "fast"))
		return 0;
	return error_setf(reterr, "\"%s\" is neither \"full\" nor \"fast\"", text);
}

int config_read_string(struct config_reader *r, const struct json_value *v, const char *key,
	config_check_fn *check, const char **ret, struct error **reterr)
{
	cleanup_error struct error *err = NULL;
	char *copy;

	if (config_expect(r, v, JSON_STRING, key, reterr) < 0)
		return -1;
	if (memchr(v->text, '\0', v->size))
		return config_complain(r, v, key, "a NUL byte in a string", reterr);
	if (check && check(v->text, &err) < 0)
		return err == &error_no_memory ? error_set(reterr, &error_no_memory)
					       : config_complain(r, v, key, err->message, reterr);
	copy = config_keep(r, strdup(v->text));
	if (!copy)
		return error_set(reterr, &error_no_memory);
	*ret = copy;
	return 0;
}

static int read_list(struct config_reader *r, const struct json_value *v, const char *key,
	config_check_fn *check, const char *const **ret, struct error **reterr)
{
	const char **list;

	if (config_expect(r, v, JSON_ARRAY, key, reterr) < 0)
		return -1;
	list = config_keep(r, calloc(v->count + 1, sizeof(*list)));
	if (!list)
		return error_set(reterr, &error_no_memory);
	for (size_t i = 0; i < v->count; i++)
		if (config_read_string(r, &v->items[i], key, check, &list[i], reterr) < 0)
			return -1;
	*ret = list;
	return 0;
}

static int read_number(struct config_reader *r, const struct json_value *v, const char *key,
	int64_t min, int64_t max, int64_t *ret, struct error **reterr)
{
	cleanup_free char *what = NULL;
	int64_t n;

	if (config_expect(r, v, JSON_NUMBER, key, reterr) < 0)
		return -1;
	if (json_int64(v, &n) && n >= min && n <= max) {
		*ret = n;
		return 0;
	}
	what = str_printf(
		"%s is not a whole number from %" PRId64 " to %" PRId64, v->text, min, max);
	return what ? config_complain(r, v, key, what, reterr)
		    : error_set(reterr, &error_no_memory);
}

int config_read_uint32(struct config_reader *r, const struct json_value *v, const char *key,
	int64_t min, uint32_t *ret, struct error **reterr)
{
	int64_t n;

	if (read_number(r, v, key, min, UINT32_MAX, &n, reterr) < 0)
		return -1;
	*ret = (uint32_t)n;
	return 0;
}

static int read_uint64(struct config_reader *r, const struct json_value *v, const char *key,
	int64_t min, uint64_t *ret, struct error **reterr)
{
	int64_t n;

	if (read_number(r, v, key, min, INT64_MAX, &n, reterr) < 0)
		return -1;
	*ret = (uint64_t)n;
	return 0;
}

/* ---- the keys
 * ------------------------------------------------------------------------------------------ */

typedef int read_fn(struct config_reader *r, const struct json_value *v, const char *key,
	struct error **reterr);
struct key {
	const char *name; /* full: "proxies.http-proxy" */
	read_fn *read;
};

#define CONFIG(r) (&(r)->config->public)
#define STRING_KEY(function, member, check)                                                        \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		struct error **reterr)                                                             \
	{                                                                                          \
		return config_read_string(r, v, key, check, &CONFIG(r)->member, reterr);           \
	}
#define LIST_KEY(function, member, check)                                                          \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		struct error **reterr)                                                             \
	{                                                                                          \
		return read_list(r, v, key, check, &CONFIG(r)->member, reterr);                    \
	}
#define UINT32_KEY(function, member, min)                                                          \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		struct error **reterr)                                                             \
	{                                                                                          \
		return config_read_uint32(r, v, key, min, &CONFIG(r)->member, reterr);             \
	}

STRING_KEY(read_plugin_path, plugin_path, config_check_absolute)
STRING_KEY(read_data_root, data_root, config_check_absolute)
STRING_KEY(read_default_registry, default_registry, NULL)
STRING_KEY(read_http_proxy, http_proxy, NULL)
STRING_KEY(read_https_proxy, https_proxy, NULL)
STRING_KEY(read_no_proxy, no_proxy, NULL)
STRING_KEY(read_ca_bundle, ca_bundle, config_check_absolute)
STRING_KEY(read_user_agent, user_agent, NULL)
STRING_KEY(read_temp_dir, temp_dir, config_check_absolute)
STRING_KEY(read_unpacker, unpacker, config_check_absolute)
LIST_KEY(read_mirrors, registry_mirrors, check_mirror)
LIST_KEY(read_insecure, insecure_registries, check_insecure)
LIST_KEY(read_nondistributable, allow_nondistributable_artifacts, check_nondistributable)
LIST_KEY(read_certs_dirs, certs_dirs, config_check_absolute)
UINT32_KEY(read_attempts, max_download_attempts, 1)
UINT32_KEY(read_resume_age, resume_max_age, 1)
UINT32_KEY(read_connect_timeout, limits.connect_timeout_ms, 1)
UINT32_KEY(read_stall_timeout, limits.stall_timeout_ms, 1)
UINT32_KEY(read_pull_timeout, limits.pull_timeout_ms, 1)

/* 0 is no limit, as in daemon.json. */
static int read_downloads(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	if (config_read_uint32(r, v, key, 0, &CONFIG(r)->max_concurrent_downloads, reterr) < 0)
		return -1;
	if (!CONFIG(r)->max_concurrent_downloads)
		CONFIG(r)->max_concurrent_downloads = UINT32_MAX;
	return 0;
}

static int read_layer_size(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return read_uint64(r, v, key, 1, &CONFIG(r)->limits.max_layer_size, reterr);
}

#define BOUNDS(r) (&(r)->config->bounds)

static int read_layer_entries(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return read_uint64(r, v, key, 1, &BOUNDS(r)->max_layer_entries, reterr);
}

static int read_buffer_memory(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return read_uint64(r, v, key, MIN_BUFFER_MEMORY, &BOUNDS(r)->max_buffer_memory, reterr);
}

static int read_connections(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return config_read_uint32(r, v, key, 1, &BOUNDS(r)->max_connections, reterr);
}

static int read_host_connections(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return config_read_uint32(r, v, key, 1, &BOUNDS(r)->max_connections_per_host, reterr);
}

static int read_resume_quota(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return read_uint64(r, v, key, 1, &CONFIG(r)->resume_quota, reterr);
}

int config_read_bool(struct config_reader *r, const struct json_value *v, const char *key, int *ret,
	struct error **reterr)
{
	if (config_expect(r, v, JSON_BOOL, key, reterr) < 0)
		return -1;
	*ret = v->boolean;
	return 0;
}

static int read_resume(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return config_read_bool(r, v, key, &CONFIG(r)->resume, reterr);
}

static int read_confine(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return config_read_bool(r, v, key, &CONFIG(r)->confine, reterr);
}

static int read_loopback(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	return config_read_bool(r, v, key, &CONFIG(r)->insecure_loopback, reterr);
}

static int read_durability(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	const char *text;

	if (config_read_string(r, v, key, check_durability, &text, reterr) < 0)
		return -1;
	CONFIG(r)->durable = !strcmp(text, "full");
	return 0;
}

/* ---- "network"
 * ----------------------------------------------------------------------------------------- */

#define NETWORK(r) (&(r)->config->network)
#define FLAG_KEY(function, flag)                                                                   \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		struct error **reterr)                                                             \
	{                                                                                          \
		int on;                                                                            \
                                                                                                   \
		if (config_read_bool(r, v, key, &on, reterr) < 0)                                  \
			return -1;                                                                 \
		NETWORK(r)->flags |= on ? (flag) : 0;                                              \
		return 0;                                                                          \
	}
#define NETWORK_UINT32_KEY(function, member)                                                       \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		struct error **reterr)                                                             \
	{                                                                                          \
		return config_read_uint32(r, v, key, 1, &NETWORK(r)->member, reterr);              \
	}
#define NETWORK_SPEED_KEY(function, member)                                                        \
	static int function(struct config_reader *r, const struct json_value *v, const char *key,  \
		struct error **reterr)                                                             \
	{                                                                                          \
		int64_t n;                                                                         \
                                                                                                   \
		if (read_number(r, v, key, 1, INT64_MAX / 1000000, &n, reterr) < 0)                \
			return -1;                                                                 \
		NETWORK(r)->member = (uint64_t)n;                                                  \
		return 0;                                                                          \
	}

FLAG_KEY(read_retry_after, IMAGE_PULL_NETWORK_RETRY_AFTER)
FLAG_KEY(read_head_first, IMAGE_PULL_NETWORK_HEAD_FIRST)
FLAG_KEY(read_link_local, IMAGE_PULL_NETWORK_LINK_LOCAL_REALMS)
NETWORK_UINT32_KEY(read_max_retries, max_retries)
NETWORK_UINT32_KEY(read_max_retry_wait, max_retry_wait_ms)
NETWORK_UINT32_KEY(read_retry_backoff, retry_backoff_ms)
NETWORK_UINT32_KEY(read_tls_timeout, tls_timeout_ms)
NETWORK_UINT32_KEY(read_header_timeout, header_timeout_ms)
NETWORK_UINT32_KEY(read_min_speed_time, min_speed_ms)
NETWORK_SPEED_KEY(read_min_speed, min_speed)
NETWORK_SPEED_KEY(read_max_speed, max_speed)

/* An object: its keys follow it in the table, with its name and a dot before theirs. */
static read_fn read_object;

static const struct key keys[] = {
	{"plugins", read_object},
	{"plugins.image_pull", read_object},
	{"plugins.image_pull.path", read_plugin_path},
	{"data-root", read_data_root},
	{"registry-mirrors", read_mirrors},
	{"insecure-registries", read_insecure},
	{"allow-nondistributable-artifacts", read_nondistributable},
	{"max-concurrent-downloads", read_downloads},
	{"max-download-attempts", read_attempts},
	{"proxies", read_object},
	{"proxies.http-proxy", read_http_proxy},
	{"proxies.https-proxy", read_https_proxy},
	{"proxies.no-proxy", read_no_proxy},
	{"insecure-loopback", read_loopback},
	{"certs-dirs", read_certs_dirs},
	{"durability", read_durability},
	{"default-registry", read_default_registry},
	{"ca-bundle", read_ca_bundle},
	{"user-agent", read_user_agent},
	{"temp-dir", read_temp_dir},
	{"resume", read_resume},
	{"resume-quota", read_resume_quota},
	{"resume-max-age", read_resume_age},
	{"confine", read_confine},
	{"unpacker", read_unpacker},
	{"limits", read_object},
	{"limits.max-layer-size", read_layer_size},
	{"limits.max-layer-entries", read_layer_entries},
	{"limits.max-buffer-memory", read_buffer_memory},
	{"limits.max-connections", read_connections},
	{"limits.max-connections-per-host", read_host_connections},
	{"limits.connect-timeout-ms", read_connect_timeout},
	{"limits.stall-timeout-ms", read_stall_timeout},
	{"limits.pull-timeout-ms", read_pull_timeout},
	{"registries", config_read_registries},
	{"network", read_object},
	{"network.retry-after", read_retry_after},
	{"network.max-retries", read_max_retries},
	{"network.max-retry-wait-ms", read_max_retry_wait},
	{"network.retry-backoff-ms", read_retry_backoff},
	{"network.tls-timeout-ms", read_tls_timeout},
	{"network.header-timeout-ms", read_header_timeout},
	{"network.min-speed", read_min_speed},
	{"network.min-speed-time-ms", read_min_speed_time},
	{"network.max-speed", read_max_speed},
	{"network.head-first", read_head_first},
	{"network.link-local-realms", read_link_local},
};

static int read_member(struct config_reader *r, const struct json_member *m, const char *prefix,
	struct error **reterr)
{
	cleanup_free char *name = str_printf("%s%s%s", prefix, *prefix ? "." : "", m->key);

	if (!name)
		return error_set(reterr, &error_no_memory);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		/* A key that holds a dot is not a way around the objects. */
		if (!strchr(m->key, '.') && strlen(m->key) == m->key_size &&
			!strcmp(keys[i].name, name))
			return keys[i].read(r, &m->value, name, reterr);
	return config_complain(r, &m->value, name, "there is no such key", reterr);
}

static int read_object(
	struct config_reader *r, const struct json_value *v, const char *key, struct error **reterr)
{
	if (config_expect(r, v, JSON_OBJECT, key, reterr) < 0)
		return -1;
	for (size_t i = 0; i < v->count; i++) {
		for (size_t j = 0; j < i; j++)
			if (!strcmp(v->members[i].key, v->members[j].key))
				return config_complain(r, &v->members[i].value, v->members[i].key,
					"the key is there twice", reterr);
		if (read_member(r, &v->members[i], key, reterr) < 0)
			return -1;
	}
	return 0;
}

/* Where the syntax goes wrong: the shortest head of the text that no continuation can mend. */
static size_t syntax_offset(const char *text, size_t size)
{
	size_t low = 0, high = size;

	while (low < high) {
		cleanup_json struct json *json = NULL;
		cleanup_error struct error *err = NULL;
		size_t mid = low + (high - low) / 2;

		if (!json_parse(text, mid, &json, &err) ||
			!strcmp(err->message, "unexpected end of JSON input"))
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : 0;
}

static int read_text(
	struct config *c, const char *file, const char *text, size_t size, struct error **reterr)
{
	struct config_reader r = {file, text, c};
	cleanup_json struct json *json = NULL;
	cleanup_error struct error *err = NULL;
	const struct json_value *root;

	if (json_parse(text, size, &json, &err) < 0)
		return err == &error_no_memory
			       ? error_set(reterr, &error_no_memory)
			       : error_setf(reterr, "%s:%d: %s", file,
					 line_of(&r, syntax_offset(text, size)), err->message);
	root = json_root(json);
	if (root->type != JSON_OBJECT)
		return error_setf(reterr, "%s:%d: an object is expected, not %s", file,
			line_of(&r, root->begin), type_name(root->type));
	return read_object(&r, root, "", reterr);
}

/* ---- defaults and places
 * ------------------------------------------------------------------------------- */

static int set_certs_dirs(struct config *c, struct error **reterr)
{
	cleanup_free char *home = geteuid() ? dirs_config_home() : NULL;
	const char **list = keep(c, calloc(4, sizeof(*list)));
	size_t n = 0;

	if (!list)
		return error_set(reterr, &error_no_memory);
	if (home) {
		list[n] = keep(c, str_printf("%s/towline/certs.d", home));
		if (!list[n++])
			return error_set(reterr, &error_no_memory);
	}
	list[n++] = "/etc/towline/certs.d";
	list[n++] = "/etc/docker/certs.d";
	c->public.certs_dirs = list;
	return 0;
}

static int set_defaults(struct config *c, struct error **reterr)
{
	static const char *const empty[] = {NULL};
	static const struct towline_registry *const no_registries[] = {NULL};
	struct towline_config *p = &c->public;

	p->struct_size = sizeof(*p);
	p->file = "";
	p->registry_mirrors = empty;
	p->insecure_registries = empty;
	p->allow_nondistributable_artifacts = empty;
	p->insecure_loopback = 1;
	p->max_concurrent_downloads = DEFAULT_CONCURRENT_DOWNLOADS;
	p->max_download_attempts = DEFAULT_DOWNLOAD_ATTEMPTS;
	p->durable = 1;
	p->resume_quota = DEFAULT_RESUME_QUOTA;
	p->resume_max_age = DEFAULT_RESUME_MAX_AGE;
	p->registries = no_registries;
	p->unpacker = UNPACKER;
	p->network = &c->network;
	c->network.struct_size = sizeof(c->network);
	p->bounds = &c->bounds;
	c->bounds.struct_size = sizeof(c->bounds);
	p->limits.struct_size = sizeof(p->limits);
	return set_certs_dirs(c, reterr);
}

/* What the file did not say and the environment may. */
static int set_data_root(struct config *c, struct error **reterr)
{
	cleanup_free char *home = NULL;

	if (c->public.data_root)
		return 0;
	if (!geteuid()) {
		c->public.data_root = "/var/lib/towline";
		return 0;
	}
	home = dirs_data_home();
	if (!home)
		return error_setf(reterr, "no folder for data: set \"data-root\", XDG_DATA_HOME or "
					  "HOME");
	c->public.data_root = keep(c, str_printf("%s/towline", home));
	return c->public.data_root ? 0 : error_set(reterr, &error_no_memory);
}

/* 1: there is no such file. */
static int read_file(struct config *c, const char *path, struct error **reterr)
{
	cleanup_free char *data = NULL;
	size_t size;

	if (file_read(path, FILE_LIMIT, &data, &size, reterr) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 1 : -1;
	c->public.file = keep(c, strdup(path));
	if (!c->public.file)
		return error_set(reterr, &error_no_memory);
	return read_text(c, path, data, size, reterr);
}

static int search(struct config *c, struct error **reterr)
{
	cleanup_free char *home = geteuid() ? dirs_config_home() : NULL;
	cleanup_free char *path = home ? str_printf("%s/towline/engine.json", home) : NULL;
	const char *const places[] = {path, SYSTEM_FILE};
	int r = 1;

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 1; i++) {
		cleanup_error struct error *err = NULL;

		if (!places[i])
			continue;
		r = read_file(c, places[i], &err);
		if (r < 0)
			error_set(reterr, error_ref(err));
	}
	return r < 0 ? -1 : 0;
}

int towline_config_load(
	const char *path, const struct towline_config **config, const struct image_pull_sink *sink)
{
	struct config *c = calloc(1, sizeof(*c));
	struct error *err = NULL;
	int r;

	if (!c)
		return sink_no_memory(sink);
	r = set_defaults(c, &err);
	if (!r)
		r = path ? read_file(c, path, &err) : search(c, &err);
	if (!r)
		r = set_data_root(c, &err);
	if (r) {
		config_free(c);
		return sink_error(sink, err);
	}
	c->public.limits.max_concurrent_downloads = c->public.max_concurrent_downloads;
	c->public.limits.max_download_attempts = c->public.max_download_attempts;
	*config = &c->public;
	return IMAGE_PULL_OK;
}
