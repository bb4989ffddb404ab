/* SPDX-License-Identifier: Apache-2.0 */
/* lxc-towline: what lxc-create runs to fill a container from an image. Counterpart: LXC's
 * templates/lxc-oci.in, whose options it takes. */
#include "config.h"

#include "template.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"LXC container template for images of registries\n"
	"\n"
	"lxc-create -n NAME -t towline -- --url docker://HOST/REPOSITORY:TAG [OPTION]...\n"
	"  -u, --url URL        docker://REFERENCE, or the reference alone\n"
	"  --username USER, --password PASSWORD\n"
	"  --no-cache           keep the image nowhere but in the container\n"
	"  --dhcp               ask for an address when the container starts\n"
	"and besides the options of the template lxc-oci:\n"
	"  --config FILE        the engine.json to use\n"
	"  --root DIR           the store; default: engine.json's, in a user namespace one of its "
	"own\n"
	"  --authfile FILE      the credentials file\n"
	"  --ca FILE            certificates that are trusted besides the system's\n"
	"  --deadline SECONDS   for the pull\n"
	"LXC itself gives --name, --path, --rootfs, --mapped-uid and --mapped-gid.\n";

/* Control bytes are made visible: some of it comes from registries and images. */
static void print_line(FILE *out, const char *prefix, const char *text)
{
	fputs(prefix, out);
	for (; *text; text++)
		fputc(iscntrl((unsigned char)*text) ? '?' : *text, out);
	fputc('\n', out);
	fflush(out);
}

void template_say(const char *format, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	print_line(stderr, "lxc-towline: ", text ? text : "out of memory");
	free(text);
}

/* ---- options: 0, 1 where there is nothing left to do, -1 */

static int parse(struct template *t, int argc, char **argv)
{
	/* As getopt_long takes values: a name, then the letter. */
	enum { VALUE = 256 };
	const struct {
		const char *name;
		const char **value;
		bool *flag;
	} all[] = {{"url", &t->url, NULL}, {"username", &t->username, NULL},
		{"password", &t->password, NULL}, {"no-cache", NULL, &t->no_cache},
		{"dhcp", NULL, &t->dhcp}, {"config", &t->config, NULL},
		{"root", &t->data_root, NULL}, {"authfile", &t->authfile, NULL},
		{"ca", &t->ca, NULL}, {"deadline", &t->deadline, NULL}, {"name", &t->name, NULL},
		{"path", &t->path, NULL}, {"rootfs", &t->rootfs, NULL},
		{"mapped-uid", &t->mapped_uid, NULL}, {"mapped-gid", &t->mapped_gid, NULL}};
	enum { N = sizeof(all) / sizeof(all[0]) };
	struct option options[N + 2] = {{.name = NULL}};
	int c;

	for (int i = 0; i < N; i++)
		options[i] = (struct option){all[i].name, all[i].value ? 1 : 0, NULL, VALUE + i};
	options[N] = (struct option){"help", 0, NULL, 'h'};
	while ((c = getopt_long(argc, argv, "u:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 1;
		}
		if (c == 'u')
			t->url = optarg;
		else if (c < VALUE)
			return -1;
		else if (all[c - VALUE].value)
			*all[c - VALUE].value = optarg;
		else
			*all[c - VALUE].flag = true;
	}
	return 0;
}

static int vet(struct template *t, struct host_request *request)
{
	char *end = NULL;
	unsigned long seconds = t->deadline ? strtoul(t->deadline, &end, 10) : 0;
	const char *problem = NULL;

	if (!t->name || !*t->name || !t->path || !*t->path || !t->rootfs || !*t->rootfs)
		problem = "not running through LXC";
	else if (strpbrk(t->name, "\r\n"))
		problem = "a name of one line is needed";
	else if (!t->url || !*t->url)
		problem = "no URL given (--url docker://REFERENCE)";
	else if (t->password && !t->username)
		problem = "password given but no username specified";
	else if (t->deadline && (!isdigit((unsigned char)*t->deadline) || *end || !seconds ||
					seconds > UINT32_MAX / 1000))
		problem = "--deadline is a number of seconds";
	else if (strncmp(t->url, "docker://", 9) == 0)
		request->reference = t->url + 9;
	else if (strstr(t->url, ":/"))
		problem = "only docker:// URLs are known";
	else
		request->reference = t->url;
	if (problem)
		template_say("%s", problem);
	request->timeout_ms = (uint32_t)seconds * 1000;
	request->authfile = t->authfile;
	request->ca = t->ca;
	/* LXC says so where there is no map. */
	if (t->mapped_uid && strcmp(t->mapped_uid, "-1") == 0)
		t->mapped_uid = NULL;
	return problem ? -1 : 0;
}

/* ---- the store */

/* Whom the root of our user namespace is outside. */
static unsigned long outside(const char *map)
{
	unsigned long inside, host, count, found = 0;
	FILE *f = fopen(map, "re");

	while (f && fscanf(f, "%lu %lu %lu", &inside, &host, &count) == 3)
		if (inside == 0)
			found = host;
	if (f)
		fclose(f);
	return found;
}

/* A store's files belong to those whom a container's files belong to: so each mapping of users has
 * a store of its own, where the stock template has its cache. "" where engine.json's does; NULL:
 * out of memory. */
static char *store_folder(const struct template *t)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	unsigned long uid = outside("/proc/self/uid_map"), gid = outside("/proc/self/gid_map");
	char *path = NULL;
	int n;

	if (t->no_cache)
		n = asprintf(&path, "%s/.towline", t->path);
	else if (t->data_root)
		n = asprintf(&path, "%s", t->data_root);
	else if (!t->mapped_uid)
		n = asprintf(&path, "%s", "");
	else if (cache && *cache)
		n = asprintf(&path, "%s/lxc/towline-%lu-%lu", cache, uid, gid);
	else
		n = asprintf(&path, "%s/.cache/lxc/towline-%lu-%lu", home && *home ? home : "/root",
			uid, gid);
	if (n < 0)
		return NULL;
	for (char *slash = *path ? strchr(path + 1, '/') : NULL; slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700); /* the store's own complaint is better */
		*slash = '/';
	}
	return path;
}

