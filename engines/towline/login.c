/* SPDX-License-Identifier: Apache-2.0 */
/* towline login, towline logout: credentials into a helper or a file, and out of it. Go
 * counterparts: docker's cli/command/registry/login.go and logout.go. */
#include "config.h"

#include "cli.h"
#include "common/host.h"
#include "login.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define HUB "docker.io"
#define SECRET_LIMIT (64u << 10)

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

/* One line, or all there is, without the line's end. NULL with errno: interrupted, too long. */
static char *read_secret(int fd, bool line)
{
	char *text = calloc(1, SECRET_LIMIT + 1);
	size_t size = 0;

	while (text) {
		ssize_t n = read(fd, text + size, line ? 1 : SECRET_LIMIT + 1 - size);

		if (n < 0 && errno == EINTR && !caught)
			continue;
		if (n < 0 || size + (size_t)n > SECRET_LIMIT) {
			if (n >= 0)
				errno = EFBIG;
			explicit_bzero(text, SECRET_LIMIT);
			free(text);
			return NULL;
		}
		size += (size_t)n;
		if (!n || (line && text[size - 1] == '\n'))
			break;
	}
	if (text && size && text[size - 1] == '\n')
		text[--size] = '\0';
	if (text && size && text[size - 1] == '\r')
		text[--size] = '\0';
	return text;
}

char *login_prompt(const char *question, bool echo)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
	struct sigaction action = {.sa_handler = on_signal}, old[sizeof(numbers) / sizeof(int)];
	struct termios before, quiet;
	char *text = NULL;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return NULL;
	sigemptyset(&action.sa_mask);
	caught = 0;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(int); i++)
		(void)sigaction(numbers[i], &action, &old[i]);
	quiet = before;
	if (!echo)
		quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	fprintf(stderr, "%s: ", question);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0) {
		text = read_secret(STDIN_FILENO, true);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	}
	if (!echo || !text)
		fputc('\n', stderr);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(int); i++)
		(void)sigaction(numbers[i], &old[i], NULL);
	/* The terminal is as it was: now the signal may do what it does. */
	if (caught)
		(void)raise(caught);
	return text;
}

/* CLI_OK with new strings, or another status after the reason was said. */
static int ask(const char *username, bool from_stdin, char **ret_username, char **ret_password)
{
	if (from_stdin && !username)
		return cli_usage("login", "--password-stdin needs --username");
	*ret_username = username ? strdup(username) : login_prompt("Username", true);
	if (*ret_username && from_stdin) {
		*ret_password = read_secret(STDIN_FILENO, false);
	} else if (*ret_username && **ret_username) {
		*ret_password = login_prompt("Password", false);
	}
	if (*ret_username && **ret_username && *ret_password && **ret_password)
		return CLI_OK;
	if (!from_stdin && !isatty(STDIN_FILENO))
		return cli_usage(
			"login", "without a terminal, use --username and --password-stdin");
	cli_error("login: no username or no password");
	return CLI_FAILED;
}

/* ---- does the registry take them? */

struct login_command {
	struct cli *cli;
	const char *authfile, *server, *ca;
	struct image_pull_auth auth;
	const struct image_pull_plugin *plugin;
	struct towline_registry_service *registry_service;
	struct image_pull_instance *instance;
};

static void on_log(void *context, void *pull, int level, const char *message)
{
	(void)pull; /* there is one */
	cli_log(context, level, message);
}

static int make_instance(struct login_command *c, const struct image_pull_sink *sink)
{
	const struct image_pull_events events = {
		.struct_size = sizeof(events), .context = c->cli, .log = on_log};
	struct host_parts parts = {.events = &events};
	const char *path = c->cli->plugin_path;
	int code = IMAGE_PULL_OK;

	/* Not as root of a user namespace: helpers ask daemons that know the user. */
	if (!c->cli->config)
		code = towline_config_load(c->cli->config_file, &c->cli->config, sink);
	parts.config = c->cli->config;
	if (code == IMAGE_PULL_OK)
		code = towline_plugin_load(
			path ? path : parts.config->plugin_path, &c->plugin, sink);
	if (code == IMAGE_PULL_OK)
		code = host_registry_service(parts.config, c->ca, NULL, &c->registry_service, sink);
	parts.plugin = c->plugin;
	parts.registry_service = c->registry_service;
	return code == IMAGE_PULL_OK ? host_instance(&parts, &c->instance, sink) : code;
}

