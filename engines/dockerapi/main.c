/* SPDX-License-Identifier: Apache-2.0 */
/* towline-serve: options, the socket, and the life of the server. It is started by `towline serve`,
 * or by systemd with a socket that listens already. Go counterpart: cmd/dockerd.
 *
 * The plugin, with libcurl and GnuTLS, is loaded by the first pull or login. */
#include "config.h"

#include "serve.h"

#include "common/host.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_PASSED_FD 3 /* SD_LISTEN_FDS_START */
#define CONNECTIONS 1024
#define STACK_SIZE ((size_t)1 << 20)
#define CONNECTION_MEMORY ((size_t)128 << 10) /* request line and headers, tokens among them */

struct options {
	const char *config, *root, *plugin, *socket, *group;
	int log_level;
};

/* ---- what is said */

void server_log(const struct server *server, int level, const char *format, ...)
{
	static const char *const words[] = {"error", "warning", "info", "debug"};
	struct towline_text json;
	char *text = NULL;
	va_list ap;

	if (level < 0 || level > IMAGE_PULL_LOG_DEBUG || level > server->log_level)
		return;
	towline_text_init(&json);
	va_start(ap, format);
	if (vasprintf(&text, format, ap) >= 0 &&
		towline_json_string(text, &json.sink) == IMAGE_PULL_OK && json.value)
		fprintf(stderr, "level=%s msg=%s\n", words[level], json.value);
	va_end(ap);
	free(text);
	towline_text_free(&json);
}

static void store_log(void *context, int level, const char *message)
{
	server_log(context, level, "%s", message);
}

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *format, ...)
{
	va_list ap;

	fputs("towline-serve: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

/* ---- the socket */

/* One that systemd has passed; -1: none, -2: something else was passed. */
static int passed_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int listens = 0;
	socklen_t size = sizeof(listens);

	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
		return -1;
	if (strcmp(fds, "1") != 0 ||
		getsockopt(FIRST_PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 ||
		!listens) {
		(void)complain("one listening socket is to be passed, not %s of something", fds);
		return -2;
	}
	if (fcntl(FIRST_PASSED_FD, F_SETFD, FD_CLOEXEC) < 0 ||
		fcntl(FIRST_PASSED_FD, F_SETFL, O_NONBLOCK) < 0)
		return -2;
	return FIRST_PASSED_FD;
}

static int connect_to(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)address, sizeof(*address));
	int problem = errno;

	if (fd >= 0)
		close(fd);
	errno = problem;
	return r;
}

static int give_to_group(const char *path, const char *name)
{
	const struct group *group;

	if (!name)
		return 0;
	group = getgrnam(name);
	if (!group)
		return complain("there is no group %s", name);
	if (chown(path, (uid_t)-1, group->gr_gid) < 0)
		return complain("%s can not be given to group %s: %s", path, name, strerror(errno));
	return 0;
}

/* Mode 0660 from the start: who may connect may do all that this server can. */
static int listen_at(const char *path, const char *group)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return complain("%s is too long for a socket's name", path);
	strcpy(address.sun_path, path);
	if (connect_to(&address) == 0)
		return complain("%s: somebody listens there already", path);
	/* Left by one that was killed. What is no socket gives ENOTSOCK or ECONNREFUSED, too. */
	if (errno == ECONNREFUSED) {
		struct stat st;

		if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
			(void)unlink(path); /* else bind says so */
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain("no socket: %s", strerror(errno));
	mask = umask(0117);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	(void)umask(mask);
	if (r < 0)
		(void)complain("%s: %s", path, strerror(errno));
	else
		r = give_to_group(path, group);
	if (r == 0 && listen(fd, SOMAXCONN) < 0)
		r = complain("%s: %s", path, strerror(errno));
	if (r == 0)
		return fd;
	close(fd);
	return -1;
}

/* ---- the server */

int server_instance(struct server *server, struct towline_text *text)
{
	struct image_pull_events events;
	struct host_parts parts = {.config = server->config,
		.registry_service = server->registry_service,
		.store = server->store,
		.events = &events};
	int code = IMAGE_PULL_OK;

	pthread_mutex_lock(&server->lock);
	if (!server->plugin)
		code = towline_plugin_load(server->plugin_path, &server->plugin, &text->sink);
	parts.plugin = server->plugin;
	pull_events(server, &events);
	if (code == IMAGE_PULL_OK && !server->instance)
		code = host_instance(&parts, &server->instance, &text->sink);
	pthread_mutex_unlock(&server->lock);
	return code;
}

