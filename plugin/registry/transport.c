/* SPDX-License-Identifier: Apache-2.0 */
/* Redirects, headers by hop, and the words around failures. Go counterparts:
 * client/transport/transport.go, net/http Client.Do. */
#include "registry/transport.h"

#include <string.h>

#include "base/buf.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/log.h"
#include "base/url.h"
#include "registry/errcode.h"
#include "registry/notes.h"

#define MAX_REDIRECTS 10
#define ERROR_BODY_LIMIT (64 << 10)
#define SLURP_SIZE 2048 /* Go's maxBodySlurpSize */

static int modify_headers(struct modifier *m, const struct context *ctx, const char *url,
	struct header_list *headers, struct error **reterr)
{
	const struct header_modifier *self = (const struct header_modifier *)m;
	size_t i;

	(void)ctx; /* nothing is waited for */
	(void)url; /* the same for all */
	for (i = 0; self->headers && i < self->headers->count; i++) {
		const struct header *h = &self->headers->items[i];

		if (header_add(headers, h->name, h->value, reterr) < 0)
			return -1;
	}
	return 0;
}

void header_modifier_init(struct header_modifier *m, const struct header_list *headers)
{
	m->modifier.modify = modify_headers;
	m->headers = headers;
}

void transport_finish(struct http_response *response, const struct context *ctx)
{
	char piece[SLURP_SIZE];
	size_t left = SLURP_SIZE;
	ssize_t n;

	if (!response)
		return;
	if (response->content_length <= SLURP_SIZE) {
		/* one byte more than may be there, to see the end */
		while (left && (n = http_response_read(response, ctx, piece, left, NULL)) > 0)
			left -= (size_t)n;
	}
	http_response_free(response);
}

struct error *transport_error_response(struct http_response *response, const struct context *ctx)
{
	cleanup_buf struct buf body = {.limit = ERROR_BODY_LIMIT};
	struct error *err = NULL;
	char piece[4096];
	ssize_t n = 0;

	/* only those have a body that says something */
	while (response->status >= 400 && response->status < 500 && !body.overflow && !body.oom &&
		(n = http_response_read(response, ctx, piece, sizeof(piece), &err)) > 0)
		buf_append(&body, piece, (size_t)n);
	if (n < 0)
		return err;
	if (body.oom)
		return &error_no_memory;
	return handle_error_response(response->status, response->status_line, &response->headers,
		body.data ? body.data : "", body.size);
}

static void lower(char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s += 'a' - 'A';
	}
}

/* Go's canonicalAddr, with the scheme before it. */
char *transport_origin(const struct url *u)
{
	cleanup_free char *host = url_hostname(u), *port = url_port(u);
	const char *default_port = url_default_port(u->scheme);
	bool brackets;
	char *origin;

	if (!host || !port)
		return NULL;
	brackets = strchr(host, ':') != NULL;
	origin = str_printf("%s://%s%s%s:%s", u->scheme, brackets ? "[" : "", host,
		brackets ? "]" : "",
		*port          ? port
		: default_port ? default_port
			       : "");
	if (origin)
		lower(origin);
	return origin;
}

/* ---- one hop */

struct hop {
	struct url url;
	char *text; /* url as a string, without userinfo */
	const char *method;
	bool with_body;
	struct header_list headers; /* Go's req.Header */
};

static void hop_clear(struct hop *h)
{
	url_free(&h->url);
	free(h->text);
	header_list_free(&h->headers);
	*h = (struct hop){0};
}

/* Go: stripPassword(u). */
static char *printable_url(const struct url *u)
{
	struct url copy = *u;
	cleanup_free char *hidden = NULL;
	const char *colon = u->userinfo ? strchr(u->userinfo, ':') : NULL;

	if (!colon)
		return url_string(u);
	hidden = str_printf("%.*s:***", (int)(colon - u->userinfo), u->userinfo);
	if (!hidden)
		return NULL;
	copy.userinfo = hidden;
	return url_string(&copy);
}

/* u without its userinfo, and without what servers don't see. */
static char *bare_url(const struct url *u)
{
	struct url copy = *u;
	char empty[] = "";

	copy.userinfo = NULL;
	copy.fragment = empty;
	copy.raw_fragment = empty;
	return url_string(&copy);
}

