// SPDX-License-Identifier: BSD-3-Clause
/*
 * MSG_ZEROCOPY from host memory between two network namespaces: every send is reported finished, and the plugin stops asking
 * for what the kernel does not give.
 */
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "plug.h"

#define MSG  (1 << 20)
#define SENT 40

/* The other host: receives messages as told, checks them. */
static void receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	void *listen, *recv, *req;
	uint32_t i, count;
	struct side s;
	size_t size;
	int got;

	ns_enter();
	env_set("NCCL_DEVMEM_IFNAME", "ve");
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	peer_get(fd, &size, sizeof(size));
	peer_get(fd, &count, sizeof(count));
	side_open(&s, recv, size);
	for (i = 0; i < count; i++) {
		CHECK_EQ(do_irecv(&s, 0, size, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, &got, ERROR_MS), ncclSuccess);
		CHECK_EQ(got, size);
		pattern_check(s.buf, size, i);
	}
	peer_put(fd, "d", 1);
	side_close(&s, false);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

static struct peer other;
static struct side tx;

static void begin(size_t size, uint32_t count)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *send;

	ns_veth(other.pid);
	env_set("NCCL_DEVMEM_IFNAME", "ve");
	plug_open();
	peer_put(other.fd, "g", 1);
	peer_get(other.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	peer_put(other.fd, &size, sizeof(size));
	peer_put(other.fd, &count, sizeof(count));
	side_open(&tx, send, size);
}

static void meet(void)
{
	char c;

	other = peer_start(receiver);
	peer_get(other.fd, &c, 1);
	ns_enter();
}

static void send_one(uint32_t i, int ms)
{
	void *req;

	pattern_fill(tx.buf, tx.size, i);
	CHECK_EQ(do_isend(&tx, 0, tx.size, &req, ERROR_MS), ncclSuccess);
	CHECK_EQ(wait_one(req, NULL, ms), ncclSuccess);
}

static void end(void)
{
	char c;

	peer_get(other.fd, &c, 1);
	side_close(&tx, true);
	peer_wait(&other);
	plug_close();
}

/* A send is done only when its completion has come: then all of them have. */
static void all_reported(const struct nccl_devmem_counters *c)
{
	CHECK_EQ(c->zc_sends, c->zc_done_errqueue + c->zc_done_inband);
}

static void completions(void)
{
	struct nccl_devmem_counters c;
	uint32_t i;

	meet();
	begin(MSG, 3);
	for (i = 0; i < 3; i++) {
		send_one(i, ERROR_MS);
		plug_counters(&c);
		all_reported(&c);
	}
	CHECK(c.zc_sends > 0);
	CHECK(c.sent_zerocopy > 0);
	CHECK_EQ(c.sent_zerocopy + c.sent_copy, 3 * MSG);
	end();
}

/* veth copies: after a run of such reports the plugin goes over to plain sends and says so once. */
static void switches_off(void)
{
	struct nccl_devmem_counters mid, last;
	uint32_t i;

	meet();
	begin(MSG, SENT);
	for (i = 0; i < SENT / 2; i++)
		send_one(i, ERROR_MS);
	plug_counters(&mid);
	CHECK(mid.zc_copied > 0);
	for (; i < SENT; i++)
		send_one(i, ERROR_MS);
	plug_counters(&last);
	all_reported(&last);
	CHECK_EQ(last.zc_sends, mid.zc_sends);
	/* What is lent to the socket instead asks for no completion. */
	CHECK_EQ(last.sent_copy + last.sent_zerocopy - mid.sent_copy - mid.sent_zerocopy,
		 SENT / 2 * MSG);
	plug_expect_log("the kernel copies zerocopy sends on this route");
	end();
}

/* No room for even one notification (net.core.optmem_max): steps down instead of waiting for ever. */
static void optmem_tiny(void)
{
	struct nccl_devmem_counters c;
	uint32_t i;

	meet();
	if (system("sysctl -qw net.core.optmem_max=300 2>/dev/null") != 0)
		case_skip("net.core.optmem_max belongs to the whole machine on this kernel");
	begin(MSG, 4);
	for (i = 0; i < 4; i++)
		send_one(i, ERROR_MS);
	plug_expect_log("net.core.optmem_max");
	plug_counters(&c);
	all_reported(&c);
	CHECK_EQ(c.sent_copy + c.sent_zerocopy, 4 * MSG);
	end();
}

/* Room for a few: waits for completions in between. */
static void optmem_small(void)
{
	uint32_t i;

	meet();
	if (system("sysctl -qw net.core.optmem_max=4000 2>/dev/null") != 0)
		case_skip("net.core.optmem_max belongs to the whole machine on this kernel");
	begin(4 << 20, 6);
	for (i = 0; i < 6; i++)
		send_one(i, ERROR_MS);
	end();
}

/* One message in far more sends than are tracked at a time. */
static void many_sends(void)
{
	struct nccl_devmem_counters c;

	env_set("NCCL_DEVMEM_CHUNK_SIZE", "4K");
	env_set("NCCL_DEVMEM_ZEROCOPY_MIN", "4K");
	env_set("NCCL_DEVMEM_SOCKETS", "1");
	meet();
	begin(40 << 20, 1);
	send_one(0, ERROR_MS);
	plug_counters(&c);
	all_reported(&c);
	CHECK(c.zc_sends > 1024);
	end();
}

#define Z(fn)                                      \
	{                                          \
		.name = "zerocopy." #fn, .run = fn \
	}
const struct fault_case cases_zerocopy[] = {
	Z(completions), Z(switches_off), Z(optmem_tiny), Z(optmem_small), Z(many_sends), { 0 },
};
