/* SPDX-License-Identifier: Apache-2.0 */
/* compat/image_store, compat/metadata_store: what is on the disk, and what others do to it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include "base/buf.h"
#include "base/error.h"
#include "folder.h"
#include "image_store.h"
#include "metadata_store.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define HEX128 HEX32 HEX32 HEX32 HEX32

static struct image_store *open_images(const char *folder)
{
	cleanup_error struct error *err = NULL;
	struct image_store *store = NULL;

	if (image_store_open(folder, 0, &store, &err) < 0)
		fail_msg("%s", err->message);
	return store;
}

static void put(struct image_store *store, const char *config, char id[DIGEST_MAX])
{
	cleanup_error struct error *err = NULL;

	if (image_store_put(store, config, strlen(config), id, &err) < 0)
		fail_msg("%s", err->message);
}

static char *content_name(const char *id)
{
	return str_printf("content/sha256/%s", digest_encoded(id));
}

static void put_and_get(void **state)
{
	char *folder = folder_make();
	struct image_store *store = open_images(folder);
	char id[DIGEST_MAX], digest[DIGEST_MAX];
	cleanup_free char *config = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_image_ids struct image_ids ids = {NULL, 0};
	struct stat st;
	size_t size;

	(void)state;
	put(store, "{\"a\":1}", id);
	assert_int_equal(digest_from_bytes("{\"a\":1}", 7, digest), 0);
	assert_string_equal(id, digest);
	name = content_name(id);
	path = folder_path(folder, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(image_store_get(store, id, &config, &size, NULL), 0);
	assert_int_equal(size, 7);
	assert_string_equal(config, "{\"a\":1}");
	put(store, "{}", digest);
	folder_write(folder, "content/sha256/nothing", "x");
	assert_int_equal(image_store_list(store, &ids, NULL), 0);
	assert_int_equal(ids.n, 2);
	assert_int_equal(image_store_put(store, "", 0, digest, &err), -1);
	assert_string_equal(err->message, "invalid empty data");
	image_store_free(store);
	folder_remove(folder);
}

/* IDs come from strangers and become names of files. */
static void bad_ids(void **state)
{
	static const char *const cases[] = {"", "x", "sha256:", "sha256:../../etc/passwd",
		"sha256:0123", "../x:" HEX32, "sha512:" HEX128};
	char *folder = folder_make();
	struct image_store *store = open_images(folder);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *config = NULL;
		size_t size;

		if (image_store_get(store, cases[i], &config, &size, NULL) == 0 ||
			image_store_delete(store, cases[i], NULL) == 0 ||
			image_store_has(store, cases[i]))
			fail_msg("%s was taken", cases[i]);
	}
	image_store_free(store);
	folder_remove(folder);
}

static void damaged(void **state)
{
	char *folder = folder_make();
	struct image_store *store = open_images(folder);
	char id[DIGEST_MAX], again[DIGEST_MAX];
	cleanup_free char *name = NULL;
	cleanup_free char *expected = NULL;
	cleanup_error struct error *err = NULL;
	char *config = NULL;
	size_t size;

	(void)state;
	put(store, "{\"a\":1}", id);
	image_store_release(store, id);
	name = content_name(id);
	expected = str_printf("failed to verify: %s", id);
	folder_write(folder, name, "{\"a\":2}");
	assert_int_equal(image_store_get(store, id, &config, &size, &err), -1);
	assert_string_equal(err->message, expected);
	assert_int_equal(error_class_of(err), CLASS_DATA_LOSS);
	/* The next pull brings it back. */
	put(store, "{\"a\":1}", again);
	assert_int_equal(image_store_get(store, id, &config, &size, NULL), 0);
	free(config);
	image_store_release(store, id);
	assert_int_equal(image_store_delete(store, id, NULL), 0);
	error_unref(err);
	err = NULL;
	assert_int_equal(image_store_get(store, id, &config, &size, &err), -1);
	assert_int_equal(error_class_of(err), CLASS_NOT_FOUND);
	image_store_free(store);
	folder_remove(folder);
}

