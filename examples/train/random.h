/* SPDX-License-Identifier: BSD-3-Clause */
/* A small generator whose numbers are the same everywhere (the C library's are not): splitmix64. */
#ifndef TRAIN_RANDOM_H
#define TRAIN_RANDOM_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* In [-1, 1), a multiple of 2^-23. */
static inline float random_signed(uint64_t *state)
{
	return (float)(random_next(state) >> 40) / (float)(1 << 23) - 1;
}

/* A random order of 0 to @n - 1. */
static inline void random_shuffle(uint64_t *state, size_t *order, size_t n)
{
	size_t j, swap;

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (size_t i = n; i > 1; i--) {
		j = (size_t)(random_next(state) % i);
		swap = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swap;
	}
}

#endif
