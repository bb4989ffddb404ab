/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one hop over plain HTTP, against a scripted server: what is sent, and what is
 * understood. */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "http_fixture.h"

/* ---- what is sent */

static void sends_what_go_sends(void **state)
{
	struct server *server = server_start(&(struct server_options){.handler = echo});
	struct http_client *client = new_client(NULL);
	struct header_list headers = {0};
	cleanup_free char *url = url_of(server, "/v2/a/../b?x=y%20z");
	cleanup_free char *expected = NULL, *error = NULL;
	struct buf body = {0};
	struct http_request request = {.method = "GET", .url = url, .headers = &headers};

	(void)state;
	assert_int_equal(header_add(&headers, "Accept", "one", NULL), 0);
	assert_int_equal(header_add(&headers, "Accept", "two", NULL), 0);
	assert_int_equal(header_add(&headers, "Host", "elsewhere", NULL), 0);
	assert_int_equal(header_add(&headers, "X-Empty", "", NULL), 0);
	assert_int_equal(ask(client, &request, &body, &error), 200);
	expected = str_printf("GET /v2/a/../b?x=y%%20z HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
			      "User-Agent: towline-test\r\nAccept: one\r\nAccept: two\r\n"
			      "X-Empty:\r\nAccept-Encoding: gzip\r\n\r\n",
		server_port(server));
	assert_string_equal(body.data, expected);

	request.headers = NULL;
	request.method = "POST";
	request.body = "a=b";
	request.body_size = 3;
	free(expected);
	expected = str_printf("POST /v2/a/../b?x=y%%20z HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
			      "User-Agent: towline-test\r\nAccept-Encoding: gzip\r\n"
			      "Content-Length: 3\r\n\r\na=b",
		server_port(server));
	assert_int_equal(ask(client, &request, &body, &error), 200);
	assert_string_equal(body.data, expected);
	buf_free(&body);
	header_list_free(&headers);
	http_client_free(client);
	server_stop(server);
}

static void refuses_bad_requests(void **state)
{
	static const struct {
		const char *url, *error;
	} cases[] = {
		{"/token?scope=x", "unsupported protocol scheme \"\""},
		{"ftp://127.0.0.1/x", "unsupported protocol scheme \"ftp\""},
		{"file:///etc/passwd", "unsupported protocol scheme \"file\""},
		{"http:///x", "http: no Host in request URL"},
	};
	struct http_client *client = new_client(NULL);
	struct header_list headers = {0};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_request request = {.method = "GET", .url = cases[i].url};
		cleanup_free char *error = NULL;
		struct buf body = {0};

		assert_int_equal(ask(client, &request, &body, &error), -1);
		if (strcmp(error, cases[i].error) != 0)
			fail_msg("%s: want %s, got %s", cases[i].url, cases[i].error, error);
	}
	/* made by hand: header_add would refuse it already */
	headers.items = calloc(1, sizeof(*headers.items));
	headers.count = headers.capacity = 1;
	headers.items[0].name = strdup("Authorization");
	headers.items[0].value = strdup("Bearer x\r\nX-Injected: yes");
	{
		struct http_request request = {
			.method = "GET", .url = "http://127.0.0.1:1/", .headers = &headers};
		cleanup_free char *error = NULL;
		struct buf body = {0};

		assert_int_equal(ask(client, &request, &body, &error), -1);
		assert_string_equal(
			error, "net/http: invalid header field value for \"Authorization\"");
	}
	header_list_free(&headers);
	http_client_free(client);
}

/* ---- what is understood */

struct raw_case {
	const char *name;
	const char *answer;
	bool reset;
	int status;               /* -1: error before the header, -2: in the body */
	const char *body, *error; /* %p in error: the server's port, %l: any port */
	int64_t content_length;
};

static bool send_raw(struct server_connection *c, void *arg)
{
	const struct raw_case *raw = arg;

	server_sendf(c, "%s", raw->answer);
	if (raw->reset) {
		usleep(50000); /* so that the reset does not overtake the bytes */
		server_reset(c);
	}
	return false;
}

