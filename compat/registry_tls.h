/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS settings of one registry, from certs.d. Go counterpart: registry/registry.go's
 * newTLSConfig and ReadCertsDirectory. */
#ifndef COMPAT_REGISTRY_TLS_H
#define COMPAT_REGISTRY_TLS_H

#include <stdbool.h>

#include "image_pull.h"

struct error;

/* tls points into the rest. */
struct registry_tls {
	struct image_pull_tls tls;
	char *ca;
	struct image_pull_certificate *certificates;
};

/* certs_dirs: NULL-terminated; the first that has a folder of the host's name counts. An insecure
 * registry's files are not looked at. */
int registry_tls_init(struct registry_tls *tls, const char *const *certs_dirs, const char *hostname,
	bool secure, struct error **reterr);
/* The certificates of a PEM file are trusted as well. */
int registry_tls_add_ca(struct registry_tls *tls, const char *path, struct error **reterr);
void registry_tls_free(struct registry_tls *tls); /* accepts a zeroed one */
#define cleanup_registry_tls __attribute__((cleanup(registry_tls_free)))

#endif
