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
	struct http_client *client;
	char *host;
	struct exchange *waiting;
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

/* ---- the cache; the client's lock is held */

static void cached_host_free(struct cached_host *c)
{
	free(c->host);
	free(c->addresses);
	free(c);
}

static const char *cached(struct http_client *client, const char *host)
{
	struct cached_host **p = &client->hosts;
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
static void remember(struct http_client *client, const char *host, char *addresses)
{
	struct cached_host *c, **last;
	size_t n = 0;

	for (last = &client->hosts; *last; last = &(*last)->next)
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

static void *look_up(void *arg)
{
	struct lookup *l = arg, **p;
	struct http_client *client = l->client;
	struct found found = {0};
	const char *why = NULL;
	struct exchange *x;

	if (!client->resolve)
		why = system_lookup(l->host, &found);
	else if (client->resolve(client->resolve_context, l->host, add_address, &found) < 0)
		why = "no such host";
	if (!why && found.text.oom)
		why = "cannot allocate memory";
	if (!why && found.count == 0)
		why = "no such host";

	pthread_mutex_lock(&client->lock);
	for (p = &client->lookups; *p != l; p = &(*p)->next)
		;
	*p = l->next;
	pthread_mutex_unlock(&client->lock);
	/* out of the list: nobody joins any more */
	while ((x = l->waiting)) {
		l->waiting = x->lookup_next;
		answer(x, found.text.data, why);
		exchange_unref(x);
	}
	pthread_mutex_lock(&client->lock);
	if (!why)
		remember(client, l->host, buf_steal(&found.text));
	buf_free(&found.text);
	free(l->host);
	free(l);
	if (--client->nlookups == 0)
		pthread_cond_broadcast(&client->idle);
	pthread_mutex_unlock(&client->lock);
	return NULL;
}

/* The client's lock is held. */
static int start_lookup(struct exchange *x, struct error **reterr)
{
	struct http_client *client = x->client;
	struct lookup *l = calloc(1, sizeof(*l));
	pthread_t thread;

	if (!l || !(l->host = strdup(x->route.dial_host))) {
		free(l);
		return error_set(reterr, &error_no_memory);
	}
	l->client = client;
	l->waiting = exchange_ref(x);
	l->next = client->lookups;
	client->lookups = l;
	client->nlookups++;
	if (thread_start(&thread, LOOKUP_STACK_SIZE, look_up, l, reterr) < 0) {
		client->lookups = l->next;
		client->nlookups--;
		exchange_unref(x);
		free(l->host);
		free(l);
		return -1;
	}
	pthread_detach(thread); /* http_resolve_stop waits for nlookups */
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
	struct http_client *client = x->client;
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
	pthread_mutex_lock(&client->lock);
	found = cached(client, x->route.dial_host);
	if (found) {
		known = strdup(found);
		pthread_mutex_unlock(&client->lock);
		answer(x, known ? known : "", known ? NULL : "cannot allocate memory");
		return 0;
	}
	atomic_store(&x->looking_up, true);
	for (l = client->lookups; l && strcmp(l->host, x->route.dial_host) != 0; l = l->next)
		;
	if (l) {
		x->lookup_next = l->waiting;
		l->waiting = exchange_ref(x);
	} else {
		rc = start_lookup(x, reterr);
	}
	pthread_mutex_unlock(&client->lock);
	return rc;
}

void http_resolve_stop(struct http_client *client)
{
	pthread_mutex_lock(&client->lock);
	while (client->nlookups)
		pthread_cond_wait(&client->idle, &client->lock);
	while (client->hosts) {
		struct cached_host *c = client->hosts;

		client->hosts = c->next;
		cached_host_free(c);
	}
	pthread_mutex_unlock(&client->lock);
}
