/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy leads to a host. Go counterparts: golang.org/x/net/http/httpproxy, docker's
 * sockets.DialerFromEnvironment with golang.org/x/net/proxy's PerHost. */
#include <arpa/inet.h>
#include <string.h>

#include "base/url.h"
#include "registry/http_internal.h"

static int copy(const char *s, char **ret)
{
	*ret = strdup(s ? s : "");
	return *ret ? 0 : -1;
}

int http_proxies_init(
	struct http_proxies *p, const struct http_options *options, struct error **reterr)
{
	if (copy(options->http_proxy, &p->http) < 0 || copy(options->https_proxy, &p->https) < 0 ||
		copy(options->all_proxy, &p->all) < 0 || copy(options->no_proxy, &p->no) < 0)
		return error_set(reterr, &error_no_memory);
	return 0;
}

void http_proxies_free(struct http_proxies *p)
{
	free(p->http);
	free(p->https);
	free(p->all);
	free(p->no);
	*p = (struct http_proxies){0};
}

void http_route_free(struct http_route *r)
{
	free(r->proxy);
	free(r->pre_proxy);
	free(r->dial_host);
	free(r->dial_port);
	*r = (struct http_route){0};
}

/* ---- addresses and networks */

struct address {
	unsigned char bytes[16];
	int size; /* 4 or 16 */
};

static bool parse_address(const char *s, struct address *ret)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (inet_pton(AF_INET, s, ret->bytes) == 1) {
		ret->size = 4;
		return true;
	}
	if (inet_pton(AF_INET6, s, ret->bytes) != 1)
		return false;
	ret->size = 16;
	if (memcmp(ret->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(ret->bytes, ret->bytes + 12, 4);
		ret->size = 4;
	}
	return true;
}

static bool is_loopback(const struct address *a)
{
	static const unsigned char one[16] = {[15] = 1};

	return a->size == 4 ? a->bytes[0] == 127 : memcmp(a->bytes, one, 16) == 0;
}

static bool same_address(const struct address *a, const struct address *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, (size_t)a->size) == 0;
}

/* "10.0.0.0/8"; false: s is none. */
static bool in_cidr(const char *s, const struct address *a, bool *ret)
{
	const char *slash = strchr(s, '/'), *p;
	cleanup_free char *net = NULL;
	struct address n;
	int bits = 0, i;

	if (!slash || !(net = strndup(s, (size_t)(slash - s))) || !parse_address(net, &n) ||
		!slash[1])
		return false;
	for (p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9' || bits > 128)
			return false;
		bits = bits * 10 + *p - '0';
	}
	if (bits > n.size * 8)
		return false;
	*ret = a && a->size == n.size;
	for (i = 0; *ret && i < bits; i++) {
		unsigned char mask = (unsigned char)(0x80 >> (i & 7));

		*ret = !((a->bytes[i / 8] ^ n.bytes[i / 8]) & mask);
	}
	return true;
}

/* ---- NO_PROXY */

static void lower(char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s += 'a' - 'A';
	}
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t\r\n\v\f");
	end = s + strlen(s);
	while (end > s && strchr(" \t\r\n\v\f", end[-1]))
		*--end = '\0';
	return s;
}

/* net.SplitHostPort for one entry: cuts s; *ret_port "" if it has none. */
static void split_port(char *s, const char **ret_host, const char **ret_port)
{
	char *colon = strrchr(s, ':'), *close = strrchr(s, ']');

	*ret_host = s;
	*ret_port = "";
	if (*s == '[' && close) {
		if (close[1] == ':')
			*ret_port = close + 2;
		*close = '\0';
		*ret_host = s + 1;
	} else if (colon && colon == strchr(s, ':')) {
		*colon = '\0';
		*ret_port = colon + 1;
	}
}

/* One entry of NO_PROXY by httpproxy's rules. host is in lower case. */
static bool entry_matches(
	char *entry, const char *host, const char *port, const struct address *address)
{
	const char *name, *wanted_port;
	struct address a;
	bool in;

	if (strcmp(entry, "*") == 0)
		return true;
	if (in_cidr(entry, address, &in))
		return in;
	split_port(entry, &name, &wanted_port);
	if (!*name || (*wanted_port && strcmp(wanted_port, port) != 0))
		return false;
	if (parse_address(name, &a))
		return address && same_address(&a, address);
	if (str_has_prefix(name, "*."))
		name++;
	if (*name == '.')
		return str_has_suffix(host, name);
	/* "foo.com" is also all that is below it */
	if (strcmp(host, name) == 0)
		return true;
	return strlen(host) > strlen(name) && str_has_suffix(host, name) &&
	       host[strlen(host) - strlen(name) - 1] == '.';
}

/* httpproxy's config.useProxy. -1: no memory. */
static int use_http_proxy(const char *no_proxy, const char *host, const char *port)
{
	cleanup_free char *list = strdup(no_proxy), *name = strdup(host);
	struct address address;
	bool is_address;
	char *entry, *rest;

	if (!list || !name)
		return -1;
	lower(name);
	lower(list);
	if (strcmp(trim(name), "localhost") == 0)
		return 0;
	is_address = parse_address(name, &address);
	if (is_address && is_loopback(&address))
		return 0;
	for (rest = list; (entry = strsep(&rest, ","));) {
		entry = trim(entry);
		if (*entry && entry_matches(entry, name, port, is_address ? &address : NULL))
			return 0;
	}
	return 1;
}

