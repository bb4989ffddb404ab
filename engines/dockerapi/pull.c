/* SPDX-License-Identifier: Apache-2.0 */
/* POST /images/create: a pull, whose lines are sent while it runs. Go counterparts:
 * api/server/router/image (postImagesCreate), daemon/images/image_pull.go,
 * distribution/utils/progress.go.
 *
 * The pull has a thread, on which the plugin's callbacks run; the connection's thread reads what
 * they wrote. The answer's status waits for the first line or the pull's end, as Docker's does. */
#include "config.h"

#include "serve.h"

#include "common/host.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A client that reads slowly holds its own pull up once so much waits for it. */
#define OUTPUT_LIMIT ((size_t)1 << 20)
#define STACK_SIZE ((size_t)1 << 20)

struct pull {
	struct server *server;
	int fd; /* of the connection, to see it close */
	char *reference;
	struct host_platform platform;
	bool platform_given;
	struct host_credentials credentials;
	struct image_pull_header *headers; /* X-Meta-...; name and value in one allocation each */
	size_t nheaders;
	pthread_t thread;
	bool started; /* the thread */

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t cond;  /* any of it has changed */
	char *output;
	size_t size, taken; /* bytes in output, of which taken were sent */
	bool spoken;        /* something was written */
	bool done, gone;    /* the pull has ended; nobody listens any more */
	bool failed;        /* before it said anything */
	int error_class;
	char *message; /* NULL: no memory for it */
};

/* ---- on the pull's thread */

/* A Docker client that ends closes its connection; one that shuts down its half has ended, too:
 * Go's server sees it so. */
static bool has_hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

static int on_cancelled(void *context, void *cookie)
{
	struct server *server = context;
	struct pull *p = cookie;
	bool gone;

	if (!p) /* a login: registries answer those, or time is up, soon */
		return atomic_load(&server->stopping);
	pthread_mutex_lock(&p->lock);
	p->gone = p->gone || has_hung_up(p->fd);
	gone = p->gone;
	pthread_mutex_unlock(&p->lock);
	return gone || atomic_load(&server->stopping);
}

static void give_up(struct pull *p)
{
	pthread_mutex_lock(&p->lock);
	p->gone = true;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

/* Append; what does not fit waits, unless nobody listens. Lock held. */
static void append(struct pull *p, const void *data, size_t size)
{
	struct timespec until;
	char *grown;

	while (p->size - p->taken > OUTPUT_LIMIT && !p->gone &&
		!atomic_load(&p->server->stopping)) {
		p->gone = has_hung_up(p->fd);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&p->cond, &p->lock, &until);
	}
	if (p->gone)
		return;
	if (p->taken) {
		memmove(p->output, p->output + p->taken, p->size - p->taken);
		p->size -= p->taken;
		p->taken = 0;
	}
	grown = realloc(p->output, p->size + size);
	if (!grown) {
		p->gone = true; /* a line that is lost would be a lie: the pull ends */
		return;
	}
	p->output = grown;
	memcpy(p->output + p->size, data, size);
	p->size += size;
	p->spoken = true;
	pthread_cond_broadcast(&p->cond);
}

static int write_line(void *receiver, const void *data, size_t size)
{
	struct pull *p = receiver;

	pthread_mutex_lock(&p->lock);
	append(p, data, size);
	pthread_mutex_unlock(&p->lock);
	return IMAGE_PULL_OK;
}

static void on_progress(void *context, void *cookie, const struct image_pull_progress *progress)
{
	const struct image_pull_sink sink = {
		.struct_size = sizeof(sink), .receiver = cookie, .value = write_line};

	(void)context; /* the pull is all that matters */
	if (towline_progress_json(progress, &sink) != IMAGE_PULL_OK)
		give_up(cookie);
}

static void on_log(void *context, void *cookie, int level, const char *message)
{
	(void)cookie; /* the log is the server's */
	server_log(context, level, "%s", message);
}

void pull_events(struct server *server, struct image_pull_events *ret)
{
	*ret = (struct image_pull_events){
		.struct_size = sizeof(*ret),
		.context = server,
		.progress = on_progress,
		.log = on_log,
		.cancelled = on_cancelled,
	};
}

static void *run_pull(void *arg)
{
	struct pull *p = arg;
	const struct image_pull_plugin *plugin = p->server->plugin;
	const struct image_pull_request request = {
		.struct_size = sizeof(request),
		.reference = p->reference,
		.pull = p,
		.platform = p->platform_given ? &p->platform.platform : NULL,
		.auth = p->credentials.found ? &p->credentials.auth : NULL,
		.meta_headers = p->headers,
		.nmeta_headers = p->nheaders,
	};
	const struct image_pull_sink sink = {
		.struct_size = sizeof(sink), .receiver = p, .value = write_line};
	struct image_pull_error *error = NULL;
	int r = plugin->image_pull(p->server->instance, &request, &error);
	const struct image_pull_error_info *info = error ? plugin->error_info(error) : NULL;
	bool spoken;

	pthread_mutex_lock(&p->lock);
	spoken = p->spoken;
	pthread_mutex_unlock(&p->lock);
	if (r != 0 && spoken)
		(void)towline_error_json(info ? info->message : "out of memory", 0, &sink);
	pthread_mutex_lock(&p->lock);
	p->failed = r != 0 && !spoken;
	if (p->failed) {
		p->error_class = info ? info->error_class : IMAGE_PULL_CLASS_NONE;
		p->message = info ? strdup(info->message) : NULL;
	}
	p->done = true;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
	plugin->error_free(error);
	return NULL;
}

/* ---- on the connection's thread */

