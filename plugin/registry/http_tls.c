/* SPDX-License-Identifier: Apache-2.0 */
/* TLS identities. Go counterpart: crypto/tls Config. */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "registry/http_internal.h"

static int copy_bytes(const void *data, size_t size, void **ret)
{
	char *copy = malloc(size + 1);

	if (!copy)
		return -1;
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	*ret = copy;
	return 0;
}

struct http_tls *http_tls_new(
	bool insecure_skip_verify, const void *ca, size_t ca_size, struct error **reterr)
{
	struct http_tls *tls = calloc(1, sizeof(*tls));

	if (!tls || (ca && copy_bytes(ca, ca_size, &tls->ca) < 0)) {
		free(tls);
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	tls->insecure_skip_verify = insecure_skip_verify;
	tls->ca_size = ca ? ca_size : 0;
	atomic_init(&tls->refs, 1);
	return tls;
}

int http_tls_add_certificate(struct http_tls *tls, const void *cert, size_t cert_size,
	const void *key, size_t key_size, struct error **reterr)
{
	struct http_certificate c = {.cert_size = cert_size, .key_size = key_size}, *longer;

	if (copy_bytes(cert, cert_size, &c.cert) < 0 || copy_bytes(key, key_size, &c.key) < 0)
		goto no_memory;
	longer = realloc(tls->certificates, (tls->ncertificates + 1) * sizeof(*longer));
	if (!longer)
		goto no_memory;
	longer[tls->ncertificates++] = c;
	tls->certificates = longer;
	return 0;
no_memory:
	free(c.cert);
	free(c.key);
	return error_set(reterr, &error_no_memory);
}

struct http_tls *http_tls_ref(struct http_tls *tls)
{
	if (tls)
		atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
	return tls;
}

void http_tls_unref(struct http_tls *tls)
{
	size_t i;

	if (!tls || atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (i = 0; i < tls->ncertificates; i++) {
		free(tls->certificates[i].cert);
		explicit_bzero(tls->certificates[i].key, tls->certificates[i].key_size);
		free(tls->certificates[i].key);
	}
	free(tls->certificates);
	free(tls->ca);
	free(tls);
}

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
	return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

bool http_tls_equal(const struct http_tls *a, const struct http_tls *b)
{
	static const struct http_tls none;
	size_t i;

	a = a ? a : &none;
	b = b ? b : &none;
	if (a == b)
		return true;
	if (a->insecure_skip_verify != b->insecure_skip_verify ||
		a->ncertificates != b->ncertificates ||
		!same_bytes(a->ca, a->ca_size, b->ca, b->ca_size))
		return false;
	for (i = 0; i < a->ncertificates; i++) {
		const struct http_certificate *x = &a->certificates[i], *y = &b->certificates[i];

		if (!same_bytes(x->cert, x->cert_size, y->cert, y->cert_size) ||
			!same_bytes(x->key, x->key_size, y->key, y->key_size))
			return false;
	}
	return true;
}

/* ---- the client certificate: curl's GnuTLS build takes it from a file only */

static int memory_file(const void *data, size_t size)
{
	int fd = memfd_create("client-certificate", MFD_CLOEXEC);
	const char *p = data;

	while (fd >= 0 && size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close(fd);
			return -1;
		}
		p += n;
		size -= (size_t)n;
	}
	return fd;
}

int http_tls_prepare_pool(struct pool *pool)
{
	const struct http_certificate *c;

	if (!pool->tls || pool->tls->ncertificates == 0)
		return 0;
	c = &pool->tls->certificates[0];
	pool->cert_fd = memory_file(c->cert, c->cert_size);
	pool->key_fd = memory_file(c->key, c->key_size);
	return pool->cert_fd >= 0 && pool->key_fd >= 0 ? 0 : -1;
}

void http_tls_release_pool(struct pool *pool)
{
	free(pool->verified);
	if (pool->cert_fd >= 0)
		close(pool->cert_fd);
	if (pool->key_fd >= 0)
		close(pool->key_fd);
}
