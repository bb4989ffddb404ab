/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: distribution/pull.go. */
#include "pull.h"

#include <string.h>

#include "base/buf.h"
#include "engine.h"

#define NO_BASE_IMAGE_SPECIFIER "scratch" /* api.NoBaseImageSpecifier */

void pull_report_free(struct pull_report *r)
{
	size_t i;

	for (i = 0; i < r->nattempts; i++) {
		free(r->attempts[i].endpoint);
		free(r->attempts[i].message);
	}
	free(r->attempts);
	free(r->endpoint);
	*r = (struct pull_report){0};
}

/* Notes how the current endpoint ended. A report is a help, not a duty: without memory it stays
 * shorter. */
void pull_report_attempt(struct pull_report *r, const char *message)
{
	struct pull_attempt a, *attempts;

	if (!r->endpoint)
		return;
	attempts = reallocarray(r->attempts, r->nattempts + 1, sizeof(*attempts));
	if (!attempts)
		return;
	r->attempts = attempts;
	a.endpoint = strdup(r->endpoint);
	a.message = strdup(message);
	if (!a.endpoint || !a.message) {
		free(a.endpoint);
		free(a.message);
		return;
	}
	attempts[r->nattempts++] = a;
}

void pull_report_endpoint(struct pull_report *r, const char *url)
{
	free(r->endpoint);
	r->endpoint = strdup(url);
	r->notes = (struct registry_notes){.retry_after = 0};
	r->phase = IMAGE_PULL_PHASE_PING;
}

int new_puller(const struct pull_endpoint *endpoint, struct error **reterr)
{
	switch (endpoint->version) {
	case 2:
		return 0;
	case 1:
		return error_setf(reterr,
			"protocol version %d no longer supported. Please contact admins of "
			"registry %s",
			endpoint->version, endpoint->url);
	}
	return error_setf(
		reterr, "unknown version %d for registry %s", endpoint->version, endpoint->url);
}

/* APIVersion.String(). */
static const char *version_text(int version)
{
	return version == 2 ? "v2" : version == 1 ? "v1" : "";
}

int validate_repo_name(const struct reference *name, struct error **reterr)
{
	cleanup_free char *familiar = reference_familiar_name(name);

	if (!familiar)
		return error_set(reterr, &error_no_memory);
	if (!strcmp(familiar, NO_BASE_IMAGE_SPECIFIER))
		return error_set(reterr,
			error_wrap(ERROR_WITH_STACK, error_reserved_name(NO_BASE_IMAGE_SPECIFIER)));
	return 0;
}

void write_status(
	const struct pull_config *config, const char *requested_tag, bool layers_downloaded)
{
	cleanup_free char *text = str_printf("Status: %s for %s",
		layers_downloaded ? "Downloaded newer image" : "Image is up to date",
		requested_tag);

	/* Without memory the image is pulled all the same, only nobody hears of it. */
	if (text)
		progress_message(config->output, "", text);
}

int add_digest_reference(const struct pull_config *config, const struct reference *ref,
	const char *digest, const char *image_id, struct error **reterr)
{
	cleanup_reference struct reference *name = NULL, *digest_ref = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *old_id = NULL;

	if (reference_trim_named(ref, &name, reterr) < 0 ||
		reference_with_digest(name, digest, &digest_ref, reterr) < 0)
		return -1;
	if (engine_reference_get(config->reference_store, digest_ref, &old_id, &err) == 0) {
		/* Updating digests is not supported by the reference store. */
		if (strcmp(old_id, image_id))
			log_error(config->log,
				"Image ID for digest %s changed from %s to %s, cannot update",
				digest, old_id, image_id);
		return 0;
	}
	if (err != &err_reference_does_not_exist)
		return error_set(reterr, steal_ptr(&err));
	return engine_reference_add_digest(
		config->reference_store, digest_ref, image_id, true, reterr);
}

/* What Pull remembers from one endpoint to the next. */
struct pull_loop {
	const struct pull_config *config;
	const struct reference *ref;
	struct repository_info repo_info;
	struct pull_endpoint_list endpoints;
	struct error *last_err;
	/* Once an error of another kind was met, ErrNoSupport is not saved in last_err any more. */
	bool discard_no_support_errors;
	/* A v2 registry answered: no v1 endpoint is tried after that. */
	bool confirmed_v2;
	/* By endpoint: that host is known to use TLS, so plain http to it is skipped. */
	bool *confirmed_tls;
	/* Beyond the original: this one (IMAGE_PULL_ENDPOINT_ONCE) timed out at being connected. */
	const struct pull_endpoint *silent;
};

static bool tls_confirmed(const struct pull_loop *l, const char *host)
{
	size_t i;

	for (i = 0; i < l->endpoints.count; i++)
		if (l->confirmed_tls[i] && !strcmp(l->endpoints.items[i].host, host))
			return true;
	return false;
}