void pull_end(struct pull *p)
{
	if (!p)
		return;
	if (p->started) {
		give_up(p);
		pthread_join(p->thread, NULL);
	}
	for (size_t i = 0; i < p->nheaders; i++)
		free((char *)p->headers[i].name);
	free(p->headers);
	host_credentials_forget(&p->credentials);
	host_platform_free(&p->platform);
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->lock);
	free(p->reference);
	free(p->output);
	free(p->message);
	free(p);
}

/* MHD_ContentReaderCallback: what there is, or a wait for it. */
static ssize_t read_output(void *context, uint64_t at, char *buf, size_t max)
{
	struct pull *p = context;
	size_t n;

	(void)at; /* read once, in order */
	pthread_mutex_lock(&p->lock);
	while (p->taken == p->size && !p->done && !p->gone)
		pthread_cond_wait(&p->cond, &p->lock);
	n = p->size - p->taken;
	if (n > max)
		n = max;
	if (n) {
		memcpy(buf, p->output + p->taken, n);
		p->taken += n;
		pthread_cond_broadcast(&p->cond);
	}
	pthread_mutex_unlock(&p->lock);
	return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result answer(struct exchange *x, struct pull *p)
{
	struct MHD_Response *response;
	bool failed;

	pthread_mutex_lock(&p->lock);
	while (!p->spoken && !p->done && !p->gone)
		pthread_cond_wait(&p->cond, &p->lock);
	failed = p->failed;
	pthread_mutex_unlock(&p->lock);
	if (failed) /* it has ended: nobody else looks at it */
		return reply_error(x, status_of_class(p->error_class),
			p->message ? p->message : "out of memory");
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_output, p, NULL);
	if (response)
		MHD_add_response_header(response, "Content-Type", "application/json");
	return reply_response(x, MHD_HTTP_OK, response);
}

/* Headers that the client wants to be sent to the registry. */
static enum MHD_Result keep_header(
	void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct pull *p = context;
	struct image_pull_header *grown;
	size_t n = strlen(name) + 1;
	char *both;

	(void)kind;
	if (strncasecmp(name, "X-Meta-", 7) != 0 || !value)
		return MHD_YES;
	grown = reallocarray(p->headers, p->nheaders + 1, sizeof(*grown));
	if (grown)
		p->headers = grown;
	both = grown ? malloc(n + strlen(value) + 1) : NULL;
	if (!both)
		return MHD_NO;
	strcpy(both, name);
	strcpy(both + n, value);
	p->headers[p->nheaders++] = (struct image_pull_header){both, both + n};
	return MHD_YES;
}

static int keep_auth(void *receiver, const void *data, size_t size)
{
	const struct towline_auth_config *config = data;

	(void)size; /* this library's header is ours */
	return host_credentials_keep(receiver, &config->auth);
}

/* What is wrong with them is no error of a pull, as in the original: then there are none. */
static void take_credentials(struct exchange *x, struct pull *p)
{
	const struct image_pull_sink sink = {
		.struct_size = sizeof(sink), .receiver = &p->credentials, .value = keep_auth};
	const char *header =
		MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "X-Registry-Auth");

	if (header && *header)
		(void)towline_auth_config(header, strlen(header), 1, &sink);
}

/* What is asked for. IMAGE_PULL_OK, or the failure is in text. */
static int read_request(struct exchange *x, struct pull *p, struct towline_text *text)
{
	const char *platform = exchange_argument(x, "platform");
	char *image = strdup(exchange_argument(x, "fromImage"));
	size_t size = image ? strlen(image) : 0;
	int code = image ? IMAGE_PULL_OK : IMAGE_PULL_NO_MEMORY;

	if (size && image[size - 1] == ':') /* "pull -a" of old clients */
		image[size - 1] = '\0';
	if (code == IMAGE_PULL_OK && *platform) {
		p->platform_given = true;
		code = host_platform_parse(&p->platform, platform, &text->sink);
	}
	if (code == IMAGE_PULL_OK)
		code = towline_reference_with(image, exchange_argument(x, "tag"), &text->sink);
	if (code == IMAGE_PULL_OK) {
		p->reference = strdup(text->value);
		code = p->reference ? IMAGE_PULL_OK : IMAGE_PULL_NO_MEMORY;
	}
	free(image);
	take_credentials(x, p);
	MHD_get_connection_values(x->connection, MHD_HEADER_KIND, keep_header, p);
	return code;
}

static bool start(struct pull *p)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) != 0)
		return false;
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE); /* else it is larger */
	p->started = pthread_create(&p->thread, &attr, run_pull, p) == 0;
	pthread_attr_destroy(&attr);
	return p->started;
}

enum MHD_Result create_image(struct exchange *x)
{
	struct towline_text text;
	enum MHD_Result result;
	struct pull *p;
	int code;

	if (!*exchange_argument(x, "fromImage"))
		return reply_error(
			x, MHD_HTTP_NOT_IMPLEMENTED, "images are pulled here, not imported");
	p = calloc(1, sizeof(*p));
	if (!p)
		return MHD_NO;
	x->pull = p; /* ended with the request */
	p->server = x->server;
	p->fd = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD)
			->connect_fd;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->cond, NULL);
	towline_text_init(&text);
	code = read_request(x, p, &text);
	if (code == IMAGE_PULL_OK)
		code = server_instance(x->server, &text);
	if (code != IMAGE_PULL_OK)
		result = reply_code(x, code, &text);
	else if (!start(p))
		result = reply_error(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "no thread for the pull");
	else
		result = answer(x, p);
	towline_text_free(&text);
	return result;
}
