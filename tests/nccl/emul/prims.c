// SPDX-License-Identifier: BSD-3-Clause
#include "prims.h"
#include "stats.h"
#include "wait.h"

static void conn_open(struct prims *p, struct prims_conn *c, int peer, bool recv)
{
	struct nccl_peer *entry = p->block->peers[peer];

	c->peer = peer;
	c->conn = recv ? &entry->recv[p->cfg.conn_index] : &entry->send[p->cfg.conn_index];
	c->step = c->conn->step;
	c->first = c->step;
	if (!c->conn->head || !c->conn->tail || !c->conn->buff[p->cfg.proto])
		emul_die("rank %d, channel %d: no %s connection %d with rank %d",
			 p->block->comm.rank, p->block->channel, recv ? "receive" : "send",
			 p->cfg.conn_index, peer);
	c->net_reg = (recv ? p->cfg.recv_net_reg : p->cfg.send_net_reg) &&
		     (c->conn->flags & NCCL_DIRECT_NIC);
	c->unpack = recv && c->conn->net.type == NCCL_NET_UNPACK;
}

void prims_open(struct prims *p, struct emul_block *block, const struct prims_config *cfg)
{
	p->block = block;
	p->cfg = *cfg;
	p->elem = elem_size(cfg->op.type);
	p->n_recv = 0;
	p->n_send = 0;
	prims_set_buffers(p, cfg->input, cfg->output);
	while (p->n_recv < cfg->max_recv && cfg->recv_peers[p->n_recv] >= 0) {
		conn_open(p, &p->recv[p->n_recv], cfg->recv_peers[p->n_recv], true);
		p->n_recv++;
	}
	while (p->n_send < cfg->max_send && cfg->send_peers[p->n_send] >= 0) {
		conn_open(p, &p->send[p->n_send], cfg->send_peers[p->n_send], false);
		p->n_send++;
	}
	switch (cfg->proto) {
	case NCCL_SIMPLE:
		simple_open(p);
		return;
	case NCCL_LL:
		ll_open(p);
		return;
	default:
		emul_die("protocol LL128 is not emulated");
	}
}

void prims_op(struct prims *p, unsigned int flags, size_t src, size_t dst, ssize_t n)
{
	if (n < 0)
		n = 0;
	if (p->cfg.proto == NCCL_SIMPLE)
		simple_op(p, flags, src, dst, (size_t)n);
	else
		ll_op(p, flags, src, dst, (size_t)n);
}

void prims_set_buffers(struct prims *p, const void *input, void *output)
{
	p->input = input;
	p->output = output;
}

void prims_close(struct prims *p)
{
	if (p->cfg.proto == NCCL_SIMPLE)
		simple_close(p);
	else if (p->n_recv)
		emul_stat_add(EMUL_STAT_ll_steps, p->recv[0].step - p->recv[0].first);
	for (int i = 0; i < p->n_recv; i++)
		p->recv[i].conn->step = p->recv[i].step;
	for (int i = 0; i < p->n_send; i++)
		p->send[i].conn->step = p->send[i].step;
}
