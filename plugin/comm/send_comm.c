// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sending side of a connection: cuts messages into chunks, gives each to a socket that can take it, and tells when the
 * memory is free again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "base/trace.h"
#include "comm/comm.h"
#include "comm/ctrl_stream.h"
#include "comm/peer_watch.h"
#include "comm/send_path.h"
#include "comm/sock_events.h"
#include "path/zc_send.h"

/* What one receive can bring. Were it more, the receiver would begin before the rest is there, and read in many small parts. */
#define CHUNK_ALONE (1UL << 20)

/* What a socket is busy with: [p, p+left) of @req. @req is NULL when it is free for the next chunk. */
struct send_chunk {
	struct request *req;
	const uint8_t *p;
	size_t left;
};

/*
 * @next_seq:  number of the next isend. @announce: first message whose records are not all written.
 * @turn:      socket that is offered the next chunk first.
 */
struct send_comm {
	struct comm base;
	uint32_t next_seq;
	uint32_t announce;
	int turn;
	struct sock_events events;
	struct peer_watch watch;
	struct send_path path;
	size_t chunk_size;
	size_t inline_max;
	struct send_chunk busy[WIRE_MAX_SOCKS];
	struct request reqs[NET_MAX_REQUESTS];
	struct ctrl_out ctrl;
};

static struct send_comm *to_send(struct comm *c)
{
	return (struct send_comm *)c;
}

static const struct comm_ops send_comm_ops;

