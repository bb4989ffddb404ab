/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of engine.json's keys share. Errors are "FILE:LINE: "KEY": what is wrong". Go
 * counterpart: none, encoding/json does it there. */
#ifndef COMPAT_CONFIG_READER_H
#define COMPAT_CONFIG_READER_H

#include "base/json.h"
#include "towline.h"

struct config_reader; /* the file that is read, and the config that is made of it */

/* The config, zeroed but for what is read already. */
struct towline_config *config_of(struct config_reader *r);
/* Keep p, which may be NULL, for as long as the config. Returns p, or NULL if memory ran out. */
void *config_keep(struct config_reader *r, void *p);
int config_complain(const struct config_reader *r, const struct json_value *at, const char *key,
	const char *what, struct error **reterr);
int config_expect(const struct config_reader *r, const struct json_value *v, enum json_type type,
	const char *key, struct error **reterr);
/* A check of one string. Its error says what is wrong, without place and key. */
typedef int config_check_fn(const char *text, struct error **reterr);
int config_check_absolute(const char *text, struct error **reterr);
/* check may be NULL. The string lives as long as the config. */
int config_read_string(struct config_reader *r, const struct json_value *v, const char *key,
	config_check_fn *check, const char **ret, struct error **reterr);
int config_read_bool(struct config_reader *r, const struct json_value *v, const char *key, int *ret,
	struct error **reterr);
int config_read_uint32(struct config_reader *r, const struct json_value *v, const char *key,
	int64_t min, uint32_t *ret, struct error **reterr);

/* A key that is not in config.c's table: "registries" (config_registries.c). */
int config_read_registries(struct config_reader *r, const struct json_value *v, const char *key,
	struct error **reterr);

#endif
