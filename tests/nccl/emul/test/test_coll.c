// SPDX-License-Identifier: BSD-3-Clause
/* Collectives by emulated kernels of one NCCL version, against a reference, over each kind of connection. */
#include <stdlib.h>

#include "elem.h"
#include "fn.h"
#include "ref.h"
#include "rig.h"
#include "table.h"
#include "unit.h"

#define GUARD 32
#define EMPTY 0xee

struct coll_case {
	enum emul_coll coll;
	enum emul_algo algo;
	int proto;
	int type;
	enum ref_op op;
	int n_channels;
	size_t count;
	int root;
	bool in_place;
	enum rig_storage storage;
	unsigned int repeat;
	bool arg_is_ptr;
};

static size_t input_count(const struct coll_case *c, int n_ranks)
{
	return c->coll == EMUL_REDUCE_SCATTER ? c->count * (size_t)n_ranks : c->count;
}

static size_t output_count(const struct coll_case *c, int n_ranks)
{
	return c->coll == EMUL_ALL_GATHER ? c->count * (size_t)n_ranks : c->count;
}

/* Element @i of what rank @rank must have, or its input where it is not to get anything. */
static uint64_t expected(const struct coll_case *c, int n_ranks, int rank, size_t i)
{
	switch (c->coll) {
	case EMUL_ALL_GATHER:
		return ref_input(c->type, c->op, (int)(i / c->count), i % c->count);
	case EMUL_BROADCAST:
		return ref_input(c->type, c->op, c->root, i);
	case EMUL_REDUCE_SCATTER:
		return ref_reduced(c->type, c->op, n_ranks, (size_t)rank * c->count + i);
	default:
		return ref_reduced(c->type, c->op, n_ranks, i);
	}
}

struct buffers {
	uint8_t *in, *out; /* the user's, within the room */
	uint8_t *in_room, *out_room;
	size_t out_bytes;
};

static void buffers_new(struct buffers *b, const struct coll_case *c, int n_ranks, int rank)
{
	const size_t elem = elem_size(c->type);
	const size_t n_in = input_count(c, n_ranks), n_out = output_count(c, n_ranks);
	size_t n_max = n_in > n_out ? n_in : n_out;

	b->out_bytes = n_out * elem;
	b->out_room = malloc(n_max * elem + 2 * GUARD);
	b->in_room = malloc(n_in * elem + 1);
	assert_non_null(b->out_room);
	assert_non_null(b->in_room);
	memset(b->out_room, EMPTY, n_max * elem + 2 * GUARD);
	b->out = b->out_room + GUARD;
	b->in = b->in_room;
	/* In place means another place for each: the buffer, or the own block of it. */
	if (c->in_place && c->coll == EMUL_ALL_GATHER)
		b->in = b->out + (size_t)rank * n_in * elem;
	else if (c->in_place && c->coll == EMUL_REDUCE_SCATTER)
		b->in = b->out_room + GUARD;
	else if (c->in_place)
		b->in = b->out;
	if (c->in_place && c->coll == EMUL_REDUCE_SCATTER)
		b->out = b->in + (size_t)rank * n_out * elem;
	for (size_t i = 0; i < n_in; i++) {
		uint64_t x = ref_input(c->type, c->op, rank, i);

		memcpy(b->in + i * elem, &x, elem);
	}
}

static void buffers_check(const struct buffers *b, const struct coll_case *c, int n_ranks, int rank)
{
	const size_t elem = elem_size(c->type);
	const bool gets = c->coll != EMUL_REDUCE || rank == c->root;

	for (size_t i = 0; i < b->out_bytes / elem && (gets || !c->in_place); i++) {
		uint64_t want = gets ? expected(c, n_ranks, rank, i) : 0xeeeeeeeeeeeeeeeeu;
		uint64_t have = 0;

		memcpy(&have, b->out + i * elem, elem);
		if (elem < 8)
			want &= (1ull << 8 * elem) - 1;
		if (have != want)
			fail_msg(
				"rank %d of %d, element %zu of %zu (type %d, op %d): %#llx, not %#llx",
				rank, n_ranks, i, b->out_bytes / elem, c->type, (int)c->op,
				(unsigned long long)have, (unsigned long long)want);
	}
	for (size_t i = 0; i < GUARD; i++)
		assert_int_equal(b->out_room[i], EMPTY);
	if (!c->in_place)
		for (size_t i = 0; i < GUARD; i++)
			assert_int_equal(b->out[b->out_bytes + i], EMPTY);
}

