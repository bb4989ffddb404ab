/* SPDX-License-Identifier: Apache-2.0 */
/* towline plan: what a pull would fetch, without fetching it. Go counterpart: none. */
#include "config.h"

#include "cli.h"
#include "common/host.h"
#include "json_text.h"
#include "login.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define SHORT_ID 12

struct part {
	int kind;
	char *digest, *media_type;
	int64_t size; /* -1: not known */
	bool present;
};
struct planned_image {
	char *reference;
	struct part *parts;
	size_t nparts;
	char *failure; /* JSON: there is no plan, and this is why */
};

struct plan_command {
	struct cli *cli;
	bool json;
	const char *platform_text, *creds, *authfile, *ca;
	struct host_platform platform;
	struct host_credentials credentials;
	const struct image_pull_plugin *plugin;
	struct towline_registry_service *registry_service;
	struct image_pull_instance *instance;
	struct planned_image *images;
	size_t nimages;
	size_t first;      /* of them, of the reference that is asked for now */
	const char *given; /* that reference; NULL: none is */
	bool no_memory;
};

/* ---- what the plugin tells */

static struct planned_image *add_image(struct plan_command *c, const char *reference)
{
	struct planned_image *grown = realloc(c->images, (c->nimages + 1) * sizeof(*grown));
	struct planned_image *last;

	if (!grown)
		return NULL;
	c->images = grown;
	last = &grown[c->nimages];
	*last = (struct planned_image){.reference = strdup(reference)};
	if (!last->reference)
		return NULL;
	c->nimages++;
	return last;
}

static struct planned_image *image_named(struct plan_command *c, const char *reference)
{
	struct planned_image *last = c->nimages > c->first ? &c->images[c->nimages - 1] : NULL;

	return last && strcmp(last->reference, reference) == 0 ? last : add_image(c, reference);
}

static void free_images(struct plan_command *c, size_t from)
{
	while (c->nimages > from) {
		struct planned_image *image = &c->images[--c->nimages];

		for (size_t i = 0; i < image->nparts; i++) {
			free(image->parts[i].digest);
			free(image->parts[i].media_type);
		}
		free(image->parts);
		free(image->reference);
		free(image->failure);
	}
}

static void on_planned(void *context, void *pull, const struct image_pull_planned *p)
{
	struct plan_command *c = context;
	struct planned_image *image = image_named(c, p->reference);
	const struct image_pull_descriptor *d = p->descriptor;
	struct part part = {.kind = p->kind, .size = d->size, .present = p->present};
	struct part *grown;

	(void)pull; /* one after the other */
	grown = image ? realloc(image->parts, (image->nparts + 1) * sizeof(*grown)) : NULL;
	if (grown)
		image->parts = grown;
	part.digest = strdup(d->digest);
	part.media_type = strdup(d->media_type ? d->media_type : "");
	if (!grown || !part.digest || !part.media_type) {
		free(part.digest);
		free(part.media_type);
		c->no_memory = true;
		return;
	}
	image->parts[image->nparts++] = part;
}

static void on_log(void *context, void *pull, int level, const char *message)
{
	const struct plan_command *c = context;

	(void)pull;
	cli_log(c->cli, level, message);
}

/* ---- sums */

struct sums {
	int64_t total, fetch;   /* bytes; of parts whose size is known */
	size_t layers, missing; /* of these, layers to be fetched */
	size_t unknown;         /* parts to be fetched whose size is not known */
	int64_t free;           /* bytes in the store's file system; -1: not known */
};

/* In the store's file system; -1: not known. */
static int64_t free_bytes(const char *path)
{
	struct statvfs fs;

	return cli_statvfs(path, &fs) < 0 ? -1 : (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize);
}

static struct sums sum_up(const struct plan_command *c, const struct planned_image *image)
{
	struct sums s = {
		.free = free_bytes(c->cli->root ? c->cli->root : c->cli->config->data_root)};

	for (size_t i = 0; i < image->nparts; i++) {
		const struct part *p = &image->parts[i];
		bool layer = p->kind == IMAGE_PULL_PLANNED_LAYER;

		s.layers += layer;
		s.missing += layer && !p->present;
		s.unknown += p->size < 0 && !p->present;
		s.total += p->size > 0 ? p->size : 0;
		s.fetch += p->size > 0 && !p->present ? p->size : 0;
	}
	return s;
}

/* ---- for people */

static void print_size(int64_t size, const char *before, const char *behind)
{
	char text[TEXT_SIZE_MAX] = "unknown";

	if (size >= 0)
		text_human_size((double)size, 3, text);
	printf("%s%s%s", before, text, behind);
}

