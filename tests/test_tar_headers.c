/* SPDX-License-Identifier: Apache-2.0 */
/* The exact tar is made again from headers and files; damage is found and named. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer_fixture.h"
#include "layer_store.h"
#include "tar_headers.h"
#include "untar.h"
#include "whiteout.h"

#include <cmocka.h>

/* ---- a layer in a folder ---- */

struct layer {
	char *dir;
	int fd;
	struct untar_result result;
};

static void layer_make(struct layer *l, const struct buf *tar, size_t portion)
{
	struct memory_reader source;
	struct error *err = NULL;
	bool source_failed;

	l->dir = temp_make();
	l->fd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(l->fd >= 0);
	memory_reader_init(&source, tar->data, tar->size);
	source.portion = portion;

	struct untar_options options = {
		.source = &source.reader, .layer = l->fd, .trusted = whiteout_trusted_works(l->fd)};

	if (untar(&options, &l->result, &source_failed, &err) < 0)
		fail_msg("untar: %s", err->message);
	memory_reader_done(&source);
}

static void layer_remove(struct layer *l)
{
	close(l->fd);
	temp_remove(l->dir);
}

static void note(void *arg, const char *path, const char *text)
{
	buf_appendf(arg, "%s %s\n", path, text);
}

/* The tar again; NULL, or the text of the failure. found: what go_on reports. */
static char *again(
	const struct layer *l, size_t portion, bool no_data, struct buf *tar, struct buf *found)
{
	struct tar_stream_options options = {.layer = l->fd,
		.no_data = no_data,
		.go_on = found != NULL,
		.damaged = found ? note : NULL,
		.arg = found};
	struct tar_stream *ts = NULL;
	struct error *err = NULL;
	char *text = NULL, *part = malloc(portion);
	int64_t n = tar_stream_new(&options, &ts, &err);

	while (!n && (n = tar_stream_read(ts, part, portion, &err)) > 0) {
		buf_append(tar, part, (size_t)n);
		n = 0;
	}
	if (n < 0) {
		text = strdup(err->message);
		error_unref(err);
	}
	tar_stream_free(ts);
	free(part);
	return text;
}

static void expect_same(const char *name, const struct buf *tar)
{
	static const size_t portions[] = {0, 1, 511, 4096};

	for (size_t i = 0; i < ARRAY_SIZE(portions); i++) {
		cleanup_buf struct buf out = {0};
		struct layer l;

		if (portions[i] == 1 && tar->size > 100000)
			continue;
		layer_make(&l, tar, portions[i]);

		cleanup_free char *text = again(&l, i % 2 ? 65536 : 333, false, &out, NULL);

		if (text)
			fail_msg("%s: %s", name, text);
		if (out.size != tar->size || (tar->size && memcmp(out.data, tar->data, tar->size)))
			fail_msg("%s: the tar of %zu bytes differs from the one of %zu", name,
				out.size, tar->size);
		layer_remove(&l);
	}
}

/* ---- tars of every kind ---- */

static void ordinary(struct buf *tar, const char *magic)
{
	tar_member(tar, &(struct member){.name = "d/", .type = '5', .magic = magic});
	tar_member(tar, &(struct member){.name = "d/a", .data = "hello", .magic = magic});
	tar_member(tar, &(struct member){.name = "d/empty", .data = "", .magic = magic});
	tar_member(tar, &(struct member){.name = "l", .type = '2', .link = "d/a", .magic = magic});
	tar_member(tar, &(struct member){.name = "h", .type = '1', .link = "d/a", .magic = magic});
	tar_member(tar, &(struct member){.name = "p", .type = '6', .magic = magic});
	tar_member(tar, &(struct member){.name = "d/.wh.gone", .data = "", .magic = magic});
	tar_member(tar, &(struct member){.name = "d/.wh.loud", .data = "ignored", .magic = magic});
	tar_member(tar, &(struct member){.name = ".wh..wh.plnk/1", .data = "aufs", .magic = magic});
}

