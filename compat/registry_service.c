/* SPDX-License-Identifier: Apache-2.0 */
/* Which registry a reference means, and the endpoints to try. Go counterparts: registry/service.go,
 * service_v2.go. Immutable once it is made, so no lock is needed. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/url.h"
#include "host_lookup.h"
#include "image/reference.h"
#include "registry_config.h"
#include "registry_rules.h"
#include "registry_tls.h"
#include "sink.h"
#include "towline.h"

#define DEFAULT_V2_REGISTRY "https://registry-1.docker.io"
#define DEFAULT_CERTS_DIR "/etc/docker/certs.d"
/* The system's own default for two servers that do not answer. */
#define LOOKUP_MS 10000

struct towline_registry_service {
	struct image_pull_registry_service table;
	struct registry_config config;
	struct registry_rules rules;
	char **certs_dirs; /* NULL-terminated */
	char *default_registry;
	char *extra_ca; /* NULL: none */
	int (*resolve)(void *context, const char *host, const struct image_pull_sink *sink);
	void *resolve_context;
	struct host_lookup lookup; /* where there is no resolve */
};

/* ---- names and addresses
 * ------------------------------------------------------------------------------- */

static int take_address(void *receiver, const void *data, size_t size)
{
	struct host_addresses *list = receiver;
	char text[64];

	if (size >= sizeof(text) || list->n == HOST_ADDRESSES_MAX)
		return IMAGE_PULL_OK; /* no address is so long, no name has so many */
	memcpy(text, data, size);
	text[size] = '\0';
	if (ip_parse(text, &list->items[list->n]))
		list->n++;
	return IMAGE_PULL_OK;
}

static void ignore_message(void *receiver, const char *text)
{
	/* A name that cannot be resolved is in no network: the original says nothing either. */
	(void)receiver;
	(void)text;
}

/* net.LookupIP. */
static void lookup(const struct towline_registry_service *service, const char *host,
	struct host_addresses *list)
{
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = list,
		.value = take_address,
		.message = ignore_message};

	list->n = 0;
	if (ip_parse(host, &list->items[0])) {
		list->n = 1;
		return;
	}
	if (!*host)
		return;
	if (service->resolve) {
		if (service->resolve(service->resolve_context, host, &sink) != IMAGE_PULL_OK)
			list->n = 0;
		return;
	}
	host_lookup(host, &service->lookup, list);
}

/* isCIDRMatch: -1 when out of memory. */
static int in_nets(const struct towline_registry_service *service, const struct registry_nets *nets,
	const char *url_host)
{
	cleanup_free char *host = NULL;
	cleanup_free char *port = NULL;
	cleanup_free struct host_addresses *list = NULL;

	if (!nets->n)
		return 0; /* no name need be resolved */
	if (ip_split_host_port(url_host, &host, &port) == 0)
		host = strdup(url_host); /* NULL where memory ran out */
	list = malloc(sizeof(*list));
	if (!host || !list)
		return -1;
	lookup(service, host, list);
	for (size_t i = 0; i < list->n; i++)
		for (size_t j = 0; j < nets->n; j++)
			if (ip_net_contains(&nets->items[j], &list->items[i]))
				return 1;
	return 0;
}

/* isSecureIndex: -1 when out of memory. */
static int is_secure(const struct towline_registry_service *service, const char *index)
{
	if (!strcmp(index, DEFAULT_NAMESPACE))
		return 1;
	if (registry_string_list_has(&service->config.insecure_hosts, index))
		return 0;

	int in = in_nets(service, &service->config.insecure_nets, index);

	return in < 0 ? -1 : !in;
}

/* What "registries" forbids is said before anybody is asked anything. */
static int sink_blocked(const struct image_pull_sink *sink, const struct registry_rule *rule)
{
	return sink_fail(sink, IMAGE_PULL_FORBIDDEN, "registry %s is blocked by the configuration",
		rule->prefix);
}

/* ---- ResolveRepository
 * --------------------------------------------------------------------------------- */

