/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI runtime configuration from an image's. Go counterparts: the image specification's
 * conversion.md, oci.DefaultLinuxSpec. */
#ifndef COMPAT_BUNDLE_CONFIG_H
#define COMPAT_BUNDLE_CONFIG_H

struct buf;
struct error;
struct json_value;
struct towline_process;

/* image: the whole configuration. The text of config.json. */
int bundle_config(const struct json_value *image, const struct towline_process *process,
	struct buf *ret, struct error **reterr);

#endif
