/* SPDX-License-Identifier: Apache-2.0 */
/* The loop that owns every connection. Go counterpart: net/http's readLoop and connection pool. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "registry/http_internal.h"

#define MAX_EVENTS 32
#define CHECK_INTERVAL_MS 100
#define POOL_IDLE_MS 90000 /* as Go's DefaultTransport keeps idle connections */
#define MAX_IDLE_CONNECTIONS 16

/* ---- asking the loop */

void http_loop_post(struct exchange *x, unsigned ops)
{
	struct http_client *client = x->client;
	uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&client->lock);
	first = !client->queue;
	if (!x->ops) {
		exchange_ref(x);
		x->queue_next = NULL;
		*client->queue_tail = x;
		client->queue_tail = &x->queue_next;
	}
	x->ops |= ops;
	pthread_mutex_unlock(&client->lock);
	/* an eventfd takes 8 bytes or is full: then the loop is awake anyway */
	if (first && write(client->event_fd, &one, sizeof(one)) < 0)
		return;
}

static struct exchange *next_asked(struct http_client *client, unsigned *ops)
{
	struct exchange *x;

	pthread_mutex_lock(&client->lock);
	x = client->queue;
	if (x) {
		client->queue = x->queue_next;
		if (!client->queue)
			client->queue_tail = &client->queue;
		*ops = x->ops;
		x->ops = 0;
	}
	pthread_mutex_unlock(&client->lock);
	return x;
}

/* ---- pools */

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct pool *pool = arg;

	(void)multi; /* the pool's */
	pool->timer_at = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
	return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct pool *pool = arg;
	struct epoll_event event = {.data.u64 = (uint64_t)pool->id << 32 | (uint32_t)fd};
	int epoll_fd = pool->client->epoll_fd;

	(void)easy; /* sockets are found by their number */
	(void)socket_arg;
	if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE) {
		/* it may be closed already: then it is gone from the set as well */
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 && errno == ENOENT &&
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -1;
	return 0;
}

void http_loop_free_pool(struct pool *pool)
{
	if (!pool)
		return;
	if (pool->multi)
		curl_multi_cleanup(pool->multi);
	http_tls_release_pool(pool);
	http_tls_unref(pool->tls);
	free(pool);
}

static struct pool *pool_new(struct http_client *client, struct http_tls *tls)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->client = client;
	pool->id = ++client->last_pool;
	pool->tls = http_tls_ref(tls);
	pool->timer_at = -1;
	pool->idle_since = -1;
	pool->cert_fd = -1;
	pool->key_fd = -1;
	pool->multi = curl_multi_init();
	if (!pool->multi || http_tls_prepare_pool(pool) < 0 ||
		curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool) != CURLM_OK ||
		curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)MAX_IDLE_CONNECTIONS) !=
			CURLM_OK) {
		http_loop_free_pool(pool);
		return NULL;
	}
	pool->next = client->pools;
	client->pools = pool;
	return pool;
}

static struct pool *pool_for(struct http_client *client, struct http_tls *tls)
{
	struct pool *pool;

	for (pool = client->pools; pool; pool = pool->next) {
		if (http_tls_equal(pool->tls, tls))
			return pool;
	}
	return pool_new(client, tls);
}

/* Pools without work end after a while, and with them their idle connections. */
static void drop_idle_pools(struct http_client *client, int64_t now)
{
	struct pool **p = &client->pools;

	while (*p) {
		struct pool *pool = *p;

		if (pool->active || now - pool->idle_since < POOL_IDLE_MS) {
			p = &pool->next;
			continue;
		}
		*p = pool->next;
		http_loop_free_pool(pool);
	}
}

/* ---- the life of an exchange in the loop */

