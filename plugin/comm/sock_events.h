/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has happened on the sockets of a sending comm, without asking them: io_uring polls stand on each (IORING_POLL_ADD_MULTI, Linux
 * 5.13) and note when a full socket has room again, when its error queue has something, when the peer is gone. As EPOLLET has it
 * (epoll(7)): after a call that brought nothing, there is nothing to be had until the next event.
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
 * One socket. @standing: a poll does. @may_send, @may_reap: a call may bring something; without polls always.
 * @skipped: calls held back since the last.
 */
struct sock_state {
	int fd;
	bool standing;
	bool may_send;
	bool may_reap;
	unsigned int skipped;
};

/* @n sockets: the data sockets, and the control socket as the last. @on: polls stand, or will. */
struct sock_events {
	bool on;
	int n;
	struct sock_state socks[WIRE_MAX_SOCKS + 1];
	struct uring u;
};

struct comm;

/* Watches @comm's sockets from the next look on, unless NCCL_DEVMEM_IO_URING or the kernel is against it. */
void sock_events_open(struct sock_events *e, const struct comm *comm);
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

/* Reading what the error queue has. */
static inline bool sock_events_may_reap(struct sock_events *e, int i)
{
	if (!sock_events_due(e, i, e->socks[i].may_reap))
		return false;
	e->socks[i].may_reap = false;
	return true;
}

/* Looking whether the peer has closed the control socket. That is an event, always. */
static inline bool sock_events_may_end(struct sock_events *e)
{
	struct sock_state *s = &e->socks[e->n - 1];

	if (!s->may_reap && s->standing)
		return false;
	s->may_reap = false;
	return true;
}

/* The socket took no more. */
static inline void sock_events_full(struct sock_events *e, int i)
{
	e->socks[i].may_send = false;
}

#endif
