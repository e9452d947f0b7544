// SPDX-License-Identifier: BSD-3-Clause
/* Messages: sizes, order, numbers of requests, and all the ways of asking for them. */
#include <string.h>

#include "cases.h"

#define BUFFER (16 * MIB)

/* One after the other, with what lies around the sizes that matter to sockets, pages and chunks. */
static void sizes(void)
{
	static const size_t all[] = { 1,      2,      3,       4,	7,	 8,
				      15,     16,     17,      63,	64,	 127,
				      128,    1000,   1447,    1448,	4095,	 4096,
				      4097,   8192,   65535,   65536,	65537,	 131071,
				      131072, 131073, 1000003, 1048576, 2 << 20, (4 << 20) - 1,
				      4 << 20 };
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		link_exchange(&l, all[i], i + 1);
	/* NCCL's Simple protocol stays below 4 MiB a slice where the GPU unpacks. */
	if (TX->device.device_type == NCCL_NET_DEVICE_HOST)
		link_exchange(&l, 8 << 20, 99);
	link_close(&l);
}

/* Empty messages among others: each ends, in order, with size 0. */
static void empty(void)
{
	struct stream_set set;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	link_exchange(&l, 0, 1);
	link_exchange(&l, 0, 1);
	link_exchange(&l, 5, 2);
	streams_begin(&set);
	streams_add(&set, &l, 400, 16, 100000, 1, STREAM_EMPTY);
	streams_run(&set, END_MS);
	link_close(&l);
}

/* The receive is larger than what comes; what lies behind stays as it was. */
static void shorter(void)
{
	struct item s, r;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (size_t size = 0; size < 300000; size = size * 3 + 1) {
		side_fill(&l.tx, 0, size, size + 1);
		side_fill(&l.rx, size, 65536, 77);
		r = item_recv(&l.rx, side_irecv(&l.rx, 0, size + 65536, 1));
		s = item_send(side_isend(&l.tx, 0, size, 1));
		wait_both(TX, &s, 1, RX, &r, 1, 0, END_MS);
		item_expect(&s, ncclSuccess, -1);
		item_expect(&r, ncclSuccess, (int)size);
		side_check(&l.rx, 0, size, size + 1);
		side_check(&l.rx, size, 65536, 77);
	}
	link_close(&l);
}

/* NCCL_NET_MAX_REQUESTS of them before the first test, on both sides; a GPU that unpacks has a queue of 16. */
static void in_flight(void)
{
	struct item s[NCCL_NET_MAX_REQUESTS], r[NCCL_NET_MAX_REQUESTS];
	const size_t size = BUFFER / NCCL_NET_MAX_REQUESTS;
	int most = RX->device.device_type == NCCL_NET_DEVICE_UNPACK
			   ? NCCL_NET_DEVICE_UNPACK_MAX_QUEUE_DEPTH
			   : NCCL_NET_MAX_REQUESTS;
	int n_s = 0, n_r = 0;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (int i = 0; i < most; i++) {
		size_t off = (size_t)i * size, len = size - (size_t)i;
		uint64_t req;

		side_fill(&l.tx, off, len, (uint64_t)i + 1);
		EXPECT(side_post(&l.rx, false, off, size, 0, 0, 0, &req), ncclSuccess, "irecv");
		CHECK(req, "irecv %d of %d was put off", i + 1, most);
		r[n_r++] = item_recv(&l.rx, req);
		EXPECT(side_post(&l.tx, true, off, len, 0, 0, 0, &req), ncclSuccess, "isend");
		if (req)
			s[n_s++] = item_send(req);
	}
	CHECK(n_s == most, "only %d of %d isends were taken", n_s, most);
	wait_both(TX, s, (size_t)n_s, RX, r, (size_t)n_r, 0, END_MS);
	for (int i = 0; i < n_r; i++) {
		item_expect(&s[i], ncclSuccess, -1);
		item_expect(&r[i], ncclSuccess, (int)size - i);
		side_check(&l.rx, (size_t)i * size, size - (size_t)i, (uint64_t)i + 1);
	}
	link_close(&l);
}

