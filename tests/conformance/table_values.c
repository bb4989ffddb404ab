/* SPDX-License-Identifier: Apache-2.0 */
/* reference_parse, digest_parse, filter_manifests. */
#include <string.h>

#include "image/digest.h"
#include "image/platform.h"
#include "image/reference.h"
#include "tables.h"

static void print_any(const char *s, struct buf *out)
{
	cleanup_free char *string = NULL;
	cleanup_error struct error *err = NULL;

	if (reference_parse_any(s, &string, &err) < 0)
		out_message(out, "any_error", err);
	else
		out_string(out, "any_string", string);
}

static void print_name(const struct reference *ref, struct buf *out)
{
	cleanup_free char *string = reference_string(ref);

	out_string(out, "domain", ref->domain);
	out_string(out, "path", ref->path);
	out_string(out, "string", string);
}

/* Everything that can be asked of a parsed reference. */
static void print_reference(const struct reference *ref, struct buf *out)
{
	cleanup_free char *familiar_name = reference_familiar_name(ref);
	cleanup_free char *familiar_string = reference_familiar_string(ref);
	cleanup_reference struct reference *tagged = NULL, *trimmed = NULL;
	cleanup_free char *tagged_string = NULL, *trimmed_string = NULL;

	if (!reference_tag_name_only(ref, &tagged, NULL))
		tagged_string = reference_string(tagged);
	if (!reference_trim_named(ref, &trimmed, NULL))
		trimmed_string = reference_string(trimmed);
	print_name(ref, out);
	out_string(out, "name", ref->name);
	out_string(out, "tag", reference_is_tagged(ref) ? ref->tag : NULL);
	out_string(out, "digest", reference_is_canonical(ref) ? ref->digest : NULL);
	out_string(out, "familiar_name", familiar_name);
	out_string(out, "familiar_string", familiar_string);
	out_bool(out, "is_name_only", reference_is_name_only(ref));
	out_string(out, "tag_name_only", tagged_string);
	out_string(out, "trim_named", trimmed_string);
}

/* with_name, with_tag, with_digest. 1: done, 0: no such op. */
static int run_op(
	const char *op, const char *s, const char *arg, struct reference **ret, struct error **err)
{
	cleanup_reference struct reference *ref = NULL;

	if (!strcmp(op, "with_name")) {
		(void)reference_with_name(s, ret, err); /* told by *err */
		return 1;
	}
	if (strcmp(op, "with_tag") && strcmp(op, "with_digest"))
		return 0;
	if (reference_parse_normalized_named(s, &ref, err) < 0)
		return 1;
	if (!strcmp(op, "with_tag"))
		(void)reference_with_tag(ref, arg, ret, err);
	else
		(void)reference_with_digest(ref, arg, ret, err);
	return 1;
}

/* Such a text reaches a parser only where its size is known, and is never a reference. */
static int run_text_with_nul(const char *s, size_t size, struct buf *out)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;

	if (!reference_parse_normalized_named_bytes(s, size, &ref, &err))
		return table_failf(out, "a text with a NUL was taken for a reference");
	out_open(out, NULL, '{');
	out_message(out, "error", err);
	out_message(out, "any_error", err);
	out_close(out, '}');
	return 0;
}

int table_reference_parse(const struct json_value *in, struct buf *out)
{
	cleanup_free char *s = NULL, *arg = NULL, *op = in_string(in, "op", NULL);
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;
	size_t size = 0;

	s = in_string(in, "ref", &size);
	if (!s)
		return table_failf(out, "no \"ref\"");
	if (strlen(s) != size)
		return run_text_with_nul(s, size, out);
	arg = in_string(in, "arg", NULL);
	if (op && !run_op(op, s, arg ? arg : "", &ref, &err))
		return table_failf(out, "unknown op %s", op);
	out_open(out, NULL, '{');
	if (!op) {
		(void)reference_parse_normalized_named(s, &ref, &err); /* told by err */
		print_any(s, out);
	}
	out_message(out, "error", err);
	if (ref && op)
		print_name(ref, out);
	else if (ref)
		print_reference(ref, out);
	out_close(out, '}');
	return 0;
}

int table_digest_parse(const struct json_value *in, struct buf *out)
{
	cleanup_free char *s = NULL;
	cleanup_error struct error *err = NULL;
	size_t size = 0;

	s = in_string(in, "digest", &size);
	if (!s)
		return table_failf(out, "no \"digest\"");
	out_open(out, NULL, '{');
	if (digest_validate(s, size, &err) < 0) {
		out_message(out, "error", err);
	} else {
		out_string(out, "error", NULL);
		out_bytes(out, "algorithm", s, strcspn(s, ":"));
		out_string(out, "encoded", digest_encoded(s));
	}
	out_close(out, '}');
	return 0;
}

static void read_platform(const struct json_value *v, struct platform *ret)
{
	ret->os = json_get_string(v, "os", "");
	ret->architecture = json_get_string(v, "architecture", "");
	ret->variant = json_get_string(v, "variant", "");
	ret->os_version = json_get_string(v, "os.version", "");
}

/* "os/architecture[/variant]", cut in place. */
static void split_platform(char *s, struct platform *ret)
{
	char *slash;

	*ret = (struct platform){s, "", "", ""};
	slash = strchr(s, '/');
	if (!slash)
		return;
	*slash = '\0';
	ret->architecture = slash + 1;
	slash = strchr(slash + 1, '/');
	if (!slash)
		return;
	*slash = '\0';
	ret->variant = slash + 1;
}

int table_filter_manifests(const struct json_value *in, struct buf *out)
{
	const struct json_value *list = json_get_exact(in, "manifests");
	const struct json_value *asked = json_get_exact(in, "requested");
	cleanup_free char *runtime_text = in_string(in, "runtime", NULL), *format = NULL;
	cleanup_free struct platform *platforms = NULL;
	cleanup_free size_t *indices = NULL;
	cleanup_error struct error *err = NULL;
	struct platform runtime, requested;
	bool is_asked = asked && asked->type == JSON_OBJECT;
	size_t n;

	if (!list || list->type != JSON_ARRAY || !runtime_text)
		return table_failf(out, "no \"manifests\" or no \"runtime\"");
	platforms = calloc(list->count + 1, sizeof(*platforms));
	indices = calloc(list->count + 1, sizeof(*indices));
	if (!platforms || !indices)
		return table_failf(out, "out of memory");
	for (size_t i = 0; i < list->count; i++)
		read_platform(&list->items[i], &platforms[i]);
	split_platform(runtime_text, &runtime);
	if (is_asked)
		read_platform(asked, &requested);
	n = platform_filter(
		platforms, list->count, is_asked ? &requested : NULL, &runtime, indices);
	format = platform_format(is_asked ? &requested : NULL, &runtime);
	/* The text is pull_v2.c's; that it is said at all is what a scenario shows. */
	if (!n)
		err = error_plainf(
			"no matching manifest for %s in the manifest list entries", format);
	out_open(out, NULL, '{');
	out_message(out, "error", err);
	out_string(out, "format_platform", format);
	out_open(out, "indices", '[');
	for (size_t i = 0; i < n; i++)
		out_int(out, NULL, (int64_t)indices[i]);
	out_close(out, ']');
	out_close(out, '}');
	return 0;
}
