/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: containers/image's sysregistriesv2. */
#include "config.h"

#include "registry_rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/url.h"
#include "image/reference.h"
#include "registry_config.h"

/* ---- what is well-formed */

/* A repository's path, or the beginning of one. */
static bool is_path(const char *path)
{
	cleanup_free char *name = str_printf("%s/x", path);
	cleanup_reference struct reference *ref = NULL;

	return name && reference_with_name(name, &ref, NULL) == 0;
}

static bool is_host(const char *host)
{
	cleanup_free char *text = str_printf("//%s", host);
	cleanup_url struct url u = {0};

	if (*host != '[')
		return registry_is_domain(host);
	return text && url_parse(text, &u, NULL) == 0 && !strcmp(u.host, host);
}

int registry_check_prefix(const char *text, struct error **reterr)
{
	bool wildcard = str_has_prefix(text, "*.");
	size_t size = strcspn(text, "/");
	cleanup_free char *host = strndup(text + (wildcard ? 2 : 0), size - (wildcard ? 2 : 0));

	if (!host)
		return error_set(reterr, &error_no_memory);
	if (!registry_is_domain(host) || (text[size] && (wildcard || !is_path(text + size + 1))))
		return error_setf(reterr,
			"\"%s\" is not of the form HOST[:PORT][/PATH] or *.DOMAIN[:PORT]", text);
	return 0;
}

static size_t scheme_size(const char *text)
{
	if (str_has_prefix(text, "https://"))
		return strlen("https://");
	return str_has_prefix(text, "http://") ? strlen("http://") : 0;
}

int registry_check_location(const char *text, struct error **reterr)
{
	const char *bare = text + scheme_size(text);
	size_t size = strcspn(bare, "/");
	cleanup_free char *host = strndup(bare, size);

	if (!host)
		return error_set(reterr, &error_no_memory);
	if (!is_host(host) || (bare[size] && !is_path(bare + size + 1)))
		return error_setf(
			reterr, "\"%s\" is not of the form [http[s]://]HOST[:PORT][/PATH]", text);
	return 0;
}

/* ---- copies */

static void place_free(struct registry_place *p)
{
	free(p->scheme);
	free(p->host);
	free(p->path);
	free(p->ca);
	free(p->username);
	secret_free(p->password);
	free(p->authfile);
	free(p->api_root);
	*p = (struct registry_place){0};
}

void registry_rules_free(struct registry_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		struct registry_rule *rule = &rules->items[i];

		for (size_t j = 0; j < rule->nmirrors; j++)
			place_free(&rule->mirrors[j]);
		free(rule->mirrors);
		place_free(&rule->origin);
		free(rule->prefix);
	}
	free(rules->items);
	*rules = (struct registry_rules){0};
}

static int copy(const char *s, char **ret)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -1 : 0;
}

static int split_location(struct registry_place *p, const char *location, struct error **reterr)
{
	size_t scheme = scheme_size(location), host;

	if (registry_check_location(location, reterr) < 0)
		return -1;
	host = strcspn(location + scheme, "/");
	p->scheme = scheme ? strndup(location, scheme - strlen("://")) : NULL;
	p->host = strndup(location + scheme, host);
	free(p->path);
	p->path = strdup(location + scheme + host + (location[scheme + host] ? 1 : 0));
	if ((scheme && !p->scheme) || !p->host || !p->path)
		return error_set(reterr, &error_no_memory);
	return 0;
}

#define MEMBER(given, type, m)                                                                     \
	(IMAGE_PULL_HAS(given, type, m) ? (given)->m : (__typeof__((given)->m))0)
#define PLACE(m) MEMBER(given, struct towline_location, m)

static int copy_place(
	const struct towline_location *given, struct registry_place *p, struct error **reterr)
{
	*p = (struct registry_place){
		.path = strdup(""),
		.insecure = PLACE(insecure),
		.ns = PLACE(ns),
		.credentials = PLACE(credentials),
		.pull_from = PLACE(pull_from),
		.connect_timeout_ms = PLACE(connect_timeout_ms),
	};
	if (!p->path || copy(PLACE(ca), &p->ca) < 0 || copy(PLACE(username), &p->username) < 0 ||
		copy(PLACE(password), &p->password) < 0 ||
		copy(PLACE(authfile), &p->authfile) < 0 || copy(PLACE(api_root), &p->api_root) < 0)
		return error_set(reterr, &error_no_memory);
	return PLACE(location) ? split_location(p, PLACE(location), reterr) : 0;
}

