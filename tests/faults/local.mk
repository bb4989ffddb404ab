# Faults: what must hold after any of them. make check runs a short form, make faults the long one (CONTRIBUTING).
check_LTLIBRARIES += tests/faults/strike.la
tests_faults_strike_la_SOURCES = tests/faults/strike.c tests/faults/strike.h
tests_faults_strike_la_CFLAGS = -std=gnu11 -fPIC -fvisibility=hidden $(WARN_CFLAGS)
tests_faults_strike_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_faults_strike_la_LIBADD = -ldl

check_PROGRAMS += tests/faults/pull_host
tests_faults_pull_host_SOURCES = tests/faults/pull_host.c tests/fakes/fail_malloc.c tests/fakes/fail_malloc.h
tests_faults_pull_host_LDADD = engines/libcommon.a libtowline.la -ldl

TESTS += tests/faults/faults.py
EXTRA_DIST += tests/faults/faults.py tests/faults/proxy.py
faults: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) python3 $(top_srcdir)/tests/faults/faults.py --long
.PHONY: faults

# Many pulls in one process: make check runs a short form, make soak the long one; with --enable-tsan it looks for races.
check_PROGRAMS += tests/faults/crowd
tests_faults_crowd_SOURCES = tests/faults/crowd.c
tests_faults_crowd_LDADD = engines/libcommon.a libtowline.la
TESTS += tests/faults/soak.py
EXTRA_DIST += tests/faults/soak.py tests/faults/tsan.supp
soak: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) python3 $(top_srcdir)/tests/faults/soak.py --long
.PHONY: soak
