/* SPDX-License-Identifier: Apache-2.0 */
/* Reading tars. Go counterparts: archive/tar's reader.go, tar-split's asm.NewInputTarStream. */
#include "config.h"

#include "tar_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "image_pull.h"
#include "tar_priv.h"

#define WINDOW (128u << 10) /* where the source does not lend its bytes */

struct tar_reader {
	const struct image_pull_reader *source;
	const struct tar_keep *keep;
	/* What the source gave last: [pos, fill) is not consumed. */
	const unsigned char *window;
	size_t pos, fill;
	unsigned char *own;
	bool ended, failed;
	bool at_end; /* of the tar */
	/* The entry at hand. */
	int64_t left;     /* bytes of its data in the tar */
	unsigned padding; /* behind them */
	bool is_sparse;
	struct tar_sparse sparse;
	size_t fragment; /* the one at hand */
	int64_t in_fragment;
	int64_t offset;   /* in the file, of the next byte */
	const void *data; /* the portion that was given last */
	size_t data_size;
	uint64_t data_offset;
	/* Headers that speak of the next entry. */
	struct tar_pax pax;
	bool has_pax;
	struct buf pax_data, long_name, long_link;
	struct buf path_text, link_text; /* of pax_data, with a NUL */
	size_t xattr_at;
	char name[TAR_NAME_BUFFER], link[TAR_NAME_BUFFER], xattr_name[256];
	unsigned char block[TAR_BLOCK];
};

static int invalid(struct error **reterr)
{
	return error_setf(reterr, "archive/tar: invalid tar header");
}

static int unexpected_eof(struct error **reterr)
{
	return error_set(reterr, &err_unexpected_eof);
}

/* ---- bytes ---- */

/* More bytes in the window, which is used up. 1, 0 at the end, -1. */
static int refill(struct tar_reader *r, struct error **reterr)
{
	int64_t n = -1;

	r->pos = r->fill = 0;
	if (r->ended)
		return 0;
	if (!r->failed && r->own) {
		n = r->source->read(r->source->context, r->own, WINDOW);
		r->window = r->own;
		r->failed = n < 0 || n > (int64_t)WINDOW;
	} else if (!r->failed) {
		const void *lent = NULL;

		n = r->source->next(r->source->context, &lent);
		r->window = lent;
		r->failed = n < 0;
	}
	if (r->failed)
		return error_setf(reterr, "the stream of the layer failed");
	r->fill = (size_t)n;
	r->ended = !n;
	return r->ended ? 0 : 1;
}

/* Up to size bytes without a copy: how many (0 at the end), or -1. */
static int64_t take(
	struct tar_reader *r, size_t size, const unsigned char **ret, struct error **reterr)
{
	if (r->pos == r->fill) {
		int n = refill(r, reterr);

		if (n <= 0)
			return n;
	}
	if (size > r->fill - r->pos)
		size = r->fill - r->pos;
	*ret = r->window + r->pos;
	r->pos += size;
	return (int64_t)size;
}

static void literal(struct tar_reader *r, const void *data, size_t size)
{
	if (r->keep)
		r->keep->literal(r->keep->arg, data, size);
}

/* A whole block, which is kept. 1, 0 where the stream ends before it, -1. */
static int take_block(struct tar_reader *r, const unsigned char **ret, struct error **reterr)
{
	const unsigned char *p = NULL;
	size_t have = 0;

	while (have < TAR_BLOCK) {
		int64_t n = take(r, TAR_BLOCK - have, &p, reterr);

		if (n < 0)
			return -1;
		if (!n)
			return have ? unexpected_eof(reterr) : 0;
		literal(r, p, (size_t)n);
		if (n == TAR_BLOCK) {
			*ret = p;
			return 1;
		}
		memcpy(r->block + have, p, (size_t)n);
		have += (size_t)n;
	}
	*ret = r->block;
	return 1;
}

/* Keep size bytes without looking at them. *ret_short: the stream ended before. */
static int keep_bytes(struct tar_reader *r, int64_t size, bool *ret_short, struct error **reterr)
{
	const unsigned char *p = NULL;

	*ret_short = false;
	while (size > 0) {
		int64_t n = take(r, size > (int64_t)WINDOW ? WINDOW : (size_t)size, &p, reterr);

		if (n < 0)
			return -1;
		if (!n) {
			*ret_short = true;
			return 0;
		}
		literal(r, p, (size_t)n);
		size -= n;
	}
	return 0;
}

