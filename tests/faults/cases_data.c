// SPDX-License-Identifier: BSD-3-Clause
/* Every byte in its place: sizes around each limit, many sockets, small chunks and buffers, order of completion. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "plug.h"

#define SLOTS	 32
#define SLOT_MAX (1 << 20)

enum order { ORDER_FIFO, ORDER_LIFO, ORDER_RANDOM };

/* One direction of a flow: messages [done, posted) are in flight, message n in slot n % SLOTS. */
struct flow {
	uint32_t posted;
	uint32_t done;
	void *req[SLOTS];
	bool finished[SLOTS];
};

static void flow_post(struct flow *f, struct side *s, bool send, size_t size)
{
	size_t at = (size_t)(f->posted % SLOTS) * SLOT_MAX;
	void *req = NULL, *data = s->buf + at;
	int tag = 1;
	ncclResult_t r;

	if (send)
		pattern_fill(s->buf + at, size, f->posted);
	else
		memset(s->buf + at, 0xee, SLOT_MAX);
	r = send ? plug.net->isend(s->comm, data, size, tag, s->mh, NULL, &req)
		 : plug.net->irecv(s->comm, 1, &data, &size, &tag, &s->mh, NULL, &req);
	CHECK_EQ(r, ncclSuccess);
	if (!req)
		return;
	f->req[f->posted % SLOTS] = req;
	f->finished[f->posted % SLOTS] = false;
	f->posted++;
}

/* Tests one request of those in flight; @size is what it must report. */
static void flow_test(struct flow *f, struct side *s, bool send, uint32_t n, size_t size,
		      bool null_sizes)
{
	uint32_t slot = n % SLOTS;
	int done = 0, got = -1;

	if (f->finished[slot])
		return;
	CHECK_EQ(plug.net->test(f->req[slot], &done, null_sizes ? NULL : &got), ncclSuccess);
	if (!done)
		return;
	f->finished[slot] = true;
	if (!null_sizes)
		CHECK_EQ(got, size);
	if (send)
		return;
	pattern_check(s->buf + (size_t)slot * SLOT_MAX, size, n);
	if (size < SLOT_MAX)
		CHECK_EQ(s->buf[(size_t)slot * SLOT_MAX + size], 0xee);
}

static uint32_t flow_pick(const struct flow *f, enum order order, uint32_t turn)
{
	uint32_t n = f->posted - f->done;

	switch (order) {
	case ORDER_LIFO:
		return f->posted - 1 - turn % n;
	case ORDER_RANDOM:
		return f->done + (uint32_t)random() % n;
	default:
		return f->done + turn % n;
	}
}

/* @count messages, message i of size_of(i) bytes, all receives of SLOT_MAX, up to @window in flight. */
static void run_flow(size_t (*size_of)(uint32_t i), uint32_t count, uint32_t window,
		     enum order order, bool null_sizes)
{
	int64_t end = ms_now() + 2 * ERROR_MS;
	struct flow tx = { 0 }, rx = { 0 };
	struct pair p;
	uint32_t turn = 0;

	srandom(1);
	plug_open();
	pair_open(&p, (size_t)SLOTS * SLOT_MAX);
	while (rx.done < count || tx.done < count) {
		if (ms_now() > end)
			FAIL("stuck: %u sent, %u received of %u", tx.done, rx.done, count);
		if (rx.posted < count && rx.posted - rx.done < window)
			flow_post(&rx, &p.rx, false, SLOT_MAX);
		if (tx.posted < count && tx.posted - tx.done < window)
			flow_post(&tx, &p.tx, true, size_of(tx.posted));
		if (tx.posted != tx.done) {
			uint32_t n = flow_pick(&tx, order, turn);

			flow_test(&tx, &p.tx, true, n, size_of(n), null_sizes);
		}
		if (rx.posted != rx.done) {
			uint32_t n = flow_pick(&rx, order, turn);

			flow_test(&rx, &p.rx, false, n, size_of(n), null_sizes);
		}
		turn++;
		while (tx.done != tx.posted && tx.finished[tx.done % SLOTS])
			tx.done++;
		while (rx.done != rx.posted && rx.finished[rx.done % SLOTS])
			rx.done++;
	}
	pair_close(&p);
	plug_close();
}

/* Around the inline limit (8 KiB), the chunk size (256 KiB), pages, and small odd ones; zeros in between. */
static size_t size_edges(uint32_t i)
{
	static const size_t edges[] = {
		0,	1,    2,  3,	  7,	  8191,	  8192,	  8193,	    0,	      4095,
		4096,	4097, 0,  65535,  65536,  65537,  131071, 131072,   131073,   0,
		0,	23,   24, 25,	  262143, 262144, 262145, 999999,   SLOT_MAX, SLOT_MAX - 1,
		100001, 13,   0,  524287, 524289, 393216, 1,	  SLOT_MAX,
	};

	return edges[i % (sizeof(edges) / sizeof(edges[0]))];
}

