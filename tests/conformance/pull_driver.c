/* SPDX-License-Identifier: Apache-2.0 */
/* pull_driver PLUGIN: one whole pull. The first line of stdin is the set-up as JSON (scenarios.py
 * makes it), a later line "cancel" cancels the pull; stdout gets one JSON object that tells
 * everything the engine saw. With --no-memory the pull is made again and again, with one more place
 * in the plugin out of memory each time. It knows the plugin by image_pull.h alone. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fakes/fail_malloc.h"
#include "file.h"
#include "image_pull.h"
#include "pull_stores.h"
#include "reference_store.h"
#include "tables.h"
#include "towline.h"

struct driver {
	struct pull_stores stores;
	struct reference_store *references;
	const struct json_value *setup;
	const struct image_pull_plugin *plugin;
	pthread_mutex_t instance_mutex; /* guards instance against a late cancel */
	struct image_pull_instance *instance;
	atomic_int cancelled;
	bool cancel_by_call;
	int cookie; /* its address is the pull's cookie */
	/* Elements of JSON arrays. */
	struct buf progress, logs, debug_logs, events, refstore_calls, pulled;
};

static const char *setup_text(const struct driver *d, const char *key)
{
	return json_get_string(d->setup, key, NULL);
}

static int complain(const char *what, const char *text)
{
	fprintf(stderr, "pull_driver: %s: %s\n", what, text ? text : "out of memory");
	return -1;
}

/* ---- what the pull says */

static void check_pull(struct driver *d, void *pull, const char *callback)
{
	pull_stores_check_thread(&d->stores, callback);
	if (pull != &d->cookie)
		pull_stores_violation(&d->stores, "%s: another cookie", callback);
}

static void on_progress(void *context, void *pull, const struct image_pull_progress *progress)
{
	struct driver *d = context;
	struct towline_text text = {0};

	check_pull(d, pull, "events.progress");
	towline_text_init(&text);
	if (towline_progress_json(progress, &text.sink) != IMAGE_PULL_OK)
		pull_stores_violation(
			&d->stores, "towline_progress_json: %s", text.message ? text.message : "?");
	else
		out_bytes(&d->progress, NULL, text.value, text.value_size);
	towline_text_free(&text);
}

static void on_event(
	void *context, void *pull, const char *id, const char *name, const char *action)
{
	struct driver *d = context;

	check_pull(d, pull, "events.image_event");
	out_open(&d->events, NULL, '{');
	out_string(&d->events, "id", id);
	out_string(&d->events, "name", name);
	out_string(&d->events, "action", action);
	out_close(&d->events, '}');
}

static void on_pulled(void *context, void *pull, const struct image_pull_summary *summary)
{
	struct driver *d = context;

	check_pull(d, pull, "events.pulled");
	out_open(&d->pulled, NULL, '{');
	out_string(&d->pulled, "reference", summary->reference);
	out_string(&d->pulled, "image_id", summary->image_id);
	out_string(&d->pulled, "manifest_digest", summary->manifest_digest);
	out_bool(&d->pulled, "updated", summary->updated);
	out_close(&d->pulled, '}');
}

static void on_log(void *context, void *pull, int level, const char *message)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	struct driver *d = context;
	struct buf *lines = level == IMAGE_PULL_LOG_DEBUG ? &d->debug_logs : &d->logs;

	check_pull(d, pull, "events.log");
	if (level < 0 || level > IMAGE_PULL_LOG_DEBUG) {
		pull_stores_violation(&d->stores, "a log line of level %d", level);
		return;
	}
	out_open(lines, NULL, '{');
	out_string(lines, "level", names[level]);
	out_string(lines, "msg", message);
	out_close(lines, '}');
}

static int on_cancelled(void *context, void *pull)
{
	struct driver *d = context;

	check_pull(d, pull, "events.cancelled");
	return atomic_load(&d->cancelled);
}

