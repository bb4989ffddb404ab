/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's repositories.json, shared by any number of processes. Go counterpart:
 * reference/store.go. */
#include "config.h"

#include "reference_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "file.h"
#include "reference_file.h"

#define FILE_LIMIT (256u << 20)

struct reference_store {
	char *path;
	char *lock_path;
	unsigned flags;
	pthread_mutex_t mutex; /* guards all below */
	struct reference_file file;
	/* The version that file was read from, kept open: as long as it is, its inode number cannot
	 * be given to a newer version, so a look at the path tells whether somebody changed it. */
	int fd;
	struct timespec mtime;
	off_t size;
	bool deferred;  /* changes are saved by reference_store_flush, not one by one */
	bool unsaved;   /* file is ahead of what is on the disk */
	bool damaged;   /* the last reload failed for what the file holds */
	int lock_fd;    /* -1: not locked */
	unsigned depth; /* the mutex is recursive: reference_store_lock, then the functions */
};

void reference_list_free(struct reference_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		reference_free(list->items[i].ref);
		free(list->items[i].id);
	}
	free(list->items);
	*list = (struct reference_list){0};
}

static void forget(struct reference_store *store)
{
	reference_file_free(&store->file);
	if (store->fd >= 0)
		close(store->fd);
	store->fd = -1;
}

static bool unchanged(const struct reference_store *store)
{
	struct stat now, mine;

	return store->fd >= 0 && !stat(store->path, &now) && !fstat(store->fd, &mine) &&
	       now.st_dev == mine.st_dev && now.st_ino == mine.st_ino &&
	       now.st_size == store->size && now.st_mtim.tv_sec == store->mtime.tv_sec &&
	       now.st_mtim.tv_nsec == store->mtime.tv_nsec;
}

/* A file that cannot be parsed is damaged, unless it was only the memory that did not do. */
static int parse(
	struct reference_store *store, const char *data, size_t size, struct error **reterr)
{
	cleanup_error struct error *err = NULL;

	if (!reference_file_parse(data, size, &store->file, &err))
		return 0;
	store->damaged = err != &error_no_memory;
	return error_set(reterr, error_ref(err));
}

/* Take over what is in the file now. A file that is not there is an empty one. What was known is
 * kept only if nothing went wrong. */
