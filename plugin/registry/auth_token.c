/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a token server. Go counterpart: tokenHandler.fetchToken of
 * registry/client/auth/session.go.
 */
#include "registry/auth_token.h"

#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/go_time.h"
#include "base/json.h"
#include "base/json_decode.h"
#include "base/log.h"
#include "base/url.h"

#define CLIENT_ID "docker" /* registry.AuthClientID */
#define TOKEN_TIMEOUT_MS 15000
#define TOKEN_LIMIT (1 << 20)
#define MIN_LIFETIME_SECONDS 60

struct token_response {
	struct json_text token, access_token, refresh_token, scope;
	struct json_int expires_in;
	struct go_time issued_at;
};

static const struct json_field get_fields[] = {
	{"token", offsetof(struct token_response, token), &json_schema_string, 0},
	{"access_token", offsetof(struct token_response, access_token), &json_schema_string, 0},
	{"expires_in", offsetof(struct token_response, expires_in), &json_schema_int, 0},
	{"issued_at", offsetof(struct token_response, issued_at), &json_schema_time, 0},
	{"refresh_token", offsetof(struct token_response, refresh_token), &json_schema_string, 0},
};
static const struct json_field post_fields[] = {
	{"access_token", offsetof(struct token_response, access_token), &json_schema_string, 0},
	{"refresh_token", offsetof(struct token_response, refresh_token), &json_schema_string, 0},
	{"expires_in", offsetof(struct token_response, expires_in), &json_schema_int, 0},
	{"issued_at", offsetof(struct token_response, issued_at), &json_schema_time, 0},
	{"scope", offsetof(struct token_response, scope), &json_schema_string, 0},
};
static const struct json_schema get_schema =
	JSON_STRUCT("auth.getTokenResponse", "getTokenResponse", struct token_response, get_fields);
static const struct json_schema post_schema = JSON_STRUCT(
	"auth.postTokenResponse", "postTokenResponse", struct token_response, post_fields);

/* ---- url.Values */

struct pair {
	char *name, *value;
};
struct values {
	struct pair *items;
	size_t count;
	bool no_memory;
};

static void values_free(struct values *v)
{
	size_t i;

	for (i = 0; i < v->count; i++) {
		free(v->items[i].name);
		free(v->items[i].value);
	}
	free(v->items);
	*v = (struct values){0};
}
#define cleanup_values __attribute__((cleanup(values_free)))

/* Takes over both; NULL means that memory ran out. */
static void values_take(struct values *v, char *name, char *value)
{
	struct pair *items = NULL;

	if (name && value)
		items = realloc(v->items, (v->count + 1) * sizeof(*items));
	if (!items) {
		free(name);
		free(value);
		v->no_memory = true;
		return;
	}
	v->items = items;
	v->items[v->count++] = (struct pair){name, value};
}

