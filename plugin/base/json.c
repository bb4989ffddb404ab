/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into a tree of values. Go counterpart: encoding/json (1.19), decoding into interface{}. */
#include "config.h"

#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"

struct json {
	struct arena *arena;
	struct json_value root;
};

/* ---- memory for yajl
 *
 * yajl 2.1 goes on with NULL when an allocation fails. So a failed one leaves it by longjmp, and
 * what it holds then is freed from this list. */

struct block {
	struct block *prev, *next;
	_Alignas(max_align_t) unsigned char data[];
};

struct parse {
	jmp_buf no_memory;
	struct block *blocks;
	yajl_handle yajl;
	struct json *json;
	/* the values of containers that are still open, and where each one's begin */
	struct json_member *pending;
	size_t npending, pending_capacity;
	size_t *open;
	size_t nopen, open_capacity;
	const char *key; /* of the value to come */
	size_t key_size;
	const char *text; /* the original; at is how far it was walked */
	size_t size, at;
	size_t nvalues;
	bool oom, too_many;
};

static struct block *block_of(void *p)
{
	return (struct block *)((unsigned char *)p - offsetof(struct block, data));
}

static void link_block(struct parse *p, struct block *b)
{
	b->prev = NULL;
	b->next = p->blocks;
	if (b->next)
		b->next->prev = b;
	p->blocks = b;
}

static void unlink_block(struct parse *p, struct block *b)
{
	if (b->prev)
		b->prev->next = b->next;
	else
		p->blocks = b->next;
	if (b->next)
		b->next->prev = b->prev;
}

static void *yajl_realloc_or_leave(void *ctx, void *ptr, size_t size)
{
	struct parse *p = ctx;
	struct block *b = ptr ? block_of(ptr) : NULL, *grown;

	if (b)
		unlink_block(p, b);
	grown = size <= SIZE_MAX - sizeof(*b) ? realloc(b, sizeof(*b) + size) : NULL;
	if (!grown) {
		if (b)
			link_block(p, b);
		p->oom = true;
		longjmp(p->no_memory, 1);
	}
	link_block(p, grown);
	return grown->data;
}

static void *yajl_malloc_or_leave(void *ctx, size_t size)
{
	return yajl_realloc_or_leave(ctx, NULL, size);
}

static void yajl_free_block(void *ctx, void *ptr)
{
	if (ptr) {
		unlink_block(ctx, block_of(ptr));
		free(block_of(ptr));
	}
}

/* ---- the original text beside yajl's events: where values begin and end */

static void skip_to_token(struct parse *p)
{
	while (p->at < p->size && strchr(" \t\r\n,:", p->text[p->at]))
		p->at++;
}

static void skip_string(struct parse *p)
{
	for (p->at++; p->at < p->size && p->text[p->at] != '"'; p->at++) {
		if (p->text[p->at] == '\\')
			p->at++;
	}
	p->at++;
}

static void skip_scalar(struct parse *p)
{
	if (p->at < p->size && p->text[p->at] == '"') {
		skip_string(p);
		return;
	}
	while (p->at < p->size && !strchr(" \t\r\n,]}", p->text[p->at]))
		p->at++;
}

/* ---- building */

static bool grow(void **array, size_t *capacity, size_t need, size_t size)
{
	size_t n = *capacity ? *capacity * 2 : 16;
	void *bigger;

	if (need <= *capacity)
		return true;
	bigger = realloc(*array, n * size);
	if (!bigger)
		return false;
	*array = bigger;
	*capacity = n;
	return true;
}

static int out_of_memory(struct parse *p)
{
	p->oom = true;
	return 0;
}

/* A complete value: into its container, or it is the root. Returns what a yajl callback does. */
static int add_value(struct parse *p, const struct json_value *value)
{
	if (!p->nopen) {
		p->json->root = *value;
		return 1;
	}
	if (!grow((void **)&p->pending, &p->pending_capacity, p->npending + 1, sizeof(*p->pending)))
		return out_of_memory(p);
	p->pending[p->npending++] =
		(struct json_member){.key = p->key, .key_size = p->key_size, .value = *value};
	return 1;
}

static bool count_value(struct parse *p)
{
	p->too_many = ++p->nvalues > JSON_MAX_VALUES;
	return !p->too_many;
}

static int add_scalar(struct parse *p, struct json_value value)
{
	if (!count_value(p))
		return 0;
	skip_to_token(p);
	value.begin = p->at;
	skip_scalar(p);
	value.end = p->at;
	return add_value(p, &value);
}

static int add_text(struct parse *p, enum json_type type, const void *text, size_t size)
{
	char *copy = arena_copy(p->json->arena, text, size);

	if (!copy)
		return out_of_memory(p);
	return add_scalar(p, (struct json_value){.type = type, .text = copy, .size = size});
}

