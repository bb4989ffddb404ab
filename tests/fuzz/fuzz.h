/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz targets. One program holds them all: the environment's FUZZ names the one that libFuzzer
 * runs (main.c); replay.c runs all of them over the inputs that are kept in corpus/. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

/* Aborts where an oracle is broken. data is borrowed. */
typedef void (*fuzz_function)(const uint8_t *data, size_t size);

struct fuzz_target {
	const char *name;
	fuzz_function run;
};
extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_targets_count;
/* One input; an oracle holds its time. */
void fuzz_run(fuzz_function run, const uint8_t *data, size_t size);

void fuzz_challenge(const uint8_t *data, size_t size);
void fuzz_config(const uint8_t *data, size_t size);
void fuzz_content_range(const uint8_t *data, size_t size);
void fuzz_decompress(const uint8_t *data, size_t size);
void fuzz_errcode(const uint8_t *data, size_t size);
void fuzz_index(const uint8_t *data, size_t size);
void fuzz_json(const uint8_t *data, size_t size);
void fuzz_link(const uint8_t *data, size_t size);
void fuzz_location(const uint8_t *data, size_t size);
void fuzz_manifest(const uint8_t *data, size_t size);
void fuzz_pull(const uint8_t *data, size_t size);
void fuzz_reference(const uint8_t *data, size_t size);
void fuzz_retry_after(const uint8_t *data, size_t size);
void fuzz_token(const uint8_t *data, size_t size);
void fuzz_untar(const uint8_t *data, size_t size);

/* An oracle: what is not true is printed, then the program aborts. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fuzz_broken(__FILE__, __LINE__, #condition);                               \
	} while (0)
void fuzz_broken(const char *file, int line, const char *condition) __attribute__((noreturn));
/* An error and all below it: kinds, texts, lists, depth. */
void fuzz_check_error(const struct error *err);
/* A copy with a NUL behind it, so that reading past its end is seen; the caller's to free. */
char *fuzz_text(const uint8_t *data, size_t size);

/* What is static in the rooms: peek_*.c. */
struct tag_list;
struct token;
struct auth_config;
struct hop_seen;
int peek_content_range(
	const char *header, int64_t offset, int64_t *ret_size, struct error **reterr);
int peek_next_page(struct tag_list *pages, const char *link, struct error **reterr);
/* The answer of a token server with this status and body. flags: bit 0 by oauth, 1 the challenge
 * came over https, 2 a login. *ret_url is what was asked, NULL for nothing. */
int peek_token(unsigned flags, const char *realm, const void *body, size_t size, struct token *ret,
	char **ret_url, struct error **reterr);
/* Where a Location leads that came from there. *ret_authorized: the Authorization header goes
 * along. */
int peek_location(const char *from, const char *location, char **ret_url, bool *ret_authorized,
	struct error **reterr);

#endif
