// SPDX-License-Identifier: BSD-3-Clause
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *report_program = "perfcoll";
static int report_rank = -1;

void report_init(const char *program, int rank)
{
	report_program = program;
	report_rank = rank;
}

static void report_line(const char *kind, const char *fmt, va_list ap)
{
	char line[1024];
	size_t len;
	int n;

	if (report_rank >= 0)
		n = snprintf(line, sizeof(line), "%s: rank %d: %s", report_program, report_rank,
			     kind);
	else
		n = snprintf(line, sizeof(line), "%s: %s", report_program, kind);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	len = strlen(line);
	line[len++] = '\n';
	/* Nothing sensible is left to do when stderr itself fails. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void report_err(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_line("error: ", fmt, ap);
	va_end(ap);
}

void report_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_line("", fmt, ap);
	va_end(ap);
}
