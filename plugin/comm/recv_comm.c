// SPDX-License-Identifier: BSD-3-Clause
/*
 * The receiving side of a connection: reads records, matches messages with posted receives in order, and places payload.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "comm/chunk_queue.h"
#include "comm/comm.h"
#include "comm/ctrl_stream.h"
#include "comm/net_internal.h"
#include "comm/sock_events.h"
#include "mem/gpu.h"

/* Looks that brought nothing, after which records are read although they are not needed. */
#define DRY_LOOKS 16

/* Of the calls that look in vain, one in so many looks at the data sockets. A power of two. */
#define DATA_LOOKS 8

/* Chunks from this size on are waited for until half of one is there. */
#define WAIT_MIN (64UL << 10)

/* So often it is told anew how much that is. */
#define WAIT_RAISES 32

/*
 * With how many @bytes a socket has an event (SO_RCVLOWAT), 0 where it has none; for what size that was @asked, @raised times. @drained: the
 * running call has read all there was.
 */
struct sock_wait {
	size_t bytes;
	size_t asked;
	unsigned int raised;
	bool drained;
};

/*
 * @path: of what goes through the pool. @cpu, @gpu: who puts bytes in place, for memory that the CPU sees and for the rest; NULL where
 * there is none. @unpack: it is NCCL's kernels, for every receive. @oldest: number of the oldest that is not consumed then.
 * @budget: bytes that the running call may still receive. @dry: looks since the last that brought anything.
 * @next_seq: number of the next irecv. @match: number of the next message that the control stream will announce.
 * @events: of the data sockets, on devmem. @wait: what they wait for, of each.
 * @inline_req: the message whose payload is coming in the control stream right now, @inline_left bytes of it missing.
 */
struct recv_comm {
	struct comm base;
	const struct path_ops *path;
	struct pool *pool;
	struct place *cpu;
	struct place *gpu;
	bool unpack;
	uint32_t oldest;
	ssize_t budget;
	unsigned int dry;
	uint32_t next_seq;
	uint32_t match;
	struct request *inline_req;
	size_t inline_left;
	struct sock_events events;
	struct sock_wait wait[WIRE_MAX_SOCKS];
	struct chunk_queue queue[WIRE_MAX_SOCKS];
	struct request reqs[NET_MAX_REQUESTS];
	struct chunk_reader reader;
	struct ctrl_in ctrl;
};

static struct recv_comm *to_recv(struct comm *c)
{
	return (struct recv_comm *)c;
}

/*
 * Bytes of the pool that a connection of unpacking kernels may keep beside its receive buffers: a slice of NCCL's (1 MiB as it comes,
 * 2 MiB with NCCL_BUFFSIZE=8388608), with as much again for niovs that are not full.
 */
#define UNPACK_HOLD (4UL << 20)

static int steer_all(struct recv_comm *rc, struct verdict *why)
{
	struct comm *c = &rc->base;
	size_t hold = rc->unpack ? UNPACK_HOLD / (size_t)c->n_socks : 0;
	int i, r;

	for (i = 0; i < c->n_socks; i++) {
		r = data_sock_steer(&c->socks[i], rc->pool, hold, why);
		if (r < 0) {
			while (i--)
				data_sock_unsteer(&c->socks[i]);
			return r;
		}
	}
	return 0;
}

/* Climbs to devmem if it can; @why tells what was in the way. All sockets of a connection take the same path. */
static int setup_devmem(struct recv_comm *rc, struct gpu *gpu, struct verdict *why)
{
	struct comm *c = &rc->base;
	int top = param_choice(PARAM_RECV);
	int r;

	if (top == RECV_COPY || top == RECV_STAGED)
		return verdict_set(why, -ENOTSUP, NULL, "%s=%s", param_env_name(PARAM_RECV),
				   param_text(PARAM_RECV));
	if (c->peer_is_local || c->nic->is_loopback)
		return verdict_set(why, -ENODEV, NULL,
				   "the peer is on this host: traffic takes the loopback device, "
				   "which has no devmem");
	/* Before any memory is taken: mostly it is the NIC that cannot. */
	if (net_nic_caps(c->nic)->rx_devmem.err) {
		*why = net_nic_caps(c->nic)->rx_devmem;
		return why->err;
	}
	r = pool_get(c->nic, gpu, &rc->pool, why);
	if (r < 0)
		return r;
	r = steer_all(rc, why);
	if (r < 0) {
		pool_put(rc->pool);
		rc->pool = NULL;
	}
	return r;
}

