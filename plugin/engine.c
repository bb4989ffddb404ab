/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: the interfaces registry.Service, reference.Store and ImageConfigStore. */
#include "engine.h"

#include <string.h>

#include "base/buf.h"
#include "base/url.h"

/* An engine that never stops handing over values does not get all the memory. */
#define MAX_TEXT ((size_t)64 * 1024)
#define MAX_VALUES 4096

/* One call's sink. */
struct answer {
	struct image_pull_sink sink;
	/* Takes one value; -1: no memory. */
	int (*take)(void *arg, const void *data, size_t size);
	void *arg;
	size_t nvalues;
	char *message;
	bool no_memory;
};

static int answer_value(void *receiver, const void *data, size_t size)
{
	struct answer *a = receiver;

	if (a->no_memory || a->nvalues == MAX_VALUES) {
		a->no_memory = true;
		return IMAGE_PULL_NO_MEMORY;
	}
	a->nvalues++;
	if (a->take && a->take(a->arg, data, size) < 0) {
		a->no_memory = true;
		return IMAGE_PULL_NO_MEMORY;
	}
	return IMAGE_PULL_OK;
}

static void answer_message(void *receiver, const char *text)
{
	struct answer *a = receiver;

	free(a->message);
	/* Without memory the code alone has to do. */
	a->message = text ? strndup(text, MAX_TEXT) : NULL;
}

static void answer_init(
	struct answer *a, int (*take)(void *arg, const void *data, size_t size), void *arg)
{
	*a = (struct answer){.take = take, .arg = arg};
	a->sink.struct_size = sizeof(a->sink);
	a->sink.receiver = a;
	a->sink.value = answer_value;
	a->sink.message = answer_message;
}

/* What code and message an error has where the engine only gave its code. */
static const struct {
	int code;
	enum error_class cls;
	const char *text;
} codes[] = {
	{IMAGE_PULL_FAILED, CLASS_NONE, "the engine failed"},
	{IMAGE_PULL_NOT_FOUND, CLASS_NOT_FOUND, "not found"},
	{IMAGE_PULL_CONFLICT, CLASS_CONFLICT, "conflict"},
	{IMAGE_PULL_INVALID, CLASS_INVALID_PARAMETER, "invalid parameter"},
	{IMAGE_PULL_FORBIDDEN, CLASS_FORBIDDEN, "forbidden"},
	{IMAGE_PULL_UNAUTHORIZED, CLASS_UNAUTHORIZED, "unauthorized"},
	{IMAGE_PULL_UNAVAILABLE, CLASS_UNAVAILABLE, "unavailable"},
	{IMAGE_PULL_CANCELLED, CLASS_CANCELLED, "context canceled"},
	{IMAGE_PULL_NO_SPACE, CLASS_NONE, "no space left on device"},
	{IMAGE_PULL_NO_MEMORY, CLASS_NONE, "cannot allocate memory"},
};

struct error *engine_error(int code, const char *message)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(codes) && codes[i].code != code; i++)
		;
	if (i == ARRAY_SIZE(codes))
		i = 0;
	if (!message || !*message) {
		if (code == IMAGE_PULL_NO_MEMORY)
			return &error_no_memory;
		if (code == IMAGE_PULL_NO_SPACE)
			return &err_enospc;
		if (code == IMAGE_PULL_CANCELLED)
			return &err_context_canceled;
		message = codes[i].text;
	}
	if (codes[i].cls == CLASS_NONE)
		return error_plainf("%s", message);
	return error_classf(codes[i].cls, "%s", message);
}

/* The end of each call: what the callback returned, and whether we could take what it gave. */
static int answer_end(struct answer *a, int code, struct error **reterr)
{
	cleanup_free char *message = a->message;

	a->message = NULL;
	if (a->no_memory)
		return error_set(reterr, &error_no_memory);
	if (code != IMAGE_PULL_OK)
		return error_set(reterr, engine_error(code, message));
	return 0;
}

/* Takes a text into a char *. */
static int take_text(void *arg, const void *data, size_t size)
{
	char **ret = arg, *text;

	if (size > MAX_TEXT)
		return -1;
	text = strndup(size ? data : "", size);
	if (!text)
		return -1;
	free(*ret);
	*ret = text;
	return 0;
}

/* Takes a struct that may be shorter or longer than ours into one of our size; strings in it are
 * borrowed. */
