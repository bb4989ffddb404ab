/* SPDX-License-Identifier: Apache-2.0 */
/* towline-serve: enough of Docker Engine's API for its client to pull and to look after images. Go
 * counterparts: api/server, daemon/images.
 *
 * Each connection has a thread, which answers its requests; a pull has one more. */
#ifndef SERVE_H
#define SERVE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "towline.h"

#define API_VERSION "1.41"
#define MIN_API_VERSION "1.12"

struct server {
	const struct towline_config *config;
	struct towline_store *store;
	struct towline_registry_service *registry_service;
	const char *plugin_path; /* NULL: where plugins are */
	const char *root;
	int log_level;
	atomic_bool stopping;
	pthread_mutex_t lock; /* guards the rest: loaded by the first who needs it */
	const struct image_pull_plugin *plugin;
	struct image_pull_instance *instance;
};

struct pull;

/* One request, and what is to be said to it. */
struct exchange {
	struct server *server;
	struct MHD_Connection *connection;
	const char *method, *path; /* path: as asked for */
	const char *version;       /* "1.41" */
	char *name;                /* what stands for NAME in the route's path; "" */
	char *body;
	size_t body_size;
	bool body_too_long;
	struct pull *pull; /* what the answer is read from; NULL: it is no pull */
};

/* ---- router.c */

/* MHD's callbacks. */
enum MHD_Result route_request(void *server, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **context);
void route_completed(void *server, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode code);

/* A query's parameter; "" if it is not there. */
const char *exchange_argument(const struct exchange *x, const char *name);
/* httputils.BoolValue */
bool exchange_flag(const struct exchange *x, const char *name);
/* Each of these is an answer. text is taken over, and may be NULL for lack of memory. */
enum MHD_Result reply(
	struct exchange *x, unsigned status, const char *type, char *text, size_t size);
enum MHD_Result reply_error(struct exchange *x, unsigned status, const char *message);
enum MHD_Result reply_code(struct exchange *x, int code, const struct towline_text *text);
/* With the headers that all answers have. */
enum MHD_Result reply_response(struct exchange *x, unsigned status, struct MHD_Response *response);
/* The status for an enum image_pull_class. */
unsigned status_of_class(int error_class);
/* "text" on out, as JSON. */
void print_json_string(FILE *out, const char *text);

/* ---- images.c, pull.c, system.c: the handlers */

enum MHD_Result get_images(struct exchange *x);
enum MHD_Result get_image(struct exchange *x);
enum MHD_Result delete_image(struct exchange *x);
enum MHD_Result tag_image(struct exchange *x);
enum MHD_Result create_image(struct exchange *x);
enum MHD_Result ping(struct exchange *x);
enum MHD_Result get_version(struct exchange *x);
enum MHD_Result get_info(struct exchange *x);
enum MHD_Result authenticate(struct exchange *x);

/* ---- pull.c */

/* The client has gone, or has its answer: the pull ends. NULL is allowed. */
void pull_end(struct pull *p);
void pull_events(struct server *server, struct image_pull_events *ret);

/* ---- main.c */

/* The plugin and its instance, from the first call on. text: why they can't be. */
int server_instance(struct server *server, struct towline_text *text);
void server_log(const struct server *server, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
