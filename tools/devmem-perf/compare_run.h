/* SPDX-License-Identifier: BSD-3-Clause */
/* One run of one competitor in one cell: its ranks are launched, watched and ended. */
#ifndef PERF_COMPARE_RUN_H
#define PERF_COMPARE_RUN_H

#include "compare_rank.h"

enum run_status {
	RUN_NONE, /* not tried, because the runs before it failed */
	RUN_OK,
	RUN_FAILED,
	RUN_NOT_APPLICABLE, /* plain TCP has no ring */
};

/* @error: the first that a rank reported, when the run failed. */
struct compare_run {
	enum run_status status;
	struct rank_figures figures;
	char error[256];
};

/*
 * Returns when all processes of the run have ended, at the limit of @o at the latest plus a few
 * seconds. What the ranks print is kept back; when the run fails, its end goes to stderr.
 */
void compare_run_execute(const struct compare_options *o, const struct competitor *c,
			 const struct compare_cell *cell, struct compare_run *ret);

#endif
