/* SPDX-License-Identifier: Apache-2.0 */
/* A program beside this process, in a process of its own. Go counterpart: os/exec.
 *
 * A guest's rules hold: posix_spawn and never fork alone, since the host may have threads; no
 * signal handler, and no child is waited for but this one. The host is told of its end by SIGCHLD,
 * as of any child's; one that ignores SIGCHLD, or waits for whatever ends, may know how it ended
 * before us. */
#ifndef COMPAT_CHILD_H
#define COMPAT_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: there is none, or it was waited for */
	int pidfd; /* -1: there is none, or the kernel has none */
};
#define CHILD_NONE ((struct child){.pidfd = -1})

struct child_options {
	const char *program; /* without a slash: looked up in PATH */
	char *const *argv;
	char *const *env;
	/* Its standard input and output: ends from below, maybe one for both, which stay the
	 * caller's. */
	int in, out;
	/* It has nothing of the terminal: its standard error is /dev/null, and it is in a group of
	 * its own, so that what a terminal sends to the host's is for the host to judge. */
	bool detached;
};

/* Two ends, closed on exec, and above 2 whatever the host has closed: what somebody prints to a
 * standard descriptor that is none must not get into them. Writing to a socket pair (MSG_NOSIGNAL)
 * raises no SIGPIPE. 0 with both, or an errno. */
int child_socketpair(int ret[2]);
int child_pipe(int ret[2]); /* [0] is read */

/* With signals as a program expects them, whatever this thread has blocked and the host ignores;
 * but SIGHUP, which nohup ignores, stays ignored. 0, or an errno and CHILD_NONE. */
int child_start(const struct child_options *options, struct child *ret);
/* Has it ended? Asks until it has, at most so long. */
bool child_wait(const struct child *child, int timeout_ms);
/* Kill it if it still runs, and wait for it. True: *ret says how it ended (si_code, si_status);
 * false: there was none, or nobody knows. */
bool child_end(struct child *child, siginfo_t *ret);

#endif
