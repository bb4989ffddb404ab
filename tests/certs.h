/* SPDX-License-Identifier: Apache-2.0 */
/* Throw-away keys and certificates for tests, made at run time in a temporary folder. */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include <stdbool.h>
#include <time.h>

struct cert;

struct cert_spec {
	const char *common_name;
	const struct cert *issuer; /* NULL: self-signed */
	bool is_ca;
	const char *dns[4]; /* subject alternative names */
	const char *ip[4];
	time_t from, until;      /* 0: an hour ago, in a day */
	bool client_purpose;     /* for client authentication only */
	const char *extra_chain; /* PEM to put behind it in the file */
};

/* Aborts when it fails: nothing of it depends on the code under test. */
struct cert *cert_new(const char *dir, const char *name, const struct cert_spec *spec);
void cert_free(struct cert *c);
const char *cert_file(const struct cert *c); /* the chain, PEM */
const char *cert_key_file(const struct cert *c);
const char *cert_pem(const struct cert *c); /* the certificate alone */
const char *cert_key_pem(const struct cert *c);

/* A fresh folder; and its removal with what is in it. */
char *certs_folder(void);
void certs_remove(char *dir);

#endif
