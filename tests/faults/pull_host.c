/* SPDX-License-Identifier: Apache-2.0 */
/* A host that lives on while things go wrong: it pulls and checks as it is told by lines on stdin,
 * fields apart by tabs, and answers each with a line of JSON.
 *   pull CONFIG REFERENCE      {"error":TEXT or null, "fds":N, "threads":N}: more than before
 *   memory CONFIG REFERENCE 0|1   the same in which, if 1, one allocation of libtowline fails:
 *                              {..., "struck":BOOL, "leaks":N, "stacks":N}
 *   fsck CONFIG                {"error":..., "findings":N, "text":...}: --deep */
#include "config.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/host.h"
#include "fakes/fail_malloc.h"
#include "towline.h"

#define FIELDS 4
#define TICK_MS 1 /* "Retrying in 5 seconds" takes 5 ms */

/* Not by opendir, which strike.so may let fail. */
static int entries_of(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, NULL);

	for (int i = 0; i < n; i++)
		free(entries[i]);
	if (n >= 0)
		free(entries);
	return n;
}

static void print_text(const char *key, const char *value)
{
	struct towline_text text;

	towline_text_init(&text);
	if (!value)
		printf("\"%s\":null", key);
	else if (towline_json_string(value, &text.sink) == IMAGE_PULL_OK)
		printf("\"%s\":%s", key, text.value);
	else
		printf("\"%s\":\"?\"", key);
	towline_text_free(&text);
}

/* A thread that was joined may stand there a moment longer. */
static int threads_of(int before)
{
	int n = entries_of("/proc/self/task");

	for (int i = 0; i < 100 && n > before; i++) {
		usleep(10000);
		n = entries_of("/proc/self/task");
	}
	return n;
}

/* Returns whether an allocation failed. */
static bool pull(char **fields, bool memory)
{
	int fds = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");
	const struct host_request request = {
		.reference = fields[2], .always = true, .retry_tick_ms = TICK_MS};
	struct host host = {0};
	bool struck = false;
	int r;

	if (memory)
		fail_malloc_begin(*fields[3] == '1');
	r = host_open(&host, fields[1], NULL);
	if (r == 0)
		r = host_pull(&host, &request);
	if (memory)
		struck = fail_malloc_pause();
	putchar('{');
	print_text("error", r < 0 ? host_message(&host) : NULL);
	host_close(&host);
	if (memory)
		printf(",\"struck\":%s,\"leaks\":%zu,\"stacks\":%zu", struck ? "true" : "false",
			fail_malloc_end(), fail_malloc_stacks());
	printf(",\"fds\":%d,\"threads\":%d}\n", entries_of("/proc/self/fd") - fds,
		threads_of(threads) - threads);
	return struck;
}

struct findings {
	unsigned n;
	char text[512]; /* of the first one, or of the failure */
};

static int on_finding(void *receiver, const void *data, size_t size)
{
	struct findings *f = receiver;

	if (f->n++ == 0)
		snprintf(f->text, sizeof(f->text), "%.*s", (int)size, (const char *)data);
	return IMAGE_PULL_OK;
}

static void on_message(void *receiver, const char *message)
{
	struct findings *f = receiver;

	snprintf(f->text, sizeof(f->text), "%s", message);
}

static void fsck(char **fields)
{
	struct findings f = {0};
	const struct image_pull_sink sink = {sizeof(sink), &f, on_finding, on_message};
	struct host host = {0};
	unsigned damaged = 0;
	int r = host_open(&host, fields[1], NULL);

	putchar('{');
	if (r < 0)
		print_text("error", host_message(&host));
	else
		print_text("error", towline_fsck(host.store, 1, 0, &damaged, &sink) == IMAGE_PULL_OK
					    ? NULL
					    : f.text);
	putchar(',');
	print_text("text", f.text);
	printf(",\"findings\":%u}\n", f.n > damaged ? f.n : damaged);
	host_close(&host);
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	bool watched = false;

	/* not getline alone: stdout is read line by line */
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (getline(&line, &room, stdin) > 0) {
		char *fields[FIELDS] = {"", "", "", ""}, *rest = line;

		line[strcspn(line, "\n")] = '\0';
		for (int i = 0; i < FIELDS && rest; i++)
			fields[i] = strsep(&rest, "\t");
		if (!strcmp(fields[0], "pull")) {
			pull(fields, false);
		} else if (!strcmp(fields[0], "fsck")) {
			fsck(fields);
		} else if (!strcmp(fields[0], "memory")) {
			if (!watched && fail_malloc_available &&
				fail_malloc_watch((const void *)(uintptr_t)&towline_version) < 0)
				return 2;
			watched = true;
			if (pull(fields, true))
				fail_malloc_explain();
		} else {
			return 2;
		}
	}
	free(line);
	return 0;
}
