/* SPDX-License-Identifier: Apache-2.0 */
/* Signed manifests of schema 1. Go counterparts: manifest/schema1, libtrust/jsonsign.go. */
#include <string.h>

#include "base/arena.h"
#include "base/encoding.h"
#include "base/error.h"
#include "image/manifest_internal.h"

/* ---- libtrust's structs */

struct signature {
	struct json_text jwk, algorithm, signature, protected_header;
	struct json_slice chain;
};

/* jsParsedHeader and jsParsedSignature in one C struct: the header's offsets are the outer one's.
 */
static const struct json_field header_fields[] = {
	{"jwk", offsetof(struct signature, jwk), &json_schema_raw, 0},
	{"alg", offsetof(struct signature, algorithm), &json_schema_string, 0},
	{"x5c", offsetof(struct signature, chain), &json_schema_strings, 0},
};
static const struct json_schema header =
	JSON_STRUCT("libtrust.jsParsedHeader", "jsParsedHeader", struct signature, header_fields);
static const struct json_field signature_fields[] = {
	{"header", 0, &header, 0},
	{"signature", offsetof(struct signature, signature), &json_schema_string, 0},
	{"protected", offsetof(struct signature, protected_header), &json_schema_string, 0},
};
static const struct json_schema signature = JSON_STRUCT(
	"libtrust.jsParsedSignature", "jsParsedSignature", struct signature, signature_fields);
static const struct json_schema signatures =
	JSON_SLICE_OF("[]libtrust.jsParsedSignature", &signature);
static const struct json_schema raw_map =
	JSON_MAP_OF("map[string]json.RawMessage", &json_schema_raw);
static const struct json_schema any_map = JSON_MAP_OF("map[string]interface {}", &json_schema_any);

/* The format of the signed text: how much of the document, and what comes behind it. */
struct format {
	int64_t length;
	struct buf tail;
};

static void format_free(struct format *f)
{
	buf_free(&f->tail);
}
#define cleanup_format __attribute__((cleanup(format_free)))

int jose_base64_decode(struct buf *ret, const char *s, size_t size, struct error **reterr)
{
	cleanup_buf struct buf packed = {0};
	size_t i;

	for (i = 0; i < size; i++) {
		if (s[i] != '\n' && s[i] != ' ')
			buf_append_char(&packed, s[i]);
	}
	if (!packed.oom && packed.size % 4 == 1)
		return error_setf(reterr, "illegal base64url string");
	while (packed.size % 4 && !packed.oom)
		buf_append_char(&packed, '=');
	if (packed.oom)
		return error_set(reterr, &error_no_memory);
	return encoding_base64_decode(ret, packed.data, packed.size, true, reterr);
}

/* Go's fmt.Errorf("...: %s", err). */
static int wrap(const char *what, struct error *err, struct error **reterr)
{
	error_setf(reterr, "%s: %s", what, err->message);
	error_unref(err);
	return -1;
}

/* int(float64), as amd64 does it. */
static int64_t truncate_double(double d)
{
	if (d >= 9223372036854775808.0 || d < -9223372036854775808.0)
		return INT64_MIN;
	return (int64_t)d;
}

static int read_format_length(
	const struct json_value *protected_header, int64_t *ret, struct error **reterr)
{
	double d;

	if (!json_double(json_get_exact(protected_header, "formatLength"), &d))
		return error_setf(reterr, "missing formatted length");
	*ret = truncate_double(d);
	return 0;
}

static int read_format_tail(
	const struct json_value *protected_header, struct buf *ret, struct error **reterr)
{
	const struct json_value *tail = json_get_exact(protected_header, "formatTail");
	struct error *err = NULL;

	if (!tail || tail->type != JSON_STRING)
		return error_setf(reterr, "missing formatted tail");
	if (jose_base64_decode(ret, tail->text, tail->size, &err) < 0)
		return wrap("base64 decode error on tail", err, reterr);
	return 0;
}

/* The decoded protected header, which must be an object (or null). */
static int parse_protected_header(
	const struct signature *s, struct arena *arena, struct json **ret, struct error **reterr)
{
	cleanup_buf struct buf text = {0};
	struct json_slice members = {0};
	struct error *err = NULL;

	if (jose_base64_decode(
		    &text, json_str(s->protected_header), s->protected_header.size, &err) < 0)
		return wrap("base64 decode error", err, reterr);
	if (json_parse(text.size ? text.data : "", text.size, ret, &err) < 0 ||
		json_decode_value(json_root(*ret), text.data, &any_map, &members, arena, &err) < 0)
		return wrap("error unmarshalling protected header", err, reterr);
	return 0;
}

/* All signatures must say the same. */
static int merge_format(
	struct format *f, const struct json_value *protected_header, struct error **reterr)
{
	cleanup_buf struct buf tail = {0};
	int64_t length = 0;

	if (read_format_length(protected_header, &length, reterr) < 0 ||
		read_format_tail(protected_header, &tail, reterr) < 0)
		return -1;
	if (f->length == 0)
		f->length = length;
	else if (f->length != length)
		return error_setf(reterr, "conflicting format length");
	if (f->tail.size == 0) {
		buf_append(&f->tail, tail.data, tail.size);
		return f->tail.oom ? error_set(reterr, &error_no_memory) : 0;
	}
	if (tail.size != f->tail.size || memcmp(tail.data, f->tail.data, tail.size) != 0)
		return error_setf(reterr, "conflicting format tail");
	return 0;
}

