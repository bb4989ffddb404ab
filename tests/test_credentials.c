/* SPDX-License-Identifier: Apache-2.0 */
/* compat/credentials: files and helpers. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "fail_alloc.h"
#include "folder.h"
#include "towline.h"

/* One answer: "user/password/identity token/registry token", or what went wrong. */
struct answer {
	struct image_pull_sink sink;
	char *auth;
	char *message;
};

static int take_auth(void *receiver, const void *data, size_t size)
{
	struct answer *a = receiver;
	const struct image_pull_auth *auth = data;

	assert_int_equal(size, sizeof(*auth));
	free(a->auth);
	a->auth = str_printf("%s/%s/%s/%s", auth->username, auth->password, auth->identity_token,
		auth->registry_token);
	return IMAGE_PULL_OK;
}

static void take_message(void *receiver, const char *text)
{
	struct answer *a = receiver;

	free(a->message);
	a->message = strdup(text);
}

static int ask(const char *authfile, const char *reference, struct answer *a)
{
	*a = (struct answer){
		.sink = {sizeof(a->sink), a, take_auth, take_message},
	};
	return towline_credentials(authfile, reference, &a->sink);
}

static void answer_free(struct answer *a)
{
	free(a->auth);
	free(a->message);
}

static void expect(const char *what, const char *authfile, const char *reference, int code,
	const char *auth, const char *message)
{
	struct answer a;
	int got = ask(authfile, reference, &a);

	if (got != code || !str_equal(a.auth, auth) || (message && !str_equal(a.message, message)))
		fail_msg("%s, %s\nexpected %d %s %s\ngot      %d %s %s", what, reference, code,
			auth ? auth : "-", message ? message : "-", got, a.auth ? a.auth : "-",
			a.message ? a.message : "-");
	answer_free(&a);
}

/* dTpw = u:p, dTpwOnE= = u:p:q, czpw = s:p */
static void files(void **state)
{
	static const struct {
		const char *file, *reference, *auth; /* auth NULL: none there */
	} cases[] = {
		{"{\"auths\":{\"h:5000\":{\"auth\":\"dTpw\"}}}", "h:5000/a", "u/p//"},
		{"{\"auths\":{\"h:5000\":{\"auth\":\"dTpwOnE=\"}}}", "h:5000/a", "u/p:q//"},
		{"{\"auths\":{\"h:5000\":{\"auth\":\"dTpw\"}}}", "h:5001/a", NULL},
		{"{\"auths\":{\"https://h:5000\":{\"auth\":\"dTpw\"}}}", "h:5000/a", "u/p//"},
		{"{\"auths\":{\"http://h:5000/v2/\":{\"auth\":\"dTpw\"}}}", "h:5000/a", "u/p//"},
		{"{\"auths\":{\"h:5000/v1/\":{\"auth\":\"dTpw\"}}}", "h:5000/a", "u/p//"},
		{"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"dTpw\"}}}", "busybox",
			"u/p//"},
		{"{\"auths\":{\"docker.io\":{\"auth\":\"dTpw\"}}}", "busybox", "u/p//"},
		{"{\"auths\":{\"index.docker.io\":{\"auth\":\"dTpw\"}}}", "docker.io/a/b", "u/p//"},
		/* Its very name goes before another spelling, whatever the order. */
		{"{\"auths\":{\"h.x\":{\"auth\":\"dTpw\"},\"https://h.x\":{\"auth\":\"czpw\"}}}",
			"h.x/a", "u/p//"},
		{"{\"auths\":{\"https://h.x\":{\"auth\":\"czpw\"},\"h.x\":{\"auth\":\"dTpw\"}}}",
			"h.x/a", "u/p//"},
		/* The longest part of the path counts. */
		{"{\"auths\":{\"h.x/a\":{\"auth\":\"dTpw\"},\"h.x\":{\"auth\":\"czpw\"}}}",
			"h.x/a/b:1", "u/p//"},
		{"{\"auths\":{\"h.x/a\":{\"auth\":\"dTpw\"},\"h.x\":{\"auth\":\"czpw\"}}}",
			"h.x/ab:1", "s/p//"},
		{"{\"auths\":{\"h.x/other\":{\"auth\":\"dTpw\"}}}", "h.x/a", NULL},
		{"{\"auths\":{\"h.x\":{\"identitytoken\":\"T\",\"auth\":\"dTpw\"}}}", "h.x/a",
			"u/p/T/"},
		{"{\"auths\":{\"h.x\":{\"registrytoken\":\"R\"}}}", "h.x/a", "///R"},
		{"{\"auths\":{\"h.x\":{\"username\":\"n\",\"password\":\"w\"}}}", "h.x/a", "n/w//"},
		{"{\"auths\":{\"h.x\":{}}}", "h.x/a", NULL},
		{"{\"auths\":{\"h.x\":null}}", "h.x/a", NULL},
		{"{\"auths\":7}", "h.x/a", NULL},
		{"{}", "h.x/a", NULL},
		{"[]", "h.x/a", NULL},
	};
	char *folder = folder_make();
	cleanup_free char *path = folder_path(folder, "auth.json");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		folder_write(folder, "auth.json", cases[i].file);
		expect(cases[i].file, path, cases[i].reference,
			cases[i].auth ? IMAGE_PULL_OK : IMAGE_PULL_NOT_FOUND, cases[i].auth, NULL);
	}
	folder_remove(folder);
}

