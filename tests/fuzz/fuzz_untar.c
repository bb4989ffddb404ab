/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's tar, from stream to disk. The oracle is a canary beside the layer's folder: it must
 * stay as it is, and nothing else may appear there. Run it as an ordinary user: as root, devices
 * are made. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "fuzz.h"
#include "image/digest.h"
#include "layer_fixture.h"
#include "untar.h"

#define CANARY "sings"

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static void must(int ok)
{
	if (!ok)
		abort();
}

/* base holds the canary and the layer, and nothing else. */
static void look(int base)
{
	struct stat st;
	char text[16] = "";
	int fd = openat(base, "canary", O_RDONLY | O_NOFOLLOW | O_CLOEXEC), entries = 0;
	DIR *dir = fdopendir(openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	must(fd >= 0 && dir);
	must(fstat(fd, &st) == 0 && st.st_nlink == 1 && st.st_mode == (S_IFREG | 0600) &&
		st.st_size == sizeof(CANARY) - 1 && st.st_mtime == 1000);
	must(read(fd, text, sizeof(text)) == sizeof(CANARY) - 1 && !strcmp(text, CANARY));
	close(fd);
	while (readdir(dir))
		entries++;
	must(entries == 4);
	closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/towline-fuzz-XXXXXX";
	struct timespec then[2] = {{1000, 0}, {1000, 0}};
	struct memory_reader source;
	struct untar_options options = {.source = &source.reader};
	struct untar_result result;
	cleanup_error struct error *err = NULL;
	bool source_failed;
	int base, fd;

	must(mkdtemp(path) != NULL);
	base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(base, "canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(write(fd, CANARY, sizeof(CANARY) - 1) == sizeof(CANARY) - 1);
	must(futimens(fd, then) == 0);
	close(fd);
	must(mkdirat(base, "layer", 0700) == 0);
	options.layer = openat(base, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memory_reader_init(&source, data, size);
	source.portion = size % 3 ? size % 3 * 700 : size + 1;
	source.lend = size % 2;
	if (untar(&options, &result, &source_failed, &err) < 0)
		must(source_failed || (err && *err->message));
	memory_reader_done(&source);
	close(options.layer);
	look(base);
	close(base);
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	return 0;
}