static void test_formats(void **state)
{
	static const char *const magics[] = {"ustar\00000", "ustar  ", "\0\0\0\0\0\0\0"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		cleanup_buf struct buf tar = {0};

		ordinary(&tar, magics[i]);
		tar_end(&tar);
		expect_same("ordinary", &tar);
	}
}

static void test_pax_and_long(void **state)
{
	cleanup_buf struct buf tar = {0};
	cleanup_free char *name = str_printf("%0120d/%0120d", 1, 2);
	cleanup_free char *longer = str_printf("long/%0150d", 1);

	(void)state;
	tar_pax(&tar, 'g', "18 comment=global\n", 18);
	tar_member(&tar,
		&(struct member){.name = name,
			.data = "x",
			.pax = {"mtime", "1.5", "SCHILY.xattr.user.a", "v", "VENDOR.x", "y"}});
	tar_pax(&tar, 'L', longer, strlen(longer) + 1);
	tar_member(&tar, &(struct member){.name = "cut", .data = "gnu", .magic = "ustar  "});
	tar_end(&tar);
	expect_same("pax and long names", &tar);
}

static void test_ends(void **state)
{
	cleanup_buf struct buf tar = {0};

	(void)state;
	expect_same("nothing", &tar);
	tar_end(&tar);
	expect_same("empty", &tar);
	buf_reset(&tar);
	tar_member(&tar, &(struct member){.name = "a", .data = "x"});
	expect_same("no end", &tar);
	tar.size -= 500;
	expect_same("no padding", &tar);
	tar_pad(&tar);
	tar_end(&tar);
	for (int i = 0; i < 20000; i++)
		buf_appendf(&tar, "junk %d", i * i);
	expect_same("junk behind the end", &tar);
}

static void test_odd_padding(void **state)
{
	cleanup_buf struct buf tar = {0};

	(void)state;
	tar_block(&tar, &(struct member){.name = "a", .data = "xyz"}, 0, NULL, 0);
	buf_append_str(&tar, "xyz");
	for (int i = 0; i < 509; i++)
		buf_append_char(&tar, (char)i);
	tar_member(&tar, &(struct member){.name = "b", .data = "x"});
	expect_same("odd padding", &tar);
}

static void test_sparse(void **state)
{
	cleanup_buf struct buf tar = {0};
	char map[512] = "3\n1048576\n3\n5000000\n2\n6000000\n0\n", gnu[512] = {0};

	(void)state;
	tar_member(&tar,
		&(struct member){.name = "GNUSparseFile.0/x",
			.data = "",
			.pax = {"GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name",
				"hole", "GNU.sparse.realsize", "6000000", "size", "517"}});
	buf_append(&tar, map, sizeof(map));
	buf_append_str(&tar, "abcde");
	tar_pad(&tar);
	memcpy(gnu + 386, "00000040000\00000000000003\0", 24);
	memcpy(gnu + 410, "00000100000\00000000000002\0", 24);
	memcpy(gnu + 483, "00000200000\0", 12);
	tar_block(&tar,
		&(struct member){.name = "old", .type = 'S', .header_size = 5, .magic = "ustar  "},
		386, gnu + 386, 109);
	buf_append_str(&tar, "abcde");
	tar_pad(&tar);
	tar_member(&tar, &(struct member){.name = "y",
				 .data = "",
				 .pax = {"GNU.sparse.size", "9999", "GNU.sparse.numblocks", "1",
					 "GNU.sparse.map", "9999,0"}});
	tar_end(&tar);
	expect_same("sparse", &tar);
}

