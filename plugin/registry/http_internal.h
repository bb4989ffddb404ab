/* SPDX-License-Identifier: Apache-2.0 */
/* What the http*.c files share. Go counterpart: net/http's persistConn and its neighbours. */
#ifndef REGISTRY_HTTP_INTERNAL_H
#define REGISTRY_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/context.h"
#include "base/error.h"
#include "registry/http.h"

/* The largest piece that curl hands to a write callback. */
#define HTTP_RING_MIN (4 * CURL_MAX_WRITE_SIZE)
#define HTTP_RING_DEFAULT (64 * 1024)
#define HTTP_RING_MAX (16 * 1024 * 1024)
#define HTTP_HEADER_LIMIT (10 << 20) /* Go's Transport.MaxResponseHeaderBytes */
#define HTTP_TLS_HANDSHAKE_TIMEOUT_MS 10000
#define HTTP_STACK_SIZE (256 * 1024)

/* ---- proxies (http_proxy.c) */

struct http_proxies {
	char *http, *https, *all, *no;
};
/* How to get to a host. Zeroed: directly. */
struct http_route {
	char *proxy;     /* CURLOPT_PROXY; NULL: none */
	char *pre_proxy; /* CURLOPT_PRE_PROXY: SOCKS; NULL: none */
	char *dial_host; /* the host that is connected to, and so looked up */
	char *dial_port;
	bool socks; /* dial_host is a SOCKS proxy */
};
int http_proxies_init(
	struct http_proxies *p, const struct http_options *options, struct error **reterr);
void http_proxies_free(struct http_proxies *p);
/* ProxyFromEnvironment and DialerFromEnvironment for one URL's scheme, host (no brackets) and
 * port. */
int http_route_choose(const struct http_proxies *p, const char *scheme, const char *host,
	const char *port, struct http_route *ret, struct error **reterr);
void http_route_free(struct http_route *r);

/* ---- one request (http.c) */

/* What the loop is asked to do with an exchange. */
enum exchange_op { OP_SUBMIT = 1, OP_UNPAUSE = 2, OP_ABORT = 4 };

struct pool;

/* A request and its response. Two sides hold a reference: the loop and the user. */
struct exchange {
	struct http_response response; /* first: what the user sees */
	atomic_uint refs;
	struct http_client *client;

	/* constant once it is submitted */
	char *host, *port; /* of the URL; host without brackets */
	bool https, blob, asked_gzip, is_head, no_link_local;
	struct http_tls *tls;
	struct http_route route;
	struct curl_slist *headers;
	void *body;
	size_t ring_size;
	int64_t deadline; /* monotonic ms, 0: none */
	uint32_t connect_timeout_ms;

	atomic_bool looking_up; /* a name, since the request was made */
	/* set by the resolving side before OP_SUBMIT */
	struct curl_slist *addresses; /* for CURLOPT_RESOLVE */
	struct error *resolve_error;

	/* the client's lock: the queue to the loop */
	unsigned ops;
	struct exchange *queue_next;
	struct exchange *lookup_next; /* the resolver's lock */

	/* the loop's alone */
	CURL *easy;
	struct pool *pool;
	struct exchange *prev, *next; /* in the pool, or in the client's waiting */
	int64_t waiting_since;        /* for its turn; 0: it does not */
	int64_t waited_ms;            /* so long */
	char curl_text[CURL_ERROR_SIZE];
	int fd;                   /* opened last for this exchange; -1: a kept one was used */
	char dialled[80];         /* the first address dialled, "1.2.3.4:443" */
	unsigned char first[512]; /* the first bytes of a new connection's other side */
	size_t nfirst;
	bool peeked;
	int socket_errno;  /* why the last socket could not be had; 0: it could */
	bool rest_is_http; /* what TLS left unread belongs to a status line */
	int peek_errno;
	bool aborted, hooked, got_status, in_body;
	unsigned informational;
	size_t header_bytes;
	struct buf junk; /* an answer that is no HTTP */
	int64_t started, last_data, paused_since;
	int64_t connected_at; /* when fd was seen to be connected; 0: not yet */
	int64_t requested_at; /* when the request went out; 0: not yet */
	uint64_t body_bytes;
	/* where the time in which the speed is measured began; 0: not yet */
	int64_t speed_since, speed_paused_ms;
	uint64_t speed_bytes;
	bool own_connection; /* not one of those that are open */
	struct error *fault; /* why a callback of ours gave up */
	bool wake;           /* the reader is to be told after this turn of the loop */
	size_t turn_bytes;   /* that came in this turn */

