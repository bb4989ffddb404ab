/* SPDX-License-Identifier: Apache-2.0 */
/* To be preloaded: lets the k-th call of a kind fail, or kills the process there. See strike.h. */
#define _GNU_SOURCE
#include "strike.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct strike_state *state;
static __thread bool inside;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("STRIKE_STATE");
	void *frames[2], *p;
	int fd;

	backtrace(frames, 2); /* loads what it needs */
	fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		state = p;
}

/* Where this is, in a way that is the same in every process. */
static void note_site(void)
{
	void *frames[24];
	int n = backtrace(frames, 24);
	uint64_t h = 14695981039346656037u;

	state->nframes = 0;
	for (int i = 2; i < n; i++) {
		Dl_info info;
		const char *name;
		uintptr_t offset;

		if (!dladdr(frames[i], &info) || !info.dli_fname)
			continue;
		name = strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1
						    : info.dli_fname;
		offset = (uintptr_t)frames[i] - (uintptr_t)info.dli_fbase;
		h = (h ^ offset) * 1099511628211u;
		for (const char *c = name; *c; c++)
			h = (h ^ (unsigned char)*c) * 1099511628211u;
		if (state->nframes < STRIKE_FRAMES)
			snprintf(state->frames[state->nframes++], STRIKE_FRAME_SIZE, "%s+0x%lx",
				name, (unsigned long)offset);
	}
	state->site = h;
}

/* Is this the one? STRIKE_KILL does not return. */
static int strikes(enum strike_call call)
{
	uint32_t n;

	if (!state || inside || !__atomic_load_n(&state->armed, __ATOMIC_ACQUIRE))
		return STRIKE_NOTHING;
	n = __atomic_add_fetch(&state->counts[call], 1, __ATOMIC_RELAXED);
	if (call != state->call || !state->at ||
		(state->ever_after ? n < state->at : n != state->at))
		return STRIKE_NOTHING;
	inside = true;
	if (__atomic_fetch_add(&state->struck, 1, __ATOMIC_RELAXED) == 0)
		note_site();
	inside = false;
	if (state->action == STRIKE_KILL)
		raise(SIGKILL);
	if (state->action == STRIKE_HOLD) {
		while (__atomic_load_n(&state->armed, __ATOMIC_ACQUIRE))
			usleep(1000);
		return STRIKE_NOTHING;
	}
	errno = (int)state->errnum;
	return (int)state->action;
}

static bool fails(enum strike_call call)
{
	return strikes(call) == STRIKE_ERRNO;
}

static bool is_file(int fd)
{
	struct stat st;
	int saved = errno;
	bool is = state && state->armed && !fstat(fd, &st) && S_ISREG(st.st_mode);

	errno = saved;
	return is;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* The real one, looked up once. */
#define REAL(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) real_;                                                    \
		if (!real_)                                                                        \
			real_ = NEXT(name);                                                        \
		real_;                                                                             \
	})
#define OR_FAIL(kind, name, ...) (fails(kind) ? -1 : REAL(name)(__VA_ARGS__))

#pragma GCC visibility push(default)

/* ---- bytes */

ssize_t write(int fd, const void *buf, size_t n)
{
	int what = is_file(fd) ? strikes(STRIKE_WRITE) : STRIKE_NOTHING;

	return what == STRIKE_ERRNO ? -1
				    : REAL(write)(fd, buf, what == STRIKE_SHORT ? (n + 1) / 2 : n);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	int what = is_file(fd) ? strikes(STRIKE_WRITE) : STRIKE_NOTHING;

	return what == STRIKE_ERRNO
		       ? -1
		       : REAL(pwrite)(fd, buf, what == STRIKE_SHORT ? (n + 1) / 2 : n, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	int what = is_file(fd) ? strikes(STRIKE_WRITE) : STRIKE_NOTHING;

	return what == STRIKE_ERRNO ? -1
				    : REAL(writev)(fd, iov, what == STRIKE_SHORT && n > 1 ? 1 : n);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
	return OR_FAIL(STRIKE_WRITE, copy_file_range, in, in_at, out, out_at, n, flags);
}

ssize_t read(int fd, void *buf, size_t n)
{
	int what = is_file(fd) ? strikes(STRIKE_READ) : STRIKE_NOTHING;

	return what == STRIKE_ERRNO ? -1
				    : REAL(read)(fd, buf, what == STRIKE_SHORT ? (n + 1) / 2 : n);
}

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
	int what = is_file(fd) ? strikes(STRIKE_READ) : STRIKE_NOTHING;

	return what == STRIKE_ERRNO
		       ? -1
		       : REAL(pread)(fd, buf, what == STRIKE_SHORT ? (n + 1) / 2 : n, at);
}

