/* SPDX-License-Identifier: Apache-2.0 */
/* The one exported symbol, and what lies behind it. Go counterpart: the part of daemon/images that
 * makes an ImagePullConfig. */
#include "config.h"

#include "plugin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "base/context.h"
#include "engine.h"

#define DEFAULT_CONCURRENT_DOWNLOADS 3
#define DEFAULT_DOWNLOAD_ATTEMPTS 5
#define DEFAULT_CONNECT_TIMEOUT_MS 30000
#define DEFAULT_RETRY_TICK_MS 1000
/* How often events->cancelled is asked. */
#define CANCELLED_INTERVAL_MS 50
/* How long a ping or a manifest that is on its way may still decide how a cancelled pull ends. */
#define CANCEL_GRACE_MS 500

/* A pull that runs; on the stack of its thread. */
struct running_pull {
	struct image_pull_instance *instance;
	const void *cookie;
	struct cancel *cancel;         /* of the pull */
	struct cancel *request_cancel; /* fires CANCEL_GRACE_MS later */
	struct context ctx, request_ctx;
	struct output *output;
	int64_t asked_ms;     /* when events->cancelled was asked */
	int64_t cancelled_ms; /* when the pull's cancel was noticed; 0: not yet */
	int64_t deadline_ms;  /* 0: none */
	struct running_pull *prev, *next;
};

struct image_pull_instance {
	struct engine_tables tables;
	struct http_client *http;
	struct download_manager *downloads;
	char *runtime_os, *runtime_architecture;
	char *temp_dir, *partial_dir;
	atomic_uint pull_timeout_ms;
	pthread_mutex_t lock; /* guards running and the list's links */
	struct running_pull *running;
};

void table_copy(void *to, size_t size, const void *from)
{
	size_t struct_size = 0;

	memset(to, 0, size);
	if (!from)
		return;
	memcpy(&struct_size, from, sizeof(struct_size));
	memcpy(to, from, struct_size < size ? struct_size : size);
	memcpy(to, &size, sizeof(size));
}

/* ---- create, destroy */

static int check_tables(const struct engine_tables *t, struct error **reterr)
{
	const struct image_pull_layer_store *l = &t->layer_store;
	const char *missing = NULL;

	if (!t->registry_service.resolve_repository)
		missing = "registry_service.resolve_repository";
	else if (!t->registry_service.lookup_pull_endpoints)
		missing = "registry_service.lookup_pull_endpoints";
	else if (!t->image_store.put)
		missing = "image_store.put";
	else if (!t->image_store.get)
		missing = "image_store.get";
	else if (l->flags & ~(IMAGE_PULL_LAYER_STORE_STAGING | IMAGE_PULL_LAYER_STORE_ENCODED))
		return error_set(reterr,
			error_classf(CLASS_INVALID_PARAMETER,
				"the engine's layer store has flags that this plugin does not "
				"know: 0x%x",
				(unsigned)l->flags));
	else if (l->flags == IMAGE_PULL_LAYER_STORE_ENCODED)
		return error_set(reterr,
			error_classf(CLASS_INVALID_PARAMETER,
				"the engine's layer store decodes itself, but is of no staging "
				"kind"));
	else if (!(l->flags & IMAGE_PULL_LAYER_STORE_STAGING) && !l->register_layer)
		missing = "layer_store.register_layer";
	else if ((l->flags & IMAGE_PULL_LAYER_STORE_STAGING) &&
		 (!l->stage || !l->commit || !l->discard))
		missing = "layer_store.stage, commit or discard";
	if (!missing)
		return 0;
	return error_set(
		reterr, error_classf(CLASS_INVALID_PARAMETER, "the engine has no %s", missing));
}

