// SPDX-License-Identifier: BSD-3-Clause
/*
 * io_uring requests that free frags or send from a dmabuf, and do not come to an end by
 * themselves: for test-fault-uring.
 *
 * A receive that waits is attempted many times: what it was asked to free is freed by the first
 * attempt that the request gets to, once, and never by a later one, which would find other frags
 * under the same numbers. A send that is cancelled or whose ring goes has sent a part: each byte
 * of that is right, and there is one notification.
 *
 * Exit: 0, 1, 77 where the kernel lacks it.
 */
#include <sys/wait.h>

#include "fault.h"
#include "uring.h"

enum { HELD_BYTES = 32 << 10, TX_BYTES = 8 << 20, TX_OPS = 4 };
enum { TAG_CANCEL = 99, TAG_OP = 100 };

static struct dmabuf buf, tx_buf;
static struct uring spare;
static struct binding bind_rx, bind_tx;
static struct ledger held;

/* A receive with a request in its control buffer. */
static struct op {
	struct conn c;
	struct uring ring;
	struct iovec iov;
	struct msghdr msg;
	uint64_t tag; /* of the request that was submitted last */
	size_t named; /* frags in it */
	_Alignas(struct cmsghdr) uint8_t control[FAULT_CONTROL];
} op;
static uint8_t linear[1 << 20];

static void ring_close(struct uring *u)
{
	close(u->fd);
	/* the mappings hold it, too */
	munmap(u->sqes, 1);
	munmap((void *)((uintptr_t)u->cq_head & ~(uintptr_t)4095), 1);
}

/* Headers of 6.0 and earlier end before it. */
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

/* Attempts are made when the ring is entered, and not at any system call of the process. */
static void op_open(void)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	size_t ranges;

	held.n = 0;
	conn_open(&op.c);
	conn_send(&op.c, HELD_BYTES);
	conn_recv_all(&op.c, &held);
	uring_make_with(&op.ring, 16, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	op.named = held.n;
	ranges = ledger_tokens(&held, 0, held.n, tokens);
	request_put(op.control, tokens, ranges);
	op.iov = (struct iovec){ linear, sizeof(linear) };
	op.msg = (struct msghdr){ .msg_iov = &op.iov,
				  .msg_iovlen = 1,
				  .msg_control = op.control,
				  .msg_controllen = sizeof(op.control) };
}

/* A request that a worker has completed is one that a cancel can still find for a moment: so no two
 * have the same number.
 */
static struct io_uring_sqe op_sqe(uint16_t ioprio)
{
	static uint64_t tag = TAG_OP;

	op.tag = tag++;
	return (struct io_uring_sqe){ .opcode = IORING_OP_RECVMSG,
				      .fd = op.c.rx,
				      .addr = (uintptr_t)&op.msg,
				      .len = 1,
				      .ioprio = ioprio,
				      .user_data = op.tag,
				      .msg_flags = MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED };
}

static void op_submit(uint16_t ioprio, uint8_t flags)
{
	struct io_uring_sqe sqe = op_sqe(ioprio);
	int64_t end = now_ms() + 60000;
	struct io_uring_cqe cqe;

	sqe.flags = flags;
	uring_submit(&op.ring, &sqe, 0);
	/* a worker has to get there first */
	while (flags & IOSQE_ASYNC && answer_get(op.control) < 0) {
		check(now_ms() < end, "no worker made it");
		usleep(1000);
	}
	check(!uring_next(&op.ring, &cqe, false), "it did not wait: %d", cqe.res);
}

/* Return: the result of the request if its completion has come, else 1 */
static int op_reap(void)
{
	struct io_uring_cqe cqe;
	int res = 1;

	while (uring_next(&op.ring, &cqe, false))
		if (cqe.user_data == op.tag)
			res = cqe.res;
	return res;
}

/* What a cancel returns does not say whether the request will end, unless it is 0: not -ENOENT, for
 * between two places nobody finds a request, and one that is found can be gone when it is looked for
 * once more; nor -EALREADY, which goes to a worker that may just be giving it to a poll. So: until
 * its completion has come.
 *
 * Return: its result
 */
static int op_cancel(void)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_ASYNC_CANCEL, .fd = -1, .addr = op.tag, .user_data = TAG_CANCEL
	};
	int64_t end = now_ms() + 60000;
	int res = 1;

	for (int i = 0; res > 0; i++) {
		check(now_ms() < end, "no completion, after %d cancels", i);
		uring_submit(&op.ring, &sqe, 0);
		uring_enter(&op.ring);
		res = op_reap();
		if (i >= 200)
			usleep(1000);
	}
	return res;
}

/* @freed: that the answer is there, else the request has to be. New frags get the same numbers:
 * they are held, whatever became of the request.
 */
