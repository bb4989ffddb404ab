/* SPDX-License-Identifier: Apache-2.0 */
/* A state machine that takes JSON byte by byte. Go counterpart: encoding/json/scanner.go (1.19).
 * The words of its errors are part of what a user sees, so its states are Go's. */
#include "base/json_scan.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

enum state {
	BEGIN_VALUE,
	BEGIN_VALUE_OR_EMPTY, /* behind '[' */
	BEGIN_KEY,
	BEGIN_KEY_OR_EMPTY, /* behind '{' */
	END_VALUE,
	END_TOP,
	IN_STRING,
	IN_ESCAPE,
	IN_HEX,
	IN_WORD,
	NUMBER_MINUS,
	NUMBER_DIGITS,
	NUMBER_INTEGER, /* whole part is complete: behind a leading 0 */
	NUMBER_POINT,
	NUMBER_FRACTION,
	NUMBER_E,
	NUMBER_SIGN,
	NUMBER_EXPONENT,
};

enum verdict { GO_ON, CONTAINER_ENDED, TOP_ENDED, FAILED };

struct scanner {
	enum state state;
	bool in_value;    /* of the innermost object: behind the colon */
	bool pending;     /* err is for the next step to tell */
	const char *word; /* true, false, null */
	size_t word_at;   /* how much of it was seen; or hex digits to come */
	size_t depth;
	uint8_t objects[(JSON_MAX_DEPTH + 8) / 8]; /* one bit a level: object or array */
	struct error *err;
};

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* quoteChar: the byte, taken for a rune, between single quotes. */
static void append_char(struct buf *b, unsigned char c)
{
	cleanup_buf struct buf rune = {0}, quoted = {0};

	if (c == '\'') {
		buf_append_str(b, "'\\''");
		return;
	}
	if (c == '"') {
		buf_append_str(b, "'\"'");
		return;
	}
	buf_append_rune(&rune, c);
	if (!rune.oom)
		buf_append_quoted(&quoted, rune.data, rune.size);
	if (rune.oom || quoted.oom) {
		b->oom = true;
		return;
	}
	buf_append_char(b, '\'');
	buf_append(b, quoted.data + 1, quoted.size - 2);
	buf_append_char(b, '\'');
}

static enum verdict fail(struct scanner *s, unsigned char c, const char *where)
{
	cleanup_buf struct buf b = {0};

	append_char(&b, c);
	s->err = b.oom ? &error_no_memory : error_plainf("invalid character %s %s", b.data, where);
	return FAILED;
}

static bool in_object(const struct scanner *s)
{
	return s->objects[(s->depth - 1) / 8] >> (s->depth - 1) % 8 & 1;
}

static enum verdict push(struct scanner *s, unsigned char c)
{
	uint8_t bit;

	if (s->depth == JSON_MAX_DEPTH)
		return fail(s, c, "exceeded max depth");
	bit = (uint8_t)(1u << s->depth % 8);
	if (c == '{')
		s->objects[s->depth / 8] |= bit;
	else
		s->objects[s->depth / 8] &= (uint8_t)~bit;
	s->depth++;
	s->in_value = false;
	s->state = c == '{' ? BEGIN_KEY_OR_EMPTY : BEGIN_VALUE_OR_EMPTY;
	return GO_ON;
}

static enum verdict pop(struct scanner *s)
{
	s->depth--;
	s->in_value = true;
	s->state = s->depth ? END_VALUE : END_TOP;
	return CONTAINER_ENDED;
}

/* As Go: the value is complete whatever follows; the next step complains. */
static enum verdict end_top(struct scanner *s, unsigned char c)
{
	s->state = END_TOP;
	if (!is_space(c)) {
		fail(s, c, "after top-level value");
		s->pending = true;
	}
	return TOP_ENDED;
}

static enum verdict end_value(struct scanner *s, unsigned char c)
{
	if (s->depth == 0)
		return end_top(s, c);
	s->state = END_VALUE;
	if (is_space(c))
		return GO_ON;
	if (!in_object(s)) {
		if (c == ']')
			return pop(s);
		if (c != ',')
			return fail(s, c, "after array element");
		s->state = BEGIN_VALUE;
	} else if (!s->in_value) {
		if (c != ':')
			return fail(s, c, "after object key");
		s->in_value = true;
		s->state = BEGIN_VALUE;
	} else {
		if (c == '}')
			return pop(s);
		if (c != ',')
			return fail(s, c, "after object key:value pair");
		s->in_value = false;
		s->state = BEGIN_KEY;
	}
	return GO_ON;
}

static enum verdict begin_word(struct scanner *s, const char *word)
{
	s->word = word;
	s->word_at = 1;
	s->state = IN_WORD;
	return GO_ON;
}

static enum verdict begin_value(struct scanner *s, unsigned char c)
{
	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return GO_ON;
	case '{':
	case '[':
		return push(s, c);
	case '"':
		s->state = IN_STRING;
		return GO_ON;
	case '-':
		s->state = NUMBER_MINUS;
		return GO_ON;
	case '0':
		s->state = NUMBER_INTEGER;
		return GO_ON;
	case 't':
		return begin_word(s, "true");
	case 'f':
		return begin_word(s, "false");
	case 'n':
		return begin_word(s, "null");
	}
	if (!is_digit(c))
		return fail(s, c, "looking for beginning of value");
	s->state = NUMBER_DIGITS;
	return GO_ON;
}

