/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS settings of one registry. Go counterpart: registry/registry.go's ReadCertsDirectory. */
#include "config.h"

#include "registry_tls.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "pem.h"

#define FILE_LIMIT (4u << 20)

void registry_tls_free(struct registry_tls *tls)
{
	for (size_t i = 0; i < tls->tls.ncertificates; i++) {
		free((void *)tls->certificates[i].cert);
		free((void *)tls->certificates[i].key);
	}
	free(tls->certificates);
	free(tls->ca);
	*tls = (struct registry_tls){.ca = NULL};
}

struct names {
	char **items;
	size_t n;
};

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}
#define cleanup_names __attribute__((cleanup(names_free)))

static bool has_name(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->items[i], name))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct names *names, const char *name, struct error **reterr)
{
	char **grown = reallocarray(names->items, names->n + 1, sizeof(*grown));
	char *copy = strdup(name);

	if (grown)
		names->items = grown;
	if (!grown || !copy) {
		free(copy);
		return error_set(reterr, &error_no_memory);
	}
	grown[names->n++] = copy;
	return 0;
}

/* ioutil.ReadDir: the names, sorted. 1: the folder is not there. */
static int read_names(const char *dir, struct names *names, struct error **reterr)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int r = 0;

	if (!d && errno == ENOENT)
		return 1;
	if (!d) /* Go opens a file as well, and fails at reading it as a folder */
		return error_set(reterr, error_path(errno == ENOTDIR ? "readdirent" : "open", dir,
						 error_errno(errno)));
	for (errno = 0; !r && (entry = readdir(d)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = add_name(names, entry->d_name, reterr);
	if (!r && errno)
		r = error_set(reterr, error_path("readdirent", dir, error_errno(errno)));
	closedir(d);
	if (!r && names->n)
		qsort(names->items, names->n, sizeof(*names->items), by_name);
	return r;
}

static int read_in(
	const char *dir, const char *name, char **ret, size_t *ret_size, struct error **reterr)
{
	cleanup_free char *path = file_join(dir, name);

	if (!path)
		return error_set(reterr, &error_no_memory);
	return file_read(path, FILE_LIMIT, ret, ret_size, reterr);
}

/* Files of certificates are put one behind the other. */
int registry_tls_add_ca(struct registry_tls *tls, const char *path, struct error **reterr)
{
	cleanup_free char *data = NULL;
	size_t size;

	if (file_read(path, FILE_LIMIT, &data, &size, reterr) < 0)
		return -1;

	char *grown = realloc(tls->ca, tls->tls.ca_size + size + 2);

	if (!grown)
		return error_set(reterr, &error_no_memory);
	tls->ca = grown;
	memcpy(grown + tls->tls.ca_size, data, size);
	tls->tls.ca_size += size;
	if (size && grown[tls->tls.ca_size - 1] != '\n')
		grown[tls->tls.ca_size++] = '\n';
	grown[tls->tls.ca_size] = '\0';
	tls->tls.ca = grown;
	return 0;
}

static int add_ca(
	struct registry_tls *tls, const char *dir, const char *name, struct error **reterr)
{
	cleanup_free char *path = file_join(dir, name);

	return path ? registry_tls_add_ca(tls, path, reterr) : error_set(reterr, &error_no_memory);
}

static int add_certificate(struct registry_tls *tls, const char *dir, const struct names *names,
	const char *name, struct error **reterr)
{
	cleanup_free char *key_name =
		str_printf("%.*s.key", (int)(strlen(name) - strlen(".cert")), name);
	cleanup_free char *cert = NULL;
	cleanup_free char *key = NULL;
	size_t cert_size, key_size;
	struct image_pull_certificate *grown;

	if (!key_name)
		return error_set(reterr, &error_no_memory);
	if (!has_name(names, key_name))
		return error_setf(reterr,
			"missing key %s for client certificate %s. Note that CA certificates "
			"should use the extension .crt",
			key_name, name);
	if (read_in(dir, name, &cert, &cert_size, reterr) < 0 ||
		read_in(dir, key_name, &key, &key_size, reterr) < 0 ||
		pem_check_key_pair(cert, cert_size, key, key_size, reterr) < 0)
		return -1;
	grown = reallocarray(tls->certificates, tls->tls.ncertificates + 1, sizeof(*grown));
	if (!grown)
		return error_set(reterr, &error_no_memory);
	tls->certificates = grown;
	grown[tls->tls.ncertificates++] = (struct image_pull_certificate){
		steal_ptr(&cert), cert_size, steal_ptr(&key), key_size};
	tls->tls.certificates = grown;
	return 0;
}

static int check_key(const struct names *names, const char *name, struct error **reterr)
{
	cleanup_free char *cert_name =
		str_printf("%.*s.cert", (int)(strlen(name) - strlen(".key")), name);

	if (!cert_name)
		return error_set(reterr, &error_no_memory);
	if (!has_name(names, cert_name))
		return error_setf(
			reterr, "Missing client certificate %s for key %s", cert_name, name);
	return 0;
}

/* ReadCertsDirectory. 1: the folder is not there. */
static int read_directory(struct registry_tls *tls, const char *dir, struct error **reterr)
{
	cleanup_names struct names names = {NULL, 0};
	int r = read_names(dir, &names, reterr);

	for (size_t i = 0; i < names.n && !r; i++) {
		const char *name = names.items[i];

		if (str_has_suffix(name, ".crt"))
			r = add_ca(tls, dir, name, reterr);
		else if (str_has_suffix(name, ".cert"))
			r = add_certificate(tls, dir, &names, name, reterr);
		else if (str_has_suffix(name, ".key"))
			r = check_key(&names, name, reterr);
	}
	return r;
}

int registry_tls_init(struct registry_tls *tls, const char *const *certs_dirs, const char *hostname,
	bool secure, struct error **reterr)
{
	struct registry_tls t = {.tls = {.struct_size = sizeof(t.tls)}};
	int r = 1;

	t.tls.insecure_skip_verify = !secure;
	for (; secure && r == 1 && certs_dirs && *certs_dirs; certs_dirs++) {
		cleanup_free char *dir = NULL;

		if (!**certs_dirs)
			continue;
		dir = file_join(*certs_dirs, hostname);
		r = dir ? read_directory(&t, dir, reterr) : error_set(reterr, &error_no_memory);
	}
	if (r < 0) {
		registry_tls_free(&t);
		return -1;
	}
	*tls = t;
	return 0;
}
