/* SPDX-License-Identifier: Apache-2.0 */
/* A program in a process of its own. Go counterpart: os/exec. */
#include "config.h"

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/context.h"

#define TICK_MS 10 /* where there is no pidfd that could be waited for */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* ---- descriptors */

/* The same above 2; fd is closed if that is another one. -1 with errno. */
static int above_stdio(int fd)
{
	int n = fd < 0 || fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int saved = errno;

	if (n != fd && fd >= 0)
		close(fd);
	errno = saved;
	return n;
}

static int ends_above_stdio(int ends[2])
{
	int error = 0;

	for (int i = 0; i < 2; i++) {
		ends[i] = above_stdio(ends[i]);
		if (ends[i] < 0)
			error = errno;
	}
	if (error) {
		closep(&ends[0]);
		closep(&ends[1]);
		ends[0] = ends[1] = -1;
	}
	return error;
}

int child_socketpair(int ret[2])
{
	int ends[2];
	int error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0
			    ? errno
			    : ends_above_stdio(ends);

	if (!error) {
		ret[0] = ends[0];
		ret[1] = ends[1];
	}
	return error;
}

int child_pipe(int ret[2])
{
	int ends[2];
	int error = pipe2(ends, O_CLOEXEC) < 0 ? errno : ends_above_stdio(ends);

	if (!error) {
		ret[0] = ends[0];
		ret[1] = ends[1];
	}
	return error;
}

/* ---- its beginning */

static int set_signals(posix_spawnattr_t *attr, bool detached)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none, defaults;
	int error;

	sigemptyset(&none);
	sigfillset(&defaults);
	sigdelset(&defaults, SIGHUP);
	error = posix_spawnattr_setsigmask(attr, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(attr, &defaults);
	if (!error && detached)
		error = posix_spawnattr_setpgroup(attr, 0);
	return error ? error
		     : posix_spawnattr_setflags(
			       attr, (short)(flags | (detached ? POSIX_SPAWN_SETPGROUP : 0)));
}

static int set_descriptors(posix_spawn_file_actions_t *actions, const struct child_options *o)
{
	/* A host that has none shares none: the program would take its first file for it. */
	bool silent = o->detached || fcntl(STDERR_FILENO, F_GETFD) < 0;
	int error = posix_spawn_file_actions_adddup2(actions, o->in, STDIN_FILENO);

	if (!error)
		error = posix_spawn_file_actions_adddup2(actions, o->out, STDOUT_FILENO);
	if (!error && silent)
		error = posix_spawn_file_actions_addopen(
			actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	return error;
}

/* Something that stays with this process, and with no later one of the same number. Where the host
 * ignores SIGCHLD it may be gone already, so it is asked whether it is our child. */
static int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	siginfo_t info;

	if (fd >= 0 &&
		waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
		errno == ECHILD) {
		close(fd);
		return -1;
	}
	return fd;
}

int child_start(const struct child_options *options, struct child *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid = 0;
	int error;

	*ret = CHILD_NONE;
	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return error;
	error = posix_spawnattr_init(&attr);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	error = set_signals(&attr, options->detached);
	if (!error)
		error = set_descriptors(&actions, options);
	if (!error)
		error = posix_spawnp(
			&pid, options->program, &actions, &attr, options->argv, options->env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (!error)
		*ret = (struct child){.pid = pid, .pidfd = open_pidfd(pid)};
	return error;
}

/* ---- its end */

/* It has ended, as far as we may know: it waits for us, or somebody else was told. */
static bool has_ended(const struct child *c)
{
	siginfo_t info = {0};
	int n;

	do {
		n = waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 || info.si_pid;
}

bool child_wait(const struct child *c, int timeout_ms)
{
	int64_t end = monotonic_ms() + timeout_ms;

	if (!c->pid)
		return true;
	for (;;) {
		struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
		int64_t left = end - monotonic_ms();

		if (c->pidfd < 0 && has_ended(c))
			return true;
		if (left < 0)
			left = 0;
		/* poll passes over a descriptor that is none. */
		if (poll(&p, 1, c->pidfd < 0 && left > TICK_MS ? TICK_MS : (int)left) > 0)
			return true;
		if (!left)
			return false;
	}
}

bool child_end(struct child *c, siginfo_t *ret)
{
	int n;

	*ret = (siginfo_t){0};
	if (!c->pid)
		return false;
	if (c->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
	else if (waitid(P_PID, (id_t)c->pid, ret, WEXITED | WNOHANG | WNOWAIT) == 0)
		kill(c->pid, SIGKILL);
	do {
		n = waitid(P_PID, (id_t)c->pid, ret, WEXITED);
	} while (n < 0 && errno == EINTR);
	closep(&c->pidfd);
	*c = CHILD_NONE;
	return n == 0;
}
