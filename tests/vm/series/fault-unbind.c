// SPDX-License-Identifier: BSD-3-Clause
/*
 * Bindings that end while frags are held and sends are under way: for test-fault-unbind and
 * test-fault-remove.
 *	fault-unbind			the cases below
 *	fault-unbind -d order		holds frags and has a send under way, says "ready", goes on
 *					when a line comes in: the device has gone by then. Order:
 *					"tokens" or "bindings" are given back first, "exit" does not
 *
 * Frags keep their bytes until they are freed, each is freed once, what was sent arrives or its
 * connection ends, and after the last of them the dmabuf goes.
 *
 * Exit: 0, 1, 77 where the kernel lacks devmem.
 */
#include <signal.h>

#include "fault.h"

enum { HELD_BYTES = 64 << 10, TX_BYTES = 4 << 20 };

static struct dmabuf buf, tx_buf;
static struct binding bind_rx, bind_tx;
static struct conn c;
static struct ledger held;

static void rx_open(void)
{
	dmabuf_make(&buf, 1 << 20, false);
	binding_open(&bind_rx, &buf, false);
	conn_open(&c);
	held.n = 0;
	conn_send(&c, HELD_BYTES);
	conn_recv_all(&c, &held);
}

/* Frags freed by a recvmsg that finds nothing to receive. */
static void release_by_recvmsg(size_t first, size_t n)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	_Alignas(struct cmsghdr) uint8_t control[4096];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	size_t ranges = ledger_tokens(&held, first, n, tokens);
	ssize_t ret;

	request_put(control, tokens, ranges);
	ret = recvmsg(c.rx, &msg, MSG_DONTWAIT | MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED);
	check(answer_get(control) == (int)n, "%d of %zu freed, %zd", answer_get(control), n, ret);
}

static void held_unbound(void)
{
	rx_open();
	binding_close(&bind_rx);
	usleep(50000);
	ledger_check(&held, &buf);
	release_by_recvmsg(0, held.n / 2);
	memmove(held.frags, held.frags + held.n / 2, (held.n - held.n / 2) * sizeof(*held.frags));
	held.n -= held.n / 2;
	ledger_check(&held, &buf);
	ledger_release(&held, c.rx);
	check(tokens_left(c.rx) == 0, "left");
	dmabuf_close(&buf);
	dmabufs_wait(0);
	conn_close(&c);
}

/* The kernel's frags are all that there is of the dmabuf. */
static void held_all_closed(void)
{
	rx_open();
	binding_close(&bind_rx);
	dmabuf_close(&buf);
	usleep(50000);
	check(dmabufs_count() == 1, "the dmabuf has gone under %zu frags", held.n);
	release_by_recvmsg(0, held.n - 1);
	usleep(50000);
	check(dmabufs_count() == 1, "the dmabuf has gone under a frag");
	release_by_recvmsg(held.n - 1, 1);
	check(tokens_left(c.rx) == 0, "left");
	dmabufs_wait(0);
	conn_close(&c);
}

static void held_socket_closed(void)
{
	rx_open();
	dmabuf_close(&buf);
	conn_close(&c);
	binding_close(&bind_rx);
	dmabufs_wait(0);
}

/* It was in the receive queue, and comes as frags still. */
static void queued_unbound(void)
{
	size_t first;

	rx_open();
	first = held.n;
	conn_send(&c, HELD_BYTES);
	conn_arrived(&c);
	binding_close(&bind_rx);
	conn_recv_all(&c, &held);
	check(held.n > first, "no frags");
	ledger_check(&held, &buf);
	ledger_release(&held, c.rx);
	conn_close(&c);

	/* and with nobody who receives it */
	binding_open(&bind_rx, &buf, false);
	conn_open(&c);
	conn_send(&c, HELD_BYTES);
	conn_arrived(&c);
	binding_close(&bind_rx);
	conn_close(&c);
	dmabuf_close(&buf);
	dmabufs_wait(0);
}

/* Frags of two bindings in one socket, freed in one call. */
static void bound_again(void)
{
	struct dmabuf second;
	struct binding bind_second;
	struct ledger old;

	rx_open();
	old = held;
	binding_close(&bind_rx);
	dmabuf_make(&second, 1 << 20, false);
	binding_open(&bind_second, &second, false);
	check(bind_second.id != bind_rx.id, "the same id again");
	held.n = 0;
	conn_send(&c, HELD_BYTES);
	conn_recv_all(&c, &held);
	for (size_t i = 0; i < held.n; i++)
		check(held.frags[i].dmabuf_id == bind_second.id, "frag of binding %u",
		      held.frags[i].dmabuf_id);
	conn_stir(&c, &second);
	ledger_check(&held, &second);
	ledger_check(&old, &buf);
	for (size_t i = 0; i < old.n; i++)
		held.frags[held.n++] = old.frags[i];
	release_by_recvmsg(0, held.n);
	check(tokens_left(c.rx) == 0, "left");
	dmabuf_close(&buf);
	/* the second one's queue is still at work */
	dmabufs_wait(1);
	held.n = 0;
	conn_stir(&c, &second);
	binding_close(&bind_second);
	dmabuf_close(&second);
	conn_close(&c);
	dmabufs_wait(0);
}

