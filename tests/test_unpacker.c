/* SPDX-License-Identifier: Apache-2.0 */
/* The confined unpacker's watchdog, with unpackers that hang, and one that is only slow: this
 * program itself, by other names. What else it may do wrong is in tests/integration/confine.py. */
#include "config.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layer_fixture.h"
#include "record.h"
#include "tar_reader.h"
#include "unpacker.h"

#include <cmocka.h>

#define STALL_MS 800
#define STEP_MS 80

/* ---- the unpackers */

static void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

static void put(uint32_t type, const void *data, uint32_t size)
{
	const struct record_head head = {type, size};

	if (write(STDOUT_FILENO, &head, sizeof(head)) != sizeof(head) ||
		(size && write(STDOUT_FILENO, data, size) != (ssize_t)size))
		_exit(1);
}

static void read_all(void)
{
	char piece[4096];

	while (read(STDIN_FILENO, piece, sizeof(piece)) > 0)
		;
}

/* Ends if this is one of them. */
static void be_unpacker(const char *name)
{
	static const char zeros[512];

	if (strcmp(name, "silent") == 0) {
		read_all();
		sleep_ms(600000);
	} else if (strcmp(name, "deaf") == 0) {
		sleep_ms(600000);
	} else if (strcmp(name, "halting") == 0) {
		put(RECORD_LITERAL, zeros, sizeof(zeros));
		read_all();
		sleep_ms(600000);
	} else if (strcmp(name, "slow") == 0) {
		read_all();
		for (unsigned i = 0; i < 2 * STALL_MS / STEP_MS; i++) {
			put(RECORD_LITERAL, zeros, sizeof(zeros));
			sleep_ms(STEP_MS);
		}
		put(RECORD_END, NULL, 0);
	} else {
		return;
	}
	_exit(0);
}

/* ---- who runs them */

struct run {
	int answer; /* of the first call of next */
	char *message;
	bool source_failed;
};

/* slow_ms: the reader takes so long for its first bytes. */
struct reader {
	struct memory_reader memory;
	unsigned slow_ms;
};

static int64_t slow_next(void *context, const void **data)
{
	struct reader *r = context;

	sleep_ms(r->slow_ms);
	r->slow_ms = 0;
	*data = r->memory.data + r->memory.at;

	int64_t n = (int64_t)(r->memory.size - r->memory.at);

	r->memory.at = r->memory.size;
	return n;
}

static struct run run(const char *name, unsigned slow_ms)
{
	static const char blob[1 << 20];
	char self[PATH_MAX] = "";
	char *dir = temp_make();
	cleanup_free char *program = str_printf("%s/%s", dir, name);
	struct reader reader = {.slow_ms = slow_ms};
	struct unpacker_options options = {.program = program, .tar = true, .stall_ms = STALL_MS};
	struct error *err = NULL;
	struct tar_entry entry;
	struct unpacker *u;
	struct run ret = {0};

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_int_equal(symlink(self, program), 0);
	memory_reader_init(&reader.memory, blob, sizeof(blob));
	reader.memory.reader.context = &reader;
	reader.memory.reader.next = slow_next;
	options.reader = &reader.memory.reader;
	assert_int_equal(unpacker_new(&options, &u, &err), 0);

	const struct tar_members *m = unpacker_members(u);

	m->keep(m->arg, NULL);
	ret.answer = m->next(m->arg, &entry, &err);
	ret.source_failed = m->source_failed(m->arg);
	ret.message = strdup(err ? err->message : "");
	error_unref(err);
	unpacker_free(u);
	memory_reader_done(&reader.memory);
	temp_remove(dir);
	return ret;
}

static void test_watchdog(void **state)
{
	static const struct {
		const char *name;
		unsigned slow_ms;
		int answer;
		const char *message;
	} cases[] = {
		{"silent", 0, -1, "the unpacker does not answer"},
		{"deaf", 0, -1, "the unpacker does not answer"},
		{"halting", 0, -1, "the unpacker does not answer"},
		/* in all it takes twice as long as it may do nothing */
		{"slow", 0, 0, ""},
		/* and so does the reader, which is another's business */
		{"slow", 2 * STALL_MS, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run r = run(cases[i].name, cases[i].slow_ms);

		if (r.answer != cases[i].answer || strcmp(r.message, cases[i].message) != 0)
			fail_msg("%s, %u ms: %d '%s'", cases[i].name, cases[i].slow_ms, r.answer,
				r.message);
		assert_false(r.source_failed);
		free(r.message);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watchdog),
	};

	if (argc > 1)
		be_unpacker(basename(argv[0]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
