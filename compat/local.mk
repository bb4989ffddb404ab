# libtowline: Docker-compatible services for hosts that have none. libcompat is the same without the exports, for tests.
noinst_LTLIBRARIES += compat/libcompat.la
compat_libcompat_la_SOURCES = \
	compat/base64.c \
	compat/base64.h \
	compat/config.c \
	compat/credential_helper.c \
	compat/credential_helper.h \
	compat/credentials.c \
	compat/dirs.c \
	compat/dirs.h \
	compat/file.c \
	compat/file.h \
	compat/image_store.c \
	compat/image_store.h \
	compat/ip.c \
	compat/ip.h \
	compat/layer_store.h \
	compat/metadata_store.c \
	compat/metadata_store.h \
	compat/pem.c \
	compat/pem.h \
	compat/plugin_load.c \
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
	compat/sink.c \
	compat/sink.h \
	compat/streamformat.c \
	compat/streamformat.h \
	compat/text.c \
	compat/towline.h
compat_libcompat_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/compat -DPLUGINDIR='"$(plugindir)"' -DSYSCONFDIR='"$(sysconfdir)"'
compat_libcompat_la_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(GNUTLS_CFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
compat_libcompat_la_LIBADD = plugin/libvalues.la $(ARCHIVE_LIBS) $(GNUTLS_LIBS) $(ZLIB_LIBS) $(ZSTD_LIBS)

lib_LTLIBRARIES += libtowline.la
include_HEADERS += compat/towline.h
libtowline_la_SOURCES =
libtowline_la_LIBADD = compat/libcompat.la
libtowline_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -Wl,-z,defs