/* What the layer replaces itself has to stay somewhere. */
static void test_replaced(void **state)
{
	cleanup_buf struct buf tar = {0};

	(void)state;
	tar_member(&tar, &(struct member){.name = "x", .data = "first"});
	tar_member(&tar, &(struct member){.name = "x", .data = "second"});
	tar_member(&tar, &(struct member){.name = "./x", .data = "third one"});
	tar_member(&tar, &(struct member){.name = "d/e/f", .data = "deep"});
	tar_member(&tar, &(struct member){.name = "d/e/f", .data = "deep again"});
	tar_member(&tar, &(struct member){.name = "d", .data = "a file now"});
	tar_member(&tar, &(struct member){.name = "d/", .type = '5'});
	tar_member(&tar, &(struct member){.name = "d/e/f", .data = "and back"});
	tar_member(&tar, &(struct member){.name = "o", .data = "original"});
	tar_member(&tar, &(struct member){.name = "l", .type = '1', .link = "o"});
	tar_member(&tar, &(struct member){.name = "o", .type = '1', .link = "x"});
	tar_member(&tar, &(struct member){.name = "s", .data = "file, then link"});
	tar_member(&tar, &(struct member){.name = "s", .type = '2', .link = "d"});
	tar_member(&tar, &(struct member){.name = "s/through", .data = "inside d"});
	tar_member(&tar, &(struct member){.name = ".wh.x", .data = ""});
	tar_end(&tar);
	expect_same("replaced", &tar);
}

static void test_large(void **state)
{
	cleanup_buf struct buf tar = {0};
	cleanup_buf struct buf data = {0};
	uint32_t v = 1;

	(void)state;
	for (int i = 0; i < 700001; i++) {
		v = v * 1664525 + 1013904223;
		buf_append_char(&data, (char)(v >> 24));
	}
	for (int i = 0; i < 5; i++) {
		cleanup_free char *name = str_printf("file%d", i);

		tar_member(&tar, &(struct member){.name = name,
					 .data = data.data,
					 .size = data.size - (size_t)i * 77777});
	}
	tar_end(&tar);
	expect_same("large", &tar);
}

/* No more than 64 bytes an entry, where names are as they are in real life. */
static void test_size(void **state)
{
	static const char *const dirs[] = {"usr/share/doc", "usr/lib/python3/dist-packages",
		"usr/include/linux", "var/lib/dpkg/info"};
	cleanup_buf struct buf tar = {0};
	uint32_t v = 7;
	struct layer l;
	struct stat st;
	int n = 5000;

	(void)state;
	for (int i = 0; i < n; i++) {
		v = v * 1664525 + 1013904223;

		cleanup_free char *data = str_printf("%x", v);
		cleanup_free char *name =
			str_printf("%s/pack%u/f%x.py", dirs[i * 4 / n], i / 40, v >> 8);

		tar_member(&tar, &(struct member){.name = name,
					 .data = data,
					 .mtime = 1600000000 + (int64_t)(v >> 12)});
	}
	tar_end(&tar);
	layer_make(&l, &tar, 0);
	assert_int_equal(fstatat(l.fd, TAR_HEADERS_FILE, &st, 0), 0);
	if (st.st_size > 64 * n)
		fail_msg("%ld bytes of headers for %d entries", (long)st.st_size, n);
	layer_remove(&l);
}

/* ---- damage ---- */

static void damage_bit(const struct layer *l, const char *path, off_t at)
{
	cleanup_close int fd = openat(l->fd, path, O_RDWR | O_CLOEXEC);
	char c;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
}

static void expect_damage(struct layer *l, const char *want)
{
	cleanup_buf struct buf tar = {0}, found = {0};
	cleanup_free char *text = again(l, 4096, false, &tar, &found);

	assert_null(text);
	assert_string_equal(found.data ? found.data : "", want);

	/* And without go_on it is a failure that says the same. */
	cleanup_buf struct buf unused = {0};
	cleanup_free char *failure = again(l, 4096, false, &unused, NULL);

	assert_non_null(failure);
	assert_memory_equal(failure, want, strlen(failure));
	layer_remove(l);
}

