/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Input data, and what collectives must make of it, computed element by element and without the code under test.
 * Integers are any bits, and wrap. Floats are small multiples of a half, and 1 or 2 in products, so that results
 * are exact in each type whatever the order of the operations.
 */
#ifndef TEST_REF_H
#define TEST_REF_H

#include <stddef.h>
#include <stdint.h>

/* What the user asks for (ncclRedOp_t). */
enum ref_op { REF_SUM, REF_PROD, REF_MAX, REF_MIN, REF_AVG, REF_OPS };

/* Element @i of rank @rank's input, as its bytes. */
uint64_t ref_input(int type, enum ref_op op, int rank, size_t i);

/* Ranks' elements @i[rank] reduced, as its bytes. */
uint64_t ref_reduced(int type, enum ref_op op, int n_ranks, size_t i);

/* The device operator and argument for an operator, as hostToDevRedOp() in src/enqueue.cc of this NCCL has it. */
void ref_device_op(int type, enum ref_op op, int n_ranks, int *ret_kind, uint64_t *ret_arg);

#endif
