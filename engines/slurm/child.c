/* SPDX-License-Identifier: Apache-2.0 */
/* The importer as a child of slurmstepd: bytes of strangers are read with the user's rights, and
 * what goes wrong there harms no step. Counterpart: pyxis' importer.c. */
#include "config.h"

#include "step.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 4 << 20, TICK_MS = 20 };

/* After the fork of a process with threads. slurmstepd has root as real user, and in some callbacks
 * the job's user and groups as effective ones. */
static void become(const struct step *s, bool root, const int fds[3])
{
	uid_t uid = root ? 0 : s->uid;
	gid_t gid = root ? 0 : s->gid;
	bool was_root = geteuid() == 0;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	if (seteuid(0) < 0 || (!root && lchown(s->folder, uid, gid) < 0) ||
		((root || was_root) && setgroups(0, NULL) < 0) || setresgid(gid, gid, gid) < 0 ||
		setresuid(uid, uid, uid) < 0)
		_exit(126);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(126);
	(void)syscall(SYS_close_range, 3, ~0U, 0);
}

/* 0 once it has ended, -1 where it must not go on. */
static int wait_for(pid_t pid, unsigned seconds, int *ret_status)
{
	const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
	struct timespec now, begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (;;) {
		pid_t done = waitpid(pid, ret_status, WNOHANG);

		if (done == pid)
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((done < 0 && errno != EINTR) || now.tv_sec - begin.tv_sec > (time_t)seconds)
			break;
		nanosleep(&tick, NULL);
	}
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	return -1;
}

static char *read_all(int fd, size_t *ret_size)
{
	char *text = malloc(ANSWER_MAX + 1);
	ssize_t n = text ? pread(fd, text, ANSWER_MAX, 0) : -1;

	*ret_size = n > 0 ? (size_t)n : 0;
	if (text)
		text[*ret_size] = '\0';
	return text;
}

int step_run(struct step *s, bool root, char *const *argv, char *const *env, unsigned seconds)
{
	int fds[3] = {open("/dev/null", O_RDONLY | O_CLOEXEC), memfd_create("answer", MFD_CLOEXEC),
		memfd_create("errors", MFD_CLOEXEC)};
	int status = -1, n = -1;
	size_t size = 0;
	char *errors = NULL;
	pid_t pid = -1;

	if (fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0)
		pid = fork();
	if (pid == 0) {
		become(s, root, fds);
		execve(s->importer, argv, env);
		_exit(127);
	}
	if (pid < 0)
		(void)step_failed(s, "%s: %s", s->importer, strerror(errno));
	else if (wait_for(pid, seconds, &status) < 0)
		(void)step_failed(s, "no image after %u seconds", seconds);
	else if (WIFEXITED(status))
		n = WEXITSTATUS(status);
	else
		(void)step_failed(s, "%s died of signal %d", s->importer, WTERMSIG(status));
	free(s->answer);
	s->answer = n >= 0 ? read_all(fds[1], &s->answer_size) : NULL;
	errors = n > 0 ? read_all(fds[2], &size) : NULL;
	while (size && errors[size - 1] == '\n')
		errors[--size] = '\0';
	if (n == 126 || n == 127)
		n = step_failed(s, "%s can't be run", s->importer);
	else if (n > 0 && !(root && n == 3)) /* 3: not in the shared store */
		n = step_failed(s, "%.*s", size < 4000 ? (int)size : 4000, size ? errors : "");
	free(errors);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return n;
}
