// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sends and receives (src/device/sendrecv.h): all of a batch at once, since a peer may only send when it has
 * received. A message of 0 bytes is one chunk without data.
 */
#include <string.h>

#include "algo.h"
#include "wait.h"

/* Works of a batch: NCCL_MAX_DEV_WORK_P2P_PER_BATCH. */
#define WORKS 8

struct job {
	struct emul_block *block;
	const struct emul_work_p2p *work;
	bool send;
};

static void job_run(void *arg)
{
	struct job *job = arg;
	const struct emul_work_p2p *w = job->work;
	const bool reg = job->send ? w->send_net_reg : w->recv_net_reg;
	const size_t bytes = job->send ? w->send_bytes : w->recv_bytes;
	size_t chunk = job->send ? w->send_chunk : w->recv_chunk;
	struct prims_config cfg = {
		.proto = (job->send ? w->send_ll : w->recv_ll) ? NCCL_LL : NCCL_SIMPLE,
		.recv_peers = &w->recv_rank,
		.send_peers = &w->send_rank,
		.max_recv = !job->send,
		.max_send = job->send,
		.conn_index = 1,
		.input = w->send_addr,
		.output = w->recv_addr,
		.op = { .kind = ELEM_SUM, .type = ELEM_INT8 },
		.slices_per_chunk = 1,
		.steps_per_slice = 1,
		.step_size = (size_t)job->block->comm.p2p_chunk_size,
		.p2p = true,
		.recv_net_reg = w->recv_net_reg,
		.send_net_reg = w->send_net_reg,
	};
	struct prims prims;
	size_t at = 0;

	if (reg && job->block->comm.reg_unsized) {
		/* The proxy knows the size and the address: one step, whatever the size. */
		cfg.offload = true;
		chunk = bytes;
	} else if (reg) {
		cfg.step_size = NCCL_MAX_NET;
		chunk = NCCL_MAX_NET;
	}
	prims_open(&prims, job->block, &cfg);
	do {
		size_t n = emul_min(chunk, bytes - at);

		if (job->send)
			prims_op(&prims, PRIMS_IN | PRIMS_SEND | PRIMS_DIRECT_SEND, at, at,
				 (ssize_t)n);
		else
			prims_op(&prims, PRIMS_RECV | PRIMS_OUT | PRIMS_DIRECT_RECV, at, at,
				 (ssize_t)n);
		at += n;
	} while (at < bytes);
	prims_close(&prims);
}

void p2p_run(struct emul_block *block, const struct emul_work_p2p *works, unsigned int n)
{
	struct job jobs[2 * WORKS];
	void *args[2 * WORKS];
	unsigned int used = 0;

	if (n > WORKS)
		emul_die("%u sends and receives in a batch; NCCL puts %d there at most", n, WORKS);
	for (unsigned int i = 0; i < n; i++) {
		const struct emul_work_p2p *w = &works[i];

		if (w->send_rank == block->comm.rank) {
			/* To itself: one copy. */
			if (w->has_send && w->recv_addr != w->send_addr)
				memcpy(w->recv_addr, w->send_addr, w->send_bytes);
			continue;
		}
		if (w->has_send)
			jobs[used++] = (struct job){ block, w, true };
		if (w->has_recv)
			jobs[used++] = (struct job){ block, w, false };
	}
	for (unsigned int i = 0; i < used; i++)
		args[i] = &jobs[i];
	algo_parallel(used, job_run, args);
}
