/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has happened on the sockets of a comm, without asking them: io_uring polls stand on each (IORING_POLL_ADD_MULTI, Linux 5.13). On
 * the sending side they note when a full socket has room again, when its error queue has something, when the peer is gone; on the receiving
 * side when a data socket has as much as a read is to bring (SO_RCVLOWAT; were it less, each packet would be an event). As EPOLLET has it
 * (epoll(7)): after a call that brought nothing, or all there was, there is nothing to be had until the next event.
 *
 * No call is held back for good: one in SOCK_EVENTS_SKIP that should bring nothing is made nonetheless, since a socket may also wait
 * for what is no event, such as memory.
 */
#ifndef DEVMEM_SOCK_EVENTS_H
#define DEVMEM_SOCK_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uring.h"
#include "comm/wire.h"

#define SOCK_EVENTS_SKIP 1024

/*
 * One socket. @standing: a poll does. @may_send, @may_read: a call may bring something; without polls always. What is read is the error queue, or
 * on the receiving side payload.
 * @skipped: calls held back since the last.
 */
struct sock_state {
	int fd;
	bool standing;
	bool may_send;
	bool may_read;
	unsigned int skipped;
};

/* @n sockets: the data sockets, and on the sending side the control socket as the last. @on: polls stand, or will. */
struct sock_events {
	bool on;
	bool receives;
	int n;
	struct sock_state socks[WIRE_MAX_SOCKS + 1];
	struct uring u;
};

struct comm;

/* Watches @comm's sockets from the next look on, unless NCCL_DEVMEM_IO_URING or the kernel is against it. */
void sock_events_open(struct sock_events *e, const struct comm *comm);
/* The same for a receiving comm, whose control socket is not watched: ctrl_ring.h. */
void sock_events_open_recv(struct sock_events *e, const struct comm *comm);
/* Before the sockets are closed. Also ends their connections where they were watched: the polls hold them open for a moment. */
void sock_events_close(struct sock_events *e);

/* Takes note of what has happened: a look at memory, and a system call where a poll has to be begun (anew). */
void sock_events_look(struct sock_events *e);

/* Is it time for a call on socket @i? To be asked once for each. */
static inline bool sock_events_due(struct sock_events *e, int i, bool may)
{
	struct sock_state *s = &e->socks[i];

	if (!may && s->standing && ++s->skipped < SOCK_EVENTS_SKIP)
		return false;
	s->skipped = 0;
	return true;
}

static inline bool sock_events_may_send(struct sock_events *e, int i)
{
	return sock_events_due(e, i, e->socks[i].may_send);
}

/* Reading what the error queue has, or payload. */
static inline bool sock_events_may_read(struct sock_events *e, int i)
{
	if (!sock_events_due(e, i, e->socks[i].may_read))
		return false;
	e->socks[i].may_read = false;
	return true;
}

/* Looking whether the peer has closed the control socket. That is an event, always. */
static inline bool sock_events_may_end(struct sock_events *e)
{
	struct sock_state *s = &e->socks[e->n - 1];

	if (!s->may_read && s->standing)
		return false;
	s->may_read = false;
	return true;
}

/* A read is to come, for whatever reason: what has been noted is of before it. */
static inline void sock_events_unread(struct sock_events *e, int i)
{
	e->socks[i].may_read = false;
}

/* A read has left some, or may have. */
static inline void sock_events_left(struct sock_events *e, int i)
{
	e->socks[i].may_read = true;
}

/* The socket took no more. */
static inline void sock_events_full(struct sock_events *e, int i)
{
	e->socks[i].may_send = false;
}

#endif