/* As docker: an identity token takes the password's place. */
static int ask_registry(struct login_command *c, struct towline_text *token)
{
	struct image_pull_login login = {.struct_size = sizeof(login), .auth = &c->auth};
	struct image_pull_error *error = NULL;
	char *hostname = host_registry_of(c->server);
	int status = CLI_OK;

	login.hostname = hostname;
	if (!hostname) {
		status = cli_failed(c->cli, "out of memory");
	} else if (c->plugin->login(c->instance, &login, &token->sink, &error) != 0) {
		status = cli_failed(
			c->cli, error ? c->plugin->error_info(error)->message : "out of memory");
		c->plugin->error_free(error);
	} else if (token->value) {
		c->auth.password = "";
		c->auth.identity_token = token->value;
	}
	free(hostname);
	return status;
}

static int check_login(struct login_command *c, struct towline_text *token)
{
	struct answer answer cleanup(answer_free) = {0};
	int code;

	answer_init(&answer, NULL, NULL);
	code = make_instance(c, &answer.sink);
	if (code != IMAGE_PULL_OK)
		return cli_failed(c->cli, answer_message(&answer, code));
	if (IMAGE_PULL_HAS(c->plugin, struct image_pull_plugin, login))
		return ask_registry(c, token);
	return cli_failed(c->cli, "the plugin is too old to ask a registry: nothing was stored");
}

static int store_login(const struct login_command *c)
{
	struct towline_text where;
	int code, status = CLI_OK;

	towline_text_init(&where);
	code = towline_credentials_store(c->authfile, c->server, &c->auth, &where.sink);
	if (code != IMAGE_PULL_OK)
		status = cli_failed(c->cli, towline_text_message(&where, code));
	else
		printf("Login Succeeded\nStored in %s\n", where.value);
	towline_text_free(&where);
	return status;
}

int command_login(struct cli *cli, int argc, char **argv)
{
	struct login_command c = {.cli = cli, .auth = {.struct_size = sizeof(c.auth)}};
	const char *username = NULL;
	bool from_stdin = false;
	const struct cli_option options[] = {
		{.name = "authfile", .value = &c.authfile},
		{.name = "ca", .value = &c.ca},
		{.name = "username", .letter = 'u', .value = &username},
		{.name = "password-stdin", .flag = &from_stdin},
	};
	char *user = NULL, *password = NULL;
	struct towline_text token;
	int nargs;
	int status = cli_parse_command(
		options, sizeof(options) / sizeof(options[0]), 0, 1, argc, argv, &nargs);

	towline_text_init(&token);
	if (status == CLI_OK)
		status = ask(username, from_stdin, &user, &password);
	if (status == CLI_OK) {
		c.server = nargs ? argv[1] : NULL;
		c.auth.username = user;
		c.auth.password = password;
		status = check_login(&c, &token);
	}
	if (status == CLI_OK)
		status = store_login(&c);
	if (c.instance)
		c.plugin->destroy(c.instance);
	towline_registry_service_free(c.registry_service);
	if (token.value)
		explicit_bzero(token.value, token.value_size);
	towline_text_free(&token);
	host_wipe(user);
	host_wipe(password);
	return status == CLI_OK && cli_flush(stdout) < 0 ? CLI_FAILED : status;
}

int command_logout(struct cli *cli, int argc, char **argv)
{
	const char *authfile = NULL;
	const struct cli_option options[] = {{.name = "authfile", .value = &authfile}};
	struct towline_text text;
	int nargs, code;
	int status = cli_parse_command(options, 1, 0, 1, argc, argv, &nargs);

	if (status != CLI_OK)
		return status;
	towline_text_init(&text);
	code = towline_credentials_erase(authfile, nargs ? argv[1] : NULL, &text.sink);
	if (code == IMAGE_PULL_OK)
		printf("Removed the credentials for %s\n", nargs ? argv[1] : HUB);
	else if (code == IMAGE_PULL_NOT_FOUND)
		printf("%s\n", towline_text_message(&text, code)); /* as docker: no failure */
	else
		status = cli_failed(cli, towline_text_message(&text, code));
	towline_text_free(&text);
	return status == CLI_OK && cli_flush(stdout) < 0 ? CLI_FAILED : status;
}

int login_creds(
	struct cli *cli, const char *command, const char *creds, struct host_credentials *ret)
{
	const char *colon = strchr(creds, ':');
	size_t size = colon ? (size_t)(colon - creds) : strlen(creds);
	char *user = strndup(creds, size);
	char *password = colon ? strdup(colon + 1) : login_prompt("Password", false);
	const struct image_pull_auth auth = {
		.struct_size = sizeof(auth), .username = user, .password = password};
	int status = CLI_OK;

	if (!password && !colon)
		status = cli_usage(command, "--creds without a password needs a terminal");
	else if (!user || !password || host_credentials_keep(ret, &auth) != IMAGE_PULL_OK)
		status = cli_failed(cli, "out of memory");
	host_wipe(user);
	host_wipe(password);
	return status;
}
