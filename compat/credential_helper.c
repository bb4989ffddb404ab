/* SPDX-License-Identifier: Apache-2.0 */
/* docker-credential-* programs. Go counterpart: docker-credential-helpers/client. */
#include "config.h"

#include "credential_helper.h"
#include "credentials.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/context.h"
#include "base/error.h"
#include "base/json.h"
#include "child.h"

#define ANSWER_LIMIT (1u << 20)
#define TIMEOUT_MS 60000
#define NOT_FOUND_TEXT "credentials not found in native keychain"

extern char **environ;

static int until(int64_t end)
{
	int64_t left = end - monotonic_ms();

	return left > 0 ? (int)left : 0;
}

/* All that comes until the other end closes. 0, or an errno. */
static int read_answer(int fd, int64_t end, struct buf *answer)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int left = until(end);
		char chunk[4096];
		int ready = left ? poll(&p, 1, left) : 0;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return errno;
		if (!ready)
			return ETIMEDOUT;

		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno != ECONNRESET)
			return errno;
		if (n <= 0)
			return 0;
		buf_append(answer, chunk, (size_t)n);
		explicit_bzero(chunk, sizeof(chunk));
		if (answer->oom || answer->size > ANSWER_LIMIT)
			return answer->oom ? ENOMEM : EFBIG;
	}
}

/* Run it. Its answer is in *answer, and whether it ended well in *ret_failed. */
static int run(const char *program, const char *verb, const char *input, struct buf *answer,
	bool *ret_failed, struct error **reterr)
{
	char *const argv[] = {(char *)program, (char *)verb, NULL};
	struct child_options options = {.program = program, .argv = argv, .env = environ};
	int64_t end = monotonic_ms() + TIMEOUT_MS;
	struct child child;
	siginfo_t info;
	int ends[2];
	int r = child_socketpair(ends);

	if (r)
		return error_set(reterr, error_path("socketpair", program, error_errno(r)));
	options.in = options.out = ends[1];
	r = child_start(&options, &child);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return error_set(reterr, r == ENOMEM ? &error_no_memory
						     : error_path("exec", program, error_errno(r)));
	}
	/* A helper that does not read is told by what it answers. */
	(void)send(ends[0], input, strlen(input), MSG_NOSIGNAL);
	shutdown(ends[0], SHUT_WR);
	r = read_answer(ends[0], end, answer);
	close(ends[0]);
	if (!r && !child_wait(&child, until(end)))
		r = ETIMEDOUT;
	/* Where nobody knows how it ended, its answer alone must do. */
	*ret_failed =
		child_end(&child, &info) && (info.si_code != CLD_EXITED || info.si_status != 0);
	if (r == ENOMEM)
		return error_set(reterr, &error_no_memory);
	return r ? error_set(reterr, error_path("read", program, error_errno(r))) : 0;
}

/* The text of a helper that failed, without blanks at its end. */
static int failure(const char *program, struct buf *answer, struct error **reterr)
{
	while (answer->size && strchr(" \t\r\n", answer->data[answer->size - 1]))
		answer->data[--answer->size] = '\0';

	const char *text = answer->size ? answer->data : "it gave no reason";

	return error_set(
		reterr, error_classf(!strcmp(text, NOT_FOUND_TEXT) ? CLASS_NOT_FOUND : CLASS_NONE,
				"%s: %s", program, text));
}

/* The program's name; NULL after an error. */
static char *program_of(const char *name, struct error **reterr)
{
	char *program;

	if (!*name || strchr(name, '/')) {
		error_setf(reterr, "\"%s\" is no name of a credential helper", name);
		return NULL;
	}
	program = str_printf("docker-credential-%s", name);
	if (!program)
		error_set(reterr, &error_no_memory);
	return program;
}

int credential_helper_get(const char *name, const char *server, char **ret_username,
	char **ret_secret, struct error **reterr)
{
	cleanup_free char *program = program_of(name, reterr);
	cleanup_secret struct buf answer = {0};
	cleanup_json struct json *json = NULL;
	cleanup_error struct error *err = NULL;
	const char *username, *secret;
	bool failed = false;

	if (!program)
		return -1;
	if (run(program, "get", server, &answer, &failed, reterr) < 0)
		return -1;
	if (failed)
		return failure(program, &answer, reterr);
	if (json_parse(answer.data ? answer.data : "", answer.size, &json, &err) < 0)
		return err == &error_no_memory
			       ? error_set(reterr, &error_no_memory)
			       : error_setf(reterr, "%s: its answer is no JSON", program);
	username = json_get_string(json_root(json), "Username", NULL);
	secret = json_get_string(json_root(json), "Secret", NULL);
	if (!username || !secret)
		return error_setf(reterr, "%s: its answer has no Username and Secret", program);
	*ret_username = strdup(username);
	*ret_secret = strdup(secret);
	if (*ret_username && *ret_secret)
		return 0;
	free(*ret_username);
	free(*ret_secret);
	return error_set(reterr, &error_no_memory);
}

int credential_helper_store(const char *name, const char *server, const char *username,
	const char *secret, struct error **reterr)
{
	cleanup_free char *program = program_of(name, reterr);
	cleanup_secret struct buf input = {0};
	cleanup_secret struct buf answer = {0};
	bool failed = false;

	if (!program)
		return -1;
	buf_append_str(&input, "{\"ServerURL\":");
	buf_append_json(&input, server, strlen(server), false);
	buf_append_str(&input, ",\"Username\":");
	buf_append_json(&input, username, strlen(username), false);
	buf_append_str(&input, ",\"Secret\":");
	buf_append_json(&input, secret, strlen(secret), false);
	buf_append_str(&input, "}\n");
	if (input.oom)
		return error_set(reterr, &error_no_memory);
	if (run(program, "store", input.data, &answer, &failed, reterr) < 0)
		return -1;
	return failed ? failure(program, &answer, reterr) : 0;
}

int credential_helper_erase(const char *name, const char *server, struct error **reterr)
{
	cleanup_free char *program = program_of(name, reterr);
	cleanup_secret struct buf answer = {0};
	bool failed = false;

	if (!program)
		return -1;
	if (run(program, "erase", server, &answer, &failed, reterr) < 0)
		return -1;
	if (!failed)
		return 0;

	cleanup_error struct error *err = NULL;

	failure(program, &answer, &err);
	return error_class_of(err) == CLASS_NOT_FOUND ? 0 : error_set(reterr, error_ref(err));
}