static void print_image(const struct plan_command *c, const struct planned_image *image)
{
	static const char *const kinds[] = {"manifest", "config", "layer"};
	const struct sums s = sum_up(c, image);

	printf("%s\n", image->reference);
	for (size_t i = 0; i < image->nparts; i++) {
		const struct part *p = &image->parts[i];
		const char *id = strchr(p->digest, ':');
		char size[TEXT_SIZE_MAX] = "unknown";

		if (p->size >= 0)
			text_human_size((double)p->size, 3, size);
		printf("  %-8s  %.*s  %9s  %s\n", kinds[p->kind], SHORT_ID, id ? id + 1 : p->digest,
			size, p->present ? "already here" : "to be fetched");
	}
	print_size(s.fetch, "To be fetched: ", s.unknown ? " and what has no known size" : "");
	print_size(s.total, " of ", "");
	printf(", %zu of %zu layers (compressed). ", s.missing, s.layers);
	print_size(s.free, "Free: ", ".\n");
}

/* ---- for programs */

/* "digest":..., and so on, without braces */
static void append_part(FILE *out, const struct part *p)
{
	fputs("{\"digest\":", out);
	cli_json_string(out, p->digest);
	if (*p->media_type) {
		fputs(",\"mediaType\":", out);
		cli_json_string(out, p->media_type);
	}
	if (p->size >= 0)
		fprintf(out, ",\"size\":%" PRId64, p->size);
	fprintf(out, ",\"present\":%s}", p->present ? "true" : "false");
}

/* The error object, with the reference before its other members. */
static void append_failure(FILE *out, const struct planned_image *image)
{
	putc('{', out);
	if (*image->reference) {
		fputs("\"reference\":", out);
		cli_json_string(out, image->reference);
		putc(',', out);
	}
	fputs(image->failure + 1, out);
}

static void append_image(FILE *out, const struct plan_command *c, const struct planned_image *image)
{
	const struct sums s = sum_up(c, image);
	const char *separator = "";

	fputs("{\"reference\":", out);
	cli_json_string(out, image->reference);
	for (size_t i = 0; i < image->nparts; i++) {
		if (image->parts[i].kind == IMAGE_PULL_PLANNED_LAYER)
			continue;
		fputs(image->parts[i].kind == IMAGE_PULL_PLANNED_CONFIG ? ",\"config\":"
									: ",\"manifest\":",
			out);
		append_part(out, &image->parts[i]);
	}
	fputs(",\"layers\":[", out);
	for (size_t i = 0; i < image->nparts; i++) {
		if (image->parts[i].kind != IMAGE_PULL_PLANNED_LAYER)
			continue;
		fputs(separator, out);
		append_part(out, &image->parts[i]);
		separator = ",";
	}
	fprintf(out,
		"],\"totalBytes\":%" PRId64 ",\"fetchBytes\":%" PRId64
		",\"fetchLayers\":%zu,\"unknownSizes\":%zu",
		s.total, s.fetch, s.missing, s.unknown);
	if (s.free >= 0)
		fprintf(out, ",\"freeBytes\":%" PRId64, s.free);
	fputc('}', out);
}

static int print_json(const struct plan_command *c)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return cli_failed(c->cli, "out of memory");
	fputc('[', out);
	for (size_t i = 0; i < c->nimages; i++) {
		if (i)
			fputc(',', out);
		if (c->images[i].failure)
			append_failure(out, &c->images[i]);
		else
			append_image(out, c, &c->images[i]);
	}
	fputc(']', out);
	if (fclose(out) != 0) {
		free(text);
		return cli_failed(c->cli, "out of memory");
	}
	json_indented(stdout, text, size, 0);
	putchar('\n');
	free(text);
	return CLI_OK;
}

static int take_failure(void *context, const void *data, size_t size)
{
	char **ret = context;

	free(*ret);
	*ret = strndup(data, size);
	return *ret ? IMAGE_PULL_OK : IMAGE_PULL_NO_MEMORY;
}

/* cli.report with --json: it takes the place of the image in the array. */
static void keep_failure(void *context, const struct cli_failure *failure)
{
	struct plan_command *c = context;
	struct answer answer cleanup(answer_free) = {0};
	struct planned_image *image = add_image(c, c->given ? c->given : "");

	answer_init(&answer, take_failure, image ? &image->failure : NULL);
	if (!image || cli_failure_json(failure, &answer.sink) != IMAGE_PULL_OK)
		cli_error("%s", failure->message);
	if (image && !image->failure)
		free_images(c, c->nimages - 1);
}

/* ---- asking */

static int find_credentials(struct plan_command *c, const char *reference)
{
	struct answer answer cleanup(answer_free) = {0};
	int code;

	if (c->creds)
		return c->credentials.found
			       ? CLI_OK
			       : login_creds(c->cli, "plan", c->creds, &c->credentials);
	answer_init(&answer, NULL, NULL);
	code = host_credentials_find(&c->credentials, c->authfile, reference, &answer.sink);
	/* for want of memory no pull becomes one without credentials */
	if ((c->authfile || code == IMAGE_PULL_NO_MEMORY) && code != IMAGE_PULL_OK &&
		code != IMAGE_PULL_NOT_FOUND)
		return cli_failed(c->cli, answer_message(&answer, code));
	if (code != IMAGE_PULL_OK && code != IMAGE_PULL_NOT_FOUND)
		cli_error("warning: no credentials: %s", answer_message(&answer, code));
	return CLI_OK;
}