/* From put to release nobody deletes it, in no process, and not once its process is dead. */
static void holds(void **state)
{
	char *folder = folder_make();
	struct image_store *store = open_images(folder), *other = open_images(folder);
	char id[DIGEST_MAX], child_id[DIGEST_MAX];
	cleanup_error struct error *err = NULL;
	int ready[2], go[2], status;
	char byte;
	pid_t child;

	(void)state;
	put(store, "{\"a\":1}", id);
	assert_true(image_store_in_use(other, id));
	assert_int_equal(image_store_delete(other, id, &err), -1);
	assert_int_equal(error_class_of(err), CLASS_CONFLICT);
	put(store, "{\"a\":1}", id);
	image_store_release(store, id);
	assert_true(image_store_in_use(other, id));
	image_store_release(store, id);
	image_store_release(store, id); /* once too often is nothing */
	assert_false(image_store_in_use(other, id));
	assert_int_equal(image_store_delete(other, id, NULL), 0);

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct image_store *mine = open_images(folder);

		put(mine, "{\"b\":1}", child_id);
		status = write(ready[1], "", 1) == 1 && read(go[0], &byte, 1) == 1 ? 0 : 1;
		image_store_free(mine);
		/* The parent's copies, for those who count leaks. */
		image_store_free(store);
		image_store_free(other);
		free(folder);
		_exit(status);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(digest_from_bytes("{\"b\":1}", 7, child_id), 0);
	assert_true(image_store_in_use(store, child_id));
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(image_store_in_use(store, child_id));
	assert_int_equal(image_store_delete(store, child_id, NULL), 0);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
	image_store_free(store);
	image_store_free(other);
	folder_remove(folder);
}

static int put_and_delete(const char *folder)
{
	struct image_store *store = open_images(folder);
	char id[DIGEST_MAX];
	int r = 0;

	for (int n = 0; n < 100 && !r; n++) {
		char *config = NULL;
		size_t size;

		if (image_store_put(store, "{\"a\":1}", 7, id, NULL) < 0 ||
			image_store_get(store, id, &config, &size, NULL) < 0)
			r = 1;
		free(config);
		image_store_release(store, id);
		(void)image_store_delete(store, id, NULL); /* others may hold it */
	}
	image_store_free(store);
	return r;
}

/* Processes that put, release and delete one image: put always succeeds, and what it put is whole.
 */
static void put_against_delete(void **state)
{
	char *folder = folder_make();
	pid_t children[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (!children[i]) {
			int r = put_and_delete(folder);

			free(folder); /* for those who count leaks */
			_exit(r);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	folder_remove(folder);
}

/* What killed writers leave goes once it is old. */
static void sweep(void **state)
{
	char *folder = folder_make();
	struct image_store *store = open_images(folder);
	cleanup_free char *old = folder_path(folder, "content/sha256/.tmp-oldXXXX");
	cleanup_free char *new = folder_path(folder, "content/sha256/.tmp-newXXXX");
	const struct utimbuf times = {1000, 1000};

	(void)state;
	folder_write(folder, "content/sha256/.tmp-oldXXXX", "x");
	folder_write(folder, "content/sha256/.tmp-newXXXX", "x");
	assert_int_equal(utime(old, &times), 0);
	image_store_sweep(store);
	assert_int_not_equal(access(old, F_OK), 0);
	assert_int_equal(access(new, F_OK), 0);
	image_store_free(store);
	folder_remove(folder);
}

static int count_key(void *arg, const char *name_space, const char *key)
{
	assert_string_equal(name_space, "ns");
	assert_string_equal(key, "sha256/ab");
	++*(int *)arg;
	return 0;
}

static void metadata(void **state)
{
	static const char *const bad[] = {"", "..", "../x", "a/../b", "/x", "a//b", "a/", "."};
	char *folder = folder_make();
	cleanup_free char *base = folder_path(folder, "distribution");
	struct metadata_store *store = NULL;
	cleanup_error struct error *err = NULL;
	cleanup_free char *value = NULL;
	cleanup_free char *path = folder_path(folder, "distribution/ns/sha256/ab");
	struct stat st;
	size_t size;
	int n = 0;

	(void)state;
	assert_int_equal(metadata_store_open(base, false, &store, NULL), 0);
	assert_int_equal(metadata_store_get(store, "ns", "sha256/ab", &value, &size, &err), -1);
	assert_int_equal(error_class_of(err), CLASS_NOT_FOUND);
	assert_int_equal(metadata_store_set(store, "ns", "sha256/ab", "a\0b", 3, NULL), 0);
	assert_int_equal(metadata_store_get(store, "ns", "sha256/ab", &value, &size, NULL), 0);
	assert_int_equal(size, 3);
	assert_memory_equal(value, "a\0b", 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(metadata_store_each(store, count_key, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(metadata_store_remove(store, "ns", "sha256/ab", NULL), 0);
	assert_int_equal(metadata_store_remove(store, "ns", "sha256/ab", NULL), -1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (metadata_store_set(store, "ns", bad[i], "x", 1, NULL) == 0 ||
			metadata_store_set(store, bad[i], "k", "x", 1, NULL) == 0)
			fail_msg("%s was taken", bad[i]);
	metadata_store_free(store);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_and_get),
		cmocka_unit_test(bad_ids),
		cmocka_unit_test(damaged),
		cmocka_unit_test(holds),
		cmocka_unit_test(put_against_delete),
		cmocka_unit_test(sweep),
		cmocka_unit_test(metadata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
