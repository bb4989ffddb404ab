/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: distribution/registry.go (NewV2Repository), registry/client/repository.go,
 * api/v2/urls.go. */
#include "registry/repository.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json_decode.h"
#include "base/log.h"
#include "base/url.h"
#include "registry/notes.h"
#include "registry/repository_internal.h"

#define TAGS_BODY_LIMIT (4 << 20)
#define MANIFEST_LIMIT (4 << 20)
#define MAX_TAG_PAGES 1000

struct repository {
	atomic_uint refs;
	struct reference *name;
	char *path;  /* what the name is in URLs */
	char *query; /* of every request; NULL: none */
	bool once;
	pthread_mutex_t lock; /* guards dead */
	struct error *dead;   /* why nothing is asked any more; NULL */
	struct notes notes;
	struct repository_log {
		struct log log;
		pthread_mutex_t lock; /* guards to */
		struct log *to;       /* NULL: the pull that it was for has ended */
	} log;
	struct url root;
	struct http_tls *tls;
	struct header_list headers; /* metaHeaders */
	struct header_modifier header_modifier;
	struct authorizer *authorizer;
	struct modifier *modifiers[2];
	struct transport transport;
};

/* ---- making one */

/* Transfers may use a repository for longer than the pull whose log it is. */
static void write_log(struct log *log, enum log_level level, const char *text)
{
	struct repository_log *l = (struct repository_log *)log;

	pthread_mutex_lock(&l->lock);
	if (l->to)
		l->to->write(l->to, level, text);
	pthread_mutex_unlock(&l->lock);
}

void repository_quiet(struct repository *r)
{
	pthread_mutex_lock(&r->log.lock);
	r->log.to = NULL;
	pthread_mutex_unlock(&r->log.lock);
}

uint32_t repository_connect_ms(const struct repository *r)
{
	return http_client_connect_ms(r->transport.client);
}

void repository_notes(struct repository *r, struct registry_notes *ret)
{
	pthread_mutex_lock(&r->notes.lock);
	memcpy(ret->rate_limit, r->notes.limit, sizeof(ret->rate_limit));
	memcpy(ret->rate_remaining, r->notes.remaining, sizeof(ret->rate_remaining));
	ret->retry_after = r->notes.retry_after;
	pthread_mutex_unlock(&r->notes.lock);
}

void repository_unref(struct repository *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	authorizer_free(r->authorizer);
	reference_free(r->name);
	free(r->path);
	free(r->query);
	error_unref(r->dead);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->log.lock);
	notes_destroy(&r->notes);
	url_free(&r->root);
	http_tls_unref(r->tls);
	header_list_free(&r->headers);
	free(r);
}

struct repository *repository_ref(struct repository *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

const struct reference *repository_named(const struct repository *r)
{
	return r->name;
}

/* registry.Headers: the User-Agent, which the client adds, goes before one of metaHeaders. */
static int copy_headers(
	const struct header_list *from, struct header_list *ret, struct error **reterr)
{
	if (!from)
		return 0;
	if (header_copy(from, ret, reterr) < 0)
		return -1;
	header_remove(ret, "User-Agent");
	return 0;
}

/* "ns=docker.io" */
static char *namespace_query(const char *ns)
{
	struct buf b = {0};

	buf_append_str(&b, "ns=");
	url_query_escape(&b, ns);
	return buf_steal(&b);
}

static struct repository *repository_alloc(
	const struct repository_config *config, struct error **reterr)
{
	struct repository *r = calloc(1, sizeof(*r));

	if (!r) {
		error_set(reterr, &error_no_memory);
		return NULL;
	}
	atomic_init(&r->refs, 1);
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->log.lock, NULL);
	r->log.log.write = write_log;
	r->log.to = config->log;
	notes_init(&r->notes);
	r->once = config->once;
	r->tls = http_tls_ref(config->tls);
	if (copy_headers(config->meta_headers, &r->headers, reterr) < 0) {
		repository_unref(r);
		return NULL;
	}
	header_modifier_init(&r->header_modifier, &r->headers);
	r->modifiers[0] = &r->header_modifier.modifier;
	r->transport = (struct transport){.client = config->client,
		.tls = r->tls,
		.modifiers = r->modifiers,
		.nmodifiers = 1,
		.connect_timeout_ms = config->connect_timeout_ms,
		.log = &r->log.log,
		.notes = &r->notes};
	if (config->ns && !(r->query = namespace_query(config->ns))) {
		error_set(reterr, &error_no_memory);
		repository_unref(r);
		return NULL;
	}
	return r;
}

