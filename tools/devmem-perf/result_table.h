/* SPDX-License-Identifier: BSD-3-Clause */
/* Results for people (nccl-tests' columns) and for programs (JSON). */
#ifndef PERF_RESULT_TABLE_H
#define PERF_RESULT_TABLE_H

#include "bench.h"

void result_table_head(const struct job *job, const struct perf_options *o);
void result_table_row(const struct perf_options *o, const struct bench_result *r);

/* @n results, then the summary. */
void result_table_tail(const struct bench_result *results, size_t n, const struct perf_options *o,
		       const struct job_summary *summary);

/* Writes it to the place @o names. Reports; negative errno. */
int result_json_write(const struct job *job, const struct perf_options *o,
		      const struct bench_result *results, size_t n,
		      const struct job_summary *summary);

#endif
