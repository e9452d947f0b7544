// SPDX-License-Identifier: BSD-3-Clause
/* Launches of the rig: the bytes that NCCL's host code (src/enqueue.cc) would hand to a kernel. */
#include <pthread.h>
#include <string.h>

#include "abi/work.h"
#include "elem.h"
#include "fn.h"
#include "rig.h"

#define FIFO_MASK (RIG_ARGS - 1)

/* A number for fn, as the table of this test has it. */
static uint32_t fn_id(const struct emul_fn *fn)
{
	for (unsigned int row = 0; row < emul_fn_rows(); row++) {
		struct emul_fn f;

		emul_fn_row(row, &f);
		if (f.coll == fn->coll && f.op == fn->op && f.type == fn->type &&
		    f.algo == fn->algo && f.proto == fn->proto)
			return (uint32_t)emul_fn_id(row);
	}
	return (1u << 15) - 1;
}

/* Where the works begin. Around the end: the first is in two parts. */
static uint32_t works_base(enum rig_storage storage)
{
	switch (storage) {
	case RIG_IN_ARGS:
		return sizeof(struct nccl_args) + 4 * sizeof(struct nccl_batch);
	case RIG_FIFO_WRAP:
		return 7 * RIG_ARGS - 16;
	default:
		return 0;
	}
}

static void works_write(struct rig_rank *self, enum rig_storage storage, size_t at,
			const void *work, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t byte = ((const uint8_t *)work)[i];

		if (storage == RIG_IN_ARGS)
			self->args[at + i] = byte;
		else
			self->fifo[(at + i) & FIFO_MASK] = byte;
	}
}

/* One batch for each channel, with the same works. Two works or more become two batches on channel 0. */
static void args_fill(struct rig_rank *self, enum rig_storage storage, int n_channels, uint32_t fn,
		      uint32_t type, size_t size, unsigned int n_works)
{
	struct nccl_args *args = (struct nccl_args *)self->args;
	struct nccl_batch *batch = (struct nccl_batch *)(args + 1);

	memset(args, 0, sizeof(*args) + 4 * sizeof(*batch));
	args->comm = &self->comm;
	args->channel_mask = (1u << n_channels) - 1;
	args->storage = storage == RIG_IN_ARGS	    ? NCCL_WORK_ARGS
			: storage == RIG_PERSISTENT ? NCCL_WORK_PERSISTENT
						    : NCCL_WORK_FIFO;
	args->work_mask = storage == RIG_PERSISTENT ? UINT32_MAX : FIFO_MASK;
	args->work_buf = self->fifo;
	for (int i = 0; i < n_channels; i++) {
		batch[i].work_type = type & 3;
		batch[i].func_id = fn & 0x7fff;
		batch[i].offset_base = works_base(storage);
		batch[i].offset_bits = (1ull << n_works) - 1;
	}
	if (n_works < 2)
		return;
	batch[2] = batch[0];
	batch[2].offset_base += (uint32_t)size;
	batch[2].offset_bits >>= 1;
	batch[0].offset_bits = 1;
	batch[0].next_jump = 2;
	if (type == NCCL_WORK_P2P)
		batch[0].next_extends = 1;
}

static void coll_fill(struct rig *r, const struct rig_coll *coll, int rank)
{
	const size_t elem = elem_size(coll->fn.type);
	const size_t grain = coll->fn.proto == NCCL_LL ? 16 : 512;
	const size_t chunk_steps = coll->fn.algo == EMUL_TREE || coll->fn.coll == EMUL_BROADCAST ||
						   coll->fn.coll == EMUL_REDUCE
					   ? 1
					   : 4;
	const unsigned int n_works = coll->repeat ? coll->repeat : 1;
	struct rig_rank *self = &r->ranks[rank];
	struct nccl_work_coll work = { 0 };
	size_t chunk;

	chunk = coll->fn.proto == NCCL_LL ? WIRE_LL_STEP / 2 : chunk_steps * WIRE_SIMPLE_STEP;
	work.channel_hi = (unsigned int)(coll->n_channels - 1) & 0xff;
	work.n_warps = 4;
	work.root = (uint32_t)coll->root;
	work.send_buff = (void *)(uintptr_t)coll->send[rank];
	work.recv_buff = coll->recv[rank];
	work.red_arg = coll->red_arg;
#if EMUL_NCCL < 22300
	if (coll->fn.op == ELEM_SUM_POST_DIV && !coll->red_arg_is_ptr)
		work.red_arg >>= 1;
#endif
	work.red_arg_is_ptr = coll->red_arg_is_ptr;
	work.count_lo = coll->count;
	/* NCCL divides by grains: the last channel has the odd rest. */
	if (coll->n_channels > 1)
		work.count_lo = coll->count / 3 * elem / grain * grain / elem;
	work.count_hi = coll->count - work.count_lo;
	if (coll->n_channels == 1)
		work.count_hi = 0;
	/* The first channel in smaller chunks. */
	work.grains_lo = (coll->n_channels > 1 ? chunk / 2 : chunk) / grain;
	work.grains_hi = chunk / grain;
#if NCCL_HAS_PROFILER
	work.profiler = 1;
	work.net_reg_used = coll->net_reg;
	work.one_rank_per_node = coll->one_rank_per_node;
	/* The largest chunk, of which the bitfield keeps nothing. */
	if (coll->fn.coll == EMUL_ALL_GATHER && coll->net_reg && coll->one_rank_per_node)
		work.grains_lo = (NCCL_MAX_NET / 512) & ((1u << 21) - 1);
#endif
	args_fill(self, coll->storage, coll->n_channels, fn_id(&coll->fn), NCCL_WORK_COLL,
		  sizeof(work), n_works);
	for (unsigned int i = 0; i < n_works; i++)
		works_write(self, coll->storage, works_base(coll->storage) + i * sizeof(work),
			    &work, sizeof(work));
}

