/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking a layer. Go counterparts: pkg/archive/archive.go, overlay2's ApplyDiff. */
#include "config.h"

#include "untar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "dir_times.h"
#include "implicit.h"
#include "tar_headers.h"
#include "tar_reader.h"
#include "tree.h"
#include "whiteout.h"
#include "writeback.h"

#define DISK_BLOCK 4096
#define FILE_SIZE_MAX ((int64_t)1 << 43) /* with holes */

struct untar {
	const struct untar_options *options;
	struct untar_result result;
	struct tar_reader *reader; /* NULL: members are another's */
	struct tar_members members;
	struct tar_headers *headers;
	struct tar_keep keep;
	struct dir_times *times;
	struct implicit_writer implicit;
	uint64_t made; /* folders without an entry */
	int tree_fd;
	int shadow_fd; /* -1: nothing was replaced so far */
	unsigned nshadow;
	bool dirs_late; /* we may not write into any folder: modes come last */
	uid_t uid;
	gid_t gid;
	struct tar_entry entry;
	struct tree_place place, target;
	char name[PATH_MAX], link[PATH_MAX];
	struct tree tree;
};

/* "op /path: text", as an error of Docker's, which works in a chroot. */
static int fail(const char *op, const char *path, int errnum, struct error **reterr)
{
	cleanup_free char *full = str_printf("/%s", path);

	if (!full)
		return error_set(reterr, &error_no_memory);
	return error_set(reterr, error_path(op, full, error_errno(errnum)));
}

/* ---- metadata ---- */

/* May this failure be lived with? Where we are not root of the first user namespace. */
static bool forgivable(const struct untar *u, int errnum)
{
	return !u->options->trusted && (errnum == EPERM || errnum == EINVAL);
}

static bool valid_ids(const struct tar_entry *e)
{
	return e->uid >= 0 && e->uid < UINT32_MAX && e->gid >= 0 && e->gid < UINT32_MAX;
}

/* A descriptor or, where fd is -1, the name in place, never followed. */
static int set_owner(struct untar *u, int fd, const struct stat *st, struct error **reterr)
{
	const struct tar_entry *e = &u->entry;
	const struct tree_place *p = &u->place;
	int n;

	if (!valid_ids(e))
		return fail("lchown", p->path, EINVAL, reterr);
	if (st->st_uid == (uid_t)e->uid && st->st_gid == (gid_t)e->gid)
		return 0;
	if (fd >= 0)
		n = fchown(fd, (uid_t)e->uid, (gid_t)e->gid);
	else
		n = fchownat(p->dir, p->base, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW);
	if (!n)
		return 0;
	if (!forgivable(u, errno))
		return fail("lchown", p->path, errno, reterr);
	u->result.lost |= UNTAR_LOST_OWNERS;
	return 0;
}

static int set_xattr(struct untar *u, int fd, const char *name, const void *value, size_t size,
	struct error **reterr)
{
	char link[64];
	int n;

	if (fd >= 0) {
		n = fsetxattr(fd, name, value, size, 0);
	} else {
		/* There is no lsetxattrat: through a descriptor of the link or node itself. */
		cleanup_close int path =
			openat(u->place.dir, u->place.base, O_PATH | O_NOFOLLOW | O_CLOEXEC);

		if (path < 0)
			return fail("lsetxattr", u->place.path, errno, reterr);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", path);
		n = setxattr(link, name, value, size, 0);
	}
	if (!n)
		return 0;
	if (errno != ENOTSUP && errno != EPERM)
		return fail("lsetxattr", u->place.path, errno, reterr);
	u->result.lost |= UNTAR_LOST_XATTRS;
	return 0;
}

static int set_xattrs(struct untar *u, int fd, struct error **reterr)
{
	const void *value;
	const char *name;
	size_t size;

	while (u->members.xattr(u->members.arg, &name, &value, &size))
		if (name && xattr_allowed(name) && set_xattr(u, fd, name, value, size, reterr) < 0)
			return -1;
	return 0;
}

/* Owner, then mode (a change of owner clears set-id bits), then attributes (it clears capabilities
 * too). Times come after the last write. */
