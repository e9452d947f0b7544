/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NCCL's kernels on CPU threads: what a launched kernel does with the memory that NCCL's host code, its proxy
 * and a net plugin share with it. A block (one channel) is one thread, and one more for each further group of
 * warps that must run beside it. Written from a reading of NCCL's src/device/; each file names what it follows.
 *
 *	kernel.c                 a launch of the stand-in driver becomes blocks
 *	block.c                  a block: batch after batch, work after work
 *	decode.c, abi/           a launch's bytes of one NCCL version become the plain structs below
 *	fn.c                     a function number becomes collective, operator, type, algorithm, protocol
 *	ring.c, tree.c, p2p.c    the algorithms
 *	prims.c, simple.c, ll.c  what they are made of: receive, reduce, copy, send, in both protocols
 *	elem.c                   arithmetic on elements
 *	wait.c                   waiting: gives the CPU away, sees aborts, ends after a time
 *	stats.c                  what has been done, for tests to look at
 *
 * What is not emulated ends the process with its name: LL128, PAT, NVLS, CollNet, fp8 arithmetic, buffers
 * registered for IPC.
 */
#ifndef EMUL_H
#define EMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/conn.h"
#include "unpack/unpack_emul.h"

enum emul_coll {
	EMUL_SEND_RECV,
	EMUL_ALL_GATHER,
	EMUL_BROADCAST,
	EMUL_ALL_GATHER_V,
	EMUL_ALL_REDUCE,
	EMUL_REDUCE,
	EMUL_REDUCE_SCATTER,
};

/* In the order of NCCL_ALGO_*. */
enum emul_algo {
	EMUL_TREE,
	EMUL_RING,
	EMUL_COLLNET_DIRECT,
	EMUL_COLLNET_CHAIN,
	EMUL_NVLS,
	EMUL_NVLS_TREE,
	EMUL_PAT,
};

/* What a kernel runs. Protocol: enum nccl_proto; type: ncclDataType_t; op: enum elem_op_kind (elem.h). */
struct emul_fn {
	enum emul_coll coll;
	int op;
	int type;
	enum emul_algo algo;
	int proto;
};

struct emul_comm {
	int rank;
	int n_ranks;
	int buff_size[NCCL_PROTOS];
	int p2p_chunk_size;
	bool fifo_size_recv; /* 2.22: a receiver writes connFifo.size as well */
	bool reg_unsized;    /* 2.22: transfers of registered buffers have size 0 in connFifo */
	volatile uint32_t *abort_flag;
};

/* Decoded work. Counts are in elements, chunks too. */
struct emul_work_coll {
	uint32_t channel_lo, channel_hi; /* inclusive */
	uint32_t root;
	const uint8_t *send_buff;
	uint8_t *recv_buff;
	size_t count_lo, count_mid, count_hi;	   /* of the first, the middle, the last channel */
	uint64_t grains_lo, grains_mid, grains_hi; /* their chunks, in grains of the protocol */
	uint64_t red_arg;
	bool red_arg_is_ptr;
	bool ipc_reg;
	bool net_reg;		/* user buffers are registered with the NIC */
	bool one_rank_per_node; /* with net_reg: the NIC moves all data, the kernel only counts steps */
};

/* This channel's part of a send and a receive; ranks are -1 and bytes 0 where it has none. */
struct emul_work_p2p {
	const uint8_t *send_addr;
	uint8_t *recv_addr;
	size_t send_bytes, recv_bytes;
	int send_rank, recv_rank;
	size_t send_chunk, recv_chunk;
	bool has_send, has_recv;
	bool send_ll, recv_ll;
	bool send_net_reg, recv_net_reg;
};

/* One rank's broadcast within an allgather of blocks of different sizes. */
struct emul_work_bcast {
	int ring_depth; /* hops from the root */
	size_t chunk;
	const uint8_t *send_buff;
	uint8_t *recv_buff;
	size_t bytes, bytes_done;
};

/* Works of one type, all for one function. */
struct emul_batch {
	struct emul_fn fn;
	unsigned int n_works;
	unsigned int room;
	struct emul_work_coll *coll; /* one of the three; owned, see batch_release() */
	struct emul_work_p2p *p2p;
	struct emul_work_bcast *bcast;
	bool *profiled;	   /* of each work: does a profiler want to know */
	uint32_t consumed; /* where the work fifo may be overwritten up to */
	int next;	   /* index of the channel's next batch, or -1 */
};

/* A running block. Its groups' threads share it; all but aborted and unpack is constant while they run. */
struct emul_block {
	struct emul_comm comm;
	int channel;
	int ring_prev, ring_next, ring_index;
	const int *ring_ranks; /* user ranks along the ring, this one first */
	struct nccl_tree tree;
	struct nccl_peer **peers; /* by rank */
	int aborted;		  /* atomic */
	struct unpack_emul_block unpack;
	/* decode.c's own: */
	const void *args;
	size_t args_size;
	void *abi_comm;
	void *abi_channel;
	uint64_t work_counter;
};

/*
 * Runs block @index of a launch. @args is the kernel's argument buffer. Returns when the block's work is done, or
 * soon after the communicator's abort flag is set.
 */
void emul_block_run(const void *args, size_t args_size, unsigned int index);

static inline size_t emul_div_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

static inline size_t emul_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t emul_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

#endif
