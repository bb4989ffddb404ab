# libtowline: Docker-compatible services for hosts that have none. libcompat is the same without the exports, for tests.
noinst_LTLIBRARIES += compat/libcompat.la
compat_libcompat_la_SOURCES = \
	compat/archive_io.h \
	compat/bundle.c \
	compat/bundle_config.c \
	compat/bundle_config.h \
	compat/bundle_list.c \
	compat/child.c \
	compat/child.h \
	compat/config.c \
	compat/config_reader.h \
	compat/config_registries.c \
	compat/copy_file.c \
	compat/copy_tree.h \
	compat/credential_helper.c \
	compat/credential_helper.h \
	compat/credentials.c \
	compat/credentials.h \
	compat/credentials_store.c \
	compat/data_sum.c \
	compat/dir_times.c \
	compat/dir_times.h \
	compat/dirs.c \
	compat/dirs.h \
	compat/error_report.c \
	compat/file.c \
	compat/file.h \
	compat/fsck.c \
	compat/auth_config.c \
	compat/host_lookup.c \
	compat/host_lookup.h \
	compat/image_filter.c \
	compat/image_filter.h \
	compat/image_json.c \
	compat/image_remove.c \
	compat/image_remove.h \
	compat/image_store.c \
	compat/image_store.h \
	compat/image_user.c \
	compat/image_user.h \
	compat/images.c \
	compat/images.h \
	compat/implicit.c \
	compat/implicit.h \
	compat/ip.c \
	compat/ip.h \
	compat/layer_care.c \
	compat/layer_chain.c \
	compat/layer_check.c \
	compat/layer_data.c \
	compat/layer_expect.c \
	compat/layer_expect.h \
	compat/layer_priv.h \
	compat/layer_prune.c \
	compat/layer_record.c \
	compat/layer_store.c \
	compat/layer_store.h \
	compat/layer_sync.c \
	compat/layer_unpack.c \
	compat/load.c \
	compat/merge_layers.c \
	compat/metadata_store.c \
	compat/metadata_store.h \
	compat/oci_load.c \
	compat/oci_save.c \
	compat/overlay_mount.c \
	compat/overlay_mount.h \
	compat/partials.c \
	compat/partials.h \
	compat/pem.c \
	compat/pem.h \
	compat/plugin_load.c \
	compat/process.c \
	compat/process.h \
	compat/prune.c \
	compat/record.h \
	compat/record_reader.c \
	compat/record_reader.h \
	compat/reference_file.c \
	compat/reference_file.h \
	compat/reference_store.c \
	compat/reference_store.h \
	compat/references.c \
	compat/registry_config.c \
	compat/registry_config.h \
	compat/registry_rules.c \
	compat/registry_rules.h \
	compat/registry_service.c \
	compat/registry_tls.c \
	compat/registry_tls.h \
	compat/rootfs.c \
	compat/rootfs_dir.h \
	compat/save.c \
	compat/sink.c \
	compat/sink.h \
	compat/store.c \
	compat/store.h \
	compat/stored_image.c \
	compat/streamformat.c \
	compat/streamformat.h \
	compat/tar_format.c \
	compat/tar_headers.c \
	compat/tar_headers.h \
	compat/tar_ops.h \
	compat/tar_priv.h \
	compat/tar_reader.c \
	compat/tar_reader.h \
	compat/tar_stream.c \
	compat/text.c \
	compat/towline.h \
	compat/tree.c \
	compat/tree.h \
	compat/unpacker.c \
	compat/unpacker.h \
	compat/unpacking_reader.c \
	compat/untar.c \
	compat/untar.h \
	compat/whiteout.c \
	compat/whiteout.h \
	compat/writeback.c \
	compat/writeback.h

lib_LTLIBRARIES += libtowline.la
include_HEADERS += compat/towline.h
libtowline_la_SOURCES =
libtowline_la_LIBADD = compat/libcompat.la $(COMPAT_LIBS)
libtowline_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -Wl,-z,defs

# The confined unpacker (docs/security.md): a program, so that it starts without this process's memory. What links it in
# besides what it uses would only be loaded in vain.
pkglibexec_PROGRAMS += towline-unpack
towline_unpack_SOURCES = compat/unpack_jail.c compat/unpack_jail.h compat/unpack_main.c
towline_unpack_CPPFLAGS = $(AM_CPPFLAGS) $(UNPACK_CPPFLAGS)
if SANITIZED
UNPACK_CPPFLAGS = -DSANITIZED
endif
towline_unpack_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
towline_unpack_LDADD = compat/libcompat.la $(DECODE_LIBS) $(SECCOMP_LIBS)
towline_unpack_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed -Wl,--gc-sections -Wl,-z,now
