/* SPDX-License-Identifier: Apache-2.0 */
/* PEM files and key pairs. Go counterparts: encoding/pem, crypto/tls.X509KeyPair. */
#include "config.h"

#include "pem.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/encoding.h"
#include "base/error.h"

#define BEGIN "\n-----BEGIN "
#define END "\n-----END "
#define DASHES "-----"

struct text {
	const char *s;
	size_t size;
};

/* Take s's first n bytes away. */
static void skip(struct text *t, size_t n)
{
	t->s += n;
	t->size -= n;
}

/* getLine: the first line without what ends it and without blanks at its end; rest is behind it. */
static struct text get_line(struct text *rest)
{
	const char *nl = rest->size ? memchr(rest->s, '\n', rest->size) : NULL;
	struct text line = {rest->s, nl ? (size_t)(nl - rest->s) : rest->size};

	skip(rest, nl ? line.size + 1 : line.size);
	if (nl && line.size && line.s[line.size - 1] == '\r')
		line.size--;
	while (line.size && (line.s[line.size - 1] == ' ' || line.s[line.size - 1] == '\t' ||
				    line.s[line.size - 1] == '\r'))
		line.size--;
	return line;
}

static bool has_prefix(struct text t, const char *prefix, size_t size)
{
	return t.size >= size && !memcmp(t.s, prefix, size);
}

static bool has_suffix(struct text t, const char *suffix)
{
	size_t size = strlen(suffix);

	return t.size >= size && !memcmp(t.s + t.size - size, suffix, size);
}

/* Go to behind the next "-----BEGIN ". */
static bool find_begin(struct text *rest)
{
	if (has_prefix(*rest, &BEGIN[1], strlen(BEGIN) - 1)) {
		skip(rest, strlen(BEGIN) - 1);
		return true;
	}

	const char *found = rest->size ? memmem(rest->s, rest->size, BEGIN, strlen(BEGIN)) : NULL;

	if (!found)
		return false;
	skip(rest, (size_t)(found - rest->s) + strlen(BEGIN));
	return true;
}

/* Where the block of this type ends: its body is rest's first *ret_body bytes, *ret_next what comes
 * after. */
static bool find_end(
	struct text rest, struct text type, bool headers, size_t *ret_body, struct text *ret_next)
{
	struct text trailer = rest, after;

	if (!headers && has_prefix(rest, &END[1], strlen(END) - 1)) {
		*ret_body = 0;
		skip(&trailer, strlen(END) - 1);
	} else {
		const char *found = rest.size ? memmem(rest.s, rest.size, END, strlen(END)) : NULL;

		if (!found)
			return false;
		*ret_body = (size_t)(found - rest.s);
		skip(&trailer, *ret_body + strlen(END));
	}
	after = trailer;
	if (!has_prefix(trailer, type.s, type.size))
		return false;
	skip(&after, type.size);
	if (!has_prefix(after, DASHES, strlen(DASHES)))
		return false;
	skip(&after, strlen(DASHES));
	if (get_line(&after).size)
		return false;
	*ret_next = after;
	return true;
}

/* The body without blanks, decoded. */
static char *decode_body(const char *s, size_t size, size_t *ret_size)
{
	cleanup_free char *packed = malloc(size + 1);
	cleanup_buf struct buf out = {0};
	int r;
	size_t n = 0;

	if (!packed) {
		*ret_size = SIZE_MAX;
		return NULL;
	}
	for (size_t i = 0; i < size; i++)
		if (s[i] != ' ' && s[i] != '\t')
			packed[n++] = s[i];
	r = encoding_base64_decode(&out, packed, n, false, NULL);
	*ret_size = out.oom ? SIZE_MAX : r < 0 ? 0 : out.size;
	return r < 0 ? NULL : buf_steal(&out);
}

struct block {
	struct text type; /* in the file's text */
	char *der;
	size_t der_size;
};

/* pem.Decode: 1 and the next block, 0: there is none, -1: no memory. */
static int next_block(struct text *data, struct block *ret)
{
	struct text rest = *data;

	while (find_begin(&rest)) {
		struct text type = get_line(&rest), next;
		bool headers = false;
		size_t body;

		if (!has_suffix(type, DASHES))
			continue;
		type.size -= strlen(DASHES);
		for (;;) {
			struct text behind = rest, line;

			if (!rest.size)
				return 0;
			line = get_line(&behind);
			if (!line.size || !memchr(line.s, ':', line.size))
				break;
			headers = true;
			rest = behind;
		}
		if (!find_end(rest, type, headers, &body, &next))
			continue;

		size_t der_size;
		char *der = decode_body(rest.s, body, &der_size);

		if (!der && der_size == SIZE_MAX)
			return -1;
		if (!der)
			continue;
		*ret = (struct block){type, der, der_size};
		*data = next;
		return 1;
	}
	return 0;
}

static bool is_key(struct text type)
{
	return (type.size == strlen("PRIVATE KEY") && has_suffix(type, "PRIVATE KEY")) ||
	       has_suffix(type, " PRIVATE KEY");
}

static bool is_certificate(struct text type)
{
	return type.size == strlen("CERTIFICATE") && has_suffix(type, "CERTIFICATE");
}

/* The types of blocks that were passed over, as Go's %v prints them: "[A B]". */
struct skipped {
	struct buf types;
	size_t n;
	struct text first;
};

