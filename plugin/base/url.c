/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing, writing and resolving URLs. Go counterpart: net/url of Go 1.19. */
#include "config.h"

#include "base/url.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"

/* What a piece of text is part of decides which bytes are escaped there. */
enum encoding {
	ENCODE_PATH,
	ENCODE_PATH_SEGMENT,
	ENCODE_HOST,
	ENCODE_ZONE,
	ENCODE_USER_PASSWORD,
	ENCODE_QUERY_COMPONENT,
	ENCODE_FRAGMENT,
};

/* A borrowed stretch of text. */
struct span {
	const char *s;
	size_t n;
};

static struct span span_of(const char *s)
{
	return (struct span){s, strlen(s)};
}

static struct span span_sub(struct span t, size_t from, size_t to)
{
	return (struct span){t.s + from, to - from};
}

static bool span_starts(struct span t, const char *prefix)
{
	size_t n = strlen(prefix);

	return t.n >= n && memcmp(t.s, prefix, n) == 0;
}

/* strings.Cut: the part before the first c and the one behind it. */
static bool span_cut(struct span t, char c, struct span *ret_before, struct span *ret_after)
{
	const char *at = t.n ? memchr(t.s, c, t.n) : NULL;

	*ret_before = t;
	*ret_after = (struct span){t.s + t.n, 0};
	if (!at)
		return false;
	*ret_before = span_sub(t, 0, (size_t)(at - t.s));
	*ret_after = span_sub(t, (size_t)(at - t.s) + 1, t.n);
	return true;
}

static const char *span_last(struct span t, char c)
{
	return t.n ? memrchr(t.s, c, t.n) : NULL;
}

