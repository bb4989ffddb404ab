/* SPDX-License-Identifier: Apache-2.0 */
/* Link, Location, Content-Range, Retry-After, each against somebody else's reading of it: curl's of
 * URLs, which is what connects, the C library's of patterns and dates. */
#define _GNU_SOURCE /* strptime, timegm */
#include <curl/curl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/url.h"
#include "fuzz.h"
#include "registry/header.h"
#include "registry/notes.h"
#include "registry/repository.h"

/* ---- URLs as curl reads them */

struct seen {
	char *scheme, *host, *port; /* curl's */
};

static void seen_free(struct seen *s)
{
	curl_free(s->scheme);
	curl_free(s->host);
	curl_free(s->port);
}
#define cleanup_seen __attribute__((cleanup(seen_free)))

static bool see(const char *url, struct seen *ret)
{
	CURLU *u = curl_url();
	bool ok;

	must(u);
	ok = !curl_url_set(u, CURLUPART_URL, url, 0) &&
	     !curl_url_get(u, CURLUPART_SCHEME, &ret->scheme, 0) &&
	     !curl_url_get(u, CURLUPART_HOST, &ret->host, 0) &&
	     !curl_url_get(u, CURLUPART_PORT, &ret->port, CURLU_DEFAULT_PORT);
	curl_url_cleanup(u);
	return ok;
}

static bool same_origin(const struct seen *a, const struct seen *b)
{
	return !strcasecmp(a->scheme, b->scheme) && !strcasecmp(a->host, b->host) &&
	       !strcmp(a->port, b->port);
}

/* The first line, without NUL; the rest at *ret_rest. */
static char *first_line(char *text, char **ret_rest)
{
	char *end = strchr(text, '\n');

	*ret_rest = end ? end + 1 : text + strlen(text);
	if (end)
		*end = '\0';
	return text;
}

static bool is_http(const char *url)
{
	cleanup_url struct url u = {0};

	return !url_parse(url, &u, NULL) &&
	       (!strcmp(u.scheme, "http") || !strcmp(u.scheme, "https")) && *u.host;
}

/* The first line is where the list begins, each other one a Link. */
void fuzz_link(const uint8_t *data, size_t size)
{
	cleanup_free char *text = fuzz_text(data, size);
	struct tag_list pages = {0};
	cleanup_seen struct seen first = {0};
	char *rest, *line, *base = first_line(text, &rest);
	bool seen;

	if (!is_http(base))
		base = (char *)"http://registry.example:5000/v2/a/b/tags/list";
	seen = see(base, &first);
	must(!peek_next_page(&pages, base, NULL));
	while ((line = strsep(&rest, "\n"))) {
		cleanup_error struct error *err = NULL;
		size_t before = pages.count;

		if (peek_next_page(&pages, line, &err) < 0) {
			fuzz_check_error(err);
			must(pages.count == before);
			continue;
		}
		must(pages.count == before + 1 && before <= 1000);
		for (size_t i = 0; i < before; i++)
			must(strcmp(pages.items[i], pages.items[before]) != 0);
		if (seen) {
			cleanup_seen struct seen next = {0};

			/* What curl cannot read it does not ask. */
			must(!see(pages.items[before], &next) || same_origin(&first, &next));
		}
	}
	tag_list_free(&pages);
}

static bool is_below(const char *host, const char *domain)
{
	size_t n = strlen(host), m = strlen(domain);

	return n > m && host[n - m - 1] == '.' && !strcasecmp(host + n - m, domain);
}

