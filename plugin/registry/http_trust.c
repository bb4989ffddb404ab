/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the few CA certificates that a chain asks for, without loading all. Go counterpart:
 * crypto/x509 root_unix.go, root_linux.go, cert_pool.go. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/http_internal.h"

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"
#define MAX_BUNDLE_SIZE (64 << 20)
#define MAX_FOLDER_FILE_SIZE (4 << 20)

struct place {
	uint64_t subject; /* a hash of its name */
	uint32_t offset, size;
};

struct trust {
	char *bundle;  /* the host's choice: nothing else is looked at; "" */
	char *folders; /* SSL_CERT_DIR */
	char *file;    /* SSL_CERT_FILE; NULL */
	struct stat as_read;
	struct place *places;
	size_t nplaces;
};

/* ---- DER */

/* The next element from *p: its tag, and its content. Moves *p behind it. */
static bool der_next(const unsigned char **p, const unsigned char *end, unsigned *ret_tag,
	const unsigned char **ret_content)
{
	size_t size, n;

	if (end - *p < 2)
		return false;
	*ret_tag = *(*p)++;
	size = *(*p)++;
	if (size & 0x80) {
		n = size & 0x7f;
		if (n == 0 || n > 4 || (size_t)(end - *p) < n)
			return false;
		for (size = 0; n; n--)
			size = size << 8 | *(*p)++;
	}
	if ((size_t)(end - *p) < size)
		return false;
	*ret_content = *p;
	*p += size;
	return true;
}

#define DER_SEQUENCE 0x30
#define DER_VERSION 0xa0

bool http_der_subject(const void *der, size_t size, struct http_name *ret)
{
	const unsigned char *p = der, *end = p + size, *content, *begin;
	unsigned tag;
	int i;

	/* into Certificate, into TBSCertificate */
	for (i = 0; i < 2; i++) {
		if (!der_next(&p, end, &tag, &content) || tag != DER_SEQUENCE)
			return false;
		end = p;
		p = content;
	}
	begin = p;
	if (!der_next(&p, end, &tag, &content))
		return false;
	if (tag != DER_VERSION) /* version 1 does not say so: this was the serial number */
		p = begin;
	/* serial number, signature, issuer, validity */
	for (i = 0; i < 4; i++) {
		if (!der_next(&p, end, &tag, &content))
			return false;
	}
	begin = p;
	if (!der_next(&p, end, &tag, &content) || tag != DER_SEQUENCE)
		return false;
	ret->data = begin;
	ret->size = (size_t)(p - begin);
	return true;
}

