/* SPDX-License-Identifier: Apache-2.0 */
/* A store as a host uses it: images of real layers, put as the plugin puts them, and what its
 * functions answer. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "image/digest.h"
#include "towline.h"

#define DATE "2020-01-01T00:00:00Z"

/* All values, each behind a newline; of images "ID tags digests size". */
struct lines {
	struct image_pull_sink sink;
	struct buf text;
	char *message;
	bool images;
};

void lines_init(struct lines *l, bool images);
void lines_free(struct lines *l);
/* Compare and free. expected: the values, or the message where code is not OK. */
void expect(const char *what, struct lines *l, int code, int expected_code, const char *expected);

struct towline_store *open_store(const char *root);
/* It can't be opened: that is the message. */
void refuse(const char *root, bool read_only, const char *expected);
/* One more layer on parent, by the table that the plugin gets; the hold is given back. */
void add_layer(struct towline_store *store, const char *content, const char *parent,
	char diff_id[DIGEST_MAX], char chain_id[DIGEST_MAX]);

struct image {
	char id[DIGEST_MAX];
	char chains[2][DIGEST_MAX];
};

/* An image of two layers, put as the plugin does it. NULL tag: none, and the hold stays. */
void add_image(struct towline_store *store, const char *bottom, const char *top,
	const char *created, const char *tag, struct image *ret);
void tag(struct towline_store *store, const char *name, const char *reference);
void add_digest(struct towline_store *store, const char *reference, const char *id);
void rmi(struct towline_store *store, const char *name, int force, int code, const char *expected);
void images_are(struct towline_store *store, const char *expected);

#endif
