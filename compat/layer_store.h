/* SPDX-License-Identifier: Apache-2.0 */
/* The layer store, of the staging kind (image_pull.h): unpacked layers keyed by diff ID in the form
 * an overlay mount takes, chain entries that refer to them, and their care. docs/store.md has the
 * layout. Go counterparts: layer.layerStore, layer.fileMetadataStore. One object may be used by
 * many threads, one store by many processes. */
#ifndef COMPAT_LAYER_STORE_H
#define COMPAT_LAYER_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "image/digest.h"
#include "image_pull.h"

struct error;
struct log;
struct layer_store;

struct layer_store_options {
	const char *root; /* the store's folder; it exists. Layers live in root/layers, made here */
	bool fast;        /* no sync before publishing */
	const char *unpacker; /* the program that decodes and reads layers; NULL: done here */
	bool read_only;       /* nothing is made, swept or changed; stage and commit are refused */
	struct log *log;      /* may be NULL; outlives the layer store */
};

/* Opens and sweeps what killed processes left. */
int layer_store_open(
	const struct layer_store_options *options, struct layer_store **ret, struct error **reterr);
void layer_store_close(struct layer_store *ls); /* no handle may be left; NULL is allowed */
static inline void layer_store_closep(struct layer_store **ls)
{
	layer_store_close(*ls);
}
#define cleanup_layer_store __attribute__((cleanup(layer_store_closep)))
/* The table for the plugin; lives as long as ls. */
const struct image_pull_layer_store *layer_store_table(struct layer_store *ls);

/* Make durable what was committed so far, by this process and others: call it before an image that
 * needs those layers is published. It does not return before that is on the disk, whoever syncs.
 * Nothing happens where the store is "fast". Any thread. */
int layer_store_sync(struct layer_store *ls, struct error **reterr);
/* Remove what killed processes left (open has done it). */
void layer_store_sweep(struct layer_store *ls);
/* Will the next opening for writing drop what was not synced before the machine stopped? */
bool layer_store_sweep_is_due(struct layer_store *ls);

/* ---- what is there ---- */

struct layer_info {
	char chain_id[DIGEST_MAX];
	char diff_id[DIGEST_MAX];
	char parent[DIGEST_MAX]; /* "" for the bottom */
	int64_t size;            /* unpacked bytes of this layer alone, as Docker counts them */
	int64_t disk;            /* bytes of this layer's data on disk */
	int64_t created;         /* Unix time of the chain entry */
};
/* -1 with *reterr of class CLASS_NOT_FOUND where there is no such layer, or one below it is
 * missing, or its entry is damaged. */
int layer_store_info(struct layer_store *ls, const char *chain_id, struct layer_info *ret,
	struct error **reterr);
/* fn for each chain entry that can be read, in no order; a non-zero answer ends it and is returned.
 */
int layer_store_each(struct layer_store *ls, int (*fn)(void *arg, const struct layer_info *info),
	void *arg, struct error **reterr);
/* Bytes of disk that all layers take. */
int64_t layer_store_disk(struct layer_store *ls);

/* ---- care ---- */

/* One finding of check. All texts are valid during the call only. */
struct layer_damage {
	const char *diff_id;  /* the layer whose data is damaged; "" if it is the chain entry */
	const char *chain_id; /* the chain entry that is damaged; "" if it is the data */
	const char *path;     /* inside the layer; "" if it is no file */
	const char *text;     /* a whole line: names layer, path and what is wrong */
};
/* Examine every chain entry and every layer's data: missing, extra and truncated files, types,
 * modes, owners, xattrs, link targets, times; deep: contents too, and the diff ID recomputed from
 * what is on disk. report may be called many times for one layer. -1 only where the examination
 * itself could not go on. */
int layer_store_check(struct layer_store *ls, bool deep,
	void (*report)(void *arg, const struct layer_damage *damage), void *arg, unsigned *damaged,
	struct error **reterr);
/* Drop damaged things: diff_id's data, or one chain entry ("" for the other), and every chain entry
 * that stands on it. The data of layers above stays: a pull brings them back without a download.
 * CLASS_CONFLICT where a mounted bundle or a running pull uses it. */
int layer_store_drop(
	struct layer_store *ls, const char *diff_id, const char *chain_id, struct error **reterr);

struct layer_prune {
	/* Is this chain entry needed by an image? Asked for each; ancestors of what is needed stay
	 * by themselves. Look at the images as they are at that moment. */
	bool (*needed)(void *arg, const char *chain_id);
	/* One line for each thing that is (dry_run: would be) removed. May be NULL. */
	void (*removed)(void *arg, const char *text, int64_t bytes);
	void *arg;
	uint64_t keep_age; /* seconds: what is younger stays */
	bool dry_run;
};
/* Remove chain entries that nothing needs, data that no chain entry names, stale blob records.
 * What mounted bundles and running pulls (of any process) use stays. */
int layer_store_prune(struct layer_store *ls, const struct layer_prune *prune, uint64_t *reclaimed,
	struct error **reterr);

/* ---- bundles ---- */

/* A bundle that bundle.c has made; it is in use while its overlay is mounted. */
struct layer_bundle {
	const char *dir;      /* absolute */
	const char *image_id; /* "sha256:..." */
	const char *chain_id; /* of its topmost layer */
	bool mounted;
};
int layer_store_each_bundle(struct layer_store *ls,
	int (*fn)(void *arg, const struct layer_bundle *bundle), void *arg, struct error **reterr);

/* ---- the tar of a layer ---- */

/* layer.TarStream: the exact tar whose digest is the diff ID, made again from headers and data. */
struct tar_stream;
int layer_store_tar(struct layer_store *ls, const char *diff_id, struct tar_stream **ret,
	struct error **reterr);
/* Up to size bytes; 0 at the end, -1 with *reterr where what is on disk is damaged. */
int64_t tar_stream_read(struct tar_stream *ts, void *buf, size_t size, struct error **reterr);
void tar_stream_free(struct tar_stream *ts); /* NULL is allowed */

#endif
