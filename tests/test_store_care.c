/* SPDX-License-Identifier: Apache-2.0 */
/* compat/prune, fsck: what is taken out of a store that holds real layers, and what that leaves. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "store_fixture.h"

#include <cmocka.h>

/* ---- prune
 * --------------------------------------------------------------------------------------------- */

static bool has_layer(struct towline_store *store, const char *chain_id)
{
	const struct image_pull_layer_store *layers = towline_store_layers(store);

	if (layers->get(layers->context, chain_id, NULL) != IMAGE_PULL_OK)
		return false;
	layers->release(layers->context, chain_id);
	return true;
}

static int prune(struct towline_store *store, struct towline_prune_options options, struct lines *l,
	uint64_t *reclaimed)
{
	options.struct_size = sizeof(options);
	lines_init(l, false);
	return towline_prune(store, &options, reclaimed, &l->sink);
}

static void pruning(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	struct towline_prune_options none = {.all = 0}, all = {.all = 1},
				     dry = {.all = 1, .dry_run = 1},
				     young = {.all = 1, .keep_age = 3600},
				     large = {.all = 1, .keep_size = 1u << 30};
	char diff_id[DIGEST_MAX], chain_id[DIGEST_MAX];
	cleanup_free char *deleted = NULL;
	uint64_t reclaimed = 0;
	struct image a, b;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_image(store, "1", "3", DATE, "foo:latest", &b); /* a has no tag any more */
	add_layer(store, "4", "", diff_id, chain_id);       /* nobody's */
	deleted = str_printf("Deleted: %s\n", a.id);

	assert_int_equal(prune(store, dry, &l, &reclaimed), IMAGE_PULL_OK);
	assert_true(str_has_prefix(l.text.data, deleted));
	assert_true(has_layer(store, chain_id) && has_layer(store, a.chains[1]));
	lines_free(&l);
	assert_int_equal(prune(store, young, &l, &reclaimed), IMAGE_PULL_OK);
	assert_string_equal(l.text.data, "");
	assert_true(has_layer(store, chain_id));
	lines_free(&l);
	assert_int_equal(prune(store, large, &l, &reclaimed), IMAGE_PULL_OK);
	assert_string_equal(l.text.data, "");
	lines_free(&l);

	/* Layers that no image needs go; images stay. */
	assert_int_equal(prune(store, none, &l, &reclaimed), IMAGE_PULL_OK);
	assert_false(has_layer(store, chain_id));
	assert_true(has_layer(store, a.chains[1]) && has_layer(store, b.chains[1]));
	lines_free(&l);
	/* Images without a tag go with what only they need. */
	assert_int_equal(prune(store, all, &l, &reclaimed), IMAGE_PULL_OK);
	assert_true(str_has_prefix(l.text.data, deleted));
	assert_true(reclaimed > 0);
	assert_false(has_layer(store, a.chains[1]));
	assert_true(has_layer(store, b.chains[0]) && has_layer(store, b.chains[1]));
	lines_free(&l);
	assert_int_equal(prune(store, all, &l, &reclaimed), IMAGE_PULL_OK);
	assert_string_equal(l.text.data, "");
	assert_true(reclaimed == 0);
	lines_free(&l);
	towline_store_close(store);
	folder_remove(folder);
}

/* ---- fsck
 * ---------------------------------------------------------------------------------------------- */

static unsigned fsck(struct towline_store *store, bool repair, struct lines *l)
{
	unsigned damaged = 0;
	int code;

	lines_init(l, false);
	code = towline_fsck(store, 1, repair, &damaged, &l->sink);
	if (code != IMAGE_PULL_OK)
		fail_msg("fsck: %d %s", code, l->message);
	return damaged;
}

static void fsck_says(
	struct towline_store *store, bool repair, unsigned damaged, const char *expected)
{
	struct lines l;
	unsigned got = fsck(store, repair, &l);

	if (got != damaged || strcmp(l.text.data, expected) != 0)
		fail_msg("expected %u %s\ngot      %u %s", damaged, expected, got, l.text.data);
	lines_free(&l);
}

static void checking(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	const struct image_pull_metadata_store *metadata = towline_store_metadata(store);
	cleanup_free char *expected = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	struct image a, b, c;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	add_image(store, "1", "3", DATE, "bar:latest", &b);
	add_image(store, "1", "4", DATE, "zed:latest", &c);
	fsck_says(store, false, 0, "");

	/* A configuration with other bytes, one that is not there, two damaged notes. */
	name = str_printf("image/overlay2/imagedb/content/sha256/%s", a.id + 7);
	folder_write(folder, name, "{}");
	path = str_printf("%s/image/overlay2/imagedb/content/sha256/%s", folder, b.id + 7);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(
		metadata->set(metadata->context, "diffid-by-digest", "sha256/ab", "x", 1, NULL),
		IMAGE_PULL_OK);
	assert_int_equal(metadata->set(metadata->context, "v2metadata-by-diffid", "sha256/cd", "[{",
				 2, NULL),
		IMAGE_PULL_OK);
	expected =
		str_printf("image %s: failed to verify: %s\n"
			   "reference bar:latest: its image %s is not there\n"
			   "metadata diffid-by-digest/sha256/ab: invalid checksum digest format\n"
			   "metadata v2metadata-by-diffid/sha256/cd: unexpected end of JSON "
			   "input\n",
			a.id, a.id, b.id);
	assert_int_equal(fsck(store, false, &l), 4);
	/* Folders are read in no order. */
	assert_int_equal(strlen(l.text.data), strlen(expected));
	assert_true(str_has_prefix(l.text.data, "image "));
	lines_free(&l);
	assert_int_equal(fsck(store, true, &l), 4);
	assert_non_null(strstr(l.text.data, "reference foo:latest: dropped, pull it again\n"));
	assert_non_null(strstr(l.text.data, "reference bar:latest: dropped, pull it again\n"));
	lines_free(&l);
	fsck_says(store, false, 0, "");
	free(expected);
	expected = str_printf("%.12s zed:latest\n", c.id + 7);
	images_are(store, expected);
	towline_store_close(store);
	folder_remove(folder);
}