static void op_check(bool freed)
{
	int have = answer_get(op.control);

	check(freed ? have == (int)op.named : have < 0, "%d freed, %zu were held", have, op.named);
	if (freed) {
		check(tokens_left(op.c.rx) == 0, "tokens are left");
		held.n = 0;
		conn_send(&op.c, HELD_BYTES);
		conn_recv_all(&op.c, &held);
	}
	conn_stir(&op.c, &buf);
	ledger_check(&held, &buf);
}

static void op_close(void)
{
	ledger_release(&held, op.c.rx);
	check(tokens_left(op.c.rx) == 0, "tokens are left");
	conn_close(&op.c);
}

static void recv_cancelled(void)
{
	op_open();
	op_submit(0, 0);
	check(op_cancel() == -ECANCELED, "not cancelled");
	op_check(true);
	/* the same buffer once more: there is an answer in it */
	op_submit(0, 0);
	check(op_cancel() == -ECANCELED, "not cancelled");
	check(answer_get(op.control) == (int)op.named, "the answer was not kept");
	conn_stir(&op.c, &buf);
	ledger_check(&held, &buf);
	ring_close(&op.ring);
	op_close();
}

static void recv_cancelled_in_worker(void)
{
	int res;

	op_open();
	op_submit(0, IOSQE_ASYNC);
	res = op_cancel();
	check(res == -ECANCELED || res == -EINTR, "not cancelled: %d", res);
	op_check(true);
	ring_close(&op.ring);
	op_close();
}

/* It has not begun: nothing was freed. */
static void recv_poll_first(void)
{
	op_open();
	op_submit(IORING_RECVSEND_POLL_FIRST, 0);
	check(op_cancel() == -ECANCELED, "not cancelled");
	op_check(false);
	ring_close(&op.ring);
	op_close();
}

static void recv_ring_closed(void)
{
	op_open();
	op_submit(0, 0);
	ring_close(&op.ring);
	op_check(true);
	op_close();

	op_open();
	op_submit(IORING_RECVSEND_POLL_FIRST, 0);
	ring_close(&op.ring);
	op_check(false);
	op_close();
}

/* It is attempted again when data has come, while frags are held that have the numbers of those
 * that it has freed.
 */
static void recv_rearmed(void)
{
	struct io_uring_cqe cqe;

	op_open();
	op_submit(0, 0);
	check(answer_get(op.control) == (int)op.named, "not freed");
	held.n = 0;
	conn_send(&op.c, HELD_BYTES);
	conn_recv_all(&op.c, &held);
	conn_send(&op.c, HELD_BYTES);
	conn_arrived(&op.c);
	uring_next(&op.ring, &cqe, true);
	check(cqe.user_data == op.tag && cqe.res == HELD_BYTES, "receive: %d", cqe.res);
	check(answer_get(op.control) == (int)op.named, "the answer was not kept");
	op.msg.msg_control = op.control;
	ledger_take(&held, &op.c, &op.msg, (size_t)cqe.res);
	conn_stir(&op.c, &buf);
	ledger_check(&held, &buf);
	ring_close(&op.ring);
	op_close();
}

/* A zerocopy send's notification stays on the error queue, so each poll says that the socket is
 * ready (EPOLLERR) while there is nothing to receive: after 127 attempts in vain the request goes to
 * a worker, which waits in recvmsg(). On the way it is in neither place.
 */
static void recv_woken_by_errors(void)
{
	static uint8_t data[16 << 10];
	struct pollfd p;
	struct io_uring_cqe cqe;
	int one = 1, res;

	op_open();
	p = (struct pollfd){ .fd = op.c.rx };
	check(!setsockopt(op.c.rx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), "SO_ZEROCOPY");
	op_submit(0, 0);
	check(answer_get(op.control) == (int)op.named, "not freed");
	held.n = 0;
	check(send(op.c.rx, data, sizeof(data), MSG_ZEROCOPY) == sizeof(data), "send");
	check(recv(op.c.tx, data, sizeof(data), MSG_WAITALL) == sizeof(data), "recv");
	for (int i = 0; i < 6000 && !(p.revents & POLLERR); i++) {
		cpus_stir();
		poll(&p, 1, 10);
	}
	check(p.revents & POLLERR, "no notification");
	for (int i = 0; i < 300; i++) {
		uring_enter(&op.ring);
		check(!uring_next(&op.ring, &cqe, false), "it did not wait: %d", cqe.res);
	}

	/* one that is attempted as often while it holds the frags that it would free */
	conn_send(&op.c, HELD_BYTES);
	uring_next(&op.ring, &cqe, true);
	check(cqe.user_data == op.tag && cqe.res > 0, "receive: %d", cqe.res);
	op.msg.msg_control = op.control;
	ledger_take(&held, &op.c, &op.msg, (size_t)cqe.res);
	conn_recv_all(&op.c, &held);
	check(answer_get(op.control) == (int)op.named, "the answer was not kept");
	op.msg.msg_controllen = sizeof(op.control);
	op_submit(0, 0);
	for (int i = 0; i < 300; i++) {
		uring_enter(&op.ring);
		check(!uring_next(&op.ring, &cqe, false), "it did not wait: %d", cqe.res);
	}
	res = op_cancel();
	check(res == -ECANCELED || res == -EINTR, "not cancelled: %d", res);
	check(answer_get(op.control) == (int)op.named, "the answer was not kept");

	/* cancelled on its way */
	op_submit(0, 0);
	res = op_cancel();
	check(res == -ECANCELED || res == -EINTR, "not cancelled: %d", res);
	conn_stir(&op.c, &buf);
	ledger_check(&held, &buf);
	ring_close(&op.ring);
	op_close();
}