static int judge(struct towline_text *text, int code)
{
	int r = code == IMAGE_PULL_OK ? 0 : complain("%s", towline_text_message(text, code));

	towline_text_free(text);
	return r;
}

static int server_open(struct server *server, const struct options *o)
{
	struct towline_store_options options = {.struct_size = sizeof(options),
		.root = o->root,
		.log = store_log,
		.log_context = server};
	struct towline_text text;

	server->log_level = o->log_level;
	pthread_mutex_init(&server->lock, NULL);
	towline_text_init(&text);
	if (judge(&text, towline_config_load(o->config, &server->config, &text.sink)) < 0)
		return -1;
	if (!options.root)
		options.root = server->config->data_root;
	options.fast = !server->config->durable;
	options.unpacker = server->config->confine ? server->config->unpacker : NULL;
	server->root = options.root;
	server->plugin_path = o->plugin ? o->plugin : server->config->plugin_path;
	towline_text_init(&text);
	if (judge(&text, towline_store_open(&options, &server->store, &text.sink)) < 0)
		return -1;
	towline_text_init(&text);
	return judge(&text, host_registry_service(server->config, NULL, NULL,
				    &server->registry_service, &text.sink));
}

static void server_close(struct server *server)
{
	if (server->plugin)
		server->plugin->destroy(server->instance);
	towline_registry_service_free(server->registry_service);
	towline_store_close(server->store);
	towline_config_free(server->config);
}

/* Until a signal says that it is enough. */
static int serve(struct server *server, int fd)
{
	sigset_t ends;
	struct MHD_Daemon *daemon;
	int number;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	/* Before there are threads, so that none takes them. */
	if (pthread_sigmask(SIG_BLOCK, &ends, NULL) != 0)
		return complain("signals can not be blocked");
	daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0,
		NULL, NULL, route_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_THREAD_STACK_SIZE,
		STACK_SIZE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_COMPLETED, route_completed, server, MHD_OPTION_END);
	if (!daemon)
		return complain("the HTTP server does not start");
	server_log(server, IMAGE_PULL_LOG_INFO, "towline %s serves", towline_version());
	while (sigwait(&ends, &number) != 0)
		;
	/* Running pulls end as cancelled ones; their clients hear of it, then all threads are
	 * joined. */
	atomic_store(&server->stopping, true);
	MHD_stop_daemon(daemon);
	return 0;
}

/* ---- options */

static int parse_level(const char *word)
{
	static const char *const words[] = {"error", "warn", "info", "debug"};

	for (size_t i = 0; word && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			return (int)i;
	return -1;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{"config", required_argument, NULL, 'c'},
		{"root", required_argument, NULL, 'r'},
		{"plugin", required_argument, NULL, 'p'},
		{"socket", required_argument, NULL, 's'},
		{"group", required_argument, NULL, 'g'},
		{"log-level", required_argument, NULL, 'l'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'r':
			o->root = optarg;
			break;
		case 'p':
			o->plugin = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'g':
			o->group = optarg;
			break;
		case 'l':
			o->log_level = parse_level(optarg);
			if (o->log_level < 0)
				return complain("--log-level is error, warn, info or debug");
			break;
		default:
			return -1; /* getopt has said it */
		}
	}
	return optind == argc ? 0 : complain("%s: unexpected", argv[optind]);
}

int main(int argc, char **argv)
{
	struct options o = {.log_level = IMAGE_PULL_LOG_ERROR};
	struct server server = {.config = NULL};
	int fd, r = -1;

	signal(SIGPIPE, SIG_IGN);
	if (parse_options(argc, argv, &o) < 0)
		return 2;
	fd = passed_socket();
	if (fd >= 0)
		o.socket = NULL; /* whose it is removes it */
	else if (fd == -1 && !o.socket)
		(void)complain("--socket is missing (see towline serve)");
	else if (fd == -1)
		fd = server_open(&server, &o) == 0 ? listen_at(o.socket, o.group) : -1;
	if (fd >= 0 && (server.store || server_open(&server, &o) == 0))
		r = serve(&server, fd);
	/* MHD has closed fd. */
	if (o.socket && r == 0)
		(void)unlink(o.socket);
	server_close(&server);
	return r == 0 ? 0 : 1;
}
