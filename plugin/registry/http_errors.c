/* SPDX-License-Identifier: Apache-2.0 */
/* What curl's failures are called in Go's words. Go counterparts: net.OpError, net/http's
 * mapRoundTripError, crypto/tls alert texts. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "registry/http_internal.h"

#define LONG_HEADER 65536

struct error *http_broken(const char *fmt, ...)
{
	va_list ap;
	struct buf b = {0};
	struct error *err;

	va_start(ap, fmt);
	buf_vappendf(&b, fmt, ap);
	va_end(ap);
	if (b.oom)
		err = &error_no_memory;
	else
		err = error_plainf(
			"net/http: HTTP/1.x transport connection broken: %s", b.data ? b.data : "");
	buf_free(&b);
	return err;
}

/* Go quotes what it could not make sense of. */
static struct error *broken_quoted(const char *what, const void *data, size_t size)
{
	cleanup_buf struct buf quoted = {0};

	buf_append_quoted(&quoted, data, size);
	if (quoted.oom)
		return &error_no_memory;
	return http_broken("%s %s", what, quoted.data ? quoted.data : "\"\"");
}

/* Go: http.ParseHTTPVersion. */
static bool is_version(const char *s, size_t size)
{
	return size == 8 && memcmp(s, "HTTP/", 5) == 0 && s[5] >= '0' && s[5] <= '9' &&
	       s[6] == '.' && s[7] >= '0' && s[7] <= '9';
}

struct error *http_check_status_line(const char *line, size_t size)
{
	const char *space = memchr(line, ' ', size), *status, *end = line + size;
	size_t digits;

	if (!space)
		return broken_quoted("malformed HTTP response", line, size);
	for (status = space; status < end && *status == ' '; status++)
		;
	for (digits = 0; status + digits < end && status[digits] != ' '; digits++)
		;
	if (digits != 3 || strspn(status, "0123456789") < 3)
		return broken_quoted("malformed HTTP status code", status, digits);
	if (!is_version(line, (size_t)(space - line)))
		return broken_quoted("malformed HTTP version", line, (size_t)(space - line));
	return NULL;
}

/* ---- dialling */

static bool through_http_proxy(const struct exchange *x)
{
	return x->route.proxy && !x->route.socks;
}

struct error *http_dial_error(const struct exchange *x, struct error *cause)
{
	const char *before = "";
	struct error *err;

	if (through_http_proxy(x))
		before = "proxyconnect tcp: ";
	if (x->route.socks)
		err = error_plainf("socks connect tcp %s:%s->%s:%s: dial tcp %s: %s",
			x->route.dial_host, x->route.dial_port, x->host, x->port, x->dialled,
			cause->message);
	else if (*x->dialled)
		err = error_plainf("%sdial tcp %s: %s", before, x->dialled, cause->message);
	else
		err = error_plainf("%sdial tcp: %s", before, cause->message);
	error_unref(cause);
	return err;
}

bool http_is_dial_error(const struct error *err)
{
	while (err && err->cause)
		err = err->cause;
	/* as http_dial_error words it; a proxy that is away is no fault of the host */
	return err && (str_has_prefix(err->message, "dial tcp ") ||
			      str_has_prefix(err->message, "dial tcp: "));
}

bool http_is_dial_timeout(const struct error *err)
{
	if (!http_is_dial_error(err))
		return false;
	while (err->cause)
		err = err->cause;
	return str_has_suffix(err->message, ": i/o timeout") ||
	       str_has_suffix(err->message, ": connection timed out");
}

struct error *http_lookup_error(const struct exchange *x, const char *why)
{
	return http_dial_error(x, error_plainf("lookup %s: %s", x->route.dial_host, why));
}

static struct error *connect_error(struct exchange *x)
{
	long errnum = 0;

	if (x->socket_errno) /* curl does not know */
		return http_dial_error(x, error_plainf("socket: %s", errno_text(x->socket_errno)));
	(void)curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &errnum); /* else 0 */
	if (errnum == ETIMEDOUT)
		return http_dial_error(x, error_plainf("connect: connection timed out"));
	if (!errnum)
		return http_dial_error(x, error_plainf("i/o timeout"));
	return http_dial_error(x, error_plainf("connect: %s", errno_text((int)errnum)));
}

/* ---- reading and writing */

