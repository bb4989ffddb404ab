/* SPDX-License-Identifier: Apache-2.0 */
/* towline serve: hand over to towline-serve, a program of its own, so that this one needs no HTTP
 * server. Go counterpart: none (docker's cmd/dockerd). */
#include "config.h"

#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "towline-serve"

/* Beside this program, else where it is installed. */
static char *find_program(void)
{
	char path[4096], *slash, *found = NULL;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash && asprintf(&found, "%.*s/" PROGRAM, (int)(slash - path), path) < 0)
		return NULL;
	if (found && access(found, X_OK) == 0)
		return found;
	free(found);
	return strdup(PKGLIBEXECDIR "/" PROGRAM);
}

/* Where a client looks for it, if nobody says: the user's, unless that is root. */
static char *default_socket(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char *path;

	if (geteuid() == 0)
		return strdup("/run/towline.sock");
	return dir && *dir && asprintf(&path, "%s/towline.sock", dir) >= 0 ? path : NULL;
}

int command_serve(struct cli *cli, int argc, char **argv)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	const char *socket = NULL, *group = NULL;
	const struct cli_option options[] = {
		{.name = "group", .value = &group},
		{.name = "socket", .value = &socket},
	};
	char *path, *usual = NULL;
	int nargs;
	int status = cli_parse_command(options, 2, 0, 0, argc, argv, &nargs);

	if (status != CLI_OK)
		return status;
	if (!socket) {
		usual = default_socket();
		socket = usual;
	}
	if (!socket)
		return cli_usage("serve", "--socket is missing, and so is XDG_RUNTIME_DIR");
	path = find_program();
	/* Whoever is not root enters a user namespace here; the other program stays in it. */
	status = path ? cli_load_config(cli) : cli_failed(cli, "out of memory");
	if (status == CLI_OK) {
		const struct {
			const char *option, *value;
		} given[] = {
			{"--socket", socket},
			{"--group", group},
			{"--config", cli->config_file},
			{"--root", cli->root},
			{"--plugin", cli->plugin_path},
			{"--log-level", cli->log_level >= 0 ? levels[cli->log_level] : NULL},
		};
		const char *args[2 * sizeof(given) / sizeof(given[0]) + 2] = {PROGRAM};
		size_t n = 1;

		for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
			if (!given[i].value)
				continue;
			args[n++] = given[i].option;
			args[n++] = given[i].value;
		}
		execv(path, (char **)args);
		cli_error("serve: %s: %s%s", path, strerror(errno),
			errno == ENOENT ? " (it comes with the package towline-serve)" : "");
		status = CLI_FAILED;
	}
	free(path);
	free(usual);
	return status;
}
