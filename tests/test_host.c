/* SPDX-License-Identifier: Apache-2.0 */
/* The reference host's own pieces: texts, platforms, JSON, options, the terminal. Go counterparts:
 * docker/go-units, containerd/platforms, pkg/jsonmessage. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "towline/cli.h"
#include "common/host.h"
#include "towline/json_text.h"
#include "towline/progress_bar.h"
#include "towline/text.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void expect_text(const char *in, const char *got, const char *want)
{
	if (!got || strcmp(got, want) != 0)
		fail_msg("%s\n   got: %s\n  want: %s", in, got ? got : "(null)", want);
}

/* ---- texts */

static void test_printable(void **state)
{
	static const struct {
		const char *in, *want, *line;
	} cases[] = {
		{"plain", "plain", "plain"},
		{"", "", ""},
		{"\033[2Jx", "\\x1b[2Jx", "\\x1b[2Jx"},
		{"a\nb", "a\\nb", "a; b"},
		{"errors:\ndenied: x\nunauthorized: y\n",
			"errors:\\ndenied: x\\nunauthorized: y\\n",
			"errors: denied: x; unauthorized: y"},
		{"\xc3\xa9\xe2\x82\xac", "\xc3\xa9\xe2\x82\xac", "\xc3\xa9\xe2\x82\xac"},
		{"\xc2\x9b", "\\xc2\\x9b", "\\xc2\\x9b"},               /* a C1 control: CSI */
		{"\xe2\x80\xae", "\\xe2\\x80\\xae", "\\xe2\\x80\\xae"}, /* turns text round */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
		{"\xc0\xaf\xff", "\\xc0\\xaf\\xff", "\\xc0\\xaf\\xff"},
		{"\xf0\x9f\x90", "\\xf0\\x9f\\x90", "\\xf0\\x9f\\x90"}, /* cut off */
		{"tab\tend\r\n", "tab\\tend\\x0d\\n", "tab end"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char *got = text_printable(cases[i].in, strlen(cases[i].in));
		char *line = text_one_line(cases[i].in);

		expect_text(cases[i].in, got, cases[i].want);
		expect_text(cases[i].in, line, cases[i].line);
		free(got);
		free(line);
	}
	assert_int_equal(text_columns("a\xc3\xa9z"), 3);
	assert_int_equal(text_cut("a\xc3\xa9z", 2), 3);
	assert_int_equal(text_cut("ab", 9), 2);
}

static void test_sizes(void **state)
{
	/* docker/go-units' own examples and neighbours */
	static const struct {
		double in;
		int precision;
		const char *want;
	} cases[] = {
		{0, 4, "0B"},
		{1, 4, "1B"},
		{1000, 4, "1kB"},
		{1024, 4, "1.024kB"},
		{1000000, 4, "1MB"},
		{1048576, 4, "1.049MB"},
		{2 * 1048576.0, 4, "2.097MB"},
		{3.42 * 1e9, 4, "3.42GB"},
		{5.372 * 1e12, 4, "5.372TB"},
		{2.22 * 1e15, 4, "2.22PB"},
		{999.5, 4, "999.5B"},
		{4223212, 3, "4.22MB"},
		{64000000, 3, "64MB"},
		{123456789, 3, "123MB"},
		{9223372036854775807.0, 4, "9.223EB"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char got[TEXT_SIZE_MAX];

		text_human_size(cases[i].in, cases[i].precision, got);
		expect_text("a size", got, cases[i].want);
	}
}

static void test_durations(void **state)
{
	static const struct {
		int64_t in;
		const char *want;
	} cases[] = {
		{-5, "Less than a second"},
		{0, "Less than a second"},
		{1, "1 second"},
		{45, "45 seconds"},
		{60, "About a minute"},
		{119, "About a minute"},
		{120, "2 minutes"},
		{59 * 60, "59 minutes"},
		{60 * 60, "About an hour"},
		{89 * 60, "About an hour"},
		{90 * 60, "2 hours"},
		{47 * 3600, "47 hours"},
		{48 * 3600, "2 days"},
		{13 * 86400, "13 days"},
		{14 * 86400, "2 weeks"},
		{35 * 86400, "5 weeks"},
		{60 * 86400, "2 months"},
		{365 * 86400LL, "12 months"},
		{2 * 365 * 86400LL, "2 years"},
		{10 * 365 * 86400LL, "10 years"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char got[TEXT_DURATION_MAX];

		text_human_duration(cases[i].in, got);
		expect_text("a duration", got, cases[i].want);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *in;
		int ret;
		int64_t want;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2019-06-01T10:00:00Z", 0, 1559383200},
		{"2019-06-01T10:00:00.123456789Z", 0, 1559383200},
		{"2019-06-01T12:00:00+02:00", 0, 1559383200},
		{"2019-06-01T07:30:00-02:30", 0, 1559383200},
		{"", -1, 0},
		{"yesterday", -1, 0},
		{"2019-06-01T10:00:00", -1, 0},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		int64_t got = 0;
		int ret = text_parse_time(cases[i].in, &got);

		if (ret != cases[i].ret || got != cases[i].want)
			fail_msg("%s: %d %lld", cases[i].in, ret, (long long)got);
	}
}

/* ---- platforms */

static void test_platforms(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: refused */
	} cases[] = {
		{"linux/amd64", "linux/amd64/"},
		{"Linux/AMD64", "linux/amd64/"},
		{"linux/x86_64", "linux/amd64/"},
		{"linux/i386", "linux/386/"},
		{"linux/aarch64", "linux/arm64/"},
		{"linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm64/8", "linux/arm64/v8"},
		{"linux/arm", "linux/arm/"},
		{"linux/armhf", "linux/arm/"},
		{"linux/armel", "linux/arm/v6"},
		{"linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/7", "linux/arm/v7"},
		{"linux/arm/6", "linux/arm/v6"},
		{"windows/amd64", "windows/amd64/"},
		{"macos/arm64", "darwin/arm64/"},
		{"arm64", "linux/arm64/"},
		{"s390x", "linux/s390x/"},
		{"plan10/amd64", "plan10/amd64/"}, /* two words are taken at their word */
		{"", NULL},
		{"plan10", NULL},
		{"linux/", NULL},
		{"/amd64", NULL},
		{"linux//v8", NULL},
		{"linux/arm64/v8/x", NULL},
		{"linux/arm 64", NULL},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct host_platform p = {.texts = {NULL}};
		struct towline_text text;
		char got[256];
		int code;

		towline_text_init(&text);
		code = host_platform_parse(&p, cases[i].in, &text.sink);
		if (code != IMAGE_PULL_OK) {
			if (code != IMAGE_PULL_INVALID || cases[i].want || !text.message)
				fail_msg("%s: refused: %s", cases[i].in,
					towline_text_message(&text, code));
			towline_text_free(&text);
			continue;
		}
		snprintf(got, sizeof(got), "%s/%s/%s", p.platform.os, p.platform.architecture,
			p.platform.variant);
		expect_text(cases[i].in, got, cases[i].want ? cases[i].want : "(refused)");
		host_platform_free(&p);
		towline_text_free(&text);
	}
}

/* ---- JSON */

static char *indented(const char *in, size_t n)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	json_indented(out, in, n, 4);
	fclose(out);
	return text;
}

static void test_json_texts(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""},
		{"\"\x01\x7f\n\"", "\"\\u0001\\u007f\\u000a\""},
		{"\"\xc2\x9b\xff\xe2\x82\"", "\"\\u009b\\ufffd\\ufffd\\ufffd\""},
		{"{\"a\":[1,2],\"b\":{},\"c\":[]}",
			"{\n        \"a\": [\n            1,\n            2\n        ],\n"
			"        \"b\": {},\n        \"c\": []\n    }"},
		{"\"a,b:{\\\"}\"", "\"a,b:{\\\"}\""},
		{" null ", "null"},
		/* not JSON: nothing is read outside it */
		{"{\"a", "{\n        \"a"},
		{"]]]", "\n    ]\n    ]\n    ]"},
		{"\"\\", "\"\\"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		/* In memory of its exact size, so that a sanitizer sees a byte too much. */
		size_t size = strlen(cases[i].in);
		char *in = malloc(size);
		char *got;

		assert_non_null(in);
		memcpy(in, cases[i].in, size);
		got = indented(in, size);
		expect_text(cases[i].in, got, cases[i].want);
		free(got);
		free(in);
	}
}

