/* SPDX-License-Identifier: Apache-2.0 */
/* What repositories.json holds, as a value: names, and their references with image IDs. Go
 * counterpart: reference.store's Repositories, a map of maps. */
#ifndef COMPAT_REFERENCE_FILE_H
#define COMPAT_REFERENCE_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct buf;

/* "foo:latest" -> "sha256:..." */
struct reference_entry {
	char *key;
	char *id;
};
/* "foo" -> its entries, sorted by key. */
struct reference_repository {
	char *name;
	bool null; /* the file says null, and shall go on to say so until something is added */
	struct reference_entry *entries;
	size_t n, room;
};
/* Sorted by name. Zero-initialise. */
struct reference_file {
	struct reference_repository *repositories;
	size_t n, room;
};

/* Errors as Go's json.Decoder into reference.store. */
int reference_file_parse(
	const void *data, size_t size, struct reference_file *ret, struct error **reterr);
void reference_file_write(const struct reference_file *file, struct buf *b);
void reference_file_free(struct reference_file *file);

/* NULL if there is none. */
struct reference_repository *reference_file_find(
	const struct reference_file *file, const char *name);
struct reference_entry *reference_repository_find(
	const struct reference_repository *r, const char *key);
/* Add, or replace the ID. */
int reference_file_set(struct reference_file *file, const char *name, const char *key,
	const char *id, struct error **reterr);
/* Remove an entry, and its repository with the last one. */
void reference_file_remove(
	struct reference_file *file, struct reference_repository *r, struct reference_entry *e);

#endif
