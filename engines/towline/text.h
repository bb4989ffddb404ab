/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for people: safe for a terminal, sizes and ages as Docker writes them. Go counterpart:
 * docker/go-units. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A copy with control bytes and what is not UTF-8 made visible (\x1b), so that a stranger's text
 * cannot steer a terminal. The caller frees it; NULL: out of memory. */
char *text_printable(const char *text, size_t size);
/* The same, in one line: line ends become "; ", none at the end. */
char *text_one_line(const char *text);
/* How many columns a printable text takes: its code points. */
size_t text_columns(const char *text);
/* The first so many columns of it: how many bytes they are. */
size_t text_cut(const char *text, size_t columns);

/* units.HumanSize: "12.34MB", with so many significant digits (4 in progress, 3 in tables). */
#define TEXT_SIZE_MAX 32
void text_human_size(double size, int precision, char ret[TEXT_SIZE_MAX]);
/* units.HumanDuration: "3 days". */
#define TEXT_DURATION_MAX 32
void text_human_duration(int64_t seconds, char ret[TEXT_DURATION_MAX]);
/* An RFC 3339 time as seconds since 1970. 0, or -1: it is none. */
int text_parse_time(const char *text, int64_t *ret);

#endif
