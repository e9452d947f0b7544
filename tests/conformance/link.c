// SPDX-License-Identifier: BSD-3-Clause
/* Connections of a case, and what goes over them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rank.h"

uint64_t rank_listen(struct rank *r, uint8_t handle[NCCL_NET_HANDLE_MAXSIZE])
{
	struct call c = { .a = { r->ctx, (uint64_t)r->dev, 0 } };

	rank_call(r, &c, ON_SERVICE, OP_LISTEN);
	EXPECT(c.res, ncclSuccess, "listen");
	CHECK(c.a[0], "listen succeeded without a comm");
	memcpy(handle, c.data, NCCL_NET_HANDLE_MAXSIZE);
	return c.a[0];
}

ncclResult_t rank_connect(struct rank *r, uint8_t handle[NCCL_NET_HANDLE_MAXSIZE], int ms,
			  uint64_t *ret_comm)
{
	struct call c = { .len = NCCL_NET_HANDLE_MAXSIZE,
			  .a = { r->ctx, (uint64_t)r->dev, 0, (uint64_t)ms } };

	memcpy(c.data, handle, NCCL_NET_HANDLE_MAXSIZE);
	rank_call(r, &c, ON_SERVICE, OP_CONNECT);
	memcpy(handle, c.data, NCCL_NET_HANDLE_MAXSIZE);
	CHECK(c.res != (int)ncclNumResults, "connect set *dev_handle, which NCCL would follow");
	*ret_comm = c.a[0];
	return (ncclResult_t)c.res;
}

ncclResult_t rank_accept(struct rank *r, uint64_t listen, int ms, uint64_t *ret_comm)
{
	struct call c = { .a = { listen, 0, 0, (uint64_t)ms } };

	rank_call(r, &c, ON_SERVICE, OP_ACCEPT);
	CHECK(c.res != (int)ncclNumResults,
	      "accept filled the device handle without a comm, or not as its type says");
	*ret_comm = c.a[0];
	return (ncclResult_t)c.res;
}

void rank_close_listen(struct rank *r, uint64_t listen)
{
	struct call c = { .a = { listen } };

	rank_call(r, &c, ON_SERVICE, OP_CLOSE_LISTEN);
	EXPECT(c.res, ncclSuccess, "closeListen");
}

/* As NCCL does it: both sides poll, each on its own service thread; the listener goes when accept has its comm. */
void link_connect(struct link *l, struct rank *tx, struct rank *rx, size_t misalign)
{
	static struct call con, acc;
	uint64_t listen;

	memset(l, 0, sizeof(*l));
	l->tx.rank = tx;
	l->rx.rank = rx;
	con = (struct call){ .a = { rx->ctx, (uint64_t)rx->dev, misalign } };
	rank_call(rx, &con, ON_SERVICE, OP_LISTEN);
	EXPECT(con.res, ncclSuccess, "listen");
	CHECK(con.a[0], "listen succeeded without a comm");
	listen = con.a[0];
	con.a[0] = tx->ctx;
	con.a[1] = (uint64_t)tx->dev;
	con.a[2] = misalign;
	con.a[3] = END_MS;
	acc = (struct call){ .a = { listen, 0, 0, END_MS } };
	rank_begin(tx, &con, ON_SERVICE, OP_CONNECT);
	rank_begin(rx, &acc, ON_SERVICE, OP_ACCEPT);
	rank_finish(tx, ON_SERVICE);
	rank_finish(rx, ON_SERVICE);
	CHECK(con.res != (int)ncclNumResults, "connect set *dev_handle, which NCCL would follow");
	EXPECT(con.res, ncclSuccess, "connect");
	EXPECT(acc.res, ncclSuccess, "accept");
	CHECK(con.a[0] && acc.a[0], "no connection within %d ms", END_MS);
	l->tx.comm = con.a[0];
	l->rx.comm = acc.a[0];
	rank_close_listen(rx, listen);
}

uint64_t side_register(struct rank *r, uint64_t comm, uint64_t buf, size_t size)
{
	int type = conf.memory == MEMORY_CUDA ? NCCL_PTR_CUDA : NCCL_PTR_HOST;
	struct call c = { .a = { comm, buf, size, (uint64_t)type } };
	struct call fd = { .a = { buf } };

	rank_call(r, &fd, ON_APP, OP_DUP_DMABUF);
	if (fd.res == 0) {
		c.a[3] = 0;
		c.a[4] = fd.a[0];
		rank_call(r, &c, ON_SERVICE, OP_REG_DMABUF);
		EXPECT(c.res, ncclSuccess, "regMrDmaBuf");
	} else {
		rank_call(r, &c, ON_SERVICE, OP_REG);
		EXPECT(c.res, ncclSuccess, "regMr");
	}
	CHECK(c.a[0], "a registration without an mhandle: NCCL takes it for a refusal");
	return c.a[0];
}

