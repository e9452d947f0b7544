/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Up to four ranks in one process: what NCCL's host code makes of a communicator in device memory, in the layout of
 * the version under test, and launches of its kernels. Channel 0 has the ring 0 1 2 3, channel 1 the other way
 * round; the tree of channel 0 is 0 over its children (with four ranks: 1, and 1 over 2 and 3), that of channel 1 a
 * chain from the last rank down.
 */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include "decode.h"
#include "wire.h"

#define RIG_RANKS    4
#define RIG_CHANNELS 2
#define RIG_ARGS     4096

/* Where a launch keeps its works. RIG_FIFO_WRAP: around the end of the fifo. */
enum rig_storage { RIG_IN_ARGS, RIG_FIFO, RIG_FIFO_WRAP, RIG_PERSISTENT };

struct rig_rank {
	struct nccl_comm comm;
	struct nccl_channel channels[RIG_CHANNELS];
	struct nccl_peer peer[RIG_CHANNELS][RIG_RANKS];
	struct nccl_peer *peers[RIG_CHANNELS][RIG_RANKS];
	int ring[RIG_CHANNELS][RIG_RANKS];
	uint32_t abort_flag;
	uint32_t consumed[RIG_CHANNELS];
	uint8_t *bounce;
	uint8_t args[RIG_ARGS] __attribute__((aligned(16)));
	uint8_t fifo[RIG_ARGS] __attribute__((aligned(16)));
};

struct rig {
	int n_ranks;
	enum wire_kind kind;
	struct rig_rank ranks[RIG_RANKS];
	struct wire *wires; /* [channel][from][to][connection] */
	unsigned int n_wires;
};

/* 0 or -ENOMEM; rig_close() in both cases. */
int rig_open(struct rig *r, int n_ranks, enum wire_kind kind);
void rig_close(struct rig *r);

/* One collective, the same on all ranks but for the buffers. */
struct rig_coll {
	struct emul_fn fn;
	size_t count; /* elements; all_gather: of a rank's input, reduce_scatter: of its output */
	int n_channels;
	int root;
	uint64_t red_arg;
	bool red_arg_is_ptr;
	enum rig_storage storage;
	unsigned int repeat; /* works in one launch, one after the other; 0 is 1 */
	bool net_reg;	     /* buffers are registered with the NIC (not in 2.22) */
	bool one_rank_per_node;
	const void *send[RIG_RANKS];
	void *recv[RIG_RANKS];
};

/* Ranks' sends to, and receives from, each other: a work per pair in each rank's launch. */
struct rig_p2p {
	bool ll;
	bool net_reg;
	int n_channels;
	size_t bytes[RIG_RANKS][RIG_RANKS]; /* from, to */
	const void *send[RIG_RANKS][RIG_RANKS];
	void *recv[RIG_RANKS][RIG_RANKS]; /* to, from */
	enum rig_storage storage;
};

/* An allgather of blocks of different sizes (not in 2.22). */
struct rig_gather_v {
	int proto;
	int n_channels;
	size_t bytes[RIG_RANKS];
	const void *send[RIG_RANKS];	  /* of each rank: its block */
	void *recv[RIG_RANKS][RIG_RANKS]; /* rank, block */
	size_t chunk;
};

/*
 * Launches on all ranks and waits for the end. Returns NULL, or what a wire or the accounting found wrong (static
 * text). Bytes that wires moved are in their counters.
 */
const char *rig_coll_run(struct rig *r, const struct rig_coll *coll);
const char *rig_p2p_run(struct rig *r, const struct rig_p2p *p2p);
const char *rig_gather_v_run(struct rig *r, const struct rig_gather_v *gather);

/* The wire from one rank to another on a channel; @conn is 0 for collectives, 1 for send/recv. */
struct wire *rig_wire(struct rig *r, int channel, int from, int to, int conn);

/* Bytes moved by all wires so far (not WIRE_SHARED). */
uint64_t rig_bytes(const struct rig *r);

/* The launch of rank @rank alone, in this thread: of one channel, and nobody at the other end. */
void rig_coll_alone(struct rig *r, const struct rig_coll *coll, int rank);

#endif
