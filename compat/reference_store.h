/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's repositories.json, shared by any number of processes. Go counterpart:
 * reference/store.go. */
#ifndef COMPAT_REFERENCE_STORE_H
#define COMPAT_REFERENCE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "image/reference.h"

struct error;
struct reference_store;

/* A reference with the image it points to. */
struct reference_association {
	struct reference *ref;
	char *id;
};
struct reference_list {
	struct reference_association *items;
	size_t n;
};
void reference_list_free(struct reference_list *list); /* accepts a zeroed one */
#define cleanup_reference_list __attribute__((cleanup(reference_list_free)))

#define REFERENCE_STORE_FAST 1u      /* no sync before publishing */
#define REFERENCE_STORE_READ_ONLY 2u /* nothing is created, every change is refused */
#define REFERENCE_STORE_TOLERANT 4u  /* a damaged file is an error of what is asked, not of open */

/* Read the file, or make it. A damaged one is an error in Go's JSON words, and stays as it is.
 * Beside it lies path.lock: changes are made under an flock of it, so that processes do not lose
 * each other's. All functions below take up first what others have changed; any thread. */
int reference_store_open(
	const char *path, unsigned flags, struct reference_store **ret, struct error **reterr);
void reference_store_free(struct reference_store *store);
/* *ret_damage: what is wrong with the file, or NULL; for the caller to unref. repair: a damaged one
 * is renamed to path.damaged and an empty one takes its place. -1: it could not be looked at, or
 * not be replaced. */
int reference_store_check(struct reference_store *store, bool repair, struct error **ret_damage,
	struct error **reterr);

/* Errors: class InvalidParameter, Conflict. id is stored as it is. */
int reference_store_add_tag(struct reference_store *store, const struct reference *ref,
	const char *id, bool force, struct error **reterr);
int reference_store_add_digest(struct reference_store *store, const struct reference *ref,
	const char *id, bool force, struct error **reterr);
/* &err_reference_does_not_exist where there is none. */
int reference_store_delete(
	struct reference_store *store, const struct reference *ref, struct error **reterr);
/* Deletes it only if it still points to id; otherwise as if it did not exist. */
int reference_store_delete_if(struct reference_store *store, const struct reference *ref,
	const char *id, struct error **reterr);
int reference_store_get(struct reference_store *store, const struct reference *ref, char **ret_id,
	struct error **reterr);
/* Sorted by canonical string; empty if there are none. */
int reference_store_references(struct reference_store *store, const char *id,
	struct reference_list *ret, struct error **reterr);
int reference_store_references_by_name(struct reference_store *store, const struct reference *ref,
	struct reference_list *ret, struct error **reterr);
/* Every reference there is, sorted. */
int reference_store_all(
	struct reference_store *store, struct reference_list *ret, struct error **reterr);

/* Hold off all changes, of other processes too: between lock and unlock only this thread may use
 * the functions above, and the store is as it was at lock. For decisions over several of them
 * ("nothing refers to this image, so delete it"). */
int reference_store_lock(struct reference_store *store, struct error **reterr);
void reference_store_unlock(struct reference_store *store);
/* Between lock and unlock: from here to reference_store_flush changes are seen by this store alone,
 * and cost one write together. flush must follow; where it fails none of them was made. */
void reference_store_defer(struct reference_store *store);
int reference_store_flush(struct reference_store *store, struct error **reterr);

#endif
