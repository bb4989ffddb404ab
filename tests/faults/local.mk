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
