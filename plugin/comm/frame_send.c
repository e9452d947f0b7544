// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sending side of a connection whose messages come in frames: cuts messages into frames, queues each at the socket that is least
 * behind, and hands many frames to the kernel in one call.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/counter.h"
#include "base/mutant.h"
#include "base/param.h"
#include "base/trace.h"
#include "comm/ack_stream.h"
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
 * Loopback's packets are 64 KiB, and on its way one costs nearly the same with 100 bytes: a power of two with its head fills one packet more
 * by a little. So to a peer on this host a call ends where a packet does, if there is more to send; and of messages that follow one
 * another, what goes beyond full packets, up to TAIL_MAX, stays behind and goes with the next. Alone it goes as soon as a test() finds
 * that there is no next. Behind calls of more than TAIL_CALL it is not worth the delay. Messages follow one another when isend() comes
 * within TAIL_NS of the last one's end, which no answer from a peer can precede, and from then on until a tail had to go alone.
 *
 * The size of a packet is asked for again every PACKET_CALLS calls: until the receiver's window has grown it is half of the first one
 * (tcp_bound_to_half_wnd(), include/net/tcp.h).
 */
#define PACKET_MIN   (16UL << 10)
#define PACKET_CALLS 64
#define TAIL_MAX     (16UL << 10)
#define TAIL_CALL    (280UL << 10)
#define TAIL_NS	     2000

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

/*
 * @first, @end count up for ever; frames live at their value modulo QUEUE_MAX. @bytes: queued and not yet taken by the kernel. @tail:
 * what was left behind at last; it is still so, and nothing came behind it, while it equals @bytes. @packet: payload of a packet, 0
 * where that is of no matter; @calls: counts when to ask for it.
 */
struct out_queue {
	uint32_t first;
	uint32_t end;
	size_t bytes;
	size_t tail;
	size_t packet;
	unsigned int calls;
	struct out_frame ring[QUEUE_MAX];
};

/*
 * @next_seq: number of the next isend. @cut: the oldest message that is not wholly queued. @posted: an isend() has come since the last
 * test(), @posted_ns: when the last one of a small message came. @has_tail: a queue keeps one.
 * @followed: the last one that was kept went with the next message; @cut_ns: when the last isend() that might have left one was done.
 * @acks: what the peer has read, if it tells that.
 */