/* "read tcp 127.0.0.1:1234->127.0.0.1:443: read: connection reset by peer" */
static struct error *socket_error(struct exchange *x, const char *op, int errnum)
{
	char *local = NULL, *remote = NULL;
	long local_port = 0, remote_port = 0;
	const char *open, *close;

	(void)curl_easy_getinfo(x->easy, CURLINFO_LOCAL_IP, &local); /* else NULL, 0 */
	(void)curl_easy_getinfo(x->easy, CURLINFO_LOCAL_PORT, &local_port);
	(void)curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_IP, &remote);
	(void)curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_PORT, &remote_port);
	if (!local || !remote || !*local || !*remote)
		return error_plainf("%s tcp: %s: %s", op, op, errno_text(errnum));
	open = strchr(local, ':') ? "[" : "";
	close = *open ? "]" : "";
	return error_plainf("%s tcp %s%s%s:%ld->%s%s%s:%ld: %s: %s", op, open, local, close,
		local_port, open, remote, close, remote_port, op, errno_text(errnum));
}

/* curl keeps the number of a failed connect; what reading gave it says in the system's words alone.
 */
static int said_errno(const struct exchange *x)
{
	static const char said[] = "Recv failure: ";
	static const int errnums[] = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH};
	char text[128];
	size_t i;

	if (!str_has_prefix(x->curl_text, said))
		return 0;
	for (i = 0; i < ARRAY_SIZE(errnums); i++) {
		if (!strerror_r(errnums[i], text, sizeof(text)) &&
			!strcmp(x->curl_text + sizeof(said) - 1, text))
			return errnums[i];
	}
	return 0;
}

static long os_errno(struct exchange *x)
{
	long errnum = x->peek_errno ? x->peek_errno : said_errno(x);

	/* over TLS it may be that of the farewell to a connection that was reset */
	if (!errnum)
		(void)curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &errnum); /* else 0 */
	return errnum;
}

/* ---- TLS */

/* Go: crypto/tls alertText. */
static const char *alert_text(int alert)
{
	static const struct {
		int alert;
		const char *text;
	} texts[] = {
		{0, "close notify"},
		{10, "unexpected message"},
		{20, "bad record MAC"},
		{21, "decryption failed"},
		{22, "record overflow"},
		{30, "decompression failure"},
		{40, "handshake failure"},
		{42, "bad certificate"},
		{43, "unsupported certificate"},
		{44, "revoked certificate"},
		{45, "expired certificate"},
		{46, "unknown certificate"},
		{47, "illegal parameter"},
		{48, "unknown certificate authority"},
		{49, "access denied"},
		{50, "error decoding message"},
		{51, "error decrypting message"},
		{60, "export restriction"},
		{70, "protocol version not supported"},
		{71, "insufficient security level"},
		{80, "internal error"},
		{86, "inappropriate fallback"},
		{90, "user canceled"},
		{100, "no renegotiation"},
		{109, "missing extension"},
		{110, "unsupported extension"},
		{111, "certificate unobtainable"},
		{112, "unrecognized name"},
		{113, "bad certificate status response"},
		{114, "bad certificate hash value"},
		{115, "unknown PSK identity"},
		{116, "certificate required"},
		{120, "no application protocol"},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].alert == alert)
			return texts[i].text;
	}
	return NULL;
}

/* curl names the alert in its text, in GnuTLS's words; the number is what both agree on. */
static struct error *alert_error(const char *curl_text)
{
	int alert;

	for (alert = 0; alert < 256; alert++) {
		const char *name = gnutls_alert_get_name((gnutls_alert_description_t)alert);

		if (!name || !str_has_suffix(curl_text, name))
			continue;
		if (alert_text(alert))
			return error_plainf("remote error: tls: %s", alert_text(alert));
		return error_plainf("remote error: tls: alert(%d)", alert);
	}
	return NULL;
}

static bool says(const struct exchange *x, int gnutls_code)
{
	const char *text = gnutls_strerror(gnutls_code);

	return text && strstr(x->curl_text, text);
}

static struct error *handshake_error(struct exchange *x)
{
	struct error *err;

