/* SPDX-License-Identifier: Apache-2.0 */
/* towline-importer: pulls one image for a step of Slurm's, for spank_towline.so (rootfs, remove)
 * and for NVIDIA's pyxis (get, release: its importers/README.md). What enroot wants in an image's
 * files is its src/docker.sh's (docker::configure). */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/host.h"
#include "common/inside.h"
#include "common/userns.h"

static const char help[] =
	"usage: towline-importer [OPTION]... get URI         a squashfs file for pyxis; prints its "
	"path\n"
	"       towline-importer release                     ... and away with it\n"
	"       towline-importer [OPTION]... rootfs URI DIR  DIR/rootfs, for spank_towline.so\n"
	"       towline-importer remove DIR                  all that is in DIR\n"
	"  --config FILE       the engine.json to use\n"
	"  --root DIR          the store, in place of engine.json's\n"
	"  --read-only         nothing is pulled; exit status 3 where the store does not have the "
	"image\n"
	"  --deadline SECONDS  for the pull\n";

struct work {
	const char *config, *root, *uri;
	bool read_only;
	unsigned long deadline;
	char folder[PATH_MAX - 64]; /* rootfs/ is made in it */
	bool enroot;
	struct host host;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return -1;
}

/* [docker://][REGISTRY#]IMAGE[:TAG], as enroot has it, to a reference as Docker has it. */
static int read_uri(struct work *w, char *uri, struct host_request *request)
{
	char *hash;

	if (strncmp(uri, "docker://", 9) == 0)
		uri += 9;
	hash = strchr(uri, '#');
	if (hash && memchr(uri, '@', (size_t)(hash - uri)))
		return complain(uri,
			"no user can be named: credentials are those of ~/.docker/config.json");
	if (hash)
		*hash = '/';
	if (*uri == '.' || *uri == '/' || strstr(uri, "://"))
		return complain(uri, "only images of registries are known");
	request->reference = uri;
	request->timeout_ms = (uint32_t)w->deadline * 1000;
	return 0;
}

/* ---- what enroot reads in a root file system */

static void write_quoted(FILE *out, const char *word)
{
	fputs(" '", out);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, out);
	fputs("'", out);
}

