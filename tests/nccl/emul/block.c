// SPDX-License-Identifier: BSD-3-Clause
/* A block of a launch (ncclKernelMain() in src/device/common.h). */
#include "algo.h"
#include "decode.h"
#include "fn.h"
#include "stats.h"
#include "wait.h"

static void coll_run(struct emul_block *block, const struct emul_fn *fn,
		     const struct emul_work_coll *work)
{
	char name[48];

	/* Connections of one work share a bounce buffer; the next work's may have another. */
	block->unpack.bounce_buf = NULL;
	if (fn->proto != NCCL_LL128 && fn->algo == EMUL_RING) {
		ring_run(block, fn, work);
	} else if (fn->proto != NCCL_LL128 && fn->algo == EMUL_TREE) {
		tree_run(block, fn, work);
	} else {
		emul_fn_text(fn, name, sizeof(name));
		emul_die("%s is not emulated", name);
	}
}

static void batch_run(struct emul_block *block, struct emul_batch *batch)
{
	block->unpack.bounce_buf = NULL;
	switch (batch->fn.coll) {
	case EMUL_SEND_RECV:
		p2p_run(block, batch->p2p, batch->n_works);
		return;
	case EMUL_ALL_GATHER_V:
		gather_v_run(block, &batch->fn, batch->bcast, batch->n_works);
		return;
	default:
		for (unsigned int i = 0; i < batch->n_works; i++)
			coll_run(block, &batch->fn, &batch->coll[i]);
	}
}

void emul_block_run(const void *args, size_t args_size, unsigned int index)
{
	struct emul_batch batch = { 0 };
	struct emul_block block;

	emul_stat_add(EMUL_STAT_blocks, 1);
	decode_block(&block, args, args_size, index);
	batch.next = (int)index;
	do {
		decode_batch(&block, batch.next, &batch);
		decode_batch_started(&block, &batch);
		batch_run(&block, &batch);
		decode_batch_done(&block, &batch);
	} while (batch.next >= 0 && !emul_aborted(&block));
	decode_block_done(&block);
	decode_batch_release(&batch);
}
