/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_pull.h - the ABI between a container engine and image_pull.so, Docker's image pull as a
 * plugin.
 *
 * An engine dlopens the plugin and reads ONE data symbol, IMAGE_PULL_SYMBOL (a struct
 * image_pull_plugin). It checks magic, abi_major and struct_size, then calls create() with its
 * tables of callbacks, image_pull() for each pull, and destroy(). This header compiles alone, as
 * C89 and as C++.
 *
 * Rules that hold everywhere below:
 *
 *  - Every struct that crosses the border begins with its own size. Structs grow at the tail only;
 * a reader uses no member that lies beyond the struct_size it was given. IMAGE_PULL_HAS() tests a
 * member.
 *  - Arguments are borrowed for the call. Strings are NUL-terminated UTF-8; bytes carry a size.
 *  - What a callback has to say goes into the caller's struct image_pull_sink; the sink copies
 * before it returns. Nothing is freed across the border.
 *  - A callback answers with an enum image_pull_code. For any other code than IMAGE_PULL_OK it
 * should also give a text to sink->message: it becomes the error's message, unchanged.
 *  - Threads: image_pull() may run in many threads on one instance. Callbacks run on the thread
 * that called image_pull(), and none runs after it has returned, save for stage() and discard() of
 * a staging layer store and a reader's functions: these run on threads of the plugin, several at
 * once. No lock of the plugin is held during a callback. create() starts no thread: the first pull
 * does.
 *  - A callback that is NULL, or that lies beyond the table's struct_size, has the meaning written
 * beside it.
 */
#ifndef IMAGE_PULL_H
#define IMAGE_PULL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMAGE_PULL_SYMBOL "image_pull_plugin"
#define IMAGE_PULL_MAGIC 0x4c505049u /* "IPPL", little-endian */
#define IMAGE_PULL_ABI_MAJOR 1
#define IMAGE_PULL_ABI_MINOR 2

/* True if the struct that p points to is large enough to have member m. */
#define IMAGE_PULL_HAS(p, type, m) ((p)->struct_size >= offsetof(type, m) + sizeof(((type *)0)->m))

/* ---- codes, levels, classes
 * --------------------------------------------------------------------------- */

/* What a callback of the engine answers. The code decides the class of the error that the pull ends
 * with. */
enum image_pull_code {
	IMAGE_PULL_OK = 0,
	IMAGE_PULL_FAILED = 1,    /* any other failure; the error has no class */
	IMAGE_PULL_NOT_FOUND = 2, /* the reference, image, layer or key does not exist */
	IMAGE_PULL_CONFLICT = 3,  /* e.g. "Cannot overwrite digest ..." */
	IMAGE_PULL_INVALID = 4,
	IMAGE_PULL_FORBIDDEN = 5,
	IMAGE_PULL_UNAUTHORIZED = 6,
	IMAGE_PULL_UNAVAILABLE = 7,
	IMAGE_PULL_CANCELLED = 8,
	IMAGE_PULL_NO_SPACE = 9, /* no space, quota or descriptors left: never retried */
	IMAGE_PULL_NO_MEMORY = 10
};

enum image_pull_log_level {
	IMAGE_PULL_LOG_ERROR = 0,
	IMAGE_PULL_LOG_WARNING = 1,
	IMAGE_PULL_LOG_INFO = 2,
	IMAGE_PULL_LOG_DEBUG = 3
};

/* The class of an error, as Docker's errdefs has them. A cancelled pull is UNKNOWN, with its flag
 * set. */
enum image_pull_class {
	IMAGE_PULL_CLASS_NONE = 0,
	IMAGE_PULL_CLASS_NOT_FOUND = 1,
	IMAGE_PULL_CLASS_INVALID_PARAMETER = 2,
	IMAGE_PULL_CLASS_CONFLICT = 3,
	IMAGE_PULL_CLASS_UNAUTHORIZED = 4,
	IMAGE_PULL_CLASS_UNAVAILABLE = 5,
	IMAGE_PULL_CLASS_FORBIDDEN = 6,
	IMAGE_PULL_CLASS_SYSTEM = 7,
	IMAGE_PULL_CLASS_NOT_MODIFIED = 8,
	IMAGE_PULL_CLASS_NOT_IMPLEMENTED = 9,
	IMAGE_PULL_CLASS_UNKNOWN = 10,
	IMAGE_PULL_CLASS_CANCELLED = 11,
	IMAGE_PULL_CLASS_DEADLINE = 12,
	IMAGE_PULL_CLASS_DATA_LOSS = 13
};

