// SPDX-License-Identifier: BSD-3-Clause
/* No devmem to be had: said with its reason, or an error on both sides where it is required. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"

static void lo_says(void)
{
	struct pair p;

	plug_open();
	pair_open(&p, 1 << 20);
	plug_expect_log("receive path copy instead of devmem");
	plug_expect_log("the peer is on this host");
	pair_exchange(&p, 1 << 20, 1);
	plug_expect_log("lent to the socket until the peer has read it");
	pair_close(&p);
	plug_close();
}

/* Without frames there is no way to hear what the peer has read. */
static void lo_copies(void)
{
	struct pair p;

	env_set("NCCL_DEVMEM_FRAMES", "0");
	plug_open();
	pair_open(&p, 1 << 20);
	pair_exchange(&p, 1 << 20, 1);
	plug_expect_log("send path copy instead of zerocopy");
	pair_close(&p);
	plug_close();
}

/* Each distinct step is said once, however many connections and messages take it. */
static void said_once(void)
{
	struct nccl_devmem_counters c;
	struct pair p;
	int lines, i;

	env_set("NCCL_DEVMEM_FRAMES", "0");
	plug_open();
	pair_open(&p, 1 << 20);
	pair_exchange(&p, 1 << 20, 1);
	pair_close(&p);
	lines = plug_log_lines();
	for (i = 0; i < 5; i++) {
		pair_open(&p, 1 << 20);
		pair_exchange(&p, 1 << 20, 1);
		pair_exchange(&p, 1 << 19, 2);
		pair_close(&p);
	}
	CHECK_EQ(plug_log_lines(), lines);
	plug_counters(&c);
	/* One for each direction, not for each connection or message. */
	CHECK_EQ(c.steps_down, 2);
	plug_close();
}

/* Required and refused: both sides have an error within the time, and the texts say why. */
static void refused(const char *reason)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *send, *recv;
	ncclResult_t s, r;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	plug_open();
	do_listen(handle, &listen);
	do_both(handle, listen, &send, &recv, &s, &r, ERROR_MS);
	CHECK(!send && !recv);
	CHECK(r != ncclSuccess && r != ncclInProgress);
	CHECK_EQ(s, ncclRemoteError);
	plug_expect_log("NCCL_DEVMEM_REQUIRE=devmem forbids it");
	plug_expect_log(reason);
	plug_expect_log("refused the connection");
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

static void require_lo(void)
{
	refused("the peer is on this host");
}

static void dev_name(char *name, size_t len)
{
	ncclNetProperties_v12_t props;

	CHECK_EQ(plug.net->getProperties(0, &props), ncclSuccess);
	CHECK(strlen(props.name) < len);
	strcpy(name, props.name);
}

/* The other host of the veth cases: connects, sends one message of @size if that works. */
static void veth_sender(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], name[32];
	ncclResult_t want, res;
	struct side s;
	size_t size;
	void *comm, *req;

	ns_enter();
	env_set("NCCL_DEVMEM_IFNAME", "ve");
	peer_put(fd, "n", 1);
	peer_get(fd, &want, sizeof(want));
	plug_open();
	dev_name(name, sizeof(name));
	CHECK(!strcmp(name, "ve1"));
	peer_get(fd, handle, sizeof(handle));
	res = do_connect(handle, &comm, ERROR_MS);
	CHECK_EQ(res, want);
	if (res == ncclSuccess) {
		peer_get(fd, &size, sizeof(size));
		side_open(&s, comm, size);
		pattern_fill(s.buf, size, 5);
		CHECK_EQ(do_isend(&s, 0, size, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclSuccess);
		peer_get(fd, name, 1);
		side_close(&s, true);
	} else {
		plug_expect_log("refused the connection");
	}
	plug_close();
}

static void veth_receive(void (*restrict_self)(void), const char *require, ncclResult_t peer_gets,
			 const char *reason)
{
	struct peer p = peer_start(veth_sender);
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	size_t size = 1 << 20;
	void *listen, *recv, *req;
	ncclResult_t r;
	struct side s;
	char c;

	peer_get(p.fd, &c, 1);
	ns_enter();
	ns_veth(p.pid);
	peer_put(p.fd, &peer_gets, sizeof(peer_gets));
	env_set("NCCL_DEVMEM_IFNAME", "ve");
	env_set("NCCL_DEVMEM_REQUIRE", require);
	if (restrict_self)
		restrict_self();
	plug_open();
	do_listen(handle, &listen);
	peer_put(p.fd, handle, sizeof(handle));
	r = do_accept(listen, &recv, ERROR_MS);
	plug_expect_log(reason);
	if (peer_gets == ncclSuccess) {
		CHECK_EQ(r, ncclSuccess);
		plug_expect_log("receive path copy instead of devmem");
		peer_put(p.fd, &size, sizeof(size));
		side_open(&s, recv, size);
		CHECK_EQ(do_irecv(&s, 0, size, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclSuccess);
		pattern_check(s.buf, size, 5);
		peer_put(p.fd, "x", 1);
		side_close(&s, false);
	} else {
		CHECK(r != ncclSuccess && r != ncclInProgress);
		CHECK(!recv);
		plug_expect_log("NCCL_DEVMEM_REQUIRE=devmem forbids it");
	}
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	peer_wait(&p);
	plug_close();
}

static void veth_says(void)
{
	veth_receive(NULL, "none", ncclSuccess, "ve0: receive path copy instead of devmem");
}

static void veth_require(void)
{
	veth_receive(NULL, "devmem", ncclRemoteError, "ve0: receive path would be copy");
}

static void drop_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(syscall(SYS_capget, &head, data) == 0);
	data[0].effective &= ~(1U << CAP_NET_ADMIN);
	data[0].permitted &= ~(1U << CAP_NET_ADMIN);
	CHECK(syscall(SYS_capset, &head, data) == 0);
}

/*
 * Without CAP_NET_ADMIN nothing else breaks. That the missing capability is named can only be seen where it is all that is
 * missing: tests/faults/guest.
 */
static void no_permission(void)
{
	veth_receive(drop_net_admin, "none", ncclSuccess, "receive path copy instead of devmem");
}

static void no_permission_require(void)
{
	veth_receive(drop_net_admin, "devmem", ncclRemoteError, "receive path would be copy");
}

const struct fault_case cases_ladder[] = {
	{ .name = "ladder.lo_says", .run = lo_says },
	{ .name = "ladder.lo_copies", .run = lo_copies },
	{ .name = "ladder.said_once", .run = said_once },
	{ .name = "ladder.require_lo", .run = require_lo },
	{ .name = "ladder.veth_says", .run = veth_says },
	{ .name = "ladder.veth_require", .run = veth_require },
	{ .name = "ladder.no_permission", .run = no_permission },
	{ .name = "ladder.no_permission_require", .run = no_permission_require },
	{ 0 },
};
