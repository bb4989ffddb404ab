/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as Go's base64.StdEncoding has it. */
#ifndef COMPAT_BASE64_H
#define COMPAT_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* CR and LF are passed over; padding is required, and nothing may follow it. Memory of the caller's
 * with a NUL behind the bytes; NULL if it is no base64, or memory ran out (*ret_size is then
 * SIZE_MAX). */
char *base64_decode(const char *s, size_t size, size_t *ret_size);
/* With padding, on one line: a new string. NULL: no memory. */
char *base64_encode(const void *data, size_t size);

#endif
