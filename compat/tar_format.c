/* SPDX-License-Identifier: Apache-2.0 */
/* The tar format. Go counterparts: archive/tar's format.go, strconv.go, and readHeader, parsePAX
 * and the sparse maps of reader.go. What Go takes is taken and what it refuses is refused: two
 * readers that see different members in one layer are a way to smuggle. */
#include "config.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tar_priv.h"

/* ---- numbers and strings ---- */

bool tar_block_is_zero(const unsigned char block[TAR_BLOCK])
{
	return !block[0] && !memcmp(block, block + 1, TAR_BLOCK - 1);
}

/* parser.parseOctal: leading and trailing spaces and NULs do not count; empty is 0. */
static bool octal(const unsigned char *p, size_t size, int64_t *ret)
{
	uint64_t v = 0;

	while (size && (!p[0] || p[0] == ' ')) {
		p++;
		size--;
	}
	while (size && (!p[size - 1] || p[size - 1] == ' '))
		size--;
	for (; size && *p; p++, size--) {
		if (*p < '0' || *p > '7' || v >> 61)
			return false;
		v = v << 3 | (uint64_t)(*p - '0');
	}
	*ret = (int64_t)v;
	return true;
}

bool tar_number(const unsigned char *p, size_t size, int64_t *ret)
{
	unsigned char inverted = p[0] & 0x40 ? 0xff : 0;
	uint64_t v = 0;

	if (!(p[0] & 0x80))
		return octal(p, size, ret);
	/* Base 256, two's complement: -a-1 == ~a. */
	for (size_t i = 0; i < size; i++) {
		unsigned char c = p[i] ^ inverted;

		if (!i)
			c &= 0x7f;
		if (v >> 56)
			return false;
		v = v << 8 | c;
	}
	if (v >> 63)
		return false;
	*ret = inverted ? ~(int64_t)v : (int64_t)v;
	return true;
}

