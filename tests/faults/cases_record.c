// SPDX-License-Identifier: BSD-3-Clause
/*
 * A peer with the right nonce that then sends nonsense: the receiving comm ends with an error, no byte lands outside the posted
 * receive, and nothing crashes.
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
	raw_connect(&peer, handle, listener, n_socks, &recv);
	side_open(&rx, recv, BUF);
}

static void end(void)
{
	raw_close(&peer, false);
	side_close(&rx, false);
	CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
	plug_close();
}

static void *post(void)
{
	void *req;

	CHECK_EQ(do_irecv(&rx, AT, POST, &req, ERROR_MS), ncclSuccess);
	return req;
}

/* Nothing outside [AT, AT + POST) was written. */
static void check_bounds(void)
{
	size_t i;

	for (i = 0; i < BUF; i++)
		if ((i < AT || i >= AT + POST) && rx.buf[i] != 0xee)
			FAIL("byte %zu outside the posted receive was written", i);
}

static void failed(void *req, ncclResult_t want)
{
	int done = 0;
	void *again;

	CHECK_EQ(wait_one(req, NULL, ERROR_MS), want);
	check_bounds();
	/* The same error for ever, from each call. */
	CHECK_EQ(plug.net->test(req, &done, NULL), want);
	CHECK_EQ(done, 0);
	CHECK_EQ(do_irecv(&rx, AT, POST, &again, ERROR_MS), want);
	plug_expect_log("WARN");
}

/* One receive posted, @rec sent: an error. */
static void one_record(struct wire_rec rec, ncclResult_t want)
{
	void *req;

	begin(2);
	req = post();
	raw_rec(&peer, rec);
	failed(req, want);
	end();
}

/* A message of @total bytes is announced properly, then @rec. */
static void after_msg(uint64_t total, struct wire_rec rec, ncclResult_t want)
{
	void *req;

	begin(2);
	req = post();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG, .value = total });
	raw_rec(&peer, rec);
	failed(req, want);
	end();
}

/* The control: what a good peer does is taken. */
static void valid(void)
{
	uint8_t body[POST];
	void *req[2];
	int size;

	begin(2);
	req[0] = post();
	pattern_fill(body, POST, 3);
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG, .value = 9000, .tag = 7 });
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .sock = 1, .len = 5000 });
	raw_rec(&peer,
		(struct wire_rec){ .type = WIRE_CHUNK, .sock = 0, .len = 4000, .value = 5000 });
	raw_send(peer.data[0], body + 5000, 4000);
	raw_send(peer.data[1], body, 5000);
	CHECK_EQ(wait_one(req[0], &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 9000);
	pattern_check(rx.buf + AT, 9000, 3);
	req[1] = post();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG,
					  .flags = WIRE_F_INLINE,
					  .seq = 1,
					  .len = 11,
					  .value = 11 });
	raw_send(peer.ctrl, body, 11);
	CHECK_EQ(wait_one(req[1], &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 11);
	pattern_check(rx.buf + AT, 11, 3);
	end();
}

static void type_0(void)
{
	one_record((struct wire_rec){ .type = 0 }, ncclRemoteError);
}

static void type_255(void)
{
	one_record((struct wire_rec){ .type = 255, .value = 100, .len = 100 }, ncclRemoteError);
}

static void chunk_no_msg(void)
{
	one_record((struct wire_rec){ .type = WIRE_CHUNK, .len = 100 }, ncclRemoteError);
}

static void seq_jump(void)
{
	one_record((struct wire_rec){ .type = WIRE_MSG, .seq = 1, .value = 100 }, ncclRemoteError);
}

static void seq_wild(void)
{
	one_record((struct wire_rec){ .type = WIRE_MSG, .seq = 0xffffffff, .value = 100 },
		   ncclRemoteError);
}

static void inline_len_less(void)
{
	one_record(
		(struct wire_rec){
			.type = WIRE_MSG, .flags = WIRE_F_INLINE, .len = 10, .value = 100 },
		ncclRemoteError);
}