/* RepositoryScope.String */
static char *scope_text(const char *class_name, const char *name)
{
	if (class_name && *class_name && strcmp(class_name, "image") != 0)
		return str_printf("repository(%s):%s:pull", class_name, name);
	return str_printf("repository:%s:pull", name);
}

static int fail(struct repository *r, struct error *err, bool confirmed_v2, bool transport_ok,
	struct error **reterr)
{
	repository_unref(r);
	return error_set(reterr, error_fallback(err, confirmed_v2, transport_ok));
}

static int fail_ping(
	struct repository *r, struct error *err, bool confirmed_v2, struct error **reterr)
{
	if (err->kind == ERROR_PING_RESPONSE) {
		struct error *cause = error_ref(err->cause);

		error_unref(err);
		return fail(r, cause, confirmed_v2, /* transport_ok= */ true, reterr);
	}
	return fail(r, err, confirmed_v2, /* transport_ok= */ false, reterr);
}

int repository_new(const struct repository_config *config, const struct context *ctx,
	struct repository **ret, bool *ret_confirmed_v2, struct error **reterr)
{
	const char *name = config->trim_hostname ? config->name->path : config->name->name;
	const char *path = config->repository ? config->repository : name;
	cleanup_free char *scope = scope_text(config->class_name, path);
	cleanup_reference struct reference *checked = NULL;
	struct error *err = NULL;
	struct repository *r = repository_alloc(config, &err);
	bool confirmed = false;

	*ret_confirmed_v2 = false;
	if (!r || !scope)
		return fail(r, err ? err : &error_no_memory, false, false, reterr);
	if (ping_v2_registry(&r->transport, ctx, config->endpoint_url, r->query, &config->auth,
		    scope, &r->authorizer, &confirmed, &err) < 0) {
		*ret_confirmed_v2 = confirmed;
		return fail_ping(r, err, confirmed, reterr);
	}
	*ret_confirmed_v2 = confirmed;
	r->modifiers[r->transport.nmodifiers++] = authorizer_modifier(r->authorizer);
	r->path = strdup(path);
	if (!r->path)
		return fail(r, &error_no_memory, confirmed, /* transport_ok= */ true, reterr);
	if (reference_with_name(name, &r->name, &err) < 0 ||
		reference_with_name(path, &checked, &err) < 0 ||
		url_parse(config->endpoint_url, &r->root, &err) < 0)
		return fail(r, err, confirmed, /* transport_ok= */ true, reterr);
	*ret = r;
	return 0;
}

/* URLBuilder: what is a path below the endpoint's root. */
int repository_url(const struct repository *r, const char *kind, const char *what, char **ret,
	struct error **reterr)
{
	cleanup_free char *path = str_printf("v2/%s/%s/%s%s%s", r->path, kind, what,
		r->query ? "?" : "", r->query ? r->query : "");
	cleanup_url struct url url = {0};

	if (!path)
		return error_set(reterr, &error_no_memory);
	if (url_resolve(&r->root, path, &url, reterr) < 0)
		return -1;
	*ret = url_string(&url);
	return *ret ? 0 : error_set(reterr, &error_no_memory);
}

/* The error that ended all requests, to be freed; NULL: none has. */
static struct error *dead_of(struct repository *r)
{
	struct error *dead;

	pthread_mutex_lock(&r->lock);
	dead = error_ref(r->dead);
	pthread_mutex_unlock(&r->lock);
	return dead;
}

int repository_do(struct repository *r, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr)
{
	struct error *err = r->once ? dead_of(r) : NULL;

	if (err)
		return error_set(reterr, err);
	if (transport_do(&r->transport, ctx, request, ret, &err) == 0)
		return 0;
	if (r->once && http_is_dial_error(err)) {
		err = error_wrap(ERROR_DO_NOT_RETRY, err);
		pthread_mutex_lock(&r->lock);
		if (!r->dead)
			r->dead = error_ref(err);
		pthread_mutex_unlock(&r->lock);
	}
	return error_set(reterr, err);
}

