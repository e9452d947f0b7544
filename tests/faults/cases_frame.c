// SPDX-License-Identifier: BSD-3-Clause
/*
 * A connection whose messages come in frames, and a peer with the right nonce that then sends nonsense, or the right thing in odd
 * pieces: the receiving comm takes what is good, ends with an error otherwise, and no byte lands outside the posted receive.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"
#include "raw.h"

#define BUF  65536
#define POST 10000 /* size of the posted receives */
#define AT   20000 /* where in the buffer */

static struct raw_conn peer;
static struct side rx;
static void *listener;
static char handle[NCCL_NET_HANDLE_MAXSIZE];

static void begin(int n_socks)
{
	void *recv;

	plug_open();
	do_listen(handle, &listener);
	raw_frames = true;
	raw_connect(&peer, handle, listener, n_socks, &recv);
	raw_frames = false;
	CHECK(peer.frames);
	side_open(&rx, recv, BUF);
}

static void finish(void)
{
	side_close(&rx, false);
	CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
	plug_close();
}

static void end(void)
{
	raw_close(&peer, false);
	finish();
}

static void *post_at(size_t at)
{
	void *req;

	CHECK_EQ(do_irecv(&rx, at, POST, &req, ERROR_MS), ncclSuccess);
	return req;
}

static void frame(int sock, struct wire_frame f)
{
	if (!f.magic)
		f.magic = WIRE_MAGIC;
	wire_frame_swap(&f);
	raw_send(peer.data[sock], &f, sizeof(f));
}

static void failed(void *req, ncclResult_t want)
{
	int done = 0;
	void *again;
	size_t i;

	CHECK_EQ(wait_one(req, NULL, ERROR_MS), want);
	for (i = 0; i < BUF; i++)
		if ((i < AT || i >= AT + POST) && rx.buf[i] != 0xee)
			FAIL("byte %zu outside the posted receive was written", i);
	CHECK_EQ(plug.net->test(req, &done, NULL), want);
	CHECK_EQ(done, 0);
	CHECK_EQ(do_irecv(&rx, AT, POST, &again, ERROR_MS), want);
	plug_expect_log("WARN");
}

/* One receive posted, then this frame: an error. */
static void one_frame(struct wire_frame f, ncclResult_t want)
{
	void *req;

	begin(2);
	req = post_at(AT);
	frame(0, f);
	failed(req, want);
	end();
}

/* A message of 8000 bytes has begun with 4000 on socket 0, then this one. */
static void second_frame(struct wire_frame f, ncclResult_t want)
{
	uint8_t body[4000] = { 0 };
	void *req;

	begin(2);
	req = post_at(AT);
	frame(0, (struct wire_frame){ .len = 4000, .total = 8000 });
	raw_send(peer.data[0], body, sizeof(body));
	frame(1, f);
	failed(req, want);
	end();
}