static void skipped_add(struct skipped *s, struct text type)
{
	if (!s->n++)
		s->first = type;
	else
		buf_append_char(&s->types, ' ');
	buf_append(&s->types, type.s, type.size);
}

static const char *skipped_text(const struct skipped *s)
{
	return s->types.data ? s->types.data : "";
}

static int no_certificate(const struct skipped *s, struct error **reterr)
{
	if (s->types.oom)
		return error_set(reterr, &error_no_memory);
	if (!s->n)
		return error_setf(reterr, "tls: failed to find any PEM data in certificate input");
	if (s->n == 1 && has_suffix(s->first, "PRIVATE KEY"))
		return error_setf(reterr,
			"tls: failed to find certificate PEM data in certificate input, but did "
			"find a private key; PEM inputs may have been switched");
	return error_setf(reterr,
		"tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping "
		"PEM blocks of the following types: [%s]",
		skipped_text(s));
}

static int no_key(const struct skipped *s, struct error **reterr)
{
	if (s->types.oom)
		return error_set(reterr, &error_no_memory);
	if (!s->n)
		return error_setf(reterr, "tls: failed to find any PEM data in key input");
	if (s->n == 1 && is_certificate(s->first))
		return error_setf(reterr, "tls: found a certificate rather than a key in the PEM "
					  "for the private key");
	return error_setf(reterr,
		"tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input "
		"after skipping PEM blocks of the following types: [%s]",
		skipped_text(s));
}

/* The first block that is wanted, into *ret. */
static int find_block(const char *data, size_t size, bool (*wanted)(struct text type),
	int (*none)(const struct skipped *s, struct error **reterr), struct block *ret,
	struct error **reterr)
{
	struct text rest = {data, size};
	struct skipped skipped = {.n = 0};
	struct block block;
	int r;

	while ((r = next_block(&rest, &block)) > 0) {
		if (wanted(block.type)) {
			*ret = block;
			buf_free(&skipped.types);
			return 0;
		}
		skipped_add(&skipped, block.type);
		free(block.der);
	}
	r = r < 0 ? error_set(reterr, &error_no_memory) : none(&skipped, reterr);
	buf_free(&skipped.types);
	return r;
}

static bool key_import(gnutls_x509_privkey_t key, const gnutls_datum_t *der)
{
	return gnutls_x509_privkey_import(key, der, GNUTLS_X509_FMT_DER) == 0 ||
	       gnutls_x509_privkey_import_pkcs8(
		       key, der, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN) == 0;
}

/* RSA, ECDSA and Ed25519 are what Go knows. */
static int key_family(int algorithm)
{
	switch (algorithm) {
	case GNUTLS_PK_RSA:
		return 1;
	case GNUTLS_PK_ECDSA:
		return 2;
	case GNUTLS_PK_EDDSA_ED25519:
		return 3;
	default:
		return 0;
	}
}

static int compare(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key, struct error **reterr)
{
	int family = key_family(gnutls_x509_crt_get_pk_algorithm(cert, NULL));
	unsigned char cert_id[64], key_id[64];
	size_t cert_size = sizeof(cert_id), key_size = sizeof(key_id);

	if (!family)
		return error_setf(reterr, "tls: unknown public key algorithm");
	if (family != key_family(gnutls_x509_privkey_get_pk_algorithm(key)))
		return error_setf(reterr, "tls: private key type does not match public key type");
	if (gnutls_x509_crt_get_key_id(cert, GNUTLS_KEYID_USE_SHA256, cert_id, &cert_size) < 0 ||
		gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, key_id, &key_size) <
			0 ||
		cert_size != key_size || memcmp(cert_id, key_id, cert_size) != 0)
		return error_setf(reterr, "tls: private key does not match public key");
	return 0;
}

static int check(
	const struct block *cert_block, const struct block *key_block, struct error **reterr)
{
	const gnutls_datum_t cert_der = {
		(unsigned char *)cert_block->der, (unsigned)cert_block->der_size};
	const gnutls_datum_t key_der = {
		(unsigned char *)key_block->der, (unsigned)key_block->der_size};
	gnutls_x509_crt_t cert = NULL;
	gnutls_x509_privkey_t key = NULL;
	int r;

	if (gnutls_x509_crt_init(&cert) < 0 || gnutls_x509_privkey_init(&key) < 0)
		r = error_set(reterr, &error_no_memory);
	else if (gnutls_x509_crt_import(cert, &cert_der, GNUTLS_X509_FMT_DER) < 0)
		r = error_setf(reterr, "x509: malformed certificate");
	else if (!key_import(key, &key_der))
		r = error_setf(reterr, "tls: failed to parse private key");
	else
		r = compare(cert, key, reterr);
	if (cert)
		gnutls_x509_crt_deinit(cert);
	if (key)
		gnutls_x509_privkey_deinit(key);
	return r;
}

int pem_check_key_pair(
	const char *cert, size_t cert_size, const char *key, size_t key_size, struct error **reterr)
{
	struct block cert_block, key_block;
	int r;

	if (find_block(cert, cert_size, is_certificate, no_certificate, &cert_block, reterr) < 0)
		return -1;
	if (find_block(key, key_size, is_key, no_key, &key_block, reterr) < 0) {
		free(cert_block.der);
		return -1;
	}
	r = check(&cert_block, &key_block, reterr);
	free(cert_block.der);
	free(key_block.der);
	return r;
}
