/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to the disk beside the pull. Go counterpart: none.
 *
 * A thread syncs the file system each time that STEP bytes more are dirty. sync_file_range for each
 * file was tried: layers are of small files, each of which then is a request of its own for the
 * disk. What matters is the sync before publishing: this one's errors are nobody's, and since it
 * has an open file of its own, that one still sees them. */
#include "config.h"

#include "writeback.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/context.h"
#include "base/error.h"

#define STEP ((uint64_t)8 << 20)
#define STACK_SIZE (64u << 10)

struct writeback {
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t more;
	uint64_t dirty;
	bool started, failed, stopping;
	pthread_t thread;
	int dir;
};

int writeback_new(int dir, struct writeback **ret, struct error **reterr)
{
	struct writeback *w = calloc(1, sizeof(*w));

	if (!w)
		return error_set(reterr, &error_no_memory);
	w->dir = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir < 0) {
		error_set(reterr, error_path("open", ".", error_errno(errno)));
		free(w);
		return -1;
	}
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->more, NULL);
	*ret = w;
	return 0;
}

static void *run(void *arg)
{
	struct writeback *w = arg;

	pthread_mutex_lock(&w->mutex);
	while (!w->stopping) {
		if (w->dirty < STEP) {
			pthread_cond_wait(&w->more, &w->mutex);
			continue;
		}
		w->dirty = 0;
		pthread_mutex_unlock(&w->mutex);
		(void)syncfs(w->dir);
		pthread_mutex_lock(&w->mutex);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

void writeback_add(struct writeback *w, uint64_t size)
{
	pthread_mutex_lock(&w->mutex);
	w->dirty += size;
	if (w->dirty >= STEP && !w->started && !w->failed) {
		/* Without a thread all is left to the last sync. */
		w->failed = thread_start(&w->thread, STACK_SIZE, run, w, NULL) < 0;
		w->started = !w->failed;
	} else if (w->dirty >= STEP) {
		pthread_cond_signal(&w->more);
	}
	pthread_mutex_unlock(&w->mutex);
}

void writeback_free(struct writeback *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->mutex);
	w->stopping = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->mutex);
	if (w->started)
		pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->mutex);
	closep(&w->dir);
	free(w);
}
