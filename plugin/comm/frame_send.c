// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sending side of a connection whose messages come in frames: cuts messages into frames, queues each at the socket that is least
 * behind, and hands many frames to the kernel in one call.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/counter.h"
#include "base/mutant.h"
#include "base/param.h"
#include "base/trace.h"
#include "comm/comm.h"
#include "comm/peer_watch.h"
#include "comm/send_path.h"

/* Frames queued at a socket, and how many of them go into one call. */
#define QUEUE_MAX 64
#define BATCH_MAX 32

/* How often one call fills the queues and empties them again, while that moves something. */
#define ROUNDS_MAX 8

/* The longest frame: keeps its length in 32 bits. */
#define FRAME_MAX (1UL << 30)

/*
 * A burst is messages that follow one another within BURST_NS, which is less than a round trip. All but its first wait for more to come,
 * to go together: until HOLD_MAX bytes wait, or a test() finds that no isend() has come since the last. NCCL's proxy tests after each
 * isend(), so one test() is not yet a pause.
 */
#define BURST_NS 8000
#define HOLD_MAX (56UL << 10)

/*
 * @head: in wire order, @head_left bytes of it still to be sent. [@p, @p + @left) is what remains of the payload.
 */
struct out_frame {
	struct wire_frame head;
	size_t head_left;
	struct request *req;
	const uint8_t *p;
	size_t left;
};

/* @first, @end count up for ever; frames live at their value modulo QUEUE_MAX. @bytes: queued and not yet taken by the kernel. */
struct out_queue {
	uint32_t first;
	uint32_t end;
	size_t bytes;
	struct out_frame ring[QUEUE_MAX];
};

/*
 * @next_seq: number of the next isend. @cut: the oldest message that is not wholly queued. @posted: an isend() has come since the last
 * test(), @posted_ns: when the last one of a small message came.
 */
struct frame_send {
	struct comm base;
	uint32_t next_seq;
	uint32_t cut;
	bool posted;
	int64_t posted_ns;
	size_t chunk_size;
	struct peer_watch watch;
	struct send_path path;
	struct request reqs[NET_MAX_REQUESTS];
	struct out_queue queues[];
};

static const struct comm_ops frame_send_ops;

static struct frame_send *to_frames(struct comm *c)
{
	return (struct frame_send *)c;
}

