/* SPDX-License-Identifier: Apache-2.0 */
/* Registry error codes and what an unsuccessful answer becomes. Go counterparts:
 * registry/api/errcode, api/v2/errors.go, registry/client/errors.go. */
#ifndef REGISTRY_ERRCODE_H
#define REGISTRY_ERRCODE_H

#include <stddef.h>

#include "base/error.h"

struct header_list;

/* The registered description: message ("manifest unknown"), HTTP status; value as ErrorCode.Error()
 * has it. An unregistered code is UNKNOWN's. */
struct errcode_descriptor {
	const char *code;
	const char *message;
	int http_status;
};
const struct errcode_descriptor *errcode_lookup(const char *code);
/* Lower case with spaces: "MANIFEST_UNKNOWN" -> "manifest unknown". */
void errcode_text(const char *code, char *ret, size_t size);

/* errcode.Errors.UnmarshalJSON: body {"errors":[...]}. */
int errcode_unmarshal_errors(
	const void *body, size_t size, struct error **ret_errors, struct error **reterr);

/* client.HandleErrorResponse for any status outside 2xx and 3xx; status_line is "404 Not Found".
 * Never NULL. */
struct error *handle_error_response(int status, const char *status_line,
	const struct header_list *headers, const void *body, size_t size);

#endif
