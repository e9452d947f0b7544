/* SPDX-License-Identifier: BSD-3-Clause */
/* What "devmem-perf scale" found, as a table and as JSON. */
#ifndef PERF_SCALE_RESULTS_H
#define PERF_SCALE_RESULTS_H

#include "host_facts.h"
#include "scale_rank.h"

/* NOT_POSSIBLE: a process may not have as many descriptors. @error: why, where it is not OK. */
enum scale_status { SCALE_NOT_RUN, SCALE_OK, SCALE_FAILED, SCALE_NOT_POSSIBLE };

struct scale_cell {
	struct scale_shape shape;
	enum scale_status status;
	char error[256];
	struct scale_figures figures;
};

/* Two ranks. @fds: the limit of each. */
struct scale_storm_result {
	int connections;
	enum scale_status status;
	char error[256];
	struct scale_storm storm;
};

/* Descriptors, threads, or more heap than some list's room: is any left of a storm that went well? */
bool scale_storm_left(const struct scale_storm *s);

/* The table: above it, a cell's lines, and the storm's. */
void scale_table_head(const struct scale_options *o, const struct host_facts *host);
void scale_table_cell(const struct scale_options *o, const struct scale_cell *cell);
void scale_table_storm(const struct scale_storm_result *storm);

/* To @o's file. @storm: NULL for none. 0, or -errno, reported. */
int scale_json_write(const struct scale_options *o, const struct host_facts *host,
		     const struct scale_cell *cells, size_t n,
		     const struct scale_storm_result *storm);

#endif