/* As much as the socket takes, at once. Return: bytes under way */
static size_t tx_open(void)
{
	size_t sent = 0;
	ssize_t n;

	dmabuf_make(&tx_buf, TX_BYTES, false);
	binding_open(&bind_tx, &tx_buf, true);
	/* a stream that goes on where the plain one has ended */
	pattern_fill(tx_buf.mem, 0, c.sent, TX_BYTES);
	while (sent < TX_BYTES && (n = conn_send_from(c.tx, bind_tx.id, sent, TX_BYTES - sent)) > 0)
		sent += (size_t)n;
	check(sent > 0, "nothing was sent: %zd", n);
	return sent;
}

static void sending_unbound(void)
{
	static struct ledger l;
	size_t sent;
	uint64_t end;

	for (int closed = 0; closed < 2; closed++) {
		rx_open();
		ledger_release(&held, c.rx);
		sent = tx_open();
		binding_close(&bind_tx);
		dmabuf_close(&tx_buf);
		check(conn_send_from(c.tx, bind_tx.id, 0, 4096) == -EINVAL,
		      "sent from what is unbound");
		/* packets that wait hold the binding; an end of it would take a while */
		usleep(400000);
		check(dmabufs_count() == 2, "%d dmabufs", dmabufs_count());
		for (end = c.got + sent; !closed && c.got < end;) {
			readable_wait(c.rx);
			l.n = 0;
			check(conn_recv(&c, &l, 64 << 10, MSG_DONTWAIT) > 0, "receive");
			ledger_check(&l, &buf);
			ledger_release(&l, c.rx);
		}
		/* all of it has arrived, or nobody wants it any more */
		if (closed)
			conn_close(&c);
		dmabufs_wait(1);
		if (!closed)
			conn_close(&c);
		binding_close(&bind_rx);
		dmabuf_close(&buf);
		dmabufs_wait(0);
	}
}

static void device_goes(const char *order)
{
	char line[16];
	size_t sent;

	rx_open();
	sent = tx_open();
	/* or the kernel would go on with it after the end */
	setsockopt(c.tx, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	/* a part of it arrives */
	usleep(50000);
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		die("no line");
	ledger_check(&held, &buf);
	if (!strcmp(order, "exit")) {
		printf("%zu frags were held, %zu bytes under way\n", held.n, sent);
		exit(0);
	}
	if (!strcmp(order, "bindings")) {
		binding_close(&bind_rx);
		binding_close(&bind_tx);
		dmabuf_close(&tx_buf);
		cpus_stir();
		ledger_check(&held, &buf);
	}
	/* the sending one, that is: ENODEV, or the socket was full */
	if (!strcmp(line, "both\n"))
		check(conn_send_from(c.tx, bind_tx.id, 0, 4096) < 0,
		      "sent through a device that has gone");
	printf("%zu frags were held, %zu bytes under way\n", held.n, sent);
	release_by_recvmsg(0, held.n / 2);
	memmove(held.frags, held.frags + held.n / 2, (held.n - held.n / 2) * sizeof(*held.frags));
	held.n -= held.n / 2;
	ledger_release(&held, c.rx);
	conn_close(&c);
	if (!strcmp(order, "tokens")) {
		usleep(100000);
		binding_close(&bind_rx);
		binding_close(&bind_tx);
		dmabuf_close(&tx_buf);
	}
	dmabuf_close(&buf);
	dmabufs_wait(0);
	printf("done\n");
}

int main(int argc, char **argv)
{
	static const struct fault_case cases[] = {
		{ "unbound, frags held", held_unbound },
		{ "unbound and closed, frags held", held_all_closed },
		{ "socket closed, frags held", held_socket_closed },
		{ "unbound, data in the receive queue", queued_unbound },
		{ "another binding, frags of the first held", bound_again },
		{ "unbound, sends under way", sending_unbound },
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "-d")) {
		device_goes(argv[2]);
		return 0;
	}
	return cases_run(cases, sizeof(cases) / sizeof(*cases));
}
