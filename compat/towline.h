/* SPDX-License-Identifier: Apache-2.0 */
/*
 * towline.h - libtowline: Docker-compatible services for engines that have none of their own, to be
 * handed to image_pull.so (image_pull.h), and what a host does with the images afterwards.
 *
 * The rules are image_pull.h's: arguments are borrowed, results and texts of failures come through
 * the caller's sink, functions answer with an enum image_pull_code, structs that callers make begin
 * with their size. Objects are freed by the function named after them, which accepts NULL. Every
 * object may be used by many threads, and a store by many processes, at once, unless it says
 * otherwise.
 */
#ifndef TOWLINE_H
#define TOWLINE_H

#include "image_pull.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TOWLINE_API __attribute__((visibility("default")))
#else
#define TOWLINE_API
#endif

/* "0.1.0" */
TOWLINE_API const char *towline_version(void);

/* A sink that keeps one text or value, for callers that want no sink of their own. Zero-initialise,
 * then towline_text_init; towline_text_free when done. */
struct towline_text {
	size_t struct_size;
	struct image_pull_sink sink; /* hand this to a call */
	char *value;                 /* the last value, NUL-terminated; NULL if none came */
	size_t value_size;
	char *message; /* the text of the failure; NULL if none came */
};
TOWLINE_API void towline_text_init(struct towline_text *text);
TOWLINE_API void towline_text_free(struct towline_text *text);
/* The message, or a fitting one for the code. Never NULL. */
TOWLINE_API const char *towline_text_message(const struct towline_text *text, int code);

/* ---- engine.json
 * --------------------------------------------------------------------------------------- */

/* Whose credentials a place gets that is not the registry which the reference names. */
enum towline_credentials_kind {
	TOWLINE_CREDENTIALS_NONE = 0,
	TOWLINE_CREDENTIALS_GIVEN = 1,  /* username and password below */
	TOWLINE_CREDENTIALS_STORED = 2, /* what towline_credentials has for that place */
	TOWLINE_CREDENTIALS_REQUEST = 3 /* those of the pull: sent to a host they are not for */
};
enum towline_pull_from {
	TOWLINE_PULL_FROM_ALL = 0,
	TOWLINE_PULL_FROM_DIGEST_ONLY = 1, /* for references with a digest */
	TOWLINE_PULL_FROM_TAG_ONLY = 2     /* for all others */
};
/* Where images are to be had: a mirror, or a registry by another name. Strings may be NULL. */
struct towline_location {
	size_t struct_size;
	/* [http:// or https://]HOST[:PORT][/PATH]; what follows the prefix in a repository's name
	 * is put behind it. Without a scheme: https, and http too where the host is insecure. */
	const char *location;
	int insecure;    /* its certificate is not verified */
	const char *ca;  /* a file of PEM certificates that are trusted there, too */
	int credentials; /* enum towline_credentials_kind */
	const char *username, *password;
	const char *authfile; /* STORED: looked up there */
	const char *api_root; /* "/PATH" that stands before /v2/ in its URLs */
	int ns;        /* 1: tell it by the query parameter ns which registry the reference names */
	int pull_from; /* enum towline_pull_from */
	uint32_t connect_timeout_ms; /* 0: as the plugin's limits have it */
};
/* One entry of engine.json's "registries"; the one with the longest prefix counts. */
struct towline_registry {
	size_t struct_size;
	const char *prefix; /* HOST[:PORT][/PATH] or *.DOMAIN[:PORT], of canonical names */
	int blocked;
	int mirror_only;
	/* The registry itself; its location may be NULL: where the name says. */
	const struct towline_location *origin;
	const struct towline_location *const *mirrors; /* asked first, in order; NULL-terminated */
};

