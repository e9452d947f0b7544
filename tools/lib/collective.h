/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Collectives over a ring, with NCCL's ring algorithms (src/device/all_reduce.h and its
 * neighbours) and its bounce buffers: user memory is copied to and from the lanes' slots, and
 * summed, by the CPU in the place of NCCL's kernel.
 */
#ifndef PERF_COLLECTIVE_H
#define PERF_COLLECTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data_type.h"
#include "ring.h"

enum collective_kind {
	COLL_SENDRECV,	     /* to the next rank, from the one before: count elements */
	COLL_ALL_REDUCE,     /* count elements in, count out */
	COLL_ALL_GATHER,     /* count in, nranks * count out, in order of rank */
	COLL_REDUCE_SCATTER, /* nranks * count in, count out: this rank's part of the sum */
	COLLECTIVES
};

/*
 * @src and @dst are user memory, aligned for @type, and do not overlap; but an all_reduce may have
 * @src == @dst. All ranks pass the same @kind, @type and @count. With 0 elements, empty messages
 * go round. @hollow: messages go their way, each when its turn has come, but nothing is copied or
 * summed, as where a GPU does that: @src and @dst are not used, and what a slot holds is sent.
 */
struct collective {
	enum collective_kind kind;
	enum data_type type;
	size_t count;
	const void *src;
	void *dst;
	bool hollow;
};

/*
 * Runs it to its end: all data is in @dst and all sends are done. Reports what went wrong. Negative
 * errno: -ETIMEDOUT nothing moved for the ring's timeout, -EPROTO a message had another size than
 * the collective asks for, else what the plugin's error stands for. After an error the ring can only
 * be closed.
 */
int collective_run(struct ring *ring, const struct collective *coll);

/* nccl-tests' words: "sendrecv", "all_reduce", "all_gather", "reduce_scatter". */
const char *collective_name(enum collective_kind kind);

/* -EINVAL for an unknown word. */
int collective_parse(const char *word, enum collective_kind *ret);

/* nccl-tests' ratio of bus to algorithm bandwidth (doc/PERFORMANCE.md there). */
double collective_bus_factor(enum collective_kind kind, int nranks);

#endif
