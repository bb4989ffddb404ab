/* SPDX-License-Identifier: Apache-2.0 */
/* References and platforms, for hosts. Go counterparts: github.com/docker/distribution/reference,
 * containerd/platforms. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/digest.h"
#include "image/platform.h"
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

/* As PullImage and TagImage put a reference together. */
static int replace_tag(const struct reference *named, const char *tag_or_digest,
	struct reference **ret, struct error **reterr)
{
	cleanup_reference struct reference *trimmed = NULL;
	cleanup_error struct error *err = NULL;

	if (reference_trim_named(named, &trimmed, reterr) < 0)
		return -1;
	if (digest_validate(tag_or_digest, strlen(tag_or_digest), &err) == 0)
		return reference_with_digest(trimmed, tag_or_digest, ret, reterr);
	return reference_with_tag(named, tag_or_digest, ret, reterr);
}

int towline_reference_with(
	const char *name, const char *tag_or_digest, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_reference struct reference *changed = NULL;
	cleanup_free char *text = NULL;
	struct error *err = NULL;

	if (reference_parse_normalized_named(name, &ref, &err) < 0 ||
		(tag_or_digest && *tag_or_digest &&
			replace_tag(ref, tag_or_digest, &changed, &err) < 0))
		return invalid(sink, err);
	text = reference_string(changed ? changed : ref);
	return text ? sink_text(sink, text) : sink_no_memory(sink);
}

int towline_platform_parse(const char *text, const struct image_pull_sink *sink)
{
	static const struct platform runtime = {RUNTIME_OS, RUNTIME_ARCHITECTURE, "", ""};
	struct platform p = runtime;
	cleanup_free char *buffer = NULL;
	struct error *err = NULL;

	if (text && platform_parse(text, &runtime, &p, &buffer, &err) < 0)
		return invalid(sink, err);

	const struct image_pull_platform value = {
		.struct_size = sizeof(value),
		.os = p.os,
		.architecture = p.architecture,
		.variant = p.variant,
		.os_version = "",
	};

	return sink_value(sink, &value, sizeof(value));
}
