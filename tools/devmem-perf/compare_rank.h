/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank of one run of "devmem-perf compare". */
#ifndef PERF_COMPARE_RANK_H
#define PERF_COMPARE_RANK_H

#include <stdint.h>

#include "compare_options.h"
#include "socket_survey.h"

/*
 * @gbs: compare_cell_rate(); 0 for a latency. @cpu_s_per_gib: user and system time of all ranks'
 * processes, all their threads, during the measured part, for each GiB of compare_cell_bytes().
 * @p50_us, @p99_us: half a round trip. @units: that were measured. @sockets: of rank 0.
 */
struct rank_figures {
	double gbs, cpu_s_per_gib, p50_us, p99_us, seconds;
	uint64_t units;
	struct socket_survey sockets;
	char name[64];
};

/* @figures: shared with the process that launched the ranks; rank 0 fills it. */
struct rank_run {
	const struct compare_options *options;
	const struct competitor *competitor;
	const struct compare_cell *cell;
	struct rank_figures *figures;
};

/* A launcher's rank_main; @arg is a struct rank_run. Exit status: 0, or 1 and reported. */
int compare_rank_main(int rank, const char *rendezvous, void *arg);

#endif