static void copy_tables(const struct image_pull_engine *given, struct engine_tables *ret)
{
	struct image_pull_engine e;

	table_copy(&e, sizeof(e), given);
	table_copy(&ret->registry_service, sizeof(ret->registry_service), e.registry_service);
	table_copy(&ret->reference_store, sizeof(ret->reference_store), e.reference_store);
	table_copy(&ret->image_store, sizeof(ret->image_store), e.image_store);
	table_copy(&ret->layer_store, sizeof(ret->layer_store), e.layer_store);
	table_copy(&ret->metadata_store, sizeof(ret->metadata_store), e.metadata_store);
	table_copy(&ret->events, sizeof(ret->events), e.events);
	table_copy(&ret->options, sizeof(ret->options), e.options);
	table_copy(&ret->limits, sizeof(ret->limits), ret->options.limits);
	table_copy(&ret->bounds, sizeof(ret->bounds), ret->options.bounds);
}

/* An option, else the environment's variable of this name, in upper or lower case. */
static const char *proxy_option(const char *option, const char *upper, const char *lower)
{
	const char *value = option;

	if (!value)
		value = getenv(upper);
	if (!option && (!value || !*value))
		value = getenv(lower);
	return value ? value : "";
}

struct resolve_call {
	int (*add)(void *arg, const char *address);
	void *arg;
	bool failed;
};

static int resolved_value(void *receiver, const void *data, size_t size)
{
	struct resolve_call *call = receiver;
	cleanup_free char *address = strndup(size ? data : "", size);

	if (address && call->add(call->arg, address) == 0)
		return IMAGE_PULL_OK;
	call->failed = true;
	return IMAGE_PULL_NO_MEMORY;
}

static void resolved_message(void *receiver, const char *text)
{
	/* "no such host" is what the original says, whatever the reason. */
	(void)receiver;
	(void)text;
}

/* http_options.resolve over the engine's options.resolve. */
static int resolve(
	void *context, const char *host, int (*add)(void *arg, const char *address), void *arg)
{
	struct image_pull_instance *instance = context;
	struct resolve_call call = {.add = add, .arg = arg};
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = &call,
		.value = resolved_value,
		.message = resolved_message};
	const struct image_pull_options *o = &instance->tables.options;
	int code = o->resolve(o->resolve_context, host, &sink);

	return code == IMAGE_PULL_OK && !call.failed ? 0 : -1;
}

static struct http_policy network_policy(const struct image_pull_network *given)
{
	struct image_pull_network n;

	table_copy(&n, sizeof(n), given);
	return (struct http_policy){
		.retry_after = n.flags & IMAGE_PULL_NETWORK_RETRY_AFTER,
		.head_first = n.flags & IMAGE_PULL_NETWORK_HEAD_FIRST,
		.link_local_realms = n.flags & IMAGE_PULL_NETWORK_LINK_LOCAL_REALMS,
		.max_retries = n.max_retries,
		.max_retry_wait_ms = n.max_retry_wait_ms,
		.retry_backoff_ms = n.retry_backoff_ms,
		.tls_timeout_ms = n.tls_timeout_ms,
		.header_timeout_ms = n.header_timeout_ms,
		.min_speed_ms = n.min_speed_ms,
		.min_speed = n.min_speed,
		.max_speed = n.max_speed,
	};
}

static int create_http_client(struct image_pull_instance *instance, struct error **reterr)
{
	const struct image_pull_options *o = &instance->tables.options;
	const struct image_pull_limits *l = &instance->tables.limits;
	/* As Go: a CGI script's client could set HTTP_PROXY by a header. */
	const char *upper = getenv("REQUEST_METHOD") ? "http_proxy" : "HTTP_PROXY";
	const struct http_policy policy = network_policy(o->network);
	const struct http_options options = {
		.user_agent = o->user_agent ? o->user_agent : "towline/" PACKAGE_VERSION,
		.ca_bundle = o->ca_bundle,
		.resolve = o->resolve ? resolve : NULL,
		.resolve_context = instance,
		.http_proxy = proxy_option(o->http_proxy, upper, "http_proxy"),
		.https_proxy = proxy_option(o->https_proxy, "HTTPS_PROXY", "https_proxy"),
		.all_proxy = proxy_option(o->all_proxy, "ALL_PROXY", "all_proxy"),
		.no_proxy = proxy_option(o->no_proxy, "NO_PROXY", "no_proxy"),
		.connect_timeout_ms =
			l->connect_timeout_ms ? l->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS,
		.stall_timeout_ms = l->stall_timeout_ms,
		.max_connections = instance->tables.bounds.max_connections,
		.max_connections_per_host = instance->tables.bounds.max_connections_per_host,
		.policy = &policy,
	};

	instance->http = http_client_new(&options, reterr);
	return instance->http ? 0 : -1;
}

