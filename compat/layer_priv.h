/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the layer store share. docs/store.md has the layout. */
#ifndef COMPAT_LAYER_PRIV_H
#define COMPAT_LAYER_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/digest.h"
#include "layer_store.h"
#include "untar.h"

struct buf;

#define LAYER_FORMAT 1

/* Folders below layers/ */
#define DATA_DIR "data"
#define CHAINS_DIR "chains"
#define BLOBS_DIR "blobs"
#define STAGING_DIR "staging"
#define LOCKS_DIR "locks"
#define BUNDLES_DIR "bundles"
/* Files of one layer's data, beside those of tar_headers.h */
#define LAYER_FILE "layer"
#define DURABLE_FILE "durable"
#define BOOT_FILE "boot"

#define LAYER_NAME_MAX (DIGEST_MAX + 8)
#define BOOT_ID_MAX 40

struct layer_hold;
struct layer_unsynced;
struct writeback;

struct layer_store {
	struct image_pull_layer_store table;
	char *path; /* of layers/ */
	int dir;
	bool fast, read_only;
	bool trusted;   /* overlay's markers can be trusted.overlay.* */
	char *unpacker; /* NULL: layers are decoded and read here */
	struct log *log;
	struct writeback *writeback; /* NULL: nothing is synced */
	char boot_id[BOOT_ID_MAX];
	pthread_mutex_t mutex; /* guards holds and serial */
	struct layer_hold *holds;
	unsigned long serial;            /* of names in staging */
	pthread_mutex_t sync_mutex;      /* guards what follows; taken inside mutex */
	pthread_cond_t sync_cond;        /* syncing became false */
	struct layer_unsynced *unsynced; /* data that may be on no disk yet */
	bool syncing;
	uint64_t sync_asked, sync_done; /* how many syncs were asked for; which of them are done */
};

/* ---- records: a first line "towline-KIND 1", lines "key value", a last line "end" ---- */

void record_begin(struct buf *b, const char *kind);
void record_add(struct buf *b, const char *key, const char *value);
void record_add_number(struct buf *b, const char *key, int64_t value);
/* Written beside and renamed, not synced. */
int record_write(struct layer_store *ls, const char *dir, const char *name, struct buf *b,
	struct error **reterr);
/* The text of a whole record; -1 with class CLASS_NOT_FOUND where there is none or only a part of
 * one, with a format of the future an error that says so. */
int record_read(struct layer_store *ls, int at, const char *path, const char *kind, char **ret,
	struct error **reterr);
/* The value of a key, "" if there is none; ret has size bytes, what is longer is "". */
void record_get(const char *record, const char *key, char *ret, size_t size);
int64_t record_get_number(const char *record, const char *key);
bool record_get_digest(const char *record, const char *key, char ret[DIGEST_MAX]);

/* ---- unpacking: layer_unpack.c ---- */

struct layer_unpacked {
	struct untar_result result;
	char diff_id[DIGEST_MAX];
	bool source_failed; /* as untar() says it */
	bool over;          /* more than the reader's max_unpacked or max_entries */
};
/* Unpack into an open folder of staging. A reader that tells the diff ID gives tar, any other what
 * may be compressed if there is an unpacker. *ret is set on failure too. */
int layer_unpack(struct layer_store *ls, const struct image_pull_reader *reader, int staging,
	struct layer_unpacked *ret, struct error **reterr);

/* ---- data ---- */

/* "sha256:..." to "sha256.<hex>"; false where it is no digest. */
bool layer_name(const char *digest, char ret[LAYER_NAME_MAX]);
bool layer_digest(const char *name, char ret[DIGEST_MAX]); /* and back */

struct layer_data_info {
	int64_t size, disk, entries;
	unsigned lost; /* UNTAR_LOST_* */
	bool trusted, opaque, root_entry, durable;
};
/* What the record of an open folder of data says; CLASS_NOT_FOUND as for layer_data_open. */
int layer_data_info(struct layer_store *ls, const char *diff_id, int fd,
	struct layer_data_info *ret, struct error **reterr);
/* Open a layer's data and lock it against removal (a shared lock, for as long as the descriptor
 * lives). CLASS_NOT_FOUND: it is not there, it goes away just now, or it was never written to the
 * disk before the machine stopped. ret_info may be NULL. */
int layer_data_open(struct layer_store *ls, const char *diff_id, int *ret_fd,
	struct layer_data_info *ret_info, struct error **reterr);
/* A new locked folder in staging. ret_name: below staging/. */
int layer_staging_new(
	struct layer_store *ls, char ret_name[64], int *ret_fd, struct error **reterr);
/* Remove name in staging; nothing is said: the sweeper tries again. */
void layer_staging_remove(struct layer_store *ls, const char *name);
/* Staging name becomes the data of diff_id; the lock of fd becomes shared. Where that is there
 * already, fd becomes one of it. */
int layer_data_publish(struct layer_store *ls, const char *name, const char *diff_id, int *fd,
	struct error **reterr);
/* Lock for removal: 1 locked (*ret_fd), 0 in use, -1. */
int layer_data_lock(
	struct layer_store *ls, const char *diff_id, int *ret_fd, struct error **reterr);
/* Remove data that is locked so. */
int layer_data_remove(struct layer_store *ls, const char *diff_id, struct error **reterr);

/* Note that diff_id's data has to be synced before an image names it. */
int layer_unsynced_add(struct layer_store *ls, const char *diff_id, struct error **reterr);
void layer_unsynced_free(struct layer_store *ls);

/* ---- chains ---- */

/* CLASS_NOT_FOUND: none, or damaged. Only what the entry itself says (disk is 0). */
int layer_chain_read(struct layer_store *ls, const char *chain_id, struct layer_info *ret,
	struct error **reterr);
/* Take a hold on a chain ID and all below it. */
int layer_hold_get(struct layer_store *ls, const char *chain_id, struct error **reterr);
void layer_hold_release(struct layer_store *ls, const char *chain_id);
void layer_holds_free(struct layer_store *ls);

/* fn for each name in a folder of the store but "." and ".."; non-zero ends it. -1 sets *reterr. */
int layer_each_name(struct layer_store *ls, const char *dir, int (*fn)(void *arg, const char *name),
	void *arg, struct error **reterr);

/* Make diff_id, if its data is there, the layer on top of parent, and take a hold on it. 1: done,
 * 0: its data is not there, -1. */
int layer_store_commit_present(
	struct layer_store *ls, const char *parent, const char *diff_id, struct error **reterr);

/* ---- blobs ---- */

/* Which diff ID a blob's data has. False: not known. */
bool layer_blob_lookup(struct layer_store *ls, const char *digest, char ret_diff_id[DIGEST_MAX]);
int layer_blob_record(
	struct layer_store *ls, const char *digest, const char *diff_id, struct error **reterr);
/* The lock of a blob that is being staged: 1 taken (*ret_fd), 0 held by somebody, -1. */
int layer_blob_lock(struct layer_store *ls, const char *digest, int *ret_fd, struct error **reterr);
void layer_blob_unlock(struct layer_store *ls, const char *digest, int fd);

#endif
