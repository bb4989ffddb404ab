/* SPDX-License-Identifier: Apache-2.0 */
/* Go counterparts: distribution/pull_v2_unix.go (filterManifests, withDefault, formatPlatform),
 * github.com/containerd/containerd/platforms. */
#include "image/platform.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Two texts of one platform part, without regard to case. Names of platforms are ASCII. */
static bool same(const char *a, const char *b)
{
	return str_equal_fold(a, b);
}

struct alias {
	const char *from, *to;
};

static const char *alias_of(const struct alias *aliases, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (same(aliases[i].from, s))
			return aliases[i].to;
	return s;
}

/* normalizeOS; case is left to the comparison. */
static const char *normalize_os(const char *os, const struct platform *runtime)
{
	static const struct alias aliases[] = {{"macos", "darwin"}};

	return *os ? alias_of(aliases, ARRAY_SIZE(aliases), os) : runtime->os;
}

/* normalizeArch, without folding case: what an alias stands for, and which variant that implies. */
static void normalize_arch(struct platform *p)
{
	static const struct alias arm_variants[] = {
		{"", "v7"}, {"7", "v7"}, {"5", "v5"}, {"6", "v6"}, {"8", "v8"}};
	static const struct alias arm64_variants[] = {{"8", ""}, {"v8", ""}};

	if (same(p->architecture, "i386")) {
		p->architecture = "386";
		p->variant = "";
	} else if (same(p->architecture, "x86_64") || same(p->architecture, "x86-64")) {
		p->architecture = "amd64";
		p->variant = "";
	} else if (same(p->architecture, "aarch64") || same(p->architecture, "arm64")) {
		p->architecture = "arm64";
		p->variant = alias_of(arm64_variants, ARRAY_SIZE(arm64_variants), p->variant);
	} else if (same(p->architecture, "armhf")) {
		p->architecture = "arm";
		p->variant = "v7";
	} else if (same(p->architecture, "armel")) {
		p->architecture = "arm";
		p->variant = "v6";
	} else if (same(p->architecture, "arm")) {
		p->architecture = "arm";
		p->variant = alias_of(arm_variants, ARRAY_SIZE(arm_variants), p->variant);
	}
}

/* Normalize. */
static struct platform normalize(const struct platform *p, const struct platform *runtime)
{
	struct platform n = *p;

	n.os = normalize_os(p->os, runtime);
	n.os_version = "";
	normalize_arch(&n);
	return n;
}

/* withDefault. */
static struct platform with_default(const struct platform *p, const struct platform *runtime)
{
	struct platform d = {"", "", "", ""};

	if (p)
		d = *p;
	if (!*d.os)
		d.os = runtime->os;
	if (!*d.architecture) {
		d.architecture = runtime->architecture;
		d.variant = runtime->variant;
	}
	return d;
}

/* The original compares an entry as it is written with what was asked for in lower case. */
static bool equals_lower(const char *written, const char *asked)
{
	size_t i;

	for (i = 0; written[i] && written[i] == lower(asked[i]); i++)
		;
	return !written[i] && !asked[i];
}

size_t platform_filter(const struct platform *platforms, size_t n, const struct platform *requested,
	const struct platform *runtime, size_t *ret_indices)
{
	struct platform p = with_default(requested, runtime);
	size_t count = 0;

	p = normalize(&p, runtime);
	for (size_t i = 0; i < n; i++) {
		struct platform entry = normalize(&platforms[i], runtime);

		if (same(p.os, entry.os) && same(p.architecture, entry.architecture) &&
			same(p.variant, entry.variant))
			ret_indices[count++] = i;
	}
	/* Lists of old do not say which variant an entry is. */
	if (!count && same(p.architecture, "arm"))
		for (size_t i = 0; i < n; i++)
			if (equals_lower(platforms[i].os, p.os) &&
				equals_lower(platforms[i].architecture, p.architecture))
				ret_indices[count++] = i;
	return count;
}

/* path.Join of the parts: empty ones are left out, and the whole is cleaned as path.Clean does. */
static char *join(const char *const *parts, size_t nparts)
{
	struct buf joined = {0}, clean = {0};
	const char *p;
	size_t dotdot = 0, floor; /* clean may not be cut below its first floor bytes */
	bool rooted;

	for (size_t i = 0; i < nparts; i++) {
		if (!*parts[i])
			continue;
		if (joined.size)
			buf_append_char(&joined, '/');
		buf_append_str(&joined, parts[i]);
	}
	if (joined.oom || !joined.size) {
		buf_free(&joined);
		return joined.oom ? NULL : strdup("");
	}
	rooted = *joined.data == '/';
	if (rooted)
		buf_append_char(&clean, '/');
	floor = dotdot = clean.size;
	for (p = joined.data; *p;) {
		size_t size = strcspn(p, "/");

		if (size == 2 && !memcmp(p, "..", 2)) {
			if (clean.size > dotdot) {
				do
					clean.size--;
				while (clean.size > dotdot && clean.data[clean.size] != '/');
				clean.data[clean.size] = '\0';
			} else if (!rooted) {
				buf_append_str(&clean, clean.size ? "/.." : "..");
				dotdot = clean.size;
			}
		} else if (size && !(size == 1 && *p == '.')) {
			if (clean.size > floor)
				buf_append_char(&clean, '/');
			buf_append(&clean, p, size);
		}
		p += size;
		p += *p == '/';
	}
	if (!clean.size)
		buf_append_char(&clean, '.');
	buf_free(&joined);
	return buf_steal(&clean);
}