/* Tests sends for @ms and moves those that are not done to the front; how many. */
static int items_unfinished(struct rank *r, struct item *items, int n, int ms)
{
	int left = 0;

	wait_items(r, items, (size_t)n, 0, ms);
	for (int i = 0; i < n; i++) {
		if (items[i].done)
			continue;
		item_expect(&items[i], ncclInProgress, -1);
		items[left++] = items[i];
	}
	return left;
}

/*
 * Sends to a peer that does not receive: each gets a request or NULL, none an error, none blocks. Which send is done
 * when is the plugin's affair (a kernel may report zerocopy sends together), but with the last receive all are.
 */
static void null_requests(void)
{
	struct item s[NCCL_NET_MAX_REQUESTS], r;
	int n = 0, left;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	side_fill(&l.tx, 0, 4 * MIB, 1);
	for (int i = 0; i < NCCL_NET_MAX_REQUESTS; i++) {
		uint64_t req;

		EXPECT(side_post(&l.tx, true, 0, 4 * MIB, 0, 0, 0, &req), ncclSuccess, "isend");
		if (!req)
			break;
		s[n++] = item_send(req);
	}
	CHECK(n > 0, "not one send was taken");
	/* Full, it says so with NULL; this project's plugin does for every further one. */
	for (int i = 0; conf.ours && i < 100; i++) {
		uint64_t req;

		EXPECT(side_post(&l.tx, true, 0, 4 * MIB, 0, 0, 0, &req), ncclSuccess, "isend");
		CHECK(!req, "a request beyond NCCL_NET_MAX_REQUESTS");
	}
	left = n;
	for (int i = 0; i < n; i++) {
		r = item_recv(&l.rx, side_irecv(&l.rx, 0, 4 * MIB, 0));
		for (int ms = 0; ms < END_MS && !r.done; ms += 10) {
			left = items_unfinished(TX, s, left, 5);
			wait_items(RX, &r, 1, 0, 5);
		}
		item_expect(&r, ncclSuccess, 4 * MIB);
		side_check(&l.rx, 0, 4 * MIB, 1);
	}
	left = items_unfinished(TX, s, left, END_MS);
	CHECK(left == 0, "%d of %d sends are not done though all was received", left, n);
	link_exchange(&l, 1234, 3);
	link_close(&l);
	conf_note("%d sends in flight", n);
}

static void run_stream(uint32_t n, uint32_t depth, size_t max, uint32_t flags)
{
	struct stream_set set;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (uint32_t seed = 1; seed <= 3; seed++) {
		streams_begin(&set);
		streams_add(&set, &l, n, depth, max, seed, flags);
		streams_run(&set, END_MS);
	}
	link_close(&l);
}

static void sizes_null(void)
{
	run_stream(100, 8, MIB, STREAM_NO_SIZES);
}

static void optional(void)
{
	if (RX->device.device_type == NCCL_NET_DEVICE_UNPACK)
		SKIP("the preset means LL or LL128, whose kernels do not unpack");
	run_stream(100, 8, MIB, STREAM_OPTIONAL);
}

static void backward(void)
{
	run_stream(100, 16, MIB, STREAM_BACKWARD);
}

static void load(void)
{
	run_stream(1000, 32, 65536, 0);
}

static void large(void)
{
	run_stream(30, 4, 4 * MIB - 16, 0);
}

static void consumed_late(void)
{
	run_stream(200, 8, 256 << 10, STREAM_LAZY);
}

static void flush(void)
{
	run_stream(60, 8, 256 << 10, STREAM_FLUSH);
}

/* Sends are tested newest first, too, one by one, while their receives are posted late. */
static void out_of_order(void)
{
	struct item s[8], r[8];
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (int i = 0; i < 8; i++) {
		side_fill(&l.tx, (size_t)i * MIB, MIB, (uint64_t)i + 1);
		s[i] = item_send(side_isend(&l.tx, (size_t)i * MIB, MIB, i));
	}
	for (int i = 0; i < 8; i++)
		r[i] = item_recv(&l.rx, side_irecv(&l.rx, (size_t)i * MIB, MIB, i));
	wait_both(TX, s, 8, RX, r, 8, WAIT_BACKWARD, END_MS);
	for (int i = 0; i < 8; i++) {
		item_expect(&s[i], ncclSuccess, -1);
		item_expect(&r[i], ncclSuccess, MIB);
		side_check(&l.rx, (size_t)i * MIB, MIB, (uint64_t)i + 1);
	}
	link_close(&l);
}

