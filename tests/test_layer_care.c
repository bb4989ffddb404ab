/* SPDX-License-Identifier: Apache-2.0 */
/* What of the layer store survives what, and what goes when: restarts, damage, pruning, dropping.
 */
#include "config.h"

#include "layer_store_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what survives what ---- */

/* Make it look as if the machine had been started anew since. */
static void reboot(const struct world *w, const char *diff_id)
{
	cleanup_free char *layer =
		str_printf("%s/layers/data/sha256.%s/layer", w->dir, diff_id + strlen("sha256:"));
	cleanup_free char *boot = str_printf("%s/layers/boot", w->dir);
	cleanup_free char *text = read_file(layer);
	char *at = strstr(text, "\nboot ");

	assert_non_null(at);
	at[6] = at[6] == 'x' ? 'y' : 'x';
	write_file(layer, text, 0600);
	unlink(boot);
}

static void on_damage(void *arg, const struct layer_damage *damage)
{
	(void)arg;
	(void)damage;
}

static unsigned damaged(const char *dir, bool read_only)
{
	const struct layer_store_options options = {.root = dir, .read_only = read_only};
	struct layer_store *ls;
	struct error *err = NULL;
	unsigned n = 0;

	assert_int_equal(layer_store_open(&options, &ls, &err), 0);
	assert_int_equal(layer_store_check(ls, false, on_damage, NULL, &n, &err), 0);
	layer_store_close(ls);
	return n;
}

static void test_durability(void **state)
{
	struct sample a, b;
	struct world w;
	char chain[DIGEST_MAX], chain_b[DIGEST_MAX];
	struct error *err = NULL;

	(void)state;
	world_make(&w, false);
	sample_make(&a, "a", "hello");
	sample_make(&b, "b", "hello");
	put_layer(&w, &a, "", chain);
	assert_int_equal(layer_store_sync(w.ls, &err), 0);
	put_layer(&w, &b, chain, chain_b);
	layer_store_close(w.ls);
	/* Synced or of this boot: there. */
	w.ls = open_store(w.dir, false);
	w.table = layer_store_table(w.ls);
	assert_int_equal(w.table->get(w.table->context, chain_b, NULL), IMAGE_PULL_OK);
	layer_store_close(w.ls);
	/* After a restart only what was synced is trusted. The rest is no damage: it goes. */
	reboot(&w, a.diff_id);
	reboot(&w, b.diff_id);
	assert_int_equal(damaged(w.dir, true), 0);
	assert_int_equal(count(&w, "chains"), 2);
	assert_int_equal(damaged(w.dir, false), 0);
	assert_int_equal(count(&w, "chains"), 1);
	w.ls = open_store(w.dir, false);
	w.table = layer_store_table(w.ls);
	assert_int_equal(w.table->get(w.table->context, chain_b, NULL), IMAGE_PULL_NOT_FOUND);
	assert_int_equal(w.table->get(w.table->context, chain, NULL), IMAGE_PULL_OK);
	w.table->release(w.table->context, chain);
	assert_int_equal(count(&w, "data"), 1);
	buf_free(&a.tar);
	buf_free(&b.tar);
	world_remove(&w);
}

static void test_damaged_records(void **state)
{
	struct sample a;
	struct world w;
	char chain[DIGEST_MAX];
	struct layer_info info;
	struct error *err = NULL;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	put_layer(&w, &a, "", chain);

	cleanup_free char *path =
		str_printf("%s/layers/chains/sha256.%s", w.dir, chain + strlen("sha256:"));
	static const char *const bad[] = {"", "towline-chain 1\n", "rubbish\nend\n",
		"towline-blob 1\nend\n", "towline-chain 1\ndiff sha256:1\nend\n"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_file(path, bad[i], 0600);
		if (w.table->get(w.table->context, chain, NULL) != IMAGE_PULL_NOT_FOUND)
			fail_msg("'%s' is taken for a chain entry", bad[i]);
		/* It is written anew. */
		put_layer(&w, &a, "", chain);
		assert_int_equal(layer_store_info(w.ls, chain, &info, &err), 0);
	}
	write_file(path, "towline-chain 999\nend\n", 0600);
	assert_int_equal(layer_store_info(w.ls, chain, &info, &err), -1);
	assert_non_null(strstr(err->message, "has format 999"));
	error_unref(err);
	buf_free(&a.tar);
	world_remove(&w);
}

static void test_read_only(void **state)
{
	struct sample a;
	struct staged st;
	struct world w;
	char chain[DIGEST_MAX];
	struct error *err = NULL;
	struct layer_store *ls;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	put_layer(&w, &a, "", chain);

	struct layer_store_options options = {.root = w.dir, .read_only = true};
	cleanup_free char *before = snapshot(w.dir);

	assert_int_equal(layer_store_open(&options, &ls, &err), 0);

	const struct image_pull_layer_store *table = layer_store_table(ls);

	assert_int_equal(table->get(table->context, chain, NULL), IMAGE_PULL_OK);
	table->release(table->context, chain);
	st = stage(table, &a, 0);
	assert_int_equal(st.code, IMAGE_PULL_FORBIDDEN);
	staged_done(table, &st);
	assert_int_equal(layer_store_drop(ls, a.diff_id, "", &err), -1);
	error_unref(err);
	layer_store_close(ls);

	cleanup_free char *after = snapshot(w.dir);

	assert_string_equal(before, after);
	buf_free(&a.tar);
	world_remove(&w);
}

/* ---- care ---- */

static bool needed(void *arg, const char *chain_id)
{
	return str_equal(arg, chain_id);
}

