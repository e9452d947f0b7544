// SPDX-License-Identifier: BSD-3-Clause
/*
 * Frags and linear pieces come out in stream order, however they are mixed.
 */
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "path/gather.h"

#define TOTAL_MAX 4096
#define ROUNDS	  20000

/*
 * Random cuts of a known stream: each piece is put either into the pool at a random place or, packed, at the beginning of
 * the destination, which is where the kernel leaves linear bytes.
 */
static void run_round(unsigned int *seed)
{
	static uint8_t stream[TOTAL_MAX], dst[TOTAL_MAX + 1], pool[4 * TOTAL_MAX];
	struct gather_piece pieces[64];
	size_t pos = 0, linear = 0, pool_at = 0;
	unsigned int n = 0;

	memset(dst, 0xee, sizeof(dst));
	while (n < 64 && pos < TOTAL_MAX) {
		size_t len = 1 + (size_t)rand_r(seed) % 300;
		size_t i;

		if (len > TOTAL_MAX - pos)
			len = TOTAL_MAX - pos;
		for (i = 0; i < len; i++)
			stream[pos + i] = (uint8_t)rand_r(seed);
		pieces[n] = (struct gather_piece){ .len = (uint32_t)len };
		if (rand_r(seed) % 3 == 0) {
			pieces[n].linear = 1;
			memcpy(dst + linear, stream + pos, len);
			linear += len;
		} else {
			pool_at += (size_t)rand_r(seed) % 64;
			pieces[n].offset = pool_at;
			memcpy(pool + pool_at, stream + pos, len);
			pool_at += len;
		}
		pos += len;
		n++;
	}
	gather_cpu(dst, pos, linear, pool, pieces, n);
	assert_memory_equal(dst, stream, pos);
	assert_int_equal(dst[TOTAL_MAX], 0xee);
}

static void test_random_mixes(void **state)
{
	unsigned int seed = 1;
	int i;

	(void)state;
	for (i = 0; i < ROUNDS; i++)
		run_round(&seed);
}

static void test_only_linear_stays(void **state)
{
	struct gather_piece p[2] = { { .len = 3, .linear = 1 }, { .len = 2, .linear = 1 } };
	uint8_t dst[] = "abcde";

	(void)state;
	gather_cpu(dst, 5, 5, NULL, p, 2);
	assert_memory_equal(dst, "abcde", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_mixes),
		cmocka_unit_test(test_only_linear_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
