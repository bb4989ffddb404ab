/* SPDX-License-Identifier: Apache-2.0 */
/* What every host does with libtowline around a pull. Go counterparts: daemon.NewDaemon,
 * daemon/images/image_pull.go. */
#include "config.h"

#include "host.h"

#include "common/userns.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int host_registry_service(const struct towline_config *config, const char *ca,
	const struct image_pull_events *events, struct towline_registry_service **ret,
	const struct image_pull_sink *sink)
{
	const struct towline_registry_options options = {
		.struct_size = sizeof(options),
		.mirrors = config->registry_mirrors,
		.insecure_registries = config->insecure_registries,
		.allow_nondistributable_artifacts = config->allow_nondistributable_artifacts,
		.certs_dirs = config->certs_dirs,
		.default_registry = config->default_registry,
		.no_insecure_loopback = !config->insecure_loopback,
		.registries = config->registries,
		.extra_ca = ca,
		.cancelled = events ? events->cancelled : NULL,
		.cancelled_context = events ? events->context : NULL,
	};

	return towline_registry_service_new(&options, ret, sink);
}

/* ---- a store that has nothing, and takes nothing */

static int have_nothing(void *context, const char *id, const struct image_pull_sink *sink)
{
	(void)context;
	(void)id;
	(void)sink;
	return IMAGE_PULL_NOT_FOUND;
}

static int take_nothing(const struct image_pull_sink *sink)
{
	sink->message(sink->receiver, "there is no store");
	return IMAGE_PULL_FAILED;
}

static int put_nothing(
	void *context, const void *config, size_t size, const struct image_pull_sink *sink)
{
	(void)context;
	(void)config;
	(void)size;
	return take_nothing(sink);
}

static int register_nothing(void *context, const struct image_pull_reader *reader,
	const char *parent, const struct image_pull_descriptor *descriptor,
	const struct image_pull_sink *sink)
{
	(void)context;
	(void)reader;
	(void)parent;
	(void)descriptor;
	return take_nothing(sink);
}

static const struct image_pull_image_store no_images = {
	.struct_size = sizeof(no_images), .put = put_nothing, .get = have_nothing};
static const struct image_pull_layer_store no_layers = {
	.struct_size = sizeof(no_layers), .register_layer = register_nothing};

int host_instance(const struct host_parts *parts, struct image_pull_instance **ret,
	const struct image_pull_sink *sink)
{
	const struct towline_config *config = parts->config;
	struct image_pull_limits limits = config->limits;
	struct image_pull_options options = {
		.struct_size = sizeof(options),
		.user_agent = config->user_agent,
		.ca_bundle = config->ca_bundle,
		.http_proxy = config->http_proxy,
		.https_proxy = config->https_proxy,
		.no_proxy = config->no_proxy,
		.temp_dir = config->temp_dir,
		.retry_tick_ms = parts->retry_tick_ms,
		.limits = &limits,
		.network = config->network,
		.bounds = config->bounds,
	};
	const struct image_pull_engine engine = {
		.struct_size = sizeof(engine),
		.registry_service = towline_registry_service_table(parts->registry_service),
		.reference_store = parts->store ? towline_store_references(parts->store) : NULL,
		.image_store = parts->store ? towline_store_images(parts->store) : &no_images,
		.layer_store = parts->store ? towline_store_layers(parts->store) : &no_layers,
		.metadata_store = parts->store ? towline_store_metadata(parts->store) : NULL,
		.events = parts->events,
		.options = &options,
	};
	struct image_pull_error *error = NULL;

	if (config->resume && parts->store) {
		options.partial_dir = towline_store_partial_dir(parts->store);
		options.partial_quota = config->resume_quota;
		options.partial_max_age = config->resume_max_age;
	}
	if (parts->timeout_ms)
		limits.pull_timeout_ms = parts->timeout_ms;
	if (parts->plugin->create(&engine, ret, &error) == 0)
		return IMAGE_PULL_OK;
	sink->message(sink->receiver,
		error ? parts->plugin->error_info(error)->message : "the plugin could not start");
	parts->plugin->error_free(error);
	return IMAGE_PULL_FAILED;
}

/* ---- platforms */

struct platform_keeper {
	struct host_platform *platform;
	const struct image_pull_sink *sink;
};

static int keep_platform(void *receiver, const void *data, size_t size)
{
	struct host_platform *p = ((struct platform_keeper *)receiver)->platform;
	const struct image_pull_platform *given = data;
	const char *const texts[3] = {given->os, given->architecture, given->variant};

	(void)size; /* this library's header is ours */
	for (size_t i = 0; i < 3; i++) {
		free(p->texts[i]);
		p->texts[i] = strdup(texts[i]);
		if (!p->texts[i])
			return IMAGE_PULL_NO_MEMORY;
	}
	p->platform = (struct image_pull_platform){
		.struct_size = sizeof(p->platform),
		.os = p->texts[0],
		.architecture = p->texts[1],
		.variant = p->texts[2],
		.os_version = "",
	};
	return IMAGE_PULL_OK;
}