static int copy_mirrors(const struct towline_location *const *given, struct registry_rule *rule,
	struct error **reterr)
{
	size_t n = 0;

	while (given && given[n])
		n++;
	rule->mirrors = calloc(n + 1, sizeof(*rule->mirrors));
	if (!rule->mirrors)
		return error_set(reterr, &error_no_memory);
	for (; rule->nmirrors < n; rule->nmirrors++) {
		struct registry_place *p = &rule->mirrors[rule->nmirrors];

		if (copy_place(given[rule->nmirrors], p, reterr) < 0 ||
			(!p->host && error_setf(reterr, "%s: a mirror needs a location",
					     rule->prefix) < 0)) {
			place_free(p);
			return -1;
		}
	}
	return 0;
}

static int copy_rule(
	const struct towline_registry *given, struct registry_rule *rule, struct error **reterr)
{
	const struct towline_location *origin = MEMBER(given, struct towline_registry, origin);

	if (!given->prefix)
		return error_setf(reterr, "an entry of registries needs a prefix");
	if (registry_check_prefix(given->prefix, reterr) < 0)
		return -1;
	rule->blocked = MEMBER(given, struct towline_registry, blocked);
	rule->mirror_only = MEMBER(given, struct towline_registry, mirror_only);
	rule->prefix = strdup(given->prefix);
	if (!rule->prefix)
		return error_set(reterr, &error_no_memory);
	if (origin && copy_place(origin, &rule->origin, reterr) < 0)
		return -1;
	return copy_mirrors(MEMBER(given, struct towline_registry, mirrors), rule, reterr);
}

int registry_rules_init(struct registry_rules *rules, const struct towline_registry *const *given,
	struct error **reterr)
{
	struct registry_rules r = {0};
	size_t n = 0;

	while (given && given[n])
		n++;
	r.items = calloc(n + 1, sizeof(*r.items));
	if (!r.items)
		return error_set(reterr, &error_no_memory);
	while (r.n < n) {
		r.n++;
		if (copy_rule(given[r.n - 1], &r.items[r.n - 1], reterr) < 0) {
			registry_rules_free(&r);
			return -1;
		}
	}
	*rules = r;
	return 0;
}

/* ---- which one holds */

/* How much of name the prefix matches, whole components; 0: it does not. */
static size_t match(const char *prefix, const char *name)
{
	size_t size = strlen(prefix), host = strcspn(name, "/");

	if (str_has_prefix(prefix, "*.")) {
		/* "*.b.c": "a.b.c", not "b.c" */
		size--;
		return host > size && !memcmp(name + host - size, prefix + 1, size) ? host : 0;
	}
	if (strncmp(name, prefix, size) != 0)
		return 0;
	return !name[size] || name[size] == '/' ? size : 0;
}

const struct registry_rule *registry_rules_find(
	const struct registry_rules *rules, const char *name, size_t *ret_size)
{
	const struct registry_rule *best = NULL;

	*ret_size = 0;
	for (size_t i = 0; i < rules->n; i++) {
		const struct registry_rule *rule = &rules->items[i];
		size_t size = match(rule->prefix, name);

		/* of two that match as much, a prefix without "*" or the longer one with it */
		if (size > *ret_size ||
			(size && size == *ret_size &&
				(rule->prefix[0] != '*' ||
					(best->prefix[0] == '*' &&
						strlen(rule->prefix) > strlen(best->prefix))))) {
			best = rule;
			*ret_size = size;
		}
	}
	return best;
}

const struct registry_rule *registry_rules_find_host(
	const struct registry_rules *rules, const char *hostname)
{
	size_t size;

	/* as the name of a repository: one with a path matches no host */
	return registry_rules_find(rules, hostname, &size);
}

int registry_place_repository(const struct registry_place *place, const char *name, size_t size,
	char **ret, struct error **reterr)
{
	const char *rest = name + size;
	char *path;

	if (!*place->path && *rest == '/')
		rest++;
	if (!*place->path && !*rest)
		return error_setf(reterr, "nothing is left of %s to ask %s for", name, place->host);
	path = str_printf("%s%s", place->path, rest);
	if (!path)
		return error_set(reterr, &error_no_memory);
	*ret = path;
	return 0;
}
