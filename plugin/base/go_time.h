/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as JSON has them. Go counterpart: time.Time's UnmarshalJSON and MarshalJSON. */
#ifndef BASE_GO_TIME_H
#define BASE_GO_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct error;

/* As written, with its offset; all zero: Go's zero time. */
struct go_time {
	bool set;
	int year, month, day, hour, minute, second, nanosecond;
	int offset; /* seconds east */
};

/* text is the JSON value, quotes included. "null" leaves *ret alone. Error: `parsing time "..." as
 * "...": cannot parse "..." as "..."`. */
int go_time_unmarshal_json(
	const char *text, size_t size, struct go_time *ret, struct error **reterr);
/* Milliseconds since 1970. */
int64_t go_time_unix_ms(const struct go_time *t);
/* RFC 3339 with as many digits of the second as are needed, no quotes. */
void go_time_append(struct buf *b, const struct go_time *t);

#endif