/* ---- tags */

static const struct json_field tags_fields[] = {{"tags", 0, &json_schema_strings, 0}};
static const struct json_schema tags_schema = JSON_STRUCT(
	"struct { Tags []string \"json:\\\"tags\\\"\" }", "", struct json_slice, tags_fields);

void tag_list_free(struct tag_list *tags)
{
	size_t i;

	for (i = 0; i < tags->count; i++)
		free(tags->items[i]);
	free(tags->items);
	*tags = (struct tag_list){0};
}

static int add_string(struct tag_list *list, const char *s, struct error **reterr)
{
	char *copy = strdup(s);
	char **items = copy ? realloc(list->items, (list->count + 1) * sizeof(*items)) : NULL;

	if (!items) {
		free(copy);
		return error_set(reterr, &error_no_memory);
	}
	list->items = items;
	list->items[list->count++] = copy;
	return 0;
}

static int add_tags(struct tag_list *tags, const struct buf *body, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	struct json_slice found = {0};
	size_t i;

	if (!arena)
		return error_set(reterr, &error_no_memory);
	if (json_unmarshal(body->data ? body->data : "", body->size, &tags_schema, &found, arena,
		    reterr) < 0)
		return -1;
	for (i = 0; i < found.count; i++) {
		if (add_string(tags, json_str(((struct json_text *)found.items)[i]), reterr) < 0)
			return -1;
	}
	return 0;
}

/* Beyond the original, which goes wherever a registry sends it: pages of one list have one origin,
 * an end, and none comes twice. pages: the URLs so far. */
static int check_page(const struct tag_list *pages, const struct url *next, const char *url,
	struct error **reterr)
{
	cleanup_url struct url first = {0};
	cleanup_free char *origin = NULL, *next_origin = transport_origin(next);
	size_t i;

	if (url_parse(pages->items[0], &first, reterr) < 0)
		return -1;
	origin = transport_origin(&first);
	if (!origin || !next_origin)
		return error_set(reterr, &error_no_memory);
	if (strcmp(origin, next_origin) != 0)
		return error_setf(
			reterr, "the list of tags goes on at another server, %s", next_origin);
	for (i = 0; i < pages->count; i++) {
		if (strcmp(pages->items[i], url) == 0)
			return error_setf(reterr, "the list of tags leads back to %s", url);
	}
	if (pages->count >= MAX_TAG_PAGES)
		return error_setf(reterr, "the list of tags has more than %d pages", MAX_TAG_PAGES);
	return 0;
}

/* The page that a Link header leads to: strings.Trim(strings.Split(link, ";")[0], "<>"). */
static int next_page(struct tag_list *pages, const char *link, struct error **reterr)
{
	size_t begin = 0, end = strcspn(link, ";");
	cleanup_free char *target = NULL, *text = NULL;
	cleanup_url struct url base = {0}, url = {0};

	while (begin < end && strchr("<>", link[begin]))
		begin++;
	while (end > begin && strchr("<>", link[end - 1]))
		end--;
	target = strndup(link + begin, end - begin);
	if (!target)
		return error_set(reterr, &error_no_memory);
	if (url_parse(pages->items[pages->count - 1], &base, reterr) < 0 ||
		url_resolve(&base, target, &url, reterr) < 0)
		return -1;
	text = url_string(&url);
	if (!text)
		return error_set(reterr, &error_no_memory);
	if (check_page(pages, &url, text, reterr) < 0)
		return -1;
	return add_string(pages, text, reterr);
}

/* One page. 1: there is another, 0: there is none. */
static int read_page(struct repository *r, const struct context *ctx, struct tag_list *pages,
	struct tag_list *tags, struct error **reterr)
{
	struct http_request request = {.method = "GET", .url = pages->items[pages->count - 1]};
	struct http_response *response = NULL;
	cleanup_buf struct buf body = {0};
	const char *link;
	int rc;

	if (repository_do(r, ctx, &request, &response, reterr) < 0)
		return -1;
	if (response->status < 200 || response->status > 399) {
		rc = error_set(reterr, transport_error_response(response, ctx));
	} else {
		rc = http_response_read_all(response, ctx, TAGS_BODY_LIMIT, &body, reterr);
		if (rc == 0)
			rc = add_tags(tags, &body, reterr);
		link = header_get(&response->headers, "Link");
		if (rc == 0 && link && *link)
			rc = next_page(pages, link, reterr) < 0 ? -1 : 1;
	}
	http_response_free(response);
	return rc;
}

