/* SPDX-License-Identifier: Apache-2.0 */
/* replay [TARGET]...: each target over the inputs that are kept for it in corpus/, whatever the
 * compiler. A broken oracle or a sanitizer ends the program; the input's name is printed before. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"

static char *read_input(const char *path, size_t *ret_size)
{
	cleanup_buf struct buf b = {0};
	FILE *f = fopen(path, "rbe");
	char piece[4096];
	size_t n;

	if (!f) {
		perror(path);
		exit(99);
	}
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_append(&b, piece, n);
	fclose(f);
	*ret_size = b.size;
	/* exactly so many bytes, so that a sanitizer sees who reads one more */
	return memcpy(malloc(b.size ? b.size : 1), b.data ? b.data : "", b.size);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay(const struct fuzz_target *target)
{
	cleanup_free char *folder = str_printf("%s/tests/fuzz/corpus/%s", SRCDIR, target->name);
	struct dirent **inputs;
	int n = scandir(folder, &inputs, visible, alphasort);

	for (int i = 0; i < n; i++) {
		cleanup_free char *path = str_printf("%s/%s", folder, inputs[i]->d_name);
		cleanup_free char *data = NULL;
		size_t size;

		data = read_input(path, &size);
		printf("# %s/%s\n", target->name, inputs[i]->d_name);
		fflush(stdout);
		fuzz_run(target->run, (const uint8_t *)data, size);
		free(inputs[i]);
	}
	if (n >= 0)
		free(inputs);
	return n;
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

int main(int argc, char **argv)
{
	int failed = 0;

	(void)argc;
	printf("1..%zu\n", fuzz_targets_count);
	for (size_t i = 0; i < fuzz_targets_count; i++) {
		const struct fuzz_target *target = &fuzz_targets[i];
		int n = 0;

		if (!wanted(target->name, argv + 1)) {
			printf("ok %zu - fuzz %s # SKIP not asked for\n", i + 1, target->name);
			continue;
		}
		n = replay(target);
		failed += n <= 0;
		printf("%sok %zu - fuzz %s: %d inputs that are kept\n", n > 0 ? "" : "not ", i + 1,
			target->name, n);
	}
	return failed ? 1 : 0;
}
