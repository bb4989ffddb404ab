/* SPDX-License-Identifier: Apache-2.0 */
/* No Go counterpart in the original; the headers are those of Docker Hub, GitLab and the
 * distribution specification ("Warning: 299 - ..."). */
#include "registry/notes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/go_time.h"
#include "base/log.h"

void notes_init(struct notes *n)
{
	*n = (struct notes){.limit = ""};
	pthread_mutex_init(&n->lock, NULL);
}

void notes_destroy(struct notes *n)
{
	for (size_t i = 0; i < n->nwarnings; i++)
		free(n->warnings[i]);
	pthread_mutex_destroy(&n->lock);
}

/* A header's value, cut to what a note holds; "" if there is none. */
static void header_note(
	const struct header_list *h, const char *name, const char *other, char ret[NOTE_SIZE])
{
	const char *value = header_get(h, name);

	if (!value)
		value = header_get(h, other);
	snprintf(ret, NOTE_SIZE, "%s", value ? value : "");
}

/* 299 - "text": the text, a new string; NULL: another code, or no memory. */
static char *warning_text(const char *value)
{
	const char *at = strchr(value, '"');
	char *text, *to;

	if (strncmp(value, "299 ", 4) != 0 || !at || !(text = strdup(at + 1)))
		return NULL;
	for (to = text, at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		*to++ = *at;
	}
	*to = 0;
	return text;
}

/* True if it is new, and there is room to remember it. Takes text over. The lock is held. */
static bool remember_warning(struct notes *n, char *text)
{
	for (size_t i = 0; i < n->nwarnings; i++)
		if (!strcmp(n->warnings[i], text)) {
			free(text);
			return false;
		}
	if (n->nwarnings == MAX_WARNINGS) {
		free(text);
		return false;
	}
	n->warnings[n->nwarnings++] = text;
	return true;
}

static void take_warnings(struct notes *n, const struct header_list *h, struct log *log)
{
	const char *value;

	for (size_t i = 0; i < MAX_WARNINGS && (value = header_get_nth(h, "Warning", i)); i++) {
		char *text = warning_text(value);
		bool new = false;

		pthread_mutex_lock(&n->lock);
		if (text)
			new = remember_warning(n, text);
		pthread_mutex_unlock(&n->lock);
		/* what is remembered stays */
		if (new)
			log_warning(log, "The registry warns: %.1024s", text);
	}
}

void notes_take(struct notes *n, const struct http_response *response, struct log *log)
{
	const struct header_list *h = &response->headers;
	char limit[NOTE_SIZE], remaining[NOTE_SIZE];
	int64_t after = retry_after_seconds(h, (int64_t)time(NULL));
	bool changed;

	header_note(h, "RateLimit-Limit", "X-RateLimit-Limit", limit);
	header_note(h, "RateLimit-Remaining", "X-RateLimit-Remaining", remaining);
	pthread_mutex_lock(&n->lock);
	if (after > 0)
		n->retry_after = after;
	/* where every request counts, not every count is news */
	changed = *limit &&
		  (strcmp(n->limit, limit) != 0 || (*remaining == '0' && *n->remaining != '0'));
	if (*limit) {
		memcpy(n->limit, limit, sizeof(limit));
		memcpy(n->remaining, remaining, sizeof(remaining));
	}
	pthread_mutex_unlock(&n->lock);
	if (changed)
		log_info(log, "Rate limit of %.*s: %s, remaining: %s",
			(int)strcspn(response->url, "?"), response->url, limit,
			*remaining ? remaining : "not said");
	take_warnings(n, h, log);
}

/* ---- when to come back */

/* IMF-fixdate, the one form that is written today: "Sun, 06 Nov 1994 08:49:37 GMT". */
static int64_t http_date(const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct go_time t = {.set = true};
	char month[4], zone[4];
	const char *found;

	if (sscanf(s, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3s", &t.day, month, &t.year,
		    &t.hour, &t.minute, &t.second, zone) != 7 ||
		strcmp(zone, "GMT") != 0 || strlen(month) != 3)
		return -1;
	found = strstr(months, month);
	if (!found || (found - months) % 3 || t.year < 1970 || t.day < 1 || t.day > 31 ||
		t.hour < 0 || t.hour > 23 || t.minute < 0 || t.minute > 59 || t.second < 0 ||
		t.second > 60)
		return -1;
	t.month = (int)(found - months) / 3 + 1;
	return go_time_unix_ms(&t) / 1000;
}

int64_t retry_after_seconds(const struct header_list *headers, int64_t unix_now)
{
	const char *value = header_get(headers, "Retry-After");
	size_t digits = value ? strspn(value, "0123456789") : 0;
	int64_t at;

	if (!value)
		return -1;
	if (digits && !value[digits])
		return digits > 9 ? INT32_MAX : strtol(value, NULL, 10);
	at = http_date(value);
	if (at < 0)
		return -1;
	return at > unix_now ? at - unix_now : 0;
}

/* From half of ms to all of it: who was sent away together does not come back together. */
static int64_t jitter(int64_t ms)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)clock(); /* any number will do */
	return ms / 2 + (int64_t)((uint64_t)(ms / 2) * random / UINT32_MAX);
}

bool retry_wait_ms(const struct http_policy *policy, const struct http_response *response,
	unsigned tried, int64_t *ret_ms)
{
	int64_t seconds, ms = policy->retry_backoff_ms;

	if (!policy->retry_after || (response->status != 429 && response->status != 503) ||
		tried >= policy->max_retries)
		return false;
	seconds = retry_after_seconds(&response->headers, (int64_t)time(NULL));
	if (seconds > 0) {
		if (seconds * 1000 > policy->max_retry_wait_ms)
			return false;
		/* not before that time */
		*ret_ms = seconds * 1000 + jitter(ms < 1000 ? ms : 1000);
		return true;
	}
	while (tried-- && ms < policy->max_retry_wait_ms)
		ms *= 2;
	*ret_ms = jitter(ms < policy->max_retry_wait_ms ? ms : policy->max_retry_wait_ms);
	return true;
}