static void inline_len_more(void)
{
	one_record(
		(struct wire_rec){
			.type = WIRE_MSG, .flags = WIRE_F_INLINE, .len = 60000, .value = 100 },
		ncclRemoteError);
}

static void oversize(void)
{
	one_record((struct wire_rec){ .type = WIRE_MSG, .value = POST + 1 }, ncclInvalidUsage);
}

static void oversize_inline(void)
{
	one_record((struct wire_rec){ .type = WIRE_MSG,
				      .flags = WIRE_F_INLINE,
				      .len = POST + 1,
				      .value = POST + 1 },
		   ncclInvalidUsage);
}

static void oversize_max(void)
{
	one_record((struct wire_rec){ .type = WIRE_MSG, .value = UINT64_MAX }, ncclInvalidUsage);
}

static void flags_unknown(void)
{
	one_record((struct wire_rec){ .type = WIRE_MSG, .flags = 0x80, .value = 100 },
		   ncclRemoteError);
}

static void chunk_sock_range(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .sock = 2, .len = 100 },
		  ncclRemoteError);
}

static void chunk_sock_max(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .sock = 65535, .len = 100 },
		  ncclRemoteError);
}

static void chunk_other_seq(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .seq = 1, .len = 100 },
		  ncclRemoteError);
}

/* Same slot of the ring, another message. */
static void chunk_seq_32(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .seq = 32, .len = 100 },
		  ncclRemoteError);
}

static void chunk_empty(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .len = 0 }, ncclRemoteError);
}

static void chunk_beyond(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .len = 8001 }, ncclRemoteError);
}

static void chunk_offset_beyond(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .len = 1, .value = 8000 },
		  ncclRemoteError);
}

static void chunk_offset_wild(void)
{
	after_msg(8000,
		  (struct wire_rec){ .type = WIRE_CHUNK, .len = 100, .value = UINT64_MAX - 50 },
		  ncclRemoteError);
}

static void chunk_len_max(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .len = UINT32_MAX },
		  ncclRemoteError);
}

static void msg_twice(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_MSG, .value = 8000 }, ncclRemoteError);
}

/* Two chunks for the same bytes: the sizes add up, but a part of the message never comes. */
static void chunk_overlap(void)
{
	uint8_t body[8000] = { 0 };
	void *req;

	begin(2);
	req = post();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG, .value = 8000 });
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 4000 });
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .sock = 1, .len = 4000 });
	raw_send(peer.data[0], body, 4000);
	raw_send(peer.data[1], body, 4000);
	failed(req, ncclRemoteError);
	end();
}

static void chunk_gap(void)
{
	after_msg(8000, (struct wire_rec){ .type = WIRE_CHUNK, .len = 100, .value = 4000 },
		  ncclRemoteError);
}

/* More chunks than the message has bytes. */
static void chunk_surplus(void)
{
	uint8_t body[POST] = { 0 };
	void *req[2];

	begin(2);
	req[0] = post();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG, .value = 8000 });
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 8000 });
	raw_send(peer.data[0], body, 8000);
	CHECK_EQ(wait_one(req[0], NULL, ERROR_MS), ncclSuccess);
	req[1] = post();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 100 });
	failed(req[1], ncclRemoteError);
	end();
}

/* A chunk of a message whose bytes all came inline. */
static void chunk_of_inline(void)
{
	void *req[2];

	begin(2);
	req[0] = post();
	req[1] = post();
	raw_rec(&peer, (struct wire_rec){
			       .type = WIRE_MSG, .flags = WIRE_F_INLINE, .len = 4, .value = 4 });
	raw_send(peer.ctrl, "abcd", 4);
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 4 });
	failed(req[1], ncclRemoteError);
	end();
}

/* What the stream ends in; no data or not all of it came. */
static void ends(void (*say)(void), bool reset)
{
	void *req;

	begin(2);
	req = post();
	if (say)
		say();
	raw_close(&peer, reset);
	failed(req, ncclRemoteError);
	plug_expect_log("peer process ended or closed");
	side_close(&rx, false);
	CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
	plug_close();
}

