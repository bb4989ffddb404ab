/* SPDX-License-Identifier: Apache-2.0 */
/* crun_pull.so, the other half of crun's handler: the annotated image is pulled, its files become
 * the container's root, its process fills what config.json leaves open. Counterpart: none. */
#include "config.h"

#include "adapter.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int container_failed(struct container *c, const char *format, ...)
{
	va_list ap;

	free(c->message);
	va_start(ap, format);
	if (vasprintf(&c->message, format, ap) < 0)
		c->message = NULL;
	va_end(ap);
	return -1;
}

static const char *annotation(const struct container *c, const char *name)
{
	return config_text(c->config, "annotations", name);
}

/* Ctrl-C: crun has blocked all signals. They are looked at and stay pending, for crun hands them to
 * the container once there is one. What is ignored (nohup) is as good as not there. */
static int on_cancelled(void *context, void *pull)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action;
	sigset_t pending;

	(void)context;
	(void)pull;
	if (sigpending(&pending) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigismember(&pending, numbers[i]) == 1 &&
			sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			return 1;
	return 0;
}

/* ---- what is asked for */

/* The path of what crun keeps of this container, if that is there; for free(). */
static char *state_file(const struct crun_context *context, const char *file)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *root = context->state_root ? context->state_root : "crun";
	char *path;

	if (!runtime || !*runtime)
		runtime = "/run";
	if (asprintf(&path, "%s%s%s/%s/%s", context->state_root ? "" : runtime,
		    context->state_root ? "" : "/", root, context->id, file) < 0)
		return NULL;
	if (access(path, F_OK) < 0) {
		free(path);
		path = NULL;
	}
	return path;
}

/* crun's own copy of what it has read, which need not be the bundle's (crun run --config FILE). */
static int read_config(struct container *c, const struct crun_context *context)
{
	char *path = state_file(context, "config.json");
	FILE *file = fopen(path ? path : "config.json", "re");
	char *text = NULL, why[256] = "";
	size_t room = 0;

	/* There is no NUL in it. */
	if (!file || getdelim(&text, &room, '\0', file) < 0)
		(void)container_failed(c, "config.json: %s", strerror(errno));
	else if (!(c->config = yajl_tree_parse(text, why, sizeof(why))))
		(void)container_failed(c, "config.json: %s", why);
	if (file)
		fclose(file);
	free(text);
	free(path);
	return c->config ? 0 : -1;
}

static int read_rootfs(struct container *c)
{
	const char *path = config_text(c->config, "root", "path");

	if (!path || !*path)
		return container_failed(c, "config.json has no root.path");
	/* A link is followed, so that it stays one. */
	c->rootfs = realpath(path, NULL);
	if (!c->rootfs && errno == ENOENT)
		c->rootfs = strdup(path);
	if (!c->rootfs)
		return container_failed(c, "%s: %s", path, strerror(errno));
	c->filled = host_rootfs_filled(c->rootfs);
	return 0;
}

/* Who may set annotations is not always who may choose the code that root runs: a file that one
 * names must be root's or ours. */
static int vet_file(struct container *c, const char *path)
{
	struct stat st;

	if (!path)
		return 0;
	if (path[0] != '/')
		return container_failed(c, "%s is no absolute path", path);
	if (stat(path, &st) < 0)
		return container_failed(c, "%s: %s", path, strerror(errno));
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return container_failed(c, "%s can be changed by others", path);
	return 0;
}

static int read_request(struct container *c, struct host_request *request)
{
	const char *process = annotation(c, "org.towline.process");
	const char *policy = annotation(c, "org.towline.pull");
	const char *deadline = annotation(c, "org.towline.deadline");
	char *end = NULL;
	unsigned long seconds = deadline ? strtoul(deadline, &end, 10) : 0;

	request->reference = annotation(c, "org.towline.image");
	request->authfile = annotation(c, "org.towline.authfile");
	request->always = policy && strcmp(policy, "always") == 0 && !c->filled;
	request->timeout_ms = (uint32_t)seconds * 1000;
	if (!request->reference)
		return container_failed(c, "the annotation org.towline.image is missing");
	if (process && strcmp(process, "none") != 0 && strcmp(process, "image") != 0)
		return container_failed(c, "org.towline.process is image or none, not %s", process);
	if (policy && strcmp(policy, "missing") != 0 && strcmp(policy, "always") != 0)
		return container_failed(c, "org.towline.pull is missing or always, not %s", policy);
	if (deadline && (*deadline < '0' || *deadline > '9' || *end || !seconds ||
				seconds > UINT32_MAX / 1000))
		return container_failed(
			c, "org.towline.deadline is a number of seconds, not %s", deadline);
	if (!process || strcmp(process, "none") != 0)
		c->open = config_open(c->config);
	if (!c->filled && geteuid() == 0 && config_maps_users(c->config))
		return container_failed(c, "files for a container with uidMappings can't be made");
	return vet_file(c, request->authfile);
}

/* ---- what is done */

static int take_process(void *receiver, const void *data, size_t size)
{
	(void)size; /* this library's header is ours */
	return definition_fill(receiver, data) < 0 ? IMAGE_PULL_NO_MEMORY : IMAGE_PULL_OK;
}

static void take_message(void *receiver, const char *text)
{
	(void)container_failed(receiver, "%s", text);
}

static int prepare(struct container *c, const struct crun_context *context)
{
	const struct image_pull_events events = {
		.struct_size = sizeof(events), .cancelled = on_cancelled};
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = c,
		.value = take_process,
		.message = take_message};
	struct host_request request = {.events = &events};
	const char *config;

	if (read_config(c, context) < 0 || read_rootfs(c) < 0 || read_request(c, &request) < 0)
		return -1;
	if (c->filled && !c->open)
		return 0;
	config = annotation(c, "org.towline.config");
	if (vet_file(c, config) < 0)
		return -1;
	if (host_open(&c->host, config, NULL) < 0 || host_pull(&c->host, &request) < 0 ||
		(!c->filled && host_rootfs(&c->host, c->rootfs) < 0))
		return container_failed(c, "%s", host_message(&c->host));
	if (c->open && towline_process(c->host.store, c->host.reference, c->rootfs, &sink) !=
			       IMAGE_PULL_OK)
		return -1;
	return on_cancelled(NULL, NULL) ? container_failed(c, "interrupted") : 0;
}

__attribute__((visibility("default"))) char *towline_crun_prepare(
	const struct crun_context *context, void *definition)
{
	struct container c = {.definition = definition};
	char *status = state_file(context, "status");
	/* crun update asks as well: that container runs already. */
	bool runs = status != NULL;
	int n;

	free(status);
	if (runs)
		return NULL;
	n = prepare(&c, context);
	host_close(&c.host);
	yajl_tree_free(c.config);
	free(c.rootfs);
	if (n < 0)
		return c.message ? c.message : strdup("out of memory");
	free(c.message);
	return NULL;
}