/* What a collective must move, over all connections (Simple; LL moves whole lines). */
static uint64_t traffic(const struct coll_case *c, int n_ranks)
{
	const uint64_t bytes = c->count * elem_size(c->type) * (uint64_t)(n_ranks - 1);

	switch (c->coll) {
	case EMUL_ALL_GATHER:
	case EMUL_REDUCE_SCATTER:
		return bytes * (uint64_t)n_ranks;
	case EMUL_ALL_REDUCE:
		return 2 * bytes;
	default:
		return bytes;
	}
}

static void coll_check(struct rig *r, const struct coll_case *c)
{
	const int n_ranks = r->n_ranks;
	const bool reduces = c->coll == EMUL_ALL_REDUCE || c->coll == EMUL_REDUCE ||
			     c->coll == EMUL_REDUCE_SCATTER;
	struct rig_coll coll = { .n_channels = c->n_channels,
				 .root = c->root,
				 .storage = c->storage,
				 .repeat = c->repeat };
	struct buffers b[RIG_RANKS] = { 0 };
	uint64_t before = rig_bytes(r), moved;
	uint64_t arg = 0;
	const char *err;
	int kind = ELEM_SUM;

	if (reduces)
		ref_device_op(c->type, c->op, n_ranks, &kind, &arg);
	/* What only copies does so byte by byte. */
	coll.fn =
		(struct emul_fn){ c->coll, kind, reduces ? c->type : ELEM_INT8, c->algo, c->proto };
	coll.count = reduces ? c->count : c->count * elem_size(c->type);
	coll.red_arg = c->arg_is_ptr ? (uint64_t)(uintptr_t)&arg : arg;
	coll.red_arg_is_ptr = c->arg_is_ptr;
	for (int rank = 0; rank < n_ranks; rank++) {
		buffers_new(&b[rank], c, n_ranks, rank);
		coll.send[rank] = b[rank].in;
		coll.recv[rank] = b[rank].out;
	}
	err = rig_coll_run(r, &coll);
	if (err)
		fail_msg("%s", err);
	moved = rig_bytes(r) - before;
	for (int rank = 0; rank < n_ranks; rank++) {
		buffers_check(&b[rank], c, n_ranks, rank);
		free(b[rank].in_room);
		free(b[rank].out_room);
	}
	if (r->kind != WIRE_SHARED && c->proto == NCCL_SIMPLE)
		assert_int_equal(moved, traffic(c, n_ranks) * (c->repeat ? c->repeat : 1));
	else if (r->kind != WIRE_SHARED)
		assert_true(moved >= traffic(c, n_ranks));
}

static void rig_up(struct rig *r, int n_ranks, enum wire_kind kind)
{
	assert_int_equal(rig_open(r, n_ranks, kind), 0);
}

static const struct {
	enum emul_coll coll;
	enum emul_algo algo;
} algos[] = {
	{ EMUL_ALL_REDUCE, EMUL_RING }, { EMUL_ALL_REDUCE, EMUL_TREE },
	{ EMUL_ALL_GATHER, EMUL_RING }, { EMUL_REDUCE_SCATTER, EMUL_RING },
	{ EMUL_BROADCAST, EMUL_RING },	{ EMUL_REDUCE, EMUL_RING },
};

#define ALGOS (sizeof(algos) / sizeof(algos[0]))

static const enum wire_kind kinds[] = { WIRE_SHARED, WIRE_NET, WIRE_OFFSET, WIRE_UNPACK };

/* Each algorithm and protocol, ranks, channels, connections and sizes around chunks and slices. One rig for all that
 * it can do in a row: steps go on from operation to operation, aligned or not. */
