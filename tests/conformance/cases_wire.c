// SPDX-License-Identifier: BSD-3-Clause
/* A peer of another wire version. These know this project's format (comm/wire.h): --ours. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cases.h"
#include "comm/wire.h"

static void handle_patch(uint8_t *handle, int delta)
{
	struct wire_handle h;

	memcpy(&h, handle, sizeof(h));
	wire_handle_swap(&h);
	CHECK(h.magic == WIRE_MAGIC, "not a handle of this project: leave --ours out");
	h.version = (uint16_t)(h.version + delta);
	wire_handle_swap(&h);
	memcpy(handle, &h, sizeof(h));
}

/* The handle says so: connect refuses, and names both versions. */
static void handle_of_other_version(int delta)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen = rank_listen(RX, handle), comm = 0;
	struct link l;

	handle_patch(handle, delta);
	EXPECT(rank_connect(TX, handle, 2000, &comm), ncclRemoteError,
	       "connect to a peer of another wire version");
	CHECK(rank_log_count(TX, "wire version") > 0 && rank_log_count(TX, "same version") > 0,
	      "no message that names the versions and the remedy");
	rank_close_listen(RX, listen);
	link_open(&l, TX, RX, MIB);
	link_exchange(&l, MIB, 1);
	link_close(&l);
}

static int dial(const struct wire_handle *h)
{
	struct sockaddr_storage ss = { .ss_family = h->family };
	socklen_t len = sizeof(struct sockaddr_in);
	int fd;

	if (h->family == AF_INET) {
		struct sockaddr_in *in = (void *)&ss;

		memcpy(&in->sin_addr, h->addr, sizeof(in->sin_addr));
		in->sin_port = h->port;
	} else {
		struct sockaddr_in6 *in6 = (void *)&ss;

		memcpy(&in6->sin6_addr, h->addr, sizeof(in6->sin6_addr));
		in6->sin6_port = h->port;
		len = sizeof(*in6);
	}
	fd = socket(h->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) == 0,
	      "cannot reach the listener: %s", strerror(errno));
	return fd;
}

/* A hello of another version arrives: accept fails, and the peer is told why. */
static void hello_of_other_version(int delta)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC,
				    .version = (uint16_t)(WIRE_VERSION + delta),
				    .kind = WIRE_HELLO_CTRL,
				    .conn = 7,
				    .n_socks = 1 };
	struct timeval limit = { .tv_sec = 60 };
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen, comm = 0;
	struct wire_ready ready;
	struct wire_handle h;
	struct link l;
	int fd;

	/* From rank 0's own namespace. */
	listen = rank_listen(TX, handle);
	memcpy(&h, handle, sizeof(h));
	wire_handle_swap(&h);
	fd = dial(&h);
	memcpy(hello.nonce, h.nonce, sizeof(hello.nonce));
	wire_hello_swap(&hello);
	CHECK(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello), "send");
	EXPECT(rank_accept(TX, listen, 2000, &comm), ncclRemoteError,
	       "accept of a peer of another wire version");
	CHECK(rank_log_count(TX, "wire version") > 0 && rank_log_count(TX, "same version") > 0,
	      "no message that names the versions and the remedy");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	CHECK(recv(fd, &ready, sizeof(ready), MSG_WAITALL) == sizeof(ready),
	      "the peer got no answer");
	wire_ready_swap(&ready);
	CHECK(ready.magic == WIRE_MAGIC && ready.version == WIRE_VERSION && ready.status != 0,
	      "the answer does not say the version");
	close(fd);
	rank_close_listen(TX, listen);
	link_open(&l, TX, RX, MIB);
	link_exchange(&l, MIB, 1);
	link_close(&l);
}

static void handle_older(void)
{
	handle_of_other_version(-1);
}

static void handle_newer(void)
{
	handle_of_other_version(1);
}

static void hello_older(void)
{
	hello_of_other_version(-1);
}

static void hello_newer(void)
{
	hello_of_other_version(1);
}

/* Connects @tx to @rx, which may differ: both have to refuse, and say what each is. */
static void must_not_connect(struct rank *tx, struct rank *rx)
{
	struct call con = { 0 }, acc = { 0 };
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen = rank_listen(rx, handle);

	con = (struct call){ .len = sizeof(handle),
			     .a = { tx->ctx, (uint64_t)tx->dev, 0, END_MS } };
	memcpy(con.data, handle, sizeof(handle));
	acc = (struct call){ .a = { listen, 0, 0, END_MS } };
	rank_begin(tx, &con, ON_SERVICE, OP_CONNECT);
	rank_begin(rx, &acc, ON_SERVICE, OP_ACCEPT);
	rank_finish(tx, ON_SERVICE);
	rank_finish(rx, ON_SERVICE);
	EXPECT(con.res, ncclRemoteError, "connect to a rank of another mode");
	EXPECT(acc.res, ncclRemoteError, "accept of a rank of another mode");
	rank_close_listen(rx, listen);
	for (int i = 0; i < 2; i++) {
		CHECK(rank_log_count(&ranks[i], "leaves unpacking") > 0 &&
			      rank_log_count(&ranks[i], "gathers") > 0 &&
			      rank_log_count(&ranks[i], "every rank") > 0,
		      "rank %d has no message that names both modes and the remedy", i);
	}
}

/* One rank leaves unpacking to NCCL's kernels and keeps NCCL away from LL, the other does not: no connection, either way. */
static void modes_differ(void)
{
	if (conf.memory != MEMORY_CUDA)
		SKIP("wants --memory cuda: without a GPU there is one mode only");
	if (conf.version < 7)
		SKIP("version %d has no device handle to unpack by", conf.version);
	conf.unpack = false; /* of one rank only */
	rank_env(RX, "NCCL_DEVMEM_PLACE=gather");
	rank_env(TX, "NCCL_DEVMEM_PLACE=unpack");
	for (int i = 0; i < 2; i++) {
		rank_load(&ranks[i]);
		rank_init(&ranks[i]);
	}
	must_not_connect(TX, RX);
	must_not_connect(RX, TX);
}

const struct conf_case cases_wire[] = {
	{ "wire.handle_older", "the handle of a peer with an older wire version", handle_older,
	  CASE_OURS, 0 },
	{ "wire.handle_newer", "the handle of a peer with a newer one", handle_newer, CASE_OURS,
	  0 },
	{ "wire.hello_older", "a peer with an older wire version connects", hello_older, CASE_OURS,
	  0 },
	{ "wire.hello_newer", "a peer with a newer one connects", hello_newer, CASE_OURS, 0 },
	{ "wire.modes_differ", "one rank unpacks, the other gathers: neither connects",
	  modes_differ, CASE_OURS | CASE_BARE | CASE_PROCESSES, 0 },
	{ 0 },
};
