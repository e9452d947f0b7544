// SPDX-License-Identifier: BSD-3-Clause
/*
 * The Simple protocol (src/device/prims_simple.h): a ring of NCCL_STEPS slots; the sender fills a slot and moves
 * the tail, the receiver empties it and moves the head. A slice takes one or more steps, whether or not it has
 * data.
 *
 * Memory order: the load of a tail (head) that lets a slice go on is an acquire, the store behind the data a
 * release. Between the size in connFifo and the proxy it is the same tail that orders.
 */
#include <string.h>

#include "prims.h"
#include "stats.h"
#include "wait.h"

/* What is reduced at once. A multiple of every element's size. */
#define REDUCE_BYTES 8192

/* Own data and each connection's slot of the slice at hand; NULL where the NIC moves the data. */
struct slice {
	uint8_t *src[1 + NCCL_TREE_ARITY];
	uint8_t *dst[1 + NCCL_TREE_ARITY];
	int n_src, n_dst;
	size_t src_off, dst_off; /* bytes into the user's buffers */
	size_t bytes;
};

static struct nccl_conn_fifo *fifo_of(const struct prims_conn *c)
{
	return c->conn->fifo ? &c->conn->fifo[c->step % NCCL_STEPS] : NULL;
}

static void unpack_check(struct prims *p, const struct prims_conn *c, int err)
{
	if (err)
		emul_die("rank %d, channel %d: unpacking from rank %d, step %lu: %s",
			 p->block->comm.rank, p->block->channel, c->peer, (unsigned long)c->step,
			 p->unpack.why);
}

void simple_open(struct prims *p)
{
	const size_t steps = (size_t)p->cfg.slices_per_chunk * (size_t)p->cfg.steps_per_slice;
	size_t bytes = p->cfg.step_size;

	if (!bytes)
		bytes = (size_t)p->block->comm.buff_size[NCCL_SIMPLE] / NCCL_STEPS;
	p->steps = bytes / p->elem;
	unpack_emul_init(&p->unpack, &p->block->unpack);
	for (int i = 0; i < p->n_recv; i++) {
		struct prims_conn *c = &p->recv[i];

		/* A former work may have ended in the middle of a chunk of this one: give those steps back. */
		c->step = emul_div_up(c->step, steps) * steps;
		c->first = c->step;
		__atomic_store_n(c->conn->head, c->step, __ATOMIC_RELEASE);
		if (c->unpack)
			unpack_check(p, c, unpack_emul_setup(&p->unpack, i, c->conn->net.handle));
		if (c->unpack && c->net_reg)
			emul_die(
				"rank %d: a registered user buffer on a connection with device unpack",
				p->block->comm.rank);
		if (c->net_reg && !p->block->comm.reg_unsized)
			fifo_of(c)->size = 0;
	}
	for (int i = 0; i < p->n_send; i++)
		p->send[i].step = emul_div_up(p->send[i].step, steps) * steps;
}

static bool step_wait(struct prims *p, const struct prims_conn *c, const uint64_t *at,
		      uint64_t ahead, const char *what)
{
	struct emul_wait wait = { .block = p->block,
				  .what = what,
				  .peer = c->peer,
				  .want = c->step + (uint64_t)p->cfg.steps_per_slice - ahead };
	uint64_t have;

	/* Not want: it may be below zero in the first round of the ring. */
	while ((have = __atomic_load_n(at, __ATOMIC_ACQUIRE)) + ahead <
	       c->step + (uint64_t)p->cfg.steps_per_slice) {
		if (!emul_wait_pause(&wait, have))
			return false;
	}
	return true;
}

static uint8_t *slot_of(const struct prims_conn *c)
{
	const struct nccl_conn_fifo *fifo = fifo_of(c);
	uint8_t *buff = (uint8_t *)c->conn->buff[NCCL_SIMPLE];

	/* With buffers that connections share, the proxy says where the step's slot is. */
	if (fifo && fifo->mode == NCCL_MODE_OFFSET)
		return buff + fifo->offset;
	return buff + c->step % NCCL_STEPS * (size_t)c->conn->step_size;
}

