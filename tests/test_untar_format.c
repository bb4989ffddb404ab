/* SPDX-License-Identifier: Apache-2.0 */
/* Tars in odd and damaged forms: extended headers, sparse maps, numbers, ends, and names past every
 * limit. */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "untar_fixture.h"

#include <cmocka.h>

static void test_pax_damaged(void **state)
{
	static const char *const bad[] = {
		"99999 path=evil\n",
		"12 path=evil",
		"5 a=b",
		"x path=evil\n",
		"11 pathevil\n",
		"12 =pathevil\n",
		"-9 path=e\n",
		"4 =\n",
		"12 path=evil\n\n",
		"0 a=b\n",
		"99999999999999999999 path=evil\n",
		" 12 path=evil\n",
		"14 ctime=later\n",
	};
	static const char nul[] = "13 path=ev\0il\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct buf tar = {0};

		tar_pax(&tar, 'x', bad[i], strlen(bad[i]));
		tar_member(&tar, &(struct member){.name = "after", .data = "x"});
		tar_end(&tar);
		expect_error(bad[i], &tar, "archive/tar: invalid tar header");
	}

	struct buf tar = {0};

	tar_pax(&tar, 'x', nul, sizeof(nul) - 1);
	tar_member(&tar, &(struct member){.name = "after", .data = "x"});
	expect_error("NUL in a path", &tar, "archive/tar: invalid tar header");
}

static void test_pax_size(void **state)
{
	struct buf tar = {0}, inner = {0}, records = {0};
	struct untar_result result;

	(void)state;
	/* The extended header's size wins: an inner tar stays data. */
	tar_member(&inner, &(struct member){.name = "smuggled", .data = "s"});
	cleanup_free char *size = str_printf("%zu", inner.size);

	tar_record(&records, "size", size, strlen(size));
	tar_pax(&tar, 'x', records.data, records.size);
	tar_member(&tar, &(struct member){.name = "outer",
				 .data = inner.data,
				 .size = inner.size,
				 .header_size = -1});
	tar_member(&tar, &(struct member){.name = "after", .data = "x"});
	tar_end(&tar);
	expect_tree("pax size", &tar,
		(const char *const[]){
			"smuggled absent", "outer file size=1024", "after file data=x", NULL},
		&result);
	/* A global header renames nothing. */
	buf_reset(&records);
	tar_record(&records, "path", "renamed", 7);
	tar_record(&records, "uid", "77", 2);
	tar_pax(&tar, 'g', records.data, records.size);
	tar_member(&tar, &(struct member){.name = "real", .data = "r"});
	tar_end(&tar);
	expect_tree("pax global", &tar,
		(const char *const[]){"renamed absent", "real file size=1 data=r", NULL}, &result);
	buf_free(&inner);
	buf_free(&records);
}

static void test_limits(void **state)
{
	struct buf tar = {0}, big = {0};

	(void)state;
	for (size_t i = 0; i < 3 << 20; i++)
		buf_append_char(&big, 'c');
	tar_pax(&tar, 'x', big.data, big.size);
	tar_member(&tar, &(struct member){.name = "after", .data = "x"});
	expect_error("huge extended header", &tar, "archive/tar: header field too long");
	tar_pax(&tar, 'L', big.data, big.size);
	tar_member(&tar, &(struct member){.name = "after", .data = "x"});
	expect_error("huge long name", &tar, "archive/tar: header field too long");
	/* Where the stream ends before the limit, that is what is wrong. */
	big.size = 1000;
	tar_block(&tar, &(struct member){.name = "l", .type = 'L', .header_size = 3 << 20}, 0, NULL,
		0);
	buf_append(&tar, big.data, big.size);
	expect_error("huge long name, cut", &tar, "unexpected EOF");
	buf_free(&big);

	/* One component too long, a target too long, a path longer than PATH_MAX. */
	cleanup_free char *name = str_printf("%0300d", 0);
	cleanup_free char *want = str_printf("open /%s: file name too long", name);

	tar_member(&tar, &(struct member){.name = name, .data = "x"});
	expect_error("long component", &tar, want);

	cleanup_free char *target = str_printf("%070000d", 0);

	tar_member(&tar, &(struct member){.name = "s", .type = '2', .link = target});
	expect_error("long target", &tar, "symlink /s: file name too long");

	struct buf deep = {0};

	for (int i = 0; i < 3000; i++)
		buf_append_str(&deep, "d/");
	buf_append_char(&deep, 'f');
	tar_member(&tar, &(struct member){.name = deep.data, .data = "x"});
	cleanup_free char *too_deep = str_printf("lstat /%s: file name too long", deep.data);

	expect_error("deep path", &tar, too_deep);
	buf_free(&deep);
}

