/* SPDX-License-Identifier: Apache-2.0 */
/* The files that LXC's containers have besides the image's. The tree comes from strangers: the
 * kernel resolves every path within it. Counterpart: LXC's templates/lxc-oci.in. */
#include "config.h"

#include "template.h"

#include "common/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_file(int folder, const char *name, const char *format, const char *text)
{
	int fd = inside_file(folder, name, 0644);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (!out) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
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
	int etc = root >= 0 ? inside_folder(root, "etc") : -1;
	int n = 0, cwd;

	if (etc < 0 || write_file(etc, "hostname", "%s\n", t->name) < 0 ||
		write_file(etc, "hosts", hosts, t->name) < 0) {
		template_say("%s/etc: %s", t->rootfs, strerror(errno));
		n = -1;
	}
	if (n == 0) {
		cwd = inside_folder(root, process->cwd);
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
