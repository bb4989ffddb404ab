/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that runs out for one shared library, here for the plugin. The program that links this has
 * its own malloc, which lets each call stack that allocates in the library fail once, and knows
 * what of the library's memory was not given back. With sanitizers, whose malloc it must be, it
 * does nothing: fail_malloc_available is 0. */
#ifndef FAKES_FAIL_MALLOC_H
#define FAKES_FAIL_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

extern const int fail_malloc_available;

/* Which library: any address in it. Allocations that it makes itself count, or through libc. */
int fail_malloc_watch(const void *address);

/* From here on memory is accounted for, and if `fail`, one allocation fails: the first one that
 * comes from a call stack that has not failed in an earlier round. */
void fail_malloc_begin(bool fail);
/* Until the round ends no allocation fails. True if one has. */
bool fail_malloc_pause(void);
/* How many allocations of this round were not freed; what is known of them goes to stderr. */
size_t fail_malloc_end(void);
/* How many call stacks have failed so far. */
size_t fail_malloc_stacks(void);
/* Where the last failure was, to stderr. */
void fail_malloc_explain(void);

#endif