static void pass_platform_message(void *receiver, const char *text)
{
	const struct platform_keeper *k = receiver;

	k->sink->message(k->sink->receiver, text);
}

int host_platform_parse(
	struct host_platform *p, const char *text, const struct image_pull_sink *sink)
{
	struct platform_keeper keeper = {p, sink};
	const struct image_pull_sink keeping = {.struct_size = sizeof(keeping),
		.receiver = &keeper,
		.value = keep_platform,
		.message = pass_platform_message};

	return towline_platform_parse(text, &keeping);
}

void host_platform_free(struct host_platform *p)
{
	for (size_t i = 0; i < 3; i++)
		free(p->texts[i]);
	*p = (struct host_platform){.texts = {NULL}};
}

/* ---- credentials */

void host_wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

int host_credentials_keep(struct host_credentials *c, const struct image_pull_auth *auth)
{
	const char *const given[4] = {
		auth->username, auth->password, auth->identity_token, auth->registry_token};

	for (size_t i = 0; i < 4; i++) {
		host_wipe(c->texts[i]);
		c->texts[i] = given[i] ? strdup(given[i]) : NULL;
		if (given[i] && !c->texts[i])
			return IMAGE_PULL_NO_MEMORY;
	}
	c->auth = (struct image_pull_auth){
		.struct_size = sizeof(c->auth),
		.username = c->texts[0],
		.password = c->texts[1],
		.identity_token = c->texts[2],
		.registry_token = c->texts[3],
	};
	c->found = true;
	return IMAGE_PULL_OK;
}

/* A sink that keeps credentials, and hands messages on. */
struct keeper {
	struct host_credentials *credentials;
	const struct image_pull_sink *sink;
};

static int keep(void *receiver, const void *data, size_t size)
{
	struct keeper *k = receiver;

	(void)size; /* this library's header is ours */
	return host_credentials_keep(k->credentials, data);
}

static void pass_on(void *receiver, const char *text)
{
	struct keeper *k = receiver;

	k->sink->message(k->sink->receiver, text);
}

int host_credentials_find(struct host_credentials *c, const char *authfile, const char *reference,
	const struct image_pull_sink *sink)
{
	struct keeper keeper = {c, sink};
	const struct image_pull_sink keeping = {.struct_size = sizeof(keeping),
		.receiver = &keeper,
		.value = keep,
		.message = pass_on};
	int code;

	host_credentials_forget(c);
	code = towline_credentials(authfile, reference, &keeping);
	if (code != IMAGE_PULL_OK)
		host_credentials_forget(c);
	return code;
}

void host_credentials_forget(struct host_credentials *c)
{
	for (size_t i = 0; i < 4; i++)
		host_wipe(c->texts[i]);
	*c = (struct host_credentials){.found = false};
}

/* ---- the whole */

char *host_registry_of(const char *address)
{
	const char *scheme = address ? strstr(address, "://") : NULL;

	if (!address || !*address)
		return strdup("docker.io");
	if (scheme)
		address = scheme + 3;
	return strndup(address, strcspn(address, "/?#"));
}

static int failed(struct host *host, const char *message)
{
	free(host->message);
	host->message = strdup(message);
	return -1;
}

/* What a call of libtowline answered; text is done with. */
static int judge(struct host *host, struct towline_text *text, int code)
{
	int n = code == IMAGE_PULL_OK ? 0 : failed(host, towline_text_message(text, code));

	towline_text_free(text);
	return n;
}

int host_open(struct host *host, const char *config_file, const char *data_root)
{
	struct towline_store_options options = {.struct_size = sizeof(options)};
	struct towline_text text;
	const char *problem;

	towline_text_init(&text);
	if (judge(host, &text, towline_config_load(config_file, &host->config, &text.sink)) < 0) {
		host->config = NULL;
		return -1;
	}
	if (host->userns)
		(void)userns_enter(&problem); /* without: some files can't be kept, or be read */
	options.root = data_root ? data_root : host->config->data_root;
	options.fast = !host->config->durable;
	options.read_only = host->read_only;
	options.unpacker = host->config->confine ? host->config->unpacker : NULL;
	towline_text_init(&text);
	if (judge(host, &text, towline_store_open(&options, &host->store, &text.sink)) < 0) {
		host->store = NULL;
		return -1;
	}
	return 0;
}

static void warn(const struct host_request *request, const char *message)
{
	const struct image_pull_events *events = request->events;

	if (events && events->log)
		events->log(events->context, NULL, IMAGE_PULL_LOG_ERROR, message);
}

/* As docker does: what is wrong with the user's own file is said, and the pull goes on without. One
 * that was named must do. */
static int find_credentials(
	struct host *host, const struct host_request *request, struct host_credentials *ret)
{
	struct towline_text text;
	int code;