int send_comm_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		     const struct sockaddr *peer, struct comm **ret)
{
	struct send_comm *sc = calloc(1, sizeof(*sc));

	if (!sc) {
		comm_discard(COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
		return -ENOMEM;
	}
	comm_init(&sc->base, COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
	sc->base.ops = &send_comm_ops;
	/* In whole lines of GPU memory: each has one socket's bytes, in order (see gpu_queue_move()). */
	sc->chunk_size = (size_t)param_int(PARAM_CHUNK_SIZE) & ~127UL;
	/* One socket shares nothing with others: fewer records, longer sends. */
	if (n_socks == 1 && !param_is_set(PARAM_CHUNK_SIZE))
		sc->chunk_size = CHUNK_ALONE;
	sc->inline_max = (size_t)param_int(PARAM_INLINE_MAX);
	send_path_init(&sc->path, &sc->base, false);
	sock_events_open(&sc->events, &sc->base);
	sc->path.events = &sc->events;
	sc->watch.events = &sc->events;
	*ret = &sc->base;
	return 0;
}

static void send_comm_destroy(struct comm *comm)
{
	struct send_comm *sc = to_send(comm);

	sock_events_close(&sc->events);
	comm_close(comm);
	/* Before the requests let go of the memory that the GPU copies from. */
	send_path_destroy(&sc->path);
	requests_release(sc->reqs);
	free(sc);
}

static void announce_inline(struct send_comm *sc, struct request *req)
{
	struct wire_rec rec = {
		.type = WIRE_MSG,
		.flags = WIRE_F_INLINE,
		.seq = req->seq,
		.tag = (uint32_t)req->tag,
		.len = (uint32_t)req->size,
		.value = req->size,
	};

	if (req->size || !DEVMEM_MUTANT(empty_unsent))
		ctrl_out_put(&sc->ctrl, rec, req->size ? mr_cpu(req->mr, req->data) : NULL,
			     req->size);
	req->announced = true;
	req->assigned = req->size;
	req->accepted = req->size;
	counter_add(sent_inline, req->size);
}

static bool is_inline(const struct send_comm *sc, const struct request *req)
{
	return req->size == 0 || (req->size <= sc->inline_max && req->mr && req->mr->cpu);
}

/* Gives the next chunk of @req to socket @i. */
static void assign_chunk(struct send_comm *sc, struct request *req, int i)
{
	size_t left = req->size - req->assigned;
	size_t len = left < sc->chunk_size ? left : sc->chunk_size;
	struct wire_rec rec = {
		.type = WIRE_CHUNK,
		.sock = (uint16_t)i,
		.seq = req->seq,
		.len = (uint32_t)len,
		.value = req->assigned,
	};

	ctrl_out_put(&sc->ctrl, rec, NULL, 0);
	sc->busy[i] =
		(struct send_chunk){ .req = req, .p = req->data + req->assigned, .left = len };
	req->assigned += len;
}

static int find_free_sock(struct send_comm *sc)
{
	int n = sc->base.n_socks;
	int i;

	for (i = 0; i < n; i++) {
		int at = (sc->turn + i) % n;

		if (!sc->busy[at].req) {
			sc->turn = (at + 1) % n;
			return at;
		}
	}
	return -1;
}

/*
 * Writes records, in message order, as far as the control buffer and free sockets allow. Only a socket whose last
 * chunk the kernel has taken whole gets another: so a slow socket never holds more than one chunk back.
 */
static bool announce(struct send_comm *sc)
{
	bool moved = false;

	while (sc->announce != sc->next_seq) {
		struct request *req = &sc->reqs[sc->announce % NET_MAX_REQUESTS];
		int i;

		if (is_inline(sc, req)) {
			if (ctrl_out_room(&sc->ctrl) < sizeof(struct wire_rec) + req->size)
				return moved;
			announce_inline(sc, req);
		} else {
			if (ctrl_out_room(&sc->ctrl) < 2 * sizeof(struct wire_rec))
				return moved;
			i = find_free_sock(sc);
			if (i < 0)
				return moved;
			if (!req->announced) {
				ctrl_out_put(&sc->ctrl,
					     (struct wire_rec){ .type = WIRE_MSG,
								.seq = req->seq,
								.tag = (uint32_t)req->tag,
								.value = req->size },
					     NULL, 0);
				req->announced = true;
			}
			assign_chunk(sc, req, i);
		}
		moved = true;
		if (req->assigned == req->size) {
			req->ctrl_end = sc->ctrl.queued;
			sc->announce++;
		}
	}
	return moved;
}

/* Pushes socket @i's chunk. 1 moved, 0 the socket is full, -errno. */
static int push_chunk(struct send_comm *sc, int i)
{
	struct data_sock *ds = &sc->base.socks[i];
	struct send_chunk *b = &sc->busy[i];
	bool moved = false;

	while (b->left) {
		struct request *req = b->req;
		/* There it is the GPU that may be behind. */
		bool watched = req->path != &path_send_staged;
		ssize_t n;

		if (watched && !sock_events_may_send(&sc->events, i))
			return moved;
		n = req->path->send(ds, req->mr, b->p, b->left, &req->zc);
		if (n == -EAGAIN && watched)
			sock_events_full(&sc->events, i);
		if (n == -EAGAIN)
			return moved;
		if (n == -ENOBUFS && ds->zc && ds->zc->outstanding) {
			/* The kernel's room for notifications is used up by finished ones: fetch them, then go on. */
			int r = zc_reap(ds);

			if (r < 0)
				return r;
			if (r == 0)
				return moved;
			continue;
		}
		if (n < 0) {
			int r = send_path_leave(&sc->path, req, (int)n);

			if (r < 0)
				return r;
			continue;
		}
		b->p += n;
		b->left -= (size_t)n;
		req->accepted += (size_t)n;
		TRACE4(chunk_sent, &sc->base, req, req->path->rung, n);
		moved = true;
	}
	b->req = NULL;
	return moved;
}

static int progress(struct send_comm *sc)
{
	bool moved;
	int i, r;

	sock_events_look(&sc->events);
	do {
		moved = announce(sc);
		for (i = 0; i < sc->base.n_socks; i++) {
			if (!sc->busy[i].req)
				continue;
			r = push_chunk(sc, i);
			if (r < 0)
				return comm_fail(&sc->base, r, "sendmsg");
			moved |= r > 0;
		}
	} while (moved);

	r = ctrl_out_flush(&sc->ctrl, sc->base.ctrl_fd);
	if (r < 0)
		return comm_fail(&sc->base, r, "send on the control socket");
	return 0;
}

static bool is_done(const struct send_comm *sc, const struct request *req)
{
	if (DEVMEM_MUTANT(send_early) && req->announced)
		return true;
	return req->accepted == req->size && req->assigned == req->size && req->announced &&
	       sc->ctrl.flushed >= req->ctrl_end && req->zc.pending == 0;
}

static int send_comm_post(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
			  struct request **ret)
{
	struct send_comm *sc = to_send(comm);
	struct request *req = &sc->reqs[sc->next_seq % NET_MAX_REQUESTS];
	int r;

	*ret = NULL;
	if (req->used && !DEVMEM_MUTANT(ring_overrun))
		return progress(sc);
	r = request_check(comm, mr, data, size, "isend");
	if (r < 0)
		return r;

	*req = (struct request){
		.comm = comm,
		.seq = sc->next_seq,
		.tag = tag,
		.data = (uint8_t *)data, /* only ever read */
		.size = size,
		.total = size,
		.mr = mr ? mr_get(mr) : NULL,
	};
	if (!is_inline(sc, req)) {
		r = send_path_choose(&sc->path, req);
		if (r < 0) {
			request_release(req);
			return comm_fail(comm, r, "choosing a send path");
		}
	}
	req->used = true;
	sc->next_seq++;
	counter_inc(msgs_sent);
	r = progress(sc);
	if (r < 0)
		return r;
	*ret = req;
	return 0;
}

static int send_comm_test(struct request *req, int *ret_done, size_t *ret_size)
{
	struct comm *comm = req->comm;
	struct send_comm *sc = to_send(comm);
	int r;

	if (!is_done(sc, req)) {
		r = progress(sc);
		if (r < 0)
			return r;
	}
	if (!is_done(sc, req) && req->accepted == req->size && req->zc.pending) {
		r = send_path_reap(&sc->path, comm);
		if (r < 0)
			return r;
	}
	if (is_done(sc, req)) {
		if (ret_size)
			*ret_size = req->size;
		request_release(req);
		peer_watch_rest(&sc->watch);
		*ret_done = 1;
		return 0;
	}
	return peer_watch_look(&sc->watch, comm);
}

static const struct comm_ops send_comm_ops = {
	.send = send_comm_post,
	.test = send_comm_test,
	.destroy = send_comm_destroy,
};
