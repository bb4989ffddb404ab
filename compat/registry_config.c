/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry service was told, validated. Go counterpart: registry/config.go. */
#include "config.h"

#include "registry_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/url.h"

bool registry_string_list_has(const struct registry_string_list *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->items[i], s))
			return true;
	return false;
}

/* Add s, which is taken over, unless it is there. */
static int list_add(struct registry_string_list *list, char *s, struct error **reterr)
{
	if (s && registry_string_list_has(list, s)) {
		free(s);
		return 0;
	}

	char **grown = s ? reallocarray(list->items, list->n + 1, sizeof(*grown)) : NULL;

	if (!grown) {
		free(s);
		return error_set(reterr, &error_no_memory);
	}
	list->items = grown;
	grown[list->n++] = s;
	return 0;
}

static int nets_add(struct registry_nets *nets, const struct ip_net *net, struct error **reterr)
{
	for (size_t i = 0; i < nets->n; i++)
		if (ip_net_equal(&nets->items[i], net))
			return 0;

	struct ip_net *grown = reallocarray(nets->items, nets->n + 1, sizeof(*grown));

	if (!grown)
		return error_set(reterr, &error_no_memory);
	nets->items = grown;
	grown[nets->n++] = *net;
	return 0;
}

static void list_free(struct registry_string_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
}

void registry_config_free(struct registry_config *config)
{
	list_free(&config->mirrors);
	list_free(&config->insecure_hosts);
	list_free(&config->nondistributable_hosts);
	free(config->insecure_nets.items);
	free(config->nondistributable_nets.items);
	*config = (struct registry_config){{0}, {0}, {0}, {0}, {0}};
}

/* ---- mirrors
 * ------------------------------------------------------------------------------------------- */

/* uri.User = url.UserPassword(uri.User.Username(), "xxxxx") */
static int hide_password(struct url *u)
{
	const char *colon = strchr(u->userinfo, ':');
	char *hidden = str_printf("%.*s:xxxxx",
		(int)(colon ? (size_t)(colon - u->userinfo) : strlen(u->userinfo)), u->userinfo);

	if (!hidden)
		return -1;
	free(u->userinfo);
	u->userinfo = hidden;
	return 0;
}

/* `invalid mirror: WHAT "QUOTED"` */
static int invalid_mirror(
	const char *what, const char *quoted, const char *behind, struct error **reterr)
{
	cleanup_buf struct buf b = {0};

	if (quoted)
		buf_append_quoted(&b, quoted, strlen(quoted));
	if (!quoted || b.oom)
		return error_set(reterr, &error_no_memory);
	return error_setf(reterr, "invalid mirror: %s%s%s", what, b.data, behind);
}

static int check_mirror(struct url *u, struct error **reterr)
{
	cleanup_free char *text = url_string(u);

	if (strcmp(u->scheme, "http") != 0 && strcmp(u->scheme, "https") != 0) {
		cleanup_buf struct buf what = {0};

		buf_append_str(&what, "unsupported scheme ");
		buf_append_quoted(&what, u->scheme, strlen(u->scheme));
		buf_append_str(&what, " in ");
		if (what.oom)
			return error_set(reterr, &error_no_memory);
		return invalid_mirror(what.data, text, "", reterr);
	}
	if ((*u->path && strcmp(u->path, "/") != 0) || *u->raw_query || *u->fragment)
		return invalid_mirror(
			"path, query, or fragment at end of the URI ", text, "", reterr);
	if (u->userinfo) {
		cleanup_free char *hidden = hide_password(u) < 0 ? NULL : url_string(u);

		return invalid_mirror("username/password not allowed in URI ", hidden, "", reterr);
	}
	return 0;
}

int registry_validate_mirror(const char *value, char **ret, struct error **reterr)
{
	cleanup_url struct url u = {0};
	cleanup_error struct error *err = NULL;

	if (url_parse(value, &u, &err) < 0) {
		if (err == &error_no_memory)
			return error_set(reterr, &error_no_memory);
		return invalid_mirror("", value, " is not a valid URI", reterr);
	}
	if (check_mirror(&u, reterr) < 0)
		return -1;
	*ret = str_printf("%s%s", value, str_has_suffix(value, "/") ? "" : "/");
	return *ret ? 0 : error_set(reterr, &error_no_memory);
}

static int load_mirrors(
	struct registry_config *config, const char *const *mirrors, struct error **reterr)
{
	for (; mirrors && *mirrors; mirrors++) {
		char *mirror;

		if (registry_validate_mirror(*mirrors, &mirror, reterr) < 0 ||
			list_add(&config->mirrors, mirror, reterr) < 0)
			return -1;
	}
	return 0;
}

/* ---- hosts and networks
 * -------------------------------------------------------------------------------- */