int frame_send_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		      const struct sockaddr *peer, struct comm **ret)
{
	struct frame_send *fs = calloc(1, sizeof(*fs) + (size_t)n_socks * sizeof(struct out_queue));

	if (!fs) {
		comm_discard(COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
		return -ENOMEM;
	}
	comm_init(&fs->base, COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
	fs->base.ops = &frame_send_ops;
	fs->chunk_size = (size_t)param_int(PARAM_CHUNK_SIZE);
	send_path_init(&fs->path, &fs->base);
	*ret = &fs->base;
	return 0;
}

static void frame_send_destroy(struct comm *comm)
{
	struct frame_send *fs = to_frames(comm);

	comm_close(comm);
	/* Before the requests let go of the memory that the GPU copies from. */
	send_path_destroy(&fs->path);
	requests_release(fs->reqs);
	free(fs);
}

static void queue_frame(struct out_queue *q, struct request *req, size_t len)
{
	struct out_frame *f = &q->ring[q->end++ % QUEUE_MAX];

	f->head = (struct wire_frame){
		.magic = WIRE_MAGIC,
		.seq = req->seq,
		.tag = (uint32_t)req->tag,
		.len = (uint32_t)len,
		.offset = req->assigned,
		.total = req->size,
	};
	wire_frame_swap(&f->head);
	f->head_left = sizeof(f->head);
	f->req = req;
	f->p = req->data + req->assigned;
	f->left = len;
	q->bytes += sizeof(f->head) + len;
	req->assigned += len;
	req->frames++;
}

/* The socket that is least behind, if its queue wants more; NULL when none does. */
static struct out_queue *find_queue(struct frame_send *fs)
{
	struct out_queue *best = NULL;
	int i;

	for (i = 0; i < fs->base.n_socks; i++) {
		struct out_queue *q = &fs->queues[i];

		if (q->end - q->first == QUEUE_MAX)
			continue;
		/* More than a chunk ahead of the kernel would only fix earlier than needed which socket it goes to. */
		if (fs->base.n_socks > 1 && q->bytes > fs->chunk_size)
			continue;
		if (!best || q->bytes < best->bytes)
			best = q;
	}
	return best;
}

/* How long the next frame of @req may be. With one socket there is nothing to share out. */
static size_t frame_max(const struct frame_send *fs, const struct request *req)
{
	return fs->base.n_socks == 1 && req->path == &path_send_copy ? FRAME_MAX : fs->chunk_size;
}

static void cut_messages(struct frame_send *fs)
{
	while (fs->cut != fs->next_seq) {
		struct request *req = &fs->reqs[fs->cut % NET_MAX_REQUESTS];
		struct out_queue *q = find_queue(fs);
		size_t left = req->size - req->assigned;
		size_t most = frame_max(fs, req);

		if (!q)
			return;
		if (req->size || !DEVMEM_MUTANT(empty_unsent))
			queue_frame(q, req, left < most ? left : most);
		req->announced = true;
		if (req->assigned == req->size)
			fs->cut++;
	}
}

/* Takes @n bytes that the kernel accepted off the front of the queue. Returns how many of them are payload. */
static size_t queue_accepted(struct out_queue *q, size_t n)
{
	size_t payload = 0;

	q->bytes -= n;
	while (n) {
		struct out_frame *f = &q->ring[q->first % QUEUE_MAX];
		size_t head = n < f->head_left ? n : f->head_left;
		size_t body = n - head < f->left ? n - head : f->left;

		f->head_left -= head;
		f->p += body;
		f->left -= body;
		f->req->accepted += body;
		TRACE4(chunk_sent, f->req->comm, f->req, f->req->path->rung, body);
		payload += body;
		n -= head + body;
		if (f->head_left || f->left)
			break;
		f->req->frames--;
		q->first++;
	}
	return payload;
}

/* Frames that are copied by the kernel, as many as follow one another, in one call. Bytes (> 0), -EAGAIN, -errno. */
static ssize_t push_copied(struct data_sock *ds, struct out_queue *q, size_t *ret_asked)
{
	struct iovec iov[2 * BATCH_MAX];
	struct msghdr msg = { .msg_iov = iov };
	size_t asked = 0;
	uint32_t i;
	ssize_t n;

	for (i = q->first; i != q->end && i - q->first < BATCH_MAX && asked < FRAME_CALL_BYTES;
	     i++) {
		struct out_frame *f = &q->ring[i % QUEUE_MAX];
		size_t len = f->left < FRAME_CALL_BYTES ? f->left : FRAME_CALL_BYTES;

		if (f->left && f->req->path != &path_send_copy)
			break;
		if (f->head_left) {
			iov[msg.msg_iovlen++] = (struct iovec){
				.iov_base = (uint8_t *)&f->head + sizeof(f->head) - f->head_left,
				.iov_len = f->head_left,
			};
			asked += f->head_left;
		}
		if (len) {
			iov[msg.msg_iovlen++] = (struct iovec){
				.iov_base = mr_cpu(f->req->mr, f->p),
				.iov_len = len,
			};
			asked += len;
		}
		/* What is behind a part is not next. */
		if (len < f->left)
			break;
	}
	counter_inc(sys_send);
	n = sendmsg(ds->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	*ret_asked = asked;
	return n;
}

/* The first frame's payload is not the kernel's to copy: its head goes by itself, then the payload. Bytes (> 0), -EAGAIN, -errno. */
static ssize_t push_lent(struct frame_send *fs, struct data_sock *ds, struct out_queue *q,
			 size_t *ret_asked)
{
	struct out_frame *f = &q->ring[q->first % QUEUE_MAX];
	ssize_t n;

	if (f->head_left) {
		*ret_asked = f->head_left;
		counter_inc(sys_send);
		n = send(ds->fd, (uint8_t *)&f->head + sizeof(f->head) - f->head_left, f->head_left,
			 MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
		return n < 0 ? errno == EINTR ? -EAGAIN : -errno : n;
	}
	*ret_asked = f->left;
	n = f->req->path->send(ds, f->req->mr, f->p, f->left, &f->req->zc);
	if (n == -ENOBUFS && ds->zc && ds->zc->outstanding) {
		/* The kernel's room for notifications is used up by finished ones. */
		int r = send_path_reap(&fs->path, &fs->base);

		return r < 0 ? r : -EAGAIN;
	}
	if (n < 0 && n != -EAGAIN) {
		int r = send_path_leave(&fs->path, f->req, (int)n);

		return r < 0 ? r : 0;
	}
	return n;
}

/* Hands socket @i's queue to the kernel. 1 something moved, 0 nothing, -errno. */
static int push(struct frame_send *fs, int i)
{
	struct data_sock *ds = &fs->base.socks[i];
	struct out_queue *q = &fs->queues[i];
	bool moved = false;
	size_t total = 0;

	while (q->first != q->end && total < FRAME_CALL_BYTES) {
		const struct out_frame *f = &q->ring[q->first % QUEUE_MAX];
		bool lent = f->left && f->req->path != &path_send_copy;
		size_t asked = 0, payload;
		ssize_t n;

		if (lent)
			n = push_lent(fs, ds, q, &asked);
		else
			n = push_copied(ds, q, &asked);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		payload = queue_accepted(q, (size_t)n);
		moved |= n > 0;
		total += (size_t)n;
		if (lent)
			continue;
		counter_add(sent_copy, payload);
		/* A part means that the socket is full: asking again would only tell the same. */
		if ((size_t)n < asked)
			break;
	}
	return moved;
}

static int progress(struct frame_send *fs)
{
	int rounds = ROUNDS_MAX;
	bool moved;
	int i, r;

	do {
		moved = false;
		cut_messages(fs);
		for (i = 0; i < fs->base.n_socks; i++) {
			r = push(fs, i);
			if (r < 0)
				return comm_fail(&fs->base, r, "sendmsg");
			moved |= r > 0;
		}
		/* Room in the queues is of use only to what is not in one. */
	} while (moved && fs->cut != fs->next_seq && --rounds);
	return 0;
}

static bool is_done(const struct request *req)
{
	if (DEVMEM_MUTANT(send_early) && req->announced)
		return true;
	return req->assigned == req->size && req->frames == 0 && req->announced &&
	       req->zc.pending == 0;
}

/* Does all that is posted lie in the queues, and is it little enough to wait for more? */
static bool may_wait(const struct frame_send *fs)
{
	size_t queued = 0;
	int i;

	for (i = 0; i < fs->base.n_socks; i++)
		queued += fs->queues[i].bytes;
	return queued < HOLD_MAX && fs->cut == fs->next_seq;
}

/* Should what has just been posted wait for more? What is behind it in the queues then waits, too. */
static bool joins_burst(struct frame_send *fs, size_t size)
{
	int64_t last = fs->posted_ns;

	if (size >= HOLD_MAX)
		return false;
	fs->posted_ns = now_ns();
	if (fs->posted_ns - last >= BURST_NS)
		return false;
	cut_messages(fs);
	return may_wait(fs);
}

static int frame_send_post(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
			   struct request **ret)
{
	struct frame_send *fs = to_frames(comm);
	struct request *req = &fs->reqs[fs->next_seq % NET_MAX_REQUESTS];
	int r;

	*ret = NULL;
	if (req->used && !DEVMEM_MUTANT(ring_overrun))
		return progress(fs);
	r = request_check(comm, mr, data, size, "isend");
	if (r < 0)
		return r;
	*req = (struct request){
		.comm = comm,
		.seq = fs->next_seq,
		.tag = tag,
		.data = (uint8_t *)data, /* only ever read */
		.size = size,
		.total = size,
		.mr = mr ? mr_get(mr) : NULL,
		.path = &path_send_copy,
	};
	if (size) {
		r = send_path_choose(&fs->path, req);
		if (r < 0) {
			request_release(req);
			return comm_fail(comm, r, "choosing a send path");
		}
	}
	req->used = true;
	fs->next_seq++;
	counter_inc(msgs_sent);
	fs->posted = true;
	if (!joins_burst(fs, size)) {
		r = progress(fs);
		if (r < 0)
			return r;
	}
	*ret = req;
	return 0;
}

static int frame_send_test(struct request *req, int *ret_done, size_t *ret_size)
{
	struct comm *comm = req->comm;
	struct frame_send *fs = to_frames(comm);
	bool hold = false;
	int r;

	if (fs->posted && may_wait(fs)) {
		fs->posted = false;
		hold = true;
	}
	if (!is_done(req) && !hold) {
		r = progress(fs);
		if (r < 0)
			return r;
	}
	if (!is_done(req) && req->accepted == req->size && req->zc.pending) {
		r = send_path_reap(&fs->path, comm);
		if (r < 0)
			return r;
	}
	if (!is_done(req))
		return peer_watch_look(&fs->watch, comm);
	if (ret_size)
		*ret_size = req->size;
	request_release(req);
	peer_watch_rest(&fs->watch);
	*ret_done = 1;
	return 0;
}

static const struct comm_ops frame_send_ops = {
	.send = frame_send_post,
	.test = frame_send_test,
	.destroy = frame_send_destroy,
};
