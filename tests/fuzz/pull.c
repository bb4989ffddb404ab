/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pulls by the plugin's ABI, from a registry whose answers the input changes, into stores in
 * memory. The input:
 *	two bytes, enum shape: what is pulled, how, by which kind of engine;
 *	then changes: a byte OP << 4 | WHAT, a byte NTH, two bytes SIZE (little-endian), SIZE bytes.
 * WHAT is an enum what, NTH says to which of its requests the change applies (0: all), OP is an
 *enum op. Whatever the answers: nothing is committed whose digest is not what the image says,
 *nothing is held or left open after it, and a failure says why. */
#define _GNU_SOURCE /* strcasestr */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "conformance/pull_stores.h"
#include "fuzz.h"
#include "image/manifest.h"
#include "pull_image.h"
#include "pull_server.h"

#define HOST "registry.test:5000"
#define NAME "team/app"
#define MAX_CHANGES 16
#define MAX_FDS 256

enum shape {
	SHAPE_OCI = 1,
	SHAPE_INDEX = 2, /* twice: an index of indexes */
	SHAPE_OUTER = 4,
	SHAPE_PLAIN = 8,
	SHAPE_PINNED = 16, /* the reference has a digest */
	SHAPE_BEARER = 32,
	SHAPE_BASIC = 64,
	SHAPE_POLICY = 128,
	/* the second byte */
	SHAPE_ALL_TAGS = 1 << 8,
	SHAPE_TWICE = 2 << 8,
	SHAPE_PLAN = 4 << 8,
	SHAPE_CANCEL = 8 << 8, /* at the request that the upper four bits tell */
};

enum what {
	WHAT_PING,
	WHAT_TOKEN,
	WHAT_TAGS,
	WHAT_TOP, /* a manifest by tag */
	WHAT_MANIFEST,
	WHAT_CONFIG,
	WHAT_LAYER, /* and the two behind it */
	WHAT_OTHER = WHAT_LAYER + PULL_LAYERS,
	WHATS
};

enum op {
	OP_STATUS,
	OP_HEADERS, /* lines */
	OP_BODY,
	OP_CUT,   /* the body ends early, whatever Content-Length says */
	OP_FLIP,  /* a place, what it is xored with */
	OP_TYPE,  /* Content-Type */
	OP_BREAK, /* so many bytes go out, then the connection ends */
	OP_CHUNKED,
	OP_RAW,
	OP_LENGTH, /* Content-Length */
	OP_EDIT,   /* of the part itself, before its digest: place, length, text */
	OP_EDIT_OUTER,
	OP_PACKING,
	OP_REDIRECT,
	OP_UNTIL_CLOSE,
	OP_GZIP,
};

struct change {
	enum op op;
	enum what what;
	unsigned nth;
	const uint8_t *data;
	size_t size;
};

struct pull {
	unsigned shape;
	struct change changes[MAX_CHANGES];
	size_t nchanges;
	struct pull_edit edits[MAX_CHANGES];
	struct pull_plan plan;
	struct pull_image image;
	/* the server's thread */
	unsigned seen[WHATS], requests;
	bool schema1_served;
	atomic_bool cancelled;
	/* the engine */
	struct pull_stores stores;
	struct image_pull_layer_store layer_store;
	struct image_pull_image_store image_store;
	unsigned puts, tags, digests, pulled, planned, events;
	char image_id[DIGEST_MAX];
};

static unsigned short_at(const uint8_t *data, size_t size, size_t at)
{
	return (at < size ? data[at] : 0u) | (at + 1 < size ? data[at + 1] * 256u : 0u);
}

/* ---- the script */

