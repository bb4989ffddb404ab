/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted registry on the loopback, inside the test's own process. */
#ifndef FAKE_REGISTRY_H
#define FAKE_REGISTRY_H

#include <stddef.h>

/* The first route whose path is the request's answers. Texts and bodies are borrowed. */
struct fake_route {
	const char *path;         /* without query */
	int status;               /* 0: 200; negative: never answer */
	const char *content_type; /* NULL: application/octet-stream */
	const char *header;       /* one more "Name: value", or NULL */
	const void *body;
	size_t size; /* 0: the length of the text in body */
};

struct fake_registry;
/* Never NULL: a test that can't listen ends. Unknown paths answer 404 with an empty body. */
struct fake_registry *fake_registry_start(const struct fake_route *routes, size_t n);
int fake_registry_port(const struct fake_registry *r);
/* The paths that were asked for so far, with their queries, one a line, in order; the caller's to
 * free. */
char *fake_registry_requests(struct fake_registry *r);
void fake_registry_stop(struct fake_registry *r);

#endif
