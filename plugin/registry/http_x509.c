/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying a server's certificate, with Go's words. Go counterparts: crypto/x509 verify.go,
 * crypto/tls verifyServerCertificate. */
#include "config.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "registry/http_internal.h"

#define MAX_CHAIN 16
#define MAX_CAS 64
#define MAX_NAMES 256
#define DIGEST_SIZE 32
#define VERIFIED_SLOTS 8
#define VERIFIED_FOR_SECONDS 300
#define SAN_OID "2.5.29.17"

/* What was verified a short while ago: the same chain for the same host need not be done again. */
struct verified {
	struct {
		unsigned char digest[DIGEST_SIZE];
		time_t until;
	} slots[VERIFIED_SLOTS];
	unsigned next;
};

/* ---- names */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool equal_fold(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t i;

	for (i = 0; a_size == b_size && i < a_size; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return a_size == b_size;
}

/* Go: validHostname. */
static bool valid_hostname(const char *s, size_t size, bool is_pattern)
{
	size_t i, begin = 0;

	if (!is_pattern && size && s[size - 1] == '.')
		size--;
	if (!size)
		return false;
	for (i = 0; i <= size; i++) {
		if (i == size || s[i] == '.') {
			if (i == begin)
				return false;
			begin = i + 1;
			continue;
		}
		if (is_pattern && i == 0 && s[0] == '*' && (size == 1 || s[1] == '.'))
			continue;
		if (!(lower(s[i]) >= 'a' && lower(s[i]) <= 'z') && !(s[i] >= '0' && s[i] <= '9') &&
			!(s[i] == '-' && i != begin) && s[i] != '_')
			return false;
	}
	return true;
}

/* Go: matchHostnames. A star stands for the whole first label. */
static bool match_hostnames(const char *pattern, size_t size, const char *host)
{
	size_t n = strlen(host);
	const char *dot;

	if (n && host[n - 1] == '.')
		n--;
	if (!size || !n)
		return false;
	if (size >= 2 && pattern[0] == '*' && pattern[1] == '.') {
		dot = memchr(host, '.', n);
		if (!dot || dot == host)
			return false;
		return equal_fold(pattern + 1, size - 1, dot, n - (size_t)(dot - host));
	}
	if (size == 1 && *pattern == '*')
		return !memchr(host, '.', n);
	return equal_fold(pattern, size, host, n);
}

/* One name of the certificate against the host. */
static bool match_name(const char *name, size_t size, const char *host)
{
	if (valid_hostname(host, strlen(host), false) && valid_hostname(name, size, true))
		return match_hostnames(name, size, host);
	if (!size || (size == 1 && *name == '.') || !*host || strcmp(host, ".") == 0)
		return false;
	return equal_fold(name, size, host, strlen(host));
}

static bool match_address(const unsigned char *a, size_t size, const char *host)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	unsigned char ip[16];
	size_t n;

	if (inet_pton(AF_INET, host, ip) == 1)
		n = 4;
	else if (inet_pton(AF_INET6, host, ip) == 1)
		n = 16;
	else
		return false;
	if (n == 16 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
		memmove(ip, ip + 12, 4);
		n = 4;
	}
	if (size == 16 && memcmp(a, mapped, sizeof(mapped)) == 0) {
		a += 12;
		size = 4;
	}
	return size == n && memcmp(a, ip, n) == 0;
}

static void append_address(struct buf *b, const unsigned char *a, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if ((size == 4 || size == 16) &&
		inet_ntop(size == 4 ? AF_INET : AF_INET6, a, text, sizeof(text)))
		buf_appendf(b, "%s%s", b->size ? ", " : "", text);
}