static int create_download_manager(struct image_pull_instance *instance, struct error **reterr)
{
	const struct image_pull_options *o = &instance->tables.options;
	const struct image_pull_limits *l = &instance->tables.limits;
	const struct download_config config = {
		.layer_store = &instance->tables.layer_store,
		.max_attempts = l->max_download_attempts ? l->max_download_attempts
							 : DEFAULT_DOWNLOAD_ATTEMPTS,
		.retry_tick_ms = o->retry_tick_ms ? o->retry_tick_ms : DEFAULT_RETRY_TICK_MS,
		.max_layer_size = l->max_layer_size,
		.max_layer_entries = instance->tables.bounds.max_layer_entries,
		.max_buffer_memory = instance->tables.bounds.max_buffer_memory,
		.temp_dir = instance->temp_dir,
		.partial = {instance->partial_dir, o->partial_quota, o->partial_max_age},
		.retry_on_error = retry_on_error,
	};

	instance->downloads = download_manager_new(&config,
		l->max_concurrent_downloads ? l->max_concurrent_downloads
					    : DEFAULT_CONCURRENT_DOWNLOADS,
		reterr);
	return instance->downloads ? 0 : -1;
}

static int fill_instance(struct image_pull_instance *instance, struct error **reterr)
{
	struct image_pull_options *o = &instance->tables.options;
	const char *temp_dir = o->temp_dir;

	if (!temp_dir || !*temp_dir)
		temp_dir = getenv("TMPDIR");
	instance->temp_dir = strdup(temp_dir && *temp_dir ? temp_dir : "/tmp");
	instance->runtime_os = strdup(o->runtime_os ? o->runtime_os : RUNTIME_OS);
	instance->runtime_architecture =
		strdup(o->runtime_architecture ? o->runtime_architecture : RUNTIME_ARCHITECTURE);
	if (o->partial_dir && *o->partial_dir)
		instance->partial_dir = strdup(o->partial_dir);
	if (!instance->temp_dir || !instance->runtime_os || !instance->runtime_architecture ||
		(o->partial_dir && *o->partial_dir && !instance->partial_dir))
		return error_set(reterr, &error_no_memory);
	if (create_http_client(instance, reterr) < 0 ||
		create_download_manager(instance, reterr) < 0)
		return -1;
	/* From here on only resolve and its context are of use; the rest is borrowed from create.
	 */
	*o = (struct image_pull_options){.struct_size = sizeof(*o),
		.resolve = o->resolve,
		.resolve_context = o->resolve_context};
	return 0;
}

static void plugin_destroy(struct image_pull_instance *instance)
{
	if (!instance)
		return;
	download_manager_free(instance->downloads);
	http_client_free(instance->http);
	free(instance->runtime_os);
	free(instance->runtime_architecture);
	free(instance->temp_dir);
	free(instance->partial_dir);
	pthread_mutex_destroy(&instance->lock);
	free(instance);
}

/* Hands err over to the engine. Always -1. */
static int fail(struct image_pull_error **error, struct error *err,
	const struct pull_report *report, bool cancelled)
{
	if (error)
		*error = plugin_error_new(err, report, cancelled);
	else
		error_unref(err);
	return -1;
}

static int plugin_create(const struct image_pull_engine *engine, struct image_pull_instance **ret,
	struct image_pull_error **error)
{
	struct image_pull_instance *instance;
	struct error *err = NULL;

	if (!engine || !ret)
		return fail(error, error_classf(CLASS_INVALID_PARAMETER, "no engine was given"),
			NULL, false);
	instance = calloc(1, sizeof(*instance));
	if (!instance)
		return fail(error, &error_no_memory, NULL, false);
	pthread_mutex_init(&instance->lock, NULL);
	copy_tables(engine, &instance->tables);
	instance->pull_timeout_ms = instance->tables.limits.pull_timeout_ms;
	if (check_tables(&instance->tables, &err) < 0 || fill_instance(instance, &err) < 0) {
		plugin_destroy(instance);
		return fail(error, err, NULL, false);
	}
	*ret = instance;
	return 0;
}

