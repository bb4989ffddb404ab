/* SPDX-License-Identifier: Apache-2.0 */
/* new_puller, validate_repo_name, pull_loop. */
#include <string.h>

#include "engine.h"
#include "tables.h"

static int in_number(const struct json_value *in, const char *key)
{
	const struct json_value *v = json_get_exact(in, key);
	int64_t n = 0;

	return v && json_int64(v, &n) ? (int)n : 0;
}

int table_new_puller(const struct json_value *in, struct buf *out)
{
	struct pull_endpoint endpoint = {.version = in_number(in, "version")};
	cleanup_free char *url = in_string(in, "url", NULL);
	cleanup_error struct error *err = NULL;

	if (!url || pull_endpoint_set_url(&endpoint, url, NULL) < 0)
		return table_failf(out, "no usable \"url\"");
	(void)new_puller(&endpoint, &err);
	pull_endpoint_free(&endpoint);
	out_open(out, NULL, '{');
	out_error(out, "error", err);
	out_close(out, '}');
	return 0;
}

int table_validate_repo_name(const struct json_value *in, struct buf *out)
{
	cleanup_free char *text = in_string(in, "ref", NULL);
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;

	if (!text || reference_parse_normalized_named(text, &ref, NULL) < 0)
		return table_failf(out, "no usable \"ref\"");
	(void)validate_repo_name(ref, &err);
	out_open(out, NULL, '{');
	out_error(out, "error", err);
	out_close(out, '}');
	return 0;
}

/* ---- pull_loop: a made-up registry service, and endpoints where nothing listens */

struct loop {
	const struct json_value *in;
	struct buf logs, events, progress;
};

/* The error under key as what an engine answers. */
static int answer_error(
	const struct json_value *in, const char *key, const struct image_pull_sink *sink)
{
	static const int codes[] = {
		[CLASS_NOT_FOUND] = IMAGE_PULL_NOT_FOUND,
		[CLASS_INVALID_PARAMETER] = IMAGE_PULL_INVALID,
		[CLASS_CONFLICT] = IMAGE_PULL_CONFLICT,
		[CLASS_UNAUTHORIZED] = IMAGE_PULL_UNAUTHORIZED,
		[CLASS_UNAVAILABLE] = IMAGE_PULL_UNAVAILABLE,
		[CLASS_FORBIDDEN] = IMAGE_PULL_FORBIDDEN,
	};
	const struct json_value *v = json_get_exact(in, key);
	const char *bad = NULL;
	cleanup_error struct error *err = v ? error_tree_build(v, &bad) : NULL;
	enum error_class cls;

	if (bad) {
		sink->message(sink->receiver, bad);
		return IMAGE_PULL_FAILED;
	}
	if (!err)
		return IMAGE_PULL_OK;
	sink->message(sink->receiver, err->message);
	cls = error_class_of(err);
	return cls < ARRAY_SIZE(codes) && codes[cls] ? codes[cls] : IMAGE_PULL_FAILED;
}

static int resolve_repository(
	void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct loop *l = context;
	struct image_pull_repository_info info = {.struct_size = sizeof(info), .class_name = ""};
	cleanup_reference struct reference *ref = NULL;
	int r = answer_error(l->in, "resolve_error", sink);

	if (r != IMAGE_PULL_OK)
		return r;
	if (reference_parse_normalized_named(reference, &ref, NULL) < 0)
		return IMAGE_PULL_FAILED;
	info.name = ref->name;
	return sink->value(sink->receiver, &info, sizeof(info));
}

static int lookup_pull_endpoints(
	void *context, const char *hostname, const struct image_pull_sink *sink)
{
	struct loop *l = context;
	const struct json_value *list = json_get_exact(l->in, "endpoints");
	int r = answer_error(l->in, "lookup_error", sink);

	(void)hostname;
	for (size_t i = 0; list && i < list->count && r == IMAGE_PULL_OK; i++) {
		struct image_pull_endpoint e = {.struct_size = sizeof(e), .trim_hostname = 1};
		cleanup_free char *url = in_string(&list->items[i], "url", NULL);

		e.url = url;
		e.version = in_number(&list->items[i], "version");
		e.mirror = in_bool(&list->items[i], "mirror");
		r = sink->value(sink->receiver, &e, sizeof(e));
	}
	return r;
}