/* Refused, as it has no buffer of its own for the request. */
static void recv_multishot(void)
{
	struct io_uring_sqe sqe;
	struct io_uring_cqe cqe;

	op_open();
	sqe = op_sqe(IORING_RECV_MULTISHOT);
	sqe.flags = IOSQE_BUFFER_SELECT;
	uring_submit(&op.ring, &sqe, 1);
	uring_next(&op.ring, &cqe, true);
	check(cqe.res == -EINVAL && !(cqe.flags & IORING_CQE_F_MORE), "multishot: %d", cqe.res);
	op_check(false);
	ring_close(&op.ring);
	op_close();
}

/* Sends from a dmabuf that fill the socket and wait. */
static struct sends {
	struct conn c;
	struct uring ring;
	struct iovec iov[TX_OPS];
	struct msghdr msg[TX_OPS];
	union {
		char buf[CMSG_SPACE(sizeof(uint32_t))];
		struct cmsghdr align;
	} control;
	uint64_t sent;
	unsigned int results;
	bool more[TX_OPS], notified[TX_OPS];
} s;

static void sends_open(void)
{
	int small = 256 << 10;

	memset(&s, 0, sizeof(s));
	conn_open(&s.c);
	setsockopt(s.c.tx, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	uring_make(&s.ring, 16);
	s.control.align =
		(struct cmsghdr){ CMSG_LEN(sizeof(uint32_t)), SOL_SOCKET, SCM_DEVMEM_DMABUF };
	memcpy(CMSG_DATA(&s.control.align), &bind_tx.id, sizeof(uint32_t));
}

/* All of them in one link, so that they follow each other. */
static void sends_submit(void)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_SENDMSG_ZC,
				    .fd = s.c.tx,
				    .len = 1,
				    .msg_flags = MSG_WAITALL | MSG_NOSIGNAL };
	const size_t each = TX_BYTES / TX_OPS;

	for (size_t i = 0; i < TX_OPS; i++) {
		s.iov[i] = (struct iovec){ (void *)(i * each), each };
		s.msg[i] = (struct msghdr){ .msg_iov = &s.iov[i],
					    .msg_iovlen = 1,
					    .msg_control = &s.control,
					    .msg_controllen = sizeof(s.control) };
		sqe.addr = (uintptr_t)&s.msg[i];
		sqe.user_data = i;
		sqe.flags = IOSQE_IO_LINK;
		if (i + 1 < TX_OPS)
			uring_queue(&s.ring, &sqe);
	}
	sqe.flags = 0;
	uring_submit(&s.ring, &sqe, 0);
}

/* Return: whether there was one */
static bool sends_reap(bool wait)
{
	struct io_uring_cqe cqe;

	if (!uring_next(&s.ring, &cqe, wait))
		return false;
	if (cqe.user_data == TAG_CANCEL)
		return true;
	check(cqe.user_data < TX_OPS, "completion of what was not asked for");
	if (cqe.flags & IORING_CQE_F_NOTIF) {
		check(!s.notified[cqe.user_data], "notified twice");
		s.notified[cqe.user_data] = true;
		return true;
	}
	s.results++;
	s.more[cqe.user_data] = cqe.flags & IORING_CQE_F_MORE;
	if (cqe.res > 0)
		s.sent += (uint64_t)cqe.res;
	else
		check(cqe.res == -ECANCELED || cqe.res == -EINTR, "send: %d", cqe.res);
	return true;
}