static int reload(struct reference_store *store, struct error **reterr)
{
	if (store->unsaved) /* under the lock: nobody else has changed it */
		return 0;
	store->damaged = false;
	if (unchanged(store))
		return 0;
	forget(store);

	cleanup_close int fd = open(store->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_free char *data = NULL;
	size_t size;
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(reterr, error_path("open", store->path, error_errno(errno)));
	if (fstat(fd, &st) < 0)
		return error_set(reterr, error_path("stat", store->path, error_errno(errno)));
	if (file_read_fd(fd, store->path, FILE_LIMIT, &data, &size, reterr) < 0)
		return -1;
	if (parse(store, data, size, reterr) < 0)
		return -1;
	store->mtime = st.st_mtim;
	store->size = st.st_size;
	store->fd = fd;
	fd = -1;
	return 0;
}

static int save(struct reference_store *store, struct error **reterr)
{
	cleanup_buf struct buf b = {0};
	int r;

	store->unsaved = store->deferred;
	if (store->deferred)
		return 0;
	reference_file_write(&store->file, &b);
	if (b.oom)
		r = error_set(reterr, &error_no_memory);
	else
		r = file_write_atomic(store->path, b.data, b.size, 0600,
			!(store->flags & REFERENCE_STORE_FAST), reterr);
	/* Written or not: what is on the disk counts, and is read again by the next call. */
	forget(store);
	return r;
}

static void unlock_file(struct reference_store *store)
{
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	store->lock_fd = -1;
}

static void end(struct reference_store *store)
{
	if (!--store->depth)
		unlock_file(store);
	pthread_mutex_unlock(&store->mutex);
}

/* Begin a look or a change. */
static int begin(struct reference_store *store, bool change, struct error **reterr)
{
	if (change && store->flags & REFERENCE_STORE_READ_ONLY)
		return error_set(reterr,
			error_classf(CLASS_FORBIDDEN, "the store was opened for reading only"));
	pthread_mutex_lock(&store->mutex);
	store->depth++;
	if (change && store->lock_fd < 0) {
		store->lock_fd = file_lock(store->lock_path, LOCK_EX, reterr);
		if (store->lock_fd < 0) {
			end(store);
			return -1;
		}
	}
	if (reload(store, reterr) < 0) {
		end(store);
		return -1;
	}
	return 0;
}

int reference_store_lock(struct reference_store *store, struct error **reterr)
{
	return begin(store, true, reterr);
}

void reference_store_defer(struct reference_store *store)
{
	store->deferred = true;
}

int reference_store_flush(struct reference_store *store, struct error **reterr)
{
	bool unsaved = store->unsaved;

	store->deferred = false;
	store->unsaved = false;
	return unsaved ? save(store, reterr) : 0;
}

void reference_store_unlock(struct reference_store *store)
{
	end(store);
}

static int make_file(struct reference_store *store, struct error **reterr)
{
	int r = 0;

	if (begin(store, true, reterr) < 0)
		return -1;
	if (store->fd < 0)
		r = save(store, reterr);
	end(store);
	return r;
}

/* No lock is made beside a damaged file, and none is needed to see that a good one is there. */
static int open_file(struct reference_store *store, struct error **reterr)
{
	cleanup_error struct error *err = NULL;

	if (reload(store, &err) < 0)
		return store->damaged && store->flags & REFERENCE_STORE_TOLERANT
			       ? 0
			       : error_set(reterr, error_ref(err));
	if (store->fd < 0 && !(store->flags & REFERENCE_STORE_READ_ONLY))
		return make_file(store, reterr);
	return 0;
}

int reference_store_open(
	const char *path, unsigned flags, struct reference_store **ret, struct error **reterr)
{
	struct reference_store *store = calloc(1, sizeof(*store));

	if (!store)
		return error_set(reterr, &error_no_memory);
	store->fd = store->lock_fd = -1;
	store->flags = flags;
	store->path = strdup(path);
	store->lock_path = str_printf("%s.lock", path);
	if (!store->path || !store->lock_path) {
		free(store->path);
		free(store->lock_path);
		free(store);
		return error_set(reterr, &error_no_memory);
	}

	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&store->mutex, &attr);
	pthread_mutexattr_destroy(&attr);

	if (open_file(store, reterr) < 0) {
		reference_store_free(store);
		return -1;
	}
	*ret = store;
	return 0;
}

/* The damaged file is kept: somebody may still read names in it. */
static int set_aside(struct reference_store *store, struct error **reterr)
{
	cleanup_free char *aside = str_printf("%s.damaged", store->path);

	if (!aside)
		return error_set(reterr, &error_no_memory);
	if (rename(store->path, aside) < 0)
		return error_set(reterr, error_path("rename", store->path, error_errno(errno)));
	store->damaged = false;
	return save(store, reterr);
}

static int check_locked(struct reference_store *store, bool repair, struct error **ret_damage,
	struct error **reterr)
{
	cleanup_error struct error *err = NULL;

	if (!reload(store, &err))
		return 0;
	if (!store->damaged)
		return error_set(reterr, error_ref(err));
	if (repair && set_aside(store, reterr) < 0)
		return -1;
	*ret_damage = error_ref(err);
	return 0;
}

int reference_store_check(struct reference_store *store, bool repair, struct error **ret_damage,
	struct error **reterr)
{
	int lock = -1, r;

	*ret_damage = NULL;
	if (repair && store->flags & REFERENCE_STORE_READ_ONLY)
		return error_set(reterr,
			error_classf(CLASS_FORBIDDEN, "the store was opened for reading only"));
	pthread_mutex_lock(&store->mutex);
	/* Under the lock it is looked at again: another process may have repaired it meanwhile. */
	if (repair && store->lock_fd < 0)
		lock = file_lock(store->lock_path, LOCK_EX, reterr);
	if (repair && store->lock_fd < 0 && lock < 0)
		r = -1;
	else
		r = check_locked(store, repair, ret_damage, reterr);
	if (lock >= 0)
		close(lock);
	pthread_mutex_unlock(&store->mutex);
	return r;
}

void reference_store_free(struct reference_store *store)
{
	if (!store)
		return;
	forget(store);
	unlock_file(store);
	pthread_mutex_destroy(&store->mutex);
	free(store->path);
	free(store->lock_path);
	free(store);
}

/* How the file names a reference: its repository and its key. */
struct place {
	char *name;
	char *key;
	struct reference *ref; /* as stored: with a digest there is no tag */
};

