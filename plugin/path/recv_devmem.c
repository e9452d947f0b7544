// SPDX-License-Identifier: BSD-3-Clause
/*
 * Receiving into the pool: the NIC has written the payload to the dmabuf, recvmsg() only tells where.
 * Interface: Documentation/networking/devmem.rst, "RX Interface"; net/ipv4/tcp.c, tcp_recvmsg_dmabuf().
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/counter.h"
#include "base/kernel.h"
#include "base/log.h"
#include "path/gather.h"
#include "path/path.h"
#include "uapi/series.h"

/* Control data for as many messages of one frag each as an arrival holds, and so little for runs that it has not more entries. */
#define CONTROL_FRAGS (ARRIVAL_PIECES * CMSG_SPACE(sizeof(struct dmabuf_cmsg)))
#define CONTROL_RUNS  (ARRIVAL_PIECES * sizeof(struct dmabuf_run_entry))

/* As much control data as a packet can want: a message for each of its frags, and one for what is in host memory. */
#define CONTROL_PACKET (18 * CMSG_SPACE(sizeof(struct dmabuf_cmsg)))

/* errno 525, for "not one cmsg fits": kernel-internal number that does reach user space. */
#define KERNEL_ETOOSMALL 525

/* Notes a token. It is ours from here on, whatever else is wrong with its frags. 0 or -EPROTO. */
static int take_token(struct arrival *a, uint32_t token)
{
	struct token_range *last = a->n_tokens ? &a->tokens[a->n_tokens - 1] : NULL;

	counter_inc(tokens_out);
	if (last && (uint64_t)last->start + last->count == token) {
		last->count++;
		return 0;
	}
	if (a->n_tokens == ARRIVAL_PIECES)
		return -EPROTO;
	a->tokens[a->n_tokens++] = (struct token_range){ .start = token, .count = 1 };
	return 0;
}

/* A frag holds back every niov that it touches. */
static uint64_t frag_niovs(const struct data_sock *ds, uint64_t offset, uint32_t len)
{
	uint32_t niov = nic_rx_niov_size(ds->pool->rx);

	return (offset + len - 1) / niov - offset / niov + 1;
}

/* A piece of the pool that the NIC has filled. 0 or -EPROTO. */
static int take_frag(struct data_sock *ds, uint64_t offset, uint32_t len, struct arrival *a)
{
	if (a->n == ARRIVAL_PIECES)
		return -EPROTO;
	if (!len || offset > ds->pool->block.size || len > ds->pool->block.size - offset) {
		log_err("frag %llu+%u lies outside the pool of %zu bytes: is another dmabuf bound to the queue?",
			(unsigned long long)offset, len, ds->pool->block.size);
		return -EPROTO;
	}
	a->pieces[a->n++] =
		(struct gather_piece){ .offset = ds->pool->block.offset + offset, .len = len };
	a->total += len;
	ds->niovs += frag_niovs(ds, offset, len);
	counter_inc(frags);
	return 0;
}

static int parse_run(struct data_sock *ds, const struct cmsghdr *c, struct arrival *a)
{
	const unsigned char *entries = CMSG_DATA(c) + sizeof(struct dmabuf_run_cmsg);
	struct dmabuf_run_entry e;
	struct dmabuf_run_cmsg run;
	uint64_t niovs = 0;
	size_t len;
	int r;

	if (c->cmsg_len < CMSG_LEN(sizeof(run) + sizeof(e)))
		return -EPROTO;
	len = c->cmsg_len - CMSG_LEN(sizeof(run));
	memcpy(&run, CMSG_DATA(c), sizeof(run));
	r = take_token(a, run.token);
	if (r < 0)
		return r;
	if (len % sizeof(e))
		return -EPROTO;
	for (; len; len -= sizeof(e), entries += sizeof(e)) {
		memcpy(&e, entries, sizeof(e));
		r = take_frag(ds, e.frag_offset, e.frag_size, a);
		if (r < 0)
			return r;
		niovs += frag_niovs(ds, e.frag_offset, e.frag_size);
	}
	if (niovs > ds->run_most)
		ds->run_most = (uint32_t)niovs;
	return 0;
}

static int parse_cmsg(struct data_sock *ds, const struct cmsghdr *c, struct arrival *a)
{
	struct dmabuf_cmsg d;
	int r;

	if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_DEVMEM_RUN)
		return parse_run(ds, c, a);
	if (c->cmsg_level != SOL_SOCKET ||
	    (c->cmsg_type != SCM_DEVMEM_DMABUF && c->cmsg_type != SCM_DEVMEM_LINEAR))
		return 0;
	if (c->cmsg_len < CMSG_LEN(sizeof(d)))
		return -EPROTO;
	memcpy(&d, CMSG_DATA(c), sizeof(d));

	if (c->cmsg_type == SCM_DEVMEM_DMABUF) {
		r = take_token(a, d.frag_token);
		if (r < 0)
			return r;
		return take_frag(ds, d.frag_offset, d.frag_size, a);
	}
	if (a->n == ARRIVAL_PIECES)
		return -EPROTO;
	a->pieces[a->n++] = (struct gather_piece){ .len = d.frag_size, .linear = 1 };
	a->linear += d.frag_size;
	a->total += d.frag_size;
	return 0;
}

static void forget_niovs(struct data_sock *ds)
{
	if (!ds->ledger->held && !ds->lent)
		ds->niovs = 0;
}

/*
 * recvmsg() that gives the tokens held back on the way in, where the kernel can do that. They are free, and their ids may
 * come out again, before the first byte is received; so they leave the ledger before the new ones enter it.
 */