int transport_set_basic_auth(
	struct header_list *headers, const char *user, const char *password, struct error **reterr)
{
	cleanup_buf struct buf plain = {0}, value = {0};

	buf_appendf(&plain, "%s:%s", user, password);
	buf_append_str(&value, "Basic ");
	if (!plain.oom)
		encoding_base64(&value, plain.data, plain.size, false);
	if (plain.oom || value.oom)
		return error_set(reterr, &error_no_memory);
	return header_set(headers, "Authorization", value.data, reterr);
}

/* Go's send: credentials that a URL carries are used where there are no others. */
static int use_userinfo(const struct hop *h, struct header_list *headers, struct error **reterr)
{
	cleanup_free char *user = NULL, *password = NULL;

	if (!h->url.userinfo || header_get(headers, "Authorization"))
		return 0;
	if (url_user_password(&h->url, &user, &password) < 0)
		return error_set(reterr, &error_no_memory);
	return transport_set_basic_auth(headers, user, password, reterr);
}

/* ---- a trace for --log-level debug, without anything secret: queries of redirects are signatures,
 * values of Authorization are not shown */

static int without_query(const char *url)
{
	size_t size = strcspn(url, "?#");

	return size > 1024 ? 1024 : (int)size;
}

static void trace(const struct transport *t, const struct http_request *request,
	const struct http_response *r, const struct error *err, int64_t ms)
{
	static const char *const shown[] = {"Www-Authenticate", "Docker-Content-Digest",
		"Content-Type", "Content-Range", "Retry-After"};
	const char *auth = header_get(request->headers, "Authorization");
	const char *range = header_get(request->headers, "Range");
	const char *location;
	struct buf b = {0};

	buf_appendf(
		&b, "HTTP: %s %.*s", request->method, without_query(request->url), request->url);
	if (auth)
		buf_appendf(&b, " (Authorization: %.*s ***)", (int)strcspn(auth, " "), auth);
	if (range)
		buf_appendf(&b, " (Range: %s)", range);
	if (!r) {
		buf_appendf(&b, ": no answer after %lld ms: %s", (long long)ms, err->message);
	} else {
		buf_appendf(&b, ": %s after %lld ms", r->status_line, (long long)ms);
		if (r->content_length >= 0)
			buf_appendf(&b, "; %lld bytes", (long long)r->content_length);
		location = header_get(&r->headers, "Location");
		if (location)
			buf_appendf(&b, "; Location: %.*s",
				strchr(location, '@') ? 0 : without_query(location), location);
		for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
			if (header_get(&r->headers, shown[i]))
				buf_appendf(&b, "; %s: %.512s", shown[i],
					header_get(&r->headers, shown[i]));
	}
	/* without memory there is no trace */
	if (!b.oom && b.data)
		log_debug(t->log, "%s", b.data);
	buf_free(&b);
}

/* transport.RoundTrip: a copy of the headers, changed by the modifiers. */
static int send_hop(const struct transport *t, const struct context *ctx,
	const struct http_request *request, const struct hop *h, uint32_t timeout_ms,
	struct http_response **ret, struct error **reterr)
{
	struct header_list headers = {0};
	struct http_request one = *request;
	struct error *err = NULL;
	int64_t begun;
	size_t i;
	int rc;

	rc = header_copy(&h->headers, &headers, reterr);
	if (rc == 0)
		rc = use_userinfo(h, &headers, reterr);
	for (i = 0; rc == 0 && i < t->nmodifiers; i++)
		rc = t->modifiers[i]->modify(t->modifiers[i], ctx, h->text, &headers, reterr);
	if (rc == 0) {
		one.method = h->method;
		one.url = h->text;
		one.headers = &headers;
		one.tls = t->tls;
		one.timeout_ms = timeout_ms;
		one.connect_timeout_ms = t->connect_timeout_ms;
		if (!h->with_body) {
			one.body = NULL;
			one.body_size = 0;
		}
		begun = monotonic_ms();
		rc = http_round_trip(t->client, ctx, &one, ret, &err);
		trace(t, &one, rc == 0 ? *ret : NULL, err, monotonic_ms() - begun);
		if (rc < 0)
			error_set(reterr, err);
	}
	header_list_free(&headers);
	return rc;
}

/* ---- redirects */

