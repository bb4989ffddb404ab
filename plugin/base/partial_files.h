/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a folder of blobs that are on their way (xfer/partial.h): "sha256.<hex>", and beside
 * it what its suffixes say. Known to who writes them and to who removes them. No Go counterpart. */
#ifndef BASE_PARTIAL_FILES_H
#define BASE_PARTIAL_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

#define PARTIAL_STATE ".state"
#define PARTIAL_TEMP ".state.new" /* a state that is being written */

/* Is it a blob's name, and not that of a file beside one? */
bool partial_files_is_blob(const char *name);
/* Open the blob, which is locked for as long as the descriptor lives. flags as open's. -1: there is
 * no such file, or somebody else has it. */
int partial_files_lock(int dir, const char *name, int flags, struct stat *ret);
/* The blob and what is beside it; who calls has the lock. -1: it is still there. */
int partial_files_remove(int dir, const char *name);

#endif
