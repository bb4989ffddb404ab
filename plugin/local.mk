# base and image: pure values; both the plugin and libtowline are built on them.
noinst_LIBRARIES += plugin/libvalues.a
plugin_libvalues_a_SOURCES = \
	plugin/base/arena.c \
	plugin/base/arena.h \
	plugin/base/buf.c \
	plugin/base/buf.h \
	plugin/base/context.c \
	plugin/base/context.h \
	plugin/base/encoding.c \
	plugin/base/encoding.h \
	plugin/base/errno.c \
	plugin/base/error.c \
	plugin/base/error.h \
	plugin/base/go_time.c \
	plugin/base/go_time.h \
	plugin/base/json.c \
	plugin/base/json.h \
	plugin/base/json_decode.c \
	plugin/base/json_decode.h \
	plugin/base/json_encode.c \
	plugin/base/json_scan.c \
	plugin/base/json_scan.h \
	plugin/base/log.c \
	plugin/base/log.h \
	plugin/base/pages.h \
	plugin/base/partial_files.c \
	plugin/base/partial_files.h \
	plugin/base/unicode_print.h \
	plugin/base/url.c \
	plugin/base/url.h \
	plugin/base/utf8.c \
	plugin/base/utf8.h \
	plugin/image/chain_id.c \
	plugin/image/digest.c \
	plugin/image/digest.h \
	plugin/image/ec_curve.c \
	plugin/image/ec_curve.h \
	plugin/image/jwk.c \
	plugin/image/manifest.c \
	plugin/image/manifest.h \
	plugin/image/manifest_internal.h \
	plugin/image/manifest_schema1.c \
	plugin/image/media_type.c \
	plugin/image/media_type.h \
	plugin/image/platform.c \
	plugin/image/platform.h \
	plugin/image/reference.c \
	plugin/image/reference.h \
	plugin/image/rootfs.c \
	plugin/image/rootfs.h \
	plugin/image/unicode.c \
	plugin/image/unicode.h \
	plugin/image/v1_image.c \
	plugin/image/v1_image.h

# Of base too, but apart: what is linked with the values does not need the decoders' libraries.
noinst_LIBRARIES += plugin/libdecode.a
plugin_libdecode_a_SOURCES = \
	plugin/base/decompress.c \
	plugin/base/decompress.h \
	plugin/base/gunzip.c \
	plugin/base/gunzip.h

# The rooms between "pull this reference" and the engine's callbacks.
noinst_LIBRARIES += plugin/libpull.a
plugin_libpull_a_SOURCES = \
	plugin/engine.c \
	plugin/engine.h \
	plugin/errors.c \
	plugin/image_pull.h \
	plugin/login.c \
	plugin/metadata.c \
	plugin/plan.c \
	plugin/pull.c \
	plugin/pull.h \
	plugin/pull_v2.c \
	plugin/pull_v2.h \
	plugin/pull_v2_image.c \
	plugin/registry/auth.c \
	plugin/registry/auth.h \
	plugin/registry/auth_token.c \
	plugin/registry/auth_token.h \
	plugin/registry/blob.c \
	plugin/registry/challenge.c \
	plugin/registry/challenge.h \
	plugin/registry/errcode.c \
	plugin/registry/errcode.h \
	plugin/registry/header.c \
	plugin/registry/header.h \
	plugin/registry/http.c \
	plugin/registry/http.h \
	plugin/registry/http_dns.c \
	plugin/registry/http_easy.c \
	plugin/registry/http_errors.c \
	plugin/registry/http_gate.c \
	plugin/registry/http_gunzip.c \
	plugin/registry/http_internal.h \
	plugin/registry/http_loop.c \
	plugin/registry/http_policy.c \
	plugin/registry/http_proxy.c \
	plugin/registry/http_tls.c \
	plugin/registry/http_trust.c \
	plugin/registry/http_x509.c \
	plugin/registry/notes.c \
	plugin/registry/notes.h \
	plugin/registry/repository.c \
	plugin/registry/repository.h \
	plugin/registry/repository_internal.h \
	plugin/registry/transport.c \
	plugin/registry/transport.h \
	plugin/schema1.c \
	plugin/xfer/buffers.c \
	plugin/xfer/download.c \
	plugin/xfer/download.h \
	plugin/xfer/fetch.c \
	plugin/xfer/fetch.h \
	plugin/xfer/layer.c \
	plugin/xfer/layer.h \
	plugin/xfer/partial.c \
	plugin/xfer/partial.h \
	plugin/xfer/progress.c \
	plugin/xfer/progress.h \
	plugin/xfer/register.c \
	plugin/xfer/ring.c \
	plugin/xfer/ring.h \
	plugin/xfer/spool.c \
	plugin/xfer/spool.h \
	plugin/xfer/stage.c \
	plugin/xfer/store.c \
	plugin/xfer/store.h \
	plugin/xfer/transfer.c \
	plugin/xfer/transfer.h

# The plugin: one exported symbol, no version in its name, never unloaded (libcurl and GnuTLS can't be).
plugin_LTLIBRARIES += image_pull.la
image_pull_la_SOURCES = \
	plugin/plugin.c \
	plugin/plugin.h \
	plugin/plugin_error.c
image_pull_la_LIBADD = $(PULL_LIBS)
image_pull_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete $(NO_UNDEFINED) \
	-Wl,--version-script=$(top_srcdir)/plugin/image_pull.map
EXTRA_image_pull_la_DEPENDENCIES = $(top_srcdir)/plugin/image_pull.map
if !SANITIZED
NO_UNDEFINED = -Wl,-z,defs
endif
include_HEADERS += plugin/image_pull.h

# A host wants the one .so; some (crun) fall over a .la beside it.
install-data-hook:
	rm -f $(DESTDIR)$(plugindir)/image_pull.la
uninstall-hook:
	rm -f $(DESTDIR)$(plugindir)/image_pull.so

EXTRA_DIST += plugin/image_pull.map
