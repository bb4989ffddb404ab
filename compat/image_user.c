/* SPDX-License-Identifier: Apache-2.0 */
/* Users of an image. Go counterpart: opencontainers/runc libcontainer/user/user.go. */
#include "config.h"

#include "image_user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "tree.h"

#define FILE_MAX (1u << 20)

/* The text of a file below the root, "" where it is not there or no regular file. */
static int read_file(int rootfs, const char *path, char **ret, struct error **reterr)
{
	struct tree *t = malloc(sizeof(*t));
	struct tree_place *place = malloc(sizeof(*place));
	cleanup_free char *data = calloc(1, FILE_MAX + 1);
	int fd = -1, err;
	size_t have = 0;

	if (!t || !place || !data) {
		free(t);
		free(place);
		return error_set(reterr, &error_no_memory);
	}
	tree_init(t, rootfs);
	err = tree_find(t, path, 0, place);
	if (!err)
		err = tree_open_file(place->dir, place->base, &fd);
	while (!err && have < FILE_MAX) {
		ssize_t n = read(fd, data + have, FILE_MAX - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = errno;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	tree_done(t);
	free(t);
	free(place);
	closep(&fd);
	if (err && err != ENOENT && err != ENOTDIR && err != EINVAL && err != ELOOP)
		return error_set(reterr, error_path("open", path, error_errno(err)));
	*ret = steal_ptr(&data);
	return 0;
}

/* Take a line apart at its colons, in place: how many fields there are, at most max. */
static size_t split(char *line, char **fields, size_t max)
{
	size_t n = 0;

	while (n < max) {
		char *colon = strchr(line, ':');

		fields[n++] = line;
		if (!colon)
			break;
		*colon = '\0';
		line = colon + 1;
	}
	return n;
}

/* The next line of a text that is cut into pieces. NULL at its end. */
static char *next_line(char **text)
{
	char *line = *text, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	*text = end ? end + 1 : NULL;
	return line;
}

static bool number(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (!*s || strspn(s, "0123456789") != strlen(s))
		return false;
	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* name:password:uid:gid:... *ret_name: of the entry, points into text; NULL if none fits. */
static void find_user(char *text, const char *user, struct image_user *ret, const char **ret_name)
{
	uint32_t wanted = 0, uid, gid;
	bool numeric = number(user, &wanted);
	char *line, *f[7];

	*ret_name = NULL;
	while ((line = next_line(&text))) {
		if (split(line, f, ARRAY_SIZE(f)) < 4 || !number(f[2], &uid) || !number(f[3], &gid))
			continue;
		/* As in the original, a name that is a number is a name first of all. */
		if (strcmp(f[0], user) && !(numeric && uid == wanted))
			continue;
		ret->uid = uid;
		ret->gid = gid;
		*ret_name = f[0];
		return;
	}
}

static bool is_member(char *members, const char *name)
{
	for (char *p = members; p;) {
		char *comma = strchr(p, ',');

		if (comma)
			*comma = '\0';
		if (!strcmp(p, name))
			return true;
		p = comma ? comma + 1 : NULL;
	}
	return false;
}

/* name:password:gid:members. group "": the groups that name is a member of; else the one that is
 * meant. */
static bool find_groups(char *text, const char *group, const char *name, struct image_user *ret)
{
	uint32_t wanted = 0, gid;
	bool numeric = number(group, &wanted);
	char *line, *f[4];

	while ((line = next_line(&text))) {
		size_t n = split(line, f, ARRAY_SIZE(f));

		if (n < 3 || !number(f[2], &gid))
			continue;
		if (group[0]) {
			if (!strcmp(f[0], group) || (numeric && gid == wanted)) {
				ret->gid = gid;
				return true;
			}
		} else if (n == 4 && name && is_member(f[3], name) &&
			   ret->ngroups < IMAGE_USER_GROUPS_MAX) {
			ret->groups[ret->ngroups++] = gid;
		}
	}
	return false;
}

int image_user_resolve(int rootfs, const char *user, struct image_user *ret, struct error **reterr)
{
	cleanup_free char *passwd = NULL;
	cleanup_free char *groups = NULL;
	cleanup_free char *name = strdup(user);
	const char *entry, *wanted = "0", *group = "";
	char *colon = name ? strchr(name, ':') : NULL;

	if (!name)
		return error_set(reterr, &error_no_memory);
	if (colon) {
		*colon = '\0';
		group = colon + 1;
	}
	if (name[0])
		wanted = name;
	if (read_file(rootfs, "etc/passwd", &passwd, reterr) < 0 ||
		read_file(rootfs, "etc/group", &groups, reterr) < 0)
		return -1;
	*ret = (struct image_user){0};
	find_user(passwd, wanted, ret, &entry);
	if (!entry && !number(wanted, &ret->uid))
		return error_setf(reterr,
			"unable to find user %s: no matching entries in passwd file", wanted);
	if (!find_groups(groups, group, entry, ret) && group[0] && !number(group, &ret->gid))
		return error_setf(reterr,
			"unable to find group %s: no matching entries in group file", group);
	return 0;
}
