# towline-serve: Docker Engine's API. towline execs it, and needs no HTTP server for that.
if HAVE_SERVE
pkglibexec_PROGRAMS += towline-serve
towline_serve_SOURCES = \
	engines/dockerapi/images.c \
	engines/dockerapi/main.c \
	engines/dockerapi/pull.c \
	engines/dockerapi/router.c \
	engines/dockerapi/serve.h \
	engines/dockerapi/system.c
towline_serve_CFLAGS = $(AM_CFLAGS) $(MICROHTTPD_CFLAGS)
towline_serve_LDADD = engines/libcommon.a libtowline.la $(MICROHTTPD_LIBS)

dist_systemdsystemunit_DATA = engines/dockerapi/towline.socket
nodist_systemdsystemunit_DATA = engines/dockerapi/towline.service
CLEANFILES += engines/dockerapi/towline.service
engines/dockerapi/towline.service: $(top_srcdir)/engines/dockerapi/towline.service.in Makefile
	$(MKDIR_P) engines/dockerapi
	$(SED) 's|@bindir[@]|$(bindir)|' $(top_srcdir)/engines/dockerapi/towline.service.in >$@
endif
EXTRA_DIST += engines/dockerapi/towline.service.in
