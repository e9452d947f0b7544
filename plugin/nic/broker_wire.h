/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a job and the broker (devmem-nicd broker) say to each other: one SOCK_SEQPACKET connection of a Unix socket, on it one
 * request at a time and an answer to each. Requests and answers are the structs below, whole and in host byte order; descriptors
 * travel with them (SCM_RIGHTS). The connection's end is the end of everything that was made on it.
 *
 *   PROBE            may this process bind queues of @ifindex, and can they be bound?
 *   BIND             with the dmabuf; the answer carries the netlink socket that the binding lives with, of which the broker
 *                    keeps no copy
 *   STEER            with the connected TCP socket whose flow is to be led to a bound queue
 *   UNSTEER          takes one rule back
 *   WITHDRAW         takes all rules of a binding back
 *   RELEASE          after WITHDRAW and the closing of the netlink socket: settings return
 *
 * An answer without a request means that the broker refuses the connection.
 */
#ifndef DEVMEM_BROKER_WIRE_H
#define DEVMEM_BROKER_WIRE_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"
#include "nic/nic_state.h"

#define BROKER_MAGIC   0x64766d62u
#define BROKER_VERSION 1

enum broker_op {
	BROKER_PROBE = 1,
	BROKER_BIND,
	BROKER_STEER,
	BROKER_UNSTEER,
	BROKER_WITHDRAW,
	BROKER_RELEASE,
};

/* The client's NCCL_DEVMEM_NIC_SETUP is 0: check settings, change none. */
#define BROKER_NO_SETUP 1u

struct broker_request {
	uint32_t magic;
	uint16_t version;
	uint16_t op;
	uint32_t flags;
	int32_t ifindex;
	char ifname[IF_NAMESIZE];
	uint32_t n_queues;
	uint32_t niov_size; /* asked for; 0: as fits */
	uint32_t handle;    /* of a binding, from the answer to BIND */
	uint32_t rule;	    /* from the answer to STEER */
};

/* @err is 0 or a negative errno, as the verdict's that belongs to it. */
struct broker_answer {
	uint32_t magic;
	uint16_t version;
	uint16_t op;
	int32_t err;
	uint32_t handle;
	uint32_t rule;
	uint32_t dmabuf;
	uint32_t niov_size;
	uint32_t n_queues;
	uint32_t queues[NIC_OWNER_QUEUES_MAX];
	char reason[sizeof(((struct verdict *)0)->reason)];
	char remedy[sizeof(((struct verdict *)0)->remedy)];
};

/* Sends one message, with @fd unless that is -1. 0 or -errno; never a signal. */
int broker_send(int sock, const void *msg, size_t len, int fd);
/*
 * Takes one message of exactly @len bytes and up to one descriptor, which is the caller's then; *ret_fd is -1 without one.
 * -ENODATA: the peer is gone. -EBADMSG: another size, or more descriptors. Otherwise -errno.
 */
int broker_recv(int sock, void *msg, size_t len, int *ret_fd);

#endif
