# Unit tests: one program for each room, table-driven, cmocka.
if HAVE_CMOCKA
TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/compat -I$(top_srcdir)/tests -DSRCDIR='"$(abs_top_srcdir)"'
TEST_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
endif
UNIT_TESTS = $(filter tests/test_%,$(TESTS))

# What holds for the whole house.
TESTS += tests/house/abi.sh tests/house/floors.py
EXTRA_DIST += tests/adversarial tests/conformance tests/house tests/vectors