/* All subject alternative names: whether host is one, and the list of those of its kind. */
static int scan_names(
	gnutls_x509_crt_t crt, const char *host, bool *ret_match, bool *ret_any, struct buf *list)
{
	bool is_ip = http_is_ip(host);
	unsigned i;

	*ret_match = false;
	*ret_any = false;
	for (i = 0; i < MAX_NAMES; i++) {
		char name[4096];
		size_t size = sizeof(name);
		unsigned type = 0;
		int rc = gnutls_x509_crt_get_subject_alt_name2(crt, i, name, &size, &type, NULL);

		if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return 0;
		*ret_any = true;
		if (rc < 0) /* one that is too long, or of no known kind */
			continue;
		if (is_ip && type == GNUTLS_SAN_IPADDRESS) {
			append_address(list, (unsigned char *)name, size);
			*ret_match |= match_address((unsigned char *)name, size, host);
		} else if (!is_ip && type == GNUTLS_SAN_DNSNAME) {
			size = strnlen(name, size);
			buf_appendf(list, "%s%.*s", list->size ? ", " : "", (int)size, name);
			*ret_match |= match_name(name, size, host);
		}
		if (*ret_match)
			return 0;
	}
	return 0;
}

static bool matches_common_name(gnutls_x509_crt_t crt, const char *host)
{
	char name[256];
	size_t size = sizeof(name);

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) < 0)
		return false;
	return match_hostnames(name, strnlen(name, size), host);
}

int http_verify_hostname(gnutls_x509_crt_t crt, const char *host, struct error **reterr)
{
	cleanup_buf struct buf list = {0};
	bool match, any;

	if (scan_names(crt, host, &match, &any, &list) < 0 || list.oom)
		return error_set(reterr, &error_no_memory);
	if (match)
		return 0;
	if (!any && matches_common_name(crt, host))
		return error_setf(reterr,
			"x509: certificate relies on legacy Common Name field, use SANs instead");
	if (http_is_ip(host) && !list.size)
		return error_setf(reterr,
			"x509: cannot validate certificate for %s because it doesn't contain any "
			"IP SANs",
			host);
	if (!list.size)
		return error_setf(reterr,
			"x509: certificate is not valid for any names, but wanted to match %s",
			host);
	return error_setf(reterr, "x509: certificate is valid for %s, not %s", list.data, host);
}

/* ---- times */

static void append_time(struct buf *b, time_t t, bool local)
{
	struct tm tm;
	char text[64];
	long offset;

	if (!(local ? localtime_r(&t, &tm) : gmtime_r(&t, &tm)) ||
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
		buf_append_str(b, "?");
		return;
	}
	buf_append_str(b, text);
	offset = local ? tm.tm_gmtoff / 60 : 0;
	if (offset == 0)
		buf_append_char(b, 'Z');
	else
		buf_appendf(b, "%c%02ld:%02ld", offset < 0 ? '-' : '+', labs(offset) / 60,
			labs(offset) % 60);
}

static int check_time(gnutls_x509_crt_t crt, time_t now, struct error **reterr)
{
	time_t from = gnutls_x509_crt_get_activation_time(crt);
	time_t until = gnutls_x509_crt_get_expiration_time(crt);
	cleanup_buf struct buf b = {0};
	bool early = now < from;

	if (from != (time_t)-1 && until != (time_t)-1 && !early && now <= until)
		return 0;
	buf_append_str(&b, "x509: certificate has expired or is not yet valid: current time ");
	append_time(&b, now, true);
	buf_append_str(&b, early ? " is before " : " is after ");
	append_time(&b, early ? from : until, false);
	return error_set(reterr, b.oom ? &error_no_memory : error_plainf("%s", b.data));
}

/* ---- the chain */

struct chain {
	gnutls_x509_crt_t certs[MAX_CHAIN]; /* the server's, its own first */
	unsigned n;
	gnutls_x509_crt_t cas[MAX_CAS]; /* trusted ones whose names it asks for */
	unsigned ncas;
	gnutls_datum_t names[2 * MAX_CHAIN];
	unsigned nnames;
};

static void chain_free(struct chain *c)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		gnutls_x509_crt_deinit(c->certs[i]);
	for (i = 0; i < c->ncas; i++)
		gnutls_x509_crt_deinit(c->cas[i]);
	for (i = 0; i < c->nnames; i++)
		gnutls_free(c->names[i].data);
	*c = (struct chain){0};
}

/* Keep the name that was just put behind the others, if it is new. */
static void add_name(struct chain *c, int rc)
{
	gnutls_datum_t *name = &c->names[c->nnames];
	unsigned i;

	if (rc < 0)
		return;
	for (i = 0; i < c->nnames; i++) {
		if (c->names[i].size == name->size &&
			memcmp(c->names[i].data, name->data, name->size) == 0) {
			gnutls_free(name->data);
			return;
		}
	}
	c->nnames++;
}