int repository_tags(struct repository *r, const struct context *ctx, struct tag_list *ret,
	struct error **reterr)
{
	struct tag_list tags = {0}, pages = {0};
	char *url = NULL;
	int rc;

	rc = repository_url(r, "tags", "list", &url, reterr);
	if (rc == 0)
		rc = add_string(&pages, url, reterr);
	free(url);
	if (rc == 0) {
		do
			rc = read_page(r, ctx, &pages, &tags, reterr);
		while (rc == 1);
	}
	tag_list_free(&pages);
	if (rc < 0) {
		tag_list_free(&tags);
		return -1;
	}
	*ret = tags;
	return 0;
}

/* ---- manifests */

/* distribution.ManifestMediaTypes; in the original their order is random. */
static int add_accept(struct header_list *headers, struct error **reterr)
{
	static const char *const types[] = {
		MEDIA_TYPE_SCHEMA2,
		MEDIA_TYPE_LIST,
		MEDIA_TYPE_OCI_MANIFEST,
		MEDIA_TYPE_OCI_INDEX,
		MEDIA_TYPE_SCHEMA1_SIGNED,
		"application/json",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (header_add(headers, "Accept", types[i], reterr) < 0)
			return -1;
	}
	return 0;
}

static int read_manifest(struct http_response *response, const struct context *ctx,
	struct manifest **ret, struct error **reterr)
{
	cleanup_buf struct buf body = {0};
	const char *type = header_get(&response->headers, "Content-Type");

	if (response->status == 304)
		return error_setf(reterr, "manifest not modified");
	if (response->status < 200 || response->status > 399)
		return error_set(reterr, transport_error_response(response, ctx));
	if (http_response_read_all(response, ctx, MANIFEST_LIMIT, &body, reterr) < 0)
		return -1;
	return manifest_unmarshal(
		type ? type : "", body.data ? body.data : "", body.size, ret, reterr);
}

int repository_manifest(struct repository *r, const struct context *ctx, const char *tag,
	const char *digest, struct manifest **ret, struct error **reterr)
{
	cleanup_reference struct reference *ref = NULL;
	cleanup_free char *url = NULL;
	struct header_list headers = {0};
	struct http_request request = {.method = "GET", .headers = &headers};
	struct http_response *response = NULL;
	int rc;

	rc = tag ? reference_with_tag(r->name, tag, &ref, reterr)
		 : reference_with_digest(r->name, digest, &ref, reterr);
	if (rc == 0)
		rc = repository_url(r, "manifests", tag ? tag : digest, &url, reterr);
	if (rc == 0)
		rc = add_accept(&headers, reterr);
	request.url = url;
	if (rc == 0)
		rc = repository_do(r, ctx, &request, &response, reterr);
	if (rc == 0)
		rc = read_manifest(response, ctx, ret, reterr);
	http_response_free(response);
	header_list_free(&headers);
	return rc;
}

int repository_manifest_digest(struct repository *r, const struct context *ctx, const char *tag,
	char ret[DIGEST_MAX], struct error **reterr)
{
	cleanup_free char *url = NULL;
	struct header_list headers = {0};
	struct http_request request = {.method = "HEAD", .headers = &headers};
	struct http_response *response = NULL;
	const char *digest;
	int rc;

	rc = repository_url(r, "manifests", tag, &url, reterr);
	if (rc == 0)
		rc = add_accept(&headers, reterr);
	request.url = url;
	if (rc == 0)
		rc = repository_do(r, ctx, &request, &response, reterr);
	if (rc == 0) {
		digest = header_get(&response->headers, "Docker-Content-Digest");
		if (response->status != 200 || !digest ||
			digest_validate(digest, strlen(digest), NULL) < 0)
			rc = error_setf(reterr, "HEAD of %s gave %s and no digest", url,
				response->status_line);
		else
			strcpy(ret, digest); /* a valid one fits */
	}
	http_response_free(response);
	header_list_free(&headers);
	return rc;
}
