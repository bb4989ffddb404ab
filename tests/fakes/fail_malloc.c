/* SPDX-License-Identifier: Apache-2.0 */
/* A malloc that fails once for each call stack of a library that allocates. */
#define _GNU_SOURCE
#include "fakes/fail_malloc.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#ifdef SANITIZED

const int fail_malloc_available = 0;

int fail_malloc_watch(const void *address)
{
	(void)address;
	return -1;
}
void fail_malloc_begin(bool fail)
{
	(void)fail;
}
bool fail_malloc_pause(void)
{
	return false;
}
size_t fail_malloc_end(void)
{
	return 0;
}
size_t fail_malloc_stacks(void)
{
	return 0;
}
void fail_malloc_explain(void)
{
}

#else

const int fail_malloc_available = 1;

/* glibc's own, under the names that it keeps for such as us. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

#define FRAMES 24
#define LIVE_MAX (1 << 16) /* a power of two */
#define SEEN_MAX (1 << 14) /* a power of two */

struct range {
	uintptr_t begin, end;
};

struct live {
	void *p;
	void *frames[FRAMES];
	int n;
};

static struct {
	pthread_mutex_t lock;
	struct range watched, libc;
	bool on, fail, struck;
	size_t stacks, nlive, lost;
	uint64_t seen[SEEN_MAX];
	struct live live[LIVE_MAX]; /* open addressing; p of 1: was freed */
	void *last[FRAMES];
	int nlast;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Unwinding may allocate, and must not come back here. */
static __thread bool inside;

static bool in_range(const struct range *r, const void *p)
{
	return (uintptr_t)p >= r->begin && (uintptr_t)p < r->end;
}

static struct range *looked_for;

static int find_object(struct dl_phdr_info *info, size_t size, void *address)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		struct range r = {
			info->dlpi_addr + ph->p_vaddr, info->dlpi_addr + ph->p_vaddr + ph->p_memsz};

		if (ph->p_type != PT_LOAD || !in_range(&r, address))
			continue;
		/* its code: the one segment of an object that may be run */
		for (int k = 0; k < info->dlpi_phnum; k++) {
			ph = &info->dlpi_phdr[k];
			if (ph->p_type == PT_LOAD && ph->p_flags & PF_X) {
				looked_for->begin = info->dlpi_addr + ph->p_vaddr;
				looked_for->end = looked_for->begin + ph->p_memsz;
			}
		}
		return 1;
	}
	return 0;
}

int fail_malloc_watch(const void *address)
{
	void *frames[2];

	backtrace(frames, 2); /* loads what it needs */
	looked_for = &state.watched;
	if (!dl_iterate_phdr(find_object, (void *)address))
		return -1;
	looked_for = &state.libc;
	return dl_iterate_phdr(find_object, (void *)(uintptr_t)&abort) ? 0 : -1;
}

/* frames[0] is whoever called malloc. Is this the library's own allocation? */
static bool ours(void **frames, int n)
{
	int i = 0;

	while (i < n && i < 6 && in_range(&state.libc, frames[i]))
		i++;
	return i < n && in_range(&state.watched, frames[i]);
}

static uint64_t hash_of(void **frames, int n)
{
	uint64_t h = 14695981039346656037u;

	for (int i = 0; i < n; i++)
		h = (h ^ (uintptr_t)frames[i]) * 1099511628211u;
	return h ? h : 1;
}

/* Is it a new one? Then it is known from now on. */
static bool new_stack(void **frames, int n)
{
	uint64_t h = hash_of(frames, n);
	size_t i = h & (SEEN_MAX - 1);

	while (state.seen[i]) {
		if (state.seen[i] == h)
			return false;
		i = (i + 1) & (SEEN_MAX - 1);
	}
	if (state.stacks >= SEEN_MAX / 2)
		return false;
	state.seen[i] = h;
	state.stacks++;
	return true;
}

static size_t slot_of(const void *p)
{
	return ((uintptr_t)p >> 4) * 2654435761u & (LIVE_MAX - 1);
}

