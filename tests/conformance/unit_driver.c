/* SPDX-License-Identifier: Apache-2.0 */
/* unit_driver TABLE < CASES.json: runs every case of one unit table of tests/vectors and prints the
 * outputs as a JSON array, one line each: what the case's function wrote, or {"cannot_run": "..."}.
 * tests/conformance/run compares them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tables.h"

static const struct table {
	const char *name;
	int (*run)(const struct json_value *in, struct buf *out);
} tables[] = {
	{"add_digest_reference", table_add_digest_reference},
	{"allow_v1_fallback", table_allow_v1_fallback},
	{"auth_challenge", table_auth_challenge},
	{"continue_on_error", table_continue_on_error},
	{"digest_parse", table_digest_parse},
	{"errcode_registry", table_errcode_registry},
	{"filter_manifests", table_filter_manifests},
	{"handle_error_response", table_handle_error_response},
	{"image_config", table_image_config},
	{"manifest_unmarshal", table_manifest_unmarshal},
	{"new_puller", table_new_puller},
	{"progress_json", table_progress_json},
	{"pull_endpoints", table_pull_endpoints},
	{"pull_loop", table_pull_loop},
	{"reference_parse", table_reference_parse},
	{"reference_store", table_reference_store},
	{"resolve_repository", table_resolve_repository},
	{"retry_on_error", table_retry_on_error},
	{"schema1", table_schema1},
	{"translate_pull_error", table_translate_pull_error},
	{"validate_repo_name", table_validate_repo_name},
};

static int read_all(FILE *f, struct buf *ret)
{
	char chunk[65536];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_append(ret, chunk, n);
	return ferror(f) || ret->oom ? -1 : 0;
}

static int run_cases(const struct table *table, const struct json_value *cases)
{
	struct buf out = {0}, line = {0};
	int ret = 0;

	for (size_t i = 0; i < cases->count; i++) {
		const struct json_value *in = json_get_exact(&cases->items[i], "in");

		buf_reset(&out);
		buf_reset(&line);
		if (!in)
			table_failf(&out, "the case has no \"in\"");
		if (in && table->run(in, &out) == 0) {
			buf_append(&line, out.data, out.size);
		} else {
			out_open(&line, NULL, '{');
			out_string(&line, "cannot_run", out.data ? out.data : "no reason given");
			out_close(&line, '}');
		}
		if (out.oom || line.oom) {
			fprintf(stderr, "unit_driver: out of memory\n");
			ret = 1;
			break;
		}
		/* A line at a time, so that a crash shows at which case it came. */
		printf("%s%s\n", i ? "," : "[", line.data);
		fflush(stdout);
	}
	if (!ret)
		printf("%s]\n", cases->count ? "" : "[");
	buf_free(&out);
	buf_free(&line);
	return ret;
}

int main(int argc, char **argv)
{
	cleanup_buf struct buf text = {0};
	cleanup_json struct json *json = NULL;
	cleanup_error struct error *err = NULL;
	const struct table *table = NULL;

	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(tables); i++)
		if (!strcmp(tables[i].name, argv[1]))
			table = &tables[i];
	if (!table) {
		fprintf(stderr, "usage: unit_driver TABLE < CASES.json; the tables:");
		for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
			fprintf(stderr, " %s", tables[i].name);
		fputc('\n', stderr);
		return 2;
	}
	if (read_all(stdin, &text) < 0) {
		fprintf(stderr, "unit_driver: cannot read the cases: %s\n", strerror(errno));
		return 1;
	}
	if (json_parse(text.data ? text.data : "", text.size, &json, &err) < 0) {
		fprintf(stderr, "unit_driver: the cases: %s\n", err->message);
		return 1;
	}
	if (json_root(json)->type != JSON_ARRAY) {
		fprintf(stderr, "unit_driver: the cases are no array\n");
		return 1;
	}
	return run_cases(table, json_root(json));
}
