// SPDX-License-Identifier: BSD-3-Clause
/*
 * The gather kernel's logic and what it is told, on the CPU: every byte in its place and no other touched, and stores in an order that NCCL's
 * LL and LL128 protocols can watch.
 *
 * unit-libs: devmem_mem
 */
#include <stdlib.h>

#include "unit.h"
#include "mem/gather_plan.h"

struct stored {
	uint64_t at;
	unsigned int bytes;
	unsigned long instruction;
};

#define STORES_MAX 200000
static struct stored stores[STORES_MAX];
static unsigned int n_stores;

static void note_store(uint64_t at, unsigned int bytes, unsigned long instruction)
{
	assert_true(n_stores < STORES_MAX);
	assert_int_equal(at % bytes, 0);
	stores[n_stores++] =
		(struct stored){ .at = at, .bytes = bytes, .instruction = instruction };
}

#define GATHER_EMUL_STORED(at, bytes, instruction) note_store(at, bytes, instruction)
#include "../standin/kernels/gather_emul.h"

#define MEM (2UL << 20)

static uint8_t *src, *dst, *want;
static size_t used = MEM; /* of them, by the test that runs */
static struct gather_plan plan;

static unsigned int rnd(unsigned int below)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned int)(x >> 20) % below;
}

static int setup(void **state)
{
	size_t i;

	(void)state;
	if (!src) {
		/* Aligned as GPU memory is, so that what is tested is the offsets alone. */
		src = aligned_alloc(1 << 16, MEM);
		dst = aligned_alloc(1 << 16, MEM);
		want = aligned_alloc(1 << 16, MEM);
		plan.tiles = calloc(GATHER_PLAN_TILES, sizeof(*plan.tiles));
		plan.sources = calloc(GATHER_PLAN_SOURCES, sizeof(*plan.sources));
		for (i = 0; i < MEM; i++)
			src[i] = (uint8_t)(i * 2654435761U >> 11);
	}
	memset(dst, 0xee, used);
	memset(want, 0xee, used);
	gather_plan_clear(&plan);
	n_stores = 0;
	return 0;
}

static void add(size_t to, size_t from, size_t len)
{
	struct gpu_move m = { .src = (uintptr_t)src + from,
			      .dst = (uintptr_t)dst + to,
			      .len = len };

	assert_true(gather_plan_add(&plan, &m));
	memcpy(want + to, src + from, len);
}

static void run(void)
{
	unsigned int i;

	for (i = 0; i < plan.n_tiles; i++) {
		const struct gather_tile *t = &plan.tiles[i];

		assert_in_range(t->n, 1, GATHER_SOURCES);
		assert_in_range(t->len, 1, GATHER_TILE);
		gather_emul_block(t, plan.sources);
	}
	if (memcmp(dst, want, used))
		assert_memory_equal(dst, want, used);
}

/*
 * Of each line of [from, to), a run of bytes given in order: nothing appears before what is in front of it, and a line that is all there appears
 * at once.
 */
static void check_order(size_t from, size_t to)
{
	unsigned long *when = calloc(to - from, sizeof(*when));
	unsigned int i, k;
	size_t at;

	for (i = 0; i < n_stores; i++)
		for (k = 0; k < stores[i].bytes; k++) {
			size_t byte = stores[i].at + k - (uintptr_t)dst;

			assert_in_range(byte, from, to - 1);
			/* Written once. */
			assert_int_equal(when[byte - from], 0);
			when[byte - from] = stores[i].instruction;
		}
	for (at = from + 1; at < to; at++) {
		bool whole = at / 128 * 128 >= from && at / 128 * 128 + 128 <= to;

		if (at % 128 == 0)
			continue;
		if (whole)
			assert_int_equal(when[at - from], when[at - 1 - from]);
		else
			assert_true(when[at - from] >= when[at - 1 - from]);
	}
	free(when);
}

static void test_every_alignment(void **state)
{
	size_t from, to, len;

	used = 1024;
	for (to = 0; to < 40; to++)
		for (from = 0; from < 20; from++)
			for (len = 1; len < 300; len += 1 + len / 10) {
				setup(state);
				add(128 + to * 7, 512 + from, len);
				run();
				check_order(128 + to * 7, 128 + to * 7 + len);
			}
	used = MEM;
}

