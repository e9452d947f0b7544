// SPDX-License-Identifier: BSD-3-Clause
/*
 * The receiving side of a connection: reads records, matches messages with posted receives in order, and places payload.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/param.h"
#include "comm/comm.h"
#include "comm/ctrl_stream.h"
#include "comm/net_internal.h"

/* Chunks known but not yet read, per socket. When they are full the control stream waits. */
#define CHUNKS_MAX 64

/* The next @left bytes of a socket belong at @p of @req. */
struct recv_chunk {
	struct request *req;
	uint8_t *p;
	size_t left;
};

/* @head, @tail count up for ever; entries live at their value modulo CHUNKS_MAX. */
struct chunk_fifo {
	uint32_t head;
	uint32_t tail;
	struct recv_chunk ring[CHUNKS_MAX];
};

/*
 * @next_seq: number of the next irecv. @match: number of the next message that the control stream will announce.
 * @inline_req: the message whose payload is coming in the control stream right now, @inline_left bytes of it missing.
 */
struct recv_comm {
	struct comm base;
	const struct path_ops *path;
	struct pool *pool;
	uint32_t next_seq;
	uint32_t match;
	struct request *inline_req;
	size_t inline_left;
	struct chunk_fifo fifo[WIRE_MAX_SOCKS];
	struct request reqs[NET_MAX_REQUESTS];
	struct ctrl_in ctrl;
};

static struct recv_comm *to_recv(struct comm *c)
{
	return (struct recv_comm *)c;
}

/* Climbs to devmem if it can; @why tells what was in the way. All sockets of a connection take the same path. */
static int setup_devmem(struct recv_comm *rc, struct verdict *why)
{
	struct comm *c = &rc->base;
	int i, r;

	if (param_choice(PARAM_RECV) == RECV_COPY)
		return verdict_set(why, -ENOTSUP, NULL, "%s=copy", param_env_name(PARAM_RECV));
	if (c->peer_is_local || c->nic->is_loopback)
		return verdict_set(why, -ENODEV, NULL,
				   "the peer is on this host: traffic takes the loopback device, "
				   "which has no devmem");
	/* Before any memory is taken: mostly it is the NIC that cannot. */
	if (net_nic_caps(c->nic)->rx_devmem.err) {
		*why = net_nic_caps(c->nic)->rx_devmem;
		return why->err;
	}
	r = pool_get(c->nic, NULL, &rc->pool, why);
	if (r < 0)
		return r;
	for (i = 0; i < c->n_socks; i++) {
		r = data_sock_steer(&c->socks[i], rc->pool, why);
		if (r < 0) {
			while (i--)
				data_sock_unsteer(&c->socks[i]);
			pool_put(rc->pool);
			rc->pool = NULL;
			return r;
		}
	}
	return 0;
}

int recv_comm_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		     const struct sockaddr *peer, struct comm **ret, enum rung *ret_rung)
{
	struct recv_comm *rc = calloc(1, sizeof(*rc));
	struct verdict why = { 0 };
	struct comm tmp;
	char detail[64];
	int r;

	if (!rc) {
		comm_init(&tmp, COMM_RECV, nic, ctrl_fd, socks, n_socks, peer);
		comm_close(&tmp);
		return -ENOMEM;
	}
	comm_init(&rc->base, COMM_RECV, nic, ctrl_fd, socks, n_socks, peer);

	r = setup_devmem(rc, &why);
	rc->path = r == 0 ? &path_recv_devmem : &path_recv_copy;
	if (r < 0) {
		r = ladder_step_down(nic->name, DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why);
		if (r < 0) {
			comm_close(&rc->base);
			free(rc);
			return r;
		}
		ladder_chosen(nic->name, DIR_RECV, RUNG_COPY, "");
	} else {
		snprintf(detail, sizeof(detail), "%s pool of %zu MiB on queue %s",
			 rc->pool->block.provider->name, rc->pool->block.size >> 20,
			 nic_rx_queues(rc->pool->rx));
		ladder_chosen(nic->name, DIR_RECV, RUNG_DEVMEM, detail);
	}
	*ret_rung = rc->path->rung;
	*ret = &rc->base;
	return 0;
}