	if (x->rest_is_http || (x->nfirst >= 5 && memcmp(x->first, "HTTP/", 5) == 0))
		return error_plainf("http: server gave HTTP response to HTTPS client");
	/* a record of TLS begins with its type, 20 to 23, and the version 3.x */
	if (x->nfirst >= 2 && (x->first[0] < 20 || x->first[0] > 23 || x->first[1] != 3))
		return error_plainf("tls: first record does not look like a TLS handshake");
	err = alert_error(x->curl_text);
	if (err)
		return err;
	if (os_errno(x) == ECONNRESET)
		return socket_error(x, "read", ECONNRESET);
	if (says(x, GNUTLS_E_PREMATURE_TERMINATION) || says(x, GNUTLS_E_PULL_ERROR) ||
		says(x, GNUTLS_E_SESSION_EOF))
		return error_ref(&err_eof);
	if (says(x, GNUTLS_E_UNSUPPORTED_VERSION_PACKET))
		return error_plainf("tls: server selected unsupported protocol version");
	if (says(x, GNUTLS_E_UNEXPECTED_PACKET) || says(x, GNUTLS_E_UNEXPECTED_PACKET_LENGTH))
		return error_plainf("tls: first record does not look like a TLS handshake");
	return error_plainf("tls: handshake failure: %s", x->curl_text);
}

/* ---- answers */

static struct error *connect_status_error(long status)
{
	static const struct {
		long status;
		const char *text;
	} texts[] = {
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{407, "Proxy Authentication Required"},
		{408, "Request Timeout"},
		{429, "Too Many Requests"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].status == status)
			return error_plainf("%s", texts[i].text);
	}
	return error_plainf("the proxy refused the connection with status %ld", status);
}

/* The next line of what was seen of the answer: from *at, which it moves on. */
static size_t seen_line(const struct exchange *x, size_t *at, const char **ret)
{
	size_t n = 0, from = *at;

	*ret = (const char *)x->first + from;
	while (from + n < x->nfirst && x->first[from + n] != '\n')
		n++;
	*at = from + n + (from + n < x->nfirst);
	if (n && (*ret)[n - 1] == '\r')
		n--;
	return n;
}

/* curl refuses an answer without saying what stood in it. */
static struct error *malformed(const struct exchange *x)
{
	const char *line;
	size_t at = 0, n = seen_line(x, &at, &line);
	struct error *err;

	if (!x->got_status) {
		err = http_check_status_line(line, n);
		return err ? err : broken_quoted("malformed HTTP response", line, n);
	}
	while (at < x->nfirst && (n = seen_line(x, &at, &line))) {
		if (at < x->nfirst && !memchr(line, ':', n) && *line != ' ' && *line != '\t')
			return http_broken("malformed MIME header line: %.*s", (int)n, line);
	}
	return http_broken("malformed MIME header line");
}

/* The connection was closed before the header's end. */
static struct error *cut_error(const struct exchange *x)
{
	if (x->header_bytes || (x->nfirst && !x->https))
		return http_broken("unexpected EOF");
	return error_ref(&err_eof);
}

/* Go: socks.Reply.String. */
static struct error *socks_error(struct exchange *x)
{
	static const struct {
		long code;
		const char *text;
	} texts[] = {
		{CURLPX_REPLY_GENERAL_SERVER_FAILURE, "unknown error general SOCKS server failure"},
		{CURLPX_REPLY_NOT_ALLOWED, "unknown error connection not allowed by ruleset"},
		{CURLPX_REPLY_NETWORK_UNREACHABLE, "unknown error network unreachable"},
		{CURLPX_REPLY_HOST_UNREACHABLE, "unknown error host unreachable"},
		{CURLPX_REPLY_CONNECTION_REFUSED, "unknown error connection refused"},
		{CURLPX_REPLY_TTL_EXPIRED, "unknown error TTL expired"},
		{CURLPX_REPLY_COMMAND_NOT_SUPPORTED, "unknown error command not supported"},
		{CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED,
			"unknown error address type not supported"},
		{CURLPX_NO_AUTH, "no acceptable authentication methods"},
		{CURLPX_USER_REJECTED, "username/password authentication failed"},
		{CURLPX_BAD_VERSION, "unexpected protocol version"},
		{CURLPX_CLOSED, "EOF"},
	};
	const char *text = x->curl_text;
	long code = 0;
	size_t i;

	(void)curl_easy_getinfo(x->easy, CURLINFO_PROXY_ERROR, &code); /* else 0 */
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].code == code)
			text = texts[i].text;
	}
	return error_plainf("socks connect tcp %s:%s->%s:%s: %s", x->route.dial_host,
		x->route.dial_port, x->host, x->port, text);
}

