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
#include "comm/comm.h"
#include "comm/ctrl_stream.h"
#include "path/zc_send.h"

/* Zerocopy sends in a row that the kernel copied after all, until we stop asking for it. */
#define COPIED_RUN_MAX 8

/* Idle progress calls between two looks whether the peer is still there, and the least time between two at its host. */
#define PEER_CHECK_INTERVAL 64
#define HOST_CHECK_MS	    250

/* What a socket is busy with: [p, p+left) of @req. @req is NULL when it is free for the next chunk. */
struct send_chunk {
	struct request *req;
	const uint8_t *p;
	size_t left;
};

/* What was last said to the ladder about one kind of memory, and what it answered. */
struct told {
	const struct path_ops *path;
	int result;
};

/*
 * @next_seq:  number of the next isend. @announce: first message whose records are not all written.
 * @turn:      socket that is offered the next chunk first.
 * @host_checked: when check_host() last looked; @silent_since: for sock_watch(), the control socket's last.
 * @zerocopy, @devmem: cleared for good when that path turns out not to work for this connection.
 */
struct send_comm {
	struct comm base;
	uint32_t next_seq;
	uint32_t announce;
	int turn;
	unsigned int idle;
	int64_t host_checked;
	int64_t silent_since[WIRE_MAX_SOCKS + 1];
	bool zerocopy;
	bool devmem;
	size_t chunk_size;
	size_t inline_max;
	size_t zerocopy_min;
	struct verdict no_devmem;
	struct verdict no_zerocopy;
	struct told told[MR_CUDA + 1];
	bool told_small;
	struct send_chunk busy[WIRE_MAX_SOCKS];
	struct request reqs[NET_MAX_REQUESTS];
	struct ctrl_out ctrl;
};

static struct send_comm *to_send(struct comm *c)
{
	return (struct send_comm *)c;
}

static void setup_zerocopy(struct send_comm *sc)
{
	struct comm *c = &sc->base;
	int top = param_choice(PARAM_SEND);
	int i, r = 0;

	if (top == SEND_COPY) {
		verdict_set(&sc->no_devmem, -ENOTSUP, NULL, "%s=copy", param_env_name(PARAM_SEND));
		sc->no_zerocopy = sc->no_devmem;
		return;
	}
	if (c->peer_is_local || c->nic->is_loopback) {
		verdict_set(&sc->no_devmem, -ENODEV, NULL,
			    "the peer is on this host: traffic takes the loopback device, which "
			    "always copies");
		sc->no_zerocopy = sc->no_devmem;
		return;
	}
	for (i = 0; i < c->n_socks && r == 0; i++)
		r = data_sock_enable_zerocopy(&c->socks[i]);
	if (r < 0) {
		verdict_set(&sc->no_devmem, r, NULL, "this kernel refuses SO_ZEROCOPY: %s",
			    strerror(-r));
		sc->no_zerocopy = sc->no_devmem;
		return;
	}
	sc->zerocopy = true;
	sc->devmem = top != SEND_ZEROCOPY;
	if (!sc->devmem)
		verdict_set(&sc->no_devmem, -ENOTSUP, NULL, "%s=zerocopy",
			    param_env_name(PARAM_SEND));
}