static void test_shapes(void **state)
{
	static const size_t counts[] = { 1, 5, 1000, 4096, 12345, 40000 };
	struct rig *r = *state;

	for (int n_ranks = 2; n_ranks <= RIG_RANKS; n_ranks++) {
		/* All kinds of connections with three ranks, the two that matter most with others. */
		for (size_t k = n_ranks == 3 ? 0 : 1; k < 4; k += n_ranks == 3 ? 1 : 2) {
			rig_up(r, n_ranks, kinds[k]);
			for (size_t i = 0; i < ALGOS * 2 * 2 * 6; i++) {
				const size_t proto = i / ALGOS % 2, channels = i / ALGOS / 2 % 2;
				const size_t count = i / ALGOS / 4;
				struct coll_case c = {
					.coll = algos[i % ALGOS].coll,
					.algo = algos[i % ALGOS].algo,
					.proto = kinds[k] != WIRE_UNPACK && proto ? NCCL_LL
										  : NCCL_SIMPLE,
					.type = ELEM_FLOAT32,
					.n_channels = 1 + (int)channels,
					.count = counts[count],
					.root = (int)((channels + count) % (size_t)n_ranks),
					.in_place = (proto + channels + count) % 2,
				};

				coll_check(r, &c);
			}
			rig_close(r);
		}
	}
}

static void test_types(void **state)
{
	static const int n_types = ELEM_BFLOAT16 + 1;
	struct rig *r = *state;

	for (int n_ranks = 3; n_ranks <= RIG_RANKS; n_ranks++) {
		rig_up(r, n_ranks, WIRE_NET);
		for (int i = 0; i < n_types * REF_OPS * 2; i++) {
			struct coll_case c = {
				.coll = EMUL_ALL_REDUCE,
				.algo = i / REF_OPS % 2 ? EMUL_TREE : EMUL_RING,
				.proto = i / REF_OPS / n_types ? NCCL_LL : NCCL_SIMPLE,
				.type = i / REF_OPS % n_types,
				.op = i % REF_OPS,
				.n_channels = 1,
				.count = 3001,
			};
			bool real = c.type >= ELEM_FLOAT16;

			/* Users' operators are sums with a factor; a divisor is never in memory. */
			c.arg_is_ptr = i % 2 && (real || c.op != REF_AVG);

			/* A third is not exact. */
			if (c.op == REF_AVG && real && n_ranks == 3)
				continue;
			coll_check(r, &c);
			/* Both algorithms have each type. */
			c.algo = c.algo == EMUL_TREE ? EMUL_RING : EMUL_TREE;
			c.coll = c.algo == EMUL_RING && i % 2 ? EMUL_REDUCE_SCATTER : c.coll;
			c.count = 700;
			coll_check(r, &c);
		}
		rig_close(r);
	}
}

static void test_storage(void **state)
{
	struct rig *r = *state;

	rig_up(r, 3, WIRE_NET);
	for (int i = 0; i < 16; i++) {
		struct coll_case c = {
			.coll = EMUL_ALL_REDUCE,
			.algo = i / 8 ? EMUL_TREE : EMUL_RING,
			.proto = NCCL_SIMPLE,
			.type = ELEM_INT32,
			.n_channels = 2,
			.count = 9999,
			.storage = i % 4,
			.repeat = i % 8 < 4 ? 1 : 3,
		};

		coll_check(r, &c);
#if NCCL_HAS_PROFILER
		const struct nccl_comm *comm = &r->ranks[1].comm;
		uint64_t works = r->ranks[1].channels[1].work_counter;

		assert_int_equal(comm->work_started[1].data[works % NCCL_PROFILER_EVENTS].counter,
				 works);
		assert_int_equal(comm->work_completed[1].data[works % NCCL_PROFILER_EVENTS].counter,
				 works);
#else
		if (c.storage == RIG_FIFO_WRAP)
			assert_int_equal(r->ranks[1].consumed[1],
					 7 * RIG_ARGS - 16 +
						 c.repeat * sizeof(struct nccl_work_coll));
#endif
	}
	rig_close(r);
}