static int set_metadata(struct untar *u, int fd, mode_t mode, struct error **reterr)
{
	const struct tree_place *p = &u->place;
	struct stat st;

	if (fd >= 0 ? fstat(fd, &st) < 0 : fstatat(p->dir, p->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail("lstat", p->path, errno, reterr);

	bool chowned = st.st_uid != (uid_t)u->entry.uid || st.st_gid != (gid_t)u->entry.gid;

	if (set_owner(u, fd, &st, reterr) < 0)
		return -1;
	if (!S_ISLNK(st.st_mode) && ((st.st_mode & 07777) != mode || (chowned && (mode & 07000)))) {
		int n = fd >= 0 ? fchmod(fd, mode) : fchmodat(p->dir, p->base, mode, 0);

		if (n < 0)
			return fail("chmod", p->path, errno, reterr);
	}
	return set_xattrs(u, fd, reterr);
}

static int set_times(struct untar *u, int fd, struct error **reterr)
{
	const struct timespec times[2] = {u->entry.atime, u->entry.mtime};
	int n = fd >= 0 ? futimens(fd, times)
			: utimensat(u->place.dir, u->place.base, times, AT_SYMLINK_NOFOLLOW);

	/* Times that a file system can't hold it cuts itself; what it refuses is refused. */
	return n < 0 ? fail("chtimes", u->place.path, errno, reterr) : 0;
}

/* ---- what is there already ---- */

/* Move what is at place aside, since the tar can be made again only with its data. */
static int move_aside(struct untar *u, struct error **reterr)
{
	char name[16];

	if (u->shadow_fd < 0) {
		if (mkdirat(u->options->layer, SHADOW_DIR, 0700) < 0)
			return fail("mkdir", SHADOW_DIR, errno, reterr);
		u->shadow_fd = openat(u->options->layer, SHADOW_DIR,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (u->shadow_fd < 0)
			return fail("open", SHADOW_DIR, errno, reterr);
	}
	tree_forget(&u->tree, &u->place);
	snprintf(name, sizeof(name), "%u", u->nshadow);
	if (renameat(u->place.dir, u->place.base, u->shadow_fd, name) < 0)
		return fail("remove", u->place.path, errno, reterr);
	tar_headers_moved(u->headers, u->place.path, u->place.path_size, u->nshadow++);
	return 0;
}

/* os.RemoveAll of the original. *ret_hidden: it was a whiteout. */
static int make_room(
	struct untar *u, const struct stat *st, bool *ret_hidden, struct error **reterr)
{
	const struct tree_place *p = &u->place;

	*ret_hidden = whiteout_is(p->dir, p->base, st, u->options->trusted);
	if (*ret_hidden)
		whiteout_forget(p->dir, p->base);
	if (S_ISDIR(st->st_mode)) {
		tree_forget(&u->tree, p);
		if (!unlinkat(p->dir, p->base, AT_REMOVEDIR))
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return fail("remove", p->path, errno, reterr);
		return move_aside(u, reterr);
	}
	if (S_ISREG(st->st_mode) && st->st_size)
		return move_aside(u, reterr);
	return unlinkat(p->dir, p->base, 0) < 0 ? fail("remove", p->path, errno, reterr) : 0;
}

/* Make something that is no folder; try again once where a name is taken. */
static int create(struct untar *u, const char *op, int (*make)(struct untar *u, int *ret_fd),
	int *ret_fd, struct error **reterr)
{
	struct stat st;
	bool hidden;

	for (int tries = 0;; tries++) {
		int err = make(u, ret_fd);

		if (!err)
			return 0;
		if (err != EEXIST || tries)
			return fail(op, u->place.path, err, reterr);
		if (fstatat(u->place.dir, u->place.base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail("lstat", u->place.path, errno, reterr);
		if (make_room(u, &st, &hidden, reterr) < 0)
			return -1;
	}
}

/* ---- the kinds ---- */

static int make_file(struct untar *u, int *ret_fd)
{
	*ret_fd = openat(u->place.dir, u->place.base,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, u->entry.mode & 0777);
	return *ret_fd < 0 ? errno : 0;
}

static int write_all(int fd, const char *data, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pwrite(fd, data, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		data += n;
		size -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

static int write_file(struct untar *u, int fd, struct error **reterr)
{
	uint64_t offset, written = 0;
	const void *data;
	size_t size;
	int n;

	while ((n = u->members.data(u->members.arg, &data, &size, &offset, reterr)) > 0) {
		int err = write_all(fd, data, size, offset);

		if (err)
			return fail("write", u->place.path, err, reterr);
		if (!written)
			tar_headers_file(u->headers, u->place.path, u->place.path_size);
		u->members.stored(u->members.arg);
		written += size;
		if (u->options->writeback)
			writeback_add(u->options->writeback, size);
	}
	if (n < 0)
		return -1;
	if (!written && u->entry.sparse)
		tar_headers_file(u->headers, u->place.path, u->place.path_size);
	if (written || u->entry.sparse)
		tar_headers_end_file(u->headers);
	if (u->entry.sparse && ftruncate(fd, u->entry.size) < 0)
		return fail("truncate", u->place.path, errno, reterr);
	u->result.disk += (int64_t)((written + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK);
	return 0;
}

static int unpack_file(struct untar *u, struct error **reterr)
{
	cleanup_close int fd = -1;

	if (u->entry.size > FILE_SIZE_MAX && u->entry.sparse)
		return fail("truncate", u->place.path, EFBIG, reterr);
	if (create(u, "open", make_file, &fd, reterr) < 0 || write_file(u, fd, reterr) < 0 ||
		set_metadata(u, fd, u->entry.mode, reterr) < 0 || set_times(u, fd, reterr) < 0)
		return -1;
	u->result.size += u->entry.size;
	return 0;
}

static int make_symlink(struct untar *u, int *ret_fd)
{
	(void)ret_fd;
	return symlinkat(u->entry.link, u->place.dir, u->place.base) < 0 ? errno : 0;
}

static int make_node(struct untar *u, int *ret_fd)
{
	const struct tar_entry *e = &u->entry;
	mode_t kind = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;

	if (!mknodat(u->place.dir, u->place.base, kind | (e->mode & 0777),
		    e->type == '6' ? 0 : makedev(e->major, e->minor)))
		return 0;
	if (e->type == '6' || errno != EPERM || u->options->trusted)
		return errno;

	/* A device that we may not make: an empty file keeps its name, mode and times. */
	cleanup_close int fd = -1;
	int err = make_file(u, &fd);

	(void)ret_fd;
	if (!err)
		u->result.lost |= UNTAR_LOST_DEVICES;
	return err;
}

static int unpack_other(struct untar *u, struct error **reterr)
{
	const struct tar_entry *e = &u->entry;
	bool symlink = e->type == '2';
	int unused;

	if (!symlink && e->type != '6' && !e->major && !e->minor && e->type == '3') {
		log_warning(u->options->log,
			"layer entry /%s left out: device 0:0 is overlay's whiteout",
			u->place.path);
		return 0;
	}
	if (create(u, symlink ? "symlink" : "mknod", symlink ? make_symlink : make_node, &unused,
		    reterr) < 0)
		return -1;
	if (set_metadata(u, -1, e->mode, reterr) < 0 || set_times(u, -1, reterr) < 0)
		return -1;
	return 0;
}

static int make_hard_link(struct untar *u, int *ret_fd)
{
	(void)ret_fd;
	return linkat(u->target.dir, u->target.base, u->place.dir, u->place.base, 0) < 0 ? errno
											 : 0;
}

static int fail_link(const struct untar *u, int errnum, struct error **reterr)
{
	return error_setf(reterr, "link /%s /%s: %s", u->link, u->place.path, errno_text(errnum));
}

/* The target is what this layer has under that name; a layer below is out of reach, as for
 * Docker's overlay2. */
static int unpack_hard_link(struct untar *u, struct error **reterr)
{
	size_t size;
	int err = path_clean(u->entry.link, u->link, &size);
	int unused;

	if (!err && !size)
		err = EPERM; /* the root folder */
	if (!err)
		err = tree_find(&u->tree, u->link, 0, &u->target);
	if (err)
		return fail_link(u, err, reterr);

	struct stat st;

	if (fstatat(u->target.dir, u->target.base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_link(u, errno, reterr);
	if (S_ISDIR(st.st_mode))
		return fail_link(u, EPERM, reterr);
	if (!strcmp(u->target.path, u->place.path) ||
		whiteout_is(u->target.dir, u->target.base, &st, u->options->trusted))
		return fail_link(u, ENOENT, reterr);

	/* Finding the target may have closed the folder of the link, and the other way round. */
	cleanup_close int dir = fcntl(u->target.dir, F_DUPFD_CLOEXEC, 0);

	if (dir < 0)
		return fail_link(u, errno, reterr);
	err = tree_find(&u->tree, u->name, TREE_MAKE, &u->place);
	if (err)
		return fail_link(u, err, reterr);
	u->target.dir = dir;
	if (create(u, "link", make_hard_link, &unused, reterr) < 0)
		return -1;
	/* The header of a link speaks of the file too, as in the original. */
	if (set_metadata(u, -1, u->entry.mode, reterr) < 0)
		return -1;
	return set_times(u, -1, reterr);
}

static int set_opaque(struct untar *u, int fd, struct error **reterr)
{
	int err = whiteout_set_opaque(fd, u->options->trusted);

	return err ? fail("setxattr", u->place.path, err, reterr) : 0;
}

/* An open folder gets what its entry says; times (and modes that would shut us out) come last. */
static int finish_folder(struct untar *u, int fd, struct error **reterr)
{
	mode_t mode = u->entry.mode, now = u->dirs_late ? mode | 0700 : mode;

	if (set_metadata(u, fd, now, reterr) < 0)
		return -1;

	const struct timespec times[2] = {u->entry.atime, u->entry.mtime};

	return dir_times_add(u->times, u->place.path, u->place.path_size, times,
		now != mode ? mode : UINT32_MAX, reterr);
}

static int unpack_folder(struct untar *u, struct error **reterr)
{
	const struct tree_place *p = &u->place;
	mode_t mode = u->dirs_late ? 0700 : u->entry.mode & 0777;
	bool hidden = false, made = true;
	struct stat st;
	int fd;

	if (mkdirat(p->dir, p->base, mode) < 0) {
		if (errno != EEXIST || fstatat(p->dir, p->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail("mkdir", p->path, errno, reterr);
		made = !S_ISDIR(st.st_mode);
		if (made) {
			if (make_room(u, &st, &hidden, reterr) < 0)
				return -1;
			if (mkdirat(p->dir, p->base, mode) < 0)
				return fail("mkdir", p->path, errno, reterr);
		}
	}

	int err = tree_enter(&u->tree, p, &fd);

	if (err)
		return fail("open", p->path, err, reterr);
	u->result.disk += DISK_BLOCK;
	if (!made)
		implicit_add(&u->implicit, p->path, false);
	/* It replaces what the layers below have there. */
	if (hidden && set_opaque(u, fd, reterr) < 0)
		return -1;
	return finish_folder(u, fd, reterr);
}

static int unpack_root(struct untar *u, struct error **reterr)
{
	if (u->entry.type != '5')
		return 0; /* the original passes over it */
	u->place.path[0] = '\0';
	u->place.path_size = 0;
	u->result.root_entry = true;
	return finish_folder(u, u->tree_fd, reterr);
}

/* ---- whiteouts ---- */

static int hide(struct untar *u, struct error **reterr)
{
	const struct tree_place *p = &u->place;
	const char *name = p->base + sizeof(WHITEOUT_PREFIX) - 1;
	int fd, err = whiteout_make(p->dir, name, u->options->trusted);
	struct stat st;

	if (!err)
		return 0;
	if (err != EEXIST || fstatat(p->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail("mknod", p->path, err, reterr);
	/* What this layer brings itself stays; a folder of its own no longer merges. */
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = openat(p->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail("open", p->path, errno, reterr);
	err = set_opaque(u, fd, reterr);
	close(fd);
	return err;
}

static int unpack_whiteout(struct untar *u, enum whiteout_kind kind, struct error **reterr)
{
	if (kind == WHITEOUT_BAD)
		return error_setf(reterr, "invalid whiteout /%s", u->place.path);
	if (kind == WHITEOUT_HIDE)
		return hide(u, reterr);
	/* Where the folder is the root, overlay's attribute has no effect: said in the layer's
	 * record. */
	if (u->place.base == u->place.path)
		u->result.opaque = true;
	return set_opaque(u, u->place.dir, reterr);
}

/* ---- the loop ---- */

static int check_entries(const struct untar *u, struct error **reterr)
{
	uint64_t max = u->options->max_entries;

	if (!max || u->result.entries + u->made <= max)
		return 0;
	if (u->options->over)
		*u->options->over = true;
	return error_setf(reterr, "it has more than the %llu entries that a layer may have",
		(unsigned long long)max);
}

static int unpack_entry(struct untar *u, struct error **reterr)
{
	size_t size;
	int err = path_clean(u->entry.name, u->name, &size);

	if (err)
		return fail("lstat", u->entry.name, err, reterr);
	if (!size)
		return unpack_root(u, reterr);

	enum whiteout_kind kind = whiteout_kind(u->name);

	if (kind == WHITEOUT_META)
		return 0;
	err = tree_find(&u->tree, u->name, TREE_MAKE, &u->place);
	if (err)
		return fail("lstat", u->name, err, reterr);
	if (kind != WHITEOUT_NONE)
		return unpack_whiteout(u, kind, reterr);
	switch (u->entry.type) {
	case '0':
		return unpack_file(u, reterr);
	case '1':
		return unpack_hard_link(u, reterr);
	case '2':
	case '3':
	case '4':
	case '6':
		return unpack_other(u, reterr);
	case '5':
		return unpack_folder(u, reterr);
	default:
		return error_setf(
			reterr, "unhandled tar header type %d", (unsigned char)u->entry.type);
	}
}

static int unpack_all(struct untar *u, struct error **reterr)
{
	int n;

	while ((n = u->members.next(u->members.arg, &u->entry, reterr)) > 0) {
		u->result.entries++;
		if (check_entries(u, reterr) < 0 || unpack_entry(u, reterr) < 0 ||
			check_entries(u, reterr) < 0)
			return -1;
	}
	if (n < 0 || u->members.drain(u->members.arg, reterr) < 0)
		return -1;

	uint64_t headers = 0;

	if (implicit_finish(&u->implicit, reterr) < 0 ||
		dir_times_apply(u->times, &u->tree, u->tree_fd, reterr) < 0 ||
		tar_headers_finish(u->headers, &headers, reterr) < 0)
		return -1;
	u->result.disk += (int64_t)headers;
	return 0;
}

static void made_parent(void *arg, const char *path)
{
	struct untar *u = arg;

	u->made++;
	implicit_add(&u->implicit, path, true);
}

static int prepare(struct untar *u, struct error **reterr)
{
	int layer = u->options->layer;

	if (mkdirat(layer, TREE_DIR, 0755) < 0)
		return error_set(reterr, error_path("mkdir", TREE_DIR, error_errno(errno)));
	u->tree_fd = openat(layer, TREE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (u->tree_fd < 0 || fchmod(u->tree_fd, 0755) < 0)
		return error_set(reterr, error_path("open", TREE_DIR, error_errno(errno)));
	tree_init(&u->tree, u->tree_fd);
	u->tree.made = made_parent;
	u->tree.made_arg = u;
	if (tar_headers_create(layer, TAR_HEADERS_FILE, &u->headers, reterr) < 0 ||
		dir_times_new(layer, &u->times, reterr) < 0)
		return -1;
	tar_headers_keep(u->headers, &u->keep);
	if (u->options->members) {
		u->members = *u->options->members;
		u->members.keep(u->members.arg, &u->keep);
		return 0;
	}
	if (tar_reader_new(u->options->source, &u->keep, &u->reader, reterr) < 0)
		return -1;
	tar_reader_members(u->reader, &u->members);
	return 0;
}

int untar(const struct untar_options *options, struct untar_result *ret, bool *ret_source_failed,
	struct error **reterr)
{
	struct untar *u = malloc(sizeof(*u));

	*ret_source_failed = false;
	if (!u)
		return error_set(reterr, &error_no_memory);
	memset(u, 0, offsetof(struct untar, entry));
	u->options = options;
	u->tree_fd = u->shadow_fd = -1;
	u->implicit = IMPLICIT_WRITER(options->layer);
	u->dirs_late = geteuid() != 0;
	tree_init(&u->tree, -1);

	int n = prepare(u, reterr);

	if (!n)
		n = unpack_all(u, reterr);
	if (!n)
		*ret = u->result;
	else if (u->members.source_failed)
		*ret_source_failed = u->members.source_failed(u->members.arg);
	tar_reader_free(u->reader);
	tar_headers_free(u->headers);
	dir_times_free(u->times);
	implicit_close(&u->implicit);
	tree_done(&u->tree);
	closep(&u->shadow_fd);
	closep(&u->tree_fd);
	free(u);
	return n;
}