/* Where a pull ended. */
enum image_pull_phase {
	IMAGE_PULL_PHASE_NONE = 0,
	IMAGE_PULL_PHASE_RESOLVE = 1, /* reference, endpoints */
	IMAGE_PULL_PHASE_PING = 2,
	IMAGE_PULL_PHASE_TAGS = 3,
	IMAGE_PULL_PHASE_MANIFEST = 4,
	IMAGE_PULL_PHASE_CONFIG = 5,
	IMAGE_PULL_PHASE_LAYER = 6,    /* download and verification */
	IMAGE_PULL_PHASE_REGISTER = 7, /* the engine's layer store */
	IMAGE_PULL_PHASE_STORE = 8     /* the engine's image, reference or metadata store */
};

/* ---- how results and failures come back
 * ---------------------------------------------------------------- */

struct image_pull_sink {
	size_t struct_size;
	void *receiver;
	/* Hand over one result: size bytes at data. Which results a callback gives is written
	 * beside it; a text is given without its NUL, a struct with size = its struct_size. Returns
	 * IMAGE_PULL_OK, or IMAGE_PULL_NO_MEMORY: then stop and return that. */
	int (*value)(void *receiver, const void *data, size_t size);
	/* Hand over the text of a failure. */
	void (*message)(void *receiver, const char *text);
};

/* ---- the registry service
 * ------------------------------------------------------------------------------ */

/* Docker: registry.RepositoryInfo. */
struct image_pull_repository_info {
	size_t struct_size;
	const char *name;       /* canonical: "docker.io/library/busybox" */
	const char *index_name; /* "docker.io", "host:5000" */
	int index_official;
	int index_secure;
	int official;           /* a library/ image of Docker Hub */
	const char *class_name; /* "" or "plugin": goes into the token's scope */
};

/* Fixed for good: it stands in arrays. */
struct image_pull_certificate {
	const void *cert; /* PEM, the chain */
	size_t cert_size;
	const void *key; /* PEM */
	size_t key_size;
};

/* Docker: APIEndpoint.TLSConfig. */
struct image_pull_tls {
	size_t struct_size;
	int insecure_skip_verify;
	const void *ca; /* PEM certificates trusted besides the system's; NULL for none */
	size_t ca_size;
	const struct image_pull_certificate *certificates; /* client certificates */
	size_t ncertificates;
};

/* Docker: types.AuthConfig. NULL members are "". */
struct image_pull_auth {
	size_t struct_size;
	const char *username;
	const char *password;
	const char *identity_token;
	const char *registry_token;
};

/* The credentials of the request are not for this endpoint: those in its member auth are. */
#define IMAGE_PULL_ENDPOINT_OWN_AUTH 1u
/* Once this endpoint, or where it leads to, cannot be connected, nothing more is asked of it in
 * this pull, and no request that failed so is tried again; after a time-out, neither is the next
 * endpoint asked if it has the same host. */
#define IMAGE_PULL_ENDPOINT_ONCE 2u

/* Docker: registry.APIEndpoint. */
struct image_pull_endpoint {
	size_t struct_size;
	const char *url; /* scheme://host[:port][/path] */
	int version;     /* 2; 1 is refused with Docker's words */
	int mirror;
	int official;
	int trim_hostname; /* ask for the repository's path rather than its full name */
	int allow_nondistributable_artifacts;
	const struct image_pull_tls *tls; /* NULL: the system's roots, verified */
	/* Since ABI 1.1. A plugin that is older does not see these: give them from
	 * lookup_reference_endpoints only, which it does not call. */
	uint32_t flags;              /* IMAGE_PULL_ENDPOINT_... */
	uint32_t connect_timeout_ms; /* 0: as the limits have it */
	const char *repository; /* its path at this endpoint ("cache/library/busybox"); NULL: as
				   trim_hostname says */
	const char *ns; /* sent with every request to this endpoint as the query parameter ns; NULL:
			   none */
	const struct image_pull_auth *auth; /* with OWN_AUTH; NULL: anonymous */
};