/* ---- the reference store: the original's, through libtowline, with a record of the calls */

static int code_of(const struct error *err)
{
	switch (error_class_of(err)) {
	case CLASS_NOT_FOUND:
		return IMAGE_PULL_NOT_FOUND;
	case CLASS_CONFLICT:
		return IMAGE_PULL_CONFLICT;
	case CLASS_INVALID_PARAMETER:
		return IMAGE_PULL_INVALID;
	default:
		return IMAGE_PULL_FAILED;
	}
}

/* Note a call and hand on what it gave. force < 0: it has none. */
static int refstore_done(struct driver *d, const char *op, const char *reference, const char *image,
	int force, const struct error *err, const struct image_pull_sink *sink)
{
	struct buf *calls = &d->refstore_calls;

	pull_stores_check_thread(&d->stores, op);
	out_open(calls, NULL, '{');
	out_string(calls, "op", op);
	out_string(calls, "ref", reference);
	out_string(calls, "image", image);
	if (force >= 0)
		out_bool(calls, "force", force);
	out_error(calls, "error", err);
	out_close(calls, '}');
	if (!err)
		return force < 0 ? sink->value(sink->receiver, image, strlen(image))
				 : IMAGE_PULL_OK;
	sink->message(sink->receiver, err->message);
	return code_of(err);
}

/* References come back as the plugin wrote them, so that they can be parsed as normalised ones. */
static int refstore_get(void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct driver *d = context;
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *id = NULL;

	if (!reference_parse_normalized_named(reference, &ref, &err))
		(void)reference_store_get(d->references, ref, &id, &err); /* told by err */
	return refstore_done(d, "get", reference, id ? id : "", -1, err, sink);
}

static int refstore_add(struct driver *d, bool by_digest, const char *reference,
	const char *image_id, int force, const struct image_pull_sink *sink)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_error struct error *err = NULL;

	if (reference_parse_normalized_named(reference, &ref, &err) == 0)
		(void)(by_digest ? reference_store_add_digest(
					   d->references, ref, image_id, force, &err)
				 : reference_store_add_tag(
					   d->references, ref, image_id, force, &err));
	return refstore_done(d, by_digest ? "add_digest" : "add_tag", reference, image_id,
		force != 0, err, sink);
}

static int refstore_add_tag(void *context, const char *reference, const char *image_id, int force,
	const struct image_pull_sink *sink)
{
	return refstore_add(context, /* by_digest= */ false, reference, image_id, force, sink);
}

static int refstore_add_digest(void *context, const char *reference, const char *image_id,
	int force, const struct image_pull_sink *sink)
{
	return refstore_add(context, /* by_digest= */ true, reference, image_id, force, sink);
}

/* ---- names: only those of the set-up resolve */

static int resolve(void *context, const char *host, const struct image_pull_sink *sink)
{
	const struct driver *d = context;
	const struct json_value *dns = json_get_exact(d->setup, "dns");
	const struct json_value *addresses = dns ? json_get_exact(dns, host) : NULL;

	for (size_t i = 0; addresses && i < addresses->count; i++)
		if (sink->value(sink->receiver, addresses->items[i].text,
			    addresses->items[i].size) != IMAGE_PULL_OK)
			return IMAGE_PULL_NO_MEMORY;
	if (addresses && addresses->count)
		return IMAGE_PULL_OK;
	sink->message(sink->receiver, "no such host");
	return IMAGE_PULL_NOT_FOUND;
}

/* ---- set-up */

/* A list of texts, NULL-terminated; NULL if the set-up has none. Freed by free(). */
static const char **setup_list(const struct driver *d, const char *key)
{
	const struct json_value *v = json_get_exact(d->setup, key);
	const char **list;

	if (!v || v->type != JSON_ARRAY)
		return NULL;
	list = calloc(v->count + 1, sizeof(*list));
	for (size_t i = 0; list && i < v->count; i++)
		list[i] = v->items[i].text;
	return list;
}

