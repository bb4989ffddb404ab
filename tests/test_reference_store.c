/* SPDX-License-Identifier: Apache-2.0 */
/* compat/reference_store: what the recorded cases do not have: processes side by side, files that
 * change or are damaged. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "folder.h"
#include "reference_store.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define ID_A "sha256:" HEX32 HEX32
#define ID_B "sha256:ffffffffffffffffffffffffffffffff" HEX32
#define FILE_NAME "repositories.json"

static struct reference_store *open_store(const char *folder, unsigned flags)
{
	cleanup_free char *path = folder_path(folder, FILE_NAME);
	cleanup_error struct error *err = NULL;
	struct reference_store *store = NULL;

	if (reference_store_open(path, flags, &store, &err) < 0)
		fail_msg("open: %s", err->message);
	return store;
}

static struct reference *parse(const char *text)
{
	struct reference *ref = NULL;

	assert_int_equal(reference_parse_normalized_named(text, &ref, NULL), 0);
	return ref;
}

static int add(struct reference_store *store, const char *text, const char *id)
{
	cleanup_reference struct reference *ref = parse(text);

	return reference_store_add_tag(store, ref, id, true, NULL);
}

static bool points_to(struct reference_store *store, const char *text, const char *id)
{
	cleanup_reference struct reference *ref = parse(text);
	cleanup_free char *got = NULL;

	if (reference_store_get(store, ref, &got, NULL) < 0)
		return id == NULL;
	return id && !strcmp(got, id);
}

/* Many names from each of several processes: none is lost, and the file is whole at every moment.
 */
#define PROCESSES 4
#define NAMES 60

static int hammer(const char *folder, int process)
{
	struct reference_store *store = open_store(folder, REFERENCE_STORE_FAST);
	char name[64];

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "r%d/p%d:t%d", i % 3, process, i);
		if (add(store, name, ID_A) < 0 || !points_to(store, name, ID_A))
			return 1;
		/* One name that all of them fight for, and one that comes and goes. */
		if (add(store, "shared", process % 2 ? ID_A : ID_B) < 0)
			return 2;
		if (i % 2) {
			cleanup_reference struct reference *ref = parse("gone");

			if (add(store, "gone", ID_A) < 0)
				return 3;
			(void)reference_store_delete(store, ref, NULL); /* another may be first */
		}
	}
	reference_store_free(store);
	return 0;
}

static void processes(void **state)
{
	char *folder = folder_make();
	struct reference_store *store = open_store(folder, REFERENCE_STORE_FAST);
	pid_t children[PROCESSES];
	char name[64];

	(void)state;
	for (int i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		if (!children[i]) {
			int r = hammer(folder, i);

			/* The parent's copies, for those who count leaks. */
			reference_store_free(store);
			free(folder);
			_exit(r);
		}
		assert_true(children[i] > 0);
	}
	/* A reader meanwhile never sees a part of a file. */
	for (int i = 0; i < 300; i++) {
		cleanup_error struct error *err = NULL;
		cleanup_reference_list struct reference_list list = {NULL, 0};

		if (reference_store_all(store, &list, &err) < 0)
			fail_msg("a reader saw: %s", err->message);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	for (int p = 0; p < PROCESSES; p++)
		for (int i = 0; i < NAMES; i++) {
			snprintf(name, sizeof(name), "r%d/p%d:t%d", i % 3, p, i);
			if (!points_to(store, name, ID_A))
				fail_msg("%s was lost", name);
		}
	assert_true(points_to(store, "shared", ID_A) || points_to(store, "shared", ID_B));
	reference_store_free(store);
	folder_remove(folder);
}

/* The same from threads of one process, on one object. */
static void *thread(void *arg)
{
	struct reference_store *store = arg;
	static _Atomic int next;
	int me = next++;
	char name[64];

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "t%d:v%d", me, i);
		if (add(store, name, ID_A) < 0 || !points_to(store, name, ID_A))
			return (void *)1;
	}
	return NULL;
}

