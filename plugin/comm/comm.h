/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What send and receive comms share, and their requests. Internal to plugin/comm.
 */
#ifndef DEVMEM_COMM_H
#define DEVMEM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/net.h"
#include "comm/reg_gate.h"
#include "comm/sock.h"
#include "comm/wire.h"
#include "mem/mr.h"
#include "nic/nic.h"
#include "path/path.h"

enum comm_kind { COMM_SEND, COMM_RECV };

/*
 * A call that receives goes on while bytes come, but for no more than these: a sender that is faster than what puts them in place would
 * keep it for ever, and NCCL looks for aborts between calls.
 */
#define COMM_CALL_BYTES (2L << 20)

/* The same for a socket of a comm whose messages come in frames, in either direction: while one thread does the one, the other stands still. */
#define FRAME_CALL_BYTES (512UL << 10)

/*
 * What a comm does. @send of sending comms and @recv of receiving ones are NULL in the others, @consumed and @device_handle where there
 * is nothing to do. @test: *ret_size of receives is set with *ret_done.
 */
struct comm_ops {
	int (*send)(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
		    struct request **ret);
	int (*recv)(struct comm *comm, void *data, size_t size, int tag, struct mr *mr, bool ll,
		    struct request **ret);
	int (*test)(struct request *req, int *ret_done, size_t *ret_size);
	int (*consumed)(struct comm *comm, struct request *req);
	void *(*device_handle)(struct comm *comm);
	void (*destroy)(struct comm *comm);
};

/*
 * What comm_stats.h keeps. @shown: the entry in shared memory, NULL where nothing is published. @posts: requests posted. @polls: tests that
 * were not done. @tcp_due: when TCP_INFO may be read again.
 */
struct comm_stats {
	struct nccl_devmem_stats_conn *shown;
	uint64_t posts;
	unsigned int polls;
	int64_t tcp_due;
};

/*
 * @err:  0, or the negative errno that ended this comm; every later call returns it.
 * @nic:  owned by the net context, outlives the comm.
 * @peer: address of the other side, for messages.
 * @frames: messages come in frames.
 * @peer_is_local: the peer has an address of this host: traffic takes the loopback device, no NIC is involved.
 * @gate: which registrations are NCCL's own buffers.
 * @next, @prev: the net context's list of live comms, under its lock.
 */
struct comm {
	const struct comm_ops *ops;
	enum comm_kind kind;
	int err;
	const struct nic *nic;
	int ctrl_fd;
	int n_socks;
	bool peer_is_local;
	bool frames;
	char peer[SOCK_ADDR_TEXT];
	struct reg_gate gate;
	struct data_sock socks[WIRE_MAX_SOCKS];
	struct comm_stats stats;
	struct comm *next, *prev;
};

/*
 * One isend or irecv. Lives in its comm's ring at seq % NET_MAX_REQUESTS from the call until net_test() reports it done.
 *
 * @data, @size: the caller's buffer; @total is what is sent or does come; on the receive side @size is the most that may.
 * @mr: a reference is held while the request is in use, because deregMr may come at any time.
 *
 * Send: @assigned bytes have been given to sockets, @accepted were taken by the kernel; the memory is free when all are accepted, the
 * control stream has been flushed up to @ctrl_end, and @zc.pending is 0.
 * In frames, @frames of them are in a queue, and @announced says that one has been, which an empty message has, too; @lent: they said so, and
 * the memory is not free before the peer's ack.
 * Receive: @covered bytes have been announced, @arrived are here, and @put tells how many of those are not in place yet. @finished: test()
 * said done, and the request waits for net_consumed(). @cookie: net_request_cookie()'s.
 * @posted_ns, @counted: comm_stats.h: when it was posted, 0 where that is not measured; it has been counted.
 */
struct request {
	struct comm *comm;
	bool used;
	bool matched;
	bool announced;
	uint32_t seq;
	int tag;
	uint8_t *data;
	size_t size;
	size_t total;
	struct mr *mr;
	const struct path_ops *path;
	size_t assigned;
	size_t accepted;
	uint64_t ctrl_end;
	unsigned int frames;
	bool lent;
	struct zc_ref zc;
	bool finished;
	bool counted;
	int64_t posted_ns;
	size_t covered;
	size_t arrived;
	struct place *place;
	struct place_req put;
	void *cookie;
};

/* Records @err on @comm, says what happened to which peer in which call, and returns @err. */
int comm_fail(struct comm *comm, int err, const char *call);

/* Fills the common part; takes over all descriptors in @socks and @ctrl_fd. */
void comm_init(struct comm *comm, enum comm_kind kind, const struct nic *nic, int ctrl_fd,
	       const int *socks, int n_socks, const struct sockaddr *peer);
/* Closes sockets and gives back what they held. The comm's memory is the caller's. */
void comm_close(struct comm *comm);

/* Closes the sockets of a comm for which there was no memory. */
void comm_discard(enum comm_kind kind, const struct nic *nic, int ctrl_fd, const int *socks,
		  int n_socks, const struct sockaddr *peer);

/* Drops the request's reference and slot. The second: all of a comm's NET_MAX_REQUESTS that are in use, at its end. */
void request_release(struct request *req);
void requests_release(struct request *reqs);

/* Is [data, data+size) inside @mr? Logs when not. 0 or -EINVAL. */
int request_check(const struct comm *comm, const struct mr *mr, const void *data, size_t size,
		  const char *call);

/* Says that a message of @total bytes came for the receive @req, which has less room. */
void request_tell_oversize(const struct request *req, uint64_t total);

/* A receive into memory that nobody here reaches: -ENOTSUP, said. */
int comm_refuse_memory(const struct comm *comm);

/*
 * The four kinds of comm. All take descriptors over, also on failure; @ctrl_fd and @socks are connected.
 *
 * send_comm and recv_comm tell of messages on the control socket and keep the data sockets for payload, as devmem wants it. recv_comm
 * chooses the path (binding the pool, steering the sockets). With @frames it becomes a frame_recv where the path allows that.
 */
int send_comm_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		     const struct sockaddr *peer, struct comm **ret);
int recv_comm_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		     const struct sockaddr *peer, bool frames, struct comm **ret,
		     enum rung *ret_rung);
/*
 * The sides of a connection whose messages come in frames (wire.h): everything is on the data sockets, which the CPU reads. @acks: the peer
 * will tell what it has read.
 */
int frame_send_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		      const struct sockaddr *peer, bool acks, struct comm **ret);
/* Takes over what @base has. */
int frame_recv_create(const struct comm *base, struct comm **ret);

#endif