static void end_exchange(struct exchange *x, struct error *err)
{
	struct pool *pool = x->pool;

	if (x->waiting_since)
		http_gate_leave(x);
	if (pool) {
		if (x->prev)
			x->prev->next = x->next;
		else
			pool->active = x->next;
		if (x->next)
			x->next->prev = x->prev;
		/* what it returns says only that the handle was not there */
		(void)curl_multi_remove_handle(pool->multi, x->easy);
		x->pool = NULL;
		if (!pool->active)
			pool->idle_since = monotonic_ms();
	}
	if (x->easy)
		curl_easy_cleanup(x->easy);
	x->easy = NULL;
	pthread_mutex_lock(&x->lock);
	x->error = err;
	atomic_store(&x->done, true);
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
	exchange_unref(x); /* the loop's */
}

/* A full buffer says that more is waiting in the socket: then let the reader sleep until a good
 * part of the ring is full, which spares both sides most of the switching. It looks by itself too.
 */
static bool is_worth_waking(const struct exchange *x)
{
	return !x->blob || x->turn_bytes < http_buffer_size(x) || ring_used(x) >= x->ring_size / 4;
}

/* What curl has no callback for: a TLS session came to be, a reader is to be told of bytes. */
static void look_after(struct pool *pool)
{
	struct exchange *x;

	for (x = pool->active; x; x = x->next) {
		if (!x->hooked && x->fd >= 0)
			http_tls_hook(x);
		if (x->wake && is_worth_waking(x)) {
			x->wake = false;
			exchange_wake(x);
		}
		x->turn_bytes = 0;
	}
}

static void collect_finished(struct pool *pool)
{
	CURLMsg *msg;
	int left;

	look_after(pool);
	while ((msg = curl_multi_info_read(pool->multi, &left))) {
		struct exchange *x = NULL;
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&x) !=
				CURLE_OK ||
			!x)
			continue;
		if (code == CURLE_OK && x->have_header)
			end_exchange(x, NULL);
		else
			end_exchange(x, http_error(x, code));
	}
}

static void begin(struct http_client *client, struct exchange *x)
{
	x->pool = pool_for(client, x->tls);
	if (!x->pool) {
		end_exchange(x, &error_no_memory);
		return;
	}
	x->started = monotonic_ms();
	x->last_data = x->started;
	x->next = x->pool->active;
	if (x->next)
		x->next->prev = x;
	x->pool->active = x;
	http_gate_pass(x);
	if (http_easy_attach(x) < 0 || curl_multi_add_handle(x->pool->multi, x->easy) != CURLM_OK)
		end_exchange(x, &error_no_memory);
}

/* Those whose turn has come. */
static void begin_waiting(struct http_client *client)
{
	struct exchange *x;

	while ((x = http_gate_next(client)))
		begin(client, x);
}

static void submit(struct http_client *client, struct exchange *x)
{
	exchange_ref(x); /* the loop's, until end_exchange */
	begin_waiting(client);
	if (x->aborted)
		end_exchange(x, error_ref(&err_context_canceled));
	else if (x->resolve_error)
		end_exchange(x, steal_ptr(&x->resolve_error));
	else if (!http_gate_wait(x))
		begin(client, x);
}

static void unpause(struct exchange *x)
{
	struct pool *pool = x->pool;
	int64_t now = monotonic_ms();

	if (!pool)
		return;
	if (x->paused_since)
		atomic_fetch_add(&x->was_paused_ms, now - x->paused_since);
	x->paused_since = 0;
	x->last_data = now;
	/* a write callback that fails in here shows up as the transfer's end */
	(void)curl_easy_pause(x->easy, CURLPAUSE_CONT);
	look_after(pool);
}

static void do_asked(struct http_client *client)
{
	struct exchange *x;
	unsigned ops = 0;

	while ((x = next_asked(client, &ops))) {
		if (ops & OP_SUBMIT && ops & OP_ABORT) {
			exchange_ref(x);
			end_exchange(x, error_ref(&err_context_canceled));
		} else if (ops & OP_SUBMIT) {
			submit(client, x);
		} else if (ops & OP_ABORT) {
			x->aborted = true; /* it may still wait for a name */
			if (x->pool || x->waiting_since)
				end_exchange(x, error_ref(&err_context_canceled));
		} else if (ops & OP_UNPAUSE) {
			unpause(x);
		}
		exchange_unref(x); /* the queue's */
	}
}

