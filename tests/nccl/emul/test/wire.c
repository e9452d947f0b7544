// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"

static const size_t step_size[NCCL_PROTOS] = { WIRE_LL_STEP, 0, WIRE_SIMPLE_STEP };

static void conn_fill(struct nccl_conn *conn, char *buff[NCCL_PROTOS], uint64_t *head,
		      uint64_t *tail, struct nccl_conn_fifo *fifo)
{
	memset(conn, 0, sizeof(*conn));
	memcpy(conn->buff, buff, sizeof(conn->buff));
	conn->head = head;
	conn->tail = tail;
	conn->fifo = fifo;
	conn->step_size = WIRE_SIMPLE_STEP;
}

/* In offset mode slots lie in the reverse order. */
static size_t slot_offset(const struct wire *w, uint64_t step)
{
	size_t slot = step % NCCL_STEPS;

	if (w->kind == WIRE_OFFSET)
		slot = NCCL_STEPS - w->slice_steps - slot;
	return slot * WIRE_SIMPLE_STEP;
}

static int buffers_new(char *buff[NCCL_PROTOS])
{
	for (int i = 0; i < NCCL_PROTOS; i++) {
		if (!step_size[i])
			continue;
		buff[i] = aligned_alloc(64, NCCL_STEPS * step_size[i]);
		if (!buff[i])
			return -ENOMEM;
		memset(buff[i], 0, NCCL_STEPS * step_size[i]);
	}
	return 0;
}

int wire_open(struct wire *w, enum wire_kind kind, struct nccl_conn *send, struct nccl_conn *recv,
	      uint8_t *base, size_t offset)
{
	memset(w, 0, sizeof(*w));
	w->kind = kind;
	w->send = send;
	w->recv = recv;
	w->seed = 1;
	for (int i = 0; i < NCCL_STEPS; i++) {
		w->send_fifo[i].size = -1;
		w->send_fifo[i].mode = kind == WIRE_OFFSET ? NCCL_MODE_OFFSET : 0;
		w->recv_fifo[i].mode = w->send_fifo[i].mode;
	}
	if (buffers_new(w->send_buff))
		return -ENOMEM;
	if (kind == WIRE_SHARED) {
		conn_fill(send, w->send_buff, &w->send_head, &w->send_tail, NULL);
		conn_fill(recv, w->send_buff, &w->send_head, &w->send_tail, NULL);
		return 0;
	}
	if (buffers_new(w->recv_buff))
		return -ENOMEM;
	conn_fill(send, w->send_buff, &w->send_head, &w->send_tail, w->send_fifo);
	conn_fill(recv, w->recv_buff, &w->recv_head, &w->recv_tail,
		  kind == WIRE_OFFSET || kind == WIRE_REG ? w->recv_fifo : NULL);
	if (kind == WIRE_REG) {
		send->flags = NCCL_DIRECT_NIC;
		recv->flags = NCCL_DIRECT_NIC;
	}
	if (kind == WIRE_UNPACK) {
		w->handle.meta = aligned_alloc(64, (sizeof(*w->handle.meta) + 63) / 64 * 64);
		if (!w->handle.meta)
			return -ENOMEM;
		w->handle.bounce_buf = base;
		w->handle.head = UINT64_MAX;
		w->bounce = base + offset;
		recv->net = (struct nccl_net_handle){ .type = NCCL_NET_UNPACK,
						      .version = UNPACK_EMUL_VERSION,
						      .handle = &w->handle,
						      .needs_proxy_progress = 1 };
	}
	return 0;
}

void wire_close(struct wire *w)
{
	for (int i = 0; i < NCCL_PROTOS; i++) {
		free(w->send_buff[i]);
		free(w->recv_buff[i]);
	}
	free(w->handle.meta);
}

void wire_begin(struct wire *w, int proto, uint64_t chunk_steps, uint64_t slice_steps)
{
	w->proto = proto;
	w->segment = 0;
	w->segment_done = 0;
	w->slice_steps = slice_steps;
	w->step = w->send->step;
	if (proto == NCCL_SIMPLE)
		w->step = (w->step + chunk_steps - 1) / chunk_steps * chunk_steps;
	if (w->send->step != w->recv->step)
		w->failed = "the ends disagree about the step";
	for (uint64_t s = 0; w->kind == WIRE_OFFSET && s < NCCL_STEPS; s += slice_steps) {
		w->send_fifo[s].offset = (int)slot_offset(w, s);
		w->recv_fifo[s].offset = (int)slot_offset(w, s);
	}
}

static void deliver_unpacked(struct wire *w, const char *from, size_t n)
{
	const unsigned int slot = w->slices % UNPACK_EMUL_SLOTS;
	struct unpack_emul_meta *meta = w->handle.meta;
	uint8_t *room = w->bounce + (size_t)slot * WIRE_BOUNCE_SLOT;
	size_t at = 0, used = 0;
	uint64_t i = 0;

	while (at < n) {
		size_t len = 64 + (size_t)rand_r(&w->seed) % 3000;
		size_t gap = (size_t)rand_r(&w->seed) % 64;

		if (len > n - at)
			len = n - at;
		memcpy(room + used + gap, from + at, len);
		meta->mem[slot][i++] = (struct unpack_emul_entry){
			.src_off = (uint32_t)(room + used + gap - (uint8_t *)w->handle.bounce_buf),
			.len = (uint32_t)len,
			.dst_off = at,
		};
		used += gap + len;
		at += len;
	}
	meta->cnt[slot] = i;
	w->slices++;
}

