/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: github.com/docker/distribution/reference (reference.go, normalize.go, regexp.go).
 * The grammar is matched by hand; which part of the original's regular expressions a matcher stands
 * for is written above it. */
#include "image/reference.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/digest.h"
#include "image/unicode.h"

#define NAME_TOTAL_LENGTH_MAX 255
#define TAG_LENGTH_MAX 128
#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DEFAULT_DOMAIN "index.docker.io"
#define OFFICIAL_REPO_NAME "library"
#define DEFAULT_TAG "latest"

/* A part of a string. */
struct span {
	const char *s;
	size_t size;
};

/* What a match of the whole grammar found. Absent parts have size 0. */
struct reference_match {
	struct span name, domain, path, tag, digest;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c);
}

static bool is_word(char c)
{
	return is_alpha(c) || is_digit(c) || c == '_';
}

static bool is_xdigit(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* DomainRegexp, anchored: components of letters, digits and inner dashes with dots between them,
 * then ":" and digits. */
static bool match_domain(struct span d)
{
	const char *colon = memchr(d.s, ':', d.size);
	const char *end = colon ? colon : d.s + d.size;

	for (const char *p = d.s;; p++) {
		const char *start = p;

		while (p < end && (is_alpha(*p) || is_digit(*p) || *p == '-'))
			p++;
		if (p == start || *start == '-' || p[-1] == '-')
			return false;
		if (p == end)
			break;
		if (*p != '.')
			return false;
	}
	if (!colon)
		return true;
	if (colon + 1 == d.s + d.size)
		return false;
	for (const char *p = colon + 1; p < d.s + d.size; p++)
		if (!is_digit(*p))
			return false;
	return true;
}

/* nameComponentRegexp and the slashes between: runs of lower case letters and digits with one of
 * ".", "_", "__" or any number of dashes between them. */
static bool match_path(struct span path)
{
	const char *p = path.s, *end = path.s + path.size;

	for (;;) {
		const char *start = p;

		while (p < end && is_lower_alnum(*p))
			p++;
		if (p == start)
			return false;
		if (p == end)
			return true;
		if (*p == '-') {
			while (p < end && *p == '-')
				p++;
		} else if (*p == '_') {
			p += p + 1 < end && p[1] == '_' ? 2 : 1;
		} else if (*p == '.' || *p == '/') {
			p++;
		} else {
			return false;
		}
	}
}

/* anchoredNameRegexp. A first component that can be a domain is one, if a path follows it. */
static bool match_name(struct span name, struct span *ret_domain, struct span *ret_path)
{
	const char *slash = memchr(name.s, '/', name.size);

	if (slash) {
		struct span domain = {name.s, (size_t)(slash - name.s)};
		struct span path = {slash + 1, name.size - domain.size - 1};

		if (match_domain(domain) && match_path(path)) {
			*ret_domain = domain;
			*ret_path = path;
			return true;
		}
	}
	if (!match_path(name))
		return false;
	*ret_domain = (struct span){name.s, 0};
	*ret_path = name;
	return true;
}

/* anchoredTagRegexp: [\w][\w.-]{0,127} */
static bool match_tag(struct span tag)
{
	if (!tag.size || tag.size > TAG_LENGTH_MAX || !is_word(tag.s[0]))
		return false;
	for (size_t i = 1; i < tag.size; i++)
		if (!is_word(tag.s[i]) && tag.s[i] != '.' && tag.s[i] != '-')
			return false;
	return true;
}

/* anchoredDigestRegexp: [A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][[:xdigit:]]{32,} */
static bool match_digest(struct span d)
{
	const char *p = d.s, *end = d.s + d.size, *hex;

	for (;; p++) {
		if (p == end || !is_alpha(*p))
			return false;
		while (p < end && (is_alpha(*p) || is_digit(*p)))
			p++;
		if (p == end)
			return false;
		if (*p == ':')
			break;
		if (*p != '-' && *p != '_' && *p != '+' && *p != '.')
			return false;
	}
	for (hex = ++p; p < end && is_xdigit(*p); p++)
		;
	return p == end && p - hex >= 32;
}

/* ReferenceRegexp. Neither a path nor a tag has ':' or '@' in it and a domain has no '/', so that
 * there is one way only to cut a reference. */
static bool match_reference(const char *s, struct reference_match *ret)
{
	struct reference_match m = {0};
	const char *slash = strchr(s, '/'), *end = s, *p;

	for (int with_domain = slash != NULL; with_domain >= 0; with_domain--) {
		/* A colon in front of the slash belongs to a domain's port. */
		p = with_domain ? slash : s;
		end = p + strcspn(p, ":@");
		m.name = (struct span){s, (size_t)(end - s)};
		if (match_name(m.name, &m.domain, &m.path))
			break;
		if (!with_domain)
			return false;
	}
	if (*end == ':') {
		m.tag.s = end + 1;
		m.tag.size = strcspn(m.tag.s, "@");
		if (!match_tag(m.tag))
			return false;
		end = m.tag.s + m.tag.size;
	}
	if (*end == '@') {
		m.digest = (struct span){end + 1, strlen(end + 1)};
		if (!match_digest(m.digest))
			return false;
		end = m.digest.s + m.digest.size;
	}
	if (*end)
		return false;
	*ret = m;
	return true;
}

/* anchoredIdentifierRegexp: [a-f0-9]{64} */
static bool match_identifier(const char *s)
{
	/* NOLINTNEXTLINE: 64 characters stand before it */
	return strspn(s, "0123456789abcdef") == 64 && !s[64];
}

void reference_free(struct reference *ref)
{
	if (!ref)
		return;
	free(ref->domain);
	free(ref->path);
	free(ref->tag);
	free(ref->digest);
	free(ref->name);
	free(ref);
}

static int reference_new(struct span domain, struct span path, struct span tag, struct span digest,
	struct reference **ret, struct error **reterr)
{
	cleanup_reference struct reference *ref = calloc(1, sizeof(*ref));

	if (!ref)
		return error_set(reterr, &error_no_memory);
	ref->domain = strndup(domain.s ? domain.s : "", domain.size);
	ref->path = strndup(path.s, path.size);
	ref->tag = strndup(tag.s ? tag.s : "", tag.size);
	ref->digest = strndup(digest.s ? digest.s : "", digest.size);
	if (ref->domain && ref->path)
		ref->name = *ref->domain ? str_printf("%s/%s", ref->domain, ref->path)
					 : strdup(ref->path);
	if (!ref->name || !ref->tag || !ref->digest)
		return error_set(reterr, &error_no_memory);
	*ret = steal_ptr(&ref);
	return 0;
}

static struct span span_of(const char *s)
{
	return (struct span){s, strlen(s)};
}

/* strings.ToLower as far as it makes something that the grammar can match: two letters outside
 * ASCII have a lower case inside it. */
static char *lower_ascii(const char *s)
{
	char *lower = malloc(strlen(s) + 1), *out = lower;

	if (!lower)
		return NULL;
	while (*s) {
		if (str_has_prefix(s, "\xe2\x84\xaa")) { /* U+212A, the Kelvin sign */
			*out++ = 'k';
			s += 3;
		} else if (str_has_prefix(s, "\xc4\xb0")) { /* U+0130, I with a dot */
			*out++ = 'i';
			s += 2;
		} else {
			*out++ = *s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s;
			s++;
		}
	}
	*out = '\0';
	return lower;
}

/* Parse. */
static int reference_parse(const char *s, struct reference **ret, struct error **reterr)
{
	struct reference_match m;

	if (!match_reference(s, &m)) {
		cleanup_free char *lower = NULL;

		if (!*s)
			return error_setf(
				reterr, "repository name must have at least one component");
		lower = lower_ascii(s);
		if (!lower)
			return error_set(reterr, &error_no_memory);
		if (match_reference(lower, &m))
			return error_setf(reterr, "repository name must be lowercase");
		return error_setf(reterr, "invalid reference format");
	}
	if (m.name.size > NAME_TOTAL_LENGTH_MAX)
		return error_setf(reterr, "repository name must not be more than %d characters",
			NAME_TOTAL_LENGTH_MAX);
	if (m.digest.size && digest_validate(m.digest.s, m.digest.size, reterr) < 0)
		return -1;
	return reference_new(m.domain, m.path, m.tag, m.digest, ret, reterr);
}

/* splitDockerDomain. */
static void split_docker_domain(const char *name, struct span *ret_domain, const char **ret_rest)
{
	size_t n = strcspn(name, "/");

	*ret_domain = span_of(DEFAULT_DOMAIN);
	*ret_rest = name;
	if (!name[n] || (!memchr(name, '.', n) && !memchr(name, ':', n) &&
				!(n == strlen("localhost") && !memcmp(name, "localhost", n))))
		return;
	*ret_rest = name + n + 1;
	if (n != strlen(LEGACY_DEFAULT_DOMAIN) || memcmp(name, LEGACY_DEFAULT_DOMAIN, n))
		*ret_domain = (struct span){name, n};
}

int reference_parse_normalized_named(const char *s, struct reference **ret, struct error **reterr)
{
	cleanup_free char *full = NULL;
	struct span domain;
	const char *rest;
	bool official;

	if (match_identifier(s))
		return error_setf(reterr,
			"invalid repository name (%s), cannot specify 64-byte hexadecimal strings",
			s);
	split_docker_domain(s, &domain, &rest);
	official = domain.size == strlen(DEFAULT_DOMAIN) &&
		   !memcmp(domain.s, DEFAULT_DOMAIN, domain.size) && !strchr(rest, '/');
	/* The prefix "library/" changes nothing in this check. */
	if (unicode_lower_differs(rest, strcspn(rest, ":")))
		return error_setf(
			reterr, "invalid reference format: repository name must be lowercase");
	full = str_printf("%.*s/%s%s", (int)domain.size, domain.s,
		official ? OFFICIAL_REPO_NAME "/" : "", rest);
	if (!full)
		return error_set(reterr, &error_no_memory);
	return reference_parse(full, ret, reterr);
}

int reference_parse_normalized_named_bytes(
	const char *s, size_t size, struct reference **ret, struct error **reterr)
{
	cleanup_free char *text = malloc(size + 1);

	if (!text)
		return error_set(reterr, &error_no_memory);
	/* Another control character is as wrong as a NUL, at the same places. */
	for (size_t i = 0; i < size; i++)
		text[i] = s[i] ? s[i] : '\1';
	text[size] = '\0';
	return reference_parse_normalized_named(text, ret, reterr);
}

int reference_parse_any(const char *s, char **ret_string, struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	char *string;

	if (match_identifier(s)) {
		string = str_printf("sha256:%s", s);
	} else if (!digest_validate(s, strlen(s), NULL)) {
		string = strdup(s);
	} else {
		if (reference_parse_normalized_named(s, &ref, reterr) < 0)
			return -1;
		string = reference_string(ref);
	}
	if (!string)
		return error_set(reterr, &error_no_memory);
	*ret_string = string;
	return 0;
}

int reference_with_name(const char *name, struct reference **ret, struct error **reterr)
{
	struct span domain, path, none = {0};

	if (strlen(name) > NAME_TOTAL_LENGTH_MAX)
		return error_setf(reterr, "repository name must not be more than %d characters",
			NAME_TOTAL_LENGTH_MAX);
	if (!match_name(span_of(name), &domain, &path))
		return error_setf(reterr, "invalid reference format");
	return reference_new(domain, path, none, none, ret, reterr);
}

int reference_with_tag(
	const struct reference *ref, const char *tag, struct reference **ret, struct error **reterr)
{
	if (!match_tag(span_of(tag)))
		return error_setf(reterr, "invalid tag format");
	return reference_new(span_of(ref->domain), span_of(ref->path), span_of(tag),
		span_of(ref->digest), ret, reterr);
}

int reference_with_digest(const struct reference *ref, const char *digest, struct reference **ret,
	struct error **reterr)
{
	if (!match_digest(span_of(digest)))
		return error_setf(reterr, "invalid digest format");
	return reference_new(span_of(ref->domain), span_of(ref->path), span_of(ref->tag),
		span_of(digest), ret, reterr);
}

int reference_trim_named(const struct reference *ref, struct reference **ret, struct error **reterr)
{
	struct span none = {0};

	return reference_new(span_of(ref->domain), span_of(ref->path), none, none, ret, reterr);
}

int reference_tag_name_only(
	const struct reference *ref, struct reference **ret, struct error **reterr)
{
	if (reference_is_name_only(ref))
		return reference_with_tag(ref, DEFAULT_TAG, ret, reterr);
	return reference_copy(ref, ret, reterr);
}

int reference_copy(const struct reference *ref, struct reference **ret, struct error **reterr)
{
	return reference_new(span_of(ref->domain), span_of(ref->path), span_of(ref->tag),
		span_of(ref->digest), ret, reterr);
}

static char *join(const char *name, const struct reference *ref)
{
	return str_printf("%s%s%s%s%s", name, *ref->tag ? ":" : "", ref->tag,
		*ref->digest ? "@" : "", ref->digest);
}

char *reference_string(const struct reference *ref)
{
	return join(ref->name, ref);
}

/* familiarizeName: without the default domain and, of two components, without "library". */
static const char *familiar_name(const struct reference *ref)
{
	const char *prefix = OFFICIAL_REPO_NAME "/";

	if (strcmp(ref->domain, DEFAULT_DOMAIN))
		return ref->name;
	if (str_has_prefix(ref->path, prefix) && !strchr(ref->path + strlen(prefix), '/'))
		return ref->path + strlen(prefix);
	return ref->path;
}

char *reference_familiar_name(const struct reference *ref)
{
	return strdup(familiar_name(ref));
}

char *reference_familiar_string(const struct reference *ref)
{
	return join(familiar_name(ref), ref);
}