static void place_free(struct place *p)
{
	free(p->name);
	free(p->key);
	reference_free(p->ref);
}
#define cleanup_place __attribute__((cleanup(place_free)))

/* favorDigest, or TagNameOnly. */
static int place_of(const struct reference *ref, struct place *ret, struct error **reterr)
{
	struct place p = {0};
	int r;

	if (reference_is_canonical(ref) && reference_is_tagged(ref)) {
		cleanup_reference struct reference *trimmed = NULL;

		r = reference_trim_named(ref, &trimmed, reterr);
		if (!r)
			r = reference_with_digest(trimmed, ref->digest, &p.ref, reterr);
	} else {
		r = reference_tag_name_only(ref, &p.ref, reterr);
	}
	if (r < 0)
		return -1;
	p.name = reference_familiar_name(p.ref);
	p.key = reference_familiar_string(p.ref);
	if (!p.name || !p.key) {
		place_free(&p);
		return error_set(reterr, &error_no_memory);
	}
	*ret = p;
	return 0;
}

/* Is it allowed to set this entry? 1: yes, 0: it is set already, -1: no. */
static int may_set(const struct place *p, const struct reference_entry *old, const char *id,
	bool force, struct error **reterr)
{
	if (!old)
		return 1;
	if (!strcmp(old->id, id))
		return 0;
	if (reference_is_canonical(p->ref)) /* force only works for tags */
		return error_set(reterr,
			error_classf(CLASS_CONFLICT, "Cannot overwrite digest %s", p->ref->digest));
	if (!force)
		return error_set(reterr,
			error_classf(CLASS_CONFLICT,
				"Conflict: Tag %s is already set to image %s, if you want to "
				"replace it, please use the force option",
				p->key, old->id));
	return 1;
}

static int add_reference(struct reference_store *store, const struct reference *ref, const char *id,
	bool force, struct error **reterr)
{
	cleanup_place struct place p = {0};

	if (place_of(ref, &p, reterr) < 0)
		return -1;
	if (!strcmp(p.name, "sha256"))
		return error_set(reterr,
			error_classf(CLASS_INVALID_PARAMETER,
				"refusing to create an ambiguous tag using digest algorithm as "
				"name"));
	if (begin(store, true, reterr) < 0)
		return -1;

	struct reference_repository *r = reference_file_find(&store->file, p.name);
	int result = may_set(&p, r ? reference_repository_find(r, p.key) : NULL, id, force, reterr);

	if (result > 0) {
		result = reference_file_set(&store->file, p.name, p.key, id, reterr);
		if (result < 0)
			forget(store);
		else
			result = save(store, reterr);
	}
	end(store);
	return result;
}

int reference_store_add_tag(struct reference_store *store, const struct reference *ref,
	const char *id, bool force, struct error **reterr)
{
	if (reference_is_canonical(ref))
		return error_set(reterr, error_classf(CLASS_INVALID_PARAMETER,
						 "refusing to create a tag with a digest "
						 "reference"));
	return add_reference(store, ref, id, force, reterr);
}

int reference_store_add_digest(struct reference_store *store, const struct reference *ref,
	const char *id, bool force, struct error **reterr)
{
	return add_reference(store, ref, id, force, reterr);
}

int reference_store_delete_if(struct reference_store *store, const struct reference *ref,
	const char *id, struct error **reterr)
{
	cleanup_place struct place p = {0};
	int result;

	if (place_of(ref, &p, reterr) < 0 || begin(store, true, reterr) < 0)
		return -1;

	struct reference_repository *r = reference_file_find(&store->file, p.name);
	struct reference_entry *e = r ? reference_repository_find(r, p.key) : NULL;

	if (e && (!id || !strcmp(e->id, id))) {
		reference_file_remove(&store->file, r, e);
		result = save(store, reterr);
	} else {
		result = error_set(reterr, &err_reference_does_not_exist);
	}
	end(store);
	return result;
}

int reference_store_delete(
	struct reference_store *store, const struct reference *ref, struct error **reterr)
{
	return reference_store_delete_if(store, ref, NULL, reterr);
}

int reference_store_get(struct reference_store *store, const struct reference *ref, char **ret_id,
	struct error **reterr)
{
	cleanup_place struct place p = {0};
	int result = 0;