static void tags(void)
{
	static const int all[] = { 0, 1, 255, 65536, 0x7fffffff, -1, 3, 3, 3 };
	struct item s, r;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		side_fill(&l.tx, 0, 3000, i + 1);
		r = item_recv(&l.rx, side_irecv(&l.rx, 0, 4000, all[i]));
		s = item_send(side_isend(&l.tx, 0, 3000, all[i]));
		wait_both(TX, &s, 1, RX, &r, 1, 0, END_MS);
		item_expect(&s, ncclSuccess, -1);
		item_expect(&r, ncclSuccess, 3000);
		side_check(&l.rx, 0, 3000, i + 1);
	}
	link_close(&l);
}

/* A group of receives, sent in another order: each is found by its tag. */
static void grouped(void)
{
	struct item s[GROUP_MAX], r;
	struct group g = { 0 };
	struct call c = { 0 };
	struct link l;
	int n = RX->device.max_recvs;

	if (n < 2) {
		/* Then a group is refused, not taken for one. */
		link_open(&l, TX, RX, BUFFER);
		g.n = 2;
		for (int i = 0; i < 2; i++) {
			g.data[i] = l.rx.buf + (uint64_t)i * 1000;
			g.sizes[i] = 1000;
			g.tags[i] = i;
			g.mhandles[i] = l.rx.mh;
		}
		c.a[0] = l.rx.comm;
		c.len = sizeof(g);
		memcpy(c.data, &g, sizeof(g));
		rank_call(RX, &c, ON_PROGRESS, OP_IRECV_N);
		CHECK(c.res != (int)ncclSuccess, "maxRecvs is %d, but a group of 2 was taken", n);
		link_exchange(&l, 1000, 1);
		link_close(&l);
		conf_note("maxRecvs 1: a group is refused");
		return;
	}
	n = n > GROUP_MAX ? GROUP_MAX : n;
	link_open(&l, TX, RX, BUFFER);
	g.n = (uint32_t)n;
	for (int i = 0; i < n; i++) {
		g.data[i] = l.rx.buf + (uint64_t)i * 100000;
		g.sizes[i] = 100000;
		g.tags[i] = 10 + i;
		g.mhandles[i] = l.rx.mh;
	}
	c.a[0] = l.rx.comm;
	c.a[5] = END_MS;
	c.len = sizeof(g);
	memcpy(c.data, &g, sizeof(g));
	rank_call(RX, &c, ON_PROGRESS, OP_IRECV_N);
	EXPECT(c.res, ncclSuccess, "irecv of a group");
	for (int i = 0; i < n; i++) {
		size_t off = (size_t)i * 100000, at = (size_t)(n - 1 - i) * 100000;

		side_fill(&l.tx, off, 50000 + (size_t)i, (uint64_t)(n - 1 - i) + 1);
		(void)at;
		s[i] = item_send(side_isend(&l.tx, off, 50000 + (size_t)i, 10 + n - 1 - i));
	}
	r = item_recv(&l.rx, c.a[0]);
	wait_both(TX, s, (size_t)n, RX, &r, 1, 0, END_MS);
	item_expect(&r, ncclSuccess, 50000 + n - 1);
	for (int i = 0; i < n; i++)
		side_check(&l.rx, (size_t)i * 100000, 50000 + (size_t)(n - 1 - i), (uint64_t)i + 1);
	link_close(&l);
}

/* Two comms each way, of random sizes, all at once. */
static void bidirectional(void)
{
	struct stream_set set;
	struct link l[4];
	uint32_t seed;

	for (int i = 0; i < 4; i++)
		link_open(&l[i], i & 1 ? RX : TX, i & 1 ? TX : RX, BUFFER);
	for (seed = 1; seed < 30; seed += 10) {
		streams_begin(&set);
		for (uint32_t i = 0; i < 4; i++)
			streams_add(&set, &l[i], 30, i < 2 ? 4 : 16, i < 2 ? 4 * MIB - 16 : 100000,
				    seed + i, i == 3 ? STREAM_BACKWARD : 0);
		streams_run(&set, 3 * END_MS);
	}
	for (int i = 0; i < 4; i++)
		link_close(&l[i]);
}

