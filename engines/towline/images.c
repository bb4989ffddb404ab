/* SPDX-License-Identifier: Apache-2.0 */
/* towline images, inspect, tag, rm: what is in the store. Go counterparts: docker's
 * cli/command/image (list.go, inspect.go, tag.go, remove.go), cli/command/formatter/image.go. */
#include "config.h"

#include "cli.h"
#include "json_text.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- images: a table */

enum { COLUMNS = 5 };

struct table {
	char *(*rows)[COLUMNS];
	size_t n, capacity;
};

static int add_row(struct table *t, const char *const cells[COLUMNS])
{
	if (t->n == t->capacity) {
		size_t capacity = t->capacity ? 2 * t->capacity : 16;
		char *(*grown)[COLUMNS] = realloc(t->rows, capacity * sizeof(*grown));

		if (!grown)
			return IMAGE_PULL_NO_MEMORY;
		t->rows = grown;
		t->capacity = capacity;
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		t->rows[t->n][i] = text_printable(cells[i], strlen(cells[i]));
		if (!t->rows[t->n][i]) {
			while (i-- > 0)
				free(t->rows[t->n][i]);
			return IMAGE_PULL_NO_MEMORY;
		}
	}
	t->n++;
	return IMAGE_PULL_OK;
}

/* tabwriter.NewWriter(out, 10, 1, 3, ' ', 0) */
static void print_table(const struct table *t, FILE *out)
{
	size_t widths[COLUMNS] = {0};

	for (size_t r = 0; r < t->n; r++) {
		for (size_t i = 0; i < COLUMNS; i++) {
			size_t width = text_columns(t->rows[r][i]) + 3;

			if (width < 10)
				width = 10;
			if (width > widths[i])
				widths[i] = width;
		}
	}
	for (size_t r = 0; r < t->n; r++) {
		for (size_t i = 0; i < COLUMNS; i++) {
			const char *cell = t->rows[r][i];

			fputs(cell, out);
			if (i + 1 < COLUMNS)
				fprintf(out, "%*s", (int)(widths[i] - text_columns(cell)), "");
		}
		putc('\n', out);
	}
}

static void free_table(struct table *t)
{
	for (size_t r = 0; r < t->n; r++) {
		for (size_t i = 0; i < COLUMNS; i++)
			free(t->rows[r][i]);
	}
	free(t->rows);
}

static const char *hex_of(const char *id)
{
	const char *colon = strchr(id, ':');

	return colon ? colon + 1 : id;
}

static void age_of(const char *created, char ret[TEXT_DURATION_MAX + 8])
{
	char duration[TEXT_DURATION_MAX];
	int64_t then;

	if (text_parse_time(created, &then) < 0) {
		strcpy(ret, "N/A");
		return;
	}
	text_human_duration((int64_t)time(NULL) - then, duration);
	sprintf(ret, "%s ago", duration);
}

/* Rows as docker has them: one for each tag, one for a repository that has a digest and no tag. */
static int image_rows(void *context, const void *data, size_t size)
{
	struct table *t = context;
	const struct towline_image *image = data;
	char short_id[13], age[TEXT_DURATION_MAX + 8], bytes[TEXT_SIZE_MAX];
	const char *cells[COLUMNS] = {"<none>", "<none>", short_id, age, bytes};
	int code = IMAGE_PULL_OK;

	(void)size;
	snprintf(short_id, sizeof(short_id), "%.12s", hex_of(image->id));
	age_of(image->created, age);
	text_human_size((double)image->size, 3, bytes);
	for (size_t i = 0; image->repo_tags[i] && code == IMAGE_PULL_OK; i++) {
		const char *colon = strrchr(image->repo_tags[i], ':');
		char *repository;

		if (!colon)
			continue;
		repository = strndup(image->repo_tags[i], (size_t)(colon - image->repo_tags[i]));
		if (!repository)
			return IMAGE_PULL_NO_MEMORY;
		cells[0] = repository;
		cells[1] = colon + 1;
		code = add_row(t, cells);
		free(repository);
	}
	if (image->repo_tags[0] || code != IMAGE_PULL_OK)
		return code;
	cells[1] = "<none>";
	for (size_t i = 0; image->repo_digests[i] && code == IMAGE_PULL_OK; i++) {
		char *repository =
			strndup(image->repo_digests[i], strcspn(image->repo_digests[i], "@"));

		if (!repository)
			return IMAGE_PULL_NO_MEMORY;
		cells[0] = repository;
		code = add_row(t, cells);
		free(repository);
	}
	if (image->repo_digests[0])
		return code;
	cells[0] = "<none>";
	return add_row(t, cells);
}

/* ---- JSON, in docker's layout */