	/* the lock: */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool requested; /* the request goes out */
	bool have_header;
	struct error *error; /* valid once done */
	atomic_bool done;

	/* the ring: one writer (the loop), one reader; head and tail only grow */
	unsigned char *ring;
	_Atomic size_t head, tail;
	atomic_bool reader_waits, paused;
	atomic_llong was_paused_ms; /* how long the connection was held back, all told */

	/* the reader's alone */
	struct http_gunzip *gunzip;
	bool decode, finished;
	struct error *read_error;
};

struct exchange *exchange_ref(struct exchange *x);
void exchange_unref(struct exchange *x);
void exchange_wake(struct exchange *x);
static inline size_t ring_used(const struct exchange *x)
{
	return atomic_load(&x->head) - atomic_load(&x->tail);
}

/* What curl reads at once: what does not fit into the ring it has to copy once more. */
static inline size_t http_buffer_size(const struct exchange *x)
{
	size_t size = x->ring_size / 2;

	if (!x->blob || size < CURL_MAX_WRITE_SIZE)
		return CURL_MAX_WRITE_SIZE;
	return size < 128 * 1024 ? size : 128 * 1024;
}

/* ---- the client and its loop (http_loop.c) */

struct resolver;

struct http_client {
	char *user_agent, *ca_bundle;
	struct resolver *resolver;
	struct http_proxies proxies;
	_Atomic uint32_t connect_timeout_ms, stall_timeout_ms;
	_Atomic uint32_t connect_ms; /* http_client_connect_ms */
	struct http_policy policy;
	uint32_t max_connections, max_host_connections; /* 0: no limit */

	pthread_mutex_t lock;  /* guards down to the blank line */
	int64_t speed_next_us; /* when the next bytes are due under max_speed */
	bool running, stopping;
	pthread_t thread;
	struct exchange *queue, **queue_tail;

	int event_fd, epoll_fd; /* -1 before the loop runs */
	/* the loop's alone */
	struct pool *pools;
	uint32_t last_pool;
	struct exchange *waiting, **waiting_tail; /* http_gate.c */
	int64_t next_check;
	struct trust *trust;
};

/* ---- speed (http_policy.c) */

void http_policy_init(struct http_policy *p, const struct http_policy *given);
/* How much of size is to be read at once. */
size_t http_speed_slice(const struct http_client *client, size_t size);
/* Wait until n bytes that were read are due. -1: cancelled. */
int http_speed_wait(struct http_client *client, const struct context *ctx, size_t n);
/* The loop's thread: &err_too_slow, or NULL. */
struct error *http_too_slow(struct exchange *x, int64_t now);

/* Start the loop unless it runs. */
int http_loop_start(struct http_client *client, struct error **reterr);
void http_loop_stop(struct http_client *client);
/* Ask the loop for something. The loop holds a reference from OP_SUBMIT until the exchange is done.
 */
void http_loop_post(struct exchange *x, unsigned ops);

/* The connections of one TLS identity: a curl multi handle of its own, so that none is ever used
 * for another identity. */
struct pool {
	struct pool *next;
	uint32_t id; /* > 0, never used twice */
	struct http_client *client;
	struct http_tls *tls; /* NULL: the default */
	CURLM *multi;
	struct exchange *active;
	int64_t timer_at, idle_since; /* -1: none */
	uint32_t nsockets;            /* that are open */
	int cert_fd, key_fd;          /* the client certificate, in memory files; -1 */
	struct verified *verified;
};

void http_loop_free_pool(struct pool *pool);

/* ---- how many connections there may be (http_gate.c); the loop's thread */

