/* SPDX-License-Identifier: Apache-2.0 */
/* A small key-value store: a file for each key, in a folder for each namespace. Go counterpart:
 * distribution/metadata.FSMetadataStore. Any thread, any number of processes. Nothing is synced:
 * what is kept here only saves work, and the sync before an image is published writes it too. */
#ifndef COMPAT_METADATA_STORE_H
#define COMPAT_METADATA_STORE_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct metadata_store;

/* base_path is made, unless read_only. */
int metadata_store_open(
	const char *base_path, bool read_only, struct metadata_store **ret, struct error **reterr);
void metadata_store_free(struct metadata_store *store);

/* name_space and key are relative paths without ".", ".." and empty parts. Errors: of class
 * NotFound where there is no such key. */
int metadata_store_get(struct metadata_store *store, const char *name_space, const char *key,
	char **ret_value, size_t *ret_size, struct error **reterr);
int metadata_store_set(struct metadata_store *store, const char *name_space, const char *key,
	const void *value, size_t size, struct error **reterr);
int metadata_store_remove(struct metadata_store *store, const char *name_space, const char *key,
	struct error **reterr);
/* fn for each key there is; a non-zero answer ends it and is returned. */
int metadata_store_each(struct metadata_store *store,
	int (*fn)(void *arg, const char *name_space, const char *key), void *arg,
	struct error **reterr);
/* Remove what killed writers left. */
void metadata_store_sweep(struct metadata_store *store);

#endif
