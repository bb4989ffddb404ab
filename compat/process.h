/* SPDX-License-Identifier: Apache-2.0 */
/* How a container of an image begins. Go counterparts: the image specification's conversion.md,
 * daemon/oci_linux.go (withCommonOptions). */
#ifndef COMPAT_PROCESS_H
#define COMPAT_PROCESS_H

#include "towline.h"

struct error;
struct json_value;

struct process;
/* image: the whole configuration; rootfs: where names of users and groups are looked up. */
int process_new(
	const struct json_value *image, int rootfs, struct process **ret, struct error **reterr);
void process_free(struct process *process); /* NULL is allowed */
static inline void process_freep(struct process **process)
{
	process_free(*process);
}
#define cleanup_process __attribute__((cleanup(process_freep)))
/* Lives as long as the process. */
const struct towline_process *process_value(const struct process *process);

#endif
