/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by Go's rules. Go counterparts: unicode/utf8, strconv.IsPrint. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_ERROR 0xfffdu /* utf8.RuneError */
#define UTF8_MAX 4

/* utf8.DecodeRune: the rune at the head of s and its width. Invalid bytes give UTF8_ERROR and width
 * 1 each; an empty s gives UTF8_ERROR and 0. */
size_t utf8_decode(const char *s, size_t size, uint32_t *ret_rune);
/* utf8.EncodeRune: surrogates and what is out of range become UTF8_ERROR. Returns the length. */
size_t utf8_encode(uint32_t rune, char ret[UTF8_MAX]);
/* strconv.IsPrint of Unicode 13, Go 1.19's. */
bool unicode_is_print(uint32_t rune);
bool unicode_is_space(uint32_t rune); /* unicode.IsSpace */

#endif
