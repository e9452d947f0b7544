// SPDX-License-Identifier: BSD-3-Clause
#include "pattern.h"

#include <string.h>

const char *const pattern_op_names[PATTERN_OPS] = { "all_reduce", "all_gather", "reduce_scatter",
						    "broadcast",  "sendrecv",	"all_to_all" };
const char *const pattern_type_names[PATTERN_TYPES] = { "fp32", "bf16" };

/* The same hash as tensors.py's, which has 64 signed bits and may not overflow them. */
static uint32_t mix(uint64_t index, uint64_t seed)
{
	uint32_t x = (uint32_t)(index * 2654435761u + seed * 40503 + 12345);

	x = (x ^ x >> 16) * 0x45D9F3Bu;
	x = (x ^ x >> 16) * 0x119DE1F3u;
	return x ^ x >> 15;
}

static int32_t element(const struct pattern_case *c, int rank, size_t i)
{
	/* Integers up to 2^24 and 2^8 are exact in the two types. */
	uint32_t most = (c->type == PATTERN_FP32 ? 1u << 24 : 1u << 8) / (uint32_t)c->world;

	return (int32_t)(mix(i, c->salt * 64u + (unsigned int)rank) % (2 * most + 1)) -
	       (int32_t)most;
}

size_t pattern_itemsize(enum pattern_type type)
{
	return type == PATTERN_FP32 ? 4 : 2;
}

static uint32_t bits_of(enum pattern_type type, int32_t value)
{
	float f = (float)value;
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	/* What is cut off is 0, since the value is exact. */
	return type == PATTERN_FP32 ? bits : bits >> 16;
}

static uint32_t bits_at(enum pattern_type type, const void *at, size_t i)
{
	return type == PATTERN_FP32 ? ((const uint32_t *)at)[i] : ((const uint16_t *)at)[i];
}

double pattern_value(enum pattern_type type, const void *at, size_t i)
{
	uint32_t bits = bits_at(type, at, i) << (type == PATTERN_FP32 ? 0 : 16);
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

size_t pattern_count_in(const struct pattern_case *c)
{
	size_t n = c->size / pattern_itemsize(c->type);

	return c->op == PATTERN_ALL_GATHER ? n / (size_t)c->world : n;
}

size_t pattern_count_out(const struct pattern_case *c)
{
	size_t n = c->size / pattern_itemsize(c->type);

	return c->op == PATTERN_REDUCE_SCATTER ? n / (size_t)c->world : n;
}

int pattern_fits(const struct pattern_case *c)
{
	size_t unit = pattern_itemsize(c->type);

	if (c->op == PATTERN_ALL_GATHER || c->op == PATTERN_REDUCE_SCATTER ||
	    c->op == PATTERN_ALL_TO_ALL)
		unit *= (size_t)c->world;
	return c->size % unit == 0;
}

int pattern_root(const struct pattern_case *c)
{
	return (int)(c->salt % (unsigned int)c->world);
}

double pattern_bus_factor(enum pattern_op op, int world)
{
	switch (op) {
	case PATTERN_ALL_REDUCE:
		return 2.0 * (world - 1) / world;
	case PATTERN_ALL_GATHER:
	case PATTERN_REDUCE_SCATTER:
	case PATTERN_ALL_TO_ALL:
		return (world - 1.0) / world;
	default:
		return 1.0;
	}
}

uint64_t pattern_must_receive(const struct pattern_case *c, int root)
{
	if (c->op == PATTERN_BROADCAST && c->rank == root)
		return 0;
	return (uint64_t)((double)c->size * pattern_bus_factor(c->op, c->world));
}

void pattern_fill(const struct pattern_case *c, size_t first, size_t n, void *at)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = bits_of(c->type, element(c, c->rank, first + i));

		if (c->type == PATTERN_FP32)
			((uint32_t *)at)[i] = bits;
		else
			((uint16_t *)at)[i] = (uint16_t)bits;
	}
}

static int32_t sum_over_ranks(const struct pattern_case *c, size_t i)
{
	int32_t sum = 0;

	for (int r = 0; r < c->world; r++)
		sum += element(c, r, i);
	return sum;
}

static int32_t expected(const struct pattern_case *c, size_t count_out, size_t i)
{
	size_t block = count_out / (size_t)c->world;
	size_t mine = (size_t)c->rank;

	switch (c->op) {
	case PATTERN_ALL_REDUCE:
		return sum_over_ranks(c, i);
	case PATTERN_REDUCE_SCATTER:
		return sum_over_ranks(c, mine * count_out + i);
	case PATTERN_ALL_GATHER:
		return element(c, (int)(i / block), i % block);
	case PATTERN_BROADCAST:
		return element(c, pattern_root(c), i);
	case PATTERN_SENDRECV:
		return element(c, (c->rank + c->world - 1) % c->world, i);
	default:
		return element(c, (int)(i / block), mine * block + i % block);
	}
}

size_t pattern_wrong(const struct pattern_case *c, size_t first, size_t n, const void *at,
		     size_t *ret_first, double *ret_want)
{
	size_t count_out = pattern_count_out(c), wrong = 0;

	for (size_t i = 0; i < n; i++) {
		int32_t want = expected(c, count_out, first + i);

		if (bits_at(c->type, at, i) == bits_of(c->type, want))
			continue;
		if (!wrong) {
			*ret_first = first + i;
			*ret_want = want;
		}
		wrong++;
	}
	return wrong;
}

uint64_t pattern_digest(enum pattern_type type, size_t first, size_t n, const void *at,
			uint64_t digest)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = bits_at(type, at, i);

		if (type == PATTERN_BF16)
			bits = (uint32_t)(int32_t)(int16_t)bits;
		digest += mix((bits ^ mix(first + i, 1)) & 0x3FFFFFFF, 2) + (bits >> 30);
		digest += (uint64_t)mix((bits >> 2) ^ (mix(first + i, 3) & 0x3FFFFFFF), 4) << 17;
	}
	return digest;
}