struct image_pull_registry_service {
	size_t struct_size;
	void *context;
	/* reference: canonical. One value: a struct image_pull_repository_info. Required. */
	int (*resolve_repository)(
		void *context, const char *reference, const struct image_pull_sink *sink);
	/* hostname: the reference's domain. One value for each endpoint, a struct
	 * image_pull_endpoint, in the order in which they are to be tried. Required. */
	int (*lookup_pull_endpoints)(
		void *context, const char *hostname, const struct image_pull_sink *sink);
	/* Since ABI 1.1. The same for one reference, canonical, with its tag or digest, or neither
	 * where all tags are pulled. NULL: lookup_pull_endpoints is asked. */
	int (*lookup_reference_endpoints)(
		void *context, const char *reference, const struct image_pull_sink *sink);
};

/* ---- the stores
 * ---------------------------------------------------------------------------------------- */

/* Docker: reference.Store. The whole table may be absent: then nothing is tagged. References are
 * canonical. */
struct image_pull_reference_store {
	size_t struct_size;
	void *context;
	/* One value: the image ID ("sha256:..."); IMAGE_PULL_NOT_FOUND if there is none. */
	int (*get)(void *context, const char *reference, const struct image_pull_sink *sink);
	int (*add_tag)(void *context, const char *reference, const char *image_id, int force,
		const struct image_pull_sink *sink);
	int (*add_digest)(void *context, const char *reference, const char *image_id, int force,
		const struct image_pull_sink *sink);
};

struct image_pull_platform {
	size_t struct_size;
	const char *os;
	const char *architecture;
	const char *variant;
	const char *os_version;
};

/* Docker: distribution.ImageConfigStore. */
struct image_pull_image_store {
	size_t struct_size;
	void *context;
	/* Keep an image's configuration. One value: its ID, "sha256:" and the digest of these
	 * bytes. */
	int (*put)(
		void *context, const void *config, size_t size, const struct image_pull_sink *sink);
	/* One value: the configuration's bytes; IMAGE_PULL_NOT_FOUND if there is none. */
	int (*get)(void *context, const char *image_id, const struct image_pull_sink *sink);
	/* Values: the root file system's type, then each diff ID; no value at all if the
	 * configuration has no rootfs. NULL: the plugin reads the configuration as Docker does. */
	int (*rootfs_from_config)(
		void *context, const void *config, size_t size, const struct image_pull_sink *sink);
	/* One value: a struct image_pull_platform. NULL: as above. */
	int (*platform_from_config)(
		void *context, const void *config, size_t size, const struct image_pull_sink *sink);
};

/* Room for any digest: "sha512:", 128 digits, NUL. */
#define IMAGE_PULL_DIGEST_SIZE 136

/* A stream of uncompressed tar, or of a blob's own bytes (ENCODED below). Owned by the plugin,
 * valid during the call that it is given to. */
struct image_pull_reader {
	size_t struct_size;
	void *context;
	/* Up to size bytes into buf. Returns how many (> 0), 0 at the end of a stream that is
	 * proven to be whole (the blob's digest matched), -1 when the stream failed: then return
	 * any code but OK; the plugin knows the reason already. */
	int64_t (*read)(void *context, void *buf, size_t size);
	/* Sleep up to that many milliseconds, for a store that waits for something else. Returns 0,
	 * or -1 when the pull was cancelled meanwhile: then give up. */
	int (*wait)(void *context, unsigned milliseconds);
	/* Once read has answered 0: the diff ID, NUL-terminated, into id (IMAGE_PULL_DIGEST_SIZE
	 * bytes). Returns 0, or -1 where the end was not reached. NULL: a store that needs the diff
	 * ID before commit hashes for itself. */
	int (*diff_id)(void *context, char *id);
	/* read without a copy: *data points to the next bytes, valid until the next call of read or
	 * next. Answers as read, and may be mixed with it. Never NULL in this version. */
	int64_t (*next)(void *context, const void **data);
	/* Since ABI 1.2, for IMAGE_PULL_LAYER_STORE_ENCODED: how many bytes of tar the store may
	 * make of these; 0: any number. Past that it answers IMAGE_PULL_NO_SPACE. */
	uint64_t max_unpacked;
	/* Since ABI 1.2, bounds.max_layer_entries: how many entries of its tar the store may
	 * unpack, with the folders that it makes for them and that have no entry; 0: any number.
	 * Past that it answers IMAGE_PULL_NO_SPACE. */
	uint64_t max_entries;
};