static enum verdict begin_key(struct scanner *s, unsigned char c)
{
	if (is_space(c))
		return GO_ON;
	if (c != '"')
		return fail(s, c, "looking for beginning of object key string");
	s->state = IN_STRING;
	return GO_ON;
}

static enum verdict step_string(struct scanner *s, unsigned char c)
{
	if (s->state == IN_HEX) {
		if (!is_hex(c))
			return fail(s, c, "in \\u hexadecimal character escape");
		if (--s->word_at == 0)
			s->state = IN_STRING;
	} else if (s->state == IN_ESCAPE) {
		if (c == 'u') {
			s->word_at = 4;
			s->state = IN_HEX;
		} else if (c && strchr("bfnrt\\/\"", c)) {
			s->state = IN_STRING;
		} else {
			return fail(s, c, "in string escape code");
		}
	} else if (c == '"') {
		s->state = END_VALUE;
	} else if (c == '\\') {
		s->state = IN_ESCAPE;
	} else if (c < ' ') {
		return fail(s, c, "in string literal");
	}
	return GO_ON;
}

static enum verdict step_word(struct scanner *s, unsigned char c)
{
	char where[40];

	if (c != (unsigned char)s->word[s->word_at]) {
		snprintf(where, sizeof(where), "in literal %s (expecting '%c')", s->word,
			s->word[s->word_at]);
		return fail(s, c, where);
	}
	if (!s->word[++s->word_at])
		s->state = END_VALUE;
	return GO_ON;
}

static enum verdict step_number(struct scanner *s, unsigned char c)
{
	bool digit = is_digit(c), e = c == 'e' || c == 'E';

	switch (s->state) {
	case NUMBER_MINUS:
		if (!digit)
			return fail(s, c, "in numeric literal");
		s->state = c == '0' ? NUMBER_INTEGER : NUMBER_DIGITS;
		return GO_ON;
	case NUMBER_DIGITS:
		if (digit)
			return GO_ON;
		/* fall through */
	case NUMBER_INTEGER:
		if (c == '.') {
			s->state = NUMBER_POINT;
			return GO_ON;
		}
		break;
	case NUMBER_POINT:
		if (!digit)
			return fail(s, c, "after decimal point in numeric literal");
		s->state = NUMBER_FRACTION;
		return GO_ON;
	case NUMBER_FRACTION:
		if (digit)
			return GO_ON;
		break;
	case NUMBER_E:
		if (c == '+' || c == '-') {
			s->state = NUMBER_SIGN;
			return GO_ON;
		}
		/* fall through */
	case NUMBER_SIGN:
		if (!digit)
			return fail(s, c, "in exponent of numeric literal");
		s->state = NUMBER_EXPONENT;
		return GO_ON;
	default: /* NUMBER_EXPONENT */
		return digit ? GO_ON : end_value(s, c);
	}
	if (!e)
		return end_value(s, c);
	s->state = NUMBER_E;
	return GO_ON;
}

static enum verdict step(struct scanner *s, unsigned char c)
{
	if (s->pending)
		return FAILED;
	switch (s->state) {
	case BEGIN_VALUE_OR_EMPTY:
		if (c == ']')
			return end_value(s, c);
		if (!is_space(c))
			s->state = BEGIN_VALUE;
		/* fall through */
	case BEGIN_VALUE:
		return begin_value(s, c);
	case BEGIN_KEY_OR_EMPTY:
		if (c == '}')
			return pop(s);
		if (!is_space(c))
			s->state = BEGIN_KEY;
		/* fall through */
	case BEGIN_KEY:
		return begin_key(s, c);
	case END_VALUE:
		return end_value(s, c);
	case END_TOP:
		return end_top(s, c);
	case IN_STRING:
	case IN_ESCAPE:
	case IN_HEX:
		return step_string(s, c);
	case IN_WORD:
		return step_word(s, c);
	default:
		return step_number(s, c);
	}
}

int json_scan_whole(const char *text, size_t size, struct error **reterr)
{
	struct scanner s = {.state = BEGIN_VALUE};
	size_t i;

	for (i = 0; i < size; i++) {
		if (step(&s, (unsigned char)text[i]) == FAILED)
			return error_set(reterr, s.err);
	}
	/* scanner.eof: a space ends what it can end */
	if (!s.pending && s.state != END_TOP)
		(void)step(&s, ' '); /* s.err and s.state tell */
	if (s.err)
		return error_set(reterr, s.err);
	if (s.state != END_TOP)
		return error_setf(reterr, "unexpected end of JSON input");
	return 0;
}

int json_scan_first(const char *text, size_t size, size_t *ret_size, struct error **reterr)
{
	struct scanner s = {.state = BEGIN_VALUE};
	enum verdict verdict;
	size_t i;

	for (i = 0; i < size; i++) {
		verdict = step(&s, (unsigned char)text[i]);
		if (verdict == FAILED)
			return error_set(reterr, s.err);
		if (verdict == CONTAINER_ENDED && s.depth == 0)
			i++;
		else if (verdict != TOP_ENDED)
			continue;
		error_unref(s.err); /* of what follows */
		*ret_size = i;
		return 0;
	}
	verdict = step(&s, ' ');
	error_unref(s.err);
	if (verdict == TOP_ENDED) {
		*ret_size = size;
		return 0;
	}
	for (i = 0; i < size; i++) {
		if (!is_space((unsigned char)text[i]))
			return error_set(reterr, &err_unexpected_eof);
	}
	return error_set(reterr, &err_eof);
}
