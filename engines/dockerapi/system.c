/* SPDX-License-Identifier: Apache-2.0 */
/* What this server is, and whether a registry takes credentials. Go counterparts:
 * api/server/router/system, daemon/info.go, registry/service.go (Auth). */
#include "config.h"

#include "serve.h"

#include "common/host.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum MHD_Result ping(struct exchange *x)
{
	bool head = strcmp(x->method, "HEAD") == 0;
	static char ok[] = "OK";
	struct MHD_Response *response =
		MHD_create_response_from_buffer(head ? 0 : 2, ok, MHD_RESPMEM_PERSISTENT);

	if (response) {
		MHD_add_response_header(
			response, "Cache-Control", "no-cache, no-store, must-revalidate");
		MHD_add_response_header(response, "Pragma", "no-cache");
		MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	}
	return reply_response(x, MHD_HTTP_OK, response);
}

/* ---- JSON */

struct json {
	FILE *out;
	char *text;
	size_t size;
};

static bool json_begin(struct json *j)
{
	j->out = open_memstream(&j->text, &j->size);
	return j->out != NULL;
}

static enum MHD_Result json_reply(struct exchange *x, struct json *j)
{
	putc('\n', j->out);
	if (fclose(j->out) != 0) {
		free(j->text);
		j->text = NULL;
	}
	return reply(x, MHD_HTTP_OK, "application/json", j->text, j->size);
}

static void member(const struct json *j, const char *name, const char *value)
{
	fprintf(j->out, ",\"%s\":", name);
	print_json_string(j->out, value ? value : "");
}

enum which { ALL, NETWORKS, HOSTS };

/* "name":[...], of those values that are meant, and one more if it is not NULL. */
static void list(const struct json *j, const char *name, const char *const *values,
	enum which which, const char *more)
{
	const char *comma = "";

	fprintf(j->out, "\"%s\":[", name);
	for (size_t i = 0; values[i]; i++) {
		if (which != ALL && (strchr(values[i], '/') != NULL) != (which == NETWORKS))
			continue;
		fputs(comma, j->out);
		print_json_string(j->out, values[i]);
		comma = ",";
	}
	if (more)
		fprintf(j->out, "%s\"%s\"", comma, more);
	putc(']', j->out);
}

/* ---- GET /version */

static int keep_architecture(void *receiver, const void *data, size_t size)
{
	const struct image_pull_platform *p = data;

	(void)size;
	snprintf(receiver, 32, "%s", p->architecture);
	return IMAGE_PULL_OK;
}

enum MHD_Result get_version(struct exchange *x)
{
	char architecture[32] = "";
	const struct image_pull_sink sink = {
		.struct_size = sizeof(sink), .receiver = architecture, .value = keep_architecture};
	struct utsname machine = {.release = ""};
	struct json j;

	(void)uname(&machine); /* never fails */
	(void)towline_platform_parse(NULL, &sink);
	if (!json_begin(&j))
		return MHD_NO;
	fprintf(j.out,
		"{\"Platform\":{\"Name\":\"towline\"},\"Components\":[{\"Name\":\"Engine\","
		"\"Version\":\"%s\",\"Details\":{\"ApiVersion\":\"" API_VERSION "\",\"Arch\":"
		"\"%s\",\"BuildTime\":\"\",\"Experimental\":\"false\",\"GitCommit\":\"\","
		"\"GoVersion\":\"\",\"KernelVersion\":\"%s\",\"MinAPIVersion\":\"" MIN_API_VERSION
		"\",\"Os\":\"linux\"}}],\"Version\":\"%s\",\"ApiVersion\":\"" API_VERSION
		"\",\"MinAPIVersion\":\"" MIN_API_VERSION
		"\",\"GitCommit\":\"\",\"GoVersion\":\"\","
		"\"Os\":\"linux\",\"Arch\":\"%s\",\"KernelVersion\":\"%s\"}",
		towline_version(), architecture, machine.release, towline_version(), architecture,
		machine.release);
	return json_reply(x, &j);
}

/* ---- GET /info */

