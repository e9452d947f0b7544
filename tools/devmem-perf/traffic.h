/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One rank's traffic in a cell of "devmem-perf compare", by a net plugin (plugin_traffic.c) or by
 * plain TCP (raw_traffic.c). Both move the same messages through buffers of the same size.
 */
#ifndef PERF_TRAFFIC_H
#define PERF_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#include "compare_cell.h"
#include "rendezvous.h"

struct traffic;

/* All return negative errno, and have reported it. @count units are what all ranks agree on. */
struct traffic_ops {
	/* This rank's part of @count units, to its end. Not for CELL_LATENCY. */
	int (*stream)(struct traffic *t, uint64_t count);
	/* @count round trips; on rank 0 @samples gets the nanoseconds of each, else it is NULL. */
	int (*ping)(struct traffic *t, uint64_t count, uint32_t *samples);
	/* Whether the buffers hold what was sent. After at least one unit. */
	int (*verify)(struct traffic *t);
	void (*close)(struct traffic *t);
};

/* @name: what runs, for people; good until close. */
struct traffic {
	const struct traffic_ops *ops;
	const struct compare_cell *cell;
	struct rendezvous *rendezvous;
	int rank;
	char name[64];
};

/* A round trip as a sample; one of more than 4 s counts as so long. */
static inline uint32_t traffic_sample(int64_t ns)
{
	return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* What an end of a connection is to be: @slot_size is @cell->size rounded up to pages. */
struct traffic_shape {
	unsigned int nslots;
	size_t slot_size;
};

struct traffic_shape traffic_shape_of(const struct compare_cell *cell, unsigned int nslots);

/*
 * Bytes that differ from slot to slot and from word to word, the same on every rank: so that what a
 * receive buffer holds can be told to be right, whoever forwarded it.
 */
void traffic_fill(void *slot, size_t size, unsigned int number);

/* Whether the first @size bytes are traffic_fill()'s. -EBADMSG if not, and reported. */
int traffic_check(const void *slot, size_t size, unsigned int number);

#endif
