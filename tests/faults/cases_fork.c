// SPDX-License-Identifier: BSD-3-Clause
/* fork() and exec() with live connections: the child gets nothing done, and the parent does not notice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"

/* A child that does @what; the parent checks its exit status. */
static void in_child(void (*what)(struct pair *p), struct pair *p)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		plug_log_clear();
		what(p);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		FAIL("the child ended with wait status 0x%x", (unsigned int)status);
}

static void around(void (*what)(struct pair *p), const char *socks)
{
	struct wait w[2];
	struct pair p;
	int i;

	env_set("NCCL_DEVMEM_SOCKETS", socks);
	plug_open();
	pair_open(&p, 4 << 20);
	pair_exchange(&p, 4 << 20, 1);
	/* In the middle of a message. */
	pattern_fill(p.tx.buf, 4 << 20, 2);
	CHECK_EQ(do_irecv(&p.rx, 0, 4 << 20, &w[0].req, ERROR_MS), ncclSuccess);
	CHECK_EQ(do_isend(&p.tx, 0, 4 << 20, &w[1].req, ERROR_MS), ncclSuccess);
	in_child(what, &p);
	wait_all(w, 2, ERROR_MS);
	CHECK_EQ(w[0].res, ncclSuccess);
	CHECK_EQ(w[1].res, ncclSuccess);
	pattern_check(p.rx.buf, 4 << 20, 2);
	for (i = 0; i < 10; i++)
		pair_exchange(&p, 4 << 20, (uint32_t)i);
	pair_close(&p);
	plug_close();
}

static void child_closes(struct pair *p)
{
	CHECK_EQ(plug.net->deregMr(p->tx.comm, p->tx.mh), ncclSuccess);
	CHECK_EQ(plug.net->closeSend(p->tx.comm), ncclSuccess);
	CHECK_EQ(plug.net->closeRecv(p->rx.comm), ncclSuccess);
	CHECK_EQ(plug.net->closeListen(p->listen), ncclSuccess);
	CHECK_EQ(plug.net->finalize(plug.ctx), ncclSuccess);
}

static void child_transfers(struct pair *p)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE] = { 0 };
	void *req = NULL, *out = NULL, *data = p->rx.buf;
	size_t size = 100;
	int tag = 0;

	CHECK(plug.net->isend(p->tx.comm, p->tx.buf, 100, 0, p->tx.mh, NULL, &req) != ncclSuccess);
	CHECK(plug.net->irecv(p->rx.comm, 1, &data, &size, &tag, &p->rx.mh, NULL, &req) !=
	      ncclSuccess);
	CHECK(plug.net->listen(plug.ctx, 0, handle, &out) != ncclSuccess);
	CHECK(plug.net->accept(p->listen, &out, NULL) != ncclSuccess);
	CHECK(plug.net->connect(plug.ctx, 0, p->handle, &out, NULL) != ncclSuccess);
	CHECK(plug_init() != ncclSuccess);
	plug_expect_log("forked");
}

static void child_exits(struct pair *p)
{
	(void)p;
	exit(0); /* with destructors */
}

static void fork_close(void)
{
	around(child_closes, "1");
}

static void fork_close_socks(void)
{
	around(child_closes, "6");
}

static void fork_transfer(void)
{
	around(child_transfers, "2");
}

/* A leak check at the child's exit would report the parent's objects. */
static void fork_exit(void)
{
#if defined(__SANITIZE_ADDRESS__)
	case_skip("exit() in a child is the leak checker's own test here");
#endif
	around(child_exits, "2");
}

/* Descriptors that a program started from here inherits. */
static int inherited(void)
{
	FILE *f = popen("ls /proc/self/fd | wc -l", "r");
	int n = -1;

	CHECK(f && fscanf(f, "%d", &n) == 1);
	pclose(f);
	return n;
}

static void exec_inherits_nothing(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *send;
	struct pair p;
	int before = inherited();

	env_set("NCCL_DEVMEM_SOCKETS", "4");
	plug_open();
	CHECK_EQ(inherited(), before);
	pair_open(&p, 100000);
	pair_exchange(&p, 100000, 1);
	do_listen(handle, &listen);
	CHECK_EQ(plug.net->connect(plug.ctx, 0, handle, &send, NULL), ncclSuccess);
	CHECK(!send);
	CHECK(count_fds() > before + 10);
	CHECK_EQ(inherited(), before);
	pair_close(&p);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close(); /* sweeps the half connection */
}

#define F(fn)                                  \
	{                                      \
		.name = "fork." #fn, .run = fn \
	}
const struct fault_case cases_fork[] = {
	F(fork_close), F(fork_close_socks),	 F(fork_transfer),
	F(fork_exit),  F(exec_inherits_nothing), { 0 },
};
