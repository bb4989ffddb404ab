/* SPDX-License-Identifier: Apache-2.0 */
/* resolve_repository, pull_endpoints, progress_json. */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "registry_config.h"
#include "streamformat.h"
#include "tables.h"
#include "towline.h"

#define MIN_TLS_VERSION                                                                            \
	771 /* TLS 1.2: the border has no member for it, the plugin asks it of all */

/* ---- a registry service from "service_options"
 * --------------------------------------------------------- */

static const char **in_list(const struct json_value *in, const char *key)
{
	const struct json_value *v = json_get_exact(in, key);
	size_t n = v ? v->count : 0;
	const char **list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++)
		list[i] = v->items[i].text;
	return list;
}

/* Names resolve as "dns" says; localhost always does. */
static int resolve(void *context, const char *host, const struct image_pull_sink *sink)
{
	const struct json_value *dns = context ? json_get_exact(context, host) : NULL;

	if (!strcmp(host, "localhost")) {
		sink->value(sink->receiver, "127.0.0.1", strlen("127.0.0.1"));
		return sink->value(sink->receiver, "::1", strlen("::1"));
	}
	for (size_t i = 0; dns && i < dns->count; i++)
		sink->value(sink->receiver, dns->items[i].text, dns->items[i].size);
	return dns ? IMAGE_PULL_OK : IMAGE_PULL_NOT_FOUND;
}

struct service {
	const char **mirrors, **insecure, **nondistributable;
	struct towline_registry_service *service;
	struct towline_text text;
	struct log_recorder logs;
	int code;
};

static void take_log(void *context, int level, const char *message)
{
	struct log_recorder *logs = context;

	logs->log.write(&logs->log, (enum log_level)level, message);
}

static void service_make(
	struct service *s, const struct json_value *in, const char *const *certs_dirs)
{
	const struct json_value *o = json_get_exact(in, "service_options");

	s->mirrors = in_list(o, "mirrors");
	s->insecure = in_list(o, "insecure_registries");
	s->nondistributable = in_list(o, "allow_nondistributable_artifacts");
	s->service = NULL;
	towline_text_init(&s->text);
	log_recorder_init(&s->logs);

	const struct towline_registry_options options = {
		.struct_size = sizeof(options),
		.mirrors = s->mirrors,
		.insecure_registries = s->insecure,
		.allow_nondistributable_artifacts = s->nondistributable,
		.certs_dirs = certs_dirs,
		.resolve = resolve,
		.resolve_context = (void *)json_get_exact(o, "dns"),
		.log = take_log,
		.log_context = &s->logs,
	};

	s->code = towline_registry_service_new(&options, &s->service, &s->text.sink);
}

static void service_free(struct service *s)
{
	towline_registry_service_free(s->service);
	towline_text_free(&s->text);
	log_recorder_free(&s->logs);
	free(s->mirrors);
	free(s->insecure);
	free(s->nondistributable);
}

/* null, or what a call answered, its code as the class that a pull makes of it. */
static void out_answer(struct buf *out, const char *key, int code, const struct towline_text *text)
{
	static const char *const classes[] = {
		[IMAGE_PULL_FAILED] = "",
		[IMAGE_PULL_NOT_FOUND] = "NotFound",
		[IMAGE_PULL_CONFLICT] = "Conflict",
		[IMAGE_PULL_INVALID] = "InvalidParameter",
		[IMAGE_PULL_FORBIDDEN] = "Forbidden",
	};

	if (code == IMAGE_PULL_OK) {
		out_string(out, key, NULL);
		return;
	}
	out_open(out, key, '{');
	out_string(out, "class",
		(size_t)code < ARRAY_SIZE(classes) && classes[code] ? classes[code] : "?");
	out_string(out, "message", towline_text_message(text, code));
	out_close(out, '}');
}

/* ---- resolve_repository
 * -------------------------------------------------------------------------------- */