static bool take_struct(void *ret, size_t ret_size, const void *data, size_t size)
{
	size_t struct_size;

	if (size < sizeof(size_t))
		return false;
	memcpy(&struct_size, data, sizeof(struct_size));
	if (struct_size > size)
		struct_size = size;
	if (struct_size > ret_size)
		struct_size = ret_size;
	memset(ret, 0, ret_size);
	memcpy(ret, data, struct_size);
	return true;
}

/* ---- the registry service */

struct repository_taker {
	struct repository_info info;
	struct error *err;
	bool taken;
};

static int take_repository(void *arg, const void *data, size_t size)
{
	struct repository_taker *t = arg;
	struct image_pull_repository_info info;

	if (t->taken || t->err || !take_struct(&info, sizeof(info), data, size) || !info.name)
		return 0;
	if (reference_parse_normalized_named(info.name, &t->info.name, &t->err) < 0)
		return 0;
	t->info.class_name = strdup(info.class_name ? info.class_name : "");
	t->taken = true;
	return t->info.class_name ? 0 : -1;
}

int engine_resolve_repository(const struct image_pull_registry_service *service,
	const struct reference *ref, struct repository_info *ret, struct error **reterr)
{
	cleanup_free char *name = reference_string(ref);
	struct repository_taker taker = {0};
	struct answer a;
	int r;

	if (!name)
		return error_set(reterr, &error_no_memory);
	answer_init(&a, take_repository, &taker);
	r = answer_end(&a, service->resolve_repository(service->context, name, &a.sink), reterr);
	if (r == 0 && taker.err)
		r = error_set(reterr, steal_ptr(&taker.err));
	if (r == 0 && !taker.taken)
		r = error_setf(reterr, "the registry service did not resolve %s", name);
	error_unref(taker.err);
	if (r < 0)
		repository_info_free(&taker.info);
	else
		*ret = taker.info;
	return r;
}

void repository_info_free(struct repository_info *info)
{
	reference_free(info->name);
	free(info->class_name);
	*info = (struct repository_info){0};
}

static int endpoint_tls(
	const struct image_pull_tls *given, struct http_tls **ret, struct error **reterr)
{
	struct image_pull_tls tls;
	struct http_tls *t;
	size_t i;

	if (!take_struct(&tls, sizeof(tls), given, given->struct_size))
		return error_setf(
			reterr, "the registry service gave a malformed TLS configuration");
	t = http_tls_new(tls.insecure_skip_verify, tls.ca, tls.ca ? tls.ca_size : 0, reterr);
	if (!t)
		return -1;
	for (i = 0; tls.certificates && i < tls.ncertificates; i++) {
		const struct image_pull_certificate *c = &tls.certificates[i];

		if (http_tls_add_certificate(
			    t, c->cert, c->cert_size, c->key, c->key_size, reterr) < 0) {
			http_tls_unref(t);
			return -1;
		}
	}
	*ret = t;
	return 0;
}

int pull_endpoint_set_url(struct pull_endpoint *endpoint, const char *url, struct error **reterr)
{
	cleanup_url struct url u = {0};

	if (url_parse(url, &u, reterr) < 0)
		return -1;
	endpoint->url = url_string(&u);
	endpoint->scheme = strdup(u.scheme);
	endpoint->host = strdup(u.host);
	if (!endpoint->url || !endpoint->scheme || !endpoint->host)
		return error_set(reterr, &error_no_memory);
	return 0;
}

static char *copy_text(const char *s, bool *failed)
{
	char *copy = s ? strdup(s) : NULL;

	*failed = *failed || (s && !copy);
	return copy;
}

/* What is beyond the original: members since minor 1. -1: no memory. */
static int take_additions(struct pull_endpoint *e, const struct image_pull_endpoint *given)
{
	struct image_pull_auth a = {0};
	bool failed = false;

	e->once = given->flags & IMAGE_PULL_ENDPOINT_ONCE;
	e->own_auth = given->flags & IMAGE_PULL_ENDPOINT_OWN_AUTH;
	e->connect_timeout_ms = given->connect_timeout_ms;
	e->repository = copy_text(given->repository, &failed);
	e->ns = copy_text(given->ns, &failed);
	if (!e->own_auth)
		return failed ? -1 : 0;
	if (given->auth)
		(void)take_struct(&a, sizeof(a), given->auth, given->auth->struct_size);
	e->auth.username = copy_text(a.username ? a.username : "", &failed);
	e->auth.password = copy_text(a.password ? a.password : "", &failed);
	e->auth.identity_token = copy_text(a.identity_token ? a.identity_token : "", &failed);
	e->auth.registry_token = copy_text(a.registry_token ? a.registry_token : "", &failed);
	return failed ? -1 : 0;
}