static int import_chain(
	struct chain *c, const gnutls_datum_t *ders, unsigned n, struct error **reterr)
{
	unsigned i;

	if (n > MAX_CHAIN)
		return error_setf(reterr, "x509: too many certificates in the server's chain");
	for (i = 0; i < n; i++) {
		int rc = gnutls_x509_crt_init(&c->certs[i]);

		if (rc < 0)
			return error_set(reterr, &error_no_memory);
		c->n++;
		rc = gnutls_x509_crt_import(c->certs[i], &ders[i], GNUTLS_X509_FMT_DER);
		if (rc < 0)
			return error_setf(reterr,
				"tls: failed to parse certificate from server: %s",
				gnutls_strerror(rc));
		add_name(c, gnutls_x509_crt_get_raw_dn(c->certs[i], &c->names[c->nnames]));
		add_name(c, gnutls_x509_crt_get_raw_issuer_dn(c->certs[i], &c->names[c->nnames]));
	}
	return 0;
}

static int add_ca(void *arg, const void *der, size_t size)
{
	struct chain *c = arg;
	gnutls_datum_t d = {(unsigned char *)der, (unsigned int)size};

	if (c->ncas == MAX_CAS)
		return 0;
	if (gnutls_x509_crt_init(&c->cas[c->ncas]) < 0)
		return -1;
	if (gnutls_x509_crt_import(c->cas[c->ncas], &d, GNUTLS_X509_FMT_DER) < 0) {
		gnutls_x509_crt_deinit(c->cas[c->ncas]);
		return 0; /* Go skips what it cannot read as well */
	}
	c->ncas++;
	return 0;
}

static int find_cas(
	struct chain *c, struct trust *trust, const struct http_tls *tls, bool with_folders)
{
	struct http_name names[2 * MAX_CHAIN];
	unsigned i;

	for (i = 0; i < c->ncas; i++)
		gnutls_x509_crt_deinit(c->cas[i]);
	c->ncas = 0;
	for (i = 0; i < c->nnames; i++) {
		names[i].data = c->names[i].data;
		names[i].size = c->names[i].size;
	}
	return http_trust_find(trust, tls ? tls->ca : NULL, tls ? tls->ca_size : 0, names,
		c->nnames, with_folders, add_ca, c);
}

/* Go's CheckSignatureFrom: a trusted certificate that is no CA vouches for itself only. GnuTLS
 * would take a self-signed one without basic constraints for an old CA. */
static bool may_vouch(gnutls_x509_crt_t ca, gnutls_x509_crt_t leaf)
{
	if (gnutls_x509_crt_get_version(ca) < 3 || gnutls_x509_crt_get_ca_status(ca, NULL) > 0)
		return true;
	return gnutls_x509_crt_equals(ca, leaf);
}

/* GnuTLS's verdict on the chain, names left out. -1: it gave none. */
static int judge(struct chain *c, unsigned *ret_status)
{
	gnutls_x509_crt_t anchors[MAX_CAS];
	unsigned i, n = 0;
	gnutls_x509_trust_list_t list;
	gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER};
	int rc;

	*ret_status = GNUTLS_CERT_INVALID;
	for (i = 0; i < c->ncas; i++) {
		if (may_vouch(c->cas[i], c->certs[0]))
			anchors[n++] = c->cas[i];
	}
	if (gnutls_x509_trust_list_init(&list, 1) < 0)
		return -1;
	rc = gnutls_x509_trust_list_add_cas(list, anchors, n, 0);
	if (rc == (int)n)
		rc = gnutls_x509_trust_list_verify_crt2(
			list, c->certs, c->n, &purpose, 1, 0, ret_status, NULL);
	else
		rc = -1;
	/* the certificates stay ours */
	gnutls_x509_trust_list_deinit(list, 0);
	return rc < 0 ? -1 : 0;
}

/* ---- why a chain is refused */

