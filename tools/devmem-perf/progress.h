/* SPDX-License-Identifier: BSD-3-Clause */
/* On a terminal, a line on stderr that says what is being done; elsewhere nothing. */
#ifndef PERF_PROGRESS_H
#define PERF_PROGRESS_H

/* Replaces the line. */
void progress_show(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Takes it away: before anything else is written to the terminal, and at the end. */
void progress_clear(void);

#endif
