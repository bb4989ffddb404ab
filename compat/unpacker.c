/* SPDX-License-Identifier: Apache-2.0 */
/* Running the confined unpacker. No Go counterpart; the nearest is pkg/chrootarchive. */
#include "config.h"

#include "unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "child.h"
#include "image_pull.h"
#include "record_reader.h"

#define WINDOW (128u << 10)   /* where the reader does not lend its bytes */
#define PIPE_SIZE (1 << 20)   /* what an ordinary user may have */
#define CHECK_SIZE (4u << 20) /* so often is asked whether the pull was cancelled */
#define POLL_MS 50
#define STALL_MS 60000u
#define LAST_WORD_MS 1000

struct unpacker {
	struct unpacker_options options;
	struct record_source source;
	struct record_reader *records;
	struct tar_members members;
	struct child child;
	int in, out; /* -1: not started, or it has ended */
	/* What the reader gave and the unpacker has not taken. */
	const unsigned char *pending;
	size_t npending;
	unsigned char *own;
	bool started;
	bool given;  /* all of it */
	bool deaf;   /* it takes no more */
	bool failed; /* the reader did, or the pull was cancelled */
	size_t unchecked;
	unsigned waited_ms;
};

/* ---- the process ---- */

struct channels {
	int in[2];  /* a socket pair: ours, its */
	int out[2]; /* a pipe: ours, its */
};

static void channels_close(struct channels *c)
{
	closep(&c->in[0]);
	closep(&c->in[1]);
	closep(&c->out[0]);
	closep(&c->out[1]);
}

/* 0, or an errno */
static int channels_open(struct channels *c)
{
	int r;

	*c = (struct channels){{-1, -1}, {-1, -1}};
	r = child_socketpair(c->in);
	if (!r)
		r = child_pipe(c->out);
	if (!r && fcntl(c->out[0], F_SETFL, O_NONBLOCK) < 0)
		r = errno;
	/* Without it there are more, and shorter, turns. */
	if (!r)
		(void)fcntl(c->out[1], F_SETPIPE_SZ, PIPE_SIZE);
	return r;
}

static int start(struct unpacker *u, struct error **reterr)
{
	char *const argv[] = {(char *)u->options.program, u->options.tar ? "tar" : "decode", NULL};
	char *const env[] = {NULL};
	struct child_options options = {
		.program = u->options.program, .argv = argv, .env = env, .detached = true};
	struct channels c;
	int r = channels_open(&c);

	if (r) {
		error_set(reterr, error_path("socketpair", u->options.program, error_errno(r)));
		goto out;
	}
	options.in = c.in[1];
	options.out = c.out[1];
	r = child_start(&options, &u->child);
	if (r) {
		error_set(reterr, error_path("exec", u->options.program, error_errno(r)));
		goto out;
	}
	u->in = c.in[0];
	u->out = c.out[0];
	c.in[0] = c.out[0] = -1;
out:
	channels_close(&c);
	return r ? -1 : 0;
}

/* Make an end of it. True: *ret says how it ended. */
static bool end(struct unpacker *u, siginfo_t *ret)
{
	closep(&u->in);
	closep(&u->out);
	u->in = u->out = -1;
	return child_end(&u->child, ret);
}

/* Its end of the pipe is closed: it is at its end, or about to be. Give it the time to get there by
 * itself, for the sake of the message. */
static int tell_end(struct unpacker *u, struct error **reterr)
{
	siginfo_t info;

	(void)child_wait(&u->child, LAST_WORD_MS);
	if (!end(u, &info))
		return error_setf(reterr, "the unpacker ended too early");
	if (info.si_code == CLD_EXITED)
		return error_setf(
			reterr, "the unpacker ended too early, with status %d", info.si_status);
	if (info.si_status == SIGSYS)
		return error_setf(
			reterr, "the unpacker was killed, for a system call that it may not do");
	return error_setf(reterr, "the unpacker was killed by signal %d", info.si_status);
}

/* ---- what goes to and fro ---- */

static int source_failed(struct unpacker *u, struct error **reterr)
{
	u->failed = true;
	return error_setf(reterr, "the stream of the layer failed");
}

/* More bytes of the blob, or its end. */
static int fetch(struct unpacker *u, struct error **reterr)
{
	const struct image_pull_reader *reader = u->options.reader;
	const void *data = u->own;
	int64_t n;

	if (u->own)
		n = reader->read(reader->context, u->own, WINDOW);
	else
		n = reader->next(reader->context, &data);
	if (n < 0 || (u->own && n > (int64_t)WINDOW))
		return source_failed(u, reterr);
	u->pending = data;
	u->npending = (size_t)n;
	u->given = !n;
	if (u->given && u->in >= 0)
		shutdown(u->in, SHUT_WR);
	return 0;
}

