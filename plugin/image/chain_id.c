/* SPDX-License-Identifier: Apache-2.0 */
/* Chain IDs. Go counterpart: layer.createChainIDFromParent. */
#include <stdio.h>
#include <string.h>

#include "image/rootfs.h"

int chain_id_append(const char *parent, const char *diff_id, char ret[DIGEST_MAX])
{
	char both[2 * DIGEST_MAX];
	int n;

	if (!parent[0]) {
		/* not validated yet: what is longer than any digest is none */
		n = snprintf(ret, DIGEST_MAX, "%s", diff_id);
		return n < 0 || n >= DIGEST_MAX ? -1 : 0;
	}
	n = snprintf(both, sizeof(both), "%s %s", parent, diff_id);
	if (n < 0 || (size_t)n >= sizeof(both))
		return -1;
	return digest_from_bytes(both, (size_t)n, ret);
}
