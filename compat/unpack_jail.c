/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement by seccomp, through libseccomp. No Go counterpart. */
#include "config.h"

#include "unpack_jail.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The decoders' windows have a limit of 128 MiB; what else is needed takes some 10. Nothing of it
 * is touched before it is used. */
#define HEAP_MAX ((size_t)160 << 20)
#define HEAP_MIN ((size_t)16 << 20)

/* The sanitizers' run-time maps memory and asks the kernel as it goes. */
#ifdef SANITIZED
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

static const char *drop_rights(void)
{
	static const struct {
		int resource;
		rlim_t limit;
	} limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 3}, {RLIMIT_NPROC, 0}, {RLIMIT_FSIZE, 0}};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "the unpacker cannot be confined: prctl";
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct rlimit l = {limits[i].limit, limits[i].limit};

		if (setrlimit(limits[i].resource, &l) < 0)
			return "the unpacker cannot be confined: setrlimit";
	}
	return NULL;
}

/* Whatever the host forgot to mark as its own. */
static void close_others(void)
{
	if (syscall(SYS_close_range, 3u, UINT_MAX, 0u) == 0)
		return;
	/* a kernel older than 5.9 */
	for (long fd = 3, n = sysconf(_SC_OPEN_MAX); fd < n; fd++)
		close((int)fd);
}

/* All memory comes from the heap by brk, which is grown once. */
static const char *grow_heap(void)
{
	size_t size = HEAP_MAX;
	void *p;

	if (!mallopt(M_MMAP_MAX, 0) || !mallopt(M_TRIM_THRESHOLD, INT_MAX))
		return "the unpacker cannot be confined: mallopt";
	/* less where the engine's own limits allow no more */
	while (!(p = malloc(size)))
		if ((size /= 2) < HEAP_MIN)
			return "the unpacker has no memory";
	/* no compiler may find that needless */
	__asm__ volatile("" : : "r"(p) : "memory");
	free(p);
	return NULL;
}

static const char *forbid_calls(void)
{
	const struct scmp_arg_cmp in = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = STDIN_FILENO};
	const struct scmp_arg_cmp out = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = STDOUT_FILENO};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!filter)
		return "the unpacker cannot be confined: seccomp";
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, in);
	r |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, out);
	r |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0);
	/* malloc asks for more where the heap is used up. brk answers with an address: 0 is how it
	 * says no in a way that glibc understands. */
	r |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(brk), 0);
	r |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOMEM), SCMP_SYS(mmap), 0);
	r |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOMEM), SCMP_SYS(mmap2), 0);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r ? "the unpacker cannot be confined: seccomp" : NULL;
}

const char *jail_enter(void)
{
	const char *failed;

	close_others();
	failed = drop_rights();
	if (!failed && !sanitized)
		failed = grow_heap();
	if (!failed && !sanitized)
		failed = forbid_calls();
	return failed;
}