/* ---- options */

static void test_options(void **state)
{
	static const struct {
		const char *words; /* between spaces */
		int status;
		bool flag;
		const char *value;
		int nargs;
	} cases[] = {
		{"c x", CLI_OK, false, "", 1},
		{"c --flag x", CLI_OK, true, "", 1},
		{"c x -f --value v", CLI_OK, true, "v", 1},
		{"c --value=v=w x", CLI_OK, false, "v=w", 1},
		{"c --value --flag x", CLI_OK, false, "--flag", 1},
		{"c -- --flag", CLI_OK, false, "", 1},
		{"c - x", CLI_OK, false, "", 2},
		{"c --value", CLI_USAGE, false, "", 0},
		{"c --flag=1 x", CLI_USAGE, false, "", 0},
		{"c --fla x", CLI_USAGE, false, "", 0},
		{"c -fx", CLI_USAGE, false, "", 0},
		{"c", CLI_USAGE, false, "", 0},
		{"c a b c", CLI_USAGE, false, "", 0},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		bool flag = false;
		const char *value = "";
		const struct cli_option options[] = {
			{.name = "flag", .letter = 'f', .flag = &flag},
			{.name = "value", .value = &value},
		};
		char *words = strdup(cases[i].words);
		char *argv[16];
		int argc = 0, nargs = 0, status;

		assert_non_null(words);
		for (char *w = words; w && argc < 15;)
			argv[argc++] = strsep(&w, " ");
		argv[argc] = NULL;
		status = cli_parse_command(options, 2, 1, 2, argc, argv, &nargs);
		if (status != cases[i].status ||
			(status == CLI_OK && (flag != cases[i].flag || nargs != cases[i].nargs ||
						     strcmp(value, cases[i].value) != 0)))
			fail_msg("%s: status %d, flag %d, value %s, %d words", cases[i].words,
				status, flag, value, nargs);
		free(words);
	}
}