static int on_null(void *ctx)
{
	return add_scalar(ctx, (struct json_value){.type = JSON_NULL});
}

static int on_boolean(void *ctx, int value)
{
	return add_scalar(ctx, (struct json_value){.type = JSON_BOOL, .boolean = value != 0});
}

static int on_number(void *ctx, const char *text, size_t size)
{
	return add_text(ctx, JSON_NUMBER, text, size);
}

static int on_string(void *ctx, const unsigned char *text, size_t size)
{
	return add_text(ctx, JSON_STRING, text, size);
}

/* The container itself waits in pending, in front of its values; its key is there too. */
static int on_start(struct parse *p, enum json_type type)
{
	struct json_value value = {.type = type};

	if (!count_value(p))
		return 0;
	skip_to_token(p);
	value.begin = p->at++;
	if (!grow((void **)&p->pending, &p->pending_capacity, p->npending + 1,
		    sizeof(*p->pending)) ||
		!grow((void **)&p->open, &p->open_capacity, p->nopen + 1, sizeof(*p->open)))
		return out_of_memory(p);
	p->pending[p->npending] =
		(struct json_member){.key = p->key, .key_size = p->key_size, .value = value};
	p->open[p->nopen++] = p->npending++;
	return 1;
}

static int on_start_map(void *ctx)
{
	return on_start(ctx, JSON_OBJECT);
}

static int on_start_array(void *ctx)
{
	return on_start(ctx, JSON_ARRAY);
}

static int on_key(void *ctx, const unsigned char *text, size_t size)
{
	struct parse *p = ctx;

	p->key = arena_copy(p->json->arena, text, size);
	p->key_size = size;
	if (!p->key)
		return out_of_memory(p);
	skip_to_token(p);
	skip_string(p);
	return 1;
}

static int on_end(void *ctx)
{
	struct parse *p = ctx;
	size_t at = p->open[--p->nopen], first = at + 1, count = p->npending - first, i;
	struct json_member self = p->pending[at];
	struct json_member *members;
	struct json_value *items;

	skip_to_token(p);
	self.value.end = ++p->at;
	self.value.count = count;
	if (self.value.type == JSON_OBJECT) {
		members = arena_alloc_array(p->json->arena, count, sizeof(*members));
		if (!members)
			return out_of_memory(p);
		if (count)
			memcpy(members, p->pending + first, count * sizeof(*members));
		self.value.members = members;
	} else {
		items = arena_alloc_array(p->json->arena, count, sizeof(*items));
		if (!items)
			return out_of_memory(p);
		for (i = 0; i < count; i++)
			items[i] = p->pending[first + i].value;
		self.value.items = items;
	}
	p->npending = at;
	p->key = self.key;
	p->key_size = self.key_size;
	return add_value(p, &self.value);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end,
};

/* ---- what yajl would read otherwise than Go */

static int hex4(const char *s)
{
	int value = 0, i;

	for (i = 0; i < 4; i++) {
		char c = s[i];

		value = value * 16 +
			(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10); /* checked by the scanner */
	}
	return value;
}

/* An escape at s (valid): copy it; a surrogate without its partner becomes U+FFFD. Returns its
 * length. */
static size_t mend_escape(struct buf *b, const char *s, size_t left)
{
	int rune, low;

	if (s[1] != 'u') {
		buf_append(b, s, 2);
		return 2;
	}
	rune = hex4(s + 2);
	if (rune < 0xd800 || rune > 0xdfff) {
		buf_append(b, s, 6);
		return 6;
	}
	if (rune < 0xdc00 && left >= 12 && s[6] == '\\' && s[7] == 'u') {
		low = hex4(s + 8);
		if (low >= 0xdc00 && low <= 0xdfff) {
			buf_append(b, s, 12);
			return 12;
		}
	}
	buf_append_str(b, "\\ufffd");
	return 6;
}

/* Valid JSON with valid UTF-8 and no lone surrogates. */
static void mend(struct buf *b, const char *s, size_t size)
{
	size_t i = 0, width;
	uint32_t rune;

	while (i < size && !b->oom) {
		if (s[i] == '\\') {
			i += mend_escape(b, s + i, size - i);
		} else if ((unsigned char)s[i] < 0x80) {
			buf_append_char(b, s[i++]);
		} else {
			width = utf8_decode(s + i, size - i, &rune);
			buf_append_rune(b, rune);
			i += width;
		}
	}
}

static bool needs_mending(const char *s, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if ((unsigned char)s[i] >= 0x80 || s[i] == '\\')
			return true;
	}
	return false;
}

/* ---- parsing */