/* The first line is what was asked, each other one a Location. */
void fuzz_location(const uint8_t *data, size_t size)
{
	cleanup_free char *text = fuzz_text(data, size);
	char *rest, *line, *base = first_line(text, &rest);

	if (!is_http(base))
		base = (char *)"https://registry.example:5000/v2/a/b/blobs/x";
	while ((line = strsep(&rest, "\n"))) {
		cleanup_error struct error *err = NULL;
		cleanup_seen struct seen from = {0}, to = {0};
		cleanup_free char *url = NULL;
		bool authorized = false;

		if (peek_location(base, line, &url, &authorized, &err) < 0) {
			fuzz_check_error(err);
			continue;
		}
		must(url && !strpbrk(url, "\r\n"));
		/* Secrets stay where they were meant for, or below it. */
		if (authorized && see(base, &from) && see(url, &to))
			must(same_origin(&from, &to) || (!strcasecmp(from.scheme, to.scheme) &&
								!strcmp(from.port, to.port) &&
								is_below(to.host, from.host)));
	}
}

/* ---- Content-Range */

/* *ret: digits as a number of 64 bits. */
static bool number(const char *s, const regmatch_t *m, uint64_t *ret)
{
	uint64_t n = 0;

	for (regoff_t i = m->rm_so; i < m->rm_eo; i++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
			__builtin_add_overflow(n, (unsigned)(s[i] - '0'), &n))
			return false;
	*ret = n;
	return m->rm_eo > m->rm_so;
}

/* The first byte of data tells the offset that was asked for. */
void fuzz_content_range(const uint8_t *data, size_t size)
{
	static const int64_t offsets[] = {1, 100, 4096, INT64_MAX, 1000000007};
	cleanup_free char *text = size ? fuzz_text(data + 1, size - 1) : NULL;
	cleanup_error struct error *err = NULL;
	int64_t offset = size ? offsets[data[0] % ARRAY_SIZE(offsets)] : 0, whole = -2;
	uint64_t first, last, total;
	regmatch_t m[4];
	regex_t re;
	bool good;

	if (!size)
		return;
	/* bytes ([0-9]+)-([0-9]+)/([0-9]+|\\*), its odd end said plainly */
	must(!regcomp(&re, "bytes ([0-9]+)-([0-9]+)/([0-9]+|\\\\*)", REG_EXTENDED));
	good = !regexec(&re, text, 4, m, 0) && number(text, &m[1], &first) &&
	       number(text, &m[2], &last) && number(text, &m[3], &total) &&
	       first == (uint64_t)offset && last + 1 == total;
	regfree(&re);
	if (peek_content_range(text, offset, &whole, &err) < 0) {
		fuzz_check_error(err);
		must(whole == -2 && !good);
		return;
	}
	must(good);
	must(whole == (total > INT64_MAX ? -1 : (int64_t)total));
}

/* ---- Retry-After */

void fuzz_retry_after(const uint8_t *data, size_t size)
{
	static const int64_t now = 1600000000;
	static const struct http_policy policy = {.retry_after = true,
		.max_retries = 5,
		.max_retry_wait_ms = 60000,
		.retry_backoff_ms = 1000};
	cleanup_free char *text = fuzz_text(data, size);
	struct http_response response = {.status = 429};
	int64_t seconds, ms = -1;
	struct tm tm = {0};
	char *end, printed[64] = "";
	unsigned tried = size % 7;

	if (header_add(&response.headers, "Retry-After", text, NULL) < 0) {
		must(strpbrk(text, "\r\n"));
		header_list_free(&response.headers);
		return;
	}
	seconds = retry_after_seconds(&response.headers, now);
	must(seconds >= -1);
	if (*text && !text[strspn(text, "0123456789")])
		must(seconds == (strlen(text) > 9 ? INT32_MAX : strtoll(text, NULL, 10)));
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (end && !*end && tm.tm_year >= 70 &&
		strftime(printed, sizeof(printed), "%a, %d %b %Y %H:%M:%S GMT", &tm) &&
		!strcmp(printed, text)) {
		struct tm normal = tm;
		int64_t at = timegm(&normal);

		/* 30 February is nobody's promise. */
		if (normal.tm_mday == tm.tm_mday && tm.tm_sec < 60)
			must(seconds == (at > now ? at - now : 0));
	}
	if (retry_wait_ms(&policy, &response, tried, &ms))
		must(ms >= 0 && ms <= policy.max_retry_wait_ms + 1000 &&
			tried < policy.max_retries);
	header_list_free(&response.headers);
}
