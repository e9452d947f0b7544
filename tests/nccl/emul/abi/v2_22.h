/* SPDX-License-Identifier: BSD-3-Clause */
/* What kernels of NCCL 2.22 find at the addresses they are given (src/include/device.h of that version). */
#ifndef EMUL_ABI_V2_22_H
#define EMUL_ABI_V2_22_H

#include <assert.h>
#include <stddef.h>

#include "abi/conn.h"

#define NCCL_TYPES	    10
#define NCCL_GATHER_ALGOS   3 /* of AllGather and ReduceScatter: Ring, CollNet direct, NVLS */
#define NCCL_HAS_GATHER_V   0
#define NCCL_HAS_PROFILER   0
#define NCCL_P2P_PARTS_SWAP 1 /* the bits of a part's number are reversed to find its channel */
#define NCCL_FIFO_SIZE_RECV 1 /* the receiving kernel writes connFifo.size, too */

struct nccl_work_p2p {
	void *send_addr, *recv_addr;
	size_t send_bytes, recv_bytes;
	int send_rank, recv_rank;
	uint8_t n_channels;
	uint8_t channel_base;
	uint8_t n_send_channels, n_recv_channels;
	uint8_t send_chunk_fp8, recv_chunk_fp8;
	uint8_t send_ll : 1, recv_ll : 1;
	uint8_t send_registered : 1, recv_registered : 1;
} __attribute__((aligned(16)));

struct nccl_work_coll {
	uint32_t channel_lo : 8, channel_hi : 8;
	uint32_t n_warps : 8;
	uint32_t red_arg_is_ptr : 1, reg_used : 2, one_node : 1, direct : 4;
	uint32_t root;
	void *recv_buff;
	void *send_buff;
	size_t count_lo, count_mid, count_hi;
	uint64_t grains_lo : 21, grains_mid : 21, grains_hi : 21;
	uint64_t red_arg;
} __attribute__((aligned(16)));

struct nccl_ring {
	int prev;
	int next;
	int *user_ranks;
	int index;
};

struct nccl_channel {
	struct nccl_peer **peers;
	struct nccl_ring ring;
	struct nccl_tree tree;
	struct nccl_tree collnet_chain;
	int collnet_direct[5 + 8 + 7 + 7];
	int nvls[3 + 32 + 1 + 1 + 3 + 2];
	uint32_t *work_fifo_done;
} __attribute__((aligned(16)));

struct nccl_comm {
	int rank;
	int n_ranks;
	int node;
	int n_nodes;
	int buff_size[NCCL_PROTOS];
	int p2p_chunk_size;
	uint32_t *work_consumed;
	int *collnet_dense_to_user_rank;
	volatile uint32_t *abort_flag;
	struct nccl_channel *channels;
};

static_assert(sizeof(struct nccl_work_p2p) == 48, "ncclDevWorkP2p");
static_assert(sizeof(struct nccl_work_coll) == 64, "ncclDevWorkColl");
static_assert(sizeof(struct nccl_channel) == 368, "ncclDevChannel");
static_assert(sizeof(struct nccl_comm) == 64, "ncclDevComm");

#endif