static void test_ends(void **state)
{
	struct buf tar = {0};
	struct untar_result result;
	static const char zeros[512];

	(void)state;
	/* Cut at every place inside headers and contents: an error, never a crash. */
	tar_member(&tar, &(struct member){.name = "big", .data = "yyyyyyyyyyyyyyyyyyyyyyy"});
	for (size_t size = 1; size < tar.size; size += 77) {
		struct buf cut = {0};

		buf_append(&cut, tar.data, size);
		if (size >= 512 + 23) /* only padding is missing */
			expect_tree("cut padding", &cut,
				(const char *const[]){"big file size=23", NULL}, &result);
		else
			expect_error("cut", &cut, "unexpected EOF");
	}
	buf_reset(&tar);
	/* One zero block, then something else. */
	tar_member(&tar, &(struct member){.name = "a", .data = "x"});
	buf_append(&tar, zeros, 512);
	tar_member(&tar, &(struct member){.name = "late", .data = "x"});
	expect_error("one zero block", &tar, "archive/tar: invalid tar header");
	/* Behind the end nothing is looked at. */
	tar_member(&tar, &(struct member){.name = "ok", .data = "x"});
	tar_end(&tar);
	tar_member(&tar, &(struct member){.name = "late", .data = "x"});
	for (int i = 0; i < 100000; i++)
		buf_append_str(&tar, "junk");
	expect_tree("junk behind the end", &tar,
		(const char *const[]){"ok file data=x", "late absent", NULL}, &result);
	expect_tree("nothing", &tar, (const char *const[]){NULL}, &result);
	tar_end(&tar);
	expect_tree("empty", &tar, (const char *const[]){NULL}, &result);
}

static void test_sparse(void **state)
{
	struct untar_result result;
	struct buf tar = {0};
	char map[512] = "2\n1048576\n3\n5000000\n2\n", gnu[512] = {0};

	(void)state;
	/* PAX 1.0 */
	tar_member(&tar,
		&(struct member){.name = "GNUSparseFile.0/x",
			.data = "",
			.pax = {"GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name",
				"hole", "GNU.sparse.realsize", "6000000", "size", "517"}});
	buf_append(&tar, map, sizeof(map));
	buf_append_str(&tar, "abcde");
	tar_pad(&tar);
	tar_member(&tar, &(struct member){.name = "after", .data = "x"});
	tar_end(&tar);
	expect_tree("sparse 1.0", &tar,
		(const char *const[]){"hole file size=6000000 disk<100000", "after file", NULL},
		&result);
	/* PAX 0.1, and all hole */
	tar_member(&tar,
		&(struct member){.name = "y",
			.data = "abcde",
			.pax = {"GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.size",
				"3000000000", "GNU.sparse.numblocks", "2", "GNU.sparse.map",
				"0,3,2999999998,2", "GNU.sparse.name", "hole2"}});
	tar_member(&tar, &(struct member){.name = "z",
				 .data = "",
				 .pax = {"GNU.sparse.size", "100000", "GNU.sparse.numblocks", "1",
					 "GNU.sparse.map", "100000,0"}});
	tar_end(&tar);
	expect_tree("sparse 0.1", &tar,
		(const char *const[]){"hole2 file size=3000000000 disk<100000",
			"z file size=100000 disk<8192", NULL},
		&result);
	/* Old GNU */
	memcpy(gnu + 386, "00000040000\00000000000003\0", 24);
	memcpy(gnu + 410, "00000100000\00000000000002\0", 24);
	memcpy(gnu + 483, "00000200000\0", 12);
	tar_block(&tar,
		&(struct member){.name = "old", .type = 'S', .header_size = 5, .magic = "ustar  "},
		386, gnu + 386, 109);
	buf_append_str(&tar, "abcde");
	tar_pad(&tar);
	tar_end(&tar);
	expect_tree("old sparse", &tar,
		(const char *const[]){"old file size=65536 disk<20000", NULL}, &result);
	assert_int_equal(result.size, 65536);
}

