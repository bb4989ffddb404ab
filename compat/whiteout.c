/* SPDX-License-Identifier: Apache-2.0 */
/* Whiteouts. Go counterpart: pkg/archive/archive_linux.go. */
#include "config.h"

#include "whiteout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"

#define META_PREFIX ".wh..wh."
#define OPAQUE_NAME ".wh..wh..opq"

static const char *overlay_name(char *ret, size_t size, const char *what, bool trusted)
{
	snprintf(ret, size, "%s.overlay.%s", trusted ? "trusted" : "user", what);
	return ret;
}

enum whiteout_kind whiteout_kind(const char *path)
{
	const char *p = path;

	for (;;) {
		size_t size = strcspn(p, "/");

		if (!strncmp(p, META_PREFIX, sizeof(META_PREFIX) - 1))
			return !strcmp(p, OPAQUE_NAME) ? WHITEOUT_OPAQUE : WHITEOUT_META;
		if (!p[size])
			break;
		p += size + 1;
	}
	if (!str_has_prefix(p, WHITEOUT_PREFIX))
		return WHITEOUT_NONE;
	p += sizeof(WHITEOUT_PREFIX) - 1;
	return !*p || !strcmp(p, ".") || !strcmp(p, "..") ? WHITEOUT_BAD : WHITEOUT_HIDE;
}

bool whiteout_trusted_works(int dir)
{
	if (fsetxattr(dir, "trusted.overlay.towline", "y", 1, 0) < 0)
		return false;
	fremovexattr(dir, "trusted.overlay.towline");
	return true;
}

/* The third form's marks. No tar can bring such a name: what it says there is a whiteout, or AUFS's
 * own and left out. */
static bool mark_name(char ret[NAME_MAX + 1], const char *name)
{
	return (size_t)snprintf(ret, NAME_MAX + 1, WHITEOUT_PREFIX "%s", name) <= NAME_MAX;
}

static int make_mark(int dir, const char *mark)
{
	int fd = openat(dir, mark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static bool has_mark(int dir, const char *mark)
{
	return !faccessat(dir, mark, F_OK, AT_SYMLINK_NOFOLLOW);
}

bool whiteout_is_mark(const char *name)
{
	return str_has_prefix(name, WHITEOUT_PREFIX);
}

void whiteout_forget(int dir, const char *name)
{
	char mark[NAME_MAX + 1];

	if (mark_name(mark, name))
		unlinkat(dir, mark, 0); /* mostly there is none */
}

bool whiteout_needs_marks(int fd, bool trusted)
{
	char name[64];

	return fgetxattr(fd, overlay_name(name, sizeof(name), "opaque", trusted), NULL, 0) < 0 &&
	       errno == EOPNOTSUPP;
}

/* The forms without a device: an empty file with an attribute, in a folder with another one; where
 * there are no attributes, with a mark beside it. */
static int make_file(int dir, const char *name, bool trusted)
{
	char attribute[64], mark[NAME_MAX + 1];
	cleanup_close int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	if (fsetxattr(fd, overlay_name(attribute, sizeof(attribute), "whiteout", trusted), "y", 1,
		    0) < 0)
		goto fail;
	overlay_name(attribute, sizeof(attribute), "opaque", trusted);
	if (fsetxattr(dir, attribute, "x", 1, XATTR_CREATE) < 0 && errno != EEXIST)
		goto fail;
	return 0;
fail:;
	int err = errno;

	if (err == EOPNOTSUPP)
		err = mark_name(mark, name) ? make_mark(dir, mark) : ENAMETOOLONG;
	if (err)
		unlinkat(dir, name, 0);
	return err;
}

int whiteout_make(int dir, const char *name, bool trusted)
{
	if (!mknodat(dir, name, S_IFCHR, 0))
		return 0;
	return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS
		       ? make_file(dir, name, trusted)
		       : errno;
}

int whiteout_set_opaque(int fd, bool trusted)
{
	char name[64];

	if (!fsetxattr(fd, overlay_name(name, sizeof(name), "opaque", trusted), "y", 1, 0))
		return 0;
	return errno == EOPNOTSUPP ? make_mark(fd, OPAQUE_NAME) : errno;
}

bool whiteout_is_opaque(int fd, bool trusted)
{
	char name[64], value[2];
	ssize_t n = fgetxattr(
		fd, overlay_name(name, sizeof(name), "opaque", trusted), value, sizeof(value));

	if (n < 0 && errno == EOPNOTSUPP)
		return has_mark(fd, OPAQUE_NAME);
	return n == 1 && value[0] == 'y';
}

bool whiteout_is(int dir, const char *name, const struct stat *st, bool trusted)
{
	char attribute[64], value[2], mark[NAME_MAX + 1];

	if (S_ISCHR(st->st_mode))
		return !st->st_rdev;
	if (!S_ISREG(st->st_mode) || st->st_size)
		return false;

	cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (fgetxattr(fd, overlay_name(attribute, sizeof(attribute), "whiteout", trusted), value,
		    sizeof(value)) >= 0)
		return true;
	return errno == EOPNOTSUPP && mark_name(mark, name) && has_mark(dir, mark);
}

bool xattr_allowed(const char *name)
{
	if (!strcmp(name, "security.capability"))
		return true;
	return str_has_prefix(name, "user.") && !str_has_prefix(name, "user.overlay.");
}
