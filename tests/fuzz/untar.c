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
#define BLOCK 512

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static int count(int dir, const char *name)
{
	DIR *d = fdopendir(openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	int entries = 0;

	must(d);
	while (readdir(d))
		entries++;
	closedir(d);
	return entries - 2;
}

/* base holds the canary and the layer, and nothing else; nor do the folders above it. */
static void look(int top, int base)
{
	struct stat st;
	char text[16] = "";
	int fd = openat(base, "canary", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	must(fd >= 0);
	must(fstat(fd, &st) == 0 && st.st_nlink == 1 && st.st_mode == (S_IFREG | 0600) &&
		st.st_size == sizeof(CANARY) - 1 && st.st_mtime == 1000);
	must(read(fd, text, sizeof(text)) == sizeof(CANARY) - 1 && !strcmp(text, CANARY));
	close(fd);
	must(count(base, ".") == 2);
	must(count(top, ".") == 1 && count(top, "1") == 1 && count(top, "1/2") == 1);
}

/* A header's checksum as it should be, so that the input is read on. */
static void mend_header(char *header)
{
	unsigned sum = 0;

	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
}

static bool is_zero(const char *block)
{
	for (size_t i = 0; i < BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

static void mend(char *tar, size_t size)
{
	for (size_t at = 0; size - at >= BLOCK; at += BLOCK) {
		char digits[13] = "";
		size_t content;

		if (is_zero(tar + at))
			continue;
		mend_header(tar + at);
		memcpy(digits, tar + at + 124, 12);
		content = strtoul(digits, NULL, 8);
		/* these have none, whatever they say */
		if (tar[at + 156] && strchr("123456", tar[at + 156]))
			content = 0;
		content = content < size ? (content + BLOCK - 1) / BLOCK * BLOCK : size;
		if (content > size - at - BLOCK)
			return;
		at += content;
	}
}

/* The first byte tells how the tar comes, and whether its checksums are mended. */
static void unpack(uint8_t flags, char *data, size_t size)
{
	char path[] = "/tmp/towline-fuzz-XXXXXX";
	struct timespec then[2] = {{1000, 0}, {1000, 0}};
	struct memory_reader source;
	struct untar_options options = {.source = &source.reader};
	struct untar_result result;
	cleanup_error struct error *err = NULL;
	bool source_failed;
	int top, base, fd;

	must(mkdtemp(path) != NULL);
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(!mkdirat(top, "1", 0700) && !mkdirat(top, "1/2", 0700) &&
		!mkdirat(top, "1/2/3", 0700));
	base = openat(top, "1/2/3", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(base, "canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(write(fd, CANARY, sizeof(CANARY) - 1) == sizeof(CANARY) - 1);
	must(futimens(fd, then) == 0);
	close(fd);
	must(mkdirat(base, "layer", 0700) == 0);
	options.layer = openat(base, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memory_reader_init(&source, data, size);
	source.portion = flags & 6 ? (flags & 6) * 350u : size + 1;
	source.lend = flags & 8;
	if (untar(&options, &result, &source_failed, &err) < 0)
		must(source_failed || (err && *err->message));
	memory_reader_done(&source);
	close(options.layer);
	look(top, base);
	close(base);
	close(top);
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

void fuzz_untar(const uint8_t *data, size_t size)
{
	cleanup_free char *tar = NULL;

	if (!size)
		return;
	tar = fuzz_text(data + 1, --size);
	if (data[0] & 1)
		mend(tar, size);
	unpack(data[0], tar, size);
}
