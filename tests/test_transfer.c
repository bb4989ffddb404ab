/* SPDX-License-Identifier: Apache-2.0 */
/* xfer/transfer: slots, sharing, watchers, cancelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "xfer/transfer.h"

/* A piece of work that a test opens step by step. */
struct work {
	const char *name;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool go_inactive, go_end;                         /* set by the test */
	bool started, inactive, cancelled, failed, freed; /* set by the work */
	int result;
};

static void set(struct work *w, bool *flag)
{
	pthread_mutex_lock(&w->lock);
	*flag = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void await(struct work *w, bool *flag)
{
	pthread_mutex_lock(&w->lock);
	while (!*flag)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static bool get(struct work *w, bool *flag)
{
	bool r;

	pthread_mutex_lock(&w->lock);
	r = *flag;
	pthread_mutex_unlock(&w->lock);
	return r;
}

static void on_cancel(void *arg)
{
	struct work *w = arg;

	pthread_mutex_lock(&w->lock);
	w->cancelled = true;
	w->go_inactive = true;
	w->go_end = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void work_waiting(struct transfer *t, void *arg)
{
	struct work *w = arg;

	transfer_update(t, w->name, "Waiting");
}

static int work_run(struct transfer *t, void *arg)
{
	struct work *w = arg;
	struct cancel_watch watch;

	cancel_watch(transfer_context(t)->cancel, &watch, on_cancel, w);
	transfer_bytes(t, w->name, "Downloading", 1, 2, false);
	set(w, &w->started);
	await(w, &w->go_inactive);
	transfer_inactive(t);
	transfer_update(t, w->name, "Download complete");
	log_error(transfer_log(t), "log of %s", w->name);
	set(w, &w->inactive);
	await(w, &w->go_end);
	cancel_unwatch(&watch);
	return w->result;
}

static void work_fail(struct transfer *t, void *arg, struct error *err)
{
	struct work *w = arg;

	(void)t;
	assert_non_null(err);
	set(w, &w->failed);
}

static void work_free(void *arg)
{
	struct work *w = arg;

	set(w, &w->freed);
}

static const struct transfer_ops ops = {
	.waiting = work_waiting, .run = work_run, .fail = work_fail, .free = work_free};

static void work_init(struct work *w, const char *name)
{
	memset(w, 0, sizeof(*w));
	w->name = name;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
}

static void on_progress(void *arg, const struct progress *p)
{
	buf_appendf(arg, "%s %s %lld\n", p->id, p->action, (long long)p->current);
}

static void on_log(void *arg, enum log_level level, const char *text)
{
	(void)level;
	buf_appendf(arg, "%s\n", text);
}

static struct output *open_output(struct buf *b)
{
	struct output_handler h = {.progress = on_progress, .log = on_log, .arg = b};
	struct output *o = output_new(&h, NULL);

	assert_non_null(o);
	return o;
}

static struct watcher *add(
	struct transfer_manager *tm, struct work *w, struct output *o, bool expect_new)
{
	struct watcher *ret;
	bool is_new;

	assert_int_equal(
		transfer_manager_transfer(tm, w->name, &ops, w, o, &ret, &is_new, NULL), 0);
	assert_int_equal(is_new, expect_new);
	return ret;
}

static void await_done(struct watcher *w, struct output *o)
{
	while (!watcher_done(w))
		output_wait(o, 1000);
}

static void slots(void **state)
{
	struct transfer_manager *tm = transfer_manager_new(1, NULL);
	struct buf b = {0};
	struct output *o = open_output(&b);
	struct work w[3];
	struct watcher *h[3];
	const char *names[] = {"a", "b", "c"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		work_init(&w[i], names[i]);
		h[i] = add(tm, &w[i], o, true);
	}
	await(&w[0], &w[0].started);
	assert_false(get(&w[1], &w[1].started));
	output_pump(o);
	/* a has its slot at once, the others say that they wait */
	assert_non_null(strstr(b.data, "b Waiting 0\n"));
	assert_non_null(strstr(b.data, "c Waiting 0\n"));
	assert_null(strstr(b.data, "a Waiting"));
	set(&w[0], &w[0].go_inactive);
	await(&w[1], &w[1].started); /* the slot came back before the end */
	assert_false(get(&w[2], &w[2].started));
	transfer_manager_set_concurrency(tm, 2);
	await(&w[2], &w[2].started);
	for (int i = 0; i < 3; i++) {
		set(&w[i], &w[i].go_inactive);
		set(&w[i], &w[i].go_end);
	}
	for (int i = 0; i < 3; i++) {
		await_done(h[i], o);
		assert_false(get(&w[i], &w[i].freed));
		watcher_release(h[i]);
	}
	transfer_manager_free(tm);
	for (int i = 0; i < 3; i++) {
		assert_true(w[i].freed);
		assert_false(w[i].cancelled);
	}
	output_unref(o);
	buf_free(&b);
}

static void sharing(void **state)
{
	struct transfer_manager *tm = transfer_manager_new(3, NULL);
	struct buf b1 = {0}, b2 = {0};
	struct output *o1 = open_output(&b1), *o2 = open_output(&b2);
	struct work w, unused;
	struct watcher *h1, *h2;

	(void)state;
	work_init(&w, "a");
	work_init(&unused, "a");
	h1 = add(tm, &w, o1, true);
	await(&w, &w.started);
	h2 = add(tm, &unused, o2, false);
	assert_ptr_equal(watcher_arg(h2), &w);
	output_pump(o2);
	assert_string_equal(b2.data, "a Downloading 1\n"); /* the newest line, on joining */
	set(&w, &w.go_inactive);
	await(&w, &w.inactive);
	watcher_release(h1); /* the first pull is gone; the second goes on */
	assert_false(get(&w, &w.cancelled));
	output_pump(o1);
	output_pump(o2);
	assert_string_equal(b2.data, "a Downloading 1\na Download complete 0\n");
	assert_string_equal(
		b1.data, "a Downloading 1\na Download complete 0\nlog of a\n"); /* logged once */
	set(&w, &w.go_end);
	await_done(h2, o2);
	/* a good result can be joined as long as someone watches it */
	h1 = add(tm, &unused, o1, false);
	watcher_release(h2);
	assert_false(get(&w, &w.freed));
	watcher_release(h1);
	transfer_manager_free(tm);
	assert_true(w.freed);
	assert_false(unused.freed);
	output_unref(o1);
	output_unref(o2);
	buf_free(&b1);
	buf_free(&b2);
}

static void cancelling(void **state)
{
	struct transfer_manager *tm = transfer_manager_new(1, NULL);
	struct buf b = {0};
	struct output *o = open_output(&b);
	struct work a, waits, again, failing, after;
	struct watcher *ha, *hw, *hg, *hf;

	(void)state;
	work_init(&a, "a");
	work_init(&waits, "w");
	work_init(&again, "a");
	work_init(&failing, "f");
	work_init(&after, "f");
	ha = add(tm, &a, o, true);
	await(&a, &a.started);
	hw = add(tm, &waits, o, true);
	watcher_release(hw); /* never ran, freed at once */
	assert_true(get(&waits, &waits.freed));
	assert_false(get(&waits, &waits.started));
	watcher_release(ha);
	await(&a, &a.freed);
	assert_true(get(&a, &a.cancelled));
	/* a cancelled one is not joined; the slot is free again */
	hg = add(tm, &again, o, true);
	await(&again, &again.started);
	set(&again, &again.go_inactive);
	set(&again, &again.go_end);
	await_done(hg, o);
	watcher_release(hg);
	/* neither is a failed one, though someone watches it still */
	failing.result = -1;
	set(&failing, &failing.go_inactive);
	set(&failing, &failing.go_end);
	hf = add(tm, &failing, o, true);
	await_done(hf, o);
	hg = add(tm, &after, o, true);
	watcher_release(hg);
	watcher_release(hf);
	transfer_manager_free(tm);
	assert_true(after.freed && failing.freed && again.freed);
	output_unref(o);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots),
		cmocka_unit_test(sharing),
		cmocka_unit_test(cancelling),
	};

	return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
