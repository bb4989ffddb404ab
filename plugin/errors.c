/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: distribution/errors.go, allowV1Fallback of distribution/pull_v2.go. Each
 * `switch` looks at the top node alone, as the original's type switches do. */
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "pull.h"

static bool has_code(const struct error *err, const char *const *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(err->code, codes[i]))
			return true;
	return false;
}

static bool should_v2_fallback(const struct error *err)
{
	static const char *const codes[] = {"UNAUTHORIZED", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"};

	return has_code(err, codes, ARRAY_SIZE(codes));
}

/* notFoundError for err (borrowed); NULL if its code is none of those that it stands for. */
static struct error *not_found_error(struct error *err, const struct reference *ref)
{
	cleanup_free char *name = NULL, *message = NULL;

	if (!strcmp(err->code, "DENIED")) {
		name = reference_familiar_name(ref);
		if (name)
			message = str_printf(
				"pull access denied for %s, repository does not exist or "
				"may require 'docker login': %s",
				name, err->message);
	} else if (!strcmp(err->code, "MANIFEST_UNKNOWN")) {
		name = reference_familiar_string(ref);
		if (name)
			message = str_printf("manifest for %s not found: %s", name, err->message);
	} else if (!strcmp(err->code, "NAME_UNKNOWN")) {
		name = reference_familiar_name(ref);
		if (name)
			message = str_printf("repository %s not found: %s", name, err->message);
	} else {
		return NULL;
	}
	if (!message)
		return &error_no_memory;
	return error_not_found(error_ref(err), message);
}

struct error *translate_pull_error(struct error *err, const struct reference *ref, struct log *log)
{
	struct error *inner = err, *translated;

	/* What the original does by calling itself. */
	for (;;) {
		if (inner->kind == ERROR_ERRCODE_ERRORS && inner->nlist) {
			for (size_t i = 1; i < inner->nlist; i++)
				log_info(log, "Ignoring extra error returned from registry: %s",
					inner->list[i]->message);
			inner = inner->list[0];
		} else if (inner->kind == ERROR_DO_NOT_RETRY && inner->cause) {
			inner = inner->cause;
		} else {
			break;
		}
	}
	translated = inner->kind == ERROR_ERRCODE_ERROR ? not_found_error(inner, ref) : NULL;
	if (!translated)
		translated = error_errdefs(CLASS_UNKNOWN, error_ref(inner));
	error_unref(err);
	return translated;
}

bool continue_on_error(const struct error *err, bool mirror_endpoint)
{
	while (err) {
		switch (err->kind) {
		case ERROR_ERRCODE_ERRORS:
			if (!err->nlist)
				return true;
			err = err->list[0];
			break;
		case ERROR_NO_SUPPORT:
			err = err->cause;
			break;
		case ERROR_ERRCODE_ERROR:
			return mirror_endpoint || should_v2_fallback(err);
		case ERROR_UNEXPECTED_HTTP_RESPONSE:
			return true;
		case ERROR_IMAGE_CONFIG_PULL:
			/* A mirror's damage is no reason not to ask the registry itself. */
			return mirror_endpoint;
		default:
			return !strstr(err->message, err_esrch.message);
		}
	}
	return true;
}

/* What retryOnError makes of err, in *ret_inner, and whether that is not to be retried. */
static bool is_final(struct error *err, struct error **ret_inner)
{
	static const char *const final_codes[] = {
		"UNAUTHORIZED", "UNSUPPORTED", "DENIED", "TOOMANYREQUESTS", "NAME_UNKNOWN"};

	for (;;) {
		*ret_inner = err;
		switch (err->kind) {
		case ERROR_ERRCODE_ERRORS:
			if (!err->nlist)
				return false;
			err = err->list[0];
			break;
		case ERROR_ERRCODE_ERROR:
			return has_code(err, final_codes, ARRAY_SIZE(final_codes));
		case ERROR_URL:
			/* The request's "Get URL: " is lost with the node. */
			if (!err->cause)
				return false;
			err = err->cause;
			if (err == &err_no_basic_auth_credentials || err == &err_no_token) {
				*ret_inner = err;
				return true;
			}
			break;
		case ERROR_UNEXPECTED_HTTP_RESPONSE:
			return true;
		default:
			return err == &err_blob_unknown ||
			       strstr(err->message, err_enospc.message) != NULL;
		}
	}
}

struct error *retry_on_error(struct error *err)
{
	struct error *inner;
	bool final = is_final(err, &inner);

	error_ref(inner);
	error_unref(err);
	return final ? error_wrap(ERROR_DO_NOT_RETRY, inner) : inner;
}

struct error *allow_v1_fallback(struct error *err)
{
	switch (err->kind) {
	case ERROR_ERRCODE_ERRORS:
		if (err->nlist && err->list[0]->kind == ERROR_ERRCODE_ERROR &&
			should_v2_fallback(err->list[0]))
			return error_fallback(
				err, /* confirmed_v2= */ false, /* transport_ok= */ true);
		return err;
	case ERROR_ERRCODE_ERROR:
		if (should_v2_fallback(err))
			return error_fallback(
				err, /* confirmed_v2= */ false, /* transport_ok= */ true);
		return err;
	case ERROR_URL:
		if (err->cause == &err_no_basic_auth_credentials)
			return error_fallback(
				err, /* confirmed_v2= */ false, /* transport_ok= */ false);
		return err;
	default:
		return err;
	}
}
