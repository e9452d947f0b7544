/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank of one run of "devmem-perf scale". */
#ifndef PERF_SCALE_RANK_H
#define PERF_SCALE_RANK_H

#include <stdbool.h>
#include <stdint.h>

#include "process_usage.h"
#include "scale_options.h"

/* @nranks ranks, @conns connections from each to the next, of @socks data sockets (0: as many as the plugin takes). */
struct scale_shape {
	int nranks, conns, socks;
};

/*
 * What a load cost. @messages: of all ranks, in @seconds. @wall_us: of that time for each of them.
 * @cpu_us: user and system time of all ranks for each. @calls, @calls_none: system calls on sockets
 * for each, and those of them that brought nothing, by the plugin's counters; -1 where it has none.
 */
struct scale_cost {
	uint64_t messages;
	double seconds, wall_us, cpu_us, calls, calls_none;
};

/*
 * @connect_s: from listen() to the last registration, on the slowest rank. @heap, @rss: bytes of
 * both ends of a connection, beside the messages' buffers. @fds: its descriptors.
 */
struct scale_figures {
	char name[64];
	double connect_s;
	double heap, rss, fds;
	struct scale_cost loads[SCALE_LOADS];
};

/*
 * @connect_s, @close_s: of the slower rank. @open, @left: what the ranks held beyond what they did
 * before, with all connections up and after they were closed; sums of the ranks.
 */
struct scale_storm {
	double connect_s, close_s;
	struct process_usage open, left;
};

/* @figures and @storm: shared with the process that launched the ranks; rank 0 fills one of them. */
struct scale_run {
	const struct scale_options *options;
	struct scale_shape shape;
	struct scale_shared {
		struct scale_figures figures;
		struct scale_storm storm;
	} * shared;
};

/* A launcher's rank_main: the loads over one set of connections. @arg is a struct scale_run. */
int scale_rank_main(int rank, const char *rendezvous, void *arg);

/* The same for a storm: as many connections as @arg has, between all ranks, up and down again. */
int scale_storm_main(int rank, const char *rendezvous, void *arg);

#endif