static int print_json(void *context, const void *data, size_t size)
{
	json_indented(stdout, data, size, *(const unsigned *)context);
	return IMAGE_PULL_OK;
}

/* images --json: as GET /images/json */
static int list_json(struct cli *cli)
{
	struct answer answer cleanup(answer_free) = {0};
	unsigned indent = 0;
	int code = IMAGE_PULL_OK;

	answer_init(&answer, print_json, &indent);
	if (cli->store)
		code = towline_images_json(cli->store, NULL, &answer.sink);
	else
		printf("[]");
	if (code != IMAGE_PULL_OK)
		return cli_failed(cli, answer_message(&answer, code));
	printf("\n");
	return cli_flush(stdout) < 0 ? CLI_FAILED : CLI_OK;
}

int command_images(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {{.name = "json", .flag = &json}};
	static const char *const head[COLUMNS] = {
		"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"};
	struct answer answer cleanup(answer_free) = {0};
	struct table table cleanup(free_table) = {0};
	int nargs, code;
	int status = cli_parse_command(options, 1, 0, 0, argc, argv, &nargs);

	answer_init(&answer, image_rows, &table);
	if (json)
		cli->report = cli_report_json;
	if (status == CLI_OK)
		status = cli_open_store(cli, CLI_READ);
	if (status != CLI_OK)
		return status;
	if (json)
		return list_json(cli);
	code = add_row(&table, head);
	if (code == IMAGE_PULL_OK && cli->store)
		code = towline_images(cli->store, &answer.sink);
	if (code != IMAGE_PULL_OK)
		return cli_failed(cli, answer_message(&answer, code));
	print_table(&table, stdout);
	return cli_flush(stdout) < 0 ? CLI_FAILED : CLI_OK;
}

/* ---- inspect: as docker inspect */

static int inspect_image(void *context, const void *data, size_t size)
{
	bool *first = context;

	printf("%s\n    ", *first ? "" : ",");
	json_indented(stdout, data, size, 4);
	*first = false;
	return IMAGE_PULL_OK;
}

int command_inspect(struct cli *cli, int argc, char **argv)
{
	bool first = true;
	int nargs;
	int status = cli_parse_command(NULL, 0, 1, -1, argc, argv, &nargs);

	if (status == CLI_OK)
		status = cli_open_store(cli, CLI_READ);
	if (status != CLI_OK)
		return status;
	printf("[");
	for (int i = 1; i <= nargs; i++) {
		struct answer answer cleanup(answer_free) = {0};
		int code = IMAGE_PULL_NOT_FOUND;

		answer_init(&answer, inspect_image, &first);
		if (cli->store)
			code = towline_image_json(cli->store, argv[i], &answer.sink);
		if (code == IMAGE_PULL_OK)
			continue;
		status = CLI_FAILED;
		if (cli->store)
			cli_error("%s", answer_message(&answer, code));
		else
			cli_error("No such image: %s", argv[i]);
	}
	printf(first ? "]\n" : "\n]\n");
	return cli_flush(stdout) < 0 ? CLI_FAILED : status;
}

/* ---- tag, rm */

int command_tag(struct cli *cli, int argc, char **argv)
{
	struct answer answer cleanup(answer_free) = {0};
	int nargs, code;
	int status = cli_parse_command(NULL, 0, 2, 2, argc, argv, &nargs);

	answer_init(&answer, NULL, NULL);
	if (status == CLI_OK)
		status = cli_open_store_of(cli, CLI_CHANGE, argv[1]);
	if (status != CLI_OK)
		return status;
	code = towline_tag(cli->store, argv[1], argv[2], &answer.sink);
	return code == IMAGE_PULL_OK ? CLI_OK : cli_failed(cli, answer_message(&answer, code));
}

int command_rm(struct cli *cli, int argc, char **argv)
{
	bool force = false;
	const struct cli_option options[] = {{.name = "force", .letter = 'f', .flag = &force}};
	int nargs;
	int status = cli_parse_command(options, 1, 1, -1, argc, argv, &nargs);

	if (status == CLI_OK)
		status = cli_open_store_of(cli, CLI_CHANGE, argv[1]);
	if (status != CLI_OK)
		return status;
	for (int i = 1; i <= nargs; i++) {
		struct answer answer cleanup(answer_free) = {0};
		int code;

		answer_init(&answer, answer_print, stdout);
		code = towline_remove(cli->store, argv[i], force, &answer.sink);
		if (code == IMAGE_PULL_OK)
			continue;
		/* Output and complaints in the order in which they came. */
		fflush(stdout);
		cli_error("%s", answer_message(&answer, code));
		status = CLI_FAILED;
	}
	return cli_flush(stdout) < 0 ? CLI_FAILED : status;
}
