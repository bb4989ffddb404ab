/* SPDX-License-Identifier: Apache-2.0 */
/* A user namespace for those who are not root, so that layers keep the owners of their files. Go
 * counterpart: none (rootlesskit, containers/storage's unshare).
 *
 * newuidmap and newgidmap are privileged programs that must run outside the new namespace and after
 * it was made: a child is forked first, which runs them for its parent. */
#include "config.h"

#include "common/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct range {
	unsigned long first, count;
};

/* The user's first range in /etc/subuid or /etc/subgid: "name:first:count" or "uid:first:count". */
static bool find_range(const char *file, const char *name, uid_t uid, struct range *ret)
{
	FILE *in = fopen(file, "re");
	char line[512];
	bool found = false;

	if (!in)
		return false;
	while (!found && fgets(line, sizeof(line), in)) {
		char *rest = line;
		const char *who = strsep(&rest, ":");
		char number[32];

		snprintf(number, sizeof(number), "%lu", (unsigned long)uid);
		if (!rest || (strcmp(who, number) != 0 && (!name || strcmp(who, name) != 0)))
			continue;
		found = sscanf(rest, "%lu:%lu", &ret->first, &ret->count) == 2 && ret->count > 0;
	}
	fclose(in);
	return found;
}

/* In the child: newuidmap PID 0 ID 1 1 FIRST COUNT. */
static int run_map_program(const char *program, pid_t target, unsigned long id, struct range range)
{
	char pid[24], own[24], first[24], count[24];
	char zero[] = "0", one[] = "1", name[16];
	char *argv[] = {name, pid, zero, own, one, one, first, count, NULL};
	int status;
	pid_t child;

	snprintf(name, sizeof(name), "%s", program);
	snprintf(pid, sizeof(pid), "%ld", (long)target);
	snprintf(own, sizeof(own), "%lu", id);
	snprintf(first, sizeof(first), "%lu", range.first);
	snprintf(count, sizeof(count), "%lu", range.count);
	child = fork();
	if (child < 0)
		return -1;
	if (child == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		/* What they complain of is said by us, in one line. */
		if (null >= 0)
			dup2(null, STDERR_FILENO);
		execvp(program, argv);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* The user's own IDs alone, which needs no privilege. */
static int map_single(uid_t uid, gid_t gid)
{
	char text[64];

	snprintf(text, sizeof(text), "0 %lu 1\n", (unsigned long)uid);
	if (write_file("/proc/self/uid_map", text) < 0)
		return -1;
	if (write_file("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
		return -1;
	snprintf(text, sizeof(text), "0 %lu 1\n", (unsigned long)gid);
	return write_file("/proc/self/gid_map", text);
}

/* The child that maps for its parent: waits for a byte (end of file: the parent could not unshare).
 */
static void map_for_parent(
	int go, pid_t parent, uid_t uid, gid_t gid, struct range uids, struct range gids)
{
	char byte;
	ssize_t n;

	do {
		n = read(go, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n != 1 || run_map_program("newuidmap", parent, uid, uids) < 0)
		_exit(1);
	_exit(run_map_program("newgidmap", parent, gid, gids) < 0 ? 2 : 0);
}

/* Unshare, with a range of IDs mapped by the helper. 1: unshared, but not mapped. */
static int unshare_with_range(uid_t uid, gid_t gid, struct range uids, struct range gids)
{
	pid_t self = getpid();
	int status = -1, ends[2];
	bool unshared;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		close(ends[1]);
		map_for_parent(ends[0], self, uid, gid, uids, gids);
	}
	close(ends[0]);
	unshared = child > 0 && unshare(CLONE_NEWUSER) == 0;
	if (unshared && write(ends[1], "g", 1) != 1)
		status = -1; /* the child sees the end of the file and exits with 1 */
	close(ends[1]);
	if (child > 0) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (!unshared)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return 1;
}

enum userns_result userns_enter(const char **ret_problem)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	const struct passwd *user;
	struct range uids, gids;
	int ret;

	*ret_problem = NULL;
	if (uid == 0)
		return USERNS_ROOT;
	user = getpwuid(uid);
	if (find_range("/etc/subuid", user ? user->pw_name : NULL, uid, &uids) &&
		find_range("/etc/subgid", user ? user->pw_name : NULL, uid, &gids)) {
		ret = unshare_with_range(uid, gid, uids, gids);
		if (ret == 0) {
			if (setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0)
				return USERNS_RANGE;
			*ret_problem = "the mapped root could not be taken on";
			return USERNS_IMPOSSIBLE;
		}
		if (ret == 1)
			*ret_problem = "newuidmap or newgidmap failed (package uidmap)";
	} else {
		ret = unshare(CLONE_NEWUSER) == 0 ? 1 : -1;
		*ret_problem = "no subordinate IDs in /etc/subuid and /etc/subgid";
	}
	if (ret < 0) {
		*ret_problem = "user namespaces are not allowed here";
		return USERNS_IMPOSSIBLE;
	}
	if (map_single(uid, gid) < 0) {
		/* newuidmap has mapped the users, newgidmap failed: what is left is half a root. */
		*ret_problem = "the user namespace could not be mapped";
		return USERNS_IMPOSSIBLE;
	}
	return USERNS_SINGLE;
}