/* Runs of pieces of every kind, back to back. */
static void test_runs(void **state)
{
	static const unsigned int most[] = { 1, 3, 17, 129, 1448, 4096, 16384 };
	unsigned int kind, round, i;

	for (kind = 0; kind < sizeof(most) / sizeof(most[0]); kind++) {
		for (round = 0; round < 4; round++) {
			size_t begin = 100 + rnd(300), at = begin, bytes = 0;

			setup(state);
			for (i = 0; i < GPU_MOVES; i++) {
				size_t len = 1 + rnd(most[kind]);

				if (bytes + len > GPU_MOVE_BYTES)
					break;
				add(at, rnd((unsigned int)(MEM - len)), len);
				at += len;
				bytes += len;
			}
			run();
			check_order(begin, at);
		}
	}
}

/* As many moves and bytes as a call may have fit into an empty plan, also when no two of them follow one another. */
static void test_plan_holds_a_call(void **state)
{
	size_t at = 3;
	unsigned int i;

	(void)state;
	for (i = 0; i < GPU_MOVES; i++) {
		size_t len = i ? 2 : GPU_MOVE_BYTES - 2 * (GPU_MOVES - 1UL);

		add(at, i * 3, len);
		at += len + 1;
	}
	run();

	setup(state);
	at = 3;
	for (i = 0; i < GPU_MOVES; i++) {
		add(at, i * 5000 % (MEM - 2048), GPU_MOVE_BYTES / GPU_MOVES);
		at += GPU_MOVE_BYTES / GPU_MOVES + 1;
	}
	run();
}

/* What follows in memory on both sides is one source, as a packet's frags are that the NIC put next to each other. */
static void test_neighbours_are_one_source(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 64; i++)
		add(128 * i, 4096 + 128 * i, 128);
	assert_int_equal(plan.n_tiles, 1);
	assert_int_equal(plan.n_sources, 1);
	run();
}

/* Tiles but the last of a run end with a line. */
static void test_tiles_end_with_lines(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 300; i++)
		add(77 + 1448UL * i, 4096UL * i % (MEM - 4096), 1448);
	for (i = 0; i + 1 < plan.n_tiles; i++)
		assert_int_equal((plan.tiles[i].dst + plan.tiles[i].len) % GATHER_LINE, 0);
	assert_true(plan.n_tiles <= 300 * 1448 / (GATHER_TILE - GATHER_LINE) + 1);
	run();
}

static void test_shared_line(void **state)
{
	struct gpu_move m = { .src = (uintptr_t)src, .len = 10 };

	(void)state;
	add(0, 0, 100);
	add(4096, 0, 128);
	m.dst = (uintptr_t)dst + 100;
	assert_true(gather_plan_shares_line(&plan, &m));
	m.dst = (uintptr_t)dst + 4096 + 128;
	assert_false(gather_plan_shares_line(&plan, &m));
	/* The last tile goes on. */
	add(8192, 0, 100);
	m.dst = (uintptr_t)dst + 8192 + 100;
	assert_false(gather_plan_shares_line(&plan, &m));
}

static void test_full(void **state)
{
	struct gpu_move m = { .src = (uintptr_t)src, .dst = (uintptr_t)dst, .len = 1 };
	unsigned int n = 0;

	(void)state;
	while (gather_plan_add(&plan, &m)) {
		m.dst += 2;
		assert_true(++n < 2 * GATHER_PLAN_TILES);
	}
	assert_true(n >= GPU_MOVES);
	assert_true(plan.n_tiles <= GATHER_PLAN_TILES && plan.n_sources <= GATHER_PLAN_SOURCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_every_alignment, setup),
		cmocka_unit_test_setup(test_runs, setup),
		cmocka_unit_test_setup(test_plan_holds_a_call, setup),
		cmocka_unit_test_setup(test_neighbours_are_one_source, setup),
		cmocka_unit_test_setup(test_tiles_end_with_lines, setup),
		cmocka_unit_test_setup(test_shared_line, setup),
		cmocka_unit_test_setup(test_full, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
