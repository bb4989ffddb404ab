/* SPDX-License-Identifier: Apache-2.0 */
/* Platforms and their choice from a list. Go counterpart: distribution/pull_v2_unix.go,
 * containerd/platforms. */
#ifndef IMAGE_PLATFORM_H
#define IMAGE_PLATFORM_H

#include <stddef.h>

struct error;

/* The machine, in Go's words. */
#define RUNTIME_OS "linux"
#if defined(__x86_64__)
#define RUNTIME_ARCHITECTURE "amd64"
#elif defined(__i386__)
#define RUNTIME_ARCHITECTURE "386"
#elif defined(__aarch64__)
#define RUNTIME_ARCHITECTURE "arm64"
#elif defined(__arm__)
#define RUNTIME_ARCHITECTURE "arm"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define RUNTIME_ARCHITECTURE "ppc64le"
#elif defined(__powerpc64__)
#define RUNTIME_ARCHITECTURE "ppc64"
#elif defined(__s390x__)
#define RUNTIME_ARCHITECTURE "s390x"
#elif defined(__riscv) && __riscv_xlen == 64
#define RUNTIME_ARCHITECTURE "riscv64"
#elif defined(__mips64) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define RUNTIME_ARCHITECTURE "mips64le"
#elif defined(__loongarch64)
#define RUNTIME_ARCHITECTURE "loong64"
#else
#error "what does Go call this machine?"
#endif

/* Borrowed strings, never NULL; "" for absent. */
struct platform {
	const char *os;
	const char *architecture;
	const char *variant;
	const char *os_version;
};

/* filterManifests: the indices of the platforms that match, best first. requested NULL or with
 * empty parts: those of runtime. ret_indices has room for n. Returns how many. Requested "Linux" is
 * folded as containerd's platforms does; the original crashes there. */
size_t platform_filter(const struct platform *platforms, size_t n, const struct platform *requested,
	const struct platform *runtime, size_t *ret_indices);
/* formatPlatform, quirk included: the whole of runtime whenever the OS is empty, or p is NULL, even
 * if an architecture was asked for. A new string; NULL: no memory. */
char *platform_format(const struct platform *p, const struct platform *runtime);
/* platforms.Parse: "OS", "ARCH" or "OS/ARCH[/VARIANT]" as `docker pull --platform` takes it,
 * normalised; what is missing is runtime's. Strings are the caller's, in ret_buffer, but for those
 * that are runtime's. Error: class InvalidParameter. */
int platform_parse(const char *s, const struct platform *runtime, struct platform *ret,
	char **ret_buffer, struct error **reterr);

#endif
