// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static unsigned int wire_index(const struct rig *r, int channel, int from, int to, int conn)
{
	return (unsigned int)(((channel * r->n_ranks + from) * r->n_ranks + to) * NCCL_CONNS +
			      conn);
}

static int rank_at(const struct rig *r, int channel, int position)
{
	position = (position % r->n_ranks + r->n_ranks) % r->n_ranks;
	return channel % 2 ? r->n_ranks - 1 - position : position;
}

static void channel_fill(struct rig *r, int rank, int channel)
{
	struct rig_rank *self = &r->ranks[rank];
	struct nccl_channel *c = &self->channels[channel];
	const int position = channel % 2 ? r->n_ranks - 1 - rank : rank;

	for (int i = 0; i < r->n_ranks; i++) {
		self->ring[channel][i] = rank_at(r, channel, position + i);
		self->peers[channel][i] = &self->peer[channel][i];
	}
	c->peers = self->peers[channel];
	c->ring.index = position;
	c->ring.next = rank_at(r, channel, position + 1);
	c->ring.prev = rank_at(r, channel, position - 1);
	c->ring.user_ranks = self->ring[channel];
	c->tree.up = -1;
	for (int i = 0; i < NCCL_TREE_ARITY; i++)
		c->tree.down[i] = -1;
	if (channel % 2) {
		if (rank < r->n_ranks - 1)
			c->tree.up = rank + 1;
		if (rank)
			c->tree.down[0] = rank - 1;
		return;
	}
	if (rank)
		c->tree.up = r->n_ranks == 4 && rank > 1 ? 1 : 0;
	if (!rank && r->n_ranks == 4) {
		c->tree.down[0] = 1;
	} else if (!rank || (rank == 1 && r->n_ranks == 4)) {
		for (int i = 0, to = rank + 1; to < r->n_ranks; i++, to++)
			c->tree.down[i] = to;
	}
}

static int wires_open(struct rig *r)
{
	const size_t per_rank =
		(size_t)RIG_CHANNELS * (size_t)r->n_ranks * NCCL_CONNS * WIRE_BOUNCE;

	r->n_wires = (unsigned int)(RIG_CHANNELS * r->n_ranks * r->n_ranks * NCCL_CONNS);
	r->wires = calloc(r->n_wires, sizeof(*r->wires));
	if (!r->wires)
		return -ENOMEM;
	for (int i = 0; i < r->n_ranks && r->kind == WIRE_UNPACK; i++) {
		r->ranks[i].bounce = aligned_alloc(64, per_rank);
		if (!r->ranks[i].bounce)
			return -ENOMEM;
	}
	for (int channel = 0; channel < RIG_CHANNELS; channel++) {
		for (int i = 0; i < r->n_ranks * r->n_ranks * NCCL_CONNS; i++) {
			int conn = i % NCCL_CONNS;
			int from = i / NCCL_CONNS / r->n_ranks, to = i / NCCL_CONNS % r->n_ranks;
			int part = (channel * r->n_ranks + from) * NCCL_CONNS + conn;

			if (from == to)
				continue;
			if (wire_open(&r->wires[wire_index(r, channel, from, to, conn)], r->kind,
				      &r->ranks[from].peer[channel][to].send[conn],
				      &r->ranks[to].peer[channel][from].recv[conn],
				      r->ranks[to].bounce, (size_t)part * WIRE_BOUNCE))
				return -ENOMEM;
		}
	}
	return 0;
}

int rig_open(struct rig *r, int n_ranks, enum wire_kind kind)
{
	memset(r, 0, sizeof(*r));
	r->n_ranks = n_ranks;
	r->kind = kind;
	for (int rank = 0; rank < n_ranks; rank++) {
		struct rig_rank *self = &r->ranks[rank];

		self->comm.rank = rank;
		self->comm.n_ranks = n_ranks;
		self->comm.buff_size[NCCL_SIMPLE] = NCCL_STEPS * WIRE_SIMPLE_STEP;
		self->comm.buff_size[NCCL_LL] = NCCL_STEPS * WIRE_LL_STEP;
		self->comm.p2p_chunk_size = WIRE_SIMPLE_STEP;
		self->comm.abort_flag = &self->abort_flag;
		self->comm.channels = self->channels;
#if NCCL_HAS_PROFILER
		self->comm.work_started = calloc(RIG_CHANNELS, sizeof(struct nccl_profiler));
		self->comm.work_completed = calloc(RIG_CHANNELS, sizeof(struct nccl_profiler));
		if (!self->comm.work_started || !self->comm.work_completed)
			return -ENOMEM;
#else
		self->comm.work_consumed = self->consumed;
#endif
		for (int channel = 0; channel < RIG_CHANNELS; channel++)
			channel_fill(r, rank, channel);
	}
	return wires_open(r);
}

void rig_close(struct rig *r)
{
	for (unsigned int i = 0; r->wires && i < r->n_wires; i++)
		wire_close(&r->wires[i]);
	free(r->wires);
	for (int i = 0; i < r->n_ranks; i++) {
		free(r->ranks[i].bounce);
#if NCCL_HAS_PROFILER
		free(r->ranks[i].comm.work_started);
		free(r->ranks[i].comm.work_completed);
#endif
	}
}

struct wire *rig_wire(struct rig *r, int channel, int from, int to, int conn)
{
	return &r->wires[wire_index(r, channel, from, to, conn)];
}

uint64_t rig_bytes(const struct rig *r)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < r->n_wires; i++)
		n += r->wires[i].bytes;
	return n;
}