static int read_signature(
	const struct signature *s, struct format *f, struct arena *arena, struct error **reterr)
{
	cleanup_json struct json *protected_header = NULL;
	struct error *err = NULL;

	if (parse_protected_header(s, arena, &protected_header, reterr) < 0 ||
		merge_format(f, json_root(protected_header), reterr) < 0)
		return -1;
	if (s->jwk.data && jwk_check(s->jwk.data, s->jwk.size, &err) < 0)
		return wrap("error unmarshalling public key", err, reterr);
	return 0;
}

/* The value of the last "signatures" key. */
static const struct json_text *find_signatures(const struct json_slice *members)
{
	const struct json_entry *entries = members->items;
	size_t i;

	for (i = members->count; i-- > 0;) {
		if (entries[i].key.size == strlen("signatures") &&
			memcmp(entries[i].key.data, "signatures", entries[i].key.size) == 0)
			return entries[i].value;
	}
	return NULL;
}

int jws_payload(const char *body, size_t size, struct buf *ret, struct error **reterr)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_format struct format f = {0};
	struct json_slice members = {0}, list = {0};
	const struct json_text *raw;
	struct error *err = NULL;
	size_t i;

	if (!arena)
		return error_set(reterr, &error_no_memory);
	if (json_unmarshal(body, size, &raw_map, &members, arena, &err) < 0)
		return wrap("error unmarshalling content", err, reterr);
	raw = find_signatures(&members);
	if (!raw)
		return error_setf(reterr, "missing signature key");
	if (json_unmarshal(raw->data, raw->size, &signatures, &list, arena, &err) < 0)
		return wrap("error unmarshalling signatures", err, reterr);
	for (i = 0; i < list.count; i++) {
		if (read_signature((struct signature *)list.items + i, &f, arena, reterr) < 0)
			return -1;
	}
	/* a negative length would end the original */
	if (f.length < 0 || (uint64_t)f.length > size)
		return error_setf(reterr, "invalid format length");
	buf_append(ret, body, (size_t)f.length);
	buf_append(ret, f.tail.data, f.tail.size);
	return ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

/* ---- schema1.Manifest */

struct schema1 {
	struct json_int schema_version;
	struct json_text media_type, name, tag, architecture;
	struct json_slice fs_layers, history; /* of struct json_text each */
};

static const struct json_field fs_layer_fields[] = {
	{"blobSum", 0, &json_schema_digest, 0},
};
static const struct json_schema fs_layer =
	JSON_STRUCT("schema1.FSLayer", "FSLayer", struct json_text, fs_layer_fields);
static const struct json_schema fs_layers = JSON_SLICE_OF("[]schema1.FSLayer", &fs_layer);
static const struct json_field history_fields[] = {
	{"v1Compatibility", 0, &json_schema_string, 0},
};
static const struct json_schema history =
	JSON_STRUCT("schema1.History", "History", struct json_text, history_fields);
static const struct json_schema histories = JSON_SLICE_OF("[]schema1.History", &history);

#define SCHEMA1(json_name, member, schema)                                                         \
	{                                                                                          \
		(json_name), offsetof(struct schema1, member), (schema), 0                         \
	}
static const struct json_field schema1_fields[] = {
	SCHEMA1("schemaVersion", schema_version, &json_schema_int),
	SCHEMA1("mediaType", media_type, &json_schema_string),
	SCHEMA1("name", name, &json_schema_string),
	SCHEMA1("tag", tag, &json_schema_string),
	SCHEMA1("architecture", architecture, &json_schema_string),
	SCHEMA1("fsLayers", fs_layers, &fs_layers),
	SCHEMA1("history", history, &histories),
};
static const struct json_schema schema1_schema =
	JSON_STRUCT("schema1.Manifest", "Manifest", struct schema1, schema1_fields);

static int fill(struct manifest *m, const struct schema1 *from)
{
	const struct json_text *layers = from->fs_layers.items,
			       *history_texts = from->history.items;
	size_t i;

	m->kind = MANIFEST_SCHEMA1;
	m->schema_version = from->schema_version.value;
	m->media_type = manifest_text(m->arena, from->media_type);
	m->name = manifest_text(m->arena, from->name);
	m->tag = manifest_text(m->arena, from->tag);
	m->architecture = manifest_text(m->arena, from->architecture);
	m->nfs_layers = from->fs_layers.count;
	m->nhistory = from->history.count;
	m->fs_layers = arena_alloc_array(m->arena, m->nfs_layers, sizeof(*m->fs_layers));
	m->history = arena_alloc_array(m->arena, m->nhistory, sizeof(*m->history));
	if (!m->media_type || !m->name || !m->tag || !m->architecture || !m->fs_layers ||
		!m->history)
		return -1;
	for (i = 0; i < m->nfs_layers; i++) {
		m->fs_layers[i] = manifest_text(m->arena, layers[i]);
		if (!m->fs_layers[i])
			return -1;
	}
	for (i = 0; i < m->nhistory; i++)
		m->history[i] =
			(struct schema1_history){json_str(history_texts[i]), history_texts[i].size};
	return 0;
}

int manifest_unmarshal_schema1(
	struct manifest *m, const char *body, size_t size, struct error **reterr)
{
	cleanup_buf struct buf payload = {0};
	struct schema1 decoded = {0};

	if (jws_payload(body, size, &payload, reterr) < 0)
		return -1;
	if (json_unmarshal(payload.size ? payload.data : "", payload.size, &schema1_schema,
		    &decoded, m->arena, reterr) < 0)
		return -1;
	m->payload = arena_copy(m->arena, payload.data, payload.size);
	m->payload_size = payload.size;
	if (!m->payload || fill(m, &decoded) < 0)
		return error_set(reterr, &error_no_memory);
	return 0;
}
