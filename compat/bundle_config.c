/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of a bundle. Go counterparts: image-spec/conversion.md, oci/defaults.go. */
#include "config.h"

#include "bundle_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "towline.h"

/* Docker's defaults. */
static const char *const capabilities[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID",
	"CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"};

static const char mounts[] =
	"\t\"mounts\": [\n"
	"\t\t{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\"]},\n"
	"\t\t{\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"]},\n"
	"\t\t{\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\",\n"
	"\t\t\t\t\"mode=0620\", \"gid=5\"]},\n"
	"\t\t{\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\",\n"
	"\t\t\t\t\"size=65536k\"]},\n"
	"\t\t{\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\"]},\n"
	"\t\t{\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"]},\n"
	"\t\t{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}\n"
	"\t],\n";

static const char linux_part[] =
	"\t\"linux\": {\n"
	"\t\t\"resources\": {\"devices\": [{\"allow\": false, \"access\": \"rwm\"}]},\n"
	"\t\t\"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"network\"}, {\"type\": \"ipc\"},\n"
	"\t\t\t{\"type\": \"uts\"}, {\"type\": \"mount\"}],\n"
	"\t\t\"maskedPaths\": [\"/proc/asound\", \"/proc/acpi\", \"/proc/kcore\", \"/proc/keys\",\n"
	"\t\t\t\"/proc/latency_stats\", \"/proc/timer_list\", \"/proc/timer_stats\",\n"
	"\t\t\t\"/proc/sched_debug\", \"/proc/scsi\", \"/sys/firmware\"],\n"
	"\t\t\"readonlyPaths\": [\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\",\n"
	"\t\t\t\"/proc/sysrq-trigger\"]\n"
	"\t}\n"
	"}\n";

static void text(struct buf *b, const char *s)
{
	buf_append_json(b, s, strlen(s), false);
}

static void append_strings(struct buf *b, const char *const *list)
{
	for (size_t i = 0; list[i]; i++) {
		buf_append_str(b, i ? ", " : "");
		text(b, list[i]);
	}
}

static void append_user(struct buf *b, const struct towline_process *user)
{
	buf_appendf(b, "\t\t\"user\": {\"uid\": %u, \"gid\": %u", user->uid, user->gid);
	if (user->ngroups)
		buf_append_str(b, ", \"additionalGids\": [");
	for (size_t i = 0; i < user->ngroups; i++)
		buf_appendf(b, "%s%u", i ? ", " : "", user->groups[i]);
	buf_append_str(b, user->ngroups ? "]},\n" : "},\n");
}

static void append_capabilities(struct buf *b)
{
	static const char *const sets[] = {"bounding", "effective", "permitted"};

	buf_append_str(b, "\t\t\"capabilities\": {\n");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		buf_appendf(b, "\t\t\t\"%s\": [", sets[i]);
		for (size_t j = 0; j < ARRAY_SIZE(capabilities); j++)
			buf_appendf(b, "%s\"%s\"",
				!j      ? ""
				: j % 4 ? ", "
					: ",\n\t\t\t\t",
				capabilities[j]);
		buf_append_str(b, i + 1 < ARRAY_SIZE(sets) ? "],\n" : "]\n");
	}
	buf_append_str(b, "\t\t}\n");
}

static void append_process(struct buf *b, const struct towline_process *process)
{
	buf_append_str(b, "\t\"process\": {\n\t\t\"terminal\": false,\n");
	append_user(b, process);
	buf_append_str(b, "\t\t\"args\": [");
	append_strings(b, process->args);
	buf_append_str(b, "],\n\t\t\"env\": [");
	append_strings(b, process->env);
	buf_append_str(b, "],\n\t\t\"cwd\": ");
	text(b, process->cwd);
	buf_append_str(b, ",\n");
	append_capabilities(b);
	buf_append_str(b, "\t},\n");
}

/* What the image specification names. Labels are left out: runtimes take orders from annotations
 * (run.oci.*, among others), and a stranger's image may not give them. */
static void append_annotations(
	struct buf *b, const struct json_value *image, const struct json_value *config)
{
	const struct {
		const char *name, *value;
	} all[] = {
		{"org.opencontainers.image.os", json_get_string(image, "os", "")},
		{"org.opencontainers.image.architecture",
			json_get_string(image, "architecture", "")},
		{"org.opencontainers.image.variant", json_get_string(image, "variant", "")},
		{"org.opencontainers.image.created", json_get_string(image, "created", "")},
		{"org.opencontainers.image.author", json_get_string(image, "author", "")},
		{"org.opencontainers.image.stopSignal", json_get_string(config, "StopSignal", "")},
	};
	bool any = false;

	buf_append_str(b, "\t\"annotations\": {");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (!all[i].value[0])
			continue;
		buf_append_str(b, any ? ",\n\t\t" : "\n\t\t");
		any = true;
		text(b, all[i].name);
		buf_append_str(b, ": ");
		text(b, all[i].value);
	}
	buf_append_str(b, any ? "\n\t},\n" : "},\n");
}

int bundle_config(const struct json_value *image, const struct towline_process *process,
	struct buf *ret, struct error **reterr)
{
	const struct json_value *config = json_get(image, "config");
	const char *hostname = json_get_string(config, "Hostname", "");

	buf_append_str(ret, "{\n\t\"ociVersion\": \"1.0.2\",\n");
	append_process(ret, process);
	buf_append_str(ret, "\t\"root\": {\"path\": \"rootfs\"},\n");
	if (hostname[0]) {
		buf_append_str(ret, "\t\"hostname\": ");
		text(ret, hostname);
		buf_append_str(ret, ",\n");
	}
	buf_append_str(ret, mounts);
	append_annotations(ret, image, config);
	buf_append_str(ret, linux_part);
	return ret->oom ? error_set(reterr, &error_no_memory) : 0;
}
