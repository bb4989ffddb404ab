/* SPDX-License-Identifier: Apache-2.0 */
/* How a container of an image begins. Go counterparts: the image specification's conversion.md,
 * daemon/oci_linux.go (withCommonOptions). */
#include "config.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "image_user.h"
#include "images.h"
#include "sink.h"
#include "store.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct process {
	struct towline_process value;
	struct image_user ids;
	/* What the value's members point to. */
	const char **args, **env;
	char *cwd, *user, *stop_signal;
};

static void list_free(const char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free((char *)list[i]);
	free(list);
}

/* Room for n more, besides the NULL at the end. */
static int list_grow(const char ***list, size_t have, size_t n, struct error **reterr)
{
	const char **grown = reallocarray(*list, have + n + 1, sizeof(*grown));

	if (!grown)
		return error_set(reterr, &error_no_memory);
	memset(grown + have, 0, (n + 1) * sizeof(*grown));
	*list = grown;
	return 0;
}

static int list_add(const char **list, size_t *n, const char *text, struct error **reterr)
{
	list[*n] = strdup(text);
	if (!list[*n])
		return error_set(reterr, &error_no_memory);
	++*n;
	return 0;
}

/* A string that a process can be given: it ends at its first NUL there. */
static int check_text(const char *what, const struct json_value *v, struct error **reterr)
{
	return strlen(v->text) == v->size
		       ? 0
		       : error_set(reterr, error_classf(CLASS_INVALID_PARAMETER,
						   "the image's %s has a NUL byte", what));
}

/* The strings of an array. Others than strings are refused by the parser of images, and passed over
 * here. */
static int add_strings(const struct json_value *config, const char *key, const char ***list,
	size_t *n, struct error **reterr)
{
	const struct json_value *v = json_get(config, key);

	if (!v || v->type != JSON_ARRAY)
		return 0;
	if (list_grow(list, *n, v->count, reterr) < 0)
		return -1;
	for (size_t i = 0; i < v->count; i++)
		if (v->items[i].type == JSON_STRING &&
			(check_text(key, &v->items[i], reterr) < 0 ||
				list_add(*list, n, v->items[i].text, reterr) < 0))
			return -1;
	return 0;
}

static int get_string(
	const struct json_value *config, const char *key, char **ret, struct error **reterr)
{
	const struct json_value *v = json_get(config, key);
	bool is_string = v && v->type == JSON_STRING;

	if (is_string && check_text(key, v, reterr) < 0)
		return -1;
	*ret = strdup(is_string ? v->text : "");
	return *ret ? 0 : error_set(reterr, &error_no_memory);
}

static bool has_path(const struct json_value *env)
{
	for (size_t i = 0; env && env->type == JSON_ARRAY && i < env->count; i++)
		if (env->items[i].type == JSON_STRING &&
			str_has_prefix(env->items[i].text, "PATH="))
			return true;
	return false;
}

static int fill_lists(struct process *p, const struct json_value *config, struct error **reterr)
{
	size_t n = 0;

	if (add_strings(config, "Entrypoint", &p->args, &n, reterr) < 0 ||
		add_strings(config, "Cmd", &p->args, &n, reterr) < 0)
		return -1;
	if (!n && (list_grow(&p->args, 0, 1, reterr) < 0 ||
			  list_add(p->args, &n, "/bin/sh", reterr) < 0))
		return -1;
	n = 0;
	if (!has_path(json_get(config, "Env")) &&
		(list_grow(&p->env, 0, 1, reterr) < 0 ||
			list_add(p->env, &n, DEFAULT_PATH, reterr) < 0))
		return -1;
	return add_strings(config, "Env", &p->env, &n, reterr);
}

static int fill(
	struct process *p, const struct json_value *image, int rootfs, struct error **reterr)
{
	const struct json_value *config = json_get(image, "config");
	cleanup_free char *cwd = NULL;

	if (fill_lists(p, config, reterr) < 0 ||
		get_string(config, "WorkingDir", &cwd, reterr) < 0 ||
		get_string(config, "User", &p->user, reterr) < 0 ||
		get_string(config, "StopSignal", &p->stop_signal, reterr) < 0 ||
		image_user_resolve(rootfs, p->user, &p->ids, reterr) < 0)
		return -1;
	/* Runtimes want it absolute; a relative one is so from the root. */
	p->cwd = str_printf("/%s", cwd[0] == '/' ? cwd + 1 : cwd);
	if (!p->cwd)
		return error_set(reterr, &error_no_memory);
	p->value = (struct towline_process){
		.struct_size = sizeof(p->value),
		.args = p->args,
		.env = p->env,
		.cwd = p->cwd,
		.user = p->user,
		.uid = p->ids.uid,
		.gid = p->ids.gid,
		.groups = p->ids.groups,
		.ngroups = p->ids.ngroups,
		.stop_signal = p->stop_signal,
	};
	return 0;
}

int process_new(
	const struct json_value *image, int rootfs, struct process **ret, struct error **reterr)
{
	cleanup_process struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return error_set(reterr, &error_no_memory);
	if (fill(p, image, rootfs, reterr) < 0)
		return -1;
	*ret = steal_ptr(&p);
	return 0;
}

void process_free(struct process *process)
{
	if (!process)
		return;
	list_free(process->args);
	list_free(process->env);
	free(process->cwd);
	free(process->user);
	free(process->stop_signal);
	free(process);
}

const struct towline_process *process_value(const struct process *process)
{
	return &process->value;
}

static int get(struct towline_store *store, const char *name, const char *rootfs,
	struct process **ret, struct error **reterr)
{
	cleanup_stored_image struct stored_image *image = NULL;
	cleanup_close int fd = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char id[DIGEST_MAX];

	if (fd < 0)
		return error_set(reterr, error_path("open", rootfs, error_errno(errno)));
	if (images_resolve(store, name, id, reterr) < 0 ||
		stored_image_get(store, id, &image, reterr) < 0)
		return -1;
	return process_new(json_root(image->json), fd, ret, reterr);
}

int towline_process(struct towline_store *store, const char *name, const char *rootfs,
	const struct image_pull_sink *sink)
{
	cleanup_process struct process *process = NULL;
	struct error *err = NULL;

	return get(store, name, rootfs, &process, &err) < 0
		       ? sink_error(sink, err)
		       : sink_value(sink, &process->value, sizeof(process->value));
}
