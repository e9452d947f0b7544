// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ring algorithms (runRing() in src/device/all_reduce.h, all_gather.h, reduce_scatter.h, broadcast.h, reduce.h).
 * Data goes from each rank to the next; block j of a buffer is the one that belongs to the rank j hops ahead.
 */
#include <string.h>

#include "algo.h"
#include "wait.h"

struct ring {
	struct emul_block *block;
	const struct emul_work_coll *work;
	struct algo_part part;
	struct prims prims;
	bool offload;
};

static void ring_open(struct ring *r, const struct emul_fn *fn, int slices, int steps,
		      bool registers)
{
	const bool net_reg = registers && r->work->net_reg;
	struct prims_config cfg = {
		.proto = fn->proto,
		.recv_peers = &r->block->ring_prev,
		.send_peers = &r->block->ring_next,
		.max_recv = 1,
		.max_send = 1,
		.input = r->work->send_buff,
		.output = r->work->recv_buff,
		.op = algo_op(fn, r->work),
		.slices_per_chunk = slices,
		.steps_per_slice = steps,
		.recv_net_reg = net_reg,
		.send_net_reg = net_reg,
	};

	algo_part_get(r->block, fn, r->work, &r->part);
	r->offload = net_reg && r->work->one_rank_per_node && fn->proto == NCCL_SIMPLE;
	if (r->offload && fn->coll == EMUL_ALL_GATHER) {
		cfg.slices_per_chunk = 1;
		cfg.steps_per_slice = 1;
		cfg.step_size = NCCL_MAX_NET;
		cfg.offload = true;
		r->part.chunk = NCCL_MAX_NET;
	}
	algo_part_check(&r->part);
	prims_open(&r->prims, r->block, &cfg);
}

/* Where the data is sent from the user's buffer by the NIC, own data goes to its place beside that. */
static void copy_own(uint8_t *dst, const uint8_t *src, size_t n)
{
	if (dst != src)
		memcpy(dst, src, n);
}

static void all_reduce(struct ring *r)
{
	const ssize_t n_ranks = r->block->comm.n_ranks;
	const ssize_t count = (ssize_t)r->part.count;
	const size_t align = 16 / r->prims.elem;
	ssize_t chunk = (ssize_t)r->part.chunk;
	const ssize_t loop = n_ranks * chunk;

	for (ssize_t done = 0; done < count; done += loop) {
		ssize_t left = count - done;

		if (left < loop) {
			size_t even = emul_div_up((size_t)left, (size_t)n_ranks);

			chunk = (ssize_t)(emul_div_up(even, align) * align);
		}
		/* 2 (n - 1) hops for each chunk, of which this rank sees all but one. */
		for (ssize_t hop = 1; hop <= 2 * n_ranks - 1; hop++) {
			ssize_t j = (r->block->ring_index + 2 * n_ranks - hop) % n_ranks;
			ssize_t off = j * chunk;
			size_t at = r->part.offset + (size_t)(done + off);
			ssize_t n = left - off < chunk ? left - off : chunk;
			unsigned int flags = PRIMS_DIRECT_RECV | PRIMS_DIRECT_SEND;

			if (hop == 1)
				flags = PRIMS_IN | PRIMS_SEND | PRIMS_DIRECT_SEND;
			else if (hop < n_ranks)
				flags |= PRIMS_RECV | PRIMS_IN | PRIMS_SEND;
			else if (hop == n_ranks)
				flags |=
					PRIMS_RECV | PRIMS_IN | PRIMS_OUT | PRIMS_SEND | PRIMS_POST;
			else if (hop < 2 * n_ranks - 1)
				flags |= PRIMS_RECV | PRIMS_OUT | PRIMS_SEND;
			else
				flags = PRIMS_RECV | PRIMS_OUT | PRIMS_DIRECT_RECV;
			prims_op(&r->prims, flags, at, at, n);
		}
	}
}

static void all_gather(struct ring *r)
{
	const int n_ranks = r->block->comm.n_ranks;
	const int *ranks = r->block->ring_ranks;
	const uint8_t *in = r->work->send_buff;
	uint8_t *out = r->work->recv_buff;

	for (size_t done = 0; done < r->part.count; done += r->part.chunk) {
		ssize_t n = (ssize_t)emul_min(r->part.chunk, r->part.count - done);
		size_t at = r->part.offset + done;
		size_t to = at + (size_t)ranks[0] * r->part.total;
		unsigned int flags = PRIMS_IN | PRIMS_SEND | PRIMS_DIRECT_SEND;

		if (in + at * r->prims.elem != out + to * r->prims.elem && !r->offload)
			flags |= PRIMS_OUT;
		prims_op(&r->prims, flags, at, to, n);
		for (int j = 1; j < n_ranks - 1; j++) {
			to = at + (size_t)ranks[n_ranks - j] * r->part.total;
			prims_op(&r->prims,
				 PRIMS_RECV | PRIMS_OUT | PRIMS_SEND | PRIMS_DIRECT_RECV |
					 PRIMS_DIRECT_SEND,
				 to, to, n);
		}
		to = at + (size_t)ranks[1] * r->part.total;
		prims_op(&r->prims, PRIMS_RECV | PRIMS_OUT | PRIMS_DIRECT_RECV, to, to, n);
	}
	if (r->offload)
		copy_own(out + ((size_t)ranks[0] * r->part.total + r->part.offset) * r->prims.elem,
			 in + r->part.offset * r->prims.elem, r->part.count * r->prims.elem);
}