int send_comm_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		     const struct sockaddr *peer, struct comm **ret)
{
	struct send_comm *sc = calloc(1, sizeof(*sc));
	struct comm tmp;

	if (!sc) {
		comm_init(&tmp, COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
		comm_close(&tmp);
		return -ENOMEM;
	}
	comm_init(&sc->base, COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
	sc->chunk_size = (size_t)param_int(PARAM_CHUNK_SIZE);
	sc->inline_max = (size_t)param_int(PARAM_INLINE_MAX);
	sc->zerocopy_min = (size_t)param_int(PARAM_ZEROCOPY_MIN);
	setup_zerocopy(sc);
	*ret = &sc->base;
	return 0;
}

void send_comm_destroy(struct comm *comm)
{
	struct send_comm *sc = to_send(comm);
	int i;

	comm_close(comm);
	for (i = 0; i < NET_MAX_REQUESTS; i++)
		if (sc->reqs[i].used)
			request_release(&sc->reqs[i]);
	free(sc);
}

/*
 * Tells the ladder which path memory of this kind takes, and why no higher one; what it answers (an error when
 * NCCL_DEVMEM_REQUIRE forbids the path) holds until the path changes. So a message costs a comparison, not a lock.
 */
static int tell_ladder(struct send_comm *sc, const struct mr *mr, const struct path_ops *path,
		       enum rung wanted, const struct verdict *why)
{
	struct told *told = &sc->told[mr->type];
	const char *name = sc->base.nic->name;

	if (told->path == path)
		return told->result;
	told->path = path;
	told->result = 0;
	if (path->rung < wanted)
		told->result = ladder_step_down(name, DIR_SEND, wanted, path->rung, why);
	if (told->result == 0)
		ladder_chosen(name, DIR_SEND, path->rung,
			      mr->type == MR_DMABUF ? "dmabuf memory" : "host memory");
	return told->result;
}

/*
 * The highest rung that can move @req's bytes. Host memory never asks for devmem (there is no dmabuf to send from), so
 * NCCL_DEVMEM_REQUIRE=devmem is about dmabuf memory. Pages of a dmabuf mapping cannot be pinned for MSG_ZEROCOPY, so
 * there the rung below devmem is copy.
 */
static int choose_path(struct send_comm *sc, struct request *req)
{
	const struct mr *mr = req->mr;
	int r;

	if (!mr)
		return -EINVAL; /* request_check() lets only empty messages come without */
	if (mr->type == MR_DMABUF && sc->devmem && mr->tx) {
		req->path = &path_send_devmem;
		return tell_ladder(sc, mr, req->path, RUNG_DEVMEM, NULL);
	}
	if (mr->type == MR_DMABUF) {
		req->path = &path_send_copy;
		r = tell_ladder(sc, mr, req->path, RUNG_DEVMEM,
				sc->devmem ? &mr->tx_why : &sc->no_devmem);
		if (r == 0 && !mr->cpu) {
			log_err("%s: %zu bytes of dmabuf memory that the CPU cannot read have no "
				"path left",
				sc->base.nic->name, req->size);
			r = -ENOTSUP;
		}
		return r;
	}
	if (sc->zerocopy && req->size < sc->zerocopy_min) {
		/* By choice, not for want of a better path. */
		req->path = &path_send_copy;
		if (!sc->told_small)
			ladder_chosen(sc->base.nic->name, DIR_SEND, RUNG_COPY,
				      "host memory below NCCL_DEVMEM_ZEROCOPY_MIN");
		sc->told_small = true;
		return 0;
	}
	req->path = sc->zerocopy ? &path_send_zerocopy : &path_send_copy;
	if (param_choice(PARAM_REQUIRE) == REQUIRE_DEVMEM)
		return 0;
	return tell_ladder(sc, mr, req->path, RUNG_ZEROCOPY, &sc->no_zerocopy);
}

/* A send failed in a way that says "not like this", not "the connection is dead". */
static bool is_path_error(int err)
{
	return err == -ENODEV || err == -EINVAL || err == -EOPNOTSUPP || err == -ENOBUFS ||
	       err == -EFAULT || err == -EIO;
}

static int leave_path(struct send_comm *sc, struct request *req, int err)
{
	const struct nic *nic = sc->base.nic;
	enum rung from = req->path->rung;
	struct verdict why;

	if (from == RUNG_COPY || !req->mr->cpu || !is_path_error(err))
		return err;
	if (err == -ENOBUFS)
		verdict_set(
			&why, err, "sysctl net.core.optmem_max=1048576",
			"the kernel has no room for a zerocopy notification (net.core.optmem_max)");
	else if (from == RUNG_DEVMEM)
		verdict_set(
			&why, err, NULL,
			"sendmsg from dmabuf %u: %s (is the route to %s through another device?)",
			req->mr->tx_id, strerror(-err), sc->base.peer);
	else
		verdict_set(&why, err, NULL, "sendmsg with MSG_ZEROCOPY: %s", strerror(-err));

	if (from == RUNG_DEVMEM) {
		sc->devmem = false;
		sc->no_devmem = why;
	} else {
		sc->zerocopy = false;
		sc->no_zerocopy = why;
	}
	req->path = &path_send_copy;
	return ladder_step_down(nic->name, DIR_SEND, from, RUNG_COPY, &why);
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
		ssize_t n = req->path->send(ds, req->mr, b->p, b->left, &req->zc);

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
			int r = leave_path(sc, req, (int)n);

			if (r < 0)
				return r;
			continue;
		}
		b->p += n;
		b->left -= (size_t)n;
		req->accepted += (size_t)n;
		moved = true;
	}
	b->req = NULL;
	return moved;
}

