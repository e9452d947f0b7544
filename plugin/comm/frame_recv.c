// SPDX-License-Identifier: BSD-3-Clause
/*
 * The receiving side of a connection whose messages come in frames: one call reads the rest of a payload to where it belongs and
 * the next frame's head behind it, or many small frames at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/trace.h"
#include "comm/ack_stream.h"
#include "comm/comm.h"

/*
 * What is read ahead behind a payload: much where frames are small and a second copy is cheaper than a call, else one head. A socket
 * reads at most AHEAD_MAX ahead, a connection's together AHEAD_ALL.
 */
#define AHEAD_MAX   (64UL << 10)
#define AHEAD_ALL   (256UL << 10)
#define SMALL_FRAME (16UL << 10)

/*
 * How many messages a frame may be ahead of the next receive. A send is done when the kernel has its bytes, so a sender is ahead by all that
 * fits in the sockets' buffers, and on one socket by all that went over the others: 512 MiB of them if the messages are empty.
 */
#define SEQ_AHEAD_MAX (1 << 24)

/*
 * @req: whose payload is coming, [@p, @p + @left); @left is 0 between frames.
 * @head, @tail: what was read ahead and not used yet. @small: so were the last frames.
 */
struct in_sock {
	struct request *req;
	uint8_t *p;
	size_t left;
	size_t head;
	size_t tail;
	bool small;
	bool eof;
	uint8_t *ahead;
};

/*
 * @next_seq: number of the next irecv. @n_open: receives that are not complete. @ahead: bytes that each socket has room for.
 * @acks: what the peer is told of.
 */
struct frame_recv {
	struct comm base;
	uint32_t next_seq;
	unsigned int n_open;
	size_t ahead;
	struct ack_out acks;
	struct request reqs[NET_MAX_REQUESTS];
	struct in_sock socks[];
};

static const struct comm_ops frame_recv_ops;

static struct frame_recv *to_frames(struct comm *c)
{
	return (struct frame_recv *)c;
}

int frame_recv_create(const struct comm *base, struct comm **ret)
{
	size_t n = (size_t)base->n_socks;
	size_t ahead = AHEAD_ALL / n < AHEAD_MAX ? AHEAD_ALL / n : AHEAD_MAX;
	struct frame_recv *fr = calloc(1, sizeof(*fr) + n * (sizeof(struct in_sock) + ahead));
	size_t i;

	if (!fr)
		return -ENOMEM;
	fr->base = *base;
	fr->base.ops = &frame_recv_ops;
	fr->base.frames = true;
	fr->ahead = ahead;
	for (i = 0; i < n; i++) {
		fr->socks[i].small = true;
		/* The buffers lie behind the sockets. */
		fr->socks[i].ahead = (uint8_t *)&fr->socks[n] + i * ahead;
	}
	*ret = &fr->base;
	return 0;
}

static void frame_recv_destroy(struct comm *comm)
{
	struct frame_recv *fr = to_frames(comm);

	comm_close(comm);
	requests_release(fr->reqs);
	free(fr);
}

static int fail(struct frame_recv *fr, int err, const char *call)
{
	return comm_fail(&fr->base, err, call);
}

static bool is_complete(const struct request *req)
{
	return req->matched && req->arrived == req->total;
}

/* Up to where are all receives complete? One that has been taken by its owner was. */
static void find_consumed(struct frame_recv *fr)
{
	uint32_t *seq = &fr->acks.consumed;

	for (; *seq != fr->next_seq; ++*seq) {
		const struct request *req = &fr->reqs[*seq % NET_MAX_REQUESTS];

		if (req->used && !is_complete(req))
			return;
	}
}

static void arrived(struct frame_recv *fr, struct request *req, size_t n)
{
	req->arrived += n;
	TRACE4(chunk_received, &fr->base, req, RUNG_COPY, n);
	counter_add(recv_copy, n);
	if (is_complete(req)) {
		fr->n_open--;
		find_consumed(fr);
	}
}