	if (request->auth)
		return host_credentials_keep(ret, request->auth) == IMAGE_PULL_OK
			       ? 0
			       : failed(host, "out of memory");
	towline_text_init(&text);
	code = host_credentials_find(ret, request->authfile, host->reference, &text.sink);
	if (code == IMAGE_PULL_NOT_FOUND)
		code = IMAGE_PULL_OK;
	/* but for want of memory: they may be there, and good */
	if (code != IMAGE_PULL_OK && code != IMAGE_PULL_NO_MEMORY && !request->authfile) {
		warn(request, towline_text_message(&text, code));
		code = IMAGE_PULL_OK;
	}
	return judge(host, &text, code);
}

static int pull(struct host *host, const struct host_request *request, struct host_parts *parts,
	struct image_pull_instance **instance)
{
	struct host_credentials credentials = {.found = false};
	struct image_pull_request pull = {
		.struct_size = sizeof(pull), .reference = host->reference, .pull = host};
	struct image_pull_error *error = NULL;
	struct towline_text text;
	int code, n;

	towline_text_init(&text);
	code = towline_plugin_load(host->config->plugin_path, &parts->plugin, &text.sink);
	if (code == IMAGE_PULL_OK)
		code = host_registry_service(host->config, request->ca, request->events,
			&parts->registry_service, &text.sink);
	if (code == IMAGE_PULL_OK)
		code = host_instance(parts, instance, &text.sink);
	if (judge(host, &text, code) < 0)
		return -1;
	n = find_credentials(host, request, &credentials);
	if (n == 0) {
		pull.auth = credentials.found ? &credentials.auth : NULL;
		if (parts->plugin->image_pull(*instance, &pull, &error) != 0)
			n = failed(host, error ? parts->plugin->error_info(error)->message
					       : "out of memory");
		parts->plugin->error_free(error);
	}
	host_credentials_forget(&credentials);
	return n;
}

int host_pull(struct host *host, const struct host_request *request)
{
	struct host_parts parts = {.config = host->config,
		.store = host->store,
		.events = request->events,
		.timeout_ms = request->timeout_ms,
		.retry_tick_ms = request->retry_tick_ms};
	struct image_pull_instance *instance = NULL;
	struct towline_text text;
	int code, n;

	towline_text_init(&text);
	code = towline_reference_normalize(request->reference, 1, &text.sink);
	if (code == IMAGE_PULL_OK) {
		free(host->reference);
		host->reference = strdup(text.value);
	}
	if (judge(host, &text, code) < 0)
		return -1;
	if (!host->reference)
		return failed(host, "out of memory");
	if (!request->always &&
		towline_image_get(host->store, host->reference, NULL) == IMAGE_PULL_OK)
		return 0;
	if (host->read_only)
		return failed(host, "the image is not in the store, which is for reading only");
	n = pull(host, request, &parts, &instance);
	if (parts.plugin)
		parts.plugin->destroy(instance);
	towline_registry_service_free(parts.registry_service);
	return n;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	(void)remove(path); /* what stays is seen where its folder does */
	return 0;
}

void host_remove_tree(const char *path)
{
	(void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int has_content(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)path;
	(void)at;
	return kind == FTW_F && (!S_ISREG(st->st_mode) || st->st_size > 0);
}

bool host_rootfs_filled(const char *path)
{
	return nftw(path, has_content, 16, FTW_PHYS) == 1;
}

static int failed_errno(struct host *host, const char *path)
{
	char text[PATH_MAX + 128];

	snprintf(text, sizeof(text), "%s: %s", path, strerror(errno));
	return failed(host, text);
}

int host_rootfs(struct host *host, const char *path)
{
	size_t size = strlen(path);
	struct towline_text text;
	char *folder, *whole;
	int n = 0;

	while (size > 1 && path[size - 1] == '/')
		size--;
	folder = malloc(size + sizeof(".towline-XXXXXX"));
	whole = malloc(size + sizeof(".towline-XXXXXX/rootfs"));
	if (!folder || !whole) {
		n = failed(host, "out of memory");
	} else {
		sprintf(folder, "%.*s.towline-XXXXXX", (int)size, path);
		n = mkdtemp(folder) ? 0 : failed_errno(host, folder);
	}
	if (n == 0) {
		sprintf(whole, "%s/rootfs", folder);
		towline_text_init(&text);
		n = judge(host, &text,
			towline_rootfs(host->store, host->reference, whole, &text.sink));
		if (n == 0 && !host_rootfs_filled(path))
			host_remove_tree(path);
		if (n == 0 && rename(whole, path) < 0)
			n = failed_errno(host, path);
		host_remove_tree(folder);
	}
	free(folder);
	free(whole);
	return n;
}

const char *host_message(const struct host *host)
{
	return host->message ? host->message : "out of memory";
}

void host_close(struct host *host)
{
	towline_store_close(host->store);
	towline_config_free(host->config);
	free(host->reference);
	free(host->message);
	*host = (struct host){.store = NULL};
}
