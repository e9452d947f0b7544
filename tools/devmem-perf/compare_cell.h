/* SPDX-License-Identifier: BSD-3-Clause */
/* What "devmem-perf compare" measures: a pattern of traffic with messages of one size. */
#ifndef PERF_COMPARE_CELL_H
#define PERF_COMPARE_CELL_H

#include <stdbool.h>
#include <stddef.h>

#define COMPARE_MAX_CELLS 48

enum cell_kind {
	CELL_UNI,     /* rank 0 sends messages of @size to rank 1 */
	CELL_BIDIR,   /* both do, on a connection for each direction */
	CELL_RING,    /* the messages of a ring all_reduce of @size bytes, without its arithmetic */
	CELL_LATENCY, /* a message of @size goes to rank 1 and another comes back */
};

/* @spec as on the command line, "uni:64K". */
struct compare_cell {
	enum cell_kind kind;
	size_t size;
	int nranks;
	char spec[24];
};

/*
 * A comma list of cells: KIND:SIZE, or KIND for its usual sizes, or "all". @ret has room for
 * COMPARE_MAX_CELLS. -EINVAL for what makes no sense, and reported.
 */
int compare_cells_parse(const char *list, struct compare_cell *ret, size_t *ret_n);

/* "uni", "ring4": the part of @spec before the colon; "64K": the part after it. */
const char *compare_cell_kind(const struct compare_cell *cell);
const char *compare_cell_size(const struct compare_cell *cell);

/*
 * Bytes of payload that one unit of traffic moves, all ranks together, each byte counted once; a
 * unit is a message in each direction, an all_reduce, or a round trip.
 */
double compare_cell_bytes(const struct compare_cell *cell);

/* The bandwidth in GB/s (1e9) of a unit in @seconds: nccl-tests' bus bandwidth for rings. */
double compare_cell_rate(const struct compare_cell *cell, double seconds);

#endif