static void plugin_set_limits(
	struct image_pull_instance *instance, const struct image_pull_limits *limits)
{
	struct image_pull_limits l;

	if (!instance)
		return;
	table_copy(&l, sizeof(l), limits);
	http_client_set_timeouts(instance->http,
		l.connect_timeout_ms ? l.connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS,
		l.stall_timeout_ms);
	download_manager_set_limits(instance->downloads,
		l.max_concurrent_downloads ? l.max_concurrent_downloads
					   : DEFAULT_CONCURRENT_DOWNLOADS,
		l.max_download_attempts ? l.max_download_attempts : DEFAULT_DOWNLOAD_ATTEMPTS,
		l.max_layer_size);
	instance->pull_timeout_ms = l.pull_timeout_ms;
}

/* ---- what a running pull hears and says */

static void handle_progress(void *arg, const struct progress *p)
{
	struct running_pull *r = arg;
	const struct image_pull_events *e = &r->instance->tables.events;
	const struct image_pull_progress progress = {.struct_size = sizeof(progress),
		.id = p->id,
		.message = p->message,
		.action = p->action,
		.current = p->current,
		.total = p->total,
		.last_update = p->last_update};

	if (e->progress)
		e->progress(e->context, (void *)r->cookie, &progress);
}

static void handle_log(void *arg, enum log_level level, const char *text)
{
	struct running_pull *r = arg;
	const struct image_pull_events *e = &r->instance->tables.events;

	if (e->log)
		e->log(e->context, (void *)r->cookie, (int)level, text);
}

/* context.poll: on the pull's thread, whenever it waits. */
static void poll_pull(void *arg)
{
	struct running_pull *r = arg;
	const struct image_pull_events *e = &r->instance->tables.events;
	int64_t now = monotonic_ms();

	output_pump(r->output);
	if (e->cancelled && now - r->asked_ms >= CANCELLED_INTERVAL_MS &&
		!cancel_fired(r->cancel)) {
		r->asked_ms = now;
		if (e->cancelled(e->context, (void *)r->cookie))
			cancel_fire(r->cancel, &err_context_canceled);
	}
	if (r->deadline_ms && now >= r->deadline_ms) {
		cancel_fire(r->cancel, &err_context_deadline_exceeded);
		cancel_fire(r->request_cancel, &err_context_deadline_exceeded);
	}
	if (!cancel_fired(r->cancel))
		return;
	if (!r->cancelled_ms)
		r->cancelled_ms = now;
	if (now - r->cancelled_ms >= CANCEL_GRACE_MS)
		cancel_fire(r->request_cancel, cancel_error(r->cancel));
}

static int plugin_cancel(struct image_pull_instance *instance, const void *cookie)
{
	struct running_pull *r;
	int n = 0;

	if (!instance)
		return 0;
	pthread_mutex_lock(&instance->lock);
	for (r = instance->running; r; r = r->next) {
		if (cookie && r->cookie != cookie)
			continue;
		cancel_fire(r->cancel, &err_context_canceled);
		output_wake(r->output);
		n++;
	}
	pthread_mutex_unlock(&instance->lock);
	return n;
}

static int running_pull_begin(struct running_pull *r, struct image_pull_instance *instance,
	const void *cookie, struct error **reterr)
{
	const struct output_handler handler = {
		.progress = handle_progress, .log = handle_log, .arg = r};
	unsigned timeout = instance->pull_timeout_ms;

	r->instance = instance;
	r->cookie = cookie;
	r->deadline_ms = timeout ? monotonic_ms() + timeout : 0;
	r->asked_ms = monotonic_ms() - CANCELLED_INTERVAL_MS;
	r->cancel = cancel_new(NULL);
	r->request_cancel = cancel_new(NULL);
	if (!r->cancel || !r->request_cancel)
		return error_set(reterr, &error_no_memory);
	r->output = output_new(&handler, reterr);
	if (!r->output)
		return -1;
	r->ctx = (struct context){.cancel = r->cancel, .poll = poll_pull, .poll_arg = r};
	r->request_ctx =
		(struct context){.cancel = r->request_cancel, .poll = poll_pull, .poll_arg = r};
	pthread_mutex_lock(&instance->lock);
	r->next = instance->running;
	if (r->next)
		r->next->prev = r;
	instance->running = r;
	pthread_mutex_unlock(&instance->lock);
	return 0;
}

