/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up names in threads of ours, so that a slow resolver holds up nobody else. Go
 * counterpart: net.Resolver. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "registry/http_internal.h"

#define KEEP_MS 30000
#define MAX_HOSTS 64
#define MAX_ADDRESSES 32
#define STOP_WAIT_MS 250               /* for a lookup that goes on when the client ends */
#define LOOKUP_STACK_SIZE (512 * 1024) /* NSS modules of the system's run on it */

/* What a lookup found; kept for a while. */
struct cached_host {
	struct cached_host *next;
	char *host;
	char *addresses; /* "1.2.3.4,[::1]" */
	int64_t until;
};

/* A lookup under way, and who waits for it. */
struct lookup {
	struct lookup *next;
	struct resolver *resolver;
	char *host;
	struct exchange *waiting;
};

/* Nobody can interrupt the system's lookups, and one may take minutes: so this outlives the client,
 * and with it the thread that is still at it. */
struct resolver {
	int (*resolve)(void *context, const char *host, int (*add)(void *arg, const char *address),
		void *arg);
	void *resolve_context;
	pthread_mutex_t lock;   /* guards what follows, and lookup_next of exchanges */
	pthread_cond_t changed; /* nlooking or nanswering has become less */
	unsigned refs;          /* the client, each thread */
	unsigned nlooking;      /* threads that look something up */
	unsigned nanswering;    /* those that tell who waits */
	bool closed;            /* there is no client any more */
	struct lookup *lookups;
	struct cached_host *hosts;
};

bool http_is_ip(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* An address, without brackets, that a machine's own surroundings answer: among them what clouds
 * tell a machine of its secrets. */
static bool is_link_local(const char *address)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const unsigned char ec2[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
	unsigned char b[16];

	if (inet_pton(AF_INET, address, b) == 1)
		return b[0] == 169 && b[1] == 254;
	if (inet_pton(AF_INET6, address, b) != 1)
		return false;
	if (memcmp(b, mapped, sizeof(mapped)) == 0)
		return b[12] == 169 && b[13] == 254;
	return (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || memcmp(b, ec2, sizeof(ec2)) == 0;
}

/* Is one of "1.2.3.4,[::1]" such an address? */
static bool has_link_local(const char *addresses)
{
	char one[64];
	size_t size;

	for (; *addresses; addresses += size + (addresses[size] == ',')) {
		const char *start = addresses + (*addresses == '[');
		size_t length = strcspn(start, "],");

		size = strcspn(addresses, ",");
		if (length >= sizeof(one))
			continue; /* no address is so long */
		memcpy(one, start, length);
		one[length] = '\0';
		if (is_link_local(one))
			return true;
	}
	return false;
}

static struct error *refused_error(const struct exchange *x)
{
	return error_plainf("refused to ask %s: a link-local or metadata address", x->host);
}

static struct curl_slist *resolve_list(const struct exchange *x, const char *addresses)
{
	/* '+': it may be forgotten again */
	cleanup_free char *line =
		str_printf("+%s:%s:%s", x->route.dial_host, x->route.dial_port, addresses);

	return line ? curl_slist_append(NULL, line) : NULL;
}

static void answer(struct exchange *x, const char *addresses, const char *why)
{
	if (why)
		x->resolve_error = http_lookup_error(x, why);
	else if (x->no_link_local && strcmp(x->route.dial_host, x->host) == 0 &&
		 has_link_local(addresses))
		x->resolve_error = refused_error(x);
	else if (!(x->addresses = resolve_list(x, addresses)))
		x->resolve_error = &error_no_memory;
	atomic_store(&x->looking_up, false);
	http_loop_post(x, OP_SUBMIT);
}

/* ---- the cache; the lock is held */

static void cached_host_free(struct cached_host *c)
{
	free(c->host);
	free(c->addresses);
	free(c);
}

static const char *cached(struct resolver *r, const char *host)
{
	struct cached_host **p = &r->hosts;
	int64_t now = monotonic_ms();
	const char *found = NULL;

	while (*p) {
		struct cached_host *c = *p;

		if (c->until <= now) {
			*p = c->next;
			cached_host_free(c);
			continue;
		}
		if (strcmp(c->host, host) == 0)
			found = c->addresses;
		p = &c->next;
	}
	return found;
}

/* Takes over addresses. Lack of memory means only that it is looked up again. */
static void remember(struct resolver *r, const char *host, char *addresses)
{
	struct cached_host *c, **last;
	size_t n = 0;

	for (last = &r->hosts; *last; last = &(*last)->next)
		n++;
	c = n < MAX_HOSTS ? calloc(1, sizeof(*c)) : NULL;
	if (!c || !(c->host = strdup(host))) {
		free(c);
		free(addresses);
		return;
	}
	c->addresses = addresses;
	c->until = monotonic_ms() + KEEP_MS;
	*last = c;
}

/* ---- the threads */

struct found {
	struct buf text;
	size_t count;
};

static int add_address(void *arg, const char *address)
{
	struct found *found = arg;
	const char *end;

	if (!http_is_ip(address) || found->count >= MAX_ADDRESSES)
		return 0;
	end = strchr(address, ':') ? "]" : "";
	buf_appendf(
		&found->text, "%s%s%s%s", found->count ? "," : "", *end ? "[" : "", address, end);
	found->count++;
	return found->text.oom ? -1 : 0;
}

/* 0, or why not. */
static const char *system_lookup(const char *host, struct found *found)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list, *a;
	char text[NI_MAXHOST];
	int rc;

	rc = getaddrinfo(host, NULL, &hints, &list);
	if (rc == EAI_MEMORY)
		return "cannot allocate memory";
	if (rc == EAI_AGAIN)
		return "Temporary failure in name resolution";
	if (rc != 0)
		return "no such host";
	for (a = list; a; a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
			    NI_NUMERICHOST) == 0 &&
			add_address(found, text) < 0)
			break;
	}
	freeaddrinfo(list);
	return NULL;
}

