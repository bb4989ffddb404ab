/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's JSON progress lines, whole: with what a pull never sends too. Go counterparts:
 * pkg/streamformatter, pkg/jsonmessage, pkg/progress. */
#ifndef COMPAT_STREAMFORMAT_H
#define COMPAT_STREAMFORMAT_H

#include <stdbool.h>
#include <stdint.h>

struct buf;

/* progress.Progress. Strings may be NULL for "". */
struct stream_progress {
	const char *id;
	const char *message; /* not "": a message, and the rest but id does not count */
	const char *action;
	int64_t current, total;
	bool hide_counts;
	const char *units;
	const char *aux; /* JSON, or NULL */
};
/* What NewJSONProgressOutput(out, false) writes, CR LF included. Lack of memory is in b->oom. */
void streamformat_progress(struct buf *b, const struct stream_progress *progress);
/* FormatError: code 0 is left out. */
void streamformat_error(struct buf *b, const char *message, int code);
/* The JSON object {"status":text,"id":id}, empty members left out. */
void streamformat_status(struct buf *b, const char *id, const char *text);
/* units.HumanSize: 4 digits, units of 1000 ("1.235MB"); whatever the locale is. */
void streamformat_human_size(struct buf *b, double size);
/* fmt.Sprintf(format) without arguments: a '%' becomes "%!...". */
void streamformat_sprintf(struct buf *b, const char *format);

#endif