/* Members are never NULL unless it is said; they live as long as the config. */
struct towline_config {
	size_t struct_size;
	const char *file;        /* the file that was read; "" for built-in defaults */
	const char *plugin_path; /* plugins.image_pull.path; NULL: not named */
	const char *data_root;
	const char *const *registry_mirrors; /* NULL-terminated, as all lists here */
	const char *const *insecure_registries;
	const char *const *allow_nondistributable_artifacts;
	const char *const *certs_dirs;     /* "certs-dirs": searched in this order */
	int insecure_loopback;             /* "insecure-loopback": 1 */
	uint32_t max_concurrent_downloads; /* 3 */
	uint32_t max_download_attempts;    /* 5 */
	int durable;                       /* "durability": "full" is 1, "fast" 0 */
	const char *default_registry; /* "default-registry": URL in place of registry-1.docker.io;
					 NULL */
	const char *http_proxy, *https_proxy,
		*no_proxy;      /* "proxies": {...}; NULL: the environment's */
	const char *ca_bundle;  /* "ca-bundle"; NULL */
	const char *user_agent; /* "user-agent"; NULL */
	const char *temp_dir;   /* "temp-dir"; NULL */
	/* Ready for the plugin: the two numbers above, and "limits": {"max-layer-size" (bytes),
	 * "connect-timeout-ms", "stall-timeout-ms", "pull-timeout-ms"}. */
	struct image_pull_limits limits;
	const struct towline_registry *const *registries; /* "registries", NULL-terminated */
	const struct image_pull_network *network;         /* "network" */
	int resume;              /* "resume": keep blobs that are on the way for a later pull */
	uint64_t resume_quota;   /* "resume-quota": bytes; default 10 GiB */
	uint32_t resume_max_age; /* "resume-max-age": seconds; default a week */
	/* "confine": layers are decoded and their tars read in a process that can do nothing else;
	 * "unpacker": the program for it. */
	int confine;
	const char *unpacker;
	/* Of "limits" too: "max-layer-entries", "max-buffer-memory", "max-connections",
	 * "max-connections-per-host". */
	const struct image_pull_bounds *bounds;
};
/* path NULL: $XDG_CONFIG_HOME/towline/engine.json (or ~/.config/...) when not root, then
 * /etc/towline/engine.json, then built-in defaults. A path that is given must exist. Unknown keys
 * and wrong types are errors that name file, line and key. Without "data-root": /var/lib/towline,
 * or $XDG_DATA_HOME/towline when not root. */
TOWLINE_API int towline_config_load(
	const char *path, const struct towline_config **config, const struct image_pull_sink *sink);
TOWLINE_API void towline_config_free(const struct towline_config *config);

/* ---- registry service: Docker's registry.DefaultService
 * ------------------------------------------------ */

/* What the options' registries say, but for "blocked", needs a plugin of ABI 1.1, which asks
 * lookup_reference_endpoints. lookup_pull_endpoints knows the registry itself only, and has an
 * error for a host that is blocked, elsewhere or to be had from mirrors only. */

struct towline_registry_options {
	size_t struct_size;
	const char *const *mirrors; /* NULL-terminated lists; NULL: none */
	const char *const *insecure_registries;
	const char *const *allow_nondistributable_artifacts;
	const char *const *certs_dirs; /* NULL: /etc/docker/certs.d */
	const char *default_registry;  /* NULL: https://registry-1.docker.io */
	int no_insecure_loopback;      /* 1: 127.0.0.0/8 is as secure as anything else */
	/* Name resolution for insecure CIDRs, as image_pull_options.resolve; NULL: getaddrinfo. */
	int (*resolve)(void *context, const char *host, const struct image_pull_sink *sink);
	void *resolve_context;
	/* The original's warnings about what is taken nevertheless; during _new only. May be NULL.
	 */
	void (*log)(void *context, int level, const char *message);
	void *log_context;
	/* A file of PEM certificates that are trusted besides the system's and those of certs_dirs,
	 * for every registry whose certificate is verified. NULL: none. */
	const char *extra_ca;
	/* "registries"; NULL: none. */
	const struct towline_registry *const *registries;
	/* As image_pull_events.cancelled, with NULL for pull: asked while the system looks up a
	 * name, which nothing else interrupts, on the thread of the pull. NULL: that is waited for,
	 * for 10 s at most. */
	int (*cancelled)(void *context, void *pull);
	void *cancelled_context;
};
struct towline_registry_service;
TOWLINE_API int towline_registry_service_new(const struct towline_registry_options *options,
	struct towline_registry_service **service, const struct image_pull_sink *sink);
