/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of options that several modes of devmem-perf have. */
#ifndef PERF_OPTION_VALUES_H
#define PERF_OPTION_VALUES_H

/* 0.001 to 3600. -EINVAL, not reported. */
int option_seconds(const char *text, double *ret);

/*
 * Whether the file @path can be written, which makes it: before minutes of measuring rather than
 * after. NULL is fine. Negative errno, and reported as @name's.
 */
int option_check_writable(const char *name, const char *path);

#endif