static unsigned padding_of(int64_t size)
{
	return (unsigned)(-(uint64_t)size & (TAR_BLOCK - 1));
}

/* ---- headers ---- */

int tar_reader_new(const struct image_pull_reader *source, const struct tar_keep *keep,
	struct tar_reader **ret, struct error **reterr)
{
	cleanup_tar_reader struct tar_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return error_set(reterr, &error_no_memory);
	if (!IMAGE_PULL_HAS(source, struct image_pull_reader, next) || !source->next) {
		r->own = malloc(WINDOW);
		if (!r->own)
			return error_set(reterr, &error_no_memory);
	}
	r->source = source;
	r->keep = keep;
	*ret = steal_ptr(&r);
	return 0;
}

void tar_reader_free(struct tar_reader *r)
{
	if (!r)
		return;
	buf_free(&r->pax_data);
	buf_free(&r->long_name);
	buf_free(&r->long_link);
	buf_free(&r->path_text);
	buf_free(&r->link_text);
	free(r->sparse.list);
	free(r->own);
	free(r);
}

/* The contents of an extension header, with a NUL behind them. */
static int read_special(struct tar_reader *r, int64_t size, struct buf *ret, struct error **reterr)
{
	const unsigned char *p = NULL;
	size_t have = r->pax_data.size + r->long_name.size + r->long_link.size;
	int64_t room = TAR_SPECIAL_MAX - (int64_t)(have < TAR_SPECIAL_MAX ? have : TAR_SPECIAL_MAX);
	bool is_short;

	buf_reset(ret);
	buf_append(ret, "", 0);
	for (int64_t left = size > room ? room + 1 : size; left > 0;) {
		int64_t n = take(r, (size_t)left, &p, reterr);

		if (n < 0)
			return -1;
		if (!n)
			return unexpected_eof(reterr);
		literal(r, p, (size_t)n);
		buf_append(ret, p, (size_t)n);
		left -= n;
	}
	if (size > room)
		return error_setf(reterr, "archive/tar: header field too long");
	if (ret->oom)
		return error_set(reterr, &error_no_memory);
	/* Padding may be cut off by the end, which is then seen at the next block. */
	return keep_bytes(r, padding_of(size), &is_short, reterr);
}

static int read_extension(struct tar_reader *r, char type, int64_t size, struct error **reterr)
{
	struct tar_pax ignored;

	if (size < 0)
		return invalid(reterr);
	switch (type) {
	case 'L':
		return read_special(r, size, &r->long_name, reterr);
	case 'K':
		return read_special(r, size, &r->long_link, reterr);
	case 'g':
		/* Global records change nothing, as for Docker; and Go forgets what came before. */
		if (read_special(r, size, &r->pax_data, reterr) < 0)
			return -1;
		r->has_pax = false;
		buf_reset(&r->long_name);
		buf_reset(&r->long_link);
		return tar_pax_parse(r->pax_data.data, r->pax_data.size, &ignored)
			       ? 0
			       : invalid(reterr);
	default:
		if (read_special(r, size, &r->pax_data, reterr) < 0)
			return -1;
		r->has_pax = true;
		return tar_pax_parse(r->pax_data.data, r->pax_data.size, &r->pax) ? 0
										  : invalid(reterr);
	}
}

/* A value of pax_data as a string. The long names of GNU are not used where this one is. */
static const char *as_string(struct buf *b, struct tar_slice s)
{
	buf_reset(b);
	buf_append(b, s.data, s.size);
	return b->data;
}

static bool merge_number(struct tar_slice s, int64_t *ret)
{
	return !s.data || tar_decimal(s.data, s.size, ret);
}

