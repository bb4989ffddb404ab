/* SPDX-License-Identifier: Apache-2.0 */
/* A pull on a terminal: one live line for each layer, and a total. Go counterpart: pkg/jsonmessage
 * (DisplayJSONMessagesStream). */
#ifndef PROGRESS_BAR_H
#define PROGRESS_BAR_H

#include <stdbool.h>

#include "image_pull.h"

struct progress_bar;

/* fd is the terminal. It is asked for its size before each frame. NULL: out of memory. */
struct progress_bar *progress_bar_new(int fd, bool colours);
/* Take in an update; draws if it is time. -1: the terminal takes no more (errno). */
int progress_bar_update(struct progress_bar *bar, const struct image_pull_progress *progress);
/* Draw if it is time and something changed. To be called some ten times a second. */
int progress_bar_tick(struct progress_bar *bar);
/* Leave the last state of the lines on the screen, without the total, and free the bar. */
int progress_bar_finish(struct progress_bar *bar);

#endif