/* Go: redirectBehavior. */
static bool is_redirect(const struct http_response *r, struct hop *h)
{
	/* NOLINTNEXTLINE: r is set where 0 was returned */
	switch (r->status) {
	case 301:
	case 302:
	case 303:
		if (strcmp(h->method, "GET") != 0 && strcmp(h->method, "HEAD") != 0)
			h->method = "GET";
		h->with_body = false;
		return true;
	case 307:
	case 308:
		return true;
	default:
		return false;
	}
}

/* Go: shouldCopyHeaderOnRedirect; stricter in that the scheme has to stay. */
static bool may_copy(const char *name, const struct url *first, const struct url *next)
{
	static const char *const secrets[] = {
		"Authorization", "Www-Authenticate", "Cookie", "Cookie2"};
	cleanup_free char *from = NULL, *to = NULL;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(secrets) && !str_equal_fold(name, secrets[i]); i++)
		;
	if (i == ARRAY_SIZE(secrets))
		return true;
	if (strcmp(first->scheme, next->scheme) != 0)
		return false;
	from = transport_origin(first);
	to = transport_origin(next);
	if (!from || !to)
		return false;
	if (strcmp(from, to) == 0)
		return true;
	/* "sub.foo.com:443" of "foo.com:443" */
	n = strlen(first->scheme) + 3;
	if (strpbrk(to + n, "[") || strlen(to + n) <= strlen(from + n) ||
		!str_has_suffix(to + n, from + n))
		return false;
	return to[strlen(to) - strlen(from + n) - 1] == '.';
}

/* Go: refererForURL. */
static int set_referer(const struct url *last, struct hop *h, struct error **reterr)
{
	struct url copy = *last;
	cleanup_free char *text = NULL;

	if (strcmp(last->scheme, "https") == 0 && strcmp(h->url.scheme, "http") == 0)
		return 0;
	copy.userinfo = NULL;
	text = url_string(&copy);
	if (!text)
		return error_set(reterr, &error_no_memory);
	return header_set(&h->headers, "Referer", text, reterr);
}

/* Make h the hop that the Location of r leads to. Errors are bare. */
static int next_hop(const struct http_request *request, const struct hop *first, struct hop *h,
	const char *location, struct error **reterr)
{
	struct url previous = h->url, next = {0};
	struct error *err = NULL;
	size_t i;
	int rc = 0;

	if (url_resolve(&previous, location, &next, &err) < 0) {
		cleanup_buf struct buf quoted = {0};

		buf_append_quoted(&quoted, location, strlen(location));
		error_setf(reterr, "failed to parse Location header %s: %s",
			quoted.data ? quoted.data : "", err->message);
		error_unref(err);
		return -1;
	}
	h->url = next;
	free(h->text);
	h->text = bare_url(&next);
	header_list_free(&h->headers);
	for (i = 0; rc == 0 && request->headers && i < request->headers->count; i++) {
		const struct header *header = &request->headers->items[i];

		if (may_copy(header->name, &first->url, &next))
			rc = header_add(&h->headers, header->name, header->value, reterr);
	}
	if (rc == 0)
		rc = set_referer(&previous, h, reterr);
	url_free(&previous);
	if (rc == 0 && !h->text)
		rc = error_set(reterr, &error_no_memory);
	return rc;
}

/* ---- the client */

/* Takes err over; the URL that it is said of is given as text, or as what u prints. */
static int fail(const struct http_request *request, const struct url *u, const char *text,
	struct error *err, struct error **reterr)
{
	cleanup_free char *printed = u ? printable_url(u) : NULL, *op = strdup(request->method);

	if ((!text && !printed) || !op) {
		error_unref(err);
		return error_set(reterr, &error_no_memory);
	}
	lower(op + 1);
	return error_set(reterr, error_url(op, text ? text : printed, err));
}

static struct error *send_error(const struct context *ctx, struct error *err, int64_t deadline)
{
	if (cancel_fired(ctx->cancel) && err == cancel_error(ctx->cancel))
		return err;
	if (!deadline || err != &err_context_deadline_exceeded)
		return err;
	return error_plainf("%s (Client.Timeout exceeded while awaiting headers)", err->message);
}

static bool verified(const struct transport *t)
{
	return !t->tls || !t->tls->insecure_skip_verify;
}

struct walk {
	const struct transport *t;
	const struct context *ctx;
	const struct http_request *request;
	int64_t deadline; /* 0: none */
	struct hop first, hop;
	unsigned count;   /* requests so far */
	unsigned retries; /* of this hop */
};

