// SPDX-License-Identifier: BSD-3-Clause
#include "test_pattern.h"

#include <string.h>

/* A mixer, so that shifts by any number of elements, ranks or pages give other values. */
static unsigned int pattern_value(int rank, size_t index, uint32_t seed)
{
	uint64_t x = (uint64_t)index * 0x9e3779b97f4a7c15ULL;

	x ^= ((uint64_t)(unsigned int)rank + 1) * 0xbf58476d1ce4e5b9ULL;
	x += (uint64_t)seed * 0x94d049bb133111ebULL;
	x ^= x >> 29;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 32;
	return (unsigned int)(x & 15);
}

/* Through memcpy(), so that any buffer may be filled with any type. */
static void element_store(void *buf, enum data_type type, size_t i, uint64_t value)
{
	const int32_t i32 = (int32_t)value;
	const float f32 = (float)value;
	const double f64 = (double)value;
	uint8_t *p = (uint8_t *)buf + i * data_type_size(type);

	switch (type) {
	case DATA_UINT8:
		*p = (uint8_t)value;
		break;
	case DATA_INT32:
		memcpy(p, &i32, sizeof(i32));
		break;
	case DATA_INT64:
		memcpy(p, &value, sizeof(value));
		break;
	case DATA_FLOAT:
		memcpy(p, &f32, sizeof(f32));
		break;
	case DATA_DOUBLE:
		memcpy(p, &f64, sizeof(f64));
		break;
	case DATA_TYPES:
		break;
	}
}

void test_pattern_fill(void *buf, enum data_type type, int rank, size_t first, size_t count,
		       uint32_t seed)
{
	for (size_t i = 0; i < count; i++)
		element_store(buf, type, i, pattern_value(rank, first + i, seed));
}

void test_pattern_poison(void *buf, size_t size)
{
	/* Negative, not a number, or (uint8) beyond the sum of 13 ranks. */
	memset(buf, 0xff, size);
}

static uint64_t pattern_sum(int nranks, size_t index, uint32_t seed)
{
	uint64_t sum = 0;

	for (int r = 0; r < nranks; r++)
		sum += pattern_value(r, index, seed);
	return sum;
}

size_t test_pattern_wrong(enum collective_kind kind, enum data_type type, int rank, int nranks,
			  size_t count, uint32_t seed, const void *dst)
{
	size_t total = kind == COLL_ALL_GATHER ? count * (size_t)nranks : count;
	size_t size = data_type_size(type);
	const uint8_t *got = dst;
	size_t wrong = 0;
	uint64_t value;
	uint8_t want[sizeof(double)];

	for (size_t i = 0; i < total; i++) {
		switch (kind) {
		case COLL_ALL_REDUCE:
			value = pattern_sum(nranks, i, seed);
			break;
		case COLL_REDUCE_SCATTER:
			value = pattern_sum(nranks, (size_t)rank * count + i, seed);
			break;
		case COLL_ALL_GATHER:
			value = pattern_value((int)(i / count), i % count, seed);
			break;
		default:
			value = pattern_value((rank + nranks - 1) % nranks, i, seed);
			break;
		}
		element_store(want, type, 0, value);
		wrong += memcmp(got + i * size, want, size) != 0;
	}
	return wrong;
}