struct repository_sink {
	struct image_pull_sink sink;
	struct buf *out;
	struct service *service;
	char *message;
};

static int take_repository(void *receiver, const void *data, size_t size)
{
	struct repository_sink *r = receiver;
	const struct image_pull_repository_info *info = data;
	struct registry_config config;
	struct error *err = NULL;

	/* The index's mirrors do not cross the border; the service keeps them in its config. */
	if (size != sizeof(*info) || registry_config_init(&config, NULL, r->service->mirrors, NULL,
					     true, NULL, &err) < 0)
		return IMAGE_PULL_NO_MEMORY;
	out_string(r->out, "class", info->class_name);
	out_open(r->out, "index", '{');
	out_open(r->out, "mirrors", '[');
	for (size_t i = 0; info->index_official && i < config.mirrors.n; i++)
		out_string(r->out, NULL, config.mirrors.items[i]);
	out_close(r->out, ']');
	out_string(r->out, "name", info->index_name);
	out_bool(r->out, "official", info->index_official);
	out_bool(r->out, "secure", info->index_secure);
	out_close(r->out, '}');
	out_string(r->out, "name", info->name);
	out_bool(r->out, "official", info->official);
	registry_config_free(&config);
	return IMAGE_PULL_OK;
}

static int validate(const char *op, const struct json_value *in, struct buf *out)
{
	cleanup_free char *value = in_string(in, "value", NULL);
	cleanup_free char *mirror = NULL;
	cleanup_error struct error *err = NULL;
	const char *result = NULL;

	if (!value)
		return table_failf(out, "no \"value\"");
	if (!strcmp(op, "validate_mirror")) {
		if (registry_validate_mirror(value, &mirror, &err) == 0)
			result = mirror;
	} else if (registry_validate_index_name(value, &result, &err) < 0) {
		result = NULL;
	}
	out_open(out, NULL, '{');
	out_error(out, "error", err);
	if (result)
		out_string(out, "value", result);
	out_close(out, '}');
	return 0;
}

int table_resolve_repository(const struct json_value *in, struct buf *out)
{
	cleanup_free char *op = in_string(in, "op", NULL);
	cleanup_free char *ref = in_string(in, "ref", NULL);
	struct service s;
	struct towline_text text;
	int code = IMAGE_PULL_OK;

	if (!op)
		return table_failf(out, "no \"op\"");
	if (str_has_prefix(op, "validate_"))
		return validate(op, in, out);
	if (strcmp(op, "resolve") && strcmp(op, "new_service"))
		return table_failf(out, "unknown op %s", op);
	service_make(&s, in, NULL);
	towline_text_init(&text);
	out_open(out, NULL, '{');
	out_answer(out, "service_error", s.code, &s.text);
	if (s.service && ref) {
		struct repository_sink r = {
			{sizeof(r.sink), &r, take_repository, NULL}, out, &s, NULL};
		const struct image_pull_registry_service *table =
			towline_registry_service_table(s.service);

		code = table->resolve_repository(table->context, ref, &r.sink);
		if (code != IMAGE_PULL_OK)
			(void)table->resolve_repository(table->context, ref, &text.sink);
	}
	out_answer(out, "error", code, &text);
	log_recorder_print(&s.logs, out, "logs");
	out_close(out, '}');
	towline_text_free(&text);
	service_free(&s);
	return 0;
}

/* ---- pull_endpoints
 * ------------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct buf b = {0};
	char chunk[4096];
	size_t n;

	while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_append(&b, chunk, n);
	if (f)
		fclose(f);
	return buf_steal(&b);
}

/* {{CA}} and the like stand for files that make_tls.py made. */
static char *content_of(const char *text)
{
	static const char *const names[][2] = {{"{{CA}}", "ca.crt"}, {"{{CERT}}", "client.crt"},
		{"{{KEY}}", "client.key"}, {"{{OTHER_KEY}}", "other.key"}};
	const char *folder = getenv("CONFORMANCE_TLS");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i][0])) {
			cleanup_free char *path =
				folder ? str_printf("%s/%s", folder, names[i][1]) : NULL;

			return path ? read_file(path) : NULL;
		}
	return strdup(text);
}

