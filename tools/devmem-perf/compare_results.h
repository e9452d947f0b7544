/* SPDX-License-Identifier: BSD-3-Clause */
/* All runs of a "devmem-perf compare", and what follows from them. */
#ifndef PERF_COMPARE_RESULTS_H
#define PERF_COMPARE_RESULTS_H

#include "compare_run.h"

enum compare_metric {
	METRIC_RATE, /* GB/s; more is better, less with all others */
	METRIC_CPU,  /* CPU seconds per GiB */
	METRIC_P50,  /* us */
	METRIC_P99,  /* us */
	COMPARE_METRICS
};

/* What a value is divided by. The limit is the best of the plain TCP competitors. */
enum compare_base { BASE_NONE, BASE_REFERENCE, BASE_LIMIT };

/* Of @n values; all 0 when there are none. */
struct compare_spread {
	int n;
	double median, min, max;
};

struct compare_results {
	const struct compare_options *options;
	struct compare_run *runs;
};

/* -ENOMEM. To be freed. */
int compare_results_alloc(const struct compare_options *o, struct compare_results *ret);
void compare_results_free(struct compare_results *r);

struct compare_run *compare_results_at(const struct compare_results *r, size_t cell,
				       size_t competitor, int group);

/* Whether a cell has this figure. */
bool compare_metric_of(const struct compare_cell *cell, enum compare_metric metric);

/* Over the groups: the values, or their ratios to @base's in the same group where that has one. */
struct compare_spread compare_results_spread(const struct compare_results *r, size_t cell,
					     size_t competitor, enum compare_metric metric,
					     enum compare_base base);

/* Whether plain TCP takes part, so that there is a limit. */
bool compare_results_have_limit(const struct compare_options *o);

/* Runs of a status, and the first that has it or NULL. */
int compare_results_count(const struct compare_results *r, size_t cell, size_t competitor,
			  enum run_status status, const struct compare_run **ret_first);

#endif