static void reduce_scatter(struct ring *r)
{
	const int n_ranks = r->block->comm.n_ranks;
	const int *ranks = r->block->ring_ranks;

	for (size_t done = 0; done < r->part.count; done += r->part.chunk) {
		ssize_t n = (ssize_t)emul_min(r->part.chunk, r->part.count - done);
		size_t at = r->part.offset + done;

		prims_op(&r->prims, PRIMS_IN | PRIMS_SEND,
			 at + (size_t)ranks[n_ranks - 1] * r->part.total, 0, n);
		for (int j = 2; j < n_ranks; j++)
			prims_op(&r->prims, PRIMS_RECV | PRIMS_IN | PRIMS_SEND,
				 at + (size_t)ranks[n_ranks - j] * r->part.total, 0, n);
		prims_op(&r->prims, PRIMS_RECV | PRIMS_IN | PRIMS_OUT | PRIMS_POST,
			 at + (size_t)ranks[0] * r->part.total, at, n);
	}
}

static void broadcast(struct ring *r)
{
	const int *ranks = r->block->ring_ranks;
	const bool root = (uint32_t)ranks[0] == r->work->root;
	unsigned int flags =
		PRIMS_RECV | PRIMS_OUT | PRIMS_SEND | PRIMS_DIRECT_RECV | PRIMS_DIRECT_SEND;

	if (root && (r->work->send_buff == r->work->recv_buff || r->offload))
		flags = PRIMS_IN | PRIMS_SEND | PRIMS_DIRECT_SEND;
	else if (root)
		flags = PRIMS_IN | PRIMS_OUT | PRIMS_SEND | PRIMS_DIRECT_SEND;
	else if ((uint32_t)ranks[1] == r->work->root)
		flags = PRIMS_RECV | PRIMS_OUT | PRIMS_DIRECT_RECV;
	for (size_t done = 0; done < r->part.count; done += r->part.chunk) {
		size_t at = r->part.offset + done;

		prims_op(&r->prims, flags, at, at,
			 (ssize_t)emul_min(r->part.chunk, r->part.count - done));
	}
	if (r->offload && root)
		copy_own(r->work->recv_buff + r->part.offset * r->prims.elem,
			 r->work->send_buff + r->part.offset * r->prims.elem,
			 r->part.count * r->prims.elem);
}

static void reduce(struct ring *r)
{
	const int *ranks = r->block->ring_ranks;
	unsigned int flags = PRIMS_RECV | PRIMS_IN | PRIMS_SEND;

	if ((uint32_t)ranks[r->block->comm.n_ranks - 1] == r->work->root)
		flags = PRIMS_IN | PRIMS_SEND;
	else if ((uint32_t)r->block->comm.rank == r->work->root)
		flags = PRIMS_RECV | PRIMS_IN | PRIMS_OUT | PRIMS_POST;
	for (size_t done = 0; done < r->part.count; done += r->part.chunk) {
		size_t at = r->part.offset + done;

		prims_op(&r->prims, flags, at, at,
			 (ssize_t)emul_min(r->part.chunk, r->part.count - done));
	}
}

void ring_run(struct emul_block *block, const struct emul_fn *fn, const struct emul_work_coll *work)
{
	struct ring r = { .block = block, .work = work };

	/* Chunks of 4 steps in 2 slices, or of 1 step: *_CHUNKSTEPS, *_SLICESTEPS in src/include/collectives.h. */
	switch (fn->coll) {
	case EMUL_ALL_REDUCE:
		ring_open(&r, fn, 2, 2, true);
		all_reduce(&r);
		break;
	case EMUL_ALL_GATHER:
		ring_open(&r, fn, 2, 2, true);
		all_gather(&r);
		break;
	case EMUL_REDUCE_SCATTER:
		ring_open(&r, fn, 2, 2, false);
		reduce_scatter(&r);
		break;
	case EMUL_BROADCAST:
		ring_open(&r, fn, 1, 1, true);
		broadcast(&r);
		break;
	case EMUL_REDUCE:
		ring_open(&r, fn, 1, 1, false);
		reduce(&r);
		break;
	default:
		emul_die("collective %d is not one of the ring", (int)fn->coll);
	}
	prims_close(&r.prims);
}

void gather_v_run(struct emul_block *block, const struct emul_fn *fn, struct emul_work_bcast *works,
		  unsigned int n)
{
	const struct prims_config cfg = {
		.proto = fn->proto,
		.recv_peers = &block->ring_prev,
		.send_peers = &block->ring_next,
		.max_recv = 1,
		.max_send = 1,
		.op = { .kind = ELEM_SUM, .type = ELEM_INT8 },
		.slices_per_chunk = 1,
		.steps_per_slice = 1,
	};
	unsigned int left = n;
	struct prims prims;

	prims_open(&prims, block, &cfg);
	/* A chunk of each in turn (runAllGatherV() in src/device/all_gather_v.h). */
	for (unsigned int i = 0; i < n; i++)
		left -= !works[i].bytes;
	for (unsigned int i = 0; left; i = (i + 1) % n) {
		struct emul_work_bcast *w = &works[i];
		size_t now = emul_min(w->bytes, w->chunk);
		unsigned int flags = PRIMS_RECV | PRIMS_OUT | PRIMS_SEND;

		if (!w->bytes)
			continue;
		if (!w->chunk)
			emul_die("a broadcast in chunks of 0 bytes");
		if (!w->ring_depth)
			flags = PRIMS_IN | PRIMS_SEND |
				(w->send_buff == w->recv_buff ? 0 : PRIMS_OUT);
		else if (w->ring_depth == block->comm.n_ranks - 1)
			flags = PRIMS_RECV | PRIMS_OUT;
		prims_set_buffers(&prims, w->ring_depth ? NULL : w->send_buff, w->recv_buff);
		prims_op(&prims, flags, w->bytes_done, w->bytes_done, (ssize_t)now);
		w->bytes_done += now;
		w->bytes -= now;
		left -= !w->bytes;
	}
	prims_close(&prims);
}
