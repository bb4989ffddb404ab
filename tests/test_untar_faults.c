/* SPDX-License-Identifier: Apache-2.0 */
/* Each call by which unpacking looks at its tree fails once: it fails then, or has made the same
 * tree nevertheless. The calls are this file's, by the linker's --wrap. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "layer_fixture.h"
#include "untar.h"
#include "whiteout.h"

#include <cmocka.h>

/* Name, result, parameters, arguments. openat is below. */
#define WRAPPED(X)                                                                                 \
	X(fstatat, int, (int dir, const char *path, struct stat *st, int flags),                   \
		(dir, path, st, flags))                                                            \
	X(fstat, int, (int fd, struct stat *st), (fd, st))                                         \
	X(unlinkat, int, (int dir, const char *path, int flags), (dir, path, flags))               \
	X(renameat, int, (int a, const char *from, int b, const char *to), (a, from, b, to))       \
	X(utimensat, int, (int dir, const char *path, const struct timespec times[2], int flags),  \
		(dir, path, times, flags))                                                         \
	X(futimens, int, (int fd, const struct timespec times[2]), (fd, times))                    \
	X(fchmod, int, (int fd, mode_t mode), (fd, mode))                                          \
	X(fchmodat, int, (int dir, const char *path, mode_t mode, int flags),                      \
		(dir, path, mode, flags))                                                          \
	X(fchown, int, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))                             \
	X(mkdirat, int, (int dir, const char *path, mode_t mode), (dir, path, mode))               \
	X(mknodat, int, (int dir, const char *path, mode_t mode, dev_t dev),                       \
		(dir, path, mode, dev))                                                            \
	X(linkat, int, (int a, const char *from, int b, const char *to, int flags),                \
		(a, from, b, to, flags))                                                           \
	X(symlinkat, int, (const char *to, int dir, const char *path), (to, dir, path))            \
	X(readlinkat, ssize_t, (int dir, const char *path, char *buf, size_t size),                \
		(dir, path, buf, size))                                                            \
	X(setxattr, int,                                                                           \
		(const char *path, const char *name, const void *value, size_t size, int flags),   \
		(path, name, value, size, flags))                                                  \
	X(fsetxattr, int, (int fd, const char *name, const void *value, size_t size, int flags),   \
		(fd, name, value, size, flags))                                                    \
	X(fgetxattr, ssize_t, (int fd, const char *name, void *value, size_t size),                \
		(fd, name, value, size))                                                           \
	X(pwrite, ssize_t, (int fd, const void *buf, size_t size, off_t at), (fd, buf, size, at))  \
	X(write, ssize_t, (int fd, const void *buf, size_t size), (fd, buf, size))

enum call {
	CALL_openat,
#define NUMBER(name, result, parameters, arguments) CALL_##name,
	WRAPPED(NUMBER)
#undef NUMBER
		CALLS
};
static const char *const names[CALLS] = {"openat",
#define NAME(name, result, parameters, arguments) #name,
	WRAPPED(NAME)
#undef NAME
};

static struct {
	enum call call;
	unsigned at; /* 0: none fails */
	unsigned count[CALLS];
	bool on; /* calls are unpacking's */
} fault;

static bool fails(enum call call)
{
	bool now = fault.on && ++fault.count[call] == fault.at && fault.call == call;

	if (now)
		errno = EIO;
	return now;
}

#define WRAP(name, result, parameters, arguments)                                                  \
	result __real_##name parameters;                                                           \
	result __wrap_##name parameters;                                                           \
	result __wrap_##name parameters                                                            \
	{                                                                                          \
		return fails(CALL_##name) ? -1 : __real_##name arguments;                          \
	}
WRAPPED(WRAP)

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return fails(CALL_openat) ? -1 : __real_openat(dir, path, flags, mode);
}

/* Every kind of entry, in folders deep enough for descriptors to be closed and opened again, and
 * names that replace each other. */
