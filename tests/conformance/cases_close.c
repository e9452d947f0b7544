// SPDX-License-Identifier: BSD-3-Clause
/* Closing with requests in flight: each side, in each order. */
#include "cases.h"

#define SIZE (4 * MIB)
#define N    4

/*
 * @first_sends: which side goes first. @dereg_first: its registration goes before it. The other side's requests then end in
 * bounded time, done or with ncclRemoteError; at least one of them cannot be done.
 */
static void close_in_flight(bool first_sends, bool dereg_first, bool other_posts)
{
	struct item s[N], r[N], *left;
	struct side *first, *other;
	struct link l, alive;
	int errors = 0;

	link_open(&alive, TX, RX, MIB);
	link_open(&l, TX, RX, SIZE);
	first = first_sends ? &l.tx : &l.rx;
	other = first_sends ? &l.rx : &l.tx;
	side_fill(&l.tx, 0, SIZE, 1);
	for (int i = 0; i < N; i++) {
		/* Some are matched and under way, the rest waits for the other side. */
		r[i] = item_recv(&l.rx,
				 first_sends || i < N / 2 ? side_irecv(&l.rx, 0, SIZE, 0) : 0);
		s[i] = item_send(!first_sends || i < N / 2 ? side_isend(&l.tx, 0, SIZE, 0) : 0);
	}
	left = first_sends ? r : s;
	if (other_posts)
		wait_both(TX, s, N / 2, RX, r, N / 2, 0, 2);
	if (dereg_first)
		side_deregister(first);
	side_close(first, first_sends);
	if (!dereg_first)
		first->mh = 0; /* the comm took it along; deregMr wants one that lives */
	if (other_posts) {
		for (int i = N / 2; i < N; i++) {
			wait_items(other->rank, &left[i], 1, WAIT_FAILED, END_MS);
			CHECK(left[i].res != (int32_t)ncclInProgress,
			      "a request did not end in %d ms after the peer had closed", END_MS);
			CHECK(left[i].res != (int32_t)ncclNumResults,
			      "test() answered a failed request differently the second time");
			if (left[i].res == (int32_t)ncclSuccess)
				continue;
			EXPECT(left[i].res, ncclRemoteError, "test after the peer has closed");
			errors++;
		}
		CHECK(errors > 0, "requests without a peer all ended well");
	}
	side_deregister(other);
	side_close(other, !first_sends);
	link_exchange(&alive, MIB, 5);
	link_close(&alive);
}

static void send_first(void)
{
	close_in_flight(true, true, true);
}

static void recv_first(void)
{
	close_in_flight(false, true, true);
}

static void send_first_at_once(void)
{
	close_in_flight(true, true, false);
}

static void recv_first_at_once(void)
{
	close_in_flight(false, true, false);
}

/* Both at the same time, from both service threads. */
static void both(void)
{
	static struct call c[2];
	struct link l;

	for (int round = 0; round < 5; round++) {
		link_open(&l, TX, RX, SIZE);
		for (int i = 0; i < N; i++) {
			side_irecv(&l.rx, 0, SIZE, 0);
			side_isend(&l.tx, 0, SIZE, 0);
		}
		side_deregister(&l.tx);
		side_deregister(&l.rx);
		c[0] = (struct call){ .a = { l.tx.comm } };
		c[1] = (struct call){ .a = { l.rx.comm } };
		rank_begin(TX, &c[0], ON_SERVICE, OP_CLOSE_SEND);
		if (TX == RX)
			rank_finish(TX, ON_SERVICE);
		rank_begin(RX, &c[1], ON_SERVICE, OP_CLOSE_RECV);
		rank_finish(TX, ON_SERVICE);
		rank_finish(RX, ON_SERVICE);
		EXPECT(c[0].res, ncclSuccess, "closeSend");
		EXPECT(c[1].res, ncclSuccess, "closeRecv");
	}
}

/* What was sent and reported done arrives, though the sender has closed and gone. */
static void after_done(void)
{
	struct item s, r;
	struct link l;

	link_open(&l, TX, RX, SIZE);
	side_fill(&l.tx, 0, 20000, 3);
	s = item_send(side_isend(&l.tx, 0, 20000, 0));
	wait_items(TX, &s, 1, 0, 200);
	r = item_recv(&l.rx, side_irecv(&l.rx, 0, SIZE, 0));
	if (s.res == (int32_t)ncclInProgress)
		wait_both(TX, &s, 1, RX, &r, 1, 0, END_MS);
	item_expect(&s, ncclSuccess, -1);
	side_deregister(&l.tx);
	side_close(&l.tx, true);
	if (!r.done)
		wait_items(RX, &r, 1, 0, END_MS);
	item_expect(&r, ncclSuccess, 20000);
	side_check(&l.rx, 0, 20000, 3);
	side_deregister(&l.rx);
	side_close(&l.rx, false);
}

/* Comms that carried nothing, in both orders; the listener closed last. */
static void unused(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	struct link l;

	for (int i = 0; i < 4; i++) {
		link_connect(&l, TX, RX, 0);
		side_close(i & 1 ? &l.rx : &l.tx, !(i & 1));
		side_close(i & 1 ? &l.tx : &l.rx, i & 1);
	}
	rank_close_listen(RX, rank_listen(RX, handle));
}

const struct conf_case cases_close[] = {
	{ "close.unused", "comms that carried nothing, in each order", unused, 0, 0 },
	{ "close.after_done", "what was reported sent arrives after closeSend", after_done, 0, 0 },
	{ "close.send_first", "closeSend in flight; the receiver learns of it", send_first, 0, 60 },
	{ "close.recv_first", "closeRecv in flight; the sender learns of it", recv_first, 0, 60 },
	{ "close.send_at_once", "closeSend in flight, then closeRecv at once", send_first_at_once,
	  0, 0 },
	{ "close.recv_at_once", "closeRecv in flight, then closeSend at once", recv_first_at_once,
	  0, 0 },
	{ "close.both", "both sides close at the same time, in flight", both, 0, 0 },
	{ 0 },
};
