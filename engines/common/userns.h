/* SPDX-License-Identifier: Apache-2.0 */
/* A user namespace for those who are not root. Go counterpart: none (rootlesskit,
 * containers/storage's unshare). */
#ifndef USERNS_H
#define USERNS_H

enum userns_result {
	USERNS_ROOT,      /* nothing to do: this is root */
	USERNS_RANGE,     /* in a namespace with the user's subordinate IDs */
	USERNS_SINGLE,    /* in a namespace that has the user's own ID alone, as root */
	USERNS_IMPOSSIBLE /* not in one */
};

/* To be called while the process has one thread. Mounts are not unshared: nothing that this process
 * mounts would be seen by others. *ret_problem says why no better result was possible, a static
 * text, or NULL. */
enum userns_result userns_enter(const char **ret_problem);

#endif