static void make_tar(struct buf *tar)
{
	static const struct member members[] = {
		{.name = "./", .type = '5', .mtime = 1},
		{.name = "d", .type = '5', .mtime = 2},
		{.name = "d/e", .type = '5', .mtime = 3, .mode = 0500},
		{.name = "d/e/file", .data = "hello", .mtime = 4},
		{.name = "d/e/hard", .type = '1', .link = "d/e/file", .mtime = 4},
		{.name = "d/link", .type = '2', .link = "e/file", .mtime = 5},
		{.name = "d/fifo", .type = '6', .mtime = 6},
		{.name = "owned", .data = "1", .uid = 7, .gid = 8, .mtime = 6},
		{.name = "attribute",
			.data = "1",
			.mtime = 6,
			.pax = {"SCHILY.xattr.user.a", "value"}},
		{.name = "f", .type = '5', .mtime = 7},
		{.name = "f/sub", .type = '5', .mtime = 8},
		{.name = "f/sub/x", .data = "x", .mtime = 9},
		{.name = "f/.wh.gone"},
		{.name = "d/e/file", .data = "again", .mtime = 10},
		{.name = "d/link", .data = "no link", .mtime = 11},
		{.name = "g", .type = '5', .mtime = 12},
		{.name = "g/.wh..wh..opq"},
		{.name = "f/sub", .type = '2', .link = "../d", .mtime = 13},
		{.name = "f/sub/through", .data = "y", .mtime = 14},
		{.name = "d", .type = '5', .mtime = 15, .mode = 0711},
	};
	char deep[256] = "";

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		tar_member(tar, &members[i]);
	for (int i = 0; i < 30; i++) {
		snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "%sp", i ? "/" : "");
		tar_member(tar, &(struct member){.name = deep, .type = '5', .mtime = 100 + i});
	}
	tar_end(tar);
}

/* Unpacks. The failure's text, or NULL and what there is now. */
static char *unpack(const struct buf *tar, char **ret_tree)
{
	char *dir = temp_make(), *text = NULL;
	cleanup_free char *tree = str_printf("%s/tree", dir);
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct memory_reader source;
	struct untar_result result;
	struct error *err = NULL;
	bool source_failed;

	memory_reader_init(&source, tar->data, tar->size);

	struct untar_options options = {
		.source = &source.reader, .layer = fd, .trusted = whiteout_trusted_works(fd)};

	memset(fault.count, 0, sizeof(fault.count));
	fault.on = true;
	*ret_tree = NULL;

	int n = untar(&options, &result, &source_failed, &err);

	fault.on = false;
	if (n < 0) {
		text = strdup(err->message);
		error_unref(err);
	} else {
		cleanup_free char *all = snapshot(tree);
		struct buf without = {0};

		/* without the folder's name and the whiteout's time, which are others each time */
		for (const char *p = all; *p;) {
			if (!strncmp(p, dir, strlen(dir)))
				p += strlen(dir);
			else if (!strncmp(p, " mtime=", 7) && strtol(p + 7, NULL, 10) > 1000)
				p += strcspn(p + 1, " ") + 1;
			else
				buf_append_char(&without, *p++);
		}
		buf_appendf(&without, "lost %u", result.lost);
		*ret_tree = buf_steal(&without);
	}
	memory_reader_done(&source);
	temp_remove(dir);
	return text;
}

static void test_each_call(void **state)
{
	cleanup_buf struct buf tar = {0};
	cleanup_free char *want = NULL;
	unsigned counts[CALLS];

	(void)state;
	make_tar(&tar);
	cleanup_free char *text = unpack(&tar, &want);

	if (text)
		fail_msg("without a fault: %s", text);
	memcpy(counts, fault.count, sizeof(counts));
	if (!counts[CALL_openat]) {
		print_message("# skip: the calls have other names here (large files on 32 bits)\n");
		skip();
	}
	for (int call = 0; call < CALLS; call++) {
		for (unsigned at = 1; at <= counts[call]; at++) {
			cleanup_free char *tree = NULL;

			fault.call = (enum call)call;
			fault.at = at;

			cleanup_free char *said = unpack(&tar, &tree);

			if (said && !strstr(said, "input/output error"))
				fail_msg("%s %u: %s", names[call], at, said);
			if (tree && strcmp(tree, want))
				fail_msg("%s %u of %u failed, and what was made is\n%s\nnot\n%s",
					names[call], at, counts[call], tree, want);
		}
	}
	assert_true(counts[CALL_openat] > 40 && counts[CALL_fstatat] > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
