/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of crun's handler: handler.c, which crun loads at each start of any container, and
 * crun_pull.so (pull.c, definition.c), which the first one loads for annotated containers. Go
 * counterpart: none; crun's: custom-handler.h, container.h. */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <stdbool.h>
#include <yajl/yajl_tree.h>

#include "common/host.h"

/* How crun's struct libcrun_context_s begins. */
struct crun_context {
	const char *state_root; /* NULL: crun's default */
	const char *id;
	const char *bundle; /* the working folder, too */
};

/* crun_pull.so's one function: the root file system is filled, and in crun's definition what
 * config.json leaves open. NULL, or the text of a failure, for free(). No thread is left. */
#define CRUN_PREPARE "towline_crun_prepare"
char *towline_crun_prepare(const struct crun_context *context, void *definition);

/* What of a container's process its image fills. */
enum {
	OPEN_ARGS = 1, /* no command: the image's entrypoint and cmd */
	OPEN_ENV = 2,  /* variables that are not there */
	OPEN_CWD = 4,  /* "/" */
	OPEN_USER = 8, /* 0:0 without further groups */
};

struct container {
	void *definition; /* crun's */
	yajl_val config;  /* config.json, by the parser that crun itself read it with */
	char *rootfs;     /* where the files are to be */
	bool filled;      /* there are some: it was started before */
	int open;
	struct host host;
	char *message; /* of the last failure */
};
/* -1, with that message. */
int container_failed(struct container *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- definition.c. Members of config.json by path; NULL or -1: there is none. */

const char *config_text(yajl_val v, const char *section, const char *name);
/* Are its files to belong to others than those whom they belong to in an image? */
bool config_maps_users(yajl_val config);
int config_open(yajl_val config);
/* 0, or -1. */
int definition_fill(struct container *c, const struct towline_process *image);

#endif
