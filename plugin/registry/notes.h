/* SPDX-License-Identifier: Apache-2.0 */
/* What answers say beside what was asked for: limits, warnings, when to come back. No Go
 * counterpart. */
#ifndef REGISTRY_NOTES_H
#define REGISTRY_NOTES_H

#include <pthread.h>

#include "registry/http.h"

struct log;

#define NOTE_SIZE 128
#define MAX_WARNINGS 8

/* Of one repository at one endpoint. Thread-safe. */
struct notes {
	pthread_mutex_t lock; /* guards the rest */
	char limit[NOTE_SIZE], remaining[NOTE_SIZE];
	int64_t retry_after; /* seconds; 0: not said */
	char *warnings[MAX_WARNINGS];
	size_t nwarnings;
};
void notes_init(struct notes *n);
void notes_destroy(struct notes *n);
/* Limits are logged at info when they are new, and when nothing remains of them; each warning (RFC
 * 7234, code 299) once. */
void notes_take(struct notes *n, const struct http_response *response, struct log *log);

/* The seconds that a Retry-After gives, as a number or a date; -1: none, or no sense. */
int64_t retry_after_seconds(const struct header_list *headers, int64_t unix_now);
/* May the request that this answers be sent again, and after how many ms? tried: how often it was
 * already. */
bool retry_wait_ms(const struct http_policy *policy, const struct http_response *response,
	unsigned tried, int64_t *ret_ms);

#endif
