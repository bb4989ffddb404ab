/* SPDX-License-Identifier: Apache-2.0 */
/* A host that pulls a lot in one process.
 *   crowd many ROUNDS PULLS CONFIG ROOT REFERENCE...    each round: a store of its own below ROOT,
 * and so many pulls at once, on one instance, of the references in turn crowd long PULLS EVERY
 * CONFIG ROOT REFERENCE        one after another, with the image removed after each and the
 * instance made anew after EVERY of them; a reference that is not there may be given too: its pulls
 * fail. Prints what the process has in memory after a tenth and at the end. What belongs to the
 * process is compared before and after: signals, folder, umask, locale, environment, descriptors,
 * threads, mounts, children. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/host.h"
#include "towline.h"

#define MAX_PULLS 512

extern char **environ;

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "crowd: %s: %s\n", what, why ? why : "out of memory");
	return -1;
}

/* ---- what belongs to the process */

struct traces {
	bool mounts; /* they are this process's own, so that nobody else changes them */
	size_t size;
	char text[65536];
};

static void note(struct traces *t, const char *name, const char *value)
{
	int n = snprintf(t->text + t->size, sizeof(t->text) - t->size, "%s %s\n", name, value);

	if (n > 0 && t->size + (size_t)n < sizeof(t->text))
		t->size += (size_t)n;
}

static void note_number(struct traces *t, const char *name, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lx", value);
	note(t, name, text);
}

/* A hash of a file, or how many entries a folder has. */
static void note_path(struct traces *t, const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, NULL), c;
	unsigned long h = 5381;
	FILE *f;

	if (n >= 0) {
		for (int i = 0; i < n; i++)
			free(entries[i]);
		free(entries);
		note_number(t, path, (unsigned long)n);
		return;
	}
	f = fopen(path, "re");
	while (f && (c = getc(f)) != EOF)
		h = h * 33 + (unsigned)c;
	if (f)
		fclose(f);
	note_number(t, path, h);
}

static void take_traces(struct traces *t)
{
	char text[4096];
	sigset_t mask;
	mode_t bits = umask(0);

	umask(bits);
	t->size = 0;
	note_number(t, "umask", bits);
	note(t, "cwd", getcwd(text, sizeof(text)) ? text : "?");
	note(t, "locale", setlocale(LC_ALL, NULL));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < NSIG; i++) {
		struct sigaction action = {0};

		if (sigaction(i, NULL, &action) < 0)
			continue;
		snprintf(text, sizeof(text), "%d handler %p flags %x blocked %d", i,
			*(void **)(void *)&action.sa_handler, (unsigned)action.sa_flags,
			sigismember(&mask, i));
		note(t, "signal", text);
	}
	for (char **e = environ; *e; e++)
		note(t, "env", *e);
	note_path(t, "/proc/self/fd");
	note_path(t, "/proc/self/task");
	if (t->mounts)
		note_path(t, "/proc/self/mountinfo");
	note(t, "children", waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? "none" : "some");
}

static int compare_traces(const struct traces *before)
{
	static struct traces after;
	const char *a = before->text, *b;

	after.mounts = before->mounts;
	/* A thread that was joined may stand in /proc a moment longer. */
	for (int i = 0; i < 100; i++) {
		take_traces(&after);
		if (after.size == before->size && !memcmp(after.text, a, after.size))
			return 0;
		usleep(10000);
	}
	for (b = after.text; *a && *a == *b; a++, b++)
		;
	while (b > after.text && b[-1] != '\n')
		b--, a--;
	fprintf(stderr, "before: %.*s\nafter:  %.*s\n", (int)strcspn(a, "\n"), a,
		(int)strcspn(b, "\n"), b);
	return fail("something of the process", "has changed");
}

/* ---- an instance */

struct engine {
	struct host host;
	struct host_parts parts;
	struct image_pull_instance *instance;
};

static int engine_instance(struct engine *e)
{
	struct towline_text text;
	int code;

	towline_text_init(&text);
	code = towline_plugin_load(e->host.config->plugin_path, &e->parts.plugin, &text.sink);
	if (code == IMAGE_PULL_OK && !e->parts.registry_service)
		code = host_registry_service(
			e->host.config, NULL, NULL, &e->parts.registry_service, &text.sink);
	if (code == IMAGE_PULL_OK)
		code = host_instance(&e->parts, &e->instance, &text.sink);
	if (code != IMAGE_PULL_OK)
		fail("create", towline_text_message(&text, code));
	towline_text_free(&text);
	return code == IMAGE_PULL_OK ? 0 : -1;
}

static int engine_open(struct engine *e, const char *config, const char *root)
{
	memset(e, 0, sizeof(*e));
	if (host_open(&e->host, config, root) < 0)
		return fail(root, host_message(&e->host));
	e->parts.config = e->host.config;
	e->parts.store = e->host.store;
	return engine_instance(e);
}