static void recv_wait(struct prims *p, int i, unsigned int flags, struct slice *s)
{
	struct prims_conn *c = &p->recv[i];
	uint8_t *at;

	step_wait(p, c, c->conn->tail, 0, "waits for data from");
	if (p->block->comm.fifo_size_recv && fifo_of(c))
		fifo_of(c)->size = p->cfg.offload ? 0 : (ssize_t)s->bytes;
	if (c->net_reg && (flags & PRIMS_DIRECT_RECV))
		at = p->cfg.p2p ? NULL : p->output + s->src_off;
	else
		at = slot_of(c);
	s->src[s->n_src++] = at;
	if (c->unpack)
		unpack_emul_advance(&p->unpack, i);
}

static void send_wait(struct prims *p, int i, unsigned int flags, struct slice *s)
{
	struct prims_conn *c = &p->send[i];
	uint8_t *at;

	step_wait(p, c, c->conn->head, NCCL_STEPS, "waits for room at");
	if (fifo_of(c))
		fifo_of(c)->size =
			p->block->comm.reg_unsized && p->cfg.offload ? 0 : (ssize_t)s->bytes;
	if (c->net_reg && (flags & PRIMS_DIRECT_SEND))
		at = !p->cfg.p2p && (flags & PRIMS_RECV) ? p->output + s->dst_off : NULL;
	else
		at = slot_of(c);
	s->dst[s->n_dst++] = at;
}

static void copy_bytes(uint8_t *dst, const uint8_t *src, size_t n)
{
	if (dst != src)
		memcpy(dst, src, n);
}

/*
 * Source and destination may be the same memory (in place; or a registered output buffer, where a block has
 * arrived and its sum is to leave from): element by element, as a GPU does, through a small buffer here.
 */
static void slice_reduce(struct prims *p, const struct slice *s, int n_dst, unsigned int flags)
{
	uint8_t acc[REDUCE_BYTES] __attribute__((aligned(16)));

	for (size_t at = 0; at < s->bytes; at += sizeof(acc)) {
		const size_t bytes = emul_min(sizeof(acc), s->bytes - at);
		const size_t n = bytes / p->elem;

		if (flags & PRIMS_IN)
			elem_pre(&p->cfg.op, acc, s->src[0] + at, n);
		else
			memcpy(acc, s->src[0] + at, bytes);
		for (int i = 1; i < s->n_src; i++)
			elem_reduce(&p->cfg.op, acc, s->src[i] + at, n);
		if (flags & PRIMS_POST)
			elem_post(&p->cfg.op, acc, n);
		for (int i = 0; i < n_dst; i++)
			memcpy(s->dst[i] + at, acc, bytes);
	}
}

static void slice_work(struct prims *p, unsigned int flags, struct slice *s)
{
	const bool own = flags & (PRIMS_IN | PRIMS_SRC_OUT);

	for (int i = 0; i < p->n_recv && (flags & PRIMS_RECV); i++) {
		if (p->recv[i].unpack)
			unpack_check(p, &p->recv[i],
				     unpack_emul_copy(&p->unpack, i, s->src[own + i], s->bytes));
	}
	if (!s->n_src || !s->n_dst || !s->src[0] || !s->dst[0])
		return; /* the NIC takes it from, or has put it into, the user's buffer */
	if ((flags & PRIMS_DIRECT_RECV) && !own && s->src[0] == s->dst[0]) {
		/* It has arrived where it belongs. */
		if ((flags & PRIMS_SEND) && (flags & PRIMS_OUT)) {
			for (int i = 1; i < s->n_dst; i++)
				copy_bytes(s->dst[i], s->src[0], s->bytes);
		}
		return;
	}
	if ((flags & PRIMS_SEND) && (flags & PRIMS_OUT) && !s->dst[1])
		slice_reduce(p, s, 1, flags);
	else
		slice_reduce(p, s, s->n_dst, flags);
}

