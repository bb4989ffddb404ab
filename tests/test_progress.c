/* SPDX-License-Identifier: Apache-2.0 */
/* xfer/progress: order, nothing lost, bounded byte counts, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "xfer/progress.h"

static void on_progress(void *arg, const struct progress *p)
{
	struct buf *b = arg;

	buf_appendf(b, "%s|%s|%s|%lld/%lld%s\n", p->id, p->message, p->action,
		(long long)p->current, (long long)p->total, p->last_update ? " last" : "");
}

static void on_log(void *arg, enum log_level level, const char *text)
{
	buf_appendf(arg, "log %d %s\n", (int)level, text);
}

static struct output *open_output(struct buf *b)
{
	struct output_handler h = {.progress = on_progress, .log = on_log, .arg = b};
	struct output *o = output_new(&h, NULL);

	assert_non_null(o);
	return o;
}

static void order(void **state)
{
	struct buf b = {0};
	struct output *o = open_output(&b);

	(void)state;
	progress_message(o, "v1", "Pulling from a/b");
	progress_bytes(o, "one", "Downloading", 1, 100, false);
	progress_bytes(o, "two", "Downloading", 1, 50, false);
	progress_bytes(o, "one", "Downloading", 60, 100, false);
	log_error(output_log(o), "Download failed, retrying: %s", "EOF");
	progress_bytes(o, "one", "Downloading", 100, 100, true);
	progress_updatef(o, "one", "Retrying in %d second%s", 1, "");
	progress_bytes(o, "one", "Downloading", 5, 40, false);
	progress_bytes(o, "one", "Extracting", 5, 40, false);
	progress_bytes(o, "one", "Downloading", 6, 40, false);
	assert_null(b.data); /* nothing runs before the pump */
	output_pump(o);
	assert_string_equal(b.data, "v1|Pulling from a/b||0/0\n"
				    "one||Downloading|100/100 last\n"
				    "two||Downloading|1/50\n"
				    "log 0 Download failed, retrying: EOF\n"
				    "one||Retrying in 1 second|0/0\n"
				    "one||Downloading|5/40\n"
				    "one||Extracting|5/40\n"
				    "one||Downloading|6/40\n");
	buf_reset(&b);
	/* what was taken is not overwritten */
	progress_bytes(o, "one", "Downloading", 7, 40, false);
	output_pump(o);
	assert_string_equal(b.data, "one||Downloading|7/40\n");
	output_unref(o);
	buf_free(&b);
}

static void closed(void **state)
{
	struct buf b = {0};
	struct output *o = open_output(&b);

	(void)state;
	progress_update(o, "x", "Waiting");
	output_close(o);
	progress_update(o, "x", "Waiting");
	progress_bytes(o, "x", "Downloading", 1, 2, false);
	log_info(output_log(o), "late");
	output_pump(o);
	assert_null(b.data);
	output_unref(o);
}

#define LINES 2000
static void *writer(void *arg)
{
	void **a = arg;
	struct output *o = a[0];
	const char *id = a[1];

	for (int i = 0; i < LINES; i++) {
		progress_updatef(o, id, "%d", i);
		progress_bytes(o, id, "Downloading", i, LINES, false);
	}
	output_wake(o);
	return NULL;
}

struct seen {
	int next[2];
	long long bytes[2];
};

static void check_order(void *arg, const struct progress *p)
{
	struct seen *s = arg;
	int i = p->id[0] - 'a';

	if (strcmp(p->action, "Downloading") == 0) {
		assert_true(p->current >= s->bytes[i]);
		s->bytes[i] = p->current;
		return;
	}
	assert_int_equal(atoi(p->action), s->next[i]);
	s->next[i]++;
}

static void threads(void **state)
{
	struct seen s = {.bytes = {-1, -1}};
	struct output_handler h = {.progress = check_order, .arg = &s};
	struct output *o = output_new(&h, NULL);
	void *args[2][2] = {{o, "a"}, {o, "b"}};
	pthread_t t[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&t[i], 64 * 1024, writer, args[i], NULL), 0);
	while (s.bytes[0] < LINES - 1 || s.bytes[1] < LINES - 1)
		output_wait(o, 1000);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	output_pump(o);
	assert_int_equal(s.next[0], LINES);
	assert_int_equal(s.next[1], LINES);
	output_unref(o);
}

/* Without a wake this would wait for an hour. */
static void wake(void **state)
{
	struct buf b = {0};
	struct output *o = open_output(&b);

	(void)state;
	output_wake(o);
	output_wait(o, 3600 * 1000);
	assert_null(b.data);
	progress_update(o, "x", "Waiting");
	output_wait(o, 3600 * 1000);
	assert_string_equal(b.data, "x||Waiting|0/0\n");
	output_wait(o, 1); /* nothing: the time ends it */
	output_unref(o);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(closed),
		cmocka_unit_test(threads),
		cmocka_unit_test(wake),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
