/* SPDX-License-Identifier: Apache-2.0 */
/* Which request goes where, and what all answers have in common. Go counterparts: api/server
 * (server.go, errorhandler.go, middleware/version.go, httputils, httpstatus). */
#include "config.h"

#include "serve.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_LIMIT ((size_t)64 << 10)

/* ---- routes */

static const struct route {
	const char *method;
	const char *path; /* '*' stands for NAME: all up to what follows, slashes too */
	enum MHD_Result (*handle)(struct exchange *x);
} routes[] = {
	{"GET", "/_ping", ping},
	{"HEAD", "/_ping", ping},
	{"GET", "/version", get_version},
	{"GET", "/info", get_info},
	{"POST", "/auth", authenticate},
	{"GET", "/images/json", get_images},
	{"POST", "/images/create", create_image},
	{"GET", "/images/*/json", get_image},
	{"POST", "/images/*/tag", tag_image},
	{"DELETE", "/images/*", delete_image},
};

static bool matches(const char *pattern, const char *path, char **ret_name)
{
	size_t before = strcspn(pattern, "*"), size = strlen(path), after;

	if (!pattern[before])
		return strcmp(pattern, path) == 0;
	after = strlen(pattern + before + 1);
	if (strncmp(pattern, path, before) != 0 || size < before + after ||
		strcmp(path + size - after, pattern + before + 1) != 0)
		return false;
	*ret_name = strndup(path + before, size - before - after);
	return true;
}

/* versions.compare: numbers between dots. */
static int compare_versions(const char *a, const char *b)
{
	while (*a || *b) {
		char *end_a, *end_b;
		unsigned long x = strtoul(a, &end_a, 10), y = strtoul(b, &end_b, 10);

		if (x != y)
			return x < y ? -1 : 1;
		a = end_a + strspn(end_a, ".");
		b = end_b + strspn(end_b, ".");
	}
	return 0;
}

/* "/v1.41/images/json": the version, into room, and what follows. */
static const char *split_version(const char *path, char room[16])
{
	size_t n;

	strcpy(room, API_VERSION);
	if (strncmp(path, "/v", 2) != 0)
		return path;
	n = strspn(path + 2, "0123456789.");
	if (n == 0 || n > 15 || path[2 + n] != '/')
		return path;
	memcpy(room, path + 2, n);
	room[n] = '\0';
	return path + 2 + n;
}

static enum MHD_Result check_version(struct exchange *x, bool *ret_answered)
{
	char text[160];

	*ret_answered = true;
	if (compare_versions(x->version, MIN_API_VERSION) < 0)
		snprintf(text, sizeof(text),
			"client version %s is too old. Minimum supported API version is "
			"%s, please upgrade your client to a newer version",
			x->version, MIN_API_VERSION);
	else if (compare_versions(x->version, API_VERSION) > 0)
		snprintf(text, sizeof(text),
			"client version %s is too new. Maximum supported API version is %s",
			x->version, API_VERSION);
	else
		*ret_answered = false;
	return *ret_answered ? reply_error(x, MHD_HTTP_BAD_REQUEST, text) : MHD_YES;
}

static enum MHD_Result dispatch(struct exchange *x)
{
	char version[16];
	const char *path = split_version(x->path, version);
	enum MHD_Result result;
	bool answered;

	x->version = version;
	server_log(x->server, IMAGE_PULL_LOG_DEBUG, "Calling %s %s", x->method, x->path);
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		free(x->name);
		x->name = NULL;
		if (strcmp(routes[i].method, x->method) != 0 ||
			!matches(routes[i].path, path, &x->name))
			continue;
		result = check_version(x, &answered);
		if (answered)
			return result;
		if (x->body_too_long)
			return reply_error(x, 413, "http: request body too large");
		if (strchr(routes[i].path, '*') && !x->name)
			return reply_error(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
		return routes[i].handle(x);
	}
	return reply_error(x, MHD_HTTP_NOT_FOUND, "page not found");
}

static enum MHD_Result keep_body(struct exchange *x, const char *data, size_t size)
{
	char *grown = NULL;

	if (!x->body_too_long && size <= BODY_LIMIT - x->body_size)
		grown = realloc(x->body, x->body_size + size);
	if (!grown) {
		x->body_too_long = true; /* or there is no memory: it is read and forgotten */
		return MHD_YES;
	}
	x->body = grown;
	memcpy(x->body + x->body_size, data, size);
	x->body_size += size;
	return MHD_YES;
}

enum MHD_Result route_request(void *server, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **context)
{
	struct exchange *x = *context;

