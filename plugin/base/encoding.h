/* SPDX-License-Identifier: Apache-2.0 */
/* Base 64 and base 32 as Go has them. Go counterparts: encoding/base64, encoding/base32. */
#ifndef BASE_ENCODING_H
#define BASE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct error;

/* base64.StdEncoding (or URLEncoding).DecodeString, appended to ret: padding is required, line
 * breaks are skipped. Error: "illegal base64 data at input byte 3". */
int encoding_base64_decode(
	struct buf *ret, const char *s, size_t size, bool url, struct error **reterr);
/* base64.StdEncoding (or URLEncoding).EncodeToString, appended. */
void encoding_base64(struct buf *b, const void *data, size_t size, bool url);
/* base32.StdEncoding.EncodeToString without its padding, appended. */
void encoding_base32(struct buf *b, const void *data, size_t size);

#endif
