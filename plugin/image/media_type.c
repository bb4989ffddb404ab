/* SPDX-License-Identifier: Apache-2.0 */
/* The media type in a Content-Type header. Go counterpart: mime/mediatype.go (1.19). */
#include "image/media_type.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"

/* A parameter: borrowed name (in whatever case), own value. */
struct param {
	const char *name;
	size_t name_size;
	char *value;
};

struct params {
	struct param *list;
	size_t n, capacity;
};

static void params_free(struct params *p)
{
	while (p->n)
		free(p->list[--p->n].value);
	free(p->list);
}

static bool is_token_char(char c)
{
	return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static size_t token_size(const char *s)
{
	size_t n = 0;

	while (is_token_char(s[n]))
		n++;
	return n;
}

static const char *skip_space(const char *s)
{
	uint32_t rune;
	size_t width;

	while ((width = utf8_decode(s, strnlen(s, UTF8_MAX), &rune)) > 0 && unicode_is_space(rune))
		s += width;
	return s;
}

static bool fold_equal(const char *a, const char *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		char x = a[i], y = b[i];

		if (x >= 'A' && x <= 'Z')
			x = (char)(x + 32);
		if (y >= 'A' && y <= 'Z')
			y = (char)(y + 32);
		if (x != y)
			return false;
	}
	return true;
}

/* consumeValue: a token or a quoted string. NULL if there is none. */
static const char *take_value(const char *s, struct buf *value)
{
	size_t n;

	buf_append(value, "", 0);
	if (*s != '"') {
		n = token_size(s);
		buf_append(value, s, n);
		return n ? s + n : NULL;
	}
	for (s++; *s; s++) {
		if (*s == '"')
			return s + 1;
		/* other backslashes are part of a Windows path */
		if (*s == '\\' && s[1] && strchr("()<>@,;:\\\"/[]?=", s[1]))
			s++;
		else if (*s == '\r' || *s == '\n')
			return NULL;
		buf_append_char(value, *s);
	}
	return NULL;
}

/* consumeMediaParam: what follows the parameter, or NULL if there is none. */
static const char *take_param(const char *s, struct param *ret, struct buf *value)
{
	s = skip_space(s);
	if (*s != ';')
		return NULL;
	s = skip_space(s + 1);
	ret->name = s;
	ret->name_size = token_size(s);
	if (!ret->name_size)
		return NULL;
	s = skip_space(s + ret->name_size);
	if (*s != '=')
		return NULL;
	return take_value(skip_space(s + 1), value);
}

static int add_param(
	struct params *params, struct param *param, struct buf *value, struct error **reterr)
{
	struct param *grown;
	size_t i;

	for (i = 0; i < params->n; i++) {
		if (params->list[i].name_size != param->name_size ||
			!fold_equal(params->list[i].name, param->name, param->name_size))
			continue;
		if (strcmp(params->list[i].value, value->data) == 0)
			return 0;
		return error_setf(reterr, "mime: duplicate parameter name");
	}
	if (params->n == params->capacity) {
		params->capacity = params->capacity ? params->capacity * 2 : 8;
		grown = realloc(params->list, params->capacity * sizeof(*grown));
		if (!grown)
			return error_set(reterr, &error_no_memory);
		params->list = grown;
	}
	param->value = buf_steal(value);
	if (!param->value)
		return error_set(reterr, &error_no_memory);
	params->list[params->n++] = *param;
	return 0;
}

static int check_params(const char *s, struct error **reterr)
{
	__attribute__((cleanup(params_free))) struct params params = {0};
	const char *next;

	for (s = skip_space(s); *s; s = skip_space(next)) {
		cleanup_buf struct buf value = {0};
		struct param param = {0};

		next = take_param(s, &param, &value);
		if (value.oom)
			return error_set(reterr, &error_no_memory);
		if (!next) {
			if (*s == ';' && !*skip_space(s + 1))
				break; /* a trailing semicolon is no error */
			return error_setf(reterr, "mime: invalid media parameter");
		}
		if (add_param(&params, &param, &value, reterr) < 0)
			return -1;
	}
	return 0;
}

/* checkMediaTypeDisposition of the trimmed text in front of the first semicolon. */
static int check_type(const char *type, struct error **reterr)
{
	size_t n = token_size(type);

	if (!n)
		return error_setf(reterr, "mime: no media type");
	type += n;
	if (!*type)
		return 0;
	if (*type != '/')
		return error_setf(reterr, "mime: expected slash after first token");
	n = token_size(++type);
	if (!n)
		return error_setf(reterr, "mime: expected token after slash");
	if (type[n])
		return error_setf(reterr, "mime: unexpected content after media subtype");
	return 0;
}

/* strings.TrimSpace(strings.ToLower(...)): only ASCII can become part of a token. */
static char *trimmed_lower(const char *s, size_t n)
{
	char *type, *c;
	uint32_t rune;
	size_t i = 0, width, begin = SIZE_MAX, end = 0;

	for (; i < n; i += width) {
		width = utf8_decode(s + i, n - i, &rune);
		if (unicode_is_space(rune))
			continue;
		if (begin == SIZE_MAX)
			begin = i;
		end = i + width;
	}
	type = begin == SIZE_MAX ? strdup("") : strndup(s + begin, end - begin);
	if (!type)
		return NULL;
	for (c = type; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 32);
	}
	return type;
}

int media_type_parse(const char *header, char **ret, struct error **reterr)
{
	size_t n = strcspn(header, ";");
	cleanup_free char *type = trimmed_lower(header, n);

	if (!type)
		return error_set(reterr, &error_no_memory);
	if (check_type(type, reterr) < 0 || check_params(header + n, reterr) < 0)
		return -1;
	*ret = steal_ptr(&type);
	return 0;
}
