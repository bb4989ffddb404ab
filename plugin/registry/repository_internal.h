/* SPDX-License-Identifier: Apache-2.0 */
/* What repository.c and blob.c share. */
#ifndef REGISTRY_REPOSITORY_INTERNAL_H
#define REGISTRY_REPOSITORY_INTERNAL_H

#include "registry/repository.h"

/* {endpoint}/v2/{name}/{kind}/{what}, with the query that every request has */
int repository_url(const struct repository *r, const char *kind, const char *what, char **ret,
	struct error **reterr);
/* transport_do, as the repository's "once" has it. */
int repository_do(struct repository *r, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr);

#endif