static struct error *no_header_error(struct exchange *x, CURLcode code)
{
	long status = 0, errnum = os_errno(x);

	(void)curl_easy_getinfo(x->easy, CURLINFO_HTTP_CONNECTCODE, &status); /* else 0 */
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return http_lookup_error(x, "no such host");
	case CURLE_COULDNT_CONNECT:
		return connect_error(x);
	case CURLE_OPERATION_TIMEDOUT:
		return http_dial_error(x, error_plainf("i/o timeout"));
	case CURLE_PROXY:
		return socks_error(x);
	case CURLE_SSL_CONNECT_ERROR:
		return handshake_error(x);
	case CURLE_PEER_FAILED_VERIFICATION: /* a proxy's: all others are ours to verify */
		return error_plainf(
			"proxyconnect tcp: x509: certificate signed by unknown authority");
	case CURLE_SSL_CERTPROBLEM:
		return error_plainf("tls: failed to load the client certificate: %s", x->curl_text);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return malformed(x);
	case CURLE_OUT_OF_MEMORY:
		if (!x->header_bytes && !x->nfirst)
			return &error_no_memory;
		/* so curl calls a header line that is too long */
		return http_broken("net/http: server response headers exceeded %d bytes; aborted",
			HTTP_HEADER_LIMIT);
	case CURLE_RECV_ERROR:
		if (status / 100 != 2 && status)
			return connect_status_error(status);
		if (says(x, GNUTLS_E_FATAL_ALERT_RECEIVED)) /* TLS 1.3: after the handshake */
			return error_plainf("remote error: tls: bad certificate");
		if (errnum == ECONNRESET)
			return socket_error(x, "read", (int)errnum);
		if (x->header_bytes > LONG_HEADER)
			return http_broken(
				"net/http: server response headers exceeded %d bytes; aborted",
				HTTP_HEADER_LIMIT);
		return cut_error(x);
	case CURLE_SEND_ERROR:
		return errnum ? socket_error(x, "write", (int)errnum) : error_ref(&err_eof);
	case CURLE_OK:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		if (errnum == ECONNRESET)
			return socket_error(x, "read", (int)errnum);
		return cut_error(x);
	default:
		return error_plainf("%s", *x->curl_text ? x->curl_text : curl_easy_strerror(code));
	}
}

/* Go: net/http/internal, chunkedReader and parseHexUint. */
static struct error *chunk_error(const struct exchange *x)
{
	if (strstr(x->curl_text, "Illegal or missing hexadecimal"))
		return error_plainf("invalid byte in chunk length");
	if (strstr(x->curl_text, "Too long hexadecimal"))
		return error_plainf("http chunk length too large");
	return error_plainf("malformed chunked encoding");
}

static struct error *body_error(struct exchange *x, CURLcode code)
{
	long errnum = os_errno(x);

	switch (code) {
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
		return error_ref(&err_unexpected_eof);
	case CURLE_RECV_ERROR:
		if (errnum == ECONNRESET || errnum == ETIMEDOUT)
			return socket_error(x, "read", (int)errnum);
		if (says(x, GNUTLS_E_PREMATURE_TERMINATION) || says(x, GNUTLS_E_PULL_ERROR)) {
			/* as Go's TLS: at a record's border the end of the connection counts */
			if (x->response.content_length < 0 &&
				!header_get(&x->response.headers, "Transfer-Encoding"))
				return NULL;
			return error_ref(&err_unexpected_eof);
		}
		if (says(x, GNUTLS_E_DECRYPTION_FAILED))
			return error_plainf("local error: tls: bad record MAC");
		if (strstr(x->curl_text, "hunk"))
			return chunk_error(x);
		break;
	default:
		break;
	}
	return error_plainf("%s", *x->curl_text ? x->curl_text : curl_easy_strerror(code));
}

struct error *http_error(struct exchange *x, CURLcode code)
{
	if (x->fault)
		return error_ref(x->fault);
	if (x->junk.data) {
		size_t n = x->junk.size;

		if (n && x->junk.data[n - 1] == '\r')
			n--;
		return broken_quoted("malformed HTTP response", x->junk.data, n);
	}
	return x->have_header ? body_error(x, code) : no_header_error(x, code);
}
