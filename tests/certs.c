/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "certs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cert {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	char *file, *key_file, *pem, *key_pem;
};

static void must(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, gnutls_strerror(rc));
		abort();
	}
}

static void write_file(const char *path, const char *a, const char *b)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(a, f) < 0 || fputs(b, f) < 0 || fclose(f) != 0) {
		perror(path);
		abort();
	}
}

static char *pem_of(gnutls_datum_t d)
{
	char *s = strndup((char *)d.data, d.size);

	gnutls_free(d.data);
	return s;
}

static void set_names(struct cert *c, const struct cert_spec *spec)
{
	size_t i;

	must(gnutls_x509_crt_set_dn_by_oid(c->crt, GNUTLS_OID_X520_COMMON_NAME, 0,
		     spec->common_name, (unsigned)strlen(spec->common_name)),
		"name");
	for (i = 0; i < 4 && spec->dns[i]; i++)
		must(gnutls_x509_crt_set_subject_alt_name(c->crt, GNUTLS_SAN_DNSNAME, spec->dns[i],
			     (unsigned)strlen(spec->dns[i]), GNUTLS_FSAN_APPEND),
			"dns name");
	for (i = 0; i < 4 && spec->ip[i]; i++) {
		unsigned char ip[16];
		unsigned size = strchr(spec->ip[i], ':') ? 16 : 4;

		inet_pton(size == 4 ? AF_INET : AF_INET6, spec->ip[i], ip);
		must(gnutls_x509_crt_set_subject_alt_name(
			     c->crt, GNUTLS_SAN_IPADDRESS, ip, size, GNUTLS_FSAN_APPEND),
			"address");
	}
}

struct cert *cert_new(const char *dir, const char *name, const struct cert_spec *spec)
{
	struct cert *c = calloc(1, sizeof(*c));
	const struct cert *issuer = spec->issuer ? spec->issuer : c;
	time_t now = time(NULL);
	unsigned char serial[8];
	gnutls_datum_t d;

	must(gnutls_x509_privkey_init(&c->key), "key");
	must(gnutls_x509_privkey_generate(
		     c->key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
		"key");
	must(gnutls_x509_crt_init(&c->crt), "certificate");
	must(gnutls_x509_crt_set_version(c->crt, 3), "version");
	must(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial)), "serial");
	serial[0] &= 0x7f;
	must(gnutls_x509_crt_set_serial(c->crt, serial, sizeof(serial)), "serial");
	must(gnutls_x509_crt_set_activation_time(c->crt, spec->from ? spec->from : now - 3600),
		"from");
	must(gnutls_x509_crt_set_expiration_time(c->crt, spec->until ? spec->until : now + 86400),
		"until");
	set_names(c, spec);
	must(gnutls_x509_crt_set_key(c->crt, c->key), "key");
	if (spec->is_ca) {
		must(gnutls_x509_crt_set_basic_constraints(c->crt, 1, -1), "constraints");
		must(gnutls_x509_crt_set_key_usage(c->crt, GNUTLS_KEY_KEY_CERT_SIGN), "usage");
	}
	if (spec->client_purpose)
		must(gnutls_x509_crt_set_key_purpose_oid(c->crt, GNUTLS_KP_TLS_WWW_CLIENT, 0),
			"purpose");
	must(gnutls_x509_crt_sign2(c->crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), "sign");
	must(gnutls_x509_crt_export2(c->crt, GNUTLS_X509_FMT_PEM, &d), "export");
	c->pem = pem_of(d);
	must(gnutls_x509_privkey_export2(c->key, GNUTLS_X509_FMT_PEM, &d), "export");
	c->key_pem = pem_of(d);
	if (asprintf(&c->file, "%s/%s.crt", dir, name) < 0 ||
		asprintf(&c->key_file, "%s/%s.key", dir, name) < 0)
		abort();
	write_file(c->file, c->pem, spec->extra_chain ? spec->extra_chain : "");
	write_file(c->key_file, c->key_pem, "");
	return c;
}

void cert_free(struct cert *c)
{
	if (!c)
		return;
	gnutls_x509_crt_deinit(c->crt);
	gnutls_x509_privkey_deinit(c->key);
	free(c->file);
	free(c->key_file);
	free(c->pem);
	free(c->key_pem);
	free(c);
}

const char *cert_file(const struct cert *c)
{
	return c->file;
}

const char *cert_key_file(const struct cert *c)
{
	return c->key_file;
}

const char *cert_pem(const struct cert *c)
{
	return c->pem;
}

const char *cert_key_pem(const struct cert *c)
{
	return c->key_pem;
}

char *certs_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir;

	if (asprintf(&dir, "%s/towline-certs-XXXXXX", tmp ? tmp : "/tmp") < 0 || !mkdtemp(dir)) {
		perror("temporary folder");
		abort();
	}
	return dir;
}

void certs_remove(char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (*e->d_name != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
	rmdir(dir);
	free(dir);
}
