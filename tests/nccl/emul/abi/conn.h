/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What NCCL's host code and its kernels share of a connection, the same in 2.22 to 2.30. Declared anew from
 * ncclConnInfo and ncclDevChannelPeer (src/include/device.h), ncclConnFifo (src/include/collectives.h) and
 * ncclNetDeviceHandle_t (src/include/net_device.h, later nccl_device/net_device.h).
 */
#ifndef EMUL_ABI_CONN_H
#define EMUL_ABI_CONN_H

#include <assert.h>
#include <stdint.h>
#include <sys/types.h>

#define NCCL_STEPS	 8
#define NCCL_PROTOS	 3
#define NCCL_CONNS	 2
#define NCCL_TREE_ARITY	 3
#define NCCL_STEPS_MASK	 (NCCL_STEPS - 1)
#define NCCL_MAX_NET	 (1L << 30) /* NCCL_MAX_NET_SIZE: the chunk of a transfer without a copy */
#define NCCL_MODE_OFFSET 1	    /* connFifo.mode: the slot is at connFifo.offset */
#define NCCL_DIRECT_NIC	 0x04	    /* connInfo.flags: the NIC can use registered user buffers */

enum nccl_proto { NCCL_LL, NCCL_LL128, NCCL_SIMPLE };

/* netDeviceType */
enum { NCCL_NET_HOST, NCCL_NET_UNPACK };

struct nccl_net_handle {
	int type;
	int version;
	void *handle;
	size_t size;
	int needs_proxy_progress;
};

/* One of NCCL_STEPS, between a kernel and the proxy. */
struct nccl_conn_fifo {
	int mode;
	int offset;
	ssize_t size; /* bytes the kernel sends in this step; the proxy sets -1 when they are out */
	void *ptr;
};

/* Heads and tails count steps and only grow. */
struct nccl_conn {
	char *buff[NCCL_PROTOS];
	void *mhandle[NCCL_PROTOS];
	uint64_t *tail; /* filled by the sender */
	uint64_t *head; /* freed by the receiver */
	int flags;
	int shared;
	int step_size; /* bytes between the slots of the Simple buffer */
	void **ptr_exchange;
	uint64_t *red_op_arg_exchange;
	struct nccl_conn_fifo
		*fifo; /* NULL: no proxy on this side that needs sizes or tells offsets */
	uint64_t step; /* where the next kernel takes up */
	uint64_t ll_last_cleaning;
	struct nccl_net_handle net;
};

struct nccl_peer {
	struct nccl_conn send[NCCL_CONNS];
	struct nccl_conn recv[NCCL_CONNS];
};

/* Of LL: two halves of data, each with a flag behind it in the same 8 bytes. */
struct nccl_ll_line {
	uint32_t data1, flag1;
	uint32_t data2, flag2;
} __attribute__((aligned(16)));

struct nccl_tree {
	int depth;
	int up;
	int down[NCCL_TREE_ARITY];
};

static_assert(sizeof(struct nccl_conn_fifo) == 24, "ncclConnFifo");
static_assert(sizeof(struct nccl_conn) == 152, "ncclConnInfo");

#endif
