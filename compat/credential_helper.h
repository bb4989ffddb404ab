/* SPDX-License-Identifier: Apache-2.0 */
/* docker-credential-* programs. Go counterpart: github.com/docker/docker-credential-helpers/client.
 */
#ifndef COMPAT_CREDENTIAL_HELPER_H
#define COMPAT_CREDENTIAL_HELPER_H

struct error;

/* `docker-credential-NAME get` with the server's URL on its standard input. New strings; username
 * "<token>" says that the secret is an identity token. The error says what went wrong; an answer
 * "credentials not found" is one of class NotFound. It waits at most a minute. */
int credential_helper_get(const char *name, const char *server, char **ret_username,
	char **ret_secret, struct error **reterr);
/* `store`: username "<token>" stores an identity token. `erase`: what is not there is no error. */
int credential_helper_store(const char *name, const char *server, const char *username,
	const char *secret, struct error **reterr);
int credential_helper_erase(const char *name, const char *server, struct error **reterr);

#endif