static void damaged(void **state)
{
	static const struct {
		const char *file, *error; /* behind the path */
	} cases[] = {
		{"{", ": unexpected end of JSON input"},
		{"{\"auths\":{\"h.x\":{\"auth\":\"!!\"}}}",
			": the \"auth\" of h.x is no base64 of user:password"},
		{"{\"auths\":{\"h.x\":{\"auth\":\"dXA=\"}}}",
			": the \"auth\" of h.x is no base64 of user:password"},
	};
	char *folder = folder_make();
	cleanup_free char *path = folder_path(folder, "auth.json");
	cleanup_free char *missing = folder_path(folder, "missing.json");
	cleanup_free char *no_file = str_printf("open %s: no such file or directory", missing);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *message = str_printf("%s%s", path, cases[i].error);

		folder_write(folder, "auth.json", cases[i].file);
		expect(cases[i].file, path, "h.x/a", IMAGE_PULL_FAILED, NULL, message);
	}
	expect("a file that is not there", missing, "h.x/a", IMAGE_PULL_FAILED, NULL, no_file);
	expect("a bad reference", path, "h.x/A", IMAGE_PULL_INVALID, NULL, NULL);
	folder_remove(folder);
}

/* The files that nobody named, in their order. */
static void search(void **state)
{
	char *folder = folder_make();
	cleanup_free char *docker = folder_path(folder, "docker");
	cleanup_free char *named = folder_path(folder, "named.json");

	(void)state;
	setenv("HOME", folder, 1);
	setenv("XDG_CONFIG_HOME", folder, 1);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	unsetenv("DOCKER_CONFIG");
	unsetenv("REGISTRY_AUTH_FILE");
	expect("no file", NULL, "h.x/a", IMAGE_PULL_NOT_FOUND, NULL, "no credentials for h.x");
	folder_write(folder, "containers/auth.json", "{\"auths\":{\"h.x\":{\"auth\":\"czpw\"}}}");
	expect("auth.json", NULL, "h.x/a", IMAGE_PULL_OK, "s/p//", NULL);
	folder_write(folder, ".docker/config.json", "{\"auths\":{\"h.y\":{\"auth\":\"dTpw\"}}}");
	expect("both", NULL, "h.x/a", IMAGE_PULL_OK, "s/p//", NULL);
	expect("both", NULL, "h.y/a", IMAGE_PULL_OK, "u/p//", NULL);
	folder_write(folder, "docker/config.json", "{\"auths\":{\"h.z\":{\"auth\":\"dTpw\"}}}");
	setenv("DOCKER_CONFIG", docker, 1);
	expect("DOCKER_CONFIG", NULL, "h.z/a", IMAGE_PULL_OK, "u/p//", NULL);
	expect("DOCKER_CONFIG", NULL, "h.y/a", IMAGE_PULL_NOT_FOUND, NULL, NULL);
	folder_write(folder, "named.json", "{\"auths\":{\"h.w\":{\"auth\":\"dTpw\"}}}");
	setenv("REGISTRY_AUTH_FILE", named, 1);
	expect("REGISTRY_AUTH_FILE", NULL, "h.w/a", IMAGE_PULL_OK, "u/p//", NULL);
	expect("REGISTRY_AUTH_FILE", NULL, "h.z/a", IMAGE_PULL_NOT_FOUND, NULL, NULL);
	unsetenv("REGISTRY_AUTH_FILE");
	unsetenv("DOCKER_CONFIG");
	folder_remove(folder);
}

static void helper(const char *folder, const char *name, const char *body)
{
	cleanup_free char *file = str_printf("bin/docker-credential-%s", name);
	cleanup_free char *text = str_printf("#!/bin/sh\n%s\n", body);
	cleanup_free char *path = folder_path(folder, file);

	folder_write(folder, file, text);
	assert_int_equal(chmod(path, 0755), 0);
}