static int count_image(void *receiver, const void *data, size_t size)
{
	(void)data;
	(void)size;
	++*(unsigned *)receiver;
	return IMAGE_PULL_OK;
}

/* PRETTY_NAME of os-release; "" if there is none. */
static void operating_system(char *ret, size_t size)
{
	static const char key[] = "PRETTY_NAME=";
	FILE *in = fopen("/etc/os-release", "re");
	char line[256];

	*ret = '\0';
	while (in && fgets(line, sizeof(line), in)) {
		char *value = line + strlen(key);

		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		value += strspn(value, "\"'");
		snprintf(ret, size, "%.*s", (int)strcspn(value, "\"'\n"), value);
	}
	if (in)
		fclose(in);
}

/* registry.ServiceConfig, as engine.json has it. */
static void registry_config(const struct json *j, const struct towline_config *c)
{
	const char *const *artifacts = c->allow_nondistributable_artifacts;

	fputs(",\"RegistryConfig\":{", j->out);
	list(j, "AllowNondistributableArtifactsCIDRs", artifacts, NETWORKS, NULL);
	putc(',', j->out);
	list(j, "AllowNondistributableArtifactsHostnames", artifacts, HOSTS, NULL);
	putc(',', j->out);
	list(j, "InsecureRegistryCIDRs", c->insecure_registries, NETWORKS,
		c->insecure_loopback ? "127.0.0.0/8" : NULL);
	fputs(",\"IndexConfigs\":{\"docker.io\":{\"Name\":\"docker.io\",", j->out);
	list(j, "Mirrors", c->registry_mirrors, ALL, NULL);
	fputs(",\"Secure\":true,\"Official\":true}", j->out);
	for (size_t i = 0; c->insecure_registries[i]; i++) {
		if (strchr(c->insecure_registries[i], '/'))
			continue;
		putc(',', j->out);
		print_json_string(j->out, c->insecure_registries[i]);
		fputs(":{\"Name\":", j->out);
		print_json_string(j->out, c->insecure_registries[i]);
		fputs(",\"Mirrors\":[],\"Secure\":false,\"Official\":false}", j->out);
	}
	fputs("},", j->out);
	list(j, "Mirrors", c->registry_mirrors, ALL, NULL);
	putc('}', j->out);
}

/* The members that tell of the machine. */
static void machine_info(const struct json *j)
{
	char host[256] = "", os[256], now[64];
	struct utsname machine = {.release = ""};
	struct sysinfo memory = {.totalram = 0};
	time_t t = time(NULL);
	struct tm tm;

	(void)uname(&machine); /* these three don't fail */
	(void)sysinfo(&memory);
	(void)gethostname(host, sizeof(host) - 1);
	operating_system(os, sizeof(os));
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	member(j, "SystemTime", now);
	member(j, "KernelVersion", machine.release);
	member(j, "OperatingSystem", os);
	member(j, "OSVersion", "");
	member(j, "OSType", "linux");
	member(j, "Architecture", machine.machine);
	member(j, "Name", host);
	fprintf(j->out, ",\"NCPU\":%ld,\"MemTotal\":%llu", sysconf(_SC_NPROCESSORS_ONLN),
		(unsigned long long)memory.totalram * memory.mem_unit);
}

enum MHD_Result get_info(struct exchange *x)
{
	const struct towline_config *c = x->server->config;
	unsigned images = 0;
	const struct image_pull_sink count = {
		.struct_size = sizeof(count), .receiver = &images, .value = count_image};
	struct json j;