/* How bytes come, once it is known whether there is a GPU (@gpu) that they are for. 0 or -errno. */
static int choose_path(struct recv_comm *rc, struct gpu *gpu)
{
	const char *name = rc->base.nic->name;
	struct verdict why = { 0 };
	char detail[96];
	int r;

	r = setup_devmem(rc, gpu, &why);
	if (r == 0) {
		rc->path = &path_recv_devmem;
		snprintf(detail, sizeof(detail), "%s pool of %zu MiB on queue %s",
			 rc->pool->block.provider->name, rc->pool->block.size >> 20,
			 nic_rx_queues(rc->pool->rx));
		ladder_chosen(name, DIR_RECV, RUNG_DEVMEM, detail);
		return 0;
	}
	r = ladder_step_down(name, DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why);
	if (r < 0)
		return r;
	if (!gpu) {
		rc->path = &path_recv_copy;
		ladder_chosen(name, DIR_RECV, RUNG_COPY, "");
		return 0;
	}
	r = pool_get_staged(gpu, &rc->pool, &why);
	if (r < 0) {
		log_err("%s: no way to receive into memory of %s: %s%s%s", name, gpu_name(gpu),
			why.reason, why.remedy[0] ? "; remedy: " : "", why.remedy);
		return r;
	}
	rc->path = &path_recv_staged;
	snprintf(detail, sizeof(detail), "staged through host memory to %s", gpu_name(gpu));
	ladder_chosen(name, DIR_RECV, RUNG_COPY, detail);
	return 0;
}

/* Who puts the bytes in place. 0 or -errno, said. */
static int choose_places(struct recv_comm *rc)
{
	const char *name = rc->base.nic->name;
	struct verdict why = { 0 };
	int r = 0;

	if (rc->pool && rc->pool->gpu) {
		r = rc->unpack ? place_unpack_create(rc->pool, &rc->gpu, &why)
			       : place_gpu_create(rc->pool, &rc->gpu, &why);
		if (r < 0)
			log_err("%s: %s cannot put received bytes in place: %s%s%s", name,
				gpu_name(rc->pool->gpu), why.reason,
				why.remedy[0] ? "; remedy: " : "", why.remedy);
	}
	/* In a pool that the CPU does not see, only the GPU reaches anything; staged bytes pass by the CPU. */
	if (r == 0 && !rc->unpack &&
	    (!rc->pool || rc->pool->block.cpu || rc->path == &path_recv_staged))
		r = place_cpu_create(rc->pool, &rc->cpu);
	return r;
}

/* The GPU that this thread works for, if NCCL was told that it may hand in its memory; NULL otherwise. NCCL's service thread
 * has the communicator's device current (NCCL src/proxy.cc, ncclProxyService).
 */
static int find_gpu(const struct nic *nic, struct gpu **ret)
{
	struct verdict why = { 0 };
	int r;

	*ret = NULL;
	if (!net_takes_gpu(nic))
		return 0;
	r = gpu_current(ret, &why);
	if (r < 0 && net_unpacks()) {
		log_err("%s: device unpack is on, but the accepting thread has no GPU: %s",
			nic->name, why.reason);
		return r;
	}
	return 0;
}

static void places_destroy(struct recv_comm *rc)
{
	if (rc->gpu)
		rc->gpu->ops->destroy(rc->gpu);
	if (rc->cpu)
		rc->cpu->ops->destroy(rc->cpu);
	rc->gpu = NULL;
	rc->cpu = NULL;
}

static const struct comm_ops recv_comm_ops;

int recv_comm_create(const struct nic *nic, int ctrl_fd, const int *socks, int n_socks,
		     const struct sockaddr *peer, bool frames, struct comm **ret,
		     enum rung *ret_rung)
{
	struct recv_comm *rc = calloc(1, sizeof(*rc));
	struct gpu *gpu = NULL;
	int r;

