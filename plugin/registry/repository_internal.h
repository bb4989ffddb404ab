/* SPDX-License-Identifier: Apache-2.0 */
/* What repository.c and blob.c share. */
#ifndef REGISTRY_REPOSITORY_INTERNAL_H
#define REGISTRY_REPOSITORY_INTERNAL_H

#include "registry/repository.h"

/* {endpoint}/v2/{name}/{kind}/{what} */
int repository_url(const struct repository *r, const char *kind, const char *what, char **ret,
	struct error **reterr);
const struct transport *repository_transport(const struct repository *r);

#endif
