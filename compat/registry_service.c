/* SPDX-License-Identifier: Apache-2.0 */
/* Which registry a reference means, and the endpoints to try. Go counterparts: registry/service.go,
 * service_v2.go. Immutable once it is made, so no lock is needed. */
#include "config.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/url.h"
#include "image/reference.h"
#include "registry_config.h"
#include "registry_tls.h"
#include "sink.h"
#include "towline.h"

#define DEFAULT_V2_REGISTRY "https://registry-1.docker.io"
#define DEFAULT_CERTS_DIR "/etc/docker/certs.d"
#define MAX_ADDRESSES 1024

struct towline_registry_service {
	struct image_pull_registry_service table;
	struct registry_config config;
	char **certs_dirs; /* NULL-terminated */
	char *default_registry;
	char *extra_ca; /* NULL: none */
	int (*resolve)(void *context, const char *host, const struct image_pull_sink *sink);
	void *resolve_context;
};

/* ---- names and addresses
 * ------------------------------------------------------------------------------- */

struct addresses {
	struct ip items[MAX_ADDRESSES];
	size_t n;
};

static int take_address(void *receiver, const void *data, size_t size)
{
	struct addresses *list = receiver;
	char text[64];

	if (size >= sizeof(text) || list->n == MAX_ADDRESSES)
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

static void take_sockaddr(struct addresses *list, const struct sockaddr *sa)
{
	struct ip ip = {{0}, 0};

	if (sa->sa_family == AF_INET) {
		ip.size = 4;
		memcpy(ip.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
		const uint8_t *bytes =
			(const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)
				->sin6_addr;

		ip.size = memcmp(bytes, mapped, sizeof(mapped)) != 0 ? 16 : 4;
		memcpy(ip.bytes, bytes + 16 - ip.size, ip.size);
	}
	if (ip.size && list->n < MAX_ADDRESSES)
		list->items[list->n++] = ip;
}

/* net.LookupIP. */
static void lookup(
	const struct towline_registry_service *service, const char *host, struct addresses *list)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = list,
		.value = take_address,
		.message = ignore_message};
	struct addrinfo *found = NULL;

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
	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return;
	for (const struct addrinfo *ai = found; ai; ai = ai->ai_next)
		take_sockaddr(list, ai->ai_addr);
	freeaddrinfo(found);
}

/* isCIDRMatch: -1 when out of memory. */
static int in_nets(const struct towline_registry_service *service, const struct registry_nets *nets,
	const char *url_host)
{
	cleanup_free char *host = NULL;
	cleanup_free char *port = NULL;
	cleanup_free struct addresses *list = NULL;

	if (!nets->n)
		return 0; /* no name need be resolved */
	if (!ip_split_host_port(url_host, &host, &port))
		host = strdup(url_host);
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
};
struct endpoints {
	struct endpoint *items;
	size_t n;
};

static void endpoints_free(struct endpoints *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].url);
		registry_tls_free(&list->items[i].tls);
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
	struct endpoints *list, struct error **reterr)
{
	int nondistributable =
		registry_string_list_has(&service->config.nondistributable_hosts, hostname)
			? 1
			: in_nets(service, &service->config.nondistributable_nets, hostname);
	int secure = is_secure(service, hostname);
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

static int lookup_pull_endpoints(
	void *context, const char *hostname, const struct image_pull_sink *sink)
{
	const struct towline_registry_service *service = context;
	cleanup_endpoints struct endpoints list = {NULL, 0};
	struct error *err = NULL;
	int code = IMAGE_PULL_OK;
	int r;

	if (!strcmp(hostname, DEFAULT_NAMESPACE) || !strcmp(hostname, INDEX_HOSTNAME))
		r = lookup_official(service, &list, &err);
	else
		r = lookup_other(service, hostname, &list, &err);
	for (size_t i = 0; service->extra_ca && !r && i < list.n; i++)
		r = registry_tls_add_ca(&list.items[i].tls, service->extra_ca, &err);
	if (r < 0)
		return sink_error(sink, err);
	for (size_t i = 0; i < list.n && code == IMAGE_PULL_OK; i++) {
		struct endpoint *e = &list.items[i];

		e->public.url = e->url;
		e->public.tls = &e->tls.tls;
		code = sink_value(sink, &e->public, sizeof(e->public));
	}
	return code;
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
	service->certs_dirs = copy_list(dirs ? dirs : default_dirs);
	if (!service->certs_dirs)
		return error_set(reterr, &error_no_memory);
	if (set_default_registry(service, registry ? registry : DEFAULT_V2_REGISTRY, reterr) < 0)
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