	if (!rc) {
		comm_discard(COMM_RECV, nic, ctrl_fd, socks, n_socks, peer);
		return -ENOMEM;
	}
	comm_init(&rc->base, COMM_RECV, nic, ctrl_fd, socks, n_socks, peer);
	rc->base.ops = &recv_comm_ops;
	rc->events.u.fd = -1;
	r = find_gpu(nic, &gpu);
	if (r < 0)
		goto destroy;
	rc->unpack = gpu && net_unpacks();
	r = choose_path(rc, gpu);
	if (r < 0)
		goto destroy;
	*ret_rung = rc->path->rung;
	if (frames && rc->path == &path_recv_copy) {
		r = frame_recv_create(&rc->base, ret);
		if (r < 0)
			goto destroy;
		free(rc);
		return 0;
	}
	r = choose_places(rc);
	if (r < 0)
		goto destroy;
	if (rc->path == &path_recv_devmem)
		sock_events_open_recv(&rc->events, &rc->base);
	ctrl_in_open(&rc->ctrl, rc->base.ctrl_fd);
	*ret = &rc->base;
	return 0;

destroy:
	rc->base.ops->destroy(&rc->base);
	return r;
}

static void recv_comm_destroy(struct comm *comm)
{
	struct recv_comm *rc = to_recv(comm);
	int i;

	/* The GPU's work ends first, then what was lent goes to its sockets, which give it to the kernel as they close. */
	places_destroy(rc);
	ctrl_in_close(&rc->ctrl);
	sock_events_close(&rc->events);
	for (i = 0; i < NET_MAX_REQUESTS; i++) {
		loan_list_return(&rc->reqs[i].put.loans);
		loan_list_free(&rc->reqs[i].put.loans);
	}
	comm_close(comm);
	requests_release(rc->reqs);
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
	if (rec->value > req->size && !DEVMEM_MUTANT(oversize_taken)) {
		request_tell_oversize(req, rec->value);
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

/*
 * A chunk of @len bytes was announced for socket @i: from now on an event tells when it has half as much, where it had none so large. Mostly
 * the rest has come, too, when it is read. Not all of it, since up to SO_RCVLOWAT the kernel acknowledges each packet at once, and beyond
 * it what the window has shrunk by not before it is read (net/ipv4/tcp_input.c, __tcp_ack_snd_check()). What comes in parts of other sizes is
 * looked for as ever. The kernel takes no more than half of the receive buffer (net/ipv4/tcp.c, tcp_set_rcvlowat()), and has the event sooner
 * when the window is about to close (include/net/tcp.h, tcp_epollin_ready()).
 */
static void wait_for_half(struct recv_comm *rc, int i, size_t len)
{
	struct sock_wait *w = &rc->wait[i];
	int fd = rc->base.socks[i].fd;
	socklen_t size = sizeof(int);
	int half = (int)(len / 2), bytes = half;

	if (!rc->events.on || len < WAIT_MIN || len <= w->asked || w->raised == WAIT_RAISES)
		return;
	w->asked = len;
	w->raised++;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &size) < 0)
		bytes = 0;
	w->bytes = (size_t)bytes;
	if (bytes < half)
		w->raised = WAIT_RAISES;
}

/* Part of a message is on its way. 1 consumed, 0 no room to note it now, -errno. */
static int parse_chunk(struct recv_comm *rc, const struct wire_rec *rec)
{
	struct request *req = &rc->reqs[rec->seq % NET_MAX_REQUESTS];
	uint8_t *p;

	if (rec->sock >= rc->base.n_socks || !req->used || !req->matched || req->seq != rec->seq ||
	    rec->len == 0 || rec->value != req->covered || rec->len > req->total - rec->value)
		return fail(rc, -EPROTO, "reading a chunk record");
	p = req->data + rec->value - (DEVMEM_MUTANT(chunk_base) && rec->value ? 1 : 0);
	if (chunk_queue_add(&rc->queue[rec->sock], req, p, rec->len) < 0)
		return 0;
	wait_for_half(rc, rec->sock, rec->len);
	req->covered += rec->len;
	ctrl_in_skip(&rc->ctrl, sizeof(*rec));
	return 1;
}

