/* SPDX-License-Identifier: Apache-2.0 */
/* towline_crun.so, a handler of crun's, which loads it at each start of any container: so it needs
 * libc alone, and loads the rest where an annotation asks for it. Counterpart: custom-handler.h. */
#include "config.h"

#include "adapter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* crun frees both by free(). */
struct crun_error {
	int status; /* an errno; 0: the message says it all */
	char *msg;
};

/* crun's struct custom_handler_s. It has grown at its end, and no size is in it: what lies behind
 * the members of crun 1.8 is NULL. */
struct handler {
	const char *name, *feature_string, *alias;
	int (*load)(void **cookie, struct crun_error **err);
	int (*unload)(void *cookie, struct crun_error **err);
	int (*run_func)(void *cookie, void *container, const char *path, char *const argv[]);
	int (*exec_func)(void *cookie, void *container, const char *path, char *const argv[]);
	int (*configure_container)(void);
	int (*can_handle_container)(void);
	int (*modify_oci_configuration)(
		void *cookie, struct crun_context *context, void *def, struct crun_error **err);
	void *later[16];
};

static int load(void **cookie, struct crun_error **err)
{
	(void)err;
	*cookie = NULL;
	return 0;
}

static int unload(void *cookie, struct crun_error **err)
{
	(void)cookie;
	(void)err;
	return 0;
}

/* In the container, all set up: the program. crun can't report what fails from here on but by exit
 * status 1; engines expect a shell's. */
static int run(void *cookie, void *container, const char *path, char *const argv[])
{
	(void)cookie;
	(void)container;
	execv(path, argv);
	dprintf(STDERR_FILENO, "towline: exec %s: %m\n", path);
	_exit(errno == ENOENT ? 127 : 126);
}

/* In the parent, before anything of the container is there. The module stays: GnuTLS and curl do
 * not bear to be unloaded. */
static int modify(void *cookie, struct crun_context *context, void *def, struct crun_error **err)
{
	void *module = dlopen(PLUGINDIR "/crun_pull.so", RTLD_NOW | RTLD_LOCAL);
	char *(*prepare)(const struct crun_context *context, void *definition) = NULL;
	char *message;

	(void)cookie;
	if (module)
		*(void **)&prepare = dlsym(module, CRUN_PREPARE);
	message = prepare ? prepare(context, def) : strdup(dlerror());
	if (!message)
		return prepare ? 0 : -1;
	/* crun ends itself where so little memory is not to be had. */
	*err = calloc(1, sizeof(**err));
	if (*err && asprintf(&(*err)->msg, "towline: %s", message) < 0)
		(*err)->msg = NULL;
	free(message);
	return -1;
}

__attribute__((visibility("default"))) const struct handler *run_oci_handler_get_handler(void);

const struct handler *run_oci_handler_get_handler(void)
{
	static const struct handler handler = {
		.name = "towline",
		.feature_string = "towline",
		.load = load,
		.unload = unload,
		.run_func = run,
		.exec_func = run,
		.modify_oci_configuration = modify,
	};

	return &handler;
}
