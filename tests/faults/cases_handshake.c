// SPDX-License-Identifier: BSD-3-Clause
/* Peers of another version, and handshakes that go wrong on either side. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"
#include "raw.h"

/* connect() with a handle in which @change was made. */
static void handle_changed(void (*change)(struct wire_handle *h), ncclResult_t want,
			   const char *text)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], good[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *send, *recv;
	struct wire_handle h;
	ncclResult_t s, r;

	plug_open();
	do_listen(handle, &listen);
	memcpy(good, handle, sizeof(good));
	memcpy(&h, handle, sizeof(h));
	change(&h);
	memcpy(handle, &h, sizeof(h));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), want);
	CHECK(!send);
	plug_expect_log(text);
	/* The listener is none the worse for it. */
	do_both(good, listen, &send, &recv, &s, &r, ERROR_MS);
	CHECK_EQ(s, ncclSuccess);
	CHECK_EQ(r, ncclSuccess);
	CHECK_EQ(plug.net->closeSend(send), ncclSuccess);
	CHECK_EQ(plug.net->closeRecv(recv), ncclSuccess);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

static void change_version(struct wire_handle *h)
{
	h->version = htole16(WIRE_VERSION + 1);
}

static void change_magic(struct wire_handle *h)
{
	h->magic ^= 1;
}

static void change_family(struct wire_handle *h)
{
	h->family = htole16(10);
}

static void change_garbage(struct wire_handle *h)
{
	memset(h, 0xa5, sizeof(*h));
}

/* The connecting side keeps a pointer in @state; one that arrives with the handle is not one of its own. */
static void change_state(struct wire_handle *h)
{
	h->state = 0x4141414141414141ULL;
}

static void change_port(struct wire_handle *h)
{
	h->port = htons(1); /* nobody listens there */
}

static void handle_version(void)
{
	handle_changed(change_version, ncclRemoteError, "speaks wire version 2, this plugin 1");
}

static void handle_magic(void)
{
	handle_changed(change_magic, ncclRemoteError, "not from this plugin");
}

static void handle_family(void)
{
	handle_changed(change_family, ncclSystemError, "NCCL_DEVMEM_FAMILY");
}

static void handle_garbage(void)
{
	handle_changed(change_garbage, ncclRemoteError, "not from this plugin");
}

static void handle_port(void)
{
	handle_changed(change_port, ncclRemoteError, "Connection refused");
}

static void handle_state(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *send, *recv;
	struct wire_handle h;
	ncclResult_t s, r;

	plug_open();
	do_listen(handle, &listen);
	memcpy(&h, handle, sizeof(h));
	change_state(&h);
	memcpy(handle, &h, sizeof(h));
	do_both(handle, listen, &send, &recv, &s, &r, ERROR_MS);
	/* Taken for a fresh handle or refused, but not followed. */
	if (s == ncclSuccess) {
		CHECK_EQ(plug.net->closeSend(send), ncclSuccess);
		CHECK_EQ(plug.net->closeRecv(recv), ncclSuccess);
	}
	CHECK(s != ncclInProgress);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

/* NCCL's handle may lie anywhere. */
static void handle_unaligned(void)
{
	char room[NCCL_NET_HANDLE_MAXSIZE + 16];
	void *listen, *send, *recv;
	ncclResult_t s, r;
	int i;

	plug_open();
	for (i = 1; i < 16; i += 2) {
		do_listen(room + i, &listen);
		do_both(room + i, listen, &send, &recv, &s, &r, ERROR_MS);
		CHECK_EQ(s, ncclSuccess);
		CHECK_EQ(r, ncclSuccess);
		CHECK_EQ(plug.net->closeSend(send), ncclSuccess);
		CHECK_EQ(plug.net->closeRecv(recv), ncclSuccess);
		CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	}
	plug_close();
}

/* A caller with the right nonce and another version: both sides hear of it. */
static void hello_version(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct wire_ready ready;
	struct wire_hello h;
	void *listen, *recv;
	int fd;

	plug_open();
	do_listen(handle, &listen);
	fd = raw_dial(handle);
	h = raw_hello(handle, WIRE_HELLO_CTRL, 77, 1, 0);
	h.version = WIRE_VERSION + 41;
	raw_hello_send(fd, h);
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclRemoteError);
	CHECK(!recv);
	plug_expect_log("speaks wire version 42, this plugin 1");
	CHECK_EQ(raw_recv(fd, &ready, sizeof(ready)), sizeof(ready));
	wire_ready_swap(&ready);
	CHECK_EQ(ready.magic, WIRE_MAGIC);
	CHECK_EQ(ready.version, WIRE_VERSION);
	CHECK_EQ(ready.status, EPROTO);
	CHECK(raw_is_closed(fd, ERROR_MS));
	close(fd);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

/* The plugin connects to a listener that answers @version, @status; or closes. */
static void answered(uint16_t version, int32_t status, bool silent_close, ncclResult_t want,
		     const char *text)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct raw_conn c;
	void *send;
	int fd, i;

	plug_open();
	fd = raw_listen(handle);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(plug.net->connect(plug.ctx, 0, handle, &send, NULL), ncclSuccess);
		CHECK(!send);
		ms_sleep(1);
	}
	raw_accept(fd, &c, 1);
	if (silent_close)
		raw_close(&c, false);
	else
		raw_ready(&c, version, status);
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), want);
	CHECK(!send);
	plug_expect_log(text);
	if (!silent_close)
		raw_close(&c, false);
	close(fd);
	plug_close();
}

