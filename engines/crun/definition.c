/* SPDX-License-Identifier: Apache-2.0 */
/* A container's configuration: the text, and what crun has made of it. Its types are generated
 * (libocispec's runtime_spec_schema_config_schema.h) and belong to no interface; what is used of
 * them, the beginning of three structs, has been the same in crun 1.8 to 1.21, but for a user's two
 * forms. Nothing is taken on trust: what is used must say what the text says before anything is
 * written, and is looked at through the kernel, so that a crun of another make gets an error, not a
 * crash. */
#include "config.h"

#include "adapter.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- the text */

static yajl_val get(yajl_val v, const char *section, const char *name)
{
	const char *path[] = {section, name, NULL};

	return yajl_tree_get(v, path, yajl_t_any);
}

const char *config_text(yajl_val v, const char *section, const char *name)
{
	return YAJL_GET_STRING(get(v, section, name));
}

static size_t count(yajl_val v)
{
	return YAJL_IS_ARRAY(v) ? YAJL_GET_ARRAY(v)->len : 0;
}

static bool is_zero(yajl_val v)
{
	return YAJL_IS_INTEGER(v) && YAJL_GET_INTEGER(v) == 0;
}

bool config_maps_users(yajl_val config)
{
	yajl_val uids = get(config, "linux", "uidMappings");

	for (size_t i = 0; i < count(uids); i++) {
		yajl_val here = get(YAJL_GET_ARRAY(uids)->values[i], "containerID", NULL);
		yajl_val there = get(YAJL_GET_ARRAY(uids)->values[i], "hostID", NULL);

		if (!YAJL_IS_INTEGER(here) || !YAJL_IS_INTEGER(there) ||
			YAJL_GET_INTEGER(here) != YAJL_GET_INTEGER(there))
			return true;
	}
	return false;
}

int config_open(yajl_val config)
{
	const char *cwd = config_text(config, "process", "cwd");
	yajl_val user = get(config, "process", "user");
	yajl_val groups = get(user, "additionalGids", NULL);
	int open = OPEN_ENV;

	if (!count(get(config, "process", "args")))
		open |= OPEN_ARGS;
	if (cwd && strcmp(cwd, "/") == 0)
		open |= OPEN_CWD;
	if (is_zero(get(user, "uid", NULL)) && is_zero(get(user, "gid", NULL)) &&
		(!count(groups) ||
			(count(groups) == 1 && is_zero(YAJL_GET_ARRAY(groups)->values[0]))))
		open |= OPEN_USER;
	return open;
}

/* ---- crun's memory */

struct groups {
	gid_t *list;
	size_t n;
};
/* In crun 1.8 a bit field stands behind each optional number; a later one has none there. */
union user {
	struct {
		uint32_t uid, has_uid, gid, has_gid, umask, has_umask;
		struct groups groups;
	} old;
	struct {
		uint32_t uid, gid, umask;
		struct groups groups;
	} later;
};
struct process {
	char **args;
	size_t nargs;
	void *command_line, *console_size;
	char *cwd;
	char **env;
	size_t nenv;
	uintptr_t terminal; /* a bool, and perhaps a bit field */
	union user *user;
};
struct schema {
	char *oci_version;
	void *hooks, *annotations;
	char *hostname, *domainname;
	void **mounts;
	size_t nmounts;
	char **root; /* a struct that begins with its path */
	struct process *process;
};

/* Copies what is at an address that may be none. */
static bool peek(void *to, const void *from, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)from, size};

	return from && process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool same(const char *at, const char *text)
{
	size_t size = text ? strlen(text) + 1 : 0;
	char *copy = text ? malloc(size) : NULL;
	bool equal = copy && peek(copy, at, size) && memcmp(copy, text, size) == 0;

	free(copy);
	return equal;
}