/* A chunk size that 8 bits can say: 3 bits of mantissa. */
static uint8_t fp8_encode(size_t x)
{
	uint8_t exp = 0;

	for (; x > 15; x >>= 1)
		exp++;
	return x < 8 ? (uint8_t)x : (uint8_t)((exp + 1) << 3 | (x & 7));
}

static void p2p_fill(struct rig *r, const struct rig_p2p *p2p, int rank)
{
	const size_t chunk = p2p->ll ? WIRE_LL_STEP / 2 : WIRE_SIMPLE_STEP;
	const struct emul_fn fn = { EMUL_SEND_RECV, ELEM_SUM, ELEM_INT8, EMUL_RING, NCCL_SIMPLE };
	struct rig_rank *self = &r->ranks[rank];
	unsigned int n = (unsigned int)r->n_ranks;

	args_fill(self, p2p->storage, p2p->n_channels, fn_id(&fn), NCCL_WORK_P2P,
		  sizeof(struct nccl_work_p2p), n);
	/* Round i: to the rank i further on, from the one i behind; round 0 is to itself. */
	for (unsigned int i = 0; i < n; i++) {
		unsigned int to = ((unsigned int)rank + i) % n,
			     from = ((unsigned int)rank + n - i) % n;
		struct nccl_work_p2p work = {
			.send_addr = (void *)(uintptr_t)p2p->send[rank][to],
			.recv_addr = p2p->recv[rank][from],
			.send_bytes = p2p->bytes[rank][to],
			.recv_bytes = p2p->bytes[from][rank],
			.send_rank = (int)to,
			.recv_rank = (int)from,
			.n_channels = (uint8_t)p2p->n_channels,
			.channel_base = (uint8_t)(i % (unsigned int)p2p->n_channels),
			/* What is small takes one channel. */
			.n_send_channels =
				p2p->bytes[rank][to] > 4096 ? (uint8_t)p2p->n_channels : 1,
			.n_recv_channels =
				p2p->bytes[from][rank] > 4096 ? (uint8_t)p2p->n_channels : 1,
			.send_chunk_fp8 = fp8_encode(chunk),
			.recv_chunk_fp8 = fp8_encode(chunk),
			.send_ll = p2p->ll,
			.recv_ll = p2p->ll,
#if EMUL_NCCL < 22300
			.send_registered = p2p->net_reg,
			.recv_registered = p2p->net_reg,
#else
			.send_net_reg = p2p->net_reg,
			.recv_net_reg = p2p->net_reg,
#endif
		};

		works_write(self, p2p->storage, works_base(p2p->storage) + i * sizeof(work), &work,
			    sizeof(work));
	}
}

struct block_run {
	struct rig_rank *rank;
	unsigned int index;
	pthread_t thread;
};

static void *block_thread(void *arg)
{
	struct block_run *b = arg;

	emul_block_run(b->rank->args, sizeof(b->rank->args), b->index);
	return NULL;
}

