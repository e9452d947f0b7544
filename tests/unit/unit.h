/* SPDX-License-Identifier: BSD-3-Clause */
/* What every cmocka program includes: cmocka wants these headers before its own. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

#define UNIT_SKIP 77

#define assert_ok(expr) assert_int_equal((expr), 0)

/* Collects log lines of the code under test; unit_log_clear() between tests. */
static char unit_log_text[8192];
static int unit_log_lines;

static inline void unit_log_sink(enum log_level lvl, const char *file, int line, const char *text)
{
	size_t used = strlen(unit_log_text);

	(void)lvl;
	(void)file;
	(void)line;
	snprintf(unit_log_text + used, sizeof(unit_log_text) - used, "%s\n", text);
	unit_log_lines++;
}

static inline void unit_log_clear(void)
{
	unit_log_text[0] = '\0';
	unit_log_lines = 0;
	log_sink_set(unit_log_sink);
}

#define assert_logged(word)                                                               \
	do {                                                                              \
		if (!strstr(unit_log_text, (word)))                                       \
			fail_msg("\"%s\" is not in the log:\n%s", (word), unit_log_text); \
	} while (0)

#endif