	(void)version; /* MHD speaks both */
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			return MHD_NO;
		x->server = server;
		x->connection = connection;
		*context = x;
		return MHD_YES;
	}
	if (*upload_data_size) {
		size_t size = *upload_data_size;

		*upload_data_size = 0;
		return keep_body(x, upload_data, size);
	}
	x->method = method;
	x->path = url;
	return dispatch(x);
}

void route_completed(void *server, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *context;

	(void)server;
	(void)connection;
	(void)code; /* however it ended */
	if (!x)
		return;
	pull_end(x->pull);
	if (x->body)
		explicit_bzero(x->body, x->body_size);
	free(x->body);
	free(x->name);
	free(x);
	*context = NULL;
}

/* ---- what was asked */

const char *exchange_argument(const struct exchange *x, const char *name)
{
	const char *value = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);

	return value ? value : "";
}

bool exchange_flag(const struct exchange *x, const char *name)
{
	static const char *const no[] = {"", "0", "no", "false", "none"};
	const char *value = exchange_argument(x, name);

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strcasecmp(value, no[i]) == 0)
			return false;
	return true;
}

/* ---- answers */

enum MHD_Result reply_response(struct exchange *x, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Api-Version", API_VERSION);
	MHD_add_response_header(response, "Docker-Experimental", "false");
	MHD_add_response_header(response, "Ostype", "linux");
	MHD_add_response_header(response, "Server", "towline/" PACKAGE_VERSION " (linux)");
	result = MHD_queue_response(x->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result reply(
	struct exchange *x, unsigned status, const char *type, char *text, size_t size)
{
	struct MHD_Response *response =
		text ? MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE) : NULL;

	if (!response)
		free(text);
	else if (type)
		MHD_add_response_header(response, "Content-Type", type);
	return reply_response(x, status, response);
}

void print_json_string(FILE *out, const char *text)
{
	struct towline_text json;

	towline_text_init(&json);
	if (towline_json_string(text, &json.sink) == IMAGE_PULL_OK && json.value)
		fwrite(json.value, 1, json.value_size, out);
	towline_text_free(&json);
}

enum MHD_Result reply_error(struct exchange *x, unsigned status, const char *message)
{
	bool json = compare_versions(x->version, "1.24") >= 0;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return MHD_NO;
	if (status >= 500)
		server_log(x->server, IMAGE_PULL_LOG_ERROR, "Handler for %s %s returned error: %s",
			x->method, x->path, message);
	if (json)
		fputs("{\"message\":", out);
	if (json)
		print_json_string(out, message);
	else
		fputs(message, out);
	fputs(json ? "}\n" : "\n", out);
	if (fclose(out) != 0) {
		free(text);
		text = NULL;
	}
	return reply(
		x, status, json ? "application/json" : "text/plain; charset=utf-8", text, size);
}

unsigned status_of_class(int error_class)
{
	switch (error_class) {
	case IMAGE_PULL_CLASS_NOT_FOUND:
		return MHD_HTTP_NOT_FOUND;
	case IMAGE_PULL_CLASS_INVALID_PARAMETER:
		return MHD_HTTP_BAD_REQUEST;
	case IMAGE_PULL_CLASS_CONFLICT:
		return MHD_HTTP_CONFLICT;
	case IMAGE_PULL_CLASS_UNAUTHORIZED:
		return MHD_HTTP_UNAUTHORIZED;
	case IMAGE_PULL_CLASS_UNAVAILABLE:
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	case IMAGE_PULL_CLASS_FORBIDDEN:
		return MHD_HTTP_FORBIDDEN;
	case IMAGE_PULL_CLASS_NOT_IMPLEMENTED:
		return MHD_HTTP_NOT_IMPLEMENTED;
	}
	return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

enum MHD_Result reply_code(struct exchange *x, int code, const struct towline_text *text)
{
	static const int classes[] = {
		[IMAGE_PULL_NOT_FOUND] = IMAGE_PULL_CLASS_NOT_FOUND,
		[IMAGE_PULL_CONFLICT] = IMAGE_PULL_CLASS_CONFLICT,
		[IMAGE_PULL_INVALID] = IMAGE_PULL_CLASS_INVALID_PARAMETER,
		[IMAGE_PULL_FORBIDDEN] = IMAGE_PULL_CLASS_FORBIDDEN,
		[IMAGE_PULL_UNAUTHORIZED] = IMAGE_PULL_CLASS_UNAUTHORIZED,
		[IMAGE_PULL_UNAVAILABLE] = IMAGE_PULL_CLASS_UNAVAILABLE,
	};
	size_t n = sizeof(classes) / sizeof(classes[0]);

	return reply_error(x, status_of_class(code >= 0 && (size_t)code < n ? classes[code] : 0),
		towline_text_message(text, code));
}