/* No callback runs any more once this has returned. */
static void running_pull_end(struct running_pull *r)
{
	struct image_pull_instance *instance = r->instance;

	if (r->output) {
		pthread_mutex_lock(&instance->lock);
		if (r->prev)
			r->prev->next = r->next;
		else
			instance->running = r->next;
		if (r->next)
			r->next->prev = r->prev;
		pthread_mutex_unlock(&instance->lock);
		output_pump(r->output);
		output_close(r->output);
		output_unref(r->output);
	}
	cancel_unref(r->cancel);
	cancel_unref(r->request_cancel);
}

/* ---- the hook */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void copy_auth(const struct image_pull_auth *given, struct auth_config *ret)
{
	struct image_pull_auth a;

	table_copy(&a, sizeof(a), given);
	ret->username = or_empty(a.username);
	ret->password = or_empty(a.password);
	ret->identity_token = or_empty(a.identity_token);
	ret->registry_token = or_empty(a.registry_token);
}

static void copy_platform(const struct image_pull_platform *given, struct platform *ret)
{
	struct image_pull_platform p;

	table_copy(&p, sizeof(p), given);
	ret->os = or_empty(p.os);
	ret->architecture = or_empty(p.architecture);
	ret->variant = or_empty(p.variant);
	ret->os_version = or_empty(p.os_version);
}

static int copy_meta_headers(
	const struct image_pull_request *request, struct header_list *ret, struct error **reterr)
{
	size_t i;

	for (i = 0; request->meta_headers && i < request->nmeta_headers; i++)
		if (header_add(ret, request->meta_headers[i].name, request->meta_headers[i].value,
			    reterr) < 0)
			return -1;
	return 0;
}

/* Everything about one pull that lives as long as it does. */
struct pull_call {
	struct running_pull running;
	struct pull_report report;
	struct header_list meta_headers;
	struct platform platform;
	struct reference *ref;
	struct pull_config config;
};

static void fill_config(struct pull_call *call, struct image_pull_instance *instance,
	const struct image_pull_request *request)
{
	struct pull_config *c = &call->config;

	c->registry_service = &instance->tables.registry_service;
	c->reference_store = &instance->tables.reference_store;
	c->image_store = &instance->tables.image_store;
	c->metadata_store = &instance->tables.metadata_store;
	c->events = &instance->tables.events;
	c->pull = request->pull;
	c->http = instance->http;
	c->downloads = instance->downloads;
	c->output = call->running.output;
	c->log = output_log(call->running.output);
	c->ctx = &call->running.ctx;
	c->request_ctx = &call->running.request_ctx;
	c->runtime =
		(struct platform){instance->runtime_os, instance->runtime_architecture, "", ""};
	if (request->platform) {
		copy_platform(request->platform, &call->platform);
		c->platform = &call->platform;
	}
	copy_auth(request->auth, &c->auth);
	c->meta_headers = &call->meta_headers;
	c->require_schema2 = request->require_schema2;
	c->schema2_types = request->schema2_types;
	c->nschema2_types = request->nschema2_types;
	c->layer_store = &instance->tables.layer_store;
	c->plan = request->plan;
	c->report = &call->report;
}

