/* SPDX-License-Identifier: Apache-2.0 */
/* Where log lines go. Lower floors log at debug only. Go counterpart: logrus. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Embedded in what takes the lines; write may be called by any thread and copies text. */
struct log {
	void (*write)(struct log *log, enum log_level level, const char *text);
};

void log_printf(struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define log_error(log, ...) log_printf(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_printf(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_printf(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_printf(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