static bool is_issuer(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	gnutls_datum_t a = {0}, b = {0};
	bool same = gnutls_x509_crt_get_raw_issuer_dn(crt, &a) == 0 &&
		    gnutls_x509_crt_get_raw_dn(issuer, &b) == 0 && a.size == b.size &&
		    memcmp(a.data, b.data, a.size) == 0;

	gnutls_free(a.data);
	gnutls_free(b.data);
	return same;
}

/* Go: checkSignature's errors. */
static const char *signature_failure(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	unsigned bits, status = 0;
	int rc;

	if (!may_vouch(issuer, crt))
		return "x509: invalid signature: parent certificate cannot sign this kind of "
		       "certificate";
	rc = gnutls_x509_crt_verify(crt, &issuer, 1,
		GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS,
		&status);

	if (rc == 0 && status == 0)
		return NULL;
	if (status & GNUTLS_CERT_SIGNER_NOT_CA || status & GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE)
		return "x509: invalid signature: parent certificate cannot sign this kind of "
		       "certificate";
	if (status & GNUTLS_CERT_INSECURE_ALGORITHM) {
		switch (gnutls_x509_crt_get_signature_algorithm(crt)) {
		case GNUTLS_SIGN_RSA_SHA1:
			return "x509: cannot verify signature: insecure algorithm SHA1-RSA "
			       "(temporarily override with GODEBUG=x509sha1=1)";
		case GNUTLS_SIGN_ECDSA_SHA1:
			return "x509: cannot verify signature: insecure algorithm ECDSA-SHA1 "
			       "(temporarily override with GODEBUG=x509sha1=1)";
		case GNUTLS_SIGN_RSA_MD5:
			return "x509: cannot verify signature: insecure algorithm MD5-RSA";
		default:
			return "x509: cannot verify signature: algorithm unimplemented";
		}
	}
	switch (gnutls_x509_crt_get_pk_algorithm(issuer, &bits)) {
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
		return "crypto/rsa: verification error";
	case GNUTLS_PK_ECDSA:
		return "x509: ECDSA verification failure";
	case GNUTLS_PK_EDDSA_ED25519:
		return "x509: Ed25519 verification failure";
	default:
		return "x509: cannot verify signature: algorithm unimplemented";
	}
}

/* UnknownAuthorityError.Error's name for a certificate. */
static void append_cert_name(struct buf *b, gnutls_x509_crt_t crt)
{
	char name[256];
	size_t size = sizeof(name);
	unsigned char serial[64];
	size_t i;

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) ==
			0 &&
		size) {
		buf_append_quoted(b, name, size);
		return;
	}
	size = sizeof(name);
	if (gnutls_x509_crt_get_dn_by_oid(
		    crt, GNUTLS_OID_X520_ORGANIZATION_NAME, 0, 0, name, &size) == 0 &&
		size) {
		buf_append_quoted(b, name, size);
		return;
	}
	size = sizeof(serial);
	if (gnutls_x509_crt_get_serial(crt, serial, &size) < 0)
		size = 0;
	buf_append_str(b, "\"serial:0x");
	for (i = 0; i < size; i++)
		buf_appendf(b, "%02x", serial[i]);
	buf_append_char(b, '"');
}

/* x509: certificate signed by unknown authority, with the hint that Go gives when there is a CA of
 * that name after all. */
static struct error *unknown_authority(const struct chain *c)
{
	gnutls_x509_crt_t at = c->certs[0];
	struct buf b = {0};
	struct error *err;
	unsigned i, depth;

	buf_append_str(&b, "x509: certificate signed by unknown authority");
	for (depth = 0; at && depth < MAX_CHAIN; depth++) {
		gnutls_x509_crt_t next = NULL, suspect = NULL;
		const char *why = NULL;

		for (i = 0; i < c->ncas + c->n && !suspect && !next; i++) {
			gnutls_x509_crt_t parent = i < c->ncas ? c->cas[i] : c->certs[i - c->ncas];

			/* the server's own is not among those that may have signed */
			if (parent == at || i == c->ncas || !is_issuer(at, parent))
				continue;
			why = signature_failure(at, parent);
			if (why)
				suspect = parent;
			else
				next = parent;
		}
		if (suspect) {
			buf_append_str(&b, " (possibly because of ");
			buf_append_quoted(&b, why, strlen(why));
			buf_append_str(
				&b, " while trying to verify candidate authority certificate ");
			append_cert_name(&b, suspect);
			buf_append_char(&b, ')');
		}
		at = next;
	}
	err = b.oom ? &error_no_memory : error_plainf("%s", b.data);
	buf_free(&b);
	return err;
}

