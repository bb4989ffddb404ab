/* SPDX-License-Identifier: Apache-2.0 */
/* A failed pull, said in full: beside Docker's text what a program wants to know, and what the user
 * can do about it. Go counterpart: none. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "sink.h"
#include "streamformat.h"
#include "towline.h"

const char *towline_phase_name(int phase)
{
	static const char *const names[] = {
		"", "resolve", "ping", "tags", "manifest", "config", "layer", "register", "store"};

	return phase >= 0 && (size_t)phase < ARRAY_SIZE(names) ? names[phase] : "";
}

const char *towline_class_name(int error_class)
{
	return error_class_name((enum error_class)error_class);
}

/* ---- JSON */

static void add_string(struct buf *b, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	buf_appendf(b, "%s\"%s\":", b->data[b->size - 1] == '{' ? "" : ",", name);
	buf_append_json(b, value, strlen(value), true);
}

static void add_attempts(struct buf *b, const struct image_pull_error_info *info)
{
	if (!info->nattempts)
		return;
	buf_appendf(b, "%s\"attempts\":[", b->data[b->size - 1] == '{' ? "" : ",");
	for (size_t i = 0; i < info->nattempts && !b->oom; i++) {
		buf_append_str(b, i ? ",{" : "{");
		if (b->oom)
			return;
		add_string(b, "endpoint", info->attempts[i]->endpoint);
		if (b->oom)
			return;
		add_string(b, "message", info->attempts[i]->message);
		buf_append_char(b, '}');
	}
	buf_append_char(b, ']');
}

/* A member that a plugin of ABI 1.0 does not have. */
#define INFO(info, m)                                                                              \
	(IMAGE_PULL_HAS(info, struct image_pull_error_info, m) ? (info)->m                         \
							       : (__typeof__((info)->m))0)

/* The object's members; b is not empty, and stays usable when memory runs out. */
static void add_info(struct buf *b, const struct image_pull_error_info *info, const char *hint)
{
	const struct {
		const char *name, *value;
	} texts[] = {
		{"phase", towline_phase_name(info->phase)},
		{"class", towline_class_name(info->error_class)},
		{"endpoint", info->endpoint},
		{"code", info->registry_code},
		{"hint", hint},
		{"rateLimit", INFO(info, rate_limit)},
		{"rateLimitRemaining", INFO(info, rate_limit_remaining)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts) && !b->oom; i++)
		add_string(b, texts[i].name, texts[i].value);
	if (!b->oom && info->http_status)
		buf_appendf(b, "%s\"httpStatus\":%d", b->data[b->size - 1] == '{' ? "" : ",",
			info->http_status);
	if (!b->oom && INFO(info, retry_after) > 0)
		buf_appendf(b, "%s\"retryAfter\":%lld", b->data[b->size - 1] == '{' ? "" : ",",
			(long long)info->retry_after);
	if (!b->oom && info->cancelled)
		buf_appendf(b, "%s\"cancelled\":true", b->data[b->size - 1] == '{' ? "" : ",");
	if (!b->oom)
		add_attempts(b, info);
}

int towline_error_info_json(const struct image_pull_error_info *info, const char *hint,
	const struct image_pull_sink *sink)
{
	static const char end[] = "}\r\n";
	cleanup_buf struct buf b = {0};

	streamformat_error(&b, info->message, 0);
	if (b.oom || b.size < strlen(end))
		return sink_no_memory(sink);
	b.size -= strlen(end);
	buf_append_str(&b, ",\"towline\":{");
	if (!b.oom)
		add_info(&b, info, hint);
	buf_append_char(&b, '}');
	buf_append_str(&b, end);
	return b.oom ? sink_no_memory(sink) : sink_value(sink, b.data, b.size);
}

/* ---- hints */

/* Only the text that decided: what another endpoint said need not be what is wrong. */
static bool says(const struct image_pull_error_info *info, const char *words)
{
	return strstr(info->message, words) != NULL;
}

static bool has_code(const struct image_pull_error_info *info, const char *code)
{
	return !strcmp(info->registry_code, code);
}

static int hint_login(const char *registry, int logged_in, const struct image_pull_sink *sink)
{
	bool hub = !strcmp(registry, "docker.io");

	if (logged_in)
		return sink_textf(sink,
			"the credentials for %s were sent and are not enough: wrong, expired, or "
			"without the right to pull this; `towline login%s%s` replaces them",
			registry, hub ? "" : " ", hub ? "" : registry);
	return sink_textf(sink, "no credentials were sent: `towline login%s%s` stores some",
		hub ? "" : " ", hub ? "" : registry);
}

/* "in 3 h" */
static char *span(int64_t seconds)
{
	if (seconds >= 2 * 3600)
		return str_printf("in %lld h", (long long)((seconds + 3599) / 3600));
	if (seconds >= 2 * 60)
		return str_printf("in %lld min", (long long)((seconds + 59) / 60));
	return seconds > 0 ? str_printf("in %lld s", (long long)seconds) : strdup("later");
}

static int hint_limit(const struct image_pull_error_info *info, const char *registry, int logged_in,
	const struct image_pull_sink *sink)
{
	const char *limit = INFO(info, rate_limit);
	cleanup_free char *when = span(INFO(info, retry_after));
	size_t size = limit ? strcspn(limit, ";") : 0;
	/* Docker Hub's "100;w=21600": that many in so many seconds */
	const char *window = size ? strstr(limit + size, "w=") : NULL;
	long long seconds = window ? strtoll(window + 2, NULL, 10) : 0;
	cleanup_free char *many = seconds > 0 && seconds <= 365 * 86400
					  ? str_printf(" to %.*s in %lld %s", (int)size, limit,
						    seconds % 3600 ? seconds : seconds / 3600,
						    seconds % 3600 ? "s" : "h")
					  : strdup("");

	if (!when || !many)
		return sink_no_memory(sink);
	return sink_textf(sink, "%s limits how much may be pulled%s%s: try again %s%s", registry,
		logged_in ? "" : " without credentials", many, when,
		logged_in ? "" : ", or log in");
}

int towline_error_hint(const struct image_pull_error_info *info, const char *registry,
	int logged_in, const struct image_pull_sink *sink)
{
	if (info->cancelled)
		return IMAGE_PULL_NOT_FOUND;
	if (has_code(info, "TOOMANYREQUESTS") || info->http_status == 429)
		return hint_limit(info, registry, logged_in, sink);
	if (has_code(info, "UNAUTHORIZED") || info->http_status == 401 ||
		says(info, "no basic auth credentials"))
		return hint_login(registry, logged_in, sink);
	if (says(info, "x509: certificate signed by unknown authority"))
		return sink_textf(sink,
			"the certificate is of a CA that is not trusted: put the CA's into "
			"/etc/towline/certs.d/%s/ca.crt, or give it with --ca",
			registry);
	if (says(info, "server gave HTTP response to HTTPS client"))
		return sink_textf(sink,
			"%s speaks plain http: if that is right, list it in engine.json's "
			"insecure-registries",
			registry);
	if (says(info, "no matching manifest for"))
		return sink_text(sink, "the image exists for other platforms: see --platform");
	if (says(info, "no space left on device"))
		return sink_text(sink, "`towline prune` removes what no image needs");
	return IMAGE_PULL_NOT_FOUND;
}