TOWLINE_API void towline_registry_service_free(struct towline_registry_service *service);
/* The table to hand to the plugin; lives as long as the service. So do the tables of the other
 * objects. */
TOWLINE_API const struct image_pull_registry_service *towline_registry_service_table(
	struct towline_registry_service *service);

/* ---- the store: one folder, for images, references, layers and metadata
 * -------------------------------- */

struct towline_store_options {
	size_t struct_size;
	const char *root; /* made if it is missing, mode 0711 */
	int fast;         /* 1: no sync before publishing */
	int read_only;
	void (*log)(void *context, int level, const char *message); /* may be NULL */
	void *log_context;
	/* 1: a damaged repositories.json is no failure to open, but one of each call that asks for
	 * names, until towline_fsck has repaired it. */
	int tolerant;
	/* The program that decodes layers and reads their tars, confined: an absolute path, copied.
	 * The layer store's table then has IMAGE_PULL_LAYER_STORE_ENCODED, which takes a plugin of
	 * ABI 1.2. NULL: it is all done in this process. */
	const char *unpacker;
};
struct towline_store;
/* Checks the format version, sweeps what earlier processes left unfinished. */
TOWLINE_API int towline_store_open(const struct towline_store_options *options,
	struct towline_store **store, const struct image_pull_sink *sink);
TOWLINE_API void towline_store_close(struct towline_store *store);
TOWLINE_API const struct image_pull_reference_store *towline_store_references(
	struct towline_store *store);
TOWLINE_API const struct image_pull_image_store *towline_store_images(struct towline_store *store);
TOWLINE_API const struct image_pull_layer_store *towline_store_layers(struct towline_store *store);
TOWLINE_API const struct image_pull_metadata_store *towline_store_metadata(
	struct towline_store *store);
/* The store's folder for blobs on their way, as image_pull_options.partial_dir; it is made. NULL
 * where the store is read-only or that fails. Lives as long as the store. */
TOWLINE_API const char *towline_store_partial_dir(struct towline_store *store);

/* What the store knows of one image. */
struct towline_image {
	size_t struct_size;
	const char *id;
	const char *const *repo_tags;    /* familiar, NULL-terminated */
	const char *const *repo_digests; /* the same */
	const char *created;             /* RFC 3339, "" if not said */
	const char *os, *architecture, *variant;
	int64_t size;       /* bytes of all layers, unpacked */
	const char *config; /* the configuration's bytes */
	size_t config_size;
	const char *const *chain_ids; /* bottom first */
	const char *const *diff_ids;
};
/* One value for each image: a struct towline_image, newest first. */
TOWLINE_API int towline_images(struct towline_store *store, const struct image_pull_sink *sink);
/* One value: the image that name (a reference, an ID or an unambiguous prefix of one) means.
 * NOT_FOUND: "No such image: NAME". */
TOWLINE_API int towline_image_get(
	struct towline_store *store, const char *name, const struct image_pull_sink *sink);
TOWLINE_API int towline_tag(struct towline_store *store, const char *name,
	const char *new_reference, const struct image_pull_sink *sink);
/* One value for each line that `docker rmi` prints ("Untagged: ...", "Deleted: ..."). Layers that
 * nothing refers to go with the image. CONFLICT where a mounted bundle uses it, unless force. */
TOWLINE_API int towline_remove(struct towline_store *store, const char *name, int force,
	const struct image_pull_sink *sink);

struct towline_prune_options {
	size_t struct_size;
	int dry_run;
	int all;            /* images without a tag too */
	uint64_t keep_age;  /* seconds: spare what is younger */
	uint64_t keep_size; /* stop once the store is no larger, in bytes; 0: no such stop */
};
/* One value for each thing removed, a line of text; then *reclaimed bytes. */
TOWLINE_API int towline_prune(struct towline_store *store,
	const struct towline_prune_options *options, uint64_t *reclaimed,
	const struct image_pull_sink *sink);