/* ---- the terminal: what is on the screen after the updates, by a little terminal of our own */

#define ROWS 64
#define COLUMNS 160

struct screen {
	char cells[ROWS][COLUMNS + 1];
	size_t row, column, used;
	bool coloured, left_coloured;
	bool scrolled_out; /* the cursor was sent above the first row */
};

static void screen_feed(struct screen *s, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\r') {
			s->column = 0;
		} else if (data[i] == '\n') {
			s->row++;
			s->column = 0;
			assert_true(s->row < ROWS);
		} else if (data[i] == '\033') {
			unsigned long n = strtoul(data + i + 2, NULL, 10);

			for (i += 2; data[i] >= '0' && data[i] <= '9'; i++)
				;
			if (data[i] == 'A') {
				s->scrolled_out |= n > s->row;
				s->row -= n > s->row ? s->row : n;
			} else if (data[i] == 'm') {
				s->coloured |= n > 0;
				s->left_coloured = n > 0;
			} else if (data[i] == 'K') {
				memset(s->cells[s->row] + s->column, 0, COLUMNS - s->column);
			} else if (data[i] == 'J') {
				memset(s->cells[s->row] + s->column, 0, COLUMNS - s->column);
				for (size_t r = s->row + 1; r < ROWS; r++)
					memset(s->cells[r], 0, COLUMNS);
			} else {
				fail_msg("the screen does not know ESC [ %c", data[i]);
			}
		} else {
			assert_true(s->column < COLUMNS);
			s->cells[s->row][s->column++] = data[i];
		}
		if (s->row > s->used)
			s->used = s->row;
	}
}