static int pull_call_run(struct pull_call *call, struct image_pull_instance *instance,
	const struct image_pull_request *request, struct error **reterr)
{
	struct error *err = NULL;

	call->report.phase = IMAGE_PULL_PHASE_RESOLVE;
	if (!request->reference)
		return error_set(
			reterr, error_classf(CLASS_INVALID_PARAMETER, "no reference was given"));
	if (reference_parse_normalized_named(request->reference, &call->ref, &err) < 0)
		return error_set(reterr, err == &error_no_memory
						 ? err
						 : error_errdefs(CLASS_INVALID_PARAMETER, err));
	if (copy_meta_headers(request, &call->meta_headers, reterr) < 0 ||
		running_pull_begin(&call->running, instance, request->pull, reterr) < 0)
		return -1;
	fill_config(call, instance, request);
	/* A pull that was cancelled before it began knows it from the start. */
	poll_pull(&call->running);
	return pull(&call->config, call->ref, reterr);
}

/* The end of each call that has an error to give. */
static int pull_call_end(
	struct pull_call *call, int r, struct error *err, struct image_pull_error **error)
{
	bool cancelled =
		call->running.cancel && cancel_error(call->running.cancel) == &err_context_canceled;

	running_pull_end(&call->running);
	if (r < 0)
		fail(error, err, &call->report, cancelled);
	pull_report_free(&call->report);
	header_list_free(&call->meta_headers);
	reference_free(call->ref);
	return r;
}

static int plugin_image_pull(struct image_pull_instance *instance,
	const struct image_pull_request *given, struct image_pull_error **error)
{
	struct image_pull_request request;
	struct pull_call call = {.running.instance = instance};
	struct error *err = NULL;
	int r;

	if (!instance || !given)
		return fail(error,
			error_classf(
				CLASS_INVALID_PARAMETER, "no instance or no request was given"),
			NULL, false);
	table_copy(&request, sizeof(request), given);
	r = pull_call_run(&call, instance, &request, &err);
	return pull_call_end(&call, r, err, error);
}

static int login_call_run(struct pull_call *call, struct image_pull_instance *instance,
	const struct image_pull_login *given, char **ret_token, struct error **reterr)
{
	const struct image_pull_request request = {
		.struct_size = sizeof(request), .pull = given->pull, .auth = given->auth};

	call->report.phase = IMAGE_PULL_PHASE_RESOLVE;
	if (!given->hostname || !*given->hostname)
		return error_set(
			reterr, error_classf(CLASS_INVALID_PARAMETER, "no registry was given"));
	if (running_pull_begin(&call->running, instance, given->pull, reterr) < 0)
		return -1;
	fill_config(call, instance, &request);
	poll_pull(&call->running);
	return login(&call->config, given->hostname, ret_token, reterr);
}

static int plugin_login(struct image_pull_instance *instance, const struct image_pull_login *given,
	const struct image_pull_sink *sink, struct image_pull_error **error)
{
	struct image_pull_login copy;
	struct pull_call call = {.running.instance = instance};
	struct error *err = NULL;
	char *token = NULL;
	int r;

	if (!instance || !given)
		return fail(error,
			error_classf(CLASS_INVALID_PARAMETER, "no instance or no login was given"),
			NULL, false);
	table_copy(&copy, sizeof(copy), given);
	r = login_call_run(&call, instance, &copy, &token, &err);
	if (r == 0 && token && sink && sink->value &&
		sink->value(sink->receiver, token, strlen(token)) != IMAGE_PULL_OK)
		r = error_set(&err, &error_no_memory);
	secret_free(token);
	return pull_call_end(&call, r, err, error);
}

#define EXPORTED __attribute__((visibility("default")))

extern const struct image_pull_plugin image_pull_plugin EXPORTED;
const struct image_pull_plugin image_pull_plugin = {
	.magic = IMAGE_PULL_MAGIC,
	.abi_major = IMAGE_PULL_ABI_MAJOR,
	.abi_minor = IMAGE_PULL_ABI_MINOR,
	.struct_size = sizeof(image_pull_plugin),
	.name = "towline",
	.version = PACKAGE_VERSION,
	.create = plugin_create,
	.image_pull = plugin_image_pull,
	.cancel = plugin_cancel,
	.set_limits = plugin_set_limits,
	.destroy = plugin_destroy,
	.error_info = plugin_error_info,
	.error_free = plugin_error_free,
	.login = plugin_login,
};