/* A file of names that a crash has cut: fsck opens the store all the same, and repairs it. */
static void checking_names(void **state)
{
	static const char damage[] = "repositories.json: unexpected EOF\n";
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	struct towline_store_options options = {
		.struct_size = sizeof(options), .root = folder, .fast = 1, .tolerant = 1};
	cleanup_free char *text = NULL;
	cleanup_free char *repaired = NULL;
	cleanup_free char *expected = NULL;
	struct image a;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	towline_store_close(store);
	folder_write(folder, "image/overlay2/repositories.json", "{\"Repositories\":{\"foo");
	text = str_printf("%s/image/overlay2/repositories.json: unexpected EOF", folder);
	refuse(folder, false, text);

	options.read_only = 1;
	lines_init(&l, false);
	assert_int_equal(towline_store_open(&options, &store, &l.sink), IMAGE_PULL_OK);
	lines_free(&l);
	fsck_says(store, false, 1, damage);
	towline_store_close(store);

	options.read_only = 0;
	lines_init(&l, false);
	assert_int_equal(towline_store_open(&options, &store, &l.sink), IMAGE_PULL_OK);
	lines_free(&l);
	lines_init(&l, false);
	assert_int_not_equal(towline_images(store, &l.sink), IMAGE_PULL_OK);
	lines_free(&l);
	fsck_says(store, false, 1, damage);
	repaired =
		str_printf("%srepositories.json: renamed to repositories.json.damaged, all names "
			   "are dropped: pull or tag again\n",
			damage);
	fsck_says(store, true, 1, repaired);
	fsck_says(store, true, 0, "");
	free(text);
	text = folder_read(folder, "image/overlay2/repositories.json.damaged");
	assert_string_equal(text, "{\"Repositories\":{\"foo");
	towline_store_close(store);
	store = open_store(folder);
	fsck_says(store, false, 0, "");
	expected = str_printf("%.12s\n", a.id + 7);
	images_are(store, expected);
	towline_store_close(store);
	folder_remove(folder);
}

/* The files of the layers' data below dir that hold text are cut; returns how many. */
static int cut_files(const char *dir, const char *text)
{
	cleanup_free char *command = str_printf("grep -rlx '%s' %s/layers --include=file | while "
						"read -r f; do : >\"$f\"; echo; done "
						"| wc -l",
		text, dir);
	FILE *f = popen(command, "r");
	int n = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* A layer whose data is damaged is dropped with the image that needs it: the next pull brings both
 * back. */
static void checking_layers(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	cleanup_free char *expected = NULL;
	struct image a, b;
	struct lines l;

	(void)state;
	add_image(store, "bottom", "top a", DATE, "foo:latest", &a);
	add_image(store, "bottom", "top b", DATE, "bar:latest", &b);
	assert_int_equal(cut_files(folder, "top a"), 1);
	assert_true(fsck(store, false, &l) > 0);
	lines_free(&l);
	assert_true(fsck(store, true, &l) > 0);
	assert_non_null(strstr(l.text.data, "reference foo:latest: dropped, pull it again\n"));
	assert_null(strstr(l.text.data, "bar"));
	lines_free(&l);
	fsck_says(store, false, 0, "");
	expected = str_printf("%.12s bar:latest\n", b.id + 7);
	images_are(store, expected);
	add_image(store, "bottom", "top a", DATE, "foo:latest", &a);
	fsck_says(store, false, 0, "");
	towline_store_close(store);
	folder_remove(folder);
}

/* Images whose layers are gone are not there for a pull, which then brings all of it back. */
static void layers_gone(void **state)
{
	char *folder = folder_make();
	struct towline_store *store = open_store(folder);
	const struct image_pull_image_store *images = towline_store_images(store);
	struct towline_prune_options none = {.all = 0};
	cleanup_free char *path = NULL;
	cleanup_free char *config = NULL;
	struct towline_text text;
	uint64_t reclaimed;
	struct image a;
	struct lines l;

	(void)state;
	add_image(store, "1", "2", DATE, "foo:latest", &a);
	towline_text_init(&text);
	assert_int_equal(images->get(images->context, a.id, &text.sink), IMAGE_PULL_OK);
	config = strdup(text.value);
	/* The configuration away, so that a prune takes the layers; and back. */
	path = str_printf("image/overlay2/imagedb/content/sha256/%s", a.id + 7);
	cleanup_free char *file = folder_path(folder, path);

	assert_int_equal(unlink(file), 0);
	assert_int_equal(prune(store, none, &l, &reclaimed), IMAGE_PULL_OK);
	lines_free(&l);
	folder_write(folder, path, config);
	assert_false(has_layer(store, a.chains[0]));
	assert_int_equal(images->get(images->context, a.id, &text.sink), IMAGE_PULL_NOT_FOUND);
	towline_text_free(&text);
	towline_store_close(store);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pruning),
		cmocka_unit_test(checking),
		cmocka_unit_test(checking_names),
		cmocka_unit_test(checking_layers),
		cmocka_unit_test(layers_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
