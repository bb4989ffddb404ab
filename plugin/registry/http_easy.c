/* SPDX-License-Identifier: Apache-2.0 */
/* One request as a curl handle, and what curl calls back. Go counterpart: net/http's
 * persistConn.readResponse. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/pages.h"
#include "registry/http_internal.h"

#define MAX_INFORMATIONAL 5 /* Go's max1xxResponses */
#define MAX_JUNK 4096
#define KEEPALIVE_SECONDS 30

/* ---- the header */

static int give_up(struct exchange *x, struct error *err)
{
	if (x->fault)
		error_unref(err);
	else
		x->fault = err;
	return -1;
}

/* "HTTP/1.1 404 Not Found". Go: http.ReadResponse. */
static int on_status_line(struct exchange *x, const char *line, size_t size)
{
	struct error *err = http_check_status_line(line, size);
	const char *status, *end = line + size;
	char *text;

	if (err)
		return give_up(x, err);
	for (status = memchr(line, ' ', size); status < end && *status == ' '; status++)
		;
	text = strndup(status, (size_t)(end - status));
	if (!text)
		return give_up(x, &error_no_memory);
	free(x->response.status_line);
	x->response.status_line = text;
	x->response.status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
	header_list_free(&x->response.headers);
	x->got_status = true;
	return 0;
}

/* A line that begins with a blank goes on with the last value. */
static int continue_value(struct exchange *x, const char *line, size_t size)
{
	struct header_list *h = &x->response.headers;
	struct header *last;
	char *joined;

	if (h->count == 0)
		return give_up(x,
			http_broken("malformed MIME header initial line: %.*s", (int)size, line));
	last = &h->items[h->count - 1];
	joined = str_printf(
		"%s%s%.*s", last->value, *last->value && size ? " " : "", (int)size, line);
	if (!joined)
		return give_up(x, &error_no_memory);
	free(last->value);
	last->value = joined;
	return 0;
}

static int on_field(struct exchange *x, const char *line, size_t size)
{
	const char *colon;
	char *name, *value;
	struct error *err = NULL;
	bool folded = *line == ' ' || *line == '\t';
	int rc;

	while (size && (line[size - 1] == ' ' || line[size - 1] == '\t'))
		size--;
	while (folded && size && (*line == ' ' || *line == '\t')) {
		line++;
		size--;
	}
	if (folded)
		return continue_value(x, line, size);
	colon = memchr(line, ':', size);
	if (!colon || colon == line)
		return give_up(x, http_broken("malformed MIME header line: %.*s", (int)size, line));
	name = strndup(line, (size_t)(colon - line));
	for (colon++; colon < line + size && (*colon == ' ' || *colon == '\t'); colon++)
		;
	value = strndup(colon, (size_t)(line + size - colon));
	rc = name && value ? header_add(&x->response.headers, name, value, &err) : -1;
	if (rc < 0 && err && err != &error_no_memory)
		rc = 0; /* a strange name or value is of no use to anybody here */
	else if (rc < 0)
		rc = give_up(x, &error_no_memory);
	error_unref(err);
	free(name);
	free(value);
	return rc;
}

/* Go: transferReader.fixLength. */
static int find_length(struct exchange *x)
{
	const struct header_list *h = &x->response.headers;
	const char *length = header_get(h, "Content-Length"), *other;
	int64_t n = 0;
	size_t i;

	x->response.content_length = -1;
	if (x->response.status == 204 || x->response.status == 304) {
		x->response.content_length = 0;
		return 0;
	}
	if (header_get(h, "Transfer-Encoding") || !length)
		return 0;
	for (i = 1; (other = header_get_nth(h, "Content-Length", i)); i++) {
		if (strcmp(other, length) != 0)
			return give_up(x,
				http_broken("http: message cannot contain multiple Content-Length "
					    "headers; got [\"%s\" \"%s\"]",
					length, other));
	}
	if (!*length || strspn(length, "0123456789") != strlen(length))
		return give_up(x, http_broken("bad Content-Length \"%s\"", length));
	for (i = 0; length[i]; i++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, length[i] - '0', &n))
			return give_up(x, http_broken("bad Content-Length \"%s\"", length));
	}
	x->response.content_length = n;
	return 0;
}

