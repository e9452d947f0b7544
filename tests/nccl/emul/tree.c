// SPDX-License-Identifier: BSD-3-Clause
/*
 * All_reduce on a tree (runTreeSplit() in src/device/all_reduce.h): sums go up, the result comes down. At the root
 * one group does both; elsewhere one group sends up while another passes down, each with its own connections.
 */
#include "algo.h"

struct half {
	struct emul_block *block;
	const struct emul_fn *fn;
	const struct emul_work_coll *work;
	bool up;
};

static void tree_half(struct half *h, const int *recv_peers, int max_recv, const int *send_peers,
		      int max_send, unsigned int flags)
{
	struct prims_config cfg = {
		.proto = h->fn->proto,
		.recv_peers = recv_peers,
		.send_peers = send_peers,
		.max_recv = max_recv,
		.max_send = max_send,
		.input = h->work->send_buff,
		.output = h->work->recv_buff,
		.op = algo_op(h->fn, h->work),
		.slices_per_chunk = 1,
		.steps_per_slice = 1,
		.recv_net_reg = h->work->net_reg,
		.send_net_reg = h->work->net_reg,
	};
	struct algo_part part;
	struct prims prims;

	algo_part_get(h->block, h->fn, h->work, &part);
	algo_part_check(&part);
	prims_open(&prims, h->block, &cfg);
	for (size_t done = 0; done < part.count; done += part.chunk) {
		size_t at = part.offset + done;

		prims_op(&prims, flags, at, at, (ssize_t)emul_min(part.chunk, part.count - done));
	}
	prims_close(&prims);
}

/* The root of a tree has two children at most. */
static void root_run(struct half *h)
{
	const int *down = h->block->tree.down;

	tree_half(h, down, NCCL_TREE_ARITY - 1, down, NCCL_TREE_ARITY - 1,
		  PRIMS_RECV | PRIMS_IN | PRIMS_OUT | PRIMS_SEND | PRIMS_POST | PRIMS_DIRECT_RECV |
			  PRIMS_DIRECT_SEND);
}

static void half_run(void *arg)
{
	struct half *h = arg;
	const struct nccl_tree *tree = &h->block->tree;
	const bool leaf = tree->down[0] == -1;

	if (h->up)
		tree_half(h, tree->down, NCCL_TREE_ARITY, &tree->up, 1,
			  PRIMS_IN | PRIMS_SEND | PRIMS_DIRECT_SEND |
				  (leaf ? 0 : PRIMS_RECV | PRIMS_DIRECT_RECV));
	else
		tree_half(h, &tree->up, 1, tree->down, NCCL_TREE_ARITY,
			  PRIMS_RECV | PRIMS_OUT | PRIMS_DIRECT_RECV |
				  (leaf ? 0 : PRIMS_SEND | PRIMS_DIRECT_SEND));
}

void tree_run(struct emul_block *block, const struct emul_fn *fn, const struct emul_work_coll *work)
{
	struct half up = { block, fn, work, true };
	struct half down = { block, fn, work, false };
	void *both[] = { &up, &down };

	if (block->tree.up == -1)
		root_run(&up);
	else
		algo_parallel(2, half_run, both);
}
