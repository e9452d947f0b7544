/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One TCP data socket of a connection. It carries payload and nothing else once the connection stands.
 */
#ifndef DEVMEM_DATA_SOCK_H
#define DEVMEM_DATA_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/pool.h"
#include "mem/token_ledger.h"
#include "path/lend_pipe.h"
#include "path/zc_tracker.h"

struct send_slot;

/*
 * Owned by one comm, used by the thread that uses the comm.
 * @zc:       send side; allocated by data_sock_enable_zerocopy(), NULL until then.
 * @lend:     send side, to lend host memory; allocated by data_sock_enable_lending(), NULL until then.
 * @stage:    send side, for GPU memory without a send binding; the comm's (send_stage.h), NULL where there is none.
 * @pool:     receive side on devmem: where frags land (a reference is held), NULL on copy.
 * @ledger:   tokens this socket holds; exactly when @pool is set.
 * @reserved: bytes of the pool promised to this socket: half for its receive queue (three quarters of a small one), the rest for tokens held.
 * @batch:    niovs whose tokens may wait to be given back together; they fit in that rest.
 * @hold:     niovs whose tokens may be lent before the socket is not read any more.
 * @lent:     tokens that are with requests and not in the ledger: their bytes are not consumed yet.
 * @run_most: the most niovs that one token has stood for, at least 1.
 * @niovs:    of all tokens since none was held or lent.
 * @rule:     flow rule that steers it, valid if @steered.
 * @strayed:  packets have come around the bound queues, and that has been said.
 */
struct data_sock {
	int fd;
	struct zc_tracker *zc;
	struct lend_pipe *lend;
	struct send_slot *stage;
	struct pool *pool;
	struct token_ledger *ledger;
	size_t reserved;
	uint32_t batch;
	uint32_t hold;
	uint32_t lent;
	uint32_t run_most;
	uint64_t niovs;
	uint32_t rule;
	bool steered;
	bool strayed;
};

/* Do the tokens that are lent stand, perhaps, for more niovs than may be? */
static inline bool data_sock_lends_all(const struct data_sock *ds)
{
	return ds->lent * ds->run_most > ds->hold;
}

/* Sets SO_ZEROCOPY and makes the tracker. 0 or -errno (kernel without it: -ENOPROTOOPT, -ENOTSUP). */
int data_sock_enable_zerocopy(struct data_sock *ds);

/* Makes the pipe. 0, -EMFILE, -ENFILE, -EPERM, -ENOMEM: see lend_pipe_create(). */
int data_sock_enable_lending(struct data_sock *ds);
/* Lets the pipe go, with what it holds: for a socket that goes on without. */
void data_sock_disable_lending(struct data_sock *ds);

/*
 * Turns a connected, so far silent socket into a devmem receiver: promises it a part of @pool, bounds its
 * receive buffer to that, and steers its flow. On failure the socket is as before but for its buffer size, and @why tells.
 * The socket must have no unread byte, and the peer must not send before the caller tells it to: what
 * arrives later may be unreadable for the CPU. @hold: bytes of the pool to be promised beside that, for frags that are not consumed at once.
 */
int data_sock_steer(struct data_sock *ds, struct pool *pool, size_t hold, struct verdict *why);

/* Undoes data_sock_steer(): gives back tokens, rule and reservation. Fine for a socket that is not steered. */
void data_sock_unsteer(struct data_sock *ds);

/* Unsteers and closes. Fine for a zeroed socket with fd -1. */
void data_sock_close(struct data_sock *ds);

#endif