struct endpoint_taker {
	struct pull_endpoint_list list;
	struct error *err;
};

static int take_endpoint(void *arg, const void *data, size_t size)
{
	struct endpoint_taker *t = arg;
	struct image_pull_endpoint given;
	struct pull_endpoint e = {0}, *items;

	if (t->err)
		return 0;
	if (!take_struct(&given, sizeof(given), data, size) || !given.url) {
		t->err = error_plainf("the registry service gave an endpoint without a URL");
		return 0;
	}
	items = reallocarray(t->list.items, t->list.count + 1, sizeof(*items));
	if (!items)
		return -1;
	t->list.items = items;
	e.version = given.version;
	e.mirror = given.mirror;
	e.official = given.official;
	e.trim_hostname = given.trim_hostname;
	if (take_additions(&e, &given) < 0) {
		pull_endpoint_free(&e);
		return -1;
	}
	if (pull_endpoint_set_url(&e, given.url, &t->err) < 0 ||
		(given.tls && endpoint_tls(given.tls, &e.tls, &t->err) < 0)) {
		pull_endpoint_free(&e);
		return 0;
	}
	items[t->list.count++] = e;
	return 0;
}

/* The repository's name with what the reference adds to it. */
static char *reference_at(const struct reference *name, const struct reference *ref)
{
	if (reference_is_canonical(ref))
		return str_printf("%s@%s", name->name, ref->digest);
	if (reference_is_tagged(ref))
		return str_printf("%s:%s", name->name, ref->tag);
	return strdup(name->name);
}

/* What a lookup has come to. */
static int take_endpoints(
	struct endpoint_taker *taker, int r, struct pull_endpoint_list *ret, struct error **reterr)
{
	if (r == 0 && taker->err)
		r = error_set(reterr, steal_ptr(&taker->err));
	error_unref(taker->err);
	if (r < 0)
		pull_endpoint_list_free(&taker->list);
	else
		*ret = taker->list;
	return r;
}

int engine_lookup_pull_endpoints(const struct image_pull_registry_service *service,
	const char *hostname, struct pull_endpoint_list *ret, struct error **reterr)
{
	struct endpoint_taker taker = {0};
	struct answer a;
	int r;

	answer_init(&a, take_endpoint, &taker);
	r = answer_end(
		&a, service->lookup_pull_endpoints(service->context, hostname, &a.sink), reterr);
	return take_endpoints(&taker, r, ret, reterr);
}

int engine_lookup_reference_endpoints(const struct image_pull_registry_service *service,
	const struct reference *name, const struct reference *ref, struct pull_endpoint_list *ret,
	struct error **reterr)
{
	struct endpoint_taker taker = {0};
	cleanup_free char *text = reference_at(name, ref);
	struct answer a;
	int r;

	if (!text)
		return error_set(reterr, &error_no_memory);
	if (!service->lookup_reference_endpoints)
		return engine_lookup_pull_endpoints(service, name->domain, ret, reterr);
	answer_init(&a, take_endpoint, &taker);
	r = answer_end(
		&a, service->lookup_reference_endpoints(service->context, text, &a.sink), reterr);
	return take_endpoints(&taker, r, ret, reterr);
}

void pull_endpoint_free(struct pull_endpoint *endpoint)
{
	free(endpoint->url);
	free(endpoint->scheme);
	free(endpoint->host);
	free(endpoint->repository);
	free(endpoint->ns);
	secret_free(endpoint->auth.username);
	secret_free(endpoint->auth.password);
	secret_free(endpoint->auth.identity_token);
	secret_free(endpoint->auth.registry_token);
	http_tls_unref(endpoint->tls);
	*endpoint = (struct pull_endpoint){0};
}

void pull_endpoint_list_free(struct pull_endpoint_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		pull_endpoint_free(&list->items[i]);
	free(list->items);
	*list = (struct pull_endpoint_list){0};
}

/* ---- the reference store */

