/* SPDX-License-Identifier: Apache-2.0 */
/* Registry error codes and what an unsuccessful answer becomes. Go counterparts:
 * registry/api/errcode, api/v2/errors.go, registry/client/errors.go. */
#ifndef REGISTRY_ERRCODE_H
#define REGISTRY_ERRCODE_H

#include <stddef.h>

#include "base/error.h"

struct header_list;

/* Which codes are registered, and their texts: errcode_info() of base/error.h. */

/* json.Unmarshal into errcode.Errors: body {"errors":[...]}; *ret_errors is an
 * ERROR_ERRCODE_ERRORS, of no entries if the body has none. Errors in encoding/json's words. */
int errcode_unmarshal_errors(
	const void *body, size_t size, struct error **ret_errors, struct error **reterr);

/* client.HandleErrorResponse for any status outside 2xx and 3xx; status_line is "404 Not Found".
 * Never NULL. */
struct error *handle_error_response(int status, const char *status_line,
	const struct header_list *headers, const void *body, size_t size);

#endif