	(void)towline_images(x->server->store, &count); /* a store that can't be read has none */
	if (!json_begin(&j))
		return MHD_NO;
	fprintf(j.out,
		"{\"Containers\":0,\"ContainersRunning\":0,\"ContainersPaused\":0,"
		"\"ContainersStopped\":0,\"Images\":%u,\"Driver\":\"towline\",\"DriverStatus\":[],"
		"\"Plugins\":{\"Volume\":[],\"Network\":[],\"Authorization\":null,\"Log\":[]}",
		images);
	fputs(",\"Runtimes\":{},\"Swarm\":{\"NodeID\":\"\",\"NodeAddr\":\"\",\"LocalNodeState\":"
	      "\"inactive\",\"ControlAvailable\":false,\"Error\":\"\",\"RemoteManagers\":null},"
	      "\"LiveRestoreEnabled\":false,\"ExperimentalBuild\":false,\"Debug\":false,"
	      "\"Labels\":[],\"SecurityOptions\":[],\"Warnings\":[\"WARNING: towline serve pulls "
	      "and keeps images; it runs no containers\"]",
		j.out);
	member(&j, "ID", "");
	member(&j, "LoggingDriver", "none");
	member(&j, "CgroupDriver", "none");
	member(&j, "DefaultRuntime", "");
	member(&j, "IndexServerAddress", "https://index.docker.io/v1/");
	member(&j, "DockerRootDir", x->server->root);
	member(&j, "ServerVersion", towline_version());
	member(&j, "HttpProxy", c->http_proxy);
	member(&j, "HttpsProxy", c->https_proxy);
	member(&j, "NoProxy", c->no_proxy);
	machine_info(&j);
	registry_config(&j, c);
	putc('}', j.out);
	return json_reply(x, &j);
}

/* ---- POST /auth */

struct login {
	struct host_credentials credentials;
	char *hostname;
};

static int keep_login(void *receiver, const void *data, size_t size)
{
	const struct towline_auth_config *config = data;
	struct login *l = receiver;

	(void)size;
	l->hostname = host_registry_of(config->server_address);
	if (!l->hostname)
		return IMAGE_PULL_NO_MEMORY;
	return host_credentials_keep(&l->credentials, &config->auth);
}

static enum MHD_Result log_in(struct exchange *x, const struct login *l)
{
	const struct image_pull_plugin *plugin = x->server->plugin;
	const struct image_pull_login login = {.struct_size = sizeof(login),
		.hostname = l->hostname,
		.auth = &l->credentials.auth};
	struct image_pull_error *error = NULL;
	struct towline_text token;
	enum MHD_Result result;
	struct json j;

	if (!IMAGE_PULL_HAS(plugin, struct image_pull_plugin, login))
		return reply_error(x, MHD_HTTP_NOT_IMPLEMENTED,
			"the image pull plugin that is configured can not log in");
	towline_text_init(&token);
	if (plugin->login(x->server->instance, &login, &token.sink, &error) != 0) {
		const struct image_pull_error_info *info = error ? plugin->error_info(error) : NULL;

		result = reply_error(x, status_of_class(info ? info->error_class : 0),
			info ? info->message : "out of memory");
		plugin->error_free(error);
	} else if (!json_begin(&j)) {
		result = MHD_NO;
	} else {
		fputs("{\"IdentityToken\":", j.out);
		print_json_string(j.out, token.value ? token.value : "");
		fputs(",\"Status\":\"Login Succeeded\"}", j.out);
		result = json_reply(x, &j);
	}
	if (token.value)
		explicit_bzero(token.value, token.value_size);
	towline_text_free(&token);
	return result;
}

enum MHD_Result authenticate(struct exchange *x)
{
	struct login l = {.hostname = NULL};
	struct towline_text text;
	struct image_pull_sink sink;
	enum MHD_Result result;
	int code;

	towline_text_init(&text);
	sink = (struct image_pull_sink){
		.struct_size = sizeof(sink), .receiver = &l, .value = keep_login};
	code = towline_auth_config(x->body ? x->body : "", x->body_size, 0, &sink);
	if (code != IMAGE_PULL_OK) {
		/* Once more, for the text: the original gives this error no class. */
		(void)towline_auth_config(x->body ? x->body : "", x->body_size, 0, &text.sink);
		result = reply_error(
			x, MHD_HTTP_INTERNAL_SERVER_ERROR, towline_text_message(&text, code));
	} else if ((code = server_instance(x->server, &text)) != IMAGE_PULL_OK) {
		result = reply_code(x, code, &text);
	} else {
		result = log_in(x, &l);
	}
	towline_text_free(&text);
	host_credentials_forget(&l.credentials);
	free(l.hostname);
	return result;
}
