/* SPDX-License-Identifier: Apache-2.0 */
/* What LXC is to know of the image's process. Counterpart: LXC's templates/lxc-oci.in; what its
 * parser makes of the lines is in src/lxc/confile.c (parse_line) and string_utils.c. */
#include "config.h"

#include "template.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line ends there, whatever stands around it: an image could add lines of its own. */
static bool has_line_end(const char *text)
{
	return strpbrk(text, "\r\n") != NULL;
}

/* LXC takes one pair of quotes off a value, and blanks off its ends where there is none. */
static bool write_value(FILE *out, const char *key, const char *value)
{
	if (has_line_end(value) || strlen(value) >= PATH_MAX)
		return false;
	fprintf(out, "%s = \"%s\"\n", key, value);
	return true;
}

/* The quotes around a word of lxc.execute.cmd: LXC ends it at the next one of the kind, and knows
 * no escapes. NULL: there are none that would do. */
static const char *word_quotes(const char *word)
{
	if (!strchr(word, '"'))
		return "\"";
	if (!strchr(word, '\''))
		return "'";
	return word[0] != '"' && word[0] != '\'' && !strpbrk(word, " \t\v\f") ? "" : NULL;
}

static void write_commands(FILE *out, const char *const *args)
{
	size_t size = 1;
	char *quoted, *plain;
	bool quotable = true, splittable = true;

	for (size_t i = 0; args[i]; i++)
		size += strlen(args[i]) + 3;
	quoted = calloc(2, size);
	plain = quoted ? quoted + size : NULL;
	for (size_t i = 0; quoted && args[i]; i++) {
		const char *quotes = word_quotes(args[i]);
		const char *blank = i ? " " : "";

		quotable = quotable && quotes;
		splittable = splittable && args[i][0] && !strchr(args[i], ' ');
		sprintf(quoted + strlen(quoted), "%s%s%s%s", blank, quotes ? quotes : "", args[i],
			quotes ? quotes : "");
		sprintf(plain + strlen(plain), "%s%s", blank, args[i]);
	}
	if (!quoted || !quotable || !write_value(out, "lxc.execute.cmd", quoted))
		template_say(
			"lxc.execute.cmd cannot say the image's command: give lxc-execute one");
	/* lxc-start knows no quotes at all. */
	if (!quoted || !splittable || !write_value(out, "lxc.init.cmd", plain))
		template_say("lxc.init.cmd cannot say the image's command: give lxc-start one");
	free(quoted);
}

static void write_environment(FILE *out, const char *const *env)
{
	for (size_t i = 0; env[i]; i++) {
		int size = (int)strcspn(env[i], "=");

		/* A name alone would be looked up in lxc-start's environment. */
		if (!size || !env[i][size] || !write_value(out, "lxc.environment", env[i]))
			template_say("lxc.environment cannot say the image's variable %.*s", size,
				env[i]);
	}
}

static void include(FILE *out, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), LXC_CONFIG_DIR "/%s", file);
	if (access(path, F_OK) == 0)
		fprintf(out, "lxc.include = %s\n", path);
}

int lxc_config_write(const struct template *t, const struct towline_process *process)
{
	char path[PATH_MAX];
	FILE *out;
	int n;

	snprintf(path, sizeof(path), "%s/config", t->path);
	out = fopen(path, "ae");
	if (!out) {
		template_say("%s: %s", path, strerror(errno));
		return -1;
	}
	write_commands(out, process->args);
	fprintf(out, "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed\n");
	write_environment(out, process->env);
	include(out, "common.conf");
	if (t->mapped_uid)
		include(out, "userns.conf");
	include(out, "oci.common.conf");
	if (t->dhcp)
		fprintf(out, "lxc.hook.start-host = %s\nlxc.hook.stop = %s\n",
			LXC_HOOK_DIR "/dhclient", LXC_HOOK_DIR "/dhclient");
	fprintf(out, "lxc.uts.name = %s\n", t->name);
	fprintf(out, "lxc.init.uid = %u\nlxc.init.gid = %u\n", process->uid, process->gid);
	for (size_t i = 0; i < process->ngroups; i++)
		fprintf(out, "%s%u%s", i ? "," : "lxc.init.groups = ", process->groups[i],
			i + 1 < process->ngroups ? "" : "\n");
	if (!write_value(out, "lxc.init.cwd", process->cwd))
		template_say("lxc.init.cwd cannot say the image's working folder");
	n = ferror(out) ? -1 : 0;
	if (fclose(out) != 0 || n < 0) {
		template_say("%s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}