static void helpers(void **state)
{
	static const struct {
		const char *file, *reference, *auth, *message;
	} cases[] = {
		{"{\"credsStore\":\"echo\"}", "h.x/a", "get h.x/secret//", NULL},
		{"{\"credsStore\":\"echo\"}", "busybox", "get https://index.docker.io/v1//secret//",
			NULL},
		{"{\"credHelpers\":{\"h.x\":\"echo\"},\"credsStore\":\"fails\"}", "h.x/a",
			"get h.x/secret//", NULL},
		{"{\"credsStore\":\"token\"}", "h.x/a", "//T/", NULL},
		/* What is missing or fails does not stand in the way, and is said. */
		{"{\"credsStore\":\"absent\"}", "h.x/a", NULL,
			"no credentials for h.x: exec docker-credential-absent: no such file or "
			"directory"},
		{"{\"credsStore\":\"fails\"}", "h.x/a", NULL,
			"no credentials for h.x: docker-credential-fails: the keychain is locked"},
		{"{\"credsStore\":\"none\"}", "h.x/a", NULL, "no credentials for h.x"},
		{"{\"credsStore\":\"garbage\"}", "h.x/a", NULL,
			"no credentials for h.x: docker-credential-garbage: its answer is no JSON"},
		{"{\"credsStore\":\"silent\"}", "h.x/a", NULL,
			"no credentials for h.x: docker-credential-silent: it gave no reason"},
		{"{\"credsStore\":\"../x\"}", "h.x/a", NULL,
			"no credentials for h.x: \"../x\" is no name of a credential helper"},
		{"{\"credsStore\":\"fails\",\"auths\":{\"h.x\":{\"auth\":\"dTpw\"}}}", "h.x/a",
			"u/p//", NULL},
		{"{\"credHelpers\":{\"h.y\":\"echo\"}}", "h.x/a", NULL, "no credentials for h.x"},
	};
	char *folder = folder_make();
	cleanup_free char *path = folder_path(folder, "auth.json");
	cleanup_free char *search_path = str_printf("%s/bin:/usr/bin:/bin", folder);

	(void)state;
	setenv("PATH", search_path, 1);
	helper(folder, "echo",
		"printf '{\"ServerURL\":\"x\",\"Username\":\"%s %s\",\"Secret\":\"secret\"}' "
		"\"$1\" \"$(cat)\"");
	helper(folder, "token",
		"cat >/dev/null; echo '{\"Username\":\"<token>\",\"Secret\":\"T\"}'");
	helper(folder, "fails", "echo 'the keychain is locked'; exit 1");
	helper(folder, "none", "echo 'credentials not found in native keychain'; exit 1");
	helper(folder, "garbage", "echo hello");
	helper(folder, "silent", "exit 3");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		folder_write(folder, "auth.json", cases[i].file);
		expect(cases[i].file, path, cases[i].reference,
			cases[i].auth ? IMAGE_PULL_OK : IMAGE_PULL_NOT_FOUND, cases[i].auth,
			cases[i].message);
	}
	folder_remove(folder);
}

/* A host may ignore SIGCHLD, and block every signal. */
static void host_signals(void **state)
{
	char *folder = folder_make();
	cleanup_free char *path = folder_path(folder, "auth.json");
	cleanup_free char *search_path = str_printf("%s/bin:/usr/bin:/bin", folder);
	sigset_t all, old;

	(void)state;
	setenv("PATH", search_path, 1);
	helper(folder, "blocks",
		"grep -q '^SigBlk:.*[1-9a-f]' /proc/self/status && exit 1; "
		"echo '{\"Username\":\"u\",\"Secret\":\"s\"}'");
	folder_write(folder, "auth.json", "{\"credsStore\":\"blocks\"}");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	expect("all signals blocked", path, "h.x/a", IMAGE_PULL_OK, "u/s//", NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGCHLD, SIG_IGN);
	expect("SIGCHLD ignored", path, "h.x/a", IMAGE_PULL_OK, "u/s//", NULL);
	signal(SIGCHLD, SIG_DFL);
	folder_remove(folder);
}

/* Want of memory is never taken for credentials that are not there: the pull would be anonymous. */
static void no_memory(void **state)
{
	static const char *const files[] = {
		"{\"auths\":{\"h.x\":{\"auth\":\"dTpw\"}}}",
		"{\"auths\":{\"h.x\":{\"auth\":\"dTpw\",\"identitytoken\":\"T\"}}}",
		"{\"credHelpers\":{\"h.x\":\"echo\"}}",
	};
	char *folder = folder_make();
	cleanup_free char *search_path = str_printf("%s/bin:/usr/bin:/bin", folder);

	(void)state;
	setenv("PATH", search_path, 1);
	setenv("HOME", folder, 1);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("DOCKER_CONFIG");
	unsetenv("REGISTRY_AUTH_FILE");
	helper(folder, "echo", "echo '{\"Username\":\"u\",\"Secret\":\"p\"}'");
	/* where each of the files is looked for last */
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		bool struck = true;

		folder_write(folder, ".config/containers/auth.json", files[i]);
		for (size_t n = 1; struck; n++) {
			struct answer a;
			int code;

			fail_alloc_start(n);
			code = ask(NULL, "h.x/a", &a);
			struck = fail_alloc_stop();
			if (code != IMAGE_PULL_OK && !(struck && code == IMAGE_PULL_NO_MEMORY))
				fail_msg("%s, allocation %zu: %d %s", files[i], n, code,
					a.message ? a.message : "-");
			answer_free(&a);
			assert_true(struck || n > 5);
		}
	}
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(damaged),
		cmocka_unit_test(search),
		cmocka_unit_test(helpers),
		cmocka_unit_test(host_signals),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
