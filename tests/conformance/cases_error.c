// SPDX-License-Identifier: BSD-3-Clause
/* Errors: the right code, a message that helps, in bounded time, and no harm to others. */
#include "cases.h"

/* A send larger than its receive: what mismatched collectives look like from below. */
static void oversize_of(size_t sent, size_t room)
{
	struct link l, other;
	struct item s, r;

	link_open(&other, TX, RX, MIB);
	link_open(&l, TX, RX, 2 * MIB);
	r = item_recv(&l.rx, side_irecv(&l.rx, 0, room, 0));
	s = item_send(side_isend(&l.tx, 0, sent, 0));
	wait_both(TX, &s, 1, RX, &r, 1, WAIT_FAILED, 2000);
	CHECK(r.res != (int32_t)ncclNumResults,
	      "test() answered a failed request differently the second time");
	item_expect(&r, ncclInvalidUsage, -1);
	CHECK(rank_log_count(RX, "mismatch") > 0 && rank_log_count(RX, "collective") > 0,
	      "no message that names mismatched collectives");
	/* The comm is done for: it says so, and closes. */
	EXPECT(side_post(&l.rx, false, 0, room, 0, 0, 0, &r.req), ncclInvalidUsage,
	       "irecv after the failure");
	link_exchange(&other, MIB, 1);
	link_close(&l);
	link_exchange(&other, MIB, 2);
	link_close(&other);
}

static void oversize_small(void)
{
	oversize_of(1000, 999);
}

static void oversize_large(void)
{
	oversize_of(2 * MIB, MIB);
}

static void oversize_empty(void)
{
	oversize_of(1, 0);
}

/* The peer's process dies: requests on both kinds of comm end with ncclRemoteError, again and again. */
static void peer_killed(void)
{
	struct item r[4], s[4];
	struct link to, from;
	uint64_t req;

	link_open(&to, TX, RX, 4 * MIB);
	link_open(&from, RX, TX, 4 * MIB);
	for (int i = 0; i < 4; i++) {
		s[i] = item_send(side_isend(&to.tx, 0, 4 * MIB, 0));
		r[i] = item_recv(&from.rx, side_irecv(&from.rx, 0, 4 * MIB, 0));
	}
	rank_kill(RX);
	wait_items(TX, s, 4, WAIT_FAILED, END_MS);
	wait_items(TX, r, 4, WAIT_FAILED, END_MS);
	for (int i = 0; i < 4; i++) {
		CHECK(r[i].res != (int32_t)ncclNumResults && s[i].res != (int32_t)ncclNumResults,
		      "test() answered a failed request differently the second time");
		item_expect(&r[i], ncclRemoteError, -1);
		/* A send may have fitted into the kernel's buffers. */
		if (i == 3 || !s[i].done)
			item_expect(&s[i], ncclRemoteError, -1);
	}
	EXPECT(side_post(&to.tx, true, 0, 4 * MIB, 0, 0, 0, &req), ncclRemoteError,
	       "isend after the peer's death");
	EXPECT(side_post(&from.rx, false, 0, 4 * MIB, 0, 0, 0, &req), ncclRemoteError,
	       "irecv after the peer's death");
	side_deregister(&to.tx);
	side_deregister(&from.rx);
	side_close(&to.tx, true);
	side_close(&from.rx, false);
}

/* One comm's peer goes away under traffic; other comms of the same threads do not notice. */
static void others_alive(void)
{
	struct stream_set set;
	struct link busy[2], bad;
	struct item r;

	for (int i = 0; i < 2; i++)
		link_open(&busy[i], i ? RX : TX, i ? TX : RX, 2 * MIB);
	link_open(&bad, TX, RX, 2 * MIB);
	r = item_recv(&bad.rx, side_irecv(&bad.rx, 0, 2 * MIB, 0));
	side_deregister(&bad.tx);
	side_close(&bad.tx, true);
	wait_items(RX, &r, 1, WAIT_FAILED, END_MS);
	item_expect(&r, ncclRemoteError, -1);
	streams_begin(&set);
	streams_add(&set, &busy[0], 100, 8, 200000, 1, 0);
	streams_add(&set, &busy[1], 100, 8, 200000, 2, 0);
	streams_run(&set, END_MS);
	wait_items(RX, &r, 1, 0, 10);
	item_expect(&r, ncclRemoteError, -1);
	side_deregister(&bad.rx);
	side_close(&bad.rx, false);
	for (int i = 0; i < 2; i++)
		link_close(&busy[i]);
}

const struct conf_case cases_error[] = {
	{ "error.oversize", "a send larger than its receive: ncclInvalidUsage, with words",
	  oversize_small, 0, 0 },
	{ "error.oversize_large", "the same in the middle of megabytes", oversize_large, 0, 0 },
	{ "error.oversize_empty", "the same where nothing was expected", oversize_empty, 0, 0 },
	{ "error.peer_killed", "the peer's process dies: ncclRemoteError, and it stays",
	  peer_killed, CASE_PROCESSES | CASE_DIRTY, 90 },
	{ "error.others_alive", "an error of one comm leaves the others alone", others_alive, 0,
	  60 },
	{ 0 },
};
