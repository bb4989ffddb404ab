/* SPDX-License-Identifier: Apache-2.0 */
/* One repository at one endpoint. Go counterparts: distribution/registry.go (NewV2Repository),
 * registry/client/repository.go, client/transport/http_reader.go. */
#ifndef REGISTRY_REPOSITORY_H
#define REGISTRY_REPOSITORY_H

#include "image/manifest.h"
#include "image/reference.h"
#include "registry/auth.h"

struct log;

struct repository_config {
	struct http_client *client;
	const struct reference *name; /* RepositoryInfo.Name, canonical */
	const char *class_name;       /* RepositoryInfo.Class */
	const char *endpoint_url;
	bool trim_hostname;
	/* Beyond the original. */
	const char *repository; /* what the name is here; NULL: as trim_hostname says */
	const char *ns;         /* a query parameter of every request; NULL: none */
	bool once; /* after one failure to connect every request fails with it, not to be retried */
	uint32_t connect_timeout_ms; /* 0: the client's */
	struct http_tls *tls;
	const struct header_list *meta_headers;
	struct auth_config auth;
	struct log *log; /* until repository_quiet */
};

/* Refcounted: layer downloads of other threads hold it. Thread-safe. */
struct repository;
/* NewV2Repository: pings. Error: ERROR_FALLBACK. */
int repository_new(const struct repository_config *config, const struct context *ctx,
	struct repository **ret, bool *ret_confirmed_v2, struct error **reterr);
struct repository *repository_ref(struct repository *r);
void repository_unref(struct repository *r);
static inline void repository_unrefp(struct repository **r)
{
	repository_unref(*r);
}
#define cleanup_repository __attribute__((cleanup(repository_unrefp)))
/* As the original would have it, whatever the repository is called at this endpoint. */
const struct reference *repository_named(const struct repository *r);

/* Nothing more is logged: the log ends before the repository does. */
void repository_quiet(struct repository *r);
/* What a round trip to it costs, roughly: http_client_connect_ms. */
uint32_t repository_connect_ms(const struct repository *r);
/* What its answers said of limits last. */
struct registry_notes {
	char rate_limit[128], rate_remaining[128]; /* "" if nothing */
	int64_t retry_after;                       /* seconds; 0: not said */
};
void repository_notes(struct repository *r, struct registry_notes *ret);

/* TagService.All, pages followed (same origin, 1000 at most, none twice). */
struct tag_list {
	char **items;
	size_t count;
};
int repository_tags(struct repository *r, const struct context *ctx, struct tag_list *ret,
	struct error **reterr);
void tag_list_free(struct tag_list *tags);
/* ManifestService.Get by tag or digest (the other is NULL). */
int repository_manifest(struct repository *r, const struct context *ctx, const char *tag,
	const char *digest, struct manifest **ret, struct error **reterr);
/* By HEAD: the digest of what the tag names. An error where the answer does not say so. */
int repository_manifest_digest(struct repository *r, const struct context *ctx, const char *tag,
	char ret[DIGEST_MAX], struct error **reterr);
/* BlobStore.Get: a small blob, 4 MiB at most. Not verified. */
int repository_blob_get(struct repository *r, const struct context *ctx, const char *digest,
	struct buf *ret, struct error **reterr);

/* BlobStore.Open: httpReadSeeker. Nothing is asked before the first read. */
struct blob_reader;
int repository_blob_open(struct repository *r, const char *digest, size_t ring_size,
	struct blob_reader **ret, struct error **reterr);
/* Begin the next read at this offset (a Range request if > 0). Sends the request and gives the
 * blob's whole size in *ret_size, -1 if the answer does not say. Errors as the original's reader():
 * the registry's through handle_error_response, err_wrong_code_for_byte_range, Content-Range's. May
 * be called again after a failure. */
int blob_reader_seek(struct blob_reader *b, const struct context *ctx, int64_t offset,
	int64_t *ret_size, struct error **reterr);
ssize_t blob_reader_read(struct blob_reader *b, const struct context *ctx, void *buf, size_t size,
	struct error **reterr);
/* What was asked, and the answer's ETag or NULL. Until the next request. */
const char *blob_reader_url(const struct blob_reader *b);
const char *blob_reader_etag(const struct blob_reader *b);
/* As http_response_held_back_ms, of the request that was begun last. */
int64_t blob_reader_held_back_ms(const struct blob_reader *b);
void blob_reader_free(struct blob_reader *b);

#endif