static void threads(void **state)
{
	char *folder = folder_make();
	struct reference_store *store = open_store(folder, REFERENCE_STORE_FAST);
	cleanup_reference_list struct reference_list list = {NULL, 0};
	pthread_t ids[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(pthread_create(&ids[i], NULL, thread, store), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		void *result;

		pthread_join(ids[i], &result);
		assert_null(result);
	}
	assert_int_equal(reference_store_references(store, ID_A, &list, NULL), 0);
	assert_int_equal(list.n, ARRAY_SIZE(ids) * NAMES);
	reference_store_free(store);
	folder_remove(folder);
}

/* Away from its path, and back. */
static void folder_move(const char *folder, bool away)
{
	cleanup_free char *elsewhere = str_printf("%s.away", folder);

	assert_int_equal(rename(away ? folder : elsewhere, away ? elsewhere : folder), 0);
}

/* What another process writes counts from then on. */
static void others_changes(void **state)
{
	char *folder = folder_make();
	struct reference_store *one = open_store(folder, 0), *two = open_store(folder, 0);
	struct reference_store *reader = open_store(folder, REFERENCE_STORE_READ_ONLY);
	cleanup_error struct error *err = NULL;
	cleanup_reference struct reference *ref = parse("a");

	(void)state;
	assert_int_equal(add(one, "a", ID_A), 0);
	assert_true(points_to(two, "a", ID_A));
	assert_int_equal(add(two, "b", ID_B), 0);
	assert_true(points_to(one, "b", ID_B));
	assert_true(points_to(one, "a", ID_A));
	assert_true(points_to(reader, "b", ID_B));
	assert_int_equal(reference_store_add_tag(reader, ref, ID_A, true, &err), -1);
	assert_string_equal(err->message, "the store was opened for reading only");

	/* A decision over several calls holds off the others. */
	assert_int_equal(reference_store_lock(one, NULL), 0);
	assert_int_equal(reference_store_delete_if(one, ref, ID_B, NULL), -1);
	assert_true(points_to(one, "a", ID_A));
	assert_int_equal(reference_store_delete_if(one, ref, ID_A, NULL), 0);
	reference_store_unlock(one);
	assert_true(points_to(two, "a", NULL));
	reference_store_free(one);
	reference_store_free(two);
	reference_store_free(reader);
	folder_remove(folder);
}

/* Deferred changes are one: others see none of them before flush, and none is there where it fails.
 */
static void deferred_changes(void **state)
{
	char *folder = folder_make();
	struct reference_store *one = open_store(folder, 0), *two = open_store(folder, 0);
	cleanup_free char *path = folder_path(folder, FILE_NAME);
	cleanup_reference struct reference *a = parse("a"), *b = parse("b");
	cleanup_error struct error *err = NULL;
	struct stat before, after;

	(void)state;
	assert_int_equal(add(one, "a", ID_A), 0);
	assert_int_equal(add(one, "b", ID_B), 0);
	assert_int_equal(stat(path, &before), 0);
	for (int fails = 1; fails >= 0; fails--) {
		assert_int_equal(reference_store_lock(one, NULL), 0);
		reference_store_defer(one);
		assert_int_equal(reference_store_delete(one, a, NULL), 0);
		assert_int_equal(reference_store_delete(one, b, NULL), 0);
		assert_int_equal(reference_store_delete(one, b, NULL), -1);
		assert_true(points_to(one, "a", NULL));
		assert_true(points_to(two, "a", ID_A));
		assert_int_equal(stat(path, &after), 0);
		assert_int_equal(after.st_ino, before.st_ino);
		if (fails)
			folder_move(folder, true);
		assert_int_equal(reference_store_flush(one, fails ? &err : NULL), -fails);
		if (fails)
			folder_move(folder, false);
		reference_store_unlock(one);
		assert_true(points_to(one, "a", fails ? ID_A : NULL));
		assert_true(points_to(two, "b", fails ? ID_B : NULL));
	}
	assert_non_null(err);
	reference_store_free(one);
	reference_store_free(two);
	folder_remove(folder);
}

/* Damage is an error, and the file stays as it is. */
static void damaged(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "EOF"},
		{"null", "the file holds null where an object is expected"},
		{"{\"Repositories\":{\"a\":{\"a:b\":", "unexpected EOF"},
		{"7", "json: cannot unmarshal number into Go value of type reference.store"},
		{"{\"Repositories\":[]}",
			"json: cannot unmarshal array into Go struct field store.Repositories of "
			"type map[string]reference.repository"},
		{"{\"Repositories\":{\"a\":{\"a:b\":{}}}}",
			"json: cannot unmarshal object into Go struct field store.Repositories of "
			"type digest.Digest"},
		{"{\"Repositories\":{\"a\\u0000\":{}}}", "the name of a repository has a NUL byte"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *folder = folder_make();
		cleanup_free char *path = folder_path(folder, FILE_NAME);
		cleanup_error struct error *err = NULL;
		struct reference_store *store = NULL;
		cleanup_free char *after = NULL;

		folder_write(folder, FILE_NAME, cases[i].text);
		if (reference_store_open(path, 0, &store, &err) == 0)
			fail_msg("%s: no error", cases[i].text);
		if (strcmp(err->message, cases[i].error) != 0)
			fail_msg("%s\nexpected %s\ngot      %s", cases[i].text, cases[i].error,
				err->message);
		after = folder_read(folder, FILE_NAME);
		assert_string_equal(after, cases[i].text);
		folder_remove(folder);
	}
}