/* The lock is held, and let go. */
static void resolver_unref(struct resolver *r)
{
	bool last = --r->refs == 0;

	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	while (r->hosts) {
		struct cached_host *c = r->hosts;

		r->hosts = c->next;
		cached_host_free(c);
	}
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* Nobody joins l any more. Takes over who has. */
static struct exchange *end_lookup(struct lookup *l)
{
	struct resolver *r = l->resolver;
	struct exchange *waiting;
	struct lookup **p;

	pthread_mutex_lock(&r->lock);
	for (p = &r->lookups; *p != l; p = &(*p)->next)
		;
	*p = l->next;
	waiting = l->waiting;
	r->nlooking--;
	r->nanswering++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return waiting;
}

static void *look_up(void *arg)
{
	struct lookup *l = arg;
	struct resolver *r = l->resolver;
	struct found found = {0};
	const char *why = NULL;
	struct exchange *x, *waiting;

	if (!r->resolve)
		why = system_lookup(l->host, &found);
	else if (r->resolve(r->resolve_context, l->host, add_address, &found) < 0)
		why = "no such host";
	if (!why && found.text.oom)
		why = "cannot allocate memory";
	if (!why && found.count == 0)
		why = "no such host";

	waiting = end_lookup(l);
	while ((x = waiting)) {
		waiting = x->lookup_next;
		answer(x, found.text.data, why);
		exchange_unref(x);
	}
	pthread_mutex_lock(&r->lock);
	if (!why && !r->closed)
		remember(r, l->host, buf_steal(&found.text));
	buf_free(&found.text);
	free(l->host);
	free(l);
	r->nanswering--;
	pthread_cond_broadcast(&r->changed);
	resolver_unref(r);
	return NULL;
}

/* The lock is held. */
static int start_lookup(struct exchange *x, struct error **reterr)
{
	struct resolver *r = x->client->resolver;
	struct lookup *l = calloc(1, sizeof(*l));
	pthread_t thread;

	if (!l || !(l->host = strdup(x->route.dial_host))) {
		free(l);
		return error_set(reterr, &error_no_memory);
	}
	l->resolver = r;
	l->waiting = exchange_ref(x);
	l->next = r->lookups;
	r->lookups = l;
	r->nlooking++;
	r->refs++;
	if (thread_start(&thread, LOOKUP_STACK_SIZE, look_up, l, reterr) < 0) {
		r->lookups = l->next;
		r->nlooking--;
		r->refs--;
		exchange_unref(x);
		free(l->host);
		free(l);
		return -1;
	}
	pthread_detach(thread); /* http_resolver_free waits, as long as it may */
	return 0;
}

/* A name that may stand in CURLOPT_RESOLVE's syntax and in a DNS query. */
static bool plausible(const char *host)
{
	const char *p;

	for (p = host; *p; p++) {
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
			!(*p >= '0' && *p <= '9') && !strchr("-._", *p))
			return false;
	}
	return p != host && p - host <= 255;
}

int http_resolve(struct exchange *x, struct error **reterr)
{
	struct resolver *r = x->client->resolver;
	cleanup_free char *known = NULL;
	const char *found;
	struct lookup *l;
	int rc = 0;

	if (x->no_link_local && is_link_local(x->host))
		return error_set(reterr, refused_error(x));
	if (http_is_ip(x->route.dial_host)) {
		http_loop_post(x, OP_SUBMIT);
		return 0;
	}
	if (!plausible(x->route.dial_host))
		return error_set(reterr, http_lookup_error(x, "no such host"));
	pthread_mutex_lock(&r->lock);
	found = cached(r, x->route.dial_host);
	if (found) {
		known = strdup(found);
		pthread_mutex_unlock(&r->lock);
		answer(x, known ? known : "", known ? NULL : "cannot allocate memory");
		return 0;
	}
	atomic_store(&x->looking_up, true);
	for (l = r->lookups; l && strcmp(l->host, x->route.dial_host) != 0; l = l->next)
		;
	if (l) {
		x->lookup_next = l->waiting;
		l->waiting = exchange_ref(x);
	} else {
		rc = start_lookup(x, reterr);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

struct resolver *http_resolver_new(const struct http_options *options)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (cond_init(&r->changed) < 0) {
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->resolve = options->resolve;
	r->resolve_context = options->resolve_context;
	r->refs = 1;
	return r;
}

/* The lock is held. Who still waits has given up: requests that are open keep a client alive. */
static void forsake_lookups(struct resolver *r)
{
	struct lookup *l;
	struct exchange *x;

	for (l = r->lookups; l; l = l->next) {
		while ((x = l->waiting)) {
			l->waiting = x->lookup_next;
			exchange_unref(x);
		}
	}
}

void http_resolver_free(struct resolver *r)
{
	int64_t end = monotonic_ms() + STOP_WAIT_MS, left = 0;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	/* the engine's own resolver is to be called no more, so it is waited for */
	while (r->nlooking && (r->resolve || (left = end - monotonic_ms()) > 0))
		context_wait(&CONTEXT_BACKGROUND, &r->changed, &r->lock, r->resolve ? -1 : left);
	r->closed = true;
	forsake_lookups(r);
	while (r->nanswering)
		context_wait(&CONTEXT_BACKGROUND, &r->changed, &r->lock, -1);
	resolver_unref(r);
}