static bool is_alnum(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* strchr that does not find the end of the set */
static bool in(const char *set, unsigned char c)
{
	return c && strchr(set, c);
}

static int unhex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool should_escape(unsigned char c, enum encoding mode)
{
	if (is_alnum(c))
		return false;
	if ((mode == ENCODE_HOST || mode == ENCODE_ZONE) && in("!$&'()*+,;=:[]<>\"", c))
		return false;
	if (in("-_.~", c))
		return false;
	if (in("$&+,/:;=?@", c)) {
		switch (mode) {
		case ENCODE_PATH:
			return c == '?';
		case ENCODE_PATH_SEGMENT:
			return in("/;,?", c);
		case ENCODE_USER_PASSWORD:
			return in("@/?:", c);
		case ENCODE_FRAGMENT:
			return false;
		default:
			return true;
		}
	}
	return !(mode == ENCODE_FRAGMENT && in("!()*", c));
}

static void escape(struct buf *b, struct span t, enum encoding mode)
{
	size_t i;

	for (i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.s[i];

		if (c == ' ' && mode == ENCODE_QUERY_COMPONENT)
			buf_append_char(b, '+');
		else if (should_escape(c, mode))
			buf_appendf(b, "%%%02X", c);
		else
			buf_append_char(b, (char)c);
	}
}

static int escape_error(struct span t, struct error **reterr)
{
	cleanup_buf struct buf b = {0};

	buf_append_quoted(&b, t.s, t.n < 3 ? t.n : 3);
	return error_setf(reterr, "invalid URL escape %s", b.data ? b.data : "");
}

/* The checks of unescape: 0, or -1 with the error. */
static int check_escapes(struct span t, enum encoding mode, struct error **reterr)
{
	size_t i = 0;

	while (i < t.n) {
		struct span rest = span_sub(t, i, t.n);
		unsigned char c = (unsigned char)rest.s[0];

		if (c == '%') {
			int high = rest.n > 1 ? unhex((unsigned char)rest.s[1]) : -1;
			int low = rest.n > 2 ? unhex((unsigned char)rest.s[2]) : -1;
			bool percent = span_starts(rest, "%25");

			if (high < 0 || low < 0)
				return escape_error(rest, reterr);
			/* only bytes beyond ASCII, and the percent sign of a zone */
			if (mode == ENCODE_HOST && high < 8 && !percent)
				return escape_error(rest, reterr);
			c = (unsigned char)(high << 4 | low);
			if (mode == ENCODE_ZONE && !percent && c != ' ' &&
				should_escape(c, ENCODE_HOST))
				return escape_error(rest, reterr);
			i += 3;
			continue;
		}
		if ((mode == ENCODE_HOST || mode == ENCODE_ZONE) && c < 0x80 &&
			should_escape(c, mode)) {
			cleanup_buf struct buf b = {0};

			buf_append_quoted(&b, rest.s, 1);
			return error_setf(
				reterr, "invalid character %s in host name", b.data ? b.data : "");
		}
		i++;
	}
	return 0;
}

/* Append t decoded. */
static int unescape(struct buf *b, struct span t, enum encoding mode, struct error **reterr)
{
	size_t i;

	if (check_escapes(t, mode, reterr) < 0)
		return -1;
	for (i = 0; i < t.n; i++) {
		char c = t.s[i];

		if (c == '%') {
			/* NOLINTNEXTLINE: check_escapes has seen that these are digits */
			c = (char)(unhex((unsigned char)t.s[i + 1]) << 4 |
				   unhex((unsigned char)t.s[i + 2]));
			i += 2;
		} else if (c == '+' && mode == ENCODE_QUERY_COMPONENT) {
			c = ' ';
		}
		buf_append_char(b, c);
	}
	if (b->oom)
		return error_set(reterr, &error_no_memory);
	return 0;
}

static int set_string(char **field, struct span t, struct error **reterr)
{
	struct buf b = {0};
	char *s;

	buf_append(&b, t.s, t.n);
	s = buf_steal(&b);
	if (!s)
		return error_set(reterr, &error_no_memory);
	free(*field);
	*field = s;
	return 0;
}

static bool valid_encoded(struct span t, enum encoding mode)
{
	size_t i;

	for (i = 0; i < t.n; i++) {
		if (!in("!$&'()*+,;=:@[]%", (unsigned char)t.s[i]) &&
			should_escape((unsigned char)t.s[i], mode))
			return false;
	}
	return true;
}

/* setPath and setFragment: the decoded text, and the text as written where encoding the former
 * would not give it back. A decoded NUL cannot be kept in a C string: there the latter is kept too.
 */
static int set_escaped(
	char **field, char **raw_field, struct span t, enum encoding mode, struct error **reterr)
{
	cleanup_buf struct buf decoded = {0}, encoded = {0};
	struct span plain = {0}, raw = {"", 0};

	if (unescape(&decoded, t, mode, reterr) < 0)
		return -1;
	if (decoded.size)
		plain = (struct span){decoded.data, decoded.size};
	escape(&encoded, plain, mode);
	if (encoded.oom)
		return error_set(reterr, &error_no_memory);
	if (encoded.size != t.n || (t.n && memcmp(encoded.data, t.s, t.n) != 0))
		raw = t;
	if (plain.n && memchr(plain.s, 0, plain.n))
		raw = valid_encoded(t, mode) ? t : (struct span){encoded.data, encoded.size};
	if (set_string(field, plain, reterr) < 0)
		return -1;
	return set_string(raw_field, raw, reterr);
}

/* EscapedPath and EscapedFragment: the text as written if it is that of the decoded one. */
static void append_escaped(struct buf *b, const char *plain, const char *raw, enum encoding mode)
{
	if (raw && *raw && valid_encoded(span_of(raw), mode)) {
		cleanup_buf struct buf decoded = {0};
		cleanup_error struct error *err = NULL;

		if (unescape(&decoded, span_of(raw), mode, &err) == 0 && decoded.data &&
			strcmp(decoded.data, plain) == 0) {
			buf_append_str(b, raw);
			return;
		}
	}
	if (mode == ENCODE_PATH && strcmp(plain, "*") == 0)
		buf_append_char(b, '*');
	else
		escape(b, span_of(plain), mode);
}

/* getScheme: the scheme and what follows it; an empty scheme if there is none. */
static int get_scheme(
	struct span t, struct span *ret_scheme, struct span *ret_rest, struct error **reterr)
{
	size_t i;

	*ret_scheme = (struct span){"", 0};
	*ret_rest = t;
	for (i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.s[i];

		if ((c >= '0' && c <= '9') || in("+-.", c)) {
			if (i == 0)
				return 0;
		} else if (c == ':') {
			if (i == 0)
				return error_setf(reterr, "missing protocol scheme");
			*ret_scheme = span_sub(t, 0, i);
			*ret_rest = span_sub(t, i + 1, t.n);
			return 0;
		} else if (!is_alnum(c)) {
			return 0;
		}
	}
	return 0;
}

/* "" or ":" and digits */
static bool valid_optional_port(struct span t)
{
	size_t i;

	if (t.n == 0)
		return true;
	if (t.s[0] != ':')
		return false;
	for (i = 1; i < t.n; i++) {
		if (t.s[i] < '0' || t.s[i] > '9')
			return false;
	}
	return true;
}

static int check_port(struct span t, struct error **reterr)
{
	cleanup_buf struct buf b = {0};

	if (valid_optional_port(t))
		return 0;
	buf_append_quoted(&b, t.s, t.n);
	return error_setf(reterr, "invalid port %s after host", b.data ? b.data : "");
}

static int parse_host(struct span t, struct buf *ret, struct error **reterr)
{
	const char *at;
	size_t end, zone;

	if (!span_starts(t, "[")) {
		at = span_last(t, ':');
		if (at && check_port(span_sub(t, (size_t)(at - t.s), t.n), reterr) < 0)
			return -1;
		return unescape(ret, t, ENCODE_HOST, reterr);
	}
	at = span_last(t, ']');
	if (!at)
		return error_setf(reterr, "missing ']' in host");
	end = (size_t)(at - t.s);
	if (check_port(span_sub(t, end + 1, t.n), reterr) < 0)
		return -1;
	at = memmem(t.s, end, "%25", 3);
	if (!at)
		return unescape(ret, t, ENCODE_HOST, reterr);
	zone = (size_t)(at - t.s);
	if (unescape(ret, span_sub(t, 0, zone), ENCODE_HOST, reterr) < 0 ||
		unescape(ret, span_sub(t, zone, end), ENCODE_ZONE, reterr) < 0)
		return -1;
	return unescape(ret, span_sub(t, end, t.n), ENCODE_HOST, reterr);
}

/* Decode and encode again: what Userinfo.String() gives. */
static int normalise_user_part(struct buf *b, struct span t, struct error **reterr)
{
	cleanup_buf struct buf decoded = {0};

	if (unescape(&decoded, t, ENCODE_USER_PASSWORD, reterr) < 0)
		return -1;
	escape(b, (struct span){decoded.data, decoded.size}, ENCODE_USER_PASSWORD);
	return 0;
}

static int parse_userinfo(struct span t, struct buf *ret, struct error **reterr)
{
	struct span user, password;
	bool has_password;
	size_t i;

	for (i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.s[i];

		if (!is_alnum(c) && !in("-._:~!$&'()*+,;=%@", c))
			return error_setf(reterr, "net/url: invalid userinfo");
	}
	has_password = span_cut(t, ':', &user, &password);
	if (normalise_user_part(ret, user, reterr) < 0)
		return -1;
	if (has_password) {
		buf_append_char(ret, ':');
		if (normalise_user_part(ret, password, reterr) < 0)
			return -1;
	}
	return 0;
}

static int parse_authority(struct url *u, struct span t, struct error **reterr)
{
	cleanup_buf struct buf host = {0}, userinfo = {0};
	const char *at = span_last(t, '@');
	size_t host_at = at ? (size_t)(at - t.s) + 1 : 0;

	if (parse_host(span_sub(t, host_at, t.n), &host, reterr) < 0)
		return -1;
	if (set_string(&u->host, (struct span){host.data, host.size}, reterr) < 0)
		return -1;
	if (!at)
		return 0;
	if (parse_userinfo(span_sub(t, 0, host_at - 1), &userinfo, reterr) < 0)
		return -1;
	if (userinfo.oom)
		return error_set(reterr, &error_no_memory);
	return set_string(&u->userinfo, (struct span){userinfo.data, userinfo.size}, reterr);
}

static void lower(char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + ('a' - 'A'));
	}
}