/* Docker: distribution.Descriptor. */
struct image_pull_descriptor {
	size_t struct_size;
	const char *media_type;
	const char *digest; /* of the blob, as the registry has it (compressed) */
	int64_t size;       /* of the blob; -1: the manifest does not say */
};

/* The layer store is of the staging kind: stage, commit, discard; else of the plain kind:
 * register_layer. */
#define IMAGE_PULL_LAYER_STORE_STAGING 1u
/* Since ABI 1.2, with STAGING: stage gets the blob as the registry has it, compressed in whatever
 * way its first bytes tell, and decodes it itself, for instance in a process of its own. The bytes
 * are verified as ever: 0 comes only once the blob's digest has matched, and a digest that is wrong
 * counts for more than what stage says of the bytes. The reader's diff_id is NULL, and stage always
 * gives one value: the diff ID. IMAGE_PULL_INVALID from stage: the blob does not begin as its
 * encoding does (Docker: "could not get decompression stream"). A plugin that is older refuses the
 * engine: look at abi_minor. */
#define IMAGE_PULL_LAYER_STORE_ENCODED 2u

struct image_pull_layer_store {
	size_t struct_size;
	void *context;
	uint32_t flags;
	/* Is there a layer with this chain ID? OK takes a hold on it. NULL: there is none. */
	int (*get)(void *context, const char *chain_id, const struct image_pull_sink *sink);
	/* Give back one hold that get, register_layer or commit took. NULL: holds are not counted.
	 */
	void (*release)(void *context, const char *chain_id);

	/* Plain: unpack the tar on top of the layer parent ("" for the bottom) and take a hold on
	 * the new layer. Bottom-up. One value: the diff ID ("sha256:" of the tar's bytes up to its
	 * end). The chain ID follows from it. If that layer is there already, take a hold and
	 * answer OK. */
	int (*register_layer)(void *context, const struct image_pull_reader *reader,
		const char *parent, const struct image_pull_descriptor *descriptor,
		const struct image_pull_sink *sink);

	/* Staging: unpack the tar where nothing refers to it yet. Runs on a thread of the plugin;
	 * no byte is asked of the registry before the first read. *handle is the engine's. A store
	 * that has this blob's data already, verified by its digest, may answer without reading to
	 * the end: then it gives one value, the diff ID. */
	int (*stage)(void *context, const struct image_pull_reader *reader,
		const struct image_pull_descriptor *descriptor, void **handle,
		const struct image_pull_sink *sink);
	/* Make the staged data the layer diff_id on top of parent ("" for the bottom) and take a
	 * hold on it. Bottom-up; may be called several times with one handle, for different parents
	 * and by several pulls. */
	int (*commit)(void *context, void *handle, const char *parent, const char *diff_id,
		const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink);
	/* The handle is not used any more: committed or not, it ends here. Never fails. */
	void (*discard)(void *context, void *handle);
};

/* Docker: metadata.Store, a small key-value store. May be absent: then nothing is remembered of
 * where layers came from, and a layer that is there already is recognised only if its image is. */
struct image_pull_metadata_store {
	size_t struct_size;
	void *context;
	/* One value: the bytes. NOT_FOUND if there is none. key: "sha256/<hex>". */
	int (*get)(void *context, const char *name_space, const char *key,
		const struct image_pull_sink *sink);
	int (*set)(void *context, const char *name_space, const char *key, const void *value,
		size_t size, const struct image_pull_sink *sink);
	int (*remove)(void *context, const char *name_space, const char *key,
		const struct image_pull_sink *sink);
};

/* ---- what a pull says
 * ---------------------------------------------------------------------------------- */