	if (place_of(ref, &p, reterr) < 0 || begin(store, false, reterr) < 0)
		return -1;

	const struct reference_repository *r = reference_file_find(&store->file, p.name);
	const struct reference_entry *e = r ? reference_repository_find(r, p.key) : NULL;
	char *copy = e ? strdup(e->id) : NULL;

	if (!e)
		result = error_set(reterr, &err_reference_does_not_exist);
	else if (!copy)
		result = error_set(reterr, &error_no_memory);
	else
		*ret_id = copy;
	end(store);
	return result;
}

/* ---- lists
 * --------------------------------------------------------------------------------------------- */

static int list_add(
	struct reference_list *list, struct reference *ref, const char *id, struct error **reterr)
{
	struct reference_association *grown =
		reallocarray(list->items, list->n + 1, sizeof(*grown));
	char *copy = strdup(id);

	if (grown)
		list->items = grown;
	if (!grown || !copy) {
		free(copy);
		reference_free(ref);
		return error_set(reterr, &error_no_memory);
	}
	list->items[list->n++] = (struct reference_association){ref, copy};
	return 0;
}

static int by_string(const void *a, const void *b)
{
	const struct reference_association *x = a, *y = b;
	cleanup_free char *s = reference_string(x->ref);
	cleanup_free char *t = reference_string(y->ref);
	/* Out of memory: the names' order is the best that is left. */
	int order = s && t ? strcmp(s, t) : strcmp(x->ref->name, y->ref->name);

	return order ? order : strcmp(x->id, y->id);
}

/* One key may stand in several repositories of a file that was edited by hand. */
static void sort_and_merge(struct reference_list *list)
{
	size_t kept = 0;

	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), by_string);
	for (size_t i = 0; i < list->n; i++) {
		if (kept && !by_string(&list->items[kept - 1], &list->items[i])) {
			reference_free(list->items[i].ref);
			free(list->items[i].id);
		} else {
			list->items[kept++] = list->items[i];
		}
	}
	list->n = kept;
}

/* The entries of one repository that point to id (NULL: all). An entry whose key is no reference is
 * passed over, or, strict, ends the list with nothing in it. */
static int collect(const struct reference_repository *r, const char *id, bool strict,
	struct reference_list *list, struct error **reterr)
{
	for (size_t i = 0; i < r->n; i++) {
		cleanup_error struct error *err = NULL;
		struct reference *ref = NULL;

		if (id && strcmp(r->entries[i].id, id))
			continue;
		if (reference_parse_normalized_named(r->entries[i].key, &ref, &err) < 0) {
			if (err == &error_no_memory)
				return error_set(reterr, error_ref(err));
			if (!strict)
				continue;
			reference_list_free(list);
			return 0;
		}
		if (list_add(list, ref, r->entries[i].id, reterr) < 0)
			return -1;
	}
	return 0;
}

static int list_all(struct reference_store *store, const char *id, struct reference_list *ret,
	struct error **reterr)
{
	struct reference_list list = {0};
	int r = 0;

	if (begin(store, false, reterr) < 0)
		return -1;
	for (size_t i = 0; i < store->file.n && !r; i++)
		r = collect(&store->file.repositories[i], id, false, &list, reterr);
	end(store);
	if (r < 0) {
		reference_list_free(&list);
		return -1;
	}
	sort_and_merge(&list);
	*ret = list;
	return 0;
}

int reference_store_references(struct reference_store *store, const char *id,
	struct reference_list *ret, struct error **reterr)
{
	return list_all(store, id, ret, reterr);
}

int reference_store_all(
	struct reference_store *store, struct reference_list *ret, struct error **reterr)
{
	return list_all(store, NULL, ret, reterr);
}

int reference_store_references_by_name(struct reference_store *store, const struct reference *ref,
	struct reference_list *ret, struct error **reterr)
{
	cleanup_free char *name = reference_familiar_name(ref);
	struct reference_list list = {0};
	int result = 0;

	if (!name)
		return error_set(reterr, &error_no_memory);
	if (begin(store, false, reterr) < 0)
		return -1;

	const struct reference_repository *r = reference_file_find(&store->file, name);

	if (r)
		result = collect(r, NULL, true, &list, reterr);
	end(store);
	if (result < 0) {
		reference_list_free(&list);
		return -1;
	}
	sort_and_merge(&list);
	*ret = list;
	return 0;
}