static int resolve_repository(
	void *context, const char *reference, const struct image_pull_sink *sink)
{
	const struct towline_registry_service *service = context;
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *familiar = NULL;
	struct error *err = NULL;
	const char *index;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0)
		return sink_error(sink, err);
	if (registry_validate_index_name(ref->domain, &index, &err) < 0)
		return sink_error(sink, err);

	size_t size;
	const struct registry_rule *rule = registry_rules_find(&service->rules, ref->name, &size);

	if (rule && rule->blocked)
		return sink_blocked(sink, rule);

	int secure = is_secure(service, index);

	familiar = reference_familiar_name(ref);
	if (secure < 0 || !familiar)
		return sink_no_memory(sink);

	const struct image_pull_repository_info info = {
		.struct_size = sizeof(info),
		.name = ref->name,
		.index_name = index,
		.index_official = !strcmp(index, DEFAULT_NAMESPACE),
		.index_secure = secure,
		.official = !strchr(familiar, '/'),
		.class_name = "",
	};

	return sink_value(sink, &info, sizeof(info));
}

/* ---- LookupPullEndpoints
 * ------------------------------------------------------------------------------- */

/* The lookup gives nothing unless all of it succeeds, so endpoints are collected first. */
struct endpoint {
	struct image_pull_endpoint public;
	char *url;
	struct registry_tls tls;
	char *repository; /* NULL: none */
	struct image_pull_auth auth;
	char *auth_texts[4]; /* what auth points to */
};
struct endpoints {
	struct endpoint *items;
	size_t n;
};

static void endpoints_free(struct endpoints *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct endpoint *e = &list->items[i];

		free(e->url);
		free(e->repository);
		for (size_t j = 0; j < ARRAY_SIZE(e->auth_texts); j++)
			secret_free(e->auth_texts[j]);
		registry_tls_free(&e->tls);
	}
	free(list->items);
}
#define cleanup_endpoints __attribute__((cleanup(endpoints_free)))

/* url is taken over, also on failure. host: for the files in certs.d; secure: -1 is no memory. */
static int add(struct endpoints *list, char *url, const struct image_pull_endpoint *how,
	const char *const *certs_dirs, const char *host, int secure, struct error **reterr)
{
	struct endpoint e = {.public = *how, .url = url};
	struct endpoint *grown = NULL;

	if (url && secure >= 0)
		grown = reallocarray(list->items, list->n + 1, sizeof(*grown));
	if (!grown) {
		free(url);
		return error_set(reterr, &error_no_memory);
	}
	list->items = grown;
	if (registry_tls_init(&e.tls, certs_dirs, host, secure, reterr) < 0) {
		free(url);
		return -1;
	}
	grown[list->n++] = e;
	return 0;
}

static int add_mirror(const struct towline_registry_service *service, const char *mirror,
	struct endpoints *list, struct error **reterr)
{
	static const struct image_pull_endpoint how = {
		.struct_size = sizeof(how), .version = 2, .mirror = 1, .trim_hostname = 1};
	bool schemed = str_has_prefix(mirror, "http://") || str_has_prefix(mirror, "https://");
	cleanup_free char *text = str_printf("%s%s", schemed ? "" : "https://", mirror);
	cleanup_url struct url u = {0};

	if (!text)
		return error_set(reterr, &error_no_memory);
	if (url_parse(text, &u, reterr) < 0)
		return -1;
	return add(list, url_string(&u), &how, (const char *const *)service->certs_dirs, u.host,
		is_secure(service, u.host), reterr);
}

static int lookup_official(const struct towline_registry_service *service, struct endpoints *list,
	struct error **reterr)
{
	static const struct image_pull_endpoint how = {
		.struct_size = sizeof(how), .version = 2, .official = 1, .trim_hostname = 1};

	for (size_t i = 0; i < service->config.mirrors.n; i++)
		if (add_mirror(service, service->config.mirrors.items[i], list, reterr) < 0)
			return -1;
	/* certs.d does not count for the official registry, and it is never insecure. */
	return add(list, strdup(service->default_registry), &how, NULL, "", 1, reterr);
}

static int lookup_other(const struct towline_registry_service *service, const char *hostname,
	bool insecure, struct endpoints *list, struct error **reterr)
{
	int nondistributable =
		registry_string_list_has(&service->config.nondistributable_hosts, hostname)
			? 1
			: in_nets(service, &service->config.nondistributable_nets, hostname);
	int secure = insecure ? 0 : is_secure(service, hostname);
	const struct image_pull_endpoint how = {.struct_size = sizeof(how),
		.version = 2,
		.trim_hostname = 1,
		.allow_nondistributable_artifacts = nondistributable};
	const char *const *dirs = (const char *const *)service->certs_dirs;
	const char *slashes = *hostname ? "//" : ""; /* as URL.String() */

	if (nondistributable < 0)
		return error_set(reterr, &error_no_memory);
	if (add(list, str_printf("https:%s%s", slashes, hostname), &how, dirs, hostname, secure,
		    reterr) < 0)
		return -1;
	return secure ? 0
		      : add(list, str_printf("http:%s%s", slashes, hostname), &how, dirs, hostname,
				secure, reterr);
}