static bool skip_endpoint(const struct pull_loop *l, const struct pull_endpoint *e)
{
	if (l->config->require_schema2 && e->version == 1)
		return true;
	if (l->confirmed_v2 && e->version == 1) {
		log_debug(l->config->log,
			"Skipping v1 endpoint %s because v2 registry was detected", e->url);
		return true;
	}
	if (strcmp(e->scheme, "https") && tls_confirmed(l, e->host)) {
		log_debug(l->config->log,
			"Skipping non-TLS endpoint %s for host/port that appears to use TLS",
			e->url);
		return true;
	}
	if (e->once && l->silent && !strcmp(l->silent->host, e->host)) {
		log_debug(l->config->log, "Skipping endpoint %s: its host did not answer", e->url);
		return true;
	}
	return false;
}

static void save_error(struct pull_loop *l, struct error *err)
{
	error_unref(l->last_err);
	l->last_err = err;
}

/* The pull from endpoint i failed with err (taken over). True if the next one is to be tried, else
 * *reterr is what the pull ends with. */
static bool fall_back(struct pull_loop *l, size_t i, struct error *err, struct error **reterr)
{
	const struct pull_config *config = l->config;
	struct error *inner;

	pull_report_attempt(config->report, err->message);
	if (config->ctx->poll)
		config->ctx->poll(config->ctx->poll_arg);
	/* A cancelled pull doesn't fall back; nor is its error unwrapped then. */
	if (cancel_fired(config->ctx->cancel) || err->kind != ERROR_FALLBACK) {
		log_error(config->log, "Not continuing with pull after error: %s", err->message);
		error_set(reterr, translate_pull_error(err, l->ref, config->log));
		return false;
	}
	l->confirmed_v2 = l->confirmed_v2 || err->confirmed_v2;
	if (err->transport_ok && !strcmp(l->endpoints.items[i].scheme, "https"))
		l->confirmed_tls[i] = true;
	inner = error_ref(err->cause);
	error_unref(err);
	if (l->endpoints.items[i].once && http_is_dial_timeout(inner))
		l->silent = &l->endpoints.items[i];
	log_info(config->log, "Attempting next endpoint for pull after error: %s", inner->message);
	if (inner->kind != ERROR_NO_SUPPORT) {
		l->discard_no_support_errors = true;
		save_error(l, inner);
	} else if (!l->discard_no_support_errors) {
		save_error(l, inner);
	} else {
		error_unref(inner);
	}
	return true;
}

/* 1: pulled; 0: go on with the next endpoint; -1: the pull has failed. */
static int pull_from_endpoint(
	struct pull_loop *l, size_t i, const char *familiar_name, struct error **reterr)
{
	const struct pull_config *config = l->config;
	const struct pull_endpoint *e = &l->endpoints.items[i];
	cleanup_free char *familiar = NULL;
	struct error *err = NULL;

	log_debug(config->log, "Trying to pull %s from %s %s", familiar_name, e->url,
		version_text(e->version));
	pull_report_endpoint(config->report, e->url);
	if (new_puller(e, &err) < 0) {
		pull_report_attempt(config->report, err->message);
		save_error(l, err);
		return 0;
	}
	if (v2_puller_pull(config, e, &l->repo_info, l->ref, &err) < 0)
		return fall_back(l, i, err, reterr) ? 0 : -1;
	familiar = reference_familiar_string(l->ref);
	if (!familiar)
		return error_set(reterr, &error_no_memory);
	/* What was said before the event is to be heard before it. */
	output_pump(config->output);
	if (config->events->image_event && !config->plan)
		config->events->image_event(
			config->events->context, config->pull, familiar, familiar_name, "pull");
	return 1;
}

static int pull_from_endpoints(struct pull_loop *l, struct error **reterr)
{
	cleanup_free char *familiar_name = reference_familiar_name(l->repo_info.name);
	cleanup_free char *familiar = reference_familiar_string(l->ref);
	size_t i;
	int r;

	if (!familiar_name || !familiar)
		return error_set(reterr, &error_no_memory);
	for (i = 0; i < l->endpoints.count; i++) {
		if (skip_endpoint(l, &l->endpoints.items[i]))
			continue;
		r = pull_from_endpoint(l, i, familiar_name, reterr);
		if (r)
			return r < 0 ? -1 : 0;
	}
	if (!l->last_err)
		l->last_err = error_plainf("no endpoints found for %s", familiar);
	return error_set(
		reterr, translate_pull_error(steal_ptr(&l->last_err), l->ref, l->config->log));
}

int pull(const struct pull_config *config, const struct reference *ref, struct error **reterr)
{
	struct pull_loop l = {.config = config, .ref = ref};
	int r = -1;

	config->report->phase = IMAGE_PULL_PHASE_RESOLVE;
	if (engine_resolve_repository(config->registry_service, ref, &l.repo_info, reterr) < 0)
		return -1;
	if (validate_repo_name(l.repo_info.name, reterr) < 0 ||
		engine_lookup_reference_endpoints(
			config->registry_service, l.repo_info.name, ref, &l.endpoints, reterr) < 0)
		goto out;
	l.confirmed_tls = calloc(l.endpoints.count + 1, sizeof(*l.confirmed_tls));
	if (!l.confirmed_tls) {
		error_set(reterr, &error_no_memory);
		goto out;
	}
	r = pull_from_endpoints(&l, reterr);
out:
	error_unref(l.last_err);
	free(l.confirmed_tls);
	pull_endpoint_list_free(&l.endpoints);
	repository_info_free(&l.repo_info);
	return r;
}