/* Take the query off the end of *rest. */
static int cut_query(struct url *u, struct span *rest, struct error **reterr)
{
	struct span query;

	if (!span_cut(*rest, '?', rest, &query))
		return 0;
	u->force_query = query.n == 0;
	return set_string(&u->raw_query, query, reterr);
}

/* Everything but the fragment. u has empty strings. */
static int parse_rest(struct url *u, struct span t, struct error **reterr)
{
	struct span scheme, rest, segment, tail;
	size_t i;

	for (i = 0; i < t.n; i++) {
		if ((unsigned char)t.s[i] < ' ' || t.s[i] == 0x7f)
			return error_setf(reterr, "net/url: invalid control character in URL");
	}
	if (t.n == 1 && t.s[0] == '*')
		return set_string(&u->path, t, reterr);
	if (get_scheme(t, &scheme, &rest, reterr) < 0 ||
		set_string(&u->scheme, scheme, reterr) < 0 || cut_query(u, &rest, reterr) < 0)
		return -1;
	lower(u->scheme);
	if (!span_starts(rest, "/")) {
		if (scheme.n)
			return set_string(&u->opaque, rest, reterr);
		span_cut(rest, '/', &segment, &tail);
		if (segment.n && memchr(segment.s, ':', segment.n))
			return error_setf(reterr, "first path segment in URL cannot contain colon");
	}
	if (span_starts(rest, "//") && (scheme.n || !span_starts(rest, "///"))) {
		struct span authority = span_sub(rest, 2, rest.n);
		const char *slash = authority.n ? memchr(authority.s, '/', authority.n) : NULL;
		size_t end = slash ? (size_t)(slash - authority.s) : authority.n;

		rest = span_sub(authority, end, authority.n);
		if (parse_authority(u, span_sub(authority, 0, end), reterr) < 0)
			return -1;
	} else if (scheme.n && span_starts(rest, "/")) {
		u->omit_host = true;
	}
	return set_escaped(&u->path, &u->raw_path, rest, ENCODE_PATH, reterr);
}

