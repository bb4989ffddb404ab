/* SPDX-License-Identifier: Apache-2.0 */
/* Options, complaints and the store for all commands. Go counterpart: none (docker's cli/command).
 */
#include "config.h"

#include "cli.h"
#include "text.h"
#include "common/userns.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- options */

static const struct cli_option *find_option(
	const struct cli_option *options, size_t n, const char *word, const char **ret_attached)
{
	*ret_attached = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct cli_option *o = &options[i];
		size_t length = strlen(o->name);

		if (word[1] == '-') {
			if (strncmp(word + 2, o->name, length) != 0)
				continue;
			if (word[2 + length] == '\0')
				return o;
			if (word[2 + length] == '=') {
				*ret_attached = word + 2 + length + 1;
				return o;
			}
		} else if (o->letter && word[1] == o->letter && word[2] == '\0') {
			return o;
		}
	}
	return NULL;
}

static int parse(const struct cli_option *options, size_t noptions, const char *command, int argc,
	char **argv, int *ret_nargs)
{
	int nargs = 0;
	int i;

	for (i = 1; i < argc; i++) {
		const struct cli_option *o;
		const char *attached;

		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (!command)
				break;
			argv[++nargs] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		o = find_option(options, noptions, argv[i], &attached);
		if (!o)
			return cli_usage(command, "unknown option %s", argv[i]);
		if (o->flag) {
			if (attached)
				return cli_usage(command, "--%s takes no argument", o->name);
			*o->flag = true;
			continue;
		}
		if (!attached && i + 1 >= argc)
			return cli_usage(command, "--%s needs an argument", o->name);
		*o->value = attached ? attached : argv[++i];
	}
	while (i < argc)
		argv[++nargs] = argv[i++];
	*ret_nargs = nargs;
	return CLI_OK;
}

int cli_parse_main(
	const struct cli_option *options, size_t noptions, int argc, char **argv, int *ret_nargs)
{
	return parse(options, noptions, NULL, argc, argv, ret_nargs);
}

int cli_parse_command(const struct cli_option *options, size_t noptions, int min, int max, int argc,
	char **argv, int *ret_nargs)
{
	int status = parse(options, noptions, argv[0], argc, argv, ret_nargs);

	if (status != CLI_OK)
		return status;
	if (*ret_nargs < min)
		return cli_usage(argv[0], "an argument is missing");
	if (max >= 0 && *ret_nargs > max)
		return cli_usage(argv[0], "too many arguments: %s", argv[max + 1]);
	return CLI_OK;
}

/* ---- what is said on stderr */

static void say(const char *prefix, const char *format, va_list ap, const char *suffix)
{
	char *text = NULL;
	char *line = NULL;

	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	if (text)
		line = text_one_line(text);
	fprintf(stderr, "towline: %s%s%s\n", prefix, line ? line : "out of memory", suffix);
	free(line);
	free(text);
}

void cli_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("", format, ap, "");
	va_end(ap);
}

int cli_usage(const char *command, const char *format, ...)
{
	char prefix[64] = "";
	va_list ap;

	if (command)
		snprintf(prefix, sizeof(prefix), "%s: ", command);
	va_start(ap, format);
	say(prefix, format, ap, " (see towline --help)");
	va_end(ap);
	return CLI_USAGE;
}

