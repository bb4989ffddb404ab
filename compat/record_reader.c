/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and checking the confined unpacker's records. No Go counterpart. */
#include "config.h"

#include "record_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "record.h"

#define WINDOW (256u << 10) /* grown for entries with very long names */

struct record_reader {
	const struct record_source *source;
	const struct tar_keep *keep;
	struct hasher *hash;
	uint64_t total, max; /* bytes of tar */
	bool over, ended;
	/* [pos, fill) has come and is not consumed. */
	unsigned char *window;
	size_t capacity, pos, fill;
	/* The entry at hand. */
	bool is_file, sparse;
	uint64_t size;      /* of the file */
	uint64_t file_pos;  /* behind the last byte of it that came */
	struct buf payload; /* its record: what name, link and attributes point into */
	const char *xattrs; /* the next one */
	uint32_t xattrs_left;
	/* The portion that was given last. */
	const unsigned char *data;
	size_t data_size;
	uint64_t data_offset;
};

static int broken(const char *what, struct error **reterr)
{
	return error_setf(reterr, "the unpacker sent what it must not: %s", what);
}

/* ---- bytes ---- */

/* At least size bytes in the window. */
static int need(struct record_reader *r, size_t size, struct error **reterr)
{
	if (r->fill - r->pos >= size)
		return 0;
	memmove(r->window, r->window + r->pos, r->fill - r->pos);
	r->fill -= r->pos;
	r->pos = 0;
	if (size > r->capacity) {
		unsigned char *grown = realloc(r->window, size);

		if (!grown)
			return error_set(reterr, &error_no_memory);
		r->window = grown;
		r->capacity = size;
	}
	while (r->fill < size) {
		ssize_t n = r->source->read(
			r->source->arg, r->window + r->fill, r->capacity - r->fill, reterr);

		if (n < 0)
			return -1;
		if (n == 0 || (size_t)n > r->capacity - r->fill)
			return broken("nothing", reterr);
		r->fill += (size_t)n;
	}
	return 0;
}

static size_t size_max(uint32_t type)
{
	switch (type) {
	case RECORD_LITERAL:
		return RECORD_BYTES_MAX;
	case RECORD_DATA:
		return sizeof(uint64_t) + RECORD_BYTES_MAX;
	case RECORD_ENTRY:
		return RECORD_ENTRY_MAX;
	case RECORD_ERROR:
		return sizeof(uint32_t) + RECORD_ERROR_MAX;
	default:
		return 0;
	}
}

/* The next record, whole in the window; it stays there until consume. */
static int peek(struct record_reader *r, struct record_head *ret, const unsigned char **ret_payload,
	struct error **reterr)
{
	if (need(r, sizeof(*ret), reterr) < 0)
		return -1;
	memcpy(ret, r->window + r->pos, sizeof(*ret));
	if (ret->type < RECORD_LITERAL || ret->type > RECORD_ERROR ||
		ret->size > size_max(ret->type))
		return broken("an unknown record", reterr);
	if (need(r, sizeof(*ret) + ret->size, reterr) < 0)
		return -1;
	*ret_payload = r->window + r->pos + sizeof(*ret);
	return 0;
}

static void consume(struct record_reader *r, const struct record_head *head)
{
	r->pos += sizeof(*head) + head->size;
}

/* Bytes of the tar have come. */
static int count(struct record_reader *r, const void *data, size_t size, struct error **reterr)
{
	hasher_write(r->hash, data, size);
	r->total += size;
	if (!r->max || r->total <= r->max)
		return 0;
	r->over = true;
	return error_setf(reterr, "it is larger than the %llu bytes that a layer may have",
		(unsigned long long)r->max);
}

static void literal(struct record_reader *r, const void *data, size_t size)
{
	if (r->keep && size)
		r->keep->literal(r->keep->arg, data, size);
}

/* ---- errors ---- */

/* Its text may reach a terminal. */
static bool printable(const unsigned char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return size > 0;
}

static int told_error(const unsigned char *payload, size_t size, struct error **reterr)
{
	const unsigned char *text = payload + sizeof(uint32_t);
	uint32_t kind;

	if (size < sizeof(kind))
		return broken("a short error", reterr);
	memcpy(&kind, payload, sizeof(kind));
	size -= sizeof(kind);
	if (kind == RECORD_ERROR_MEMORY)
		return error_set(reterr, &error_no_memory);
	if (kind < RECORD_ERROR_BEGINNING || kind > RECORD_ERROR_SETUP || !printable(text, size))
		return broken("an error that says nothing", reterr);
	if (kind == RECORD_ERROR_BEGINNING)
		return error_set(reterr, error_classf(CLASS_INVALID_PARAMETER, "%.*s", (int)size,
						 (const char *)text));
	return error_setf(reterr, "%.*s", (int)size, (const char *)text);
}

