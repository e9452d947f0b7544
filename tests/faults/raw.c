// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"
#include "plug.h"
#include "raw.h"

int raw_dial(const void *handle)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct wire_handle h;

	memcpy(&h, handle, sizeof(h));
	wire_handle_swap(&h);
	CHECK_EQ(h.family, AF_INET);
	memcpy(&in.sin_addr, h.addr, sizeof(in.sin_addr));
	in.sin_port = h.port;
	CHECK(fd >= 0);
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		FAIL("connecting by hand: %s", strerror(errno));
	return fd;
}

void raw_send(int fd, const void *buf, size_t len)
{
	if (send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		FAIL("sending %zu bytes by hand: %s", len, strerror(errno));
}

ssize_t raw_recv(int fd, void *buf, size_t len)
{
	size_t pos = 0;

	while (pos < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, ERROR_MS) != 1)
			return -1;
		n = recv(fd, (char *)buf + pos, len - pos, 0);
		if (n <= 0)
			break;
		pos += (size_t)n;
	}
	return (ssize_t)pos;
}

bool raw_is_closed(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;
	char c;

	if (poll(&p, 1, ms) != 1)
		return false;
	n = recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

void raw_linger0(int fd)
{
	struct linger l = { .l_onoff = 1 };

	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0);
}

bool raw_frames;

struct wire_hello raw_hello(const void *handle, uint16_t kind, uint64_t conn, uint16_t n_socks,
			    uint16_t index)
{
	struct wire_hello h = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.kind = kind,
		.conn = conn,
		.n_socks = n_socks,
		.index = index,
		.flags = kind == WIRE_HELLO_CTRL && raw_frames ? WIRE_FRAMES : 0,
	};
	struct wire_handle from;

	memcpy(&from, handle, sizeof(from));
	memcpy(h.nonce, from.nonce, sizeof(h.nonce));
	return h;
}

void raw_hello_send(int fd, struct wire_hello h)
{
	wire_hello_swap(&h);
	raw_send(fd, &h, sizeof(h));
}

void raw_connect(struct raw_conn *c, const void *handle, void *listen, int n, void **ret_recv)
{
	struct wire_ready ready;
	uint64_t conn = 0x1122334455667788ULL + (uint64_t)ms_now();
	int i;

	c->n = n;
	c->ctrl = raw_dial(handle);
	raw_hello_send(c->ctrl, raw_hello(handle, WIRE_HELLO_CTRL, conn, (uint16_t)n, 0));
	for (i = 0; i < n; i++) {
		c->data[i] = raw_dial(handle);
		raw_hello_send(c->data[i],
			       raw_hello(handle, WIRE_HELLO_DATA, conn, (uint16_t)n, (uint16_t)i));
	}
	CHECK_EQ(do_accept(listen, ret_recv, ERROR_MS), ncclSuccess);
	CHECK_EQ(raw_recv(c->ctrl, &ready, sizeof(ready)), sizeof(ready));
	wire_ready_swap(&ready);
	CHECK_EQ(ready.magic, WIRE_MAGIC);
	CHECK_EQ(ready.status, 0);
	c->frames = ready.flags & WIRE_FRAMES;
}

void raw_close(struct raw_conn *c, bool reset)
{
	int i;

	if (reset)
		raw_linger0(c->ctrl);
	close(c->ctrl);
	for (i = 0; i < c->n; i++) {
		if (reset)
			raw_linger0(c->data[i]);
		close(c->data[i]);
	}
}

void raw_rec(const struct raw_conn *c, struct wire_rec rec)
{
	wire_rec_swap(&rec);
	raw_send(c->ctrl, &rec, sizeof(rec));
}

int raw_listen(void *handle)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct wire_handle h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(in);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
	CHECK(listen(fd, 64) == 0 && getsockname(fd, (struct sockaddr *)&in, &len) == 0);
	memcpy(h.addr, &in.sin_addr, sizeof(in.sin_addr));
	h.port = in.sin_port;
	memset(h.nonce, 0x5a, sizeof(h.nonce));
	wire_handle_swap(&h);
	memset(handle, 0, NCCL_NET_HANDLE_MAXSIZE);
	memcpy(handle, &h, sizeof(h));
	return fd;
}

void raw_accept(int fd, struct raw_conn *c, int n)
{
	int i;

	c->n = n;
	for (i = 0; i < n + 1; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct wire_hello h;
		int s;

		CHECK_EQ(poll(&p, 1, ERROR_MS), 1);
		s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		CHECK(s >= 0);
		CHECK_EQ(raw_recv(s, &h, sizeof(h)), sizeof(h));
		wire_hello_swap(&h);
		CHECK_EQ(h.n_socks, n);
		if (h.kind == WIRE_HELLO_CTRL)
			c->ctrl = s;
		else
			c->data[h.index] = s;
	}
}

void raw_ready(const struct raw_conn *c, uint16_t version, int32_t status)
{
	struct wire_ready r = { .magic = WIRE_MAGIC, .version = version, .status = status };

	wire_ready_swap(&r);
	raw_send(c->ctrl, &r, sizeof(r));
}
