/* SPDX-License-Identifier: Apache-2.0 */
/* towline pull: load the plugin, hand it libtowline's services, show what it says. Go counterparts:
 * docker's cli/command/image/pull.go, daemon/images/image_pull.go. */
#include "config.h"

#include "cli.h"
#include "common/host.h"
#include "login.h"
#include "progress_bar.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum policy { PULL_ALWAYS, PULL_MISSING, PULL_NEWER };
enum show { SHOW_NONE, SHOW_PLAIN, SHOW_BAR, SHOW_JSON };

/* A pull in the making: what the command line asked for and what serves it. */
struct pull_command {
	struct cli *cli;
	bool all_tags, quiet;
	const char *platform_text, *progress_text, *policy_text, *color_text, *creds, *authfile,
		*ca;
	enum policy policy;
	struct host_platform platform;
	enum show show;
	char *reference; /* canonical; with a tag or digest unless all tags are asked for */
	bool default_tag;

	const struct image_pull_plugin *plugin;
	struct towline_registry_service *registry_service;
	struct image_pull_instance *instance;
	struct host_credentials credentials;

	bool colours;
	struct progress_bar *bar;
	bool have;       /* the image was here before, for the platform that is asked for */
	int write_error; /* an errno: what is printed arrives nowhere, so the pull ends */
	char **warnings; /* errors that did not end the pull, where no log was asked for */
	size_t nwarnings;
};

/* ---- Ctrl-C: a flag that the plugin asks for; a second one ends the process at once. What it
 * leaves unfinished nothing refers to, and the next start of the store sweeps it. */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	if (interrupted)
		_exit(128 + number);
	interrupted = 1;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;

		/* What was ignored (nohup) stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		(void)sigaction(numbers[i], &action, NULL); /* fails for bad numbers alone */
	}
}

/* ---- what the plugin says */

static int print_bytes(void *context, const void *data, size_t size)
{
	struct pull_command *c = context;

	if (fwrite(data, 1, size, stdout) != size && !c->write_error)
		c->write_error = errno ? errno : EIO;
	return IMAGE_PULL_OK;
}

static void show_plain(struct pull_command *c, const struct image_pull_progress *p)
{
	const char *what = p->message[0] ? p->message : p->action;
	char *id, *text;

	/* Byte counts are for terminals. */
	if (!p->message[0] && (p->current > 0 || p->total > 0))
		return;
	id = text_printable(p->id, strlen(p->id));
	text = text_printable(what, strlen(what));
	if (!id || !text)
		c->write_error = ENOMEM;
	else if (printf("%s%s%s\n", id, id[0] ? ": " : "", text) < 0)
		c->write_error = errno;
	free(id);
	free(text);
}

static void on_progress(void *context, void *pull, const struct image_pull_progress *progress)
{
	struct pull_command *c = context;
	struct answer answer cleanup(answer_free) = {0};

	(void)pull; /* there is one pull */
	answer_init(&answer, print_bytes, c);
	switch (c->show) {
	case SHOW_JSON:
		if (towline_progress_json(progress, &answer.sink) != IMAGE_PULL_OK)
			c->write_error = ENOMEM;
		break;
	case SHOW_PLAIN:
		show_plain(c, progress);
		break;
	case SHOW_BAR:
		if (progress_bar_update(c->bar, progress) < 0)
			c->write_error = errno;
		return;
	case SHOW_NONE:
		return;
	}
	if (fflush(stdout) != 0 && !c->write_error)
		c->write_error = errno;
}

static void on_log(void *context, void *pull, int level, const char *message)
{
	struct pull_command *c = context;
	char **grown;
	char *copy;

	(void)pull;
	cli_log(c->cli, level, message);
	if (c->cli->log_level >= 0 || level != IMAGE_PULL_LOG_ERROR)
		return;
	/* Nobody reads the log: keep it for the end, when it is known whether it says more than the
	 * error does. */
	grown = realloc(c->warnings, (c->nwarnings + 1) * sizeof(*grown));
	if (!grown)
		return;
	c->warnings = grown;
	copy = strdup(message);
	if (copy)
		c->warnings[c->nwarnings++] = copy;
}