/* ---- entries ---- */

static bool valid_time(uint32_t ns)
{
	return ns < 1000000000u;
}

static bool valid_numbers(const struct record_entry *e)
{
	bool is_file = e->type == '0', no_data = e->type >= '1' && e->type <= '6';

	return e->type <= 0xff && e->mode <= 07777 && e->sparse <= 1 && e->size >= 0 &&
	       (!no_data || !e->size) && (is_file || !e->sparse) && valid_time(e->mtime_ns) &&
	       valid_time(e->atime_ns) &&
	       (e->atime > e->mtime || (e->atime == e->mtime && e->atime_ns >= e->mtime_ns)) &&
	       e->name_size <= RECORD_TEXT_MAX && e->link_size <= RECORD_TEXT_MAX;
}

/* A string of that many characters and its NUL at *at, which moves on. NULL: there is none. */
static const char *take_text(const char **at, const char *end, size_t size)
{
	const char *text = *at;

	if (size >= (size_t)(end - text) || text[size] || memchr(text, 0, size))
		return NULL;
	*at += size + 1;
	return text;
}

/* One attribute at *at, which moves on. False: there is none. */
static bool take_xattr(
	const char **at, const char *end, const char **name, const void **value, size_t *size)
{
	struct record_xattr x;

	if ((size_t)(end - *at) < sizeof(x))
		return false;
	memcpy(&x, *at, sizeof(x));
	*at += sizeof(x);
	if (!x.name_size || x.name_size > RECORD_XATTR_NAME_MAX)
		return false;
	*name = take_text(at, end, x.name_size);
	if (!*name || !x.value_size || x.value_size > (size_t)(end - *at))
		return false;
	*value = *at;
	*size = x.value_size;
	*at += x.value_size;
	return true;
}

static bool valid_xattrs(const char *at, const char *end, uint32_t n)
{
	const char *name;
	const void *value;
	size_t size;

	while (n && take_xattr(&at, end, &name, &value, &size))
		n--;
	return !n && at == end;
}

static int take_entry(struct record_reader *r, const unsigned char *payload, size_t size,
	struct tar_entry *ret, struct error **reterr)
{
	struct record_entry e;
	const char *at, *end;

	if (size < sizeof(e))
		return broken("a short entry", reterr);
	memcpy(&e, payload, sizeof(e));
	if (!valid_numbers(&e))
		return broken("an entry with impossible numbers", reterr);
	buf_reset(&r->payload);
	buf_append(&r->payload, payload + sizeof(e), size - sizeof(e));
	if (r->payload.oom)
		return error_set(reterr, &error_no_memory);
	at = r->payload.data;
	end = at + r->payload.size;
	ret->name = at ? take_text(&at, end, e.name_size) : NULL;
	ret->link = ret->name ? take_text(&at, end, e.link_size) : NULL;
	if (!ret->link || !valid_xattrs(at, end, e.nxattrs))
		return broken("an entry with impossible texts", reterr);
	r->xattrs = at;
	r->xattrs_left = e.nxattrs;
	ret->type = (char)e.type;
	ret->mode = e.mode;
	ret->uid = e.uid;
	ret->gid = e.gid;
	ret->size = e.size;
	ret->sparse = e.sparse;
	ret->mtime = (struct timespec){.tv_sec = tar_time(e.mtime), .tv_nsec = e.mtime_ns};
	ret->atime = (struct timespec){.tv_sec = tar_time(e.atime), .tv_nsec = e.atime_ns};
	ret->major = e.major;
	ret->minor = e.minor;
	r->is_file = e.type == '0';
	r->sparse = e.sparse;
	r->size = (uint64_t)e.size;
	r->file_pos = 0;
	return 1;
}

/* ---- contents ---- */

static void flush(struct record_reader *r)
{
	literal(r, r->data, r->data_size);
	r->data_size = 0;
}

