/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry service was told: mirrors, insecure registries, those that allow
 * nondistributable artifacts. Go counterpart: registry/config.go's serviceConfig. */
#ifndef COMPAT_REGISTRY_CONFIG_H
#define COMPAT_REGISTRY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "ip.h"

struct error;
struct log;

#define DEFAULT_NAMESPACE "docker.io"
#define INDEX_HOSTNAME "index.docker.io"

struct registry_string_list {
	char **items;
	size_t n;
};
struct registry_nets {
	struct ip_net *items;
	size_t n;
};

/* Immutable once it is made. */
struct registry_config {
	struct registry_string_list mirrors;        /* each with a slash at its end */
	struct registry_string_list insecure_hosts; /* "host[:port]" */
	struct registry_nets insecure_nets;
	struct registry_string_list nondistributable_hosts;
	struct registry_nets nondistributable_nets;
};

/* newServiceConfig: NULL-terminated lists, or NULL. loopback: 127.0.0.0/8 is insecure, as in the
 * original. log takes the original's warnings; it may be NULL. */
int registry_config_init(struct registry_config *config, const char *const *nondistributable,
	const char *const *mirrors, const char *const *insecure, bool loopback, struct log *log,
	struct error **reterr);
void registry_config_free(struct registry_config *config); /* accepts a zeroed one */

/* ValidateMirror: a new string, with a slash at its end. */
int registry_validate_mirror(const char *value, char **ret, struct error **reterr);
/* ValidateIndexName: *ret is value or a constant. */
int registry_validate_index_name(const char *value, const char **ret, struct error **reterr);

/* HOST[:PORT] as references have it. */
bool registry_is_domain(const char *s);
bool registry_string_list_has(const struct registry_string_list *list, const char *s);

#endif