static void values_add(struct values *v, const char *name, const char *value)
{
	values_take(v, strdup(name), strdup(value));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* url.QueryUnescape. false: not valid, or a NUL. */
static bool query_unescape(const char *s, size_t size, struct buf *ret)
{
	size_t i;

	for (i = 0; i < size; i++) {
		int high, low;

		if (s[i] == '+') {
			buf_append_char(ret, ' ');
		} else if (s[i] != '%') {
			buf_append_char(ret, s[i]);
		} else {
			if (i + 2 >= size || (high = hex_digit(s[i + 1])) < 0 ||
				(low = hex_digit(s[i + 2])) < 0 || high + low == 0)
				return false;
			buf_append_char(ret, (char)(high << 4 | low));
			i += 2;
		}
	}
	return true;
}

/* url.ParseQuery; what it cannot read is left out, as URL.Query does. */
static void values_parse(struct values *v, const char *query)
{
	while (*query) {
		size_t size = strcspn(query, "&");
		const char *equals = memchr(query, '=', size);
		size_t name_size = equals ? (size_t)(equals - query) : size;
		struct buf name = {0}, value = {0};

		if (size && !memchr(query, ';', size) && query_unescape(query, name_size, &name) &&
			(!equals || query_unescape(equals + 1, size - name_size - 1, &value))) {
			char *n = name.data ? buf_steal(&name) : strdup("");

			values_take(v, n, value.data ? buf_steal(&value) : strdup(""));
		}
		buf_free(&name);
		buf_free(&value);
		query += size + (query[size] == '&');
	}
}

/* Values.Encode: sorted by name; values of one name in their order. */
static char *values_encode(const struct values *v)
{
	struct buf b = {0};
	const char *last = NULL;
	size_t i;

	if (v->no_memory)
		return NULL;
	for (;;) {
		const char *next = NULL;

		for (i = 0; i < v->count; i++) {
			const char *name = v->items[i].name;

			if ((!last || strcmp(name, last) > 0) && (!next || strcmp(name, next) < 0))
				next = name;
		}
		if (!next)
			break;
		for (i = 0; i < v->count; i++) {
			if (strcmp(v->items[i].name, next) != 0)
				continue;
			if (b.size)
				buf_append_char(&b, '&');
			url_query_escape(&b, next);
			buf_append_char(&b, '=');
			url_query_escape(&b, v->items[i].value);
		}
		last = next;
	}
	return b.data || b.oom ? buf_steal(&b) : strdup("");
}

/* The first value of a URL's query parameter, decoded; NULL: none. */
char *auth_query_value(const char *query, const char *name)
{
	cleanup_values struct values v = {0};
	size_t i;

	values_parse(&v, query);
	for (i = 0; i < v.count; i++) {
		if (strcmp(v.items[i].name, name) == 0)
			return strdup(v.items[i].value);
	}
	return NULL;
}

/* ---- the answer */

/* Go's time.Time.IsZero. */
static bool is_zero(const struct go_time *t)
{
	static const struct go_time zero = {.year = 1, .month = 1, .day = 1};

	return !t->set || go_time_unix_ms(t) == go_time_unix_ms(&zero);
}

int64_t auth_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t expiration(const struct token_request *r, const struct token_response *t)
{
	int64_t seconds = t->expires_in.set ? t->expires_in.value : 0, ms, at;

	if (seconds < MIN_LIFETIME_SECONDS) {
		seconds = MIN_LIFETIME_SECONDS;
		log_debug(r->transport->log, "Increasing token expiration to: %d seconds",
			(int)seconds);
	}
	/* a Duration counts nanoseconds, in 64 bits: more wraps around there, and is long enough
	 * here */
	if (__builtin_mul_overflow(seconds, 1000, &ms) ||
		__builtin_add_overflow(
			is_zero(&t->issued_at) ? auth_now_ms() : go_time_unix_ms(&t->issued_at), ms,
			&at))
		return INT64_MAX;
	return at;
}

/* json.NewDecoder(body).Decode(&tr) */
static int decode(const struct json_schema *schema, const struct buf *body,
	struct token_response *ret, struct arena *arena, struct error **reterr)
{
	cleanup_json struct json *json = NULL;
	const struct json_value *root;

	if (json_decode_first(body->data ? body->data : "", body->size, &json, reterr) < 0)
		return -1;
	root = json_root(json);
	return json_unmarshal(
		body->data + root->begin, root->end - root->begin, schema, ret, arena, reterr);
}

/* Send, read, decode. */
static int ask(const struct token_request *r, const struct context *ctx,
	const struct http_request *request, const struct json_schema *schema,
	struct token_response *ret, struct arena *arena, struct error **reterr)
{
	struct http_response *response = NULL;
	cleanup_buf struct buf body = {0};
	struct error *err = NULL;
	int rc;

	if (transport_do(r->transport, ctx, request, &response, reterr) < 0)
		return -1;
	if (response->status < 200 || response->status > 399) {
		err = transport_error_response(response, ctx);
		http_response_free(response);
		return error_set(reterr, err);
	}
	rc = http_response_read_all(response, ctx, TOKEN_LIMIT, &body, &err);
	http_response_free(response);
	if (rc == 0)
		rc = decode(schema, &body, ret, arena, &err);
	if (rc == 0)
		return 0;
	if (cancel_fired(ctx->cancel) && err == cancel_error(ctx->cancel))
		return error_set(reterr, err);
	error_setf(reterr, "unable to decode token response: %s", err->message);
	error_unref(err);
	return -1;
}

/* ---- the two ways to ask */

static char *join_scopes(const struct token_request *r)
{
	if (!r->extra_scope)
		return strdup(r->scope ? r->scope : "");
	if (!r->scope)
		return strdup(r->extra_scope);
	return str_printf("%s %s", r->scope, r->extra_scope);
}

/* A token with a NUL inside could not be sent whole. */
static int take_token(struct json_text t, char **ret, struct error **reterr)
{
	if (t.data && strlen(t.data) != t.size)
		return error_setf(
			reterr, "net/http: invalid header field value for \"Authorization\"");
	*ret = strdup(json_str(t));
	return *ret ? 0 : error_set(reterr, &error_no_memory);
}

/* token, and what else the server said. */
static int take_answer(const struct token_request *r, struct json_text token,
	const struct token_response *t, struct token *ret, struct error **reterr)
{
	struct token taken = {.expires = expiration(r, t)};

	if (take_token(token, &taken.token, reterr) < 0)
		return -1;
	if (t->refresh_token.size && strlen(json_str(t->refresh_token)) == t->refresh_token.size) {
		taken.refresh_token = strdup(json_str(t->refresh_token));
		if (!taken.refresh_token) {
			secret_free(taken.token);
			return error_set(reterr, &error_no_memory);
		}
	}
	*ret = taken;
	return 0;
}

static int fetch_with_oauth(const struct token_request *r, const struct context *ctx,
	const char *realm, const char *service, struct token *ret, struct error **reterr)
{
	cleanup_values struct values form = {0};
	cleanup_free char *scopes = join_scopes(r), *body = NULL;
	cleanup_arena struct arena *arena = arena_new();
	struct token_response t = {0};
	struct header_list headers = {0};
	struct http_request request = {.method = "POST",
		.url = realm,
		.headers = &headers,
		.no_link_local = !http_client_policy(r->transport->client)->link_local_realms,
		.timeout_ms = TOKEN_TIMEOUT_MS};
	int rc;

	if (!scopes || !arena)
		return error_set(reterr, &error_no_memory);
	values_add(&form, "scope", scopes);
	values_add(&form, "service", service);
	values_add(&form, "client_id", CLIENT_ID);
	values_add(&form, "grant_type", "refresh_token");
	values_add(&form, "refresh_token", r->auth->identity_token);
	body = values_encode(&form);
	if (!body)
		return error_set(reterr, &error_no_memory);
	request.body = body;
	request.body_size = strlen(body);
	rc = header_add(&headers, "Content-Type", "application/x-www-form-urlencoded", reterr);
	if (rc == 0)
		rc = ask(r, ctx, &request, &post_schema, &t, arena, reterr);
	header_list_free(&headers);
	explicit_bzero(body, request.body_size);
	return rc < 0 ? -1 : take_answer(r, t.access_token, &t, ret, reterr);
}

static int fetch_with_basic_auth(const struct token_request *r, const struct context *ctx,
	const struct url *realm, const char *service, struct token *ret, struct error **reterr)
{
	cleanup_values struct values query = {0};
	cleanup_free char *encoded = NULL, *url = NULL;
	cleanup_arena struct arena *arena = arena_new();
	struct token_response t = {0};
	struct header_list headers = {0};
	struct url with_query = *realm;
	struct http_request request = {.method = "GET",
		.headers = &headers,
		.no_link_local = !http_client_policy(r->transport->client)->link_local_realms,
		.timeout_ms = TOKEN_TIMEOUT_MS};
	int rc = 0;

	values_parse(&query, realm->raw_query);
	if (*service)
		values_add(&query, "service", service);
	if (r->scope)
		values_add(&query, "scope", r->scope);
	if (r->extra_scope)
		values_add(&query, "scope", r->extra_scope);
	if (!r->scope) {
		values_add(&query, "offline_token", "true");
		values_add(&query, "client_id", CLIENT_ID);
	}
	if (*r->auth->username && *r->auth->password) {
		values_add(&query, "account", r->auth->username);
		rc = transport_set_basic_auth(
			&headers, r->auth->username, r->auth->password, reterr);
	}
	encoded = values_encode(&query);
	if (encoded)
		with_query.raw_query = encoded;
	url = encoded && arena ? url_string(&with_query) : NULL;
	if (rc == 0 && !url)
		rc = error_set(reterr, &error_no_memory);
	request.url = url;
	if (rc == 0)
		rc = ask(r, ctx, &request, &get_schema, &t, arena, reterr);
	header_list_free(&headers);
	if (rc < 0)
		return -1;
	if (t.access_token.size)
		t.token = t.access_token;
	if (!t.token.size)
		return error_set(reterr, &err_no_token);
	return take_answer(r, t.token, &t, ret, reterr);
}

/* Beyond the original, as is no_link_local: where the registry is verified, secrets go over https
 * only. Other schemes than http fail in the transport, in Go's words. */
static int check_realm(
	const struct token_request *r, const struct url *realm, struct error **reterr)
{
	const struct http_tls *tls = r->transport->tls;

	if (r->over_https && (!tls || !tls->insecure_skip_verify) &&
		strcmp(realm->scheme, "http") == 0)
		return error_setf(reterr,
			"invalid token auth challenge realm: refused to go from https to http");
	return 0;
}

int auth_fetch_token(const struct token_request *r, const struct context *ctx,
	const struct challenge *challenge, struct token *ret, struct error **reterr)
{
	const char *service = challenge_param(challenge, "service");
	const char *realm = challenge_param(challenge, "realm");
	cleanup_url struct url url = {0};
	cleanup_free char *text = NULL;
	struct error *err = NULL;

	if (!*realm) /* an empty value ends the parameters: it is as good as absent */
		return error_setf(reterr, "no realm specified for token auth challenge");
	if (url_parse(realm, &url, &err) < 0) {
		error_setf(reterr, "invalid token auth challenge realm: %s", err->message);
		error_unref(err);
		return -1;
	}
	if (check_realm(r, &url, reterr) < 0)
		return -1;
	if (!*r->auth->identity_token)
		return fetch_with_basic_auth(r, ctx, &url, service, ret, reterr);
	text = url_string(&url);
	if (!text)
		return error_set(reterr, &error_no_memory);
	return fetch_with_oauth(r, ctx, text, service, ret, reterr);
}