static struct error *chain_error(const struct chain *c, unsigned status, time_t now)
{
	struct error *err = NULL;
	unsigned i;

	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED)) {
		for (i = 1; i < c->n; i++) {
			if (check_time(c->certs[i], now, &err) < 0)
				return err;
		}
		for (i = 0; i < c->ncas; i++) {
			if (check_time(c->cas[i], now, &err) < 0)
				return err;
		}
	}
	if (status & GNUTLS_CERT_PURPOSE_MISMATCH)
		return error_plainf("x509: certificate specifies an incompatible key usage");
	if (status & GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS)
		return error_plainf("x509: unhandled critical extension");
	return unknown_authority(c);
}

/* *ret_until: when the first certificate of the chain ends. */
static int verify_chain(const struct exchange *x, const gnutls_datum_t *ders, unsigned n,
	time_t now, time_t *ret_until, struct error **reterr)
{
	struct chain c = {0};
	unsigned status = GNUTLS_CERT_INVALID, i;
	int rc = import_chain(&c, ders, n, reterr);

	if (rc == 0)
		rc = check_time(c.certs[0], now, reterr);
	if (rc == 0)
		rc = http_verify_hostname(c.certs[0], x->host, reterr);
	if (rc == 0 &&
		(find_cas(&c, x->client->trust, x->tls, false) < 0 || judge(&c, &status) < 0))
		rc = error_set(reterr, unknown_authority(&c));
	/* the system may keep CAs in folders only */
	if (rc == 0 && status & GNUTLS_CERT_SIGNER_NOT_FOUND &&
		(find_cas(&c, x->client->trust, x->tls, true) < 0 || judge(&c, &status) < 0))
		rc = error_set(reterr, unknown_authority(&c));
	if (rc == 0 && status != 0)
		rc = error_set(reterr, chain_error(&c, status, now));
	*ret_until = now + VERIFIED_FOR_SECONDS;
	for (i = 0; i < c.n; i++) {
		time_t end = gnutls_x509_crt_get_expiration_time(c.certs[i]);

		if (end < *ret_until)
			*ret_until = end;
	}
	chain_free(&c);
	return rc;
}

/* ---- what was verified already */

static bool chain_digest(const struct exchange *x, const gnutls_datum_t *ders, unsigned n,
	unsigned char ret[DIGEST_SIZE])
{
	gnutls_hash_hd_t h;
	unsigned i;

	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return false;
	/* with its NUL, so that the name's end is plain */
	gnutls_hash(h, x->host, strlen(x->host) + 1);
	for (i = 0; i < n; i++) {
		gnutls_hash(h, &ders[i].size, sizeof(ders[i].size));
		gnutls_hash(h, ders[i].data, ders[i].size);
	}
	gnutls_hash_deinit(h, ret);
	return true;
}

static bool known(const struct verified *v, const unsigned char *digest, time_t now)
{
	unsigned i;

	for (i = 0; v && i < VERIFIED_SLOTS; i++) {
		if (v->slots[i].until > now && v->slots[i].until <= now + VERIFIED_FOR_SECONDS &&
			memcmp(v->slots[i].digest, digest, DIGEST_SIZE) == 0)
			return true;
	}
	return false;
}

static void remember(struct pool *pool, const unsigned char *digest, time_t until)
{
	struct verified *v = pool->verified;

	if (!v)
		v = pool->verified = calloc(1, sizeof(*v));
	if (!v) /* then it is verified again */
		return;
	memcpy(v->slots[v->next].digest, digest, DIGEST_SIZE);
	v->slots[v->next].until = until;
	v->next = (v->next + 1) % VERIFIED_SLOTS;
}

