/* SPDX-License-Identifier: Apache-2.0 */
/* spank_towline.so, which srun, sbatch, slurmd and slurmstepd load: so it needs libc alone, and the
 * importer does the rest. Counterpart: NVIDIA's pyxis (pyxis_slurmstepd.c). */
#include "config.h"

#include "step.h"

#include <errno.h>
#include <slurm/slurm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#include <slurm/spank.h>
SPANK_PLUGIN(towline, 1)
#pragma GCC visibility pop

/* The one thing that outlives a callback: SPANK gives them no pointer of ours. */
static struct step step = {
	.dir = "/var/lib/towline-slurm",
	.importer = PKGLIBEXECDIR "/towline-importer",
	.deadline = 600,
};

int step_failed(struct step *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!s->problem && vasprintf(&s->problem, format, ap) < 0)
		s->problem = NULL;
	va_end(ap);
	if (!s->problem)
		s->problem = strdup("out of memory");
	return -1;
}

/* ---- options */

static int read_seconds(const char *text, unsigned *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !n || n > 1000000)
		return -1;
	*ret = (unsigned)n;
	return 0;
}

enum { IMAGE, MOUNTS, WORKDIR, DEADLINE, READ_ONLY, WRITABLE };

/* slurmstepd is told what srun was, so a second time is nothing odd. */
static int take_option(int which, const char *value, int remote)
{
	char **const texts[] = {&step.image, &step.mounts, &step.workdir};
	unsigned seconds;

	(void)remote;
	if (which == READ_ONLY || which == WRITABLE) {
		step.read_only = which == READ_ONLY;
		return 0;
	}
	if (!value || !*value || (which == DEADLINE && read_seconds(value, &seconds) < 0)) {
		slurm_error("towline: an option --container-... has no value, or a wrong one");
		return -1;
	}
	if (which == DEADLINE) {
		if (seconds < step.deadline)
			step.deadline = seconds;
		return 0;
	}
	free(*texts[which]);
	*texts[which] = strdup(value);
	return *texts[which] ? 0 : -1;
}

static struct spank_option options[] = {
	{"container-image", "REFERENCE", "[towline] the image that tasks run in", 1, IMAGE,
		take_option},
	{"container-mounts", "SRC:DST[:ro][,SRC:DST...]",
		"[towline] the node's files in the container", 1, MOUNTS, take_option},
	{"container-workdir", "PATH", "[towline] where tasks start in the container", 1, WORKDIR,
		take_option},
	{"container-deadline", "SECONDS",
		"[towline] how long the image may take, if less than the administrator allows", 1,
		DEADLINE, take_option},
	{"container-readonly", NULL, "[towline] the image's files can't be changed", 0, READ_ONLY,
		take_option},
	{"container-writable", NULL, "[towline] they can be, for the step's life (the default)", 0,
		WRITABLE, take_option},
};

static void read_plugstack(int argc, char **argv)
{
	const struct {
		const char *name;
		const char **value;
	} all[] = {{"config=", &step.config}, {"dir=", &step.dir}, {"store=", &step.store},
		{"shared=", &step.shared}, {"importer=", &step.importer}};

	for (int i = 0; i < argc; i++) {
		size_t j = 0, n = sizeof(all) / sizeof(all[0]);

		while (j < n && strncmp(argv[i], all[j].name, strlen(all[j].name)) != 0)
			j++;
		if (j < n && argv[i][strlen(all[j].name)] == '/')
			*all[j].value = argv[i] + strlen(all[j].name);
		else if (strncmp(argv[i], "deadline=", 9) != 0 ||
			 read_seconds(argv[i] + 9, &step.deadline) < 0)
			(void)step_failed(
				&step, "plugstack.conf: \"%s\" is not understood", argv[i]);
	}
}

int slurm_spank_init(spank_t sp, int argc, char **argv)
{
	spank_context_t context = spank_context();

	if (context != S_CTX_LOCAL && context != S_CTX_REMOTE && context != S_CTX_ALLOCATOR)
		return 0;
	read_plugstack(argc, argv);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (spank_option_register(sp, &options[i]) != ESPANK_SUCCESS)
			return -1;
	return 0;
}

/* ---- folders */