/* All that was written to the slave so far: up to a bell that is sent behind it. */
static void screen_read(struct screen *s, int master, int slave)
{
	char data[65536];
	size_t size = 0;

	assert_int_equal(write(slave, "\a", 1), 1);
	while (size == 0 || data[size - 1] != '\a') {
		struct pollfd wait = {.fd = master, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&wait, 1, 10000), 1);
		n = read(master, data + size, sizeof(data) - 1 - size);
		assert_true(n > 0);
		size += (size_t)n;
	}
	data[size - 1] = '\0';
	screen_feed(s, data, size - 1);
}

/* A pair of terminal ends of that size; output is not changed on its way. */
static void terminal(unsigned short rows, unsigned short columns, int *ret_master, int *ret_slave)
{
	struct winsize size = {.ws_row = rows, .ws_col = columns};
	struct termios raw;

	if (openpty(ret_master, ret_slave, NULL, NULL, &size) < 0)
		fail_msg("openpty: %d", errno);
	assert_int_equal(tcgetattr(*ret_slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(*ret_slave, TCSANOW, &raw), 0);
}

static void update(struct progress_bar *bar, const char *id, const char *message,
	const char *action, int64_t current, int64_t total)
{
	const struct image_pull_progress p = {
		.struct_size = sizeof(p),
		.id = id,
		.message = message,
		.action = action,
		.current = current,
		.total = total,
	};

	assert_int_equal(progress_bar_update(bar, &p), 0);
}

/* At any speed, the screen ends as Docker leaves it: each layer's last line once, in its place. */
static void test_bar_ends_as_docker(void **state)
{
	static const char *const want[] = {
		"latest: Pulling from library/x",
		"aaaaaaaaaaaa: Pull complete",
		"bbbbbbbbbbbb: Already exists",
		"cccccccccccc: Retrying in 1 second",
		"Digest: sha256:1",
		"Status: Downloaded newer image for x:latest",
	};
	struct screen screen = {0};
	struct progress_bar *bar;
	int master, slave;

	(void)state;
	terminal(24, 80, &master, &slave);
	bar = progress_bar_new(slave, false);
	assert_non_null(bar);
	update(bar, "latest", "Pulling from library/x", "", 0, 0);
	update(bar, "aaaaaaaaaaaa", "", "Pulling fs layer", 0, 0);
	update(bar, "bbbbbbbbbbbb", "", "Already exists", 0, 0);
	update(bar, "cccccccccccc", "", "Waiting", 0, 0);
	usleep(100000);
	update(bar, "aaaaaaaaaaaa", "", "Downloading", 500000, 2000000);
	screen_read(&screen, master, slave);
	expect_text("while it runs", screen.cells[1], "aaaaaaaaaaaa: Downloading    500kB/2MB");
	expect_text("while it runs", screen.cells[2], "bbbbbbbbbbbb: Already exists");
	assert_non_null(strstr(screen.cells[4], "Total: 1/3 layers  500kB/2MB+"));
	update(bar, "aaaaaaaaaaaa", "", "Pull complete", 0, 0);
	update(bar, "cccccccccccc", "", "Retrying in 1 second", 0, 0);
	update(bar, "", "Digest: sha256:1", "", 0, 0);
	update(bar, "", "Status: Downloaded newer image for x:latest", "", 0, 0);
	assert_int_equal(progress_bar_finish(bar), 0);
	screen_read(&screen, master, slave);
	for (size_t i = 0; i < N(want); i++)
		expect_text("at the end", screen.cells[i], want[i]);
	expect_text("after the end", screen.cells[N(want)], "");
	assert_false(screen.scrolled_out);
	close(master);
	close(slave);
}

/* More layers than rows: nothing is drawn above the screen's first row, and all are there at the
 * end. */
static void test_bar_small_screen(void **state)
{
	struct screen screen = {0};
	struct progress_bar *bar;
	char id[32], want[64];
	int master, slave;

	(void)state;
	terminal(10, 40, &master, &slave);
	bar = progress_bar_new(slave, false);
	assert_non_null(bar);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 30; i++) {
			snprintf(id, sizeof(id), "layer%07d", i);
			update(bar, id, "", i < 28 ? "Waiting" : "Downloading",
				i < 28 ? 0 : 1000 * (round + 1), i < 28 ? 0 : 5000);
		}
		usleep(100000);
		assert_int_equal(progress_bar_tick(bar), 0);
		screen_read(&screen, master, slave);
		assert_true(screen.used < 10);
	}
	expect_text(
		"a busy one is shown", screen.cells[6], "layer0000029: Downloading      3kB/5kB");
	expect_text("the others are counted", screen.cells[7], "(and 23 more layers)");
	assert_int_equal(progress_bar_finish(bar), 0);
	screen_read(&screen, master, slave);
	for (int i = 0; i < 28; i++) {
		snprintf(want, sizeof(want), "layer%07d: Waiting", i);
		expect_text("at the end", screen.cells[i], want);
	}
	assert_false(screen.scrolled_out);
	close(master);
	close(slave);
}