static int on_cancelled(void *context, void *pull)
{
	struct pull_command *c = context;

	(void)pull;
	if (c->bar && progress_bar_tick(c->bar) < 0)
		c->write_error = errno;
	return interrupted || c->write_error;
}

/* https://no-color.org. False: the option's word is none of ours. */
static bool wants_colours(const char *word, const char *term, bool *ret)
{
	const char *no_color = getenv("NO_COLOR");

	*ret = strcmp(word, "always") == 0 ||
	       (strcmp(word, "auto") == 0 && isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
		       term && strcmp(term, "dumb") != 0);
	return *ret || strcmp(word, "auto") == 0 || strcmp(word, "never") == 0;
}

/* ---- before the pull */

static int usage(struct pull_command *c)
{
	static const struct {
		const char *word;
		enum show show;
	} words[] = {
		{"bar", SHOW_BAR}, {"plain", SHOW_PLAIN}, {"json", SHOW_JSON}, {"none", SHOW_NONE}};
	const char *term = getenv("TERM");
	struct answer answer cleanup(answer_free) = {0};
	int code;

	answer_init(&answer, NULL, NULL);
	if (strcmp(c->progress_text, "auto") == 0) {
		c->show = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 ? SHOW_BAR
										     : SHOW_PLAIN;
	} else {
		size_t i;

		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (strcmp(c->progress_text, words[i].word) == 0)
				break;
		}
		if (i == sizeof(words) / sizeof(words[0]))
			return cli_usage("pull",
				"--progress is auto, bar, plain, json or none, not %s",
				c->progress_text);
		c->show = words[i].show;
	}
	if (c->quiet && c->show == SHOW_JSON && strcmp(c->progress_text, "json") == 0)
		return cli_usage("pull", "--quiet and --progress json exclude each other");
	if (c->quiet)
		c->show = SHOW_NONE;
	if (!wants_colours(c->color_text, term, &c->colours))
		return cli_usage("pull", "--color is auto, always or never, not %s", c->color_text);
	if (strcmp(c->policy_text, "always") == 0)
		c->policy = PULL_ALWAYS;
	else if (strcmp(c->policy_text, "missing") == 0)
		c->policy = PULL_MISSING;
	else if (strcmp(c->policy_text, "newer") == 0)
		c->policy = PULL_NEWER;
	else
		return cli_usage(
			"pull", "--pull is always, missing or newer, not %s", c->policy_text);
	if (c->policy != PULL_ALWAYS && c->all_tags)
		return cli_usage(
			"pull", "--all-tags and --pull %s exclude each other", c->policy_text);
	if (c->creds && (c->creds[0] == ':' || !c->creds[0]))
		return cli_usage("pull", "--creds is USER[:PASSWORD]");
	if (!c->platform_text)
		return CLI_OK;
	code = host_platform_parse(&c->platform, c->platform_text, &answer.sink);
	if (code != IMAGE_PULL_OK)
		return cli_usage("pull", "--platform is OS/ARCH[/VARIANT]: %s",
			answer_message(&answer, code));
	return CLI_OK;
}

static int normalize(struct pull_command *c, const char *reference)
{
	struct towline_text plain, tagged;
	int status = CLI_OK;
	int code;

	towline_text_init(&plain);
	towline_text_init(&tagged);
	code = towline_reference_normalize(reference, 0, &plain.sink);
	if (code != IMAGE_PULL_OK) {
		status = cli_failed(c->cli, towline_text_message(&plain, code));
		goto out;
	}
	code = towline_reference_normalize(reference, 1, &tagged.sink);
	if (code != IMAGE_PULL_OK) {
		status = cli_failed(c->cli, towline_text_message(&tagged, code));
		goto out;
	}
	c->default_tag = strcmp(plain.value, tagged.value) != 0;
	if (c->all_tags && !c->default_tag) {
		status = cli_usage("pull", "tag can't be used with --all-tags/-a");
		goto out;
	}
	free(c->reference);
	c->reference = strdup(c->all_tags ? plain.value : tagged.value);
	if (!c->reference)
		status = cli_failed(c->cli, "out of memory");
out:
	towline_text_free(&plain);
	towline_text_free(&tagged);
	return status;
}

