/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting layers. Go counterpart: daemon/graphdriver/overlay2/{overlay,mount}.go. */
#include "config.h"

#include "overlay_mount.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "copy_tree.h"

#define OVERLAY_MAGIC 0x794c7630

/* Is the same data mounted above it already? The kernel answers ELOOP to a folder that comes twice;
 * the lower one shows nothing that the upper one does not. */
static bool comes_again(const struct open_layers *l, size_t i)
{
	for (size_t j = i + 1; j < l->n; j++)
		if (!strcmp(l->list[i].diff_id, l->list[j].diff_id))
			return true;
	return false;
}

int overlay_mount(const struct open_layers *l, int upper, int work, const char *target)
{
	cleanup_buf struct buf b = {0};

	/* By descriptor: 127 paths do not fit the page that options have, and colons and commas in
	 * them need no care. */
	buf_append_str(&b, "lowerdir=");
	for (size_t i = l->n, n = 0; i-- > 0;)
		if (!comes_again(l, i))
			buf_appendf(&b, "%s/proc/self/fd/%d", n++ ? ":" : "", l->list[i].tree);
	buf_appendf(&b, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", upper, work);
	if (b.oom)
		return ENOMEM;
	return mount("overlay", target, "overlay", 0, b.data) < 0 ? errno : 0;
}

bool overlay_is_mounted(const char *target)
{
	cleanup_free char *parent = str_printf("%s/..", target);
	struct stat at, above;
	struct statfs fs;

	return parent && !statfs(target, &fs) && (unsigned long)fs.f_type == OVERLAY_MAGIC &&
	       !stat(target, &at) && !stat(parent, &above) && at.st_dev != above.st_dev;
}

int overlay_unmount(const char *target)
{
	if (!overlay_is_mounted(target))
		return 0;
	return umount2(target, UMOUNT_NOFOLLOW) < 0 ? errno : 0;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7' &&
			s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

bool mounts_below(const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	size_t size = strlen(path), room = 0;
	char *line = NULL;
	bool found = false;

	if (!f)
		return true;
	while (!found && getline(&line, &room, f) > 0) {
		char *p = line;

		/* ID, parent, device, root, then the mount point. */
		for (int i = 0; p && i < 4; i++) {
			p = strchr(p, ' ');
			p += p ? 1 : 0;
		}
		if (!p)
			continue;
		p[strcspn(p, " \n")] = '\0';
		unescape(p);
		found = !strncmp(p, path, size) && (!p[size] || p[size] == '/');
	}
	found |= ferror(f) != 0;
	free(line);
	fclose(f);
	return found;
}