/* 1: the same again, at once; 0: r is the answer; -1: cancelled. */
static int wait_if_busy(struct walk *w, struct http_response *r, struct error **reterr)
{
	const struct http_policy *policy = http_client_policy(w->t->client);
	int64_t ms;

	if (w->t->notes)
		notes_take(w->t->notes, r, w->t->log);
	if (!retry_wait_ms(policy, r, w->retries, &ms)) {
		w->retries = 0;
		return 0;
	}
	w->retries++;
	/* NOLINTNEXTLINE: r is set where 0 was returned */
	log_info(w->t->log, "%.*s: %s, retrying in %lld ms (%u of %u)", without_query(r->url),
		r->url, r->status_line, (long long)ms, w->retries, policy->max_retries);
	transport_finish(r, w->ctx);
	if (w->deadline)
		w->deadline += ms;
	if (context_sleep(w->ctx, ms) < 0)
		return error_set(reterr, error_ref(cancel_error(w->ctx->cancel)));
	w->count--;
	return 1;
}

/* Follow r, which it frees. Errors are finished. */
static int follow(struct walk *w, struct http_response *r, struct error **reterr)
{
	cleanup_free char *location = strdup(header_get(&r->headers, "Location"));
	struct error *err = NULL;
	bool was_https = strcmp(w->hop.url.scheme, "https") == 0;
	int rc;

	transport_finish(r, w->ctx);
	if (!location)
		return error_set(reterr, &error_no_memory);
	if (next_hop(w->request, &w->first, &w->hop, location, &err) < 0)
		return fail(w->request, &w->hop.url, NULL, err, reterr);
	rc = 0;
	if (w->count >= MAX_REDIRECTS)
		err = error_plainf("stopped after 10 redirects");
	else if (was_https && verified(w->t) && strcmp(w->hop.url.scheme, "http") == 0)
		err = error_plainf("refused to follow a redirect from https to http");
	if (err)
		rc = fail(w->request, NULL, location, err, reterr);
	return rc;
}

static int run(struct walk *w, struct http_response **ret, struct error **reterr)
{
	for (;;) {
		struct http_response *r = NULL;
		struct error *err = NULL;
		const char *location;
		uint32_t timeout = 0;
		int again;

		if (w->deadline) {
			int64_t left = w->deadline - monotonic_ms();

			timeout = left > 0 ? (uint32_t)left : 1;
		}
		w->count++;
		if (send_hop(w->t, w->ctx, w->request, &w->hop, timeout, &r, &err) < 0) {
			err = send_error(w->ctx, err, w->deadline);
			if (cancel_fired(w->ctx->cancel) && err == cancel_error(w->ctx->cancel))
				return error_set(reterr, err);
			return fail(w->request, &w->hop.url, NULL, err, reterr);
		}
		if (w->deadline)
			w->deadline += http_response_waited_ms(r);
		again = wait_if_busy(w, r, reterr);
		if (again < 0)
			return -1;
		if (again)
			continue;
		location = is_redirect(r, &w->hop) ? header_get(&r->headers, "Location") : NULL;
		if (!location || !*location) {
			*ret = r;
			return 0;
		}
		if (follow(w, r, reterr) < 0)
			return -1;
	}
}

int transport_do(const struct transport *t, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr)
{
	struct walk w = {.t = t, .ctx = ctx, .request = request};
	int rc;

	if (cancel_fired(ctx->cancel))
		return error_set(reterr, error_ref(cancel_error(ctx->cancel)));
	if (request->timeout_ms)
		w.deadline = monotonic_ms() + request->timeout_ms;
	/* http.NewRequest's errors are not wrapped */
	if (url_parse(request->url, &w.first.url, reterr) < 0)
		return -1;
	w.hop.method = request->method;
	w.hop.with_body = request->body != NULL;
	rc = url_parse(request->url, &w.hop.url, reterr);
	if (rc == 0 && request->headers)
		rc = header_copy(request->headers, &w.hop.headers, reterr);
	if (rc == 0 && !(w.hop.text = bare_url(&w.hop.url)))
		rc = error_set(reterr, &error_no_memory);
	if (rc == 0)
		rc = run(&w, ret, reterr);
	hop_clear(&w.hop);
	hop_clear(&w.first);
	return rc;
}
