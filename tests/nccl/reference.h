/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Input data that follows from a seed, and what a collective has to make of it, computed without any communication
 * and without any code of the emulated kernels.
 *
 * Integers have to be right to the bit (they wrap). So have floats where nothing is rounded: copies, min, max.
 * Other floats: with n ranks and p bits of precision (half 11, bfloat16 8, float 24, double 53)
 *   sum:  |got - exact| <= n 2^-p sum|x|       avg: the same with 2n, divided by n
 *   prod: |got - exact| <= n 2^-p |exact|
 * which is Higham's bound for n - 1 roundings in whatever order, and one to spare.
 */
#ifndef NCCL_REFERENCE_H
#define NCCL_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

enum ref_op {
	REF_ALL_REDUCE,
	REF_ALL_GATHER,
	REF_REDUCE_SCATTER,
	REF_BROADCAST,
	REF_REDUCE,
	REF_SENDRECV,	/* to the next rank, from the one before, in a group */
	REF_ALL_TO_ALL, /* sends and receives of all pairs, in one group */
	REF_OPS
};

/* @type: enum nccl_type; @redop: enum nccl_redop; @count as NCCL takes it (for all_to_all: for each peer). */
struct ref_case {
	enum ref_op op;
	int type, redop;
	size_t count;
	int nranks, root;
	uint64_t seed;
};

const char *ref_op_name(enum ref_op op);
const char *ref_type_name(int type);
const char *ref_redop_name(int redop);
size_t ref_type_size(int type);
/* Whether @op reduces, so that @redop means something. */
int ref_op_reduces(enum ref_op op);

/* Elements of a rank's input and output. */
size_t ref_src_count(const struct ref_case *c);
size_t ref_dst_count(const struct ref_case *c);

/* Fills @buf with @rank's whole input. */
void ref_fill(const struct ref_case *c, int rank, void *buf);

/* Wrong elements in @rank's whole output @buf; *@ret_first is the first, if there is any. */
size_t ref_wrong(const struct ref_case *c, int rank, const void *buf, size_t *ret_first);

/* Payload bytes that have to cross the network, over all ranks, for a ring, and for a tree in all_reduce. */
uint64_t ref_traffic(const struct ref_case *c);

#endif
