// SPDX-License-Identifier: BSD-3-Clause
/*
 * Buffers that are registered with the NIC: it reads and writes them itself, the kernel counts steps and tells sizes, and
 * copies only what does not travel. What the NIC does is what the wires' routes say.
 */
#include <stdlib.h>

#include "elem.h"
#include "ref.h"
#include "rig.h"
#include "table.h"
#include "unit.h"

#define BYTES 30000 /* one chunk of an allgather */

static uint8_t in[RIG_RANKS][RIG_RANKS * BYTES], out[RIG_RANKS][RIG_RANKS * BYTES];

static uint8_t byte_of(int rank, size_t i)
{
	return (uint8_t)ref_input(ELEM_UINT8, REF_SUM, rank, i);
}

static void assert_bytes(const uint8_t *have, int rank, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(have[i], byte_of(rank, from + i));
}

/* 2.22 does not know it of collectives. */
#if NCCL_HAS_PROFILER
static struct wire_segment routes[RIG_RANKS][2 * RIG_RANKS];

static void run_checked(struct rig *r, const struct rig_coll *coll)
{
	const char *err = rig_coll_run(r, coll);

	if (err)
		fail_msg("%s", err);
	for (int rank = 0; rank < r->n_ranks; rank++) {
		struct wire *w = rig_wire(r, 0, rank, (rank + 1) % r->n_ranks, 0);

		assert_int_equal(w->segment, w->n_route);
	}
}

static void test_all_gather(void **state)
{
	static struct rig r;

	(void)state;
	for (int i = 0; i < 4 * 3; i++) {
		const bool in_place = i % 2;
		const int n = 2 + i / 4;
		struct rig_coll coll = { .fn = { EMUL_ALL_GATHER, ELEM_SUM, ELEM_INT8, EMUL_RING,
						 NCCL_SIMPLE },
					 .count = BYTES,
					 .n_channels = 1,
					 .net_reg = true,
					 .one_rank_per_node = i / 2 % 2 };

		assert_int_equal(rig_open(&r, n, WIRE_REG), 0);
		memset(out, 0, sizeof(out));
		for (int rank = 0; rank < n; rank++) {
			uint8_t *own = in_place ? out[rank] + rank * BYTES : in[rank];
			const int next = (rank + 1) % n;

			for (size_t k = 0; k < BYTES; k++)
				own[k] = byte_of(rank, k);
			coll.send[rank] = own;
			coll.recv[rank] = out[rank];
			/* First the own block, then what has come before. */
			for (int hop = 0; hop < n - 1; hop++) {
				const int block = (rank + n - hop) % n;

				routes[rank][hop].src = hop ? out[rank] + block * BYTES : own;
				routes[rank][hop].dst = out[next] + block * BYTES;
				routes[rank][hop].len = BYTES;
			}
			rig_wire(&r, 0, rank, next, 0)->route = routes[rank];
			rig_wire(&r, 0, rank, next, 0)->n_route = (unsigned int)n - 1;
		}
		for (int round = 0; round < 3; round++)
			run_checked(&r, &coll);
		for (int rank = 0; rank < n; rank++) {
			for (int block = 0; block < n; block++)
				assert_bytes(out[rank] + block * BYTES, block, 0, BYTES);
		}
		rig_close(&r);
	}
}

/* Sums leave from the output buffer, where the blocks arrive that they are made of; so not in place. */
static void test_all_reduce(void **state)
{
	static const size_t counts[] = { 7000, 2500 * RIG_RANKS };
	static struct rig r;

	(void)state;
	for (int i = 0; i < 2 * 3; i++) {
		const int n = 2 + i / 2;
		const size_t count = counts[i % 2];
		const size_t chunk = ((count + (size_t)n - 1) / (size_t)n + 3) & ~(size_t)3;
		struct rig_coll coll = { .fn = { EMUL_ALL_REDUCE, ELEM_SUM, ELEM_FLOAT32, EMUL_RING,
						 NCCL_SIMPLE },
					 .count = count,
					 .n_channels = 1,
					 .net_reg = true };

		assert_int_equal(rig_open(&r, n, WIRE_REG), 0);
		memset(out, 0, sizeof(out));
		for (int rank = 0; rank < n; rank++) {
			uint8_t *own = in[rank];
			const int next = (rank + 1) % n;

			for (size_t k = 0; k < count; k++) {
				uint32_t x = (uint32_t)ref_input(ELEM_FLOAT32, REF_SUM, rank, k);

				memcpy(own + 4 * k, &x, 4);
			}
			coll.send[rank] = own;
			coll.recv[rank] = out[rank];
			for (int hop = 1; hop <= 2 * (n - 1); hop++) {
				const size_t at = (size_t)((rank + 2 * n - hop) % n) * chunk;
				struct wire_segment *s = &routes[rank][hop - 1];

				s->src = (hop == 1 ? own : out[rank]) + 4 * at;
				s->dst = out[next] + 4 * at;
				s->len = 4 * (at + chunk < count ? chunk : count - at);
			}
			rig_wire(&r, 0, rank, next, 0)->route = routes[rank];
			rig_wire(&r, 0, rank, next, 0)->n_route = 2 * (unsigned int)(n - 1);
		}
		run_checked(&r, &coll);
		for (int rank = 0; rank < n; rank++) {
			for (size_t k = 0; k < count; k++) {
				uint32_t have;

				memcpy(&have, out[rank] + 4 * k, 4);
				if (have != (uint32_t)ref_reduced(ELEM_FLOAT32, REF_SUM, n, k))
					fail_msg("%d ranks, rank %d, element %zu: %#x", n, rank, k,
						 have);
			}
		}
		rig_close(&r);
	}
}

