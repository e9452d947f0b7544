/* SPDX-License-Identifier: BSD-3-Clause */
/* The results of a comparison as a picture (SVG 1.1). */
#ifndef PERF_COMPARE_CHART_H
#define PERF_COMPARE_CHART_H

#include "compare_results.h"
#include "host_facts.h"

/*
 * Throughput and CPU time against the reference, on a logarithmic axis so that twice and half are
 * equally far from the line at 1; whiskers from the least to the most; latencies in microseconds.
 * Reports; negative errno.
 */
int compare_chart_write(const struct compare_results *r, const struct host_facts *host,
			const char *path);

#endif