/* mergePAX */
static bool merge_pax(struct tar_reader *r, struct tar_entry *ret, int64_t *size)
{
	const struct tar_pax *p = &r->pax;
	struct timespec unused; /* nobody can set it, but it has to be one */

	if (!merge_number(p->uid, &ret->uid) || !merge_number(p->gid, &ret->gid) ||
		!merge_number(p->size, size) ||
		(p->mtime.data && !tar_pax_time(p->mtime, &ret->mtime)) ||
		(p->atime.data && !tar_pax_time(p->atime, &ret->atime)) ||
		(p->ctime.data && !tar_pax_time(p->ctime, &unused)))
		return false;
	if (p->path.data)
		ret->name = as_string(&r->path_text, p->path);
	if (p->linkpath.data)
		ret->link = as_string(&r->link_text, p->linkpath);
	return true;
}

/* ---- sparse files ---- */

/* Format 1.0: the map stands in front of the data, in decimal lines. */
static int read_map_1x0(struct tar_reader *r, struct error **reterr)
{
	const unsigned char *block = NULL;
	size_t used = TAR_BLOCK, digits = 0;
	int64_t wanted = -1, offset = 0, v;
	char number[24];

	for (size_t numbers = 0; wanted < 0 || numbers < 2 * (size_t)wanted;) {
		if (used == TAR_BLOCK) {
			if (r->left < TAR_BLOCK || r->sparse.n > TAR_SPECIAL_MAX / 4)
				return invalid(reterr);

			int n = take_block(r, &block, reterr);

			if (n <= 0)
				return n < 0 ? -1 : unexpected_eof(reterr);
			r->left -= TAR_BLOCK;
			used = 0;
		}

		/* cppcheck-suppress nullPointer; used is TAR_BLOCK at first */
		char c = (char)block[used++];

		if (c != '\n') {
			if (digits == sizeof(number))
				return invalid(reterr);
			number[digits++] = c;
			continue;
		}
		if (!tar_decimal(number, digits, &v))
			return invalid(reterr);
		digits = 0;
		if (wanted < 0) {
			wanted = v;
			if (v < 0 || v > (int64_t)TAR_SPECIAL_MAX / 4)
				return invalid(reterr);
		} else if (numbers++ % 2 == 0) {
			offset = v;
		} else if (!tar_sparse_add(&r->sparse, offset, v)) {
			return error_set(reterr, &error_no_memory);
		}
	}
	return 0;
}

/* The old GNU format: four pairs in the header, 21 in each block that follows. */
static int read_map_old(struct tar_reader *r, const unsigned char header[TAR_BLOCK],
	struct tar_entry *ret, struct error **reterr)
{
	const unsigned char *p = header + 386, *extended = header + 482;
	unsigned entries = 4;
	int64_t offset, size;

	if (tar_block_format(header) != TAR_GNU || !tar_number(header + 483, 12, &ret->size))
		return invalid(reterr);
	for (;;) {
		for (unsigned i = 0; i < entries && p[24 * i]; i++) {
			if (!tar_number(p + 24 * i, 12, &offset) ||
				!tar_number(p + 24 * i + 12, 12, &size) ||
				r->sparse.n > TAR_SPECIAL_MAX / 4)
				return invalid(reterr);
			if (!tar_sparse_add(&r->sparse, offset, size))
				return error_set(reterr, &error_no_memory);
		}
		if (!*extended)
			return 0;

		int n = take_block(r, &p, reterr);

		if (n <= 0)
			return n < 0 ? -1 : unexpected_eof(reterr);
		extended = p + 504;
		entries = 21;
	}
}

/* readGNUSparsePAXHeaders */
static int read_map_pax(struct tar_reader *r, struct tar_entry *ret, struct error **reterr)
{
	const struct tar_pax *p = &r->pax;
	struct tar_slice major = p->sparse_major, minor = p->sparse_minor;
	struct tar_slice size = p->sparse_size.data ? p->sparse_size : p->sparse_realsize;
	bool old = major.size == 1 && *major.data == '0' && minor.size == 1 &&
		   (*minor.data == '0' || *minor.data == '1');
	bool new = major.size == 1 && *major.data == '1' && minor.size == 1 && *minor.data == '0';

	if (!old && !new && (major.data || minor.data))
		return 0; /* of a future format: an ordinary file */
	if (!old && !new && !p->pairs && !p->sparse_map.data)
		return 0;
	r->is_sparse = true;
	if (p->sparse_name.data)
		ret->name = as_string(&r->path_text, p->sparse_name);
	if (size.data && !tar_decimal(size.data, size.size, &ret->size))
		return invalid(reterr);
	if (new)
		return read_map_1x0(r, reterr);
	return tar_sparse_map(p, r->pax_data.data, r->pax_data.size, &r->sparse) ? 0
										 : invalid(reterr);
}