/* Empty strings everywhere. */
static int url_init(struct url *u, struct error **reterr)
{
	char **const fields[] = {&u->scheme, &u->opaque, &u->host, &u->path, &u->raw_path,
		&u->raw_query, &u->fragment, &u->raw_fragment};
	size_t i;

	*u = (struct url){0};
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		*fields[i] = calloc(1, 1);
		if (!*fields[i]) {
			url_free(u);
			return error_set(reterr, &error_no_memory);
		}
	}
	return 0;
}

int url_parse(const char *s, struct url *ret, struct error **reterr)
{
	cleanup_url struct url u = {0};
	struct span front, fragment;
	struct error *err = NULL;
	char *front_text;

	if (url_init(&u, reterr) < 0)
		return -1;
	span_cut(span_of(s), '#', &front, &fragment);
	if (parse_rest(&u, front, &err) < 0) {
		front_text = strndup(front.s, front.n);
		err = front_text ? error_url("parse", front_text, err) : &error_no_memory;
		free(front_text);
		return error_set(reterr, err);
	}
	if (fragment.n &&
		set_escaped(&u.fragment, &u.raw_fragment, fragment, ENCODE_FRAGMENT, &err) < 0)
		return error_set(reterr, error_url("parse", s, err));
	*ret = u;
	u = (struct url){0};
	return 0;
}

void url_free(struct url *u)
{
	free(u->scheme);
	free(u->opaque);
	free(u->userinfo);
	free(u->host);
	free(u->path);
	free(u->raw_path);
	free(u->raw_query);
	free(u->fragment);
	free(u->raw_fragment);
	*u = (struct url){0};
}