static const char *launch(struct rig *r, int n_channels, int proto, uint64_t chunk_steps,
			  uint64_t slice_steps)
{
	struct block_run blocks[RIG_RANKS * RIG_CHANNELS];
	struct wire_proxy proxy;
	const char *failed = NULL;
	int n = 0;

	for (unsigned int i = 0; i < r->n_wires; i++) {
		if (r->wires[i].send)
			wire_begin(&r->wires[i], proto, chunk_steps, slice_steps);
	}
	if (wire_proxy_start(&proxy, r->wires, r->n_wires))
		return "no thread for the proxy";
	for (int rank = 0; rank < r->n_ranks; rank++) {
		for (int i = 0; i < n_channels; i++, n++) {
			blocks[n].rank = &r->ranks[rank];
			blocks[n].index = (unsigned int)i;
			if (pthread_create(&blocks[n].thread, NULL, block_thread, &blocks[n]))
				return "no thread for a block";
		}
	}
	for (int i = 0; i < n; i++)
		pthread_join(blocks[i].thread, NULL);
	wire_proxy_stop(&proxy);
	for (unsigned int i = 0; i < r->n_wires; i++) {
		const struct wire *w = &r->wires[i];

		if (w->failed)
			failed = w->failed;
		else if (w->send && w->send->step != w->recv->step)
			failed = "the ends of a connection took different numbers of steps";
	}
	return failed;
}

const char *rig_coll_run(struct rig *r, const struct rig_coll *coll)
{
	const bool offload = coll->net_reg && coll->one_rank_per_node;
	const bool single = coll->fn.algo == EMUL_TREE || coll->fn.coll == EMUL_BROADCAST ||
			    coll->fn.coll == EMUL_REDUCE || offload;

	for (int rank = 0; rank < r->n_ranks; rank++)
		coll_fill(r, coll, rank);
	return launch(r, coll->n_channels, coll->fn.proto, single ? 1 : 4, single ? 1 : 2);
}

const char *rig_p2p_run(struct rig *r, const struct rig_p2p *p2p)
{
	for (int rank = 0; rank < r->n_ranks; rank++)
		p2p_fill(r, p2p, rank);
	return launch(r, p2p->n_channels, p2p->ll ? NCCL_LL : NCCL_SIMPLE, 1, 1);
}

#if NCCL_HAS_GATHER_V
/* Each channel has a part of each block. */
static void gather_v_fill(struct rig *r, const struct rig_gather_v *gather, int rank)
{
	const struct emul_fn fn = { EMUL_ALL_GATHER_V, ELEM_SUM, ELEM_INT8, EMUL_RING,
				    gather->proto };
	const size_t size = sizeof(struct nccl_work_bcast);
	struct rig_rank *self = &r->ranks[rank];
	struct nccl_batch *batch = (struct nccl_batch *)(self->args + sizeof(struct nccl_args));
	const unsigned int n = (unsigned int)r->n_ranks;

	args_fill(self, RIG_IN_ARGS, gather->n_channels, fn_id(&fn), NCCL_WORK_BCAST, size, 1);
	for (int channel = 0; channel < gather->n_channels; channel++) {
		const uint32_t base =
			works_base(RIG_IN_ARGS) + (uint32_t)channel * n * (uint32_t)size;

		batch[channel].offset_base = base;
		batch[channel].offset_bits = (1u << n) - 1;
		for (unsigned int block = 0; block < n; block++) {
			const int me = channel % 2 ? r->n_ranks - 1 - rank : rank;
			const int root = channel % 2 ? r->n_ranks - 1 - (int)block : (int)block;
			const size_t half = gather->n_channels > 1 ? gather->bytes[block] / 3 : 0;
			const size_t at = channel ? half : 0;
			const size_t end =
				gather->n_channels > 1 && !channel ? half : gather->bytes[block];
			const struct nccl_work_bcast work = {
				.ring_depth = (me + r->n_ranks - root) % r->n_ranks,
				.chunk_size = (int)gather->chunk,
				.send_buff = (uint8_t *)(uintptr_t)gather->send[block] + at,
				.recv_buff = (uint8_t *)gather->recv[rank][block] + at,
				.bytes = end - at,
			};

			works_write(self, RIG_IN_ARGS, base + block * size, &work, size);
		}
	}
}

const char *rig_gather_v_run(struct rig *r, const struct rig_gather_v *gather)
{
	for (int rank = 0; rank < r->n_ranks; rank++)
		gather_v_fill(r, gather, rank);
	return launch(r, gather->n_channels, gather->proto, 1, 1);
}
#endif

void rig_coll_alone(struct rig *r, const struct rig_coll *coll, int rank)
{
	coll_fill(r, coll, rank);
	emul_block_run(r->ranks[rank].args, sizeof(r->ranks[rank].args), 0);
}
