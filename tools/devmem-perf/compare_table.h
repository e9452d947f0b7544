/* SPDX-License-Identifier: BSD-3-Clause */
/* The results of a comparison for people: at most 100 columns. */
#ifndef PERF_COMPARE_TABLE_H
#define PERF_COMPARE_TABLE_H

#include "compare_results.h"
#include "host_facts.h"

/* Before the first run. */
void compare_table_head(const struct compare_options *o, const struct host_facts *host);

/* After the last: who it was, every cell, and the ratios once more side by side. */
void compare_table_print(const struct compare_results *r);

/* "5 runs of 0.50 s", and where: the method in one line, without a newline. */
void compare_table_method(const struct compare_options *o, char *ret, size_t size);

#endif