/* ---- time limits that curl does not have */

/* Is there a connection to the other side, or to a proxy? curl itself says so only once TLS is
 * through as well. */
static bool connected(struct exchange *x, int64_t now)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	if (!x->connected_at && getpeername(x->fd, (struct sockaddr *)&peer, &size) == 0)
		x->connected_at = now;
	return x->connected_at != 0;
}

/* Why x has waited for too long; NULL if it has not. */
static struct error *overdue(struct exchange *x, int64_t now)
{
	uint32_t stall = atomic_load(&x->client->stall_timeout_ms);
	uint32_t connect = x->connect_timeout_ms;
	uint32_t header = x->client->policy.header_timeout_ms;

	if (x->deadline && now >= x->deadline + x->waited_ms)
		return x->have_header ? error_plainf("context deadline exceeded (Client.Timeout or "
						     "context cancellation "
						     "while reading body)")
				      : &err_context_deadline_exceeded;
	if (!x->have_header && x->fd >= 0 && !x->requested_at) {
		if (!connected(x, now)) {
			if (connect && now - x->started >= connect)
				return http_dial_error(x, error_plainf("i/o timeout"));
		} else if (x->https && !x->route.proxy &&
			   now - x->connected_at >= x->client->policy.tls_timeout_ms) {
			return error_plainf("net/http: TLS handshake timeout");
		}
	}
	if (header && !x->have_header && x->requested_at && now - x->requested_at >= header)
		return error_plainf("net/http: timeout awaiting response headers");
	/* without a socket and a request it waits for libcurl to give it a connection */
	if (stall && !x->paused_since && (x->fd >= 0 || x->requested_at) &&
		now - x->last_data >= stall)
		return error_plainf("no data received for %u ms: i/o timeout", stall);
	return http_too_slow(x, now);
}

static void check_times(struct http_client *client, int64_t now)
{
	struct pool *pool;
	struct exchange *x, *next;

	client->next_check = now + CHECK_INTERVAL_MS;
	for (pool = client->pools; pool; pool = pool->next) {
		for (x = pool->active; x; x = next) {
			struct error *err = overdue(x, now);

			next = x->next;
			if (err)
				end_exchange(x, err);
		}
	}
	drop_idle_pools(client, now);
}

/* ---- the loop */

/* When the answer to a TLS greeting is there before the loop has seen an event for it: GnuTLS has
 * read five bytes of "HTTP/1.1 400", and curl is about to close the socket. */
