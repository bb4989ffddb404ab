/* SPDX-License-Identifier: Apache-2.0 */
/* The bundles that use layers of the store. Go counterpart: layer/mounted_layer.go. */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "layer_priv.h"
#include "overlay_mount.h"

struct each {
	struct layer_store *ls;
	int (*fn)(void *arg, const struct layer_bundle *bundle);
	void *arg;
};

/* As far as this mount namespace sees. */
static bool is_mounted(const char *dir)
{
	cleanup_free char *rootfs = str_printf("%s/rootfs", dir);

	return rootfs && overlay_is_mounted(rootfs);
}

static int each_record(void *arg, const char *name)
{
	const struct each *e = arg;
	cleanup_free char *path = str_printf(BUNDLES_DIR "/%s", name);
	cleanup_free char *record = NULL;
	char dir[PATH_MAX], image[DIGEST_MAX], chain[DIGEST_MAX];

	if (!path || record_read(e->ls, -1, path, "bundle", &record, NULL) < 0)
		return 0;
	record_get(record, "dir", dir, sizeof(dir));
	record_get(record, "image", image, sizeof(image));
	if (!dir[0] || !record_get_digest(record, "chain", chain))
		return 0;

	struct layer_bundle bundle = {dir, image, chain, is_mounted(dir)};

	return e->fn(e->arg, &bundle);
}

int layer_store_each_bundle(struct layer_store *ls,
	int (*fn)(void *arg, const struct layer_bundle *bundle), void *arg, struct error **reterr)
{
	struct each e = {ls, fn, arg};

	return layer_each_name(ls, BUNDLES_DIR, each_record, &e, reterr);
}
