/* SPDX-License-Identifier: Apache-2.0 */
/* How a command says that it failed: a line on stderr for people, Docker's error object for
 * programs. Go counterpart: pkg/streamformatter (FormatError). */
#include "config.h"

#include "cli.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line under the message, as long as it has something to say. */
static void note(const char *format, const char *a, const char *b)
{
	char *text = NULL, *line = NULL;

	if (asprintf(&text, format, a, b) >= 0)
		line = text_one_line(text);
	else
		text = NULL;
	if (line)
		fprintf(stderr, "  %s\n", line);
	free(line);
	free(text);
}

/* For people: whoever reads stderr from a pipe gets one line, as ever. */
static void explain(
	const struct cli *cli, const struct image_pull_error_info *info, const char *hint)
{
	const char *phase = towline_phase_name(info->phase);
	char status[32] = "";

	if (cli->log_level < 0 && !isatty(STDERR_FILENO))
		return;
	if (info->http_status)
		snprintf(status, sizeof(status), "%d", info->http_status);
	if (info->cancelled)
		return;
	if (*phase && *info->endpoint)
		note("phase: %s, endpoint: %s", phase, info->endpoint);
	else if (*phase)
		note("phase: %s%s", phase, "");
	if (*status || *info->registry_code)
		note("HTTP status: %s, code: %s", *status ? status : "none",
			*info->registry_code ? info->registry_code : "none");
	if (IMAGE_PULL_HAS(info, struct image_pull_error_info, rate_limit_remaining) &&
		*info->rate_limit)
		note("rate limit: %s, remaining: %s", info->rate_limit,
			*info->rate_limit_remaining ? info->rate_limit_remaining : "not said");
	for (size_t i = 0; info->nattempts > 1 && i < info->nattempts; i++)
		note("tried %s: %s", info->attempts[i]->endpoint, info->attempts[i]->message);
	if (*hint)
		note("hint: %s%s", hint, "");
}

static int report(const struct cli *cli, const struct cli_failure *failure)
{
	if (cli->report) {
		cli->report(cli->report_context, failure);
	} else {
		cli_error("%s", failure->message);
		if (failure->info)
			explain(cli, failure->info, failure->hint);
	}
	return CLI_FAILED;
}

int cli_failed(const struct cli *cli, const char *message)
{
	const struct cli_failure failure = {.message = message, .hint = ""};

	return report(cli, &failure);
}

/* What the error says to machines: for --log-level debug. */
void cli_log_error_info(const struct cli *cli, const struct image_pull_error_info *info)
{
	char line[1024];

	snprintf(line, sizeof(line),
		"the pull failed: class %s, phase %s, endpoint \"%s\", HTTP status %d, "
		"registry code \"%s\"",
		towline_class_name(info->error_class), towline_phase_name(info->phase),
		info->endpoint, info->http_status, info->registry_code);
	cli_log(cli, IMAGE_PULL_LOG_DEBUG, line);
	for (size_t i = 0; i < info->nattempts; i++) {
		snprintf(line, sizeof(line), "tried %s: %s", info->attempts[i]->endpoint,
			info->attempts[i]->message);
		cli_log(cli, IMAGE_PULL_LOG_DEBUG, line);
	}
}

int cli_pull_failed(const struct cli *cli, const struct image_pull_error_info *info,
	const char *reference, bool logged_in)
{
	struct cli_failure failure = {.info = info, .hint = ""};
	char *registry = strndup(reference, strcspn(reference, "/"));
	struct towline_text hint;

	if (!info || !registry) {
		free(registry);
		return cli_failed(cli, info ? info->message : "out of memory");
	}
	cli_log_error_info(cli, info);
	towline_text_init(&hint);
	if (towline_error_hint(info, registry, logged_in, &hint.sink) == IMAGE_PULL_OK)
		failure.hint = hint.value;
	failure.message = info->message;
	report(cli, &failure);
	towline_text_free(&hint);
	free(registry);
	return CLI_FAILED;
}

int cli_failure_json(const struct cli_failure *failure, const struct image_pull_sink *sink)
{
	return failure->info ? towline_error_info_json(failure->info, failure->hint, sink)
			     : towline_error_json(failure->message, 0, sink);
}

static int print_bytes(void *file, const void *data, size_t size)
{
	/* The command's cli_flush says what is wrong. */
	(void)fwrite(data, 1, size, file);
	return IMAGE_PULL_OK;
}

void cli_report_json(void *unused, const struct cli_failure *failure)
{
	struct answer answer cleanup(answer_free) = {0};

	(void)unused;
	answer_init(&answer, print_bytes, stdout);
	if (cli_failure_json(failure, &answer.sink) != IMAGE_PULL_OK)
		cli_error("%s", failure->message);
}
