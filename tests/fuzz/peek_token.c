/* SPDX-License-Identifier: Apache-2.0 */
/* registry/auth_token.c, over a token server that answers what the fuzzer says. */
#include "fuzz.h"
#include "registry/transport.h"

static int fake_transport_do(const struct transport *t, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr);
static int fake_read_all(struct http_response *response, const struct context *ctx, size_t limit,
	struct buf *ret, struct error **reterr);
static void fake_response_free(struct http_response *response);
static const struct http_policy *fake_policy(const struct http_client *client);

/* Whole pulls have the true ones beside these. */
#define auth_fetch_token peek_auth_fetch_token
#define auth_now_ms peek_auth_now_ms
#define auth_query_value peek_auth_query_value
#define transport_do fake_transport_do
#define http_response_read_all fake_read_all
#define http_response_free fake_response_free
#define http_client_policy fake_policy
#include "registry/auth_token.c"

/* Found again from the transport that the code under test hands on. */
struct fake_server {
	struct transport transport;
	struct http_response response;
	const void *body;
	size_t size;
	char *url;
};

static int fake_transport_do(const struct transport *t, const struct context *ctx,
	const struct http_request *request, struct http_response **ret, struct error **reterr)
{
	struct fake_server *server = (struct fake_server *)t;

	(void)ctx, (void)reterr; /* it never fails */
	must(!server->url && request->timeout_ms && request->no_link_local);
	must(!request->body == !strcmp(request->method, "GET"));
	must(!request->body || strlen(request->body) == request->body_size);
	server->url = strdup(request->url);
	server->response.status = 200;
	*ret = &server->response;
	return 0;
}

static int fake_read_all(struct http_response *response, const struct context *ctx, size_t limit,
	struct buf *ret, struct error **reterr)
{
	struct fake_server *server =
		(struct fake_server *)((char *)response - offsetof(struct fake_server, response));

	(void)ctx;
	must(limit == TOKEN_LIMIT);
	buf_append(ret, server->body, server->size);
	return ret->oom ? error_set(reterr, &error_no_memory) : 0;
}

static void fake_response_free(struct http_response *response)
{
	(void)response; /* it is part of the server */
}

static const struct http_policy *fake_policy(const struct http_client *client)
{
	static const struct http_policy policy = {0};

	(void)client;
	return &policy;
}

int peek_token(unsigned flags, const char *realm, const void *body, size_t size, struct token *ret,
	char **ret_url, struct error **reterr)
{
	struct challenge_param params[] = {
		{(char *)"realm", (char *)realm}, {(char *)"service", (char *)"registry.example"}};
	const struct challenge challenge = {(char *)"bearer", params, ARRAY_SIZE(params)};
	const struct auth_config auth = {.username = flags & 8 ? "user" : "",
		.password = flags & 8 ? "word" : "",
		.identity_token = flags & 1 ? "identity" : "",
		.registry_token = ""};
	struct fake_server server = {.body = body, .size = size};
	const struct token_request request = {.transport = &server.transport,
		.auth = &auth,
		.scope = flags & 4 ? NULL : "repository:a/b:pull",
		.over_https = flags & 2};
	const struct context ctx = CONTEXT_BACKGROUND;
	int rc = auth_fetch_token(&request, &ctx, &challenge, ret, reterr);

	*ret_url = server.url;
	return rc;
}
