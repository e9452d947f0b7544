/* SPDX-License-Identifier: BSD-3-Clause */
/* What kernels of NCCL 2.29 and 2.30 find at the addresses they are given (src/include/device.h of 2.29.7, 2.30.7). */
#ifndef EMUL_ABI_V2_29_H
#define EMUL_ABI_V2_29_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

#include "abi/conn.h"

#define NCCL_TYPES	    12
#define NCCL_GATHER_ALGOS   4 /* of AllGather and ReduceScatter: Ring, CollNet direct, NVLS, PAT */
#define NCCL_HAS_GATHER_V   1
#define NCCL_HAS_PROFILER   1
#define NCCL_P2P_PARTS_SWAP 0
#define NCCL_FIFO_SIZE_RECV 0

struct nccl_work_p2p {
	void *send_addr, *recv_addr;
	size_t send_bytes, recv_bytes;
	int send_rank, recv_rank;
	uint8_t n_channels;
	uint8_t channel_base;
	uint8_t n_send_channels, n_recv_channels;
	uint8_t send_chunk_fp8, recv_chunk_fp8;
	uint8_t send_ll : 1, recv_ll : 1;
	uint8_t send_net_reg : 1, recv_net_reg : 1;
	uint8_t send_ipc_reg : 1, recv_ipc_reg : 1;
	uint8_t profiler : 1;
} __attribute__((aligned(16)));

struct nccl_work_coll {
	uint32_t channel_lo : 8, channel_hi : 8;
	uint32_t n_warps : 8;
	uint32_t red_arg_is_ptr : 1, reg_used : 1, net_reg_used : 1, one_node : 1;
	uint32_t direct : 2, one_rank_per_node : 1;
	uint32_t profiler : 1;
	uint32_t root;
#if EMUL_NCCL >= 23000
	uint8_t pad1[12];
#endif
	void *recv_buff;
	void *send_buff;
#if EMUL_NCCL >= 23000
	uint64_t pad2;
#endif
	uintptr_t send_offset;
	uintptr_t recv_offset;
	uintptr_t *send_remote;
	uintptr_t *recv_remote;
	size_t count_lo, count_mid, count_hi;
	uint64_t grains_lo : 21, grains_mid : 21, grains_hi : 21;
	uint64_t red_arg;
} __attribute__((aligned(16)));

struct nccl_work_bcast {
	int ring_depth;
	int chunk_size;
	void *send_buff;
	void *recv_buff;
	size_t bytes;
	size_t bytes_done;
} __attribute__((aligned(16)));

struct nccl_ring {
	int prev;
	int next;
	int *user_ranks;
	int *rank_to_index;
	int index;
};

struct nccl_channel {
	struct nccl_peer **peers;
	struct nccl_ring ring;
	struct nccl_tree tree;
	struct nccl_tree collnet_chain;
	int collnet_direct[5 + 8 + 7 + 7];
	int nvls[3 + 32 + 1 + 1 + 3];
	uint32_t *work_fifo_done;
	uint64_t work_counter;
} __attribute__((aligned(16)));

#define NCCL_PROFILER_EVENTS 64

struct nccl_profiler {
	struct {
		uint64_t counter;
		uint64_t timestamp; /* ns of a clock of the GPU's */
	} data[NCCL_PROFILER_EVENTS];
};

struct nccl_comm {
	int rank;
	int n_ranks;
	int node;
	int n_nodes;
	int buff_size[NCCL_PROTOS];
	int p2p_chunk_size;
#if EMUL_NCCL >= 23000
	bool p2p_cross_clique;
#endif
	int all_nvlink;
	int *collnet_dense_to_user_rank;
	volatile uint32_t *abort_flag;
	struct nccl_channel *channels;
	int *rank_to_local_rank;
	struct nccl_profiler *work_started; /* one for each channel */
	struct nccl_profiler *work_completed;
};

static_assert(sizeof(struct nccl_work_p2p) == 48, "ncclDevWorkP2p");
static_assert(sizeof(struct nccl_work_coll) == (EMUL_NCCL >= 23000 ? 128 : 96), "ncclDevWorkColl");
static_assert(sizeof(struct nccl_work_bcast) == 48, "ncclDevWorkBcast");
static_assert(sizeof(struct nccl_channel) == 368, "ncclDevChannel");

#endif
