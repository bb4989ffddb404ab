/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines. Go counterpart: logrus. */
#include "base/log.h"

#include "base/buf.h"

void log_printf(struct log *log, enum log_level level, const char *fmt, ...)
{
	struct buf b = {0};
	va_list ap;

	if (!log || !log->write)
		return;
	va_start(ap, fmt);
	buf_vappendf(&b, fmt, ap);
	va_end(ap);
	/* without memory the format itself still says what it was about */
	log->write(log, level, b.oom || !b.data ? fmt : b.data);
	buf_free(&b);
}