/* PerHost's rules, for ALL_PROXY: simpler, and loopback is nothing special. -1: no memory. */
static int use_all_proxy(const char *no_proxy, const char *host)
{
	cleanup_free char *list = strdup(no_proxy);
	struct address address, a;
	bool is_address = parse_address(host, &address), in;
	char *entry, *rest;

	if (!list)
		return -1;
	for (rest = list; (entry = strsep(&rest, ","));) {
		entry = trim(entry);
		if (!*entry)
			continue;
		if (strchr(entry, '/')) {
			if (in_cidr(entry, is_address ? &address : NULL, &in) && in)
				return 0;
		} else if (parse_address(entry, &a)) {
			if (is_address && same_address(&a, &address))
				return 0;
		} else if (str_has_prefix(entry, "*.") || *entry == '.') {
			const char *zone = *entry == '*' ? entry + 1 : entry;

			if (!is_address &&
				(str_has_suffix(host, zone) || strcmp(host, zone + 1) == 0))
				return 0;
		} else if (!is_address && strcmp(host, entry) == 0) {
			return 0;
		}
	}
	return 1;
}

/* ---- the proxies */

/* httpproxy's parseProxy: a bare "host:port" is an http proxy. */
static int parse_proxy(const char *proxy, struct url *ret, struct error **reterr)
{
	cleanup_free char *with_scheme = NULL;
	struct error *err = NULL;
	static const char *const schemes[] = {"http", "https", "socks5"};
	size_t i;

	if (url_parse(proxy, ret, &err) == 0) {
		for (i = 0; i < ARRAY_SIZE(schemes); i++) {
			if (strcmp(ret->scheme, schemes[i]) == 0)
				return 0;
		}
	}
	with_scheme = str_printf("http://%s", proxy);
	if (with_scheme) {
		struct url second = {0};

		if (url_parse(with_scheme, &second, NULL) == 0) {
			url_free(ret);
			*ret = second;
			error_unref(err);
			return 0;
		}
	}
	if (!err)
		return 0; /* another scheme: said when it is used */
	error_setf(reterr, "invalid proxy address \"%s\": %s", proxy, err->message);
	error_unref(err);
	return -1;
}

static int set_dial(struct http_route *r, const struct url *proxy, const char *default_port,
	struct error **reterr)
{
	free(r->dial_host);
	free(r->dial_port);
	r->dial_host = url_hostname(proxy);
	r->dial_port = url_port(proxy);
	if (r->dial_port && !*r->dial_port) {
		free(r->dial_port);
		r->dial_port = strdup(default_port);
	}
	return r->dial_host && r->dial_port ? 0 : error_set(reterr, &error_no_memory);
}

/* The proxy as curl takes it. */
static char *curl_proxy(const struct url *proxy, const char *scheme, const struct http_route *r)
{
	bool brackets = strchr(r->dial_host, ':') != NULL;

	return str_printf("%s://%s%s%s%s%s:%s", scheme, proxy->userinfo ? proxy->userinfo : "",
		proxy->userinfo ? "@" : "", brackets ? "[" : "", r->dial_host, brackets ? "]" : "",
		r->dial_port);
}

static int choose_http_proxy(const struct http_proxies *p, const char *scheme, const char *host,
	const char *port, struct http_route *r, struct error **reterr)
{
	const char *proxy = strcmp(scheme, "https") == 0 ? p->https : p->http;
	cleanup_url struct url url = {0};
	int use;

	if (!*proxy)
		return 0;
	use = use_http_proxy(p->no, host, port);
	if (use < 0)
		return error_set(reterr, &error_no_memory);
	if (!use)
		return 0;
	if (parse_proxy(proxy, &url, reterr) < 0)
		return -1;
	r->socks = strcmp(url.scheme, "socks5") == 0;
	if (!r->socks && !url_default_port(url.scheme))
		return error_setf(
			reterr, "proxyconnect tcp: proxy: unknown scheme: %s", url.scheme);
	if (set_dial(r, &url, r->socks ? "1080" : url_default_port(url.scheme), reterr) < 0)
		return -1;
	r->proxy = curl_proxy(&url, r->socks ? "socks5h" : url.scheme, r);
	return r->proxy ? 0 : error_set(reterr, &error_no_memory);
}

/* ALL_PROXY is the dialer of every connection, that to an HTTP proxy as well. An unusable value
 * means a direct dial, as in the original. */
static int choose_dialer(const struct http_proxies *p, struct http_route *r, struct error **reterr)
{
	cleanup_url struct url url = {0};
	char *proxy;
	int use;

	if (!*p->all || url_parse(p->all, &url, NULL) < 0 ||
		(strcmp(url.scheme, "socks5") != 0 && strcmp(url.scheme, "socks5h") != 0))
		return 0;
	use = *p->no ? use_all_proxy(p->no, r->dial_host) : 1;
	if (use < 0)
		return error_set(reterr, &error_no_memory);
	if (!use)
		return 0;
	if (set_dial(r, &url, "1080", reterr) < 0)
		return -1;
	proxy = curl_proxy(&url, "socks5h", r);
	if (!proxy)
		return error_set(reterr, &error_no_memory);
	if (r->proxy)
		r->pre_proxy = proxy;
	else
		r->proxy = proxy;
	r->socks = true;
	return 0;
}

int http_route_choose(const struct http_proxies *p, const char *scheme, const char *host,
	const char *port, struct http_route *ret, struct error **reterr)
{
	struct http_route r = {0};

	r.dial_host = strdup(host);
	r.dial_port = strdup(port);
	if (!r.dial_host || !r.dial_port) {
		http_route_free(&r);
		return error_set(reterr, &error_no_memory);
	}
	if (choose_http_proxy(p, scheme, host, port, &r, reterr) < 0 ||
		choose_dialer(p, &r, reterr) < 0) {
		http_route_free(&r);
		return -1;
	}
	*ret = r;
	return 0;
}