static void test_prune(void **state)
{
	struct sample s[4];
	char chain[4][DIGEST_MAX];
	struct world w;
	struct error *err = NULL;
	uint64_t reclaimed;

	(void)state;
	world_make(&w, true);
	for (int i = 0; i < 4; i++) {
		cleanup_free char *name = str_printf("f%d", i);

		sample_make(&s[i], name, "hello");
	}
	put_layer(&w, &s[0], "", chain[0]);
	put_layer(&w, &s[1], chain[0], chain[1]);
	put_layer(&w, &s[2], chain[1], chain[2]);

	struct staged st = stage(w.table, &s[3], 0); /* never committed */
	struct layer_prune prune = {.needed = needed, .arg = chain[1], .dry_run = true};

	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_true(reclaimed > 0);
	assert_int_equal(count(&w, "data"), 4);
	/* Young things stay; so does what is held, in this process or another. */
	prune.dry_run = false;
	prune.keep_age = 3600;
	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 4);
	prune.keep_age = 0;

	struct layer_store *second = open_store(w.dir, true);
	const struct image_pull_layer_store *table = layer_store_table(second);

	assert_int_equal(table->get(table->context, chain[2], NULL), IMAGE_PULL_OK);
	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 4);
	assert_int_equal(count(&w, "chains"), 3);
	table->release(table->context, chain[2]);
	staged_done(w.table, &st);

	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 2);
	assert_int_equal(count(&w, "chains"), 2);
	assert_int_equal(count(&w, "blobs"), 2);
	assert_int_equal(count(&w, "staging"), 0);
	prune.arg = NULL;
	assert_int_equal(layer_store_prune(w.ls, &prune, &reclaimed, &err), 0);
	assert_int_equal(count(&w, "data"), 0);
	assert_int_equal(count(&w, "chains"), 0);
	assert_int_equal(count(&w, "blobs"), 0);
	for (int i = 0; i < 4; i++)
		buf_free(&s[i].tar);
	layer_store_close(second);
	world_remove(&w);
}

static void test_drop(void **state)
{
	struct sample a, b;
	char chain[DIGEST_MAX], chain_b[DIGEST_MAX];
	struct world w;
	struct error *err = NULL;
	struct staged st;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	sample_make(&b, "b", "hello");
	put_layer(&w, &a, "", chain);
	put_layer(&w, &b, chain, chain_b);
	assert_int_equal(w.table->get(w.table->context, chain_b, NULL), IMAGE_PULL_OK);
	assert_int_equal(layer_store_drop(w.ls, a.diff_id, "", &err), -1);
	assert_int_equal(error_class_of(err), CLASS_CONFLICT);
	error_unref(err);
	err = NULL;
	w.table->release(w.table->context, chain_b);
	assert_int_equal(layer_store_drop(w.ls, a.diff_id, "", &err), 0);
	assert_int_equal(count(&w, "data"), 1);
	assert_int_equal(count(&w, "chains"), 0);
	/* Only what was dropped is read again. */
	st = stage(w.table, &b, 0);
	assert_int_equal(st.reads, 0);
	staged_done(w.table, &st);
	st = stage(w.table, &a, 0);
	assert_true(st.reads > 0);
	staged_done(w.table, &st);
	buf_free(&a.tar);
	buf_free(&b.tar);
	world_remove(&w);
}

static void test_tar(void **state)
{
	struct tar_stream *ts;
	struct error *err = NULL;
	struct sample a;
	char chain[DIGEST_MAX], part[300], id[DIGEST_MAX];
	struct hasher *h = hasher_new("sha256");
	struct world w;
	int64_t n;

	(void)state;
	world_make(&w, true);
	sample_make(&a, "a", "hello");
	put_layer(&w, &a, "", chain);
	assert_int_equal(layer_store_tar(w.ls, a.diff_id, &ts, &err), 0);
	/* It is in use while it is read. */
	assert_int_equal(layer_store_drop(w.ls, a.diff_id, "", &err), -1);
	error_unref(err);
	err = NULL;
	while ((n = tar_stream_read(ts, part, sizeof(part), &err)) > 0)
		hasher_write(h, part, (size_t)n);
	assert_int_equal(n, 0);
	tar_stream_free(ts);
	hasher_digest(h, id);
	assert_string_equal(id, a.diff_id);
	hasher_free(h);
	assert_int_equal(layer_store_tar(w.ls, w.dir, &ts, &err), -1);
	assert_int_equal(error_class_of(err), CLASS_NOT_FOUND);
	error_unref(err);
	buf_free(&a.tar);
	world_remove(&w);
}

/* Descriptors, before and after. */
static int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_descriptors(void **state)
{
	struct sample a;
	char chain[DIGEST_MAX];
	struct world w;
	bool inherited[1024];
	int before;

	(void)state;
	for (int fd = 0; fd < 1024; fd++)
		inherited[fd] = fcntl(fd, F_GETFD) >= 0;
	world_make(&w, true);
	sample_make(&a, "a/b/c/d/e", "hello");
	put_layer(&w, &a, "", chain);
	before = open_files();
	for (int i = 0; i < 20; i++) {
		a.tar.data[600] = (char)i;
		assert_int_equal(digest_from_bytes(a.tar.data, a.tar.size, a.digest), 0);
		memcpy(a.diff_id, a.digest, sizeof(a.digest));
		put_layer(&w, &a, chain, (char[DIGEST_MAX]){0});
	}
	assert_int_equal(open_files(), before);
	for (int fd = 0; fd < 1024; fd++)
		if (!inherited[fd] && fcntl(fd, F_GETFD) >= 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			fail_msg("descriptor %d survives exec", fd);
	buf_free(&a.tar);
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_durability),
		cmocka_unit_test(test_damaged_records),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_tar),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests_name("layer_care", all, NULL, NULL);
}
