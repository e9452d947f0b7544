/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one group of warps does step by step: take a chunk from up to three receive connections, reduce it with
 * own data, store it, pass it to up to three send connections. One object is NCCL's Primitives<...>
 * (src/device/primitives.h) for the time of a work: it takes the connections' step counters over at the
 * start and writes them back at the end. Used by one thread.
 */
#ifndef EMUL_PRIMS_H
#define EMUL_PRIMS_H

#include "elem.h"
#include "emul.h"

/* An operation. PRIMS_IN and PRIMS_SRC_OUT: own data from the input or the output buffer; one of them at most. */
enum {
	PRIMS_RECV = 1 << 0,
	PRIMS_SEND = 1 << 1,
	PRIMS_IN = 1 << 2,
	PRIMS_SRC_OUT = 1 << 3,
	PRIMS_OUT = 1 << 4,	    /* store into the output buffer */
	PRIMS_POST = 1 << 5,	    /* the result is complete: apply the operator's last step */
	PRIMS_DIRECT_RECV = 1 << 6, /* a registered user buffer may stand in for the connection's */
	PRIMS_DIRECT_SEND = 1 << 7,
};

struct prims_conn {
	struct nccl_conn *conn;
	int peer;
	uint64_t step;
	uint64_t first; /* step at the start */
	bool net_reg;	/* the NIC reads or writes the user's buffer */
	bool unpack;
};

struct prims_config {
	int proto;
	const int *recv_peers; /* ranks, ended by -1 or by max_recv */
	const int *send_peers;
	int max_recv, max_send; /* up to NCCL_TREE_ARITY */
	int conn_index;		/* 0: collectives, 1: send/recv */
	const void *input;
	void *output;
	struct elem_op op;
	int slices_per_chunk; /* Simple: how a chunk is cut */
	int steps_per_slice;
	size_t step_size; /* bytes; 0: the buffer's NCCL_STEPS'th part */
	bool p2p;
	bool recv_net_reg, send_net_reg;
	bool offload; /* only count steps, the NIC does the rest */
};

struct prims {
	struct emul_block *block;
	struct prims_config cfg;
	const uint8_t *input;
	uint8_t *output;
	size_t elem;  /* bytes of an element */
	size_t steps; /* Simple: elements of a step; LL: lines */
	int n_recv, n_send;
	struct prims_conn recv[NCCL_TREE_ARITY];
	struct prims_conn send[NCCL_TREE_ARITY];
	struct unpack_emul unpack;
};

/* @cfg is copied, the peers' lists are read once. Ends the process where the connections are not emulated ones. */
void prims_open(struct prims *p, struct emul_block *block, const struct prims_config *cfg);

/*
 * One chunk of @n elements (less than 1: a chunk without data, which counts all the same). @src and @dst are
 * element offsets into the input (or output) buffer and into the output buffer. Waits for peers; when the
 * communicator is aborted it returns early and data is not touched any more.
 */
void prims_op(struct prims *p, unsigned int flags, size_t src, size_t dst, ssize_t n);

/* Moves both buffers: what follows is another work of the same connections. */
void prims_set_buffers(struct prims *p, const void *input, void *output);

void prims_close(struct prims *p);

/* The protocols, behind prims_*(). */
void simple_open(struct prims *p);
void simple_op(struct prims *p, unsigned int flags, size_t src, size_t dst, size_t n);
void simple_close(struct prims *p);
void ll_open(struct prims *p);
void ll_op(struct prims *p, unsigned int flags, size_t src, size_t dst, size_t n);

#endif
