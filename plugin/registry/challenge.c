/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterpart: registry/client/auth/challenge/authchallenge.go (parseAuthHeader). */
#include "registry/challenge.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "registry/header.h"

#define STATUS_UNAUTHORIZED 401

static bool is_token(char c)
{
	return c > 32 && c < 127 && !strchr("\"(),/:;<=>?@[]\\{}", c);
}

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t\r\n");
}

static const char *skip_token(const char *s)
{
	while (is_token(*s))
		s++;
	return s;
}

/* A new string; NULL: no memory. */
static char *lower_dup(const char *s, size_t size)
{
	char *lower = strndup(s, size);

	for (char *p = lower; p && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return lower;
}

/* expectTokenOrQuoted: the value at *s into ret, which has room for the rest of s, and *s behind
 * it. An unterminated quote is an empty value. */
static void expect_token_or_quoted(const char **s, char *ret)
{
	const char *p = *s;
	char *out = ret;

	if (*p != '"') {
		const char *end = skip_token(p);

		memcpy(ret, p, (size_t)(end - p));
		ret[end - p] = '\0';
		*s = end;
		return;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && !*++p)
			break;
		*out++ = *p;
	}
	if (!*p)
		out = ret;
	*out = '\0';
	*s = *p ? p + 1 : p;
}

/* Keys are unique: the last value wins. Takes over both strings. */
static int set_param(struct challenge *c, char *name, char *value, struct error **reterr)
{
	struct challenge_param *params;

	for (size_t i = 0; i < c->nparams; i++) {
		if (!strcmp(c->params[i].name, name)) {
			free(name);
			free(c->params[i].value);
			c->params[i].value = value;
			return 0;
		}
	}
	params = reallocarray(c->params, c->nparams + 1, sizeof(*params));
	if (!params) {
		free(name);
		free(value);
		return error_set(reterr, &error_no_memory);
	}
	c->params = params;
	c->params[c->nparams++] = (struct challenge_param){name, value};
	return 0;
}

/* The parameters behind the scheme, up to the first that is none. */
static int parse_params(const char *s, struct challenge *c, struct error **reterr)
{
	cleanup_free char *scratch = malloc(strlen(s) + 1);
	const char *key, *end;

	if (!scratch)
		return error_set(reterr, &error_no_memory);
	for (s = skip_space(s);; s = skip_space(s + 1)) {
		char *name, *value;

		key = s;
		end = skip_token(key);
		if (end == key || *end != '=')
			return 0;
		s = end + 1;
		expect_token_or_quoted(&s, scratch);
		if (!*scratch)
			return 0;
		name = lower_dup(key, (size_t)(end - key));
		value = strdup(scratch);
		if (!name || !value) {
			free(name);
			free(value);
			return error_set(reterr, &error_no_memory);
		}
		if (set_param(c, name, value, reterr) < 0)
			return -1;
		s = skip_space(s);
		if (*s != ',')
			return 0;
	}
}

static void challenge_clear(struct challenge *c)
{
	for (size_t i = 0; i < c->nparams; i++) {
		free(c->params[i].name);
		free(c->params[i].value);
	}
	free(c->params);
	free(c->scheme);
}

int challenge_parse(int status, const struct header_list *headers, struct challenge_list *ret,
	struct error **reterr)
{
	struct challenge_list list = {0};
	const char *value;

	for (size_t i = 0; status == STATUS_UNAUTHORIZED &&
			   (value = header_get_nth(headers, "WWW-Authenticate", i));
		i++) {
		const char *end = skip_token(value);
		struct challenge *items;

		if (end == value)
			continue;
		items = reallocarray(list.items, list.count + 1, sizeof(*items));
		if (!items)
			goto no_memory;
		list.items = items;
		items[list.count] =
			(struct challenge){.scheme = lower_dup(value, (size_t)(end - value))};
		if (!items[list.count].scheme)
			goto no_memory;
		list.count++;
		if (parse_params(end, &items[list.count - 1], reterr) < 0) {
			challenge_list_free(&list);
			return -1;
		}
	}
	*ret = list;
	return 0;
no_memory:
	challenge_list_free(&list);
	return error_set(reterr, &error_no_memory);
}

const char *challenge_param(const struct challenge *c, const char *name)
{
	for (size_t i = 0; i < c->nparams; i++)
		if (!strcmp(c->params[i].name, name))
			return c->params[i].value;
	return "";
}

void challenge_list_free(struct challenge_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		challenge_clear(&list->items[i]);
	free(list->items);
	*list = (struct challenge_list){0};
}
