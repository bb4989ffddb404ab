/* SPDX-License-Identifier: Apache-2.0 */
/* Is this JSON, and where does it end? Go counterpart: encoding/json's scanner. */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include <stddef.h>

struct error;

#define JSON_MAX_DEPTH 10000 /* Go's */

/* checkValid: the whole text must be one value. Errors in Go's words. */
int json_scan_whole(const char *text, size_t size, struct error **reterr);
/* Decoder.readValue over a stream that ends behind the text: *ret_size is where its first value
 * ends. Also err_eof (only white space) and err_unexpected_eof. */
int json_scan_first(const char *text, size_t size, size_t *ret_size, struct error **reterr);

#endif