static size_t size_mixed(uint32_t i)
{
	uint32_t x = i * 2654435761U;

	switch (x >> 30) {
	case 0:
		return x % 200;
	case 1:
		return x % 20000;
	case 2:
		return x % 9 ? x % 300000 : 0;
	default:
		return x % SLOT_MAX;
	}
}

static size_t size_zero(uint32_t i)
{
	(void)i;
	return 0;
}

static size_t size_big(uint32_t i)
{
	return SLOT_MAX - i % 3;
}

static size_t size_4k(uint32_t i)
{
	static const size_t edges[] = { 4095, 4096, 4097, 8191, 8193, 12288, 12289, 40961, 409600 };

	return edges[i % (sizeof(edges) / sizeof(edges[0]))];
}

static void socks(const char *n)
{
	env_set("NCCL_DEVMEM_SOCKETS", n);
	run_flow(size_edges, 150, SLOTS, ORDER_FIFO, false);
}

static void socks_1(void)
{
	socks("1");
}

static void socks_2(void)
{
	socks("2");
}

static void socks_3(void)
{
	socks("3");
}

static void socks_7(void)
{
	socks("7");
}

static void socks_16(void)
{
	socks("16");
}

static void in_flight_1(void)
{
	run_flow(size_edges, 100, 1, ORDER_FIFO, false);
}

static void in_flight_32(void)
{
	env_set("NCCL_DEVMEM_SOCKETS", "4");
	run_flow(size_mixed, 300, SLOTS, ORDER_FIFO, false);
}

static void test_backwards(void)
{
	env_set("NCCL_DEVMEM_SOCKETS", "4");
	run_flow(size_mixed, 200, SLOTS, ORDER_LIFO, false);
}

static void test_random(void)
{
	env_set("NCCL_DEVMEM_SOCKETS", "4");
	run_flow(size_edges, 200, SLOTS, ORDER_RANDOM, false);
}

static void sizes_null(void)
{
	run_flow(size_mixed, 100, SLOTS, ORDER_FIFO, true);
}

static void zero_bytes(void)
{
	run_flow(size_zero, 5000, SLOTS, ORDER_FIFO, false);
}

static void big_only(void)
{
	env_set("NCCL_DEVMEM_SOCKETS", "2");
	run_flow(size_big, 100, SLOTS, ORDER_FIFO, false);
}

static void chunk_4k(void)
{
	env_set("NCCL_DEVMEM_CHUNK_SIZE", "4K");
	env_set("NCCL_DEVMEM_SOCKETS", "3");
	run_flow(size_4k, 200, SLOTS, ORDER_FIFO, false);
}

static void chunk_4k_no_inline(void)
{
	env_set("NCCL_DEVMEM_CHUNK_SIZE", "4K");
	env_set("NCCL_DEVMEM_INLINE_MAX", "0");
	env_set("NCCL_DEVMEM_SOCKETS", "16");
	run_flow(size_edges, 100, SLOTS, ORDER_FIFO, false);
}

static void chunk_max(void)
{
	env_set("NCCL_DEVMEM_CHUNK_SIZE", "4M");
	run_flow(size_edges, 100, SLOTS, ORDER_FIFO, false);
}

static void inline_max(void)
{
	env_set("NCCL_DEVMEM_INLINE_MAX", "64K");
	run_flow(size_edges, 200, SLOTS, ORDER_FIFO, false);
}

/* With lo's MTU of 64 KiB a segment would not fit in the buffer, and TCP would wait for its timers at every turn. */
static void ns_ethernet(void)
{
	ns_enter();
	shell("ip link set lo mtu 1500");
}

static void tiny_buffers(void)
{
	ns_ethernet();
	env_set("NCCL_DEVMEM_SNDBUF", "4K");
	env_set("NCCL_DEVMEM_RCVBUF", "4K");
	env_set("NCCL_DEVMEM_SOCKETS", "2");
	run_flow(size_edges, 76, SLOTS, ORDER_FIFO, false);
}

static void tiny_buffers_socks(void)
{
	ns_ethernet();
	env_set("NCCL_DEVMEM_SNDBUF", "4K");
	env_set("NCCL_DEVMEM_RCVBUF", "4K");
	env_set("NCCL_DEVMEM_CHUNK_SIZE", "4K");
	env_set("NCCL_DEVMEM_SOCKETS", "16");
	run_flow(size_mixed, 100, SLOTS, ORDER_RANDOM, false);
}

static void ipv6(void)
{
	ns_enter();
	env_set("NCCL_DEVMEM_FAMILY", "inet6");
	run_flow(size_edges, 76, SLOTS, ORDER_FIFO, false);
}