void side_deregister(struct side *s)
{
	struct call c = { .a = { s->comm, s->mh } };

	if (!s->mh)
		return;
	rank_call(s->rank, &c, ON_SERVICE, OP_DEREG);
	EXPECT(c.res, ncclSuccess, "deregMr");
	s->mh = 0;
}

void link_open(struct link *l, struct rank *tx, struct rank *rx, size_t size)
{
	struct side *sides[2] = { &l->tx, &l->rx };

	link_connect(l, tx, rx, 0);
	for (int i = 0; i < 2; i++) {
		sides[i]->size = size;
		sides[i]->buf = rank_alloc(sides[i]->rank, size, 0);
		sides[i]->mh = side_register(sides[i]->rank, sides[i]->comm, sides[i]->buf, size);
	}
}

void side_close(struct side *s, bool sends)
{
	struct call c = { .a = { s->comm } };

	if (!s->comm)
		return;
	rank_call(s->rank, &c, ON_SERVICE, sends ? OP_CLOSE_SEND : OP_CLOSE_RECV);
	EXPECT(c.res, ncclSuccess, sends ? "closeSend" : "closeRecv");
	s->comm = 0;
}

void link_close(struct link *l)
{
	side_deregister(&l->tx);
	side_deregister(&l->rx);
	side_close(&l->tx, true);
	side_close(&l->rx, false);
}

ncclResult_t side_post(struct side *s, bool sends, size_t off, size_t size, int tag,
		       uint64_t preset, int ms, uint64_t *ret_req)
{
	struct call c = { .a = { s->comm, s->buf + off, size, (uint64_t)(int64_t)tag, s->mh,
				 (uint64_t)ms, preset } };

	rank_call(s->rank, &c, ON_PROGRESS, sends ? OP_ISEND : OP_IRECV);
	*ret_req = c.a[0];
	return (ncclResult_t)c.res;
}

uint64_t side_isend(struct side *s, size_t off, size_t size, int tag)
{
	uint64_t req;

	EXPECT(side_post(s, true, off, size, tag, 0, END_MS, &req), ncclSuccess, "isend");
	CHECK(req, "isend gave no request within %d ms", END_MS);
	return req;
}

uint64_t side_irecv(struct side *s, size_t off, size_t size, int tag)
{
	uint64_t req;

	EXPECT(side_post(s, false, off, size, tag, 0, END_MS, &req), ncclSuccess, "irecv");
	CHECK(req, "irecv gave no request within %d ms", END_MS);
	return req;
}

void side_fill(struct side *s, size_t off, size_t size, uint64_t seed)
{
	struct call c = { .a = { s->buf + off, size, seed } };

	rank_call(s->rank, &c, ON_APP, OP_FILL);
}

void side_check(struct side *s, size_t off, size_t size, uint64_t seed)
{
	struct call c = { .a = { s->buf + off, size, seed } };

	rank_call(s->rank, &c, ON_APP, OP_CHECK);
	CHECK(c.a[0] == CHECK_RIGHT, "byte %llu of %zu is wrong", (unsigned long long)c.a[0], size);
}

struct item item_send(uint64_t req)
{
	return (struct item){ .req = req };
}

struct item item_recv(const struct side *s, uint64_t req)
{
	return (struct item){ .req = req, .comm = s->comm };
}

static void wait_prepare(struct call *c, const struct item *items, size_t n, uint64_t flags, int ms)
{
	CHECK(n <= ITEMS_MAX, "more requests than the harness can follow");
	c->a[0] = (uint64_t)ms;
	c->a[1] = flags;
	c->len = (uint32_t)(n * sizeof(*items));
	memcpy(c->data, items, c->len);
}

void wait_items(struct rank *r, struct item *items, size_t n, uint64_t flags, int ms)
{
	static struct call c;

	wait_prepare(&c, items, n, flags, ms);
	rank_call(r, &c, ON_PROGRESS, OP_WAIT);
	memcpy(items, c.data, n * sizeof(*items));
}

void wait_both(struct rank *tx, struct item *sends, size_t n_sends, struct rank *rx,
	       struct item *recvs, size_t n_recvs, uint64_t flags, int ms)
{
	static struct call s, r;

	wait_prepare(&s, sends, n_sends, flags, ms);
	wait_prepare(&r, recvs, n_recvs, flags, ms);
	rank_begin(tx, &s, ON_PROGRESS, OP_WAIT);
	rank_begin(rx, &r, ON_PROGRESS, OP_WAIT);
	rank_finish(tx, ON_PROGRESS);
	rank_finish(rx, ON_PROGRESS);
	memcpy(sends, s.data, n_sends * sizeof(*sends));
	memcpy(recvs, r.data, n_recvs * sizeof(*recvs));
}

