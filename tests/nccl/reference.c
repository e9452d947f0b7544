// SPDX-License-Identifier: BSD-3-Clause
#include "reference.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "nccl_lib.h"

static const struct {
	const char *name;
	size_t size;
	int exponent, mantissa; /* bits, of a float; mantissa without the hidden one */
	bool is_signed;
} types[NCCL_TYPES] = {
	[NCCL_INT8] = { "int8", 1, 0, 0, true },
	[NCCL_UINT8] = { "uint8", 1, 0, 0, false },
	[NCCL_INT32] = { "int32", 4, 0, 0, true },
	[NCCL_UINT32] = { "uint32", 4, 0, 0, false },
	[NCCL_INT64] = { "int64", 8, 0, 0, true },
	[NCCL_UINT64] = { "uint64", 8, 0, 0, false },
	[NCCL_FLOAT16] = { "half", 2, 5, 10, true },
	[NCCL_FLOAT32] = { "float", 4, 8, 23, true },
	[NCCL_FLOAT64] = { "double", 8, 11, 52, true },
	[NCCL_BFLOAT16] = { "bfloat16", 2, 8, 7, true },
};

static const char *const redops[NCCL_REDOPS] = { "sum", "prod", "max", "min", "avg" };

static const char *const ops[REF_OPS] = {
	"all_reduce", "all_gather", "reduce_scatter", "broadcast",
	"reduce",     "sendrecv",   "all_to_all",
};

const char *ref_op_name(enum ref_op op)
{
	return ops[op];
}

const char *ref_type_name(int type)
{
	return types[type].name;
}

const char *ref_redop_name(int redop)
{
	return redops[redop];
}

size_t ref_type_size(int type)
{
	return types[type].size;
}

int ref_op_reduces(enum ref_op op)
{
	return op == REF_ALL_REDUCE || op == REF_REDUCE_SCATTER || op == REF_REDUCE;
}

size_t ref_src_count(const struct ref_case *c)
{
	bool all = c->op == REF_REDUCE_SCATTER || c->op == REF_ALL_TO_ALL;

	return all ? c->count * (size_t)c->nranks : c->count;
}

size_t ref_dst_count(const struct ref_case *c)
{
	bool all = c->op == REF_ALL_GATHER || c->op == REF_ALL_TO_ALL;

	return all ? c->count * (size_t)c->nranks : c->count;
}

/* splitmix64's finaliser. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/*
 * The bits of element @i of @rank's input. Floats are 2^-3 to 1 in size, of either sign, or 1/2 to 2 where a product
 * is made; integers are anything, but small where an average is made, since overflow is nobody's promise there.
 */
static uint64_t input(const struct ref_case *c, int rank, size_t i)
{
	uint64_t random = mix(c->seed + 0x9e3779b97f4a7c15u * (i + 1) + ((uint64_t)rank << 56));
	int m = types[c->type].mantissa, e = types[c->type].exponent;
	uint64_t bias, mantissa, exponent;

	if (!m) {
		unsigned int bits = 8 * (unsigned int)types[c->type].size;

		if (c->redop == NCCL_AVG && ref_op_reduces(c->op)) {
			random >>= 67 - bits;
			/* Negative ones, too. */
			if (types[c->type].is_signed)
				random -= 1ull << (bits - 4);
		}
		return bits == 64 ? random : random & ((1ull << bits) - 1);
	}
	bias = (1ull << (e - 1)) - 1;
	mantissa = random & ((1ull << m) - 1);
	if (c->redop == NCCL_PROD && ref_op_reduces(c->op))
		exponent = bias - (random >> 62 & 1);
	else
		exponent = bias - 1 - (random >> 61) % 3;
	return (random >> 60 & 1) << (m + e) | exponent << m | mantissa;
}

static uint64_t load(int type, const void *buf, size_t i)
{
	uint64_t bits = 0;

	memcpy(&bits, (const char *)buf + i * types[type].size, types[type].size);
	return bits;
}

static void store(int type, void *buf, size_t i, uint64_t bits)
{
	memcpy((char *)buf + i * types[type].size, &bits, types[type].size);
}

/* The value of a float's @bits. */
static long double value(int type, uint64_t bits)
{
	int m = types[type].mantissa, e = types[type].exponent;
	int exponent = (int)(bits >> m & ((1u << e) - 1)), bias = (1 << (e - 1)) - 1;
	long double mantissa = (long double)(bits & ((1ull << m) - 1));
	long double v;

	if (exponent == (1 << e) - 1)
		v = mantissa != 0 ? NAN : INFINITY;
	else if (!exponent)
		v = ldexpl(mantissa, 1 - bias - m);
	else
		v = ldexpl(mantissa + ldexpl(1, m), exponent - bias - m);
	return bits >> (m + e) & 1 ? -v : v;
}