/* Docker: progress.Progress. Either a message, or an action with its counts. */
struct image_pull_progress {
	size_t struct_size;
	const char *id;      /* short layer ID, tag, or "" */
	const char *message; /* "" if this is an action */
	const char *action;  /* "Downloading", "Pull complete", ... */
	int64_t current;     /* bytes */
	int64_t total;       /* bytes; 0: not known */
	int last_update;     /* the last one of this action */
};

struct image_pull_summary {
	size_t struct_size;
	const char *reference;       /* canonical, what was pulled */
	const char *image_id;        /* digest of the configuration */
	const char *manifest_digest; /* digest of the manifest or list that the reference names */
	int updated;                 /* 0: the reference pointed to this image already */
};

enum image_pull_planned_kind {
	IMAGE_PULL_PLANNED_MANIFEST = 0,
	IMAGE_PULL_PLANNED_CONFIG = 1,
	IMAGE_PULL_PLANNED_LAYER = 2
};

/* A part of an image, as a request with plan tells it. */
struct image_pull_planned {
	size_t struct_size;
	const char *reference; /* canonical: the image's, with the tag it was found under */
	int kind;              /* enum image_pull_planned_kind */
	const struct image_pull_descriptor *descriptor; /* media_type "" where it is not said */
	int present; /* nothing of it would be fetched: the engine has it, or the image twice */
};

/* In each of these, pull is the request's cookie. Any of them may be NULL: then nobody is told. */
struct image_pull_events {
	size_t struct_size;
	void *context;
	void (*progress)(void *context, void *pull, const struct image_pull_progress *progress);
	/* Docker: ImageEventLogger(id, name, action); action is "pull". */
	void (*image_event)(
		void *context, void *pull, const char *id, const char *name, const char *action);
	/* One call for each image that was pulled or found up to date. */
	void (*pulled)(void *context, void *pull, const struct image_pull_summary *summary);
	void (*log)(void *context, void *pull, int level, const char *message);
	/* Asked at least every 100 ms: non-zero cancels the pull. */
	int (*cancelled)(void *context, void *pull);
	/* Since ABI 1.1, for requests with plan: manifest, configuration (schema 1 has none) and
	 * layers from the bottom up of each image. */
	void (*planned)(void *context, void *pull, const struct image_pull_planned *planned);
};

/* ---- creating an instance
 * ------------------------------------------------------------------------------ */

/* 0 in any member means its default. */
struct image_pull_limits {
	size_t struct_size;
	uint32_t max_concurrent_downloads; /* blobs in flight, of all pulls of the instance; default
					      3 */
	uint32_t max_download_attempts;    /* of one layer; default 5 */
	uint64_t max_layer_size;           /* unpacked bytes of one layer; default: no limit */
	uint32_t connect_timeout_ms;       /* default 30000 */
	uint32_t stall_timeout_ms;         /* no byte for so long fails a request; default: none */
	uint32_t pull_timeout_ms;          /* a whole pull; default: none */
};

/* 429 and 503 are not the end: the request is sent again, after the time that the answer's
 * Retry-After gives, else after one that doubles each time, with jitter. */
#define IMAGE_PULL_NETWORK_RETRY_AFTER 1u
/* A tag is asked for by HEAD first; if the reference store has this digest and the image already,
 * nothing else is asked. */
#define IMAGE_PULL_NETWORK_HEAD_FIRST 2u
/* Token servers at link-local and metadata addresses are asked as any other. */
#define IMAGE_PULL_NETWORK_LINK_LOCAL_REALMS 4u

/* Since ABI 1.1. How the plugin behaves under strain where it is to be otherwise than the original.
 * 0 in any member: as the original. */
struct image_pull_network {
	size_t struct_size;
	uint32_t flags;             /* IMAGE_PULL_NETWORK_... */
	uint32_t max_retries;       /* RETRY_AFTER: of one request; 0: 5 */
	uint32_t max_retry_wait_ms; /* an answer that asks for more is the end; 0: 60000 */
	uint32_t retry_backoff_ms;  /* the first wait where the answer names none; 0: 1000 */
	uint32_t tls_timeout_ms;    /* of a TLS handshake; 0: 10000 */
	uint32_t header_timeout_ms; /* from a request to its answer's header; 0: none */
	/* A layer that comes slower than min_speed bytes a second, for min_speed_ms (0: 10000), is
	 * asked for anew, from where it had come to. Time in which the plugin itself did not read
	 * does not count. */
	uint32_t min_speed_ms;
	uint64_t min_speed;
	uint64_t max_speed; /* bytes a second of all blobs of the instance together */
};