static void append_authority(struct buf *b, const struct url *u)
{
	if (!*u->scheme && !*u->host && !u->userinfo)
		return;
	if (u->omit_host && !*u->host && !u->userinfo)
		return;
	if (*u->host || *u->path || *u->raw_path || u->userinfo)
		buf_append_str(b, "//");
	if (u->userinfo) {
		buf_append_str(b, u->userinfo);
		buf_append_char(b, '@');
	}
	escape(b, span_of(u->host), ENCODE_HOST);
}

char *url_string(const struct url *u)
{
	cleanup_buf struct buf path = {0};
	struct buf b = {0};

	if (*u->scheme)
		buf_appendf(&b, "%s:", u->scheme);
	if (*u->opaque) {
		buf_append_str(&b, u->opaque);
	} else {
		append_authority(&b, u);
		append_escaped(&path, u->path, u->raw_path, ENCODE_PATH);
		if (path.size && path.data[0] != '/' && *u->host)
			buf_append_char(&b, '/');
		/* "this:that" would be taken for a scheme */
		if (b.size == 0 && path.size && memchr(path.data, ':', strcspn(path.data, "/")))
			buf_append_str(&b, "./");
		buf_append(&b, path.data, path.size);
		b.oom |= path.oom;
	}
	if (u->force_query || *u->raw_query)
		buf_appendf(&b, "?%s", u->raw_query);
	if (*u->fragment || *u->raw_fragment) {
		buf_append_char(&b, '#');
		append_escaped(&b, u->fragment, u->raw_fragment, ENCODE_FRAGMENT);
	}
	return buf_steal(&b);
}

char *url_escaped_path(const struct url *u)
{
	struct buf b = {0};

	append_escaped(&b, u->path, u->raw_path, ENCODE_PATH);
	return buf_steal(&b);
}

/* splitHostPort: the port is empty if there is none. */
static void split_host_port(const char *s, struct span *ret_host, struct span *ret_port)
{
	struct span host = span_of(s);
	const char *colon = span_last(host, ':');
	size_t at = colon ? (size_t)(colon - s) : 0;

	*ret_port = (struct span){"", 0};
	if (colon && valid_optional_port(span_sub(host, at, host.n))) {
		*ret_port = span_sub(host, at + 1, host.n);
		host = span_sub(host, 0, at);
	}
	if (host.n >= 2 && host.s[0] == '[' && host.s[host.n - 1] == ']')
		host = span_sub(host, 1, host.n - 1);
	*ret_host = host;
}

char *url_hostname(const struct url *u)
{
	struct span host, port;

	split_host_port(u->host, &host, &port);
	return strndup(host.s, host.n);
}

char *url_port(const struct url *u)
{
	struct span host, port;

	split_host_port(u->host, &host, &port);
	return strndup(port.s, port.n);
}

const char *url_default_port(const char *scheme)
{
	if (strcmp(scheme, "https") == 0)
		return "443";
	if (strcmp(scheme, "http") == 0)
		return "80";
	return NULL;
}

int url_user_password(const struct url *u, char **ret_user, char **ret_password)
{
	cleanup_error struct error *err = NULL;
	cleanup_buf struct buf user = {0}, password = {0};
	struct span user_text, password_text;
	char *user_string, *password_string;

	*ret_user = NULL;
	*ret_password = NULL;
	if (!u->userinfo)
		return 0;
	span_cut(span_of(u->userinfo), ':', &user_text, &password_text);
	if (unescape(&user, user_text, ENCODE_USER_PASSWORD, &err) < 0 ||
		unescape(&password, password_text, ENCODE_USER_PASSWORD, &err) < 0)
		return -1;
	user_string = buf_steal(&user);
	password_string = buf_steal(&password);
	if (!user_string || !password_string) {
		free(user_string);
		free(password_string);
		return -1;
	}
	*ret_user = user_string;
	*ret_password = password_string;
	return 0;
}