static void say_half_record(void)
{
	struct wire_rec rec = { .type = WIRE_MSG, .value = 100 };

	raw_send(peer.ctrl, &rec, sizeof(rec) / 2);
}

static void say_msg(void)
{
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG, .value = 8000 });
}

static void say_half_inline(void)
{
	raw_rec(&peer,
		(struct wire_rec){
			.type = WIRE_MSG, .flags = WIRE_F_INLINE, .len = 1000, .value = 1000 });
	raw_send(peer.ctrl, "only this", 9);
}

static void say_part(void)
{
	say_msg();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 4000 });
	raw_send(peer.data[0], "some", 4);
}

static void say_all_but_data(void)
{
	say_msg();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 4000 });
	raw_rec(&peer,
		(struct wire_rec){ .type = WIRE_CHUNK, .sock = 1, .len = 4000, .value = 4000 });
	raw_send(peer.data[0], "some", 4);
}

static void end_at_once(void)
{
	ends(NULL, false);
}

static void end_half_record(void)
{
	ends(say_half_record, false);
}

static void end_after_msg(void)
{
	ends(say_msg, false);
}

static void end_half_inline(void)
{
	ends(say_half_inline, false);
}

static void end_part(void)
{
	ends(say_part, false);
}

static void end_data_missing(void)
{
	ends(say_all_but_data, false);
}

static void reset_at_once(void)
{
	ends(NULL, true);
}

static void reset_part(void)
{
	ends(say_part, true);
}

static void reset_data_missing(void)
{
	ends(say_all_but_data, true);
}

/* One data socket alone goes; the control socket stays. */
static void data_sock_closed(void)
{
	void *req;

	begin(2);
	req = post();
	say_all_but_data();
	shutdown(peer.data[1], SHUT_RDWR);
	failed(req, ncclRemoteError);
	end();
}

/* All is told and sent before the peer goes: nothing is lost. */
static void complete_then_closed(void)
{
	uint8_t body[8000];
	void *req;
	int size;

	begin(2);
	req = post();
	pattern_fill(body, sizeof(body), 4);
	say_msg();
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK, .len = 8000 });
	raw_send(peer.data[0], body, 8000);
	raw_close(&peer, false);
	CHECK_EQ(wait_one(req, &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, 8000);
	pattern_check(rx.buf + AT, 8000, 4);
	req = post();
	failed(req, ncclRemoteError);
	side_close(&rx, false);
	CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
	plug_close();
}

/* Records for receives that are not posted yet wait; a flood of them neither grows nor hangs anything. */
static void records_ahead(void)
{
	void *req[32];
	int i, size;

	begin(1);
	for (i = 0; i < 2000; i++)
		raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG,
						  .flags = WIRE_F_INLINE,
						  .seq = (uint32_t)i });
	for (i = 0; i < 2000; i++) {
		CHECK_EQ(do_irecv(&rx, AT, POST, &req[i % 32], ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req[i % 32], &size, ERROR_MS), ncclSuccess);
		CHECK_EQ(size, 0);
	}
	check_bounds();
	end();
}

/* A message in single bytes over alternating sockets: more chunks than are noted at a time. */
static void chunks_tiny(void)
{
	uint8_t body[3000];
	void *req;
	uint32_t i;
	int size;

	begin(2);
	req = post();
	pattern_fill(body, sizeof(body), 9);
	raw_rec(&peer, (struct wire_rec){ .type = WIRE_MSG, .value = sizeof(body) });
	for (i = 0; i < sizeof(body); i++) {
		raw_rec(&peer, (struct wire_rec){ .type = WIRE_CHUNK,
						  .sock = (uint16_t)(i & 1),
						  .len = 1,
						  .value = i });
		raw_send(peer.data[i & 1], body + i, 1);
	}
	CHECK_EQ(wait_one(req, &size, ERROR_MS), ncclSuccess);
	CHECK_EQ(size, sizeof(body));
	pattern_check(rx.buf + AT, sizeof(body), 9);
	end();
}

