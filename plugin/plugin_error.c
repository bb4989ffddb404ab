/* SPDX-License-Identifier: Apache-2.0 */
/* Errors on their way to the engine: text, class, and what a machine wants to know. No Go
 * counterpart: there, callers look into the error themselves. */
#include "plugin.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define SAME_CLASS(name)                                                                           \
	_Static_assert((int)CLASS_##name == (int)IMAGE_PULL_CLASS_##name,                          \
		"error_class and image_pull_class differ")
SAME_CLASS(NONE);
SAME_CLASS(NOT_FOUND);
SAME_CLASS(INVALID_PARAMETER);
SAME_CLASS(CONFLICT);
SAME_CLASS(UNAUTHORIZED);
SAME_CLASS(UNAVAILABLE);
SAME_CLASS(FORBIDDEN);
SAME_CLASS(SYSTEM);
SAME_CLASS(NOT_MODIFIED);
SAME_CLASS(NOT_IMPLEMENTED);
SAME_CLASS(UNKNOWN);
SAME_CLASS(CANCELLED);
SAME_CLASS(DEADLINE);
SAME_CLASS(DATA_LOSS);

struct image_pull_error {
	struct image_pull_error_info info;
	struct error *err; /* the message's owner */
	struct pull_report report;
	char *registry_code;
	struct image_pull_attempt *attempts;
	const struct image_pull_attempt **attempt_pointers;
};

/* For lack of memory; never freed. */
static const struct image_pull_error no_memory = {
	.info =
		{
			.struct_size = sizeof(struct image_pull_error_info),
			.message = "cannot allocate memory",
			.endpoint = "",
			.registry_code = "",
			.rate_limit = "",
			.rate_limit_remaining = "",
		},
};

static struct image_pull_error *no_memory_error(void)
{
	/* Callers only get at it through a const pointer, and plugin_error_free knows it. */
	return (struct image_pull_error *)&no_memory;
}

void plugin_error_free(struct image_pull_error *error)
{
	if (!error || error == &no_memory)
		return;
	error_unref(error->err);
	pull_report_free(&error->report);
	free(error->registry_code);
	free(error->attempts);
	free(error->attempt_pointers);
	free(error);
}

const struct image_pull_error_info *plugin_error_info(const struct image_pull_error *error)
{
	return error ? &error->info : NULL;
}

/* The HTTP status and the registry's code, from the first node that has them. */
static void find_answer(const struct error *err, int *status, const char **code)
{
	const struct error *e;

	for (e = err; e; e = e->nlist ? e->list[0] : e->cause) {
		if (!*status && e->http_status)
			*status = e->http_status;
		if (!*code && e->code)
			*code = e->code;
		if (e == &err_blob_unknown) {
			/* What the client makes of a blob's 404. */
			*status = 404;
			*code = "BLOB_UNKNOWN";
		}
	}
}

static int copy_attempts(struct image_pull_error *error, const struct pull_report *report)
{
	size_t i, n = report->nattempts;

	error->attempts = calloc(n + 1, sizeof(*error->attempts));
	error->attempt_pointers = calloc(n + 1, sizeof(*error->attempt_pointers));
	error->report.attempts = calloc(n + 1, sizeof(*error->report.attempts));
	if (!error->attempts || !error->attempt_pointers || !error->report.attempts)
		return -1;
	for (i = 0; i < n; i++) {
		struct pull_attempt *copy = &error->report.attempts[i];

		error->report.nattempts++;
		copy->endpoint = strdup(report->attempts[i].endpoint);
		copy->message = strdup(report->attempts[i].message);
		if (!copy->endpoint || !copy->message)
			return -1;
		error->attempts[i].struct_size = sizeof(error->attempts[i]);
		error->attempts[i].endpoint = copy->endpoint;
		error->attempts[i].message = copy->message;
		error->attempt_pointers[i] = &error->attempts[i];
	}
	error->info.attempts = error->attempt_pointers;
	error->info.nattempts = n;
	return 0;
}

struct image_pull_error *plugin_error_new(
	struct error *err, const struct pull_report *report, bool cancelled)
{
	struct image_pull_error *error = calloc(1, sizeof(*error));
	struct image_pull_error_info *info;
	const char *code = NULL;

	if (!error) {
		error_unref(err);
		return no_memory_error();
	}
	error->err = err;
	info = &error->info;
	info->struct_size = sizeof(*info);
	info->message = err->message;
	info->error_class = (int)error_class_of(err);
	info->cancelled = cancelled;
	info->endpoint = "";
	info->rate_limit = error->report.notes.rate_limit;
	info->rate_limit_remaining = error->report.notes.rate_remaining;
	find_answer(err, &info->http_status, &code);
	error->registry_code = strdup(code ? code : "");
	if (!error->registry_code)
		goto fail;
	info->registry_code = error->registry_code;
	if (report) {
		info->phase = report->phase;
		error->report.notes = report->notes;
		info->retry_after = report->notes.retry_after;
		if (report->endpoint) {
			error->report.endpoint = strdup(report->endpoint);
			if (!error->report.endpoint)
				goto fail;
			info->endpoint = error->report.endpoint;
		}
		if (copy_attempts(error, report) < 0)
			goto fail;
	}
	return error;
fail:
	plugin_error_free(error);
	return no_memory_error();
}