static bool same_list(char **at, size_t n, yajl_val list)
{
	bool equal = n == count(list);
	char *text;

	for (size_t i = 0; equal && i < n; i++)
		equal = peek(&text, at + i, sizeof(text)) &&
			same(text, YAJL_GET_STRING(YAJL_GET_ARRAY(list)->values[i]));
	return equal;
}

/* The process in crun's memory, if all that is used of it says what the text says. *ret_old: its
 * user has the old form. Where that matters uid and gid are 0, so the second word tells. */
static struct process *find_process(const struct container *c, bool *ret_old)
{
	size_t ngroups = count(get(get(c->config, "process", "user"), "additionalGids", NULL));
	struct schema s;
	struct process p;
	union user u;
	char *root;

	if (!peek(&s, c->definition, sizeof(s)) || !peek(&root, s.root, sizeof(root)) ||
		!same(s.oci_version, config_text(c->config, "ociVersion", NULL)) ||
		!same(root, config_text(c->config, "root", "path")) ||
		!peek(&p, s.process, sizeof(p)) ||
		!same(p.cwd, config_text(c->config, "process", "cwd")) ||
		!same_list(p.args, p.nargs, get(c->config, "process", "args")) ||
		!same_list(p.env, p.nenv, get(c->config, "process", "env")))
		return NULL;
	if (!(c->open & OPEN_USER))
		return s.process;
	if (!peek(&u, p.user, sizeof(u)) || u.old.uid)
		return NULL;
	*ret_old = u.old.has_uid & 1;
	if (*ret_old ? u.old.gid || u.old.groups.n != ngroups
		     : u.later.gid || u.later.groups.n != ngroups)
		return NULL;
	return s.process;
}

/* ---- filling. What crun frees in the end is made by malloc; what is replaced stays: crun may have
 * kept it elsewhere. */

static bool names_same(const char *a, const char *b)
{
	size_t size = strcspn(a, "=");

	return size == strcspn(b, "=") && strncmp(a, b, size) == 0;
}

/* The n strings of a list, then those of more whose names are not among them. */
static int join(char ***list, size_t *n, const char *const *more)
{
	size_t have = *n, room = have + 1;
	char **joined;

	for (size_t i = 0; more[i]; i++)
		room++;
	joined = calloc(room, sizeof(*joined));
	if (!joined)
		return -1;
	for (size_t i = 0; i < have; i++)
		joined[i] = (*list)[i];
	*list = joined;
	for (size_t i = 0; more[i]; i++) {
		size_t j = 0;

		while (j < have && !names_same(joined[j], more[i]))
			j++;
		if (j == have && !(joined[(*n)++] = strdup(more[i])))
			return -1;
	}
	return 0;
}

static int set_user(union user *user, bool old, const struct towline_process *image)
{
	struct groups groups = {calloc(image->ngroups + 1, sizeof(gid_t)), image->ngroups};

	if (!groups.list)
		return -1;
	for (size_t i = 0; i < image->ngroups; i++)
		groups.list[i] = image->groups[i];
	*(old ? &user->old.uid : &user->later.uid) = image->uid;
	*(old ? &user->old.gid : &user->later.gid) = image->gid;
	*(old ? &user->old.groups : &user->later.groups) = groups;
	return 0;
}

int definition_fill(struct container *c, const struct towline_process *image)
{
	bool old = false;
	struct process *p = find_process(c, &old);

	if (!p)
		return container_failed(c,
			"this crun keeps a configuration in a way that is not known here: set all "
			"of "
			"process in config.json, and the annotation org.towline.process=none");
	if (((c->open & OPEN_ARGS) && join(&p->args, &p->nargs, image->args) < 0) ||
		((c->open & OPEN_ENV) && join(&p->env, &p->nenv, image->env) < 0) ||
		((c->open & OPEN_CWD) && !(p->cwd = strdup(image->cwd))) ||
		((c->open & OPEN_USER) && set_user(p->user, old, image) < 0))
		return container_failed(c, "out of memory");
	return 0;
}