int registry_validate_index_name(const char *value, const char **ret, struct error **reterr)
{
	if (!strcmp(value, INDEX_HOSTNAME))
		value = DEFAULT_NAMESPACE;
	if (str_has_prefix(value, "-") || str_has_suffix(value, "-"))
		return error_setf(reterr,
			"invalid index name (%s). Cannot begin or end with a hyphen", value);
	*ret = value;
	return 0;
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* `^` + reference.DomainRegexp + `$`: components of letters, digits and inner hyphens, joined by
 * dots, and maybe a port. */
bool registry_is_domain(const char *s)
{
	for (;;) {
		if (!is_alphanumeric(*s))
			return false;
		while (is_alphanumeric(*s) || *s == '-')
			s++;
		if (s[-1] == '-')
			return false;
		if (*s != '.')
			break;
		s++;
	}
	if (!*s)
		return true;
	if (*s++ != ':' || !*s)
		return false;
	while (*s >= '0' && *s <= '9')
		s++;
	return !*s;
}

/* strconv.Atoi and the check of its range. */
static int validate_port(const char *port, struct error **reterr)
{
	const char *digits = *port == '+' || *port == '-' ? port + 1 : port;
	cleanup_buf struct buf quoted = {0};
	char *end;

	if (!*port)
		return 0;
	buf_append_quoted(&quoted, port, strlen(port));
	if (quoted.oom)
		return error_set(reterr, &error_no_memory);
	if (!*digits || strspn(digits, "0123456789") != strlen(digits))
		return error_setf(reterr, "strconv.Atoi: parsing %s: invalid syntax", quoted.data);
	errno = 0;

	long n = strtol(port, &end, 10);

	if (errno == ERANGE)
		return error_setf(
			reterr, "strconv.Atoi: parsing %s: value out of range", quoted.data);
	if (n < 0 || n > 65535)
		return error_setf(reterr, "invalid port %s", quoted.data);
	return 0;
}

static int validate_host_port(const char *s, struct error **reterr)
{
	cleanup_free char *host = NULL;
	cleanup_free char *port = NULL;
	struct ip ip;

	if (ip_split_host_port(s, &host, &port) == 0)
		host = strdup(s); /* NULL where memory ran out */
	if (!host)
		return error_set(reterr, &error_no_memory);
	if (!registry_is_domain(s) && !ip_parse(host, &ip)) {
		cleanup_buf struct buf quoted = {0};

		buf_append_quoted(&quoted, host, strlen(host));
		if (quoted.oom)
			return error_set(reterr, &error_no_memory);
		return error_setf(reterr, "invalid host %s", quoted.data);
	}
	return port ? validate_port(port, reterr) : 0;
}

/* A network, or host[:port]. */
static int add_host_or_net(const char *s, const char *kind, struct registry_string_list *hosts,
	struct registry_nets *nets, struct error **reterr)
{
	cleanup_error struct error *err = NULL;
	struct ip_net net;

	if (ip_parse_cidr(s, &net))
		return nets_add(nets, &net, reterr);
	if (validate_host_port(s, &err) < 0) {
		if (err == &error_no_memory)
			return error_set(reterr, &error_no_memory);
		return error_setf(reterr, "%s %s is not valid: %s", kind, s, err->message);
	}
	return list_add(hosts, strdup(s), reterr);
}

static int load_nondistributable(
	struct registry_config *config, const char *const *registries, struct error **reterr)
{
	static const char kind[] = "allow-nondistributable-artifacts registry";
	const char *ignored;

	for (; registries && *registries; registries++) {
		if (registry_validate_index_name(*registries, &ignored, reterr) < 0)
			return -1;
		if (strstr(*registries, "://"))
			return error_setf(
				reterr, "%s %s should not contain '://'", kind, *registries);
		if (add_host_or_net(*registries, kind, &config->nondistributable_hosts,
			    &config->nondistributable_nets, reterr) < 0)
			return -1;
	}
	return 0;
}

static bool has_prefix_fold(const char *s, const char *prefix)
{
	for (; *prefix; s++, prefix++)
		if (*s != *prefix && !(*s >= 'A' && *s <= 'Z' && *s - 'A' + 'a' == *prefix))
			return false;
	return true;
}

static int load_insecure_one(struct registry_config *config, const char *registry, struct log *log,
	struct error **reterr)
{
	static const char *const schemes[] = {"http://", "https://"};
	const char *ignored, *scheme = NULL;

	if (registry_validate_index_name(registry, &ignored, reterr) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (has_prefix_fold(registry, schemes[i]))
			scheme = schemes[i];
	if (scheme) {
		if (log)
			log_warning(log,
				"insecure registry %s should not contain '%s' and '%s' has been "
				"removed from the insecure registry config",
				registry, scheme, scheme);
		registry += strlen(scheme);
	} else if (strstr(registry, "://")) {
		return error_setf(
			reterr, "insecure registry %s should not contain '://'", registry);
	}
	return add_host_or_net(registry, "insecure registry", &config->insecure_hosts,
		&config->insecure_nets, reterr);
}

static int load_insecure(struct registry_config *config, const char *const *registries,
	bool loopback, struct log *log, struct error **reterr)
{
	for (; registries && *registries; registries++)
		if (load_insecure_one(config, *registries, log, reterr) < 0)
			return -1;
	return loopback ? load_insecure_one(config, "127.0.0.0/8", log, reterr) : 0;
}

int registry_config_init(struct registry_config *config, const char *const *nondistributable,
	const char *const *mirrors, const char *const *insecure, bool loopback, struct log *log,
	struct error **reterr)
{
	struct registry_config c = {{0}, {0}, {0}, {0}, {0}};

	if (load_nondistributable(&c, nondistributable, reterr) < 0 ||
		load_mirrors(&c, mirrors, reterr) < 0 ||
		load_insecure(&c, insecure, loopback, log, reterr) < 0) {
		registry_config_free(&c);
		return -1;
	}
	*config = c;
	return 0;
}
