/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets share, and what libFuzzer calls. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"

/* Causes and lists nest as deep as rooms wrap each other, whatever a stranger sends. */
#define MAX_ERROR_DEPTH 16
#define MAX_SECONDS 5 /* of one input, with sanitizers */

const struct fuzz_target fuzz_targets[] = {
	{"challenge", fuzz_challenge},
	{"config", fuzz_config},
	{"content_range", fuzz_content_range},
	{"decompress", fuzz_decompress},
	{"errcode", fuzz_errcode},
	{"index", fuzz_index},
	{"json", fuzz_json},
	{"link", fuzz_link},
	{"location", fuzz_location},
	{"manifest", fuzz_manifest},
	{"pull", fuzz_pull},
	{"reference", fuzz_reference},
	{"retry_after", fuzz_retry_after},
	{"token", fuzz_token},
	{"untar", fuzz_untar},
};
const size_t fuzz_targets_count = ARRAY_SIZE(fuzz_targets);

void fuzz_broken(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, condition);
	abort();
}

static void check_error(const struct error *err, int depth)
{
	must(err && depth < MAX_ERROR_DEPTH);
	must(err->kind <= ERROR_NOT_FOUND && err->message);
	must(err->own_class <= CLASS_DATA_LOSS);
	must(!err->nlist || err->kind == ERROR_ERRCODE_ERRORS);
	if (err->kind == ERROR_ERRCODE_ERROR || err->kind == ERROR_ERRCODE_CODE)
		must(err->code && !strcmp(err->code, errcode_info(err->code)->code));
	if (err->detail)
		must(strlen(err->detail) <= err->detail_size);
	for (size_t i = 0; i < err->nlist; i++)
		check_error(err->list[i], depth + 1);
	if (err->cause)
		check_error(err->cause, depth + 1);
}

void fuzz_check_error(const struct error *err)
{
	check_error(err, 0);
	must(error_class_of(err) <= CLASS_DATA_LOSS);
	/* errcode.Errors of no entries have no text. */
	must(*err->message || err->kind == ERROR_ERRCODE_ERRORS);
}

char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	must(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

void fuzz_run(fuzz_function run, const uint8_t *data, size_t size)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
	run(data, size);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
	/* the processor's time: what else the machine does does not count */
	must(ended.tv_sec - begun.tv_sec < MAX_SECONDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static fuzz_function run;

	if (!run) {
		const char *name = getenv("FUZZ");

		for (size_t i = 0; name && i < fuzz_targets_count; i++)
			if (!strcmp(fuzz_targets[i].name, name))
				run = fuzz_targets[i].run;
		if (!run) {
			fprintf(stderr, "the environment's FUZZ names no target\n");
			exit(2);
		}
	}
	fuzz_run(run, data, size);
	return 0;
}
