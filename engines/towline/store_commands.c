/* SPDX-License-Identifier: Apache-2.0 */
/* towline prune, fsck, rootfs, bundle, load, save: what is done with a store as a whole, and with
 * an image's files. Go counterpart: none in one place (docker image prune, load, save). */
#include "config.h"

#include "cli.h"
#include "text.h"

#include <string.h>

/* How a command that prints lines ends. */
static int ended(const struct cli *cli, const struct answer *answer, int code)
{
	if (cli_flush(stdout) < 0)
		return CLI_FAILED;
	return code == IMAGE_PULL_OK ? CLI_OK : cli_failed(cli, answer_message(answer, code));
}

int command_prune(struct cli *cli, int argc, char **argv)
{
	bool dry_run = false, all = false;
	const struct cli_option options[] = {
		{.name = "dry-run", .flag = &dry_run},
		{.name = "all", .letter = 'a', .flag = &all},
	};
	struct towline_prune_options prune = {.struct_size = sizeof(prune)};
	struct answer answer cleanup(answer_free) = {0};
	char bytes[TEXT_SIZE_MAX];
	uint64_t reclaimed = 0;
	int nargs, code;
	int status = cli_parse_command(options, 2, 0, 0, argc, argv, &nargs);

	answer_init(&answer, answer_print, stdout);
	if (status == CLI_OK)
		status = cli_open_store(cli, CLI_CHANGE); /* a dry run asks for the store's locks */
	if (status != CLI_OK)
		return status;
	prune.dry_run = dry_run;
	prune.all = all;
	code = cli->store ? towline_prune(cli->store, &prune, &reclaimed, &answer.sink)
			  : IMAGE_PULL_OK;
	if (code == IMAGE_PULL_OK) {
		text_human_size((double)reclaimed, 4, bytes);
		printf("Total reclaim%s space: %s\n", dry_run ? "able" : "ed", bytes);
	}
	return ended(cli, &answer, code);
}

int command_fsck(struct cli *cli, int argc, char **argv)
{
	bool deep = false, repair = false;
	const struct cli_option options[] = {
		{.name = "deep", .flag = &deep},
		{.name = "repair", .flag = &repair},
	};
	struct answer answer cleanup(answer_free) = {0};
	unsigned damaged = 0;
	int nargs, code = IMAGE_PULL_OK;
	int status = cli_parse_command(options, 2, 0, 0, argc, argv, &nargs);

	answer_init(&answer, answer_print, stdout);
	if (status == CLI_OK)
		status = cli_open_store(cli, repair ? CLI_REPAIR : CLI_CHECK);
	if (status != CLI_OK)
		return status;
	if (cli->store)
		code = towline_fsck(cli->store, deep, repair, &damaged, &answer.sink);
	if (code == IMAGE_PULL_OK && damaged == 0)
		printf("The store is sound.\n");
	else if (code == IMAGE_PULL_OK)
		printf("%u damaged%s\n", damaged,
			repair ? ", dropped: pull again what is needed" : "");
	status = ended(cli, &answer, code);
	/* What was found and repaired is no failure any more. */
	return status == CLI_OK && damaged > 0 && !repair ? CLI_FAILED : status;
}

int command_rootfs(struct cli *cli, int argc, char **argv)
{
	struct answer answer cleanup(answer_free) = {0};
	int nargs, code;
	int status = cli_parse_command(NULL, 0, 2, 2, argc, argv, &nargs);

	answer_init(&answer, NULL, NULL);
	if (status == CLI_OK)
		status = cli_open_store_of(cli, CLI_CHANGE, argv[1]);
	if (status != CLI_OK)
		return status;
	code = towline_rootfs(cli->store, argv[1], argv[2], &answer.sink);
	return ended(cli, &answer, code);
}

int command_bundle(struct cli *cli, int argc, char **argv)
{
	bool remove = false;
	const struct cli_option options[] = {{.name = "remove", .flag = &remove}};
	struct towline_text how;
	int nargs, code;
	int status = cli_parse_command(options, 1, 1, 2, argc, argv, &nargs);

	if (status == CLI_OK && nargs != (remove ? 1 : 2))
		status = cli_usage(
			argv[0], remove ? "--remove takes a bundle's folder and nothing else"
					: "an image and a folder are needed");
	if (status == CLI_OK)
		status = cli_open_store(cli, CLI_CHANGE);
	if (status == CLI_OK && !cli->store) {
		cli_error(remove ? "No such bundle: %s" : "No such image: %s", argv[1]);
		status = CLI_FAILED;
	}
	if (status != CLI_OK)
		return status;
	towline_text_init(&how);
	if (remove)
		code = towline_bundle_remove(cli->store, argv[1], &how.sink);
	else
		code = towline_bundle(cli->store, argv[1], argv[2], &how.sink);
	if (code != IMAGE_PULL_OK)
		status = cli_failed(cli, towline_text_message(&how, code));
	else if (how.value && strcmp(how.value, "copy") == 0)
		cli_log(cli, IMAGE_PULL_LOG_INFO,
			"rootfs is a copy: no overlay mount was possible");
	towline_text_free(&how);
	return status;
}

int command_load(struct cli *cli, int argc, char **argv)
{
	struct answer answer cleanup(answer_free) = {0};
	int nargs, code;
	int status = cli_parse_command(NULL, 0, 1, 1, argc, argv, &nargs);

	answer_init(&answer, answer_print, stdout);
	if (status == CLI_OK)
		status = cli_open_store(cli, CLI_MAKE);
	if (status != CLI_OK)
		return status;
	code = towline_load(cli->store, argv[1], &answer.sink);
	return ended(cli, &answer, code);
}

int command_save(struct cli *cli, int argc, char **argv)
{
	struct answer answer cleanup(answer_free) = {0};
	int nargs, code;
	int status = cli_parse_command(NULL, 0, 2, 2, argc, argv, &nargs);

	answer_init(&answer, NULL, NULL);
	if (status == CLI_OK)
		status = cli_open_store_of(cli, CLI_READ, argv[1]);
	if (status != CLI_OK)
		return status;
	code = towline_save(cli->store, argv[1], argv[2], &answer.sink);
	return ended(cli, &answer, code);
}
