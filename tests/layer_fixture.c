/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the layer store share. */
#include "config.h"

#include "layer_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree.h"
#include "whiteout.h"

/* ---- tars ---- */

static void octal(char *p, size_t width, int64_t v)
{
	char text[32];

	if (v < 0 || v >> (3 * (width - 1))) { /* base 256 */
		for (size_t i = width; i-- > 0; v >>= 8)
			p[i] = (char)v;
		p[0] = (char)(v < 0 ? 0xff : 0x80);
		return;
	}
	snprintf(text, sizeof(text), "%0*" PRIo64, (int)width - 1, v);
	memcpy(p, text, width);
}

static void put(char *p, const char *s, size_t width)
{
	memcpy(p, s, strnlen(s, width));
}

void tar_block(struct buf *tar, const struct member *m, size_t at, const void *raw, size_t raw_size)
{
	char b[512] = {0};
	size_t size = m->size ? m->size : m->data ? strlen(m->data) : 0;
	unsigned sum = 0, mode = m->mode ? m->mode : m->type == '5' ? 0755 : 0644;

	put(b, m->name, 100);
	octal(b + 100, 8, mode);
	octal(b + 108, 8, m->uid);
	octal(b + 116, 8, m->gid);
	octal(b + 124, 12,
		m->header_size ? m->header_size < 0 ? 0 : m->header_size : (int64_t)size);
	octal(b + 136, 12, m->mtime ? m->mtime : 1);
	b[156] = m->type ? m->type : '0';
	put(b + 157, m->link ? m->link : "", 100);
	memcpy(b + 257, m->magic ? m->magic : "ustar\00000", 8);
	put(b + 265, m->uname ? m->uname : "", 32);
	octal(b + 329, 8, m->major);
	octal(b + 337, 8, m->minor);
	if (raw)
		memcpy(b + at, raw, raw_size);
	memset(b + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(b); i++)
		sum += (unsigned char)b[i];
	snprintf(b + 148, 8, "%06o", m->bad_checksum ? sum + 1 : sum);
	b[155] = ' ';
	buf_append(tar, b, sizeof(b));
}

void tar_pad(struct buf *tar)
{
	static const char zeros[512];

	buf_append(tar, zeros, -tar->size & 511);
}

void tar_record(struct buf *records, const char *key, const void *value, size_t size)
{
	size_t body = strlen(key) + size + 3, n = body, again;
	char text[24];

	do {
		again = n;
		n = body + (size_t)snprintf(text, sizeof(text), "%zu", again);
	} while (n != again);
	buf_appendf(records, "%zu %s=", n, key);
	buf_append(records, value, size);
	buf_append_char(records, '\n');
}

void tar_pax(struct buf *tar, char kind, const void *records, size_t size)
{
	struct member m = {.name = "PaxHeaders/0", .type = kind, .header_size = (int64_t)size};

	if (!size)
		m.header_size = -1;
	tar_block(tar, &m, 0, NULL, 0);
	buf_append(tar, records, size);
	tar_pad(tar);
}

void tar_member(struct buf *tar, const struct member *m)
{
	cleanup_buf struct buf records = {0};
	size_t size = m->size ? m->size : m->data ? strlen(m->data) : 0;

	for (size_t i = 0; i + 1 < ARRAY_SIZE(m->pax) && m->pax[i]; i += 2)
		tar_record(&records, m->pax[i], m->pax[i + 1], strlen(m->pax[i + 1]));
	if (strlen(m->name) > 100)
		tar_record(&records, "path", m->name, strlen(m->name));
	if (m->link && strlen(m->link) > 100)
		tar_record(&records, "linkpath", m->link, strlen(m->link));
	if (records.size)
		tar_pax(tar, 'x', records.data, records.size);
	tar_block(tar, m, 0, NULL, 0);
	if (m->data)
		buf_append(tar, m->data, size);
	tar_pad(tar);
}

void tar_end(struct buf *tar)
{
	static const char zeros[1024];

	buf_append(tar, zeros, sizeof(zeros));
}

/* ---- readers ---- */

static int64_t some(struct memory_reader *r, size_t size, const char **ret)
{
	size_t left = r->size - r->at;

	r->reads++;
	if (r->fail_at && r->at >= r->fail_at)
		return -1;
	if (size > left)
		size = left;
	if (r->portion && size > r->portion)
		size = r->portion;
	*ret = r->data + r->at;
	r->at += size;
	r->ended = !size;
	return (int64_t)size;
}

static int64_t memory_read(void *context, void *buf, size_t size)
{
	const char *p = NULL;
	int64_t n = some(context, size, &p);

	if (n > 0)
		memcpy(buf, p, (size_t)n);
	return n;
}