static bool is_edit(const struct change *c, struct pull_edit *ret)
{
	if (c->op != OP_EDIT && c->op != OP_EDIT_OUTER)
		return false;
	*ret = (struct pull_edit){.at = short_at(c->data, c->size, 0),
		.cut = c->size > 2 ? c->data[2] : 0,
		.text = (const char *)c->data + (c->size > 3 ? 3 : c->size),
		.size = c->size > 3 ? c->size - 3 : 0};
	if (c->op == OP_EDIT_OUTER)
		ret->part = c->what % 2 ? PART_OUTER : PART_INDEX;
	else if (c->what >= WHAT_LAYER && c->what < WHAT_OTHER)
		ret->part = (enum pull_part)(c->what - WHAT_LAYER);
	else
		ret->part = c->what == WHAT_CONFIG ? PART_CONFIG : PART_MANIFEST;
	return true;
}

static void read_script(struct pull *p, const uint8_t *data, size_t size)
{
	p->shape = short_at(data, size, 0);
	data += size < 2 ? size : 2;
	size -= size < 2 ? size : 2;
	p->plan = (struct pull_plan){.oci = p->shape & SHAPE_OCI,
		.indexes = !!(p->shape & SHAPE_INDEX) + !!(p->shape & SHAPE_OUTER),
		.packing = {PACKED_GZIP, PACKED_ZSTD, PACKED_PLAIN},
		.edits = p->edits};
	while (size >= 4 && p->nchanges < MAX_CHANGES) {
		struct change *c = &p->changes[p->nchanges++];

		*c = (struct change){.op = (enum op)(data[0] >> 4),
			.what = (enum what)((data[0] & 15) % WHATS),
			.nth = data[1] % 8,
			.data = data + 4,
			.size = short_at(data, size, 2)};
		data += 4;
		size -= 4;
		if (c->size > size)
			c->size = size;
		data += c->size;
		size -= c->size;
		if (is_edit(c, &p->edits[p->plan.nedits]))
			p->plan.nedits++;
		else if (c->op == OP_PACKING && c->size)
			p->plan.packing[c->what % PULL_LAYERS] = c->data[0] % PACKINGS;
	}
}

/* ---- the registry */

struct answer {
	int status;
	const char *type;
	struct buf headers, body;
	const char *length; /* NULL: the truth */
	size_t length_size, broken_at;
	unsigned piece; /* of chunks; 0: none */
	bool until_close, changed;
	const struct change *raw;
};

static const char *const statuses[] = {"200 OK", "201 Created", "204 No Content",
	"206 Partial Content", "301 Moved", "302 Found", "304 Not Modified",
	"307 Temporary Redirect", "400 Bad Request", "401 Unauthorized", "403 Forbidden",
	"404 Not Found", "416 Range", "429 Too Many Requests", "500 Internal", "503 Unavailable"};

static enum what what_of(const struct pull *p, const char *target, const struct pull_blob **ret)
{
	const char *last = strrchr(target, '/');

	*ret = last ? pull_image_find(&p->image, last + 1) : NULL;
	if (!strncmp(target, "/token", 6))
		return WHAT_TOKEN;
	if (!strcmp(target, "/v2/"))
		return WHAT_PING;
	if (strstr(target, "/tags/list"))
		return WHAT_TAGS;
	if (strstr(target, "/manifests/") && last && !strchr(last, ':')) {
		*ret = pull_image_top(&p->image);
		return WHAT_TOP;
	}
	if (!*ret)
		return WHAT_OTHER;
	if (*ret < &p->image.parts[PULL_LAYERS])
		return (enum what)(WHAT_LAYER + (*ret - p->image.parts));
	return *ret == &p->image.parts[PART_CONFIG] ? WHAT_CONFIG : WHAT_MANIFEST;
}