static int read_map(struct tar_reader *r, const unsigned char header[TAR_BLOCK],
	struct tar_entry *ret, struct error **reterr)
{
	int64_t data;

	r->sparse.n = 0;
	if (ret->type == 'S') {
		unsigned char copy[TAR_BLOCK]; /* r->block may be used again */

		memcpy(copy, header, sizeof(copy));
		r->is_sparse = true;
		if (read_map_old(r, copy, ret, reterr) < 0)
			return -1;
		ret->type = '0';
	} else if (r->has_pax && read_map_pax(r, ret, reterr) < 0) {
		return -1;
	}
	if (!r->is_sparse)
		return 0;
	if (ret->type != '0' || !tar_sparse_valid(&r->sparse, ret->size, &data))
		return invalid(reterr);
	if (data > r->left)
		return error_setf(reterr, "archive/tar: sparse file references non-existent data");
	if (data < r->left)
		return error_setf(reterr, "archive/tar: sparse file contains unreferenced data");
	return 0;
}

/* ---- entries ---- */

/* isHeaderOnly: whatever the size says, there is no data. */
static bool header_only(char type)
{
	return type >= '1' && type <= '6';
}

static int finish_entry(struct tar_reader *r, const unsigned char header[TAR_BLOCK], int64_t size,
	struct tar_entry *ret, struct error **reterr)
{
	if (r->has_pax && !merge_pax(r, ret, &size))
		return invalid(reterr);
	if (ret->name && r->long_name.size && r->long_name.data[0])
		ret->name = r->long_name.data;
	if (r->long_link.size && r->long_link.data[0])
		ret->link = r->long_link.data;
	if (size < 0 && !header_only(ret->type))
		return invalid(reterr);
	if (!ret->type && ret->name)
		ret->type = str_has_suffix(ret->name, "/") ? '5' : '0';
	r->left = header_only(ret->type) ? 0 : size;
	r->padding = padding_of(r->left);
	ret->size = r->left;
	r->is_sparse = false;
	if (read_map(r, header, ret, reterr) < 0)
		return -1;
	ret->sparse = r->is_sparse;
	if (!ret->name || !ret->link)
		return error_set(reterr, &error_no_memory);
	if (ret->atime.tv_sec < ret->mtime.tv_sec ||
		(ret->atime.tv_sec == ret->mtime.tv_sec && ret->atime.tv_nsec < ret->mtime.tv_nsec))
		ret->atime = ret->mtime;
	r->fragment = 0;
	r->in_fragment = r->offset = 0;
	r->xattr_at = 0;
	return 1;
}

/* What is left of the entry before. 1, 0 where the stream ends in its padding, -1. */
static int leave_entry(struct tar_reader *r, struct error **reterr)
{
	bool is_short;

	literal(r, r->data, r->data_size);
	r->data_size = 0;
	if (keep_bytes(r, r->left, &is_short, reterr) < 0)
		return -1;
	if (is_short)
		return unexpected_eof(reterr);
	if (keep_bytes(r, r->padding, &is_short, reterr) < 0)
		return -1;
	r->left = 0;
	r->padding = 0;
	r->has_pax = false;
	buf_reset(&r->pax_data);
	buf_reset(&r->long_name);
	buf_reset(&r->long_link);
	return is_short ? 0 : 1;
}

/* Two zero blocks end a tar, or the end of the stream. 1: no zero block, 0: the end, -1. */
static int check_end(struct tar_reader *r, const unsigned char *block, struct error **reterr)
{
	if (!tar_block_is_zero(block))
		return 1;

	int n = take_block(r, &block, reterr);

	if (n <= 0)
		return n;
	return tar_block_is_zero(block) ? 0 : invalid(reterr);
}

