/* SPDX-License-Identifier: Apache-2.0 */
/* towline doctor: what a pull stands on, looked at before one fails, with what to do about it. Go
 * counterpart: none. */
#include "config.h"

#include "cli.h"
#include "common/host.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOW_SPACE ((int64_t)1 << 30)
#define LOW_FILES 10000
#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"

enum state { GOOD, DOUBTFUL, BAD };

struct doctor {
	struct cli *cli;
	bool json;
	unsigned printed, bad;
	char *failure; /* what a command's function reported last */
	const struct image_pull_plugin *plugin;
	struct towline_registry_service *registry_service;
	struct image_pull_instance *instance;
};

/* ---- what is said */

static void print_json_member(const char *name, const char *text)
{
	printf(",\"%s\":", name);
	cli_json_string(stdout, text);
}

/* One finding; advice: what to do, "" if nothing. */
static void find(struct doctor *d, enum state state, const char *what, const char *advice,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
static void find(struct doctor *d, enum state state, const char *what, const char *advice,
	const char *format, ...)
{
	static const char *const words[] = {"ok", "warning", "failed"};
	char *text = NULL, *line;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	line = text ? text_one_line(text) : NULL;
	d->bad += state == BAD;
	if (d->json) {
		printf("%s{\"state\":\"%s\"", d->printed ? ",\n " : "[", words[state]);
		print_json_member("check", what);
		print_json_member("text", line ? line : "out of memory");
		if (*advice)
			print_json_member("advice", advice);
		putchar('}');
	} else {
		printf("%-8s %-12s %s\n", words[state], what, line ? line : "out of memory");
		if (*advice)
			printf("%21s -> %s\n", "", advice);
	}
	d->printed++;
	free(line);
	free(text);
}

/* cli.report: failures of what other commands stand on become findings. */
static void keep_failure(void *context, const struct cli_failure *failure)
{
	struct doctor *d = context;

	free(d->failure);
	d->failure = strdup(failure->message);
}

static const char *failure(const struct doctor *d)
{
	return d->failure ? d->failure : "out of memory";
}

/* ---- the checks */

static bool check_config(struct doctor *d)
{
	if (cli_load_config(d->cli) != CLI_OK) {
		find(d, BAD, "config", "mend the file that is named (engine.json(5))", "%s",
			failure(d));
		return false;
	}
	if (*d->cli->config->file)
		find(d, GOOD, "config", "", "%s", d->cli->config->file);
	else
		find(d, GOOD, "config", "", "no engine.json: built-in defaults");
	return true;
}

static void check_user(struct doctor *d)
{
	unsigned long first, outside, count = 0;
	FILE *map = fopen("/proc/self/uid_map", "re");
	unsigned lines = 0;

	while (map && fscanf(map, "%lu %lu %lu", &first, &outside, &count) == 3)
		lines++;
	if (map)
		fclose(map);
	if (lines > 1 || count > 1)
		find(d, GOOD, "user", "",
			geteuid() == 0 ? "files keep the owners that images give them"
				       : "not root, and not in a user namespace");
	else
		find(d, DOUBTFUL, "user",
			"give the user a range in /etc/subuid and /etc/subgid, and install "
			"newuidmap "
			"(Debian: uidmap)",
			"files of images will all belong to one user");
}

static void check_plugin(struct doctor *d)
{
	struct answer answer cleanup(answer_free) = {0};
	const char *path = d->cli->plugin_path ? d->cli->plugin_path : d->cli->config->plugin_path;
	int code;

	answer_init(&answer, NULL, NULL);
	code = towline_plugin_load(path, &d->plugin, &answer.sink);
	if (code != IMAGE_PULL_OK) {
		d->plugin = NULL;
		find(d, BAD, "plugin",
			"install the package towline-plugin, or name the file: "
			"plugins.image_pull.path "
			"in engine.json, --plugin",
			"%s", answer_message(&answer, code));
		return;
	}
	find(d, d->plugin->abi_minor < IMAGE_PULL_ABI_MINOR ? DOUBTFUL : GOOD, "plugin",
		d->plugin->abi_minor < IMAGE_PULL_ABI_MINOR
			? "it is older than this program: what it lacks is left out"
			: "",
		"%s %s, ABI %u.%u (this program: %d.%d)", d->plugin->name, d->plugin->version,
		d->plugin->abi_major, d->plugin->abi_minor, IMAGE_PULL_ABI_MAJOR,
		IMAGE_PULL_ABI_MINOR);
}

static void check_store(struct doctor *d)
{
	struct answer answer cleanup(answer_free) = {0};
	const char *root = d->cli->root ? d->cli->root : d->cli->config->data_root;
	unsigned damaged = 0;
	int code;

	if (cli_open_store(d->cli, CLI_CHECK) != CLI_OK) {
		find(d, BAD, "store",
			"see who may read and write it, or choose another: data-root, --root", "%s",
			failure(d));
		return;
	}
	if (!d->cli->store) {
		find(d, GOOD, "store", "", "%s: not there yet, the first pull makes it", root);
		return;
	}
	answer_init(&answer, NULL, NULL);
	code = towline_fsck(d->cli->store, 0, 0, &damaged, &answer.sink);
	if (code != IMAGE_PULL_OK && !damaged)
		find(d, BAD, "store", "", "%s: %s", root, answer_message(&answer, code));
	else if (damaged)
		find(d, BAD, "store",
			"`towline fsck` says what it is; `towline fsck --repair` drops it, and the "
			"next "
			"pull fetches it",
			"%s: %u damaged", root, damaged);
	else if (access(root, W_OK) < 0)
		find(d, DOUBTFUL, "store", "images that are here can be used, none can be pulled",
			"%s: %s", root, strerror(errno));
	else
		find(d, GOOD, "store", "", "%s: nothing is damaged", root);
}

static void check_space(struct doctor *d)
{
	const char *root = d->cli->root ? d->cli->root : d->cli->config->data_root;
	char size[TEXT_SIZE_MAX];
	struct statvfs fs;
	bool low_space, low_files;
	int64_t free_bytes;

	if (cli_statvfs(root, &fs) < 0) {
		find(d, DOUBTFUL, "space", "", "%s: %s", root, strerror(errno));
		return;
	}
	free_bytes = (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize);
	low_space = free_bytes < LOW_SPACE;
	low_files = fs.f_files && fs.f_favail < LOW_FILES; /* some file systems don't count */
	text_human_size((double)free_bytes, 3, size);
	find(d, low_space || low_files ? DOUBTFUL : GOOD, "space",
		low_space || low_files
			? "`towline prune --all` removes what has no name; or move data-root"
			: "",
		fs.f_files ? "%s free, room for %llu files" : "%s free", size,
		(unsigned long long)fs.f_favail);
}

/* The proxy without what stands before its '@'. */
static void check_proxy(struct doctor *d, const char *what, const char *configured,
	const char *upper, const char *lower)
{
	const char *value = configured, *from = "engine.json", *at, *scheme;

	if (!value) {
		value = getenv(upper);
		from = upper;
	}
	if (!value || (!configured && !*value)) {
		value = getenv(lower);
		from = lower;
	}
	if (!value || !*value)
		return;
	at = strrchr(value, '@');
	scheme = strstr(value, "://");
	if (scheme && strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0 &&
		strncmp(value, "socks5", 6) != 0)
		find(d, BAD, what, "a proxy is http://HOST:PORT, https://... or socks5://...",
			"%.*s, from %s: not a kind of proxy", (int)(scheme - value), value, from);
	else
		find(d, GOOD, what, "", "%s%s, from %s", at ? "(with a password) " : "",
			at ? at + 1 : value, from);
}

static void check_proxies(struct doctor *d)
{
	const struct towline_config *c = d->cli->config;
	unsigned before = d->printed;

	check_proxy(d, "http-proxy", c->http_proxy, "HTTP_PROXY", "http_proxy");
	check_proxy(d, "https-proxy", c->https_proxy, "HTTPS_PROXY", "https_proxy");
	if (d->printed == before)
		find(d, GOOD, "proxy", "", "none");
}

static void check_cas(struct doctor *d)
{
	const char *file = d->cli->config->ca_bundle ? d->cli->config->ca_bundle : SYSTEM_CAS;
	struct stat st;

	if (stat(file, &st) == 0 && st.st_size > 0 && access(file, R_OK) == 0)
		find(d, GOOD, "CAs", "", "%s", file);
	else
		find(d, BAD, "CAs",
			d->cli->config->ca_bundle ? "mend ca-bundle in engine.json"
						  : "install the package ca-certificates",
			"%s: %s", file,
			stat(file, &st) < 0      ? strerror(errno)
			: access(file, R_OK) < 0 ? strerror(errno)
						 : "it is empty");
}

/* ---- registries */

static bool make_instance(struct doctor *d)
{
	struct answer answer cleanup(answer_free) = {0};
	struct host_parts parts = {.plugin = d->plugin, .config = d->cli->config};
	int code;

	answer_init(&answer, NULL, NULL);
	code = host_registry_service(
		d->cli->config, NULL, NULL, &d->registry_service, &answer.sink);
	if (code == IMAGE_PULL_OK) {
		parts.registry_service = d->registry_service;
		code = host_instance(&parts, &d->instance, &answer.sink);
	}
	if (code != IMAGE_PULL_OK)
		find(d, BAD, "registries", "", "%s", answer_message(&answer, code));
	return code == IMAGE_PULL_OK;
}

/* What the way to a registry says for itself, where libtowline has no hint. */
static const char *way_advice(const char *message)
{
	static const struct {
		const char *words, *advice;
	} table[] = {
		{"connection refused",
			"nothing listens there: is the registry running, is the port right?"},
		{"no such host", "the name does not resolve: see /etc/resolv.conf, /etc/hosts"},
		{"i/o timeout", "no answer comes: a firewall, or a proxy that is missing above?"},
		{"no route to host", "see this machine's network: ip route"},
		{"network is unreachable", "see this machine's network: ip route"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strstr(message, table[i].words))
			return table[i].advice;
	return "";
}

static void judge_registry(struct doctor *d, const char *registry, bool logged_in,
	const struct image_pull_error *error)
{
	const struct image_pull_error_info *info = error ? d->plugin->error_info(error) : NULL;
	const char *message = info ? info->message : "out of memory";
	struct towline_text hint;
	bool asks = !logged_in && (strstr(message, "no basic auth credentials") ||
					  strstr(message, "failed with status: 401"));

	if (asks) {
		find(d, DOUBTFUL, registry,
			"`towline login` stores credentials, if its images need some",
			"it answers, and asks for credentials; none are stored");
		return;
	}
	towline_text_init(&hint);
	if (!info || towline_error_hint(info, registry, logged_in, &hint.sink) != IMAGE_PULL_OK ||
		!hint.value)
		find(d, BAD, registry, way_advice(message), "%s", message);
	else
		find(d, BAD, registry, hint.value, "%s", message);
	towline_text_free(&hint);
}

/* A login with what is stored, or with nothing: it asks as a pull does, and fetches nothing. */
static void check_registry(struct doctor *d, const char *registry)
{
	struct host_credentials credentials = {.found = false};
	struct answer answer cleanup(answer_free) = {0};
	struct image_pull_login login = {.struct_size = sizeof(login), .hostname = registry};
	struct image_pull_error *error = NULL;
	char *reference = NULL;
	int code;

	answer_init(&answer, NULL, NULL);
	if (strchr(registry, '/') || asprintf(&reference, "%s/a", registry) < 0) {
		find(d, BAD, registry, "name it as references do", "a registry is HOST[:PORT]");
		return;
	}
	code = host_credentials_find(&credentials, NULL, reference, &answer.sink);
	free(reference);
	if (code != IMAGE_PULL_OK && code != IMAGE_PULL_NOT_FOUND)
		find(d, BAD, "credentials", "mend the credentials file, or install the helper",
			"%s", answer_message(&answer, code));
	login.auth = credentials.found ? &credentials.auth : NULL;
	if (d->plugin->login(d->instance, &login, NULL, &error) == 0)
		find(d, GOOD, registry, "",
			credentials.found ? "it answers, and takes the stored credentials"
					  : "it answers without credentials");
	else
		judge_registry(d, registry, credentials.found, error);
	d->plugin->error_free(error);
	host_credentials_forget(&credentials);
}

static void check_registries(struct doctor *d, int n, char **registries)
{
	if (n == 0) {
		find(d, GOOD, "registries", "", "none was asked: towline doctor REGISTRY...");
		return;
	}
	if (!d->plugin)
		return;
	if (!IMAGE_PULL_HAS(d->plugin, struct image_pull_plugin, login)) {
		find(d, DOUBTFUL, "registries", "use a newer plugin",
			"this plugin can only ask a registry by pulling");
		return;
	}
	if (!make_instance(d))
		return;
	for (int i = 0; i < n; i++)
		check_registry(d, registries[i]);
}

int command_doctor(struct cli *cli, int argc, char **argv)
{
	struct doctor d = {.cli = cli};
	const struct cli_option options[] = {{.name = "json", .flag = &d.json}};
	int nargs;
	int status = cli_parse_command(options, 1, 0, -1, argc, argv, &nargs);

	if (status != CLI_OK)
		return status;
	cli->report = keep_failure;
	cli->report_context = &d; /* cppcheck-suppress autoVariables; until this returns */
	if (check_config(&d)) {
		check_user(&d);
		check_plugin(&d);
		check_store(&d);
		check_space(&d);
		check_proxies(&d);
		check_cas(&d);
		check_registries(&d, nargs, argv + 1);
	}
	if (d.json)
		printf("]\n");
	if (d.plugin)
		d.plugin->destroy(d.instance);
	towline_registry_service_free(d.registry_service);
	free(d.failure);
	cli->report = NULL;
	return cli_flush(stdout) < 0 || d.bad ? CLI_FAILED : CLI_OK;
}
