// SPDX-License-Identifier: BSD-3-Clause
/*
 * The LL protocol (src/device/prims_ll.h): 8 bytes of data in a line of 16, each half with a flag that is the
 * step's number + 1. A receiver waits for flags, not for a tail; nobody moves one. An operation is one step.
 *
 * Memory order: each half line is one 8-byte access; x86 keeps the order in which a sender (here or in the
 * kernel's copy_to_user()) writes data before flag.
 */
#include <string.h>

#include "prims.h"
#include "wait.h"

/* Lines handled at once. */
#define BATCH 256
/* Steps at which all flags of a slot are written, so that none of 2^31 steps ago can look new. */
#define CLEAN_MASK 0x7ffffff8u

typedef uint64_t half_line __attribute__((may_alias));

void ll_open(struct prims *p)
{
	p->steps = (size_t)p->block->comm.buff_size[NCCL_LL] / NCCL_STEPS /
		   sizeof(struct nccl_ll_line);
	for (int i = 0; i < p->n_recv; i++) {
		if (p->recv[i].unpack)
			emul_die(
				"rank %d: LL on a connection with device unpack: its data would stay in "
				"the bounce buffer",
				p->block->comm.rank);
	}
}

static struct nccl_ll_line *slot_of(const struct prims *p, const struct prims_conn *c)
{
	return (struct nccl_ll_line *)c->conn->buff[NCCL_LL] + c->step % NCCL_STEPS * p->steps;
}

static bool cleans(const struct prims_conn *c)
{
	return (c->step & CLEAN_MASK) == CLEAN_MASK;
}

static void send_wait(struct prims *p, struct prims_conn *c, size_t lines)
{
	struct emul_wait wait = {
		.block = p->block, .what = "waits for room at", .peer = c->peer, .want = c->step
	};
	uint64_t have;

	while ((have = __atomic_load_n(c->conn->head, __ATOMIC_ACQUIRE)) + NCCL_STEPS <
	       c->step + 1) {
		if (!emul_wait_pause(&wait, have))
			return;
	}
	if (c->conn->fifo)
		__atomic_store_n(
			&c->conn->fifo[c->step % NCCL_STEPS].size,
			(ssize_t)((cleans(c) ? p->steps : lines) * sizeof(struct nccl_ll_line)),
			__ATOMIC_RELEASE);
}

/* False when aborted. */
static bool half_read(struct prims *p, const struct prims_conn *c, const uint32_t *half,
		      uint32_t *ret_data)
{
	const uint32_t flag = (uint32_t)(c->step + 1);
	struct emul_wait wait = {
		.block = p->block, .what = "waits for data from", .peer = c->peer, .want = flag
	};
	uint64_t v;

	while (v = __atomic_load_n((const half_line *)half, __ATOMIC_ACQUIRE), v >> 32 != flag) {
		if (!emul_wait_pause(&wait, v >> 32))
			return false;
	}
	*ret_data = (uint32_t)v;
	return true;
}

static bool lines_read(struct prims *p, const struct prims_conn *c, size_t line, size_t n,
		       uint32_t *data)
{
	const struct nccl_ll_line *at = slot_of(p, c) + line;

	for (size_t i = 0; i < n; i++) {
		if (!half_read(p, c, &at[i].data1, &data[2 * i]) ||
		    !half_read(p, c, &at[i].data2, &data[2 * i + 1]))
			return false;
	}
	return true;
}

static void lines_write(struct prims *p, const struct prims_conn *c, size_t line, size_t n,
			const uint32_t *data)
{
	const uint64_t flag = (uint64_t)(uint32_t)(c->step + 1) << 32;
	struct nccl_ll_line *at = slot_of(p, c) + line;

	for (size_t i = 0; i < n; i++) {
		__atomic_store_n((half_line *)&at[i].data1, flag | (data ? data[2 * i] : 0),
				 __ATOMIC_RELEASE);
		__atomic_store_n((half_line *)&at[i].data2, flag | (data ? data[2 * i + 1] : 0),
				 __ATOMIC_RELEASE);
	}
}

/* Lines @line and on, of @n elements, @n_lines. False when aborted. */
static bool lines_run(struct prims *p, unsigned int flags, const uint8_t *src, uint8_t *dst,
		      size_t line, size_t n_lines, size_t n)
{
	uint32_t data[2 * BATCH] = { 0 };
	uint32_t peer[2 * BATCH];
	int first = 0;

	if (flags & PRIMS_IN)
		elem_pre(&p->cfg.op, data, src, n);
	else if (flags & PRIMS_SRC_OUT)
		memcpy(data, src, n * p->elem);
	if ((flags & PRIMS_RECV) && !src) {
		if (!lines_read(p, &p->recv[0], line, n_lines, data))
			return false;
		first = 1;
	}
	for (int i = first; i < p->n_recv && (flags & PRIMS_RECV); i++) {
		if (!lines_read(p, &p->recv[i], line, n_lines, peer))
			return false;
		elem_reduce(&p->cfg.op, data, peer, n);
	}
	if (flags & PRIMS_POST)
		elem_post(&p->cfg.op, data, n);
	for (int i = p->n_send - 1; i >= 0 && (flags & PRIMS_SEND); i--)
		lines_write(p, &p->send[i], line, n_lines, data);
	if (flags & PRIMS_OUT)
		memcpy(dst, data, n * p->elem);
	return true;
}

void ll_op(struct prims *p, unsigned int flags, size_t src, size_t dst, size_t n)
{
	const size_t per_line = 8 / p->elem;
	const size_t lines = emul_div_up(n, per_line);
	const uint8_t *from = flags & PRIMS_IN	      ? p->input + src * p->elem
			      : flags & PRIMS_SRC_OUT ? p->output + src * p->elem
						      : NULL;
	uint8_t *to = flags & PRIMS_OUT ? p->output + dst * p->elem : NULL;

	if (lines > p->steps)
		emul_die("LL: %zu lines in a step of %zu", lines, p->steps);
	for (int i = 0; i < p->n_send && (flags & PRIMS_SEND); i++)
		send_wait(p, &p->send[i], lines);
	for (size_t line = 0; line < lines; line += BATCH) {
		size_t now = emul_min(lines - line, BATCH);
		size_t at = line * per_line;

		if (emul_aborted(p->block) ||
		    !lines_run(p, flags, from ? from + at * p->elem : NULL,
			       to ? to + at * p->elem : NULL, line, now,
			       emul_min(n - at, now * per_line)))
			break;
	}
	for (int i = 0; i < p->n_recv && (flags & PRIMS_RECV); i++) {
		p->recv[i].step++;
		__atomic_store_n(p->recv[i].conn->head, p->recv[i].step, __ATOMIC_RELEASE);
	}
	for (int i = 0; i < p->n_send && (flags & PRIMS_SEND); i++) {
		if (cleans(&p->send[i]))
			lines_write(p, &p->send[i], lines, p->steps - lines, NULL);
		p->send[i].step++;
	}
}