/* Lent from a buffer of its own size each time, so that a sanitizer sees what is read too late. */
static int64_t memory_next(void *context, const void **data)
{
	struct memory_reader *r = context;
	const char *p = NULL;
	int64_t n = some(r, 1 << 20, &p);

	free(r->lent);
	r->lent = NULL;
	if (n > 0) {
		r->lent = malloc((size_t)n);
		if (!r->lent)
			return -1;
		memcpy(r->lent, p, (size_t)n);
		*data = r->lent;
	}
	return n;
}

static int memory_wait(void *context, unsigned milliseconds)
{
	struct memory_reader *r = context;

	usleep(milliseconds * 100);
	r->waits++;
	return r->waits_max && r->waits >= r->waits_max ? -1 : 0;
}

static int memory_diff_id(void *context, char *id)
{
	struct memory_reader *r = context;

	if (!r->ended)
		return -1;
	memcpy(id, r->diff_id, sizeof(r->diff_id));
	return 0;
}

void memory_reader_init(struct memory_reader *r, const void *data, size_t size)
{
	*r = (struct memory_reader){.data = data, .size = size};
	r->reader = (struct image_pull_reader){.struct_size = sizeof(r->reader),
		.context = r,
		.read = memory_read,
		.wait = memory_wait,
		.diff_id = memory_diff_id,
		.next = memory_next};
	if (digest_from_bytes(data ? data : "", size, r->diff_id) < 0)
		abort();
}

void memory_reader_done(struct memory_reader *r)
{
	free(r->lent);
	r->lent = NULL;
}

/* ---- folders ---- */

char *temp_make(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = str_printf("%s/towline-test-XXXXXX", base ? base : "/tmp");

	if (!dir || !mkdtemp(dir)) {
		fprintf(stderr, "mkdtemp %s: %s\n", dir ? dir : "", strerror(errno));
		abort();
	}
	return dir;
}

void temp_remove(char *dir)
{
	if (dir)
		remove_tree(AT_FDCWD, dir);
	free(dir);
}

void write_file(const char *path, const char *data, mode_t mode)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	size_t size = strlen(data);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || fchmod(fd, mode) < 0) {
		fprintf(stderr, "write %s: %s\n", path, strerror(errno));
		abort();
	}
}

static char *read_at(int dir, const char *path)
{
	cleanup_close int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_buf struct buf b = {0};
	char part[4096];
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = read(fd, part, sizeof(part))) > 0)
		buf_append(&b, part, (size_t)n);
	return n < 0 ? NULL : buf_steal(&b);
}

