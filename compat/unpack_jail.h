/* SPDX-License-Identifier: Apache-2.0 */
/* What the confined unpacker takes from itself. No Go counterpart. */
#ifndef COMPAT_UNPACK_JAIL_H
#define COMPAT_UNPACK_JAIL_H

/* From here on: descriptors 0 to 2 only; no other system call than reading 0, writing 1 and ending,
 * or the kernel kills the process; memory from a heap that is as large as it will ever be, past
 * which malloc answers NULL. No new privileges, no core, no tracing by others, and death with the
 * thread that has started it. NULL, or a text that says what the kernel refused: then nothing from
 * a stranger may be read. */
const char *jail_enter(void);

#endif