static int write_file(const char *path, const char *text)
{
	cleanup_free char *content = content_of(text);
	FILE *f;

	if (!content)
		return -1;
	f = fopen(path, "we");
	if (!f)
		return -1;
	fwrite(content, 1, strlen(content), f);
	return fclose(f);
}

static int make_certs(const char *root, const struct json_value *hosts)
{
	for (size_t i = 0; hosts && i < hosts->count; i++) {
		const struct json_value *files = &hosts->members[i].value;
		cleanup_free char *dir = str_printf("%s/%s", root, hosts->members[i].key);

		if (json_get_exact(files, "__is_file__")) {
			if (write_file(dir, "x") < 0)
				return -1;
			continue;
		}
		if (mkdir(dir, 0700) < 0)
			return -1;
		for (size_t j = 0; j < files->count; j++) {
			const char *text = files->members[j].value.text;
			cleanup_free char *path = str_printf("%s/%s", dir, files->members[j].key);
			int r = !strcmp(text, "__dir__")        ? mkdir(path, 0700)
				: !strcmp(text, "__dangling__") ? symlink("/nonexistent/x", path)
								: write_file(path, text);

			if (r < 0)
				return -1;
		}
	}
	return 0;
}

static int take_endpoint(void *receiver, const void *data, size_t size)
{
	struct buf *out = receiver;
	const struct image_pull_endpoint *e = data;

	(void)size;
	out_open(out, NULL, '{');
	out_bool(out, "allow_nondistributable_artifacts", e->allow_nondistributable_artifacts);
	out_bool(out, "mirror", e->mirror);
	out_bool(out, "official", e->official);
	out_open(out, "tls", '{');
	out_int(out, "client_certificates", (int64_t)e->tls->ncertificates);
	out_bool(out, "has_root_cas", e->tls->ca != NULL);
	out_bool(out, "insecure_skip_verify", e->tls->insecure_skip_verify);
	out_int(out, "min_version", MIN_TLS_VERSION);
	out_close(out, '}');
	out_bool(out, "trim_hostname", e->trim_hostname);
	out_string(out, "url", e->url);
	out_int(out, "version", e->version);
	out_close(out, '}');
	return IMAGE_PULL_OK;
}

/* The message with the folder's name as the recordings have it. */
static void hide_folder(struct towline_text *text, const char *root)
{
	char *at = text->message ? strstr(text->message, root) : NULL;
	char *hidden = at ? str_printf("%.*s{{CERTS_D}}%s", (int)(at - text->message),
				    text->message, at + strlen(root))
			  : NULL;

	if (!hidden)
		return;
	free(text->message);
	text->message = hidden;
}