static void test_broadcast(void **state)
{
	static struct rig r;

	(void)state;
	for (int i = 0; i < 4 * 3; i++) {
		const bool in_place = i % 2;
		const int n = 2 + i / 4, root = i % n;
		const size_t bytes = 3 * BYTES;
		struct rig_coll coll = { .fn = { EMUL_BROADCAST, ELEM_SUM, ELEM_INT8, EMUL_RING,
						 NCCL_SIMPLE },
					 .count = bytes,
					 .n_channels = 1,
					 .root = root,
					 .net_reg = true,
					 .one_rank_per_node = i / 2 % 2 };

		assert_int_equal(rig_open(&r, n, WIRE_REG), 0);
		memset(out, 0, sizeof(out));
		for (int rank = 0; rank < n; rank++) {
			uint8_t *own = in_place ? out[rank] : in[rank];
			const int next = (rank + 1) % n;
			struct wire *w = rig_wire(&r, 0, rank, next, 0);

			for (size_t k = 0; k < bytes && rank == root; k++)
				own[k] = byte_of(rank, k);
			coll.send[rank] = own;
			coll.recv[rank] = out[rank];
			routes[rank][0].src = rank == root ? own : out[rank];
			routes[rank][0].dst = out[next];
			routes[rank][0].len = bytes;
			w->route = routes[rank];
			w->n_route = next != root;
		}
		for (int round = 0; round < 3; round++)
			run_checked(&r, &coll);
		for (int rank = 0; rank < n; rank++)
			assert_bytes(out[rank], root, 0, bytes);
		rig_close(&r);
	}
}
#endif

static void test_p2p(void **state)
{
	static struct rig r;
	const int n = 3;

	(void)state;
	assert_int_equal(rig_open(&r, n, WIRE_REG), 0);
	for (int i = 0; i < 6; i++) {
		struct rig_p2p p2p = { .net_reg = true, .n_channels = 1 };
		static struct wire_segment pairs[RIG_RANKS][RIG_RANKS];
		const char *err;

		memset(out, 0, sizeof(out));
		for (int from = 0; from < n; from++) {
			for (int to = 0; to < n; to++) {
				const size_t bytes =
					(size_t)((from * 7 + to * 3 + i) % 4) * BYTES / 3;
				uint8_t *src = in[from] + to * BYTES, *dst = out[to] + from * BYTES;
				struct wire *w = rig_wire(&r, 0, from, to, 1);

				for (size_t k = 0; k < bytes; k++)
					src[k] = byte_of(from * n + to, k);
				p2p.bytes[from][to] = bytes;
				p2p.send[from][to] = src;
				p2p.recv[to][from] = dst;
				pairs[from][to] = (struct wire_segment){ src, dst, bytes };
				w->route = &pairs[from][to];
				w->n_route = 1;
				w->unsized = EMUL_NCCL < 22300;
			}
		}
		err = rig_p2p_run(&r, &p2p);
		if (err)
			fail_msg("%s", err);
		for (int from = 0; from < n; from++) {
			for (int to = 0; to < n; to++)
				assert_bytes(out[to] + from * BYTES, from * n + to, 0,
					     p2p.bytes[from][to]);
		}
	}
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if NCCL_HAS_PROFILER
		cmocka_unit_test(test_all_gather),
		cmocka_unit_test(test_broadcast),
		cmocka_unit_test(test_all_reduce),
#endif
		cmocka_unit_test(test_p2p),
	};

	table_fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