/* The flag is 32 bits of the step: at the end of a cycle all lines of a slot are written. */
static void test_ll_cleaning(void **state)
{
	/* A step each, of a few lines. */
	const struct coll_case c = { .coll = EMUL_BROADCAST,
				     .algo = EMUL_RING,
				     .proto = NCCL_LL,
				     .type = ELEM_FLOAT32,
				     .n_channels = 1,
				     .count = 10,
				     .repeat = 20 };
	struct rig *r = *state;

	rig_up(r, 2, WIRE_NET);
	for (unsigned int i = 0; i < r->n_wires; i++) {
		struct wire *w = &r->wires[i];
		const uint64_t step = 0x7ffffff8u - 4;

		if (!w->send)
			continue;
		w->send->step = step;
		w->recv->step = step;
		w->send_head = step;
		w->recv_head = step;
	}
	coll_check(r, &c);
	for (unsigned int i = 0; i < r->n_wires; i++) {
		const struct wire *w = &r->wires[i];
		const struct nccl_ll_line *line;

		if (!w->send || w->send->step < 0x80000000u)
			continue;
		/* The last line of a slot of the cycle's last 8 steps, which no data has reached. */
		line = (const struct nccl_ll_line *)(w->recv_buff[NCCL_LL] + 4 * WIRE_LL_STEP) - 1;
		assert_int_equal(line->flag1, 0x7ffffff8u + 4);
		assert_int_equal(line->flag2, 0x7ffffff8u + 4);
	}
	rig_close(r);
}

/* All works of channel 0 are in one batch, though two hold them: they must run at once. */
static void assert_extended(struct rig *r)
{
	struct emul_batch batch = { 0 };
	struct emul_block block;

	decode_block(&block, r->ranks[0].args, sizeof(r->ranks[0].args), 0);
	decode_batch(&block, 0, &batch);
	assert_int_equal(batch.n_works, r->n_ranks);
	assert_int_equal(batch.next, -1);
	decode_batch_release(&batch);
}

/* A message without data takes a step, once. */
static uint64_t steps_taken(struct rig *r, int from, int to)
{
	uint64_t steps = 0;

	for (int channel = 0; channel < RIG_CHANNELS; channel++)
		steps += rig_wire(r, channel, from, to, 1)->send->step;
	return steps;
}

static void test_p2p(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 4097, 20000, 100000 };
	struct rig *r = *state;

	for (int i = 0; i < 2 * 3 * 4; i++) {
		struct rig_p2p p2p = { .ll = i % 2, .n_channels = 1 + i / 2 % 2, .storage = i % 4 };
		const int n_ranks = 2 + i / 2 % 3;
		uint8_t *in[RIG_RANKS][RIG_RANKS], *out[RIG_RANKS][RIG_RANKS];
		uint64_t all = 0;
		const char *err;

		rig_up(r, n_ranks, i / 6 == 3 && !p2p.ll ? WIRE_UNPACK : kinds[i / 6 % 3]);
		for (int from = 0; from < n_ranks; from++) {
			for (int to = 0; to < n_ranks; to++) {
				size_t n = sizes[(from * 5 + to + i) % 6];

				p2p.bytes[from][to] = n;
				all += from == to ? 0 : n;
				in[from][to] = malloc(n + 1);
				out[to][from] = malloc(n + 1);
				assert_non_null(in[from][to]);
				assert_non_null(out[to][from]);
				for (size_t k = 0; k < n; k++)
					in[from][to][k] = (uint8_t)ref_input(ELEM_UINT8, REF_SUM,
									     from * 4 + to, k);
				memset(out[to][from], EMPTY, n + 1);
				p2p.send[from][to] = in[from][to];
				p2p.recv[to][from] = out[to][from];
			}
		}
		for (int round = 0; round < 2; round++) {
			err = rig_p2p_run(r, &p2p);
			if (err)
				fail_msg("%s", err);
		}
		assert_extended(r);
		if (r->kind != WIRE_SHARED && !p2p.ll)
			assert_int_equal(rig_bytes(r), 2 * all);
		for (int from = 0; from < n_ranks; from++) {
			for (int to = 0; to < n_ranks; to++) {
				size_t n = p2p.bytes[from][to];

				assert_memory_equal(out[to][from], in[from][to], n);
				if (!n && from != to)
					assert_int_equal(steps_taken(r, from, to), 2);
				assert_int_equal(out[to][from][n], EMPTY);
				free(in[from][to]);
				free(out[to][from]);
			}
		}
		rig_close(r);
	}
}