void recv_comm_destroy(struct comm *comm)
{
	struct recv_comm *rc = to_recv(comm);
	int i;

	comm_close(comm);
	for (i = 0; i < NET_MAX_REQUESTS; i++)
		if (rc->reqs[i].used)
			request_release(&rc->reqs[i]);
	if (rc->pool)
		pool_put(rc->pool);
	free(rc);
}

static int fail(struct recv_comm *rc, int err, const char *call)
{
	return comm_fail(&rc->base, err, call);
}

/* A message begins. 1 consumed, 0 its receive is not posted yet, -errno. */
static int parse_msg(struct recv_comm *rc, const struct wire_rec *rec)
{
	struct request *req = &rc->reqs[rec->seq % NET_MAX_REQUESTS];

	if (rec->seq != rc->match || (rec->flags & ~WIRE_F_INLINE))
		return fail(rc, -EPROTO, "reading a message record");
	if (rc->match == rc->next_seq)
		return 0;
	if (rec->value > req->size) {
		log_err("%s from %s: message of %llu bytes for a receive of %zu: mismatched "
			"collective? Check that all ranks "
			"call the same operations with the same counts",
			rc->base.nic->name, rc->base.peer, (unsigned long long)rec->value,
			req->size);
		return fail(rc, -EMSGSIZE, "matching a message");
	}
	if (rec->flags & WIRE_F_INLINE) {
		if (rec->len != rec->value)
			return fail(rc, -EPROTO, "reading an inline message");
		rc->inline_req = req;
		rc->inline_left = rec->len;
	}
	req->total = rec->value;
	req->covered = rc->inline_left;
	req->matched = true;
	rc->match++;
	ctrl_in_skip(&rc->ctrl, sizeof(*rec));
	return 1;
}

/* Part of a message is on its way. 1 consumed, 0 no room to note it now, -errno. */
static int parse_chunk(struct recv_comm *rc, const struct wire_rec *rec)
{
	struct request *req = &rc->reqs[rec->seq % NET_MAX_REQUESTS];
	struct recv_chunk *last;
	struct chunk_fifo *f;
	uint8_t *p;

	if (rec->sock >= rc->base.n_socks || !req->used || !req->matched || req->seq != rec->seq ||
	    rec->len == 0 || rec->value != req->covered || rec->len > req->total - rec->value)
		return fail(rc, -EPROTO, "reading a chunk record");
	f = &rc->fifo[rec->sock];
	last = f->head == f->tail ? NULL : &f->ring[(f->tail - 1) % CHUNKS_MAX];
	p = req->data + rec->value;

	if (last && last->req == req && last->p + last->left == p) {
		last->left += rec->len;
	} else {
		if (f->tail - f->head == CHUNKS_MAX)
			return 0;
		f->ring[f->tail % CHUNKS_MAX] =
			(struct recv_chunk){ .req = req, .p = p, .left = rec->len };
		f->tail++;
	}
	req->covered += rec->len;
	ctrl_in_skip(&rc->ctrl, sizeof(*rec));
	return 1;
}

static bool take_inline(struct recv_comm *rc)
{
	struct request *req = rc->inline_req;
	uint8_t *dst = mr_cpu(req->mr, req->data + (req->total - rc->inline_left));
	size_t n = ctrl_in_take(&rc->ctrl, dst, rc->inline_left);

	rc->inline_left -= n;
	req->placed += n;
	counter_add(recv_inline, n);
	return n > 0;
}

/* Works off what the control buffer holds. 1 something was used, 0 nothing, -errno. */
static int parse(struct recv_comm *rc)
{
	bool moved = false;
	struct wire_rec rec;
	int r;

	for (;;) {
		if (rc->inline_left) {
			if (!take_inline(rc))
				return moved;
			moved = true;
			continue;
		}
		if (!ctrl_in_peek(&rc->ctrl, &rec))
			return moved;
		if (rec.type == WIRE_MSG)
			r = parse_msg(rc, &rec);
		else if (rec.type == WIRE_CHUNK)
			r = parse_chunk(rc, &rec);
		else
			r = fail(rc, -EPROTO, "reading a record of unknown type");
		if (r <= 0)
			return r < 0 ? r : moved;
		moved = true;
	}
}