static void ready_version(void)
{
	answered(WIRE_VERSION + 8, 0, false, ncclRemoteError, "answered in wire version 9");
}

static void ready_status(void)
{
	answered(WIRE_VERSION, EACCES, false, ncclRemoteError, "refused the connection");
}

static void ready_status_odd(void)
{
	answered(WIRE_VERSION, -2147483647 - 1, false, ncclRemoteError, "refused the connection");
}

static void ready_close(void)
{
	answered(0, 0, true, ncclRemoteError, "Connection reset");
}

/* A listener that takes the connection and never answers. */
static void ready_silence(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	int64_t start;
	void *send;
	int fd;

	env_set("NCCL_DEVMEM_CONNECT_TIMEOUT", "800");
	plug_open();
	fd = raw_listen(handle);
	start = ms_now();
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclRemoteError);
	CHECK(ms_now() - start >= 700);
	plug_expect_log("did not come up within 800 ms");
	plug_expect_log("NCCL_DEVMEM_CONNECT_TIMEOUT");
	close(fd);
	plug_close();
}

/* Half a ready, then the end. */
static void ready_half(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct raw_conn c;
	void *send;
	int fd, i;

	plug_open();
	fd = raw_listen(handle);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(plug.net->connect(plug.ctx, 0, handle, &send, NULL), ncclSuccess);
		ms_sleep(1);
	}
	raw_accept(fd, &c, 1);
	raw_send(c.ctrl, "\x65\x44\x76\x6d\x01\x00\x00", 7);
	raw_close(&c, false);
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclRemoteError);
	CHECK(!send);
	close(fd);
	plug_close();
}

/* The hello in single bytes, with pauses: slow is not wrong. */
static void hello_slow(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct wire_hello h[2];
	struct wire_ready ready;
	void *listen, *recv = NULL;
	unsigned int i;
	int fd[2], k;

	plug_open();
	do_listen(handle, &listen);
	h[0] = raw_hello(handle, WIRE_HELLO_CTRL, 99, 1, 0);
	h[1] = raw_hello(handle, WIRE_HELLO_DATA, 99, 1, 0);
	for (k = 0; k < 2; k++) {
		wire_hello_swap(&h[k]);
		fd[k] = raw_dial(handle);
	}
	for (i = 0; i < sizeof(h[0]); i++) {
		for (k = 0; k < 2; k++)
			raw_send(fd[k], (char *)&h[k] + i, 1);
		CHECK(!recv);
		CHECK_EQ(plug.net->accept(listen, &recv, NULL), ncclSuccess);
		ms_sleep(3);
	}
	if (!recv)
		CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	CHECK_EQ(raw_recv(fd[0], &ready, sizeof(ready)), sizeof(ready));
	close(fd[0]);
	close(fd[1]);
	CHECK_EQ(plug.net->closeRecv(recv), ncclSuccess);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

const struct fault_case cases_handshake[] = {
	{ .name = "handshake.handle_version", .run = handle_version },
	{ .name = "handshake.handle_magic", .run = handle_magic },
	{ .name = "handshake.handle_family", .run = handle_family },
	{ .name = "handshake.handle_garbage", .run = handle_garbage },
	{ .name = "handshake.handle_state", .run = handle_state },
	{ .name = "handshake.handle_port", .run = handle_port },
	{ .name = "handshake.handle_unaligned", .run = handle_unaligned },
	{ .name = "handshake.hello_version", .run = hello_version },
	{ .name = "handshake.hello_slow", .run = hello_slow },
	{ .name = "handshake.ready_version", .run = ready_version },
	{ .name = "handshake.ready_status", .run = ready_status },
	{ .name = "handshake.ready_status_odd", .run = ready_status_odd },
	{ .name = "handshake.ready_close", .run = ready_close },
	{ .name = "handshake.ready_half", .run = ready_half },
	{ .name = "handshake.ready_silence", .run = ready_silence },
	{ 0 },
};