void http_loop_closing(struct pool *pool, int fd)
{
	struct exchange *x;
	char rest[9] = "";

	for (x = pool->active; x && (x->fd != fd || !x->https || x->nfirst); x = x->next)
		;
	if (x && recv(fd, rest, sizeof(rest) - 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		x->rest_is_http = rest[0] == '1' && rest[1] == '.' && rest[3] == ' ' &&
				  strspn(rest + 4, "0123456789") >= 3;
}

/* The first bytes of a new connection tell an HTTP answer to a TLS greeting from garbage, and are
 * all that is left of an answer that curl refuses. */
static void peek_first(struct pool *pool, int fd)
{
	struct exchange *x;
	ssize_t n;

	for (x = pool->active; x; x = x->next) {
		if (x->fd != fd || x->peeked)
			continue;
		x->peeked = true;
		n = recv(fd, x->first, sizeof(x->first), MSG_PEEK | MSG_DONTWAIT);
		x->nfirst = n > 0 ? (size_t)n : 0;
		if (n < 0 && errno != EAGAIN) /* said once: curl will see the connection's end */
			x->peek_errno = errno;
		return;
	}
}

/* Events carry the pool's number: a pointer could outlive its pool within one turn. */
static struct pool *pool_by_id(struct http_client *client, uint32_t id)
{
	struct pool *pool;

	for (pool = client->pools; pool; pool = pool->next) {
		if (pool->id == id)
			return pool;
	}
	return NULL;
}

static void on_event(struct http_client *client, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64, mask = 0, running;
	struct pool *pool;
	uint64_t count;

	if (fd == client->event_fd) {
		/* what was counted does not matter */
		if (read(fd, &count, sizeof(count)) < 0)
			return;
		return;
	}
	pool = pool_by_id(client, (uint32_t)(event->data.u64 >> 32));
	if (!pool)
		return;
	if (event->events & EPOLLIN)
		peek_first(pool, fd);
	if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		mask |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (event->events & (EPOLLERR))
		mask |= CURL_CSELECT_ERR;
	/* failures show up as finished transfers */
	(void)curl_multi_socket_action(pool->multi, fd, mask, &running);
	collect_finished(pool);
}

static void run_timers(struct http_client *client)
{
	struct pool *pool;
	int64_t now = monotonic_ms();
	int running;

	for (pool = client->pools; pool; pool = pool->next) {
		if (pool->timer_at < 0 || pool->timer_at > now)
			continue;
		pool->timer_at = -1;
		(void)curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		collect_finished(pool);
	}
	if (now >= client->next_check)
		check_times(client, now);
}

static int next_timeout(const struct http_client *client)
{
	const struct pool *pool;
	int64_t now = monotonic_ms(), at = -1;

	for (pool = client->pools; pool; pool = pool->next) {
		int64_t mine = pool->active ? client->next_check : pool->idle_since + POOL_IDLE_MS;

		if (pool->timer_at >= 0 && pool->timer_at < mine)
			mine = pool->timer_at;
		if (at < 0 || mine < at)
			at = mine;
	}
	if (at < 0)
		return -1;
	return at <= now ? 0 : (int)(at - now);
}

static void *run(void *arg)
{
	struct http_client *client = arg;
	struct epoll_event events[MAX_EVENTS];
	bool stopping = false;
	int i, n;

	while (!stopping) {
		n = epoll_wait(client->epoll_fd, events, MAX_EVENTS, next_timeout(client));
		for (i = 0; i < n; i++)
			on_event(client, &events[i]);
		do_asked(client);
		run_timers(client);
		begin_waiting(client);
		pthread_mutex_lock(&client->lock);
		stopping = client->stopping && !client->queue;
		pthread_mutex_unlock(&client->lock);
	}
	while (client->waiting)
		end_exchange(client->waiting, error_ref(&err_context_canceled));
	while (client->pools) {
		struct pool *pool = client->pools;

		while (pool->active)
			end_exchange(pool->active, error_ref(&err_context_canceled));
		client->pools = pool->next;
		http_loop_free_pool(pool);
	}
	return NULL;
}

static int start_locked(struct http_client *client, struct error **reterr)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (client->epoll_fd < 0)
		client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0)
		return error_set(reterr, error_errno(errno));
	if (client->event_fd < 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0)
			return error_set(reterr, error_errno(errno));
		event.data.u64 = (uint32_t)fd;
		if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
			int errnum = errno;

			close(fd);
			return error_set(reterr, error_errno(errnum));
		}
		client->event_fd = fd;
	}
	if (thread_start(&client->thread, HTTP_STACK_SIZE, run, client, reterr) < 0)
		return -1;
	client->running = true;
	return 0;
}

int http_loop_start(struct http_client *client, struct error **reterr)
{
	int rc = 0;

	pthread_mutex_lock(&client->lock);
	if (!client->running)
		rc = start_locked(client, reterr);
	pthread_mutex_unlock(&client->lock);
	return rc;
}

void http_loop_stop(struct http_client *client)
{
	uint64_t one = 1;
	bool running;

	pthread_mutex_lock(&client->lock);
	running = client->running;
	client->stopping = true;
	client->running = false;
	pthread_mutex_unlock(&client->lock);
	if (running) {
		/* full: then the loop is awake */
		if (write(client->event_fd, &one, sizeof(one)) < 0)
			one = 0;
		pthread_join(client->thread, NULL);
	}
	if (client->event_fd >= 0)
		close(client->event_fd);
	if (client->epoll_fd >= 0)
		close(client->epoll_fd);
}