/* NULL: there is none yet. */
static gnutls_session_t session_of(struct exchange *x)
{
	struct curl_tlssessioninfo *info = NULL;

	if (curl_easy_getinfo(x->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info ||
		info->backend != CURLSSLBACKEND_GNUTLS)
		return NULL;
	return info->internals;
}

static int verify_session(struct exchange *x, gnutls_session_t session, struct error **reterr)
{
	unsigned char digest[DIGEST_SIZE];
	const gnutls_datum_t *ders;
	unsigned n = 0;
	time_t now = time(NULL), until;
	bool has_digest;

	if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_SERVER) != GNUTLS_CRT_X509)
		return error_setf(reterr, "x509: the server's certificate is of another kind");
	ders = gnutls_certificate_get_peers(session, &n);
	if (!ders || n == 0)
		return error_setf(reterr, "x509: the server gave no certificate");
	has_digest = chain_digest(x, ders, n, digest);
	if (has_digest && known(x->pool->verified, digest, now))
		return 0;
	if (verify_chain(x, ders, n, now, &until, reterr) < 0)
		return -1;
	if (has_digest)
		remember(x->pool, digest, until);
	return 0;
}

/* Within the handshake, as Go: what fails here has had neither our Finished nor a client
 * certificate. */
static int verify_in_handshake(gnutls_session_t session)
{
	struct exchange *x = gnutls_session_get_ptr(session);
	struct error *err = NULL;

	if (x && verify_session(x, session, &err) == 0)
		return 0;
	if (x && !x->fault)
		x->fault = error_ref(err ? err : &error_no_memory);
	error_unref(err);
	/* a peer that does not hear it sees the connection end */
	(void)gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
	return -1;
}

/* curl takes one client certificate; the others go beside it, and GnuTLS chooses by what the server
 * accepts, as Go does. */
static int add_certificates(const struct http_tls *tls, gnutls_session_t session)
{
	gnutls_certificate_credentials_t credentials;
	size_t i;

	if (gnutls_credentials_get(session, GNUTLS_CRD_CERTIFICATE, (void **)&credentials) < 0)
		return -1;
	for (i = 1; i < tls->ncertificates; i++) {
		const struct http_certificate *c = &tls->certificates[i];
		const gnutls_datum_t cert = {c->cert, (unsigned)c->cert_size};
		const gnutls_datum_t key = {c->key, (unsigned)c->key_size};

		if (gnutls_certificate_set_x509_key_mem2(
			    credentials, &cert, &key, GNUTLS_X509_FMT_PEM, NULL, 0) < 0)
			return -1;
	}
	return 0;
}

/* After our greeting: by then curl has put its credentials in place. */
static int after_greeting(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
	const gnutls_datum_t *message)
{
	struct exchange *x = gnutls_session_get_ptr(session);

	(void)type; /* as asked for */
	(void)when;
	(void)incoming;
	(void)message;
	if (!x || add_certificates(x->tls, session) == 0)
		return 0;
	if (!x->fault)
		x->fault = error_plainf("tls: failed to load a client certificate");
	return GNUTLS_E_CERTIFICATE_ERROR;
}

void http_tls_hook(struct exchange *x)
{
	gnutls_session_t session;

	/* the session of a proxy that speaks TLS itself is curl's to verify */
	if (x->route.proxy && str_has_prefix(x->route.proxy, "https:")) {
		x->hooked = true;
		return;
	}
	session = session_of(x);
	if (!session)
		return;
	x->hooked = true;
	gnutls_session_set_ptr(session, x);
	if (http_needs_verification(x))
		gnutls_session_set_verify_function(session, verify_in_handshake);
	if (x->tls && x->tls->ncertificates > 1)
		gnutls_handshake_set_hook_function(
			session, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_POST, after_greeting);
}

void http_tls_unhook(struct exchange *x)
{
	gnutls_session_t session = session_of(x);

	if (session)
		gnutls_session_set_ptr(session, NULL);
}

int http_tls_verify(struct exchange *x, struct error **reterr)
{
	gnutls_session_t session = session_of(x);

	if (!session)
		return error_setf(reterr, "x509: this libcurl does not show the certificate");
	/* another handshake on this connection would be refused, since x is unhooked */
	gnutls_session_set_verify_function(session, verify_in_handshake);
	return verify_session(x, session, reterr);
}
