/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of the tools for people, on stderr: "devmem-perf: rank 1: ...". One write per line, so
 * that the lines of several ranks do not mix.
 */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

/*
 * To be called before threads start. @program is kept, not copied. @rank -1 leaves the rank out.
 */
void report_init(const char *program, int rank);

/* Any thread. @fmt without a newline. */
void report_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void report_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