#define BROKEN "net/http: HTTP/1.x transport connection broken: "
static const struct raw_case raw_cases[] = {
	{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", NULL, 2},
	{"until close", "HTTP/1.1 200 OK\r\n\r\nhi there", false, 200, "hi there", NULL, -1},
	{"http 1.0", "HTTP/1.0 404 Not Found\r\n\r\nno", false, 404, "no", NULL, -1},
	{"chunked",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
		false, 200, "hi!", NULL, -1},
	{"informational",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
		"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
		false, 201, "", NULL, 0},
	{"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", NULL, 0},
	{"folded", "HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nContent-Length: 0\r\n\r\n", false, 200, "",
		NULL, 0},
	{"nothing", "", false, -1, NULL, "EOF", 0},
	{"reset", "", true, -1, NULL,
		"read tcp 127.0.0.1:%l->127.0.0.1:%p: read: connection reset by peer", 0},
	{"garbage", "garbage\r\nmore\r\n", false, -1, NULL,
		BROKEN "malformed HTTP response \"garbage\"", 0},
	{"garbage without an end", "\x15\x03\x01", false, -1, NULL,
		BROKEN "malformed HTTP response \"\\x15\\x03\\x01\"", 0},
	{"bad version", "HTTP/x.1 200 OK\r\n\r\n", false, -1, NULL,
		BROKEN "malformed HTTP version \"HTTP/x.1\"", 0},
	{"bad status", "HTTP/1.1 2000 OK\r\n\r\n", false, -1, NULL,
		BROKEN "malformed HTTP status code \"2000\"", 0},
	{"cut header", "HTTP/1.1 200 OK\r\nContent-Le", false, -1, NULL, BROKEN "unexpected EOF",
		0},
	{"no colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", false, -1, NULL,
		BROKEN "malformed MIME header line: nonsense", 0},
	{"short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi", false, -2, NULL,
		"unexpected EOF", 10},
	{"short chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", false, -2,
		NULL, "unexpected EOF", -1},
	{"no gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n{}\n",
		false, -2, NULL, "gzip: invalid header", -1},
	{"no chunk length",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{\"a\":\r\n1}\r\n", false, -2,
		NULL, "invalid byte in chunk length", -1},
	{"long chunk length",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nhi",
		false, -2, NULL, "http chunk length too large", -1},
	{"no end of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhihi\r\n",
		false, -2, NULL, "malformed chunked encoding", -1},
	{"reset in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi", true, -2, NULL,
		"read tcp 127.0.0.1:%l->127.0.0.1:%p: read: connection reset by peer", 10},
};

static void understands_answers(void **state)
{
	struct http_client *client = new_client(NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(raw_cases); i++) {
		const struct raw_case *raw = &raw_cases[i];
		struct server *server = server_start(
			&(struct server_options){.handler = send_raw, .arg = (void *)raw});
		cleanup_free char *url = url_of(server, "/"), *error = NULL;
		struct http_request request = {.method = "GET", .url = url};
		struct buf body = {0};
		int status = ask(client, &request, &body, &error);

		if (status != raw->status)
			fail_msg("%s: want status %d, got %d (%s)", raw->name, raw->status, status,
				error ? error : "no error");
		if (raw->body && strcmp(body.data ? body.data : "", raw->body) != 0)
			fail_msg("%s: want body %s, got %s", raw->name, raw->body, body.data);
		if (raw->error && !text_matches(error, raw->error, server_port(server)))
			fail_msg("%s: want %s, got %s", raw->name, raw->error, error);
		buf_free(&body);
		server_stop(server);
	}
	http_client_free(client);
}

static void gives_the_header(void **state)
{
	static const struct raw_case raw = {.answer = "HTTP/1.1 404 Not  Found here\r\n"
						      "X-A:  one \r\nx-a: two\r\nX-F: b\r\n\t c\r\n"
						      "Content-Length: 0\r\n\r\n"};
	struct server *server =
		server_start(&(struct server_options){.handler = send_raw, .arg = (void *)&raw});
	struct http_client *client = new_client(NULL);
	cleanup_free char *url = url_of(server, "/v2/");
	struct http_request request = {.method = "GET", .url = url};
	struct http_response *r;
	struct error *err = NULL;

	(void)state;
	assert_int_equal(http_round_trip(client, &background, &request, &r, &err), 0);
	assert_int_equal(r->status, 404);
	assert_string_equal(r->status_line, "404 Not  Found here");
	assert_string_equal(header_get_nth(&r->headers, "X-A", 0), "one");
	assert_string_equal(header_get_nth(&r->headers, "X-A", 1), "two");
	assert_string_equal(header_get(&r->headers, "x-f"), "b c");
	assert_int_equal(r->content_length, 0);
	assert_string_equal(r->url, url);
	http_response_free(r);
	http_client_free(client);
	server_stop(server);
}

static bool send_long_header(struct server_connection *c, void *arg)
{
	char *line = malloc(*(int *)arg + 1);

	memset(line, 'x', (size_t) * (int *)arg);
	line[*(int *)arg] = '\0';
	server_sendf(c, "HTTP/1.1 200 OK\r\nX-Long: %s\r\nContent-Length: 0\r\n\r\n", line);
	free(line);
	return false;
}

static bool flood_with_headers(struct server_connection *c, void *arg)
{
	int i;

	(void)arg;
	server_sendf(c, "HTTP/1.1 200 OK\r\n");
	for (i = 0; i < 300000; i++)
		server_sendf(c, "X-%d: one of very many header lines\r\n", i);
	return false;
}

static void ends_floods_of_headers(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server =
		server_start(&(struct server_options){.handler = flood_with_headers});
	cleanup_free char *url = url_of(server, "/"), *error = NULL;
	struct http_request request = {.method = "GET", .url = url};
	struct buf body = {0};

	(void)state;
	assert_int_equal(ask(client, &request, &body, &error), -1);
	assert_string_equal(
		error, BROKEN "net/http: server response headers exceeded 10485760 bytes; aborted");
	http_client_free(client);
	server_stop(server);
}

static void bounds_headers(void **state)
{
	struct http_client *client = new_client(NULL);
	int size = 400000;
	struct server *server =
		server_start(&(struct server_options){.handler = send_long_header, .arg = &size});
	cleanup_free char *url = url_of(server, "/"), *error = NULL;
	struct http_request request = {.method = "GET", .url = url};
	struct buf body = {0};

	(void)state;
	assert_int_equal(ask(client, &request, &body, &error), -1);
	assert_string_equal(
		error, BROKEN "net/http: server response headers exceeded 10485760 bytes; aborted");
	free(error);
	size = 60000;
	assert_int_equal(ask(client, &request, &body, &error), 200);
	http_client_free(client);
	server_stop(server);
}

/* ---- gzip */

static bool send_gzip(struct server_connection *c, void *arg)
{
	unsigned char packed[4096];
	z_stream z = {0};
	char encoding[64] = "";
	bool asked = server_header(c, "Accept-Encoding", encoding, sizeof(encoding)) &&
		     strcmp(encoding, "gzip") == 0;
	size_t n;

	(void)arg;
	if (!asked && strcmp(c->target, "/always") != 0) {
		server_reply(c, "200 OK", "", "plain");
		return true;
	}
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)"hello hello hello";
	z.avail_in = 17;
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = z.total_out;
	deflateEnd(&z);
	if (strcmp(c->target, "/cut") == 0)
		n -= 5;
	if (strcmp(c->target, "/crc") == 0)
		packed[n - 6] ^= 1;
	server_sendf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
		strcmp(c->target, "/twice") == 0 ? 2 * n : n);
	server_send(c, packed, n);
	if (strcmp(c->target, "/twice") == 0)
		server_send(c, packed, n);
	return true;
}

