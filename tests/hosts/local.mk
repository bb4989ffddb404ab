# Hosts that know image_pull.h and nothing else, and a test of the whole pull that knows little more.
check_PROGRAMS += tests/hosts/border_host tests/hosts/plain_host tests/hosts/staging_host
HOST_CPPFLAGS = -I$(top_srcdir)/plugin
HOST_CFLAGS = $(AM_CFLAGS) -Wno-unused-parameter
HOST_LDADD = $(GCRYPT_LIBS) -ldl
tests_hosts_border_host_SOURCES = tests/hosts/border_host.c
tests_hosts_border_host_CPPFLAGS = $(HOST_CPPFLAGS)
tests_hosts_border_host_CFLAGS = $(HOST_CFLAGS)
tests_hosts_border_host_LDADD = $(HOST_LDADD)
tests_hosts_plain_host_SOURCES = tests/hosts/plain_host.c
tests_hosts_plain_host_CPPFLAGS = $(HOST_CPPFLAGS)
tests_hosts_plain_host_CFLAGS = $(HOST_CFLAGS)
tests_hosts_plain_host_LDADD = $(HOST_LDADD)
tests_hosts_staging_host_SOURCES = tests/hosts/staging_host.c
tests_hosts_staging_host_CPPFLAGS = $(HOST_CPPFLAGS)
tests_hosts_staging_host_CFLAGS = $(HOST_CFLAGS)
tests_hosts_staging_host_LDADD = $(HOST_LDADD)
TESTS += tests/hosts/hosts.py tests/hosts/page.py
EXTRA_DIST += tests/hosts/hosts.py tests/hosts/page.py
if HAVE_CMOCKA
TESTS += tests/test_login tests/test_pull tests/test_pull_guest tests/test_sizes
check_PROGRAMS += tests/test_login tests/test_pull tests/test_pull_guest tests/test_sizes
tests_test_sizes_SOURCES = tests/fakes/fake_engine.c tests/fakes/fake_engine.h tests/test_sizes.c
tests_test_login_SOURCES = \
	tests/fakes/fake_engine.c \
	tests/fakes/fake_engine.h \
	tests/http_server.c \
	tests/http_server.h \
	tests/test_login.c
PULL_FIXTURE = \
	tests/fakes/fake_engine.c \
	tests/fakes/fake_engine.h \
	tests/fakes/fake_registry.c \
	tests/fakes/fake_registry.h \
	tests/pull_fixture.c \
	tests/pull_fixture.h
tests_test_pull_SOURCES = tests/test_pull.c $(PULL_FIXTURE)
tests_test_pull_guest_SOURCES = tests/test_pull_guest.c $(PULL_FIXTURE)
endif
