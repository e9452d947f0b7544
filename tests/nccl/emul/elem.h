/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic of NCCL's reductions on arrays of elements, as src/device/reduce_kernel.h does it for one element.
 * Arrays need no alignment. 16-bit floats are rounded to nearest even after each operation, as on GPUs that
 * have arithmetic for them. fp8 has a size but no arithmetic here.
 */
#ifndef EMUL_ELEM_H
#define EMUL_ELEM_H

#include <stddef.h>
#include <stdint.h>

/* ncclDataType_t */
enum elem_type {
	ELEM_INT8,
	ELEM_UINT8,
	ELEM_INT32,
	ELEM_UINT32,
	ELEM_INT64,
	ELEM_UINT64,
	ELEM_FLOAT16,
	ELEM_FLOAT32,
	ELEM_FLOAT64,
	ELEM_BFLOAT16,
	ELEM_FLOAT8_E4M3,
	ELEM_FLOAT8_E5M2,
	ELEM_TYPES,
};

/* ncclDevRedOp_t. Average is ELEM_SUM_POST_DIV for integers, ELEM_PRE_MUL_SUM for floats. */
enum elem_op_kind {
	ELEM_SUM,
	ELEM_PROD,
	ELEM_MIN_MAX, /* arg: what to xor with before a comparison for the smaller; floats: bit 0 is "max" */
	ELEM_PRE_MUL_SUM,  /* arg: an element that each rank's input is multiplied with */
	ELEM_SUM_POST_DIV, /* arg: divisor * 2 + (is the type signed) */
	ELEM_OPS,
};

struct elem_op {
	enum elem_op_kind kind;
	enum elem_type type;
	uint64_t arg;
};

/* Bytes of an element. */
size_t elem_size(enum elem_type type);

/* The operator's argument, which lies at @ptr in device memory (one element; for ELEM_SUM_POST_DIV, 8 bytes). */
uint64_t elem_arg_load(const struct elem_op *op, const void *ptr);

/* dst = what goes into the reduction for src. The arrays are the same or apart. */
void elem_pre(const struct elem_op *op, void *dst, const void *src, size_t n);

/* acc = acc op src */
void elem_reduce(const struct elem_op *op, void *acc, const void *src, size_t n);

/* The last step, on the reduction's result. */
void elem_post(const struct elem_op *op, void *acc, size_t n);

/* IEEE binary16 and bfloat16. */
float elem_from_half(uint16_t half);
uint16_t elem_to_half(float f);
float elem_from_bf16(uint16_t bf16);
uint16_t elem_to_bf16(float f);

#endif