/* Colours change no text, and no row hands its colour to the next; where there is no room the total
 * says less. */
static void test_bar_colours(void **state)
{
	static const struct {
		unsigned short columns;
		const char *total;
	} cases[] = {
		{80, "Total: 1/3 layers  500kB/2MB"},
		{28, "1/3  500kB/2MB"},
		{14, "1/3  25%"},
	};

	(void)state;
	for (size_t i = 0; i < 2 * N(cases); i++) {
		const char *total = cases[i / 2].total;
		bool colours = i % 2;
		struct screen screen = {0};
		struct progress_bar *bar;
		int master, slave;

		terminal(24, cases[i / 2].columns, &master, &slave);
		bar = progress_bar_new(slave, colours);
		assert_non_null(bar);
		update(bar, "a", "", "Already exists", 0, 0);
		update(bar, "b", "", "Downloading", 500000, 2000000);
		update(bar, "c", "", "Download complete", 0, 0);
		usleep(100000);
		assert_int_equal(progress_bar_tick(bar), 0);
		screen_read(&screen, master, slave);
		if (strncmp(screen.cells[3], total, strlen(total)) != 0)
			fail_msg("%u columns: \"%s\" is not \"%s\"", cases[i / 2].columns,
				screen.cells[3], total);
		assert_int_equal(screen.coloured, colours);
		assert_false(screen.left_coloured);
		expect_text("a row", screen.cells[0],
			cases[i / 2].columns > 17 ? "a: Already exists" : "a: Already ex");
		assert_int_equal(progress_bar_finish(bar), 0);
		close(master);
		close(slave);
	}
}

/* Rows never wrap, and a stranger's text moves no cursor. */
static void test_bar_hostile(void **state)
{
	struct screen screen = {0};
	struct progress_bar *bar;
	char longish[500];
	int master, slave;

	(void)state;
	memset(longish, 'x', sizeof(longish) - 1);
	longish[sizeof(longish) - 1] = '\0';
	terminal(24, 120, &master, &slave);
	bar = progress_bar_new(slave, false);
	assert_non_null(bar);
	update(bar, "id", "", longish, 1, 2);
	usleep(100000);
	update(bar, "\033[5A", "", "\033[2J\n", 0, 0);
	screen_read(&screen, master, slave);
	assert_int_equal(strlen(screen.cells[0]), 119);
	expect_text("escaped", screen.cells[1], "\\x1b[5A: \\x1b[2J\\n");
	update(bar, "id", "", "Downloading", 50, 100);
	usleep(100000);
	assert_int_equal(progress_bar_tick(bar), 0);
	screen_read(&screen, master, slave);
	expect_text("a wide terminal has bars", screen.cells[0],
		"id: Downloading [=========================>                         ]      "
		"50B/100B");
	/* The terminal goes away. */
	close(master);
	usleep(100000);
	{
		const struct image_pull_progress p = {
			.struct_size = sizeof(p), .id = "", .message = "x", .action = ""};

		assert_int_equal(progress_bar_update(bar, &p), -1);
	}
	(void)progress_bar_finish(bar); /* fails too: all that matters is that it ends */
	close(slave);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_platforms),
		cmocka_unit_test(test_json_texts),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_bar_ends_as_docker),
		cmocka_unit_test(test_bar_small_screen),
		cmocka_unit_test(test_bar_colours),
		cmocka_unit_test(test_bar_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