static int on_header_end(struct exchange *x)
{
	const char *encoding;

	if (x->response.status < 200 && x->response.status != 101) {
		x->got_status = false;
		if (++x->informational > MAX_INFORMATIONAL)
			return give_up(
				x, error_plainf("net/http: too many 1xx informational responses"));
		return 0;
	}
	if (find_length(x) < 0)
		return -1;
	encoding = header_get(&x->response.headers, "Content-Encoding");
	if (x->asked_gzip && encoding && str_equal_fold(encoding, "gzip") &&
		x->response.content_length != 0) {
		x->decode = true;
		header_remove(&x->response.headers, "Content-Encoding");
		header_remove(&x->response.headers, "Content-Length");
		x->response.content_length = -1;
	}
	x->in_body = true;
	pthread_mutex_lock(&x->lock);
	x->have_header = true;
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
	return 0;
}

static size_t on_header(char *data, size_t one, size_t n, void *arg)
{
	struct exchange *x = arg;
	size_t size = n;
	int rc;

	(void)one; /* always 1 */
	x->last_data = monotonic_ms();
	if (x->in_body) /* trailers: nobody asks for them */
		return n;
	x->header_bytes += n;
	if (x->header_bytes > HTTP_HEADER_LIMIT) {
		give_up(x,
			http_broken("net/http: server response headers exceeded %d bytes; aborted",
				HTTP_HEADER_LIMIT));
		return 0;
	}
	if (size && data[size - 1] == '\n')
		size--;
	if (size && data[size - 1] == '\r')
		size--;
	if (!x->got_status)
		rc = on_status_line(x, data, size);
	else if (size == 0)
		rc = on_header_end(x);
	else
		rc = on_field(x, data, size);
	return rc < 0 ? 0 : n;
}

/* ---- the body */

static void ring_put(struct exchange *x, const char *data, size_t n)
{
	size_t head = atomic_load_explicit(&x->head, memory_order_relaxed);
	size_t at = head % x->ring_size, right = x->ring_size - at;

	if (right > n)
		right = n;
	memcpy(x->ring + at, data, right);
	memcpy(x->ring, data + right, n - right);
	/* sequentially consistent, as is the reader's flag: one of the two sees the other */
	atomic_store(&x->head, head + n);
	x->wake = true;
	x->turn_bytes += n;
	x->body_bytes += n;
}

/* An answer without a status line: curl takes it for HTTP/0.9, Go refuses it. */
static size_t on_junk(struct exchange *x, const char *data, size_t n)
{
	const char *newline = memchr(data, '\n', n);

	x->junk.limit = MAX_JUNK;
	buf_append(&x->junk, data, newline ? (size_t)(newline - data) : n);
	return newline || x->junk.overflow || x->junk.oom ? 0 : n;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct exchange *x = arg;

	(void)one; /* always 1 */
	x->last_data = monotonic_ms();
	if (!x->in_body)
		return on_junk(x, data, n);
	if (!x->ring) {
		x->ring = pages_new(x->ring_size);
		if (!x->ring) {
			give_up(x, &error_no_memory);
			return 0;
		}
	}
	if (n > x->ring_size) {
		give_up(x, error_plainf("%zu bytes at once, more than the buffer holds", n));
		return 0;
	}
	if (x->ring_size - ring_used(x) < n) {
		atomic_store(&x->paused, true);
		/* looked at again: the reader may have made room before it could see the flag */
		if (x->ring_size - ring_used(x) < n) {
			x->paused_since = x->last_data;
			x->wake = true;
			x->turn_bytes = 0; /* whatever is there is to be read now */
			return CURL_WRITEFUNC_PAUSE;
		}
		atomic_store(&x->paused, false);
	}
	ring_put(x, data, n);
	return n;
}

/* ---- the connection */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct exchange *x = arg;
	char ip[INET6_ADDRSTRLEN] = "";
	int fd;

	(void)purpose; /* always a connection's */
	if (!*x->dialled && address->family == AF_INET) {
		struct sockaddr_in a;

		memcpy(&a, &address->addr, sizeof(a));
		if (inet_ntop(AF_INET, &a.sin_addr, ip, sizeof(ip)))
			snprintf(x->dialled, sizeof(x->dialled), "%s:%u", ip, ntohs(a.sin_port));
	} else if (!*x->dialled && address->family == AF_INET6) {
		struct sockaddr_in6 a;

		memcpy(&a, &address->addr, sizeof(a));
		if (inet_ntop(AF_INET6, &a.sin6_addr, ip, sizeof(ip)))
			snprintf(x->dialled, sizeof(x->dialled), "[%s]:%u", ip, ntohs(a.sin6_port));
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		address->protocol);
	x->socket_errno = fd < 0 ? errno : 0;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	x->pool->nsockets++;
	x->fd = fd;
	x->connected_at = 0;
	x->hooked = !http_needs_hook(x);
	x->peeked = false;
	return fd;
}