int table_pull_endpoints(const struct json_value *in, struct buf *out)
{
	cleanup_free char *hostname = in_string(in, "hostname", NULL);
	char root[] = "/tmp/conformance-certs-XXXXXX";
	const char *const dirs[] = {root, NULL};
	struct buf endpoints = {0};
	struct towline_text text;
	struct service s;
	int code;

	if (!hostname || !mkdtemp(root))
		return table_failf(out, "no \"hostname\", or no temporary folder");
	if (make_certs(root, json_get_exact(in, "certs_d")) < 0) {
		nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		return table_failf(out,
			"cannot make certs.d (CONFORMANCE_TLS names make_tls.py's folder): %s",
			strerror(errno));
	}
	service_make(&s, in, dirs);
	towline_text_init(&text);
	code = s.code;
	if (s.service) {
		const struct image_pull_registry_service *table =
			towline_registry_service_table(s.service);
		struct image_pull_sink sink = {sizeof(sink), &endpoints, take_endpoint, NULL};

		out_open(&endpoints, NULL, '[');
		code = table->lookup_pull_endpoints(table->context, hostname, &sink);
		out_close(&endpoints, ']');
		if (code != IMAGE_PULL_OK)
			(void)table->lookup_pull_endpoints(table->context, hostname, &text.sink);
	}
	hide_folder(&text, root);
	out_open(out, NULL, '{');
	out_answer(out, "error", code, s.service ? &text : &s.text);
	if (code == IMAGE_PULL_OK)
		out_raw(out, "endpoints", endpoints.data, endpoints.size);
	out_close(out, '}');
	buf_free(&endpoints);
	towline_text_free(&text);
	service_free(&s);
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* ---- progress_json
 * ------------------------------------------------------------------------------------- */

static int64_t in_int(const struct json_value *in, const char *key)
{
	const struct json_value *v = json_get_exact(in, key);
	int64_t n = 0;

	return v && json_int64(v, &n) ? n : 0;
}

/* A value as JSON in one line. */
static void append_value(struct buf *b, const struct json_value *v)
{
	switch (v->type) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		buf_append_char(b, v->type == JSON_OBJECT ? '{' : '[');
		for (size_t i = 0; i < v->count; i++) {
			if (i)
				buf_append_char(b, ',');
			if (v->type == JSON_OBJECT) {
				buf_append_json(b, v->members[i].key, v->members[i].key_size, true);
				buf_append_char(b, ':');
			}
			append_value(
				b, v->type == JSON_OBJECT ? &v->members[i].value : &v->items[i]);
		}
		buf_append_char(b, v->type == JSON_OBJECT ? '}' : ']');
		break;
	case JSON_STRING:
		buf_append_json(b, v->text, v->size, true);
		break;
	case JSON_NUMBER:
		buf_append(b, v->text, v->size);
		break;
	default:
		buf_append_str(b, v->type == JSON_NULL ? "null" : v->boolean ? "true" : "false");
	}
}

static void format_progress(const struct json_value *in, struct buf *written)
{
	cleanup_free char *id = in_string(in, "id", NULL);
	cleanup_free char *message = in_string(in, "message", NULL);
	cleanup_free char *action = in_string(in, "action", NULL);
	cleanup_free char *units = in_string(in, "units", NULL);
	const struct json_value *aux = json_get_exact(in, "aux");
	cleanup_buf struct buf aux_text = {0};

	if (aux)
		append_value(&aux_text, aux);

	const struct stream_progress p = {.id = id,
		.message = message,
		.action = action,
		.current = in_int(in, "current"),
		.total = in_int(in, "total"),
		.hide_counts = in_bool(in, "hide_counts"),
		.units = units,
		.aux = aux ? aux_text.data : NULL};

	streamformat_progress(written, &p);
}

int table_progress_json(const struct json_value *in, struct buf *out)
{
	cleanup_free char *op = in_string(in, "op", NULL);
	cleanup_buf struct buf written = {0};

	if (!op) {
		format_progress(in, &written);
	} else if (!strcmp(op, "format_error")) {
		cleanup_free char *message = in_string(in, "message", NULL);

		streamformat_error(&written, message ? message : "", (int)in_int(in, "code"));
	} else if (!strcmp(op, "write_status")) {
		cleanup_free char *tag = in_string(in, "requested_tag", NULL);
		cleanup_free char *message = str_printf("Status: %s for %s",
			in_bool(in, "layers_downloaded") ? "Downloaded newer image"
							 : "Image is up to date",
			tag ? tag : "");
		const struct stream_progress p = {.message = message};

		streamformat_progress(&written, &p);
	} else {
		return table_failf(out, "unknown op %s", op);
	}
	if (written.oom)
		return table_failf(out, "out of memory");
	out_open(out, NULL, '{');
	out_bytes(out, "written", written.data ? written.data : "", written.size);
	out_close(out, '}');
	return 0;
}
