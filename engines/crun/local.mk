# crun's handler: one plain file that needs libc alone, without a .la beside it (crun loads whatever is in that folder),
# and the module that it loads for annotated containers.
crunhandlers_PROGRAMS = engines/crun/towline_crun.so
engines_crun_towline_crun_so_SOURCES = engines/crun/adapter.h engines/crun/handler.c
engines_crun_towline_crun_so_LINK = $(CCLD) $(AM_CFLAGS) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,now -o $@
engines_crun_towline_crun_so_LDADD =

plugin_LTLIBRARIES += crun_pull.la
crun_pull_la_SOURCES = engines/crun/adapter.h engines/crun/definition.c engines/crun/pull.c
crun_pull_la_LIBADD = engines/libcommon.a libtowline.la $(YAJL_LIBS)
crun_pull_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete $(NO_UNDEFINED)

dist_man_MANS += docs/towline-crun.7
EXTRA_DIST += docs/crun.md debian/towline-crun.docs debian/towline-crun.install