/* It may be damaged, or go, under a store that is open. */
static void damaged_later(void **state)
{
	char *folder = folder_make();
	struct reference_store *store = open_store(folder, 0);
	cleanup_free char *path = folder_path(folder, FILE_NAME);
	cleanup_free char *after = NULL;

	(void)state;
	assert_int_equal(add(store, "a", ID_A), 0);
	folder_write(folder, FILE_NAME, "{\"Repos");
	assert_int_equal(add(store, "b", ID_A), -1);
	after = folder_read(folder, FILE_NAME);
	assert_string_equal(after, "{\"Repos");
	folder_write(folder, FILE_NAME, "{\"Repositories\":{\"c\":{\"c:latest\":\"" ID_B "\"}}}");
	assert_int_equal(add(store, "b", ID_A), 0);
	assert_true(points_to(store, "c", ID_B));
	assert_true(points_to(store, "a", NULL));
	assert_int_equal(unlink(path), 0);
	assert_true(points_to(store, "c", NULL));
	assert_int_equal(add(store, "d", ID_A), 0);
	assert_true(points_to(store, "d", ID_A));
	reference_store_free(store);
	folder_remove(folder);
}

/* A name that cannot be written leaves what was there. */
static void write_fails(void **state)
{
	char *folder = folder_make();
	struct reference_store *store = open_store(folder, 0);
	cleanup_error struct error *err = NULL;
	cleanup_reference struct reference *ref = NULL;

	(void)state;
	if (!geteuid()) {
		reference_store_free(store);
		folder_remove(folder);
		printf("# skip: root may write everywhere\n");
		skip();
	}
	ref = parse("b");
	assert_int_equal(add(store, "a", ID_A), 0);
	assert_int_equal(chmod(folder, 0500), 0);
	assert_int_equal(reference_store_add_tag(store, ref, ID_B, true, &err), -1);
	assert_int_equal(chmod(folder, 0700), 0);
	assert_true(points_to(store, "a", ID_A));
	assert_true(points_to(store, "b", NULL));
	reference_store_free(store);
	folder_remove(folder);
}

/* A process killed at any moment leaves a whole file, which the others go on with. */
static void killed(void **state)
{
	char *folder = folder_make();
	struct reference_store *store = open_store(folder, REFERENCE_STORE_FAST);
	char name[64];

	(void)state;
	assert_int_equal(add(store, "kept", ID_B), 0);
	for (int i = 0; i < 20; i++) {
		const struct timespec pause = {.tv_nsec = (long)i * 500 * 1000};
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child) {
			for (int n = 0;; n++) {
				snprintf(name, sizeof(name), "k%d:t%d", i, n);
				(void)add(store, name, ID_A); /* what it did not do is nothing */
			}
		}
		nanosleep(&pause, NULL);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_true(points_to(store, "kept", ID_B));
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(add(store, name, ID_A), 0);
	}
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_true(points_to(store, name, ID_A));
	}
	reference_store_free(store);
	folder_remove(folder);
}

/* A file that is cut anywhere, or has any one byte wrong, is taken or refused, and stays. */
static void cut_and_bent(void **state)
{
	static const char whole[] = "{\"Repositories\":{\"foo\":{\"foo:latest\":\"" ID_A
				    "\"},\"x/y\":{\"x/y@" ID_B "\":\"" ID_B "\"}}}";
	char *folder = folder_make();
	cleanup_free char *path = folder_path(folder, FILE_NAME);

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(whole); i++) {
		struct reference_store *store = NULL;
		cleanup_error struct error *err = NULL;
		cleanup_free char *after = NULL;
		char text[sizeof(whole)];
		size_t size = i < sizeof(whole) ? i : sizeof(whole) - 1;

		memcpy(text, whole, sizeof(whole));
		if (i >= sizeof(whole))
			text[i - sizeof(whole)] ^= 0x15;
		folder_write_bytes(folder, FILE_NAME, text, size);
		if (reference_store_open(path, 0, &store, &err) == 0) {
			cleanup_reference_list struct reference_list list = {NULL, 0};

			assert_int_equal(reference_store_all(store, &list, NULL), 0);
		} else {
			assert_true(*err->message != '\0');
		}
		reference_store_free(store);
		after = folder_read(folder, FILE_NAME);
		assert_memory_equal(after, text, size);
	}
	folder_remove(folder);
}

static void modes(void **state)
{
	char *folder = folder_make();
	struct reference_store *store = open_store(folder, 0);
	cleanup_free char *path = folder_path(folder, FILE_NAME);
	struct stat st;

	(void)state;
	assert_int_equal(add(store, "a", ID_A), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	reference_store_free(store);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes),
		cmocka_unit_test(threads),
		cmocka_unit_test(others_changes),
		cmocka_unit_test(deferred_changes),
		cmocka_unit_test(damaged),
		cmocka_unit_test(damaged_later),
		cmocka_unit_test(write_fails),
		cmocka_unit_test(killed),
		cmocka_unit_test(cut_and_bent),
		cmocka_unit_test(modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
