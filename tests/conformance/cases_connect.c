// SPDX-License-Identifier: BSD-3-Clause
/* Bringing connections up: never blocking, many at once, many in a row. */
#include <string.h>

#include "cases.h"

#define LATE_MS 600

/* Polls connect for a while with nobody there to accept: no call blocks (rank_call() looks), none fails. */
static void late_accept(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen = rank_listen(RX, handle), tx = 0, rx = 0;
	struct link l = { .tx = { .rank = TX }, .rx = { .rank = RX } };
	static struct call c;
	bool early;

	EXPECT(rank_connect(TX, handle, LATE_MS, &tx), ncclSuccess, "connect");
	/* A plugin whose peer's kernel answers for it may be up without an accept. */
	early = tx != 0;
	c = (struct call){ .len = NCCL_NET_HANDLE_MAXSIZE,
			   .a = { TX->ctx, (uint64_t)TX->dev, 0, END_MS } };
	memcpy(c.data, handle, sizeof(handle));
	if (!early)
		rank_begin(TX, &c, ON_SERVICE, OP_CONNECT);
	EXPECT(rank_accept(RX, listen, END_MS, &rx), ncclSuccess, "accept");
	if (!early) {
		rank_finish(TX, ON_SERVICE);
		EXPECT(c.res, ncclSuccess, "connect");
		tx = c.a[0];
	}
	CHECK(tx && rx, "no connection after the peer came");
	rank_close_listen(RX, listen);
	l.tx.comm = tx;
	l.rx.comm = rx;
	link_close(&l);
}

/* The same the other way round. */
static void late_connect(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen = rank_listen(RX, handle), rx = 0;
	struct link l = { .tx = { .rank = TX }, .rx = { .rank = RX } };
	static struct call c;

	EXPECT(rank_accept(RX, listen, LATE_MS, &rx), ncclSuccess, "accept");
	CHECK(!rx, "accept gave a comm that nobody connected to");
	c = (struct call){ .len = NCCL_NET_HANDLE_MAXSIZE,
			   .a = { TX->ctx, (uint64_t)TX->dev, 0, END_MS } };
	memcpy(c.data, handle, sizeof(handle));
	rank_begin(TX, &c, ON_SERVICE, OP_CONNECT);
	EXPECT(rank_accept(RX, listen, END_MS, &rx), ncclSuccess, "accept");
	rank_finish(TX, ON_SERVICE);
	EXPECT(c.res, ncclSuccess, "connect");
	CHECK(c.a[0] && rx, "no connection after the peer came");
	rank_close_listen(RX, listen);
	l.tx.comm = c.a[0];
	l.rx.comm = rx;
	link_close(&l);
}

/* One call at a time on either side, with time between them: a slow peer. */
static void slow_steps(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen = rank_listen(RX, handle), tx = 0, rx = 0;
	struct link l = { .tx = { .rank = TX }, .rx = { .rank = RX } };
	int steps;

	for (steps = 0; steps < 2000 && !(tx && rx); steps++) {
		if (!tx)
			EXPECT(rank_connect(TX, handle, 0, &tx), ncclSuccess, "connect");
		sleep_ms(10);
		if (!rx)
			EXPECT(rank_accept(RX, listen, 0, &rx), ncclSuccess, "accept");
		sleep_ms(10);
	}
	CHECK(tx && rx, "no connection in %d steps", steps);
	rank_close_listen(RX, listen);
	l.tx.comm = tx;
	l.rx.comm = rx;
	link_close(&l);
	conf_note("%d steps", steps);
}

static void unaligned(void)
{
	struct link l;

	for (size_t misalign = 1; misalign < 16; misalign += 2) {
		link_connect(&l, TX, RX, misalign);
		link_close(&l);
	}
}

/* The listener goes while a peer is on its way: an error for it in bounded time, or a comm that ends with one. */
static void listener_gone(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen = rank_listen(RX, handle), tx = 0;
	ncclResult_t res;

	EXPECT(rank_connect(TX, handle, 0, &tx), ncclSuccess, "connect");
	rank_close_listen(RX, listen);
	res = rank_connect(TX, handle, tx ? 0 : END_MS, &tx);
	if (res == ncclSuccess && !tx)
		FAIL("connect to a listener that is gone neither failed nor came up in %d ms",
		     END_MS);
	if (res != ncclSuccess)
		EXPECT(res, ncclRemoteError, "connect to a listener that is gone");
	if (tx) {
		struct side s = { .rank = TX, .comm = tx };

		side_close(&s, true);
	}
}

static void connect_dead_process(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t tx = 0;
	ncclResult_t res;

	rank_listen(RX, handle);
	rank_kill(RX);
	res = rank_connect(TX, handle, END_MS, &tx);
	if (tx)
		SKIP("the plugin connects without its peer");
	EXPECT(res, ncclRemoteError, "connect to a process that has died");
}

/* NCCL makes one for each channel and peer. */
#define MANY 64
static void many(void)
{
	static struct link l[MANY];
	struct stream_set set;

	for (int i = 0; i < MANY; i++)
		link_open(&l[i], i & 1 ? RX : TX, i & 1 ? TX : RX, 65536);
	streams_begin(&set);
	for (uint32_t i = 0; i < MANY; i++)
		streams_add(&set, &l[i], 20, 4, 16384, i + 1, 0);
	streams_run(&set, 3 * END_MS);
	for (int i = 0; i < MANY; i++)
		link_close(&l[MANY - 1 - i]);
}