/* The control: parts over two sockets, the later one first; an empty message; one in a single byte at a time. */
static void valid(void)
{
	uint8_t body[POST];
	struct wire_frame f = { .magic = WIRE_MAGIC, .seq = 2, .len = 300, .total = 300 };
	void *req[3];
	int size;
	size_t i;

	begin(2);
	pattern_fill(body, POST, 3);
	req[0] = post_at(AT);
	req[1] = post_at(AT);
	frame(1, (struct wire_frame){ .len = 4000, .offset = 5000, .total = 9000 });
	raw_send(peer.data[1], body + 5000, 4000);
	CHECK_EQ(wait_one(req[0], NULL, 20), ncclInProgress);
	frame(1, (struct wire_frame){ .seq = 1 });
	frame(0, (struct wire_frame){ .len = 5000, .total = 9000 });
	raw_send(peer.data[0], body, 5000);
	CHECK_EQ(wait_one(req[0], &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 9000);
	pattern_check(rx.buf + AT, 9000, 3);
	CHECK_EQ(wait_one(req[1], &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 0);

	req[2] = post_at(AT);
	wire_frame_swap(&f);
	for (i = 0; i < sizeof(f); i++) {
		raw_send(peer.data[0], (uint8_t *)&f + i, 1);
		CHECK_EQ(wait_one(req[2], NULL, 1), ncclInProgress);
	}
	for (i = 0; i < 299; i++)
		raw_send(peer.data[0], body + i, 1);
	CHECK_EQ(wait_one(req[2], NULL, 20), ncclInProgress);
	raw_send(peer.data[0], body + 299, 1);
	CHECK_EQ(wait_one(req[2], &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 300);
	pattern_check(rx.buf + AT, 300, 3);
	end();
}

/* Many messages in one piece, before any receive is posted: nothing is lost, and they come in order. */
static void early(void)
{
	enum { N = 30, LEN = 700 };
	uint8_t out[N * (sizeof(struct wire_frame) + LEN)];
	uint8_t *p = out;
	void *req[N];
	uint32_t i;
	int size;

	begin(1);
	for (i = 0; i < N; i++) {
		struct wire_frame f = { .magic = WIRE_MAGIC, .seq = i, .len = LEN, .total = LEN };

		wire_frame_swap(&f);
		memcpy(p, &f, sizeof(f));
		pattern_fill(p + sizeof(f), LEN, i);
		p += sizeof(f) + LEN;
	}
	raw_send(peer.data[0], out, sizeof(out));
	for (i = 0; i < N; i++)
		req[i] = post_at((size_t)i * 1000);
	for (i = 0; i < N; i++) {
		CHECK_EQ(wait_one(req[i], &size, ERROR_MS), ncclSuccess);
		CHECK_EQ(size, LEN);
		pattern_check(rx.buf + (size_t)i * 1000, LEN, i);
	}
	end();
}

/* A sender's sends are done as sockets take them, so one socket may be many messages ahead of the other, more than there are requests. */
static void far_ahead(void)
{
	enum { N = 100, LEN = 700 };
	uint8_t body[LEN];
	uint32_t i;
	void *req;
	int size;

	begin(2);
	pattern_fill(body, LEN, N);
	frame(0, (struct wire_frame){ .seq = N, .len = LEN, .total = LEN });
	raw_send(peer.data[0], body, LEN);
	for (i = 0; i < N; i++) {
		req = post_at(AT);
		CHECK_EQ(wait_one(req, NULL, 1), ncclInProgress);
		pattern_fill(body, LEN, i);
		frame(1, (struct wire_frame){ .seq = i, .len = LEN, .total = LEN });
		raw_send(peer.data[1], body, LEN);
		CHECK_EQ(wait_one(req, &size, ERROR_MS), ncclSuccess);
		CHECK_EQ(size, LEN);
		pattern_check(rx.buf + AT, LEN, i);
	}
	req = post_at(AT);
	CHECK_EQ(wait_one(req, &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, LEN);
	pattern_check(rx.buf + AT, LEN, N);
	end();
}

static void magic(void)
{
	one_frame((struct wire_frame){ .magic = 0x12345678, .len = 8, .total = 8 },
		  ncclRemoteError);
}

static void oversize(void)
{
	one_frame((struct wire_frame){ .len = 100, .total = POST + 1 }, ncclInvalidUsage);
}

static void oversize_max(void)
{
	one_frame((struct wire_frame){ .len = 100, .total = UINT64_MAX }, ncclInvalidUsage);
}

static void len_beyond(void)
{
	one_frame((struct wire_frame){ .len = 101, .total = 100 }, ncclRemoteError);
}

static void len_max(void)
{
	one_frame((struct wire_frame){ .len = UINT32_MAX, .total = 100 }, ncclRemoteError);
}

static void offset_beyond(void)
{
	one_frame((struct wire_frame){ .len = 1, .offset = 100, .total = 100 }, ncclRemoteError);
}

static void offset_wild(void)
{
	one_frame((struct wire_frame){ .len = 100, .offset = UINT64_MAX - 50, .total = 8000 },
		  ncclRemoteError);
}

/* No progress in it: a peer could send such for ever. */
static void empty_part(void)
{
	one_frame((struct wire_frame){ .len = 0, .total = 100 }, ncclRemoteError);
}

static void seq_wild(void)
{
	one_frame((struct wire_frame){ .seq = 0x80000000, .len = 8, .total = 8 }, ncclRemoteError);
}

static void seq_old(void)
{
	one_frame((struct wire_frame){ .seq = UINT32_MAX, .len = 8, .total = 8 }, ncclRemoteError);
}

static void total_changes(void)
{
	second_frame((struct wire_frame){ .len = 4000, .offset = 4000, .total = 8001 },
		     ncclRemoteError);
}

static void surplus(void)
{
	second_frame((struct wire_frame){ .len = 4001, .offset = 3999, .total = 8000 },
		     ncclRemoteError);
}

/* One more part of a message that is whole. */
static void after_whole(void)
{
	uint8_t body[100] = { 0 };
	void *req[2];

	begin(1);
	req[0] = post_at(AT);
	req[1] = post_at(AT);
	frame(0, (struct wire_frame){ .len = 100, .total = 100 });
	raw_send(peer.data[0], body, sizeof(body));
	frame(0, (struct wire_frame){ .len = 100, .total = 100 });
	raw_send(peer.data[0], body, sizeof(body));
	failed(req[1], ncclRemoteError);
	end();
}

/* What the stream ends in. */
static void ends(size_t head, size_t body, bool reset)
{
	struct wire_frame f = { .magic = WIRE_MAGIC, .len = 8000, .total = 8000 };
	uint8_t zero[8000] = { 0 };
	void *req;

	begin(2);
	req = post_at(AT);
	wire_frame_swap(&f);
	if (head)
		raw_send(peer.data[0], &f, head);
	if (body)
		raw_send(peer.data[0], zero, body);
	raw_close(&peer, reset);
	failed(req, ncclRemoteError);
	plug_expect_log("peer process ended or closed");
	finish();
}

static void end_at_once(void)
{
	ends(0, 0, false);
}

static void end_in_head(void)
{
	ends(10, 0, false);
}

static void end_in_body(void)
{
	ends(sizeof(struct wire_frame), 4000, false);
}

static void reset_in_body(void)
{
	ends(sizeof(struct wire_frame), 4000, true);
}

/* The end of the stream is no error for what came before it. */
static void end_after_whole(void)
{
	uint8_t body[500];
	void *req;
	int size;

	begin(2);
	pattern_fill(body, sizeof(body), 9);
	frame(1, (struct wire_frame){ .len = 500, .total = 500 });
	raw_send(peer.data[1], body, sizeof(body));
	raw_close(&peer, false);
	req = post_at(AT);
	CHECK_EQ(wait_one(req, &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 500);
	pattern_check(rx.buf + AT, 500, 9);
	CHECK_EQ(wait_one(post_at(AT), NULL, ERROR_MS), ncclRemoteError);
	finish();
}

/* Either side can do without: then the control socket tells of messages, and all works. */
static void refused_by(const char *value)
{
	struct nccl_devmem_counters c;
	struct pair p;

	env_set("NCCL_DEVMEM_FRAMES", value);
	plug_open();
	pair_open(&p, 64 << 10);
	pair_exchange(&p, 100, 1);
	pair_exchange(&p, 40000, 2);
	plug_counters(&c);
	/* Only in the control stream does payload travel inline. */
	CHECK_EQ(c.sent_inline, strcmp(value, "0") ? 0 : 100);
	pair_close(&p);
	plug_close();
}

static void off(void)
{
	refused_by("0");
}

static void on(void)
{
	refused_by("1");
}

/* A peer that does not offer frames is not sent into them. */
static void not_offered(void)
{
	void *recv;

	plug_open();
	do_listen(handle, &listener);
	raw_connect(&peer, handle, listener, 1, &recv);
	CHECK(!peer.frames);
	side_open(&rx, recv, BUF);
	end();
}

#define F(fn)                                   \
	{                                       \
		.name = "frame." #fn, .run = fn \
	}
const struct fault_case cases_frame[] = {
	F(valid),
	F(early),
	F(magic),
	F(oversize),
	F(oversize_max),
	F(len_beyond),
	F(len_max),
	F(offset_beyond),
	F(offset_wild),
	F(empty_part),
	F(seq_wild),
	F(far_ahead),
	F(seq_old),
	F(total_changes),
	F(surplus),
	F(after_whole),
	F(end_at_once),
	F(end_in_head),
	F(end_in_body),
	F(reset_in_body),
	F(end_after_whole),
	F(off),
	F(on),
	F(not_offered),
	{ 0 },
};
