/* SPDX-License-Identifier: Apache-2.0 */
/* The little of Unicode that names need. Go counterparts: unicode/utf8, unicode.ToLower. */
#ifndef IMAGE_UNICODE_H
#define IMAGE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>

/* strings.ToLower(s) != s: there is a letter that has a lower case, or a byte that is no UTF-8 (Go
 * puts U+FFFD in its place). */
bool unicode_lower_differs(const char *s, size_t size);

#endif