static int lookup_host(const struct towline_registry_service *service, const char *hostname,
	bool insecure, struct endpoints *list, struct error **reterr)
{
	if (!strcmp(hostname, DEFAULT_NAMESPACE) || !strcmp(hostname, INDEX_HOSTNAME))
		return lookup_official(service, list, reterr);
	return lookup_other(service, hostname, insecure, list, reterr);
}

/* What the engine hears: all of the list, or the error (taken over). */
static int give_endpoints(const struct towline_registry_service *service, struct endpoints *list,
	struct error *err, const struct image_pull_sink *sink)
{
	int code = IMAGE_PULL_OK;

	for (size_t i = 0; service->extra_ca && !err && i < list->n; i++)
		(void)registry_tls_add_ca(&list->items[i].tls, service->extra_ca, &err);
	if (err)
		return sink_error(sink, err);
	for (size_t i = 0; i < list->n && code == IMAGE_PULL_OK; i++) {
		struct endpoint *e = &list->items[i];

		e->public.url = e->url;
		e->public.tls = &e->tls.tls;
		e->public.repository = e->repository;
		e->public.auth = e->auth.struct_size ? &e->auth : NULL;
		code = sink_value(sink, &e->public, sizeof(e->public));
	}
	return code;
}

/* The registry itself: for logins, and for plugins that know nothing else. */
static int lookup_pull_endpoints(
	void *context, const char *hostname, const struct image_pull_sink *sink)
{
	const struct towline_registry_service *service = context;
	cleanup_endpoints struct endpoints list = {NULL, 0};
	struct error *err = NULL;

	const struct registry_rule *rule = registry_rules_find_host(&service->rules, hostname);

	if (rule && rule->blocked)
		return sink_blocked(sink, rule);
	if (rule && (rule->mirror_only || rule->origin.host))
		return sink_fail(sink, IMAGE_PULL_FAILED,
			"the configuration says that %s itself is not to be asked", hostname);
	(void)lookup_host(service, hostname, rule && rule->origin.insecure, &list, &err);
	return give_endpoints(service, &list, err, sink);
}

/* ---- "registries": endpoints of one repository
 * -------------------------------------------------------------------- */

static int take_credentials(void *receiver, const void *data, size_t size)
{
	struct endpoint *e = receiver;
	const struct image_pull_auth *given = data;
	const char *const texts[] = {
		given->username, given->password, given->identity_token, given->registry_token};

	(void)size; /* this library's own */
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		free(e->auth_texts[i]);
		e->auth_texts[i] = texts[i] ? strdup(texts[i]) : NULL;
		if (texts[i] && !e->auth_texts[i])
			return IMAGE_PULL_NO_MEMORY;
	}
	e->auth = (struct image_pull_auth){sizeof(e->auth), e->auth_texts[0], e->auth_texts[1],
		e->auth_texts[2], e->auth_texts[3]};
	return IMAGE_PULL_OK;
}

/* Credentials that are kept for the place itself. Where they can't be read the place is asked
 * without, as is one that has none. */
static int find_credentials(struct endpoint *e, const struct registry_place *place,
	const char *repository, struct error **reterr)
{
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = e,
		.value = take_credentials,
		.message = ignore_message};
	const struct image_pull_auth given = {.struct_size = sizeof(given),
		.username = place->username,
		.password = place->password};
	cleanup_free char *name = str_printf("%s/%s", place->host, repository);
	int code = IMAGE_PULL_OK;

	if (!name)
		return error_set(reterr, &error_no_memory);
	if (place->credentials == TOWLINE_CREDENTIALS_GIVEN)
		code = take_credentials(e, &given, sizeof(given));
	else if (place->credentials == TOWLINE_CREDENTIALS_STORED)
		code = towline_credentials(place->authfile, name, &sink);
	return code == IMAGE_PULL_NO_MEMORY ? error_set(reterr, &error_no_memory) : 0;
}

/* One URL of a place. */
static int add_place_url(const struct towline_registry_service *service,
	const struct registry_place *place, const char *scheme, int secure,
	const struct image_pull_endpoint *how, const char *repository, struct endpoints *list,
	struct error **reterr)
{
	bool official = !strcmp(place->host, DEFAULT_NAMESPACE);
	char *url = official ? strdup(service->default_registry)
			     : str_printf("%s://%s%s%s", scheme, place->host,
				       place->api_root ? place->api_root : "",
				       place->api_root ? "/" : "");
	struct endpoint *e;