/* FNV-1a: only to find places fast, the names themselves are compared in the end. */
static uint64_t hash_name(const struct http_name *name)
{
	const unsigned char *p = name->data;
	uint64_t h = 14695981039346656037u;
	size_t i;

	for (i = 0; i < name->size; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

static bool is_wanted(const struct http_name *subject, const struct http_name *names, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (names[i].size == subject->size &&
			memcmp(names[i].data, subject->data, subject->size) == 0)
			return true;
	}
	return false;
}

/* ---- PEM */

/* The next certificate's text from *p on. */
static const char *pem_next(const char **p, const char *end, size_t *ret_size)
{
	const char *begin, *stop;

	begin = memmem(*p, (size_t)(end - *p), BEGIN, strlen(BEGIN));
	if (!begin)
		return NULL;
	stop = memmem(begin, (size_t)(end - begin), END, strlen(END));
	if (!stop)
		return NULL;
	*p = stop + strlen(END);
	*ret_size = (size_t)(*p - begin);
	return begin;
}

/* gnutls_free is called on what it gives. false: not to be read (or no memory: then it does not
 * count). */
static bool pem_decode(const char *text, size_t size, gnutls_datum_t *ret)
{
	gnutls_datum_t pem = {(unsigned char *)text, (unsigned int)size};

	return gnutls_pem_base64_decode2("CERTIFICATE", &pem, ret) == 0;
}

/* add() for one certificate's text if its subject is wanted. */
static int offer(const char *text, size_t size, const struct http_name *names, size_t n,
	int (*add)(void *arg, const void *der, size_t size), void *arg)
{
	gnutls_datum_t der;
	struct http_name subject;
	int rc = 0;

	if (!pem_decode(text, size, &der))
		return 0;
	if (http_der_subject(der.data, der.size, &subject) && is_wanted(&subject, names, n))
		rc = add(arg, der.data, der.size);
	gnutls_free(der.data);
	return rc;
}

static int offer_all(const char *pem, size_t size, const struct http_name *names, size_t n,
	int (*add)(void *arg, const void *der, size_t size), void *arg)
{
	const char *p = pem, *text;
	size_t text_size;

	while ((text = pem_next(&p, pem + size, &text_size))) {
		if (offer(text, text_size, names, n, add, arg) < 0)
			return -1;
	}
	return 0;
}

/* ---- files */

struct mapping {
	const char *data;
	size_t size;
};

static bool map_file(const char *path, size_t limit, struct mapping *ret, struct stat *ret_stat)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	void *data;

	if (fd < 0 || fstat(fd, ret_stat) < 0 || !S_ISREG(ret_stat->st_mode) ||
		ret_stat->st_size <= 0 || (uint64_t)ret_stat->st_size > limit)
		return false;
	data = malloc((size_t)ret_stat->st_size);
	if (!data)
		return false;
	/* not mapped: a file that is cut meanwhile would end the process */
	ret->size = 0;
	while (ret->size < (size_t)ret_stat->st_size) {
		ssize_t n =
			read(fd, (char *)data + ret->size, (size_t)ret_stat->st_size - ret->size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		ret->size += (size_t)n;
	}
	ret->data = data;
	return true;
}

static void unmap(struct mapping *m)
{
	free((void *)m->data);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool remember_place(
	struct trust *t, uint64_t subject, size_t offset, size_t size, size_t *capacity)
{
	if (t->nplaces == *capacity) {
		size_t larger = *capacity ? *capacity * 2 : 64;
		struct place *places = reallocarray(t->places, larger, sizeof(*places));

		if (!places)
			return false;
		t->places = places;
		*capacity = larger;
	}
	t->places[t->nplaces++] = (struct place){subject, (uint32_t)offset, (uint32_t)size};
	return true;
}

/* Note where each certificate of the file stands. */
static int index_bundle(struct trust *t, const struct mapping *m)
{
	const char *p = m->data, *text;
	size_t size, capacity = 0;

	free(t->places);
	t->places = NULL;
	t->nplaces = 0;
	while ((text = pem_next(&p, m->data + m->size, &size))) {
		gnutls_datum_t der;
		struct http_name subject;
		bool ok = true;

		if (!pem_decode(text, size, &der))
			continue;
		if (http_der_subject(der.data, der.size, &subject))
			ok = remember_place(
				t, hash_name(&subject), (size_t)(text - m->data), size, &capacity);
		gnutls_free(der.data);
		if (!ok)
			return -1;
	}
	return 0;
}

/* As Go's certFiles for Linux: the first that can be read. */
static bool map_bundle(struct trust *t, struct mapping *ret, struct stat *ret_stat)
{
	static const char *const files[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};
	size_t i;

	if (*t->bundle)
		return map_file(t->bundle, MAX_BUNDLE_SIZE, ret, ret_stat);
	if (t->file && map_file(t->file, MAX_BUNDLE_SIZE, ret, ret_stat))
		return true;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (map_file(files[i], MAX_BUNDLE_SIZE, ret, ret_stat))
			return true;
	}
	return false;
}

/* With the index, all but the wanted ones are only looked at by their hash. */
static int offer_bundle(struct trust *t, const struct http_name *names, size_t n,
	int (*add)(void *arg, const void *der, size_t size), void *arg)
{
	struct mapping m;
	struct stat now;
	size_t i, k;
	int rc = 0;

	if (!map_bundle(t, &m, &now))
		return 0;
	if (!t->places || !same_file(&now, &t->as_read)) {
		rc = index_bundle(t, &m);
		t->as_read = now;
	}
	for (k = 0; rc == 0 && k < n; k++) {
		uint64_t h = hash_name(&names[k]);

		for (i = 0; rc == 0 && i < t->nplaces; i++) {
			const struct place *p = &t->places[i];

			if (p->subject == h && (size_t)p->offset + p->size <= m.size)
				rc = offer(m.data + p->offset, p->size, &names[k], 1, add, arg);
		}
	}
	unmap(&m);
	return rc;
}

static int offer_folder(const char *folder, const struct http_name *names, size_t n,
	int (*add)(void *arg, const void *der, size_t size), void *arg)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int rc = 0;

	while (dir && rc == 0 && (entry = readdir(dir))) {
		cleanup_free char *path = str_printf("%s/%s", folder, entry->d_name);
		struct mapping m;
		struct stat st;

		if (!path)
			rc = -1;
		else if (map_file(path, MAX_FOLDER_FILE_SIZE, &m, &st)) {
			rc = offer_all(m.data, m.size, names, n, add, arg);
			unmap(&m);
		}
	}
	if (dir)
		closedir(dir);
	return rc;
}

static int offer_folders(struct trust *t, const struct http_name *names, size_t n,
	int (*add)(void *arg, const void *der, size_t size), void *arg)
{
	cleanup_free char *list =
		strdup(*t->folders ? t->folders : "/etc/ssl/certs:/etc/pki/tls/certs");
	char *rest = list, *folder;

	if (!list)
		return -1;
	while ((folder = strsep(&rest, ":"))) {
		if (*folder && offer_folder(folder, names, n, add, arg) < 0)
			return -1;
	}
	return 0;
}

int http_trust_find(struct trust *trust, const void *pem, size_t pem_size,
	const struct http_name *names, size_t n, bool with_folders,
	int (*add)(void *arg, const void *der, size_t size), void *arg)
{
	if (pem_size && offer_all(pem, pem_size, names, n, add, arg) < 0)
		return -1;
	if (offer_bundle(trust, names, n, add, arg) < 0)
		return -1;
	if (with_folders && !*trust->bundle && offer_folders(trust, names, n, add, arg) < 0)
		return -1;
	return 0;
}

static char *copy_of(const char *s)
{
	return strdup(s ? s : "");
}

struct trust *http_trust_new(const char *ca_bundle)
{
	struct trust *t = calloc(1, sizeof(*t));
	const char *file = getenv("SSL_CERT_FILE");

	if (!t)
		return NULL;
	t->bundle = copy_of(ca_bundle);
	t->folders = copy_of(getenv("SSL_CERT_DIR"));
	if (file && *file)
		t->file = strdup(file);
	if (!t->bundle || !t->folders || (file && *file && !t->file)) {
		http_trust_free(t);
		return NULL;
	}
	return t;
}

void http_trust_free(struct trust *t)
{
	if (!t)
		return;
	free(t->bundle);
	free(t->folders);
	free(t->file);
	free(t->places);
	free(t);
}