struct frame_send {
	struct comm base;
	uint32_t next_seq;
	uint32_t cut;
	bool posted;
	bool has_tail;
	bool followed;
	int64_t cut_ns;
	int64_t posted_ns;
	size_t chunk_size;
	struct peer_watch watch;
	struct ack_in acks;
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
		      const struct sockaddr *peer, bool acks, struct comm **ret)
{
	struct frame_send *fs = calloc(1, sizeof(*fs) + (size_t)n_socks * sizeof(struct out_queue));

	if (!fs) {
		comm_discard(COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
		return -ENOMEM;
	}
	comm_init(&fs->base, COMM_SEND, nic, ctrl_fd, socks, n_socks, peer);
	fs->base.ops = &frame_send_ops;
	fs->chunk_size = (size_t)param_int(PARAM_CHUNK_SIZE);
	fs->watch.heard = acks;
	send_path_init(&fs->path, &fs->base, acks);
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
		.magic = req->lent ? WIRE_LENT : WIRE_MAGIC,
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
	bool whole = req->path == &path_send_copy || req->path == &path_send_spliced;

	return fs->base.n_socks == 1 && whole ? FRAME_MAX : fs->chunk_size;
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

/* Takes @n bytes off the end of what is to be sent. */
static void iov_trim(struct msghdr *msg, size_t n)
{
	while (n && msg->msg_iovlen) {
		struct iovec *last = &msg->msg_iov[msg->msg_iovlen - 1];
		size_t part = n < last->iov_len ? n : last->iov_len;

		last->iov_len -= part;
		n -= part;
		if (!last->iov_len)
			msg->msg_iovlen--;
	}
}

/* Payload of a packet to @ds, 0 if it is not known or small. */
static size_t packet_size(const struct data_sock *ds)
{
	socklen_t len = sizeof(int);
	int mss = 0;

	if (getsockopt(ds->fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &len) < 0 || mss < (int)PACKET_MIN)
		return 0;
	return (size_t)mss;
}

/* How many of the @asked bytes at the front of @q are better left for another call. @flush: there may be none if these are all. */
static size_t find_tail(const struct frame_send *fs, const struct data_sock *ds,
			struct out_queue *q, size_t asked, bool flush)
{
	size_t tail;

	if (!fs->base.peer_is_local || asked < PACKET_MIN)
		return 0;
	if (q->calls++ % PACKET_CALLS == 0)
		q->packet = packet_size(ds);
	if (!q->packet || asked < q->packet)
		return 0;
	tail = asked % q->packet;
	if (asked == q->bytes && (flush || tail > TAIL_MAX || asked > TAIL_CALL))
		return 0;
	return tail;
}

/* Frames that are copied by the kernel, as many as follow one another, in one call. Bytes (> 0), -EAGAIN, -errno. */
static ssize_t push_copied(struct frame_send *fs, struct data_sock *ds, struct out_queue *q,
			   bool flush, size_t *ret_asked)
{
	struct iovec iov[2 * BATCH_MAX];
	struct msghdr msg = { .msg_iov = iov };
	size_t asked = 0, tail;
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
	tail = find_tail(fs, ds, q, asked, flush);
	iov_trim(&msg, tail);
	asked -= tail;
	q->tail = q->bytes - asked == tail ? tail : 0;
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

/* Hands socket @i's queue to the kernel, but for a tail if not @flush. 1 something moved, 0 nothing, -errno. */
static int push(struct frame_send *fs, int i, bool flush)
{
	struct data_sock *ds = &fs->base.socks[i];
	struct out_queue *q = &fs->queues[i];
	bool moved = false;
	size_t total = 0;

	if (flush)
		q->tail = 0;
	while (q->first != q->end && q->bytes != q->tail && total + q->packet < FRAME_CALL_BYTES) {
		const struct out_frame *f = &q->ring[q->first % QUEUE_MAX];
		bool lent = f->left && f->req->path != &path_send_copy;
		bool counts = f->req->size >= fs->path.splice_min;
		enum send_way way = f->req->lent ? WAY_LEND : WAY_COPY;
		int64_t begun = counts ? send_choice_begin(&fs->path.choice) : 0;
		size_t asked = 0, payload;
		ssize_t n;

		if (lent)
			n = push_lent(fs, ds, q, &asked);
		else
			n = push_copied(fs, ds, q, flush, &asked);
		send_choice_end(&fs->path.choice, way, begun, n);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		payload = queue_accepted(q, (size_t)n);
		moved |= n > 0;
		total += (size_t)n;
		if (lent && ds->lend && ds->lend->held)
			break;
		if (lent)
			continue;
		counter_add(sent_copy, payload);
		/* A part means that the socket is full: asking again would only tell the same. */
		if ((size_t)n < asked)
			break;
	}
	fs->has_tail |= q->bytes && q->bytes == q->tail;
	return moved;
}

/* @flush: nothing is to be left behind for the next message. */
static int progress(struct frame_send *fs, bool flush)
{
	int rounds = ROUNDS_MAX;
	bool moved;
	int i, r;

	do {
		moved = false;
		fs->has_tail = false;
		cut_messages(fs);
		for (i = 0; i < fs->base.n_socks; i++) {
			r = push(fs, i, flush);
			if (r < 0)
				return comm_fail(&fs->base, r, "sendmsg");
			moved |= r > 0;
		}
		/* Room in the queues is of use only to what is not in one. */
	} while (moved && fs->cut != fs->next_seq && --rounds);
	return 0;
}

/* Is lent memory the sender's again? */
static bool is_back(const struct request *req)
{
	return !req->lent || ack_in_has(&to_frames(req->comm)->acks, req->seq) ||
	       DEVMEM_MUTANT(lent_early);
}

static bool is_done(const struct request *req)
{
	if (DEVMEM_MUTANT(send_early) && req->announced)
		return true;
	return req->assigned == req->size && req->frames == 0 && req->announced &&
	       req->zc.pending == 0 && is_back(req);
}

/* Hears from the peer what it has read. 0, or the comm's error. */
static int hear(struct frame_send *fs)
{
	int r = ack_in_look(&fs->acks, fs->base.ctrl_fd, fs->next_seq);

	return r < 0 ? comm_fail(&fs->base, r, "waiting for a send") : 0;
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

/* Hands over what an isend() of @size bytes has queued. Is there something to leave for the next one, which may not come soon? */
static int push_posted(struct frame_send *fs, size_t size)
{
	bool may_leave = fs->base.peer_is_local && size >= PACKET_MIN;
	int r;

	if (!may_leave)
		return progress(fs, true);
	fs->followed |= fs->has_tail || now_ns() - fs->cut_ns < TAIL_NS;
	r = progress(fs, !fs->followed);
	fs->cut_ns = now_ns();
	return r;
}

static int frame_send_post(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
			   struct request **ret)
{
	struct frame_send *fs = to_frames(comm);
	struct request *req = &fs->reqs[fs->next_seq % NET_MAX_REQUESTS];
	int r;

	*ret = NULL;
	if (req->used && !DEVMEM_MUTANT(ring_overrun))
		return progress(fs, true);
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
		req->lent = req->path == &path_send_spliced;
	}
	req->used = true;
	ack_in_posted(&fs->acks, fs->next_seq++);
	counter_inc(msgs_sent);
	fs->posted = true;
	if (!joins_burst(fs, size)) {
		r = push_posted(fs, size);
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
	if ((!is_done(req) || fs->has_tail) && !hold) {
		fs->followed &= !fs->has_tail;
		r = progress(fs, !fs->posted);
		if (r < 0)
			return r;
	}
	if (!is_done(req) && req->accepted == req->size && req->zc.pending) {
		r = send_path_reap(&fs->path, comm);
		if (r < 0)
			return r;
	}
	if (!is_done(req) && fs->watch.heard && (req->lent || peer_watch_due(&fs->watch))) {
		r = hear(fs);
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
