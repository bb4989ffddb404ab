/* SPDX-License-Identifier: Apache-2.0 */
/* A pull on a terminal: one live line for each layer, and a total. Go counterpart: pkg/jsonmessage.
 *
 * Docker moves the cursor to a layer's line for each update. Here the block of lines is drawn anew,
 * at most some ten times a second and by one write: nothing flickers, a slow terminal does not slow
 * the pull down, and more layers than the screen has rows do no harm (those that are busy are
 * shown). A line that is no layer's ends the block, as in Docker: it stays on the screen. Colours
 * say again what the words say: nothing is lost without them. */
#include "config.h"

#include "progress_bar.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MS 80
#define RATE_MS 3000 /* the total's rate is of the last so many milliseconds */
#define RATE_SAMPLES 32
#define DIM "\033[2m"
#define CYAN "\033[36m"
#define GREEN "\033[32m"
#define BOLD "\033[1m"
#define LINES_MAX 4096 /* of one block: a remote decides how many IDs there are */

enum line_state { LINE_WAITING, LINE_BUSY, LINE_DONE };

struct line {
	char *id, *status; /* printable */
	int64_t current, total;
	int64_t bytes, bytes_total; /* of the download */
	enum line_state state;
};

struct sample {
	int64_t ms, bytes;
};

