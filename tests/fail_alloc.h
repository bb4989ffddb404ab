/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the nth allocation of what a test calls fail. The program is linked with FAIL_ALLOC_LDFLAGS
 * (tests/local.mk), so that allocations of the libraries under test come through here. */
#ifndef TESTS_FAIL_ALLOC_H
#define TESTS_FAIL_ALLOC_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static size_t fail_alloc_in; /* 0: never */
static size_t fail_alloc_count;

/* Let the nth allocation from here on fail, and only that. */
static inline void fail_alloc_start(size_t n)
{
	fail_alloc_in = n;
	fail_alloc_count = 0;
}

/* Back to normal. Was there one that failed? */
static inline int fail_alloc_stop(void)
{
	size_t n = fail_alloc_in;

	fail_alloc_in = 0;
	return n != 0 && fail_alloc_count >= n;
}

static inline int fail_alloc_now(void)
{
	if (!fail_alloc_in || ++fail_alloc_count != fail_alloc_in)
		return 0;
	errno = ENOMEM; /* as the C library does */
	return 1;
}

void *__wrap_malloc(size_t size)
{
	return fail_alloc_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fail_alloc_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fail_alloc_now() ? NULL : __real_realloc(p, size);
}

char *__wrap_strndup(const char *s, size_t n)
{
	size_t size = strnlen(s, n);
	char *copy = __wrap_malloc(size + 1);

	if (copy) {
		memcpy(copy, s, size);
		copy[size] = '\0';
	}
	return copy;
}

char *__wrap_strdup(const char *s)
{
	return __wrap_strndup(s, strlen(s));
}

#endif