static int64_t setup_int(const struct driver *d, const char *key)
{
	const struct json_value *v = json_get_exact(d->setup, key);
	int64_t n = 0;

	return v && json_int64(v, &n) ? n : 0;
}

static int make_service(struct driver *d, struct towline_registry_service **ret)
{
	cleanup_free const char **mirrors = setup_list(d, "mirrors");
	cleanup_free const char **insecure = setup_list(d, "insecure_registries");
	cleanup_free const char **artifacts = setup_list(d, "allow_nondistributable_artifacts");
	cleanup_free const char **certs = setup_list(d, "certs_dirs");
	struct towline_registry_options options = {
		.struct_size = sizeof(options),
		.mirrors = mirrors,
		.insecure_registries = insecure,
		.allow_nondistributable_artifacts = artifacts,
		.certs_dirs = certs,
		.default_registry = setup_text(d, "default_registry"),
		.resolve = resolve,
		.resolve_context = d,
	};
	struct towline_text text = {0};
	int code;

	towline_text_init(&text);
	code = towline_registry_service_new(&options, ret, &text.sink);
	if (code != IMAGE_PULL_OK)
		complain("registry service", towline_text_message(&text, code));
	towline_text_free(&text);
	return code == IMAGE_PULL_OK ? 0 : -1;
}

static int load_plugin(struct driver *d, const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return complain("dlopen", dlerror());
	d->plugin = dlsym(library, IMAGE_PULL_SYMBOL);
	if (!d->plugin)
		return complain("dlsym", dlerror());
	if (d->plugin->magic != IMAGE_PULL_MAGIC || d->plugin->abi_major != IMAGE_PULL_ABI_MAJOR ||
		d->plugin->struct_size < sizeof(*d->plugin))
		return complain(path, "not a plugin of this ABI");
	return 0;
}

static const char *message_of(const struct driver *d, const struct image_pull_error *error)
{
	return error ? d->plugin->error_info(error)->message : "";
}

static int create_instance(struct driver *d, struct towline_registry_service *service,
	struct image_pull_error **ret_error)
{
	struct image_pull_limits limits = {.struct_size = sizeof(limits),
		.max_concurrent_downloads = (uint32_t)setup_int(d, "concurrency")};
	struct image_pull_options options = {
		.struct_size = sizeof(options),
		.ca_bundle = setup_text(d, "ca_bundle"),
		.retry_tick_ms = (uint32_t)setup_int(d, "tick_ms"),
		.resolve = resolve,
		.resolve_context = d,
		.http_proxy = "",
		.https_proxy = "",
		.all_proxy = "",
		.no_proxy = "",
		.temp_dir = setup_text(d, "temp_dir"),
		.runtime_os = "linux",
		.runtime_architecture = "amd64",
		.limits = &limits,
	};
	struct image_pull_reference_store references = {.struct_size = sizeof(references),
		.context = d,
		.get = refstore_get,
		.add_tag = refstore_add_tag,
		.add_digest = refstore_add_digest};
	struct image_pull_events events = {.struct_size = sizeof(events),
		.context = d,
		.progress = on_progress,
		.image_event = on_event,
		.pulled = on_pulled,
		.log = on_log,
		.cancelled = on_cancelled};
	struct image_pull_engine engine = {
		.struct_size = sizeof(engine),
		.registry_service = towline_registry_service_table(service),
		.reference_store =
			in_bool(d->setup, "without_reference_store") ? NULL : &references,
		.image_store = &d->stores.image_store,
		.layer_store = &d->stores.layer_store,
		.metadata_store = &d->stores.metadata_store,
		.events = &events,
		.options = &options,
	};

	return d->plugin->create(&engine, &d->instance, ret_error);
}

/* ---- cancelling */

