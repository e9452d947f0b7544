// SPDX-License-Identifier: BSD-3-Clause
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* Back to the first column, and nothing to the right of it (ECMA-48 EL). */
#define CLEAR_LINE "\r\033[K"

void progress_show(const char *fmt, ...)
{
	va_list ap;

	if (!isatty(STDERR_FILENO))
		return;
	va_start(ap, fmt);
	fputs(CLEAR_LINE, stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
}

void progress_clear(void)
{
	if (isatty(STDERR_FILENO))
		fputs(CLEAR_LINE, stderr);
}
