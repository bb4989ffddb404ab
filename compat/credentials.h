/* SPDX-License-Identifier: Apache-2.0 */
/* What reading and writing credentials files have in common. Go counterpart: docker/cli's config.
 */
#ifndef COMPAT_CREDENTIALS_H
#define COMPAT_CREDENTIALS_H

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

#define CREDENTIALS_FILE_LIMIT (4u << 20)
/* Docker Hub, as config.json and the helpers name it. */
#define CREDENTIALS_INDEX_SERVER "https://index.docker.io/v1/"

/* A buffer that holds a secret: wiped before it is freed. */
static inline void credentials_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->size);
	buf_free(b);
}
#define cleanup_secret __attribute__((cleanup(credentials_wipe)))

/* Is key another spelling of this host: with a scheme, or the paths of old logins? */
bool credentials_names_host(const char *key, const char *host);
/* $DOCKER_CONFIG/config.json or ~/.docker/config.json, a new string; NULL: neither is set, or, with
 * errno ENOMEM, no memory. */
char *credentials_docker_file(void);

#endif
