/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections between emulated kernels in one process, and what stands between them: nothing (both ends share
 * memory, as between GPUs of one machine), or a copy of NCCL's proxy that moves slot after slot as a network
 * would, straight into the receiver's slot or, for device unpack, in frags into its bounce buffer.
 */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include <pthread.h>
#include <stdbool.h>

#include "abi/conn.h"
#include "unpack/unpack_emul.h"

enum wire_kind {
	WIRE_SHARED, /* one buffer, one head, one tail */
	WIRE_NET,    /* a proxy, with connFifo on the sender's side */
	WIRE_OFFSET, /* the same, and slots are where connFifo says, on both sides */
	WIRE_UNPACK, /* a proxy that leaves data in frags: Simple only */
	WIRE_REG, /* a proxy that moves from user buffer to user buffer, see wire.route: Simple only */
};

#define WIRE_SIMPLE_STEP 8192
#define WIRE_LL_STEP	 2048 /* with flags */
/* Room for a slice of two steps in frags that begin anywhere. */
#define WIRE_BOUNCE_SLOT (4 * WIRE_SIMPLE_STEP)
#define WIRE_BOUNCE	 (UNPACK_EMUL_SLOTS * WIRE_BOUNCE_SLOT)

/* Bytes that a NIC moves between registered buffers, in this order. */
struct wire_segment {
	const uint8_t *src;
	uint8_t *dst;
	size_t len;
};

struct wire {
	enum wire_kind kind;
	int from, to;
	struct nccl_conn *send, *recv; /* in the ranks' peer tables */
	char *send_buff[NCCL_PROTOS], *recv_buff[NCCL_PROTOS];
	uint64_t send_head, send_tail, recv_head, recv_tail;
	struct nccl_conn_fifo send_fifo[NCCL_STEPS], recv_fifo[NCCL_STEPS];
	struct unpack_emul_handle handle;
	uint8_t *bounce; /* this wire's part of the receiving rank's buffer */
	/* The proxy's: */
	int proto;
	uint64_t slice_steps;
	uint64_t step;	 /* sent so far */
	uint64_t slices; /* of the unpack queue */
	uint64_t bytes;	 /* moved, without LL's flags */
	unsigned int seed;
	const struct wire_segment
		*route; /* WIRE_REG; the caller's, one slice is within one segment */
	unsigned int n_route;
	unsigned int segment; /* where it is: the segment, and the bytes of it that are done */
	size_t segment_done;
	bool unsized; /* a slice is a segment, whatever connFifo says (0) */
	const char *failed;
};

/*
 * Makes @send and @recv the ends of a connection. @base: bounce buffer of the receiving rank, of which WIRE_BOUNCE
 * bytes at @offset are this wire's (WIRE_UNPACK). 0 or -ENOMEM.
 */
int wire_open(struct wire *w, enum wire_kind kind, struct nccl_conn *send, struct nccl_conn *recv,
	      uint8_t *base, size_t offset);
void wire_close(struct wire *w);

/* Before a launch: how its works use connections (the proxy is told so with each operation). */
void wire_begin(struct wire *w, int proto, uint64_t chunk_steps, uint64_t slice_steps);

/* One thread for many wires, as NCCL's progress thread. */
struct wire_proxy {
	struct wire *wires;
	unsigned int n;
	pthread_t thread;
	bool stop;
};

int wire_proxy_start(struct wire_proxy *p, struct wire *wires, unsigned int n);
void wire_proxy_stop(struct wire_proxy *p);

#endif