/* What an honest registry would answer. */
static void answer_honestly(const struct pull *p, struct answer *a, enum what what,
	const struct pull_blob *blob, const char *request)
{
	bool authorized = strcasestr(request, "\r\nAuthorization:") != NULL;
	const char *range = strcasestr(request, "\r\nRange: bytes=");

	a->status = 0;
	if (what == WHAT_TOKEN) {
		buf_append_str(&a->body, "{\"token\":\"t\",\"expires_in\":300}");
	} else if (p->shape & (SHAPE_BEARER | SHAPE_BASIC) && !authorized) {
		a->status = 9;
		buf_append_str(&a->headers,
			p->shape & SHAPE_BEARER ? "WWW-Authenticate: Bearer realm=\"http://" HOST
						  "/token\",service=\"" HOST "\"\r\n"
						: "WWW-Authenticate: Basic realm=\"r\"\r\n");
	} else if (what == WHAT_TAGS) {
		buf_append_str(&a->body, "{\"name\":\"" NAME "\",\"tags\":[\"one\",\"two\"]}");
	} else if (what == WHAT_PING) {
		buf_append_str(&a->body, "{}");
	} else if (!blob) {
		a->status = 11;
		buf_append_str(&a->body, "{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}");
	} else {
		size_t at = range ? strtoul(range + 15, NULL, 10) : 0;

		at = at < blob->packed.size ? at : 0;
		if (range) {
			a->status = 3;
			buf_appendf(&a->headers, "Content-Range: bytes %zu-%zu/%zu\r\n", at,
				blob->packed.size - 1, blob->packed.size);
		}
		a->type = blob->type;
		buf_appendf(&a->headers, "Docker-Content-Digest: %s\r\n", blob->digest);
		buf_append(&a->body, blob->packed.data + at, blob->packed.size - at);
	}
}