int tar_reader_next(struct tar_reader *r, struct tar_entry *ret, struct error **reterr)
{
	const unsigned char *block = NULL;
	int64_t size;
	int n = r->at_end ? 0 : leave_entry(r, reterr);

	while (n > 0) {
		n = take_block(r, &block, reterr);
		if (n > 0)
			n = check_end(r, block, reterr);
		if (n <= 0)
			break;

		enum tar_format format = tar_block_format(block);

		if (format == TAR_UNKNOWN ||
			!tar_parse_block(block, format, ret, r->name, r->link, &size))
			return invalid(reterr);
		if (!ret->type || !strchr("xgLK", ret->type))
			return finish_entry(r, block, size, ret, reterr);
		n = read_extension(r, ret->type, size, reterr) < 0 ? -1 : 1;
	}
	r->at_end = !n;
	return n;
}

/* ---- contents ---- */

int tar_reader_data(struct tar_reader *r, const void **data, size_t *size, uint64_t *offset,
	struct error **reterr)
{
	const unsigned char *p = NULL;
	int64_t want = r->left;

	literal(r, r->data, r->data_size);
	r->data_size = 0;
	if (r->is_sparse) {
		const struct tar_fragment *f = r->sparse.list + r->fragment;

		while (r->fragment < r->sparse.n && r->in_fragment == f->size) {
			r->fragment++;
			r->in_fragment = 0;
			f++;
		}
		if (r->fragment == r->sparse.n)
			return 0;
		want = f->size - r->in_fragment;
		r->offset = f->offset + r->in_fragment;
	}
	if (!want)
		return 0;

	int64_t n = take(r, (uint64_t)want > SIZE_MAX ? SIZE_MAX : (size_t)want, &p, reterr);

	if (n <= 0)
		return n < 0 ? -1 : unexpected_eof(reterr);
	r->data = p;
	r->data_size = (size_t)n;
	r->data_offset = (uint64_t)r->offset;
	r->left -= n;
	r->in_fragment += n;
	r->offset += n;
	*data = r->data;
	*size = r->data_size;
	*offset = r->data_offset;
	return 1;
}

void tar_reader_stored(struct tar_reader *r)
{
	if (r->keep)
		r->keep->data(r->keep->arg, r->data, r->data_size, r->data_offset);
	r->data_size = 0;
}

bool tar_reader_xattr(struct tar_reader *r, const char **name, const void **value, size_t *size)
{
	static const char prefix[] = "SCHILY.xattr.";
	const size_t skip = sizeof(prefix) - 1;
	struct tar_slice key, v;

	while (r->has_pax &&
		tar_pax_next(r->pax_data.data, r->pax_data.size, &r->xattr_at, &key, &v) > 0) {
		if (key.size <= skip || memcmp(key.data, prefix, skip) || !v.size ||
			key.size - skip >= sizeof(r->xattr_name))
			continue;
		memcpy(r->xattr_name, key.data + skip, key.size - skip);
		r->xattr_name[key.size - skip] = '\0';
		*name = r->xattr_name;
		*value = v.data;
		*size = v.size;
		return true;
	}
	return false;
}

int tar_reader_drain(struct tar_reader *r, struct error **reterr)
{
	const unsigned char *p = NULL;
	int64_t n;

	while ((n = take(r, WINDOW, &p, reterr)) > 0)
		literal(r, p, (size_t)n);
	return (int)n;
}

bool tar_reader_source_failed(const struct tar_reader *r)
{
	return r->failed;
}

/* ---- as members ---- */

static void members_keep(void *arg, const struct tar_keep *keep)
{
	struct tar_reader *r = arg;

	r->keep = keep;
}

static int members_next(void *arg, struct tar_entry *ret, struct error **reterr)
{
	return tar_reader_next(arg, ret, reterr);
}

static int members_data(
	void *arg, const void **data, size_t *size, uint64_t *offset, struct error **reterr)
{
	return tar_reader_data(arg, data, size, offset, reterr);
}

static void members_stored(void *arg)
{
	tar_reader_stored(arg);
}

static bool members_xattr(void *arg, const char **name, const void **value, size_t *size)
{
	return tar_reader_xattr(arg, name, value, size);
}

static int members_drain(void *arg, struct error **reterr)
{
	return tar_reader_drain(arg, reterr);
}

static bool members_source_failed(void *arg)
{
	return tar_reader_source_failed(arg);
}

void tar_reader_members(struct tar_reader *r, struct tar_members *ret)
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
