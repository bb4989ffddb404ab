/* SPDX-License-Identifier: Apache-2.0 */
/* An unpacker that was taken over: it enters the jail as towline-unpack does, then tries what its
 * name says. It ends with 0 where the jail let it, and with 4 for what is to be refused without
 * being killed. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unpack_jail.h"

static int try(const char *what)
{
	char c;

	if (!strcmp(what, "open"))
		return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
	if (!strcmp(what, "socket"))
		return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
	if (!strcmp(what, "fork"))
		return syscall(SYS_clone, 0, 0, 0, 0, 0) < 0;
	if (!strcmp(what, "exec"))
		return execl("/bin/true", "true", (char *)NULL) < 0;
	if (!strcmp(what, "kill"))
		return syscall(SYS_kill, getppid(), 0) < 0;
	if (!strcmp(what, "ptrace"))
		return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0;
	if (!strcmp(what, "read-another"))
		return read(5, &c, 1) < 0;
	if (!strcmp(what, "write-another"))
		return write(2, "x", 1) < 0;
	if (!strcmp(what, "map-code"))
		return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0) == MAP_FAILED
			       ? 4
			       : 0;
	if (!strcmp(what, "protect-code"))
		return mprotect((void *)((unsigned long)what & ~4095ul), 4096,
			       PROT_READ | PROT_WRITE | PROT_EXEC) < 0;
	if (!strcmp(what, "memory")) {
		char *volatile p = malloc((size_t)1 << 30);
		char *volatile again = malloc((size_t)1 << 30), *volatile small = malloc(1000);

		return !p && !again && small ? 4 : 0;
	}
	return 3;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	const char *failed = jail_enter();

	(void)argc;
	if (failed) {
		(void)!write(1, failed, strlen(failed));
		_exit(77);
	}
	_exit(try(name ? name + 1 : argv[0]));
}