/* One value for each finding, a line of text. OK and *damaged = 0 where nothing was found. deep:
 * recompute diff IDs. repair: drop what is damaged, so that the next pull fetches it. */
TOWLINE_API int towline_fsck(struct towline_store *store, int deep, int repair, unsigned *damaged,
	const struct image_pull_sink *sink);
/* The merged root file system as a tree in dir (made; must be empty). */
TOWLINE_API int towline_rootfs(struct towline_store *store, const char *name, const char *dir,
	const struct image_pull_sink *sink);
/* An OCI runtime bundle in dir: config.json from the image's configuration and rootfs/, an overlay
 * mount where that is possible (one value: "overlay"), a copy otherwise ("copy"). */
TOWLINE_API int towline_bundle(struct towline_store *store, const char *name, const char *dir,
	const struct image_pull_sink *sink);
/* Unmount and remove a bundle. */
TOWLINE_API int towline_bundle_remove(
	struct towline_store *store, const char *dir, const struct image_pull_sink *sink);
/* How a container of an image begins, as its configuration says. */
struct towline_process {
	size_t struct_size;
	const char *const *args; /* entrypoint and cmd, NULL-terminated; "/bin/sh" if there are none
				  */
	const char *const *env;  /* NAME=VALUE, NULL-terminated; PATH is always there */
	const char *cwd;         /* absolute */
	const char *user;        /* as the configuration says it: "", "name", "uid:gid", ... */
	uint32_t uid, gid;       /* whom that means in the root file system */
	const uint32_t *groups;  /* the user's further groups */
	size_t ngroups;
	const char *stop_signal; /* "" if not said */
};
/* One value: a struct towline_process. rootfs: the folder with the image's root file system, in
 * whose /etc/passwd and /etc/group names are looked up (never through this machine's name service,
 * and no link leads out of it). */
TOWLINE_API int towline_process(struct towline_store *store, const char *name, const char *rootfs,
	const struct image_pull_sink *sink);
/* docker-archive FILE, or "oci:DIR". load: one value for each reference or ID loaded. */
TOWLINE_API int towline_load(
	struct towline_store *store, const char *source, const struct image_pull_sink *sink);
TOWLINE_API int towline_save(struct towline_store *store, const char *name, const char *target,
	const struct image_pull_sink *sink);

/* ---- what Docker Engine's API says of images, for hosts that speak it
 * ------------------------------------------------- */

/* One value: the JSON object of GET /images/NAME/json, from a line without white space; the layer
 * store is named "towline" in it. NOT_FOUND as towline_image_get. */
TOWLINE_API int towline_image_json(
	struct towline_store *store, const char *name, const struct image_pull_sink *sink);
struct towline_list_options {
	size_t struct_size;
	const char *filters;   /* GET /images/json's: JSON, "" or NULL for none */
	const char *reference; /* one more pattern for names, as "filter" of old; NULL: none */
};
/* One value: the JSON array of GET /images/json, newest first. options NULL: no filter. */
TOWLINE_API int towline_images_json(struct towline_store *store,
	const struct towline_list_options *options, const struct image_pull_sink *sink);
/* One value: the text as a JSON string, with its quotes, as Docker Engine writes it. */
TOWLINE_API int towline_json_string(const char *text, const struct image_pull_sink *sink);
/* types.AuthConfig, as clients send it. */
struct towline_auth_config {
	size_t struct_size;
	struct image_pull_auth auth;
	const char *server_address; /* "" if not said */
};
/* One value: a struct towline_auth_config. base64url: text is the header X-Registry-Auth, else it
 * is the JSON itself. */
TOWLINE_API int towline_auth_config(
	const char *text, size_t size, int base64url, const struct image_pull_sink *sink);

/* ---- Docker's progress stream: pkg/streamformatter
 * ----------------------------------------------------- */

/* One value: the JSON line, CR LF included, that Docker Engine writes for this update. */
TOWLINE_API int towline_progress_json(
	const struct image_pull_progress *progress, const struct image_pull_sink *sink);