/* A portion of the file. 1, 0 where another record comes, -1. */
static int next_data(struct record_reader *r, struct error **reterr)
{
	const unsigned char *payload = NULL;
	struct record_head head;
	uint64_t offset;
	size_t size;

	flush(r);
	if (peek(r, &head, &payload, reterr) < 0)
		return -1;
	if (head.type == RECORD_ERROR)
		return told_error(payload, head.size, reterr);
	if (head.type != RECORD_DATA) {
		/* Holes may stand at the end of a sparse file only. */
		if (r->is_file && !r->sparse && r->file_pos != r->size)
			return broken("a part of a file", reterr);
		return 0;
	}
	if (!r->is_file || head.size <= sizeof(offset))
		return broken("contents of no file", reterr);
	memcpy(&offset, payload, sizeof(offset));
	size = head.size - sizeof(offset);
	if (offset < r->file_pos || (offset != r->file_pos && !r->sparse) || offset > r->size ||
		size > r->size - offset)
		return broken("contents beside their file", reterr);
	if (count(r, payload + sizeof(offset), size, reterr) < 0)
		return -1;
	consume(r, &head);
	r->file_pos = offset + size;
	r->data = payload + sizeof(offset);
	r->data_size = size;
	r->data_offset = offset;
	return 1;
}

/* ---- as members ---- */

static void members_keep(void *arg, const struct tar_keep *keep)
{
	struct record_reader *r = arg;

	r->keep = keep;
}

static int members_next(void *arg, struct tar_entry *ret, struct error **reterr)
{
	struct record_reader *r = arg;
	const unsigned char *payload = NULL;
	struct record_head head;
	int n = r->ended ? 0 : 1;

	while (n > 0)
		n = next_data(r, reterr);
	if (n < 0 || r->ended)
		return n;
	r->is_file = false;
	for (;;) {
		if (peek(r, &head, &payload, reterr) < 0)
			return -1;
		switch (head.type) {
		case RECORD_LITERAL:
			if (count(r, payload, head.size, reterr) < 0)
				return -1;
			literal(r, payload, head.size);
			consume(r, &head);
			continue;
		case RECORD_ENTRY:
			n = take_entry(r, payload, head.size, ret, reterr);
			consume(r, &head);
			return n;
		case RECORD_END:
			if (!r->source->given(r->source->arg))
				return broken("an end before the blob's", reterr);
			r->ended = true;
			return 0;
		case RECORD_ERROR:
			return told_error(payload, head.size, reterr);
		default:
			return broken("contents without a file", reterr);
		}
	}
}

static int members_data(
	void *arg, const void **data, size_t *size, uint64_t *offset, struct error **reterr)
{
	struct record_reader *r = arg;
	int n = next_data(r, reterr);

	if (n > 0) {
		*data = r->data;
		*size = r->data_size;
		*offset = r->data_offset;
	}
	return n;
}

static void members_stored(void *arg)
{
	struct record_reader *r = arg;

	if (r->keep)
		r->keep->data(r->keep->arg, r->data, r->data_size, r->data_offset);
	r->data_size = 0;
}

static bool members_xattr(void *arg, const char **name, const void **value, size_t *size)
{
	struct record_reader *r = arg;

	if (!r->xattrs_left)
		return false;
	r->xattrs_left--;
	return take_xattr(&r->xattrs, r->payload.data + r->payload.size, name, value, size);
}

/* END comes behind all that follows the tar's end, so there is nothing left. */
static int members_drain(void *arg, struct error **reterr)
{
	struct record_reader *r = arg;

	return r->ended ? 0 : broken("no end", reterr);
}

static bool members_source_failed(void *arg)
{
	struct record_reader *r = arg;

	return r->source->failed(r->source->arg);
}

void record_reader_members(struct record_reader *r, struct tar_members *ret)
{
	*ret = (struct tar_members){.arg = r,
		.keep = members_keep,
		.next = members_next,
		.data = members_data,
		.stored = members_stored,
		.xattr = members_xattr,
		.drain = members_drain,
		.source_failed = members_source_failed};
}

/* ---- */

int record_reader_new(const struct record_source *source, uint64_t max, struct record_reader **ret,
	struct error **reterr)
{
	struct record_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(reterr, &error_no_memory);
	r->source = source;
	r->max = max;
	r->capacity = WINDOW;
	r->window = malloc(r->capacity);
	r->hash = hasher_new("sha256");
	if (!r->window || !r->hash) {
		record_reader_free(r);
		return error_set(reterr, &error_no_memory);
	}
	*ret = r;
	return 0;
}

void record_reader_free(struct record_reader *r)
{
	if (!r)
		return;
	buf_free(&r->payload);
	hasher_free(r->hash);
	free(r->window);
	free(r);
}

bool record_reader_over(const struct record_reader *r)
{
	return r->over;
}

void record_reader_digest(const struct record_reader *r, char ret[DIGEST_MAX])
{
	hasher_digest(r->hash, ret);
}
