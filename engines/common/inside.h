/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a root file system that comes from strangers: the kernel resolves every path within it.
 * Go counterpart: none. */
#ifndef INSIDE_H
#define INSIDE_H

/* A folder below root, whatever links are on the way; it is made if it is missing. -1 with errno.
 */
int inside_folder(int root, const char *path);
/* A new file in the place of whatever has that name; for close. -1 with errno. */
int inside_file(int folder, const char *name, unsigned mode);

#endif
