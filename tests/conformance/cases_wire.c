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
	struct timeval limit = { .tv_sec = 10 };
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

const struct conf_case cases_wire[] = {
	{ "wire.handle_older", "the handle of a peer with an older wire version", handle_older,
	  CASE_OURS, 0 },
	{ "wire.handle_newer", "the handle of a peer with a newer one", handle_newer, CASE_OURS,
	  0 },
	{ "wire.hello_older", "a peer with an older wire version connects", hello_older, CASE_OURS,
	  0 },
	{ "wire.hello_newer", "a peer with a newer one connects", hello_newer, CASE_OURS, 0 },
	{ 0 },
};