static void slice_post(struct prims *p, unsigned int flags)
{
	for (int i = 0; i < p->n_recv && (flags & PRIMS_RECV); i++) {
		p->recv[i].step += (uint64_t)p->cfg.steps_per_slice;
		__atomic_store_n(p->recv[i].conn->head, p->recv[i].step, __ATOMIC_RELEASE);
	}
	for (int i = 0; i < p->n_send && (flags & PRIMS_SEND); i++) {
		p->send[i].step += (uint64_t)p->cfg.steps_per_slice;
		__atomic_store_n(p->send[i].conn->tail, p->send[i].step, __ATOMIC_RELEASE);
	}
}

static void slice_run(struct prims *p, unsigned int flags, size_t src, size_t dst, size_t n,
		      bool work)
{
	struct slice s = { .src_off = src * p->elem,
			   .dst_off = dst * p->elem,
			   .bytes = n * p->elem };

	if (flags & (PRIMS_IN | PRIMS_SRC_OUT)) {
		const uint8_t *base = flags & PRIMS_IN ? p->input : p->output;

		s.src[s.n_src++] = work ? (uint8_t *)base + s.src_off : NULL;
	}
	if (flags & PRIMS_OUT)
		s.dst[s.n_dst++] = work ? p->output + s.dst_off : NULL;
	for (int i = 0; i < p->n_recv && (flags & PRIMS_RECV); i++)
		recv_wait(p, i, flags, &s);
	for (int i = 0; i < p->n_send && (flags & PRIMS_SEND); i++)
		send_wait(p, i, flags, &s);
	if (work && !emul_aborted(p->block))
		slice_work(p, flags, &s);
	slice_post(p, flags);
}

void simple_op(struct prims *p, unsigned int flags, size_t src, size_t dst, size_t n)
{
	const size_t slices = (size_t)p->cfg.slices_per_chunk;
	size_t size = emul_max(emul_div_up(n, 16 * slices) * 16,
			       p->steps * (size_t)p->cfg.steps_per_slice / 32);
	size_t at = 0;

	for (size_t i = 0; i < slices; i++) {
		size_t len = emul_min(size, n - at);

		slice_run(p, flags, src + at, dst + at, len, len && !p->cfg.offload);
		at += len;
	}
}

static void stats_add(const struct prims *p)
{
	for (int i = 0; i < p->n_recv; i++) {
		emul_stat_add(EMUL_STAT_simple_slices, (p->recv[i].step - p->recv[i].first) /
							       (uint64_t)p->cfg.steps_per_slice);
		emul_stat_add(EMUL_STAT_registered, p->recv[i].net_reg || p->cfg.offload);
	}
	emul_stat_add(EMUL_STAT_unpacked_slices, p->unpack.n_slices);
	emul_stat_add(EMUL_STAT_unpacked_entries, p->unpack.n_entries);
	emul_stat_add(EMUL_STAT_unpacked_bytes, p->unpack.n_bytes);
	emul_stat_add(EMUL_STAT_unpacked_wide, p->unpack.n_by_unit[4]);
}

void simple_close(struct prims *p)
{
	stats_add(p);
	for (int i = 0; i < p->n_recv; i++) {
		if (p->recv[i].unpack)
			unpack_emul_finish(&p->unpack, i, p->recv[i].conn->net.handle);
	}
	/* The user may write the buffer again when the kernel has ended: wait until the NIC has read it. */
	for (int i = 0; i < p->n_send; i++) {
		struct prims_conn *c = &p->send[i];
		struct emul_wait wait = {
			.block = p->block,
			.what = "waits until the NIC has sent the user's buffer to",
			.peer = c->peer,
			.want = c->step
		};
		struct nccl_conn_fifo *last;

		if (!c->net_reg && !(p->cfg.p2p && p->cfg.offload))
			continue;
		last = &c->conn->fifo[(c->step - (uint64_t)p->cfg.steps_per_slice) % NCCL_STEPS];
		while (__atomic_load_n(&last->size, __ATOMIC_ACQUIRE) != -1) {
			if (!emul_wait_pause(&wait, 0))
				break;
		}
	}
}
