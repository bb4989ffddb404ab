/* SPDX-License-Identifier: Apache-2.0 */
/* registry/repository.c, with its Link for the fuzzer to see. */
#include "registry/repository.c"

#include "fuzz.h"

int peek_next_page(struct tag_list *pages, const char *link, struct error **reterr)
{
	/* as repository_tags begins */
	if (!pages->count)
		return add_string(pages, link, reterr);
	return next_page(pages, link, reterr);
}