/* Reads what socket @i has for the chunks that are known. 1 moved, 0 nothing there, -errno. */
static int pull_chunks(struct recv_comm *rc, int i)
{
	struct data_sock *ds = &rc->base.socks[i];
	struct chunk_fifo *f = &rc->fifo[i];
	bool moved = false;
	int r;

	while (f->head != f->tail) {
		struct recv_chunk *c = &f->ring[f->head % CHUNKS_MAX];
		ssize_t n = rc->path->recv(ds, c->req->mr, c->p, c->left);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		c->p += n;
		c->left -= (size_t)n;
		c->req->placed += (size_t)n;
		moved = true;
		if (c->left == 0)
			f->head++;
		r = rc->path->recycle(ds, f->head == f->tail);
		if (r < 0)
			return r;
	}
	return moved;
}

/* Is there a posted receive that the control stream has not fully described? Else reading it can wait. */
static bool wants_records(const struct recv_comm *rc)
{
	const struct request *last;

	if (rc->match != rc->next_seq || rc->inline_left)
		return true;
	last = &rc->reqs[(rc->match - 1) % NET_MAX_REQUESTS];
	return last->used && last->covered < last->total;
}

static int progress(struct recv_comm *rc)
{
	bool moved;
	int i, r;

	do {
		moved = false;
		if (wants_records(rc)) {
			r = ctrl_in_fill(&rc->ctrl, rc->base.ctrl_fd);
			if (r < 0)
				return fail(rc, r, "receive on the control socket");
			r = parse(rc);
			if (r < 0)
				return r;
			moved = r > 0;
		}
		for (i = 0; i < rc->base.n_socks; i++) {
			if (rc->fifo[i].head == rc->fifo[i].tail)
				continue;
			r = pull_chunks(rc, i);
			if (r < 0)
				return fail(rc, r, "recvmsg");
			moved |= r > 0;
		}
	} while (moved);
	return 0;
}

/* Can @req still finish? Not when the peer closed before telling where its bytes are. */
static bool is_lost(const struct recv_comm *rc, const struct request *req)
{
	return rc->ctrl.eof &&
	       (!req->matched || req->covered < req->total || rc->inline_req == req);
}

int recv_comm_post(struct comm *comm, void *data, size_t size, int tag, struct mr *mr,
		   struct request **ret)
{
	struct recv_comm *rc = to_recv(comm);
	struct request *req = &rc->reqs[rc->next_seq % NET_MAX_REQUESTS];
	int r;

	*ret = NULL;
	if (req->used)
		return progress(rc);
	r = request_check(comm, mr, data, size, "irecv");
	if (r < 0)
		return r;
	if (size && !mr->cpu) {
		log_err("%s: receive into dmabuf memory that the CPU cannot map has no gather path "
			"in this build",
			comm->nic->name);
		return -ENOTSUP;
	}
	*req = (struct request){
		.comm = comm,
		.used = true,
		.seq = rc->next_seq,
		.tag = tag,
		.data = data,
		.size = size,
		.mr = mr ? mr_get(mr) : NULL,
	};
	rc->next_seq++;
	*ret = req;
	return 0;
}

int recv_comm_test(struct request *req, int *ret_done, size_t *ret_size)
{
	struct recv_comm *rc = to_recv(req->comm);
	int r;

	if (!req->matched || req->placed < req->total) {
		r = progress(rc);
		if (r < 0)
			return r;
	}
	if (req->matched && req->placed == req->total) {
		if (ret_size)
			*ret_size = req->total;
		*ret_done = 1;
		counter_inc(msgs_received);
		request_release(req);
		return 0;
	}
	if (is_lost(rc, req))
		return fail(rc, -ECONNRESET, "waiting for a message");
	return 0;
}
