/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of the reference host share. Go counterpart: none (docker's cli/command). */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "towline.h"

/* The exit statuses, a contract. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* Why a command failed. */
struct cli_failure {
	const char *message;
	const struct image_pull_error_info *info; /* what the plugin says of it; NULL: nothing */
	const char *hint;                         /* goes with it; "" */
};

struct cli {
	/* the global options; NULL or -1 where they were not given */
	const char *config_file, *root, *plugin_path;
	int log_level;
	/* Where failures go; NULL: to stderr, a line each, with details where they are wanted. */
	void (*report)(void *context, const struct cli_failure *failure);
	void *report_context;
	/* what the commands open; cli_close frees it */
	const struct towline_config *config;
	struct towline_store *store;
};

/* ---- the commands: each gets its own name in argv[0] and returns an exit status */
int command_pull(struct cli *cli, int argc, char **argv);
int command_plan(struct cli *cli, int argc, char **argv);
int command_login(struct cli *cli, int argc, char **argv);
int command_logout(struct cli *cli, int argc, char **argv);
int command_doctor(struct cli *cli, int argc, char **argv);
int command_images(struct cli *cli, int argc, char **argv);
int command_inspect(struct cli *cli, int argc, char **argv);
int command_tag(struct cli *cli, int argc, char **argv);
int command_rm(struct cli *cli, int argc, char **argv);
int command_prune(struct cli *cli, int argc, char **argv);
int command_fsck(struct cli *cli, int argc, char **argv);
int command_rootfs(struct cli *cli, int argc, char **argv);
int command_bundle(struct cli *cli, int argc, char **argv);
int command_load(struct cli *cli, int argc, char **argv);
int command_serve(struct cli *cli, int argc, char **argv);
int command_save(struct cli *cli, int argc, char **argv);

/* ---- cli.c: options */

/* An option: with a flag it takes no argument, with a value it takes one. */
struct cli_option {
	const char *name; /* without dashes */
	char letter;      /* 0: there is no short form */
	bool *flag;
	const char **value;
};
/* The global options, up to the first other word. The other words are moved together to argv + 1:
 * *ret_nargs of them. CLI_OK, or CLI_USAGE after one line on stderr. */
int cli_parse_main(
	const struct cli_option *options, size_t noptions, int argc, char **argv, int *ret_nargs);
/* A command's options, wherever they stand among its words, of which there may be min to max (-1:
 * any number). argv[0] is the command's name. */
int cli_parse_command(const struct cli_option *options, size_t noptions, int min, int max, int argc,
	char **argv, int *ret_nargs);

/* ---- cli.c: what is said on stderr, one line each, control bytes made visible */

void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* CLI_USAGE, after a line about wrong usage of a command (NULL: of towline). */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A log line, if the level was asked for: level=info msg="..." */
void cli_log(const struct cli *cli, int level, const char *message);

/* ---- failure.c: CLI_FAILED, after the failure went where failures go */

int cli_failed(const struct cli *cli, const char *message);
/* With all that the plugin knows of it; NULL: out of memory. The reference is a canonical one;
 * logged_in: credentials went with the pull. */
int cli_pull_failed(const struct cli *cli, const struct image_pull_error_info *info,
	const char *reference, bool logged_in);
/* What the plugin knows of an error, for --log-level debug. */
void cli_log_error_info(const struct cli *cli, const struct image_pull_error_info *info);
/* One value: the line that Docker Engine ends a progress stream with, CR LF included. */
int cli_failure_json(const struct cli_failure *failure, const struct image_pull_sink *sink);
/* cli.report of a command whose output is JSON: that line, on stdout. */
void cli_report_json(void *unused, const struct cli_failure *failure);

/* ---- cli.c: what commands stand on. CLI_OK, or another status after the failure was reported. */

/* Who is not root is in a user namespace afterwards, if that is possible. */
int cli_load_config(struct cli *cli);
enum cli_access {
	CLI_READ,   /* to look at; where nothing was ever stored, cli->store stays NULL */
	CLI_CHANGE, /* the same, and to change it */
	CLI_CHECK,  /* as CLI_READ and CLI_CHANGE, for fsck: damaged names do not hinder it */
	CLI_REPAIR,
	CLI_MAKE /* made if it is not there */
};
/* Loads the configuration, if it was not, and opens the store. */
int cli_open_store(struct cli *cli, enum cli_access access);
/* The same for a command on that image: a store that is not there does not have it. */
int cli_open_store_of(struct cli *cli, enum cli_access access, const char *image);
void cli_close(struct cli *cli);
/* Of the path, or what there is of the way to it. 0, or -1 with errno. */
struct statvfs;
int cli_statvfs(const char *path, struct statvfs *ret);
/* 0, or -1 after a line on stderr: what was printed did not all arrive. */
int cli_flush(FILE *out);
/* A JSON string, with its quotes. */
void cli_json_string(FILE *out, const char *text);

/* ---- answer.c: a sink whose values go to a function, as they come */

struct answer {
	struct image_pull_sink sink;
	char *message;
	int (*take)(void *context, const void *data, size_t size); /* NULL: values are ignored */
	void *context;
};
void answer_init(
	struct answer *a, int (*take)(void *context, const void *data, size_t size), void *context);
void answer_free(struct answer *a);
/* The failure's text, or a fitting one for the code. Never NULL. */
const char *answer_message(const struct answer *a, int code);
/* A take function: prints each value as a line on the FILE that is its context. */
int answer_print(void *file, const void *data, size_t size);

#define cleanup(function) __attribute__((cleanup(function)))

#endif