/* The next @n bytes of the route. Returns what was moved, or -1. */
static ssize_t deliver_routed(struct wire *w, size_t n)
{
	const struct wire_segment *s = &w->route[w->segment];

	if (w->segment == w->n_route)
		return -1;
	if (w->unsized && n)
		return -1;
	if (w->unsized)
		n = s->len;
	if (n > s->len - w->segment_done)
		return -1;
	memcpy(s->dst + w->segment_done, s->src + w->segment_done, n);
	w->segment_done += n;
	if (w->segment_done == s->len) {
		w->segment++;
		w->segment_done = 0;
	}
	return (ssize_t)n;
}

static bool simple_progress(struct wire *w)
{
	struct nccl_conn_fifo *fifo = &w->send_fifo[w->step % NCCL_STEPS];
	ssize_t n;

	if (__atomic_load_n(&w->send_tail, __ATOMIC_ACQUIRE) <= w->step)
		return false;
	if (__atomic_load_n(&w->recv_head, __ATOMIC_ACQUIRE) + NCCL_STEPS <
	    w->step + w->slice_steps)
		return false;
	n = fifo->size;
	if (w->kind == WIRE_REG)
		n = n < 0 ? n : deliver_routed(w, (size_t)n);
	else if (n > (ssize_t)(w->slice_steps * WIRE_SIMPLE_STEP))
		n = -1;
	if (n < 0) {
		w->failed = "a size in connFifo that is none";
		return false;
	}
	if (w->kind == WIRE_UNPACK)
		deliver_unpacked(w, w->send_buff[NCCL_SIMPLE] + slot_offset(w, w->step), (size_t)n);
	else if (w->kind != WIRE_REG)
		memcpy(w->recv_buff[NCCL_SIMPLE] + slot_offset(w, w->step),
		       w->send_buff[NCCL_SIMPLE] + slot_offset(w, w->step), (size_t)n);
	w->bytes += (uint64_t)n;
	__atomic_store_n(&fifo->size, -1, __ATOMIC_RELEASE);
	w->step += w->slice_steps;
	__atomic_store_n(&w->recv_tail, w->step, __ATOMIC_RELEASE);
	__atomic_store_n(&w->send_head, w->step, __ATOMIC_RELEASE);
	return true;
}

typedef uint64_t half_line __attribute__((may_alias));

static bool ll_progress(struct wire *w)
{
	struct nccl_conn_fifo *fifo = &w->send_fifo[w->step % NCCL_STEPS];
	size_t at = w->step % NCCL_STEPS * WIRE_LL_STEP;
	half_line *src = (half_line *)(w->send_buff[NCCL_LL] + at);
	half_line *dst = (half_line *)(w->recv_buff[NCCL_LL] + at);
	ssize_t n = __atomic_load_n(&fifo->size, __ATOMIC_ACQUIRE);

	if (n < 0 || __atomic_load_n(&w->recv_head, __ATOMIC_ACQUIRE) + NCCL_STEPS < w->step + 1)
		return false;
	if (n > WIRE_LL_STEP || n % 16) {
		w->failed = "a size of LL in connFifo that is none";
		return false;
	}
	/* The sender tells the size before the lines are written: their flags say when. */
	for (ssize_t i = 0; i < n / 8; i++) {
		if (__atomic_load_n(&src[i], __ATOMIC_ACQUIRE) >> 32 != (uint32_t)(w->step + 1))
			return false;
	}
	for (ssize_t i = 0; i < n / 8; i++)
		__atomic_store_n(&dst[i], __atomic_load_n(&src[i], __ATOMIC_RELAXED),
				 __ATOMIC_RELEASE);
	w->bytes += (uint64_t)n / 2;
	__atomic_store_n(&fifo->size, -1, __ATOMIC_RELAXED);
	w->step++;
	__atomic_store_n(&w->send_head, w->step, __ATOMIC_RELEASE);
	return true;
}

static void *proxy_run(void *arg)
{
	const struct timespec nap = { .tv_nsec = 20000 };
	struct wire_proxy *p = arg;
	unsigned int idle = 0;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		bool any = false;

		for (unsigned int i = 0; i < p->n; i++) {
			struct wire *w = &p->wires[i];

			if (w->kind == WIRE_SHARED || w->failed)
				continue;
			any |= w->proto == NCCL_LL ? ll_progress(w) : simple_progress(w);
		}
		if (any)
			idle = 0;
		else if (idle++ < 16)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
	return NULL;
}

int wire_proxy_start(struct wire_proxy *p, struct wire *wires, unsigned int n)
{
	p->wires = wires;
	p->n = n;
	p->stop = false;
	return -pthread_create(&p->thread, NULL, proxy_run, p);
}

void wire_proxy_stop(struct wire_proxy *p)
{
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
}