/* As docker does: what is wrong with a credentials file is said, and the pull goes on without. */
static int find_credentials(struct pull_command *c)
{
	struct answer answer cleanup(answer_free) = {0};
	int code;

	if (c->creds)
		return c->credentials.found
			       ? CLI_OK
			       : login_creds(c->cli, "pull", c->creds, &c->credentials);
	answer_init(&answer, NULL, NULL);
	code = host_credentials_find(&c->credentials, c->authfile, c->reference, &answer.sink);
	/* for want of memory no pull becomes one without credentials */
	if ((c->authfile || code == IMAGE_PULL_NO_MEMORY) && code != IMAGE_PULL_OK &&
		code != IMAGE_PULL_NOT_FOUND)
		return cli_failed(c->cli, answer_message(&answer, code));
	if (code != IMAGE_PULL_OK && code != IMAGE_PULL_NOT_FOUND)
		cli_error("warning: no credentials: %s", answer_message(&answer, code));
	return CLI_OK;
}

static int load_plugin(struct pull_command *c)
{
	struct answer answer cleanup(answer_free) = {0};
	const char *path = c->cli->plugin_path ? c->cli->plugin_path : c->cli->config->plugin_path;
	int code;

	answer_init(&answer, NULL, NULL);
	code = towline_plugin_load(path, &c->plugin, &answer.sink);
	return code == IMAGE_PULL_OK ? CLI_OK : cli_failed(c->cli, answer_message(&answer, code));
}

static int make_registry_service(struct pull_command *c)
{
	struct answer answer cleanup(answer_free) = {0};
	const struct image_pull_events events = {
		.struct_size = sizeof(events), .context = c, .cancelled = on_cancelled};
	int code;

	answer_init(&answer, NULL, NULL);
	code = host_registry_service(
		c->cli->config, c->ca, &events, &c->registry_service, &answer.sink);
	return code == IMAGE_PULL_OK ? CLI_OK : cli_failed(c->cli, answer_message(&answer, code));
}

static int make_instance(struct pull_command *c)
{
	struct answer answer cleanup(answer_free) = {0};
	const struct image_pull_events events = {
		.struct_size = sizeof(events),
		.context = c,
		.progress = on_progress,
		.log = on_log,
		.cancelled = on_cancelled,
	};
	const struct host_parts parts = {
		.plugin = c->plugin,
		.config = c->cli->config,
		.registry_service = c->registry_service,
		.store = c->cli->store,
		.events = &events,
	};
	int code;

	answer_init(&answer, NULL, NULL);
	code = host_instance(&parts, &c->instance, &answer.sink);
	return code == IMAGE_PULL_OK ? CLI_OK : cli_failed(c->cli, answer_message(&answer, code));
}

/* ---- the pull */

static int pull(struct pull_command *c)
{
	struct image_pull_request request = {
		.struct_size = sizeof(request),
		.reference = c->reference,
		.pull = c,
		.platform = c->platform_text ? &c->platform.platform : NULL,
		.auth = c->credentials.found ? &c->credentials.auth : NULL,
	};
	struct image_pull_error *error = NULL;
	int ret, status = CLI_OK;

	if (c->show == SHOW_BAR) {
		c->bar = progress_bar_new(STDOUT_FILENO, c->colours);
		if (!c->bar)
			return cli_failed(c->cli, "out of memory");
	}
	ret = c->plugin->image_pull(c->instance, &request, &error);
	if (progress_bar_finish(c->bar) < 0 && !c->write_error)
		c->write_error = errno;
	c->bar = NULL;
	if (c->write_error) {
		cli_error("write error: %s", strerror(c->write_error));
		status = CLI_FAILED;
	} else if (ret != 0 && c->have && c->policy == PULL_NEWER && error &&
		   !c->plugin->error_info(error)->cancelled) {
		cli_log_error_info(c->cli, c->plugin->error_info(error));
		cli_error("warning: the image that is here stays in use: %s",
			c->plugin->error_info(error)->message);
	} else if (ret != 0) {
		status = cli_pull_failed(c->cli, error ? c->plugin->error_info(error) : NULL,
			c->reference, c->credentials.found);
	}
	c->plugin->error_free(error);
	for (size_t i = 0; status == CLI_OK && i < c->nwarnings; i++)
		cli_error("warning: %s", c->warnings[i]);
	for (size_t i = 0; i < c->nwarnings; i++)
		free(c->warnings[i]);
	c->nwarnings = 0;
	return status;
}