/* {"errorDetail":{"message":M},"error":M}; code is left out where it is 0. */
TOWLINE_API int towline_error_json(
	const char *message, int code, const struct image_pull_sink *sink);
/* The same with a last member "towline" beside Docker's two, for those who look for it: phase,
 * endpoint, httpStatus, code, class, cancelled, attempts, hint; what is not known is left out. */
TOWLINE_API int towline_error_info_json(const struct image_pull_error_info *info, const char *hint,
	const struct image_pull_sink *sink);
/* Words for enum image_pull_phase ("manifest") and image_pull_class ("NotFound"); "" for none. */
TOWLINE_API const char *towline_phase_name(int phase);
TOWLINE_API const char *towline_class_name(int error_class);
/* What a user can do about this error, where that is certain: one value, a sentence. NOT_FOUND:
 * nothing certain. registry: its name as a reference has it ("host:5000"); logged_in: credentials
 * were sent with the pull. */
TOWLINE_API int towline_error_hint(const struct image_pull_error_info *info, const char *registry,
	int logged_in, const struct image_pull_sink *sink);
/* {"status":TEXT} or with an id. */
TOWLINE_API int towline_status_json(
	const char *id, const char *text, const struct image_pull_sink *sink);

/* ---- references, for hosts
 * ------------------------------------------------------------------------------ */

/* One value: canonical ("docker.io/library/busybox:latest"); tag_name_only: with ":latest" where
 * neither tag nor digest is there. INVALID with Docker's words. */
TOWLINE_API int towline_reference_normalize(
	const char *reference, int tag_name_only, const struct image_pull_sink *sink);
/* One value: name with this tag or digest in place of its own, canonical; "" or NULL: as it is. */
TOWLINE_API int towline_reference_with(
	const char *name, const char *tag_or_digest, const struct image_pull_sink *sink);
/* One value: a struct image_pull_platform, of OS, ARCH or OS/ARCH[/VARIANT] as `docker pull
 * --platform` takes it; what is missing is the machine's. NULL: the machine. */
TOWLINE_API int towline_platform_parse(const char *text, const struct image_pull_sink *sink);
/* One value: the familiar form ("busybox:latest"). */
TOWLINE_API int towline_reference_familiar(
	const char *reference, const struct image_pull_sink *sink);

/* ---- credentials
 * ----------------------------------------------------------------------------------------- */

/* One value: a struct image_pull_auth for this reference's registry, from $REGISTRY_AUTH_FILE,
 * ~/.docker/config.json
 * ($DOCKER_CONFIG) or containers' auth.json: auths, credHelpers, credsStore. NOT_FOUND: none there.
 */
TOWLINE_API int towline_credentials(
	const char *authfile, const char *reference, const struct image_pull_sink *sink);
/* What docker login does with what it was given: into the helper that the file names for this
 * server, else into the file itself (mode 0600, the rest of it stays). authfile NULL:
 * $REGISTRY_AUTH_FILE, else docker's config.json. server: HOST[:PORT], a URL, or HOST/PREFIX for
 * the repositories below it; NULL or "": Docker Hub. A username with an empty password and an
 * identity token stores the token. Nothing is asked of the registry. One value: "helper NAME" or
 * the file's path. */
TOWLINE_API int towline_credentials_store(const char *authfile, const char *server,
	const struct image_pull_auth *auth, const struct image_pull_sink *sink);
/* The opposite, from helper and file. NOT_FOUND: the file knows of none, "Not logged in to ...". */
TOWLINE_API int towline_credentials_erase(
	const char *authfile, const char *server, const struct image_pull_sink *sink);

/* ---- the plugin, as a host loads it
 * ---------------------------------------------------------------------- */

/* dlopen path and check magic, ABI and size. path NULL: image_pull.so beside the program, then in
 * the library folder. The plugin stays loaded for the life of the process. */
TOWLINE_API int towline_plugin_load(const char *path, const struct image_pull_plugin **plugin,
	const struct image_pull_sink *sink);

#ifdef __cplusplus
}
#endif

#endif