#if NCCL_HAS_GATHER_V
static void test_gather_v(void **state)
{
	static const size_t sizes[] = { 0, 1, 1000, 8192, 40001 };
	static uint8_t in[RIG_RANKS][40001], out[RIG_RANKS][RIG_RANKS][40001];
	struct rig *r = *state;

	for (int i = 0; i < 3 * 2 * 3 * 2; i++) {
		const int n_ranks = 2 + i % 3;
		struct rig_gather_v gather = { .proto = i / 3 % 2 ? NCCL_LL : NCCL_SIMPLE,
					       .n_channels = 1 + i / 18 };
		const enum wire_kind kind =
			kinds[i / 6 % 3 == 2 && gather.proto == NCCL_SIMPLE ? 3 : i / 6 % 2];
		const char *err;

		gather.chunk = gather.proto == NCCL_LL ? WIRE_LL_STEP / 2 : WIRE_SIMPLE_STEP;
		rig_up(r, n_ranks, kind);
		memset(out, EMPTY, sizeof(out));
		for (int rank = 0; rank < n_ranks; rank++) {
			const bool in_place = (rank + i) % 2;
			uint8_t *own = in_place ? out[rank][rank] : in[rank];

			gather.bytes[rank] = sizes[(rank * 3 + i) % 5];
			gather.send[rank] = own;
			for (size_t k = 0; k < gather.bytes[rank]; k++)
				own[k] = (uint8_t)ref_input(ELEM_UINT8, REF_SUM, rank, k);
			for (int block = 0; block < n_ranks; block++)
				gather.recv[rank][block] = out[rank][block];
		}
		err = rig_gather_v_run(r, &gather);
		if (err)
			fail_msg("%s", err);
		for (int rank = 0; rank < n_ranks; rank++) {
			for (int block = 0; block < n_ranks; block++) {
				for (size_t k = 0; k < gather.bytes[block]; k++)
					assert_int_equal(
						out[rank][block][k],
						(uint8_t)ref_input(ELEM_UINT8, REF_SUM, block, k));
			}
		}
		rig_close(r);
	}
}
#endif

struct alone {
	struct rig *rig;
	struct rig_coll coll;
};

static void *alone_run(void *arg)
{
	struct alone *a = arg;

	rig_coll_alone(a->rig, &a->coll, 0);
	return NULL;
}

/* Nobody answers; the abort flag ends all waits. */
static void test_abort(void **state)
{
	static uint8_t in[100000], out[100000];
	struct rig *r = *state;

	for (size_t i = 0; i < 2 * ALGOS; i++) {
		struct alone a = { .rig = r };
		pthread_t thread;

		rig_up(r, 3, WIRE_NET);
		a.coll = (struct rig_coll){ .fn = { algos[i / 2].coll, ELEM_SUM, ELEM_INT8,
						    algos[i / 2].algo,
						    i % 2 ? NCCL_LL : NCCL_SIMPLE },
					    .count = sizeof(in) / 3,
					    .n_channels = 1,
					    .send = { in },
					    .recv = { out } };
		assert_int_equal(pthread_create(&thread, NULL, alone_run, &a), 0);
		__atomic_store_n(&r->ranks[0].abort_flag, 1, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		rig_close(r);
	}
}

int main(void)
{
	static struct rig rig;
	const struct CMUnitTest tests[] = {
#if NCCL_HAS_GATHER_V
		cmocka_unit_test_prestate(test_gather_v, &rig),
#endif
		cmocka_unit_test_prestate(test_shapes, &rig),
		cmocka_unit_test_prestate(test_types, &rig),
		cmocka_unit_test_prestate(test_storage, &rig),
		cmocka_unit_test_prestate(test_ll_cleaning, &rig),
		cmocka_unit_test_prestate(test_p2p, &rig),
		cmocka_unit_test_prestate(test_abort, &rig),
	};

	table_fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
