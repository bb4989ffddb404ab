/* SPDX-License-Identifier: Apache-2.0 */
/* registry/blob.c, with its Content-Range for the fuzzer to see. */
#include "registry/blob.c"

#include "fuzz.h"

int peek_content_range(const char *header, int64_t offset, int64_t *ret_size, struct error **reterr)
{
	return check_content_range(header, offset, ret_size, reterr);
}
