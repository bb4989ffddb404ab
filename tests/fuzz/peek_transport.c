/* SPDX-License-Identifier: Apache-2.0 */
/* registry/transport.c, with its Location for the fuzzer to see. */
#include "registry/transport.c"

#include "fuzz.h"

int peek_location(const char *from, const char *location, char **ret_url, bool *ret_authorized,
	struct error **reterr)
{
	struct header_list headers = {0};
	struct http_request request = {.method = "GET", .url = from, .headers = &headers};
	struct hop first = {0}, hop = {0};
	int rc = -1;

	if (url_parse(from, &first.url, reterr) < 0)
		return -1;
	must(!url_parse(from, &hop.url, NULL));
	must(!header_add(&headers, "Authorization", "secret", NULL));
	must(!header_add(&headers, "Accept", "*", NULL));
	if (next_hop(&request, &first, &hop, location, reterr) == 0) {
		must(header_get(&hop.headers, "Accept"));
		*ret_authorized = header_get(&hop.headers, "Authorization") != NULL;
		*ret_url = strdup(hop.text);
		rc = 0;
	}
	header_list_free(&headers);
	header_list_free(&hop.headers);
	hop_clear(&first);
	hop_clear(&hop);
	return rc;
}