/* A frame begins. 1 its head is used, 0 its receive is not posted yet, -errno. */
static int begin_frame(struct frame_recv *fr, struct in_sock *is, const struct wire_frame *f)
{
	struct request *req = &fr->reqs[f->seq % NET_MAX_REQUESTS];
	int32_t ahead = (int32_t)(f->seq - fr->next_seq);

	if ((f->magic != WIRE_MAGIC && f->magic != WIRE_LENT) || f->offset > f->total ||
	    f->len > f->total - f->offset)
		return fail(fr, -EPROTO, "reading a frame");
	if (ahead >= SEQ_AHEAD_MAX || ahead < -NET_MAX_REQUESTS)
		return fail(fr, -EPROTO, "reading a frame");
	if (ahead >= 0)
		return 0;
	if (!req->used || req->seq != f->seq || is_complete(req))
		return fail(fr, -EPROTO, "reading a frame");
	if (!req->matched) {
		if (f->total > req->size && !DEVMEM_MUTANT(oversize_taken)) {
			request_tell_oversize(req, f->total);
			return fail(fr, -EMSGSIZE, "matching a message");
		}
		req->matched = true;
		req->total = f->total;
	}
	if (f->total != req->total || f->len > req->total - req->covered ||
	    (f->len == 0 && req->total))
		return fail(fr, -EPROTO, "reading a frame");
	if (f->magic == WIRE_LENT)
		ack_out_expect(&fr->acks, f->seq);
	req->covered += f->len;
	is->req = req;
	is->p = f->len ? mr_cpu(req->mr, req->data + f->offset) : NULL;
	if (DEVMEM_MUTANT(chunk_base) && f->len && f->offset)
		is->p--;
	is->left = f->len;
	is->small = f->len <= SMALL_FRAME;
	if (f->len == 0)
		arrived(fr, req, 0);
	return 1;
}

/* Works off what was read ahead. 1 something was used, 0 nothing, -errno. */
static int use_ahead(struct frame_recv *fr, struct in_sock *is)
{
	bool moved = false;

	for (;;) {
		size_t have = is->tail - is->head;
		struct wire_frame f;
		int r;

		if (is->left) {
			size_t n = have < is->left ? have : is->left;

			if (!n)
				return moved;
			memcpy(is->p, is->ahead + is->head, n);
			is->head += n;
			is->p += n;
			is->left -= n;
			arrived(fr, is->req, n);
			moved = true;
			continue;
		}
		if (have < sizeof(f))
			return moved;
		memcpy(&f, is->ahead + is->head, sizeof(f));
		wire_frame_swap(&f);
		r = begin_frame(fr, is, &f);
		if (r <= 0)
			return r < 0 ? r : moved;
		is->head += sizeof(f);
		moved = true;
	}
}

/* Bytes to read ahead: at least what a head lacks. */
static size_t ahead_wanted(const struct frame_recv *fr, struct in_sock *is)
{
	size_t have = is->tail - is->head;

	if (is->head) {
		memmove(is->ahead, is->ahead + is->head, have);
		is->head = 0;
		is->tail = have;
	}
	return (is->small ? fr->ahead : sizeof(struct wire_frame)) - have;
}

/* One read. Bytes (> 0); 0 at end of stream; -EAGAIN, -errno. *ret_short: there is no more now. */
static ssize_t read_sock(struct frame_recv *fr, int i, bool *ret_short)
{
	struct in_sock *is = &fr->socks[i];
	size_t want = ahead_wanted(fr, is);
	size_t part = is->left < FRAME_CALL_BYTES ? is->left : FRAME_CALL_BYTES;
	struct iovec iov[2] = { { .iov_base = is->p, .iov_len = part },
				{ .iov_base = is->ahead + is->tail, .iov_len = want } };
	struct msghdr msg = { .msg_iov = is->left ? iov : iov + 1, .msg_iovlen = 1 };
	size_t body;
	ssize_t n;

	if (part < is->left)
		want = 0;
	else if (part)
		msg.msg_iovlen = 2;

	counter_inc(sys_recv);
	n = recvmsg(fr->base.socks[i].fd, &msg, MSG_DONTWAIT);
	if (n < 0) {
		if (errno == EAGAIN)
			counter_inc(sys_recv_none);
		return errno == EINTR ? -EAGAIN : -errno;
	}
	*ret_short = (size_t)n < part + want;
	body = (size_t)n < is->left ? (size_t)n : is->left;
	if (body) {
		is->p += body;
		is->left -= body;
		arrived(fr, is->req, body);
	}
	is->tail += (size_t)n - body;
	return n;
}