struct progress_bar {
	int fd;
	bool colours;
	struct line *lines;
	size_t nlines, capacity;
	size_t drawn;           /* rows on the screen that belong to the block */
	unsigned drawn_columns; /* the width that they were drawn for */
	bool dirty;
	int64_t last_frame;
	struct sample samples[RATE_SAMPLES];
	size_t nsamples;
	char *out; /* the frame in the making */
	size_t size, room;
	bool failed; /* out of memory while making it */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct progress_bar *progress_bar_new(int fd, bool colours)
{
	struct progress_bar *bar = calloc(1, sizeof(*bar));

	if (bar) {
		bar->fd = fd;
		bar->colours = colours;
	}
	return bar;
}

/* ---- the frame */

static void put(struct progress_bar *bar, const char *data, size_t size)
{
	if (bar->size + size > bar->room) {
		size_t room = 2 * (bar->size + size) + 1024;
		char *grown = realloc(bar->out, room);

		if (!grown) {
			bar->failed = true;
			return;
		}
		bar->out = grown;
		bar->room = room;
	}
	memcpy(bar->out + bar->size, data, size);
	bar->size += size;
}

/* One row, cut at the terminal's width, coloured behind its first so many bytes. */
static void put_row(struct progress_bar *bar, unsigned columns, const char *text, size_t plain,
	const char *colour)
{
	size_t size = text_cut(text, columns - 1);

	if (!bar->colours || plain > size)
		plain = size;
	put(bar, text, plain);
	if (plain < size) {
		put(bar, colour, strlen(colour));
		put(bar, text + plain, size - plain);
		put(bar, "\033[0m", 4);
	}
	put(bar, "\033[K\n", 4);
}

static int put_out(struct progress_bar *bar)
{
	size_t done = 0;
	bool failed = bar->failed;

	while (!failed && done < bar->size) {
		ssize_t n = write(bar->fd, bar->out + done, bar->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		done += (size_t)n;
	}
	bar->size = 0;
	bar->failed = false;
	if (failed)
		errno = ENOMEM;
	return failed ? -1 : 0;
}

static void terminal_size(const struct progress_bar *bar, unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize w = {0};

	*ret_columns = 80;
	*ret_rows = 24;
	if (ioctl(bar->fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
		*ret_columns = w.ws_col;
		*ret_rows = w.ws_row;
	}
	if (*ret_columns < 8)
		*ret_columns = 8;
	if (*ret_rows < 4)
		*ret_rows = 4;
}

/* JSONProgress.String. */
static void progress_string(const struct line *line, unsigned columns, char *ret, size_t size)
{
	char current[TEXT_SIZE_MAX], total[TEXT_SIZE_MAX], bar[64] = "";
	int filled;

	ret[0] = '\0';
	if (line->current <= 0 && line->total <= 0)
		return;
	text_human_size((double)line->current, 4, current);
	if (line->total <= 0) {
		snprintf(ret, size, "%8s", current);
		return;
	}
	text_human_size((double)line->total, 4, total);
	filled = (int)((double)line->current / (double)line->total * 100) / 2;
	if (filled < 0)
		filled = 0;
	if (filled > 50)
		filled = 50;
	if (columns > 110)
		snprintf(bar, sizeof(bar), "[%.*s>%*s] ", filled,
			"==================================================", 50 - filled, "");
	if (line->current > line->total)
		snprintf(ret, size, "%s%8s", bar, current);
	else
		snprintf(ret, size, "%s%8s/%s", bar, current, total);
}

/* What narrow windows have room for. False: *ret says it already, or it is not known. */
static bool percentage(const struct line *line, char *ret, size_t size)
{
	char text[16];

	if (line->total <= 0 || line->current < 0 || line->current > line->total)
		return false;
	snprintf(text, sizeof(text), "%3d%%",
		(int)((double)line->current / (double)line->total * 100));
	if (!strcmp(ret, text))
		return false;
	snprintf(ret, size, "%s", text);
	return true;
}

static void put_line(struct progress_bar *bar, const struct line *line, unsigned columns)
{
	static const char *const colours[] = {
		[LINE_WAITING] = DIM, [LINE_BUSY] = CYAN, [LINE_DONE] = GREEN};
	char progress[192];
	char *row = NULL;

	progress_string(line, columns, progress, sizeof(progress));
	for (bool cut = true; cut;) {
		if (asprintf(&row, "%s: %s%s%s", line->id, line->status ? line->status : "",
			    progress[0] ? " " : "", progress) < 0) {
			bar->failed = true;
			return;
		}
		cut = text_columns(row) >= columns && percentage(line, progress, sizeof(progress));
		if (!cut)
			put_row(bar, columns, row, strlen(line->id) + 2, colours[line->state]);
		free(row);
	}
}

/* Bytes a second over the last RATE_MS; -1: not known yet. */
static double rate(struct progress_bar *bar, int64_t now, int64_t bytes)
{
	size_t first = 0;
	double span;

	while (first + 1 < bar->nsamples && now - bar->samples[first].ms > RATE_MS)
		first++;
	memmove(bar->samples, bar->samples + first,
		(bar->nsamples - first) * sizeof(bar->samples[0]));
	bar->nsamples -= first;
	if (bar->nsamples == 0 ||
		now - bar->samples[bar->nsamples - 1].ms >= RATE_MS / (RATE_SAMPLES - 2)) {
		if (bar->nsamples == RATE_SAMPLES) {
			bar->nsamples--;
			memmove(bar->samples, bar->samples + 1,
				bar->nsamples * sizeof(bar->samples[0]));
		}
		bar->samples[bar->nsamples++] = (struct sample){.ms = now, .bytes = bytes};
	}
	span = (double)(now - bar->samples[0].ms) / 1000;
	return span < 0.5 ? -1 : (double)(bytes - bar->samples[0].bytes) / span;
}

/* " 95 s", " 7 min", " 3 h": nobody plans by more. */
static void time_left(double seconds, char *ret, size_t size)
{
	if (seconds < 99)
		snprintf(ret, size, "  %d s", (int)seconds + 1);
	else if (seconds < 99 * 60)
		snprintf(ret, size, "  %d min", (int)(seconds / 60) + 1);
	else if (seconds < 99 * 3600)
		snprintf(ret, size, "  %d h", (int)(seconds / 3600) + 1);
	else
		snprintf(ret, size, "  days");
}

/* What a row of that width has room for, of all there is to say. */
static void put_total(struct progress_bar *bar, unsigned columns, int64_t now)
{
	char text[192], have[TEXT_SIZE_MAX], all[TEXT_SIZE_MAX], speed[TEXT_SIZE_MAX] = "";
	char left[32] = "";
	int64_t bytes = 0, total = 0;
	size_t done = 0, unknown = 0;
	double per_second;

	for (size_t i = 0; i < bar->nlines; i++) {
		const struct line *line = &bar->lines[i];

		done += line->state == LINE_DONE;
		unknown += line->state != LINE_DONE && line->bytes_total <= 0;
		bytes += line->bytes;
		total += line->bytes_total > line->bytes ? line->bytes_total : line->bytes;
	}
	per_second = rate(bar, now, bytes);
	text_human_size((double)bytes, 4, have);
	text_human_size((double)total, 4, all);
	if (per_second > 0) {
		text_human_size(per_second, 3, speed);
		if (!unknown && total > bytes)
			time_left((double)(total - bytes) / per_second, left, sizeof(left));
	}
	/* The size of a layer is known once its download begins: "+" says that more is to come. */
	for (int shape = 0; shape < 3; shape++) {
		if (shape < 2)
			snprintf(text, sizeof(text), "%s%zu/%zu%s  %s/%s%s%s%s%s%s%s",
				shape ? "" : "Total: ", done, bar->nlines, shape ? "" : " layers",
				have, all, unknown ? "+" : "", *speed ? "  " : "", speed,
				*speed ? "/s" : "", left, *left && !shape ? " left" : "");
		else
			snprintf(text, sizeof(text), "%zu/%zu  %d%%%s", done, bar->nlines,
				total > 0 ? (int)((double)bytes / (double)total * 100) : 0, left);
		if (text_columns(text) < columns)
			break;
	}
	put_row(bar, columns, text, 0, BOLD);
}

/* Which lines fit: the busy ones first, then those that wait, then the last ones that are done.
 * ret_shown is false for all of them before. */
static size_t choose(const struct progress_bar *bar, size_t room, bool *ret_shown)
{
	static const enum line_state order[] = {LINE_BUSY, LINE_WAITING, LINE_DONE};
	size_t n = 0;

	if (bar->nlines <= room) {
		memset(ret_shown, true, bar->nlines * sizeof(*ret_shown));
		return bar->nlines;
	}
	for (size_t pass = 0; pass < 3; pass++) {
		for (size_t i = 0; i < bar->nlines && n + 1 < room; i++) {
			size_t at = order[pass] == LINE_DONE ? bar->nlines - 1 - i : i;

			if (bar->lines[at].state != order[pass])
				continue;
			ret_shown[at] = true;
			n++;
		}
	}
	return n;
}

/* Back to the block's first row. After the window's width has changed nobody knows where that is
 * (some terminals wrap old rows anew): then the old block is left standing and a new one begun. */
static void put_start(struct progress_bar *bar, unsigned columns)
{
	char up[32];

	if (bar->drawn > 0 && bar->drawn_columns == columns) {
		int n = snprintf(up, sizeof(up), "\r\033[%zuA", bar->drawn);

		put(bar, up, (size_t)n);
	} else {
		put(bar, "\r", 1);
	}
	bar->drawn = 0;
	bar->drawn_columns = columns;
}

static int draw(struct progress_bar *bar, int64_t now)
{
	unsigned columns, rows;
	bool *shown = bar->nlines ? calloc(bar->nlines, sizeof(*shown)) : NULL;
	size_t n;

	bar->dirty = false;
	bar->last_frame = now;
	if (!shown)
		return 0; /* a frame less */
	terminal_size(bar, &columns, &rows);
	put_start(bar, columns);
	/* A row for the total, one for the cursor. */
	n = choose(bar, rows - 2, shown);
	for (size_t i = 0; i < bar->nlines; i++) {
		if (!shown[i])
			continue;
		put_line(bar, &bar->lines[i], columns);
		bar->drawn++;
	}
	if (n < bar->nlines) {
		char more[64];

		snprintf(more, sizeof(more), "(and %zu more layers)", bar->nlines - n);
		put_row(bar, columns, more, 0, DIM);
		bar->drawn++;
	}
	put_total(bar, columns, now);
	bar->drawn++;
	put(bar, "\033[J", 3);
	free(shown);
	return put_out(bar);
}

static void free_lines(struct progress_bar *bar)
{
	for (size_t i = 0; i < bar->nlines; i++) {
		free(bar->lines[i].id);
		free(bar->lines[i].status);
	}
	bar->nlines = 0;
	bar->nsamples = 0;
}

/* End the block: all its lines as they are now, in full, stay on the screen. */
static void put_last(struct progress_bar *bar)
{
	unsigned columns, rows;

	if (bar->nlines == 0)
		return;
	terminal_size(bar, &columns, &rows);
	put_start(bar, columns);
	for (size_t i = 0; i < bar->nlines; i++)
		put_line(bar, &bar->lines[i], columns);
	put(bar, "\033[J", 3);
	free_lines(bar);
	bar->drawn = 0;
	bar->dirty = false;
}

/* ---- the updates */

static struct line *find_line(struct progress_bar *bar, const char *id)
{
	char *printable = text_printable(id, strlen(id));
	struct line *line;

	if (!printable)
		return NULL;
	for (size_t i = 0; i < bar->nlines; i++) {
		if (strcmp(bar->lines[i].id, printable) == 0) {
			free(printable);
			return &bar->lines[i];
		}
	}
	if (bar->nlines == bar->capacity) {
		size_t capacity = bar->capacity ? 2 * bar->capacity : 16;
		struct line *grown = capacity > LINES_MAX
					     ? NULL
					     : realloc(bar->lines, capacity * sizeof(*grown));

		if (!grown) {
			free(printable);
			return NULL;
		}
		bar->lines = grown;
		bar->capacity = capacity;
	}
	line = &bar->lines[bar->nlines++];
	*line = (struct line){.id = printable};
	return line;
}

static void update_line(struct progress_bar *bar, const struct image_pull_progress *p)
{
	struct line *line = find_line(bar, p->id);
	char *status;

	if (!line)
		return; /* out of memory: the line shows what it showed */
	status = text_printable(p->action, strlen(p->action));
	if (status) {
		free(line->status);
		line->status = status;
	}
	line->current = p->current;
	line->total = p->total;
	line->state = LINE_BUSY;
	if (strcmp(p->action, "Downloading") == 0) {
		line->bytes = p->current;
		line->bytes_total = p->total;
	} else if (strcmp(p->action, "Verifying Checksum") == 0 ||
		   strcmp(p->action, "Download complete") == 0) {
		if (line->bytes_total > 0)
			line->bytes = line->bytes_total;
	} else if (strcmp(p->action, "Pull complete") == 0 ||
		   strcmp(p->action, "Already exists") == 0) {
		line->state = LINE_DONE;
		if (line->bytes_total > 0)
			line->bytes = line->bytes_total;
	} else if (strcmp(p->action, "Waiting") == 0 ||
		   strcmp(p->action, "Pulling fs layer") == 0) {
		line->state = LINE_WAITING;
	}
	bar->dirty = true;
}

int progress_bar_update(struct progress_bar *bar, const struct image_pull_progress *p)
{
	char *id, *text;

	if (p->id[0] && !p->message[0]) {
		update_line(bar, p);
		return progress_bar_tick(bar);
	}
	put_last(bar);
	text = p->message[0] ? text_printable(p->message, strlen(p->message))
			     : text_printable(p->action, strlen(p->action));
	id = text_printable(p->id, strlen(p->id));
	if (id && text) {
		put(bar, id, strlen(id));
		if (id[0])
			put(bar, ": ", 2);
		put(bar, text, strlen(text));
		put(bar, "\n", 1);
	} else {
		bar->failed = true;
	}
	free(id);
	free(text);
	return put_out(bar);
}

int progress_bar_tick(struct progress_bar *bar)
{
	int64_t now = now_ms();

	if (!bar->dirty || now - bar->last_frame < FRAME_MS)
		return 0;
	return draw(bar, now);
}

int progress_bar_finish(struct progress_bar *bar)
{
	int ret;

	if (!bar)
		return 0;
	put_last(bar);
	ret = put_out(bar);
	free_lines(bar);
	free(bar->lines);
	free(bar->out);
	free(bar);
	return ret;
}
