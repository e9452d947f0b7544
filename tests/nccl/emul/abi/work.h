/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The argument buffer of NCCL's kernels, the same in 2.22 to 2.30: ncclDevKernelArgs, and behind it the
 * batches (ncclDevWorkBatch), the first of each channel at the channel's block index (src/include/device.h).
 */
#ifndef EMUL_ABI_WORK_H
#define EMUL_ABI_WORK_H

#include <assert.h>
#include <stdint.h>

/* Where the work structs lie: behind the batches in the arguments, in a ring of work_mask + 1 bytes, or in a buffer. */
enum nccl_work_storage { NCCL_WORK_ARGS, NCCL_WORK_FIFO, NCCL_WORK_PERSISTENT };

enum nccl_work_type { NCCL_WORK_P2P, NCCL_WORK_COLL, NCCL_WORK_COLL_REG, NCCL_WORK_BCAST };

struct nccl_args {
	void *comm;
	uint64_t channel_mask; /* block i runs the channel of the i'th bit that is set */
	uint8_t storage;
	uint32_t work_mask;
	void *work_buf;
} __attribute__((aligned(16)));

struct nccl_batch {
	uint32_t next_jump : 14;   /* distance to the channel's next batch; 0: none */
	uint32_t next_extends : 1; /* the next one's works belong to this batch */
	uint32_t work_type : 2;
	uint32_t func_id : 15;
	uint32_t offset_base;
	uint64_t offset_bits; /* bit i: a work at offset_base + i * (size of its type) */
} __attribute__((aligned(16)));

static_assert(sizeof(struct nccl_args) == 32, "ncclDevKernelArgs");
static_assert(sizeof(struct nccl_batch) == 16, "ncclDevWorkBatch");

#endif