static void on_progress(void *arg, const struct progress *p)
{
	struct loop *l = arg;

	buf_appendf(&l->progress, "%s %s%s\n", p->id, p->message, p->action);
}

static void on_log(void *arg, enum log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info"};
	struct loop *l = arg;

	if (level == LOG_LEVEL_DEBUG)
		return;
	out_open(&l->logs, NULL, '{');
	out_string(&l->logs, "level", names[level]);
	out_string(&l->logs, "msg", text);
	out_close(&l->logs, '}');
}

static void on_image_event(
	void *context, void *cookie, const char *id, const char *name, const char *action)
{
	struct loop *l = context;

	(void)cookie;
	out_open(&l->events, NULL, '{');
	out_string(&l->events, "action", action);
	out_string(&l->events, "id", id);
	out_string(&l->events, "name", name);
	out_close(&l->events, '}');
}

/* Pull() for this case; its error in *reterr. */
static int run_loop(struct loop *l, const struct reference *ref, struct error **reterr)
{
	const struct image_pull_registry_service service = {.struct_size = sizeof(service),
		.context = l,
		.resolve_repository = resolve_repository,
		.lookup_pull_endpoints = lookup_pull_endpoints};
	const struct image_pull_events events = {
		.struct_size = sizeof(events), .context = l, .image_event = on_image_event};
	const struct output_handler handler = {.progress = on_progress, .log = on_log, .arg = l};
	const struct http_options options = {.user_agent = "test"};
	struct header_list no_headers = {0};
	struct pull_report report = {0};
	struct cancel *cancel = cancel_new(NULL);
	struct context ctx = {.cancel = cancel}, request_ctx = {0};
	struct output *output = output_new(&handler, reterr);
	struct http_client *http = http_client_new(&options, reterr);
	int r = -1;

	if (cancel && output && http) {
		const struct pull_config config = {.registry_service = &service,
			.events = &events,
			.http = http,
			.output = output,
			.log = output_log(output),
			.ctx = &ctx,
			.request_ctx = &request_ctx,
			.runtime = {"linux", "amd64", "", ""},
			.auth = {"", "", "", ""},
			.meta_headers = &no_headers,
			.require_schema2 = in_bool(l->in, "require_schema2"),
			.report = &report};

		if (in_bool(l->in, "cancelled"))
			cancel_fire(cancel, &err_context_canceled);
		r = pull(&config, ref, reterr);
		output_pump(output);
		output_close(output);
	}
	pull_report_free(&report);
	http_client_free(http);
	output_unref(output);
	cancel_unref(cancel);
	return r;
}

int table_pull_loop(const struct json_value *in, struct buf *out)
{
	struct loop l = {.in = in};
	cleanup_free char *text = in_string(in, "ref", NULL);
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;

	if (!text || reference_parse_normalized_named(text, &ref, NULL) < 0)
		return table_failf(out, "no usable \"ref\"");
	out_open(&l.logs, NULL, '[');
	out_open(&l.events, NULL, '[');
	(void)run_loop(&l, ref, &err);
	out_close(&l.logs, ']');
	out_close(&l.events, ']');
	out_open(out, NULL, '{');
	out_error(out, "error", err);
	out_raw(out, "events", l.events.data, l.events.size);
	out_raw(out, "logs", l.logs.data, l.logs.size);
	/* The recorded stream is Docker's JSON; none of these pulls comes so far. */
	out_string(out, "progress", l.progress.data ? l.progress.data : "");
	out_close(out, '}');
	buf_free(&l.logs);
	buf_free(&l.events);
	buf_free(&l.progress);
	return 0;
}
