/* SPDX-License-Identifier: Apache-2.0 */
/* References, for hosts. Go counterpart: github.com/docker/distribution/reference. */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/reference.h"
#include "sink.h"
#include "towline.h"

/* What does not parse is the caller's mistake, whatever class the error has. */
static int invalid(const struct image_pull_sink *sink, struct error *err)
{
	int code = sink_error(sink, err);

	return code == IMAGE_PULL_NO_MEMORY ? code : IMAGE_PULL_INVALID;
}

int towline_reference_normalize(
	const char *reference, int tag_name_only, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_reference struct reference *tagged = NULL;
	cleanup_free char *text = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0 ||
		(tag_name_only && reference_tag_name_only(ref, &tagged, &err) < 0))
		return invalid(sink, err);
	text = reference_string(tagged ? tagged : ref);
	return text ? sink_text(sink, text) : sink_no_memory(sink);
}

int towline_reference_familiar(const char *reference, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *text = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) < 0)
		return invalid(sink, err);
	text = reference_familiar_string(ref);
	return text ? sink_text(sink, text) : sink_no_memory(sink);
}