int engine_reference_get(const struct image_pull_reference_store *store,
	const struct reference *ref, char **ret_id, struct error **reterr)
{
	cleanup_free char *name = reference_string(ref);
	cleanup_free char *id = NULL;
	struct answer a;
	int code;

	if (!name)
		return error_set(reterr, &error_no_memory);
	answer_init(&a, take_text, &id);
	code = store->get(store->context, name, &a.sink);
	if (code == IMAGE_PULL_NOT_FOUND) {
		free(a.message);
		return error_set(reterr, &err_reference_does_not_exist);
	}
	if (answer_end(&a, code, reterr) < 0)
		return -1;
	if (!id)
		return error_setf(reterr, "the reference store gave no image ID for %s", name);
	*ret_id = steal_ptr(&id);
	return 0;
}

static int reference_add(
	int (*add)(void *, const char *, const char *, int, const struct image_pull_sink *),
	void *context, const struct reference *ref, const char *id, bool force,
	struct error **reterr)
{
	cleanup_free char *name = reference_string(ref);
	struct answer a;

	if (!name)
		return error_set(reterr, &error_no_memory);
	answer_init(&a, NULL, NULL);
	return answer_end(&a, add(context, name, id, force, &a.sink), reterr);
}

int engine_reference_add_tag(const struct image_pull_reference_store *store,
	const struct reference *ref, const char *id, bool force, struct error **reterr)
{
	return reference_add(store->add_tag, store->context, ref, id, force, reterr);
}

int engine_reference_add_digest(const struct image_pull_reference_store *store,
	const struct reference *ref, const char *id, bool force, struct error **reterr)
{
	return reference_add(store->add_digest, store->context, ref, id, force, reterr);
}

/* ---- the image store */

int engine_image_put(const struct image_pull_image_store *store, const void *config, size_t size,
	char **ret_id, struct error **reterr)
{
	cleanup_free char *id = NULL;
	struct answer a;

	answer_init(&a, take_text, &id);
	if (answer_end(&a, store->put(store->context, config, size, &a.sink), reterr) < 0)
		return -1;
	if (!id)
		return error_setf(reterr, "the image store gave no image ID");
	*ret_id = steal_ptr(&id);
	return 0;
}

bool engine_image_exists(const struct image_pull_image_store *store, const char *id)
{
	struct answer a;

	answer_init(&a, NULL, NULL);
	return answer_end(&a, store->get(store->context, id, &a.sink), NULL) == 0;
}

static int take_bytes(void *arg, const void *data, size_t size)
{
	struct buf *b = arg;

	buf_free(b);
	buf_append(b, size ? data : "", size);
	return b->oom ? -1 : 0;
}

int engine_image_get(const struct image_pull_image_store *store, const char *id, struct buf *ret,
	struct error **reterr)
{
	struct answer a;

	answer_init(&a, take_bytes, ret);
	return answer_end(&a, store->get(store->context, id, &a.sink), reterr);
}

struct rootfs_taker {
	struct rootfs *rootfs;
	bool typed;
};

static int take_rootfs(void *arg, const void *data, size_t size)
{
	struct rootfs_taker *t = arg;
	cleanup_free char *text = NULL;

	if (take_text(&text, data, size) < 0)
		return -1;
	if (!t->rootfs && !(t->rootfs = rootfs_new()))
		return -1;
	if (!t->typed) {
		free(t->rootfs->type);
		t->rootfs->type = steal_ptr(&text);
		t->typed = true;
		return 0;
	}
	return rootfs_append(t->rootfs, text, NULL);
}

int engine_rootfs_from_config(const struct image_pull_image_store *store, const void *config,
	size_t size, struct rootfs **ret, struct error **reterr)
{
	struct rootfs_taker taker = {0};
	struct answer a;

	if (!store->rootfs_from_config)
		return rootfs_from_config(config, size, ret, reterr);
	answer_init(&a, take_rootfs, &taker);
	if (answer_end(&a, store->rootfs_from_config(store->context, config, size, &a.sink),
		    reterr) < 0) {
		rootfs_free(taker.rootfs);
		return -1;
	}
	*ret = taker.rootfs;
	return 0;
}

int engine_check_platform(const struct image_pull_image_store *store, const void *config,
	size_t size, const char *runtime_os, struct error **reterr)
{
	cleanup_free char *buffer = NULL;
	struct platform platform;
	struct answer a;

	if (!store->platform_from_config)
		return platform_from_config(config, size, runtime_os, &platform, &buffer, reterr);
	answer_init(&a, NULL, NULL);
	return answer_end(
		&a, store->platform_from_config(store->context, config, size, &a.sink), reterr);
}
