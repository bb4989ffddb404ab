/* SPDX-License-Identifier: Apache-2.0 */
/* --platform OS/ARCH[/VARIANT]. Go counterpart: containerd/platforms (Parse, Normalize). */
#include "config.h"

#include "platform.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const char *const known_os[] = {"aix", "android", "darwin", "dragonfly", "freebsd",
	"illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris", "wasip1",
	"windows", "zos"};
static const char *const known_architectures[] = {"386", "amd64", "amd64p32", "arm", "arm64",
	"arm64be", "armbe", "loong64", "mips", "mips64", "mips64le", "mips64p32", "mips64p32le",
	"mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc",
	"sparc64", "wasm"};

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	return false;
}
#define IS_ONE_OF(word, words) is_one_of(word, words, sizeof(words) / sizeof((words)[0]))

/* normalizeOS, normalizeArch. */
static void normalize(struct platform_option *p)
{
	static const struct {
		const char *name, *architecture, *variant; /* variant NULL: as it is */
	} names[] = {
		{"i386", "386", ""},
		{"i686", "386", ""},
		{"x86_64", "amd64", NULL},
		{"x86-64", "amd64", NULL},
		{"aarch64", "arm64", NULL},
		{"armhf", "arm", "v7"},
		{"armv7l", "arm", "v7"},
		{"armel", "arm", "v6"},
		{"armv6l", "arm", "v6"},
	};

	if (strcmp(p->os, "macos") == 0)
		strcpy(p->os, "darwin");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(p->architecture, names[i].name) != 0)
			continue;
		strcpy(p->architecture, names[i].architecture);
		if (names[i].variant)
			strcpy(p->variant, names[i].variant);
		break;
	}
	if (strcmp(p->architecture, "386") == 0)
		p->variant[0] = '\0';
	else if (strcmp(p->architecture, "amd64") == 0 && strcmp(p->variant, "v1") == 0)
		p->variant[0] = '\0';
	else if (strcmp(p->architecture, "arm64") == 0 &&
		 (strcmp(p->variant, "8") == 0 || strcmp(p->variant, "v8") == 0))
		p->variant[0] = '\0';
	else if (strcmp(p->architecture, "arm") == 0 && p->variant[0] == '\0')
		strcpy(p->variant, "v7");
	else if (strcmp(p->architecture, "arm") == 0 && strchr("5678", p->variant[0]) &&
		 p->variant[1] == '\0') {
		p->variant[1] = p->variant[0];
		p->variant[0] = 'v';
		p->variant[2] = '\0';
	}
}

/* Parts between slashes, in lower case; what they may be made of is Parse's specifierRe. */
static int split(const char *text, char parts[3][64], size_t *ret_n, const char **ret_problem)
{
	size_t n = 0, length = 0;

	for (;; text++) {
		if (*text == '/' || *text == '\0') {
			if (length == 0) {
				*ret_problem = "a part of it is empty";
				return -1;
			}
			parts[n++][length] = '\0';
			length = 0;
			if (*text == '\0')
				break;
			if (n == 3) {
				*ret_problem = "it has more than three parts";
				return -1;
			}
			continue;
		}
		if (!isalnum((unsigned char)*text) && !strchr("_.-", *text)) {
			*ret_problem = "it has a character that no platform has";
			return -1;
		}
		if (length + 1 >= 64) {
			*ret_problem = "it is too long";
			return -1;
		}
		parts[n][length++] = (char)tolower((unsigned char)*text);
	}
	*ret_n = n;
	return 0;
}

static int single_word(const char *word, struct platform_option *p)
{
	struct utsname machine;

	snprintf(p->os, sizeof(p->os), "%s", strcmp(word, "macos") == 0 ? "darwin" : word);
	if (IS_ONE_OF(p->os, known_os)) {
		if (uname(&machine) != 0)
			return -1;
		snprintf(p->architecture, sizeof(p->architecture), "%.63s", machine.machine);
		normalize(p);
		return 0;
	}
	snprintf(p->os, sizeof(p->os), "linux");
	snprintf(p->architecture, sizeof(p->architecture), "%s", word);
	normalize(p);
	return IS_ONE_OF(p->architecture, known_architectures) ? 0 : -1;
}

int platform_parse(const char *text, struct platform_option *ret, const char **ret_problem)
{
	char parts[3][64];
	struct platform_option p = {.platform = {.struct_size = sizeof(p.platform)}};
	size_t n;

	if (split(text, parts, &n, ret_problem) < 0)
		return -1;
	if (n == 1) {
		if (single_word(parts[0], &p) < 0) {
			*ret_problem = "unknown operating system or architecture";
			return -1;
		}
	} else {
		strcpy(p.os, parts[0]);
		strcpy(p.architecture, parts[1]);
		if (n == 3)
			strcpy(p.variant, parts[2]);
		normalize(&p);
	}
	/* What nobody wrote is no wish; what somebody wrote is kept. */
	if (n < 3 && strcmp(p.architecture, "arm") == 0 && strcmp(p.variant, "v7") == 0)
		p.variant[0] = '\0';
	if (n == 3 && strcmp(p.architecture, "arm64") == 0 && p.variant[0] == '\0')
		strcpy(p.variant, "v8");
	*ret = p;
	ret->platform.os = ret->os;
	ret->platform.architecture = ret->architecture;
	ret->platform.variant = ret->variant;
	ret->platform.os_version = "";
	return 0;
}