/* Has x to wait for its turn? Then it is in the client's waiting from now on. */
bool http_gate_wait(struct exchange *x);
/* x, which waits, will not go out. */
void http_gate_leave(struct exchange *x);
/* The first of those who wait that may go out now, taken out; NULL: none. */
struct exchange *http_gate_next(struct http_client *client);
/* Before x goes out in its pool: make libcurl close idle connections rather than open too many. */
void http_gate_pass(struct exchange *x);

/* ---- a curl handle for an exchange (http_easy.c) */

int http_easy_setup(struct exchange *x, const struct http_request *request, struct error **reterr);
/* Take what the loop gives before the transfer starts. */
int http_easy_attach(struct exchange *x);
/* A socket of this pool is about to be closed. */
void http_loop_closing(struct pool *pool, int fd);

/* ---- names (http_dns.c) */

/* Find addresses for x->route.dial_host, then post OP_SUBMIT. */
int http_resolve(struct exchange *x, struct error **reterr);
struct resolver *http_resolver_new(const struct http_options *options); /* NULL: no memory */
/* No request may be open. A lookup of the system's that goes on is waited for, but not long: its
 * thread then ends by itself. NULL is allowed. */
void http_resolver_free(struct resolver *r);
bool http_is_ip(const char *host);

/* ---- TLS (http_tls.c) */

bool http_tls_equal(const struct http_tls *a, const struct http_tls *b);
int http_tls_prepare_pool(struct pool *pool);
void http_tls_release_pool(struct pool *pool);
/* Verify the peer of the session that x's handle has (http_x509.c). Go: verifyServerCertificate. */
int http_tls_verify(struct exchange *x, struct error **reterr);
static inline bool http_needs_verification(const struct exchange *x)
{
	return x->https && !(x->tls && x->tls->insecure_skip_verify);
}
/* Once there is a session: have its handshake verified before it is finished, and offer all client
 * certificates. http_tls_verify decides in any case. */
void http_tls_hook(struct exchange *x);
/* The handshake is over, and the connection may outlive x. */
void http_tls_unhook(struct exchange *x);
static inline bool http_needs_hook(const struct exchange *x)
{
	return http_needs_verification(x) || (x->https && x->tls && x->tls->ncertificates > 1);
}
/* Does the certificate hold for this host? Go: Certificate.VerifyHostname. */
struct gnutls_x509_crt_int;
int http_verify_hostname(struct gnutls_x509_crt_int *crt, const char *host, struct error **reterr);

/* ---- whom to trust (http_trust.c) */

struct http_name {
	const void *data; /* DER of a distinguished name */
	size_t size;
};
/* Which of the system's CA certificates are there, and where. The loop's thread only. */
struct trust *http_trust_new(const char *ca_bundle); /* "": the system's; NULL: no memory */
void http_trust_free(struct trust *trust);
/* Call add(arg, der, size) for each certificate whose subject is one of names: of the system's
 * bundle, and of pem. The system's folders are looked at only if with_folders. -1: no memory, or
 * what add said. A bundle that cannot be read trusts nobody. */
int http_trust_find(struct trust *trust, const void *pem, size_t pem_size,
	const struct http_name *names, size_t n, bool with_folders,
	int (*add)(void *arg, const void *der, size_t size), void *arg);
/* The subject's name in a DER certificate. */
bool http_der_subject(const void *der, size_t size, struct http_name *ret);

/* ---- the wording of failures (http_errors.c) */

/* What Go would say of x's transfer that ended with this code. Never NULL. */
struct error *http_error(struct exchange *x, CURLcode code);
struct error *http_dial_error(const struct exchange *x, struct error *cause);
struct error *http_lookup_error(const struct exchange *x, const char *why);
/* Whether a status line is one; NULL, or the error. */
struct error *http_check_status_line(const char *line, size_t size);
struct error *http_broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- bodies that are compressed on the way (http_gunzip.c) */

struct http_gunzip;
/* compress/gzip's Reader over read(). */
struct http_gunzip *http_gunzip_new(void);
void http_gunzip_free(struct http_gunzip *g);
typedef ssize_t (*http_gunzip_source)(void *arg, void *buf, size_t size, struct error **reterr);
ssize_t http_gunzip_read(struct http_gunzip *g, http_gunzip_source read, void *arg, void *buf,
	size_t size, struct error **reterr);

#endif