static int plan_one(struct plan_command *c, const char *given)
{
	struct towline_text name;
	struct image_pull_request request = {.struct_size = sizeof(request),
		.pull = c,
		.platform = c->platform_text ? &c->platform.platform : NULL,
		.plan = 1};
	struct image_pull_error *error = NULL;
	int code, status;

	c->given = given;
	c->first = c->nimages;
	towline_text_init(&name);
	code = towline_reference_normalize(given, 1, &name.sink);
	status = code == IMAGE_PULL_OK ? find_credentials(c, name.value)
				       : cli_failed(c->cli, towline_text_message(&name, code));
	if (status == CLI_OK) {
		c->given = request.reference = name.value;
		request.auth = c->credentials.found ? &c->credentials.auth : NULL;
		code = c->plugin->image_pull(c->instance, &request, &error);
		/* Part of a plan is none. */
		if (code != 0 || c->no_memory)
			free_images(c, c->first);
		if (code != 0)
			status =
				cli_pull_failed(c->cli, error ? c->plugin->error_info(error) : NULL,
					name.value, c->credentials.found);
		else if (c->no_memory)
			status = cli_failed(c->cli, "out of memory");
		c->no_memory = false;
	}
	c->plugin->error_free(error);
	c->given = NULL;
	towline_text_free(&name);
	return status;
}

static int set_up(struct plan_command *c)
{
	struct answer answer cleanup(answer_free) = {0};
	const struct image_pull_events events = {
		.struct_size = sizeof(events), .context = c, .log = on_log, .planned = on_planned};
	struct host_parts parts = {.events = &events};
	const char *path;
	int code, status = cli_load_config(c->cli);

	if (status == CLI_OK)
		status = cli_open_store(c->cli, CLI_CHANGE);
	if (status != CLI_OK)
		return status;
	answer_init(&answer, NULL, NULL);
	path = c->cli->plugin_path ? c->cli->plugin_path : c->cli->config->plugin_path;
	code = towline_plugin_load(path, &c->plugin, &answer.sink);
	/* One that does not know the word would pull. */
	if (code == IMAGE_PULL_OK && c->plugin->abi_minor < 1) {
		c->plugin = NULL;
		(void)cli_failed(c->cli, "the plugin is too old to plan");
		return CLI_FAILED;
	}
	if (code == IMAGE_PULL_OK)
		code = host_registry_service(
			c->cli->config, c->ca, NULL, &c->registry_service, &answer.sink);
	parts.plugin = c->plugin;
	parts.config = c->cli->config;
	parts.registry_service = c->registry_service;
	parts.store = c->cli->store; /* NULL: nothing is here */
	if (code == IMAGE_PULL_OK)
		code = host_instance(&parts, &c->instance, &answer.sink);
	return code == IMAGE_PULL_OK ? CLI_OK : cli_failed(c->cli, answer_message(&answer, code));
}

static void free_command(struct plan_command *c)
{
	free_images(c, 0);
	free(c->images);
	if (c->plugin)
		c->plugin->destroy(c->instance);
	towline_registry_service_free(c->registry_service);
	host_credentials_forget(&c->credentials);
	host_platform_free(&c->platform);
}

int command_plan(struct cli *cli, int argc, char **argv)
{
	struct plan_command c = {.cli = cli};
	const struct cli_option options[] = {
		{.name = "authfile", .value = &c.authfile},
		{.name = "ca", .value = &c.ca},
		{.name = "creds", .value = &c.creds},
		{.name = "json", .flag = &c.json},
		{.name = "platform", .value = &c.platform_text},
	};
	struct answer answer cleanup(answer_free) = {0};
	bool asked, ready = false;
	int nargs;
	int status = cli_parse_command(
		options, sizeof(options) / sizeof(options[0]), 1, -1, argc, argv, &nargs);

	answer_init(&answer, NULL, NULL);
	if (status == CLI_OK && c.creds && (c.creds[0] == ':' || !c.creds[0]))
		status = cli_usage("plan", "--creds is USER[:PASSWORD]");
	if (status == CLI_OK && c.platform_text &&
		host_platform_parse(&c.platform, c.platform_text, &answer.sink) != IMAGE_PULL_OK)
		status = cli_usage("plan", "--platform is OS/ARCH[/VARIANT], not %s: %s",
			c.platform_text, answer_message(&answer, IMAGE_PULL_INVALID));
	if (c.json) {
		cli->report = keep_failure;
		cli->report_context = &c; /* cppcheck-suppress autoVariables; until this returns */
	}
	asked = status == CLI_OK;
	if (asked) {
		status = set_up(&c);
		ready = status == CLI_OK;
	}
	for (int i = 1; ready && i <= nargs; i++) {
		int one = plan_one(&c, argv[i]);

		if (status == CLI_OK)
			status = one;
	}
	for (size_t i = 0; !c.json && i < c.nimages; i++)
		print_image(&c, &c.images[i]);
	cli->report = NULL;
	if (c.json && asked && print_json(&c) != CLI_OK)
		status = CLI_FAILED;
	if (cli_flush(stdout) < 0)
		status = CLI_FAILED;
	free_command(&c);
	return status;
}
