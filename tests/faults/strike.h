/* SPDX-License-Identifier: Apache-2.0 */
/* What strike.so (strike.c) shares with the driver, in the file that $STRIKE_STATE names: the
 * driver (faults.py, which knows this layout) says what is to fail, and finds here what was called.
 */
#ifndef FAULTS_STRIKE_H
#define FAULTS_STRIKE_H

#include <stdint.h>

/* In the order of faults.py's CALLS. */
enum strike_call {
	STRIKE_WRITE,  /* write, pwrite and their likes, to a regular file */
	STRIKE_RENAME, /* renameat and renameat2 too: so it goes for all of them */
	STRIKE_LINK,
	STRIKE_SYMLINK,
	STRIKE_SYNC, /* fsync, fdatasync, syncfs, sync_file_range */
	STRIKE_MKDIR,
	STRIKE_OPEN, /* mkostemp, openat2, dup, opendir too */
	STRIKE_READ, /* of a regular file */
	STRIKE_TRUNCATE,
	STRIKE_REMOVE, /* unlink, rmdir */
	STRIKE_META,   /* chmod, chown, times, attributes */
	STRIKE_LOCK,   /* flock */
	STRIKE_SOCKET, /* socket, eventfd, pipe2 */
	STRIKE_CALLS
};

enum strike_action { STRIKE_NOTHING, STRIKE_KILL, STRIKE_ERRNO, STRIKE_SHORT, STRIKE_HOLD };

#define STRIKE_FRAMES 6
#define STRIKE_FRAME_SIZE 96

struct strike_state {
	uint32_t armed; /* calls are counted, and one of them fails */
	uint32_t call;
	uint32_t at;     /* from 1; 0: none */
	uint32_t action; /* STRIKE_SHORT: a write takes half of the bytes; STRIKE_HOLD: it lasts as
			    long as armed is set */
	uint32_t errnum;
	uint32_t ever_after; /* so do all later ones */
	uint32_t struck;     /* how often */
	uint32_t nframes;
	uint64_t site; /* a hash of the call stack that was struck */
	uint32_t counts[STRIKE_CALLS];
	char frames[STRIKE_FRAMES][STRIKE_FRAME_SIZE];
};

#endif
