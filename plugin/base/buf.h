/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffers, strings and their clean-up. Go counterpart: bytes.Buffer. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* data is always NUL-terminated when not NULL. After a failed append oom stays set and later
 * appends do nothing, so a run of appends needs one check at its end. Zero-initialise: struct buf b
 * = {0}. */
struct buf {
	char *data;
	size_t size;
	size_t capacity;
	size_t limit; /* 0: none; a longer content sets overflow and is cut there */
	bool oom;
	bool overflow;
};

void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_str(struct buf *b, const char *s);
void buf_append_char(struct buf *b, char c);
void buf_appendf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vappendf(struct buf *b, const char *fmt, va_list ap);
/* Go's string(rune): UTF-8, U+FFFD for what is no rune. */
void buf_append_rune(struct buf *b, uint32_t rune);
/* Go's %q of a string. */
void buf_append_quoted(struct buf *b, const char *s, size_t size);
/* A JSON string literal as Go's encoding/json writes it (HTML characters escaped), or without that
 * escaping. */
void buf_append_json(struct buf *b, const char *s, size_t size, bool escape_html);
void buf_reset(struct buf *b); /* size = 0, memory kept */
void buf_free(struct buf *b);
/* The content as a string of the caller's; NULL (and b freed) if memory ran out. b is empty after
 * it. */
char *buf_steal(struct buf *b);

/* A new string; NULL if memory ran out. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);
bool str_equal(const char *a, const char *b);      /* NULL equals only NULL */
bool str_equal_fold(const char *a, const char *b); /* ASCII case ignored */

/* Wipe a string, then free it. s may be NULL; it is no one else's, const or not. */
void secret_free(const char *s);

static inline void freep(void *p)
{
	free(*(void **)p);
}
static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define cleanup_free __attribute__((cleanup(freep)))
#define cleanup_close __attribute__((cleanup(closep)))
#define cleanup_buf __attribute__((cleanup(buf_free)))

/* Take *p and leave NULL. */
#define steal_ptr(p)                                                                               \
	({                                                                                         \
		__typeof__(*(p)) stolen_ = *(p);                                                   \
		*(p) = NULL;                                                                       \
		stolen_;                                                                           \
	})
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