/* Since ABI 1.2. What else an instance has not more of, all its life. 0 in any member: no bound. */
struct image_pull_bounds {
	size_t struct_size;
	/* Entries of one layer. A layer store counts them (image_pull_reader.max_entries). */
	uint64_t max_layer_entries;
	/* Bytes of the buffers between the network and the layer store, of all layers on their way
	 * together: 1 MiB each where there is no bound, less and, at 256 KiB each, in their turn
	 * where they would have more. Less than 256 KiB counts as that. Decoders have memory of
	 * their own besides. */
	uint64_t max_buffer_memory;
	/* Connections at once, those that are kept open for the next request too. Requests wait for
	 * their turn, which no time-out counts. A connection that is kept for another TLS
	 * identity's next request may exceed max_connections. */
	uint32_t max_connections;
	uint32_t max_connections_per_host;
};

struct image_pull_options {
	size_t struct_size;
	/* The header User-Agent; NULL: "towline/VERSION". */
	const char *user_agent;
	/* A file of PEM certificates in place of the system's roots; NULL: the system's. */
	const char *ca_bundle;
	/* Length of one tick of "Retrying in N seconds", in ms; 0: 1000. */
	uint32_t retry_tick_ms;
	/* Name resolution in place of the system's: one value for each address (a text), NOT_FOUND:
	 * no such host. Runs on threads of the plugin. NULL: getaddrinfo. */
	int (*resolve)(void *context, const char *host, const struct image_pull_sink *sink);
	void *resolve_context;
	/* Proxies, as in the environment's variables of these names; NULL: the environment's, read
	 * by create;
	 * "": none. */
	const char *http_proxy;
	const char *https_proxy;
	const char *all_proxy;
	const char *no_proxy;
	/* Where blobs are spooled for a plain layer store; NULL: $TMPDIR or /tmp. */
	const char *temp_dir;
	/* What the machine is, in Go's words; NULL: as compiled ("linux", "amd64"). */
	const char *runtime_os;
	const char *runtime_architecture;
	const struct image_pull_limits *limits;   /* NULL: the defaults */
	const struct image_pull_network *network; /* since ABI 1.1; NULL: as the original */
	/* Since ABI 1.1. A folder in which blobs are kept while they are on the way, so that a
	 * later pull, of this or another process, goes on where this one has ended. It has to be
	 * there, and the engine's user's alone. NULL: what was on the way is fetched again. */
	const char *partial_dir;
	uint64_t partial_quota;   /* bytes of it; the oldest blobs make room; 0: no limit */
	uint32_t partial_max_age; /* seconds since a blob's last byte; 0: no limit */
	const struct image_pull_bounds *bounds; /* since ABI 1.2; NULL: none */
};

/* What the engine offers. The tables are copied by create; their contexts must outlive the
 * instance. */
struct image_pull_engine {
	size_t struct_size;
	const struct image_pull_registry_service *registry_service; /* required */
	const struct image_pull_reference_store *reference_store;   /* may be NULL */
	const struct image_pull_image_store *image_store;           /* required */
	const struct image_pull_layer_store *layer_store;           /* required */
	const struct image_pull_metadata_store *metadata_store;     /* may be NULL */
	const struct image_pull_events *events;                     /* may be NULL */
	const struct image_pull_options *options;                   /* may be NULL */
};

/* ---- a pull
 * -------------------------------------------------------------------------------------------- */

/* Fixed for good: it stands in arrays. */
struct image_pull_header {
	const char *name;
	const char *value;
};

