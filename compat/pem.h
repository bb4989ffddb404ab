/* SPDX-License-Identifier: Apache-2.0 */
/* PEM files and pairs of a client certificate and its key. Go counterparts: encoding/pem,
 * tls.X509KeyPair. */
#ifndef COMPAT_PEM_H
#define COMPAT_PEM_H

#include <stddef.h>

struct error;

/* tls.X509KeyPair: do these two belong together? Errors in its words. */
int pem_check_key_pair(const char *cert, size_t cert_size, const char *key, size_t key_size,
	struct error **reterr);

#endif
