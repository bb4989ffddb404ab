/* SPDX-License-Identifier: Apache-2.0 */
/* Platforms and their choice from a list. Go counterpart: distribution/pull_v2_unix.go,
 * containerd/platforms. */
#ifndef IMAGE_PLATFORM_H
#define IMAGE_PLATFORM_H

#include <stddef.h>

struct error;

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
/* formatPlatform, quirk included (linux/amd64 whenever the OS is empty). A new string. */
char *platform_format(const struct platform *p);
/* "OS[/ARCH[/VARIANT]]" as `docker pull --platform` takes it, normalised. Strings are the caller's,
 * in ret_buffer. */
int platform_parse(const char *s, const struct platform *runtime, struct platform *ret,
	char **ret_buffer, struct error **reterr);

#endif
