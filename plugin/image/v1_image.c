/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of image configurations. Go counterparts: image/image.go, image/rootfs.go,
 * api/types/container/config.go. */
#include "image/v1_image.h"

#define STRING(type, json_name, member, flags)                                                     \
	{                                                                                          \
		(json_name), offsetof(type, member), &json_schema_string, (flags)                  \
	}
#define BOOL(type, json_name, member, flags)                                                       \
	{                                                                                          \
		(json_name), offsetof(type, member), &json_schema_bool, (flags)                    \
	}

static const struct json_schema duration =
	JSON_SCALAR(JSON_KIND_INT, "time.Duration", struct json_int);
static const struct json_schema str_slice =
	JSON_SCALAR(JSON_KIND_STRSLICE, "strslice.StrSlice", struct json_slice);
static const struct json_schema empty_struct = {
	.kind = JSON_KIND_STRUCT, .type = "struct {}", .size = 1, .name = ""};
static const struct json_schema port_set = JSON_MAP_OF("nat.PortSet", &empty_struct);
static const struct json_schema string_set = JSON_MAP_OF("map[string]struct {}", &empty_struct);
const struct json_schema image_labels_schema =
	JSON_MAP_OF("map[string]string", &json_schema_string);
static const struct json_schema int_pointer = JSON_POINTER_TO(&json_schema_int);

static const struct json_field health_fields[] = {
	{"Test", offsetof(struct health_config, test), &json_schema_strings, JSON_OMIT_EMPTY},
	{"Interval", offsetof(struct health_config, interval), &duration, JSON_OMIT_EMPTY},
	{"Timeout", offsetof(struct health_config, timeout), &duration, JSON_OMIT_EMPTY},
	{"StartPeriod", offsetof(struct health_config, start_period), &duration, JSON_OMIT_EMPTY},
	{"Retries", offsetof(struct health_config, retries), &json_schema_int, JSON_OMIT_EMPTY},
};
static const struct json_schema health =
	JSON_STRUCT("container.HealthConfig", "HealthConfig", struct health_config, health_fields);
static const struct json_schema health_pointer = JSON_POINTER_TO(&health);

#define CONFIG(json_name, member, schema, flags)                                                   \
	{                                                                                          \
		(json_name), offsetof(struct container_config, member), (schema), (flags)          \
	}
static const struct json_field config_fields[] = {
	STRING(struct container_config, "Hostname", hostname, 0),
	STRING(struct container_config, "Domainname", domainname, 0),
	STRING(struct container_config, "User", user, 0),
	BOOL(struct container_config, "AttachStdin", attach_stdin, 0),
	BOOL(struct container_config, "AttachStdout", attach_stdout, 0),
	BOOL(struct container_config, "AttachStderr", attach_stderr, 0),
	CONFIG("ExposedPorts", exposed_ports, &port_set, JSON_OMIT_EMPTY),
	BOOL(struct container_config, "Tty", tty, 0),
	BOOL(struct container_config, "OpenStdin", open_stdin, 0),
	BOOL(struct container_config, "StdinOnce", stdin_once, 0),
	CONFIG("Env", env, &json_schema_strings, 0),
	CONFIG("Cmd", cmd, &str_slice, 0),
	CONFIG("Healthcheck", healthcheck, &health_pointer, JSON_OMIT_EMPTY),
	BOOL(struct container_config, "ArgsEscaped", args_escaped, JSON_OMIT_EMPTY),
	STRING(struct container_config, "Image", image, 0),
	CONFIG("Volumes", volumes, &string_set, 0),
	STRING(struct container_config, "WorkingDir", working_dir, 0),
	CONFIG("Entrypoint", entrypoint, &str_slice, 0),
	BOOL(struct container_config, "NetworkDisabled", network_disabled, JSON_OMIT_EMPTY),
	STRING(struct container_config, "MacAddress", mac_address, JSON_OMIT_EMPTY),
	CONFIG("OnBuild", on_build, &json_schema_strings, 0),
	CONFIG("Labels", labels, &image_labels_schema, 0),
	STRING(struct container_config, "StopSignal", stop_signal, JSON_OMIT_EMPTY),
	CONFIG("StopTimeout", stop_timeout, &int_pointer, JSON_OMIT_EMPTY),
	CONFIG("Shell", shell, &str_slice, JSON_OMIT_EMPTY),
};
const struct json_schema container_config_schema =
	JSON_STRUCT("container.Config", "Config", struct container_config, config_fields);