/* Two's complement of the type's width, as a wide number. */
static int64_t widen(int type, uint64_t bits)
{
	unsigned int n = 64 - 8 * (unsigned int)types[type].size;

	return types[type].is_signed ? (int64_t)(bits << n) >> n : (int64_t)bits;
}

static uint64_t integer_reduce(const struct ref_case *c, size_t i)
{
	uint64_t sum = input(c, 0, i);
	bool is_signed = types[c->type].is_signed;

	for (int r = 1; r < c->nranks; r++) {
		uint64_t x = input(c, r, i);
		bool less = is_signed ? widen(c->type, x) < widen(c->type, sum) : x < sum;

		switch (c->redop) {
		case NCCL_PROD:
			sum *= x;
			break;
		case NCCL_MAX:
			sum = less ? sum : x;
			break;
		case NCCL_MIN:
			sum = less ? x : sum;
			break;
		default:
			sum += x;
		}
	}
	if (c->redop != NCCL_AVG)
		return sum;
	return is_signed ? (uint64_t)(widen(c->type, sum) / c->nranks) : sum / (uint64_t)c->nranks;
}

static bool float_is_right(const struct ref_case *c, size_t i, uint64_t bits)
{
	long double got = value(c->type, bits), exact = value(c->type, input(c, 0, i));
	long double sum = fabsl(exact), unit = ldexpl(1, -(types[c->type].mantissa + 1));
	long double n = c->nranks;

	for (int r = 1; r < c->nranks; r++) {
		long double x = value(c->type, input(c, r, i));

		sum += fabsl(x);
		switch (c->redop) {
		case NCCL_PROD:
			exact *= x;
			break;
		case NCCL_MAX:
			exact = fmaxl(exact, x);
			break;
		case NCCL_MIN:
			exact = fminl(exact, x);
			break;
		default:
			exact += x;
		}
	}
	/* Not ">": nothing is right about a NaN. */
	switch (c->redop) {
	case NCCL_MAX:
	case NCCL_MIN:
		return got == exact;
	case NCCL_PROD:
		return fabsl(got - exact) <= n * unit * fabsl(exact);
	case NCCL_AVG:
		return fabsl(got - exact / n) <= 2 * unit * sum;
	default:
		return fabsl(got - exact) <= n * unit * sum;
	}
}

/* Which rank's element @i of the output is a copy of, and which of its inputs. */
static void copied_from(const struct ref_case *c, int rank, size_t i, int *ret_rank, size_t *ret_i)
{
	switch (c->op) {
	case REF_ALL_GATHER:
		*ret_rank = (int)(i / c->count);
		*ret_i = i % c->count;
		break;
	case REF_ALL_TO_ALL:
		*ret_rank = (int)(i / c->count);
		*ret_i = (size_t)rank * c->count + i % c->count;
		break;
	case REF_SENDRECV:
		*ret_rank = (rank + c->nranks - 1) % c->nranks;
		*ret_i = i;
		break;
	default:
		*ret_rank = c->root;
		*ret_i = i;
	}
}

static bool is_right(const struct ref_case *c, int rank, size_t i, uint64_t bits)
{
	uint64_t mask = types[c->type].size == 8 ? ~0ull : (1ull << 8 * types[c->type].size) - 1;
	int from;

	if (!ref_op_reduces(c->op)) {
		copied_from(c, rank, i, &from, &i);
		return bits == input(c, from, i);
	}
	if (c->op == REF_REDUCE_SCATTER)
		i += (size_t)rank * c->count;
	if (types[c->type].mantissa)
		return float_is_right(c, i, bits);
	return bits == (integer_reduce(c, i) & mask);
}

void ref_fill(const struct ref_case *c, int rank, void *buf)
{
	size_t n = ref_src_count(c);

	for (size_t i = 0; i < n; i++)
		store(c->type, buf, i, input(c, rank, i));
}

size_t ref_wrong(const struct ref_case *c, int rank, const void *buf, size_t *ret_first)
{
	size_t n = ref_dst_count(c), wrong = 0;

	if (c->op == REF_REDUCE && rank != c->root)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!is_right(c, rank, i, load(c->type, buf, i)) && !wrong++)
			*ret_first = i;
	return wrong;
}

uint64_t ref_traffic(const struct ref_case *c)
{
	uint64_t bytes = c->count * types[c->type].size, n = (uint64_t)c->nranks;

	switch (c->op) {
	case REF_ALL_REDUCE:
		return 2 * (n - 1) * bytes;
	case REF_ALL_GATHER:
	case REF_REDUCE_SCATTER:
	case REF_ALL_TO_ALL:
		return n * (n - 1) * bytes;
	case REF_SENDRECV:
		return n * bytes;
	default:
		return (n - 1) * bytes;
	}
}