static void engine_close(struct engine *e)
{
	if (e->instance)
		e->parts.plugin->destroy(e->instance);
	towline_registry_service_free(e->parts.registry_service);
	host_close(&e->host);
}

/* ---- many at once */

struct puller {
	pthread_t thread;
	struct engine *engine;
	const char *reference;
	int failed;
};

static void *pull(void *arg)
{
	struct puller *p = arg;
	const struct image_pull_plugin *plugin = p->engine->parts.plugin;
	const struct image_pull_request request = {
		.struct_size = sizeof(request), .reference = p->reference, .pull = p};
	struct image_pull_error *error = NULL;

	p->failed = plugin->image_pull(p->engine->instance, &request, &error) != 0;
	if (p->failed)
		fail(p->reference, error ? plugin->error_info(error)->message : NULL);
	plugin->error_free(error);
	return NULL;
}

static int one_round(const char *config, const char *root, char **references, int n, int npulls)
{
	static struct puller pullers[MAX_PULLS];
	struct engine e;
	int r = engine_open(&e, config, root), started = 0;

	for (; r == 0 && started < npulls; started++) {
		pullers[started] =
			(struct puller){.engine = &e, .reference = references[started % n]};
		if (pthread_create(&pullers[started].thread, NULL, pull, &pullers[started]) != 0) {
			r = fail("thread", "cannot be started");
			break;
		}
	}
	for (int i = 0; i < started; i++) {
		pthread_join(pullers[i].thread, NULL);
		r = pullers[i].failed ? -1 : r;
	}
	engine_close(&e);
	return r;
}

static int many(int rounds, int npulls, const char *config, const char *root, char **refs, int n)
{
	char path[4096];

	for (int i = 0; i < rounds; i++) {
		snprintf(path, sizeof(path), "%s/%d", root, i);
		if (one_round(config, path, refs, n, npulls) < 0)
			return -1;
	}
	return 0;
}

/* ---- a long life */

static void print_memory(const char *when, int pulls)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	malloc_trim(0);
	if (f && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	printf("%s %d pulls: %lu KiB resident, %zu bytes allocated\n", when, pulls,
		pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024, mallinfo2().uordblks);
	fflush(stdout);
}

static int drop(void *receiver, const void *data, size_t size)
{
	(void)receiver;
	(void)data;
	(void)size;
	return IMAGE_PULL_OK;
}

static void say(void *receiver, const char *message)
{
	(void)receiver;
	fprintf(stderr, "%s\n", message);
}

static int pull_and_remove(struct engine *e, const char *reference, bool may_fail)
{
	const struct image_pull_request request = {
		.struct_size = sizeof(request), .reference = reference};
	const struct image_pull_sink sink = {sizeof(sink), NULL, drop, say};
	const struct image_pull_plugin *plugin = e->parts.plugin;
	struct image_pull_error *error = NULL;
	int r = 0;

	if (plugin->image_pull(e->instance, &request, &error) != 0) {
		if (!may_fail)
			r = fail(reference, error ? plugin->error_info(error)->message : NULL);
	} else if (towline_remove(e->parts.store, reference, 0, &sink) != IMAGE_PULL_OK) {
		r = fail(reference, "cannot be removed");
	}
	plugin->error_free(error);
	return r;
}

static int long_life(
	int npulls, int every, const char *config, const char *root, char **refs, int n)
{
	struct engine e;
	int r = engine_open(&e, config, root);

	for (int i = 0; r == 0 && i < npulls; i++) {
		if (i && i % every == 0) {
			e.parts.plugin->destroy(e.instance);
			e.instance = NULL;
			r = engine_instance(&e);
		}
		/* of every ten pulls one fails */
		if (r == 0)
			r = pull_and_remove(&e, refs[n > 1 && i % 10 == 9], n > 1 && i % 10 == 9);
		if (i + 1 == npulls / 10)
			print_memory("after", i + 1);
	}
	print_memory("after", npulls);
	engine_close(&e);
	return r;
}

int main(int argc, char **argv)
{
	static struct traces before;
	int r;

	if (argc < 7)
		return fail("usage", "many|long N N CONFIG ROOT REFERENCE...") & 1;
	before.mounts =
		unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	/* what the libraries set up once */
	if (one_round(argv[4], argv[5], argv + 6, 1, 1) < 0)
		return 1;
	take_traces(&before);
	r = (strcmp(argv[1], "many") == 0 ? many : long_life)(
		atoi(argv[2]), atoi(argv[3]), argv[4], argv[5], argv + 6, argc - 6);
	return r < 0 || compare_traces(&before) < 0;
}