static FILE *open_etc(int etc, const char *name, unsigned mode)
{
	int fd = inside_file(etc, name, mode);

	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int write_enroot_files(const struct work *w, int etc, const struct towline_process *process)
{
	FILE *env = open_etc(etc, "environment", 0644), *rc = open_etc(etc, "rc", 0755);
	FILE *local = open_etc(etc, "rc.local", 0644), *fstab = open_etc(etc, "fstab", 0644);
	int n = env && rc && local && fstab ? 0 : -1;

	for (size_t i = 0; n == 0 && process->env[i]; i++)
		if (!strchr(process->env[i], '\n'))
			fprintf(env, "%s\n", process->env[i]);
	if (n == 0) {
		fprintf(rc, "# enroot-provenance: docker://%s\ncd", w->host.reference);
		write_quoted(rc, process->cwd);
		fputs(" && unset OLDPWD || exit 1\n"
		      "[ -s /etc/rc.local ] && . /etc/rc.local\n"
		      "[ $# -gt 0 ] && exec \"$@\"\nexec",
			rc);
		for (size_t i = 0; process->args[i]; i++)
			write_quoted(rc, process->args[i]);
		fputs("\n", rc);
	}
	n |= (env ? fclose(env) : 0) | (rc ? fclose(rc) : 0);
	return n | (local ? fclose(local) : 0) | (fstab ? fclose(fstab) : 0);
}

static int take_process(void *receiver, const void *data, size_t size)
{
	const struct work *w = receiver;
	const struct towline_process *process = data;
	int n = 0, root, etc, cwd;
	char path[PATH_MAX];

	(void)size; /* this library's header is ours */
	snprintf(path, sizeof(path), "%s/rootfs", w->folder);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cwd = root < 0 ? -1 : inside_folder(root, process->cwd);
	if (cwd < 0) {
		n = complain(process->cwd, strerror(errno));
	} else if (w->enroot) {
		etc = inside_folder(root, "etc");
		if (etc < 0 || write_enroot_files(w, etc, process) < 0)
			n = complain("etc", strerror(errno));
		if (etc >= 0)
			close(etc);
	} else {
		fwrite(process->cwd, 1, strlen(process->cwd) + 1, stdout);
		for (size_t i = 0; process->env[i]; i++)
			fwrite(process->env[i], 1, strlen(process->env[i]) + 1, stdout);
	}
	if (cwd >= 0)
		close(cwd);
	if (root >= 0)
		close(root);
	return n < 0 ? IMAGE_PULL_FAILED : IMAGE_PULL_OK;
}

static void take_message(void *receiver, const char *text)
{
	(void)receiver;
	fprintf(stderr, "%s\n", text);
}

/* ---- the commands: exit statuses */

static int make_rootfs(struct work *w, char *uri)
{
	const struct image_pull_sink sink = {.struct_size = sizeof(sink),
		.receiver = w,
		.value = take_process,
		.message = take_message};
	struct host_request request = {.reference = NULL};
	char path[PATH_MAX];
	int n;

	if (read_uri(w, uri, &request) < 0)
		return 1;
	snprintf(path, sizeof(path), "%s/rootfs", w->folder);
	w->host.read_only = w->read_only;
	w->host.userns = true; /* files without any right for their owner take it */
	n = host_open(&w->host, w->config, w->root);
	if (n == 0 && host_pull(&w->host, &request) < 0)
		n = w->read_only ? 3 : -1;
	if (n == 0)
		n = host_rootfs(&w->host, path);
	if (n < 0)
		fprintf(stderr, "%s\n", host_message(&w->host));
	if (n == 0 &&
		(towline_process(w->host.store, w->host.reference, path, &sink) != IMAGE_PULL_OK ||
			fflush(stdout) != 0))
		n = -1;
	host_close(&w->host);
	return n < 0 ? 1 : n;
}

/* mksquashfs, which enroot needs too, with its options; its output is no answer of ours. */
static int pack(const char *from, const char *to)
{
	const char *given = getenv("ENROOT_SQUASH_OPTIONS");
	char *options = strdup(given ? given : ""), *rest = options, *word;
	const char *argv[64] = {"mksquashfs", from, to, "-noappend", "-all-root", "-no-progress"};
	posix_spawn_file_actions_t actions;
	int n = 6, status = -1, error;
	pid_t pid;

	while (options && (word = strsep(&rest, " ")) && n < 63)
		if (*word)
			argv[n++] = word;
	error = posix_spawn_file_actions_init(&actions);
	if (!error) {
		error = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
		if (!error)
			error = posix_spawnp(
				&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	free(options);
	if (error)
		return complain("mksquashfs (squashfs-tools)", strerror(error));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : complain("mksquashfs", "failed");
}

/* PYXIS_RUNTIME_PATH/UID/JOB.STEP.squashfs, as pyxis' own examples; what it is made of is in a
 * folder beside it. */
static int step_paths(struct work *w, char *squashfs, size_t size)
{
	const char *runtime = getenv("PYXIS_RUNTIME_PATH"), *uid = getenv("SLURM_JOB_UID");
	const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");

	if (!runtime || *runtime != '/' || !uid || !job || !step)
		return complain("PYXIS_RUNTIME_PATH, SLURM_JOB_UID, SLURM_JOB_ID, SLURM_STEP_ID",
			"not in the environment");
	if (snprintf(squashfs, size, "%s/%s/%s.%s.squashfs", runtime, uid, job, step) >=
			(int)size ||
		snprintf(w->folder, sizeof(w->folder), "%s/%s/%s.%s.towline", runtime, uid, job,
			step) >= (int)sizeof(w->folder))
		return complain(runtime, strerror(ENAMETOOLONG));
	return 0;
}

static int release(struct work *w)
{
	char squashfs[PATH_MAX];

	if (step_paths(w, squashfs, sizeof(squashfs)) < 0)
		return 1;
	host_remove_tree(w->folder);
	return unlink(squashfs) == 0 || errno == ENOENT ? 0
							: complain(squashfs, strerror(errno)) + 2;
}

static int get(struct work *w, char *uri)
{
	char squashfs[PATH_MAX], path[PATH_MAX], *slash;
	int n;

	if (step_paths(w, squashfs, sizeof(squashfs)) < 0)
		return 1;
	slash = strrchr(squashfs, '/');
	*slash = '\0';
	if (mkdir(squashfs, 0700) < 0 && errno != EEXIST)
		return complain(squashfs, strerror(errno)) + 2;
	*slash = '/';
	host_remove_tree(w->folder);
	if (mkdir(w->folder, 0700) < 0)
		return complain(w->folder, strerror(errno)) + 2;
	w->enroot = true;
	n = make_rootfs(w, uri);
	snprintf(path, sizeof(path), "%s/rootfs", w->folder);
	if (n == 0 && pack(path, squashfs) < 0)
		n = 1;
	host_remove_tree(w->folder);
	if (n == 0 && (puts(squashfs) < 0 || fflush(stdout) != 0))
		n = 1;
	if (n)
		unlink(squashfs);
	return n;
}

static int run(struct work *w, int argc, char **argv)
{
	const char *problem;

	if (argc == 2 && strcmp(argv[0], "get") == 0)
		return get(w, argv[1]);
	if (argc == 1 && strcmp(argv[0], "release") == 0)
		return release(w);
	if (argc < 2 || strlen(argv[argc - 1]) >= sizeof(w->folder))
		return 2;
	strcpy(w->folder, argv[argc - 1]);
	if (argc == 3 && strcmp(argv[0], "rootfs") == 0)
		return make_rootfs(w, argv[1]);
	if (argc != 2 || strcmp(argv[0], "remove") != 0)
		return 2;
	(void)userns_enter(&problem);
	strcat(w->folder, "/rootfs");
	host_remove_tree(w->folder);
	return access(w->folder, F_OK) < 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option all[] = {{"config", 1, NULL, 'c'}, {"root", 1, NULL, 'r'},
		{"read-only", 0, NULL, 'o'}, {"deadline", 1, NULL, 'd'}, {"help", 0, NULL, 'h'},
		{0}};
	struct work w = {.uri = NULL};
	char *end = NULL;
	int c, n;

	while ((c = getopt_long(argc, argv, "+h", all, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0;
		if (c == 'c')
			w.config = optarg;
		else if (c == 'r')
			w.root = optarg;
		else if (c == 'o')
			w.read_only = true;
		else if (c == 'd')
			w.deadline = strtoul(optarg, &end, 10);
		if (c == '?' ||
			(c == 'd' && (*end || !w.deadline || w.deadline > UINT32_MAX / 1000)))
			return 2;
	}
	n = run(&w, argc - optind, argv + optind);
	if (n == 2)
		fputs(help, stderr);
	return n;
}