char *platform_format(const struct platform *p, const struct platform *runtime)
{
	const char *parts[3];

	if (!p || !*p->os)
		p = runtime;
	if (!*p->os)
		return strdup("unknown");
	parts[0] = p->os;
	parts[1] = p->architecture;
	parts[2] = p->variant;
	return join(parts, ARRAY_SIZE(parts));
}

static bool is_known(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], s))
			return true;
	return false;
}

static bool is_known_os(const char *os)
{
	static const char *const names[] = {"aix", "android", "darwin", "dragonfly", "freebsd",
		"hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9",
		"solaris", "windows", "zos"};

	return is_known(names, ARRAY_SIZE(names), os);
}

static bool is_known_arch(const char *arch)
{
	static const char *const names[] = {"386", "amd64", "amd64p32", "arm", "armbe", "arm64",
		"arm64be", "loong64", "mips", "mips64", "mips64le", "mips64p32", "mips64p32le",
		"mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc",
		"sparc64", "wasm"};

	return is_known(names, ARRAY_SIZE(names), arch);
}

/* Each part is of the form ^[A-Za-z0-9_-]+$. Cuts the text at its slashes. */
static int split_specifier(
	const char *s, char *buffer, char *parts[3], size_t *ret_nparts, struct error **reterr)
{
	size_t n = 0;

	for (char *p = buffer;; n++) {
		char *end = p + strcspn(p, "/");
		bool last = !*end;

		*end = '\0';
		if (!*p || strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_-") != strlen(p)) {
			struct buf message = {0};
			int ret;

			buf_append_quoted(&message, p, strlen(p));
			buf_append_str(&message, " is an invalid component of ");
			buf_append_quoted(&message, s, strlen(s));
			buf_append_str(&message, ": platform specifier component must match "
						 "\"^[A-Za-z0-9_-]+$\": invalid argument");
			ret = error_set(reterr, message.oom ? &error_no_memory
							    : error_classf(CLASS_INVALID_PARAMETER,
								      "%s", message.data));
			buf_free(&message);
			return ret;
		}
		for (char *c = p; *c; c++)
			*c = lower(*c);
		if (n < 3)
			parts[n] = p;
		if (last)
			break;
		p = end + 1;
	}
	*ret_nparts = n + 1;
	return 0;
}

static int specifier_error(struct error **reterr, const char *s, const char *what)
{
	struct buf quoted = {0};
	int ret;

	buf_append_quoted(&quoted, s, strlen(s));
	ret = error_set(reterr, quoted.oom
					? &error_no_memory
					: error_classf(CLASS_INVALID_PARAMETER,
						  "%s: %s: invalid argument", quoted.data, what));
	buf_free(&quoted);
	return ret;
}

int platform_parse(const char *s, const struct platform *runtime, struct platform *ret,
	char **ret_buffer, struct error **reterr)
{
	cleanup_free char *buffer = NULL;
	struct platform p = {"", "", "", ""};
	char *parts[3];
	size_t n = 0;

	if (strchr(s, '*'))
		return specifier_error(reterr, s, "wildcards not yet supported");
	buffer = strdup(s);
	if (!buffer)
		return error_set(reterr, &error_no_memory);
	if (split_specifier(s, buffer, parts, &n, reterr) < 0)
		return -1;
	if (n > 3)
		return specifier_error(reterr, s, "cannot parse platform specifier");
	p.os = normalize_os(parts[0], runtime);
	if (n == 1 && is_known_os(p.os)) {
		p.architecture = runtime->architecture;
		if (same(p.architecture, "arm") && !same(runtime->variant, "v7"))
			p.variant = runtime->variant;
	} else {
		p.architecture = parts[n == 1 ? 0 : 1];
		p.variant = n == 3 ? parts[2] : "";
		normalize_arch(&p);
		if (n < 3 && same(p.architecture, "arm") && same(p.variant, "v7"))
			p.variant = "";
		if (n == 3 && same(p.architecture, "arm64") && !*p.variant)
			p.variant = "v8";
		if (n == 1) {
			if (!is_known_arch(p.architecture))
				return specifier_error(
					reterr, s, "unknown operating system or architecture");
			p.os = runtime->os;
		}
	}
	*ret = p;
	*ret_buffer = steal_ptr(&buffer);
	return 0;
}