/* Run yajl over text that the scanner took. False if it failed; p->oom and p->too_many say how. */
static bool run_yajl(struct parse *p, const char *text, size_t size)
{
	yajl_alloc_funcs alloc = {.malloc = yajl_malloc_or_leave,
		.realloc = yajl_realloc_or_leave,
		.free = yajl_free_block,
		.ctx = p};
	bool ok;

	if (setjmp(p->no_memory) != 0)
		return false; /* the blocks are freed by the caller */
	p->yajl = yajl_alloc(&callbacks, &alloc, p);
	ok = yajl_parse(p->yajl, (const unsigned char *)text, size) == yajl_status_ok &&
	     yajl_complete_parse(p->yajl) == yajl_status_ok;
	yajl_free(p->yajl);
	return ok;
}

static int parse_failure(const struct parse *p, struct error **reterr)
{
	if (p->oom)
		return error_set(reterr, &error_no_memory);
	if (p->too_many)
		return error_setf(reterr, "JSON document has too many values");
	return error_setf(reterr, "JSON document is valid, but was not understood");
}

/* text is valid JSON. */
static int build(const char *text, size_t size, struct json **ret, struct error **reterr)
{
	cleanup_json struct json *json = calloc(1, sizeof(*json));
	cleanup_buf struct buf mended = {0};
	struct parse p = {.json = json, .text = text, .size = size};
	struct block *block;
	bool ok;

	if (json)
		json->arena = arena_new();
	if (!json || !json->arena)
		return error_set(reterr, &error_no_memory);
	if (needs_mending(text, size)) {
		mend(&mended, text, size);
		if (mended.oom)
			return error_set(reterr, &error_no_memory);
		text = mended.data;
		size = mended.size;
	}
	ok = run_yajl(&p, text, size);
	while (p.blocks) {
		block = p.blocks;
		unlink_block(&p, block);
		free(block);
	}
	free(p.pending);
	free(p.open);
	if (!ok)
		return parse_failure(&p, reterr);
	*ret = steal_ptr(&json);
	return 0;
}

int json_parse(const void *data, size_t size, struct json **ret, struct error **reterr)
{
	if (json_scan_whole(data, size, reterr) < 0)
		return -1;
	return build(data, size, ret, reterr);
}

int json_decode_first(const void *data, size_t size, struct json **ret, struct error **reterr)
{
	size_t end;

	if (json_scan_first(data, size, &end, reterr) < 0)
		return -1;
	return build(data, end, ret, reterr);
}

void json_free(struct json *j)
{
	if (!j)
		return;
	arena_free(j->arena);
	free(j);
}

const struct json_value *json_root(const struct json *j)
{
	return &j->root;
}

/* ---- looking things up */

static unsigned char ascii_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

bool json_key_equal_fold(const char *field, const char *key, size_t size)
{
	size_t i = 0, width;
	uint32_t rune;

	for (; *field; field++, i += width) {
		unsigned char f = ascii_lower((unsigned char)*field);

		if (i == size)
			return false;
		width = utf8_decode(key + i, size - i, &rune);
		if (rune == 0x212a)
			rune = 'k';
		else if (rune == 0x17f)
			rune = 's';
		if (rune >= 0x80 || ascii_lower((unsigned char)rune) != f)
			return false;
	}
	return i == size;
}

const struct json_value *json_get(const struct json_value *v, const char *key)
{
	size_t i;

	if (!v || v->type != JSON_OBJECT)
		return NULL;
	for (i = v->count; i-- > 0;) {
		if (json_key_equal_fold(key, v->members[i].key, v->members[i].key_size))
			return &v->members[i].value;
	}
	return NULL;
}

const struct json_value *json_get_exact(const struct json_value *v, const char *key)
{
	size_t size = strlen(key), i;

	if (!v || v->type != JSON_OBJECT)
		return NULL;
	for (i = v->count; i-- > 0;) {
		if (v->members[i].key_size == size && memcmp(v->members[i].key, key, size) == 0)
			return &v->members[i].value;
	}
	return NULL;
}

const char *json_get_string(const struct json_value *v, const char *key, const char *fallback)
{
	const struct json_value *member = json_get(v, key);

	return member && member->type == JSON_STRING ? member->text : fallback;
}

bool json_int64(const struct json_value *v, int64_t *ret)
{
	bool negative;
	uint64_t n = 0, limit;
	size_t i;

	if (!v || v->type != JSON_NUMBER)
		return false;
	negative = v->text[0] == '-';
	limit = (uint64_t)INT64_MAX + negative;
	for (i = negative; i < v->size; i++) {
		unsigned int digit = (unsigned int)(v->text[i] - '0');

		if (digit > 9 || n > (limit - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = negative ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

bool json_double(const struct json_value *v, double *ret)
{
	/* the host's locale may have another decimal point */
	locale_t c;
	double value;

	if (!v || v->type != JSON_NUMBER)
		return false;
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (c == (locale_t)0)
		return false;
	value = strtod_l(v->text, NULL, c);
	freelocale(c);
	if (!isfinite(value))
		return false;
	*ret = value;
	return true;
}
