// SPDX-License-Identifier: BSD-3-Clause
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "elem.h"
#include "ref.h"

static bool is_float(int type)
{
	return type == ELEM_FLOAT16 || type == ELEM_BFLOAT16 || type == ELEM_FLOAT32 ||
	       type == ELEM_FLOAT64;
}

static bool is_signed(int type)
{
	return type == ELEM_INT8 || type == ELEM_INT32 || type == ELEM_INT64;
}

static uint64_t hash(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

static uint64_t truncated(int type, uint64_t x)
{
	size_t bits = 8 * elem_size(type);

	return bits == 64 ? x : x & ((1ull << bits) - 1);
}

/* A value that the type has exactly, as the type's bits: sign, exponent, and @frac bits of the mantissa. */
static uint64_t encode16(double v, int frac, int bias)
{
	uint64_t sign = signbit(v) ? 0x8000 : 0;
	int exp;
	double m = frexp(fabs(v), &exp); /* 0.5 <= m < 1 */

	if (v == 0)
		return sign;
	return sign | (uint64_t)(exp - 1 + bias) << frac | (uint64_t)ldexp(2 * m - 1, frac);
}

static uint64_t encode(int type, double v)
{
	uint64_t bits = 0;
	float f = (float)v;

	switch (type) {
	case ELEM_FLOAT16:
		return encode16(v, 10, 15);
	case ELEM_BFLOAT16:
		return encode16(v, 7, 127);
	case ELEM_FLOAT32:
		memcpy(&bits, &f, sizeof(f));
		return bits;
	default:
		memcpy(&bits, &v, sizeof(v));
		return bits;
	}
}

static double float_value(enum ref_op op, int rank, size_t i)
{
	uint64_t h = hash(i * 16 + (uint64_t)rank);

	if (op == REF_PROD)
		return h & 1 ? 2 : -1;
	return ((double)(h % 33) - 16) / 2;
}

uint64_t ref_input(int type, enum ref_op op, int rank, size_t i)
{
	if (is_float(type))
		return encode(type, float_value(op, rank, i));
	return truncated(type, hash(i * 16 + (uint64_t)rank + 7));
}

static int64_t extended(int type, uint64_t x)
{
	int shift = 64 - 8 * (int)elem_size(type);

	return (int64_t)(x << shift) >> shift;
}

static uint64_t int_reduced(int type, enum ref_op op, int n_ranks, size_t i)
{
	uint64_t acc = ref_input(type, op, 0, i);

	for (int rank = 1; rank < n_ranks; rank++) {
		uint64_t x = ref_input(type, op, rank, i);
		bool less = is_signed(type) ? extended(type, x) < extended(type, acc) : x < acc;

		switch (op) {
		case REF_PROD:
			acc = truncated(type, acc * x);
			break;
		case REF_MAX:
			acc = less ? acc : x;
			break;
		case REF_MIN:
			acc = less ? x : acc;
			break;
		default:
			acc = truncated(type, acc + x);
		}
	}
	if (op != REF_AVG)
		return acc;
	if (is_signed(type))
		return truncated(type, (uint64_t)(extended(type, acc) / n_ranks));
	return acc / (uint64_t)n_ranks;
}

uint64_t ref_reduced(int type, enum ref_op op, int n_ranks, size_t i)
{
	double acc;

	if (!is_float(type))
		return int_reduced(type, op, n_ranks, i);
	acc = float_value(op, 0, i);
	for (int rank = 1; rank < n_ranks; rank++) {
		double x = float_value(op, rank, i);

		switch (op) {
		case REF_PROD:
			acc *= x;
			break;
		case REF_MAX:
			acc = x > acc ? x : acc;
			break;
		case REF_MIN:
			acc = x < acc ? x : acc;
			break;
		default:
			acc += x;
		}
	}
	return encode(type, op == REF_AVG ? acc / n_ranks : acc);
}

void ref_device_op(int type, enum ref_op op, int n_ranks, int *ret_kind, uint64_t *ret_arg)
{
	const uint64_t all = truncated(type, UINT64_MAX);

	*ret_arg = 0;
	switch (op) {
	case REF_SUM:
		*ret_kind = ELEM_SUM;
		return;
	case REF_PROD:
		*ret_kind = ELEM_PROD;
		return;
	case REF_AVG:
		*ret_kind = is_float(type) ? ELEM_PRE_MUL_SUM : ELEM_SUM_POST_DIV;
		*ret_arg = is_float(type) ? encode(type, 1.0 / n_ranks)
					  : (uint64_t)n_ranks << 1 | is_signed(type);
		return;
	default:
		*ret_kind = ELEM_MIN_MAX;
		*ret_arg = (is_signed(type) ? all ^ all >> 1 : 0) ^ (op == REF_MAX ? all : 0);
	}
}