/* Is an image of this name here, of the platform that was asked for? */
static int is_here(void *context, const void *data, size_t size)
{
	struct pull_command *c = context;
	const struct towline_image *image = data;
	const struct image_pull_platform *wanted = &c->platform.platform;

	(void)size;
	c->have = true;
	if (c->platform_text &&
		((wanted->os && *wanted->os && strcmp(wanted->os, image->os) != 0) ||
			(wanted->architecture && *wanted->architecture &&
				strcmp(wanted->architecture, image->architecture) != 0) ||
			(wanted->variant && *wanted->variant &&
				strcmp(wanted->variant, image->variant) != 0)))
		c->have = false;
	return IMAGE_PULL_OK;
}

static int run_one(struct pull_command *c, const char *reference)
{
	struct answer answer cleanup(answer_free) = {0};
	int status = normalize(c, reference);

	if (status != CLI_OK)
		return status;
	c->have = false;
	answer_init(&answer, is_here, c);
	if (c->policy != PULL_ALWAYS)
		(void)towline_image_get(c->cli->store, c->reference, &answer.sink);
	if (c->default_tag && !c->all_tags && !c->quiet && c->show != SHOW_JSON) {
		printf("Using default tag: latest\n");
		fflush(stdout);
	}
	if (c->policy != PULL_MISSING || !c->have) {
		status = find_credentials(c);
		if (status == CLI_OK)
			status = pull(c);
	}
	if (status == CLI_OK && c->show != SHOW_JSON)
		printf("%s\n", c->reference);
	return status;
}

static int run(struct pull_command *c, int n, char **references)
{
	int status = cli_load_config(c->cli);

	if (status == CLI_OK)
		status = load_plugin(c);
	if (status == CLI_OK)
		status = make_registry_service(c);
	if (status == CLI_OK)
		status = cli_open_store(c->cli, CLI_MAKE);
	if (status == CLI_OK)
		status = make_instance(c);
	if (status != CLI_OK)
		return status;
	/* One that fails does not keep the others away; a signal does. */
	for (int i = 0; i < n && !interrupted && !c->write_error; i++) {
		int one = run_one(c, references[i]);

		if (status == CLI_OK)
			status = one;
	}
	return status;
}

static void free_command(struct pull_command *c)
{
	if (c->plugin)
		c->plugin->destroy(c->instance);
	towline_registry_service_free(c->registry_service);
	host_credentials_forget(&c->credentials);
	host_platform_free(&c->platform);
	for (size_t i = 0; i < c->nwarnings; i++)
		free(c->warnings[i]);
	free(c->warnings);
	free(c->reference);
}

int command_pull(struct cli *cli, int argc, char **argv)
{
	struct pull_command c = {
		.cli = cli, .progress_text = "auto", .policy_text = "always", .color_text = "auto"};
	const struct cli_option options[] = {
		{.name = "all-tags", .letter = 'a', .flag = &c.all_tags},
		{.name = "authfile", .value = &c.authfile},
		{.name = "ca", .value = &c.ca},
		{.name = "color", .value = &c.color_text},
		{.name = "creds", .value = &c.creds},
		{.name = "platform", .value = &c.platform_text},
		{.name = "progress", .value = &c.progress_text},
		{.name = "pull", .value = &c.policy_text},
		{.name = "quiet", .letter = 'q', .flag = &c.quiet},
	};
	int nargs;
	int status = cli_parse_command(
		options, sizeof(options) / sizeof(options[0]), 1, -1, argc, argv, &nargs);

	if (status == CLI_OK)
		status = usage(&c);
	if (c.show == SHOW_JSON)
		cli->report = cli_report_json;
	/* What is no reference is said before anything is opened. */
	for (int i = 1; status == CLI_OK && i <= nargs; i++)
		status = normalize(&c, argv[i]);
	if (status == CLI_OK) {
		catch_signals();
		status = run(&c, nargs, argv + 1);
	}
	if (!c.write_error && cli_flush(stdout) < 0)
		status = CLI_FAILED;
	free_command(&c);
	cli->report = NULL;
	return status;
}