static void test_damage(void **state)
{
	cleanup_buf struct buf tar = {0};
	struct layer l;

	(void)state;
	ordinary(&tar, NULL);
	tar_end(&tar);

	layer_make(&l, &tar, 0);
	damage_bit(&l, "tree/d/a", 3);
	expect_damage(&l, "d/a has other contents than were unpacked\n");

	layer_make(&l, &tar, 0);
	assert_int_equal(unlinkat(l.fd, "tree/d/a", 0), 0);
	expect_damage(&l, "d/a is missing\n");

	layer_make(&l, &tar, 0);
	cleanup_free char *path = str_printf("%s/tree/d/a", l.dir);

	assert_int_equal(truncate(path, 2), 0);
	expect_damage(&l, "d/a is truncated\n");

	layer_make(&l, &tar, 0);
	assert_int_equal(unlinkat(l.fd, "tree/d/a", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", l.fd, "tree/d/a"), 0);
	expect_damage(&l, "d/a is no regular file\n");

	/* A fifo must not hang us. */
	layer_make(&l, &tar, 0);
	assert_int_equal(unlinkat(l.fd, "tree/d/a", 0), 0);
	assert_int_equal(mkfifoat(l.fd, "tree/d/a", 0600), 0);
	expect_damage(&l, "d/a is no regular file\n");
}

/* Every single bit of the kept headers matters, and none crashes. */
static void test_damaged_headers(void **state)
{
	cleanup_buf struct buf tar = {0};
	struct layer l;
	struct stat st;

	(void)state;
	ordinary(&tar, NULL);
	tar_end(&tar);
	layer_make(&l, &tar, 0);
	assert_int_equal(fstatat(l.fd, TAR_HEADERS_FILE, &st, 0), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		cleanup_buf struct buf out = {0};

		damage_bit(&l, TAR_HEADERS_FILE, at);

		cleanup_free char *text = again(&l, 4096, false, &out, NULL);

		if (!text && (out.size != tar.size || memcmp(out.data, tar.data, tar.size)))
			fail_msg("bit 0 of byte %ld: another tar, and nobody says so", (long)at);
		damage_bit(&l, TAR_HEADERS_FILE, at); /* mended */
	}
	for (off_t size = 0; size < st.st_size; size += 13) {
		cleanup_buf struct buf out = {0};
		struct layer cut;

		layer_make(&cut, &tar, 0);
		cleanup_free char *cut_path = str_printf("%s/" TAR_HEADERS_FILE, cut.dir);

		assert_int_equal(truncate(cut_path, size), 0);

		cleanup_free char *text = again(&cut, 4096, false, &out, NULL);

		assert_non_null(text);
		layer_remove(&cut);
	}
	layer_remove(&l);
}

static void test_sum(void **state)
{
	unsigned char data[1000];
	struct data_sum whole = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + i / 256);
	data_sum_add(&whole, data, sizeof(data));
	/* The same in any portions. */
	for (size_t step = 1; step < 70; step++) {
		struct data_sum parts = {0};

		for (size_t at = 0; at < sizeof(data); at += step)
			data_sum_add(&parts, data + at,
				sizeof(data) - at < step ? sizeof(data) - at : step);
		assert_true(data_sum_value(&parts) == data_sum_value(&whole));
	}
	/* Any other bit, any other length. */
	for (size_t i = 0; i < sizeof(data) * 8; i++) {
		struct data_sum other = {0};

		data[i / 8] ^= (unsigned char)(1u << i % 8);
		data_sum_add(&other, data, sizeof(data));
		assert_true(data_sum_value(&other) != data_sum_value(&whole));
		data[i / 8] ^= (unsigned char)(1u << i % 8);
	}
	memset(data, 0, sizeof(data));
	for (size_t n = 0; n + 1 < 100; n++) {
		struct data_sum a = {0}, b = {0};

		data_sum_add(&a, data, n);
		data_sum_add(&b, data, n + 1);
		assert_true(data_sum_value(&a) != data_sum_value(&b));
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_pax_and_long),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_odd_padding),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_damaged_headers),
	};

	return cmocka_run_group_tests_name("tar_headers", all, NULL, NULL);
}
