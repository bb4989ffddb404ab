/* SPDX-License-Identifier: Apache-2.0 */
/* compat/child: programs started and ended by a host in whatever state it is. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "child.h"

#define LONG_MS 60000 /* nothing of this takes so long */

/* ---- a host with something peculiar about it */

static void as_it_is(void)
{
}

static void no_stdio(void)
{
	for (int fd = 0; fd < 3; fd++)
		close(fd);
}

static void no_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int n = 1; n < NSIG; n++)
		if (n != SIGCHLD && n != SIGHUP)
			signal(n, SIG_IGN);
}

static void no_children(void)
{
	signal(SIGCHLD, SIG_IGN);
}

/* What a case changes, to be as it was for the next one. */
struct host {
	int stdio[3];
	sigset_t mask;
	struct sigaction actions[NSIG];
};

static void host_save(struct host *h)
{
	for (int fd = 0; fd < 3; fd++)
		h->stdio[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	sigprocmask(SIG_SETMASK, NULL, &h->mask);
	for (int n = 1; n < NSIG; n++)
		sigaction(n, NULL, &h->actions[n]);
}

static void host_restore(const struct host *h)
{
	for (int fd = 0; fd < 3; fd++) {
		close(fd);
		if (h->stdio[fd] >= 0) {
			(void)dup2(h->stdio[fd], fd);
			close(h->stdio[fd]);
		}
	}
	for (int n = 1; n < NSIG; n++)
		(void)sigaction(n, &h->actions[n], NULL);
	sigprocmask(SIG_SETMASK, &h->mask, NULL);
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- what a shell answers */

/* 0, or an errno of ours */
static int run(const char *script, bool detached, struct child *child, int *ret_fd)
{
	char *const argv[] = {"sh", "-c", (char *)script, NULL};
	char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	struct child_options options = {
		.program = "sh", .argv = argv, .env = env, .detached = detached};
	int ends[2];
	int r = child_socketpair(ends);

	if (r)
		return r;
	options.in = options.out = ends[1];
	r = ends[0] > 2 && ends[1] > 2 ? child_start(&options, child) : EBADF;
	close(ends[1]);
	if (r)
		close(ends[0]);
	else
		*ret_fd = ends[0];
	return r;
}

static size_t read_all(int fd, char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size - 1 &&
		((n = read(fd, text + have, size - 1 - have)) > 0 || (n < 0 && errno == EINTR)))
		have += n > 0 ? (size_t)n : 0;
	text[have] = '\0';
	return have;
}

static void answers(void **state)
{
	static const char descriptors[] =
		"for n in 0 1 2; do [ -e /proc/self/fd/$n ] || echo no $n; done; "
		"for n in 3 4 5 6 100 101 102; do [ -e /proc/$$/fd/$n ] && echo $n; done; "
		"echo end";
	/* 32 and 33 are the C library's own, and its posix_spawn ignores them */
	static const char signals[] = "grep -E '^Sig(Blk|Ign):' /proc/self/status | "
				      "sed 's/180000000$//' | tr -d '0\\n\\t'";
	static const char group[] = "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo its own; "
				    "readlink /proc/$$/fd/2";
	static const struct {
		const char *name;
		void (*make)(void);
		const char *script;
		bool detached;
		const char *answer;
	} cases[] = {
		{"what it is told", as_it_is, "cat", false, "hello"},
		{"what it is told, closed", no_stdio, "cat", false, "hello"},
		{"descriptors", as_it_is, descriptors, false, "end\n"},
		{"descriptors, closed", no_stdio, descriptors, false, "end\n"},
		{"descriptors, detached, closed", no_stdio, descriptors, true, "end\n"},
		{"signals", no_signals, signals, false, "SigBlk:SigIgn:"},
		{"signals, SIGCHLD ignored", no_children, signals, true, "SigBlk:SigIgn:"},
		{"a group", as_it_is, group, true, "its own\n/dev/null\n"},
		{"standard error, closed", no_stdio, group, false, "/dev/null\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct child child = CHILD_NONE;
		struct host host;
		char text[4096] = "";
		siginfo_t info;
		int fd = -1, r;
		bool told = false, ended = false;

		host_save(&host);
		cases[i].make();
		r = run(cases[i].script, cases[i].detached, &child, &fd);
		if (!r) {
			(void)send(fd, "hello", 5, MSG_NOSIGNAL);
			shutdown(fd, SHUT_WR);
			read_all(fd, text, sizeof(text));
			close(fd);
			ended = child_wait(&child, LONG_MS);
			told = child_end(&child, &info);
		}
		host_restore(&host);
		if (r || !ended || strcmp(text, cases[i].answer) != 0 || child.pid ||
			told != (cases[i].make != no_children) ||
			(told && (info.si_code != CLD_EXITED || fd < 3)))
			fail_msg("%s: errno %d, ended %d, told %d, \"%s\", not \"%s\"",
				cases[i].name, r, ended, told, text, cases[i].answer);
	}
}

/* ---- how it ends */

static void take_pidfd(struct child *c)
{
	closep(&c->pidfd);
	c->pidfd = -1;
}

static void ends(void **state)
{
	static const struct {
		const char *script;
		bool wait; /* for its own end */
		int code, status;
	} cases[] = {
		{"exit 0", true, CLD_EXITED, 0},
		{"exit 3", true, CLD_EXITED, 3},
		{"kill -TERM $$", true, CLD_KILLED, SIGTERM},
		{"echo; exec sleep 600", false, CLD_KILLED, SIGKILL},
		{"trap '' TERM INT; echo; exec sleep 600", false, CLD_KILLED, SIGKILL},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const unsigned before = count_fds();
		struct child child;
		siginfo_t info;
		char byte;
		int fd;

		assert_int_equal(run(cases[i / 2].script, true, &child, &fd), 0);
		if (i % 2) /* an old kernel */
			take_pidfd(&child);
		if (cases[i / 2].wait) {
			assert_true(child_wait(&child, LONG_MS));
		} else {
			assert_int_equal(read(fd, &byte, 1), 1);
			assert_false(child_wait(&child, 0));
			assert_false(child_wait(&child, 20));
		}
		if (!child_end(&child, &info) || info.si_code != cases[i / 2].code ||
			info.si_status != cases[i / 2].status)
			fail_msg("%s (%zu): %d %d, not %d %d", cases[i / 2].script, i % 2,
				info.si_code, info.si_status, cases[i / 2].code,
				cases[i / 2].status);
		assert_false(child_end(&child, &info));
		assert_true(child_wait(&child, 0));
		close(fd);
		assert_int_equal(count_fds(), before);
	}
}

/* A host that waits for whatever ends has it from us, and nobody else is killed for it. */
static void waited_for(void **state)
{
	(void)state;
	for (int without = 0; without < 2; without++) {
		struct child child;
		siginfo_t info;
		int fd, status;

		assert_int_equal(run("exit 5", true, &child, &fd), 0);
		if (without)
			take_pidfd(&child);
		assert_int_equal(waitpid(-1, &status, 0), child.pid);
		assert_true(child_wait(&child, LONG_MS));
		assert_false(child_end(&child, &info));
		close(fd);
	}
}

static void not_there(void **state)
{
	char *const argv[] = {"x", NULL};
	char *const env[] = {NULL};
	const struct {
		const char *program;
		int error;
	} cases[] = {{"/nowhere/at/all", ENOENT}, {"no-such-program-anywhere", ENOENT},
		{"/dev/null", EACCES}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct child_options options = {
			.program = cases[i].program, .argv = argv, .env = env, .in = 0, .out = 1};
		struct child child = {.pid = 1};
		int r = child_start(&options, &child);

		if (r != cases[i].error || child.pid || child.pidfd >= 0)
			fail_msg("%s: %d, not %d; pid %d", cases[i].program, r, cases[i].error,
				(int)child.pid);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(ends),
		cmocka_unit_test(waited_for),
		cmocka_unit_test(not_there),
	};

	signal(SIGHUP, SIG_DFL); /* nohup may have run this, and a child keeps that */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
