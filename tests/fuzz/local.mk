# Fuzzing, by clang's libFuzzer: configure CC=clang --enable-fuzz --enable-asan --enable-ubsan, then
#	make fuzz [FUZZ="challenge pull"] [FUZZ_SECONDS=600]
# runs each target for so long (docs/fuzzing.md). Inputs come from corpus/, from the recorded pulls, and from earlier
# runs in fuzz-corpus/. make fuzz-plant proves that each target finds a bug that is planted for it, make fuzz-keep puts the
# smallest set of inputs that reaches all that was reached into corpus/.
FUZZ =
FUZZ_SECONDS = 600
FUZZ_SOURCES = \
	tests/fuzz/decompress.c \
	tests/fuzz/documents.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/headers.c \
	tests/fuzz/main.c \
	tests/fuzz/peek_blob.c \
	tests/fuzz/peek_plugin.c \
	tests/fuzz/peek_plugin_error.c \
	tests/fuzz/peek_repository.c \
	tests/fuzz/peek_token.c \
	tests/fuzz/peek_transport.c \
	tests/fuzz/pull.c \
	tests/fuzz/pull_image.c \
	tests/fuzz/pull_image.h \
	tests/fuzz/pull_server.c \
	tests/fuzz/pull_server.h \
	tests/fuzz/untar.c \
	tests/fuzz/values.c \
	tests/print_json.h \
	tests/conformance/pull_stores.c \
	tests/conformance/pull_stores.h \
	tests/conformance/table_io.c \
	tests/conformance/tables.h \
	tests/layer_fixture.c \
	tests/layer_fixture.h
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/plants.py tests/fuzz/run.py tests/fuzz/seeds.py

# The inputs that are kept, in every build.
check_PROGRAMS += tests/fuzz/replay
tests_fuzz_replay_SOURCES = $(FUZZ_SOURCES) tests/fuzz/replay.c
TESTS += tests/fuzz/replay tests/fuzz/plants.py

if ENABLE_FUZZ
EXTRA_PROGRAMS = tests/fuzz/fuzz
tests_fuzz_fuzz_SOURCES = $(FUZZ_SOURCES)
tests_fuzz_fuzz_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_RUN = CC='$(CC)' CFLAGS='$(DEFS) $(DEFAULT_INCLUDES) $(INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS)' \
	python3 $(top_srcdir)/tests/fuzz/run.py --source '$(abs_top_srcdir)' --build '$(abs_top_builddir)' --seconds $(FUZZ_SECONDS)
fuzz: tests/fuzz/fuzz
	$(FUZZ_RUN) run $(FUZZ)
fuzz-plant: tests/fuzz/fuzz
	$(FUZZ_RUN) plant $(FUZZ)
fuzz-keep: tests/fuzz/fuzz
	$(FUZZ_RUN) keep $(FUZZ)
else
fuzz fuzz-plant fuzz-keep:
	@echo "configure CC=clang --enable-fuzz --enable-asan --enable-ubsan, then this" >&2; exit 1
endif
.PHONY: fuzz fuzz-plant fuzz-keep
