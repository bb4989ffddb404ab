/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as Go's net/url has them, with its error texts. */
#ifndef BASE_URL_H
#define BASE_URL_H

#include <stdbool.h>

struct error;
struct buf;

struct url {
	char *scheme; /* lower case; "" if none */
	char *opaque;
	char *userinfo; /* escaped, as String() writes it; NULL if none */
	char *host;     /* host or host:port, as written */
	char *path;     /* decoded */
	char *raw_path; /* as written, if it differs from the default encoding of path; else "" */
	char *raw_query;
	char *fragment;     /* decoded */
	char *raw_fragment; /* like raw_path */
	bool force_query;
	bool omit_host; /* "scheme:/path": no "//" */
};

/* url.Parse. Error: ERROR_URL with op "parse". */
int url_parse(const char *s, struct url *ret, struct error **reterr);
void url_free(struct url *u); /* accepts a zeroed one */
#define cleanup_url __attribute__((cleanup(url_free)))
char *url_string(const struct url *u);            /* URL.String(); NULL: no memory */
char *url_escaped_path(const struct url *u);      /* URL.EscapedPath() */
char *url_hostname(const struct url *u);          /* without port and brackets */
char *url_port(const struct url *u);              /* "" if none */
const char *url_default_port(const char *scheme); /* "443", "80", NULL */
/* base.ResolveReference(parsed ref): for redirects. */
int url_resolve(const struct url *base, const char *ref, struct url *ret, struct error **reterr);
/* The decoded user and password ("" if it has none); both NULL if the URL has no userinfo. -1: no
 * memory. A NUL in them ends the string. */
int url_user_password(const struct url *u, char **ret_user, char **ret_password);
void url_query_escape(struct buf *b, const char *s); /* url.QueryEscape */
void url_path_escape(struct buf *b, const char *s);

#endif
