// SPDX-License-Identifier: BSD-3-Clause
#include "compare_results.h"

#include <errno.h>
#include <stdlib.h>

int compare_results_alloc(const struct compare_options *o, struct compare_results *ret)
{
	struct compare_run *runs;

	runs = calloc(o->ncells * o->ncompetitors * (size_t)o->groups, sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	*ret = (struct compare_results){ .options = o, .runs = runs };
	return 0;
}

void compare_results_free(struct compare_results *r)
{
	free(r->runs);
	r->runs = NULL;
}

struct compare_run *compare_results_at(const struct compare_results *r, size_t cell,
				       size_t competitor, int group)
{
	const struct compare_options *o = r->options;

	return &r->runs[(cell * o->ncompetitors + competitor) * (size_t)o->groups + (size_t)group];
}

bool compare_metric_of(const struct compare_cell *cell, enum compare_metric metric)
{
	bool latency = metric == METRIC_P50 || metric == METRIC_P99;

	return latency == (cell->kind == CELL_LATENCY);
}

static double value_of(const struct rank_figures *f, enum compare_metric metric)
{
	switch (metric) {
	case METRIC_RATE:
		return f->gbs;
	case METRIC_CPU:
		return f->cpu_s_per_gib;
	case METRIC_P50:
		return f->p50_us;
	default:
		return f->p99_us;
	}
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double group_value(const struct compare_results *r, size_t cell, size_t competitor,
			  int group, enum compare_metric metric)
{
	const struct compare_run *run = compare_results_at(r, cell, competitor, group);

	return run->status == RUN_OK ? value_of(&run->figures, metric) : 0;
}

/* 0 where there is none. */
static double group_base(const struct compare_results *r, size_t cell, int group,
			 enum compare_metric metric, enum compare_base base)
{
	const struct compare_options *o = r->options;
	double best = 0, v;

	if (base == BASE_NONE)
		return 1;
	if (base == BASE_REFERENCE)
		return group_value(r, cell, o->reference, group, metric);
	for (size_t i = 0; i < o->ncompetitors; i++) {
		if (!o->competitors[i].streams)
			continue;
		v = group_value(r, cell, i, group, metric);
		if (v > 0 && (best <= 0 || (metric == METRIC_RATE ? v > best : v < best)))
			best = v;
	}
	return best;
}

struct compare_spread compare_results_spread(const struct compare_results *r, size_t cell,
					     size_t competitor, enum compare_metric metric,
					     enum compare_base base)
{
	const struct compare_options *o = r->options;
	double values[COMPARE_MAX_GROUPS], divisor;
	struct compare_spread s = { 0 };

	for (int g = 0; g < o->groups; g++) {
		if (compare_results_at(r, cell, competitor, g)->status != RUN_OK)
			continue;
		/* CPU time has the clock's resolution: a very short run may have none. */
		divisor = group_base(r, cell, g, metric, base);
		if (divisor > 0)
			values[s.n++] = group_value(r, cell, competitor, g, metric) / divisor;
	}
	if (!s.n)
		return s;
	qsort(values, (size_t)s.n, sizeof(*values), compare_doubles);
	s.min = values[0];
	s.max = values[s.n - 1];
	s.median = (values[(s.n - 1) / 2] + values[s.n / 2]) / 2;
	return s;
}

bool compare_results_have_limit(const struct compare_options *o)
{
	for (size_t i = 0; i < o->ncompetitors; i++)
		if (o->competitors[i].streams)
			return true;
	return false;
}

int compare_results_count(const struct compare_results *r, size_t cell, size_t competitor,
			  enum run_status status, const struct compare_run **ret_first)
{
	int n = 0;

	*ret_first = NULL;
	for (int g = 0; g < r->options->groups; g++) {
		const struct compare_run *run = compare_results_at(r, cell, competitor, g);

		if (run->status != status)
			continue;
		if (!n++)
			*ret_first = run;
	}
	return n;
}