/* Of this user alone. One that another made is not trusted. */
static int make_own(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return lchown(path, step.uid, step.gid) == 0
			       ? 0
			       : step_failed(&step, "%s: %s", path, strerror(errno));
	if (errno != EEXIST)
		return step_failed(&step, "%s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != step.uid)
		return step_failed(&step, "%s does not belong to user %u", path, step.uid);
	return 0;
}

static int make_folders(spank_t sp)
{
	uint32_t job = 0, id = 0;
	char *path = NULL;
	int n;

	if (spank_get_item(sp, S_JOB_UID, &step.uid) != ESPANK_SUCCESS ||
		spank_get_item(sp, S_JOB_GID, &step.gid) != ESPANK_SUCCESS ||
		spank_get_item(sp, S_JOB_ID, &job) != ESPANK_SUCCESS ||
		spank_get_item(sp, S_JOB_STEPID, &id) != ESPANK_SUCCESS)
		return step_failed(&step, "Slurm does not say whose job this is");
	(void)mkdir(step.dir, 0755); /* what is wrong shows below */
	if (asprintf(&step.folder, "%s/%u.%u-XXXXXX", step.dir, job, id) < 0) {
		step.folder = NULL;
		return step_failed(&step, "out of memory");
	}
	if (!mkdtemp(step.folder))
		return step_failed(&step, "%s: %s", step.folder, strerror(errno));
	step.folder_made = true;
	if (asprintf(&path, "%s/%u", step.store ? step.store : step.dir, step.uid) < 0)
		return step_failed(&step, "out of memory");
	n = make_own(path);
	step.store = path; /* for the life of the process */
	return n;
}

int slurm_spank_init_post_opt(spank_t sp, int argc, char **argv)
{
	spank_context_t context = spank_context();

	(void)argc;
	(void)argv;
	if (context == S_CTX_REMOTE) {
		if (step.image && !step.problem)
			(void)make_folders(sp);
		return 0; /* tasks fail: what is answered here, srun may not see */
	}
	if (!step.image && (step.mounts || step.workdir))
		(void)step_failed(&step, "--container-image is missing");
	else if (step.image && strcmp(program_invocation_short_name, "salloc") == 0)
		(void)step_failed(
			&step, "salloc starts no container: give --container-image to srun");
	if (!step.problem || (!step.image && !step.mounts && !step.workdir))
		return 0;
	slurm_error("towline: %s", step.problem);
	return -1;
}

/* ---- the image */

static int run_importer(bool root, const char *command, char *const *env, unsigned seconds)
{
	static char *const plain[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", NULL};
	const char *argv[16] = {"towline-importer", "--root", root ? step.shared : step.store};
	char text[16];
	int n = 3;

	snprintf(text, sizeof(text), "%u", seconds);
	if (root)
		argv[n++] = "--read-only";
	if (step.config) {
		argv[n++] = "--config";
		argv[n++] = step.config;
	}
	argv[n++] = "--deadline";
	argv[n++] = text;
	argv[n++] = command;
	if (strcmp(command, "rootfs") == 0)
		argv[n++] = step.image;
	argv[n++] = step.folder;
	/* A little later than the pull's own deadline, which has the better text. */
	return step_run(&step, root, (char *const *)argv, env ? env : plain, seconds + 2);
}

static int find_image(spank_t sp)
{
	char **env = NULL;

	if (spank_get_item(sp, S_JOB_ENV, &env) != ESPANK_SUCCESS || !env)
		return step_failed(&step, "Slurm does not say the job's environment");
	if (step.shared) {
		int n = run_importer(true, "rootfs", NULL, step.deadline);

		step.from_shared = n == 0;
		if (n <= 0)
			return n;
	}
	return run_importer(false, "rootfs", env, step.deadline);
}

int slurm_spank_user_init(spank_t sp, int argc, char **argv)
{
	uint32_t id = 0;
	char **script = NULL;
	int n = 0;

	(void)argc;
	(void)argv;
	if (!step.image || step.problem)
		return 0;
	if (step.mounts && step_read_mounts(&step, step.mounts) < 0)
		return 0;
	/* sbatch: the script itself. */
	if (spank_get_item(sp, S_JOB_STEPID, &id) == ESPANK_SUCCESS && id == SLURM_BATCH_SCRIPT &&
		spank_get_item(sp, S_JOB_ARGV, &n, &script) == ESPANK_SUCCESS && n > 0 &&
		step_add_mount(&step, script[0], script[0], true) < 0)
		return 0;
	(void)find_image(sp);
	return 0; /* srun would take -1 for success */
}

/* ---- a task */

static int set_environment(spank_t sp)
{
	static const char *const host[] = {"LANG", "LANGUAGE", "LC_ALL"};
	const char *end = step.answer + step.answer_size;
	char *at = step.answer + strlen(step.answer) + 1; /* behind the working folder */

	for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++)
		(void)spank_unsetenv(sp, host[i]);
	for (; at < end; at += strlen(at) + 1) {
		char *value = strchr(at, '=');

		if (!value || value == at)
			continue;
		*value = '\0';
		if (spank_setenv(sp, at, value + 1, 1) != ESPANK_SUCCESS)
			return step_failed(&step, "the variable %s", at);
		*value = '=';
	}
	return 0;
}

int slurm_spank_task_init_privileged(spank_t sp, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (!step.image)
		return 0;
	if (!step.problem && !step.answer)
		(void)step_failed(&step, "there is no image");
	if (!step.problem && step_enter(&step) == 0 && set_environment(sp) == 0)
		return 0;
	slurm_error("towline: %s", step.problem);
	return -1;
}

int slurm_spank_task_init(spank_t sp, int argc, char **argv)
{
	const char *folder = step.workdir ? step.workdir : step.answer;

	(void)sp;
	(void)argc;
	(void)argv;
	if (!step.image || chdir(folder) == 0)
		return 0;
	slurm_error("towline: the working folder %s: %s", folder, strerror(errno));
	return -1;
}

int slurm_spank_exit(spank_t sp, int argc, char **argv)
{
	int n = -1;

	(void)sp;
	(void)argc;
	(void)argv;
	/* Where nothing came to be made the folder is empty. */
	if (spank_context() != S_CTX_REMOTE || !step.folder_made || rmdir(step.folder) == 0)
		return 0;
	/* proctrack/linuxproc kills whatever it finds below slurmstepd, once by each signal. */
	for (int i = 0; n < 0 && i < 5; i++) {
		free(step.problem);
		step.problem = NULL;
		n = run_importer(step.from_shared, "remove", NULL, 600);
	}
	if (n < 0 || rmdir(step.folder) < 0)
		slurm_error("towline: %s was left: %s", step.folder,
			step.problem ? step.problem : strerror(errno));
	return 0;
}