	if (add(list, url, how, official ? NULL : (const char *const *)service->certs_dirs,
		    place->host, secure, reterr) < 0)
		return -1;
	e = &list->items[list->n - 1];
	e->repository = strdup(repository);
	if (!e->repository)
		return error_set(reterr, &error_no_memory);
	if (place->ca && secure && registry_tls_add_ca(&e->tls, place->ca, reterr) < 0)
		return -1;
	return find_credentials(e, place, repository, reterr);
}

static int add_place(const struct towline_registry_service *service,
	const struct registry_place *place, const struct reference *ref, size_t matched,
	bool mirror, struct endpoints *list, struct error **reterr)
{
	bool same_host = !strcmp(place->host, ref->domain);
	bool own_auth = place->credentials ? place->credentials != TOWLINE_CREDENTIALS_REQUEST
					   : mirror || !same_host;
	const struct image_pull_endpoint how = {.struct_size = sizeof(how),
		.version = 2,
		.mirror = mirror,
		.trim_hostname = 1,
		.flags = (mirror ? IMAGE_PULL_ENDPOINT_ONCE : 0) |
			 (own_auth ? IMAGE_PULL_ENDPOINT_OWN_AUTH : 0),
		.connect_timeout_ms = place->connect_timeout_ms,
		.ns = place->ns ? ref->domain : NULL};
	int secure = place->insecure ? 0 : is_secure(service, place->host);
	cleanup_free char *repository = NULL;

	if (secure < 0)
		return error_set(reterr, &error_no_memory);
	if (registry_place_repository(place, ref->name, matched, &repository, reterr) < 0 ||
		add_place_url(service, place, place->scheme ? place->scheme : "https", secure, &how,
			repository, list, reterr) < 0)
		return -1;
	if (place->scheme || secure || !strcmp(place->host, DEFAULT_NAMESPACE))
		return 0;
	return add_place_url(service, place, "http", secure, &how, repository, list, reterr);
}

static int lookup_ruled(const struct towline_registry_service *service,
	const struct registry_rule *rule, const struct reference *ref, size_t matched,
	struct endpoints *list, struct error **reterr)
{
	int other = reference_is_canonical(ref) ? TOWLINE_PULL_FROM_TAG_ONLY
						: TOWLINE_PULL_FROM_DIGEST_ONLY;

	for (size_t i = 0; i < rule->nmirrors; i++)
		if (rule->mirrors[i].pull_from != other &&
			add_place(service, &rule->mirrors[i], ref, matched, true, list, reterr) < 0)
			return -1;
	if (rule->mirror_only)
		return 0;
	if (rule->origin.host)
		return add_place(service, &rule->origin, ref, matched, false, list, reterr);
	return lookup_host(service, ref->domain, rule->origin.insecure, list, reterr);
}

static int lookup_reference_endpoints(
	void *context, const char *reference, const struct image_pull_sink *sink)
{
	const struct towline_registry_service *service = context;
	cleanup_endpoints struct endpoints list = {NULL, 0};
	cleanup_reference struct reference *ref = NULL;
	const struct registry_rule *rule;
	struct error *err = NULL;
	size_t matched;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0)
		return sink_error(sink, err);
	rule = registry_rules_find(&service->rules, ref->name, &matched);
	if (rule && rule->blocked)
		return sink_blocked(sink, rule);
	if (rule)
		(void)lookup_ruled(service, rule, ref, matched, &list, &err);
	else
		(void)lookup_host(service, ref->domain, false, &list, &err);
	return give_endpoints(service, &list, err, sink);
}

/* ---- the service
 * --------------------------------------------------------------------------------------- */

static char **copy_list(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;

	char **copy = calloc(n + 1, sizeof(*copy));

	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(list[i]);
		if (!copy[i]) {
			for (size_t j = 0; j < i; j++)
				free(copy[j]);
			free(copy);
			return NULL;
		}
	}
	return copy;
}

void towline_registry_service_free(struct towline_registry_service *service)
{
	if (!service)
		return;
	registry_config_free(&service->config);
	registry_rules_free(&service->rules);
	for (size_t i = 0; service->certs_dirs && service->certs_dirs[i]; i++)
		free(service->certs_dirs[i]);
	free(service->certs_dirs);
	free(service->default_registry);
	free(service->extra_ca);
	free(service);
}

