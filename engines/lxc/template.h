/* SPDX-License-Identifier: Apache-2.0 */
/* lxc-towline, a template of LXC's. Counterpart: LXC's templates/lxc-oci.in. */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include <stdbool.h>

#include "common/host.h"

struct template
{
	/* The user's options; those of the stock template, and ours. */
	const char *url, *username, *password;
	bool no_cache, dhcp;
	const char *config, *data_root, *authfile, *ca, *deadline;
	/* LXC's own. */
	const char *name, *path, *rootfs, *mapped_uid, *mapped_gid;
};

/* One line on stderr. */
void template_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* lxc_config.c: what LXC is to know of the image's process, appended to PATH/config. What cannot be
 * written there is said and left out. 0, or -1 after a line on stderr. */
int lxc_config_write(const struct template *t, const struct towline_process *process);
/* rootfs_files.c: etc/hostname, etc/hosts and the folder in which the process starts, as no link of
 * the image leads elsewhere. 0, or -1 after a line on stderr. */
int rootfs_files_write(const struct template *t, const struct towline_process *process);

#endif
