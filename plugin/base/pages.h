/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that goes back to the system when it is freed. Go counterpart: none.
 *
 * For what a layer needs while it comes: malloc keeps such sizes, once they were freed, in an arena
 * of each thread, and a pull of 64 layers peaked 4 MiB higher. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>
#include <sys/mman.h>

/* Zeroed. NULL: no memory. */
static inline void *pages_new(size_t size)
{
	/* cppcheck-suppress invalidFunctionArg; what no file is behind has -1 for it */
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* p may be NULL. */
static inline void pages_free(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

#endif
