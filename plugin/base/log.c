// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* A verdict with remedy, an address and a path fit; NCCL cuts its own lines at 1024 as well. */
#define LOG_LINE_MAX 1024

static enum log_level log_max = LOG_LVL_INFO;
static log_sink_fn log_sink;

static void log_to_stderr(enum log_level lvl, const char *file, int line, const char *text)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };

	/* One write, so that lines of several threads and processes do not mix. */
	if (lvl == LOG_LVL_DEBUG)
		dprintf(STDERR_FILENO, "nccl-net-devmem: %s%s:%d %s\n", words[lvl], file, line,
			text);
	else
		dprintf(STDERR_FILENO, "nccl-net-devmem: %s%s\n", words[lvl], text);
}

void log_sink_set(log_sink_fn sink)
{
	__atomic_store_n(&log_sink, sink, __ATOMIC_RELEASE);
}

void log_level_set(enum log_level max)
{
	__atomic_store_n(&log_max, max, __ATOMIC_RELAXED);
}

/* Control characters (from the environment, from a peer) must not forge a second line. */
static void log_flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void log_write(enum log_level lvl, const char *file, int line, const char *fmt, ...)
{
	log_sink_fn sink = __atomic_load_n(&log_sink, __ATOMIC_ACQUIRE);
	int saved = errno; /* for %m, and for the caller, who is often about to return it */
	char text[LOG_LINE_MAX];
	va_list ap;
	int n;

	if (lvl > __atomic_load_n(&log_max, __ATOMIC_RELAXED))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		snprintf(text, sizeof(text), "(line could not be formatted: %s)", fmt);
	else if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	log_flatten(text);
	(sink ? sink : log_to_stderr)(lvl, file, line, text);
	errno = saved;
}
