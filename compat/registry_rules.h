/* SPDX-License-Identifier: Apache-2.0 */
/* "registries": which entry holds for a repository, and what the repository is called elsewhere. Go
 * counterpart: containers/image's sysregistriesv2 (FindRegistry, rewriteReference). */
#ifndef COMPAT_REGISTRY_RULES_H
#define COMPAT_REGISTRY_RULES_H

#include <stdbool.h>

#include "towline.h"

struct error;

/* A copy of a struct towline_location, taken apart. */
struct registry_place {
	char *scheme; /* NULL: not said */
	char *host;   /* NULL: where the name says */
	char *path;   /* "" or "a/b" */
	char *ca, *username, *password, *authfile, *api_root;
	bool insecure, ns;
	int credentials, pull_from;
	uint32_t connect_timeout_ms;
};
struct registry_rule {
	char *prefix;
	bool blocked, mirror_only;
	struct registry_place origin;
	struct registry_place *mirrors;
	size_t nmirrors;
};
/* Immutable once it is made. */
struct registry_rules {
	struct registry_rule *items;
	size_t n;
};

/* given: NULL-terminated, or NULL. */
int registry_rules_init(struct registry_rules *rules, const struct towline_registry *const *given,
	struct error **reterr);
void registry_rules_free(struct registry_rules *rules); /* accepts a zeroed one */
/* The rule with the longest prefix of this canonical name, or NULL; *ret_size: how much of name it
 * matches. */
const struct registry_rule *registry_rules_find(
	const struct registry_rules *rules, const char *name, size_t *ret_size);
/* The rule for a whole host, or NULL. */
const struct registry_rule *registry_rules_find_host(
	const struct registry_rules *rules, const char *hostname);
/* The repository's path at that place: its path, and what follows the first size bytes of name. */
int registry_place_repository(const struct registry_place *place, const char *name, size_t size,
	char **ret, struct error **reterr);

/* As config_reader.h's checks. */
int registry_check_prefix(const char *text, struct error **reterr);
int registry_check_location(const char *text, struct error **reterr);

#endif