/* Docker: ImagePullConfig, with the reference. */
struct image_pull_request {
	size_t struct_size;
	/* As a user writes it or canonical. A name without tag and digest pulls all its tags. */
	const char *reference;
	/* The cookie: handed to the events; names the pull to cancel(). */
	void *pull;
	const struct image_pull_platform *platform;   /* NULL: the machine's */
	const struct image_pull_auth *auth;           /* NULL: anonymous */
	const struct image_pull_header *meta_headers; /* sent with each request to the registry */
	size_t nmeta_headers;
	int require_schema2;
	/* Allowed types of schema2 configurations; NULL: those of images. */
	const char *const *schema2_types;
	size_t nschema2_types;
	/* Since ABI 1.1 (an older plugin pulls: look at abi_minor). 1: fetch manifests only, tell
	 * events.planned what a pull would fetch besides, and store nothing. A staging layer store
	 * is asked on the pull's thread for what it has, by stage() with a reader that fails. */
	int plan;
};

/* ---- a login, since ABI 1.1 */

struct image_pull_login {
	size_t struct_size;
	/* The registry, HOST[:PORT], as lookup_pull_endpoints takes it. Docker Hub: "docker.io". */
	const char *hostname;
	/* The cookie, as a request's: names the login to cancel(), is handed to log and cancelled.
	 */
	void *pull;
	const struct image_pull_auth *auth;
};

/* ---- errors
 * -------------------------------------------------------------------------------------------- */

/* Immutable; may be read by any thread, and is freed by error_free. */
struct image_pull_error;

struct image_pull_attempt {
	size_t struct_size;
	const char *endpoint;
	const char *message;
};

/* What an error says. Texts are never NULL and live as long as the error. */
struct image_pull_error_info {
	size_t struct_size;
	const char *message;       /* Docker's text */
	int error_class;           /* enum image_pull_class */
	int cancelled;             /* the pull was cancelled */
	int phase;                 /* enum image_pull_phase */
	const char *endpoint;      /* the URL of the endpoint that decided; "" if none */
	int http_status;           /* 0: none */
	const char *registry_code; /* "MANIFEST_UNKNOWN", ...; "" if none */
	const struct image_pull_attempt *const
		*attempts; /* every endpoint that was tried, in order */
	size_t nattempts;
	/* Since ABI 1.1: what the endpoint said of its limits last, as it wrote it ("100;w=21600",
	 * "0;w=21600"); "" if nothing. */
	const char *rate_limit;
	const char *rate_limit_remaining;
	int64_t retry_after; /* seconds; 0: it did not say */
};

/* ---- the plugin
 * ---------------------------------------------------------------------------------------- */

struct image_pull_instance;

/* The one exported symbol. Functions that can fail return 0, or -1 with *error set (error may be
 * NULL). */
struct image_pull_plugin {
	uint32_t magic;
	uint16_t abi_major;
	uint16_t abi_minor;
	size_t struct_size;
	const char *name;
	const char *version;
	/* Starts no thread, opens nothing. */
	int (*create)(const struct image_pull_engine *engine, struct image_pull_instance **instance,
		struct image_pull_error **error);
	/* The hook. Blocks until the pull has ended; any thread. */
	int (*image_pull)(struct image_pull_instance *instance,
		const struct image_pull_request *request, struct image_pull_error **error);
	/* Cancel the running pulls with this cookie (NULL: all). Any thread, but no signal handler:
	 * there, set what events->cancelled reads. Returns how many. */
	int (*cancel)(struct image_pull_instance *instance, const void *pull);
	void (*set_limits)(
		struct image_pull_instance *instance, const struct image_pull_limits *limits);
	/* No pull may be running. Joins the instance's threads. NULL is allowed. */
	void (*destroy)(struct image_pull_instance *instance);
	const struct image_pull_error_info *(*error_info)(const struct image_pull_error *error);
	void (*error_free)(struct image_pull_error *error); /* NULL is allowed */
	/* Since ABI 1.1 (test with IMAGE_PULL_HAS). Docker: registry.Service.Auth: does the
	 * registry take these credentials? Its mirrors are not asked. One value, if its token
	 * server gave an identity token, to be kept in place of the password: that token. sink may
	 * be NULL. Blocks; any thread. */
	int (*login)(struct image_pull_instance *instance, const struct image_pull_login *login,
		const struct image_pull_sink *sink, struct image_pull_error **error);
};

#ifdef __cplusplus
}
#endif

#endif