static void *read_commands(void *arg)
{
	struct driver *d = arg;
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "cancel\n"))
			continue;
		if (!d->cancel_by_call) {
			atomic_store(&d->cancelled, 1);
			continue;
		}
		pthread_mutex_lock(&d->instance_mutex);
		if (d->instance)
			d->plugin->cancel(d->instance, &d->cookie);
		pthread_mutex_unlock(&d->instance_mutex);
	}
	return NULL;
}

/* ---- the pull */

static void read_platform(const struct driver *d, struct image_pull_platform *ret)
{
	const struct json_value *v = json_get_exact(d->setup, "platform");

	*ret = (struct image_pull_platform){
		.struct_size = sizeof(*ret),
		.os = json_get_string(v, "os", ""),
		.architecture = json_get_string(v, "architecture", ""),
		.variant = json_get_string(v, "variant", ""),
		.os_version = json_get_string(v, "os.version", ""),
	};
}

static void read_auth(const struct driver *d, struct image_pull_auth *ret)
{
	const struct json_value *v = json_get_exact(d->setup, "auth");

	*ret = (struct image_pull_auth){
		.struct_size = sizeof(*ret),
		.username = json_get_string(v, "username", NULL),
		.password = json_get_string(v, "password", NULL),
		.identity_token = json_get_string(v, "identitytoken", NULL),
		.registry_token = json_get_string(v, "registrytoken", NULL),
	};
}

static bool is_object(const struct driver *d, const char *key)
{
	const struct json_value *v = json_get_exact(d->setup, key);

	return v && v->type == JSON_OBJECT;
}