static int progress(struct send_comm *sc)
{
	bool moved;
	int i, r;

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

/* A dead host says nothing at all: its silence has to be noticed. */
static int check_host(struct send_comm *sc)
{
	int64_t now = now_ms();
	int i, r;

	if (now - sc->host_checked < HOST_CHECK_MS)
		return 0;
	sc->host_checked = now;
	for (i = 0; i <= sc->base.n_socks; i++) {
		int fd = i < sc->base.n_socks ? sc->base.socks[i].fd : sc->base.ctrl_fd;

		r = sock_watch(fd, &sc->silent_since[i], now);
		if (r < 0)
			return comm_fail(&sc->base, r, "waiting for a send");
	}
	return 0;
}

/* Nothing is ever sent to us here; a readable control socket is one that the peer closed. */
static int check_peer(struct send_comm *sc)
{
	uint8_t byte;
	ssize_t n;

	counter_inc(sys_ctrl);
	n = recv(sc->base.ctrl_fd, &byte, 1, MSG_DONTWAIT);
	if (n == 0)
		return comm_fail(&sc->base, -ECONNRESET, "waiting for a send");
	if (n > 0)
		return comm_fail(&sc->base, -EPROTO, "waiting for a send");
	if (errno == EAGAIN || errno == EINTR)
		return check_host(sc);
	return comm_fail(&sc->base, -errno, "waiting for a send");
}

static int reap(struct send_comm *sc)
{
	int i, r;

	for (i = 0; i < sc->base.n_socks; i++) {
		struct data_sock *ds = &sc->base.socks[i];

		if (!ds->zc || !ds->zc->outstanding)
			continue;
		r = zc_reap(ds);
		if (r < 0)
			return comm_fail(&sc->base, r, "fetching completions");
		if (sc->zerocopy && ds->zc->copied_run >= COPIED_RUN_MAX) {
			sc->zerocopy = false;
			verdict_set(&sc->no_zerocopy, -EOPNOTSUPP, NULL,
				    "the kernel copies zerocopy sends on this route (veth, "
				    "loopback, or no scatter-gather)");
		}
	}
	return 0;
}

static bool is_done(const struct send_comm *sc, const struct request *req)
{
	if (DEVMEM_MUTANT(send_early) && req->announced)
		return true;
	return req->accepted == req->size && req->assigned == req->size && req->announced &&
	       sc->ctrl.flushed >= req->ctrl_end && req->zc.pending == 0;
}

int send_comm_post(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
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
		.mr = mr ? mr_get(mr) : NULL,
	};
	if (!is_inline(sc, req)) {
		r = choose_path(sc, req);
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

int send_comm_test(struct request *req, int *ret_done)
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
		r = reap(sc);
		if (r < 0)
			return r;
	}
	if (is_done(sc, req)) {
		request_release(req);
		sc->idle = 0;
		*ret_done = 1;
		return 0;
	}
	if (++sc->idle % PEER_CHECK_INTERVAL == 0)
		return check_peer(sc);
	return 0;
}