/* Payload in the control stream. 1 some of it was used, 0 none is there or there is no room for it, -errno. */
static int take_inline(struct recv_comm *rc)
{
	struct request *req = rc->inline_req;
	size_t len;
	const uint8_t *src = ctrl_in_data(&rc->ctrl, &len);
	int r;

	if (len > rc->inline_left)
		len = rc->inline_left;
	if (len == 0)
		return 0;
	r = req->place->ops->put_host(req->place, &req->put, req->mr,
				      req->data + (req->total - rc->inline_left), src, len);
	if (r < 0)
		return r == -EAGAIN ? 0 : fail(rc, r, "placing an inline message");
	ctrl_in_skip(&rc->ctrl, len);
	rc->inline_left -= len;
	req->arrived += len;
	counter_add(recv_inline, len);
	return 1;
}

/* Works off what the control buffer holds. 1 something was used, 0 nothing, -errno. */
static int parse(struct recv_comm *rc)
{
	bool moved = false;
	struct wire_rec rec;
	int r;

	for (;;) {
		if (rc->inline_left) {
			r = take_inline(rc);
			if (r <= 0)
				return r < 0 ? r : moved;
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

/*
 * Has socket @ds lent so much that reading on might leave the NIC without? What the GPU copies comes back by itself. NCCL's kernels
 * unpack receives in order: only when the oldest is done does anything come back, and until then it must be allowed to get there, though
 * younger ones may be done already.
 */
static bool lends_too_much(const struct recv_comm *rc, const struct data_sock *ds)
{
	const struct request *oldest = &rc->reqs[rc->oldest % NET_MAX_REQUESTS];

	return data_sock_lends_all(ds) && (!rc->unpack || (oldest->used && oldest->finished));
}

/* Is anything known to come on socket @i that can be taken now? */
static bool may_read(const struct recv_comm *rc, int i)
{
	return !chunk_queue_empty(&rc->queue[i]) && !rc->wait[i].drained && rc->budget > 0 &&
	       !lends_too_much(rc, &rc->base.socks[i]);
}

/* Reads what socket @i has for the chunks that are known. 1 moved, 0 nothing there, -errno. */
static int pull_chunks(struct recv_comm *rc, int i)
{
	struct data_sock *ds = &rc->base.socks[i];
	struct chunk_queue *q = &rc->queue[i];
	bool moved = false;
	int r;

	while (may_read(rc, i)) {
		ssize_t n = chunk_queue_read(q, ds, &rc->reader);

		/* Without events the next look is as good now. */
		rc->wait[i].drained = rc->reader.drained && (n < 0 || rc->wait[i].bytes);
		if (!rc->reader.drained)
			sock_events_left(&rc->events, i);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		rc->budget -= n;
		moved = true;
		r = rc->path->recycle(ds, chunk_queue_empty(q));
		if (r < 0)
			return r;
	}
	return moved;
}

/* What the GPU has finished: what was lent for it is in the ledgers, and goes on from there. 1 moved, 0 not, -errno. */
static int poll_gpu(struct recv_comm *rc)
{
	int i, r, moved;

	if (!rc->gpu || !rc->gpu->ops->poll)
		return 0;
	moved = rc->gpu->ops->poll(rc->gpu);
	for (i = 0; moved > 0 && i < rc->base.n_socks; i++) {
		r = rc->path->recycle(&rc->base.socks[i], chunk_queue_empty(&rc->queue[i]));
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

/*
 * Is it time to read the control stream? What is not posted needs no records, and as long as every socket is known to have bytes to come
 * they can wait; but not for ever, since it is there that a peer's end shows.
 */
static bool reads_records(const struct recv_comm *rc)
{
	int i;

	if (!wants_records(rc))
		return false;
	if (rc->inline_left || rc->dry >= DRY_LOOKS)
		return true;
	for (i = 0; i < rc->base.n_socks; i++)
		if (chunk_queue_empty(&rc->queue[i]))
			return true;
	return false;
}

static bool is_due(const struct recv_comm *rc)
{
	int i;

	for (i = 0; i < rc->base.n_socks; i++)
		if (!chunk_queue_empty(&rc->queue[i]) && !rc->wait[i].drained)
			return true;
	return false;
}

/* Bytes that are sure to come on socket @i, whatever this side does. */
static size_t coming(const struct recv_comm *rc, int i)
{
	const struct request *last = &rc->reqs[(rc->match - 1) % NET_MAX_REQUESTS];
	size_t bytes = rc->queue[i].bytes;

	if (rc->base.n_socks == 1 && last->used && last->matched)
		bytes += last->total - last->covered;
	return bytes;
}

/*
 * Is it time to look at socket @i? Where an event will tell of what is to come, then. For the rest, the longer nothing has come, the
 * more calls go by without a look, but for no more than DATA_LOOKS: what it delays is small against what has been waited for already.
 */
static bool reads_data(struct recv_comm *rc, int i, bool moved)
{
	if (!may_read(rc, i))
		return false;
	if (rc->wait[i].bytes && coming(rc, i) >= rc->wait[i].bytes)
		return sock_events_may_read(&rc->events, i);
	return moved || !(rc->dry & (rc->dry - 1)) || rc->dry % DATA_LOOKS == 0;
}

/* Reads what there is, records first. 1 moved, 0 nothing there, -errno. */
static int read_all(struct recv_comm *rc)
{
	bool moved = false;
	int i, r;

	if (reads_records(rc)) {
		r = ctrl_in_fill(&rc->ctrl, rc->base.ctrl_fd);
		if (r < 0)
			return fail(rc, r, "receive on the control socket");
		r = parse(rc);
		if (r < 0)
			return r;
		moved = r > 0;
	}
	for (i = 0; i < rc->base.n_socks; i++) {
		if (!reads_data(rc, i, moved))
			continue;
		sock_events_unread(&rc->events, i);
		r = pull_chunks(rc, i);
		if (r < 0)
			return fail(rc, r, "recvmsg");
		moved |= r > 0;
	}
	r = poll_gpu(rc);
	if (r < 0)
		return fail(rc, r, "placing received bytes");
	return moved || r > 0;
}

static int progress(struct recv_comm *rc)
{
	int i, r;

	rc->budget = COMM_CALL_BYTES;
	for (i = 0; i < rc->base.n_socks; i++)
		rc->wait[i].drained = false;
	sock_events_look(&rc->events);
	do {
		r = read_all(rc);
		if (r < 0)
			return r;
		rc->dry = r ? 0 : rc->dry + 1;
		/* Payload has come, and all that was announced: a look for more would mostly be in vain. The next call takes it. */
	} while (r && rc->budget > 0 && (rc->budget == COMM_CALL_BYTES || is_due(rc)));
	return 0;
}

/* Can @req still finish? Not when the peer closed before telling where its bytes are. */
static bool is_lost(const struct recv_comm *rc, const struct request *req)
{
	return rc->ctrl.eof && !DEVMEM_MUTANT(eof_unnoticed) &&
	       (!req->matched || req->covered < req->total || rc->inline_req == req);
}

/* Who puts the bytes of a receive into @mr in place; NULL when nobody can. An empty one needs nobody, but NCCL's kernels count it. */
static struct place *place_for(const struct recv_comm *rc, const struct mr *mr)
{
	if (rc->unpack)
		return rc->gpu;
	if (!mr || mr->cpu)
		return rc->cpu ? rc->cpu : rc->gpu;
	return rc->gpu;
}

/* How they come: what the CPU places need not go to the GPU first. */
static const struct path_ops *path_for(const struct recv_comm *rc, const struct place *pl)
{
	return rc->path == &path_recv_staged && pl == rc->cpu ? &path_recv_copy : rc->path;
}

static int post(struct recv_comm *rc, struct request *req, void *data, size_t size, int tag,
		struct mr *mr, bool ll)
{
	struct loan_list loans = req->put.loans;
	struct place *pl = place_for(rc, mr);
	struct place_req put = { .ordered = ll, .base = data, .size = size, .loans = loans };
	int r;

	if (!pl)
		return comm_refuse_memory(&rc->base);
	r = pl->ops->post(pl, &put);
	if (r < 0)
		return r;
	*req = (struct request){
		.comm = &rc->base,
		.used = true,
		.seq = rc->next_seq,
		.tag = tag,
		.data = data,
		.size = size,
		.mr = mr && !DEVMEM_MUTANT(mr_unheld) ? mr_get(mr) : mr,
		.path = path_for(rc, pl),
		.place = pl,
		.put = put,
	};
	rc->next_seq++;
	return 0;
}

static int recv_comm_post(struct comm *comm, void *data, size_t size, int tag, struct mr *mr,
			  bool ll, struct request **ret)
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
	r = post(rc, req, data, size, tag, mr, ll);
	if (r == -EAGAIN)
		return progress(rc);
	if (r < 0)
		return r;
	*ret = req;
	return 0;
}

/* The user of @req's bytes is done: what was lent for it goes back, and the slot is free. */
static int end_request(struct recv_comm *rc, struct request *req)
{
	int r = req->place->ops->consumed(req->place, &req->put);

	request_release(req);
	return r < 0 ? fail(rc, r, "giving back what was lent to a receive") : 0;
}

/* All bytes are in place: @req is done, if the GPU can be told so now. */
static int finish(struct recv_comm *rc, struct request *req, int *ret_done, size_t *ret_size)
{
	const struct place_ops *ops = req->place->ops;
	int r;

	if (ops->finish) {
		r = ops->finish(req->place, &req->put, req->total);
		if (r < 0)
			return r == -EAGAIN ? 0 : fail(rc, r, "publishing a receive");
	}
	if (ret_size)
		*ret_size = DEVMEM_MUTANT(size_posted) ? req->size : req->total;
	counter_inc(msgs_received);
	*ret_done = 1;
	if (!ops->keeps_loans)
		return end_request(rc, req);
	req->finished = true;
	return 0;
}

static bool is_in_place(const struct request *req)
{
	if (DEVMEM_MUTANT(done_early) && req->matched && req->arrived)
		return true;
	return req->matched && req->arrived == req->total && req->put.pending == 0;
}

static int recv_comm_test(struct request *req, int *ret_done, size_t *ret_size)
{
	struct recv_comm *rc = to_recv(req->comm);
	int r;

	if (req->finished) {
		if (ret_size)
			*ret_size = req->total;
		*ret_done = 1;
		return 0;
	}
	if (!is_in_place(req)) {
		r = progress(rc);
		if (r < 0)
			return r;
	}
	if (is_in_place(req))
		return finish(rc, req, ret_done, ret_size);
	if (is_lost(rc, req))
		return fail(rc, -ECONNRESET, "waiting for a message");
	return 0;
}

static int recv_comm_consumed(struct comm *comm, struct request *req)
{
	struct recv_comm *rc = to_recv(comm);
	int i, r;

	/* Where nothing is kept for it the request ended with test(), and its slot may be another's by now. */
	if (!rc->unpack)
		return 0;
	if (req < rc->reqs || req >= rc->reqs + NET_MAX_REQUESTS || !req->used || !req->finished) {
		log_err("%s from %s: irecvConsumed of a receive that is not done", comm->nic->name,
			comm->peer);
		return -EINVAL;
	}
	r = end_request(rc, req);
	while (rc->oldest != rc->next_seq && !rc->reqs[rc->oldest % NET_MAX_REQUESTS].used)
		rc->oldest++;
	for (i = 0; r == 0 && i < comm->n_socks; i++) {
		r = rc->path->recycle(&comm->socks[i], chunk_queue_empty(&rc->queue[i]));
		if (r < 0)
			r = fail(rc, r, "giving tokens back");
	}
	return r;
}

static void *recv_comm_device_handle(struct comm *comm)
{
	const struct recv_comm *rc = to_recv(comm);

	return rc->gpu && rc->gpu->ops->device_handle ? rc->gpu->ops->device_handle(rc->gpu) : NULL;
}

static const struct comm_ops recv_comm_ops = {
	.recv = recv_comm_post,
	.test = recv_comm_test,
	.consumed = recv_comm_consumed,
	.device_handle = recv_comm_device_handle,
	.destroy = recv_comm_destroy,
};
