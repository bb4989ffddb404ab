# Fuzzing, by clang's libFuzzer: configure CC=clang --enable-fuzz --enable-asan --enable-ubsan, then make fuzz.
# FUZZ_SECONDS: for each target. Seeds are made from the recorded pulls; what is found new is kept in fuzz-corpus/.
FUZZ_TARGETS = tests/fuzz/fuzz_text tests/fuzz/fuzz_decompress tests/fuzz/fuzz_untar
FUZZ_SECONDS = 600
EXTRA_DIST += tests/fuzz/seeds.py
if ENABLE_FUZZ
EXTRA_PROGRAMS = $(FUZZ_TARGETS)
FUZZ_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_text_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_text.c
tests_fuzz_fuzz_text_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_decompress_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_decompress.c
tests_fuzz_fuzz_decompress_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_untar_SOURCES = tests/fuzz/fuzz.h tests/fuzz/fuzz_untar.c tests/layer_fixture.c tests/layer_fixture.h
tests_fuzz_fuzz_untar_LDFLAGS = $(FUZZ_LDFLAGS)
fuzz: $(FUZZ_TARGETS)
	python3 $(top_srcdir)/tests/fuzz/seeds.py $(top_srcdir)/tests/vectors fuzz-corpus
	for target in $(FUZZ_TARGETS); do \
		$$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -timeout=20 -rss_limit_mb=1024 -max_len=65536 \
			fuzz-corpus/$${target##*/} || exit 1; done
else
fuzz:
	@echo "configure CC=clang --enable-fuzz --enable-asan --enable-ubsan, then this" >&2; exit 1
endif
.PHONY: fuzz