static const struct json_schema config_pointer = JSON_POINTER_TO(&container_config_schema);

/* V1Image's fields but for its parent, at `at` in the struct: it is embedded in Image. */
#define V1_FIELDS(type, at)                                                                        \
	STRING(type, "comment", at comment, JSON_OMIT_EMPTY),                                      \
		{"created", offsetof(type, at created), &json_schema_time, 0},                     \
		STRING(type, "container", at container, JSON_OMIT_EMPTY),                          \
		{"container_config", offsetof(type, at container_config),                          \
			&container_config_schema, JSON_OMIT_EMPTY},                                \
		STRING(type, "docker_version", at docker_version, JSON_OMIT_EMPTY),                \
		STRING(type, "author", at author, JSON_OMIT_EMPTY),                                \
		{"config", offsetof(type, at config), &config_pointer, JSON_OMIT_EMPTY},           \
		STRING(type, "architecture", at architecture, JSON_OMIT_EMPTY),                    \
		STRING(type, "os", at os, JSON_OMIT_EMPTY),                                        \
	{                                                                                          \
		"Size", offsetof(type, at size), &json_schema_int64, JSON_OMIT_EMPTY               \
	}

static const struct json_field v1_fields[] = {
	STRING(struct v1_image, "id", id, JSON_OMIT_EMPTY),
	STRING(struct v1_image, "parent", parent, JSON_OMIT_EMPTY),
	V1_FIELDS(struct v1_image, ),
};
const struct json_schema v1_image_schema =
	JSON_STRUCT("image.V1Image", "V1Image", struct v1_image, v1_fields);

static const struct json_schema diff_id =
	JSON_SCALAR(JSON_KIND_STRING, "layer.DiffID", struct json_text);
static const struct json_schema diff_ids = JSON_SLICE_OF("[]layer.DiffID", &diff_id);
static const struct json_field rootfs_fields[] = {
	STRING(struct image_rootfs, "type", type, 0),
	{"diff_ids", offsetof(struct image_rootfs, diff_ids), &diff_ids, JSON_OMIT_EMPTY},
};
const struct json_schema image_rootfs_schema =
	JSON_STRUCT("image.RootFS", "RootFS", struct image_rootfs, rootfs_fields);
static const struct json_schema rootfs_pointer = JSON_POINTER_TO(&image_rootfs_schema);

static const struct json_field history_fields[] = {
	{"created", offsetof(struct image_history, created), &json_schema_time, 0},
	STRING(struct image_history, "author", author, JSON_OMIT_EMPTY),
	STRING(struct image_history, "created_by", created_by, JSON_OMIT_EMPTY),
	STRING(struct image_history, "comment", comment, JSON_OMIT_EMPTY),
	BOOL(struct image_history, "empty_layer", empty_layer, JSON_OMIT_EMPTY),
};
const struct json_schema image_history_schema =
	JSON_STRUCT("image.History", "History", struct image_history, history_fields);
static const struct json_schema history = JSON_SLICE_OF("[]image.History", &image_history_schema);

static const struct json_schema image_id =
	JSON_SCALAR(JSON_KIND_STRING, "image.ID", struct json_text);
static const struct json_field image_fields[] = {
	STRING(struct image, "id", v1.id, JSON_OMIT_EMPTY),
	V1_FIELDS(struct image, v1.),
	{"parent", offsetof(struct image, parent), &image_id, JSON_OMIT_EMPTY},
	{"rootfs", offsetof(struct image, rootfs), &rootfs_pointer, JSON_OMIT_EMPTY},
	{"history", offsetof(struct image, history), &history, JSON_OMIT_EMPTY},
	STRING(struct image, "os.version", os_version, JSON_OMIT_EMPTY),
	{"os.features", offsetof(struct image, os_features), &json_schema_strings, JSON_OMIT_EMPTY},
};
const struct json_schema image_schema =
	JSON_STRUCT("image.Image", "Image", struct image, image_fields);
