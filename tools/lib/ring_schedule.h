/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a rank does on one channel in one collective, as a numbered list of steps that is computed
 * and never stored. Pure arithmetic.
 */
#ifndef PERF_RING_SCHEDULE_H
#define PERF_RING_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collective.h"

/*
 * Steps come in loops: in each, the ring moves one chunk (for all_reduce, one chunk per rank).
 * [@low, @high) is this channel's share of the collective's count.
 */
struct ring_schedule {
	enum collective_kind kind;
	int rank, nranks;
	size_t count, low, high;
	size_t chunk; /* elements of a message, at most */
	uint64_t loops;
	unsigned int steps_per_loop;
	unsigned int recvs_per_loop;
};

/*
 * One step: data comes from @recv's message, from the source at @src, or is the sum of both
 * (@reduce); it goes into a message (@send), to the destination at @dst (@store), or both.
 * Offsets and @len in elements.
 */
struct ring_step {
	bool recv, reduce, send, store;
	size_t src, dst, len;
};

/* @slot_count: elements that fit in a slot, > 0. */
void ring_schedule_init(struct ring_schedule *s, enum collective_kind kind, int rank, int nranks,
			size_t count, unsigned int channel, unsigned int nchannels,
			size_t slot_count);

/* Step @i of loops * steps_per_loop. */
void ring_schedule_step(const struct ring_schedule *s, uint64_t i, struct ring_step *ret);

/* Messages this rank gets on the channel. */
static inline uint64_t ring_schedule_recvs(const struct ring_schedule *s)
{
	return s->loops * s->recvs_per_loop;
}

static inline uint64_t ring_schedule_steps(const struct ring_schedule *s)
{
	return s->loops * s->steps_per_loop;
}

#endif