void item_expect(const struct item *it, ncclResult_t res, int size)
{
	const char *what = it->comm ? "test of a receive" : "test of a send";

	if (it->res == (int32_t)ncclInProgress && res != ncclInProgress)
		FAIL("%s did not end", what);
	EXPECT(it->res, res, what);
	if (res == ncclSuccess && size >= 0)
		CHECK(it->size == size, "%s: size %d, expected %d", what, it->size, size);
}

void link_exchange(struct link *l, size_t size, uint64_t seed)
{
	struct item s, r;

	side_fill(&l->tx, 0, size, seed);
	r = item_recv(&l->rx, side_irecv(&l->rx, 0, l->rx.size, 1));
	s = item_send(side_isend(&l->tx, 0, size, 1));
	wait_both(l->tx.rank, &s, 1, l->rx.rank, &r, 1, 0, END_MS);
	item_expect(&s, ncclSuccess, -1);
	item_expect(&r, ncclSuccess, (int)size);
	side_check(&l->rx, 0, size, seed);
}

void streams_begin(struct stream_set *set)
{
	for (int i = 0; i < 2; i++) {
		set->calls[i] = calloc(1, sizeof(struct call));
		CHECK(set->calls[i], "no memory");
	}
}

static void stream_add_end(struct call *c, const struct side *s, struct stream stream)
{
	struct stream *streams = (struct stream *)c->data;
	size_t n = c->len / sizeof(stream);

	CHECK(n < STREAMS_MAX, "more streams than the harness can follow");
	stream.comm = s->comm;
	stream.buf = s->buf;
	stream.mhandle = s->mh;
	streams[n] = stream;
	c->len += sizeof(stream);
}

void streams_add(struct stream_set *set, struct link *l, uint32_t n, uint32_t depth,
		 size_t max_size, uint32_t seed, uint32_t flags)
{
	struct stream s = {
		.slot = l->tx.size / depth / 16 * 16,
		.max_size = max_size,
		.n = n,
		.depth = depth,
		.seed = seed,
		.flags = flags,
	};

	CHECK(s.slot >= max_size, "buffer too small for %u messages of %zu", depth, max_size);
	stream_add_end(set->calls[l->rx.rank->number], &l->rx, s);
	s.flags |= STREAM_SEND;
	s.flags &= ~(uint32_t)(STREAM_NO_SIZES | STREAM_OPTIONAL | STREAM_FLUSH | STREAM_LAZY);
	stream_add_end(set->calls[l->tx.rank->number], &l->tx, s);
}

void streams_start(struct stream_set *set, int ms)
{
	for (int i = 0; i < n_ranks; i++) {
		set->calls[i]->a[0] = (uint64_t)ms;
		rank_begin(&ranks[i], set->calls[i], ON_PROGRESS, OP_STREAMS);
	}
}

/* For who looks at a failure. */
static void streams_print(const struct call *c, int rank)
{
	const struct stream *s = (const struct stream *)c->data;

	for (size_t k = 0; k < c->len / sizeof(*s); k++)
		if (s[k].wrong[0])
			printf("rank %d, %s %zu: %u of %u done, %u NULLs, at most %u in flight\n",
			       rank, s[k].flags & STREAM_SEND ? "send" : "receive", k, s[k].done,
			       s[k].n, s[k].nulls, s[k].most);
}

static void streams_judge(struct call *c, int rank, int pass)
{
	struct stream *s = (struct stream *)c->data;

	for (size_t k = 0; k < c->len / sizeof(*s); k++) {
		if (s[k].res == (int32_t)ncclInProgress && !pass)
			continue;
		CHECK(!s[k].wrong[0], "rank %d, %s %zu, seed %u, %u of %u done: %s (%s)", rank,
		      s[k].flags & STREAM_SEND ? "send" : "receive", k, s[k].seed, s[k].done,
		      s[k].n, s[k].wrong, net_result_name((ncclResult_t)s[k].res));
	}
}

void streams_finish(struct stream_set *set)
{
	for (int i = 0; i < n_ranks; i++)
		rank_finish(&ranks[i], ON_PROGRESS);
	for (int i = 0; i < n_ranks; i++)
		streams_print(set->calls[i], i);
	/* What went wrong before what only did not end because of it. */
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < n_ranks; i++)
			streams_judge(set->calls[i], i, pass);
	for (int i = 0; i < 2; i++)
		free(set->calls[i]);
}

void streams_run(struct stream_set *set, int ms)
{
	streams_start(set, ms);
	streams_finish(set);
}
