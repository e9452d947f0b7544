// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "comm/peer_watch.h"

/* Idle progress calls between two looks whether the peer is still there, and the least time between two at its host. */
#define PEER_CHECK_INTERVAL 64
#define HOST_CHECK_MS	    250

/* A dead host says nothing at all: its silence has to be noticed. */
static int check_host(struct peer_watch *w, struct comm *comm)
{
	int64_t now = now_ms();
	int i, r;

	if (now - w->host_checked < HOST_CHECK_MS)
		return 0;
	w->host_checked = now;
	for (i = 0; i <= comm->n_socks; i++) {
		int fd = i < comm->n_socks ? comm->socks[i].fd : comm->ctrl_fd;

		r = sock_watch(fd, &w->silent_since[i], now);
		if (r < 0)
			return comm_fail(comm, r, "waiting for a send");
	}
	return 0;
}

/* Nothing is ever sent to us here; a readable control socket is one that the peer closed. */
static int check_peer(struct peer_watch *w, struct comm *comm)
{
	uint8_t byte;
	ssize_t n;

	if (w->heard || (w->events && !sock_events_may_end(w->events)))
		return check_host(w, comm);
	counter_inc(sys_ctrl);
	n = recv(comm->ctrl_fd, &byte, 1, MSG_DONTWAIT);
	if (n == 0)
		return comm_fail(comm, -ECONNRESET, "waiting for a send");
	if (n > 0)
		return comm_fail(comm, -EPROTO, "waiting for a send");
	if (errno == EAGAIN || errno == EINTR)
		return check_host(w, comm);
	return comm_fail(comm, -errno, "waiting for a send");
}

bool peer_watch_due(const struct peer_watch *w)
{
	return (w->idle + 1) % PEER_CHECK_INTERVAL == 0;
}

int peer_watch_look(struct peer_watch *w, struct comm *comm)
{
	if (++w->idle % PEER_CHECK_INTERVAL)
		return 0;
	return check_peer(w, comm);
}