/* What has been sent comes, @least or more, each byte of it right, and no more. Return: how much */
static uint64_t sends_receive(uint64_t least)
{
	static struct ledger l;
	uint64_t got = 0;
	ssize_t n;

	for (;;) {
		struct pollfd p = { .fd = s.c.rx, .events = POLLIN };

		/* an end of stream, or nothing for a while */
		if (poll(&p, 1, got < least ? 60000 : 300) == 0)
			break;
		l.n = 0;
		n = conn_recv(&s.c, &l, 64 << 10, MSG_DONTWAIT);
		if (n == 0)
			break;
		check(n > 0, "receive: %zd", n);
		ledger_check(&l, &buf);
		ledger_release(&l, s.c.rx);
		got += (uint64_t)n;
	}
	return got;
}

/* Of a request that was cancelled before it was begun, as a later one of a link is, there may be a
 * notification that was not announced by IORING_CQE_F_MORE.
 */
static bool sends_notified(void)
{
	for (int i = 0; i < TX_OPS; i++)
		if (s.more[i] && !s.notified[i])
			return false;
	return true;
}

static void send_cancelled(void)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_ASYNC_CANCEL,
				    .fd = -1,
				    .cancel_flags =
					    IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
				    .user_data = TAG_CANCEL };
	uint64_t got;

	sends_open();
	sends_submit();
	usleep(50000);
	while (sends_reap(false))
		;
	check(s.results < TX_OPS, "nothing waits");
	uring_submit(&s.ring, &sqe, 0);
	while (s.results < TX_OPS)
		sends_reap(true);
	check(s.sent < TX_BYTES, "nothing was cancelled");
	/* not before the peer has it */
	got = sends_receive(s.sent);
	check(got == s.sent, "%" PRIu64 " bytes came, %" PRIu64 " were said to be sent", got,
	      s.sent);
	for (int i = 0; i < 12000 && !sends_notified(); i++) {
		cpus_stir();
		usleep(5000);
		while (sends_reap(false))
			;
	}
	check(sends_notified(), "a notification is missing");
	printf(" %" PRIu64 " of %d bytes", s.sent, TX_BYTES);
	ring_close(&s.ring);
	conn_close(&s.c);
}

/* The ring goes, then the socket, with a binding that goes in between. */
static void send_ring_closed(void)
{
	int before = dmabufs_count();
	uint64_t got;

	for (int unbind = 0; unbind < 2; unbind++) {
		sends_open();
		sends_submit();
		usleep(20000);
		ring_close(&s.ring);
		if (unbind)
			binding_close(&bind_tx);
		got = sends_receive(1);
		check(got > 0 && got < TX_BYTES, "%" PRIu64 " bytes came", got);
		conn_close(&s.c);
		if (unbind) {
			dmabuf_close(&tx_buf);
			dmabufs_wait(before - 1);
		}
	}
}

/* A process that ends with all of it under way */
static void send_killed(void)
{
	int before, status;
	uint64_t got;
	pid_t pid;

	before = dmabufs_count();
	sends_open();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct dmabuf own;

		dmabuf_make(&own, TX_BYTES, false);
		pattern_fill(own.mem, 0, 0, TX_BYTES);
		binding_open(&bind_tx, &own, true);
		memcpy(CMSG_DATA(&s.control.align), &bind_tx.id, sizeof(uint32_t));
		uring_make(&s.ring, 16);
		sends_submit();
		usleep(20000);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && !status, "child: %x", status);
	got = sends_receive(1);
	check(got > 0 && got < TX_BYTES, "%" PRIu64 " bytes came", got);
	ring_close(&s.ring);
	conn_close(&s.c);
	dmabufs_wait(before);
}

int main(void)
{
	static const struct fault_case cases[] = {
		{ "receive cancelled", recv_cancelled },
		{ "receive cancelled in a worker", recv_cancelled_in_worker },
		{ "receive that waits first, cancelled", recv_poll_first },
		{ "receive's ring closed", recv_ring_closed },
		{ "receive attempted again", recv_rearmed },
		{ "receive attempted in vain", recv_woken_by_errors },
		{ "multishot", recv_multishot },
		{ "send cancelled", send_cancelled },
		{ "send's ring closed", send_ring_closed },
		{ "sender ends", send_killed },
	};

	/* While a process has a ring its idle workers stay. In 7.2 (not in 6.18) they end with the
	 * last one, and what the next ring gives to one that is ending is done by nobody.
	 */
	uring_make(&spare, 1);
	dmabuf_make(&buf, 1 << 20, false);
	binding_open(&bind_rx, &buf, false);
	dmabuf_make(&tx_buf, TX_BYTES, false);
	pattern_fill(tx_buf.mem, 0, 0, TX_BYTES);
	binding_open(&bind_tx, &tx_buf, true);
	cases_run(cases, sizeof(cases) / sizeof(*cases));
	ring_close(&spare);
	binding_close(&bind_rx);
	dmabuf_close(&buf);
	dmabufs_wait(0);
	return 0;
}