bool tar_decimal(const char *s, size_t size, int64_t *ret)
{
	bool negative = size && s[0] == '-';
	uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;

	if (size && (s[0] == '-' || s[0] == '+')) {
		s++;
		size--;
	}
	if (!size)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned digit = (unsigned)(s[i] - '0');

		if (s[i] < '0' || s[i] > '9' || v > (limit - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

bool tar_pax_time(struct tar_slice s, struct timespec *ret)
{
	const char *dot = memchr(s.data, '.', s.size);
	size_t whole = dot ? (size_t)(dot - s.data) : s.size;
	int64_t seconds;
	long nanoseconds = 0;

	if (!tar_decimal(s.data, whole, &seconds))
		return false;
	for (size_t i = whole + 1, digits = 0; dot && (i < s.size || digits < 9); i++, digits++) {
		char c = i < s.size ? s.data[i] : '0';

		if (c < '0' || c > '9')
			return false;
		if (digits < 9)
			nanoseconds = nanoseconds * 10 + (c - '0');
	}
	if (s.data[0] == '-' && nanoseconds) {
		if (seconds == INT64_MIN)
			return false;
		seconds--;
		nanoseconds = 1000000000 - nanoseconds;
	}
	ret->tv_sec = tar_time(seconds);
	ret->tv_nsec = nanoseconds;
	return true;
}

/* ---- the header block ---- */

enum tar_format tar_block_format(const unsigned char block[TAR_BLOCK])
{
	int64_t stated, plain = 0, with_sign = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		unsigned char c = i >= 148 && i < 156 ? ' ' : block[i];

		plain += c;
		with_sign += (signed char)c;
	}
	if (!octal(block + 148, 8, &stated) || (stated != plain && stated != with_sign))
		return TAR_UNKNOWN;
	if (!memcmp(block + 257, "ustar\0", 6))
		return memcmp(block + 508, "tar\0", 4) ? TAR_USTAR : TAR_STAR;
	return memcmp(block + 257, "ustar  \0", 8) ? TAR_V7 : TAR_GNU;
}

/* Fields need no NUL at their end. */
static size_t field(char *ret, const unsigned char *p, size_t size)
{
	size_t n = strnlen((const char *)p, size);

	memcpy(ret, p, n);
	ret[n] = '\0';
	return n;
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

/* What stands in front of the name, and the access time. */
static bool parse_extra(const unsigned char *b, enum tar_format format, struct tar_entry *ret,
	char prefix[TAR_NAME_BUFFER])
{
	int64_t n = 0;

	prefix[0] = '\0';
	switch (format) {
	case TAR_USTAR:
		field(prefix, b + 345, 155);
		return true;
	case TAR_STAR:
		field(prefix, b + 345, 131);
		if (!tar_number(b + 476, 12, &n))
			return false;
		ret->atime.tv_sec = tar_time(n);
		return tar_number(b + 488, 12, &n);
	case TAR_GNU:
		/* Go before 1.8 wrote a prefix there: then these are no numbers. */
		if ((!b[345] || tar_number(b + 345, 12, &n)) &&
			(!b[357] || tar_number(b + 357, 12, &(int64_t){0}))) {
			ret->atime.tv_sec = tar_time(n);
			return true;
		}
		field(prefix, b + 345, 155);
		if (!is_ascii(prefix))
			prefix[0] = '\0';
		return true;
	default:
		return true;
	}
}

bool tar_parse_block(const unsigned char b[TAR_BLOCK], enum tar_format format,
	struct tar_entry *ret, char name_buffer[TAR_NAME_BUFFER], char link_buffer[TAR_NAME_BUFFER],
	int64_t *ret_size)
{
	int64_t mode, mtime, major = 0, minor = 0;
	size_t n = 0;

	*ret = (struct tar_entry){.type = (char)b[156], .name = name_buffer, .link = link_buffer};
	field(link_buffer, b + 157, 100);
	if (!tar_number(b + 124, 12, ret_size) || !tar_number(b + 100, 8, &mode) ||
		!tar_number(b + 108, 8, &ret->uid) || !tar_number(b + 116, 8, &ret->gid) ||
		!tar_number(b + 136, 12, &mtime))
		return false;
	ret->mode = (unsigned)mode & 07777;
	ret->mtime.tv_sec = tar_time(mtime);
	if (format != TAR_V7) {
		if (!tar_number(b + 329, 8, &major) || !tar_number(b + 337, 8, &minor) ||
			!parse_extra(b, format, ret, name_buffer))
			return false;
		n = strlen(name_buffer);
		if (n)
			name_buffer[n++] = '/';
	}
	ret->major = (unsigned)major;
	ret->minor = (unsigned)minor;
	field(name_buffer + n, b, 100);
	return true;
}

/* ---- extended headers ---- */

int tar_pax_next(
	const char *data, size_t size, size_t *at, struct tar_slice *key, struct tar_slice *value)
{
	const char *record = data + *at, *space, *equals, *end;
	size_t left = size - *at;
	int64_t n;

	if (!left)
		return 0;
	space = memchr(record, ' ', left);
	if (!space || !tar_decimal(record, (size_t)(space - record), &n) || n < 5 ||
		(uint64_t)n > left || space + 1 > record + n - 1 || record[n - 1] != '\n')
		return -1;
	end = record + n - 1;
	equals = memchr(space + 1, '=', (size_t)(end - (space + 1)));
	if (!equals || equals == space + 1)
		return -1;
	*key = (struct tar_slice){space + 1, (size_t)(equals - space - 1)};
	*value = (struct tar_slice){equals + 1, (size_t)(end - (equals + 1))};
	*at += (size_t)n;
	return 1;
}

static bool is(const struct tar_slice *key, const char *name)
{
	return strlen(name) == key->size && !memcmp(key->data, name, key->size);
}

/* validPAXRecord: a NUL is allowed in values only, and not in those that are names. */
static bool valid(const struct tar_slice *key, const struct tar_slice *value)
{
	if (is(key, "path") || is(key, "linkpath") || is(key, "uname") || is(key, "gname"))
		return !memchr(value->data, '\0', value->size);
	return !memchr(key->data, '\0', key->size);
}

static struct tar_slice *known(struct tar_pax *pax, const struct tar_slice *key)
{
	const struct {
		const char *name;
		struct tar_slice *slice;
	} all[] = {
		{"path", &pax->path},
		{"linkpath", &pax->linkpath},
		{"uid", &pax->uid},
		{"gid", &pax->gid},
		{"size", &pax->size},
		{"mtime", &pax->mtime},
		{"atime", &pax->atime},
		{"ctime", &pax->ctime},
		{"GNU.sparse.major", &pax->sparse_major},
		{"GNU.sparse.minor", &pax->sparse_minor},
		{"GNU.sparse.name", &pax->sparse_name},
		{"GNU.sparse.map", &pax->sparse_map},
		{"GNU.sparse.numblocks", &pax->sparse_numblocks},
		{"GNU.sparse.size", &pax->sparse_size},
		{"GNU.sparse.realsize", &pax->sparse_realsize},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (is(key, all[i].name))
			return all[i].slice;
	return NULL;
}

bool tar_pax_parse(const char *data, size_t size, struct tar_pax *ret)
{
	struct tar_slice key, value;
	size_t at = 0, pairs = 0;
	int n;

	*ret = (struct tar_pax){0};
	while ((n = tar_pax_next(data, size, &at, &key, &value)) > 0) {
		if (!valid(&key, &value))
			return false;

		bool offset = is(&key, "GNU.sparse.offset");

		if (offset || is(&key, "GNU.sparse.numbytes")) {
			if (offset != (pairs % 2 == 0) || memchr(value.data, ',', value.size))
				return false;
			pairs++;
			continue;
		}

		struct tar_slice *slice = known(ret, &key);

		/* The last one wins; an empty one leaves what the header block says. */
		if (slice)
			*slice = value.size ? value : (struct tar_slice){0};
	}
	ret->pairs = pairs > 0;
	return !n;
}

/* ---- sparse files ---- */

bool tar_sparse_add(struct tar_sparse *s, int64_t offset, int64_t size)
{
	if (s->n == s->capacity) {
		size_t capacity = s->capacity ? s->capacity * 2 : 64;
		struct tar_fragment *grown = reallocarray(s->list, capacity, sizeof(*grown));

		if (!grown)
			return false;
		s->list = grown;
		s->capacity = capacity;
	}
	s->list[s->n++] = (struct tar_fragment){offset, size};
	return true;
}

/* One number of a pair; every second one completes a fragment. */
static bool add_number(struct tar_sparse *s, struct tar_slice text, size_t *count, int64_t *offset)
{
	int64_t v;

	if (!tar_decimal(text.data, text.size, &v))
		return false;
	if ((*count)++ % 2 == 0)
		*offset = v;
	else if (!tar_sparse_add(s, *offset, v))
		return false;
	return true;
}

bool tar_sparse_map(
	const struct tar_pax *pax, const char *data, size_t size, struct tar_sparse *ret)
{
	struct tar_slice key, value;
	size_t at = 0, count = 0;
	int64_t wanted, offset = 0;

	if (!pax->sparse_numblocks.data ||
		!tar_decimal(pax->sparse_numblocks.data, pax->sparse_numblocks.size, &wanted) ||
		wanted < 0 || wanted > (int64_t)TAR_SPECIAL_MAX)
		return false;
	while (pax->pairs && tar_pax_next(data, size, &at, &key, &value) > 0)
		if ((is(&key, "GNU.sparse.offset") || is(&key, "GNU.sparse.numbytes")) &&
			!add_number(ret, value, &count, &offset))
			return false;
	if (!pax->pairs && pax->sparse_map.data) {
		const char *p = pax->sparse_map.data, *end = p + pax->sparse_map.size;

		for (;;) {
			const char *comma = memchr(p, ',', (size_t)(end - p));
			struct tar_slice text = {p, (size_t)((comma ? comma : end) - p)};

			if (!add_number(ret, text, &count, &offset))
				return false;
			if (!comma)
				break;
			p = comma + 1;
		}
	}
	return count == 2 * (size_t)wanted;
}

bool tar_sparse_valid(const struct tar_sparse *s, int64_t size, int64_t *ret_data)
{
	int64_t end = 0, data = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct tar_fragment *f = &s->list[i];

		if (f->offset < 0 || f->size < 0 || f->offset > INT64_MAX - f->size ||
			f->offset + f->size > size || f->offset < end)
			return false;
		end = f->offset + f->size;
		data += f->size; /* no more than end */
	}
	*ret_data = data;
	return size >= 0;
}