static void hand_over(struct unpacker *u)
{
	ssize_t n = send(u->in, u->pending, u->npending, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0) {
		u->pending += n;
		u->npending -= (size_t)n;
		u->waited_ms = 0;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		/* It has ended, and may have said why before. */
		u->deaf = true;
		u->npending = 0;
	}
}

static int check_cancelled(struct unpacker *u, struct error **reterr)
{
	const struct image_pull_reader *reader = u->options.reader;

	u->unchecked = 0;
	if (IMAGE_PULL_HAS(reader, struct image_pull_reader, wait) && reader->wait &&
		reader->wait(reader->context, 0) < 0)
		return source_failed(u, reterr);
	return 0;
}

static int wait_for_it(struct unpacker *u, struct error **reterr)
{
	struct pollfd p[2] = {
		{.fd = u->out, .events = POLLIN},
		{.fd = u->npending ? u->in : -1, .events = POLLOUT},
	};
	int n = poll(p, 2, POLL_MS);

	if (n < 0 && errno != EINTR)
		return error_set(
			reterr, error_path("poll", u->options.program, error_errno(errno)));
	if (n)
		return 0;
	u->waited_ms += POLL_MS;
	if (u->waited_ms >= u->options.stall_ms)
		return error_setf(reterr, "the unpacker does not answer");
	return check_cancelled(u, reterr);
}

static int begin(struct unpacker *u, struct error **reterr)
{
	if (u->started)
		return error_setf(reterr, "the unpacker has ended");
	if (fetch(u, reterr) < 0 || start(u, reterr) < 0)
		return -1;
	u->started = true;
	if (u->given) /* an empty blob */
		shutdown(u->in, SHUT_WR);
	return 0;
}

/* What the unpacker has to say comes first: then neither side ever waits for the other. */
static ssize_t read_records(void *arg, void *buf, size_t size, struct error **reterr)
{
	struct unpacker *u = arg;

	if (!u->child.pid && begin(u, reterr) < 0)
		return -1;
	if (u->unchecked >= CHECK_SIZE && check_cancelled(u, reterr) < 0)
		return -1;
	for (;;) {
		ssize_t n = read(u->out, buf, size);

		if (n > 0) {
			u->unchecked += (size_t)n;
			u->waited_ms = 0;
			return n;
		}
		if (!n)
			return tell_end(u, reterr);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return error_set(
				reterr, error_path("read", u->options.program, error_errno(errno)));
		if (!u->npending && !u->given && !u->deaf && fetch(u, reterr) < 0)
			return -1;
		if (u->npending)
			hand_over(u);
		if ((u->npending || u->given || u->deaf) && wait_for_it(u, reterr) < 0)
			return -1;
	}
}

static bool all_given(void *arg)
{
	const struct unpacker *u = arg;

	return u->given;
}

static bool reader_failed(void *arg)
{
	const struct unpacker *u = arg;

	return u->failed;
}

/* ---- */

int unpacker_new(
	const struct unpacker_options *options, struct unpacker **ret, struct error **reterr)
{
	struct unpacker *u;

	if (access(options->program, X_OK) < 0)
		return error_set(reterr, error_path("exec", options->program, error_errno(errno)));
	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set(reterr, &error_no_memory);
	u->options = *options;
	if (!u->options.stall_ms)
		u->options.stall_ms = STALL_MS;
	u->child = CHILD_NONE;
	u->in = u->out = -1;
	u->source = (struct record_source){u, read_records, all_given, reader_failed};
	if (!IMAGE_PULL_HAS(options->reader, struct image_pull_reader, next) ||
		!options->reader->next) {
		u->own = malloc(WINDOW);
		if (!u->own) {
			unpacker_free(u);
			return error_set(reterr, &error_no_memory);
		}
	}
	if (record_reader_new(&u->source, options->max_unpacked, &u->records, reterr) < 0) {
		unpacker_free(u);
		return -1;
	}
	record_reader_members(u->records, &u->members);
	*ret = u;
	return 0;
}

void unpacker_free(struct unpacker *u)
{
	siginfo_t info;

	if (!u)
		return;
	(void)end(u, &info);
	record_reader_free(u->records);
	free(u->own);
	free(u);
}

const struct tar_members *unpacker_members(const struct unpacker *u)
{
	return &u->members;
}

bool unpacker_over(const struct unpacker *u)
{
	return record_reader_over(u->records);
}

int unpacker_diff_id(const struct unpacker *u, char ret[DIGEST_MAX], struct error **reterr)
{
	record_reader_digest(u->records, ret);
	return *ret ? 0 : error_set(reterr, &error_no_memory);
}