char *read_file(const char *path)
{
	return read_at(AT_FDCWD, path);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void snapshot_into(struct buf *b, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, by_name);

	for (int i = 0; i < n; i++) {
		cleanup_free char *path = str_printf("%s/%s", dir, names[i]->d_name);
		char xattrs[4096], link[4096];
		struct stat st;

		if (strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, "..") &&
			!lstat(path, &st)) {
			cleanup_free char *data =
				S_ISREG(st.st_mode) ? read_at(AT_FDCWD, path) : NULL;
			ssize_t size = llistxattr(path, xattrs, sizeof(xattrs));
			ssize_t target = readlink(path, link, sizeof(link) - 1);

			link[target > 0 ? target : 0] = '\0';
			buf_appendf(b, "%s %o %d:%d links=%lu size=%ld mtime=%ld xattrs=%zd %s%s\n",
				path, st.st_mode, (int)st.st_uid, (int)st.st_gid,
				(unsigned long)st.st_nlink, (long)st.st_size, (long)st.st_mtime,
				size, data ? data : "", link);
			if (S_ISDIR(st.st_mode))
				snapshot_into(b, path);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

char *snapshot(const char *dir)
{
	struct buf b = {0};

	snapshot_into(&b, dir);
	return buf_steal(&b);
}

static const char *kind_of(int dir, const char *name, const struct stat *st)
{
	if (whiteout_is(dir, name, st, true) || whiteout_is(dir, name, st, false))
		return "whiteout";
	return S_ISREG(st->st_mode)    ? "file"
	       : S_ISDIR(st->st_mode)  ? "dir"
	       : S_ISLNK(st->st_mode)  ? "symlink"
	       : S_ISFIFO(st->st_mode) ? "fifo"
	       : S_ISCHR(st->st_mode)  ? "char"
	       : S_ISBLK(st->st_mode)  ? "block"
				       : "other";
}

static bool has_xattr(const char *path, const char *name)
{
	return lgetxattr(path, name, NULL, 0) >= 0;
}

/* One "key=value" of a spec. */
static char *word_differs(
	int dir, const char *path, const char *full, const struct stat *st, char *word)
{
	char *value = strpbrk(word, "=<");
	struct stat other;
	long long n;

	if (!value)
		return str_printf("%s: bad word %s", path, word);
	value++;
	n = strtoll(value, NULL, 10);
	if (str_has_prefix(word, "mode=")) {
		if ((st->st_mode & 07777) != strtoul(value, NULL, 8))
			return str_printf(
				"%s has mode %o, not %s", path, st->st_mode & 07777, value);
	} else if (str_has_prefix(word, "uid=")) {
		if (st->st_uid != (uid_t)n)
			return str_printf("%s has uid %u, not %s", path, st->st_uid, value);
	} else if (str_has_prefix(word, "gid=")) {
		if (st->st_gid != (gid_t)n)
			return str_printf("%s has gid %u, not %s", path, st->st_gid, value);
	} else if (str_has_prefix(word, "mtime=")) {
		if (st->st_mtime != n)
			return str_printf(
				"%s has mtime %lld, not %s", path, (long long)st->st_mtime, value);
	} else if (str_has_prefix(word, "size=")) {
		if (st->st_size != n)
			return str_printf(
				"%s has size %lld, not %s", path, (long long)st->st_size, value);
	} else if (str_has_prefix(word, "disk<")) {
		if (st->st_blocks * 512 >= n)
			return str_printf("%s takes %lld bytes, not less than %s", path,
				(long long)st->st_blocks * 512, value);
	} else if (str_has_prefix(word, "rdev=")) {
		unsigned a = 0, b = 0;

		if (sscanf(value, "%u:%u", &a, &b) != 2 || st->st_rdev != makedev(a, b))
			return str_printf("%s is device %u:%u, not %s", path, major(st->st_rdev),
				minor(st->st_rdev), value);
	} else if (str_has_prefix(word, "xattr=")) {
		if (!has_xattr(full, value))
			return str_printf("%s lacks %s", path, value);
	} else if (str_has_prefix(word, "no-xattr=")) {
		if (has_xattr(full, value))
			return str_printf("%s has %s", path, value);
	} else if (str_has_prefix(word, "same=")) {
		if (fstatat(dir, value, &other, AT_SYMLINK_NOFOLLOW) < 0 ||
			other.st_ino != st->st_ino)
			return str_printf("%s is not the same file as %s", path, value);
	} else {
		return str_printf("%s: bad word %s", path, word);
	}
	return NULL;
}

static char *line_differs(const char *root, int dir, const char *line)
{
	cleanup_free char *copy = strdup(line);
	char *path = copy, *kind = strchr(copy, ' '), *rest, *word, *next;
	struct stat st;

	if (!kind)
		return str_printf("bad line %s", line);
	*kind++ = '\0';
	rest = strchr(kind, ' ');
	if (rest)
		*rest++ = '\0';

	cleanup_free char *full = str_printf("%s/%s", root, path);

	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return !strcmp(kind, "absent") ? NULL : str_printf("%s: %s", path, strerror(errno));
	if (strcmp(kind_of(dir, path, &st), kind))
		return str_printf("%s is %s, not %s", path, kind_of(dir, path, &st), kind);
	for (word = rest; word && *word; word = next) {
		if (str_has_prefix(word, "data=")) {
			cleanup_free char *data = read_at(dir, path);

			return data && !strcmp(data, word + 5)
				       ? NULL
				       : str_printf("%s holds '%s', not '%s'", path,
						 data ? data : "(unreadable)", word + 5);
		}
		if (str_has_prefix(word, "link=")) {
			char target[4096];
			ssize_t n = readlinkat(dir, path, target, sizeof(target) - 1);

			target[n > 0 ? n : 0] = '\0';
			return strcmp(target, word + 5) ? str_printf("%s points at %s, not %s",
								  path, target, word + 5)
							: NULL;
		}
		next = strchr(word, ' ');
		if (next)
			*next++ = '\0';

		char *text = word_differs(dir, path, full, &st, word);

		if (text)
			return text;
	}
	return NULL;
}

char *tree_differs(const char *root, const char *const *spec)
{
	cleanup_close int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return str_printf("%s: %s", root, strerror(errno));
	for (size_t i = 0; spec[i]; i++) {
		char *text = line_differs(root, dir, spec[i]);

		if (text)
			return text;
	}
	return NULL;
}

bool is_root(void)
{
	static const char name[] = "trusted.towline.test";

	if (geteuid())
		return false;

	char *dir = temp_make();
	bool ok = !setxattr(dir, name, "y", 1, 0);

	temp_remove(dir);
	return ok;
}

/* ---- sinks ---- */

static int add_value(void *receiver, const void *data, size_t size)
{
	struct text_sink *s = receiver;

	buf_append(&s->values, data, size);
	buf_append_char(&s->values, '\n');
	return s->values.oom ? IMAGE_PULL_NO_MEMORY : IMAGE_PULL_OK;
}

static void set_message(void *receiver, const char *text)
{
	struct text_sink *s = receiver;

	free(s->message);
	s->message = strdup(text);
}

void text_sink_init(struct text_sink *s)
{
	*s = (struct text_sink){.sink = {sizeof(s->sink), s, add_value, set_message}};
}

void text_sink_done(struct text_sink *s)
{
	free(s->message);
	buf_free(&s->values);
}