/* curl has no callback for a new TLS session, but it says which protocols it is about to offer: the
 * one moment before the greeting goes out. on_ready does not depend on it. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
	struct exchange *x = arg;

	(void)easy; /* the exchange's */
	(void)data; /* texts for people, and secrets */
	(void)size;
	if (type == CURLINFO_TEXT && !x->hooked && x->fd >= 0)
		http_tls_hook(x);
	return 0;
}

/* arg is the pool: a connection may outlive the exchange that it was made for. */
static int on_close(void *arg, curl_socket_t fd)
{
	struct pool *pool = arg;

	http_loop_closing(pool, fd);
	pool->nsockets--;
	return close(fd);
}

/* After the handshake and before the request, on kept connections too. */
static int on_ready(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct exchange *x = arg;
	struct error *err = NULL;

	(void)remote_ip; /* the certificate is judged by the name that was asked for */
	(void)local_ip;
	(void)remote_port;
	(void)local_port;
	if (http_needs_hook(x))
		http_tls_unhook(x);
	if (x->fault)
		return CURL_PREREQFUNC_ABORT;
	if (!http_needs_verification(x))
		return CURL_PREREQFUNC_OK;
	if (http_tls_verify(x, &err) == 0)
		return CURL_PREREQFUNC_OK;
	give_up(x, err ? err : &error_no_memory);
	return CURL_PREREQFUNC_ABORT;
}

/* The times of a connection that was open already are 0. */
static void note_connect_time(struct exchange *x)
{
	curl_off_t resolved = 0, connected = 0;

	(void)curl_easy_getinfo(x->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
	(void)curl_easy_getinfo(x->easy, CURLINFO_CONNECT_TIME_T, &connected);
	if (connected > resolved)
		atomic_store(&x->client->connect_ms, (uint32_t)((connected - resolved) / 1000));
}

/* The request goes out now, if it may. */
static int on_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct exchange *x = arg;
	int answer = on_ready(arg, remote_ip, local_ip, remote_port, local_port);

	if (answer == CURL_PREREQFUNC_OK) {
		note_connect_time(x);
		pthread_mutex_lock(&x->lock);
		x->requested = true;
		x->requested_at = monotonic_ms();
		pthread_cond_broadcast(&x->cond);
		pthread_mutex_unlock(&x->lock);
	}
	return answer;
}

/* ---- the handle */

static int add_line(struct curl_slist **list, const char *name, const char *value)
{
	cleanup_free char *line = NULL;
	struct curl_slist *longer;
	size_t n;

	/* as Go's Header.Write */
	value += strspn(value, " \t");
	for (n = strlen(value); n && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--)
		;
	/* "Name;" is curl's way to send an empty value, "Name:" would remove it */
	line = n ? str_printf("%s: %.*s", name, (int)n, value) : str_printf("%s;", name);
	longer = line ? curl_slist_append(*list, line) : NULL;
	if (!longer)
		return -1;
	*list = longer;
	return 0;
}

static int add_raw_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -1;
	*list = longer;
	return 0;
}

/* Go's reqWriteExcludeHeader: these the request writes by itself. */
static bool excluded(const char *name)
{
	static const char *const names[] = {
		"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_equal_fold(name, names[i]))
			return true;
	}
	return false;
}

