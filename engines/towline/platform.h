/* SPDX-License-Identifier: Apache-2.0 */
/* --platform OS/ARCH[/VARIANT]. Go counterpart: containerd/platforms (Parse, Normalize). */
#ifndef TOWLINE_PLATFORM_H
#define TOWLINE_PLATFORM_H

#include "image_pull.h"

struct platform_option {
	struct image_pull_platform platform; /* its texts stand below */
	char os[64], architecture[64], variant[64];
};
/* 0, or -1 with *ret_problem, a static text. A single word is an OS or an architecture; the other
 * is then the machine's. Names of other tools are understood: x86_64, aarch64, armhf, ... */
int platform_parse(const char *text, struct platform_option *ret, const char **ret_problem);

#endif