/* ---- the work */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static int on_cancelled(void *context, void *pull)
{
	(void)context;
	(void)pull;
	return interrupted;
}

static void on_progress(void *context, void *pull, const struct image_pull_progress *progress)
{
	(void)context;
	(void)pull;
	if (progress->message[0])
		print_line(stdout, "", progress->message);
}

static void on_log(void *context, void *pull, int level, const char *message)
{
	(void)context;
	(void)pull;
	if (level == IMAGE_PULL_LOG_ERROR)
		template_say("warning: %s", message);
}

static int take_process(void *receiver, const void *data, size_t size)
{
	const struct template *t = receiver;

	(void)size; /* this library's header is ours */
	/* Both have said why. */
	return rootfs_files_write(t, data) < 0 || lxc_config_write(t, data) < 0
		       ? IMAGE_PULL_NO_MEMORY
		       : IMAGE_PULL_OK;
}

static void take_message(void *receiver, const char *text)
{
	(void)receiver;
	template_say("%s", text);
}

static int fill(struct template *t, struct host *host, struct host_request *request)
{
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = t,
		.value = take_process,
		.message = take_message};
	char *folder = store_folder(t);
	int n = -1;

	if (folder && host_open(host, t->config, *folder ? folder : NULL) == 0 &&
		host_pull(host, request) == 0) {
		print_line(stdout, "", "Unpacking the rootfs");
		n = towline_rootfs(host->store, host->reference, t->rootfs, &sink) ==
					    IMAGE_PULL_OK &&
				    towline_process(host->store, host->reference, t->rootfs,
					    &sink) == IMAGE_PULL_OK
			    ? 0
			    : -1;
	} else {
		template_say("%s", host_message(host));
	}
	if (t->no_cache && folder)
		host_remove_tree(folder);
	free(folder);
	return n;
}

int main(int argc, char **argv)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction action = {.sa_handler = on_signal};
	const struct image_pull_events events = {.struct_size = sizeof(events),
		.progress = on_progress,
		.log = on_log,
		.cancelled = on_cancelled};
	struct host_request request = {.always = true, .events = &events};
	struct template t = {.url = NULL};
	struct host host = {.store = NULL};
	struct image_pull_auth auth = {.struct_size = sizeof(auth)};
	int n = parse(&t, argc, argv);

	if (n > 0)
		return EXIT_FAILURE; /* as the stock one: no container is made */
	if (n < 0 || vet(&t, &request) < 0)
		return EXIT_FAILURE;
	auth.username = t.username;
	auth.password = t.password ? t.password : "";
	request.auth = t.username ? &auth : NULL;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;

		/* What is ignored (nohup) stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaction(numbers[i], &action, NULL);
	}
	n = fill(&t, &host, &request);
	host_close(&host);
	if (n == 0 && interrupted) {
		template_say("interrupted");
		n = -1;
	}
	return n == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
