/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations as the original decodes them: every field, since a wrong one is an error.
 * Go counterparts: image.V1Image and image.Image (image/image.go), container.Config. */
#ifndef IMAGE_V1_IMAGE_H
#define IMAGE_V1_IMAGE_H

#include "base/go_time.h"
#include "base/json_decode.h"

struct health_config {
	struct json_slice test;
	struct json_int interval, timeout, start_period, retries;
};

struct container_config {
	struct json_text hostname, domainname, user;
	bool attach_stdin, attach_stdout, attach_stderr;
	struct json_slice exposed_ports; /* map */
	bool tty, open_stdin, stdin_once;
	struct json_slice env, cmd; /* of struct json_text */
	struct health_config *healthcheck;
	bool args_escaped;
	struct json_text image;
	struct json_slice volumes; /* map */
	struct json_text working_dir;
	struct json_slice entrypoint;
	bool network_disabled;
	struct json_text mac_address;
	struct json_slice on_build;
	struct json_slice labels; /* map */
	struct json_text stop_signal;
	struct json_int *stop_timeout;
	struct json_slice shell;
};

struct v1_image {
	struct json_text id, parent, comment;
	struct go_time created;
	struct json_text container;
	struct container_config container_config;
	struct json_text docker_version, author;
	struct container_config *config;
	struct json_text architecture, os;
	struct json_int size;
};

struct image_rootfs {
	struct json_text type;
	struct json_slice diff_ids; /* of struct json_text */
};

struct image_history {
	struct go_time created;
	struct json_text author, created_by, comment;
	bool empty_layer;
};

struct image {
	struct v1_image v1; /* parent is below */
	struct json_text parent;
	struct image_rootfs *rootfs;
	struct json_slice history; /* of struct image_history */
	struct json_text os_version;
	struct json_slice os_features;
};

extern const struct json_schema v1_image_schema, image_schema, image_rootfs_schema,
	image_history_schema, container_config_schema, image_labels_schema;

#endif