static void gzip_body(struct answer *a)
{
	uLongf room = compressBound(a->body.size) + 64;
	cleanup_free unsigned char *out = malloc(room);
	z_stream z = {.next_in = (unsigned char *)a->body.data,
		.avail_in = (unsigned)a->body.size,
		.next_out = out,
		.avail_out = (unsigned)room};

	must(out && deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	must(deflate(&z, Z_FINISH) == Z_STREAM_END);
	buf_reset(&a->body);
	buf_append(&a->body, out, z.total_out);
	deflateEnd(&z);
	buf_append_str(&a->headers, "Content-Encoding: gzip\r\n");
}

static void change_body(struct answer *a, const struct change *c)
{
	size_t at = short_at(c->data, c->size, 0);

	if (c->op == OP_BODY) {
		buf_reset(&a->body);
		buf_append(&a->body, c->data, c->size);
	} else if (c->op == OP_CUT && a->body.size) {
		char length[24];

		snprintf(length, sizeof(length), "%zu", a->body.size);
		if (!a->piece)
			buf_appendf(&a->headers, "Content-Length: %s\r\n", length);
		a->until_close = true;
		a->body.size = at % a->body.size;
	} else if (c->op == OP_FLIP && a->body.size) {
		a->body.data[at % a->body.size] ^=
			(char)(c->size > 2 && c->data[2] ? c->data[2] : 1);
	} else if (c->op == OP_GZIP) {
		gzip_body(a);
	}
}

static void append_lines(struct buf *b, const struct change *c)
{
	for (size_t i = 0; i < c->size; i++) {
		if (c->data[i] == '\n')
			buf_append_char(b, '\r');
		buf_append_char(b, (char)c->data[i]);
	}
	buf_append_str(b, "\r\n");
}

static void change_answer(struct answer *a, const struct change *c)
{
	a->changed = true;
	switch (c->op) {
	case OP_STATUS:
		a->status = (int)(short_at(c->data, c->size, 0) % ARRAY_SIZE(statuses));
		break;
	case OP_HEADERS:
		append_lines(&a->headers, c);
		break;
	case OP_TYPE:
		buf_append_str(&a->headers, "Content-Type: ");
		append_lines(&a->headers, c);
		a->type = NULL;
		break;
	case OP_BREAK:
		a->broken_at = 1 + short_at(c->data, c->size, 0);
		break;
	case OP_CHUNKED:
		a->piece = 1 + short_at(c->data, c->size, 0) % 1024;
		break;
	case OP_RAW:
		a->raw = c;
		break;
	case OP_LENGTH:
		a->length = (const char *)c->data;
		a->length_size = c->size;
		break;
	case OP_REDIRECT:
		a->status = c->nth % 2 ? 7 : 5;
		buf_append_str(&a->headers, "Location: ");
		append_lines(&a->headers, c);
		break;
	case OP_UNTIL_CLOSE:
		a->until_close = true;
		break;
	default:
		change_body(a, c);
	}
}

static void write_answer(const struct answer *a, bool head, struct buf *wire)
{
	if (a->raw) {
		buf_append(wire, a->raw->data, a->raw->size);
		return;
	}
	buf_appendf(wire, "HTTP/1.1 %s\r\n", statuses[a->status]);
	if (a->type)
		buf_appendf(wire, "Content-Type: %s\r\n", a->type);
	buf_append(wire, a->headers.data, a->headers.size);
	if (a->length)
		buf_appendf(wire, "Content-Length: %.*s\r\n", (int)a->length_size, a->length);
	else if (a->piece)
		buf_append_str(wire, "Transfer-Encoding: chunked\r\n");
	else if (!a->until_close)
		buf_appendf(wire, "Content-Length: %zu\r\n", a->body.size);
	buf_append_str(wire, "\r\n");
	for (size_t at = 0; a->piece && !head && at < a->body.size; at += a->piece) {
		size_t n = a->body.size - at < a->piece ? a->body.size - at : a->piece;

		buf_appendf(wire, "%zx\r\n", n);
		buf_append(wire, a->body.data + at, n);
		buf_append_str(wire, "\r\n");
	}
	if (a->piece && !head)
		buf_append_str(wire, "0\r\n\r\n");
	else if (!head)
		buf_append(wire, a->body.data, a->body.size);
	if (a->broken_at && wire->size > a->broken_at)
		wire->size = a->broken_at;
}

static bool on_request(void *arg, const char *request, struct buf *wire)
{
	struct pull *p = arg;
	struct answer a = {0};
	const struct pull_blob *blob = NULL;
	const char *space = strchr(request, ' ');
	cleanup_free char *target = space ? strndup(space + 1, strcspn(space + 1, " ?\r")) : NULL;
	enum what what;

	must(target);
	what = what_of(p, target, &blob);
	p->seen[what]++;
	if (p->shape & SHAPE_CANCEL && p->requests++ == p->shape >> 12)
		atomic_store(&p->cancelled, true);
	answer_honestly(p, &a, what, blob, request);
	for (size_t i = 0; i < p->nchanges; i++)
		if (p->changes[i].what == what && p->changes[i].op != OP_EDIT &&
			p->changes[i].op != OP_EDIT_OUTER && p->changes[i].op != OP_PACKING &&
			(!p->changes[i].nth || p->changes[i].nth == p->seen[what]))
			change_answer(&a, &p->changes[i]);
	write_answer(&a, !strncmp(request, "HEAD ", 5), wire);
	if (what == WHAT_TOP || what == WHAT_MANIFEST)
		p->schema1_served |= a.changed; /* any content type may have been said */
	buf_free(&a.headers);
	buf_free(&a.body);
	return !a.changed;
}

/* ---- the engine */

static int resolve(void *context, const char *host, const struct image_pull_sink *sink)
{
	(void)context;
	if (strcmp(host, "registry.test") != 0)
		return IMAGE_PULL_NOT_FOUND;
	return sink->value(sink->receiver, "127.0.0.1", 9);
}

static int resolve_repository(
	void *context, const char *reference, const struct image_pull_sink *sink)
{
	const struct image_pull_repository_info info = {.struct_size = sizeof(info),
		.name = HOST "/" NAME,
		.index_name = HOST,
		.class_name = ""};

	(void)context, (void)reference;
	return sink->value(sink->receiver, &info, sizeof(info));
}

static int lookup(void *context, const char *hostname, const struct image_pull_sink *sink)
{
	const struct image_pull_endpoint e = {
		.struct_size = sizeof(e), .url = "http://" HOST, .version = 2, .trim_hostname = 1};

	(void)context, (void)hostname;
	return sink->value(sink->receiver, &e, sizeof(e));
}

/* A layer is committed: is it what its descriptor names? */
static void check_layer(
	const struct pull *p, const struct image_pull_descriptor *d, const char *diff_id)
{
	const struct pull_blob *blob = pull_image_find(&p->image, d->digest);

	must(blob);
	must(blob >= &p->image.parts[PULL_LAYERS] || !strcmp(blob->diff_id, diff_id));
}

static int commit(void *context, void *handle, const char *parent, const char *diff_id,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct pull *p = context;

	check_layer(p, descriptor, diff_id);
	return p->stores.layer_store.commit(&p->stores, handle, parent, diff_id, descriptor, sink);
}

static int get_layer(void *context, const char *chain_id, const struct image_pull_sink *sink)
{
	struct pull *p = context;

	return p->stores.layer_store.get(&p->stores, chain_id, sink);
}

static void release(void *context, const char *chain_id)
{
	struct pull *p = context;

	p->stores.layer_store.release(&p->stores, chain_id);
}

static int stage(void *context, const struct image_pull_reader *reader,
	const struct image_pull_descriptor *descriptor, void **handle,
	const struct image_pull_sink *sink)
{
	struct pull *p = context;

	return p->stores.layer_store.stage(&p->stores, reader, descriptor, handle, sink);
}

static void discard(void *context, void *handle)
{
	struct pull *p = context;

	p->stores.layer_store.discard(&p->stores, handle);
}

struct copied {
	const struct image_pull_sink *sink;
	char text[DIGEST_MAX];
};

static int copy_value(void *receiver, const void *data, size_t size)
{
	struct copied *c = receiver;

	must(size < sizeof(c->text));
	memcpy(c->text, data, size);
	return c->sink->value(c->sink->receiver, data, size);
}

static void copy_message(void *receiver, const char *text)
{
	struct copied *c = receiver;

	c->sink->message(c->sink->receiver, text);
}

static int register_layer(void *context, const struct image_pull_reader *reader, const char *parent,
	const struct image_pull_descriptor *descriptor, const struct image_pull_sink *sink)
{
	struct pull *p = context;
	struct copied copied = {.sink = sink};
	const struct image_pull_sink between = {sizeof(between), &copied, copy_value, copy_message};
	int code = p->stores.layer_store.register_layer(
		&p->stores, reader, parent, descriptor, &between);

	if (code == IMAGE_PULL_OK)
		check_layer(p, descriptor, copied.text);
	return code;
}

static int put(void *context, const void *config, size_t size, const struct image_pull_sink *sink)
{
	struct pull *p = context;
	char id[DIGEST_MAX];

	must(!digest_from_bytes(config, size, id));
	/* A configuration made of schema 1 has a digest of its own. */
	must(pull_image_find(&p->image, id) || p->schema1_served);
	must(!(p->shape & SHAPE_PLAN));
	strcpy(p->image_id, id);
	p->puts++;
	return p->stores.image_store.put(&p->stores, config, size, sink);
}

static int get_image(void *context, const char *id, const struct image_pull_sink *sink)
{
	struct pull *p = context;

	return p->stores.image_store.get(&p->stores, id, sink);
}

static int get_reference(void *context, const char *reference, const struct image_pull_sink *sink)
{
	struct pull *p = context;

	(void)reference;
	return p->tags + p->digests && *p->image_id
		       ? sink->value(sink->receiver, p->image_id, strlen(p->image_id))
		       : IMAGE_PULL_NOT_FOUND;
}

static int add_tag(void *context, const char *reference, const char *id, int force,
	const struct image_pull_sink *sink)
{
	struct pull *p = context;

	(void)force, (void)sink;
	must(p->puts && !strncmp(reference, HOST "/" NAME ":", sizeof(HOST "/" NAME)));
	must(!strcmp(id, p->image_id));
	p->tags++;
	return IMAGE_PULL_OK;
}

static int add_digest(void *context, const char *reference, const char *id, int force,
	const struct image_pull_sink *sink)
{
	struct pull *p = context;

	(void)force, (void)sink;
	must(p->puts && !strncmp(reference, HOST "/" NAME "@", sizeof(HOST "/" NAME)));
	must(!strcmp(id, p->image_id));
	p->digests++;
	return IMAGE_PULL_OK;
}

static void on_progress(void *context, void *pull, const struct image_pull_progress *progress)
{
	must(pull == context && progress->id && progress->message && progress->action);
	must(progress->current >= 0);
}

static void on_event(
	void *context, void *pull, const char *id, const char *name, const char *action)
{
	struct pull *p = context;

	must(pull == context && id && name && !strcmp(action, "pull"));
	p->events++;
}

static void on_pulled(void *context, void *pull, const struct image_pull_summary *summary)
{
	struct pull *p = context;

	must(pull == context &&
		!digest_validate(summary->manifest_digest, strlen(summary->manifest_digest), NULL));
	must(!strcmp(summary->image_id, p->image_id));
	p->pulled++;
}

static void on_log(void *context, void *pull, int level, const char *message)
{
	must(pull == context && level <= IMAGE_PULL_LOG_DEBUG && message);
}

static int on_cancelled(void *context, void *pull)
{
	struct pull *p = context;

	must(pull == context);
	return atomic_load(&p->cancelled);
}

static void on_planned(void *context, void *pull, const struct image_pull_planned *planned)
{
	struct pull *p = context;

	must(pull == context && p->shape & SHAPE_PLAN && planned->descriptor->digest);
	p->planned++;
}

/* ---- the pull */

extern const struct image_pull_plugin image_pull_plugin;

static struct image_pull_instance *create(struct pull *p)
{
	const struct image_pull_network network = {.struct_size = sizeof(network),
		.flags = p->shape & SHAPE_POLICY
				 ? IMAGE_PULL_NETWORK_RETRY_AFTER | IMAGE_PULL_NETWORK_HEAD_FIRST
				 : 0,
		.max_retries = 1,
		.max_retry_wait_ms = 1,
		.retry_backoff_ms = 1};
	const struct image_pull_limits limits = {.struct_size = sizeof(limits),
		.max_download_attempts = 2,
		.max_layer_size = 1 << 20};
	const struct image_pull_options options = {.struct_size = sizeof(options),
		.retry_tick_ms = 1,
		.resolve = resolve,
		.resolve_context = p,
		.http_proxy = "",
		.https_proxy = "",
		.all_proxy = "",
		.no_proxy = "",
		.runtime_os = "linux",
		.runtime_architecture = "amd64",
		.limits = &limits,
		.network = &network};
	const struct image_pull_registry_service service = {.struct_size = sizeof(service),
		.context = p,
		.resolve_repository = resolve_repository,
		.lookup_pull_endpoints = lookup};
	const struct image_pull_reference_store references = {.struct_size = sizeof(references),
		.context = p,
		.get = get_reference,
		.add_tag = add_tag,
		.add_digest = add_digest};
	const struct image_pull_events events = {.struct_size = sizeof(events),
		.context = p,
		.progress = on_progress,
		.image_event = on_event,
		.pulled = on_pulled,
		.log = on_log,
		.cancelled = on_cancelled,
		.planned = on_planned};
	const struct image_pull_engine engine = {.struct_size = sizeof(engine),
		.registry_service = &service,
		.reference_store = &references,
		.image_store = &p->image_store,
		.layer_store = &p->layer_store,
		.metadata_store = &p->stores.metadata_store,
		.events = &events,
		.options = &options};
	struct image_pull_instance *instance = NULL;

	must(!image_pull_plugin.create(&engine, &instance, NULL));
	return instance;
}

static void check_failure(const struct image_pull_error *error)
{
	const struct image_pull_error_info *info;

	must(error);
	info = image_pull_plugin.error_info(error);
	must(info && *info->message && info->endpoint && info->registry_code);
	must(info->error_class >= 0 && info->error_class <= IMAGE_PULL_CLASS_DATA_LOSS);
	must(info->phase >= 0 && info->phase <= IMAGE_PULL_PHASE_STORE);
	must(info->http_status >= 0 && info->http_status <= 999);
	for (size_t i = 0; i < info->nattempts; i++)
		must(info->attempts[i]->endpoint && *info->attempts[i]->message);
}

static void pull_once(struct pull *p, struct image_pull_instance *instance)
{
	const struct image_pull_auth auth = {
		.struct_size = sizeof(auth), .username = "user", .password = "word"};
	struct image_pull_request request = {.struct_size = sizeof(request),
		.pull = p,
		.auth = p->shape & SHAPE_BASIC ? &auth : NULL,
		.plan = !!(p->shape & SHAPE_PLAN)};
	struct image_pull_error *error = NULL;
	cleanup_free char *reference =
		p->shape & SHAPE_PINNED
			? str_printf(HOST "/" NAME "@%s", pull_image_top(&p->image)->digest)
			: strdup(p->shape & SHAPE_ALL_TAGS ? HOST "/" NAME : HOST "/" NAME ":one");
	unsigned tags = p->tags, pulled = p->pulled;

	request.reference = reference;
	if (image_pull_plugin.image_pull(instance, &request, &error)) {
		check_failure(error);
		/* nothing half-visible */
		must(p->tags == tags || p->shape & SHAPE_ALL_TAGS);
	} else {
		must(!error);
		if (p->shape & SHAPE_PLAN)
			must(p->planned || p->shape & SHAPE_ALL_TAGS);
		else if (!(p->shape & SHAPE_ALL_TAGS))
			must(p->pulled == pulled + 1 && p->puts);
		/* what a digest names is what came, whoever answered */
		if (p->shape & SHAPE_PINNED && !p->plan.nedits && p->puts)
			must(!strcmp(p->image_id, p->image.parts[PART_CONFIG].digest));
	}
	image_pull_plugin.error_free(error);
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < MAX_FDS; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void make_engine(struct pull *p)
{
	must(!pull_stores_init(&p->stores, !(p->shape & SHAPE_PLAIN), NULL));
	p->layer_store = p->stores.layer_store;
	p->layer_store.context = p;
	p->layer_store.get = get_layer;
	p->layer_store.release = release;
	if (p->shape & SHAPE_PLAIN) {
		p->layer_store.register_layer = register_layer;
	} else {
		p->layer_store.stage = stage;
		p->layer_store.commit = commit;
		p->layer_store.discard = discard;
	}
	p->image_store = p->stores.image_store;
	p->image_store.context = p;
	p->image_store.put = put;
	p->image_store.get = get_image;
}

void fuzz_pull(const uint8_t *data, size_t size)
{
	struct pull p = {0};
	struct image_pull_instance *instance;
	unsigned before;

	read_script(&p, data, size);
	pull_image_make(&p.image, &p.plan);
	pull_server_begin(on_request, &p);
	before = open_files();
	make_engine(&p);
	instance = create(&p);
	pull_once(&p, instance);
	if (p.shape & SHAPE_TWICE)
		pull_once(&p, instance);
	must(!p.stores.holds);
	if (p.stores.violations.size)
		fprintf(stderr, "%s\n", p.stores.violations.data);
	must(!p.stores.violations.size);
	image_pull_plugin.destroy(instance);
	/* what was staged may be given up by the instance, after the pull */
	must(!p.stores.handles);
	pull_server_end();
	must(open_files() == before);
	pull_stores_free(&p.stores);
	pull_image_free(&p.image);
}
