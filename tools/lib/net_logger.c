// SPDX-License-Identifier: BSD-3-Clause
#include "net_logger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "report.h"

static const char *const level_names[] = {
	[NCCL_LOG_NONE] = "NONE", [NCCL_LOG_VERSION] = "VERSION", [NCCL_LOG_WARN] = "WARN",
	[NCCL_LOG_INFO] = "INFO", [NCCL_LOG_ABORT] = "ABORT",	  [NCCL_LOG_TRACE] = "TRACE",
};

#define NLEVELS ((int)(sizeof(level_names) / sizeof(level_names[0])))

/* NCCL_DEBUG is NCCL's variable, not the plugin's, so it is not in the plugin's table. */
static ncclDebugLogLevel logger_level(void)
{
	const char *wanted = getenv("NCCL_DEBUG");

	for (int i = 0; wanted && i < NLEVELS; i++)
		if (!strcasecmp(wanted, level_names[i]))
			return (ncclDebugLogLevel)i;
	return NCCL_LOG_WARN;
}

bool net_logger_enabled(ncclDebugLogLevel level)
{
	return level <= logger_level();
}

void net_logger_write(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
		      const char *fmt, ...)
{
	const char *name = (int)level >= 0 && (int)level < NLEVELS ? level_names[level] : "?";
	const char *base = file ? strrchr(file, '/') : NULL;
	char text[768];
	va_list ap;

	(void)flags;
	if (!net_logger_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_note("NCCL %s %s:%d %s", name, base ? base + 1 : file ? file : "?", line, text);
}
