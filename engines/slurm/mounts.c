/* SPDX-License-Identifier: Apache-2.0 */
/* A task's mounts. All trees are taken while the host's are in sight, each with no set-id and, the
 * image's, no devices; then the image becomes the root, and the kernel resolves all targets within
 * it. Counterpart: pyxis' args.c; enroot's enroot-mount and enroot-switchroot. */
#include "config.h"

#include "step.h"

#include "common/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int step_add_mount(struct step *s, const char *source, const char *target, bool read_only)
{
	struct step_mount *m = &s->list[s->n];

	if (s->n == MOUNTS_MAX)
		return step_failed(s, "--container-mounts: more than %d", MOUNTS_MAX);
	if (target[0] != '/')
		return step_failed(s, "--container-mounts: %s is no absolute path", target);
	m->source = open(source, O_PATH | O_CLOEXEC);
	if (m->source < 0)
		return step_failed(s, "--container-mounts: %s: %s", source, strerror(errno));
	m->target = strdup(target);
	m->read_only = read_only;
	s->n++;
	return m->target ? 0 : step_failed(s, "out of memory");
}

/* FLAG[+FLAG]... All mounts are recursive, and what is mounted later on either side stays there. */
static int read_flags(char *flags, bool *ret_read_only)
{
	static const char *const known[] = {"rw", "bind", "rbind", "private", "rprivate"};
	const char *flag;

	*ret_read_only = false;
	while ((flag = strsep(&flags, "+"))) {
		size_t i = 0, n = sizeof(known) / sizeof(known[0]);

		while (i < n && strcmp(flag, known[i]) != 0)
			i++;
		if (i == n && strcmp(flag, "ro") != 0)
			return -1;
		*ret_read_only |= i == n;
	}
	return 0;
}

int step_read_mounts(struct step *s, const char *text)
{
	char *copy = strdup(text), *rest = copy, *one;
	int n = copy ? 0 : step_failed(s, "out of memory");

	while (n == 0 && (one = strsep(&rest, ","))) {
		const char *source = strsep(&one, ":"), *target = one ? strsep(&one, ":") : source;
		bool read_only;

		if (!*source || !*target || read_flags(one, &read_only) < 0)
			n = step_failed(s, "--container-mounts is SRC:DST[:ro][,SRC:DST...]");
		else
			n = step_add_mount(s, source, target, read_only);
	}
	free(copy);
	return n;
}

/* A copy of the mount, or of all below it, that is nowhere yet. */
static int take_tree(int at, const char *path, unsigned flags, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes};
	int fd = open_tree(at, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);

	if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH | (flags & AT_RECURSIVE), &attr,
			       sizeof(attr)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* What a tree is to be mounted on, a folder or a file; links of the image are followed within it.
 */
static int make_point(int root, int tree, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash > path ? strndup(path, (size_t)(slash - path)) : strdup("/");
	struct stat st;
	int fd = -1, file = -1;

	if (folder && fstat(tree, &st) == 0)
		fd = inside_folder(root, S_ISDIR(st.st_mode) ? path : folder);
	if (fd >= 0 && !S_ISDIR(st.st_mode)) {
		file = openat(fd, slash + 1, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (file < 0 && errno != EEXIST) {
			close(fd);
			fd = -1;
		}
	}
	if (file >= 0)
		close(file);
	if (fd >= 0)
		close(fd);
	free(folder);
	return fd < 0 ? -1 : 0;
}

/* The host's own parts of every container, first, and the user's mounts. */
struct part {
	const char *target;
	int tree;
	bool optional;
};

static int take_parts(struct step *s, struct part *parts, size_t *ret_n)
{
	static const struct part own[] = {{"/proc", -1, false}, {"/sys", -1, false},
		{"/dev", -1, false}, {"/etc/resolv.conf", -1, true}, {"/etc/hosts", -1, true}};
	size_t n = sizeof(own) / sizeof(own[0]);

	memcpy(parts, own, sizeof(own));
	for (size_t i = 0; i < n; i++) {
		parts[i].tree =
			take_tree(AT_FDCWD, parts[i].target, AT_RECURSIVE, MOUNT_ATTR_NOSUID);
		if (parts[i].tree < 0 && !parts[i].optional)
			return step_failed(s, "%s: %s", parts[i].target, strerror(errno));
	}
	for (size_t i = 0; i < s->n; i++, n++) {
		const struct step_mount *m = &s->list[i];

		parts[n] = (struct part){m->target,
			take_tree(m->source, "", AT_EMPTY_PATH | AT_RECURSIVE,
				MOUNT_ATTR_NOSUID | (m->read_only ? MOUNT_ATTR_RDONLY : 0)),
			false};
		if (parts[n].tree < 0)
			return step_failed(s, "the mount for %s: %s", m->target, strerror(errno));
	}
	*ret_n = n;
	return 0;
}

/* Whoever owns the image's files makes what is missing in them: what root made in folders of the
 * user's could not be removed by the user. */
static int make_points(struct step *s, int root, struct part *parts, size_t n)
{
	bool user = !s->from_shared && s->uid != 0;
	int r = 0;

	if (user && (setegid(s->gid) < 0 || seteuid(s->uid) < 0))
		return step_failed(s, "seteuid: %s", strerror(errno));
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (parts[i].tree < 0 || make_point(root, parts[i].tree, parts[i].target) == 0)
			continue;
		if (parts[i].optional) {
			close(parts[i].tree);
			parts[i].tree = -1;
		} else {
			r = step_failed(s, "%s in the image: %s", parts[i].target, strerror(errno));
		}
	}
	if (user && (seteuid(0) < 0 || setegid(0) < 0))
		return step_failed(s, "seteuid: %s", strerror(errno));
	return r;
}

/* The user may have moved anything that is his own there, but no link. */
static int open_rootfs(const struct step *s)
{
	const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	int folder = open(s->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = folder < 0 ? -1 : (int)syscall(SYS_openat2, folder, "rootfs", &how, sizeof(how));

	if (folder >= 0)
		close(folder);
	return fd;
}

int step_enter(struct step *s)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	struct part parts[MOUNTS_MAX + 8];
	size_t n = 0;
	int fd = open_rootfs(s);
	int root = fd < 0 ? -1
			  : take_tree(fd, "", AT_EMPTY_PATH, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

	if (root < 0)
		return step_failed(s, "%s/rootfs: %s", s->folder, strerror(errno));
	if (take_parts(s, parts, &n) < 0 || make_points(s, root, parts, n) < 0)
		return -1;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		move_mount(root, "", AT_FDCWD, s->folder, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		fchdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return step_failed(s, "the image as root: %s", strerror(errno));
	if (s->read_only && mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof(read_only)) < 0)
		return step_failed(s, "--container-readonly: %s", strerror(errno));
	for (size_t i = 0; i < n; i++)
		if (parts[i].tree >= 0 && move_mount(parts[i].tree, "", AT_FDCWD, parts[i].target,
						  MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return step_failed(
				s, "the mount on %s: %s", parts[i].target, strerror(errno));
	/* The host's set-id programs may be in reach, over descriptors, with the image's /etc. */
	if (chdir("/") < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return step_failed(s, "no_new_privs: %s", strerror(errno));
	return 0;
}