static void test_sparse_damaged(void **state)
{
	static const struct {
		const char *map, *blocks, *size, *error;
	} bad[] = {
		{"0,3,1,2", "2", "100", "archive/tar: invalid tar header"},  /* overlap */
		{"0,3,99,2", "2", "100", "archive/tar: invalid tar header"}, /* beyond the size */
		{"0,5,9223372036854775807,1", "2", "100", "archive/tar: invalid tar header"},
		{"0,-5", "1", "100", "archive/tar: invalid tar header"},
		{"0,5", "2", "100", "archive/tar: invalid tar header"},
		{"0,5,", "1", "100", "archive/tar: invalid tar header"},
		{"0,5", "-1", "100", "archive/tar: invalid tar header"},
		{"0,5", "1", "-1", "archive/tar: invalid tar header"},
		{"0,5", "99999999999", "100", "archive/tar: invalid tar header"},
		{"0,9", "1", "100", "archive/tar: sparse file references non-existent data"},
		{"0,2", "1", "100", "archive/tar: sparse file contains unreferenced data"},
		{"0,5", "1", "9000000000000000", "truncate /y: file too large"},
	};
	static const char *const maps[] = {"x\n", "1\n0\n", "-1\n", "1\n0\nx\n",
		"99999999999999999999\n", "1\n000000000000000000000000000000000000000000\n1\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct buf tar = {0};

		tar_member(&tar,
			&(struct member){.name = "y",
				.data = "abcde",
				.pax = {"GNU.sparse.major", "0", "GNU.sparse.minor", "1",
					"GNU.sparse.size", bad[i].size, "GNU.sparse.numblocks",
					bad[i].blocks, "GNU.sparse.map", bad[i].map}});
		tar_end(&tar);
		expect_error(bad[i].map, &tar, bad[i].error);
	}
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		struct buf tar = {0};
		char block[512] = {0};

		memcpy(block, maps[i], strlen(maps[i]));
		tar_member(&tar, &(struct member){.name = "y",
					 .data = block,
					 .size = 512,
					 .pax = {"GNU.sparse.major", "1", "GNU.sparse.minor", "0",
						 "GNU.sparse.realsize", "100"}});
		tar_end(&tar);
		expect_error(maps[i], &tar, "archive/tar: invalid tar header");
	}
}

static void test_numbers(void **state)
{
	static const struct {
		size_t at;
		const char *raw;
		size_t size;
		const char *error;
	} cases[] = {
		{124, "\377\377\377\377\377\377\377\377\377\377\377\373", 12,
			"archive/tar: invalid tar header"}, /* -5 */
		{124, "\200\0\0\1\0\0\0\0\0\0\0\0", 12, "archive/tar: invalid tar header"},
		{124, "00000000009\0", 12, "archive/tar: invalid tar header"},
		{124, "           \0", 12, NULL},
		{124, "\0\0\0 0000 \0\0\0", 12, NULL},
		{108, "-000001\0", 8, "archive/tar: invalid tar header"},
		{148, "0000\0\0\0\0", 8, NULL}, /* overwritten by the right one */
		{329, "zzzzzzz\0", 8, "archive/tar: invalid tar header"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *name = str_printf("number %zu", i);
		struct buf tar = {0};
		struct untar_result result;

		tar_block(&tar, &(struct member){.name = "n"}, cases[i].at, cases[i].raw,
			cases[i].size);
		tar_end(&tar);
		if (cases[i].error)
			expect_error(name, &tar, cases[i].error);
		else
			expect_tree(
				name, &tar, (const char *const[]){"n file size=0", NULL}, &result);
	}
}

/* A file of the oldest format whose name ends in a slash is a folder, and a folder has no data. */
static void test_old_folder(void **state)
{
	struct buf tar = {0};
	struct untar_result result;

	(void)state;
	tar_block(&tar, &(struct member){.name = "old/", .header_size = 512}, 156, "", 1);
	tar_member(&tar, &(struct member){.name = "old/f", .data = "x"});
	tar_end(&tar);
	expect_tree("folder with a size", &tar,
		(const char *const[]){"old dir", "old/f file data=x", NULL}, &result);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_pax_damaged),
		cmocka_unit_test(test_pax_size),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_sparse_damaged),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_old_folder),
	};

	umask(077);
	return cmocka_run_group_tests_name("untar_format", all, NULL, NULL);
}
