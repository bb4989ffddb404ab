/* SPDX-License-Identifier: Apache-2.0 */
/* A layer to unpack tars into, beside a folder that must not change. */
#include "config.h"

#include "untar_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "whiteout.h"

#include <cmocka.h>

void world_make(struct world *w)
{
	w->dir = temp_make();
	w->canary = str_printf("%s/canary", w->dir);

	cleanup_free char *victim = str_printf("%s/victim", w->canary);
	cleanup_free char *hello = str_printf("%s/hello", victim);
	cleanup_free char *secret = str_printf("%s/secret", victim);
	cleanup_free char *layer = str_printf("%s/layer", w->dir);

	assert_int_equal(mkdir(w->canary, 0755), 0);
	assert_int_equal(mkdir(victim, 0755), 0);
	assert_int_equal(mkdir(layer, 0700), 0);
	write_file(hello, "canary hello", 0644);
	write_file(secret, "canary secret", 0600);
	w->before = snapshot(w->canary);
}

void world_remove(struct world *w)
{
	cleanup_free char *after = snapshot(w->canary);

	assert_string_equal(w->before, after);
	temp_remove(w->dir);
	free(w->canary);
	free(w->before);
}

static char *replace(const char *s, const char *what, const char *by)
{
	const char *p = s ? strstr(s, what) : NULL;

	if (!p)
		return s ? strdup(s) : NULL;

	cleanup_free char *rest = replace(p + strlen(what), what, by);

	return str_printf("%.*s%s%s", (int)(p - s), s, by, rest);
}

char *world_expand(const struct world *w, const char *s)
{
	cleanup_free char *up = str_printf("../../../../../../..%s", w->canary);
	cleanup_free char *a = replace(s, "{C}", w->canary);
	cleanup_free char *b = replace(a, "{R}", w->canary + 1);

	return replace(b, "{U}", up);
}

/* Unpack; NULL, or the text of the failure. */
char *world_unpack(const struct world *w, const void *data, size_t size, size_t portion, bool lend,
	struct untar_result *ret)
{
	cleanup_free char *layer = str_printf("%s/layer", w->dir);
	cleanup_close int fd = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct memory_reader source;
	struct error *err = NULL;
	bool source_failed;
	char *text = NULL;

	memory_reader_init(&source, data, size);
	source.portion = portion;
	if (!lend)
		source.reader.next = NULL;

	struct untar_options options = {.source = &source.reader,
		.layer = fd,
		.trusted = whiteout_trusted_works(fd),
		.writeback = NULL};

	if (untar(&options, ret, &source_failed, &err) < 0) {
		assert_non_null(err);
		assert_false(source_failed);
		text = strdup(err->message);
		error_unref(err);
	} else {
		assert_null(err);
		assert_int_equal(source.at, size);
	}
	memory_reader_done(&source);
	return text;
}

void world_check(const struct world *w, const char *name, const char *want_error,
	const char *const want_tree[UNTAR_TREE_MAX], const char *text)
{
	cleanup_free char *error = world_expand(w, want_error);
	cleanup_free char *tree = str_printf("%s/layer/tree", w->dir);
	char *spec[UNTAR_TREE_MAX + 1] = {0};

	if (!str_equal(text, error))
		fail_msg("%s: failed with '%s', not '%s'", name, text ? text : "(nothing)",
			error ? error : "(nothing)");
	for (size_t i = 0; i < UNTAR_TREE_MAX && want_tree[i]; i++)
		spec[i] = world_expand(w, want_tree[i]);

	cleanup_free char *differs = tree_differs(tree, (const char *const *)spec);

	if (differs)
		fail_msg("%s: %s", name, differs);
	for (size_t i = 0; i < UNTAR_TREE_MAX; i++)
		free(spec[i]);
}

void expect_error(const char *name, struct buf *tar, const char *error)
{
	const char *const tree[UNTAR_TREE_MAX] = {NULL};
	struct untar_result result;
	struct world w;

	world_make(&w);

	cleanup_free char *text = world_unpack(&w, tar->data, tar->size, 0, true, &result);

	world_check(&w, name, error, tree, text);
	world_remove(&w);
	buf_free(tar);
}

void expect_tree(
	const char *name, struct buf *tar, const char *const *spec, struct untar_result *ret)
{
	const char *tree[UNTAR_TREE_MAX] = {NULL};
	struct world w;

	for (size_t i = 0; spec[i]; i++) {
		assert_true(i < UNTAR_TREE_MAX);
		tree[i] = spec[i];
	}
	world_make(&w);

	cleanup_free char *text = world_unpack(&w, tar->data, tar->size, 0, true, ret);

	world_check(&w, name, NULL, tree, text);
	world_remove(&w);
	buf_free(tar);
}
