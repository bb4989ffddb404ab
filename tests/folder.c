/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for one test, and files in it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "folder.h"

char *folder_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = str_printf("%s/towline-test-XXXXXX", tmp ? tmp : "/tmp");

	assert_non_null(folder);
	assert_non_null(mkdtemp(folder));
	return folder;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void folder_remove(char *folder)
{
	assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(folder);
}

char *folder_path(const char *folder, const char *name)
{
	char *path = str_printf("%s/%s", folder, name);

	assert_non_null(path);
	return path;
}

void folder_write_bytes(const char *folder, const char *name, const void *data, unsigned long size)
{
	cleanup_free char *path = folder_path(folder, name);
	FILE *f;

	for (char *p = path + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

void folder_write(const char *folder, const char *name, const char *text)
{
	folder_write_bytes(folder, name, text, strlen(text));
}

char *folder_read(const char *folder, const char *name)
{
	cleanup_free char *path = folder_path(folder, name);
	FILE *f = fopen(path, "re");
	struct buf b = {0};
	char chunk[4096];
	size_t n;

	if (!f)
		return NULL;
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_append(&b, chunk, n);
	fclose(f);
	buf_append(&b, "", 0);
	return b.data ? buf_steal(&b) : strdup("");
}
