/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin, as a host loads it: nothing of it runs before its one data symbol has been looked at.
 * Go counterpart: none. */
#include "config.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "sink.h"
#include "towline.h"

#define PLUGIN_FILE "image_pull.so"

/* What ABI 1.0 has: all up to error_free. */
#define NEEDED_SIZE                                                                                \
	(offsetof(struct image_pull_plugin, error_free) +                                          \
		sizeof(((struct image_pull_plugin *)0)->error_free))

/* The folder of the running program. NULL: not known. */
static char *program_dir(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	return slash ? strndup(path, (size_t)(slash - path)) : NULL;
}

/* Where the plugin is if nobody says: the first of the two places that has it, else the second, so
 * that the message names it. */
static char *default_path(void)
{
	cleanup_free char *dir = program_dir();
	char *beside = dir ? str_printf("%s/" PLUGIN_FILE, dir) : NULL;

	if (beside && !access(beside, F_OK))
		return beside;
	free(beside);
	return strdup(PLUGINDIR "/" PLUGIN_FILE);
}

/* How many bytes the library says that its symbol has; 0: it does not say. */
static size_t symbol_size(const void *symbol)
{
	const ElfW(Sym) *entry = NULL;
	Dl_info info;

	if (!dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry ||
		info.dli_saddr != symbol)
		return 0;
	return ELF64_ST_TYPE(entry->st_info) == STT_OBJECT ? entry->st_size : 0;
}

static int check_functions(
	const struct image_pull_plugin *p, const char *path, const struct image_pull_sink *sink)
{
	if (p->create && p->image_pull && p->cancel && p->set_limits && p->destroy &&
		p->error_info && p->error_free && p->name && p->version)
		return IMAGE_PULL_OK;
	return sink_fail(sink, IMAGE_PULL_INVALID, "plugin %s: %s lacks a member that ABI %d.0 has",
		path, IMAGE_PULL_SYMBOL, IMAGE_PULL_ABI_MAJOR);
}

static int check(
	const struct image_pull_plugin *p, const char *path, const struct image_pull_sink *sink)
{
	size_t size = symbol_size(p);

	if (size < offsetof(struct image_pull_plugin, name) || p->magic != IMAGE_PULL_MAGIC)
		return sink_fail(sink, IMAGE_PULL_INVALID,
			"%s is no image pull plugin: its %s has not the magic number", path,
			IMAGE_PULL_SYMBOL);
	if (p->abi_major != IMAGE_PULL_ABI_MAJOR)
		return sink_fail(sink, IMAGE_PULL_INVALID,
			"plugin %s has ABI %u.%u, this host needs %u.x", path, p->abi_major,
			p->abi_minor, IMAGE_PULL_ABI_MAJOR);
	if (p->struct_size < NEEDED_SIZE || size < p->struct_size)
		return sink_fail(sink, IMAGE_PULL_INVALID,
			"plugin %s: the size of %s is %zu (it says %zu), ABI %u.0 has %zu", path,
			IMAGE_PULL_SYMBOL, size, p->struct_size, IMAGE_PULL_ABI_MAJOR, NEEDED_SIZE);
	return check_functions(p, path, sink);
}

int towline_plugin_load(const char *path, const struct image_pull_plugin **plugin,
	const struct image_pull_sink *sink)
{
	/* Without a slash dlopen would go through the library folders. */
	cleanup_free char *place = !path               ? default_path()
				   : strchr(path, '/') ? strdup(path)
						       : str_printf("./%s", path);
	const struct image_pull_plugin *p;
	struct stat st;
	int code;

	if (!place)
		return sink_no_memory(sink);
	if (stat(place, &st) < 0)
		return sink_fail(sink,
			errno == ENOENT ? IMAGE_PULL_NOT_FOUND : sink_errno_code(errno),
			"cannot load plugin %s: %s", place, errno_text(errno));
	if (!S_ISREG(st.st_mode))
		return sink_fail(sink, IMAGE_PULL_INVALID,
			"cannot load plugin %s: not a regular file", place);

	void *library = dlopen(place, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		const char *why = dlerror();

		return sink_fail(sink, IMAGE_PULL_INVALID, "cannot load plugin %s: %s", place,
			why ? why : "unknown reason");
	}
	p = dlsym(library, IMAGE_PULL_SYMBOL);
	code = p ? check(p, place, sink)
		 : sink_fail(sink, IMAGE_PULL_INVALID,
			   "%s is no image pull plugin: it has no symbol %s", place,
			   IMAGE_PULL_SYMBOL);
	if (code != IMAGE_PULL_OK) {
		dlclose(library);
		return code;
	}
	*plugin = p;
	return IMAGE_PULL_OK;
}
