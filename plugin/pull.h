/* SPDX-License-Identifier: Apache-2.0 */
/* A pull, from the reference to the engine's stores. Go counterparts: distribution/pull.go,
 * pull_v2.go, errors.go, distribution/metadata. */
#ifndef PULL_H
#define PULL_H

#include "base/error.h"
#include "image/reference.h"
#include "image_pull.h"
#include "registry/http.h"
#include "registry/repository.h"
#include "xfer/download.h"

/* What one pull works with: ImagePullConfig. Tables are full-size copies; absent ones have NULL
 * functions. */
struct pull_config {
	const struct image_pull_registry_service *registry_service;
	const struct image_pull_reference_store *reference_store;
	const struct image_pull_image_store *image_store;
	const struct image_pull_metadata_store *metadata_store;
	const struct image_pull_layer_store *layer_store; /* for plans */
	const struct image_pull_events *events;
	void *pull; /* the cookie */
	struct http_client *http;
	struct download_manager *downloads;
	struct output *output;
	struct log *log;
	/* The pull's context, for layers and to ask whether it was cancelled. */
	const struct context *ctx;
	/* For pings, manifests, tags and configurations. The original does not interrupt these;
	 * here a cancel reaches them too, but a moment later, so that an answer that is on its way
	 * decides how the pull ends, as recorded. */
	const struct context *request_ctx;
	struct platform runtime;
	const struct platform *platform; /* NULL: none was asked for */
	struct auth_config auth;
	const struct header_list *meta_headers;
	bool require_schema2;
	bool plan;                        /* tell what would be fetched, and fetch manifests only */
	const char *const *schema2_types; /* NULL: ImageTypes */
	size_t nschema2_types;
	struct pull_report *report;
};

/* For the structured error: where the pull is, what was tried. */
struct pull_attempt {
	char *endpoint, *message;
};
struct pull_report {
	enum image_pull_phase phase;
	char *endpoint; /* the current one */
	struct pull_attempt *attempts;
	size_t nattempts;
	struct registry_notes notes; /* of the current endpoint */
};
void pull_report_free(struct pull_report *r); /* leaves it empty */
/* The endpoint that is tried from now on, and how it ended. */
void pull_report_endpoint(struct pull_report *r, const char *url);
void pull_report_attempt(struct pull_report *r, const char *message);

/* One endpoint and repository, as the registry service gave them; copies. */
struct pull_endpoint {
	char *url;
	char *scheme, *host;
	int version;
	bool mirror, official, trim_hostname;
	struct http_tls *tls;
	bool once, own_auth;     /* IMAGE_PULL_ENDPOINT_... */
	char *repository, *ns;   /* NULL: none */
	struct auth_config auth; /* copies; all NULL unless own_auth */
	uint32_t connect_timeout_ms;
};
struct repository_info {
	struct reference *name;
	char *class_name;
};

/* pull.c */
int pull(const struct pull_config *config, const struct reference *ref, struct error **reterr);
int validate_repo_name(const struct reference *name, struct error **reterr);
/* newPuller's decision: 0 for version 2. */
int new_puller(const struct pull_endpoint *endpoint, struct error **reterr);
void write_status(
	const struct pull_config *config, const char *requested_tag, bool layers_downloaded);
int add_digest_reference(const struct pull_config *config, const struct reference *ref,
	const char *digest, const char *image_id, struct error **reterr);

/* login.c: DefaultService.Auth for the registry hostname. *ret_token: the identity token, NULL if
 * the registry gave none. */
int login(const struct pull_config *config, const char *hostname, char **ret_token,
	struct error **reterr);

/* pull_v2.c: v2Puller.Pull */
int v2_puller_pull(const struct pull_config *config, const struct pull_endpoint *endpoint,
	const struct repository_info *repo_info, const struct reference *ref,
	struct error **reterr);

/* errors.c. Each takes over err and gives a new reference. */
struct error *translate_pull_error(struct error *err, const struct reference *ref, struct log *log);
bool continue_on_error(const struct error *err, bool mirror_endpoint);
struct error *retry_on_error(struct error *err);
struct error *allow_v1_fallback(struct error *err);

/* schema1.c */
int verify_schema1_manifest(const struct manifest *m, const struct reference *ref, struct log *log,
	struct error **reterr);
int fix_manifest_layers(struct manifest *m, struct error **reterr);
/* v1.HistoryFromConfig: a history entry as JSON text. */
int history_from_config(
	const void *config, size_t size, bool empty_layer, struct buf *ret, struct error **reterr);
/* v1.MakeConfigFromV1Config: history is an array of such texts. */
int make_config_from_v1_config(const void *config, size_t size, const struct rootfs *rootfs,
	char *const *history, size_t nhistory, struct buf *ret, struct error **reterr);

/* metadata.c: V2MetadataService. */
int v2_metadata_get_diff_id(
	const struct image_pull_metadata_store *store, const char *digest, char ret[DIGEST_MAX]);
void v2_metadata_add(const struct image_pull_metadata_store *store, const char *diff_id,
	const char *digest, const char *source_repository);

#endif
