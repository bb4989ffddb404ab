# libtowline: Docker-compatible services for hosts that have none. libcompat is the same without the exports, for tests.
noinst_LTLIBRARIES += compat/libcompat.la
compat_libcompat_la_SOURCES = \
	compat/base64.c \
	compat/base64.h \
	compat/bundle.c \
	compat/bundle_config.c \
	compat/bundle_config.h \
	compat/bundle_list.c \
	compat/config.c \
	compat/copy_file.c \
	compat/copy_tree.h \
	compat/credential_helper.c \
	compat/credential_helper.h \
	compat/credentials.c \
	compat/data_sum.c \
	compat/dir_times.c \
	compat/dir_times.h \
	compat/dirs.c \
	compat/dirs.h \
	compat/file.c \
	compat/file.h \
	compat/fsck.c \
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
	compat/merge_layers.c \
	compat/metadata_store.c \
	compat/metadata_store.h \
	compat/overlay_mount.c \
	compat/overlay_mount.h \
	compat/pem.c \
	compat/pem.h \
	compat/plugin_load.c \
	compat/prune.c \
	compat/reference_file.c \
	compat/reference_file.h \
	compat/reference_store.c \
	compat/reference_store.h \
	compat/references.c \
	compat/registry_config.c \
	compat/registry_config.h \
	compat/registry_service.c \
	compat/registry_tls.c \
	compat/registry_tls.h \
	compat/rootfs.c \
	compat/rootfs_dir.h \
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
	compat/untar.c \
	compat/untar.h \
	compat/whiteout.c \
	compat/whiteout.h

lib_LTLIBRARIES += libtowline.la
include_HEADERS += compat/towline.h
libtowline_la_SOURCES =
libtowline_la_LIBADD = compat/libcompat.la $(COMPAT_LIBS)
libtowline_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -Wl,-z,defs