/* "default-registry": a URL of a registry, whose path is left to the repositories. */
static int set_default_registry(
	struct towline_registry_service *service, const char *text, struct error **reterr)
{
	cleanup_url struct url u = {0};
	cleanup_error struct error *err = NULL;
	size_t size = strlen(text);

	if (url_parse(text, &u, &err) < 0)
		return err == &error_no_memory
			       ? error_set(reterr, &error_no_memory)
			       : error_setf(reterr, "invalid default registry: %s", err->message);
	if ((strcmp(u.scheme, "http") != 0 && strcmp(u.scheme, "https") != 0) || !*u.host ||
		u.userinfo || (*u.path && strcmp(u.path, "/") != 0) || *u.raw_query || *u.fragment)
		return error_setf(reterr,
			"invalid default registry: \"%s\" is not of the form https://host[:port]",
			text);
	if (size && text[size - 1] == '/')
		size--;
	service->default_registry = strndup(text, size);
	return service->default_registry ? 0 : error_set(reterr, &error_no_memory);
}

/* Where registry_config's warnings go. */
struct service_log {
	struct log log;
	void (*write)(void *context, int level, const char *message);
	void *context;
};

static void write_log(struct log *log, enum log_level level, const char *text)
{
	const struct service_log *to = (const struct service_log *)log;

	to->write(to->context, (int)level, text);
}

#define OPTION(o, m)                                                                               \
	(IMAGE_PULL_HAS(o, struct towline_registry_options, m) ? (o)->m : (__typeof__((o)->m))0)

static int set_up(struct towline_registry_service *service,
	const struct towline_registry_options *o, struct error **reterr)
{
	static const char *const default_dirs[] = {DEFAULT_CERTS_DIR, NULL};
	struct service_log log = {{write_log}, OPTION(o, log), OPTION(o, log_context)};
	const char *const *dirs = OPTION(o, certs_dirs);
	const char *registry = OPTION(o, default_registry);

	if (OPTION(o, extra_ca)) {
		cleanup_registry_tls struct registry_tls probe = {.ca = NULL};

		/* What cannot be read is said now, not at each pull. */
		if (registry_tls_add_ca(&probe, o->extra_ca, reterr) < 0)
			return -1;
		if (!probe.ca || !strstr(probe.ca, "-----BEGIN "))
			return error_setf(reterr, "%s holds no PEM certificate", o->extra_ca);
		service->extra_ca = strdup(o->extra_ca);
		if (!service->extra_ca)
			return error_set(reterr, &error_no_memory);
	}
	service->resolve = OPTION(o, resolve);
	service->resolve_context = OPTION(o, resolve_context);
	service->lookup =
		(struct host_lookup){LOOKUP_MS, OPTION(o, cancelled), OPTION(o, cancelled_context)};
	service->certs_dirs = copy_list(dirs ? dirs : default_dirs);
	if (!service->certs_dirs)
		return error_set(reterr, &error_no_memory);
	if (set_default_registry(service, registry ? registry : DEFAULT_V2_REGISTRY, reterr) < 0 ||
		registry_rules_init(&service->rules, OPTION(o, registries), reterr) < 0)
		return -1;
	return registry_config_init(&service->config, OPTION(o, allow_nondistributable_artifacts),
		OPTION(o, mirrors), OPTION(o, insecure_registries),
		!OPTION(o, no_insecure_loopback), log.write ? &log.log : NULL, reterr);
}

int towline_registry_service_new(const struct towline_registry_options *options,
	struct towline_registry_service **service, const struct image_pull_sink *sink)
{
	static const struct towline_registry_options none = {.struct_size = sizeof(none)};
	struct towline_registry_service *s = calloc(1, sizeof(*s));
	struct error *err = NULL;

	if (!s)
		return sink_no_memory(sink);
	s->table = (struct image_pull_registry_service){
		.struct_size = sizeof(s->table),
		.context = s,
		.resolve_repository = resolve_repository,
		.lookup_pull_endpoints = lookup_pull_endpoints,
		.lookup_reference_endpoints = lookup_reference_endpoints,
	};
	if (set_up(s, options ? options : &none, &err) < 0) {
		towline_registry_service_free(s);
		return sink_error(sink, err);
	}
	*service = s;
	return IMAGE_PULL_OK;
}

const struct image_pull_registry_service *towline_registry_service_table(
	struct towline_registry_service *service)
{
	return &service->table;
}
