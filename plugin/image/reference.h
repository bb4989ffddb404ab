/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: grammar, familiar names. Go counterpart:
 * github.com/docker/distribution/reference. */
#ifndef IMAGE_REFERENCE_H
#define IMAGE_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/* An immutable, normalised name with an optional tag and digest. Never NULL inside; absent parts
 * are "". */
struct reference {
	char *domain; /* "docker.io" */
	char *path;   /* "library/busybox" */
	char *tag;
	char *digest;
	char *name; /* domain/path */
};

/* ParseNormalizedNamed, with the original's errors. */
int reference_parse_normalized_named(const char *s, struct reference **ret, struct error **reterr);
/* The same for text of any kind, such as a key of a JSON document, in which a NUL may stand: that
 * is no valid reference. */
int reference_parse_normalized_named_bytes(
	const char *s, size_t size, struct reference **ret, struct error **reterr);
/* ParseAnyReference: ret_string as Reference.String() ("sha256:..." for an identifier). */
int reference_parse_any(const char *s, char **ret_string, struct error **reterr);
/* WithName: a bare name without normalisation ("library/busybox" has domain ""). */
int reference_with_name(const char *name, struct reference **ret, struct error **reterr);
int reference_with_tag(const struct reference *ref, const char *tag, struct reference **ret,
	struct error **reterr);
int reference_with_digest(const struct reference *ref, const char *digest, struct reference **ret,
	struct error **reterr);
int reference_trim_named(
	const struct reference *ref, struct reference **ret, struct error **reterr);
/* TagNameOnly: adds "latest" to a bare name. */
int reference_tag_name_only(
	const struct reference *ref, struct reference **ret, struct error **reterr);
int reference_copy(const struct reference *ref, struct reference **ret, struct error **reterr);
void reference_free(struct reference *ref);
static inline void reference_freep(struct reference **ref)
{
	reference_free(*ref);
}
#define cleanup_reference __attribute__((cleanup(reference_freep)))

static inline bool reference_is_tagged(const struct reference *ref)
{
	return *ref->tag;
}
static inline bool reference_is_canonical(const struct reference *ref)
{
	/* NOLINTNEXTLINE: ref is set where 0 was returned */
	return *ref->digest;
}
static inline bool reference_is_name_only(const struct reference *ref)
{
	return !*ref->tag && !*ref->digest;
}
/* New strings; NULL: no memory. */
char *reference_string(const struct reference *ref);
char *reference_familiar_name(const struct reference *ref);
char *reference_familiar_string(const struct reference *ref);

#endif
