/* SPDX-License-Identifier: BSD-3-Clause */
/* The algorithms. Each runs one work (or, where works share connections, one batch) of a block to its end. */
#ifndef EMUL_ALGO_H
#define EMUL_ALGO_H

#include "emul.h"
#include "prims.h"

/* A channel's share of a collective, in elements. */
struct algo_part {
	size_t total; /* of the whole collective, all channels */
	size_t offset;
	size_t count;
	size_t chunk;
};

/* Along the ring: all_reduce, all_gather, reduce_scatter, broadcast, reduce. */
void ring_run(struct emul_block *block, const struct emul_fn *fn,
	      const struct emul_work_coll *work);

/* Up and down the tree: all_reduce. Both directions at once, but at the root. */
void tree_run(struct emul_block *block, const struct emul_fn *fn,
	      const struct emul_work_coll *work);

/* Sends and receives of one batch, all at once. */
void p2p_run(struct emul_block *block, const struct emul_work_p2p *works, unsigned int n);

/* An allgather of blocks of different sizes: broadcasts that take turns on the ring. Changes @works. */
void gather_v_run(struct emul_block *block, const struct emul_fn *fn, struct emul_work_bcast *works,
		  unsigned int n);

/*
 * How a collective is divided among channels (ncclCollCbdPart() in src/include/device.h). The chunk may be 0 where it
 * is not used: NCCL_MAX_NET in grains does not fit into its bits.
 */
void algo_part_get(const struct emul_block *block, const struct emul_fn *fn,
		   const struct emul_work_coll *work, struct algo_part *ret);

/* Ends the process where a loop over chunks would not. */
void algo_part_check(const struct algo_part *part);

/* The operator of a work; its argument is loaded from device memory if it lies there. */
struct elem_op algo_op(const struct emul_fn *fn, const struct emul_work_coll *work);

/* Runs @n functions on @args[i], each on a thread of its own but the last, and waits for all. */
void algo_parallel(unsigned int n, void (*fn)(void *), void *args[]);

#endif
