/* SPDX-License-Identifier: Apache-2.0 */
/* The files that LXC's containers have besides the image's. The tree comes from strangers: the
 * kernel resolves every path within it. Counterpart: LXC's templates/lxc-oci.in. */
#include "config.h"

#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A folder below root, whatever links are on the way; it is made if it is missing. -1 with errno.
 */
static int open_folder(int root, const char *path)
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

/* A new file in the place of whatever has that name. */
static int write_file(int folder, const char *name, const char *format, const char *text)
{
	FILE *out;
	int fd;

	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return -1;
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!out) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	(void)fchmod(fd, 0644); /* whatever the umask is */
	fprintf(out, format, text);
	return fclose(out) == 0 ? 0 : -1;
}

int rootfs_files_write(const struct template *t, const struct towline_process *process)
{
	static const char hosts[] = "127.0.0.1   localhost\n"
				    "127.0.1.1   %s\n"
				    "::1     localhost ip6-localhost ip6-loopback\n"
				    "fe00::0 ip6-localnet\n"
				    "ff00::0 ip6-mcastprefix\n"
				    "ff02::1 ip6-allnodes\n"
				    "ff02::2 ip6-allrouters\n";
	int root = open(t->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int etc = root >= 0 ? open_folder(root, "etc") : -1;
	int n = 0, cwd;

	if (etc < 0 || write_file(etc, "hostname", "%s\n", t->name) < 0 ||
		write_file(etc, "hosts", hosts, t->name) < 0) {
		template_say("%s/etc: %s", t->rootfs, strerror(errno));
		n = -1;
	}
	if (n == 0) {
		cwd = open_folder(root, process->cwd);
		if (cwd < 0)
			template_say(
				"the image's working folder %s: %s", process->cwd, strerror(errno));
		else
			close(cwd);
	}
	if (etc >= 0)
		close(etc);
	if (root >= 0)
		close(root);
	return n;
}
