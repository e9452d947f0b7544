// SPDX-License-Identifier: BSD-3-Clause
/* fork() with live comms: what data loaders do. The child may do anything; the parent must not notice. */
#include "cases.h"

/* -> the child's exit status. */
static int fork_child(enum fork_kind kind, const struct side *s, uint64_t req)
{
	struct call c = { .a = { (uint64_t)kind, s ? s->comm : 0, s ? s->buf : 0, s ? s->mh : 0,
				 req } };

	rank_call(TX, &c, ON_APP, OP_FORK);
	CHECK(c.res == 0, "the child hung or was killed by a signal");
	return (int)c.a[0];
}

static void around(enum fork_kind kind)
{
	struct item s, r;
	struct link l;

	link_open(&l, TX, RX, 4 * MIB);
	link_exchange(&l, MIB, 1);
	for (int i = 0; i < 3; i++) {
		/* Between two messages; and in the middle of one, half sent. */
		if (kind == FORK_CLOSE)
			fork_child(kind, &l.tx, 0);
		side_fill(&l.tx, 0, 4 * MIB, (uint64_t)i + 2);
		s = item_send(side_isend(&l.tx, 0, 4 * MIB, 0));
		fork_child(kind, &l.tx, s.req);
		r = item_recv(&l.rx, side_irecv(&l.rx, 0, 4 * MIB, 0));
		wait_both(TX, &s, 1, RX, &r, 1, 0, END_MS);
		item_expect(&s, ncclSuccess, -1);
		item_expect(&r, ncclSuccess, 4 * MIB);
		side_check(&l.rx, 0, 4 * MIB, (uint64_t)i + 2);
	}
	link_exchange(&l, 100000, 9);
	link_close(&l);
}

static void child_exits(void)
{
	around(FORK_EXIT);
}

static void child_execs(void)
{
	around(FORK_EXEC);
}

static void child_closes(void)
{
	around(FORK_CLOSE);
}

/* Descriptors that a program started from here would inherit. */
static void inherits_nothing(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen, comm;
	struct link l;
	int before;

	before = fork_child(FORK_INHERITS, NULL, 0);
	rank_load(TX);
	rank_init(TX);
	rank_load(RX);
	rank_init(RX);
	link_open(&l, TX, RX, MIB);
	link_exchange(&l, MIB, 1);
	listen = rank_listen(TX, handle);
	EXPECT(rank_connect(RX, handle, 0, &comm), ncclSuccess, "connect");
	CHECK(fork_child(FORK_INHERITS, NULL, 0) == before,
	      "descriptors of the plugin lack FD_CLOEXEC");
	rank_close_listen(TX, listen);
	link_close(&l);
}

const struct conf_case cases_fork[] = {
	{ "fork.child_exits", "a child exits with destructors", child_exits, 0, 60 },
	{ "fork.child_execs", "a child executes a program", child_execs, 0, 60 },
	{ "fork.child_closes", "a child closes the parent's comm", child_closes, 0, 60 },
	{ "fork.inherits_nothing", "no descriptor survives execve", inherits_nothing, CASE_BARE,
	  0 },
	{ 0 },
};