/* A receive that is posted, and only later sent to: test() says no until then. */
static void not_before(void)
{
	struct item s, r;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	for (size_t size = 0; size <= 100000; size += 50000) {
		r = item_recv(&l.rx, side_irecv(&l.rx, 0, 100000, 0));
		wait_items(RX, &r, 1, 0, 50);
		CHECK(r.res == (int32_t)ncclInProgress, "a receive ended before the send: %s",
		      net_result_name((ncclResult_t)r.res));
		side_fill(&l.tx, 0, size, size + 1);
		s = item_send(side_isend(&l.tx, 0, size, 0));
		wait_both(TX, &s, 1, RX, &r, 1, 0, END_MS);
		item_expect(&s, ncclSuccess, -1);
		item_expect(&r, ncclSuccess, (int)size);
		side_check(&l.rx, 0, size, size + 1);
	}
	link_close(&l);
}

/* Once a send is done its memory is NCCL's again: what is written there then must not arrive. */
static void send_done(void)
{
	struct item s[8], r[8], rest[8];
	size_t size = 2 * MIB;
	int early = 0, n = 0;
	struct link l;

	link_open(&l, TX, RX, BUFFER);
	/* More than sockets take, and nobody receives yet. */
	for (int i = 0; i < 8; i++) {
		side_fill(&l.tx, (size_t)i * size, size, (uint64_t)i + 1);
		s[i] = item_send(side_isend(&l.tx, (size_t)i * size, size - (size_t)i, 0));
	}
	wait_items(TX, s, 8, 0, 300);
	for (int i = 0; i < 8; i++) {
		if (!s[i].done) {
			rest[n++] = s[i];
			continue;
		}
		side_fill(&l.tx, (size_t)i * size, size, 99);
		early++;
	}
	for (int i = 0; i < 8; i++)
		r[i] = item_recv(&l.rx, side_irecv(&l.rx, (size_t)i * size, size, 0));
	wait_both(TX, rest, (size_t)n, RX, r, 8, 0, END_MS);
	for (int i = 0; i < n; i++)
		item_expect(&rest[i], ncclSuccess, -1);
	for (int i = 0; i < 8; i++) {
		item_expect(&r[i], ncclSuccess, (int)size - i);
		side_check(&l.rx, (size_t)i * size, size - (size_t)i, (uint64_t)i + 1);
	}
	link_close(&l);
	conf_note("%d of 8 sends done before a receive was there", early);
}

const struct conf_case cases_data[] = {
	{ "data.sizes", "1 byte to 8 MiB, one after the other", sizes, 0, 60 },
	{ "data.empty", "0-byte messages among others, in order", empty, 0, 0 },
	{ "data.shorter", "receives larger than what is sent", shorter, 0, 0 },
	{ "data.not_before", "a receive does not end before its send", not_before, 0, 0 },
	{ "data.send_done", "a finished send's memory may be overwritten", send_done, 0, 0 },
	{ "data.in_flight", "32 requests in flight on each side", in_flight, 0, 0 },
	{ "data.null_requests", "a peer that does not receive: NULL requests, nothing lost",
	  null_requests, 0, 60 },
	{ "data.sizes_null", "test with sizes NULL", sizes_null, 0, 0 },
	{ "data.optional", "optional receive completion (0x1 preset)", optional, 0, 0 },
	{ "data.backward", "requests tested newest first", backward, 0, 0 },
	{ "data.out_of_order", "sends before their receives, tested newest first", out_of_order, 0,
	  0 },
	{ "data.tags", "tags of all kinds, repeated ones among them", tags, 0, 0 },
	{ "data.grouped", "grouped receives, matched by tag; refused when maxRecvs is 1", grouped,
	  0, 0 },
	{ "data.consumed_late", "four receives wait to be consumed: their bytes stay",
	  consumed_late, 0, 0 },
	{ "data.flush", "iflush after receives", flush, 0, 0 },
	{ "data.load", "a thousand messages, 32 in flight, random sizes", load, 0, 60 },
	{ "data.large", "messages up to 4 MiB", large, 0, 60 },
	{ "data.bidirectional", "two comms each way at once, random sizes", bidirectional, 0, 120 },
	{ 0 },
};