static int setup_headers(struct exchange *x, const struct http_request *request)
{
	static const struct header_list none;
	const struct header_list *h = request->headers ? request->headers : &none;
	const char *agent = header_get(h, "User-Agent");
	size_t i;

	if (!agent)
		agent = x->client->user_agent;
	if (*agent && add_line(&x->headers, "User-Agent", agent) < 0)
		return -1;
	for (i = 0; i < h->count; i++) {
		if (!excluded(h->items[i].name) &&
			add_line(&x->headers, h->items[i].name, h->items[i].value) < 0)
			return -1;
	}
	/* curl adds these by itself where it is not told off */
	if (!header_get(h, "Accept") && add_raw_line(&x->headers, "Accept:") < 0)
		return -1;
	if (!header_get(h, "Expect") && add_raw_line(&x->headers, "Expect:") < 0)
		return -1;
	if (x->route.proxy && add_raw_line(&x->headers, "Proxy-Connection:") < 0)
		return -1;
	if (request->body && !header_get(h, "Content-Type") &&
		add_raw_line(&x->headers, "Content-Type:") < 0)
		return -1;
	x->asked_gzip = !request->blob && !header_get(h, "Accept-Encoding") &&
			!header_get(h, "Range") && !x->is_head;
	if (x->asked_gzip && add_line(&x->headers, "Accept-Encoding", "gzip") < 0)
		return -1;
	return 0;
}

#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (curl_easy_setopt(x->easy, option, value) != CURLE_OK)                          \
			return -1;                                                                 \
	} while (0)

static int set_callbacks(struct exchange *x)
{
	SET(CURLOPT_PRIVATE, x);
	SET(CURLOPT_ERRORBUFFER, x->curl_text);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, x);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
	SET(CURLOPT_OPENSOCKETDATA, x);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, x);
	if (http_needs_hook(x)) {
		SET(CURLOPT_VERBOSE, 1L);
		SET(CURLOPT_DEBUGFUNCTION, on_debug);
		SET(CURLOPT_DEBUGDATA, x);
	}
	return 0;
}

static int set_policy(struct exchange *x)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_PATH_AS_IS, 1L);
	/* the original's transport has dials of its own, and so no HTTP/2; for blobs see the
	 * measurements in the documentation */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSL_ENABLE_ALPN, http_needs_hook(x) ? 1L : 0L); /* see on_debug */
	SET(CURLOPT_HTTP09_ALLOWED, 1L); /* to see what it was: on_junk refuses it */
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_FRESH_CONNECT, x->own_connection ? 1L : 0L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_SECONDS);
	SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_SECONDS);
	/* overdue() counts; this one only spreads the time over several addresses */
	SET(CURLOPT_CONNECTTIMEOUT_MS,
		(long)x->connect_timeout_ms + (long)x->client->policy.tls_timeout_ms + 1000);
	/* on_ready verifies */
	SET(CURLOPT_SSL_VERIFYPEER, 0L);
	SET(CURLOPT_SSL_VERIFYHOST, 0L);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	return 0;
}

static int set_request(struct exchange *x, const struct http_request *request)
{
	SET(CURLOPT_URL, x->response.url);
	SET(CURLOPT_HTTPHEADER, x->headers);
	/* explicit, so that curl does not look into the environment by rules of its own */
	SET(CURLOPT_PROXY, x->route.proxy ? x->route.proxy : "");
	SET(CURLOPT_NOPROXY, "");
	if (x->route.pre_proxy)
		SET(CURLOPT_PRE_PROXY, x->route.pre_proxy);
	if (x->https && x->route.proxy)
		SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	/* a proxy's own TLS is curl's to verify */
	if (x->route.proxy && *x->client->ca_bundle)
		SET(CURLOPT_PROXY_CAINFO, x->client->ca_bundle);
	if (x->is_head) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (request->body) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
		SET(CURLOPT_POSTFIELDS, (char *)x->body);
	}
	if (strcmp(request->method, x->is_head ? "HEAD" : request->body ? "POST" : "GET") != 0)
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	SET(CURLOPT_BUFFERSIZE, (long)http_buffer_size(x));
	return 0;
}

int http_easy_setup(struct exchange *x, const struct http_request *request, struct error **reterr)
{
	x->is_head = strcmp(request->method, "HEAD") == 0;
	x->easy = curl_easy_init();
	if (!x->easy || setup_headers(x, request) < 0 || set_callbacks(x) < 0 ||
		set_policy(x) < 0 || set_request(x, request) < 0)
		return error_set(reterr, &error_no_memory);
	return 0;
}

int http_easy_attach(struct exchange *x)
{
	char path[32];

	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
	SET(CURLOPT_CLOSESOCKETDATA, x->pool);
	if (x->addresses)
		SET(CURLOPT_RESOLVE, x->addresses);
	if (x->pool->cert_fd >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", x->pool->cert_fd);
		SET(CURLOPT_SSLCERT, path);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", x->pool->key_fd);
		SET(CURLOPT_SSLKEY, path);
	}
	return 0;
}