/* Random streams that start like real ones; only bounds and bounded time are certain. */
static void random_streams(void)
{
	unsigned int seed, round;

	for (round = 0; round < 150; round++) {
		void *req[4];
		int i, n;

		srandom(round + 1);
		begin(2);
		for (i = 0; i < 4; i++)
			req[i] = post();
		n = (int)(random() % 12) + 1;
		for (i = 0; i < n; i++) {
			struct wire_rec rec = {
				.type = (uint8_t)(random() % 20 ? 1 + random() % 2 : random()),
				.flags = (uint8_t)(random() % 3 ? 0 : 1),
				.sock = (uint16_t)(random() % 3),
				.seq = (uint32_t)(random() % 4),
				.len = (uint32_t)(random() % 6000),
				.value = (uint64_t)(random() % 6000),
			};

			if (random() % 2 && rec.flags)
				rec.value = rec.len;
			wire_rec_swap(&rec);
			/* The plugin may have hung up already. */
			send(peer.ctrl, &rec, sizeof(rec), MSG_NOSIGNAL);
			seed = (unsigned int)random();
			send(peer.data[seed % 2], rx.buf, seed % 3000, MSG_NOSIGNAL);
		}
		raw_close(&peer, random() % 2);
		for (i = 0; i < 4; i++)
			if (wait_one(req[i], NULL, ERROR_MS) == ncclInProgress)
				FAIL("round %u: receive %d neither done nor failed", round, i);
		check_bounds();
		side_close(&rx, false);
		CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
		plug_close();
	}
}

/* The sending side is told nothing by its peer; bytes that come are nonsense. */
static void sender_hears(void)
{
	char h[NCCL_NET_HANDLE_MAXSIZE];
	struct raw_conn c;
	struct side tx;
	void *send, *req;
	int fd, i;

	plug_open();
	fd = raw_listen(h);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(plug.net->connect(plug.ctx, 0, h, &send, NULL), ncclSuccess);
		ms_sleep(1);
	}
	raw_accept(fd, &c, 1);
	raw_ready(&c, WIRE_VERSION, 0);
	CHECK_EQ(do_connect(h, &send, ERROR_MS), ncclSuccess);
	side_open(&tx, send, 32 << 20);
	raw_send(c.ctrl, "hello?", 6);
	CHECK_EQ(do_isend(&tx, 0, tx.size, &req, ERROR_MS), ncclSuccess);
	CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclRemoteError);
	raw_close(&c, false);
	close(fd);
	side_close(&tx, true);
	plug_close();
}

#define R(fn)                                    \
	{                                        \
		.name = "record." #fn, .run = fn \
	}
const struct fault_case cases_record[] = {
	R(valid),
	R(type_0),
	R(type_255),
	R(flags_unknown),
	R(seq_jump),
	R(seq_wild),
	R(msg_twice),
	R(inline_len_less),
	R(inline_len_more),
	R(oversize),
	R(oversize_inline),
	R(oversize_max),
	R(chunk_no_msg),
	R(chunk_sock_range),
	R(chunk_sock_max),
	R(chunk_other_seq),
	R(chunk_seq_32),
	R(chunk_empty),
	R(chunk_beyond),
	R(chunk_offset_beyond),
	R(chunk_offset_wild),
	R(chunk_len_max),
	R(chunk_overlap),
	R(chunk_gap),
	R(chunk_surplus),
	R(chunk_of_inline),
	R(end_at_once),
	R(end_half_record),
	R(end_after_msg),
	R(end_half_inline),
	R(end_part),
	R(end_data_missing),
	R(reset_at_once),
	R(reset_part),
	R(reset_data_missing),
	R(data_sock_closed),
	R(complete_then_closed),
	R(records_ahead),
	R(chunks_tiny),
	{ .name = "record.random_streams", .run = random_streams },
	R(sender_hears),
	{ 0 },
};
