/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data whose every element follows from its rank, index and a seed, so that the right result of a
 * collective can be computed without any communication.
 *
 * Values are whole numbers 0 to 15: sums of up to 2^20 ranks are exact in every type (uint8 wraps
 * in the same way everywhere), whatever the order of the additions.
 */
#ifndef PERF_TEST_PATTERN_H
#define PERF_TEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#include "collective.h"
#include "data_type.h"

/* Fills @buf with elements @first to @first + @count - 1 of @rank. */
void test_pattern_fill(void *buf, enum data_type type, int rank, size_t first, size_t count,
		       uint32_t seed);

/* Overwrites with bytes that no right result has, so that what was never written shows. */
void test_pattern_poison(void *buf, size_t size);

/*
 * Elements of @dst that differ from the reference of the collective @kind with @count elements (as
 * in struct collective) on @rank of @nranks.
 */
size_t test_pattern_wrong(enum collective_kind kind, enum data_type type, int rank, int nranks,
			  size_t count, uint32_t seed, const void *dst);

#endif