static void decodes_what_it_asked_for(void **state)
{
	static const struct {
		const char *path;
		bool blob;
		const char *body, *error;
	} cases[] = {
		{"/", false, "hello hello hello", NULL},
		{"/twice", false, "hello hello hellohello hello hello", NULL},
		{"/", true, "plain", NULL},
		{"/always", true, NULL, NULL},
		{"/cut", false, NULL, "unexpected EOF"},
		{"/crc", false, NULL, "gzip: invalid checksum"},
	};
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = send_gzip});
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *url = url_of(server, cases[i].path), *error = NULL;
		struct http_request request = {.method = "GET", .url = url, .blob = cases[i].blob};
		struct buf body = {0};

		ask(client, &request, &body, &error);
		if ((cases[i].error != NULL) != (error != NULL) ||
			(error && strcmp(error, cases[i].error) != 0))
			fail_msg("%s: want %s, got %s", cases[i].path,
				cases[i].error ? cases[i].error : "no error",
				error ? error : "no error");
		if (cases[i].body)
			assert_string_equal(body.data, cases[i].body);
		else if (!error) /* sent unasked: left alone */
			assert_int_equal((unsigned char)body.data[0], 0x1f);
		buf_free(&body);
	}
	http_client_free(client);
	server_stop(server);
}

