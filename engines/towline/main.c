/* SPDX-License-Identifier: Apache-2.0 */
/* towline, the reference host of image_pull.so: options and commands. It knows the plugin by
 * image_pull.h and its own services by towline.h alone. Go counterpart: none (docker's cmd/docker).
 */
#include "config.h"

#include "cli.h"

#include <signal.h>
#include <string.h>

static const char help[] =
	"usage: towline [OPTIONS] COMMAND\n"
	"  pull [--platform OS/ARCH[/VARIANT]] [--all-tags] [--quiet] [--ca FILE] REF...\n"
	"       [--progress auto|bar|plain|json|none] [--color auto|always|never]\n"
	"       [--pull always|missing|newer] [--creds USER[:PASSWORD]] [--authfile FILE]\n"
	"  plan [--json] [--platform ...] [--creds ...] REF...  what a pull would fetch\n"
	"  login [-u USER] [--password-stdin] [--authfile FILE] [REGISTRY]\n"
	"  logout [--authfile FILE] [REGISTRY]\n"
	"  doctor [--json] [REGISTRY...]  what a pull stands on, and what to do about it\n"
	"  images [--json]           the images that are here\n"
	"  inspect REF...            what is known of an image, as JSON\n"
	"  tag REF NEW               give an image one more name\n"
	"  rm [--force] REF...       take a name away, with the last one the image\n"
	"  prune [--dry-run] [--all] remove what no image needs; --all: untagged images\n"
	"  fsck [--deep] [--repair]  check the store\n"
	"  rootfs REF DIR            the merged root file system, as files in DIR\n"
	"  bundle REF DIR            an OCI runtime bundle; bundle --remove DIR\n"
	"  load SRC, save REF TARGET   docker-archive FILE or oci:DIR\n"
	"  serve [--socket PATH] [--group GROUP]  answer Docker's client\n"
	"options:\n"
	"  --config FILE             engine.json; default: the user's, then /etc's\n"
	"  --root DIR                the store, in place of engine.json's data-root\n"
	"  --plugin PATH             image_pull.so, in place of engine.json's\n"
	"  --log-level LEVEL         error, warn, info or debug; --version; --help\n"
	"exit status: 0 done (pulled or up to date), 1 an error, 2 wrong usage\n";

static int parse_level(const char *word)
{
	static const char *const words[] = {"error", "warn", "info", "debug"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i]) == 0)
			return (int)i;
	}
	return -1;
}

static int run_command(struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct cli *cli, int argc, char **argv);
	} commands[] = {
		{"pull", command_pull},
		{"plan", command_plan},
		{"login", command_login},
		{"logout", command_logout},
		{"doctor", command_doctor},
		{"images", command_images},
		{"inspect", command_inspect},
		{"tag", command_tag},
		{"rm", command_rm},
		{"prune", command_prune},
		{"fsck", command_fsck},
		{"rootfs", command_rootfs},
		{"bundle", command_bundle},
		{"load", command_load},
		{"save", command_save},
		{"serve", command_serve},
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[0], commands[i].name) == 0)
			return commands[i].run(cli, argc, argv);
	}
	return cli_usage(NULL, "there is no command %s", argv[0]);
}

int main(int argc, char **argv)
{
	struct cli cli = {.log_level = -1};
	const char *level = NULL;
	bool version = false, show_help = false;
	const struct cli_option options[] = {
		{.name = "config", .value = &cli.config_file},
		{.name = "root", .value = &cli.root},
		{.name = "plugin", .value = &cli.plugin_path},
		{.name = "log-level", .value = &level},
		{.name = "version", .flag = &version},
		{.name = "help", .letter = 'h', .flag = &show_help},
	};
	static char name[] = "towline";
	char *none[] = {name, NULL};
	int nargs, status;

	/* A reader that went away is a write error, which ends a pull in order. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 1) {
		argc = 1;
		argv = none;
	}
	status = cli_parse_main(options, sizeof(options) / sizeof(options[0]), argc, argv, &nargs);
	if (status != CLI_OK)
		return status;
	if (show_help || version) {
		if (show_help)
			fputs(help, stdout);
		else
			printf("towline %s\n", towline_version());
		return cli_flush(stdout) < 0 ? CLI_FAILED : CLI_OK;
	}
	if (level) {
		cli.log_level = parse_level(level);
		if (cli.log_level < 0)
			return cli_usage(
				NULL, "--log-level is error, warn, info or debug, not %s", level);
	}
	if (nargs == 0)
		return cli_usage(NULL, "a command is missing");
	status = run_command(&cli, nargs, argv + 1);
	cli_close(&cli);
	return status;
}