/* One message larger than any buffer between, with sizes that need 64 bits nowhere but must not wrap at 2^27 or so. */
static void one_large(void)
{
	size_t size = 200 << 20;
	struct pair p;

	env_set("NCCL_DEVMEM_SOCKETS", "2");
	plug_open();
	pair_open(&p, size + 1);
	pair_exchange(&p, size, 1);
	pair_close(&p);
	plug_close();
}

/* The receive is posted long after, or long before, the send. */
static void late_and_early(void)
{
	struct wait w[2];
	struct pair p;
	int i;

	plug_open();
	pair_open(&p, SLOT_MAX);
	for (i = 0; i < 40; i++) {
		size_t size = size_edges((uint32_t)i);
		bool early = i & 1;

		pattern_fill(p.tx.buf, size, (uint32_t)i);
		memset(p.rx.buf, 0xee, SLOT_MAX);
		if (early) {
			CHECK_EQ(do_irecv(&p.rx, 0, SLOT_MAX, &w[0].req, ERROR_MS), ncclSuccess);
			wait_all(w, 1, 10);
			CHECK_EQ(w[0].res, ncclInProgress);
		}
		CHECK_EQ(do_isend(&p.tx, 0, size, &w[1].req, ERROR_MS), ncclSuccess);
		if (!early) {
			wait_all(w + 1, 1, 10);
			CHECK_EQ(do_irecv(&p.rx, 0, SLOT_MAX, &w[0].req, ERROR_MS), ncclSuccess);
		}
		/* A send that is done already has no request any more. */
		if (!early && w[1].res == ncclSuccess)
			wait_all(w, 1, ERROR_MS);
		else
			wait_all(w, 2, ERROR_MS);
		CHECK_EQ(w[0].res, ncclSuccess);
		CHECK_EQ(w[1].res, ncclSuccess);
		CHECK_EQ(w[0].size, size);
		pattern_check(p.rx.buf, size, (uint32_t)i);
	}
	pair_close(&p);
	plug_close();
}

/*
 * Messages so close that they are sent together, and then a pause: nothing stays behind, whichever of them is tested, and whether the
 * last fills a segment or not.
 */
static void burst(const char *socks)
{
	static const size_t sizes[] = { 1, 8192, 60000, 65451, 65483, 131072, 700000, 0 };
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	void *rx[N], *tx[N];
	size_t off, round;
	struct pair p;
	int i, size;

	env_set("NCCL_DEVMEM_SOCKETS", socks);
	plug_open();
	pair_open(&p, 2 << 20);
	for (round = 0; round < 2 * N; round++) {
		int last = (int)(round % N);

		pattern_fill(p.tx.buf, p.tx.size, (uint32_t)round);
		for (i = 0, off = 0; i <= last; off += sizes[i++])
			CHECK_EQ(do_irecv(&p.rx, off, sizes[i], &rx[i], ERROR_MS), ncclSuccess);
		for (i = 0, off = 0; i <= last; off += sizes[i++])
			CHECK_EQ(do_isend(&p.tx, off, sizes[i], &tx[i], ERROR_MS), ncclSuccess);
		/* The sender tests one of them, and no other until that is done. */
		i = round < N ? last : 0;
		for (int t = 0; t < 3; t++)
			if (wait_one(tx[i], NULL, 1) == ncclSuccess) {
				tx[i] = NULL;
				break;
			}
		for (i = 0; i <= last; i++) {
			struct wait w[2] = { { .req = rx[i], .res = ncclInProgress },
					     { .req = tx[i], .res = ncclInProgress } };

			wait_all(w, tx[i] ? 2 : 1, ERROR_MS);
			CHECK_EQ(w[0].res, ncclSuccess);
			CHECK_EQ(w[0].size, sizes[i]);
			CHECK(!tx[i] || w[1].res == ncclSuccess);
		}
		size = (int)off;
		pattern_check(p.rx.buf, (size_t)size, (uint32_t)round);
	}
	pair_close(&p);
	plug_close();
}

static void burst_1(void)
{
	burst("1");
}

static void burst_3(void)
{
	burst("3");
}

#define D(fn)                                  \
	{                                      \
		.name = "data." #fn, .run = fn \
	}
const struct fault_case cases_data[] = {
	D(socks_1),	   D(socks_2),
	D(socks_3),	   D(socks_7),
	D(socks_16),	   D(in_flight_1),
	D(in_flight_32),   D(test_backwards),
	D(test_random),	   D(sizes_null),
	D(zero_bytes),	   D(big_only),
	D(chunk_4k),	   D(chunk_4k_no_inline),
	D(chunk_max),	   D(inline_max),
	D(tiny_buffers),   D(tiny_buffers_socks),
	D(ipv6),	   D(one_large),
	D(late_and_early), D(burst_1),
	D(burst_3),	   { 0 },
};