static void live_add(void *p, void **frames, int n)
{
	size_t i = slot_of(p);

	if (state.nlive >= LIVE_MAX / 2) {
		state.lost++;
		return;
	}
	while ((uintptr_t)state.live[i].p > 1)
		i = (i + 1) & (LIVE_MAX - 1);
	state.live[i].p = p;
	state.live[i].n = n;
	for (int k = 0; k < n; k++)
		state.live[i].frames[k] = frames[k];
	state.nlive++;
}

static void live_remove(const void *p)
{
	for (size_t i = slot_of(p); state.live[i].p; i = (i + 1) & (LIVE_MAX - 1)) {
		if (state.live[i].p == p) {
			state.live[i].p = (void *)1;
			state.nlive--;
			return;
		}
	}
}

/* One allocation: kind 0 malloc, 1 calloc, 2 realloc. */
static void *allocate(int kind, void *old, size_t n, size_t size, void *caller)
{
	void *frames[FRAMES + 2], *p;
	int depth = 0;
	bool counts = false, fails = false;

	if (state.on && !inside &&
		(in_range(&state.watched, caller) || in_range(&state.libc, caller))) {
		inside = true;
		depth = backtrace(frames, FRAMES + 2) - 2; /* without allocate and malloc */
		inside = false;
		counts = depth > 0 && ours(frames + 2, depth);
	}
	if (counts) {
		pthread_mutex_lock(&state.lock);
		if (state.on && state.fail && !state.struck && new_stack(frames + 2, depth)) {
			fails = state.struck = true;
			for (int i = 0; i < depth; i++)
				state.last[i] = frames[i + 2];
			state.nlast = depth;
		}
		pthread_mutex_unlock(&state.lock);
		if (fails) {
			errno = ENOMEM; /* as the C library does */
			return NULL;
		}
	}
	if (state.on && old) {
		pthread_mutex_lock(&state.lock);
		live_remove(old);
		pthread_mutex_unlock(&state.lock);
	}
	p = kind == 0   ? __libc_malloc(size)
	    : kind == 1 ? __libc_calloc(n, size)
			: __libc_realloc(old, size);
	if (counts && p) {
		pthread_mutex_lock(&state.lock);
		live_add(p, frames + 2, depth);
		pthread_mutex_unlock(&state.lock);
	}
	return p;
}

/* Every library is to call these, although this project's symbols are hidden. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
	return allocate(0, NULL, 0, size, __builtin_return_address(0));
}

void *calloc(size_t n, size_t size)
{
	return allocate(1, NULL, n, size, __builtin_return_address(0));
}

void *realloc(void *p, size_t size)
{
	return allocate(2, p, 0, size, __builtin_return_address(0));
}

void free(void *p)
{
	if (state.on && p) {
		pthread_mutex_lock(&state.lock);
		live_remove(p);
		pthread_mutex_unlock(&state.lock);
	}
	__libc_free(p);
}

#pragma GCC visibility pop

void fail_malloc_begin(bool fail)
{
	pthread_mutex_lock(&state.lock);
	for (size_t i = 0; i < LIVE_MAX; i++)
		state.live[i].p = NULL;
	state.nlive = state.lost = 0;
	state.fail = fail;
	state.struck = false;
	state.on = true;
	pthread_mutex_unlock(&state.lock);
}

bool fail_malloc_pause(void)
{
	bool struck;

	pthread_mutex_lock(&state.lock);
	state.fail = false;
	struck = state.struck;
	pthread_mutex_unlock(&state.lock);
	return struck;
}

size_t fail_malloc_end(void)
{
	size_t n;

	pthread_mutex_lock(&state.lock);
	state.on = false;
	n = state.nlive + state.lost;
	for (size_t i = 0, shown = 0; i < LIVE_MAX && shown < 3; i++) {
		if ((uintptr_t)state.live[i].p <= 1)
			continue;
		shown++;
		dprintf(2, "not freed, allocated by:\n");
		backtrace_symbols_fd(state.live[i].frames, state.live[i].n, 2);
	}
	pthread_mutex_unlock(&state.lock);
	return n;
}

size_t fail_malloc_stacks(void)
{
	return state.stacks;
}

void fail_malloc_explain(void)
{
	dprintf(2, "what failed was allocated by:\n");
	backtrace_symbols_fd(state.last, state.nlast, 2);
}

#endif