static ssize_t recv_and_recycle(struct data_sock *ds, struct msghdr *msg)
{
	struct cmsghdr *head = msg->msg_control;
	struct token_range batch[DEVMEM_DONTNEED_TOKENS];
	uint32_t n_ranges, asked, freed;
	ssize_t n;
	int r;

	counter_inc(sys_recv);
	asked = kernel_features()->recycle ? token_ledger_batch(ds->ledger, batch, &n_ranges) : 0;
	if (!asked) {
		n = recvmsg(ds->fd, msg, MSG_SOCK_DEVMEM | MSG_DONTWAIT);
		return n < 0 ? -errno : n;
	}
	token_request_fill(head, batch, n_ranges);
	n = recvmsg(ds->fd, msg, MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED | MSG_DONTWAIT);
	if (n < 0)
		n = -errno;
	if (!token_request_answer(head, &freed))
		return n < 0 ? n : -EPROTO;
	r = token_ledger_freed(ds->ledger, asked, freed);
	forget_niovs(ds);
	return r < 0 ? r : n;
}

/*
 * @n bytes without a message about them: ordinary packets, copied to the iov. One call never mixes them with
 * packets in the pool (net/ipv4/tcp.c, tcp_recvmsg_locked()). The NIC does so with what it cannot split (IP options, say), and
 * always after the queue has lost its binding or the flow its rule; that is a step down, to be told.
 */
static ssize_t take_readable(struct data_sock *ds, uint8_t *host, ssize_t n, struct arrival *a)
{
	struct verdict why;
	int r = 0;

	counter_add(recv_linear, n);
	arrival_readable(a, host, (size_t)n);
	if (!ds->strayed) {
		ds->strayed = true;
		if (!nic_rx_is_lost(ds->pool->rx, &why))
			verdict_set(
				&why, -ENODEV, NULL,
				"packets of a steered flow arrive in host memory: were the binding of queue %s or the flow rule "
				"removed, or can the NIC not split them?",
				nic_rx_queues(ds->pool->rx));
		r = ladder_step_down(ds->pool->nic.name, DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why);
	}
	return r < 0 ? r : n;
}

/* What the messages of @n received bytes say. 0 or -errno; the tokens in @a are ours in either case. */
static int parse_control(struct data_sock *ds, struct msghdr *msg, ssize_t n, struct arrival *a)
{
	struct cmsghdr *c;
	int r;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		r = parse_cmsg(ds, c, a);
		if (r < 0)
			return r;
	}
	/* Bytes that no message accounts for would be lost, and everything behind them in the wrong place. */
	if (a->n && (a->total != (size_t)n || (msg->msg_flags & MSG_CTRUNC))) {
		log_err("%s: recvmsg returned %zd bytes but told where %zu are%s: was the binding "
			"of queue %s removed?",
			ds->pool->nic.name, n, a->total,
			msg->msg_flags & MSG_CTRUNC ? " (control truncated)" : "",
			nic_rx_queues(ds->pool->rx));
		return -EPROTO;
	}
	return 0;
}

static ssize_t recv_devmem(struct data_sock *ds, struct place *pl, uint8_t *host, size_t len,
			   struct arrival *a)
{
	/*
	 * Aligned for cmsghdr; the frags' messages behind the answer about tokens. 16 KiB of stack: NCCL's threads have the
	 * usual 8 MiB.
	 */
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint32_t)) + CONTROL_FRAGS];
	struct iovec iov = { .iov_base = host, .iov_len = len };
	size_t room = CMSG_SPACE(sizeof(uint32_t)) +
		      (kernel_features()->token_runs ? CONTROL_RUNS : CONTROL_FRAGS);
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = room,
	};
	ssize_t n;
	int r;

	(void)pl;
	arrival_clear(a);
	n = recv_and_recycle(ds, &msg);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		counter_inc(sys_recv_none);
	if (n == -EINTR)
		return -EAGAIN;
	if (n == -KERNEL_ETOOSMALL)
		return -ENOBUFS;
	if (n < 0)
		return n;

	r = parse_control(ds, &msg, n, a);
	if (r < 0) {
		arrival_return(ds, a);
		return r;
	}
	if (a->n == 0) {
		n = take_readable(ds, host, n, a);
		a->cut_short = true;
		return n;
	}
	a->cut_short = a->linear || msg.msg_controllen + CONTROL_PACKET > room;
	a->host = host;
	counter_add(recv_devmem, a->total - a->linear);
	counter_add(recv_linear, a->linear);
	return n;
}

/* The most niovs that the tokens in the ledger can stand for. */
static uint64_t held_niovs(const struct data_sock *ds)
{
	uint64_t most = ds->ledger->held * ds->run_most;

	return most < ds->niovs ? most : ds->niovs;
}

/* Up to a batch may wait, however long: the socket's share of the pool has room for it beside a full receive queue. */
static int recycle_devmem(struct data_sock *ds, int idle)
{
	int r;

	/* The next receive takes them back for nothing. */
	if (!idle && kernel_features()->recycle)
		return 0;
	if (held_niovs(ds) <= ds->batch)
		return 0;
	r = token_ledger_release(ds->ledger, ds->fd);
	forget_niovs(ds);
	return r;
}

const struct path_ops path_recv_devmem = {
	.name = "devmem",
	.rung = RUNG_DEVMEM,
	.spans = true,
	.recv = recv_devmem,
	.recycle = recycle_devmem,
};