static size_t list_length(const char **list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int run_pull(struct driver *d, struct image_pull_error **ret_error)
{
	const struct json_value *headers = json_get_exact(d->setup, "meta_headers");
	size_t nheaders = headers && headers->type == JSON_ARRAY ? headers->count : 0;
	cleanup_free struct image_pull_header *meta = calloc(nheaders + 1, sizeof(*meta));
	cleanup_free const char **types = setup_list(d, "schema2_types");
	struct image_pull_platform platform;
	struct image_pull_auth auth;
	struct image_pull_request request = {
		.struct_size = sizeof(request),
		.reference = setup_text(d, "ref"),
		.pull = &d->cookie,
		.platform = is_object(d, "platform") ? &platform : NULL,
		.auth = is_object(d, "auth") ? &auth : NULL,
		.meta_headers = meta,
		.nmeta_headers = nheaders,
		.require_schema2 = in_bool(d->setup, "require_schema2"),
		.schema2_types = types,
		.nschema2_types = list_length(types),
	};

	if (!meta)
		return complain("pull", NULL);
	for (size_t i = 0; i < nheaders; i++) {
		const struct json_value *pair = &headers->items[i];

		if (pair->count != 2)
			return complain("meta_headers", "no pair");
		meta[i] = (struct image_pull_header){pair->items[0].text, pair->items[1].text};
	}
	if (request.platform)
		read_platform(d, &platform);
	if (request.auth)
		read_auth(d, &auth);
	if (d->plugin->image_pull(d->instance, &request, ret_error) && !*ret_error)
		pull_stores_violation(&d->stores, "a failure without an error");
	return 0;
}

static void print_pull_error(
	const struct driver *d, struct buf *out, const struct image_pull_error *error)
{
	const struct image_pull_error_info *info;

	if (!error) {
		out_string(out, "error", NULL);
		return;
	}
	info = d->plugin->error_info(error);
	out_open(out, "error", '{');
	out_string(out, "message", info->message);
	out_string(out, "class", error_class_name((enum error_class)info->error_class));
	out_close(out, '}');
	out_open(out, "error_info", '{');
	out_bool(out, "cancelled", info->cancelled);
	out_int(out, "phase", info->phase);
	out_string(out, "endpoint", info->endpoint);
	out_int(out, "http_status", info->http_status);
	out_string(out, "registry_code", info->registry_code);
	out_open(out, "attempts", '[');
	for (size_t i = 0; i < info->nattempts; i++) {
		out_open(out, NULL, '{');
		out_string(out, "endpoint", info->attempts[i]->endpoint);
		out_string(out, "message", info->attempts[i]->message);
		out_close(out, '}');
	}
	out_close(out, ']');
	out_close(out, '}');
}

static void print_array(struct buf *out, const char *key, struct buf *elements)
{
	out_open(out, key, '[');
	buf_append(out, elements->data, elements->size);
	out_close(out, ']');
	buf_free(elements);
}

static int print_result(struct driver *d, const struct image_pull_error *error)
{
	struct buf out = {0};

	out_open(&out, NULL, '{');
	print_pull_error(d, &out, error);
	print_array(&out, "progress", &d->progress);
	print_array(&out, "logs", &d->logs);
	print_array(&out, "debug_logs", &d->debug_logs);
	print_array(&out, "events", &d->events);
	print_array(&out, "refstore_calls", &d->refstore_calls);
	print_array(&out, "pulled", &d->pulled);
	pull_stores_print(&d->stores, &out);
	out_close(&out, '}');
	if (out.oom) {
		buf_free(&out);
		return complain("result", NULL);
	}
	puts(out.data);
	buf_free(&out);
	return 0;
}

static int open_stores(struct driver *d, struct towline_registry_service **ret_service)
{
	cleanup_error struct error *err = NULL;

	if (pull_stores_init(&d->stores, in_bool(d->setup, "staging"), setup_text(d, "unpacker")) <
		0)
		return complain("stores", NULL);
	if (pull_stores_fill(&d->stores, d->setup) < 0)
		return -1;
	if (!setup_text(d, "repositories") ||
		reference_store_open(setup_text(d, "repositories"), REFERENCE_STORE_FAST,
			&d->references, &err) < 0)
		return complain("reference store", err ? err->message : "not named");
	return make_service(d, ret_service);
}

static int run(struct driver *d)
{
	const struct json_value *cancel = json_get_exact(d->setup, "cancel");
	struct towline_registry_service *service = NULL;
	struct image_pull_instance *instance;
	struct image_pull_error *error = NULL;
	pthread_t commands;
	int ret = -1;

	d->cancel_by_call = in_bool(d->setup, "cancel_by_call");
	atomic_store(&d->cancelled, cancel && in_bool(cancel, "before"));
	if (open_stores(d, &service) < 0)
		return -1;
	if (create_instance(d, service, &error) == 0) {
		if (pthread_create(&commands, NULL, read_commands, d) == 0)
			pthread_detach(commands);
		ret = run_pull(d, &error);
		pthread_mutex_lock(&d->instance_mutex);
		instance = d->instance;
		d->instance = NULL;
		pthread_mutex_unlock(&d->instance_mutex);
		/* What workers do after the pull counts as well. */
		d->plugin->destroy(instance);
		if (!ret)
			ret = print_result(d, error);
	} else {
		complain("create", message_of(d, error));
	}
	d->plugin->error_free(error);
	towline_registry_service_free(service);
	reference_store_free(d->references);
	return ret;
}

/* ---- memory that runs out */

/* One pull in which one allocation of the plugin fails (but in the first one, which tells the
 * outcome), then the same pull again by the same instance, which must end as the first one did.
 * Returns 1 if there was an allocation left to fail. */
static int no_memory_round(const struct driver *like, char **outcome)
{
	struct driver *d = calloc(1, sizeof(*d));
	struct towline_registry_service *service = NULL;
	struct image_pull_error *error = NULL;
	bool struck, first = !*outcome;
	int ret = -1;

	if (!d)
		return complain("round", NULL);
	d->setup = like->setup;
	d->plugin = like->plugin;
	pthread_mutex_init(&d->instance_mutex, NULL);
	if (open_stores(d, &service) < 0)
		goto out;
	fail_malloc_begin(!first);
	if (create_instance(d, service, &error) == 0)
		run_pull(d, &error);
	struck = fail_malloc_pause();
	if (first)
		*outcome = strdup(message_of(d, error));
	ret = struck;
	if (struck && error && !*message_of(d, error))
		ret = complain("out of memory", "an error without a message");
	if (!struck && strcmp(message_of(d, error), *outcome) != 0)
		ret = complain("another outcome", message_of(d, error));
	if (struck && d->instance) {
		d->plugin->error_free(error);
		error = NULL;
		run_pull(d, &error);
		if (strcmp(message_of(d, error), *outcome) != 0)
			ret = complain("again, by the same instance", message_of(d, error));
	}
	d->plugin->destroy(d->instance);
	d->plugin->error_free(error);
	if (fail_malloc_end() && !first)
		ret = complain("out of memory", "a leak");
	if (d->stores.violations.size)
		ret = complain("violation", d->stores.violations.data);
	if (ret < 0)
		fail_malloc_explain();
out:
	towline_registry_service_free(service);
	reference_store_free(d->references);
	pull_stores_free(&d->stores);
	buf_free(&d->progress);
	buf_free(&d->logs);
	buf_free(&d->debug_logs);
	buf_free(&d->events);
	buf_free(&d->refstore_calls);
	buf_free(&d->pulled);
	free(d);
	return ret;
}

/* Every call stack of the plugin that allocates fails once. */
static int run_out_of_memory(const struct driver *d)
{
	cleanup_free char *outcome = NULL;
	cleanup_free char *repositories = NULL;
	cleanup_error struct error *err = NULL;
	const char *path = setup_text(d, "repositories");
	size_t size = 0;
	int ret, bad = 0, rounds = 0;

	if (!fail_malloc_available) {
		puts("{\"skipped\":\"sanitizers have a malloc of their own\"}");
		return 0;
	}
	if (!path || fail_malloc_watch(d->plugin) < 0)
		return complain("watch", "no such library");
	if (access(path, F_OK) == 0 && file_read(path, 1 << 20, &repositories, &size, &err) < 0)
		return complain(path, err->message);
	do {
		if (repositories
				? file_write_atomic(path, repositories, size, 0600, false, &err) < 0
				: unlink(path) < 0 && errno != ENOENT)
			return complain(path, err ? err->message : "cannot be removed");
		ret = no_memory_round(d, &outcome);
		bad += ret < 0;
	} while (bad < 10 && (ret != 0 || rounds++ == 0));
	printf("{\"stacks\":%zu,\"outcome\":%s}\n", fail_malloc_stacks(),
		*outcome ? "\"error\"" : "\"ok\"");
	return bad ? -1 : 0;
}

int main(int argc, char **argv)
{
	cleanup_json struct json *json = NULL;
	cleanup_error struct error *err = NULL;
	/* static: the thread that reads commands outlives main */
	static struct driver d = {.instance_mutex = PTHREAD_MUTEX_INITIALIZER};
	char *line = NULL;
	size_t capacity = 0;
	ssize_t size;
	int ret;

	bool no_memory = argc == 3 && strcmp(argv[1], "--no-memory") == 0;

	if (argc != 2 && !no_memory) {
		fprintf(stderr, "usage: pull_driver [--no-memory] PLUGIN < SETUP\n");
		return 2;
	}
	size = getline(&line, &capacity, stdin);
	if (size <= 0 || json_parse(line, (size_t)size, &json, &err) < 0) {
		complain("set-up", err ? err->message : "nothing to read");
		free(line);
		return 1;
	}
	d.setup = json_root(json);
	ret = load_plugin(&d, argv[argc - 1]) < 0 ? -1
	      : no_memory                         ? run_out_of_memory(&d)
						  : run(&d);
	free(line);
	/* Not freed: a cancel that comes now may still look at the stores. */
	return ret < 0;
}