void cli_log(const struct cli *cli, int level, const char *message)
{
	static const char *const words[] = {"error", "warning", "info", "debug"};
	char *line;

	if (level < 0 || level > IMAGE_PULL_LOG_DEBUG || level > cli->log_level)
		return;
	line = text_one_line(message);
	fprintf(stderr, "level=%s msg=\"", words[level]);
	for (const char *c = line ? line : "out of memory"; *c; c++)
		fprintf(stderr, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
	fputs("\"\n", stderr);
	free(line);
}

/* ---- what commands stand on */

/* Who is not root becomes the root of a user namespace, before the plugin and the store are there:
 * then files keep their owners. Without one, what a user may do has to do. */
static void enter_userns(const struct cli *cli)
{
	const char *problem;
	char text[256];

	switch (userns_enter(&problem)) {
	case USERNS_ROOT:
	case USERNS_RANGE:
		return;
	case USERNS_SINGLE:
		snprintf(text, sizeof(text), "files will all belong to one user: %s",
			problem ? problem : "");
		cli_log(cli, IMAGE_PULL_LOG_INFO, text);
		return;
	case USERNS_IMPOSSIBLE:
		snprintf(text, sizeof(text), "not in a user namespace: %s", problem ? problem : "");
		cli_log(cli, IMAGE_PULL_LOG_WARNING, text);
	}
}

int cli_load_config(struct cli *cli)
{
	struct answer answer cleanup(answer_free) = {0};
	int code;

	if (cli->config)
		return CLI_OK;
	answer_init(&answer, NULL, NULL);
	code = towline_config_load(cli->config_file, &cli->config, &answer.sink);
	if (code != IMAGE_PULL_OK) {
		cli->config = NULL;
		return cli_failed(cli, answer_message(&answer, code));
	}
	enter_userns(cli);
	return CLI_OK;
}

static void store_log(void *context, int level, const char *message)
{
	cli_log(context, level, message);
}

/* No store yet: its folder is missing, or its maker was killed before the first file had a name. */
static bool no_store(const char *root)
{
	const struct dirent *entry;
	bool none = true;
	DIR *d = opendir(root);

	if (!d)
		return errno == ENOENT;
	while (none && (entry = readdir(d)))
		none = entry->d_name[0] == '.' || strcmp(entry->d_name, "lost+found") == 0;
	closedir(d);
	return none;
}

int cli_open_store(struct cli *cli, enum cli_access access_wanted)
{
	struct answer answer cleanup(answer_free) = {0};
	struct towline_store_options options = {
		.struct_size = sizeof(options),
		.read_only = access_wanted == CLI_READ || access_wanted == CLI_CHECK,
		.tolerant = access_wanted == CLI_CHECK || access_wanted == CLI_REPAIR,
		.log = store_log,
		.log_context = cli,
	};
	int status = cli_load_config(cli);
	int code;

	answer_init(&answer, NULL, NULL);
	if (status != CLI_OK)
		return status;
	options.root = cli->root ? cli->root : cli->config->data_root;
	options.fast = !cli->config->durable;
	options.unpacker = cli->config->confine ? cli->config->unpacker : NULL;
	if (access_wanted != CLI_MAKE && no_store(options.root))
		return CLI_OK;
	code = towline_store_open(&options, &cli->store, &answer.sink);
	if (code == IMAGE_PULL_OK)
		return CLI_OK;
	cli->store = NULL;
	return cli_failed(cli, answer_message(&answer, code));
}

int cli_open_store_of(struct cli *cli, enum cli_access access_wanted, const char *image)
{
	int status = cli_open_store(cli, access_wanted);

	if (status == CLI_OK && !cli->store) {
		cli_error("No such image: %s", image);
		status = CLI_FAILED;
	}
	return status;
}

void cli_close(struct cli *cli)
{
	towline_store_close(cli->store);
	cli->store = NULL;
	towline_config_free(cli->config);
	cli->config = NULL;
}

int cli_statvfs(const char *path, struct statvfs *ret)
{
	char *way = strdup(path);
	int r = -1;

	while (way && *way && (r = statvfs(way, ret)) < 0) {
		char *slash = strrchr(way, '/');

		if (!slash)
			break;
		slash[slash == way && slash[1] ? 1 : 0] = '\0';
	}
	free(way);
	return r;
}

int cli_flush(FILE *out)
{
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	cli_error("write error: %s", strerror(errno));
	return -1;
}

void cli_json_string(FILE *out, const char *text)
{
	struct towline_text json;

	towline_text_init(&json);
	if (towline_json_string(text, &json.sink) == IMAGE_PULL_OK && json.value)
		fputs(json.value, out);
	else
		fputs("\"\"", out);
	towline_text_free(&json);
}