/* Many connects are under way before the first accept. */
static void many_pending(void)
{
	static uint8_t handle[MANY][NCCL_NET_HANDLE_MAXSIZE];
	static uint64_t listen[MANY], tx[MANY], rx[MANY];
	int up = 0;

	for (int i = 0; i < MANY; i++)
		listen[i] = rank_listen(RX, handle[i]);
	for (int round = 0; round < 2000 && up < 2 * MANY; round++) {
		for (int i = 0; i < MANY; i++) {
			if (!tx[i]) {
				EXPECT(rank_connect(TX, handle[i], 0, &tx[i]), ncclSuccess,
				       "connect");
				up += tx[i] != 0;
			}
			/* The last first. */
			if (!rx[MANY - 1 - i] && round > 2) {
				EXPECT(rank_accept(RX, listen[MANY - 1 - i], 0, &rx[MANY - 1 - i]),
				       ncclSuccess, "accept");
				up += rx[MANY - 1 - i] != 0;
			}
		}
	}
	CHECK(up == 2 * MANY, "%d of %d sides are up", up, 2 * MANY);
	for (int i = 0; i < MANY; i++) {
		struct side s = { .rank = TX, .comm = tx[i] }, r = { .rank = RX, .comm = rx[i] };

		rank_close_listen(RX, listen[i]);
		side_close(&s, true);
		side_close(&r, false);
	}
}

/* Connect, exchange, close: nothing may grow. The first hundred fill caches and arenas. */
#define ROUNDS	    1000
#define WARM	    100
#define GROWTH_KB   4096
#define GROWTH_HEAP 65536
static void thousand(void)
{
	struct process_state before[2] = { 0 }, after;
	struct link l, kept;

	link_open(&kept, TX, RX, 65536);
	for (int i = 0; i < ROUNDS; i++) {
		if (i == WARM)
			for (int r = 0; r < n_ranks; r++)
				rank_state(&ranks[r], &before[r]);
		link_connect(&l, TX, RX, 0);
		/* The buffers are those of the connection that stays: 2 000 allocations would hide a leak. */
		l.tx.buf = kept.tx.buf;
		l.rx.buf = kept.rx.buf;
		l.tx.size = l.rx.size = 65536;
		l.tx.mh = side_register(TX, l.tx.comm, l.tx.buf, 65536);
		l.rx.mh = side_register(RX, l.rx.comm, l.rx.buf, 65536);
		if (i % 8 == 0)
			link_exchange(&l, 65536, (uint64_t)i + 1);
		link_close(&l);
	}
	for (int r = 0; r < n_ranks; r++) {
		rank_check_state(&ranks[r], &before[r]);
		rank_state(&ranks[r], &after);
		conf_note("heap %+lld bytes, resident %+lld KiB in %d connections",
			  (long long)(after.heap - before[r].heap),
			  (long long)(after.rss_kb - before[r].rss_kb), ROUNDS - WARM);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		CHECK(after.heap - before[r].heap < GROWTH_HEAP, "heap grew by %lld bytes",
		      (long long)(after.heap - before[r].heap));
		CHECK(after.rss_kb - before[r].rss_kb < GROWTH_KB,
		      "resident memory grew by %lld KiB",
		      (long long)(after.rss_kb - before[r].rss_kb));
#endif
	}
	link_close(&kept);
}

/* A connection comes up while others carry data: accept and connect run beside the progress threads. */
static void beside_traffic(void)
{
	struct stream_set set;
	struct link l, extra;

	link_open(&l, TX, RX, 2 * MIB);
	streams_begin(&set);
	streams_add(&set, &l, 300, 8, 256 << 10, 1, 0);
	streams_start(&set, 3 * END_MS);
	for (int i = 0; i < 20; i++) {
		link_connect(&extra, i & 1 ? TX : RX, i & 1 ? RX : TX, 0);
		link_close(&extra);
	}
	streams_finish(&set);
	link_close(&l);
}

const struct conf_case cases_connect[] = {
	{ "connect.late_accept", "connect does not block while the peer does not accept",
	  late_accept, 0, 0 },
	{ "connect.late_connect", "accept does not block while nobody connects", late_connect, 0,
	  0 },
	{ "connect.slow_steps", "one call at a time, with pauses", slow_steps, 0, 0 },
	{ "connect.unaligned", "the handle at odd addresses", unaligned, 0, 0 },
	{ "connect.listener_gone", "closeListen under a connect", listener_gone, 0, 60 },
	{ "connect.dead_process", "connect to a process that has died", connect_dead_process,
	  CASE_PROCESSES | CASE_DIRTY, 60 },
	{ "connect.beside_traffic", "connections come and go beside a busy one", beside_traffic, 0,
	  90 },
	{ "connect.many", "64 comms at once, all busy", many, 0, 90 },
	{ "connect.many_pending", "64 connects under way before the first accept", many_pending, 0,
	  60 },
	{ "connect.thousand", "1 000 connects and closes: no descriptor or memory leaks", thousand,
	  CASE_SLOW, 300 },
	{ 0 },
};