int ftruncate(int fd, off_t size)
{
	return OR_FAIL(STRIKE_TRUNCATE, ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
	return OR_FAIL(STRIKE_TRUNCATE, fallocate, fd, mode, at, size);
}

/* ---- syncs */

int fsync(int fd)
{
	return OR_FAIL(STRIKE_SYNC, fsync, fd);
}

int fdatasync(int fd)
{
	return OR_FAIL(STRIKE_SYNC, fdatasync, fd);
}

int syncfs(int fd)
{
	return OR_FAIL(STRIKE_SYNC, syncfs, fd);
}

int sync_file_range(int fd, off64_t at, off64_t size, unsigned flags)
{
	return OR_FAIL(STRIKE_SYNC, sync_file_range, fd, at, size, flags);
}

/* ---- names */

int rename(const char *from, const char *to)
{
	return OR_FAIL(STRIKE_RENAME, rename, from, to);
}

int renameat(int a, const char *from, int b, const char *to)
{
	return OR_FAIL(STRIKE_RENAME, renameat, a, from, b, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	return OR_FAIL(STRIKE_RENAME, renameat2, a, from, b, to, flags);
}

int link(const char *from, const char *to)
{
	return OR_FAIL(STRIKE_LINK, link, from, to);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
	return OR_FAIL(STRIKE_LINK, linkat, a, from, b, to, flags);
}

int symlink(const char *target, const char *path)
{
	return OR_FAIL(STRIKE_SYMLINK, symlink, target, path);
}

int symlinkat(const char *target, int fd, const char *path)
{
	return OR_FAIL(STRIKE_SYMLINK, symlinkat, target, fd, path);
}

int mkdir(const char *path, mode_t mode)
{
	return OR_FAIL(STRIKE_MKDIR, mkdir, path, mode);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
	return OR_FAIL(STRIKE_MKDIR, mkdirat, fd, path, mode);
}

int mknodat(int fd, const char *path, mode_t mode, dev_t dev)
{
	return OR_FAIL(STRIKE_MKDIR, mknodat, fd, path, mode, dev);
}

char *mkdtemp(char *template)
{
	return fails(STRIKE_MKDIR) ? NULL : REAL(mkdtemp)(template);
}

int unlink(const char *path)
{
	return OR_FAIL(STRIKE_REMOVE, unlink, path);
}

int unlinkat(int fd, const char *path, int flags)
{
	return OR_FAIL(STRIKE_REMOVE, unlinkat, fd, path, flags);
}

int rmdir(const char *path)
{
	return OR_FAIL(STRIKE_REMOVE, rmdir, path);
}

/* ---- descriptors */

#define OPEN_MODE(flags)                                                                           \
	({                                                                                         \
		mode_t mode_ = 0;                                                                  \
		if ((flags) & (O_CREAT | __O_TMPFILE)) {                                           \
			va_list ap;                                                                \
			va_start(ap, flags);                                                       \
			mode_ = va_arg(ap, mode_t);                                                \
			va_end(ap);                                                                \
		}                                                                                  \
		mode_;                                                                             \
	})

int open(const char *path, int flags, ...)
{
	return OR_FAIL(STRIKE_OPEN, open, path, flags, OPEN_MODE(flags));
}

int openat(int fd, const char *path, int flags, ...)
{
	return OR_FAIL(STRIKE_OPEN, openat, fd, path, flags, OPEN_MODE(flags));
}

int mkostemp(char *template, int flags)
{
	return OR_FAIL(STRIKE_OPEN, mkostemp, template, flags);
}

int dup(int fd)
{
	return OR_FAIL(STRIKE_OPEN, dup, fd);
}

int fcntl(int fd, int command, ...)
{
	va_list ap;
	long arg;

	va_start(ap, command);
	arg = va_arg(ap, long);
	va_end(ap);
	if (command == F_DUPFD_CLOEXEC || command == F_DUPFD)
		return OR_FAIL(STRIKE_OPEN, fcntl, fd, command, arg);
	return REAL(fcntl)(fd, command, arg);
}

DIR *opendir(const char *path)
{
	return fails(STRIKE_OPEN) ? NULL : REAL(opendir)(path);
}

int socket(int domain, int type, int protocol)
{
	return OR_FAIL(STRIKE_SOCKET, socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	return OR_FAIL(STRIKE_SOCKET, socketpair, domain, type, protocol, fds);
}

int pipe2(int fds[2], int flags)
{
	return OR_FAIL(STRIKE_SOCKET, pipe2, fds, flags);
}

int eventfd(unsigned count, int flags)
{
	return OR_FAIL(STRIKE_SOCKET, eventfd, count, flags);
}

int flock(int fd, int operation)
{
	return OR_FAIL(STRIKE_LOCK, flock, fd, operation);
}

/* openat2 has no wrapper in the C library. */
long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && fails(STRIKE_OPEN))
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- owners, modes, times, attributes */

int chmod(const char *path, mode_t mode)
{
	return OR_FAIL(STRIKE_META, chmod, path, mode);
}

int fchmod(int fd, mode_t mode)
{
	return OR_FAIL(STRIKE_META, fchmod, fd, mode);
}

int fchmodat(int fd, const char *path, mode_t mode, int flags)
{
	return OR_FAIL(STRIKE_META, fchmodat, fd, path, mode, flags);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
	return OR_FAIL(STRIKE_META, fchown, fd, uid, gid);
}

int fchownat(int fd, const char *path, uid_t uid, gid_t gid, int flags)
{
	return OR_FAIL(STRIKE_META, fchownat, fd, path, uid, gid, flags);
}

int utimensat(int fd, const char *path, const struct timespec times[2], int flags)
{
	return OR_FAIL(STRIKE_META, utimensat, fd, path, times, flags);
}

int futimens(int fd, const struct timespec times[2])
{
	return OR_FAIL(STRIKE_META, futimens, fd, times);
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	return OR_FAIL(STRIKE_META, fsetxattr, fd, name, value, size, flags);
}

int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	return OR_FAIL(STRIKE_META, lsetxattr, path, name, value, size, flags);
}

int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	return OR_FAIL(STRIKE_META, setxattr, path, name, value, size, flags);
}

#pragma GCC visibility pop