/* Takes what socket @i has. 1 something moved, 0 nothing, -errno. */
static int pull(struct frame_recv *fr, int i)
{
	struct in_sock *is = &fr->socks[i];
	bool drained = false;
	ssize_t budget = FRAME_CALL_BYTES;
	bool moved = false;
	ssize_t n;
	int r;

	for (;;) {
		r = use_ahead(fr, is);
		if (r < 0)
			return r;
		moved |= r > 0;
		/* A whole head that waits for its receive: what lies behind it is not to be read yet. */
		if (drained || is->eof || !fr->n_open || budget <= 0 ||
		    (!is->left && is->tail - is->head >= sizeof(struct wire_frame)))
			return moved;
		n = read_sock(fr, i, &drained);
		if (n == -EAGAIN)
			return moved;
		if (n < 0)
			return fail(fr, (int)n, "recvmsg");
		if (n == 0) {
			is->eof = true;
			if (is->left || is->tail != is->head)
				return fail(fr, -ECONNRESET, "waiting for a message");
		}
		budget -= n;
		moved |= n > 0;
	}
}

static int progress(struct frame_recv *fr)
{
	int i, r;

	for (i = 0; i < fr->base.n_socks; i++) {
		r = pull(fr, i);
		if (r < 0)
			return r;
	}
	if (ack_out_due(&fr->acks))
		ack_out_flush(&fr->acks, fr->base.ctrl_fd);
	return 0;
}

/* Every socket has ended: what is not here will not come. */
static bool is_lost(const struct frame_recv *fr)
{
	int i;

	for (i = 0; i < fr->base.n_socks; i++)
		if (!fr->socks[i].eof)
			return false;
	return true;
}

static int frame_recv_post(struct comm *comm, void *data, size_t size, int tag, struct mr *mr,
			   bool ll, struct request **ret)
{
	struct frame_recv *fr = to_frames(comm);
	struct request *req = &fr->reqs[fr->next_seq % NET_MAX_REQUESTS];
	int r;

	/* Bytes are written in stream order, by the kernel or by memcpy(): as good for LL as NCCL's own sockets. */
	(void)ll;
	*ret = NULL;
	if (req->used)
		return progress(fr);
	r = request_check(comm, mr, data, size, "irecv");
	if (r < 0)
		return r;
	if (size && !mr->cpu)
		return comm_refuse_memory(comm);
	*req = (struct request){
		.comm = comm,
		.used = true,
		.seq = fr->next_seq,
		.tag = tag,
		.data = data,
		.size = size,
		.mr = mr && !DEVMEM_MUTANT(mr_unheld) ? mr_get(mr) : mr,
	};
	fr->next_seq++;
	fr->n_open++;
	*ret = req;
	return 0;
}

static int frame_recv_test(struct request *req, int *ret_done, size_t *ret_size)
{
	struct frame_recv *fr = to_frames(req->comm);
	int r;

	if (!is_complete(req)) {
		r = progress(fr);
		if (r < 0)
			return r;
	}
	if (!is_complete(req) && !(DEVMEM_MUTANT(done_early) && req->arrived))
		return is_lost(fr) && !DEVMEM_MUTANT(eof_unnoticed)
			       ? fail(fr, -ECONNRESET, "waiting for a message")
			       : 0;
	if (ret_size)
		*ret_size = DEVMEM_MUTANT(size_posted) ? req->size : req->total;
	*ret_done = 1;
	counter_inc(msgs_received);
	request_release(req);
	return 0;
}

static const struct comm_ops frame_recv_ops = {
	.recv = frame_recv_post,
	.test = frame_recv_test,
	.destroy = frame_recv_destroy,
};