/* Remove the last segment of b, which begins with '/'. True if the next one is the first. */
static bool drop_segment(struct buf *b)
{
	const char *slash = memrchr(b->data + 1, '/', b->size - 1);

	b->size = slash ? (size_t)(slash - b->data) : 1;
	b->data[b->size] = '\0';
	return !slash;
}

/* resolvePath: ref's path beside base's, without dot segments. */
static void resolve_path(struct buf *b, const char *base, const char *ref)
{
	cleanup_buf struct buf full = {0};
	struct span elem, remaining;
	const char *slash = strrchr(base, '/');
	bool first = true, found = true, dots = false;

	if (!*ref)
		buf_append_str(&full, base);
	else if (*ref != '/' && slash)
		buf_append(&full, base, (size_t)(slash - base) + 1);
	buf_append_str(&full, ref);
	buf_append_str(b, "/");
	b->oom |= full.oom;
	if (b->oom || !full.size) {
		buf_reset(b);
		b->oom = full.oom || !b->data;
		return;
	}
	remaining = (struct span){full.data, full.size};
	while (found && !b->oom) {
		found = span_cut(remaining, '/', &elem, &remaining);
		dots = elem.n == 2 && span_starts(elem, "..");
		if (dots) {
			first = drop_segment(b) || first;
			continue;
		}
		dots = elem.n == 1 && elem.s[0] == '.';
		if (!dots) {
			if (!first)
				buf_append_char(b, '/');
			buf_append(b, elem.s, elem.n);
		}
		first = false;
	}
	if (dots)
		buf_append_char(b, '/');
	if (!b->oom && b->size > 1 && b->data[1] == '/')
		memmove(b->data, b->data + 1, b->size--);
}

static int set_resolved_path(
	struct url *u, const char *base_path, const char *ref_path, struct error **reterr)
{
	cleanup_buf struct buf b = {0};

	if (!base_path || !ref_path)
		return error_set(reterr, &error_no_memory);
	resolve_path(&b, base_path, ref_path);
	if (b.oom)
		return error_set(reterr, &error_no_memory);
	return set_escaped(
		&u->path, &u->raw_path, (struct span){b.data, b.size}, ENCODE_PATH, reterr);
}

static int copy_string(char **field, const char *s, struct error **reterr)
{
	if (s)
		return set_string(field, span_of(s), reterr);
	free(*field);
	*field = NULL;
	return 0;
}

int url_resolve(const struct url *base, const char *ref, struct url *ret, struct error **reterr)
{
	cleanup_url struct url u = {0};
	cleanup_free char *base_path = url_escaped_path(base), *ref_path = NULL;
	bool has_scheme;

	if (url_parse(ref, &u, reterr) < 0)
		return -1;
	ref_path = url_escaped_path(&u);
	has_scheme = *u.scheme;
	if (!has_scheme && copy_string(&u.scheme, base->scheme, reterr) < 0)
		return -1;
	if (has_scheme || *u.host || u.userinfo) {
		if (set_resolved_path(&u, ref_path, "", reterr) < 0)
			return -1;
	} else {
		if (!*u.path && !*u.raw_path && !u.force_query && !*u.raw_query) {
			if (copy_string(&u.raw_query, base->raw_query, reterr) < 0)
				return -1;
			if (!*u.fragment && !*u.raw_fragment &&
				(copy_string(&u.fragment, base->fragment, reterr) < 0 ||
					copy_string(&u.raw_fragment, base->raw_fragment, reterr) <
						0))
				return -1;
		}
		if (copy_string(&u.host, base->host, reterr) < 0 ||
			copy_string(&u.userinfo, base->userinfo, reterr) < 0 ||
			set_resolved_path(&u, base_path, ref_path, reterr) < 0)
			return -1;
	}
	*ret = u;
	u = (struct url){0};
	return 0;
}

void url_query_escape(struct buf *b, const char *s)
{
	escape(b, span_of(s), ENCODE_QUERY_COMPONENT);
}

void url_path_escape(struct buf *b, const char *s)
{
	escape(b, span_of(s), ENCODE_PATH_SEGMENT);
}