/* ---- bodies larger than the ring */

#define BLOB_SIZE (24u << 20)
static bool send_blob(struct server_connection *c, void *arg)
{
	static const size_t piece = 1 << 20;
	unsigned char *data = malloc(piece);
	size_t i, sent;

	(void)arg;
	for (i = 0; i < piece; i++)
		data[i] = (unsigned char)(i * 7 + (i >> 8));
	server_sendf(c, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BLOB_SIZE);
	for (sent = 0; sent < BLOB_SIZE; sent += piece)
		server_send(c, data, piece);
	free(data);
	return true;
}

static void pauses_and_goes_on(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = send_blob});
	cleanup_free char *url = url_of(server, "/");
	struct http_request request = {.method = "GET", .url = url, .blob = true};
	static const size_t rings[] = {1, 64 << 10, 1 << 20};
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(rings); k++) {
		struct http_response *response;
		struct error *err = NULL;
		unsigned char piece[50001];
		size_t at = 0, reads = 0;
		ssize_t n, i;

		request.ring_size = rings[k];
		assert_int_equal(
			http_round_trip(client, &background, &request, &response, &err), 0);
		while ((n = http_response_read(response, &background, piece, sizeof(piece), &err)) >
			0) {
			for (i = 0; i < n; i++, at++) {
				size_t j = at % (1 << 20);

				if (piece[i] != (unsigned char)(j * 7 + (j >> 8)))
					fail_msg("ring %zu: wrong byte at %zu", rings[k], at);
			}
			if (reads++ % 64 == 0)
				usleep(2000); /* so that it has to pause */
		}
		if (n < 0)
			fail_msg("ring %zu: %s", rings[k], err->message);
		assert_int_equal(at, BLOB_SIZE);
		http_response_free(response);
	}
	/* left alone half-way: nothing hangs */
	for (k = 0; k < 3; k++) {
		struct http_response *response;
		struct error *err = NULL;
		char piece[1000];

		assert_int_equal(
			http_round_trip(client, &background, &request, &response, &err), 0);
		assert_int_equal(
			http_response_read(response, &background, piece, sizeof(piece), &err),
			sizeof(piece));
		http_response_free(response);
	}
	http_client_free(client);
	server_stop(server);
}

static void *pull_blobs(void *arg)
{
	void **args = arg;
	struct http_request request = {
		.method = "GET", .url = args[1], .blob = true, .ring_size = 256 << 10};
	int i;

	for (i = 0; i < 4; i++) {
		cleanup_free char *error = NULL;
		struct buf body = {0};

		if (ask(args[0], &request, &body, &error) != 200 || body.size != BLOB_SIZE)
			return error ? strdup(error) : strdup("wrong size");
		buf_free(&body);
	}
	return NULL;
}

static void serves_many_threads(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = send_blob});
	cleanup_free char *url = url_of(server, "/");
	pthread_t threads[6];
	void *args[2] = {client, url}, *said;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pull_blobs, args), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &said);
		if (said)
			fail_msg("thread %zu: %s", i, (char *)said);
	}
	assert_true(server_connections(server) <= (int)ARRAY_SIZE(threads));
	http_client_free(client);
	server_stop(server);
}

static void limits_bodies(void **state)
{
	struct http_client *client = new_client(NULL);
	struct server *server = server_start(&(struct server_options){.handler = send_blob});
	cleanup_free char *url = url_of(server, "/");
	struct http_request request = {.method = "GET", .url = url};
	struct http_response *response;
	struct error *err = NULL;
	struct buf body = {0};

	(void)state;
	assert_int_equal(http_round_trip(client, &background, &request, &response, &err), 0);
	assert_int_equal(http_response_read_all(response, &background, 1000, &body, &err), -1);
	assert_string_equal(err->message, "the answer exceeds 1000 bytes");
	error_unref(err);
	http_response_free(response);
	http_client_free(client);
	server_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_what_go_sends),
		cmocka_unit_test(refuses_bad_requests),
		cmocka_unit_test(understands_answers),
		cmocka_unit_test(gives_the_header),
		cmocka_unit_test(bounds_headers),
		cmocka_unit_test(ends_floods_of_headers),
		cmocka_unit_test(decodes_what_it_asked_for),
		cmocka_unit_test(pauses_and_goes_on),
		cmocka_unit_test(serves_many_threads),
		cmocka_unit_test(limits_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
