/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a root file system that comes from strangers. Go counterpart: none. */
#include "config.h"

#include "common/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int inside_folder(int root, const char *path)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
	char part[PATH_MAX];
	size_t size = 0;

	/* Each part from the root, so that ".." behind a link is what the container sees. */
	while (at >= 0 && path[size]) {
		size_t begin = size + strspn(path + size, "/");
		int next;

		size = begin + strcspn(path + begin, "/");
		if (size >= sizeof(part)) {
			errno = ENAMETOOLONG;
			next = -1;
		} else {
			memcpy(part, path, size);
			part[size] = '\0';
			next = (int)syscall(
				SYS_openat2, root, size ? part : "/", &how, sizeof(how));
		}
		if (next < 0 && errno == ENOENT && mkdirat(at, part + begin, 0755) == 0) {
			next = openat(
				at, part + begin, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next >= 0)
				(void)fchmod(next, 0755); /* whatever the umask is */
		}
		close(at);
		at = next;
	}
	return at;
}

int inside_file(int folder, const char *name, unsigned mode)
{
	int fd;

	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return -1;
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd >= 0)
		(void)fchmod(fd, mode); /* whatever the umask is */
	return fd;
}
