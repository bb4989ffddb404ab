/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials as a client sends them. Go counterparts: api/types.AuthConfig, how
 * api/server/router/image reads X-Registry-Auth. */
#include "config.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/json_decode.h"
#include "sink.h"
#include "towline.h"

struct auth_config {
	struct json_text username, password, auth, email, server_address, identity_token,
		registry_token;
};

#define FIELD(name, member)                                                                        \
	{                                                                                          \
		(name), offsetof(struct auth_config, member), &json_schema_string, JSON_OMIT_EMPTY \
	}
static const struct json_field fields[] = {
	FIELD("username", username),
	FIELD("password", password),
	FIELD("auth", auth),
	FIELD("email", email),
	FIELD("serveraddress", server_address),
	FIELD("identitytoken", identity_token),
	FIELD("registrytoken", registry_token),
};
static const struct json_schema schema =
	JSON_STRUCT("types.AuthConfig", "AuthConfig", struct auth_config, fields);

static int decode(const char *text, size_t size, struct auth_config *ret, struct arena *arena,
	struct error **reterr)
{
	cleanup_json struct json *json = NULL;

	if (json_decode_first(text, size, &json, reterr) < 0)
		return -1;
	return json_decode_value(json_root(json), text, &schema, ret, arena, reterr);
}

int towline_auth_config(
	const char *text, size_t size, int base64url, const struct image_pull_sink *sink)
{
	cleanup_arena struct arena *arena = arena_new();
	struct auth_config config = {0};
	struct buf plain = {0};
	struct error *err = NULL;
	int code;

	if (!arena)
		return sink_no_memory(sink);
	if (base64url && encoding_base64_decode(&plain, text, size, true, &err) < 0) {
		buf_free(&plain);
		return sink_error(sink, err);
	}
	if (base64url)
		code = decode(plain.data ? plain.data : "", plain.size, &config, arena, &err);
	else
		code = decode(text, size, &config, arena, &err);
	if (code == 0) {
		const struct towline_auth_config value = {
			.struct_size = sizeof(value),
			.auth = {.struct_size = sizeof(value.auth),
				.username = json_str(config.username),
				.password = json_str(config.password),
				.identity_token = json_str(config.identity_token),
				.registry_token = json_str(config.registry_token)},
			.server_address = json_str(config.server_address),
		};

		code = sink_value(sink, &value, sizeof(value));
	} else {
		code = sink_error(sink, err);
	}
	if (plain.data)
		explicit_bzero(plain.data, plain.size);
	buf_free(&plain);
	return code;
}
